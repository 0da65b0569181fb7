"""Makes the golden vectors from docs/protocol alone: imports nothing of this project.

    python tests/vectors/make_vectors.py [DIRECTORY]

Ed25519, X25519 and ChaCha20-Poly1305 come from `cryptography`, BLAKE3 from `blake3`, everything else from
the standard library or from below. Every input is fixed, so every run writes the same bytes. Bytes are hex.
"""

# ruff: noqa: RUF001

import ast
import base64
import hashlib
import hmac
import json
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

HERE = Path(__file__).resolve().parent
DICTIONARIES = HERE.parents[1] / "nexus_node" / "wire" / "dictionaries"
"""Read as data, not imported: a dictionary is wire law (docs/protocol/text.md)."""
P = 2**255 - 19
Vector = dict[str, Any]


# --- primitives -------------------------------------------------------------------------------------
def blake2b(data: bytes, size: int = 64, *, key: bytes = b"", person: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=size, key=key, person=person).digest()


def x25519(secret: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def x25519_public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def seal(key: bytes, counter: int, plaintext: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack("<Q", counter), plaintext, associated)


class Noise:
    """The Noise Protocol Framework, revision 34: one handshake of 25519_ChaChaPoly_BLAKE2b, both sides.

    It plays initiator and responder at once, since it knows all the secrets. Keys are (secret, public).
    """

    PATTERNS = {
        "XX": ("", "", (("e",), ("e", "ee", "s", "es"), ("s", "se"))),
        "IK": ("", "s", (("e", "es", "s", "ss"), ("e", "ee", "se"))),
        "KK": ("s", "s", (("e", "es", "ss"), ("e", "ee", "se"))),
        "K": ("s", "s", (("e", "es", "ss"),)),
        "X": ("", "s", (("e", "es", "s", "ss"),)),
    }

    def __init__(
        self,
        pattern: str,
        prologue: bytes,
        initiator: tuple[bytes, bytes],
        responder: tuple[bytes, bytes],
        ephemerals: Iterable[bytes],
    ) -> None:
        before_i, before_r, self.tokens = self.PATTERNS[pattern]
        self.statics = (initiator, responder)
        self.e = [(secret, x25519_public(secret)) for secret in ephemerals]
        self.turn, self.k, self.n = 0, b"", 0
        name = f"Noise_{pattern}_25519_ChaChaPoly_BLAKE2b".encode()
        self.h = self.ck = name.ljust(64, b"\0")  # InitializeSymmetric; no name here is above 64 bytes
        self.mix_hash(prologue)
        for before, (_, public) in ((before_i, initiator), (before_r, responder)):
            if before:
                self.mix_hash(public)

    def mix_hash(self, data: bytes) -> None:
        self.h = blake2b(self.h + data)

    @staticmethod
    def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
        temporary = hmac.digest(chaining_key, material, "blake2b")
        first = hmac.digest(temporary, b"\x01", "blake2b")
        return first, hmac.digest(temporary, first + b"\x02", "blake2b")

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = plaintext
        if self.k:
            sealed = seal(self.k, self.n, plaintext, self.h)
            self.n += 1
        self.mix_hash(sealed)
        return sealed

    def message(self, payload: bytes = b"") -> bytes:
        """WriteMessage of whoever's turn it is."""
        sender = self.turn % 2
        out = b""
        for token in self.tokens[self.turn]:
            if token == "e":
                self.mix_hash(self.e[sender][1])
                out += self.e[sender][1]
            elif token == "s":
                out += self.encrypt_and_hash(self.statics[sender][1])
            else:
                ours = self.e[0] if token[0] == "e" else self.statics[0]
                theirs = self.e[1] if token[1] == "e" else self.statics[1]
                self.ck, key = self.hkdf(self.ck, x25519(ours[0], theirs[1]))
                self.k, self.n = key[:32], 0
        self.turn += 1
        return out + self.encrypt_and_hash(payload)

    def split(self) -> tuple[bytes, bytes]:
        first, second = self.hkdf(self.ck, b"")
        return first[:32], second[:32]


# --- identity ---------------------------------------------------------------------------------------
class Node:
    """A node's keys from its seed, after docs/protocol/identity.md."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self.node_id = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        self.address = blake2b(self.node_id)[:16]
        self.sign = self.node_id[31] >> 7
        y = int.from_bytes(self.node_id, "little") & (1 << 255) - 1
        u = (1 + y) * pow(1 - y, -1, P) % P
        self.agreement = u.to_bytes(32, "little")
        self.secret = hashlib.sha512(seed).digest()[:32]
        assert x25519_public(self.secret) == self.agreement
        self.static = (self.secret, (u | self.sign << 255).to_bytes(32, "little"))
        # P + T with T = (0, -1), the point of order 2: another key with the same Diffie-Hellman results.
        self.impure_static = (pow(u, -1, P) | self.sign << 255).to_bytes(32, "little")
        self.impure_node_id = ((P - y) | (1 - self.sign) << 255).to_bytes(32, "little")


ALICE, BOB, CAROL = Node(bytes(range(32))), Node(bytes(range(32, 64))), Node(bytes([4]) * 32)


def uri(node_id: bytes, *, version: int = 1, tlvs: bytes = b"", damage: int = 0) -> str:
    body = bytes((version,)) + node_id + tlvs
    data = body + (int.from_bytes(blake2b(body, 4, person=b"nexus uri"), "big") ^ damage).to_bytes(4, "big")
    return "nexus:" + base64.b32encode(data).decode().rstrip("=").lower()


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value))) + value


def identity_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    for number, node in enumerate((ALICE, BOB, CAROL), 1):
        vectors.append(
            {
                "id": f"identity-{number}",
                "seed": node.seed,
                "node_id": node.node_id,
                "address": node.address,
                "sign_bit": node.sign,
                "agreement_key": node.agreement,
                "static_key": node.static[1],
                "vault_key": blake2b(b"", 32, key=node.seed, person=b"nexus vault"),
                "uri": uri(node.node_id),
            }
        )
    assert {ALICE.sign, BOB.sign, CAROL.sign} == {0, 1}
    for number, name in enumerate(("Alice", "Zoë am Bach"), 1):
        link = uri(ALICE.node_id, tlvs=tlv(1, name.encode()))
        vectors.append(
            {"id": f"identity-uri-name-{number}", "node_id": ALICE.node_id, "name": name, "uri": link}
        )
    both = tlv(1, b"Alice") + tlv(2, BOB.node_id) + tlv(2, CAROL.node_id)
    extra = [bytes((number,)) * 32 for number in range(1, 4)]
    # A short one, a long one and a repeated one do not count, and neither does what comes after the fourth.
    ids = (
        CAROL.node_id,
        b"",
        extra[0],
        BOB.node_id[:31],
        CAROL.node_id,
        BOB.node_id + b"\0",
        *extra[1:],
        BOB.node_id,
    )
    for number, name, tlvs, relays in (
        (1, "Alice", both, [BOB.node_id, CAROL.node_id]),
        (2, None, b"".join(tlv(2, one) for one in ids), [CAROL.node_id, *extra]),
    ):
        link = uri(ALICE.node_id, tlvs=tlvs)
        vectors.append(
            {
                "id": f"identity-uri-relays-{number}",
                "node_id": ALICE.node_id,
                "name": name,
                "relays": relays,
                "uri": link,
            }
        )
    unknown = uri(BOB.node_id, tlvs=tlv(200, b"later"))
    vectors.append({"id": "identity-uri-unknown-tlv", "node_id": BOB.node_id, "name": None, "uri": unknown})
    plain = uri(ALICE.node_id)
    for what, link in (
        ("checksum", uri(ALICE.node_id, damage=1)),
        ("version", uri(ALICE.node_id, version=2)),
        ("tlv", uri(ALICE.node_id, tlvs=b"\x01\x09Alice")),
        ("cut", plain[:-1]),
        ("short-key", uri(ALICE.node_id[:31])),
    ):
        vectors.append({"id": f"identity-uri-bad-{what}", "uri": link, "refused": "bad_uri"})
    for what, node_id in (
        ("small-order", bytes((1,)) + bytes(31)),
        ("mixed-order", ALICE.impure_node_id),
        ("off-curve", bytes((2,)) + bytes(31)),
        ("not-canonical", (P + 1).to_bytes(32, "little")),
    ):
        vectors.append({"id": f"identity-bad-{what}", "node_id": node_id, "refused": "bad_node_id"})
    vectors.append({"id": "identity-bad-static", "static_key": ALICE.impure_static, "refused": "bad_node_id"})
    return vectors


# --- packets ----------------------------------------------------------------------------------------
def packet(
    context: int,
    data: bytes,
    *,
    destination: bytes = b"",
    hops: int = 32,
    priority: int = 2,
    tlvs: bytes = b"",
) -> bytes:
    flags = priority << 2 | (0 if destination else 0x10) | (0x20 if tlvs else 0)
    extension = bytes((len(tlvs),)) + tlvs if tlvs else b""
    return bytes((flags, hops)) + destination + bytes((context,)) + extension + data


def packet_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    data = bytes(range(0xA0, 0xB0))
    extensions: list[tuple[int, bytes]] = [(7, b""), (200, b"later"), (7, b"\xff" * 9)]
    for name, fields in (
        ("elided", {}),
        ("destination", {"destination": BOB.address, "hops": 7}),
        ("real-time", {"priority": 0}),
        ("bulk", {"priority": 3}),
        ("tlvs", {"tlvs": extensions}),
        ("all", {"destination": ALICE.address, "hops": 0, "priority": 1, "tlvs": extensions}),
    ):
        chosen: dict[str, Any] = {"destination": b"", "hops": 32, "priority": 2, "tlvs": []} | fields
        block = b"".join(tlv(*pair) for pair in chosen["tlvs"])
        encoded = packet(200, data, **(chosen | {"tlvs": block}))
        vectors.append({"id": f"packet-{name}", "context": 200, "data": data, **chosen, "packet": encoded})
    receipts = [blake2b(bytes((number,)), 16) for number in range(64)]
    for count in (1, 64):
        encoded = packet(2, b"".join(receipts[:count]), priority=1)
        vectors.append({"id": f"packet-receipts-{count}", "receipts": receipts[:count], "packet": encoded})
    reasons = [*((reason, 0) for reason in range(1, 9)), (8, 10), (8, 65535), (200, 0), (11, 65535)]
    for number, (reason, retry_s) in enumerate(reasons, 1):
        prefix = blake3(b"refused").digest()[:8]
        retry = struct.pack("<H", retry_s) if retry_s else b""
        vectors.append(
            {
                "id": f"packet-refusal-{number}",
                "reason": reason,
                "object_prefix": prefix,
                "retry_s": retry_s,
                "packet": packet(3, bytes((reason,)) + prefix + retry, priority=1),
            }
        )
    whole = packet(1, b"data", destination=BOB.address)
    for name, encoded, code in (
        ("version", bytes((0x50,)) + b"\x20\x01data", "packet_version"),
        ("empty", b"", "bad_packet"),
        ("no-context", whole[:18], "bad_packet"),
        ("tlv-length", b"\x30\x20\x01\x09\x01\x01x", "bad_tlv"),
        ("tlv-inner", b"\x30\x20\x01\x02\x01\x01data", "bad_tlv"),
        ("receipts-size", packet(2, bytes(17)), "bad_receipts"),
        ("receipts-none", packet(2, b""), "bad_receipts"),
        ("receipts-many", packet(2, bytes(16 * 65)), "bad_receipts"),
        ("refusal-size", packet(3, bytes(8)), "bad_refusal"),
        ("refusal-half-a-retry", packet(3, bytes(10)), "bad_refusal"),
        ("refusal-long", packet(3, bytes(12)), "bad_refusal"),
    ):
        vectors.append({"id": f"packet-bad-{name}", "packet": encoded, "refused": code})
    return vectors


# --- links ------------------------------------------------------------------------------------------
E1, E2, E3, E4 = (bytes([0x40 + number]) * 32 for number in range(4))
INDEX_A, INDEX_B = 0x1234, 0xBEEF
MTU_A, MTU_B = 1400, 484
CAPABILITIES_A, CAPABILITIES_B = struct.pack("<H", MTU_A), struct.pack("<H", MTU_B)
COOKIE = bytes(range(0xC0, 0xD0))
PROLOGUE = b"NexusLink/0"


def opening(kind: int, cookie: bytes, noise: bytes) -> bytes:
    return struct.pack("<BHB", kind, INDEX_A, len(cookie)) + cookie + noise


def sealed_frame(
    key: bytes,
    counter: int,
    plaintext: bytes,
    *,
    epoch: int = 0,
    index: int | None = None,
    broadcast: bool = False,
) -> bytes:
    header = bytes((0x80 | epoch << 5 | (0 if index is None else 0x10) | 0x08 * broadcast,))
    header += b"" if index is None else struct.pack("<H", index)
    header += struct.pack("<H", counter & 0xFFFF)
    return header + seal(key, counter, plaintext, header)


def items(pairs: list[tuple[int, bytes]]) -> bytes:
    out = b"".join(struct.pack("<BH", kind, len(body)) + body for kind, body in pairs[:-1])
    for kind, body in pairs[-1:]:
        out += bytes((kind | 0x80,)) + body
    return out


def agreed(noise: Noise) -> Vector:
    forth, back = noise.split()
    return {
        "mtu": min(MTU_A, MTU_B),
        "initiator_key": forth,
        "responder_key": back,
        "binding": noise.h,
    }


def handshakes() -> tuple[Vector, Vector]:
    xx = Noise("XX", PROLOGUE, ALICE.static, BOB.static, (E1, E2))
    first, second, third = xx.message(), xx.message(CAPABILITIES_B), xx.message(CAPABILITIES_A)
    common = {
        "initiator_seed": ALICE.seed,
        "responder_seed": BOB.seed,
        "initiator_ephemeral": E1,
        "responder_ephemeral": E2,
        "initiator_index": INDEX_A,
        "responder_index": INDEX_B,
        "initiator_mtu": MTU_A,
        "responder_mtu": MTU_B,
        "cookie": COOKIE,
        "retry": struct.pack("<BH", 6, INDEX_A) + COOKIE,
    }
    reply = struct.pack("<HH", INDEX_B, INDEX_A)
    link_xx = {
        "id": "link-xx-1",
        **common,
        "xx1": opening(1, b"", first),
        "xx1_with_cookie": opening(1, COOKIE, first),
        "xx2": b"\x02" + reply + second,
        "xx3": struct.pack("<BH", 3, INDEX_B) + third,
        **agreed(xx),
    }
    ik = Noise("IK", PROLOGUE, ALICE.static, BOB.static, (E1, E2))
    first, second = ik.message(CAPABILITIES_A), ik.message(CAPABILITIES_B)
    link_ik = {
        "id": "link-ik-1",
        **common,
        "ik1": opening(4, b"", first),
        "ik1_with_cookie": opening(4, COOKIE, first),
        "ik2": b"\x05" + reply + second,
        "confirm": sealed_frame(ik.split()[0], 0, b""),
        **agreed(ik),
    }
    return link_xx, link_ik


BROADCAST_A, BROADCAST_B = 0xA11C, 0xB0B0
SECRET_A, SECRET_B = bytes(range(0x10, 0x20)), bytes(range(0x20, 0x30))


def share(index: int, epoch: int, secret: bytes) -> bytes:
    return tlv(1, struct.pack("<HB", index, epoch) + secret)


def shared_handshake() -> Vector:
    """Alice has heard Bob's HELLO on a shared medium, and opens a link; Bob is in his third epoch."""
    ik = Noise("IK", PROLOGUE, ALICE.static, BOB.static, (E1, E2))
    first = ik.message(CAPABILITIES_A + share(BROADCAST_A, 0, SECRET_A))
    second = ik.message(CAPABILITIES_B + share(BROADCAST_B, 2, SECRET_B))
    return {
        "id": "link-shared-1",
        "initiator_seed": ALICE.seed,
        "responder_seed": BOB.seed,
        "initiator_ephemeral": E1,
        "responder_ephemeral": E2,
        "initiator_index": INDEX_A,
        "responder_index": INDEX_B,
        "initiator_mtu": MTU_A,
        "responder_mtu": MTU_B,
        "initiator_share": [BROADCAST_A, 0, SECRET_A],
        "responder_share": [BROADCAST_B, 2, SECRET_B],
        "hello": struct.pack("<BH", 8, BROADCAST_B) + BOB.node_id,
        "ik1": opening(4, b"", first),
        "ik2": b"\x05" + struct.pack("<HH", INDEX_B, INDEX_A) + second,
        "confirm": sealed_frame(ik.split()[0], 0, b"", index=INDEX_B),
        **agreed(ik),
    }


def broadcasts() -> list[Vector]:
    """What Alice says to all: the first frame, the last that goes under one key, and the first of the next
    three epochs."""
    vectors: list[Vector] = []
    secret = SECRET_A
    for number, (epoch, counter) in enumerate(((0, 0), (0, 32767), (1, 0), (2, 0), (3, 5)), 1):
        if number > 2:
            secret = blake2b(secret, 16, person=b"nexus bc next")
        key = blake2b(secret, 32, person=b"nexus bc key")
        plaintext = items([(1, b"to all")])
        vectors.append(
            {
                "id": f"link-broadcast-{number}",
                "index": BROADCAST_A,
                "secret": SECRET_A,
                "epoch": epoch,
                "counter": counter,
                "plaintext": plaintext,
                "frame": sealed_frame(
                    key, counter, plaintext, epoch=epoch, index=BROADCAST_A, broadcast=True
                ),
            }
        )
    return vectors


def rekey(link: Vector) -> Vector:
    """Alice rekeys the link of link-xx-1; her first frame under the new keys is empty."""
    kk = Noise("KK", b"NexusLink/0 rekey" + link["binding"], ALICE.static, BOB.static, (E3, E4))
    first, second = kk.message(), kk.message()
    forth, back = kk.split()
    return {
        "id": "link-rekey-1",
        "link": link["id"],
        "initiator_ephemeral": E3,
        "responder_ephemeral": E4,
        "rekey": first,
        "rekey_reply": second,
        "initiator_key": forth,
        "responder_key": back,
        "rekey_frame": sealed_frame(link["initiator_key"], 0, items([(6, first)])),
        "reply_frame": sealed_frame(link["responder_key"], 0, items([(7, second)])),
        "first_frame": sealed_frame(forth, 0, b"", epoch=1),
    }


def link_vectors() -> list[Vector]:
    link_xx, link_ik = handshakes()
    vectors: list[Vector] = [link_xx, link_ik, rekey(link_xx), shared_handshake(), *broadcasts()]
    key = link_xx["initiator_key"]
    plaintext = items([(1, b"packet")])
    number = 0
    for counter in (0, 65535, 65536, 2**40 + 5):
        for epoch, index in ((0, None), (3, INDEX_B)):
            number += 1
            vectors.append(
                {
                    "id": f"link-sealed-{number}",
                    "key": key,
                    "counter": counter,
                    "epoch": epoch,
                    "index": index,
                    "plaintext": plaintext,
                    "frame": sealed_frame(key, counter, plaintext, epoch=epoch, index=index),
                }
            )
    for number, pairs in enumerate(
        (
            [],
            [(4, b"\x07")],
            [(1, b"")],
            [(1, b"one packet"), (5, b"\x07"), (3, b"\x02\x09\x00\x05"), (2, b"\x02\x00\x80last")],
            [(0, bytes(300)), (100, b"unknown")],
        ),
        1,
    ):
        vectors.append(
            {"id": f"link-items-{number}", "items": [list(pair) for pair in pairs], "plaintext": items(pairs)}
        )
    # A last item may also carry its length, as all the others do.
    vectors.append(
        {"id": "link-items-6", "items": [[4, b"\x07"]], "plaintext": b"\x04\x01\x00\x07", "only_read": True}
    )
    for number, (following, low, counter) in enumerate(
        (
            (0, 0, 0),
            (0, 0xFFFF, 0xFFFF),
            (65535, 0xFFFF, 65535),
            (65536, 0, 65536),
            (65536, 0xFFFF, 65535),
            (65530, 3, 65539),
            (0x12340000, 0xFFFE, 0x1233FFFE),
            (0x1234FFFF, 0x0001, 0x12350001),
            (0x12348000, 0x0001, 0x12340001),
            (2**40, 0x7FFF, 2**40 + 0x7FFF),
        ),
        1,
    ):
        vectors.append({"id": f"link-counter-{number}", "next": following, "low": low, "counter": counter})
    noise = link_xx["xx1"][4:]
    for name, frame in (
        ("empty", b""),
        ("kind", b"\x09" + bytes(40)),
        ("hello-short", b"\x08" + bytes(33)),
        ("hello-long", b"\x08" + bytes(35)),
        ("broadcast-without-index", b"\x88" + bytes(18)),
        ("version", b"\x11" + link_xx["xx1"][1:]),
        ("cookie-length", struct.pack("<BHB", 1, INDEX_A, 8) + bytes(8) + noise),
        ("cookie-cut", opening(1, COOKIE, b"")),
        ("no-noise", opening(1, b"", b"")),
        ("short-noise", opening(1, b"", noise[:31])),
        ("retry-size", link_xx["retry"][:-1]),
        ("lost-size", b"\x07\x00"),
        ("sealed-reserved", b"\x81" + bytes(18)),
        ("sealed-short", b"\x80" + bytes(17)),
        ("sealed-index-short", b"\x90" + bytes(19)),
    ):
        vectors.append({"id": f"link-bad-{name}", "frame": frame, "refused": "bad_frame"})
    for name, plaintext in (("head", b"\x01\x00"), ("length", b"\x01\x05\x00four")):
        vectors.append({"id": f"link-bad-items-{name}", "plaintext": plaintext, "refused": "bad_items"})
    for name, capabilities in (
        ("short", b"\xff"),
        ("mtu", struct.pack("<H", 135)),
        ("tlv", CAPABILITIES_A + b"\xc8\x02x"),
        ("share", CAPABILITIES_A + tlv(1, bytes(18))),
    ):
        vectors.append(
            {
                "id": f"link-bad-capabilities-{name}",
                "capabilities": capabilities,
                "refused": "bad_capabilities",
            }
        )
    return vectors


def fragment_vectors() -> list[Vector]:
    whole = pattern(1000)
    step = 484 - 3 - 16 - 1 - 3  # MTU, header, tag, item kind, fragment head
    parts = [whole[at : at + step] for at in range(0, len(whole), step)]
    fragments = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        fragments.append(struct.pack("<BH", 9, index | (0xC000 if last else 0)) + part)
    vectors: list[Vector] = [
        {"id": "fragment-1", "packet": whole, "transfer": 9, "mtu": 484, "fragments": fragments}
    ]
    for number, (index, flags) in enumerate(((0, 0), (1, 0x4000), (0x3FFF, 0x8000), (300, 0xC000)), 2):
        vectors.append(
            {
                "id": f"fragment-{number}",
                "transfer": 255,
                "index": index,
                "last": bool(flags & 0x8000),
                "ack_wanted": bool(flags & 0x4000),
                "data": b"data",
                "fragment": struct.pack("<BH", 255, index | flags) + b"data",
            }
        )
    for number, (base, missing_past) in enumerate(((3, []), (0, [1, 2]), (5, [6, 14, 261]), (16384, [])), 1):
        bitmap = 0
        for index in missing_past:
            bitmap |= 1 << (index - base - 1)
        encoded = struct.pack("<BH", 9, base) + bitmap.to_bytes(-(-bitmap.bit_length() // 8), "little")
        vectors.append(
            {
                "id": f"fragment-ack-{number}",
                "transfer": 9,
                "base": base,
                "arrived_past_base": missing_past,
                "ack": encoded,
            }
        )
    for name, kind, data, code in (
        ("empty", "fragment", b"\x09\x00\x80", "bad_fragment"),
        ("ack-short", "ack", b"\x09\x00", "bad_fragment_ack"),
        ("ack-long", "ack", bytes(36), "bad_fragment_ack"),
    ):
        vectors.append({"id": f"fragment-bad-{name}", kind: data, "refused": code})
    return vectors


# --- objects ----------------------------------------------------------------------------------------
def pattern(size: int) -> bytes:
    """Byte i is i mod 251."""
    return bytes(index % 251 for index in range(size))


def merkle_root(chunks: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, by its recursive definition, with BLAKE3."""
    if len(chunks) == 1:
        return blake3(b"\0" + chunks[0]).digest()
    split = 1 << (len(chunks) - 1).bit_length() - 1
    return blake3(b"\1" + merkle_root(chunks[:split]) + merkle_root(chunks[split:])).digest()


def object_header(kind: int, content: bytes) -> bytes:
    chunks = [content[at : at + 4096] for at in range(0, len(content), 4096)] or [b""]
    return struct.pack("<BBQ", 1, kind, len(content)) + merkle_root(chunks)


def object_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    for name, size in (
        ("empty", 0),
        ("1", 1),
        ("4096", 4096),
        ("4097", 4097),
        ("3-chunks", 12000),
        ("7-chunks", 28672),
    ):
        header = object_header(1, pattern(size))
        vectors.append(
            {
                "id": f"object-{name}",
                "kind": 1,
                "size": size,
                "chunks": max(1, -(-size // 4096)),
                "root": header[10:],
                "header": header,
                "object_id": blake3(header).digest(),
            }
        )
    whole = object_header(1, b"")
    for name, header, code in (
        ("length", whole + b"\0", "bad_object"),
        ("version", b"\x02" + whole[1:], "object_version"),
        ("size", struct.pack("<BBQ", 1, 1, 2**30 + 1) + whole[10:], "object_too_large"),
    ):
        vectors.append({"id": f"object-bad-{name}", "header": header, "refused": code})
    return vectors


# --- messages ---------------------------------------------------------------------------------------
TEXT = "We are at the bridge"
SECONDS, MILLIS = 1_800_000_000, 789


def payload(codec: int, body: bytes, *, content: int = 0, millis: int = MILLIS) -> bytes:
    return struct.pack("<BH", content << 4 | codec, millis) + body


def envelope(kind: int, plaintext: bytes, context: bytes, ephemeral: bytes) -> Vector:
    noise = Noise(
        "K" if kind == 1 else "X",
        b"NexusEnvelope/0" + bytes((kind,)) + context,
        ALICE.static,
        BOB.static,
        (ephemeral,),
    )
    message = noise.message(plaintext)
    head = bytes((kind,))
    fields: Vector = {}
    if kind == 1:
        shared = x25519(ALICE.secret, BOB.agreement)
        hint = blake2b(message[:32], 1, key=shared, person=b"nexus hint")
        head += hint
        fields = {"static_static": shared, "hint": hint}
    receipt_key = noise.split()[1]
    delivered, read = (blake2b(word, 16, key=receipt_key) for word in (b"delivered", b"read"))
    return {
        **fields,
        "envelope": head + message,
        "delivered": delivered,
        "read": read,
        "delivered_mark": blake2b(delivered, 16, person=b"nexus mark"),
        "read_mark": blake2b(read, 16, person=b"nexus mark"),
    }


def message_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    plain = payload(0, TEXT.encode())
    for number, (content, codec, millis, body) in enumerate(
        ((0, 0, MILLIS, TEXT.encode()), (0, 1, 0, b"\x01\x02"), (15, 15, 999, b"")), 1
    ):
        vectors.append(
            {
                "id": f"message-payload-{number}",
                "content": content,
                "codec": codec,
                "millis": millis,
                "body": body,
                "payload": payload(codec, body, content=content, millis=millis),
            }
        )
    for name, data in (("short", b"\0\0"), ("millis", payload(0, b"", millis=1000))):
        vectors.append({"id": f"message-bad-payload-{name}", "payload": data, "refused": "bad_payload"})
    link_key = handshakes()[0]["initiator_key"]
    answer_key = handshakes()[0]["responder_key"]
    for name, kind, seconds, ephemeral in (
        ("k-1", 1, SECONDS, E1),
        ("x-1", 2, SECONDS, E2),
        ("k-no-clock", 1, 0, E3),
    ):
        context = BOB.address + struct.pack("<I", seconds)
        sealed = envelope(kind, plain, context, ephemeral)
        data = struct.pack("<I", seconds) + sealed["envelope"]
        header = object_header(2, BOB.address + data)
        carried = packet(1, data)
        vectors.append(
            {
                "id": f"message-{name}",
                "sender_seed": ALICE.seed,
                "recipient_seed": BOB.seed,
                "ephemeral": ephemeral,
                "seconds": seconds,
                "text": TEXT,
                "payload": plain,
                "context": context,
                **sealed,
                "data": data,
                "message_id": blake3(header).digest(),
                "packet": carried,
                "frame": sealed_frame(link_key, 0, items([(1, carried)])),
                "receipt_packet": packet(2, sealed["delivered"], priority=1),
                "receipt_frame": sealed_frame(
                    answer_key, 0, items([(1, packet(2, sealed["delivered"], priority=1))])
                ),
            }
        )
    context = BOB.address + struct.pack("<I", SECONDS)
    good = envelope(1, plain, context, E1)["envelope"]
    stranger = envelope(2, plain, context, E2)["envelope"]
    for name, data, code in (
        ("empty", b"", "bad_envelope"),
        ("kind", b"\x03" + good[1:], "bad_envelope"),
        ("version", b"\x11" + good[1:], "bad_envelope"),
        ("short", good[:49], "bad_envelope"),
        ("tag", good[:-1] + bytes((good[-1] ^ 1,)), "unknown_sender"),
        ("introduction-tag", stranger[:-1] + bytes((stranger[-1] ^ 1,)), "bad_envelope"),
    ):
        vectors.append(
            {
                "id": f"message-bad-{name}",
                "recipient_seed": BOB.seed,
                "candidates": [ALICE.node_id, CAROL.node_id],
                "context": context,
                "envelope": data,
                "refused": code,
            }
        )
    return vectors


# --- texts ------------------------------------------------------------------------------------------
class Deflate:
    """One final block of RFC 1951 with the fixed codes, written bit by bit.

    zlib's output differs from version to version; what any inflater makes of these bytes does not.
    """

    def __init__(self) -> None:
        self.bits, self.count = 0b011, 3  # the last block, fixed codes

    def put(self, value: int, size: int) -> None:
        self.bits |= value << self.count
        self.count += size

    def code(self, value: int, size: int) -> None:
        """Huffman codes start with their highest bit."""
        self.put(int(f"{value:0{size}b}"[::-1], 2), size)

    def symbol(self, symbol: int) -> None:
        if symbol < 144:
            self.code(0x30 + symbol, 8)
        elif symbol < 256:
            self.code(0x190 + symbol - 144, 9)
        elif symbol < 280:
            self.code(symbol - 256, 7)
        else:
            self.code(0xC0 + symbol - 280, 8)

    def match(self, length: int, distance: int) -> None:
        # Section 3.2.5: four codes for each number of extra bits, 258 apart from them; two a distance.
        if length == 258:
            self.symbol(285)
        elif length < 11:
            self.symbol(254 + length)
        else:
            extra = (length - 3).bit_length() - 3
            self.symbol(257 + 4 * extra + (length - 3 >> extra))
            self.put(length - 3 & (1 << extra) - 1, extra)
        if distance < 5:
            self.code(distance - 1, 5)
        else:
            extra = (distance - 1).bit_length() - 2
            self.code(2 * extra + (distance - 1 >> extra), 5)
            self.put(distance - 1 & (1 << extra) - 1, extra)

    def end(self) -> bytes:
        self.symbol(256)
        return self.bits.to_bytes(-(-self.count // 8), "little")


def deflate(text: bytes, preset: bytes) -> bytes:
    """The text as the longest matches in the preset dictionary, else letter by letter."""
    out, at = Deflate(), 0
    while at < len(text):
        length = min(258, len(text) - at)
        while length > 2 and (found := preset.rfind(text[at : at + length])) < 0:
            length -= 1
        if length > 2:
            out.match(length, len(preset) + at - found)
            at += length
        else:
            out.symbol(text[at])
            at += 1
    return out.end()


LANGUAGES = ("en", "es", "de", "fr", "pt", "it", "zh", "ru", "uk", "ar")
SAMPLES = (
    "We are at the camp and everything is fine.",
    "Estamos bien, llegamos a las 7.",
    "Wir sind am Treffpunkt, alles gut!",
    "Nous sommes bien arrivés à la maison.",
    "Chegamos bem, amanhã te ligo.",
    "Siamo arrivati, va tutto bene.",
    "我们都很好,明天见。",
    "У нас всё хорошо, до завтра.",
    "У нас усе добре, до завтра.",
    "نحن بخير، أراك غدا.",
)


def dictionary(language: str) -> bytes:
    tree = ast.parse((DICTIONARIES / f"{language}.py").read_text("utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "TEXT":
            return str(ast.literal_eval(statement.value)).encode()
    raise SystemExit(f"no TEXT in the dictionary of {language}")


def text_vectors() -> list[Vector]:
    vectors: list[Vector] = [
        {"id": "text-plain", "codec": 0, "data": "Grüße".encode(), "text": "Grüße"},
        {"id": "text-empty", "codec": 0, "data": b"", "text": ""},
    ]
    for codec, (language, sample) in enumerate(zip(LANGUAGES, SAMPLES, strict=True), 1):
        preset = dictionary(language)
        data = deflate(sample.encode(), preset)
        assert zlib.decompressobj(-15, zdict=preset).decompress(data) == sample.encode()
        vectors.append(
            {
                "id": f"text-{language}",
                "codec": codec,
                "dictionary_size": len(preset),
                "dictionary_blake2b_256": blake2b(preset, 32),
                "data": data,
                "text": sample,
            }
        )
    stored = b"\x01\x05\x00\xfa\xffhello"
    vectors.append({"id": "text-stored-block", "codec": 1, "data": stored, "text": "hello"})
    bomb = Deflate()
    bomb.symbol(ord("a"))
    for _ in range(300):
        bomb.match(258, 1)
    beyond = Deflate()
    beyond.match(3, 32768)  # the English dictionary is shorter
    for name, codec, data, code in (
        ("codec", 11, stored, "unknown_codec"),
        ("cut", 1, stored[:-1], "bad_text"),
        ("followed", 1, stored + b"\0", "bad_text"),
        ("distance", 1, beyond.end(), "bad_text"),
        ("bomb", 1, bomb.end(), "text_too_long"),
        ("utf-8", 0, b"\xff", "bad_text"),
        ("inflated-utf-8", 1, deflate(b"\xc3(", b""), "bad_text"),
    ):
        vectors.append({"id": f"text-bad-{name}", "codec": codec, "data": data, "refused": code})
    return vectors


PAGES = {
    "identity": identity_vectors,
    "packet": packet_vectors,
    "link": link_vectors,
    "fragment": fragment_vectors,
    "object": object_vectors,
    "message": message_vectors,
    "text": text_vectors,
}


def as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return value


def main(directory: Path) -> None:
    for name, make in PAGES.items():
        written = json.dumps(as_json(make()), indent=1, ensure_ascii=False)
        (directory / f"{name}.json").write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
