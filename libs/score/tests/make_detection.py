"""Writes detection.json: random hard cases and what pycocotools 2.0.11 and lvis 0.5.3 make of them.

    pip install numpy pycocotools==2.0.11 lvis==0.5.3
    python libs/score/tests/make_detection.py

Cases have crowds, ignored boxes, areas on the borders of the ranges, equal scores, empty categories, images without
anything, predictions of unknown categories, more than 100 detections of a category, and overlaps of exactly 0.5 … 0.95;
half of them also what `harder` changes: boxes and areas of nothing, scores of one value or below 0, predictions twice, no truth.
"""

import contextlib
import copy
import io
import json
import pathlib
import random

import numpy as np

np.float = float  # lvis 0.5.3 was written for an older numpy
from lvis import LVIS, LVISEval, LVISResults  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

COCO_NAMES = "AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl".split()
HERE = pathlib.Path(__file__).parent


def box(rng):
    # Sides whose squares are the borders of the ranges of area, among others.
    side = rng.choice([4, 10, 20, 31, 32, 33, 50, 95, 96, 97, 150])
    return [rng.randrange(0, 80) * 2, rng.randrange(0, 80) * 2, side, rng.choice([side, side, 40])]


def near(rng, bbox):
    x, y, w, h = bbox
    if rng.random() < 0.3:  # an overlap of a round number
        return [x, y, w, round(h * rng.choice([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]), 4)]
    jitter = rng.choice([0, 1, 2, 5, 9])
    return [x + rng.randint(-jitter, jitter), y + rng.randint(-jitter, jitter), max(1, w + rng.randint(-jitter, jitter)), h]


def case(rng, lvis, many):
    n_images, n_categories = rng.randint(1, 5), rng.randint(1, 4)
    images = [{"id": i * 7 % 23} for i in range(1, n_images + 1)]
    categories = [{"id": c * 3, "name": f"c{c}"} for c in range(1, n_categories + 1)]
    ids = [c["id"] for c in categories]
    if lvis:
        for category in categories:
            category["frequency"] = rng.choice("rcf")
        for image in images:
            image["neg_category_ids"] = [c for c in ids if rng.random() < 0.3]
            image["not_exhaustive_category_ids"] = [c for c in ids if rng.random() < 0.3]
    annotations, predictions = [], []
    for image in images:
        for category in ids:
            for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
                bbox = box(rng)
                row = {"id": len(annotations) + rng.choice([1]), "image_id": image["id"], "category_id": category, "bbox": bbox,
                       "area": bbox[2] * bbox[3] * rng.choice([1, 1, 0.5])}
                if lvis:
                    row["ignore"] = int(rng.random() < 0.15)
                else:
                    row["iscrowd"] = int(rng.random() < 0.2)
                annotations.append(row)
                for _ in range(rng.choice([0, 1, 1, 2, 3])):
                    predictions.append((image["id"], rng.choice(ids + [category] * 4), near(rng, bbox)))
            for _ in range(rng.choice([0, 1, 1, 2]) + (rng.randint(90, 130) if many else 0)):
                predictions.append((image["id"], rng.choice(ids + [999]), box(rng)))
    rng.shuffle(predictions)
    predictions = [
        {"image_id": i, "category_id": c, "bbox": b, "score": rng.choice([0.1, 0.25, 0.5, 0.5, 0.75, 0.9, round(rng.random(), 2)])}
        for i, c, b in predictions
    ]
    if not predictions:
        return case(rng, lvis, many)
    return {"images": images, "categories": categories, "annotations": annotations}, predictions


def harder(rng, truth, predictions):
    kind = rng.randrange(8)
    for annotation in truth["annotations"]:
        if kind == 0:
            annotation["bbox"] = [round(side * rng.uniform(0.9, 1.1), 3) for side in annotation["bbox"]]
        if kind == 1 and rng.random() < 0.3:
            annotation["bbox"][2:], annotation["area"] = [0, 0], 0
        if kind == 2:
            annotation["area"] = rng.choice([0, 1023, 1024, 1025, 9215, 9216, 9217, 1e5, 1e9])
    for prediction in predictions:
        if kind == 3:
            prediction["score"] = rng.choice([0, 0.5, 1])
        if kind == 4 and rng.random() < 0.3:
            prediction["bbox"] = prediction["bbox"][:2] + [0, 0]
        if kind == 5:
            prediction["score"] = round(-rng.random(), 3)
    if kind == 6:
        predictions = predictions + copy.deepcopy(predictions)
    if kind == 7:
        for rows in truth.values():
            rng.shuffle(rows)
    if rng.random() < 0.1:
        truth["annotations"] = []
    return truth, predictions


def run_coco(truth, predictions):
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(predictions)), "bbox")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return dict(zip(COCO_NAMES, map(float, evaluation.stats)))


def run_lvis(truth, predictions):
    lvis = LVIS.__new__(LVIS)
    import logging
    lvis.logger = logging.getLogger("lvis")
    lvis.dataset = copy.deepcopy(truth)
    lvis._create_index()
    evaluation = LVISEval(lvis, LVISResults(lvis, copy.deepcopy(predictions)), "bbox")
    evaluation.run()
    return {name: float(value) for name, value in evaluation.get_results().items()}


def main():
    rng = random.Random(7)
    cases = []
    for protocol, run in [("coco", run_coco), ("lvis", run_lvis)]:
        for n in range(50):
            truth, predictions = case(rng, protocol == "lvis", many=n in (3, 17))
            if n % 2:
                truth, predictions = harder(rng, truth, predictions)
            with contextlib.redirect_stdout(io.StringIO()):
                expected = run(truth, predictions)
            cases.append({"protocol": protocol, "truth": truth, "predictions": predictions, "expected": expected})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (HERE / "detection.json").write_text(f"[\n{lines}\n]\n")


main()
