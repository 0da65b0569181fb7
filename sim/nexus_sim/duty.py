"""How long a sender was on air in any hour, and whether that was allowed (radio.md section 5.3)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

HOUR_S = 3600.0
_ROUNDING_S = 1e-6
"""What sums of floats may be out by."""


@dataclass(frozen=True, slots=True)
class Band:
    """Frequencies in Hz, from `low` until just before `high`, and the share of an hour a sender may use."""

    low: float
    high: float
    duty_cycle: float


EU868 = (
    Band(863.0e6, 865.0e6, 0.001),
    Band(865.0e6, 868.0e6, 0.01),
    Band(868.0e6, 868.6e6, 0.01),
    Band(868.7e6, 869.2e6, 0.001),
    Band(869.4e6, 869.65e6, 0.1),
    Band(869.7e6, 870.0e6, 0.01),
)
"""ETSI EN 300 220-2 V3.2.1, without polite access."""
ANYWHERE = (Band(0.0, float("inf"), 1.0),)
"""One band without a limit."""


class Ledger:
    """Times on air of one sender in one band, over a sliding hour."""

    def __init__(self) -> None:
        self._spans: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, begin: float, end: float) -> None:
        """Note a transmission, in order of time; it may still be going on."""
        spans = self._spans
        while spans and spans[0][1] <= begin - HOUR_S:
            first, last = spans.popleft()
            self._sum -= last - first
        if not spans:
            self._sum = 0.0  # what rounding left
        spans.append((begin, end))
        self._sum += end - begin

    def used(self, now: float) -> float:
        """Seconds on air within the hour before `now`, which is not before the last begin."""
        since = now - HOUR_S
        over = 0.0
        for begin, end in self._spans:
            if begin >= since:
                break
            over += min(end, since) - begin
        if self._spans:
            over += max(0.0, self._spans[-1][1] - now)
        return self._sum - over

    def free_at(self, airtime_s: float, most_s: float, now: float) -> float:
        """From when on a transmission of that length leaves the hour that ends with it within `most_s`."""
        excess = self.used(now + airtime_s) + airtime_s - most_s
        if excess <= 0:
            return now
        for begin, end in self._spans:
            begin = max(begin, now + airtime_s - HOUR_S)
            if end <= begin:
                continue
            if end - begin >= excess:
                return begin + excess + HOUR_S - airtime_s + _ROUNDING_S
            excess -= end - begin
        return now + HOUR_S


class Duty:
    """The ledgers of one sender, a band each."""

    def __init__(self, bands: Sequence[Band] = ANYWHERE) -> None:
        self._bands = bands
        self._ledgers = {band: Ledger() for band in bands}
        self.airtime_s = 0.0
        """All time on air so far."""
        self.violations = 0
        """Transmissions with whose end an hour had more airtime than allowed, and those outside all bands."""
        self.highest = 0.0
        """The largest share of any hour so far, as a share of what the band allows."""

    def band(self, frequency: float) -> Band | None:
        """The band a frequency lies in."""
        return next((one for one in self._bands if one.low <= frequency < one.high), None)

    def add(self, frequency: float, begin: float, end: float) -> None:
        """Note a transmission; of all hours, those that end with one have the most airtime."""
        self.airtime_s += end - begin
        band = self.band(frequency)
        if band is None:
            self.violations += 1
            return
        ledger = self._ledgers[band]
        ledger.add(begin, end)
        share = ledger.used(end) / (HOUR_S * band.duty_cycle)
        self.highest = max(self.highest, share)
        self.violations += share > 1

    def free_at(self, frequency: float, airtime_s: float, now: float) -> float:
        """From when on the sender may be on air for so long; infinite outside all bands or if too long."""
        band = self.band(frequency)
        if band is None or airtime_s > HOUR_S * band.duty_cycle:
            return inf
        return self._ledgers[band].free_at(airtime_s, HOUR_S * band.duty_cycle, now)

    def used(self, frequency: float, now: float) -> float:
        """Seconds on air in the frequency's band within the hour before `now`."""
        band = self.band(frequency)
        return 0.0 if band is None else self._ledgers[band].used(now)
