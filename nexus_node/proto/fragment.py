"""Packets larger than a frame: cut up, sent with selective repeat, put together (docs/protocol/link.md).

On ordered carriers nothing is lost, so nothing is acknowledged; elsewhere the receiver says what is
missing when the sender asks.
"""

from collections import OrderedDict

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import (
    FRAGMENT_COST,
    FRAGMENTS_MAX,
    PACKET_MAX,
    REASSEMBLY_BYTES,
    TRANSFERS_DONE,
    TRANSFERS_IN,
)
from nexus_node.wire.fragments import FRAGMENT_HEAD, Fragment, FragmentAck

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

    def next_fragment(self, *, ask: bool = False) -> Fragment:
        """The next one to send; there is one unless `waiting`. `ask` has it acknowledged at once."""
        if self._again:
            index = self._again.pop(0)
            ask = ask or not self._again
        else:
            index = self._next
            self._next += 1
            ask = ask or self.waiting or index % ACK_EVERY == ACK_EVERY - 1
        last = index == len(self._parts) - 1
        if self._ordered:
            self._missing.discard(index)
        return Fragment(self.number, index, self._parts[index], last, ask and not self._ordered)

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


class ReassemblyBudget:
    """What the partial packets of all links of a node may take together; the oldest goes first."""

    def __init__(self, limit: int = REASSEMBLY_BYTES) -> None:
        self._left = limit
        self._charged: OrderedDict[tuple[Reassembly, int], int] = OrderedDict()

    def charge(self, owner: "Reassembly", number: int, size: int) -> None:
        key = (owner, number)
        self._charged[key] = self._charged.get(key, 0) + size
        self._left -= size
        while self._left < 0:
            other, oldest = next(iter(self._charged))
            other.drop(oldest)

    def release(self, owner: "Reassembly", number: int) -> None:
        self._left += self._charged.pop((owner, number), 0)


class Reassembly:
    """Partial packets from one neighbour, bounded in number and size."""

    def __init__(self, budget: ReassemblyBudget) -> None:
        self._budget = budget
        self._partial: OrderedDict[int, _Partial] = OrderedDict()
        self._done: OrderedDict[int, int] = OrderedDict()
        """Transfer number to fragment count, of those completed lately."""

    def take(self, fragment: Fragment, *, ordered: bool) -> tuple[bytes | None, FragmentAck | None]:
        """Take a fragment in: the packet if that completes it, and an acknowledgement if one is due.

        A sender numbers its transfers round 256, so a number among those completed lately is a repeat,
        and a fragment that contradicts a partial packet begins a new one. Raises BadWire("packet_too_large").
        """
        number = fragment.transfer
        count = self._done.get(number)
        if count is not None:
            return None, FragmentAck(number, count)
        partial = self._partial.get(number)
        if partial is None or partial.contradicts(fragment):
            self.drop(number)
            partial = self._partial[number] = _Partial()
            if len(self._partial) > TRANSFERS_IN:
                self.drop(next(iter(self._partial)))
        if partial.size + len(fragment.data) > PACKET_MAX or fragment.index >= FRAGMENTS_MAX:
            self.drop(number)
            raise BadWire("packet_too_large")
        if partial.add(fragment):
            self._budget.charge(self, number, len(fragment.data) + FRAGMENT_COST)
        packet = partial.complete()
        if packet is None:
            return None, partial.ack(number) if fragment.ack_wanted else None
        self.drop(number)
        if ordered:
            return packet, None
        self._done[number] = len(partial.parts)
        if len(self._done) > TRANSFERS_DONE:
            self._done.popitem(last=False)
        return packet, FragmentAck(number, len(partial.parts))

    def is_done(self, number: int) -> bool:
        """Whether that transfer was completed lately."""
        return number in self._done

    def drop(self, number: int) -> None:
        """Forget a partial packet."""
        if self._partial.pop(number, None) is not None:
            self._budget.release(self, number)

    def clear(self) -> None:
        """Forget everything: the link session is over."""
        for number in list(self._partial):
            self.drop(number)
        self._done.clear()


class _Partial:
    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.size = 0
        self._arrived = 0
        """Bit i: fragment i is here."""
        self._count: int | None = None

    def contradicts(self, fragment: Fragment) -> bool:
        """Whether the fragment cannot be of the same packet."""
        known = self.parts.get(fragment.index)
        if known is not None:
            return known != fragment.data
        if fragment.last:
            return self._count is not None or self._arrived >> (fragment.index + 1) != 0
        return self._count is not None and fragment.index >= self._count

    def add(self, fragment: Fragment) -> bool:
        """True if it is new."""
        if fragment.index in self.parts:
            return False
        if fragment.last:
            self._count = fragment.index + 1
        self.parts[fragment.index] = fragment.data
        self.size += len(fragment.data)
        self._arrived |= 1 << fragment.index
        return True

    def complete(self) -> bytes | None:
        if self._count is None or len(self.parts) < self._count:
            return None
        return b"".join(self.parts[index] for index in range(self._count))

    def ack(self, number: int) -> FragmentAck:
        base = (~self._arrived & (self._arrived + 1)).bit_length() - 1
        return FragmentAck(number, base, self._arrived >> (base + 1))
