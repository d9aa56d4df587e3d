"""A tool in Python: cuts the box [x1, y1, x2, y2] out of the prompt's picture and shows it to the policy."""

import io
import json

import pyarrow as pa
from dora import Node
from PIL import Image


def look(call):
    answer = {key: call[key] for key in ("prompt_id", "completion_idx")} | {"text": "", "images": []}
    try:
        picture = Image.open(io.BytesIO(call["images"][0]["bytes"])).convert("RGB")
        across, down = picture.width / call["extents"][0]["x"], picture.height / call["extents"][0]["y"]
        x1, y1, x2, y2 = json.loads(call["arguments"])
        part = picture.crop((int(x1 * across), int(y1 * down), int(x2 * across), int(y2 * down)))
        part.save(file := io.BytesIO(), "png")
        size = {"encoding": "png", "width": part.width, "height": part.height}
        return answer | {"text": "Here it is.", "images": [{"bytes": file.getvalue()} | size]}
    except Exception as error:  # the policy reads what is wrong with its call
        return answer | {"text": f"Error: {error}"}


node = Node()
for event in node:
    if event["type"] == "INPUT":
        rows, header = event["value"], event["metadata"]
        if header["vrft_kind"] == "message":  # what else comes, such as the end marker, is passed on as it is
            rows, header["vrft_schema"] = pa.array(map(look, rows.to_pylist())), "tool_results"
        node.send_output("results", rows, header)
