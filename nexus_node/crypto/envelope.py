"""The envelope around a message, sealed end to end once, with a fresh ephemeral key (N9, S1).

A one-way Noise message to the recipient's static key. To somebody who knows our key (pattern K):
kind u8, hint u8, ephemeral 32, ciphertext, tag 16. As an introduction (pattern X): kind u8, ephemeral 32,
our sealed static key 48, ciphertext, tag 16. Layouts and reasons: docs/protocol/identity.md.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import SHARED_SECRETS
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity, agreement_key_of, node_id_of_static, static_key_of
from nexus_node.crypto.noise import KEY_SIZE, TAG_SIZE, Handshake, diffie_hellman

KIND_KNOWN = 0x01
KIND_INTRODUCTION = 0x02
"""The envelope's first byte: version 0 in the high nibble, the kind in the low one."""

KNOWN_OVERHEAD = 2 + KEY_SIZE + TAG_SIZE
INTRODUCTION_OVERHEAD = 1 + KEY_SIZE + KEY_SIZE + TAG_SIZE + TAG_SIZE
"""Bytes an envelope is longer than its payload: 50 and 97."""

RECEIPT_SIZE = 16

_LABEL = b"NexusEnvelope/0"


@dataclass(slots=True)
class Sealed:
    """An envelope, and the receipts (16 bytes each) that only its recipient can send back."""

    envelope: bytes
    delivered: bytes = field(repr=False)
    read: bytes = field(repr=False)


@dataclass(slots=True)
class Opened:
    """What an envelope held, who proved to have sealed it, and the receipts to send back."""

    sender: NodeId
    payload: bytes = field(repr=False)
    delivered: bytes = field(repr=False)
    read: bytes = field(repr=False)


class SharedSecrets:
    """The static Diffie-Hellman results of one identity, by node id; the least used one is forgotten."""

    def __init__(self, identity: Identity) -> None:
        self._secret = identity.agreement_secret
        self._known: OrderedDict[NodeId, bytes] = OrderedDict()

    def with_node(self, node_id: NodeId) -> bytes:
        """The 32-byte secret shared with that node. Raises BadWire("bad_node_id")."""
        shared = self._known.get(node_id)
        if shared is None:
            shared = diffie_hellman(self._secret, agreement_key_of(node_id))
            self._known[node_id] = shared
            if len(self._known) > SHARED_SECRETS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(node_id)
        return shared


def seal_known(
    identity: Identity, secrets: SharedSecrets, to: NodeId, payload: bytes, context: bytes, rng: Rng
) -> Sealed:
    """Seal for a node that knows our key: 50 bytes longer than the payload.

    `context` is what both ends know and nobody may alter: destination and time. Raises
    BadWire("bad_node_id").
    """
    shared = secrets.with_node(to)
    handshake = Handshake(
        "K",
        initiator=True,
        prologue=_prologue(KIND_KNOWN, context),
        rng=rng,
        s=identity.static,
        rs=static_key_of(to),
        ss=shared,
    )
    message = handshake.write(payload)
    head = bytes((KIND_KNOWN, _hint(message[:KEY_SIZE], shared)))
    return Sealed(head + message, *_receipts(handshake))


def seal_introduction(identity: Identity, to: NodeId, payload: bytes, context: bytes, rng: Rng) -> Sealed:
    """Seal for a node that may not know our key: 97 bytes longer than the payload, our key inside.

    Raises BadWire("bad_node_id").
    """
    handshake = Handshake(
        "X",
        initiator=True,
        prologue=_prologue(KIND_INTRODUCTION, context),
        rng=rng,
        s=identity.static,
        rs=static_key_of(to),
    )
    message = handshake.write(payload)
    return Sealed(bytes((KIND_INTRODUCTION,)) + message, *_receipts(handshake))


def open_envelope(
    identity: Identity,
    secrets: SharedSecrets,
    envelope: bytes,
    context: bytes,
    candidates: Iterable[NodeId],
) -> Opened:
    """Open an envelope, whatever bytes it may be, sealed to us with that `context`.

    Args:
        candidates: the nodes whose keys we know, likeliest first.

    Raises BadWire("unknown_sender") when none of them sealed this short envelope, BadWire("bad_envelope")
    for everything else.
    """
    kind = envelope[0] if envelope else 0
    if kind == KIND_KNOWN and len(envelope) >= KNOWN_OVERHEAD:
        return _open_known(identity, secrets, envelope, context, candidates)
    if kind == KIND_INTRODUCTION and len(envelope) >= INTRODUCTION_OVERHEAD:
        return _open_introduction(identity, envelope, context)
    raise BadWire("bad_envelope")


def receipt_mark(receipt: bytes) -> bytes:
    """The 16 bytes under which a sender keeps an expected receipt: its store proves no delivery."""
    return blake2b(receipt, digest_size=RECEIPT_SIZE, person=b"nexus mark").digest()


def _open_known(
    identity: Identity,
    secrets: SharedSecrets,
    envelope: bytes,
    context: bytes,
    candidates: Iterable[NodeId],
) -> Opened:
    hint, message = envelope[1], envelope[2:]
    ephemeral = message[:KEY_SIZE]
    for sender in candidates:
        try:
            shared = secrets.with_node(sender)
            if _hint(ephemeral, shared) != hint:
                continue
            handshake = Handshake(
                "K",
                initiator=False,
                prologue=_prologue(KIND_KNOWN, context),
                s=identity.static,
                rs=static_key_of(sender),
                ss=shared,
            )
            payload = handshake.read(message)
        except BadWire:
            # One stranger in 256 has the same hint; and a node id may be no key at all.
            continue
        return Opened(sender, payload, *_receipts(handshake))
    raise BadWire("unknown_sender")


def _open_introduction(identity: Identity, envelope: bytes, context: bytes) -> Opened:
    handshake = Handshake(
        "X", initiator=False, prologue=_prologue(KIND_INTRODUCTION, context), s=identity.static
    )
    try:
        payload = handshake.read(envelope[1:])
        sender = node_id_of_static(handshake.remote_static or b"")
    except BadWire:
        raise BadWire("bad_envelope") from None
    return Opened(sender, payload, *_receipts(handshake))


def _prologue(kind: int, context: bytes) -> bytes:
    return _LABEL + bytes((kind,)) + context


def _hint(ephemeral: bytes, shared: bytes) -> int:
    """One byte that tells the recipient which of its correspondents to try, and others nothing."""
    return blake2b(ephemeral, key=shared, digest_size=1, person=b"nexus hint").digest()[0]


def _receipts(handshake: Handshake) -> tuple[bytes, bytes]:
    """The receipts `delivered` and `read`: from the key for answers, which one-way patterns leave over."""
    key = handshake.split()[1]
    return (
        blake2b(b"delivered", key=key, digest_size=RECEIPT_SIZE).digest(),
        blake2b(b"read", key=key, digest_size=RECEIPT_SIZE).digest(),
    )
