"""Writes the frames of the robot examples: the first 96 pictures of digits/test.parquet as JPEG files, and their boxes.

    python data/make_frames.py     (pyarrow, pillow)

digits/frames/NNN.jpg    a picture of 64 x 64 pixels with one handwritten digit
digits/frames/boxes.json the corners of the digit in pixels, by name of the file
"""
import io
import json
import re
from pathlib import Path

import pyarrow.parquet as parquet
from PIL import Image

N_FRAMES = 96
DIGITS = Path(__file__).parent / "digits"


def main():
    folder = DIGITS / "frames"
    folder.mkdir(exist_ok=True)
    boxes = {}
    for n, row in enumerate(parquet.read_table(DIGITS / "test.parquet").slice(0, N_FRAMES).to_pylist()):
        picture = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        name = f"{n:03}.jpg"
        picture.save(folder / name, quality=92)
        corners = re.search(r"\[(\d+), (\d+), (\d+), (\d+)\]", row["solution"]).groups()
        boxes[name] = [round(int(corner) * picture.width / 1000) for corner in corners]
    lines = ",\n".join(f" {json.dumps(name)}: {box}" for name, box in boxes.items())
    (folder / "boxes.json").write_text("{\n" + lines + "\n}\n")


main()
