"""Makes the golden vectors of docs/protocol/pub.md from the page alone: imports nothing of this project.

    python tests/vectors/make_pub.py [DIRECTORY]

Ed25519 comes from `cryptography`, BLAKE3 from `blake3`; every input is fixed. What is common to all vectors
stands in `make_vectors.py`, beside this file.
"""

import json
import struct
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from make_vectors import ALICE, BOB, HERE, SECONDS, Node, Vector, as_json, object_header, packet, pattern

SUBSCRIBE, HINT, PULL, PUBLISHED = 20, 21, 22, 23
KEY, PREFIX, NODE, SCOPE, SCOPE_PREFIX = range(1, 6)
KIND = 8
DAY = 86_400


def topic(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value))) + value


def published(
    who: Node, time: int, ttl: int, where: bytes, what: bytes, *, kind: int = 0, damage: int = 0
) -> bytes:
    body = who.node_id + struct.pack("<IIB", time, ttl, kind) + where + what
    signature = Ed25519PrivateKey.from_private_bytes(who.seed).sign(b"NexusPublished/0" + body)
    return body + signature[:-1] + bytes((signature[-1] ^ damage,))


def subscription(where: bytes, mode: int, hops: int, minutes: int, back: int) -> bytes:
    return struct.pack("<BBHI", mode, hops, minutes, back) + where


def topics() -> list[Vector]:
    return [
        {"id": f"pub-topic-{number}", "written": written, "topic": topic(kind, value)}
        for number, (written, kind, value) in enumerate(
            (
                ("key:01ff", KEY, b"\x01\xff"),
                ("key:" + "ab" * 32, KEY, b"\xab" * 32),
                ("prefix:01", PREFIX, b"\x01"),
                ("node:" + BOB.address.hex(), NODE, BOB.address),
                ("scope:geo/de/berlin", SCOPE, b"geo/de/berlin"),
                ("scope:topic/bücher/*", SCOPE_PREFIX, "topic/bücher".encode()),
                ("scope:geo/*", SCOPE_PREFIX, b"geo"),
            ),
            1,
        )
    ]


def objects() -> list[Vector]:
    reference = object_header(1, pattern(100_000))
    vectors: list[Vector] = []
    for number, (where, ttl, text, bps) in enumerate(
        (
            (topic(KEY, b"\x01\xff"), 7 * DAY, "Grüße", None),
            (topic(SCOPE, b"geo/de/berlin"), 30 * DAY, "", None),
            (topic(NODE, ALICE.address), 1, "n" * 3800, None),
            (topic(SCOPE, b"topic/" + b"s" * 94), DAY, None, 10_000),
            (topic(KEY, b"k" * 32), DAY, None, 0),
        ),
        1,
    ):
        what = text.encode() if text is not None else struct.pack("<I", bps) + reference
        content = published(ALICE, SECONDS, ttl, where, what, kind=text is None)
        header = object_header(KIND, content)
        object_id = blake3(header).digest()
        vectors.append(
            {
                "id": f"pub-published-{number}",
                "seed": ALICE.seed,
                "time": SECONDS,
                "ttl_s": ttl,
                "topic": where,
                "text": text,
                "min_bandwidth": bps,
                "reference": reference if text is None else None,
                "content": content,
                "header": header,
                "object_id": object_id,
                "packet": packet(PUBLISHED, content),
                "hint_packet": packet(HINT, object_id[:16]),
                "pull_packet": packet(PULL, object_id[:16], priority=1),
            }
        )
    return vectors


def subscriptions() -> list[Vector]:
    geo, key = topic(SCOPE_PREFIX, b"geo/de"), topic(KEY, b"k")
    vectors: list[Vector] = []
    for number, wanted in enumerate(
        (
            [(key, 0, 7, 10_080, 0xFFFFFFFF)],
            [(geo, 1, 0, 10_080, 4000), (key, 2, 3, 0, 0)],
            [(topic(KEY, bytes((index,))), 0, 7, 1, 1) for index in range(64)],
        ),
        1,
    ):
        vectors.append(
            {
                "id": f"pub-subscribe-{number}",
                "wanted": [
                    dict(zip(("topic", "mode", "hops", "lifetime_min", "back_s"), one, strict=True))
                    for one in wanted
                ],
                "packet": packet(SUBSCRIBE, b"".join(subscription(*one) for one in wanted)),
            }
        )
    return vectors


def bad() -> list[Vector]:
    key = topic(KEY, b"k")
    good = subscription(key, 0, 0, 1, 0)
    text = published(ALICE, SECONDS, DAY, key, b"text")
    reference = struct.pack("<I", 0) + object_header(1, b"")
    later = struct.pack("<I", 0) + b"\x02" + object_header(1, b"")[1:]
    cases = [
        ("subscribe-empty", SUBSCRIBE, b"", "bad_subscription"),
        ("subscribe-short", SUBSCRIBE, good[:7], "bad_subscription"),
        ("subscribe-cut", SUBSCRIBE, good[:-1], "bad_topic"),
        ("subscribe-more", SUBSCRIBE, good + b"\0", "bad_subscription"),
        ("subscribe-many", SUBSCRIBE, good * 65, "bad_subscription"),
        ("subscribe-mode", SUBSCRIBE, subscription(key, 3, 0, 1, 0), "bad_subscription"),
        ("subscribe-hops", SUBSCRIBE, subscription(key, 0, 8, 1, 0), "bad_subscription"),
        ("hint-empty", HINT, b"", "bad_hint"),
        ("hint-short", HINT, bytes(15), "bad_hint"),
        ("hint-many", HINT, bytes(65 * 16), "bad_hint"),
        ("pull-half", PULL, bytes(24), "bad_hint"),
        ("published-empty", PUBLISHED, b"", "bad_published"),
        ("published-short", PUBLISHED, bytes(104), "bad_published"),
        ("published-long", PUBLISHED, text + bytes(4096), "bad_published"),
        ("published-no-time", PUBLISHED, published(ALICE, SECONDS, 0, key, b""), "bad_published"),
        ("published-for-ever", PUBLISHED, published(ALICE, 0, 30 * DAY + 1, key, b""), "bad_published"),
        ("published-text", PUBLISHED, published(ALICE, 0, 1, key, b"\xff"), "bad_published"),
        ("published-text-long", PUBLISHED, published(ALICE, 0, 1, key, b"t" * 3801), "bad_published"),
        ("published-what", PUBLISHED, published(ALICE, 0, 1, key, b"", kind=2), "bad_published"),
        (
            "published-half-a-reference",
            PUBLISHED,
            published(ALICE, 0, 1, key, reference[:-1], kind=1),
            "bad_published",
        ),
        ("published-header", PUBLISHED, published(ALICE, 0, 1, key, later, kind=1), "object_version"),
        ("published-forged", PUBLISHED, published(ALICE, 0, 1, key, b"", damage=1), "forged_published"),
        (
            "published-for-another",
            PUBLISHED,
            published(ALICE, 0, 1, topic(NODE, BOB.address), b""),
            "forged_published",
        ),
    ]
    for name, kind, value in (("prefix", PREFIX, b"k"), ("scopes", SCOPE_PREFIX, b"geo/a")):
        data = published(ALICE, 0, 1, topic(kind, value), b"")
        cases.append((f"published-{name}", PUBLISHED, data, "bad_published"))
    for name, kind, value in (
        ("kind-0", 0, b"k"),
        ("kind-6", 6, b"k"),
        ("no-key", KEY, b""),
        ("long-key", KEY, bytes(33)),
        ("no-prefix", PREFIX, b""),
        ("half-a-node", NODE, bytes(15)),
        ("no-scope", SCOPE, b""),
        ("scope-alone", SCOPE, b"geo"),
        ("scope-other", SCOPE, b"sea/a"),
        ("scope-gap", SCOPE, b"geo//a"),
        ("scope-end", SCOPE_PREFIX, b"geo/a/"),
        ("scope-star", SCOPE, b"geo/*"),
        ("scope-control", SCOPE, b"geo/a\n"),
        ("scope-utf-8", SCOPE, b"geo/\xff"),
        ("scope-long", SCOPE, b"geo/" + b"a" * 97),
    ):
        data = subscription(topic(kind, value), 0, 0, 1, 0)
        cases.append((f"topic-{name}", SUBSCRIBE, data, "bad_topic"))
    return [
        {"id": f"pub-bad-{name}", "packet": packet(context, data), "refused": refused}
        for name, context, data, refused in cases
    ]


def main(directory: Path) -> None:
    vectors = [*topics(), *objects(), *subscriptions(), *bad()]
    written = json.dumps(as_json(vectors), indent=1, ensure_ascii=False)
    (directory / "pub.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
