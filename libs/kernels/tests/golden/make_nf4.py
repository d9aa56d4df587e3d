"""Writes nf4.json: matrices as bitsandbytes quantizes them to 4 bits on the CPU, and what it makes of them again.

    python make_nf4.py > nf4.json        # with bitsandbytes 0.50

The matrices are a function of the index alone, exact in f32, so that the test makes them itself.
"""

import json

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

SHOWN = 300


def matrix(rows, columns):
    index = torch.arange(rows * columns, dtype=torch.int64)
    mixed = (index * 2654435761 + 12345) % 2**32
    values = (mixed >> 8).double() / 2**23 - 1
    # Blocks of very different size, one of zeros among them.
    block = index // 64
    values = values * 0.5 ** (block % 7).double() * (block % 5 != 3)
    return values.float().reshape(rows, columns)


def case(rows, columns, dtype, double, block):
    values = matrix(rows, columns).to(dtype)
    codes, state = quantize_4bit(values, blocksize=block, compress_statistics=double, quant_type="nf4")
    again = dequantize_4bit(codes, state).float().flatten()
    out = dict(shape=[rows, columns], dtype=str(dtype).split(".")[-1], double=double, block=block,
               codes=bytes(codes.flatten().tolist()).hex(), again=again[:SHOWN].tolist(), sum=again.double().sum().item())
    if double:
        out.update(absmax=state.absmax.tolist(), nested_absmax=state.state2.absmax.tolist(),
                   nested_block=state.state2.blocksize, nested_map=state.state2.code.tolist(),
                   offset=state.offset.item())
    else:
        out.update(absmax=state.absmax.tolist())
    return out


cases = [
    case(6, 128, torch.float32, False, 64),
    case(3, 50, torch.float32, False, 64),
    case(5, 33, torch.float32, False, 64),
    case(6, 128, torch.bfloat16, True, 64),
    case(131, 128, torch.float32, True, 64),
    case(4, 256, torch.bfloat16, False, 128),
]
print(json.dumps(cases))
