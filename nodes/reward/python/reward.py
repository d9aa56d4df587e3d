"""A reward in Python: 1 for an answer in answer tags, and as much again for the right number of boxes."""

import re

import pyarrow as pa
from dora import Node

TERM = pa.struct([("name", pa.string()), ("value", pa.float32()), ("weight", pa.float32())])
ROW = pa.struct([("prompt_id", pa.uint64()), ("completion_idx", pa.uint16()), ("reward", pa.float32()), ("terms", pa.list_(TERM))])

node = Node()
for event in node:
    if event["type"] != "INPUT":
        continue
    rows, metadata = event["value"], event["metadata"]
    if metadata["vrft_kind"] == "message":  # anything else is passed on as it is
        scored = []
        for row in rows.to_pylist():
            answer = re.search("<answer>(.*)</answer>", row["text"], re.DOTALL)
            n_boxes = len(re.findall("Position", answer[1])) if answer else -1
            terms = {"format": float(answer is not None), "count": float(n_boxes == row["answer"].count("Position"))}
            named = [{"name": name, "value": value, "weight": 1.0} for name, value in sorted(terms.items())]
            ids = {"prompt_id": row["prompt_id"], "completion_idx": row["completion_idx"]}
            scored.append({**ids, "reward": sum(terms.values()), "terms": named})
        rows, metadata = pa.array(scored, ROW), {**metadata, "vrft_schema": "rewards"}
    node.send_output("rewards", rows, metadata)
