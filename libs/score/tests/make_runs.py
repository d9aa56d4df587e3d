"""Writes runs.json: pairs of run lengths and the text that pycocotools (2.0) makes of the same mask.

    python make_runs.py          needs pycocotools and numpy
"""

import itertools
import json
import pathlib

import numpy as np
from pycocotools import mask as coco

rng = np.random.default_rng(0)


def runs_of(mask):
    """Lengths down the columns, beginning with pixels outside."""
    pixels = mask.flatten(order="F").tolist()
    groups = [(value, len(list(group))) for value, group in itertools.groupby(pixels)]
    return ([0] if pixels[0] else []) + [length for _, length in groups]


def masks():
    for height, width in [(1, 1), (7, 9), (64, 48), (480, 640), (1, 300)]:
        yield np.zeros((height, width), np.uint8)
        yield np.ones((height, width), np.uint8)
        for share in (0.02, 0.5, 0.98):
            yield (rng.random((height, width)) < share).astype(np.uint8) if height < 100 else blob(height, width, share)
        yield blob(height, width, 0.3)


def blob(height, width, share):
    y, x = np.mgrid[:height, :width]
    center, radius = rng.random(2) * [height, width], share * max(height, width)
    return (np.hypot(y - center[0], x - center[1]) < radius).astype(np.uint8)


cases = []
for mask in masks():
    encoded = coco.encode(np.asfortranarray(mask))
    assert (coco.decode(encoded) == mask).all()
    cases.append([runs_of(mask), encoded["counts"].decode()])
pathlib.Path(__file__).with_name("runs.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print(len(cases), "cases")
