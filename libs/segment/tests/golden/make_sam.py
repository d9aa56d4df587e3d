"""Writes sam/: a tiny SAM with random weights as transformers saves it, two pictures with boxes, and what transformers makes of them.

    pip install torch==2.15.0 torchvision transformers==5.23.0 pillow numpy
    python make_sam.py

The sides of the model are chosen so that windows are padded (8 patches, windows of 3), one block attends to everything, and
one picture is enlarged, the other shrunk.
"""
import json
import pathlib

import numpy as np
import torch
from PIL import Image
from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

HERE = pathlib.Path(__file__).parent / "sam"
SIDE = 64
config = SamConfig(
    vision_config=dict(hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
                       patch_size=8, window_size=3, global_attn_indexes=[1], num_pos_feats=8, mlp_ratio=4.0),
    prompt_encoder_config=dict(hidden_size=16, image_size=SIDE, patch_size=8, mask_input_channels=4),
    mask_decoder_config=dict(hidden_size=16, mlp_dim=32, num_attention_heads=8, iou_head_hidden_dim=24),
)
torch.manual_seed(27)
model = SamModel(config).eval()
for name, weight in model.named_parameters():
    noise = torch.randn(weight.shape)
    if "layer_norm" in name and name.endswith("weight"):
        noise = 1 + 0.2 * noise
    elif weight.ndim < 2:
        noise = 0.2 * noise
    elif "rel_pos" in name:
        noise = 0.4 * noise
    elif "embed" not in name and "token" not in name:
        noise = 1.5 * noise / weight[0].numel() ** 0.5
    # Halves, so that the file is small and both programs read the same numbers.
    weight.data = noise.half().float()
# Saved as two tied names, read as one.
model.prompt_encoder.shared_embedding.positional_embedding.data = model.shared_image_embedding.positional_embedding.data
processor = SamProcessor(SamImageProcessor(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}))
HERE.mkdir(exist_ok=True)
model.half().save_pretrained(HERE)
processor.save_pretrained(HERE)
model = SamModel.from_pretrained(HERE, dtype=torch.float32).eval()



def runs(mask):
    """Pixels outside and inside by turns, column by column."""
    flat = np.concatenate([[False], mask.numpy().ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], edges, [flat.size - 2]])
    lengths = np.diff(ends)
    return lengths[:-1].tolist() if lengths[-1] == 0 else lengths.tolist()


rng = np.random.default_rng(5)
cases = []
for name, (width, height), boxes in [
    ("wide", (50, 37), [[4.5, 3, 30, 21.25], [0, 0, 50, 37], [20, 11, 44, 30]]),
    ("tall", (90, 131), [[10, 20, 71.5, 118]]),
]:
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(x / a + y / b) + rng.normal(0, 12, x.shape) for a, b in ((9, 14), (-15, 7), (6, -21))]
    image = Image.fromarray(np.stack(waves, -1).clip(0, 255).astype(np.uint8))
    image.save(HERE / f"{name}.png")
    inputs = processor(image, input_boxes=[boxes], return_tensors="pt")
    with torch.no_grad():
        features = model.get_image_embeddings(inputs["pixel_values"])
        one = model(**{k: inputs[k] for k in ("pixel_values", "input_boxes")}, multimask_output=False)
        three = model(**{k: inputs[k] for k in ("pixel_values", "input_boxes")}, multimask_output=True)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    post = processor.image_processor.post_process_masks
    logits = post(one.pred_masks, *sizes, binarize=False)[0][:, 0]
    masks = post(one.pred_masks, *sizes)[0][:, 0]
    best = three.iou_scores[0].argmax(-1)
    best_masks = post(three.pred_masks, *sizes)[0][range(len(boxes)), best]
    shares = masks.float().mean((1, 2))
    fit = logits.abs().min() > 1e-4 and ((shares > 0.1) & (shares < 0.8)).all()
    assert fit, "a pixel too near to the threshold to be compared, or a mask that is nearly all or nothing: take another seed"
    print(name, [round(float(m.float().mean()), 3) for m in masks], "nearest to the threshold", float(logits.abs().min()))
    flat = lambda t: [round(float(v), 6) for v in t.flatten()]
    cases.append({
        "picture": f"{name}.png", "size": [width, height], "boxes": boxes,
        "pixels": flat(inputs["pixel_values"][0, :, ::5, ::7]), "pixels_sum": float(inputs["pixel_values"].double().sum()),
        "scaled_boxes": inputs["input_boxes"][0].tolist(),
        "features": flat(features[0]),
        "low_logits": flat(one.pred_masks[0, :, 0, ::3, ::3]), "iou": flat(one.iou_scores[0, :, 0]),
        "three_logits": flat(three.pred_masks[0, :, :, ::5, ::5]), "three_iou": flat(three.iou_scores[0]), "best": best.tolist(),
        "logits": flat(logits[:, ::4, ::5]),
        "masks": [runs(m) for m in masks], "best_masks": [runs(m) for m in best_masks],
    })
(HERE / "expected.json").write_text(json.dumps(cases) + "\n")
