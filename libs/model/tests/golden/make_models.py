"""Writes the golden fixtures of the model: what transformers and peft compute, block by block.

    python make_models.py        (torch 2.15.0, transformers 5.23.0, peft 0.21.2)

qwen2_5_vl/           a tiny random Qwen2.5-VL: config.json and bfloat16 weights, read as float32 below
lora/                 an adapter of rank 4 for qwen2_vl/ as `peft` saves it; its base path is left to the reader
models.safetensors    per CASE: its inputs and, in float32, what comes out
  CASE.pixels             (patches, patch_dim) of all images or videos, CASE.grids (n, 3), CASE.is_video (n,)
  CASE.input_ids          (T,)   the last N_COMPLETION of them are the completion
  CASE.positions          (T, 3)
  CASE.vision.I           (patches, embed_dim) after block I of the tower
  CASE.text.I             (T, hidden_size) after decoder layer I
  CASE.logits             (T, V)
  CASE.loss               ()     mean negative logprob of the completion
  CASE.grad.NAME          gradient of the loss by each parameter's name in the checkpoint; where GRADIENTS says so
  CASE.greedy             (64,)  tokens that follow the prompt
"""
import json
import math
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLForConditionalGeneration)

HERE = Path(__file__).parent
N_COMPLETION = 9
N_GREEDY = 64
VOCAB_SIZE = 96
IMAGE, VIDEO, START, END = 91, 92, 93, 94
# (t, h, w) in patches; a video of 2 frames of patches with 1.5 seconds each.
CASES = {
    "qwen2_5_vl.images": dict(model="qwen2_5_vl", grids=[(1, 6, 10), (1, 4, 4)], video=[False, False]),
    "qwen2_5_vl.video": dict(model="qwen2_5_vl", grids=[(3, 4, 6), (1, 2, 2)], video=[True, False]),
    "qwen2_5_vl.strip": dict(model="qwen2_5_vl", grids=[(1, 2, 40)], video=[False]),
    "qwen2_5_vl.text": dict(model="qwen2_5_vl", grids=[], video=[]),
    "qwen2_vl.images": dict(model="qwen2_vl", grids=[(1, 6, 10), (1, 4, 4)], video=[False, False]),
    "qwen2_vl.video": dict(model="qwen2_vl", grids=[(3, 4, 6), (1, 2, 2)], video=[True, False]),
    "qwen2_vl.strip": dict(model="qwen2_vl", grids=[(1, 40, 2)], video=[False]),
    "lora.images": dict(model="lora", grids=[(1, 4, 6)], video=[False]),
}
GRADIENTS = ["qwen2_5_vl.images", "qwen2_5_vl.video", "lora.images"]
SECONDS_PER_GRID = 1.5


def make_qwen2_5_vl():
    config = Qwen2_5_VLConfig(
        text_config=dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         intermediate_size=48, vocab_size=VOCAB_SIZE, max_position_embeddings=512,
                         tie_word_embeddings=False, bos_token_id=None, eos_token_id=90, pad_token_id=89,
                         rms_norm_eps=1e-6,
                         rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[1, 1, 2])),
        vision_config=dict(depth=3, hidden_size=16, intermediate_size=20, num_heads=2, patch_size=4, window_size=16,
                           spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=32, tokens_per_second=2,
                           fullatt_block_indexes=[1]),
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END,
        tie_word_embeddings=False)
    model = Qwen2_5_VLForConditionalGeneration(config)
    torch.manual_seed(11)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            value = torch.randn_like(parameter) * 0.1 + ("norm" in name or "ln_q" in name) * name.endswith("weight")
        elif "embed_tokens" in name:
            value = torch.randn_like(parameter) * 0.3
        else:
            value = torch.randn_like(parameter) * 1.2 / math.sqrt(parameter[0].numel())
        parameter.data = value.bfloat16().float()
    model.to(torch.bfloat16).save_pretrained(HERE / "qwen2_5_vl")


def make_lora():
    """An adapter of the fixture's Qwen2-VL, of language and vision, with both factors random."""
    base = load("qwen2_vl")
    modules = r".*\.(q_proj|v_proj|down_proj|attn\.qkv|fc1)"
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=modules, task_type="CAUSAL_LM"))
    torch.manual_seed(12)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.2
    model.save_pretrained(HERE / "lora")
    (HERE / "lora/README.md").unlink(missing_ok=True)
    path = HERE / "lora/adapter_config.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), base_model_name_or_path="qwen2_vl")) + "\n")


def load(kind):
    if kind == "lora":
        return PeftModel.from_pretrained(load("qwen2_vl"), HERE / "lora", is_trainable=True)
    model = Qwen2_5_VLForConditionalGeneration if kind == "qwen2_5_vl" else Qwen2VLForConditionalGeneration
    # Read back rather than cast: a cast to bfloat16 and back would also round the rotary frequencies.
    return model.from_pretrained(HERE / kind, dtype=torch.float32, attn_implementation="eager")


def make_inputs(case, config):
    """A prompt of text, visual inputs and text, then a completion."""
    image, video = config.image_token_id, config.video_token_id
    start, end = config.vision_start_token_id, config.vision_end_token_id
    words = lambda n: torch.randint(10, 80, (n,)).tolist()
    ids, kinds = words(3), [0] * 3
    for (t, h, w), is_video in zip(case["grids"], case["video"]):
        n = t * h * w // 4
        ids += [start] + [video if is_video else image] * n + [end]
        kinds += [0] + [2 if is_video else 1] * n + [0]
    tail = words(4 + N_COMPLETION)
    return ids + tail, kinds + [0] * len(tail)


def vision_arguments(case, pixels):
    """The model's keyword arguments: images and videos each by themselves, in order."""
    arguments, start = {}, 0
    parts = {False: [], True: []}
    for grid, is_video in zip(case["grids"], case["video"]):
        n = math.prod(grid)
        parts[is_video].append((grid, pixels[start:start + n]))
        start += n
    for is_video, (pixel_key, grid_key) in {False: ("pixel_values", "image_grid_thw"),
                                            True: ("pixel_values_videos", "video_grid_thw")}.items():
        if parts[is_video]:
            arguments[grid_key] = torch.tensor([grid for grid, _ in parts[is_video]])
            arguments[pixel_key] = torch.cat([values for _, values in parts[is_video]])
    return arguments


def positions_of(model, ids, kinds, arguments, case):
    seconds = [SECONDS_PER_GRID] * sum(case["video"])
    extra = {"second_per_grid_ts": torch.tensor(seconds)} if case["model"] == "qwen2_5_vl" and seconds else {}
    grids = {key: arguments.get(key) for key in ("image_grid_thw", "video_grid_thw")}
    return model.get_rope_index(torch.tensor([ids]), torch.tensor([kinds]), **grids, **extra)[0]


def run_case(name, case, out, attempt=0):
    torch.manual_seed(sum(map(ord, name)) + 1000 * attempt)
    model = load(case["model"])
    full = model.base_model.model if case["model"] == "lora" else model
    patch = full.config.vision_config.patch_size
    pixels = torch.randn(sum(math.prod(grid) for grid in case["grids"]), 3 * 2 * patch * patch)
    ids, kinds = make_inputs(case, full.config)
    arguments = vision_arguments(case, pixels)
    positions = positions_of(full.model, ids, kinds, arguments, case)
    vision, text = [], []
    # The tower runs once for images and once for videos; blocks are kept call by call, images first.
    for block in full.model.visual.blocks:
        block.register_forward_hook(lambda _m, _i, output: vision.append(output.detach()))
    for layer in full.model.language_model.layers:
        layer.register_forward_hook(
            lambda _m, _i, output: text.append((output[0] if isinstance(output, tuple) else output).detach()[0]))
    logits = model(input_ids=torch.tensor([ids]), position_ids=positions, **arguments).logits[0]
    depth = len(full.model.visual.blocks)
    calls = [vision[i:i + depth] for i in range(0, len(vision), depth)]
    logprobs = torch.log_softmax(logits[-N_COMPLETION - 1:-1], -1)
    loss = -logprobs.gather(1, torch.tensor(ids[-N_COMPLETION:])[:, None]).mean()
    if len(calls) == 1:  # else the order of rows differs from that of one pass over all
        out.update({f"{name}.vision.{i}": x for i, x in enumerate(calls[0])})
    out.update({f"{name}.text.{i}": x for i, x in enumerate(text)})
    out.update({f"{name}.pixels": pixels, f"{name}.input_ids": torch.tensor(ids),
                f"{name}.grids": torch.tensor(case["grids"], dtype=torch.long).reshape(-1, 3),
                f"{name}.is_video": torch.tensor(case["video"], dtype=torch.long),
                f"{name}.positions": positions[:, 0].T, f"{name}.logits": logits.detach(),
                f"{name}.loss": loss.detach()})
    if name in GRADIENTS:
        loss.backward()
        for parameter, value in model.named_parameters():
            if value.requires_grad:
                out[f"{name}.grad.{checkpoint_name(parameter)}"] = value.grad
    if case["model"] != "lora":
        tokens, lead = greedy(model, ids[:-N_COMPLETION], positions, arguments)
        if lead < 2e-3:  # too close a race for another implementation to be held to
            return run_case(name, case, out, attempt + 1)
        out[f"{name}.greedy"] = torch.tensor(tokens)
    print(f"{name}: {len(ids)} tokens, loss {loss.item():.4f}")


def greedy(model, ids, positions, arguments):
    """Argmax tokens by recomputing everything, and the smallest lead of a winner over its runner-up."""
    ids, lead, tokens = list(ids), math.inf, []
    with torch.no_grad():
        next_position = positions[:, :, :len(ids)].max() + 1
        positions = positions[:, :, :len(ids)]
        for step in range(N_GREEDY):
            best = model(input_ids=torch.tensor([ids]), position_ids=positions, **arguments).logits[0, -1].topk(2)
            lead = min(lead, (best.values[0] - best.values[1]).item())
            tokens.append(best.indices[0].item())
            if tokens[-1] in (model.config.image_token_id, model.config.video_token_id):
                return tokens, 0.0  # transformers would look for another image
            ids.append(tokens[-1])
            positions = torch.cat([positions, torch.full((3, 1, 1), int(next_position + step))], 2)
    return tokens, lead


def checkpoint_name(name):
    name = name.removeprefix("base_model.model.").replace(".default.", ".")
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def main():
    torch.set_num_threads(1)
    make_qwen2_5_vl()
    make_lora()
    out = {}
    for name, case in CASES.items():
        run_case(name, case, out)
    save_file({name: tensor.clone().contiguous() for name, tensor in out.items()}, HERE / "models.safetensors")


if __name__ == "__main__":
    main()
