"""Writes attack.safetensors: the gradient of a loss with respect to pixels, and a PGD attack, computed by torch.

    python make_attack.py        (torch 2.15.0, transformers 5.23.0)

The model is qwen2_vl/ in float32, the case `one_image` of prompts.json with its first completion C.

loss.before       ()        mean negative logprob of C about the picture
gradient          (N, 384)  of that loss with respect to the patches; (channel, frame, y, x) within a patch
pixels            (N, 384)  after STEPS steps of sign-gradient ascent by STEP / 255 within EPSILON / 255, from the picture
                            itself, between black and white; both frames of a patch are one picture
smallest          (N, 384)  over the steps, the smallest size of the gradient that decided a pixel's direction
loss.after        ()        about these pixels
"""
import json

import torch
from make_golden import CHECKPOINT, HERE, forward, token_logprobs
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLForConditionalGeneration

EPSILON, STEP, STEPS = 6.0, 2.5, 3
FRAMES = 2


def main():
    torch.set_num_threads(1)
    model = Qwen2VLForConditionalGeneration.from_pretrained(CHECKPOINT, dtype=torch.float32, attn_implementation="eager")
    settings = json.loads((CHECKPOINT / "preprocessor_config.json").read_text()) if (
        CHECKPOINT / "preprocessor_config.json").exists() else json.loads(
            (CHECKPOINT / "processor_config.json").read_text())["image_processor"]
    mean, std = (torch.tensor(settings[key])[None, :, None, None] for key in ("image_mean", "image_std"))
    case = json.loads((HERE / "prompts.json").read_text())["one_image"]
    clean = load_file(HERE / "golden.safetensors")["patches.wide"]
    completion = case["completion_ids"][0]
    ids = torch.tensor([case["input_ids"]])
    image_token = model.config.image_token_id

    def loss_of(pixels):
        prompt = dict(input_ids=ids, mm_token_type_ids=(ids == image_token).long(), pixel_values=pixels,
                      image_grid_thw=torch.tensor([[1, 4, 8]]))
        return -token_logprobs(forward(model, prompt, completion)[0], completion, 1.0)[0].mean()

    def gradient_of(pixels):
        pixels = pixels.clone().requires_grad_()
        loss = loss_of(pixels)
        return loss.detach(), torch.autograd.grad(loss, pixels)[0]

    # The picture as bytes / 255, one frame of each patch: (N, channel, 1, pixels of the patch).
    frames = clean.reshape(len(clean), 3, FRAMES, -1)
    assert (frames[:, :, :1] == frames).all()
    picture = frames[:, :, :1] * std + mean
    before, gradient = gradient_of(clean)
    attacked, smallest = picture.clone(), torch.full_like(picture, float("inf"))
    for _ in range(STEPS):
        pixels = ((attacked - mean) / std).expand_as(frames).reshape_as(clean)
        slope = gradient_of(pixels)[1].reshape_as(frames).sum(2, keepdim=True)
        smallest = torch.minimum(smallest, slope.abs())
        attacked = attacked + STEP / 255 * slope.sign()
        attacked = torch.clamp(attacked, picture - EPSILON / 255, picture + EPSILON / 255).clamp(0, 1)
    pixels = ((attacked - mean) / std).expand_as(frames).reshape_as(clean).contiguous()
    after = gradient_of(pixels)[0]
    print(f"loss {before:.4f} -> {after:.4f}, gradient {gradient.abs().mean():.2e}, smallest {smallest.min():.2e}")
    save_file({"loss.before": before, "gradient": gradient, "pixels": pixels, "loss.after": after,
               "smallest": smallest.expand_as(frames).reshape_as(clean).contiguous()}, HERE / "attack.safetensors")


if __name__ == "__main__":
    main()
