"""How strong a signal arrives, and how strong it must be. Powers in dBm, losses in dB, distances in metres.

Antenna gains belong to the transmit power. Sources: radio.md sections 5.4, 6.1 and 6.2.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nexus_sim.modem import Modem

NOISE_FIGURE_DB = 6.0
NEAREST_M = 0.001
"""Logarithms do not know a distance of 0."""

SNR_LIMIT_DB = {5: -2.5, 6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
"""The least signal-to-noise ratio by spreading factor (SX1261/2 datasheet, table 6-1)."""

_LORASIM_DBM = {
    7: (-126.5, -124.25, -120.75),
    8: (-127.25, -126.75, -124.0),
    9: (-131.25, -128.25, -127.5),
    10: (-132.75, -130.25, -128.75),
    11: (-134.5, -132.75, -128.75),
    12: (-133.25, -132.25, -132.25),
}
_LORASIM_BANDWIDTHS = (125_000, 250_000, 500_000)
LORASIM_DBM = {
    (factor, bandwidth): dbm
    for factor, row in [*_LORASIM_DBM.items(), (6, _LORASIM_DBM[12])]
    for bandwidth, dbm in zip(_LORASIM_BANDWIDTHS, row, strict=True)
}
"""Sensitivities by spreading factor and bandwidth, measured on the SX1272 by Bor et al. 2016 (table 3).

It has no spreading factor 6; LoRaSim takes the row of 12 for it, and so do we.
"""

Sensitivity = Callable[[Modem], float]
"""The weakest packet, in dBm, that a radio of these settings decodes."""


def noise_floor(bandwidth: float, noise_figure_db: float = NOISE_FIGURE_DB) -> float:
    """Thermal noise at room temperature over `bandwidth` Hz, as the receiver sees it."""
    return -174 + 10 * math.log10(bandwidth) + noise_figure_db


def snr_sensitivity(modem: Modem) -> float:
    """Noise floor plus the spreading factor's SNR limit."""
    return noise_floor(modem.bandwidth) + SNR_LIMIT_DB[modem.spreading_factor]


def lorasim_sensitivity(modem: Modem) -> float:
    """LoRaSim's table. Raises KeyError for settings it does not have."""
    return LORASIM_DBM[modem.spreading_factor, int(modem.bandwidth)]


def loss_of_snr(snr_db: float, tx_dbm: float, bandwidth: float) -> float:
    """The path loss behind a measured signal-to-noise ratio."""
    return tx_dbm - noise_floor(bandwidth) - snr_db


class PathLoss(Protocol):
    """Path loss by distance, and its inverse."""

    def loss_db(self, distance_m: float) -> float:
        """The loss over a distance; it rises with it."""
        ...

    def range_m(self, loss_db: float) -> float:
        """The distance at which the loss is reached."""
        ...


@dataclass(frozen=True, slots=True)
class LogDistance:
    """`pl0` at `d0`, and 10 `gamma` dB more for each factor 10, or e with `natural`.

    The formula has the decimal logarithm; LoRaSim computes the natural one, and its published figures
    rest on it. The defaults are LoRaSim's, measured in a built-up area.
    """

    natural: bool = False
    d0: float = 40.0
    pl0: float = 127.41
    gamma: float = 2.08

    def loss_db(self, distance_m: float) -> float:
        log = math.log if self.natural else math.log10
        return self.pl0 + 10 * self.gamma * log(max(distance_m, NEAREST_M) / self.d0)

    def range_m(self, loss_db: float) -> float:
        factor = math.e if self.natural else 10.0
        try:
            return self.d0 * float(factor ** ((loss_db - self.pl0) / (10 * self.gamma)))
        except OverflowError:  # a loss that hardly rises
            return math.inf


@dataclass(frozen=True, slots=True)
class SuburbanMacro:
    """3GPP TR 25.996 section 5.2: COST 231 Hata with the constant 0 dB of suburban macro cells.

    `frequency` in Hz, heights in metres. Meshtasticator's model 5, where both heights are 1 m.
    """

    frequency: float
    base_height_m: float = 1.0
    height_m: float = 1.0

    @property
    def _slope(self) -> float:
        return 44.9 - 6.55 * math.log10(self.base_height_m)

    @property
    def _at_1_km(self) -> float:
        megahertz = math.log10(self.frequency / 1e6)
        over_frequency = (35.46 - 1.1 * self.height_m) * megahertz
        return 45.5 + over_frequency - 13.82 * math.log10(self.base_height_m) + 0.7 * self.height_m

    def loss_db(self, distance_m: float) -> float:
        return self._at_1_km + self._slope * math.log10(max(distance_m, NEAREST_M) / 1000)

    def range_m(self, loss_db: float) -> float:
        return float(1000 * 10 ** ((loss_db - self._at_1_km) / self._slope))


@dataclass(frozen=True, slots=True)
class Shadowing:
    """What hills and houses add to a path loss or take from it: normal, the same in both directions.

    Each pair's value follows from the seed and the two numbers alone, whoever else there is.
    """

    sigma_db: float
    seed: int = 0
    WIDEST = 5.0
    """Values beyond so many standard deviations (one in a million) are cut, so that ranges are finite."""

    @property
    def most_db(self) -> float:
        """More than this is never taken from a loss."""
        return self.WIDEST * self.sigma_db

    def between(self, a: int, b: int) -> float:
        """What the path between two nodes has in addition, in dB."""
        if not self.sigma_db:
            return 0.0
        low, high = min(a, b), max(a, b)
        drawn = random.Random(f"{self.seed} shadow {low} {high}").gauss(0.0, self.sigma_db)
        return max(-self.most_db, min(drawn, self.most_db))
