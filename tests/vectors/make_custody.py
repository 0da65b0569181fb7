"""Makes the golden vectors of docs/protocol/custody.md, and of traces in routing.md, from the pages alone:
imports nothing of this project.

    python tests/vectors/make_custody.py [DIRECTORY]

Ed25519 comes from `cryptography`; every input is fixed. What is common to all vectors stands in
`make_vectors.py`, beside this file.
"""

import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from make_vectors import ALICE, BOB, CAROL, HERE, Node, Vector, as_json, blake2b, packet, tlv

DATA = struct.pack("<I", 1_767_225_600) + b"\x01an envelope, as relays see it"
PREFIXES = [blake2b(bytes((number,)), 8) for number in range(128)]
RECEIPTS = [blake2b(bytes((number,)), 16) for number in range(128)]
DISK, MEMORY = 0, 1


def mark(receipt: bytes) -> bytes:
    return blake2b(receipt, 16, person=b"nexus mark")


# --- custody ----------------------------------------------------------------------------------------
def asked() -> list[Vector]:
    """Alice asks that a message be kept for Bob: by the neighbour that gets it, or by Carol."""
    vectors: list[Vector] = []
    for name, relay, others in (
        ("neighbour", b"", b""),
        ("relay", CAROL.address, b""),
        ("among-others", CAROL.address, tlv(200, b"later")),
    ):
        value = mark(RECEIPTS[0]) + relay
        encoded = packet(1, DATA, destination=BOB.address, tlvs=others + tlv(1, value))
        vectors.append(
            {
                "id": f"custody-asked-{name}",
                "destination": BOB.address,
                "data": DATA,
                "receipt": RECEIPTS[0],
                "mark": mark(RECEIPTS[0]),
                "relay": relay or None,
                "packet": encoded,
            }
        )
    return vectors


def promise(relay: Node, flags: int, prefix: bytes, of: bytes) -> bytes:
    body = bytes((flags,)) + prefix + relay.node_id
    return body + Ed25519PrivateKey.from_private_bytes(relay.seed).sign(b"NexusCustody/0" + body + of)


def promises() -> list[Vector]:
    good = promise(CAROL, DISK, PREFIXES[0], mark(RECEIPTS[0]))
    vectors: list[Vector] = []
    for name, memory_only, data in (
        ("disk", False, good),
        ("memory", True, promise(CAROL, MEMORY, PREFIXES[0], mark(RECEIPTS[0]))),
        # What is signed is the mark too, which only who was asked to keep the message knows.
        ("forged-mark", False, promise(CAROL, DISK, PREFIXES[0], mark(RECEIPTS[1]))),
        ("forged-flags", True, bytes((MEMORY,)) + good[1:]),
        ("forged-prefix", False, good[:1] + PREFIXES[1] + good[9:]),
        ("forged-relay", False, good[:9] + BOB.node_id + good[41:]),
        ("forged-signature", False, good[:-1] + bytes((good[-1] ^ 1,))),
    ):
        vectors.append(
            {
                "id": f"custody-promise-{name}",
                "relay_seed": CAROL.seed,
                "prefix": data[1:9],
                "relay": data[9:41],
                "memory_only": memory_only,
                "mark": mark(RECEIPTS[0]),
                "authentic": not name.startswith("forged"),
                "packet": packet(10, data, priority=1),
            }
        )
    return vectors


def lists() -> list[Vector]:
    vectors: list[Vector] = []
    for name, count, flags in (("one", 1, DISK), ("many", 128, DISK), ("memory", 2, MEMORY)):
        vectors.append(
            {
                "id": f"custody-kept-{name}",
                "prefixes": PREFIXES[:count],
                "memory_only": flags == MEMORY,
                "packet": packet(9, bytes((flags,)) + b"".join(PREFIXES[:count]), priority=1),
            }
        )
    # Bits that this version knows nothing of are ignored.
    vectors.append(
        {
            "id": "custody-kept-later",
            "prefixes": PREFIXES[:1],
            "memory_only": True,
            "only_read": True,
            "packet": packet(9, b"\xff" + PREFIXES[0], priority=1),
        }
    )
    for name, count, destination in (("one", 1, b""), ("many", 128, b""), ("far", 3, BOB.address)):
        data = CAROL.address + b"".join(PREFIXES[:count])
        vectors.append(
            {
                "id": f"custody-pending-{name}",
                "relay": CAROL.address,
                "prefixes": PREFIXES[:count],
                "destination": destination,
                "packet": packet(11, data, destination=destination, priority=1),
            }
        )
    for name, count, destination in (("one", 1, b""), ("many", 128, b""), ("far", 3, CAROL.address)):
        vectors.append(
            {
                "id": f"custody-want-{name}",
                "prefixes": PREFIXES[:count],
                "destination": destination,
                "packet": packet(12, b"".join(PREFIXES[:count]), destination=destination, priority=1),
            }
        )
    for name, count, destination in (
        ("one", 1, ALICE.address),
        ("many", 128, ALICE.address),
        ("slip", 1, b""),
    ):
        pairs = list(zip(PREFIXES[:count], RECEIPTS[:count], strict=True))
        data = b"".join(prefix + receipt for prefix, receipt in pairs)
        vectors.append(
            {
                "id": f"custody-delivered-{name}",
                "entries": pairs,
                "destination": destination,
                "packet": packet(13, data, destination=destination, priority=1),
            }
        )
    return vectors


def carried() -> list[Vector]:
    encoded = packet(1, DATA, destination=BOB.address, priority=3, tlvs=tlv(2, mark(RECEIPTS[0])))
    shown = {"destination": BOB.address, "data": DATA, "receipt": RECEIPTS[0]}
    vectors: list[Vector] = [{"id": "custody-copy", **shown, "packet": encoded}]
    for name, context, priority in (("offer", 17, 2), ("take", 18, 1)):
        encoded = packet(context, b"".join(PREFIXES[:3]), priority=priority)
        vectors.append({"id": f"custody-{name}", "prefixes": PREFIXES[:3], "packet": encoded})
    return vectors


def bloom(met: list[bytes]) -> bytes:
    """Ten bits a node, at least four bytes and at most 1,280; each node sets four."""
    size = min(1280, max(4, -(-10 * len(met) // 8))) if met else 0
    bits = bytearray(size)
    for address in met:
        for number in struct.unpack("<4I", blake2b(address, 16, person=b"nexus met")):
            bits[number % (8 * size) // 8] |= 1 << number % 8
    return bytes(bits)


def acquaintances() -> list[Vector]:
    vectors: list[Vector] = []
    strangers = [blake2b(bytes((number, 1)), 16) for number in range(200)]
    for name, busy, met in (
        ("nobody", 0, []),
        ("two", 2, [ALICE.address, BOB.address]),
        ("many", 40, [CAROL.address, *strangers]),
        ("busiest", 65535, [BOB.address]),
    ):
        data = struct.pack("<H", busy) + bloom(met)
        vectors.append(
            {
                "id": f"custody-acquaintance-{name}",
                "busy": busy,
                "met": met,
                "packet": packet(19, data, priority=1),
            }
        )
    return vectors


def bad() -> list[Vector]:
    vectors: list[Vector] = []
    for name, size in (("none", 0), ("short", 15), ("between", 17), ("cut", 31), ("long", 33)):
        encoded = packet(1, DATA, destination=BOB.address, tlvs=tlv(1, bytes(size)))
        vectors.append({"id": f"custody-bad-asked-{name}", "packet": encoded, "refused": "bad_custody"})
    for size in (0, 15, 32):
        encoded = packet(1, DATA, destination=BOB.address, priority=3, tlvs=tlv(2, bytes(size)))
        vectors.append({"id": f"custody-bad-copy-{size}", "packet": encoded, "refused": "bad_custody"})
    for name, context, data, refused in (
        ("kept-nothing", 9, b"", "bad_prefixes"),
        ("kept-none", 9, bytes(1), "bad_prefixes"),
        ("kept-cut", 9, bytes(1 + 7), "bad_prefixes"),
        ("kept-many", 9, bytes(1 + 129 * 8), "bad_prefixes"),
        ("promise-short", 10, bytes(104), "bad_promise"),
        ("promise-long", 10, bytes(106), "bad_promise"),
        ("pending-cut-relay", 11, bytes(15), "bad_prefixes"),
        ("pending-none", 11, bytes(16), "bad_prefixes"),
        ("pending-cut", 11, bytes(16 + 9), "bad_prefixes"),
        ("pending-many", 11, bytes(16 + 129 * 8), "bad_prefixes"),
        ("want-none", 12, b"", "bad_prefixes"),
        ("want-cut", 12, bytes(9), "bad_prefixes"),
        ("want-many", 12, bytes(129 * 8), "bad_prefixes"),
        ("delivered-none", 13, b"", "bad_delivered"),
        ("delivered-cut", 13, bytes(25), "bad_delivered"),
        ("delivered-many", 13, bytes(129 * 24), "bad_delivered"),
        ("acquaintance-short", 19, bytes(1), "bad_acquaintance"),
        ("acquaintance-long", 19, bytes(2 + 1281), "bad_acquaintance"),
    ):
        encoded = packet(context, data, priority=1)
        vectors.append({"id": f"custody-bad-{name}", "packet": encoded, "refused": refused})
    return vectors


# --- traces -----------------------------------------------------------------------------------------
def trace_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    nonce = bytes(range(0xE0, 0xE8))
    for number, hop, destination in ((1, 1, BOB.address), (2, 32, BOB.address), (3, 127, b"")):
        encoded = packet(14, bytes((hop,)) + nonce, destination=destination, priority=1)
        vectors.append(
            {
                "id": f"trace-asked-{number}",
                "hop": hop,
                "nonce": nonce,
                "destination": destination,
                "packet": encoded,
            }
        )
    for number, hop, last, node in ((1, 1, False, CAROL), (2, 2, True, BOB), (3, 127, True, BOB)):
        encoded = packet(15, bytes((hop | last << 7,)) + nonce + node.address, priority=1)
        vectors.append(
            {
                "id": f"trace-reply-{number}",
                "hop": hop,
                "nonce": nonce,
                "address": node.address,
                "last": last,
                "packet": encoded,
            }
        )
    for name, context, data in (
        ("asked-short", 14, b"\x01" + bytes(7)),
        ("asked-long", 14, b"\x01" + bytes(9)),
        ("asked-hop-0", 14, b"\x00" + nonce),
        ("asked-hop-128", 14, b"\x80" + nonce),
        ("reply-short", 15, bytes(24)),
        ("reply-long", 15, bytes(26)),
    ):
        encoded = packet(context, data, priority=1)
        vectors.append({"id": f"trace-bad-{name}", "packet": encoded, "refused": "bad_trace"})
    return vectors


def custody_vectors() -> list[Vector]:
    return [*asked(), *lists(), *promises(), *carried(), *acquaintances(), *bad()]


PAGES = {"custody": custody_vectors, "trace": trace_vectors}


def main(directory: Path) -> None:
    for name, make in PAGES.items():
        written = json.dumps(as_json(make()), indent=1)
        (directory / f"{name}.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
