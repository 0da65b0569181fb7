"""The keys of a group's epoch, and messages sealed once for all its members (N11).

Each sender has a hash ratchet under the epoch's secret, as Signal's sender keys have: a key for each
message, gone once it is used. Who sent which stands in four masked bytes, as QUIC hides packet numbers (RFC
9001 section 5.4). Layout, promises and what is not promised: docs/protocol/group.md.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import GROUP_AHEAD_MAX
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity, verify

SECRET_SIZE = 32
COMMITMENT_SIZE = 16
TAG_SIZE = 16
HINT_SIZE = 2
COUNTER_MAX = 2**24 - 1
"""Messages of one sender in one epoch: three bytes."""

KIND_UNSIGNED = 0x03
KIND_SIGNED = 0x04
"""The first byte of a group message: version 0 in the high nibble, the kind in the low one. Envelopes have 1
and 2."""

_OPEN = Struct("<BI2s")
_MASKED_SIZE = 4
OVERHEAD = _OPEN.size + _MASKED_SIZE + TAG_SIZE
"""Bytes a sealed message is longer than its payload: 27, and 91 with a signature."""
_ONCE = bytes(12)
"""The nonce: each key seals one message."""
_LABEL = b"NexusGroupMessage/0"


def commitment_of(secret: bytes) -> bytes:
    """The 16 bytes by which an operation names the secret of the epoch it begins."""
    return blake2b(secret, digest_size=COMMITMENT_SIZE, person=b"nexus grp commit").digest()


@dataclass(slots=True)
class Chain:
    """One sender's ratchet, as far as it has come here. `key` opens message number `counter` and later ones,
    `skipped` some that have not come yet, by their numbers."""

    counter: int
    key: bytes = field(repr=False)
    skipped: dict[int, bytes] = field(default_factory=dict, repr=False)

    def take(self, counter: int) -> tuple[bytes, "Chain"]:
        """The key of that message, and the chain without it. Raises BadWire: "group_repeat" for a key that is
        gone, "group_ahead" for one too far away."""
        if counter < self.counter:
            rest = dict(self.skipped)
            key = rest.pop(counter, None)
            if key is None:
                raise BadWire("group_repeat")
            return key, Chain(self.counter, self.key, rest)
        if counter - self.counter > GROUP_AHEAD_MAX:
            raise BadWire("group_ahead")
        key, skipped = self.key, dict(self.skipped)
        for number in range(self.counter, counter):
            skipped[number] = _message_key(key)
            key = _next_key(key)
        while len(skipped) > GROUP_AHEAD_MAX:
            del skipped[next(iter(skipped))]
        return _message_key(key), Chain(counter + 1, _next_key(key), skipped)


@dataclass(slots=True)
class EpochKeys:
    """What a member keeps of one epoch. Without `secret` only the chains are left, and no message that was
    read opens again."""

    hint: bytes
    header_key: bytes = field(repr=False)
    secret: bytes | None = field(repr=False)
    chains: dict[int, Chain] = field(default_factory=dict)
    """By the sender's place among the members of the epoch; while there is a secret, those that were used."""

    @classmethod
    def of(cls, secret: bytes) -> "EpochKeys":
        hint = blake2b(key=secret, digest_size=HINT_SIZE, person=b"nexus grp hint").digest()
        header_key = blake2b(key=secret, digest_size=32, person=b"nexus grp header").digest()
        return cls(hint, header_key, secret)

    def chain(self, place: int, members: tuple[NodeId, ...]) -> Chain:
        """Raises BadWire("bad_group_message") for a place that nobody has."""
        known = self.chains.get(place)
        if known is not None:
            return known
        if self.secret is None or place >= len(members):
            raise BadWire("bad_group_message")
        key = blake2b(members[place], key=self.secret, digest_size=32, person=b"nexus grp chain")
        return Chain(0, key.digest())

    def forget_secret(self, members: tuple[NodeId, ...]) -> None:
        """Keep only where each sender's chain has come to."""
        if self.secret is not None:
            self.chains = {place: self.chain(place, members) for place in range(len(members))}
            self.secret = None


@dataclass(slots=True)
class OpenedGroupMessage:
    """What a group message held. `chain` replaces its sender's once the payload is safe."""

    place: int
    sender: NodeId
    seconds: int
    payload: bytes = field(repr=False)
    chain: Chain


def seal_group_message(
    keys: EpochKeys,
    members: tuple[NodeId, ...],
    identity: Identity,
    payload: bytes,
    *,
    context: bytes,
    seconds: int,
    signed: bool,
) -> tuple[bytes, int, Chain]:
    """Seal once for all members of an epoch: the message, our place, and our chain without its key.

    `context` is what binds it to its group and epoch. The chain must be stored before the message leaves: the
    same key must not seal another. Raises ValueError if we are no member, BadWire("group_ahead") when the
    epoch's numbers are used up.
    """
    place = members.index(identity.node_id)
    chain = keys.chain(place, members)
    counter = chain.counter
    if counter > COUNTER_MAX:
        raise BadWire("group_ahead")
    head = _OPEN.pack(KIND_SIGNED if signed else KIND_UNSIGNED, seconds, keys.hint)
    header = _header(place, counter)
    associated = _LABEL + context + head + header
    if signed:
        payload = identity.sign(associated + payload) + payload
    key, after = chain.take(counter)
    ciphertext = crypto_aead_chacha20poly1305_ietf_encrypt(payload, associated, _ONCE, key)
    return head + _mask(header, keys.header_key, ciphertext) + ciphertext, place, after


def hint_of(message: bytes) -> bytes:
    """Which epoch's keys may open it. Raises BadWire("bad_group_message")."""
    if len(message) < OVERHEAD or message[0] not in (KIND_UNSIGNED, KIND_SIGNED):
        raise BadWire("bad_group_message")
    hint: bytes = _OPEN.unpack_from(message)[2]
    return hint


def number_of(keys: EpochKeys, message: bytes) -> tuple[int, int]:
    """Whose message of that epoch it is, by place, and which of theirs.

    Raises BadWire("bad_group_message").
    """
    hint_of(message)
    header = _mask(message[_OPEN.size : _OPEN.size + _MASKED_SIZE], keys.header_key, message)
    return header[0], int.from_bytes(header[1:], "little")


def open_group_message(
    keys: EpochKeys, members: tuple[NodeId, ...], message: bytes, *, context: bytes, signed: bool
) -> OpenedGroupMessage:
    """Open a message of that epoch, whatever bytes it may be.

    Raises BadWire: "bad_group_message", "group_repeat" for one that was opened before, "group_ahead".
    """
    place, counter = number_of(keys, message)
    kind, seconds, _ = _OPEN.unpack_from(message)
    if signed != (kind == KIND_SIGNED):
        raise BadWire("bad_group_message")
    head, ciphertext = message[: _OPEN.size], message[_OPEN.size + _MASKED_SIZE :]
    key, after = keys.chain(place, members).take(counter)
    associated = _LABEL + context + head + _header(place, counter)
    try:
        payload = crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, associated, _ONCE, key)
    except CryptoError:
        raise BadWire("bad_group_message") from None
    if signed:
        signature, payload = payload[:SIGNATURE_SIZE], payload[SIGNATURE_SIZE:]
        if not verify(members[place], associated + payload, signature):
            raise BadWire("bad_group_message")
    return OpenedGroupMessage(place, members[place], seconds, payload, after)


def _header(place: int, counter: int) -> bytes:
    return bytes((place,)) + counter.to_bytes(3, "little")


def _mask(header: bytes, key: bytes, ciphertext: bytes) -> bytes:
    """Hide, or show, who sent which: with bytes that only members can make from the message's tag."""
    mask = blake2b(ciphertext[-TAG_SIZE:], key=key, digest_size=_MASKED_SIZE, person=b"nexus grp mask")
    return bytes(one ^ other for one, other in zip(header, mask.digest(), strict=True))


def _message_key(chain_key: bytes) -> bytes:
    return blake2b(b"\x01", key=chain_key, digest_size=32, person=b"nexus grp key").digest()


def _next_key(chain_key: bytes) -> bytes:
    return blake2b(b"\x02", key=chain_key, digest_size=32, person=b"nexus grp key").digest()
