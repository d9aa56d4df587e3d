"""Rows in every compression that pyarrow writes: `python make_codecs.py` beside the files (pyarrow 20 or later)."""

import pathlib
import struct
import zlib

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
N_ROWS = 3


def png(gray: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, gray, gray, 0, gray, gray]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


table = pa.table(
    {
        "image": [{"bytes": png(40 * n), "path": None} for n in range(N_ROWS)],
        "problem": [f"Which shade is square {n}? " + "Look closely. " * 20 for n in range(N_ROWS)],
        "solution": [str(40 * n) for n in range(N_ROWS)],
    }
)
for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
    pa.parquet.write_table(table, HERE / f"{codec}.parquet", compression=codec)
for codec in ["uncompressed", "lz4", "zstd"]:
    pa.feather.write_feather(table, HERE / f"{codec}.feather", compression=codec)
# A file without rows has row groups without pages.
pa.parquet.write_table(table.slice(0, 0), HERE / "no-rows.parquet")
