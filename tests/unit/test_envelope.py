"""Sealed envelopes: who can open them, what cannot be altered, and their receipts (N9, S1)."""

import hmac
import random
from hashlib import blake2b

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base import limits
from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.crypto import envelope as envelopes
from nexus_node.crypto.envelope import (
    INTRODUCTION_OVERHEAD,
    KIND_INTRODUCTION,
    KIND_KNOWN,
    KNOWN_OVERHEAD,
    Opened,
    Sealed,
    SharedSecrets,
    open_envelope,
    receipt_mark,
    seal_introduction,
    seal_known,
)
from nexus_node.crypto.identity import Identity, node_id_of, sign_bit
from nexus_node.crypto.noise import Handshake, KeyPair


class SeededRng:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int, /) -> bytes:
        return self._random.randbytes(count)


RNG = SeededRng(1)
ALICE, BOB, EVE = (Identity.generate(RNG) for _ in range(3))
ALICE_SECRETS, BOB_SECRETS, EVE_SECRETS = (SharedSecrets(who) for who in (ALICE, BOB, EVE))
CONTEXT = bytes(BOB.address) + (1_800_000_000).to_bytes(4, "little")
KINDS = (KIND_KNOWN, KIND_INTRODUCTION)


def seal(kind: int, payload: bytes, context: bytes = CONTEXT) -> Sealed:
    """From Alice to Bob."""
    if kind == KIND_KNOWN:
        return seal_known(ALICE, ALICE_SECRETS, BOB.node_id, payload, context, RNG)
    return seal_introduction(ALICE, BOB.node_id, payload, context, RNG)


def bob_opens(data: bytes, context: bytes = CONTEXT, candidates: tuple[NodeId, ...] = ()) -> Opened:
    return open_envelope(BOB, BOB_SECRETS, data, context, candidates or (EVE.node_id, ALICE.node_id))


@pytest.mark.parametrize("kind", KINDS)
@given(payload=st.binary(max_size=500), context=st.binary(max_size=40))
def test_n9_round_trip(kind: int, payload: bytes, context: bytes) -> None:
    sealed = seal(kind, payload, context)
    opened = bob_opens(sealed.envelope, context)
    assert (opened.sender, opened.payload) == (ALICE.node_id, payload)
    assert (opened.delivered, opened.read) == (sealed.delivered, sealed.read)
    overhead = KNOWN_OVERHEAD if kind == KIND_KNOWN else INTRODUCTION_OVERHEAD
    assert len(sealed.envelope) == len(payload) + overhead


def by_hand(kind: int, payload: bytes, ephemeral: bytes) -> tuple[bytes, bytes]:
    """An envelope and its `delivered` receipt after docs/protocol/identity.md, with other libraries."""

    def exchange(secret: bytes, public: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))

    def static(who: Identity) -> bytes:
        sign = who.node_id[31] & 0x80
        public = X25519PrivateKey.from_private_bytes(who.agreement_secret).public_key().public_bytes_raw()
        return public[:31] + bytes((public[31] | sign,))

    def hkdf(ck: bytes, material: bytes) -> tuple[bytes, bytes]:
        prk = hmac.digest(ck, material, "blake2b")
        first = hmac.digest(prk, b"\x01", "blake2b")
        return first, hmac.digest(prk, first + b"\x02", "blake2b")

    def mix(state: bytes, data: bytes) -> bytes:
        return blake2b(state + data).digest()

    e = X25519PrivateKey.from_private_bytes(ephemeral).public_key().public_bytes_raw()
    shared = exchange(ALICE.agreement_secret, static(BOB))
    ck = b"Noise_%c_25519_ChaChaPoly_BLAKE2b" % b"KX"[kind - 1] + bytes(32)
    h = mix(ck, b"NexusEnvelope/0" + bytes((kind,)) + CONTEXT)
    if kind == KIND_KNOWN:
        h = mix(h, static(ALICE))
    h = mix(mix(h, static(BOB)), e)
    ck, key = hkdf(ck, exchange(ephemeral, static(BOB)))
    sealed_static = b""
    if kind == KIND_INTRODUCTION:
        sealed_static = ChaCha20Poly1305(key[:32]).encrypt(bytes(12), static(ALICE), h)
        h = mix(h, sealed_static)
    ck, key = hkdf(ck, shared)
    ciphertext = ChaCha20Poly1305(key[:32]).encrypt(bytes(12), payload, h)
    hint = blake2b(e, key=shared, digest_size=1, person=b"nexus hint").digest()
    head = bytes((kind,)) + (hint if kind == KIND_KNOWN else b"")
    answers = hkdf(ck, b"")[1][:32]
    receipt = blake2b(b"delivered", key=answers, digest_size=16).digest()
    return head + e + sealed_static + ciphertext, receipt


@pytest.mark.parametrize("kind", KINDS)
def test_n9_the_layout_byte_by_byte(kind: int) -> None:
    envelope, receipt = by_hand(kind, b"some text", bytes(range(32)))
    opened = bob_opens(envelope)
    assert (opened.sender, opened.payload, opened.delivered) == (ALICE.node_id, b"some text", receipt)


def test_n9_sizes_in_bytes() -> None:
    assert (KNOWN_OVERHEAD, INTRODUCTION_OVERHEAD) == (50, 97)


@pytest.mark.parametrize("kind", KINDS)
def test_n9_the_longest_text_fits(kind: int) -> None:
    payload = RNG.random_bytes(limits.PACKET_MAX - INTRODUCTION_OVERHEAD)
    assert bob_opens(seal(kind, payload).envelope).payload == payload


def test_n9_an_introduction_gives_the_node_id_of_either_sign() -> None:
    signs = set()
    for _ in range(12):
        sender = Identity.generate(RNG)
        sealed = seal_introduction(sender, BOB.node_id, b"", CONTEXT, RNG)
        assert bob_opens(sealed.envelope).sender == sender.node_id
        signs.add(sign_bit(sender.node_id))
    assert signs == {0, 1}


@pytest.mark.parametrize("kind", KINDS)
def test_n9_every_bit_flip_is_refused(kind: int) -> None:
    data = seal(kind, b"some text").envelope
    for bit in range(len(data) * 8):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadWire):
            bob_opens(bytes(altered))


@pytest.mark.parametrize("kind", KINDS)
def test_n9_every_truncation_and_any_tail_is_refused(kind: int) -> None:
    data = seal(kind, b"some text").envelope
    for altered in [data[:size] for size in range(len(data))] + [data + b"\0"]:
        with pytest.raises(BadWire):
            bob_opens(altered)


@pytest.mark.parametrize("kind", KINDS)
def test_n9_destination_and_time_cannot_be_altered(kind: int) -> None:
    data = seal(kind, b"some text").envelope
    for bit in range(len(CONTEXT) * 8):
        altered = bytearray(CONTEXT)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadWire):
            bob_opens(data, bytes(altered))


@pytest.mark.parametrize("kind", KINDS)
def test_n9_nobody_but_the_recipient_opens_it(kind: int) -> None:
    data = seal(kind, b"some text").envelope
    for who, secrets in ((EVE, EVE_SECRETS), (ALICE, ALICE_SECRETS)):
        with pytest.raises(BadWire):
            open_envelope(who, secrets, data, CONTEXT, [ALICE.node_id, BOB.node_id])


def test_n9_unknown_sender_and_bad_envelope_are_told_apart() -> None:
    known, introduction = seal(KIND_KNOWN, b"x").envelope, seal(KIND_INTRODUCTION, b"x").envelope
    with pytest.raises(BadWire, match="unknown_sender"):
        bob_opens(known, candidates=(EVE.node_id,))
    for data in (b"", known[:20], introduction[:-1], b"\x11" + known[1:], b"\x03" + introduction[1:]):
        with pytest.raises(BadWire, match="bad_envelope"):
            bob_opens(data)


def test_n9_a_candidate_that_is_no_key_does_not_shut_out_the_others() -> None:
    data = seal(KIND_KNOWN, b"some text").envelope
    assert bob_opens(data, candidates=(NodeId(bytes(32)), ALICE.node_id)).payload == b"some text"
    with pytest.raises(BadWire, match="unknown_sender"):
        bob_opens(data, candidates=(NodeId(bytes(32)),))


def forged(kind: int, static: KeyPair, ss: bytes) -> bytes:
    """What an attacker with all of this code, but not Alice's secret, can send as Alice."""
    handshake = Handshake(
        "K" if kind == KIND_KNOWN else "X",
        initiator=True,
        prologue=envelopes._prologue(kind, CONTEXT),
        rng=RNG,
        s=static,
        rs=BOB.static.public,
        ss=ss,
    )
    message = handshake.write(b"I am Alice")
    # Even if the attacker guessed the hint.
    true_hint = envelopes._hint(message[:32], ALICE_SECRETS.with_node(BOB.node_id))
    return bytes((kind, true_hint)) + message if kind == KIND_KNOWN else bytes((kind,)) + message


@pytest.mark.parametrize("kind", KINDS)
def test_n9_a_message_claiming_another_sender_is_refused(kind: int) -> None:
    claimed = KeyPair(EVE.agreement_secret, ALICE.static.public)
    for ss in (EVE_SECRETS.with_node(BOB.node_id), bytes(32)):
        with pytest.raises(BadWire):
            bob_opens(forged(kind, claimed, ss))
    right = forged(kind, ALICE.static, ALICE_SECRETS.with_node(BOB.node_id))
    assert bob_opens(right).payload == b"I am Alice"


def test_n9_a_key_s_negative_is_not_taken_for_it() -> None:
    """Both have the same X25519 view: anybody could offer Alice's negative as their own contact link."""
    negative = node_id_of(ALICE.agreement_public, 1 - sign_bit(ALICE.node_id))
    data = seal(KIND_KNOWN, b"from Alice").envelope
    with pytest.raises(BadWire, match="unknown_sender"):
        bob_opens(data, candidates=(negative,))
    assert bob_opens(data, candidates=(negative, ALICE.node_id)).sender == ALICE.node_id
    to_negative = node_id_of(BOB.agreement_public, 1 - sign_bit(BOB.node_id))
    data = seal_known(ALICE, ALICE_SECRETS, to_negative, b"", CONTEXT, RNG).envelope
    with pytest.raises(BadWire, match="unknown_sender"):
        bob_opens(data)


def test_n9_nothing_of_the_sender_shows_and_nothing_repeats() -> None:
    seen = [seal(kind, b"the same text").envelope for kind in KINDS for _ in range(200)]
    assert len({data[2:34] for data in seen}) == len(seen)
    for data in seen:
        for secret in (ALICE.node_id, ALICE.agreement_public, ALICE.address, b"the same text"):
            assert secret not in data
    # The hint is as good as random to those without the secret.
    assert len({data[1] for data in seen if data[0] == KIND_KNOWN}) > 80


def test_n9_only_candidates_with_the_right_hint_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = [Identity.generate(RNG).node_id for _ in range(100)]
    tried = []
    read = Handshake.read
    monkeypatch.setattr(Handshake, "read", lambda self, data: tried.append(1) or read(self, data))
    for _ in range(10):
        data = seal(KIND_KNOWN, b"text").envelope
        assert bob_opens(data, candidates=(*strangers, ALICE.node_id)).sender == ALICE.node_id
    assert 10 <= len(tried) <= 30


def test_shared_secrets_are_symmetric_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ALICE_SECRETS.with_node(BOB.node_id) == BOB_SECRETS.with_node(ALICE.node_id)
    monkeypatch.setattr(envelopes, "SHARED_SECRETS", 3)
    secrets = SharedSecrets(ALICE)
    others = [Identity.generate(RNG).node_id for _ in range(3)]
    for node_id in (BOB.node_id, *others[:2], BOB.node_id, others[2]):
        secrets.with_node(node_id)
    assert list(secrets._known) == [others[1], BOB.node_id, others[2]]
    with pytest.raises(BadWire, match="bad_node_id"):
        secrets.with_node(NodeId(bytes(32)))


@pytest.mark.parametrize("kind", KINDS)
def test_n9_receipts_differ_by_message_and_meaning(kind: int) -> None:
    receipts = [r for _ in range(50) for s in [seal(kind, b"same")] for r in (s.delivered, s.read)]
    assert len(set(receipts)) == 100
    assert {len(receipt) for receipt in receipts} == {16}
    marks = {receipt_mark(receipt) for receipt in receipts}
    assert len(marks) == 100
    assert not marks & set(receipts)
    assert receipt_mark(receipts[0]) == blake2b(receipts[0], digest_size=16, person=b"nexus mark").digest()


def test_no_text_and_no_receipt_in_a_repr() -> None:
    sealed = seal(KIND_KNOWN, b"some text")
    opened = bob_opens(sealed.envelope)
    for shown in (repr(sealed), repr(opened), repr(ALICE_SECRETS)):
        assert "some text" not in shown
        assert repr(sealed.delivered) not in shown
        assert repr(sealed.read) not in shown


@settings(max_examples=300)
@given(data=st.binary(max_size=300), kind=st.sampled_from((0, KIND_KNOWN, KIND_INTRODUCTION, 0x11)))
def test_anything_at_all_is_bad_wire(data: bytes, kind: int) -> None:
    for attempt in (data, bytes((kind,)) + data):
        with pytest.raises(BadWire):
            bob_opens(attempt)
