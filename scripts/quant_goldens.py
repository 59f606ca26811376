#!/usr/bin/env python3
"""Writes tensor/tests/data/quant_goldens.bin: blocks of every number format with gguf-py's results.

    python scripts/quant_goldens.py [OUTPUT]

Needs the packages gguf and numpy. The file, all numbers little-endian:

    one line of text: tool versions and seed
    sections: direction u8 (0 dequantise, 1 quantise), ggml type u32, byte count u32, value count u32, bytes, f32 values
    FNV-1a (64 bits) of everything before it
"""

import struct
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

SEED = 20240229
# Offsets of the f16 scales and minima in a block.
SCALES = {
    Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
# Zeros, the smallest and largest subnormals and normals, one and its neighbour, infinities and a NaN.
EXTREMES = np.array(
    [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x83FF, 0x3C00, 0x3C01, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00,
     0x7E00], np.uint16)


def random_blocks(rng, kind):
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    count = 12 if block_len == 256 else 48
    blocks = rng.integers(0, 256, (count, block_bytes), np.uint8)
    # All-zero and all-one quants cover the ends of the range.
    blocks[0], blocks[1] = 0, 255
    for row, block in enumerate(blocks):
        for at in SCALES[kind]:
            # Typical scales of weights, and an extreme one in every third block.
            scale = np.float16(rng.normal() * 2.0 ** rng.integers(-12, 3)).view(np.uint16)
            if row % 3 == 0:
                scale = EXTREMES[rng.integers(len(EXTREMES))]
            block[at:at + 2] = np.frombuffer(struct.pack("<H", int(scale)), np.uint8)
    return blocks


def random_values(rng):
    rows = [rng.normal(size=32) * 2.0 ** rng.integers(-20, 12) for _ in range(44)]
    rows += [rng.integers(-8, 8, 32) / 2 for _ in range(8)]  # ties, and several values with the largest magnitude
    # No row of -0.0: its scale is -0.0 in ggml's Q4_0 and Q5_0 but 0.0 in gguf-py.
    rows += [np.full(32, value) for value in (0.0, 1.0, -3.25, 1e-9, -1e-38)]
    rows += [np.abs(rng.normal(size=32)) + 100, -np.abs(rng.normal(size=32)), np.eye(32)[5], -np.eye(32)[31]]
    return np.array(rows, np.float32)


def section(direction, kind, data, values):
    data, values = data.tobytes(), values.astype("<f4").ravel()
    return struct.pack("<BIII", direction, int(kind), len(data), len(values)) + data + values.tobytes()


def fnv1a(data):
    state = 0xCBF29CE484222325
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    return state


def main():
    here = Path(__file__).resolve().parent
    output = Path(sys.argv[1] if len(sys.argv) > 1 else here / "../tensor/tests/data/quant_goldens.bin")
    rng = np.random.default_rng(SEED)
    content = f"gguf {version('gguf')}, numpy {np.__version__}, seed {SEED}\n".encode()
    for kind in SCALES:
        blocks = random_blocks(rng, kind)
        content += section(0, kind, blocks, dequantize(blocks, kind))
    for kind in (Type.F16, Type.BF16):
        halves = rng.integers(0, 1 << 16, 512, np.uint16)
        content += section(0, kind, halves, dequantize(halves.view(np.uint8), kind))
    values = random_values(rng)
    for kind in (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1):
        content += section(1, kind, quantize(values, kind), values)
    for kind in (Type.F16, Type.BF16):
        content += section(1, kind, quantize(values, kind), values)
    content += struct.pack("<Q", fnv1a(content))
    output.write_bytes(content)
    print(f"{output}: {len(content)} bytes")


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)  # infinite and NaN scales are intended
    main()
