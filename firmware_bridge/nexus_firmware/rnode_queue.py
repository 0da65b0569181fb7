"""How much of what an RNode was given is still in its queue (radio.md section 2.4). Sans-IO."""

from collections import deque
from dataclasses import dataclass
from math import inf

from nexus_firmware.rnode_spans import SentSpans

_FIRST_WORD_S = 3.0
"""After the radio went on: firmware that tells has told by then."""
_TELLS_S = 1.5
"""It tells at least so often, but while it sends."""

_CHANCES_MIN = 0.02
"""Of the time, however busy the air."""


@dataclass(slots=True)
class _Given:
    """A packet in the device; `earliest` is when it is out if all goes well, `read_at` when an answer showed
    that the device had read it."""

    earliest: float
    size: int
    airtime: float
    read_at: float = inf


class QueueAccount:
    """What the device's queue may still hold of what it was given.

    The firmware drops silently what does not fit, tears the packet after it, and sends its whole queue
    without listening in between: so few packets belong into it. It says nothing of its queue unless asked
    (`READY_QUERY`), and then only yes or no. But while it sends it does nothing else: it answers no
    question, and when its queue has gone out it first of all tells how much it has sent. So whatever it had
    read, as an answer to a later question shows, is out when it tells that it has sent something. Where it
    may have sent all or nothing, it is given one packet more than `packets`. Where it never tells, this
    reckons by time on air.

    `longest` is the airtime of its longest LoRa frame, `wait` what a packet usually waits for the air, and
    `patience` how long, on an air of its own, it can take to send something. `one_by_one` says that it
    listens again after each packet, as it does at more than 14 kbit/s.
    """

    def __init__(
        self,
        packets: int = 4,
        octets: int = 3000,
        longest: float = 1.0,
        wait: float = 0.0,
        patience: float = 10.0,
        one_by_one: bool = False,
    ) -> None:
        self._packets = packets
        self._octets = octets
        self._longest = longest
        self._wait = wait
        self._patience = patience
        self._one_by_one = one_by_one
        self.forget()

    def forget(self) -> None:
        """The device restarted: its queue is empty."""
        self._held: deque[_Given] = deque()
        self._asked: deque[int] = deque()
        """How many it held at each question that is not answered yet."""
        self._spans = SentSpans(self._longest)
        self._perhaps = False
        """Whether it may have sent what it holds: only what it is given next will show it."""
        self._told_at: float | None = None
        self._first_word_by = 0.0
        self._chances = 0.0
        """Seconds in which it could have sent something, and did not."""
        self._in_vain = 0
        """How often patience with it ended since it last held nothing, if it was given something between."""
        self._given = False
        """Whether it was given something since then."""
        self._sure_at = 0.0
        """When it last became sure that something was out."""

    @property
    def waits(self) -> bool:
        """Whether the device has yet to send something, as far as it tells."""
        return bool(self._held) and self._told_at is not None

    @property
    def unread(self) -> bool:
        """Whether it has yet to be asked about something it was given."""
        return bool(self._held) and self._held[-1].read_at == inf

    @property
    def stuck(self) -> bool:
        """Whether it does not send what it is taken to hold, though it has had its chances: restart it."""
        return self._in_vain > 1

    @property
    def airtime(self) -> float:
        """Seconds in which it may be silent, as it sends what it holds."""
        return sum(one.airtime for one in self._held)

    def took(self, size: int, airtime: float, now: float) -> None:
        """A packet of `size` bytes was written; it needs `airtime` seconds."""
        starts = max(self._held[-1].earliest, now) if self._held else now + self._wait
        self._held.append(_Given(starts + airtime, size, airtime))
        if now < self._first_word_by:
            self._first_word_by += airtime
        if self._in_vain:
            self._given, self._chances = True, 0.0

    def switched_on(self, now: float) -> None:
        """The radio is on from now. The board may have restarted without a word."""
        self._first_word_by = now + _FIRST_WORD_S
        self._spans = SentSpans(self._longest)

    def asked(self) -> None:
        """The device was asked whether it has room, after all that it was given."""
        self._asked.append(len(self._held))

    def answered(self, now: float) -> None:
        """The device said whether it has room: it has read what it was given before the question."""
        read = self._asked.popleft() if self._asked else 0
        for one in list(self._held)[:read]:
            one.read_at = min(one.read_at, now)

    def told(self, share: float, others: float, now: float) -> None:
        """The device said how much it has sent, as a share of two spans (`SentSpans`), and how much of the
        air others have."""
        since, self._told_at = self._told_at, now
        sent = self._spans.told(share, now)
        if sent.after == now:
            read = sum(one.read_at < inf for one in self._held)
            self._drop(1 if self._one_by_one else max(read, 1))
            self._chances, self._perhaps, self._sure_at = 0.0, False, now
        elif since is not None:
            # On a busy air others win it again and again.
            chance = max((1 - others) ** 4, _CHANCES_MIN) if others < 1 else 0.0
            self._chances += min(now - since, _TELLS_S) * chance
            if sent.after is not None:
                self._drop_by(sent.after, now)
        if self._chances >= self._patience:
            self._end_patience()
        self._perhaps = self._perhaps or sent.perhaps
        if not self._held:
            self._perhaps, self._chances, self._in_vain = False, 0.0, 0

    def _drop_by(self, after: float, now: float) -> None:
        """Something surely went out when it told at `after` or later: all it had read before, or one packet
        if that is not known from an earlier certainty."""
        out = sum(one.read_at < after for one in self._held)
        if self._one_by_one:
            out = min(out, int(after > self._sure_at))
            self._sure_at = now
        self._drop(out)

    def _end_patience(self) -> None:
        """It gets one packet more, if it has not yet; if that changes nothing, it is stuck."""
        if not self._in_vain or self._given:
            self._in_vain += 1
        if len(self._held) > self._packets:
            self._in_vain = 2
        self._chances, self._given, self._perhaps = 0.0, False, True

    def _drop(self, packets: int) -> None:
        for _ in range(min(packets, len(self._held))):
            self._held.popleft()
        self._asked = deque(max(held - packets, 0) for held in self._asked)

    def room(self, size: int, now: float) -> bool:
        """Whether a packet of `size` bytes may be written now."""
        silent = self._told_at is None and now >= self._first_word_by
        while silent and self._held and self._held[0].earliest <= now:
            self._drop(1)
        packets, octets = len(self._held), sum(one.size for one in self._held)
        if self._perhaps:
            packets, octets = packets - 1, octets - size
        return packets < self._packets and octets + size <= self._octets

    def next_room(self, now: float) -> float | None:
        """When the next packet will have left, if one is held; None where the device tells."""
        if self._told_at is not None:
            return None
        out = next((one.earliest for one in self._held if one.earliest > now), None)
        return max(out, self._first_word_by) if out is not None else None
