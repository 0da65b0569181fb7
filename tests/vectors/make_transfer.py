"""Makes the golden vectors of docs/protocol/transfer.md from the page alone: imports nothing of this project.

    python tests/vectors/make_transfer.py [DIRECTORY]

ChaCha20-Poly1305 comes from `cryptography`, BLAKE3 from `blake3`; every input is fixed. What is common to all
vectors stands in `make_vectors.py`, beside this file.
"""

import json
import struct
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from make_vectors import (
    ALICE,
    BOB,
    CAROL,
    E1,
    E2,
    HERE,
    MILLIS,
    SECONDS,
    TEXT,
    Vector,
    as_json,
    blake2b,
    envelope,
    object_header,
    packet,
    pattern,
    payload,
    tlv,
)

CHUNK, FAN_OUT, SEGMENT = 4096, 128, 65536
FILE = 3
OFFER, ASK, CHUNKS, WITHDRAWN = 24, 25, 26, 34
KEY = bytes(range(0x60, 0x80))
Runs = list[tuple[int, int]]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


# --- hash trees -------------------------------------------------------------------------------------
def tree_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1 above the leaves."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return blake3(b"\1" + tree_root(hashes[:split]) + tree_root(hashes[split:])).digest()


def pages(content: bytes) -> list[tuple[int, int, bytes]]:
    """(level, number, hashes) of each page, the lower ones first."""
    hashes = [blake3(b"\0" + chunk).digest() for chunk in cut(content, CHUNK)]
    level, found = 0, []
    while len(hashes) > 1:
        level += 1
        blocks = [hashes[at : at + FAN_OUT] for at in range(0, len(hashes), FAN_OUT)]
        found += [(level, number, b"".join(block)) for number, block in enumerate(blocks)]
        hashes = [tree_root(block) for block in blocks]
    return found


def unit(level: int, number: int) -> int:
    return level << 28 | number


def trees() -> list[Vector]:
    vectors: list[Vector] = []
    for chunks in (1, 2, 128, 129, 300):
        content = pattern(CHUNK * chunks - 7)
        header = object_header(FILE, content)
        units = [
            {"unit": unit(level, number), "level": level, "number": number, "hashes": hashes}
            for level, number, hashes in pages(content)
        ]
        assert not units or tree_root(cut(units[-1]["hashes"], 32)) == header[10:]
        vectors.append(
            {
                "id": f"transfer-pages-{chunks}",
                "size": len(content),
                "chunks": chunks,
                "last_chunk": len(content) - CHUNK * (chunks - 1),
                "header": header,
                "object_id": blake3(header).digest(),
                "pages": units,
            }
        )
    return vectors


# --- packets ----------------------------------------------------------------------------------------
HEADER = object_header(FILE, pattern(CHUNK * 300 - 7))
PREFIX = blake3(HEADER).digest()[:8]
MARK = blake2b(b"receipt of 16 by", 16, person=b"nexus mark")


def offer_data(min_bandwidth: int, provider: bytes = b"") -> bytes:
    return HEADER + struct.pack("<I", min_bandwidth) + provider


def ask_data(have: int, runs: Runs, asker: bytes = b"") -> bytes:
    head = struct.pack("<B8sI", bool(asker), PREFIX, have) + asker
    return head + b"".join(struct.pack("<IH", *run) for run in runs)


def bandwidth(bps: int) -> bytes:
    return tlv(3, struct.pack("<I", bps))


def offers() -> list[Vector]:
    vectors: list[Vector] = []
    to_keep, to_carol = tlv(1, MARK), tlv(1, MARK + CAROL.address)
    for name, bps, provider, destination, tlvs in (
        ("neighbour", 0, b"", b"", b""),
        ("image", 10_000, b"", b"", b""),
        ("most", 2**32 - 1, b"", b"", b""),
        ("far", 100_000, ALICE.address, BOB.address, b""),
        ("to-keep", 10_000, b"", BOB.address, to_keep),
        ("to-keep-far", 10_000, ALICE.address, BOB.address, to_carol),
    ):
        data = offer_data(bps, provider)
        vectors.append(
            {
                "id": f"transfer-offer-{name}",
                "header": HEADER,
                "min_bandwidth": bps,
                "provider": provider or None,
                "destination": destination,
                "mark": MARK if tlvs else None,
                "packet": packet(OFFER, data, destination=destination, tlvs=tlvs),
            }
        )
    return vectors


def asks() -> list[Vector]:
    vectors: list[Vector] = []
    many: Runs = [(3 * number, 2) for number in range(64)]
    for name, have, runs, asker in (
        ("one", 0, [(0, 1)], b""),
        ("page", 0, [(unit(2, 0), 1)], b""),
        ("mixed", 128, [(unit(1, 1), 2), (128, 40), (299, 1)], b""),
        ("most", 299, many, b""),
        ("nothing", 300, [], b""),
        ("longest-run", 0, [(0, 65535)], b""),
        ("far", 17, [(17, 4)], BOB.address),
    ):
        destination = ALICE.address if asker else b""
        vectors.append(
            {
                "id": f"transfer-ask-{name}",
                "prefix": PREFIX,
                "have": have,
                "runs": runs,
                "asker": asker or None,
                "destination": destination,
                "packet": packet(ASK, ask_data(have, runs, asker), destination=destination, priority=1),
            }
        )
    return vectors


def chunks() -> list[Vector]:
    vectors: list[Vector] = []
    content = pattern(CHUNK * 300 - 7)
    parts = cut(content, CHUNK)
    hashes = {unit(level, number): page for level, number, page in pages(content)}
    for name, first, data, bps, destination in (
        ("one", 0, parts[0], 0, b""),
        ("last", 299, parts[299], 0, b""),
        ("page", unit(2, 0), hashes[unit(2, 0)], 0, b""),
        ("three", 7, b"".join(parts[7:10]), 0, b""),
        ("far", 1, parts[1], 10_000, BOB.address),
    ):
        vectors.append(
            {
                "id": f"transfer-chunk-{name}",
                "prefix": PREFIX,
                "first": first,
                "units": data,
                "min_bandwidth": bps,
                "destination": destination,
                "packet": packet(
                    CHUNKS,
                    PREFIX + struct.pack("<I", first) + data,
                    destination=destination,
                    priority=3,
                    tlvs=bandwidth(bps) if bps else b"",
                ),
            }
        )
    for name, bps, tlvs in (
        ("none", 0, b""),
        ("image", 10_000, bandwidth(10_000)),
        ("most", 2**32 - 1, bandwidth(2**32 - 1)),
        ("among-others", 1, tlv(200, b"later") + bandwidth(1)),
    ):
        data = PREFIX + bytes(4) + b"x"
        encoded = packet(CHUNKS, data, destination=BOB.address, priority=3, tlvs=tlvs)
        vectors.append({"id": f"transfer-bandwidth-{name}", "min_bandwidth": bps, "packet": encoded})
    return vectors


# --- files ------------------------------------------------------------------------------------------
def sealed(key: bytes, content: bytes) -> list[bytes]:
    """The payload of an age file, with the file's key as its payload key."""
    segments = cut(content, SEGMENT)
    return [
        ChaCha20Poly1305(key).encrypt(
            number.to_bytes(11, "big") + bytes((number == len(segments) - 1,)), segment, None
        )
        for number, segment in enumerate(segments)
    ]


def receipt(key: bytes, object_id: bytes) -> bytes:
    return blake2b(object_id, 16, key=key, person=b"nexus file whole")


def files() -> list[Vector]:
    vectors: list[Vector] = []
    for size in (0, 1, 65535, 65536, 65537, 200_000):
        segments = sealed(KEY, pattern(size))
        whole = b"".join(segments)
        header = object_header(FILE, whole)
        object_id = blake3(header).digest()
        proof = receipt(KEY, object_id)
        vectors.append(
            {
                "id": f"transfer-file-{size}",
                "key": KEY,
                "size": size,
                "segments": len(segments),
                "sealed_size": len(whole),
                "sealed_blake3": blake3(whole).digest(),
                "tags": [segment[-16:] for segment in segments],
                "header": header,
                "object_id": object_id,
                "receipt": proof,
                "mark": blake2b(proof, 16, person=b"nexus mark"),
            }
        )
    return vectors


def description(
    name: bytes,
    kind: bytes = b"",
    preview: bytes = b"",
    *,
    size: int = 400_000,
    min_bandwidth: int = 0,
    root: bytes = bytes(range(0x20)),
) -> bytes:
    texts = bytes((len(name),)) + name + bytes((len(kind),)) + kind
    return (
        root
        + KEY
        + struct.pack("<II", size, min_bandwidth)
        + texts
        + struct.pack("<H", len(preview))
        + preview
    )


def shown(name: str, kind: str, preview: bytes, **numbers: int) -> Vector:
    return {
        "root": bytes(range(0x20)),
        "key": KEY,
        "size": 400_000,
        "min_bandwidth": 0,
        **numbers,
        "name": name,
        "media_type": kind,
        "preview": preview,
    }


def descriptions() -> list[Vector]:
    vectors: list[Vector] = []
    photo = ("photo.jpg", "image/jpeg", b"a preview")
    plain = ("Übersicht 2026.pdf", "", b"")
    longest = ("n" * 128, "t" * 64, bytes(1024))
    for name, body, found in (
        ("none", [], []),
        ("plain", [description(plain[0].encode())], [shown(*plain)]),
        (
            "photo",
            [description(b"photo.jpg", b"image/jpeg", b"a preview", min_bandwidth=10_000)],
            [shown(*photo, min_bandwidth=10_000)],
        ),
        ("empty-file", [description(b"empty", size=0)], [shown("empty", "", b"", size=0)]),
        (
            "largest",
            [description(b"n" * 128, b"t" * 64, bytes(1024), size=50_000_000, min_bandwidth=2**32 - 1)],
            [shown(*longest, size=50_000_000, min_bandwidth=2**32 - 1)],
        ),
        ("most", [description(b"photo.jpg", b"image/jpeg", b"a preview")] * 16, [shown(*photo)] * 16),
    ):
        encoded = bytes((len(body),)) + b"".join(body) + TEXT.encode()
        vectors.append(
            {
                "id": f"transfer-description-{name}",
                "descriptions": encoded,
                "files": found,
                "rest": TEXT.encode(),
            }
        )
    # What people may have chosen is shown without what could mislead: written once, read another way.
    for number, (raw, read) in enumerate(
        (
            (b"../../etc/passwd", "passwd"),
            (b"C:\\Windows\\cmd.exe", "cmd.exe"),
            (b"photo\xe2\x80\xaegpj.exe", "photogpj.exe"),
            (b"a\0b\nc\x1b[1m.txt", "abc[1m.txt"),
            (b" .hidden. ", "hidden"),
            (b"..", "file"),
            (b"", "file"),
            (b"x/", "file"),
            (b'<a>:"|?*.txt', "a.txt"),
            (b"caf\xc3", "caf\N{REPLACEMENT CHARACTER}"),
        ),
        1,
    ):
        vectors.append(
            {
                "id": f"transfer-description-name-{number}",
                "descriptions": b"\x01" + description(raw),
                "files": [shown(read, "", b"")],
                "rest": b"",
                "only_read": True,
            }
        )
    return vectors


def messages() -> list[Vector]:
    vectors: list[Vector] = []
    content = pattern(10_000)
    whole = b"".join(sealed(KEY, content))
    header = object_header(FILE, whole)
    object_id = blake3(header).digest()
    one = description(b"photo.jpg", b"image/jpeg", size=len(content), min_bandwidth=10_000, root=header[10:])
    first = blake3(b"sealed before").digest()
    for name, kind, again, ephemeral, contents in (
        ("1", 1, b"", E1, 4),
        ("again", 2, first, E2, 5),
    ):
        plain = payload(0, again + b"\x01" + one + TEXT.encode(), content=contents)
        context = BOB.address + struct.pack("<I", SECONDS)
        made = envelope(kind, plain, context, ephemeral)
        data = struct.pack("<I", SECONDS) + made["envelope"]
        proof = receipt(KEY, object_id)
        message_id = blake3(object_header(2, BOB.address + data)).digest()
        gone = blake2b(object_id + (again or message_id), 16, key=KEY, person=b"nexus file gone")
        vectors.append(
            {
                "id": f"transfer-message-{name}",
                "sender_seed": ALICE.seed,
                "recipient_seed": BOB.seed,
                "ephemeral": ephemeral,
                "sent_ms": 1000 * SECONDS + MILLIS,
                "text": TEXT,
                "first": again or None,
                "key": KEY,
                "file_size": len(content),
                "name": "photo.jpg",
                "media_type": "image/jpeg",
                "min_bandwidth": 10_000,
                "payload": plain,
                "data": data,
                "message_id": message_id,
                "packet": packet(1, data),
                "header": header,
                "object_id": object_id,
                "offer_packet": packet(OFFER, header + struct.pack("<I", 10_000)),
                "receipt": proof,
                "mark": blake2b(proof, 16, person=b"nexus mark"),
                "receipt_packet": packet(2, proof, priority=1),
                "declined": blake2b(object_id + (again or message_id), 16, key=KEY, person=b"nexus file not"),
                "withdrawn_packet": packet(WITHDRAWN, object_id[:8] + gone, priority=1),
            }
        )
    return vectors


# --- what is to be refused --------------------------------------------------------------------------
def bad() -> list[Vector]:
    vectors: list[Vector] = []
    good = offer_data(0)
    later = b"\x02" + good[1:]
    huge = struct.pack("<BBQ", 1, FILE, 2**30 + 1) + good[10:]
    for name, context, data, refused in (
        ("offer-empty", OFFER, b"", "bad_offer"),
        ("offer-header", OFFER, HEADER, "bad_offer"),
        ("offer-short", OFFER, good[:-1], "bad_offer"),
        ("offer-long", OFFER, good + b"\0", "bad_offer"),
        ("offer-half-a-provider", OFFER, good + bytes(15), "bad_offer"),
        ("offer-two-providers", OFFER, good + bytes(32), "bad_offer"),
        ("offer-version", OFFER, later, "object_version"),
        ("offer-size", OFFER, huge, "object_too_large"),
        ("ask-empty", ASK, b"", "bad_ask"),
        ("ask-short", ASK, ask_data(0, [])[:-1], "bad_ask"),
        ("ask-cut", ASK, ask_data(0, [(0, 1)])[:-1], "bad_ask"),
        ("ask-many", ASK, ask_data(0, [(0, 1)] * 65), "bad_ask"),
        ("ask-flags", ASK, b"\x02" + ask_data(0, [])[1:], "bad_ask"),
        ("ask-nobody", ASK, b"\x01" + ask_data(0, [])[1:], "bad_ask"),
        ("ask-half-an-asker", ASK, ask_data(0, [], BOB.address)[:-1], "bad_ask"),
        ("chunk-empty", CHUNKS, b"", "bad_chunk"),
        ("chunk-short", CHUNKS, PREFIX + bytes(3), "bad_chunk"),
        ("chunk-nothing", CHUNKS, PREFIX + bytes(4), "bad_chunk"),
    ):
        vectors.append({"id": f"transfer-bad-{name}", "packet": packet(context, data), "refused": refused})
    for size in (0, 3, 5):
        data = PREFIX + bytes(4) + b"x"
        encoded = packet(CHUNKS, data, destination=BOB.address, priority=3, tlvs=tlv(3, bytes(size)))
        vectors.append(
            {"id": f"transfer-bad-bandwidth-{size}", "packet": encoded, "refused": "bad_bandwidth"}
        )
    one = description(b"photo.jpg", b"image/jpeg", b"a preview")
    for name, data in (
        ("empty", b""),
        ("many", b"\x11" + one * 17),
        ("missing", b"\x02" + one),
        ("cut", b"\x01" + one[:-1]),
        ("short", b"\x01" + one[:71]),
        ("no-preview", b"\x01" + description(b"x")[:-1]),
        ("name", b"\x01" + description(b"n" * 129)),
        ("type", b"\x01" + description(b"n", b"t" * 65)),
        ("preview", b"\x01" + description(b"n", b"t", bytes(1025))),
        ("size", b"\x01" + description(b"n", size=50_000_001)),
    ):
        vectors.append(
            {"id": f"transfer-bad-description-{name}", "descriptions": data, "refused": "bad_description"}
        )
    content = sealed(KEY, pattern(65537))
    small = b"".join(sealed(KEY, b"a secret"))
    for name, key, data in (
        ("empty", KEY, b""),
        ("cut", KEY, small[:-1]),
        ("long", KEY, small + b"\0"),
        ("changed", KEY, bytes((small[0] ^ 1,)) + small[1:]),
        ("key", bytes(32), small),
        ("not-the-last", KEY, ChaCha20Poly1305(KEY).encrypt(bytes(12), b"a secret", None)),
        ("first-missing", KEY, content[1]),
    ):
        vectors.append({"id": f"transfer-bad-file-{name}", "key": key, "sealed": data, "refused": "bad_file"})
    body = pattern(CHUNK * 2)
    header = object_header(FILE, body)
    prefix = blake3(header).digest()[:8]
    ((_, _, page),) = pages(body)
    first, second = cut(body, CHUNK)
    for name, number, data, refused in (
        ("page", unit(1, 0), page[:-1] + bytes((page[-1] ^ 1,)), "wrong_chunk"),
        ("page-cut", unit(1, 0), page[:32], "bad_chunk"),
        ("swapped", 0, second, "wrong_chunk"),
        ("changed", 1, bytes((second[0] ^ 1,)) + second[1:], "wrong_chunk"),
        ("half", 0, first[:-1], "bad_chunk"),
        ("more", 1, second + b"\0", "bad_chunk"),
        ("no-such-chunk", 2, second, "bad_chunk"),
        ("no-such-page", unit(1, 1), page, "bad_chunk"),
        ("no-such-level", unit(2, 0), page, "bad_chunk"),
        ("last-of-all", 2**32 - 1, second, "bad_chunk"),
    ):
        vectors.append(
            {
                "id": f"transfer-bad-unit-{name}",
                "header": header,
                "page": page,
                "packet": packet(CHUNKS, prefix + struct.pack("<I", number) + data, priority=3),
                "refused": refused,
            }
        )
    return vectors


def transfer_vectors() -> list[Vector]:
    return [*trees(), *offers(), *asks(), *chunks(), *files(), *descriptions(), *messages(), *bad()]


def main(directory: Path) -> None:
    written = json.dumps(as_json(transfer_vectors()), indent=1, ensure_ascii=False)
    (directory / "transfer.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
