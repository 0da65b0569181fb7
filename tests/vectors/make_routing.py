"""Makes the golden vectors of docs/protocol/announce.md and routing.md from the pages alone: imports
nothing of this project.

    python tests/vectors/make_routing.py [DIRECTORY]

Ed25519 comes from `cryptography`; every input is fixed. What is common to all vectors stands in
`make_vectors.py`, beside this file.
"""

import json
import struct
import sys
from math import log2
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from make_vectors import ALICE, BOB, CAROL, HERE, Node, Vector, as_json, blake2b, packet, tlv


# --- announces --------------------------------------------------------------------------------------
def code(scale: int, value: float) -> int:
    return min(255, max(0, round(scale * log2(max(1, value)))))


def cost_bytes(cost: int, latency: int, bps: int, hops: int, mtu: int) -> bytes:
    return struct.pack("<HHBBB", cost, latency, bps, hops, mtu)


def one_hop(before: bytes, cost: float, latency: float, bps: float, mtu: int) -> bytes:
    """What a relay makes of a path cost, after the table in announce.md."""
    old_cost, old_latency, old_bps, old_hops, old_mtu = struct.unpack("<HHBBB", before)
    value = 2 ** (min(old_cost, 16000) / 16) - 1 + cost
    return cost_bytes(
        min(65535, max(old_cost, round(16 * log2(value + 1)))),
        min(65535, old_latency + round(latency)),
        min(old_bps, code(8, bps)),
        min(255, old_hops + 1),
        min(old_mtu, code(4, mtu)),
    )


NOTHING = cost_bytes(0, 0, 255, 0, 255)
LINKS = ((80.0, 0.0, 100e6, 16384), (8000.0, 25.0, 1e6, 1400), (8e6, 800.0, 1000.0, 255))
"""(cost in us for 1,000 bytes, latency in ms, bits per second, MTU) of a LAN, a DSL line, a radio."""


def signed_part(node: Node, sequence: int, flags: int, tlvs: bytes) -> bytes:
    return node.node_id + struct.pack("<IB", sequence, flags) + tlvs


def announce(node: Node, sequence: int, flags: int, tlvs: bytes = b"") -> bytes:
    body = signed_part(node, sequence, flags, tlvs)
    return body + Ed25519PrivateKey.from_private_bytes(node.seed).sign(b"NexusAnnounce/0" + body)


def announce_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    path = NOTHING
    for number, link in enumerate((*LINKS, LINKS[0]), 1):
        after = one_hop(path, *link)
        vectors.append({"id": f"announce-cost-{number}", "before": path, "link": link, "after": after})
        path = after
    full = cost_bytes(65535, 65535, 0, 255, 0)
    vectors.append(
        {"id": "announce-cost-full", "before": full, "link": LINKS[2], "after": one_hop(full, *LINKS[2])}
    )
    extensions = [(200, b"later"), (7, b""), (200, b"\xff" * 9)]
    block = b"".join(tlv(*pair) for pair in extensions)
    for name, node, sequence, serve, memory_only, unknown, pairs in (
        ("plain", ALICE, 1, 0, False, 0, []),
        ("relay", BOB, 0x01020304, 3, True, 0, []),
        ("unknown", CAROL, 2**32 - 1, 2, False, 0xF8, extensions),
    ):
        body = announce(node, sequence, serve | memory_only << 2 | unknown, block if pairs else b"")
        for relays, cost in (("own", NOTHING), ("relayed", path)):
            vectors.append(
                {
                    "id": f"announce-{name}-{relays}",
                    "seed": node.seed,
                    "sequence": sequence,
                    "serve": serve,
                    "memory_only": memory_only,
                    "unknown_flags": unknown,
                    "tlvs": pairs,
                    "cost": cost,
                    "packet": packet(4, cost + body, hops=32 if relays == "own" else 28),
                }
            )
    good = NOTHING + announce(ALICE, 5, 1)
    long = NOTHING + announce(ALICE, 5, 1, 2 * tlv(1, bytes(126)))
    for name, data, refused in (
        ("short", good[:-1], "bad_announce"),
        (
            "long",
            long,
            "bad_announce",
        ),
        ("tlv", NOTHING + announce(ALICE, 5, 1, b"\x07\x09later"), "bad_tlv"),
        ("signature", good[:-1] + bytes((good[-1] ^ 1,)), "announce_forged"),
        ("sequence", good[:39] + b"\x06" + good[40:], "announce_forged"),
        ("flags", good[:43] + b"\x05" + good[44:], "announce_forged"),
        ("node", good[:7] + BOB.node_id + good[39:], "announce_forged"),
        ("too-far", cost_bytes(0, 0, 255, 32, 255) + good[7:], "announce_too_far"),
    ):
        vectors.append({"id": f"announce-bad-{name}", "packet": packet(4, data), "refused": refused})
    return vectors


# --- routing ----------------------------------------------------------------------------------------
def routing_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    for name, number, sequence, cost, hops in (
        ("any", 1, 0, 0, 0),
        ("newer", 0x01020304, 7, 0, 0),
        ("nearer", 2**32 - 1, 2**32 - 1, 209, 3),
    ):
        data = struct.pack("<I16sIHB", number, BOB.address, sequence, cost, hops)
        vectors.append(
            {
                "id": f"routing-request-{name}",
                "number": number,
                "destination": BOB.address,
                "sequence": sequence,
                "rank": [cost, hops],
                "packet": packet(5, data, priority=1),
            }
        )
    lost = [blake2b(bytes((number,)), 16) for number in range(64)]
    for count in (1, 64):
        encoded = packet(6, b"".join(lost[:count]), priority=1)
        vectors.append({"id": f"routing-lost-{count}", "lost": lost[:count], "packet": encoded})
    prefix = blake2b(b"object", 8)
    encoded = packet(7, prefix + struct.pack("<I", 7500), priority=1)
    vectors.append({"id": "routing-too-big", "prefix": prefix, "limit": 7500, "packet": encoded})
    for name, level, pause in (("pause", 200, 1000), ("resume", 0, 0)):
        encoded = packet(8, struct.pack("<BH", level, pause), priority=1)
        vectors.append(
            {"id": f"routing-pressure-{name}", "level": level, "pause_ms": pause, "packet": encoded}
        )
    for name, context, data, refused in (
        ("request-short", 5, bytes(26), "bad_path_request"),
        ("request-long", 5, bytes(28), "bad_path_request"),
        ("lost-none", 6, b"", "bad_path_lost"),
        ("lost-cut", 6, bytes(17), "bad_path_lost"),
        ("lost-many", 6, bytes(65 * 16), "bad_path_lost"),
        ("too-big", 7, bytes(11), "bad_too_big"),
        ("pressure", 8, bytes(4), "bad_pressure"),
    ):
        encoded = packet(context, data, priority=1)
        vectors.append({"id": f"routing-bad-{name}", "packet": encoded, "refused": refused})
    return vectors


PAGES = {"announce": announce_vectors, "routing": routing_vectors}


def main(directory: Path) -> None:
    for name, make in PAGES.items():
        written = json.dumps(as_json(make()), indent=1)
        (directory / f"{name}.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
