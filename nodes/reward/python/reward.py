"""A reward in Python: 1 for an answer in answer tags, and 1 more if it has as many boxes as the truth."""

import re

import pyarrow as pa
from dora import Node


def terms(text, truth):
    answer = re.search("<answer>(.*)</answer>", text, re.DOTALL)
    n_boxes = answer[1].count("Position") if answer else -1
    return {"format": float(answer is not None), "count": float(n_boxes == truth.count("Position"))}


def reward(row):
    values = terms(row["text"], row["answer"])
    named = [{"name": name, "value": value, "weight": 1.0} for name, value in values.items()]
    ids = {key: row[key] for key in ("prompt_id", "completion_idx")}
    return ids | {"reward": sum(values.values()), "terms": named}


node = Node()
for event in node:
    if event["type"] == "INPUT":
        rows, header = event["value"], event["metadata"]
        if header["vrft_kind"] == "message":  # what else comes, such as the end marker, is passed on as it is
            rows, header["vrft_schema"] = pa.array(map(reward, rows.to_pylist())), "rewards"
        node.send_output("rewards", rows, header)
