"""How a LoRa radio is set: what two radios must share to hear each other, and how long packets last."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from nexus_firmware.airtime import symbol_time, time_on_air

CRITICAL_PREAMBLE = 5
"""A receiver needs the last so many preamble symbols undisturbed (Bor et al. 2016)."""


@dataclass(frozen=True)
class Modem:
    """The settings of a radio: frequency and bandwidth in Hz, coding rate 5 to 8, preamble in symbols."""

    frequency: float
    spreading_factor: int
    bandwidth: float
    coding_rate: int
    preamble: int = 8
    explicit_header: bool = True
    chip: Literal["sx126x", "sx127x"] = "sx126x"

    @cached_property
    def symbol_s(self) -> float:
        """Seconds a symbol lasts."""
        return symbol_time(self.spreading_factor, self.bandwidth)

    @cached_property
    def spare_s(self) -> float:
        """Seconds at the start of a packet that may be disturbed: the preamble before the critical part."""
        return max(0, self.preamble - CRITICAL_PREAMBLE) * self.symbol_s

    @cached_property
    def spread_hz(self) -> float:
        """Frequencies this close are one channel: 30, 60 and 120 kHz at 125, 250 and 500 kHz (LoRaSim)."""
        return self.bandwidth * 6 / 25

    def shares_channel(self, other: "Modem") -> bool:
        """Whether packets of the two lie on one channel; the wider decides."""
        return abs(self.frequency - other.frequency) <= max(self.spread_hz, other.spread_hz)

    def hears(self, other: "Modem") -> bool:
        """Whether a radio set like this can follow packets of the other; the coding rate is in the header."""
        return (self.frequency, self.spreading_factor, self.bandwidth) == (
            other.frequency,
            other.spreading_factor,
            other.bandwidth,
        )

    def airtime(self, size: int) -> float:
        """Seconds on air of a packet of `size` bytes with its CRC. Raises ValueError, as `time_on_air`."""
        return time_on_air(
            size,
            spreading_factor=self.spreading_factor,
            bandwidth=self.bandwidth,
            coding_rate=self.coding_rate,
            preamble=self.preamble,
            explicit_header=self.explicit_header,
            chip=self.chip,
        )
