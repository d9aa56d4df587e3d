"""A stand-in for a detector: it knows the frames of data/digits/frames by heart. Put your model into `detect`."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from dora import Node
from PIL import Image

FRAMES = Path(__file__).parents[3] / "data/digits/frames"


def pixels(raw, about):
    """A frame in dora's image convention as an array of height × width × RGB."""
    encoding = about.get("encoding", "bgr8")
    if encoding in ("rgb8", "bgr8"):
        image = np.frombuffer(raw, np.uint8).reshape(about["height"], about["width"], 3)
        return image if encoding == "rgb8" else image[:, :, ::-1]
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def known_frames():
    """The box of each frame that is known, by the pixels of the frame."""
    boxes = json.loads((FRAMES / "boxes.json").read_text())
    return {pixels((FRAMES / name).read_bytes(), {"encoding": "jpeg"}).tobytes(): box for name, box in boxes.items()}


KNOWN = known_frames()


def detect(image):
    """Boxes x1, y1, x2, y2 in pixels of the frame, how sure of each, and names; None of a frame that says nothing."""
    box = KNOWN.get(image.tobytes())
    return box and ([box], [1.0], ["handwritten digit"])


node = Node()
is_told = False
for event in node:
    if event["type"] != "INPUT":
        continue
    about = event["metadata"]
    found = detect(pixels(event["value"].to_numpy().tobytes(), about))
    if found is None:
        if not is_told:
            print("WARN This stand-in for a detector knows no other frames than those of data/digits/frames: put your model into nodes/loader/python/detector.py.", flush=True)
        is_told = True
        continue
    boxes, confidences, names = found
    row = {
        "bbox": pa.array(np.ravel(boxes), pa.float32()).tolist(),
        "conf": confidences,
        "labels": names,
    }
    # The frame's name must go along: it says which frame the boxes are about.
    node.send_output("boxes2d", pa.array([row]), {"format": "xyxy", "primitive": "boxes2d", "frame_id": about["frame_id"]})
