"""How much of what an RNode was given is still in its queue (radio.md section 2.4). Sans-IO."""

from collections import deque
from typing import NamedTuple

from nexus_firmware.rnode_events import Ready
from nexus_firmware.rnode_spans import Sent, SentSpans

_FIRST_WORD_S = 3.0
"""After the radio went on: firmware that tells has told by then."""


class _Given(NamedTuple):
    """A packet in the device; `earliest` is when it is out if all goes well."""

    earliest: float
    size: int
    airtime: float


class QueueAccount:
    """What the device's queue may still hold of what it was given.

    The firmware drops silently what does not fit, tears the packet after it, and sends its whole queue
    without listening in between: so few packets belong into it. It says nothing of its queue unless asked
    (`READY_QUERY`), and then only yes or no. But while it sends it does nothing else: it answers no
    question, and when its queue has gone out it first of all tells how much it has sent. So whatever it had
    read, as an answer to a later question shows, is out when it tells that it has sent something. Where it
    never tells, this reckons by time on air.

    Where it may have sent it all or nothing, it is given one packet more than `packets`.

    `longest` is the airtime of its longest LoRa frame. `patience` is how long, on an air of its own, it can
    take to send something: when it has not, it has lost what it was given. `one_by_one` says that it listens
    again after each packet, as it does at more than 14 kbit/s.
    """

    def __init__(
        self,
        packets: int = 4,
        octets: int = 3000,
        longest: float = 1.0,
        patience: float = 10.0,
        one_by_one: bool = False,
    ) -> None:
        self._packets = packets
        self._octets = octets
        self._longest = longest
        self._patience = patience
        self._one_by_one = one_by_one
        self.forget()

    def forget(self) -> None:
        """The device restarted: its queue is empty."""
        self._held: deque[_Given] = deque()
        self._read = 0
        """So many of them the device has read, as an answer shows."""
        self._asked: deque[int] = deque()
        """How many it held at each question that is not answered yet."""
        self._full = False
        self._spans = SentSpans(self._longest)
        self._perhaps_out: int | None = None
        """So many it has read, and perhaps sent: what it is given next will show it."""
        self._told_at: float | None = None
        self._first_word_by = 0.0
        self._chances = 0.0
        """Seconds in which it could have sent something, and did not."""

    @property
    def waits(self) -> bool:
        """Whether the device has yet to send something, as far as it tells."""
        return bool(self._held) and self._told_at is not None

    @property
    def unread(self) -> bool:
        """Whether it has yet to be asked about something it was given."""
        return self._read < len(self._held)

    @property
    def airtime(self) -> float:
        """Seconds in which it may be silent, as it sends what it holds."""
        return sum(one.airtime for one in self._held)

    def took(self, size: int, airtime: float, now: float) -> None:
        """A packet of `size` bytes was written; it needs `airtime` seconds."""
        starts = max(self._held[-1].earliest, now) if self._held else now
        self._held.append(_Given(starts + airtime, size, airtime))

    def switched_on(self, now: float) -> None:
        """The radio is on from now."""
        self._first_word_by = now + _FIRST_WORD_S

    def asked(self) -> None:
        """The device was asked whether it has room, after all that it was given."""
        self._asked.append(len(self._held))

    def answered(self, ready: Ready) -> None:
        """The device said whether it has room."""
        self._full = not ready.room
        if self._asked:
            self._read = max(self._read, self._asked.popleft())

    def told(self, share: float, others: float, now: float) -> None:
        """The device said how much it has sent, as a share of two spans (`SentSpans`), and how much of the
        air others have."""
        since, self._told_at = self._told_at, now
        sent = self._spans.told(share, now)
        if sent is Sent.YES:
            self._drop(1 if self._one_by_one else max(self._read, 1))
            self._chances = 0.0
        elif since is not None:
            # On a busy air others win it again and again.
            self._chances += (now - since) * (1 - others) ** 4
        if sent is Sent.SINCE_PERHAPS and self._perhaps_out and not self._one_by_one:
            self._drop(self._perhaps_out)
        if self._chances >= self._patience:
            self._drop(len(self._held))
        if sent in (Sent.PERHAPS, Sent.SINCE_PERHAPS) and self._perhaps_out is None:
            self._perhaps_out = self._read
        if not self._held:
            self._perhaps_out, self._chances = None, 0.0

    def _drop(self, packets: int) -> None:
        for _ in range(min(packets, len(self._held))):
            self._held.popleft()
        self._read = max(self._read - packets, 0)
        self._perhaps_out = None
        self._asked = deque(max(held - packets, 0) for held in self._asked)

    def room(self, size: int, now: float) -> bool:
        """Whether a packet of `size` bytes may be written now."""
        silent = self._told_at is None and now >= self._first_word_by
        while silent and self._held and self._held[0].earliest <= now:
            self._drop(1)
        packets, octets = len(self._held), sum(one.size for one in self._held)
        if self._perhaps_out is not None:
            packets, octets = packets - 1, octets - size
        return not self._full and packets < self._packets and octets + size <= self._octets

    def next_room(self, now: float) -> float | None:
        """When the next packet will have left, if one is held; None where the device tells."""
        if self._told_at is not None:
            return None
        out = next((one.earliest for one in self._held if one.earliest > now), None)
        return max(out, self._first_word_by) if out is not None else None
