"""Writes the golden fixtures of weights of 4 bits: what transformers, peft and bitsandbytes make of a random Qwen2-VL.

    python make_nf4.py        (torch 2.15.0, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2)

nf4/plain/            a tiny random Qwen2-VL in bfloat16, read as float32 below
nf4/whole/            the checkpoint as transformers saves it in NF4 with double quantization, its tower too
nf4/adapter/          an adapter beside it as `peft` saves it; its base path is left to the reader
nf4.safetensors       the inputs `nf4.pixels`, `nf4.input_ids`, …, as make_models.py has them, and
  whole.logits            (T, V)  of nf4/whole
  adapted.logits          (T, V)  the same with the adapter
  adapted.loss            ()      mean negative logprob of the completion
  adapted.grad.NAME       gradient of the loss by each factor of the adapter
  text.logits             (T, V)  of nf4/plain with the language model alone in NF4

The weights are of the first seed for which bitsandbytes finds the nearest code of every factor. All layers have a multiple of 64 inputs: for others, bitsandbytes 0.50.2 makes other numbers of the same codes on the CPU
than on a GPU and than its own reference does.
"""
import json
import math

import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import BitsAndBytesConfig, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from make_models import (END, HERE, IMAGE, N_COMPLETION, START, VIDEO, VOCAB_SIZE, checkpoint_name, make_inputs, positions_of,
                         vision_arguments)

CASE = dict(model="qwen2_vl", grids=[(1, 6, 10), (1, 4, 4)], video=[False, False])


def make_plain(seed):
    config = Qwen2VLConfig(
        text_config=dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         intermediate_size=128, vocab_size=VOCAB_SIZE, max_position_embeddings=512,
                         tie_word_embeddings=True, bos_token_id=None, eos_token_id=90, pad_token_id=89, rms_norm_eps=1e-6,
                         rope_parameters=dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3])),
        vision_config=dict(depth=2, embed_dim=64, num_heads=2, mlp_ratio=2, patch_size=4, spatial_merge_size=2,
                           temporal_patch_size=2, hidden_size=64),
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END,
        tie_word_embeddings=True)
    model = Qwen2VLForConditionalGeneration(config)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            value = torch.randn_like(parameter) * 0.1 + ("norm" in name or "ln_q" in name) * name.endswith("weight")
        elif "embed_tokens" in name:
            value = torch.randn_like(parameter) * 0.3
        else:
            value = torch.randn_like(parameter) * 1.2 / math.sqrt(parameter[0].numel())
        parameter.data = value.bfloat16().float()
    model.to(torch.bfloat16).save_pretrained(HERE / "nf4/plain")


def load(skipped=None):
    quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                      bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=skipped)
    return Qwen2VLForConditionalGeneration.from_pretrained(
        HERE / "nf4/plain", dtype=torch.float32, attn_implementation="eager", quantization_config=quantization,
        device_map="cpu").train()  # else bitsandbytes packs the codes anew for bfloat16


def factors_are_nearest(model):
    """Whether the 8-bit code of every factor is the nearest; on the CPU bitsandbytes misses some by a little."""
    for module in model.modules():
        if not isinstance(module, Linear4bit):
            continue
        state = module.weight.quant_state
        plain = module.original.float().reshape(-1, state.blocksize).abs().amax(1) - state.offset
        scales = state.state2.absmax.repeat_interleave(state.state2.blocksize)[:len(plain)]
        nearest = ((plain / scales)[:, None] - state.state2.code).abs().argmin(1)
        if (nearest != state.absmax.long()).any():
            return False
    return True


def with_originals(model):
    plain = Qwen2VLForConditionalGeneration.from_pretrained(HERE / "nf4/plain", dtype=torch.float32)
    for name, module in model.named_modules():
        module.original = plain.get_submodule(name).weight.detach() if isinstance(module, Linear4bit) else None
    return model


def main():
    torch.set_num_threads(1)
    for seed in range(21, 99):
        make_plain(seed)
        model = load()
        if factors_are_nearest(with_originals(model)):
            break
    torch.manual_seed(22)
    pixels = torch.randn(sum(math.prod(grid) for grid in CASE["grids"]), 3 * 2 * 4 * 4)
    ids, kinds = make_inputs(CASE, model.config)
    arguments = vision_arguments(CASE, pixels)
    positions = positions_of(model.model, ids, kinds, arguments, CASE)
    out = {"nf4.pixels": pixels, "nf4.input_ids": torch.tensor(ids), "nf4.positions": positions[:, 0].T,
           "nf4.grids": torch.tensor(CASE["grids"])}
    arguments.update(input_ids=torch.tensor([ids]), position_ids=positions)
    out["text.logits"] = load(["model.visual", "lm_head"])(**arguments).logits[0].detach()
    model.save_pretrained(HERE / "nf4/whole")
    out["whole.logits"] = model(**arguments).logits[0].detach()

    modules = r".*\.(q_proj|v_proj|down_proj|attn\.qkv|fc1)"
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=6, target_modules=modules, task_type="CAUSAL_LM"))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.2
    adapted.save_pretrained(HERE / "nf4/adapter")
    (HERE / "nf4/adapter/README.md").unlink(missing_ok=True)
    path = HERE / "nf4/adapter/adapter_config.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), base_model_name_or_path="nf4/whole")) + "\n")
    logits = adapted(**arguments).logits[0]
    logprobs = torch.log_softmax(logits[-N_COMPLETION - 1:-1], -1)
    loss = -logprobs.gather(1, torch.tensor(ids[-N_COMPLETION:])[:, None]).mean()
    loss.backward()
    out.update({"adapted.logits": logits.detach(), "adapted.loss": loss.detach()})
    for name, value in adapted.named_parameters():
        if value.requires_grad:
            out[f"adapted.grad.{checkpoint_name(name)}"] = value.grad
    save_file({name: tensor.clone().contiguous() for name, tensor in out.items()}, HERE / "nf4.safetensors")
    print(f"loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
