"""Broadcasts on a shared medium: sealed once by their sender, opened by all who have a link with it (N3, N4,
docs/protocol/link.md).

Its neighbours get a node's secret in the handshake, so a broadcast proves that its sender is one of those
whom the node has told: itself, or a neighbour that abuses it. What is broadcast must carry its own proof.
"""

from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import REKEY_AFTER_S
from nexus_node.base.rng import Rng
from nexus_node.proto.session import ReceivedCounters
from nexus_node.wire.frames import BroadcastShare, SealedFrame, sealed_header

_SECRET_SIZE = 16
_EPOCHS = 4
_COUNTERS = 1 << 15
"""Frames under one key: half of what the short counter tells apart, so that it need not be guessed."""


def _next(secret: bytes) -> bytes:
    """The secret of the epoch after: who learns it cannot go back."""
    return blake2b(secret, digest_size=_SECRET_SIZE, person=b"nexus bc next").digest()


def _aead(secret: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(blake2b(secret, digest_size=32, person=b"nexus bc key").digest())


def _nonce(counter: int) -> bytes:
    return b"\0\0\0\0" + counter.to_bytes(8, "little")


class BroadcastSender:
    """This node's own secret on one medium."""

    def __init__(self, rng: Rng, now: float) -> None:
        self._index = int.from_bytes(rng.random_bytes(2), "little")
        self._secret = rng.random_bytes(_SECRET_SIZE)
        self._begin(0, now)

    def _begin(self, epoch: int, now: float) -> None:
        self._epoch = epoch
        self._aead = _aead(self._secret)
        self._counter = 0
        self._since = now

    def _turn(self, now: float) -> None:
        if now >= self._since + REKEY_AFTER_S or self._counter >= _COUNTERS:
            self._secret = _next(self._secret)
            self._begin((self._epoch + 1) % _EPOCHS, now)

    def share(self, now: float) -> BroadcastShare:
        """What a neighbour is told in the handshake."""
        self._turn(now)
        return BroadcastShare(self._index, self._epoch, self._secret)

    def seal(self, plaintext: bytes, now: float) -> bytes:
        """One frame for all neighbours."""
        self._turn(now)
        counter = self._counter
        self._counter += 1
        header = sealed_header(self._epoch, self._index, counter, broadcast=True)
        return header + self._aead.encrypt(_nonce(counter), plaintext, header)


class BroadcastReceiver:
    """A neighbour's secret on one medium."""

    def __init__(self, share: BroadcastShare) -> None:
        self.index = share.index
        self._epoch = share.epoch % _EPOCHS
        self._secret = share.secret
        self._aead = _aead(share.secret)
        self._counters = ReceivedCounters()

    def open(self, frame: SealedFrame) -> bytes:
        """The plaintext. Raises BadWire: "replay", "bad_tag" (forged, damaged, or of another sender)."""
        secret, aead, counters = self._at(frame)
        counter = frame.counter_low
        if counters.is_replay(counter):
            raise BadWire("replay")
        try:
            plaintext = aead.decrypt(_nonce(counter), frame.ciphertext, frame.header)
        except InvalidTag:
            raise BadWire("bad_tag") from None
        counters.mark(counter)
        self._epoch, self._secret, self._aead, self._counters = frame.epoch, secret, aead, counters
        return plaintext

    def has_sealed(self, frame: SealedFrame) -> bool:
        """Whether it is that neighbour's, and not of another one with the same index; nothing changes."""
        _, aead, _ = self._at(frame)
        try:
            aead.decrypt(_nonce(frame.counter_low), frame.ciphertext, frame.header)
        except InvalidTag:
            return False
        return True

    def _at(self, frame: SealedFrame) -> tuple[bytes, ChaCha20Poly1305, ReceivedCounters]:
        """The secret of that frame's epoch, and what follows from it."""
        ahead = (frame.epoch - self._epoch) % _EPOCHS
        if not ahead:
            return self._secret, self._aead, self._counters
        secret = self._secret
        for _ in range(ahead):  # it goes on by itself; whoever was not heard for longer has to be met again
            secret = _next(secret)
        return secret, _aead(secret), ReceivedCounters()
