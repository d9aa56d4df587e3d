"""Writes coco.json: average precision of small cases by pycocotools (2.0), for average_precision_tests.rs.

Boxes are corners [x1, y1, x2, y2], detections have the confidence as fifth number.
"""

import contextlib
import io
import json
import pathlib
import random

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

A, B, FAR = [0, 0, 100, 100], [500, 500, 700, 600], [900, 900, 950, 950]


def xywh(box):
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def evaluate(images):
    truth, found = [], []
    for image_id, image in enumerate(images, 1):
        for box in image["truth"]:
            w, h = xywh(box)[2:]
            truth.append(dict(id=len(truth) + 1, image_id=image_id, category_id=1, iscrowd=0, area=w * h, bbox=xywh(box)))
        for box in image["detections"]:
            found.append(dict(image_id=image_id, category_id=1, bbox=xywh(box), score=box[4]))
    coco = COCO()
    coco.dataset = dict(images=[dict(id=i + 1) for i in range(len(images))], annotations=truth, categories=[dict(id=1)])
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return dict(images=images, ap=run.stats[0], ap50=run.stats[1], ap75=run.stats[2])


def image(detections, truth):
    return dict(detections=detections, truth=truth)


def noisy(rng, n_images, decimals):
    """Boxes near the truth, boxes of nowhere, boxes that are missing, repeated boxes and confidences."""
    images = []
    for _ in range(n_images):
        truth, found = [], []
        for _ in range(rng.randrange(0, 5)):
            x, y, w, h = rng.randrange(0, 700), rng.randrange(0, 700), rng.randrange(20, 300), rng.randrange(20, 300)
            truth.append([x, y, x + w, y + h])
            while rng.random() < 0.6:
                x1 = min(max(x + rng.randrange(-w // 5, w // 5 + 1), 0), 990)
                y1 = min(max(y + rng.randrange(-h // 5, h // 5 + 1), 0), 990)
                found.append([x1, y1, min(x1 + w, 1000), min(y1 + h, 1000), round(rng.random(), decimals)])
        while rng.random() < 0.5:
            x, y = rng.randrange(0, 900), rng.randrange(0, 900)
            found.append([x, y, x + 90, y + 90, round(rng.random(), decimals)])
        images.append(image(found, truth))
    return images


cases = {
    "found": [image([A + [0.9]], [A])],
    "no truth": [image([A + [0.9]], [])],
    "half found": [image([A + [0.9]], [A, B])],
    "found twice": [image([A + [0.9], A + [0.8], B + [0.7]], [A, B])],
    "equal confidences": [image([FAR + [0.5]], []), image([A + [0.5], B + [0.5]], [A, B])],
    "overlap at a threshold": [image([[0, 0, 100, 70, 0.9], [500, 500, 700, 550, 0.8]], [A, B])],
    "two true boxes in one place": [image([A + [0.9]], [A, A]), image([A + [0.5], A + [0.4]], [A])],
    "more than a hundred": [image([FAR + [0.9]] * 100 + [A + [0.1]], [A])],
    "noise": noisy(random.Random(1), 40, 2),
    "noise with ties": noisy(random.Random(2), 40, 1),
    "much noise": noisy(random.Random(3), 60, 3),
}
golden = {name: evaluate(images) for name, images in cases.items()}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
