"""What the golden scripts share: one case is a completion, a solution, and the terms it should get from a preset."""

import json
import pathlib


class Cases:
    def __init__(self, name):
        self.path = pathlib.Path(__file__).with_name(f"{name}.json")
        self.cases = []

    def add(self, preset, completion, solution, terms, set=(), tokens=None, progress=0.0):
        self.cases.append(dict(preset=preset, set=list(set), completion=completion, solution=solution,
                               terms=terms, tokens=tokens, progress=progress))

    def write(self):
        lines = ",\n".join(json.dumps(case, allow_nan=False) for case in self.cases)
        self.path.write_text(f"[\n{lines}\n]\n")
        print(f"{self.path.name}: {len(self.cases)} cases")


def area(b):
    return max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1])


def shared(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a, b):
    s = shared(a, b)
    return s / (area(a) + area(b) - s) if s > 0 else 0.0


def giou(a, b):
    hull = area([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
    union = area(a) + area(b) - shared(a, b)
    return shared(a, b) / union - (hull - union) / hull


def think(answer, thought="hm"):
    return f"<think>{thought}</think><answer>{answer}</answer>"
