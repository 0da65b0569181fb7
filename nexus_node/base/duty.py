"""Time on air within any hour, and when there is room for more (radio.md section 5.3).

A transmitter's airtime in a sub-band is bounded over a sliding hour, whatever links it has there (N6).
"""

from collections import deque
from math import inf

HOUR_S = 3600.0
_ROUNDING_S = 1e-6
"""What sums of floats may be out by."""
_DELAY_S = 60.0
"""How much later than told a radio may really send: it waits for the air to be free."""


class Ledger:
    """Times on air of one sender in one band, over a sliding hour or another window."""

    def __init__(self, window_s: float = HOUR_S) -> None:
        self._window_s = window_s
        self.spans: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, begin: float, end: float) -> None:
        """Note a transmission, in order of time; it may still be going on."""
        spans = self.spans
        while spans and spans[0][1] <= begin - self._window_s:
            first, last = spans.popleft()
            self._sum -= last - first
        if not spans:
            self._sum = 0.0  # what rounding left
        spans.append((begin, end))
        self._sum += end - begin

    def used(self, now: float) -> float:
        """Seconds on air within the window before `now`, which is not before the last begin."""
        since = now - self._window_s
        over = 0.0
        for begin, end in self.spans:
            if begin >= since:
                break
            over += min(end, since) - begin
        if self.spans:
            over += max(0.0, self.spans[-1][1] - now)
        return self._sum - over

    def free_at(self, airtime_s: float, most_s: float, now: float) -> float:
        """From when on a transmission of that length leaves the window that ends with it within `most_s`."""
        excess = self.used(now + airtime_s) + airtime_s - most_s
        if excess <= 0:
            return now
        for begin, end in self.spans:
            begin = max(begin, now + airtime_s - self._window_s)
            if end <= begin:
                continue
            if end - begin >= excess:
                return begin + excess + self._window_s - airtime_s + _ROUNDING_S
            excess -= end - begin
        return now + self._window_s


class AirBudget:
    """What one transmitter may send in one sub-band: a share of any hour.

    A radio sends what it was given one after the other, once the air is free, which may be a minute later;
    so the window is a minute longer than an hour, and what is really on the air keeps the limit.
    """

    def __init__(self, duty_cycle: float) -> None:
        self.limit_s = HOUR_S * duty_cycle if duty_cycle < 1 else None
        """Seconds an hour; None without a limit."""
        self._ledger = Ledger(HOUR_S + _DELAY_S)

    def add(self, airtime_s: float, now: float) -> None:
        """The radio was given that much to send; in order of time."""
        begin = self._idle_at(now)
        self._ledger.add(begin, begin + airtime_s)

    def used(self, now: float) -> float:
        """Seconds that count now, with all that was given."""
        return max(0.0, self._ledger.used(self._idle_at(now)))

    def free_at(self, airtime_s: float, now: float, *, share: float = 1.0) -> float:
        """From when on it may be given a packet of that length, within a share of the limit; infinite if
        never."""
        if self.limit_s is None:
            return now
        limit_s = share * self.limit_s
        if airtime_s > limit_s:
            return inf
        idle_at = self._idle_at(now)
        free_at = self._ledger.free_at(airtime_s, limit_s, idle_at)
        return now if free_at <= idle_at else free_at

    def _idle_at(self, now: float) -> float:
        """When the radio has sent all it was given."""
        spans = self._ledger.spans
        return max(now, spans[-1][1]) if spans else now

    def given(self, now: float) -> list[tuple[float, float]]:
        """What still counts: (begin, end), in order of time."""
        return [span for span in self._ledger.spans if span[1] > now - HOUR_S - _DELAY_S]
