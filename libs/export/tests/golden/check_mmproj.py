"""Compares the image features that llama.cpp makes by an exported mmproj file with those of the checkpoint in transformers.

    g++ -std=c++17 -I llama.cpp/include -I llama.cpp/ggml/include -I llama.cpp/tools/mtmd check_mmproj.cpp -lmtmd -lllama -lggml -o program
    vrft export FAMILY out --gguf f16
    python check_mmproj.py FAMILY out f16 program       (torch 2.15.0, transformers 5.23.0)

FAMILY is one of the folders here. The picture is of noise and needs no scaling; where it is cut into tiles, the tiles are
compared and not the whole in small, which the two programs scale by different filters. llama.cpp takes windows of 112
pixels for Qwen2.5-VL, as published, whatever the checkpoint says, so transformers is told the same.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, Qwen2VLImageProcessor, SmolVLMImageProcessor

folder, out, storage, program = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
vision = model.config.vision_config
settings = json.loads((folder / "preprocessor_config.json").read_text())
colors = {key: settings[key] for key in ("image_mean", "image_std")}
is_tiles = hasattr(model.config, "scale_factor")
width, height = (2 * vision.image_size, 2 * vision.image_size) if is_tiles else (64, 48)
picture = np.random.RandomState(1).randint(0, 256, (height, width, 3), dtype=np.uint8)
with torch.inference_mode():
    if is_tiles:
        sides = dict(size={"longest_edge": width}, max_image_size={"longest_edge": vision.image_size})
        seen = SmolVLMImageProcessor(**sides, **colors)(Image.fromarray(picture), return_tensors="pt")
        features = model.model.get_image_features(seen["pixel_values"][:, :4], seen["pixel_attention_mask"][:, :4])
        expected = torch.cat(list(getattr(features, "pooler_output", features)))
    else:
        processor = Qwen2VLImageProcessor(patch_size=vision.patch_size, merge_size=vision.spatial_merge_size, min_pixels=64,
                                          temporal_patch_size=vision.temporal_patch_size, max_pixels=10**6, **colors)
        seen = processor(Image.fromarray(picture), return_tensors="pt")
        if hasattr(model.model.visual, "window_size"):
            model.model.visual.window_size = 112
        features = model.model.visual(seen["pixel_values"], seen["image_grid_thw"])
        # What is added after later layers stands beside what replaces the embeddings.
        expected = torch.cat([features.pooler_output, *(getattr(features, "deepstack_features", None) or [])], -1)
with tempfile.TemporaryDirectory() as scratch:
    pixels, got = Path(scratch) / "pixels", Path(scratch) / "features"
    picture.tofile(pixels)
    files = [out / f"model-{storage}.gguf", out / f"mmproj-{storage}.gguf"]
    subprocess.run([program, *files, pixels, str(width), str(height), got], check=True, stderr=subprocess.DEVNULL)
    got = torch.from_numpy(np.fromfile(got, dtype=np.float32))
expected = expected.flatten()
off = (got[:len(expected)] - expected).abs()
print(f"{folder.name} {storage}: {len(expected)} features of size {expected.abs().mean():.2f}, largest difference {off.max():.2g}")
