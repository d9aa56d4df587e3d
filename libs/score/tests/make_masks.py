"""Outlines filled by OpenCV as LISA does, their run lengths by pycocotools, and gIoU and cIoU of random answers.

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


samples = []
ious, inter, union = [], 0, 0
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
    kept = truth != 255
    a, b = (truth == 1) & kept, (answer == 1) & kept
    i, u = int((a & b).sum()), int((a | b).sum())
    ious.append(i / u)
    inter, union = inter + i, union + u
    samples.append({"shapes": shapes, "target": packed(truth == 1), "answer": packed(answer)})
print(json.dumps({"size": [W, H], "samples": samples, "giou": float(np.mean(ious)), "ciou": inter / union}))
