"""Compares the logits of a checkpoint on the GPU with those of transformers on the same GPU.

    python gpu-compare.py VRFT MODEL IMAGE        # VRFT: the program, built with the feature cuda

One picture and one question. Prints the largest differences over the largest logit: of ours to transformers' in f32 (which
computes without TF32), and of both in bfloat16 to transformers' in f32. Ends with 1 if tokens differ, if f32 is further off
than 1e-4, or if ours in bfloat16 is more than 1.5 times as far off as transformers' own bfloat16.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

program, model, image = sys.argv[1:]
question = "What is in the picture?"
folder = Path(tempfile.mkdtemp())
content = [{"type": "image", "path": str(Path(image).resolve())}, {"type": "text", "text": question}]
(folder / "request.json").write_text(json.dumps({"messages": [{"role": "user", "content": content}], "completion": None}))


def ours(dtype):
    out = folder / f"{dtype}.safetensors"
    subprocess.run([program, "probe", "--checkpoint", model, "--request", folder / "request.json", "--out", out, "--dtype", dtype,
                    "--device", "cuda"], check=True)
    tensors = load_file(out)
    return tensors["input_ids"].flatten(), tensors["logits"].float()


def theirs(dtype):
    policy = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, attn_implementation="sdpa").cuda().eval()
    with torch.no_grad():
        return policy(**inputs.to("cuda")).logits[0].float().cpu()


torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
processor = AutoProcessor.from_pretrained(model)
messages = [{"role": "user", "content": [{"type": "image", "image": Image.open(image).convert("RGB")}, content[1]]}]
inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True)
whole, half = theirs(torch.float32), theirs(torch.bfloat16)
ids, f32 = ours("f32")
_, bf16 = ours("bf16")
assert ids.tolist() == inputs["input_ids"][0].tolist(), (ids.tolist(), inputs["input_ids"][0].tolist())


def far(a):
    return ((a - whole).abs().max() / whole.abs().max()).item()


figures = {"ours, f32": far(f32), "ours, bf16": far(bf16), "transformers, bf16": far(half)}
print(f"{len(ids)} tokens,", ", ".join(f"{name} {value:.2e}" for name, value in figures.items()), flush=True)
sys.exit(not (figures["ours, f32"] <= 1e-4 and figures["ours, bf16"] <= 1.5 * figures["transformers, bf16"]))
