"""Golden vectors of self-correction: what the two turns of an answer and its correction earn, written down a second time.

    python correction.py
"""

import json
import pathlib
import random

from reference import iou, think

rng = random.Random(3)


def box():
    x, y = rng.randrange(0, 700), rng.randrange(0, 700)
    return (x, y, x + rng.randrange(60, 300), y + rng.randrange(60, 300))


def near(b):
    return tuple(v + rng.randrange(0, 21) for v in b)


def detection(said, confidence, truth):
    """One box, one truth: IoU above one half, and confidence on a hit; the format is always right."""
    overlap = iou(said, truth)
    return (overlap + confidence if overlap > 0.5 else 0.0) + 1.0


def show(b, confidence):
    return think(f"[{{'Position': {list(b)}, 'Confidence': {confidence}}}]")


cases = []
for k in range(60):
    truth, alpha, gamma = box(), rng.choice([0.0, 0.5, 1.0, 3.0]), rng.choice([0.0, 0.5, 1.0])
    turns = [(near(truth) if rng.random() < 0.6 else box(), round(rng.random(), 2)) for _ in range(2)]
    r1, r2 = [detection(b, c, truth) for b, c in turns]
    second = max(-3.0, min(6.0, r2 + alpha * (r2 - r1)))
    cases.append(dict(alpha=alpha, gamma=gamma, solution=f"[{{'Position': {list(truth)}}}]",
                      turns=[show(b, c) for b, c in turns], rewards=[r1 + gamma * r2, second]))

lines = ",\n".join(json.dumps(case) for case in cases)
pathlib.Path(__file__).with_name("correction.json").write_text(f"[\n{lines}\n]\n")
print("correction.json:", len(cases), "cases")
