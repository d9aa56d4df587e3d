"""Opens checkpoints as a user of transformers does, asks each about a picture, and prints what it made of that.

    python check_auto.py FOLDER ...    (torch 2.15.0, transformers 5.23.0, peft 0.21.2)

A FOLDER is a whole checkpoint, or an adapter whose base is where it says. Fails if a weight is missing, unexpected or of
another shape, or if processor or template are not there.
"""
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

HERE = Path(__file__).parent


def load(folder):
    if (folder / "adapter_config.json").exists():
        from peft import PeftConfig, PeftModel
        base, report = whole(PeftConfig.from_pretrained(folder).base_model_name_or_path)
        model = PeftModel.from_pretrained(base, folder)
        # Factors that peft would have made anew are not in the file.
        from safetensors import safe_open
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            told = set(file.keys())
        made = {name.replace(".default", "") for name in model.state_dict() if "lora_" in name}
        assert told == made, (sorted(told ^ made)[:5], len(told), len(made))
        return model, report
    return whole(folder)


def whole(folder):
    model, report = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for what in ["missing_keys", "unexpected_keys", "mismatched_keys"]:
        assert not report[what], (what, sorted(report[what])[:5])
    return model, report


for folder in map(Path, sys.argv[1:]):
    model, _ = load(folder)
    processor = AutoProcessor.from_pretrained(folder)
    content = [{"type": "image", "image": Image.open(HERE / "images" / "wide.png")}, {"type": "text", "text": "Where is it?"}]
    inputs = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True,
                                           return_dict=True, return_tensors="pt")
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=24, do_sample=False)
    n_prompt = inputs["input_ids"].shape[1]
    text = processor.decode(tokens[0, n_prompt:], skip_special_tokens=True)
    n = sum(parameter.numel() for parameter in model.parameters())
    print(f"{folder}: {type(model).__name__}, {type(processor).__name__}, {n:,} weights, {n_prompt} tokens in, out: {text!r}")
