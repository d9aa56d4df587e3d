"""Outlines filled by OpenCV as LISA does, their run lengths by pycocotools, and gIoU and cIoU of random answers: masks, boxes,
no answer at all, and pictures without anything. `measured` is written after the description of LISA's validation: pixels are
counted by class with those to ignore left out, a picture where neither says anything counts as 1, and each overlap has 1e-5
in its denominator (`giou_program`), which no definition has (`giou`).

    pip install numpy opencv-python-headless pycocotools
    python make_masks.py > masks.json
"""
import json
import numpy as np
import cv2
from pycocotools import mask as coco

rng = np.random.default_rng(7)
W, H = 40, 30


def drawn(points, value, mask):
    points = np.array([points], dtype=np.int32)
    cv2.polylines(mask, points, True, value, 1)
    cv2.fillPoly(mask, points, value)


def shape(n):
    return [[float(rng.integers(0, W)), float(rng.integers(0, H))] for _ in range(n)]


def packed(mask):
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def measured(pairs):
    """gIoU, the same with the program's 1e-5, and cIoU of pairs of truth (0, 1, 255 to be ignored) and answer (0, 1)."""
    each, each_program, all_both, all_either = [], [], 0, 0
    for truth, answer in pairs:
        said = np.where(truth == 255, 255, answer).ravel()
        both = np.bincount(said[said == truth.ravel()], minlength=256)[1]
        either = np.bincount(said, minlength=256)[1] + np.bincount(truth.ravel(), minlength=256)[1] - both
        each.append(both / either if either else 1.0)
        each_program.append(both / (either + 1e-5) if either else 1.0)
        all_both, all_either = all_both + int(both), all_either + int(either)
    return {"giou": float(np.mean(each)), "giou_program": float(np.mean(each_program)), "ciou": all_both / all_either}


def filled(boxes):
    """The pixels whose left upper corners lie in one of the boxes, whose corners are rounded first, halves upwards."""
    mask = np.zeros((H, W), np.uint8)
    for box in boxes:
        x1, y1, x2, y2 = (int(np.floor(corner + 0.5)) for corner in box)
        mask[max(y1, 0):max(y2, 0), max(x1, 0):max(x2, 0)] = 1
    return mask


def answers():
    """Truth and boxes, on pictures of which some have no target or no answer."""
    rng = np.random.default_rng(11)
    samples, pairs = [], []
    for number in range(40):
        shapes = [{"label": "flag" if number % 8 == 7 else "target", "points": shape(4)}]
        if number % 5 == 1:
            shapes.append({"label": "ignore", "points": shape(5)})
        truth = np.zeros((H, W), np.uint8)
        areas = []
        for one in shapes:
            alone = np.zeros((H, W), np.uint8)
            drawn(one["points"], 1, alone)
            areas.append(int(alone.sum()))
        for i in sorted(range(len(shapes)), key=lambda i: -areas[i]):
            if shapes[i]["label"] != "flag":
                drawn(shapes[i]["points"], 255 if shapes[i]["label"] == "ignore" else 1, truth)
        boxes = []
        for _ in range([1, 2, 1, 3, 1][number % 5] if number % 16 not in (3, 15) else 0):
            x, y = rng.uniform(-8, W - 2), rng.uniform(-8, H - 2)
            boxes.append([x, y, x + rng.uniform(1, 30), y + rng.uniform(1, 30)])
        boxes = [[round(corner * 2) / 2 if number % 3 else round(float(corner), 3) for corner in box] for box in boxes]
        samples.append({"shapes": shapes, "boxes": boxes})
        pairs.append((truth, filled(boxes)))
    return {"samples": samples, **measured(pairs)}


samples = []
pairs = []
for number in range(20):
    shapes = [{"label": "target", "points": shape(int(rng.integers(3, 7)))}]
    if number % 3 == 1:
        shapes.append({"label": "ignore", "points": shape(4)})
    if number % 3 == 2:
        shapes += [{"label": "target", "points": shape(3)}, {"label": "flag", "points": shape(3)}]
    real = [s for s in shapes if s["label"] != "flag"]
    areas = []
    for s in real:
        one = np.zeros((H, W), np.uint8)
        drawn(s["points"], 1, one)
        areas.append(int(one.sum()))
    truth = np.zeros((H, W), np.uint8)
    for i in sorted(range(len(real)), key=lambda i: -areas[i]):
        drawn(real[i]["points"], 255 if real[i]["label"] == "ignore" else 1, truth)
    answer = np.zeros((H, W), np.uint8)
    drawn(shape(4), 1, answer)
    pairs.append((truth, answer))
    samples.append({"shapes": shapes, "target": packed(truth == 1), "answer": packed(answer)})
print(json.dumps({"size": [W, H], "samples": samples, **measured(pairs), "boxes": answers()}))
