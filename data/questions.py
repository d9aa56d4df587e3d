"""Questions about a scene, each with its thinking in steps and its true answer.

The thinking first names every thing from left to right, as `red bag 3,1,4` (column and row of its center and its longer
side, in tenths of the picture), then says which of them are meant, then follows the answer. Each step can be right or
wrong, and the answer rests on them.
"""

from scenes import COLORS, DIGITS, GARMENTS, NAMES, SHOES, SIZE

GROUPS = {"digit": DIGITS, "garment": GARMENTS, "shoe": SHOES}
# How much farther, or larger, a thing must be than the next one for a question to tell them apart, in pixels.
MARGIN = 4
EXTREMES = {
    "leftmost": lambda thing: -thing.center[0], "rightmost": lambda thing: thing.center[0],
    "highest": lambda thing: -thing.center[1], "lowest": lambda thing: thing.center[1],
    "largest": lambda thing: thing.side, "smallest": lambda thing: -thing.side,
}
COMPARED = {"left": "leftmost", "right": "rightmost", "upper": "highest", "lower": "lowest", "larger": "largest",
            "smaller": "smallest"}
RELATIONS = {
    "left of": lambda thing, other: other.center[0] - thing.center[0],
    "right of": lambda thing, other: thing.center[0] - other.center[0],
    "above": lambda thing, other: other.center[1] - thing.center[1],
    "below": lambda thing, other: thing.center[1] - other.center[1],
}


def say(thing):
    return f"{thing.color} {thing.name}"


def cell(thing):
    return f"{tenths(thing.center[0])},{tenths(thing.center[1])}"


def tenths(pixels):
    """0 to 9."""
    return min(pixels * 10 // SIZE, 9)


def listed(things):
    return "; ".join(f"{say(thing)} {cell(thing)},{tenths(thing.side)}" for thing in things)


def colors_of(things):
    return ", ".join(thing.color for thing in things) or "none"


def pick(rng, values):
    return values[rng.integers(len(values))]


def extreme(things, word):
    """The thing that is it by more than the margin; none if the first two are too much alike."""
    ranked = sorted(things, key=EXTREMES[word], reverse=True)
    if len(ranked) > 1 and EXTREMES[word](ranked[0]) - EXTREMES[word](ranked[1]) < MARGIN:
        return None
    return ranked[0] if ranked else None


def named(things, name):
    return [thing for thing in things if thing.name == name]


def detect(rng, things):
    """Where are all of one or two names? One question in six asks for what is not there."""
    there = sorted({thing.name for thing in things})
    absent = [name for name in NAMES if name not in there]
    names = [pick(rng, absent if rng.random() < 0.17 else there)]
    if rng.random() < 0.4:
        names.append(pick(rng, there if names[0] in there and rng.random() < 0.7 else absent))
    names = list(dict.fromkeys(names))
    found = [thing for thing in things if thing.name in names]
    question = "Find every " + " and every ".join(names) + "."
    conclusion = "; ".join(f"{name}: {colors_of(named(things, name))}" for name in names)
    items = ", ".join(f"{{'box': {list(thing.box)}, 'name': '{thing.name}'}}" for thing in found)
    return question, conclusion, f"[{items}]" if found else "No Objects"


def classify(rng, things):
    """What is the red one, or the leftmost one?"""
    meant = one_meant(rng, things)
    if meant is None:
        return None
    thing, word = meant
    return f"What is the {word} thing?", f"{word}: {say(thing)}", thing.name


def one_meant(rng, things):
    """A thing, and the word that it alone is called by among all things."""
    meant = []
    for color in COLORS:
        same = [thing for thing in things if thing.color == color]
        if len(same) == 1:
            meant += [(same[0], color)] * 2
    if len(things) > 1:
        meant += [(extreme(things, word), word) for word in EXTREMES if extreme(things, word)]
    return pick(rng, meant) if meant else None


def count(rng, things):
    """How many of a name, a color or a group?"""
    words = {**{name: named(things, name) for name in NAMES},
             **{f"{color} thing": [thing for thing in things if thing.color == color] for color in COLORS},
             **{group: [thing for thing in things if thing.name in GROUPS[group]] for group in GROUPS}}
    wanted = pick(rng, [0, 1, 1, 2, 2, 2, 3, 3, 3])
    kinds = [word for word in words if len(words[word]) == wanted]
    word = pick(rng, kinds or list(words))
    found = words[word]
    names = ", ".join(say(thing) for thing in found) or "none"
    return f"How many: {word}?", f"{word}: {names}; {len(found)}", str(len(found))


def ground(rng, things):
    """Where is the one that is described by its color, by comparison or by its place?"""
    meant = []
    for name in sorted({thing.name for thing in things}):
        same = named(things, name)
        meant += [(f"{thing.color} {name}", name, same, thing) for thing in same]
        if len(same) == 2:
            compared = [(word, extreme(same, superlative)) for word, superlative in COMPARED.items()]
            meant += [(f"{word} {name}", name, same, thing) for word, thing in compared if thing] * 2
        if len(same) > 1:
            meant += related(things, name, same) * 2
    phrase, name, same, thing = pick(rng, meant)
    conclusion = f"{name}: {colors_of(same)}; {phrase}: {say(thing)} {cell(thing)}"
    return f"Where is the {phrase}?", conclusion, str(list(thing.box))


def related(things, name, same):
    """Descriptions like `3 left of the shirt`, and `larger 3 left of the shirt`, that fit one of the same name."""
    meant = []
    for other in things:
        if other.name == name or len(named(things, other.name)) > 1:
            continue
        for relation, distance in RELATIONS.items():
            distances = [distance(thing, other) for thing in same]
            if any(abs(value) < MARGIN for value in distances):
                continue
            fit = [thing for thing, value in zip(same, distances) if value > 0]
            phrase = f"{name} {relation} the {other.name}"
            if len(fit) == 1:
                meant.append((phrase, name, same, fit[0]))
            elif len(fit) == 2:
                compared = [(word, extreme(fit, COMPARED[word])) for word in ("larger", "smaller")]
                meant += [(f"{word} {phrase}", name, same, thing) for word, thing in compared if thing]
    return meant


def color(rng, things):
    """Which color has the only one of its name?"""
    alone = [thing for thing in things if len(named(things, thing.name)) == 1]
    if not alone:
        return None
    thing = pick(rng, alone)
    return f"Which color is the {thing.name}?", f"{thing.name}: {thing.color}", thing.color


TASKS = {"detect": detect, "classify": classify, "count": count, "ground": ground, "color": color}


def ask(rng, task, things):
    """Question, whole completion and bare answer of a task; none where the scene has no such question."""
    made = TASKS[task](rng, things)
    if made is None:
        return None
    question, conclusion, answer = made
    answer = f"<answer>{answer}</answer>"
    return question, f"<think>{listed(things)}. {conclusion}.</think>{answer}", answer
