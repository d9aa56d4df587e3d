"""Compares what `vrft probe` wrote with what transformers, and peft for an adapter, make of the same request.

    vrft probe --checkpoint DIR --request REQUEST.json --out OURS.safetensors --gradients
    python check_probe.py DIR REQUEST.json OURS.safetensors     (torch 2.15.0, transformers 5.23.0, peft 0.21.2)

Prints the largest differences and fails above 1e-4 for logits and loss, 1e-3 (relative) for a gradient. Any checkpoint
and any image will do; DIR may be one that this project wrote, which is how saving, merging and adapters are checked.
"""
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor


def load(folder):
    """The model in float32 and its processor; an adapter with its base."""
    adapter = Path(folder) / "adapter_config.json"
    base = json.loads(adapter.read_text())["base_model_name_or_path"] if adapter.exists() else folder
    model, report = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32, output_loading_info=True)
    keys = {kind: sorted(report[kind]) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    assert not any(keys.values()), keys
    if adapter.exists():
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, folder, is_trainable=True)
    # A probe drops nothing of an adapter's inputs.
    return model.eval(), AutoProcessor.from_pretrained(base)


def encode(processor, request, folder):
    """The model's inputs with the completion's tokens at the end, and how many these are."""
    messages, images, videos, metadata = json.loads(json.dumps(request["messages"])), [], [], []
    for message in messages:
        # Some templates know contents that are lists of parts only.
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        for part in message["content"]:
            if part["type"] == "image":
                images.append(upright(folder / part.pop("path")))
            elif part["type"] == "video":
                frames = [torch.from_numpy(np.array(upright(folder / file).convert("RGB"))) for file in part.pop("video")]
                videos.append(torch.stack(frames).permute(0, 3, 1, 2))
                metadata.append(dict(total_num_frames=len(frames), fps=part.get("fps", 24),
                                     frames_indices=list(range(len(frames)))))
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    seen = dict(videos=videos, video_metadata=metadata) if videos else {}
    inputs = processor(text=[text], images=[images] if images else None, return_tensors="pt",
                       return_mm_token_type_ids=True, **seen)
    completion = processor.tokenizer(request.get("completion") or "", add_special_tokens=False).input_ids
    added = torch.tensor([completion], dtype=torch.long)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], added], 1)
    # Without pictures some processors leave it out.
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(added)], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return inputs, completion


def as_generated(model, inputs, n_completion):
    """The inputs with positions as `generate` counts them: those of a completion begin past all of the prompt. A forward pass of
    the whole goes on where the last text was, which is before that where a video of Qwen2.5-VL reaches far in time."""
    inner = getattr(model, "get_base_model", lambda: model)().model
    if not hasattr(inner, "get_rope_index") or "mm_token_type_ids" not in inputs:
        return inputs
    n = inputs["input_ids"].shape[1] - n_completion
    seen = {key: inputs[key] for key in ("image_grid_thw", "video_grid_thw", "second_per_grid_ts") if key in inputs}
    taken = inspect.signature(inner.get_rope_index).parameters
    positions = inner.get_rope_index(inputs["input_ids"][:, :n], inputs["mm_token_type_ids"][:, :n],
                                     **{key: value for key, value in seen.items() if key in taken})[0]
    after = positions.max() + 1 + torch.arange(n_completion)
    return dict(inputs, position_ids=torch.cat([positions, after.expand(3, 1, -1)], 2))


def upright(path):
    return ImageOps.exif_transpose(Image.open(path))


def names(name):
    """A parameter's name in transformers, and the older one that checkpoints were published with."""
    name = name.removeprefix("base_model.model.").replace(".default.", ".")
    return name, name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def compare_gradients(model, ours):
    worst = (0.0, "")
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            got = next(ours[f"grad.{name}"] for name in names(name) if f"grad.{name}" in ours)
            # A bias of keys changes no softmax: its gradient is rounding and nothing else.
            if parameter.grad.abs().max() < 1e-7 and got.abs().max() < 1e-7:
                continue
            off = (got - parameter.grad).norm() / parameter.grad.norm().clamp_min(1e-20)
            worst = max(worst, (off.item(), name))
    print(f"gradients: worst relative difference {worst[0]:.2e}, {worst[1]}")
    assert worst[0] <= 1e-3


def main(folder, request, ours):
    path = Path(request)
    request, ours = json.loads(path.read_text()), load_file(ours)
    model, processor = load(folder)
    inputs, completion = encode(processor, request, path.parent)
    assert inputs["input_ids"][0].tolist() == ours["input_ids"].tolist(), "input ids differ"
    inputs = as_generated(model, inputs, len(completion))
    taken = inspect.signature(getattr(model, "get_base_model", lambda: model)().forward).parameters
    logits = model(**{key: value for key, value in inputs.items() if key in taken}).logits[0]
    off = (logits - ours["logits"]).abs().max().item()
    print(f"{len(ours['input_ids'])} tokens, logits: largest difference {off:.2e} of values up to "
          f"{logits.abs().max().item():.1f}")
    assert off <= 1e-4
    if completion:
        logprobs = torch.log_softmax(logits[-len(completion) - 1:-1], -1)
        loss = -logprobs.gather(1, torch.tensor(completion)[:, None]).mean()
        print(f"loss: {loss.item():.6f}, ours {ours['loss'].item():.6f}")
        assert abs(loss.item() - ours["loss"].item()) <= 1e-4
        if any(name.startswith("grad.") for name in ours):
            loss.backward()
            compare_gradients(model, ours)


if __name__ == "__main__":
    main(*sys.argv[1:4])
