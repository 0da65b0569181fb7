"""Hostile variations on valid bytes, all from one seed."""

import random

_EDGES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x00\x00",
    b"\xff\xff",
    b"\x00\x80",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\xff" * 8,
    b"\x00" * 8,
)
"""What length fields, counters and flags get wrong first."""


def mutate(data: bytes, seed: int) -> bytes:
    """`data` with zero to four changes: bits, edge values, cuts, repeats, insertions, swaps."""
    dice = random.Random(seed)
    out = bytearray(data)
    for _ in range(dice.randrange(5)):
        at = dice.randrange(len(out) + 1)
        end = min(len(out), at + 1 + dice.randrange(16))
        match dice.randrange(7):
            case 0 if at < len(out):
                out[at] ^= 1 << dice.randrange(8)
            case 1:
                edge = dice.choice(_EDGES)
                out[at : at + len(edge)] = edge
            case 2:
                del out[at:end]
            case 3:
                out[at:at] = out[at:end] * dice.randrange(1, 5)
            case 4:
                out[at:at] = dice.randbytes(1 + dice.randrange(8))
            case 5:
                del out[at:]
            case _:
                out = out[at:] + out[:at]
    return bytes(out)
