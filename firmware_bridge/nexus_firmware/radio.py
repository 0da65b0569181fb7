"""How a LoRa radio is set."""

from dataclasses import dataclass

from nexus_firmware.airtime import time_on_air

BANDWIDTH_MIN = 7800
"""Hz; no chip has less."""
SPREADING_FACTORS, CODING_RATES = (5, 12), (5, 8)


@dataclass(frozen=True, slots=True)
class RadioSettings:
    """Hz, the denominator 5 to 8 of the coding rate, dBm."""

    frequency: int
    bandwidth: int
    spreading_factor: int
    coding_rate: int
    tx_power: int = 14

    def airtime(self, size: int, preamble: int) -> float:
        """Seconds that a LoRa packet of `size` bytes takes, with `preamble` symbols and a payload CRC."""
        return time_on_air(
            size,
            spreading_factor=self.spreading_factor,
            bandwidth=self.bandwidth,
            coding_rate=self.coding_rate,
            preamble=preamble,
        )

    @property
    def possible(self) -> bool:
        """Whether a LoRa chip can be set so: what a device tells may have been spoilt on its way."""
        return (
            self.bandwidth >= BANDWIDTH_MIN
            and SPREADING_FACTORS[0] <= self.spreading_factor <= SPREADING_FACTORS[1]
            and CODING_RATES[0] <= self.coding_rate <= CODING_RATES[1]
        )

    @property
    def bits_per_second(self) -> float:
        """Raw rate within the payload."""
        return self.spreading_factor * self.bandwidth / (1 << self.spreading_factor) * 4 / self.coding_rate
