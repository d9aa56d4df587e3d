"""Golden vectors of statements in the thinking: claims, their agreement with the answer, the answer said again at the end.

    python stepwise.py

Answers are some of the true boxes to the digit, so that the overlap term, the gate of all others, is a plain share.
"""

import random

from reference import Cases, iou, think

cases = Cases("stepwise")
rng = random.Random(5)


def box():
    x, y = rng.randrange(0, 700), rng.randrange(0, 700)
    return [x, y, x + rng.randrange(60, 300), y + rng.randrange(60, 300)]


def show(boxes):
    return str([{"Position": b, "Confidence": 1} for b in boxes])


def holds(claim, truth):
    kind, value = claim
    if kind == "count":
        return value == len(truth)
    return any(iou(value, b) > 0.5 for b in truth)


def line(number, claim):
    kind, value = claim
    return f"#{number}: {kind}=" + (str(value) if kind == "count" else "({},{},{},{})".format(*value))


for _ in range(60):
    truth = [box() for _ in range(rng.randrange(1, 5))]
    said = truth[: rng.randrange(1, len(truth) + 1)]
    count = lambda: ("count", rng.choice([len(truth), len(said), rng.randrange(0, 6)]))
    region = lambda: ("region", [v + rng.randrange(0, 15) for v in rng.choice(truth)] if rng.random() < 0.6 else box())
    claims = [rng.choice([count, region])() for _ in range(rng.randrange(0, 5))]
    counts = [value for kind, value in claims if kind == "count"]
    share = len(said) / len(truth)
    right = sum(holds(claim, truth) for claim in claims) / len(claims) if claims else 0.0
    thinking = "I look.\n" + "\n".join(line(k, claim) for k, claim in enumerate(claims, 1)) + "\nDone."
    cases.add("stepwise.toml", think(show(said), thinking), show(truth), {
        "iou": share, "claims": share * right,
        "consistency": share * float(bool(counts) and counts[-1] == len(said)), "format": 1.0,
    })

RESTATED = ["reward.terms.restated.metric=restated"]
for thinking, says_so in [
    ("It stands left. So the box is (10, 20), (110, 120).", True),
    ("The box is (10, 20), (110, 120). It stands left.", False),
    ("So it is [10, 20, 110, 120]", True),
    ("So it is [10, 20, 110, 121]", False),
    ("No.\nHence 10 20 110 120!", True),
    ("", False),
]:
    cases.add("visual-rft/grounding.toml", think("(10,20),(110,120)", thinking), "(10,20),(110,120)",
              {"restated": float(says_so)}, RESTATED)
for thinking, says_so in [("It has petals. A rose.", True), ("A rose, or not. I see petals.", False), ("Rose", True)]:
    cases.add("visual-rft/classification.toml", think("rose", thinking), "rose", {"restated": float(says_so)}, RESTATED)

cases.write()
