"""Noise handshakes and the primitives under them, against the published vectors (N3)."""

import hmac
import json
from itertools import cycle
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.crypto import noise
from nexus_node.crypto.noise import Handshake, KeyPair, diffie_hellman, nonce_of

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
PATTERNS = ("K", "X", "XX", "IK", "KK")


class FixedRng:
    """Yields the given strings one after the other, again and again."""

    def __init__(self, *strings: bytes) -> None:
        self._strings = cycle(strings)

    def random_bytes(self, count: int, /) -> bytes:
        drawn = next(self._strings)
        assert len(drawn) == count
        return drawn


def vectors(path: str) -> list[dict]:
    file = VECTORS / path
    if not file.exists():
        pytest.skip(f"the shared vectors {path} are not beside this checkout")
    loaded = json.loads(file.read_text())
    return loaded if isinstance(loaded, list) else loaded["testGroups"]


def pair(number: int) -> KeyPair:
    return KeyPair.generate(FixedRng(bytes((number,)) * 32))


A, B, EA, EB = (pair(n) for n in (1, 2, 3, 4))


def sides(pattern: str, prologue: bytes = b"test") -> tuple[Handshake, Handshake]:
    """Both sides, each knowing the static keys its pattern presumes."""
    initiator = Handshake(
        pattern,
        initiator=True,
        prologue=prologue,
        s=A,
        e=EA,
        rs=B.public if pattern != "XX" else None,
    )
    responder = Handshake(
        pattern,
        initiator=False,
        prologue=prologue,
        s=B,
        e=EB,
        rs=A.public if pattern in ("K", "KK") else None,
    )
    return initiator, responder


def run(initiator: Handshake, responder: Handshake, payload: bytes = b"") -> list[int]:
    """Run to the end; returns the sizes of the messages."""
    sizes, writer, reader = [], initiator, responder
    while not initiator.finished:
        message = writer.write(payload)
        assert reader.read(message) == payload
        sizes.append(len(message))
        writer, reader = reader, writer
    return sizes


def test_n3_the_published_noise_vectors() -> None:
    """Every 25519_ChaChaPoly_BLAKE2b vector of our patterns: messages both ways, hash, transport.

    The snow file beside it has pre-shared-key patterns only, which we do not use.
    """
    seen = []
    for vector in vectors("noise/cacophony.txt"):
        name = vector["protocol_name"].split("_")
        if name[1] not in PATTERNS or name[2:] != ["25519", "ChaChaPoly", "BLAKE2b"]:
            continue
        seen.append(name[1])

        def side(who: str, vector: dict = vector, pattern: str = name[1]) -> Handshake:
            def given_key(what: str) -> bytes | None:
                return bytes.fromhex(vector[f"{who}_{what}"]) if f"{who}_{what}" in vector else None

            static, ephemeral = given_key("static"), given_key("ephemeral")
            return Handshake(
                pattern,
                initiator=who == "init",
                prologue=given_key("prologue") or b"",
                rng=FixedRng(ephemeral) if ephemeral else None,
                s=KeyPair.generate(FixedRng(static)) if static else None,
                rs=given_key("remote_static"),
            )

        initiator, responder = side("init"), side("resp")
        check_vector(vector, initiator, responder, one_way=name[1] in "KX")
    assert sorted(seen) == sorted(PATTERNS)


def check_vector(vector: dict, initiator: Handshake, responder: Handshake, *, one_way: bool) -> None:
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    writer, reader = initiator, responder
    while not initiator.finished:
        payload, expected = messages.pop(0)
        assert writer.write(payload) == expected
        assert reader.read(expected) == payload
        writer, reader = reader, writer
    assert initiator.hash == responder.hash == bytes.fromhex(vector["handshake_hash"])
    assert initiator.split() == responder.split()
    to_responder, to_initiator = (ChaCha20Poly1305(key) for key in initiator.split())
    counters = {to_responder: 0, to_initiator: 0}
    for payload, expected in messages:
        # The messages go on alternating where the handshake stopped; one-way patterns only go forth.
        cipher = to_responder if one_way or writer is initiator else to_initiator
        assert cipher.encrypt(nonce_of(counters[cipher]), payload, None) == expected
        counters[cipher] += 1
        writer, reader = reader, writer


@pytest.mark.parametrize(
    ("pattern", "sizes"), [("K", [48]), ("X", [96]), ("XX", [32, 96, 64]), ("IK", [96, 48]), ("KK", [48, 48])]
)
def test_message_sizes(pattern: str, sizes: list[int]) -> None:
    initiator, responder = sides(pattern)
    assert run(initiator, responder) == sizes
    assert initiator.hash == responder.hash
    assert initiator.split() == responder.split()
    assert initiator.remote_static == B.public
    assert responder.remote_static == A.public


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_given_static_secret_changes_nothing_on_the_wire(pattern: str) -> None:
    plain, _ = sides(pattern)
    helped = Handshake(
        pattern,
        initiator=True,
        prologue=b"test",
        s=A,
        e=EA,
        rs=B.public if pattern != "XX" else None,
        ss=diffie_hellman(A.secret, B.public),
    )
    assert helped.write(b"hello") == plain.write(b"hello")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_different_prologues_do_not_agree(pattern: str) -> None:
    initiator, _ = sides(pattern, b"one")
    _, responder = sides(pattern, b"other")
    with pytest.raises(BadWire, match="bad_handshake"):
        run(initiator, responder)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_n3_every_bit_flip_of_every_message_is_refused_and_does_no_harm(pattern: str) -> None:
    initiator, responder = sides(pattern)
    writer, reader = initiator, responder
    while not initiator.finished:
        message = writer.write(b"payload")
        # The first message of XX is in clear; the other side notices in the second.
        if pattern != "XX" or writer is not initiator or len(message) > 39:
            for bit in range(len(message) * 8):
                altered = bytearray(message)
                altered[bit // 8] ^= 1 << bit % 8
                with pytest.raises(BadWire, match="bad_handshake"):
                    reader.read(bytes(altered))
        for size in range(len(message) if writer is not initiator or pattern != "XX" else 32):
            with pytest.raises(BadWire, match="bad_handshake"):
                reader.read(message[:size])
        assert reader.read(message) == b"payload"
        writer, reader = reader, writer
    assert initiator.split() == responder.split()


def test_n3_an_altered_first_message_of_xx_is_noticed_in_the_second() -> None:
    initiator, responder = sides("XX")
    message = bytearray(initiator.write())
    message[5] ^= 1
    responder.read(bytes(message))
    with pytest.raises(BadWire, match="bad_handshake"):
        initiator.read(responder.write())


@pytest.mark.parametrize("pattern", PATTERNS)
@given(message=st.binary(max_size=200))
def test_anything_at_all_is_a_bad_handshake_or_the_first_of_xx(pattern: str, message: bytes) -> None:
    _, responder = sides(pattern)
    if pattern == "XX" and len(message) >= 32:
        assert responder.read(message) == message[32:]
    else:
        with pytest.raises(BadWire, match="bad_handshake"):
            responder.read(message)


SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda p: p.hex()[:8])
def test_small_order_keys_are_refused(point: bytes) -> None:
    """Their shared secret is all zero, so everybody knows it (RFC 7748 section 6.1)."""
    _, responder = sides("XX")
    responder.read(point)
    with pytest.raises(BadWire, match="bad_handshake"):
        responder.write()
    with pytest.raises(BadWire, match="bad_handshake"):
        Handshake("IK", initiator=True, prologue=b"", s=A, e=EA, rs=point).write()


def test_the_top_bit_of_a_static_key_is_carried_and_bound() -> None:
    marked = KeyPair(A.secret, A.public[:-1] + bytes((A.public[-1] | 0x80,)))
    initiator = Handshake("IK", initiator=True, prologue=b"", s=marked, e=EA, rs=B.public)
    responder = Handshake("IK", initiator=False, prologue=b"", s=B, e=EB)
    run(initiator, responder)
    assert responder.remote_static == marked.public
    known = Handshake("KK", initiator=True, prologue=b"", s=marked, e=EA, rs=B.public)
    _, unmarked = sides("KK", b"")
    with pytest.raises(BadWire):
        unmarked.read(known.write())


def test_misuse_is_a_local_error() -> None:
    initiator, responder = sides("XX")
    for misuse in (lambda: initiator.read(b""), responder.write, initiator.split):
        with pytest.raises(LocalError):
            misuse()
    run(initiator, responder)
    for misuse in (initiator.write, lambda: responder.read(b""), lambda: initiator.read(b"")):
        with pytest.raises(LocalError):
            misuse()
    with pytest.raises(LocalError, match="presumes"):
        Handshake("IK", initiator=True, prologue=b"", s=A)
    with pytest.raises(LocalError, match="randomness"):
        Handshake("XX", initiator=True, prologue=b"", s=A).write()


def test_no_secret_in_repr() -> None:
    assert A.secret.hex() not in repr(A)
    assert repr(A.secret)[2:-1] not in repr(A)
    assert repr(A.public) in repr(A)


@given(key=st.binary(max_size=128), data=st.binary(max_size=300))
def test_hmac_is_the_standard_library_s(key: bytes, data: bytes) -> None:
    assert noise._hmac(key, data) == hmac.digest(key, data, "blake2b")


def test_wycheproof_x25519() -> None:
    count = 0
    for group in vectors("wycheproof/x25519_test.json"):
        for case in group["tests"]:
            secret, public = bytes.fromhex(case["private"]), bytes.fromhex(case["public"])
            count += 1
            if int(case["shared"], 16) == 0:
                with pytest.raises(BadWire, match="bad_handshake"):
                    diffie_hellman(secret, public)
            else:
                assert diffie_hellman(secret, public).hex() == case["shared"], case["tcId"]
    assert count > 500


def test_wycheproof_chacha20_poly1305() -> None:
    count = 0
    for group in vectors("wycheproof/chacha20_poly1305_test.json"):
        if group["ivSize"] != 96:
            continue
        for case in group["tests"]:
            key, nonce, aad, plain = (bytes.fromhex(case[k]) for k in ("key", "iv", "aad", "msg"))
            sealed = bytes.fromhex(case["ct"] + case["tag"])
            count += 1
            if case["result"] == "invalid":
                with pytest.raises(InvalidTag):
                    ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)
            else:
                assert ChaCha20Poly1305(key).encrypt(nonce, plain, aad) == sealed
                assert ChaCha20Poly1305(key).decrypt(nonce, sealed, aad) == plain
    assert count > 250


def test_rfc7748_section_5_2_a_thousand_times() -> None:
    k = u = (9).to_bytes(32, "little")
    for turn in range(1000):
        k, u = diffie_hellman(k, u), k
        if turn == 0:
            assert k.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"
