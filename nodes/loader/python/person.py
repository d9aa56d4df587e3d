"""A person's remarks on frames, a line each, while a run goes on:

    12 accept              the boxes are right
    12 reject              the frame is not to be asked about
    12 rate 4              from 1, wrong, to 5, right
    12 100 200 300 400     these are the boxes, in thousandths of the frame; four numbers for each
"""

import getpass
import json
import sys

import pyarrow as pa
from dora import Node


def remark(words):
    if words in (["accept"], ["reject"]):
        return words[0]
    if words[:1] == ["rate"]:
        return {"rate": int(words[1])}
    numbers = [float(word) for word in words]
    return {"edit": [numbers[n : n + 4] for n in range(0, len(numbers), 4)]}


node = Node("person")
print(__doc__)
for line in sys.stdin:
    frame, *words = line.split() or [""]
    try:
        said = {"frame_id": frame, "remark": remark(words), "user": getpass.getuser()}
    except (ValueError, IndexError):
        print("expected a line as above, got:", line.strip())
        continue
    node.send_output("feedback", pa.array([json.dumps(said)]))
