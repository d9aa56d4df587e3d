"""What an answer says, and the middle of every box in pixels of the frame: put an arm or a screen in its place."""

from dora import Node

node = Node()
for event in node:
    if event["type"] != "INPUT":
        continue
    about, value = event["metadata"], event["value"]
    if event["id"] == "text":
        print(about["policy_version"], about["frame_id"], value[0].as_py(), flush=True)
    else:
        boxes = value[0].as_py()["bbox"]
        middles = [(boxes[n] + boxes[n + 2], boxes[n + 1] + boxes[n + 3]) for n in range(0, len(boxes), 4)]
        print("boxes", about["frame_id"], [(x / 2, y / 2) for x, y in middles], flush=True)
