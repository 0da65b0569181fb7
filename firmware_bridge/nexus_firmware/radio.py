"""How a LoRa radio is set."""

from dataclasses import dataclass

from nexus_firmware.airtime import time_on_air


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
    def bits_per_second(self) -> float:
        """Raw rate within the payload."""
        return self.spreading_factor * self.bandwidth / (1 << self.spreading_factor) * 4 / self.coding_rate
