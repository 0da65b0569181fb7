"""Makes reconcile.json from docs/protocol/reconcile.md alone: imports nothing of this project.

    python tests/vectors/make_reconcile.py [DIRECTORY]

Everything is done the slow and plain way of the page. Every input is fixed. Bytes are hex.
"""

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SALT = bytes(range(0xA0, 0xA8))
INFINITE = (1 << 32, b"")
Vector = dict[str, Any]
Place = tuple[int, bytes]
"""Time and the prefix of an id."""


# --- hashes and sketches ------------------------------------------------------------------------------
def hash64(item: bytes, salt: bytes = SALT) -> int:
    return int.from_bytes(
        hashlib.blake2b(item, digest_size=8, key=salt, person=b"nexus reconcile").digest(), "little"
    )


def short(item: bytes) -> int:
    return hash64(item) // 2**32 or 1


def times(a: int, b: int) -> int:
    """In GF(2^32), bit by bit."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a <<= 1
        a ^= 0x1_0000_008D if a >> 32 else 0
        b >>= 1
    return product


def syndromes(values: list[int], count: int) -> list[int]:
    sums = []
    for index in range(count):
        total = 0
        for value in values:
            power = value
            for _ in range(2 * index):
                power = times(power, value)
            total ^= power
        sums.append(total)
    return sums


# --- parts of messages --------------------------------------------------------------------------------
def varint(value: int) -> bytes:
    return bytes((value,)) if value < 128 else bytes((value % 128 + 128,)) + varint(value // 128)


def place(before: Place, at: Place) -> bytes:
    time, prefix = at
    ahead = time - before[0]
    return varint(2 * ahead + 1) + bytes((len(prefix),)) + prefix if prefix else varint(2 * ahead)


def shorts(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def summary(items: dict[bytes, int]) -> bytes:
    return (sum(map(hash64, items)) % 2**64).to_bytes(8, "little") + varint(len(items))


def bitmap(bits: list[int]) -> bytes:
    number = sum(1 << bit for bit in bits)
    size = (number.bit_length() + 7) // 8
    return bytes((size,)) + number.to_bytes(size, "little")


def within(items: dict[bytes, int], lower: Place, upper: Place) -> list[bytes]:
    def full(at: Place) -> Place:
        return at[0], at[1].ljust(8, b"\0")

    chosen = sorted((time, item) for item, time in items.items())
    return [item for time, item in chosen if full(lower) <= (time, item) < full(upper)]


def fingerprint(items: dict[bytes, int], lower: Place, upper: Place) -> bytes:
    return (sum(map(hash64, within(items, lower, upper))) % 2**32).to_bytes(4, "little")


def run(items: dict[bytes, int], before: Place, borders: list[Place], *, listed: bool) -> bytes:
    """Ranges between neighbouring borders; `before` is where the run before this one ended."""
    out = place(before, borders[0]) + varint(2 * (len(borders) - 1) + listed)
    for lower, upper in itertools.pairwise(borders):
        out += place(lower, upper)
        inside = within(items, lower, upper)
        if listed:
            out += varint(len(inside)) + shorts([short(item) for item in inside])
        else:
            out += fingerprint(items, lower, upper)
    return out


def extras(ours: dict[bytes, int], theirs: dict[bytes, int], lower: Place, upper: Place) -> bytes:
    """The responder's answer to a list, not cut off: `ours` are its items."""
    asked, held = within(theirs, lower, upper), within(ours, lower, upper)
    lacking = [i for i, item in enumerate(asked) if item not in held]
    besides = [item for item in held if item not in asked]
    return bitmap(lacking) + varint(2 * len(besides)) + b"".join(besides)


# --- the page -----------------------------------------------------------------------------------------
def item(number: int) -> bytes:
    return hashlib.sha256(bytes((number,))).digest()[:8]


START = 1_767_225_600
BOTH = {item(n): START + 600 * n for n in range(12)} | {item(n): START + 7200 for n in range(100, 104)}
ALICE = BOTH | {item(20): START + 1000, item(21): START + 7200}
BOB = BOTH | {item(30): START + 90, item(31): START + 6100, item(32): START + 6100}
HEAD = bytes((SALT[0], 3))


def crowd_border() -> Place:
    """Before the third of those with time START + 7200, by as much of its id as it takes."""
    crowd = sorted(one for one, time in ALICE.items() if time == START + 7200)
    size = next(n for n in range(1, 9) if crowd[1][:n] != crowd[2][:n])
    return START + 7200, crowd[2][:size]


def messages() -> list[Vector]:
    begin, middle, late = (0, b""), (START + 3600, b""), crowd_border()
    mine = sorted(short(one) for one in ALICE.keys() - BOB.keys())
    other = sorted(short(one) for one in BOB.keys() - ALICE.keys())
    by_short = {short(one): one for one in BOB}
    sketch = syndromes([short(one) for one in BOB], 13)
    ranges = b"\x01" + run(ALICE, begin, [begin, middle, late, INFINITE], listed=False)
    lists = b"\x02" + run(ALICE, begin, [begin, (START + 700, b"")], listed=True)
    lists += run(ALICE, (START + 700, b""), [middle, INFINITE], listed=True)
    besides = [by_short[one] for one in other]
    lacking = extras(BOB, ALICE, begin, (START + 700, b"")) + extras(BOB, ALICE, middle, INFINITE)
    tells = b"".join(sorted(ALICE.keys() - BOB.keys()))
    differing = [
        i
        for i, (lower, upper) in enumerate(((begin, middle), (middle, late), (late, INFINITE)))
        if fingerprint(ALICE, lower, upper) != fingerprint(BOB, lower, upper)
    ]
    assert mine and len(differing) == 3
    return [
        {"question": b"\x08" + SALT + summary(ALICE), "answer": b"\x28" + SALT[:1] + b"\0" + summary(BOB)},
        {"question": b"\x08" + SALT + summary(BOB), "answer": b"\x20" + SALT[:1] + b"\0"},
        {
            "question": b"\x0c" + SALT + summary(ALICE),
            "answer": b"\x2c" + SALT[:1] + b"\0" + summary(BOB) + shorts(sketch),
        },
        {
            "question": b"\x04" + HEAD + b"\x0d\x02",
            "answer": b"\x24" + HEAD + shorts(syndromes([short(one) for one in BOB], 15)[13:]),
        },
        {"question": b"\x01" + HEAD + ranges, "answer": b"\x21" + HEAD + bitmap(differing) + b"\0"},
        {"question": b"\x01" + HEAD + lists, "answer": b"\x21" + HEAD + b"\0\x02" + lacking},
        {
            "question": b"\x12" + HEAD + varint(len(other)) + shorts(other) + tells,
            "answer": b"\x20" + HEAD + b"".join(besides),
        },
        {"question": b"\x10" + HEAD + tells, "answer": b"\x20" + HEAD},
    ]


def cut() -> Vector:
    """Alice asks with an empty list for all that is; there is room for five items."""
    held = within(BOB, (0, b""), INFINITE)
    at = (BOB[held[5]], held[5])
    return {
        "id": "reconcile-cut",
        "question": b"\x01" + HEAD + b"\x01" + run({}, (0, b""), [(0, b""), INFINITE], listed=True),
        "answer": b"\x21" + HEAD + b"\0\x01\0" + varint(2 * 5 + 1) + b"".join(held[:5]) + place((0, b""), at),
        "items": held[:5],
        "cut": [at[0], at[1]],
    }


def bad() -> list[Vector]:
    cases = {
        "empty": b"",
        "version": b"\x40" + HEAD,
        "opening-short": b"\x08" + SALT + bytes(8),
        "opening-long": b"\x08" + SALT + bytes(10),
        "opening-ranges": b"\x09" + SALT + bytes(9),
        "head": b"\x00\xa0",
        "tells": b"\x00" + HEAD + bytes(7),
        "wants": b"\x02" + HEAD + b"\x02" + bytes(4),
        "varint": b"\x02" + HEAD + b"\xff" * 6,
        "range-empty": b"\x01" + HEAD + b"\x01\0\x02\0" + bytes(4),
        "range-back": b"\x01" + HEAD + b"\x02\x0a\x02\x02" + bytes(4) + b"\x00\x02\x00" + bytes(4),
        "range-end": b"\x01" + HEAD + b"\x01\0\x02" + varint(2 * 2**32 + 2) + bytes(4),
        "range-cut-off": b"\x01" + HEAD + b"\x01\0\x02\x02" + bytes(3),
        "prefix-empty": b"\x01" + HEAD + b"\x01\0\x02\x03\0" + bytes(4),
        "prefix-zero": b"\x01" + HEAD + b"\x01\0\x02\x03\x01\0" + bytes(4),
        "prefix-long": b"\x01" + HEAD + b"\x01\0\x02\x03\x09" + b"\x01" * 9 + bytes(4),
        "list-long": b"\x01" + HEAD + b"\x01\0\x03\x02\x02" + bytes(4),
        "answer-head": b"\x20\xa0",
        "answer-last": b"\x30" + HEAD,
        "answer-bitmap": b"\x21" + HEAD + b"\x02\x01",
        "answer-extras": b"\x21" + HEAD + b"\0\x01\0\x02" + bytes(7),
        "answer-syndromes": b"\x24" + HEAD + bytes(5),
        "answer-gives": b"\x20" + HEAD + bytes(9),
    }
    return [
        {"id": f"reconcile-bad-{name}", "message": data, "refused": "bad_reconcile"}
        for name, data in cases.items()
    ]


def vectors() -> list[Vector]:
    out: list[Vector] = []
    for number, one in enumerate((bytes(8), item(0), b"\xff" * 8), 1):
        hashed = hash64(one)
        out.append(
            {
                "id": f"reconcile-hash-{number}",
                "salt": SALT,
                "item": one,
                "hash": hashed.to_bytes(8, "little"),
                "short": short(one),
            }
        )
    for number, values in enumerate(([], [1], [1, 2, 3, 0xDEADBEEF], [short(one) for one in BOTH]), 1):
        out.append({"id": f"reconcile-sketch-{number}", "values": values, "syndromes": syndromes(values, 8)})
    for number, exchange in enumerate(messages(), 1):
        side = ALICE if number != 2 else BOB
        shown = {"salt": SALT, "asks": listed(side), "answers": listed(BOB)}
        out.append({"id": f"reconcile-exchange-{number}", **shown, **exchange})
    return [*out, cut(), *bad()]


def listed(items: dict[bytes, int]) -> list[Any]:
    return [[time, one] for one, time in sorted(items.items())]


def as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    return value


def main(directory: Path) -> None:
    written = json.dumps(as_json(vectors()), indent=1)
    (directory / "reconcile.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
