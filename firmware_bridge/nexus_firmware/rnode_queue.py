"""How much of what an RNode was given is still in its queue (radio.md section 2.4). Sans-IO."""

from collections import deque
from math import inf
from typing import NamedTuple

from nexus_firmware.rnode_events import Ready

_CHANCES_S = 10.0
"""So long on an air of its own, and it sends nothing: it has lost what it was given."""
_WHOLE = 0.8
"""Of a packet's airtime: the firmware reckons a little less than it takes."""
_NO_CHANGE_S = 0.003
"""Airtime is told in steps of half of that."""
_SPAN_S = 7.5
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
    (`READY_QUERY`), and then only yes or no. But it tells how much it has sent, once a second and after its
    queue has gone out; where it does not, this reckons by time on air.
    """

    def __init__(self, packets: int = 4, octets: int = 3000) -> None:
        self._packets = packets
        self._octets = octets
        self.forget()

    def forget(self) -> None:
        """The device restarted: its queue is empty."""
        self._held: deque[_Given] = deque()
        self._full = False
        self._told_at: float | None = None
        self._first_word_by = 0.0
        self._spans = 0.0, 0.0
        """What the device had sent when it last said so, in the span before and in this."""
        self._turn_at = inf
        """When another span will have begun, once that is known."""
        self._sent = 0.0
        """Seconds it has sent of the first packet it holds."""
        self._chances = 0.0
        """Seconds in which it could have sent something, and did not."""

    @property
    def waits(self) -> bool:
        """Whether the device has yet to send something, as far as it tells."""
        return bool(self._held) and self._told_at is not None

    def took(self, size: int, airtime: float, now: float) -> None:
        """A packet of `size` bytes was written; it needs `airtime` seconds."""
        starts = max(self._held[-1].earliest, now) if self._held else now
        self._held.append(_Given(starts + airtime, size, airtime))

    def switched_on(self, now: float) -> None:
        """The radio is on from now."""
        self._first_word_by = now + _FIRST_WORD_S

    def answered(self, ready: Ready) -> None:
        """The device said whether it has room."""
        self._full = not ready.room

    def told(self, share: float, others: float, now: float) -> None:
        """The device said how much it has sent, as a share of two spans of 7.5 s: this one, and the one
        before; and how much of the air others have. What is more than it said before went out since; when a
        new span begins shows where it is less."""
        own = 2 * _SPAN_S * share
        before, this = self._spans
        if own < before + this - _NO_CHANGE_S:
            self._turn_at = min(self._turn_at, now)
        while self._turn_at <= now:
            before, this = this, 0.0
            self._turn_at += _SPAN_S
        before = min(before, own)
        new = own - before - this
        self._spans = before, own - before
        since, self._told_at = self._told_at, now
        if new > _NO_CHANGE_S or since is None or not self._held:
            self._chances = 0.0
        else:
            self._chances += (now - since) * (1 - others) ** 2
        self._note_sent(max(new, 0.0))

    def _note_sent(self, seconds: float) -> None:
        self._sent += seconds
        while self._held and self._sent >= _WHOLE * self._held[0].airtime:
            self._sent = max(self._sent - self._held.popleft().airtime, 0.0)
        if self._chances >= _CHANCES_S:
            self._held.clear()
        if not self._held:
            self._sent = self._chances = 0.0

    def room(self, size: int, now: float) -> bool:
        """Whether a packet of `size` bytes may be written now."""
        silent = self._told_at is None and now >= self._first_word_by
        while silent and self._held and self._held[0].earliest <= now:
            self._held.popleft()
        held = sum(one.size for one in self._held)
        return not self._full and len(self._held) < self._packets and held + size <= self._octets

    def next_room(self, now: float) -> float | None:
        """When the next packet will have left, if one is held; None where the device tells."""
        if self._told_at is not None:
            return None
        out = next((one.earliest for one in self._held if one.earliest > now), None)
        return max(out, self._first_word_by) if out is not None else None
