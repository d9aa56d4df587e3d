"""Golden vectors of the other presets: each definition written down a second time, plainly and slowly.

    python tasks.py              needs numpy
"""

import itertools
import json
import math
import random

import numpy as np
from reference import Cases, iou, think

cases = Cases("tasks")
rng = random.Random(1)
NAMES = ["cat", "dog", "bus"]


def box(side=640):
    x, y = rng.randrange(0, side - 200), rng.randrange(0, side - 200)
    return [x, y, x + rng.randrange(40, 190), y + rng.randrange(40, 190)]


def near(b, by=18):
    m = [max(0, v + rng.randrange(-by, by + 1)) for v in b]
    return [m[0], m[1], max(m[2], m[0] + 1), max(m[3], m[1] + 1)]


def best_pairs(n, m, gain):
    """The pairing with the greatest sum, by trying all; pairs without gain are not made."""
    short, long, turned = (n, m, False) if n <= m else (m, n, True)
    best, pairs = -1.0, []
    for columns in itertools.permutations(range(long), short):
        chosen = [(c, r) if turned else (r, c) for r, c in enumerate(columns)]
        total = sum(max(0.0, gain(p, t)) for p, t in chosen)
        if total > best + 1e-15:
            best, pairs = total, [(p, t) for p, t in chosen if gain(p, t) > 0]
    return pairs


def scene():
    truth = [(box(), rng.choice(NAMES)) for _ in range(rng.randrange(1, 5))]
    said = [(near(b), n if rng.random() < 0.8 else rng.choice(NAMES)) for b, n in truth if rng.random() < 0.85]
    said += [(box(), rng.choice(NAMES)) for _ in range(rng.randrange(0, 3))]
    said = said or [(box(), "cat")]
    rng.shuffle(said)
    return said, truth


def show(items):
    return json.dumps([{"bbox_2d": b, "label": n} for b, n in items])


def like(p, t):
    return iou(p[0], t[0]) if p[1] == t[1] else 0.0


def ramp(x, low, high):
    return 0.0 if x < low else 1.0 if x >= high else x


for _ in range(30):  # Vision-R1 as in its paper, before and after the switch
    said, truth = scene()
    pairs = best_pairs(len(said), len(truth), lambda p, t: like(said[p], truth[t]))
    values = [like(said[p], truth[t]) for p, t in pairs]
    for progress, (x0, x1, x2) in [(0.0, (0.5, 0.5, 0.75)), (0.49, (0.5, 0.5, 0.75)), (0.5, (0.75, 0.75, 0.9))]:
        cases.add("vision-r1/detection.toml", show(said), show(truth), {
            "recall": sum(v >= x0 for v in values) / len(truth),
            "precision": sum(ramp(v, x1, x2) for v in values) / len(said), "format": 1.0,
        }, ["reward.mode=paper"], progress=progress)


def average_precision(said, truth, threshold):
    """All scores are equal: in the order given, each takes the free true box that it overlaps most, the last of equals."""
    free, hits = set(range(len(truth))), []
    for b in said:
        best, best_iou = None, min(threshold, 1 - 1e-10)
        for t in range(len(truth)):
            if t in free and iou(b, truth[t]) >= best_iou:
                best, best_iou = t, iou(b, truth[t])
        free.discard(best)
        hits.append(best is not None)
    tp = np.cumsum(hits)
    precision = [max((tp[k] / (k + 1) for k in range(j, len(hits))), default=0.0) for j in range(len(hits))]
    recall = tp / len(truth)
    at = [precision[np.searchsorted(recall, r, side="left")] if (recall >= r).any() else 0.0 for r in np.linspace(0, 1, 101)]
    return float(np.mean(at))


for _ in range(30):  # VLM-R1
    said, truth = scene()
    labels = sorted({n for _, n in truth})
    mean = {}
    for name, thresholds in [("detection.toml", np.linspace(0.5, 0.95, 10)), ("detection-ap50.toml", [0.5])]:
        each = [np.mean([average_precision([b for b, n in said if n == l], [b for b, n in truth if n == l], t)
                         for t in thresholds]) for l in labels]
        brevity = min(1.0, len(truth) / len(said))
        forgiving = 1.0 if "ap50" in name else brevity  # only odLength has its factor
        cases.add("vlm-r1/" + name, think(show(said)), show(truth),
                  {"precision": float(np.mean(each)) * forgiving, "brevity": brevity}, ["reward.mode=compat"])
        invented = any(n not in labels for _, n in said)
        cases.add("vlm-r1/" + name, think(show(said)), show(truth),
                  {"precision": float(np.sum(each)) / (len(labels) + invented) * brevity})

for _ in range(12):  # one box, one stretch of time, one depth, one count, a text, an order, points
    gold, said = box(), None
    said = near(gold, 40)
    cases.add("vlm-r1/rec.toml", think(str(said)), str(gold), {"iou": iou(said, gold), "format": 1.0})
    a, b = sorted(round(rng.uniform(0, 30), 1) for _ in range(2))
    c, d = sorted(round(rng.uniform(0, 30), 1) for _ in range(2))
    show_span = lambda s, e: json.dumps({"start_time": str(s), "end_time": str(e)})
    cases.add("temporal-rlt/grounding.toml", think(show_span(a, b + 1)), show_span(c, d + 1), {
        "tiou": max(min(b + 1, d + 1) - max(a, c), 0) / (max(b + 1, d + 1) - min(a, c)), "format": 1.0})
    true, guess = rng.randrange(1, 30), rng.randrange(1, 30)
    cases.add("depth.toml", think(guess), str(true),
              {"ratio": max(0.0, 1 - abs(math.log(guess / true)) / math.log(1.25 ** 2))})
    for progress in (0.0, 0.6, 1.0):
        k = 1 + 14 / (1 + math.exp(-8 * (progress - 0.6)))
        e = (guess - true) / 2
        value = 2 / (1 + math.exp(min(700, k * e * e)))
        cases.add("counting.toml", think(guess), str(true), {"near": value}, progress=progress)
    order, said = list(range(1, 7)), list(range(1, 7))
    rng.shuffle(order), rng.shuffle(said)
    cases.add("puzzles/jigsaw.toml", think(", ".join(map(str, said))), ", ".join(map(str, order)),
              {"tiles": sum(x == y for x, y in zip(order, said)) / 6})
    golds = [[rng.randrange(1000), rng.randrange(1000)] for _ in range(rng.randrange(1, 4))]
    saids = [[min(1000, v + rng.randrange(0, 40)) for v in p] for p in golds] + [[5, 5]] * rng.randrange(0, 2)
    close = lambda p, t: max(0.0, 1 - (abs(p[0] - t[0]) + abs(p[1] - t[1])) / (2 * 50))
    pairs = best_pairs(len(saids), len(golds), lambda p, t: close(saids[p], golds[t]))
    cases.add("points.toml", think(saids), str(golds),
              {"near": sum(close(saids[p], golds[t]) for p, t in pairs) / max(len(saids), len(golds))})


def levenshtein(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0, :] = range(len(a) + 1), range(len(b) + 1)
    for i, j in itertools.product(range(len(a)), range(len(b))):
        table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (a[i] != b[j]))
    return table[-1, -1]


for a, b in [("stop", "stop"), ("STOP", "stop"), ("exit 12", "exit 21"), ("x", "northbound"), ("Straße", "Strasse")]:
    cases.add("vlm-r1/ocr.toml", think(a), b, {"similarity": 1 - levenshtein(a, b) / max(len(a), len(b))})
for n in (0, 300, 1024, 2000):  # the program's length term takes every answer for right
    value = 0.5 + 0.25 * (1 + math.cos(math.pi * min(n / 1024, 1)))
    cases.add("vlm-r1/ocr.toml", think("x"), "northbound", {"length": value}, ["reward.mode=compat"], tokens=n)
for a, b, right in [("A", "A", 1.0), ("B.", "B", 1.0), ("A or B", "A", 0.0), ("(C)", "C", 1.0), ("", "A", 0.0)]:
    cases.add("vlm-r1/choice.toml", think(a), b, {"accuracy": right})


def raster(outline):
    """Pixels whose centers lie within an odd number of turns of the outline, on 256 by 256."""
    ys, xs = np.mgrid[0:256, 0:256] + 0.5
    inside = np.zeros((256, 256), bool)
    for (x1, y1), (x2, y2) in zip(outline, outline[1:] + outline[:1]):
        x1, y1, x2, y2 = (v * 256 / 1000 for v in (x1, y1, x2, y2))
        if y1 != y2:
            crossed = ((y1 <= ys) != (y2 <= ys)) & (xs >= x1 + (ys - y1) / (y2 - y1) * (x2 - x1))
            inside ^= crossed
    return inside


def edge(mask):
    inner = np.pad(mask, 7)
    window = np.lib.stride_tricks.sliding_window_view(inner, (15, 15))
    return mask & ~window.all(axis=(2, 3))


def mask_iou(a, b):
    return float((a & b).sum() / max(1, (a | b).sum()))


for _ in range(12):
    x, y, r = rng.randrange(200, 700), rng.randrange(200, 700), rng.randrange(80, 180)
    star = [[x + int(r * f * math.cos(k * 0.785)), y + int(r * f * math.sin(k * 0.785))]
            for k, f in enumerate([1, 0.6, 1, 0.7, 0.9, 0.5, 1, 0.8])]
    moved = [[a + rng.randrange(-30, 31), b + rng.randrange(-30, 31)] for a, b in star]
    p, t = raster(moved), raster(star)
    cases.add("mask.toml", think(moved), str(star),
              {"iou": mask_iou(p, t), "boundary": mask_iou(edge(p), edge(t)), "format": 1.0})


def hota(said, truth):
    """Boxes are (frame, id, box)."""
    frames = sorted({f for f, _, _ in said + truth})
    soft, scores = {}, []
    for f in frames:
        t, p = [x for x in truth if x[0] == f], [x for x in said if x[0] == f]
        u = [[iou(a[2], b[2]) for b in p] for a in t]
        for i, j in itertools.product(range(len(t)), range(len(p))):
            either = sum(u[i]) + sum(row[j] for row in u) - u[i][j]
            if u[i][j] > 0:
                key = t[i][1], p[j][1]
                soft[key] = soft.get(key, 0) + u[i][j] / either
    n_t = lambda i: sum(x[1] == i for x in truth)
    n_p = lambda i: sum(x[1] == i for x in said)
    align = {k: v / (n_t(k[0]) + n_p(k[1]) - v) for k, v in soft.items()}
    for alpha in np.arange(1, 20) * 0.05:
        matched = {}
        for f in frames:
            t, p = [x for x in truth if x[0] == f], [x for x in said if x[0] == f]
            gain = lambda i, j: align.get((t[i][1], p[j][1]), 0) * iou(t[i][2], p[j][2])
            for i, j in best_pairs(len(t), len(p), gain):
                if iou(t[i][2], p[j][2]) >= alpha - np.finfo(float).eps:
                    key = t[i][1], p[j][1]
                    matched[key] = matched.get(key, 0) + 1
        hits = sum(matched.values())
        if not hits:
            scores.append(0.0)
            continue
        association = sum(n * n / (n_t(t) + n_p(p) - n) for (t, p), n in matched.items()) / hits
        scores.append(math.sqrt(hits / (len(truth) + len(said) - hits) * association))
    return float(np.mean(scores))


for _ in range(12):
    truth, said = [], []
    for i in range(2):
        start, ids = box(), [i, 1 - i if rng.random() < 0.5 else i]
        for f in range(5):
            b = [v + 6 * f for v in start]
            truth.append((f, i, b))
            if rng.random() < 0.85:
                said.append((f, ids[f > 2], near(b)))
    text = lambda items: json.dumps([{"frame": f, "id": str(i), "box": b} for f, i, b in items])
    cases.add("tracks.toml", think(text(said)), text(truth), {"hota": hota(said, truth)})
    one = lambda items: [(f, b) for f, i, b in items if i == 0]
    show_one = lambda items: json.dumps([{"frame": f, "box": b} for f, b in items])
    t, p = dict(one(truth)), {f: b for f, i, b in said if f in dict(one(truth))}
    mean = sum(iou(p[f], t[f]) for f in t if f in p) / len(t)
    if p:
        cases.add("track.toml", think(show_one(list(p.items()))), show_one(list(t.items())), {"iou": mean})

for _ in range(12):  # detection, then names, then the one that is meant
    said, truth = scene()
    pairs = best_pairs(len(said), len(truth), lambda p, t: iou(said[p][0], truth[t][0]) if iou(said[p][0], truth[t][0]) > 0.5 else 0)
    n, u = max(len(said), len(truth)), {p: (t, iou(said[p][0], truth[t][0])) for p, t in pairs}
    meant, pointed = rng.randrange(len(truth)), rng.randrange(len(said))
    chain = lambda items, target: json.dumps({"objects": [{"bbox": b, "label": l} for b, l in items], "target": target})
    boxes = sum(v for _, v in u.values()) / n
    hit = pointed in u and u[pointed][0] == meant
    cases.add("chain.toml", think(chain(said, pointed)), chain(truth, meant), {
        "boxes": boxes, "labels": sum(v for p, (t, v) in u.items() if said[p][1] == truth[t][1]) / n,
        "target": (u[pointed][1] if hit else 0.0) * boxes})

for shift, turn, shared in [(0.0, 0.0, 1.0), (1.0, 0.0, 1 / 3), (0.0, math.pi / 2, 1.0), (5.0, 0.0, 0.0)]:
    solid = lambda x, yaw: json.dumps([{"bbox_3d": [x, 0, 0, 2, 2, 2, yaw], "label": "car"}])
    cases.add("box3d.toml", think(solid(shift, turn)), solid(0, 0),
              {"iou": shared, "yaw": (1 + math.cos(turn)) / 2 * shared if shared else 0.0})


def snra(e, progress):  # AP-GRPO: the sharpness k grows from 1 to 15
    k = 1 + 14 / (1 + math.exp(-8 * (progress - 0.6)))
    return 2 / (1 + math.exp(min(700, k * e * e)))


for progress in (0.0, 0.5, 1.0) * 4:  # one box in space and one point, near the true one and far from it
    truth = [round(rng.uniform(-3, 3), 2) for _ in range(3)] + [round(rng.uniform(0.2, 4), 2) for _ in range(3)] + [round(rng.uniform(-3, 3), 2)]
    by = rng.choice([0.1, 0.5, 2.0])
    said = [round(v + rng.uniform(-by, by), 2) for v in truth[:3]] + [round(v * rng.uniform(0.4, 2.5), 2) for v in truth[3:6]]
    said += [round(truth[6] + rng.uniform(-1, 1), 2)]
    name = lambda key, numbers: json.dumps([{key: numbers, "label": "cup"}])
    center = snra(math.dist(said[:3], truth[:3]), progress)
    sides = sum(abs(a - b) / b for a, b in zip(said[3:6], truth[3:6])) / 3
    cases.add("ap-grpo/box3d.toml", think(name("bbox_3d", said)), name("bbox_3d", truth), {
        "center": center, "size": center * snra(sides, progress), "yaw": center * (1 + math.cos(said[6] - truth[6])) / 2,
        "format": 1.0}, progress=progress)
    cases.add("ap-grpo/points3d.toml", think(name("point_3d", said[:3])), name("point_3d", truth[:3]),
              {"center": center, "format": 1.0}, progress=progress)

cases.write()
