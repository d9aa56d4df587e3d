"""Adapters of every linear layer, of tower and language model, for each family: peft's opened here and ours opened in peft.

    cargo run --release -p vrft-model --example adapters OURS
    python check_adapters.py VRFT OURS      (torch 2.15.0, transformers 5.23.0, peft 0.21.2)

VRFT is the program, OURS a folder of adapters as this project writes them. Each adapter is added to its base by peft and by
`vrft merge`; all weights must agree to 1e-6 of the largest. Writes adapter_names.json: per folder, the tensors of an
adapter that peft makes with target_modules="all-linear", by name and shape.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from make_models_by_family import FOLDERS
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2VLForConditionalGeneration

HERE = Path(__file__).parent
KINDS = {folder: kind for folder, (kind, _, _) in FOLDERS.items()}
KINDS |= {"qwen2_vl": Qwen2VLForConditionalGeneration, "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration}


def base(folder):
    return KINDS[folder].from_pretrained(HERE / folder, dtype=torch.float32)


def write_by_peft(folder, out):
    """An adapter with both factors random; its tensors by name and shape."""
    model = get_peft_model(base(folder), LoraConfig(r=2, lora_alpha=3, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.3
    model.save_pretrained(out)
    path = out / "adapter_config.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), base_model_name_or_path=str(HERE / folder))))
    return {name: list(tensor.shape) for name, tensor in load_file(out / "adapter_model.safetensors").items()}


def compare(vrft, folder, adapter, scratch):
    """Adds the adapter to its base both ways; says how far the weights are apart, and how many differ from the base."""
    model = PeftModel.from_pretrained(base(folder), adapter)
    made = {name.replace(".default", "") for name in model.state_dict() if "lora_" in name}
    told = set(load_file(adapter / "adapter_model.safetensors"))
    assert made == told, (folder, sorted(made ^ told)[:5])
    model.merge_and_unload().save_pretrained(scratch / "peft", safe_serialization=True)
    subprocess.run([vrft, "merge", adapter, scratch / "ours", "--dtype", "f32"], check=True, stdout=subprocess.DEVNULL)
    theirs, ours = (load_file(scratch / who / "model.safetensors") for who in ["peft", "ours"])
    before = load_file(HERE / folder / "model.safetensors")
    assert set(theirs) == set(ours), (folder, sorted(set(theirs) ^ set(ours))[:5])
    off = max(((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()).item() for name in ours)
    assert off <= 1e-6, (folder, off)
    n_changed = sum(not torch.equal(ours[name], before[name].float()) for name in ours)
    assert n_changed == len(told) // 2, (folder, n_changed, len(told))
    return off, n_changed


vrft, ours = sys.argv[1], Path(sys.argv[2])
names = {}
for folder in sorted(KINDS):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        names[folder] = write_by_peft(folder, scratch / "adapter")
        for who, adapter in [("peft's here", scratch / "adapter"), ("ours in peft", ours / folder)]:
            off, n_changed = compare(vrft, folder, adapter, scratch / who.split()[0])
            print(f"{folder}: {who}: {n_changed} layers, off by {off:.1e}")
(HERE / "adapter_names.json").write_text(json.dumps(names, indent=1, sort_keys=True) + "\n")
