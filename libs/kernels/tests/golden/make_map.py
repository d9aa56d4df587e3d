"""Writes dynamic_map.json: the values that the 256 codes of bitsandbytes' 8-bit optimizers stand for.

    python make_map.py > dynamic_map.json        # with bitsandbytes 0.50
"""

import json

from bitsandbytes.functional import create_dynamic_map

maps = {
    name: sorted(create_dynamic_map(signed=signed).tolist())
    for name, signed in [("signed", True), ("unsigned", False)]
}
print(json.dumps(maps))
