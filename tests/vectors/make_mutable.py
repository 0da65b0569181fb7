"""Makes the golden vectors of docs/protocol/mutable.md from the page alone: imports nothing of this project.

    python tests/vectors/make_mutable.py [DIRECTORY]

What is common to all vectors stands in `make_vectors.py`, beside this file.
"""

import json
import struct
import sys
from pathlib import Path

from blake3 import blake3
from make_group import sign
from make_vectors import ALICE, BOB, HERE, SECONDS, Node, Vector, as_json, object_header, packet, pattern

RECORD, FORK, REQUEST, NO_RECORD = 40, 41, 42, 43
VERSION = 5


def body(
    owner: Node, label: bytes, sequence: int, content: bytes, time: int = SECONDS, expires: int = 0
) -> bytes:
    header = object_header(VERSION, content)
    times = struct.pack("<QII", sequence, time, expires)
    return owner.node_id + times + header[2:10] + header[10:] + bytes((len(label),)) + label


def record(owner: Node, signed: bytes) -> bytes:
    return signed + sign(owner, b"NexusMutable/0" + signed)


def records() -> list[Vector]:
    vectors: list[Vector] = []
    for name, label, sequence, content, time, expires, has in (
        ("first", b"page", 1, b"hello", SECONDS, 0, True),
        ("empty", b"x", SECONDS, b"", SECONDS, SECONDS + 3600, True),
        ("large", "Wetter in Köln".encode(), 2**63, pattern(10_000), 0, 0, False),
        ("most", b"l" * 32, 2**64 - 1, b"end", 2**32 - 1, 2**32 - 1, False),
    ):
        signed = body(ALICE, label, sequence, content, time, expires)
        header = object_header(VERSION, content)
        vectors.append(
            {
                "id": f"mutable-record-{name}",
                "owner_seed": ALICE.seed,
                "label": label,
                "name": blake3(ALICE.node_id + label).digest(),
                "sequence": sequence,
                "time": time,
                "expires": expires,
                "header": header,
                "object_id": blake3(header).digest(),
                "has_content": has,
                "record": record(ALICE, signed),
                "digest": blake3(signed).digest()[:8],
                "packet": packet(RECORD, bytes((has,)) + record(ALICE, signed), priority=1),
            }
        )
    return vectors


def requests() -> list[Vector]:
    signed = body(ALICE, b"page", 1, b"hello")
    name = blake3(ALICE.node_id + b"page").digest()
    vectors: list[Vector] = []
    for what, digest in (("nothing-here", bytes(8)), ("something-here", blake3(signed).digest()[:8])):
        vectors.append(
            {
                "id": f"mutable-request-{what}",
                "name": name,
                "digest": digest,
                "packet": packet(REQUEST, name + digest, priority=1),
            }
        )
    vectors.append({"id": "mutable-none", "name": name, "packet": packet(NO_RECORD, name, priority=1)})
    return vectors


def forks() -> list[Vector]:
    vectors: list[Vector] = []
    for what, label, age in (("now", b"page", 0), ("day", b"l" * 32, 86_400)):
        pair = [record(ALICE, body(ALICE, label, 7, content)) for content in (b"one", b"other")]
        pair.sort()
        vectors.append(
            {
                "id": f"mutable-fork-{what}",
                "owner_seed": ALICE.seed,
                "label": label,
                "sequence": 7,
                "age": age,
                "records": pair,
                "packet": packet(FORK, struct.pack("<I", age) + b"".join(pair)),
            }
        )
    return vectors


def bad() -> list[Vector]:
    vectors: list[Vector] = []
    good = record(ALICE, body(ALICE, b"page", 7, b"one"))
    other = record(ALICE, body(ALICE, b"page", 7, b"other"))
    low, high = sorted((good, other))
    no_label = record(ALICE, body(ALICE, b"", 7, b"one"))
    long_label = record(ALICE, body(ALICE, b"l" * 33, 7, b"one"))
    huge = good[:48] + struct.pack("<Q", 2**30 + 1) + good[56:]
    bob = record(BOB, body(BOB, b"page", 7, b"other"))
    later = record(ALICE, body(ALICE, b"page", 8, b"other"))
    label = record(ALICE, body(ALICE, b"pace", 7, b"other"))
    again = record(ALICE, body(ALICE, b"page", 7, b"one", SECONDS + 1))
    age = bytes(4)
    for name, context, data, refused in (
        ("record-empty", RECORD, b"", "bad_record"),
        ("record-flags-alone", RECORD, b"\1", "bad_record"),
        ("record-short", RECORD, b"\1" + good[:-1], "bad_record"),
        ("record-long", RECORD, b"\1" + good + b"\0", "bad_record"),
        ("record-no-label", RECORD, b"\1" + no_label + b"\0", "bad_record"),
        ("record-long-label", RECORD, b"\1" + long_label, "bad_record"),
        ("record-size", RECORD, b"\1" + huge, "object_too_large"),
        ("request-empty", REQUEST, b"", "bad_record_request"),
        ("request-short", REQUEST, bytes(39), "bad_record_request"),
        ("request-long", REQUEST, bytes(41), "bad_record_request"),
        ("none-short", NO_RECORD, bytes(31), "bad_no_record"),
        ("none-long", NO_RECORD, bytes(33), "bad_no_record"),
        ("fork-empty", FORK, b"", "bad_fork"),
        ("fork-one", FORK, age + good, "bad_fork"),
        ("fork-short", FORK, age + low + high[:-1], "bad_record"),
        ("fork-long", FORK, age + low + high + b"\0", "bad_record"),
        ("fork-order", FORK, age + high + low, "bad_fork"),
        ("fork-same", FORK, age + good + good, "bad_fork"),
        ("fork-owners", FORK, age + b"".join(sorted((good, bob))), "bad_fork"),
        ("fork-sequences", FORK, age + b"".join(sorted((good, later))), "bad_fork"),
        ("fork-labels", FORK, age + b"".join(sorted((good, label))), "bad_fork"),
        ("fork-same-content", FORK, age + b"".join(sorted((good, again))), "bad_fork"),
    ):
        vectors.append({"id": f"mutable-bad-{name}", "packet": packet(context, data), "refused": refused})
    for name, signed in (
        ("owner", good[:1] + bytes((good[1] ^ 1,)) + good[2:]),
        ("sequence", good[:32] + b"\x08" + good[33:]),
        ("signature", good[:-1] + bytes((good[-1] ^ 1,))),
        ("signed-as-nothing", good[:-64] + sign(ALICE, good[:-64])),
    ):
        vectors.append({"id": f"mutable-bad-signed-{name}", "record": signed})
    return vectors


def mutable_vectors() -> list[Vector]:
    return [*records(), *requests(), *forks(), *bad()]


def main(directory: Path) -> None:
    written = json.dumps(as_json(mutable_vectors()), indent=1, ensure_ascii=False)
    (directory / "mutable.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
