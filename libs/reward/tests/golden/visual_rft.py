"""Golden vectors of Visual-RFT: its paper's equations, its program's behavior, and ours, written down a second time.

    python visual_rft.py         needs math-verify==0.9.0 (the checker of formulas that the program consults)

The program's rules are facts about it: which number is compared first, how an answer is cut out and repaired, who
is matched with whom. They are worked out here without looking at the Rust side.
"""

import json
import random
import re
import warnings

from math_verify import parse, verify
from reference import Cases, giou, iou, think

warnings.filterwarnings("ignore")
cases = Cases("visual_rft")
rng = random.Random(0)


def shortcut(completion, solution):
    return bool(verify(parse(completion), parse(solution)))


def official_boxes(completion):
    """The list that the program sees, or None where it fails."""
    block = re.search(r"<answer>(.*?)</answer>", completion)
    text = (block.group(1) if block else completion).strip()
    text = text.replace("[[", "[").replace("]]", "]").replace("\n", "")
    text = text.split("</answer>")[0]
    if not text.endswith("]") and "}," in text:
        text = text[: text.rindex("},")] + "}]"
    try:
        boxes = json.loads(text.replace("'", '"'))
        return [(tuple(b["Position"]), b["Confidence"]) for b in boxes] or None
    except (ValueError, KeyError, TypeError):
        return None


def greedy(boxes, truth, threshold):
    """IoU of each box with what it takes: the most confident first, each the free true box that fits best."""
    free, found = list(range(len(truth))), [0.0] * len(boxes)
    for i in sorted(range(len(boxes)), key=lambda i: -boxes[i][1]):
        best = max(free, key=lambda t: iou(boxes[i][0], truth[t]), default=None)
        if best is not None and iou(boxes[i][0], truth[best]) > threshold:
            free.remove(best)
            found[i] = iou(boxes[i][0], truth[best])
    return found


def compat(completion, solution, truth):
    if shortcut(completion, solution):
        return {"iou": 1.0, "confidence": 1.0}
    boxes = official_boxes(completion)
    if boxes is None or not truth:
        return {"iou": 0.0, "confidence": 0.0}
    unique = []
    for box in boxes:
        if box[0] not in [seen[0] for seen in unique]:
            unique.append(box)
    found = greedy(unique, truth, 0.5)
    sure = sum(c if u else 1 - c for u, (_, c) in zip(found, unique)) / len(unique)
    return {"iou": min(1.0, sum(found) / max(len(unique), len(truth))), "confidence": max(0.0, min(1.0, sure))}


def paper(boxes, truth):
    found = greedy(boxes, truth, 0.5)
    sure = sum(c if u else 1 - c for u, (_, c) in zip(found, boxes)) / len(boxes)
    return {"iou": sum(found) / len(boxes), "confidence": sure}


def fixed(boxes, truth):
    found, n = greedy(boxes, truth, 0.5), max(len(boxes), len(truth))
    sure = sum(c if u else -c for u, (_, c) in zip(found, boxes)) / n
    return {"iou": sum(found) / n, "confidence": max(0.0, sure)}


def show(boxes):
    return "[" + ", ".join(f"{{'Position': {list(b)}, 'Confidence': {c}}}" for b, c in boxes) + "]"


def box():
    x, y = rng.randrange(0, 700), rng.randrange(0, 700)
    return (x, y, x + rng.randrange(60, 300), y + rng.randrange(60, 300))


def near(b):
    moved = [v + rng.randrange(-25, 26) for v in b]
    x1, y1, x2, y2 = [max(0, min(1000, v)) for v in moved]
    return (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))


DETECTION = "visual-rft/detection.toml"
for _ in range(120):
    truth = [box() for _ in range(rng.randrange(1, 5))]
    said = [(near(b), round(rng.random(), 2)) for b in truth if rng.random() < 0.8]
    said += [(box(), round(rng.random(), 2)) for _ in range(rng.randrange(0, 3))]
    rng.shuffle(said)
    said = said or [(box(), 0.5)]
    solution = think(show([(b, 1) for b in truth])).replace("<think>hm</think>", "")
    completion = think(show(said))
    cases.add(DETECTION, completion, solution, {**fixed(said, truth), "format": 1.0})
    cases.add(DETECTION, completion, solution, {**paper(said, truth), "format": 1.0}, ["reward.mode=paper"])
    cases.add(DETECTION, completion, solution, {**compat(completion, solution, truth), "format": 1.0},
              ["reward.mode=compat"])

# What only the program does.
truth = [(100, 364, 300, 649)]
solution = "<answer>[{'Position': [100, 364, 300, 649], 'Confidence': 1}]</answer>"
CAT = "{'Position': [100, 370, 300, 650], 'Confidence': 0.9}"
odd = [
    f"[{CAT}]", f"[[{CAT}]]", f"[{CAT}, {CAT}]", f"[{CAT}, {{'Position': [1, 2", f"Here: [{CAT}]", f"[\n{CAT}\n]", "[]",
    "No Objects", "[{'Position': [1, 2, 3], 'Confidence': 1}]", "[{'Position': [1, 2, 3, 4]}]", "", "cat",
    "[{'Position': [700, 364, 720, 380], 'Confidence': 0}]", "[{'Position': [700, 5, 720, 380], 'Confidence': 0.0}]",
    f"[{CAT}, {{'Position': [700, 5, 720, 30], 'Confidence': 0.2}}]",
]
for answer in odd:
    for completion in [think(answer), answer, think("No Objects", answer), think(answer) + think(answer)]:
        # The program ends in an exception where a box has not four numbers; both terms are 0 then.
        broken = "[1, 2, 3]," in completion or "3, 4]}" in completion
        terms = {"iou": 0.0, "confidence": 0.0} if broken and not shortcut(completion, solution) else \
            compat(completion, solution, truth)
        cases.add(DETECTION, completion, solution, terms, ["reward.mode=compat"])


def official_name(text):
    block = re.search(r"<answer>(.*?)</answer>", text)
    return (block.group(1) if block else text).strip().replace(" ", "").replace("_", "").lower()


CLASSIFICATION = "visual-rft/classification.toml"
for name in ["737-200", "Golden Retriever", "rose"]:
    solution = f"<answer>{name}</answer>"
    answers = [name, name.lower(), name.replace(" ", "_"), f" {name}. ", name[:3], f"{name}, tulip, A320", "", "tulip", "737"]
    for answer in answers:
        for completion in [think(answer), answer, think("tulip", name), think(f"\n{answer}\n")]:
            said, gold = official_name(completion), official_name(solution)
            right = shortcut(completion, solution) or gold in said or said in gold
            cases.add(CLASSIFICATION, completion, solution, {"accuracy": float(right)}, ["reward.mode=compat"])
        bare = answer.strip()
        cases.add(CLASSIFICATION, think(answer), solution, {"accuracy": float(bare == name)}, ["reward.mode=paper"])
        plain = lambda text: re.sub(r"[\s_]", "", text.strip(" .'\"`")).lower()
        cases.add(CLASSIFICATION, think(answer), solution, {"accuracy": float(bool(bare) and plain(bare) == plain(name))})

GROUNDING = "visual-rft/grounding.toml"
for _ in range(40):
    gold = box()
    said = near(gold) if rng.random() < 0.7 else box()
    show_box = lambda b: f"({b[0]},{b[1]}),({b[2]},{b[3]})"
    completion, solution = think(show_box(said)), show_box(gold)
    cases.add(GROUNDING, completion, solution, {"box": giou(said, gold) + 1}, ["reward.mode=compat"])
    cases.add(GROUNDING, completion, solution, {"box": iou(said, gold)}, ["reward.mode=paper"])
    cases.add(GROUNDING, completion, solution, {"box": iou(said, gold)})



def corners(text):
    """The two points that the program makes a box of: of several boxes all upper left corners come first."""
    found = re.findall(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*,\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)", text)
    points = [(int(b[0]), int(b[1])) for b in found] + [(int(b[2]), int(b[3])) for b in found]
    return points[:2]


def official_grounding(completion, solution):
    if shortcut(completion, solution):
        return 1.0
    block = re.search(r"<answer>(.*?)</answer>", completion, re.DOTALL)
    said, gold = corners(block.group(1) if block else completion), corners(solution)
    if not said:
        return 0.0
    (ax, ay, bx, by), (cx, cy, dx, dy) = (*gold[0], *gold[1]), (*said[0], *said[1])
    both = max(0, min(bx, dx) - max(ax, cx)) * max(0, min(by, dy) - max(ay, cy))
    # Nothing asks whether the corners are in order: an area may be negative, and the hull smaller than the box.
    either = (bx - ax) * (by - ay) + (dx - cx) * (dy - cy) - both
    hull = (max(bx, dx) - min(ax, cx)) * (max(by, dy) - min(ay, cy))
    return (both / either if either > 0 else 0) - (hull - either) / hull + 1


solution = "(100,200),(300,400)"
odd = [
    "(110,205),(295,390)", "( 110 , 205 ) ,\n(295,390)", "(300,400),(100,200)", "(300,200),(100,400)", "(100,400),(300,200)",
    "(900,900),(0,0)", "(110,205),(295,390) or (500,500),(600,600)", "(110,205),(295,390),(120,210),(300,400),(7,8),(9,9)",
    "(150,250),(150,250)", "(100,200),(100,400)", "(800,800),(900,900)", "[110, 205, 295, 390]", "(110,205)", "", "nowhere",
    "It is at (110,205),(295,390).", "(110,205), (295,390)", "(1100,2050),(2950,3900)",
]
for answer in odd:
    whole = think(answer)
    for completion in [whole, answer, whole[: -len("</answer>")], think("none", f"<answer>{answer}</answer>"), whole + whole]:
        cases.add(GROUNDING, completion, solution, {"box": official_grounding(completion, solution)}, ["reward.mode=compat"])
# With spaces in both, the checker of formulas finds a number, and the program pays half of what a right box earns.
for completion in [think("(110, 200), (295, 390)"), think("(110, 205), (295, 390)")]:
    spaced = "<answer> (100, 200), (300, 400) </answer>"
    cases.add(GROUNDING, completion, spaced, {"box": official_grounding(completion, spaced)}, ["reward.mode=compat"])

FORM = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
for text in [think("x"), " " + think("x"), think("x") + "\n", "<think>a</think> so <answer>b</answer>", think("x") * 2,
             "<think>a<answer>b</answer>", "<think></think>\n\n<answer></answer>", "", "<answer>b</answer>"]:
    terms = {"format": float(FORM.fullmatch(text) is not None)}
    cases.add(DETECTION, text, "No Objects", terms, ["reward.mode=paper"])

cases.write()
