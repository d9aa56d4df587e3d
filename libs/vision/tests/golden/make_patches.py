"""Writes what Hugging Face's image and video processors make of small pictures under many settings.

    python make_patches.py        (torch 2.15.0, torchvision 0.29.2, transformers 5.23.0)

jpeg/*.jpg            the ways in which a JPEG may be coded
patches.safetensors   jpeg.NAME (H, W, 3) uint8, as Pillow decodes each of them
                      CASE.frames (F, H, W, 3) uint8, and CASE.patches (N, row) float32
patches.json          per case: the settings as a checkpoint has them, frames a second (null for an image), the
                      grid and, of a video, the seconds from one temporal patch to the next
"""
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

HERE = Path(__file__).parent
PATCH = dict(patch_size=4)
SMALL = dict(PATCH, size={"shortest_edge": 128, "longest_edge": 512})
CASES = {  # frames, height, width, frames a second, settings
    "bicubic_shrinks": (1, 40, 70, None, dict(SMALL, resample=3)),
    "bicubic_grows": (1, 9, 14, None, dict(SMALL, resample=3)),
    "bilinear_shrinks": (1, 40, 70, None, dict(SMALL, resample=2)),
    "bilinear_grows": (1, 9, 14, None, dict(SMALL, resample=2)),
    "lanczos_shrinks": (1, 40, 70, None, dict(SMALL, resample=1)),
    "lanczos_grows": (1, 9, 14, None, dict(SMALL, resample=1)),
    "ribbon": (1, 3, 400, None, SMALL),
    "pillar": (1, 400, 3, None, SMALL),
    "one_pixel": (1, 1, 1, None, SMALL),
    "only_rescaled": (1, 16, 24, None, dict(SMALL, do_normalize=False)),
    "only_normalized": (1, 16, 24, None, dict(SMALL, do_rescale=False, image_mean=[100, 120, 140], image_std=[50, 60, 70])),
    "as_they_are": (1, 16, 24, None, dict(SMALL, do_rescale=False, do_normalize=False)),
    "other_mean": (1, 16, 24, None, dict(SMALL, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.2], rescale_factor=0.005)),
    "not_resized": (1, 16, 24, None, dict(SMALL, do_resize=False)),
    "three_frames_merge": (1, 30, 40, None, dict(SMALL, merge_size=3, temporal_patch_size=3)),
    "video_even": (4, 20, 36, 8.0, SMALL),
    "video_odd": (5, 20, 36, 2.0, SMALL),
    "video_of_one": (1, 20, 36, 1.0, SMALL),
    "video_three_at_a_time": (7, 12, 12, 3.0, dict(SMALL, temporal_patch_size=3)),
    "video_capped": (8, 40, 60, 4.0, dict(PATCH, size={"shortest_edge": 64, "longest_edge": 2048},
                                          cap_pixels_per_frame=True, max_video_tokens=40)),
    "video_by_rate": (23, 12, 16, 10.0, dict(SMALL, do_sample_frames=True, fps=3.0, min_frames=2, max_frames=12)),
    "video_by_count": (14, 12, 16, 10.0, dict(SMALL, do_sample_frames=True, num_frames=6)),
}


def make_frames(n_frames, height, width, seed):
    """Waves, noise and hard edges, moving."""
    generator = torch.Generator().manual_seed(seed)
    f, y, x = torch.meshgrid(torch.arange(n_frames), torch.arange(height), torch.arange(width), indexing="ij")
    red = 127.5 + 127.5 * torch.sin(0.31 * x + 0.17 * y + 0.9 * f + seed)
    green = 255 * (((x + 2 * f) // 3 + y // 2) % 2)
    blue = torch.randint(0, 256, f.shape, generator=generator)
    return torch.stack([red, green, blue], -1).to(torch.uint8)


def run(frames, rate, settings):
    if rate is None:
        out = Qwen2VLImageProcessor(**settings)(frames[0].permute(2, 0, 1), return_tensors="pt")
        return out["pixel_values"], out["image_grid_thw"], None
    metadata = dict(total_num_frames=len(frames), fps=rate, frames_indices=list(range(len(frames))))
    processor = Qwen2VLVideoProcessor(**{"cap_pixels_per_frame": False, **settings})
    out = processor([frames.permute(0, 3, 1, 2)], video_metadata=[metadata], return_metadata=True, return_tensors="pt")
    # As `Qwen2_5_VLProcessor` computes it.
    seconds = processor.temporal_patch_size / out["video_metadata"][0].sampled_fps
    return out["pixel_values_videos"], out["video_grid_thw"], seconds


def make_jpegs():
    """Writes the files and returns their pixels."""
    picture = Image.fromarray(make_frames(1, 37, 45, 3)[0].numpy())
    turned = Image.Exif()
    turned[0x0112] = 6
    variants = {
        "444": (picture, dict(subsampling=0)), "422": (picture, dict(subsampling=1)),
        "420": (picture, dict(subsampling=2)), "420_progressive": (picture, dict(subsampling=2, progressive=True)),
        "gray": (picture.convert("L"), {}), "cmyk": (picture.convert("CMYK"), {}), "turned": (picture, dict(exif=turned)),
    }
    (HERE / "jpeg").mkdir(exist_ok=True)
    pixels = {}
    for name, (image, options) in variants.items():
        image.save(HERE / f"jpeg/{name}.jpg", quality=85, **options)
        upright = ImageOps.exif_transpose(Image.open(HERE / f"jpeg/{name}.jpg")).convert("RGB")
        pixels[f"jpeg.{name}"] = torch.from_numpy(np.array(upright))
    return pixels


def main():
    torch.set_num_threads(1)
    tensors, cases = make_jpegs(), {}
    for seed, (name, (n_frames, height, width, rate, settings)) in enumerate(CASES.items()):
        frames = make_frames(n_frames, height, width, seed)
        patches, grid, seconds = run(frames, rate, settings)
        tensors[f"{name}.frames"], tensors[f"{name}.patches"] = frames, patches.contiguous().float()
        cases[name] = dict(settings=settings, frames_per_second=rate, grid=grid[0].tolist(), seconds_per_grid=seconds)
        print(name, cases[name]["grid"], seconds)
    save_file(tensors, HERE / "patches.safetensors")
    (HERE / "patches.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
