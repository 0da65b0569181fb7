"""Packets larger than a frame: cut up, sent with selective repeat, put together (docs/protocol/link.md).

On ordered carriers nothing is lost, so nothing is acknowledged; elsewhere the receiver says what is
missing when the sender asks.
"""

from collections import OrderedDict

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import FRAGMENTS_MAX, PACKET_MAX, TRANSFERS_DONE, TRANSFERS_IN
from nexus_node.wire.fragments import BITMAP_MAX, FRAGMENT_HEAD, Fragment, FragmentAck

ACK_EVERY = 16
"""Fragments between two requests for an acknowledgement."""


class OutgoingTransfer:
    """One packet on its way to one neighbour. Fragments leave when `next_fragment` is called."""

    def __init__(self, number: int, packet: bytes, fragment_size: int, *, ordered: bool) -> None:
        """`fragment_size` is the item body's size including its 3-byte head."""
        step = fragment_size - FRAGMENT_HEAD
        self.number = number
        self._parts = [packet[at : at + step] for at in range(0, len(packet), step)]
        self._ordered = ordered
        self._next = 0
        self._again: list[int] = []
        """Indices to repeat, lowest first."""
        self._missing = set(range(len(self._parts)))

    @property
    def finished(self) -> bool:
        """Whether everything has arrived, or on an ordered carrier has been sent."""
        return not self._missing

    @property
    def waiting(self) -> bool:
        """Whether all has been sent and an acknowledgement is awaited."""
        return not self._again and self._next == len(self._parts)

    @property
    def bytes_acknowledged(self) -> int:
        return sum(len(part) for index, part in enumerate(self._parts) if index not in self._missing)

    @property
    def next_size(self) -> int:
        """Bytes of the next fragment's item body."""
        return FRAGMENT_HEAD + len(self._parts[self._again[0] if self._again else self._next])

    def next_fragment(self) -> Fragment:
        """The next one to send; there is one unless `waiting`."""
        if self._again:
            index = self._again.pop(0)
            ask = not self._again
        else:
            index = self._next
            self._next += 1
            ask = not self._ordered and (self.waiting or index % ACK_EVERY == ACK_EVERY - 1)
        last = index == len(self._parts) - 1
        if self._ordered:
            self._missing.discard(index)
        return Fragment(self.number, index, self._parts[index], last, ask)

    def acknowledged(self, ack: FragmentAck) -> None:
        """Take in what arrived; repeat what lies below the highest arrival and is missing."""
        arrived = {index for index in self._missing if index < ack.base}
        arrived |= {
            index for index in self._missing if index > ack.base and ack.bitmap >> (index - ack.base - 1) & 1
        }
        self._missing -= arrived
        highest = ack.base + ack.bitmap.bit_length()
        gaps = (index for index in self._missing if index < min(highest, self._next))
        self._again = sorted(gaps)

    def timed_out(self) -> None:
        """Nothing was heard: repeat one fragment, so that the receiver says what it lacks or has."""
        if self._next:
            sent = [index for index in self._missing if index < self._next]
            self._again = [max(sent, default=self._next - 1)]


class Reassembly:
    """Partial packets from one neighbour, bounded in number and size."""

    def __init__(self) -> None:
        self._partial: OrderedDict[int, _Partial] = OrderedDict()
        self._done: OrderedDict[int, int] = OrderedDict()
        """Transfer number to fragment count, of those completed lately."""

    def take(self, fragment: Fragment, *, ordered: bool) -> tuple[bytes | None, FragmentAck | None]:
        """Take a fragment in: the packet if that completes it, and an acknowledgement if one is due.

        A sender numbers its transfers round 256, so a number among those completed lately is a repeat.
        Raises BadWire("fragment_conflict") or BadWire("packet_too_large").
        """
        number = fragment.transfer
        count = self._done.get(number)
        if count is not None:
            return None, FragmentAck(number, count)
        partial = self._partial.get(number)
        if partial is None:
            partial = self._partial[number] = _Partial()
            if len(self._partial) > TRANSFERS_IN:
                self._partial.popitem(last=False)
        try:
            partial.add(fragment)
        except BadWire:
            del self._partial[number]
            raise
        packet = partial.complete()
        if packet is None:
            return None, partial.ack(number) if fragment.ack_wanted else None
        del self._partial[number]
        if ordered:
            return packet, None
        self._done[number] = len(partial.parts)
        if len(self._done) > TRANSFERS_DONE:
            self._done.popitem(last=False)
        return packet, FragmentAck(number, len(partial.parts))

    def is_done(self, number: int) -> bool:
        """Whether that transfer was completed lately."""
        return number in self._done


class _Partial:
    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self._count: int | None = None
        self._highest = -1
        self._size = 0

    def add(self, fragment: Fragment) -> None:
        known = self.parts.get(fragment.index)
        if known is not None:
            if known != fragment.data:
                raise BadWire("fragment_conflict")
            return
        if fragment.last and self._count is None:
            self._count = fragment.index + 1
        self._highest = max(self._highest, fragment.index)
        if self._count is not None and self._highest >= self._count:
            raise BadWire("fragment_conflict")
        self._size += len(fragment.data)
        if self._size > PACKET_MAX or fragment.index >= FRAGMENTS_MAX:
            raise BadWire("packet_too_large")
        self.parts[fragment.index] = fragment.data

    def complete(self) -> bytes | None:
        if self._count is None or len(self.parts) < self._count:
            return None
        return b"".join(self.parts[index] for index in range(self._count))

    def ack(self, number: int) -> FragmentAck:
        base = 0
        while base in self.parts:
            base += 1
        most = min(8 * BITMAP_MAX, self._highest - base)
        bitmap = sum(1 << bit for bit in range(most) if base + 1 + bit in self.parts)
        return FragmentAck(number, base, bitmap)
