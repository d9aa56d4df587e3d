"""Writes the golden fixtures of Qwen3-VL, SmolVLM and Idefics3: what transformers and peft compute, block by block.

    python make_models_by_family.py [FOLDER ...]    (torch 2.15.0, transformers 5.23.0, peft 0.21.2)

FOLDER/               a tiny random checkpoint of odd shapes: config.json and bfloat16 weights, read as float32 below
FOLDER_lora/          an adapter of rank 3 for it, of tower and language model; its base path is left to the reader
FOLDER.safetensors    per CASE, what models.safetensors has (see make_models.py); the patches of a tile come in the order
                      in which they are merged to tokens; gradients of the cases in GRADIENTS, zeros where there is none
"""
import json
import math
import sys

import torch
from make_models import HERE, N_COMPLETION, N_GREEDY
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import (Idefics3Config, Idefics3ForConditionalGeneration, Qwen3VLConfig,
                          Qwen3VLForConditionalGeneration, SmolVLMConfig, SmolVLMForConditionalGeneration)

VOCAB_SIZE = 96
IMAGE, VIDEO, START, END = 91, 92, 93, 94


def qwen3(layers=4, indexes=(2, 0, 7), bias=False, tie=True, act="gelu_pytorch_tanh"):
    return Qwen3VLConfig(
        text_config=dict(hidden_size=20, num_hidden_layers=layers, num_attention_heads=6, num_key_value_heads=2,
                         head_dim=10, intermediate_size=28, vocab_size=VOCAB_SIZE, max_position_embeddings=512,
                         attention_bias=bias, rms_norm_eps=1e-5,
                         rope_parameters=dict(rope_type="default", rope_theta=3e3, mrope_section=[2, 1, 2])),
        vision_config=dict(depth=3, hidden_size=24, intermediate_size=36, num_heads=3, patch_size=3, spatial_merge_size=2,
                           temporal_patch_size=2, out_hidden_size=20, num_position_embeddings=30, hidden_act=act,
                           deepstack_visual_indexes=list(indexes)),
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END,
        tie_word_embeddings=tie)


def tiles(kind, bias, tie, act, image_size, merge, pad=None, **rope):
    return kind(
        text_config=dict(model_type="llama", hidden_size=24, num_hidden_layers=3, num_attention_heads=6,
                         num_key_value_heads=2, head_dim=6, intermediate_size=20, vocab_size=VOCAB_SIZE,
                         max_position_embeddings=512, attention_bias=bias, mlp_bias=bias, rms_norm_eps=1e-5,
                         rope_theta=3e3, pad_token_id=pad, bos_token_id=None, eos_token_id=None, **rope),
        vision_config=dict(hidden_size=18, intermediate_size=22, num_hidden_layers=3, num_attention_heads=2,
                           image_size=image_size, patch_size=3, hidden_act=act, layer_norm_eps=1e-5),
        scale_factor=merge, image_token_id=IMAGE, tie_word_embeddings=tie)


# kind, configuration, cases: the grids in patches and whether each is a video (of tiles: how many tiles, rows, columns)
FOLDERS = {
    "qwen3_vl": (Qwen3VLForConditionalGeneration, qwen3(), {
        "images": [((1, 6, 10), False), ((1, 2, 2), False)], "video": [((3, 4, 6), True), ((1, 4, 2), False)],
        "strip": [((1, 2, 40), False)], "text": []}),
    # Features after every decoder layer but one more than there are, biases, a head of its own.
    "qwen3_vl_short": (Qwen3VLForConditionalGeneration, qwen3(2, (0, 1, 2), True, False, "gelu"), {
        "images": [((1, 4, 6), False)], "video": [((2, 2, 4), True)]}),
    "smolvlm": (SmolVLMForConditionalGeneration, tiles(SmolVLMConfig, False, False, "gelu_pytorch_tanh", 17, 2), {
        "images": [((5, 4, 4), False), ((1, 4, 4), False)], "text": []}),
    # As many patches as positions, at a size where rounding decides which, three by three to a token.
    "smolvlm_rounding": (SmolVLMForConditionalGeneration, tiles(SmolVLMConfig, True, True, "quick_gelu", 77, 5), {
        "images": [((1, 25, 25), False)]}),
    # Frequencies that are stretched: at this context one is fast, one slow and one between. A token of the prompt is the padding,
    # about whose embedding nothing is learned.
    "idefics3": (Idefics3ForConditionalGeneration, tiles(Idefics3Config, False, False, "gelu_pytorch_tanh", 30, 3, 50, rope_scaling=dict(
        rope_type="llama3", factor=3.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=200)), {
        "images": [((3, 6, 6), False)]}),
}
GRADIENTS = {"qwen3_vl": ["video"], "qwen3_vl_lora": ["images"], "qwen3_vl_short": ["images"], "smolvlm": ["images"],
             "smolvlm_lora": ["images"], "smolvlm_rounding": ["images"], "idefics3": ["images"]}
LORA = {"qwen3_vl": r".*\.(q_proj|o_proj|down_proj|attn\.qkv|linear_fc1)",
        "smolvlm": r".*\.(q_proj|v_proj|down_proj|fc2|modality_projection\.proj)"}


def randomize(model, seed):
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            value = torch.randn_like(parameter) * 0.1 + ("norm" in name) * name.endswith("weight")
        elif "embed" in name and parameter.dim() == 2:
            value = torch.randn_like(parameter) * 0.3
        else:
            value = torch.randn_like(parameter) * 1.2 / math.sqrt(parameter[0].numel())
        parameter.data = value.bfloat16().float()


def load(folder):
    kind = FOLDERS[folder.removesuffix("_lora")][0]
    if folder.endswith("_lora"):
        return PeftModel.from_pretrained(load(folder.removesuffix("_lora")), HERE / folder, is_trainable=True)
    # Read back rather than cast: a cast to bfloat16 and back would also round the rotary frequencies.
    return kind.from_pretrained(HERE / folder, dtype=torch.float32, attn_implementation="eager")


def write(folder):
    kind, config, _ = FOLDERS[folder]
    model = kind(config)
    randomize(model, 11)
    model.to(torch.bfloat16).save_pretrained(HERE / folder)
    (HERE / folder / "generation_config.json").unlink(missing_ok=True)
    if folder not in LORA:
        return
    adapted = get_peft_model(load(folder), LoraConfig(r=3, lora_alpha=5, target_modules=LORA[folder], task_type="CAUSAL_LM"))
    torch.manual_seed(12)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.2
    adapted.save_pretrained(HERE / f"{folder}_lora")
    (HERE / f"{folder}_lora/README.md").unlink(missing_ok=True)
    path = HERE / f"{folder}_lora/adapter_config.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), base_model_name_or_path=folder)) + "\n")


class Qwen3:
    """Inputs of the family with frames in a grid and the seconds of a video as text."""

    def __init__(self, config, media):
        self.config, self.media = config, media
        self.merge, vision = config.vision_config.spatial_merge_size, config.vision_config
        self.row = 3 * vision.temporal_patch_size * vision.patch_size**2
        self.pixels = torch.randn(sum(math.prod(grid) for grid, _ in media), self.row)

    def tokens(self, words):
        ids, kinds = words(3), [0] * 3
        for (t, h, w), is_video in self.media:
            n = h * w // self.merge**2
            for _ in range(t if is_video else 1):
                second = words(2) if is_video else []
                ids += second + [START] + [VIDEO if is_video else IMAGE] * n + [END]
                kinds += [0] * (len(second) + 1) + [2 if is_video else 1] * n + [0]
        return ids, kinds

    def arguments(self, model, ids, kinds):
        parts, start = {False: [], True: []}, 0
        for grid, is_video in self.media:
            n = math.prod(grid)
            parts[is_video].append((grid, self.pixels[start:start + n]))
            start += n
        arguments = {}
        for is_video, (pixel_key, grid_key) in {False: ("pixel_values", "image_grid_thw"),
                                                True: ("pixel_values_videos", "video_grid_thw")}.items():
            if parts[is_video]:
                arguments[grid_key] = torch.tensor([grid for grid, _ in parts[is_video]])
                arguments[pixel_key] = torch.cat([values for _, values in parts[is_video]])
        grids = {key: arguments.get(key) for key in ("image_grid_thw", "video_grid_thw")}
        arguments["position_ids"] = model.get_rope_index(torch.tensor([ids]), torch.tensor([kinds]), **grids)[0]
        return arguments

    def positions(self, arguments):
        return arguments["position_ids"][:, 0].T

    def longer(self, arguments, n):
        old = arguments["position_ids"]
        more = old.max() + 1 + torch.arange(n)
        return dict(arguments, position_ids=torch.cat([old, more.expand(3, 1, n)], 2))

    def blocks(self, model):
        return model.visual.blocks, model.language_model.layers


class Tiles:
    """Inputs of the families with tiles, each a square picture."""

    def __init__(self, config, media):
        self.config, self.media, self.merge = config, media, config.scale_factor
        self.patch = config.vision_config.patch_size
        side = media[0][0][1] * self.patch if media else 0
        self.pictures = torch.randn(sum(grid[0] for grid, _ in media), 3, side, side)
        self.pixels = torch.cat([self.patches(p) for p in self.pictures]) if media else torch.zeros(0, 3 * self.patch**2)

    def patches(self, picture):
        n, s, p = picture.shape[1] // self.patch // self.merge, self.merge, self.patch
        return picture.reshape(3, n, s, p, n, s, p).permute(1, 4, 2, 5, 0, 3, 6).reshape(-1, 3 * p * p)

    def tokens(self, words):
        ids = words(3)
        for (t, h, w), _ in self.media:
            for _ in range(t):
                ids += words(2) + [IMAGE] * (h * w // self.merge**2)
        return ids, [0] * len(ids)

    def arguments(self, model, ids, kinds):
        return {"pixel_values": self.pictures[None]} if self.media else {}

    def positions(self, arguments):
        return None

    def longer(self, arguments, n):
        return arguments

    def blocks(self, model):
        return model.vision_model.encoder.layers, model.text_model.layers


def run_case(folder, case, media, out, attempt=0):
    name = f"{folder}.{case}"
    torch.manual_seed(sum(map(ord, name)) + 1000 * attempt)
    model = load(folder)
    full = model.base_model.model if folder.endswith("_lora") else model
    inputs = (Qwen3 if folder.startswith("qwen3") else Tiles)(full.config, media)
    words = lambda n: torch.randint(10, 80, (n,)).tolist()
    ids, kinds = inputs.tokens(words)
    tail = words(4 + N_COMPLETION)
    ids, kinds = ids + tail, kinds + [0] * len(tail)
    arguments = inputs.arguments(full.model, ids, kinds)
    vision, text, first = [], [], lambda output: output[0] if isinstance(output, tuple) else output
    tower, decoder = inputs.blocks(full.model)
    hooks = [block.register_forward_hook(lambda _m, _i, output: vision.append(first(output).detach().flatten(0, -2))) for block in tower]
    hooks += [layer.register_forward_hook(lambda _m, _i, output: text.append(first(output).detach()[0])) for layer in decoder]
    logits = model(input_ids=torch.tensor([ids]), **arguments).logits[0]
    [hook.remove() for hook in hooks]
    logprobs = torch.log_softmax(logits[-N_COMPLETION - 1:-1], -1)
    loss = -logprobs.gather(1, torch.tensor(ids[-N_COMPLETION:])[:, None]).mean()
    positions = inputs.positions(arguments)
    if positions is None:
        positions = torch.arange(len(ids))[:, None].expand(-1, 3)
    depth = len(tower)
    # Rows of a tile come in another order than here, and images apart from videos: compared only where they agree.
    if isinstance(inputs, Qwen3) and len(vision) == depth:
        out.update({f"{case}.vision.{i}": x for i, x in enumerate(vision)})
    out.update({f"{case}.text.{i}": x for i, x in enumerate(text)} if isinstance(inputs, Tiles) else {})
    out.update({f"{case}.pixels": inputs.pixels, f"{case}.input_ids": torch.tensor(ids),
                f"{case}.grids": torch.tensor([grid for grid, _ in media], dtype=torch.long).reshape(-1, 3),
                f"{case}.positions": positions, f"{case}.logits": logits.detach(), f"{case}.loss": loss.detach()})
    if case in GRADIENTS[folder]:
        loss.backward()
    for parameter, value in model.named_parameters():
        if value.requires_grad and case in GRADIENTS[folder]:
            gradient = value.grad if value.grad is not None else torch.zeros_like(value)
            out[f"{case}.grad.{checkpoint_name(parameter)}"] = gradient
    if not folder.endswith("_lora"):
        tokens, lead = greedy(model, ids[:-N_COMPLETION], kinds[:-N_COMPLETION], inputs, full)
        if lead < 5e-4:  # too close a race for another implementation to be held to
            return run_case(folder, case, media, out, attempt + 1)
        out[f"{case}.greedy"] = torch.tensor(tokens)
    print(f"{name}: {len(ids)} tokens, loss {loss.item():.4f}, attempt {attempt}", flush=True)


def greedy(model, ids, kinds, inputs, full):
    """Argmax tokens by recomputing everything, and the smallest lead of a winner over its runner-up."""
    ids, n_prompt, lead = list(ids), len(ids), math.inf
    arguments = inputs.arguments(full.model, ids, kinds)
    with torch.no_grad():
        for step in range(N_GREEDY):
            best = model(input_ids=torch.tensor([ids]), **inputs.longer(arguments, step)).logits[0, -1].topk(2)
            lead = min(lead, (best.values[0] - best.values[1]).item())
            ids.append(best.indices[0].item())
            if ids[-1] in (IMAGE, VIDEO):
                return ids[n_prompt:], 0.0  # transformers would look for another image
    return ids[n_prompt:], lead


def checkpoint_name(name):
    return name.removeprefix("base_model.model.").replace(".default.", ".")


def main(folders):
    torch.set_num_threads(1)
    for folder in folders or FOLDERS:
        write(folder)
        out = {}
        for case, media in FOLDERS[folder][2].items():
            run_case(folder, case, media, out)
        save_file({name: tensor.clone().contiguous() for name, tensor in out.items()}, HERE / f"{folder}.safetensors")
        if folder in LORA:
            out = {}
            run_case(f"{folder}_lora", "images", FOLDERS[folder][2]["images"], out)
            save_file({name: t.clone().contiguous() for name, t in out.items()}, HERE / f"{folder}_lora.safetensors")


if __name__ == "__main__":
    main(sys.argv[1:])
