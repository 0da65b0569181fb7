"""How long a sender was on air in any hour, and whether that was allowed (radio.md section 5.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from nexus_firmware.regions import REGIONS
from nexus_node.base.duty import HOUR_S, Ledger


@dataclass(frozen=True, slots=True)
class Band:
    """Frequencies in Hz, from `low` until just before `high`, and the share of an hour a sender may use."""

    low: float
    high: float
    duty_cycle: float


EU868 = tuple(
    Band(rule.low, rule.high, rule.duty_cycle) for rule in REGIONS["EU868"].rules if rule.duty_cycle < 1
)
"""As a sender of more than 5 mW has them."""
ANYWHERE = (Band(0.0, float("inf"), 1.0),)
"""One band without a limit."""


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
