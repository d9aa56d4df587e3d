"""Compares what `vrft probe` wrote with what transformers, and peft for an adapter, make of the same request.

    vrft probe --checkpoint DIR --request REQUEST.json --out OURS.safetensors --gradients
    python check_probe.py DIR REQUEST.json OURS.safetensors     (torch 2.15.0, transformers 5.23.0, peft 0.21.2)

Prints the largest differences and fails above 1e-4 for logits and loss, 1e-3 (relative) for a gradient. Any checkpoint
and any image will do; DIR may be one that this project wrote, which is how saving, merging and adapters are checked.
"""
import json
import sys
from pathlib import Path

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
    return model, AutoProcessor.from_pretrained(base)


def encode(processor, request):
    """The model's inputs with the completion's tokens at the end, and how many these are."""
    messages, images = json.loads(json.dumps(request["messages"])), []
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if part["type"] == "image":
                images.append(ImageOps.exif_transpose(Image.open(part.pop("path"))))
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=images or None, return_tensors="pt", return_mm_token_type_ids=True)
    completion = processor.tokenizer(request.get("completion") or "", add_special_tokens=False).input_ids
    added = torch.tensor([completion], dtype=torch.long)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], added], 1)
    inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(added)], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return inputs, completion


def checkpoint_name(name):
    name = name.removeprefix("base_model.model.").replace(".default.", ".")
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def compare_gradients(model, ours):
    worst = (0.0, "")
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            name = checkpoint_name(name)
            got = ours.get(f"grad.{name}", ours.get("grad." + name.replace("model.", "model.language_model.", 1)))
            off = (got - parameter.grad).norm() / parameter.grad.norm().clamp_min(1e-20)
            worst = max(worst, (off.item(), name))
    print(f"gradients: worst relative difference {worst[0]:.2e}, {worst[1]}")
    assert worst[0] <= 1e-3


def main(folder, request, ours):
    request, ours = json.loads(Path(request).read_text()), load_file(ours)
    model, processor = load(folder)
    inputs, completion = encode(processor, request)
    assert inputs["input_ids"][0].tolist() == ours["input_ids"].tolist(), "input ids differ"
    logits = model(**inputs).logits[0]
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
