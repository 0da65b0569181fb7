"""Sealed frames of an established link: 64-bit counters, short on the wire, and a replay window (N3)."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import REKEY_OVERLAP_S, REPLAY_WINDOW
from nexus_node.wire.frames import SealedFrame, sealed_header

_WINDOW_MASK = (1 << REPLAY_WINDOW) - 1
_EPOCHS = 4


class ReceivedCounters:
    """Which counters were opened under one key."""

    def __init__(self) -> None:
        self.next = 0
        """One above the highest counter opened."""
        self.seen = 0
        """Bit i: counter `next - 1 - i` was opened."""

    def full_counter(self, low: int) -> int:
        """The counter nearest to the expected one whose low 16 bits these are."""
        counter = (self.next & ~0xFFFF) | low
        if counter + 0x8000 < self.next:
            return counter + 0x10000
        if counter > self.next + 0x8000 and counter >= 0x10000:
            return counter - 0x10000
        return counter

    def is_replay(self, counter: int) -> bool:
        behind = self.next - 1 - counter
        return behind >= 0 and (behind >= REPLAY_WINDOW or bool(self.seen >> behind & 1))

    def mark(self, counter: int) -> None:
        ahead = counter + 1 - self.next
        if ahead > 0:
            self.seen = (self.seen << ahead | 1) & _WINDOW_MASK if ahead < REPLAY_WINDOW else 1
            self.next = counter + 1
        else:
            self.seen |= 1 << -ahead


class _OpenKey(ReceivedCounters):
    """One receiving key with what has been seen under it."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self.aead = ChaCha20Poly1305(key)
        self.expires = float("inf")


class Session:
    """The keys of one established link: ChaCha20-Poly1305 with the counter as nonce (Noise order)."""

    def __init__(
        self, send_key: bytes, open_key: bytes, binding: bytes, index: int | None, now: float
    ) -> None:
        """`binding` is the handshake hash, which rekeys build on; `index` the receiver's, on shared media."""
        self.binding = binding
        self.index = index
        self.epoch = 0
        self._seal = ChaCha20Poly1305(send_key)
        self._counter = 0
        self._open = {0: _OpenKey(open_key)}
        self._next_send: tuple[int, bytes] | None = None
        self._unheard = False
        """Whether this side has switched to new keys, and has not yet heard the peer use them."""
        self.peer_is_behind = False
        """Whether the peer goes on under old keys: what should have told it of the new ones got lost."""
        self.keyed_at = now
        self.sealed_bytes = 0

    def seal(self, plaintext: bytes) -> bytes:
        """One frame under the current keys."""
        counter = self._counter
        self._counter = counter + 1
        header = sealed_header(self.epoch, self.index, counter)
        self.sealed_bytes += len(plaintext)
        return header + self._seal.encrypt(b"\0\0\0\0" + counter.to_bytes(8, "little"), plaintext, header)

    def open(self, frame: SealedFrame, now: float) -> bytes:
        """The plaintext. Raises BadWire: "replay", "bad_tag" (forged, damaged or of another session)."""
        key = self._open.get(frame.epoch)
        if key is None or now >= key.expires:
            raise BadWire("bad_tag")
        counter = key.full_counter(frame.counter_low)
        if key.is_replay(counter):
            raise BadWire("replay")
        try:
            plaintext = key.aead.decrypt(
                b"\0\0\0\0" + counter.to_bytes(8, "little"), frame.ciphertext, frame.header
            )
        except InvalidTag:
            raise BadWire("bad_tag") from None
        key.mark(counter)
        if self._unheard:
            self.peer_is_behind = frame.epoch != self.epoch
            if not self.peer_is_behind:
                self._unheard = False
                self._let_go(now)
        if self._next_send is not None and self._next_send[0] == frame.epoch:
            self._switch(*self._next_send, now)
            self._let_go(now)
        return plaintext

    def rekey(self, send_key: bytes, open_key: bytes, now: float, *, initiator: bool) -> None:
        """Take new keys into use (N3).

        The initiator sends with them at once, since the responder made them first; the responder
        when it first hears them used. Frames under the old keys are opened for a while longer.
        """
        epoch = (self.epoch + 1) % _EPOCHS
        self._open = {number: key for number, key in self._open.items() if now < key.expires}
        self._open[epoch] = _OpenKey(open_key)
        if initiator:
            self._switch(epoch, send_key, now)
            self._unheard = True
        else:
            self._next_send = (epoch, send_key)
            self.keyed_at = now

    def _let_go(self, now: float) -> None:
        """Of the old keys, but for frames under way that the peer sealed before."""
        for number, key in self._open.items():
            if number != self.epoch:
                key.expires = min(key.expires, now + REKEY_OVERLAP_S)

    def _switch(self, epoch: int, send_key: bytes, now: float) -> None:
        self.epoch = epoch
        self._seal = ChaCha20Poly1305(send_key)
        self._counter = 0
        self._next_send = None
        self.sealed_bytes = 0
        self.keyed_at = now
