"""The `rnode` driver: boards with RNode firmware, on a serial port or over TCP (radio.md section 2)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from nexus_drivers.line import Line, read_line
from nexus_drivers.options import Options
from nexus_drivers.radio import RadioDriver
from nexus_drivers.radio_options import RADIO_KEYS, read_rule, read_settings
from nexus_firmware.radio import RadioSettings
from nexus_firmware.regions import Rule
from nexus_firmware.rnode import BAUD, TCP_PORT
from nexus_firmware.rnode_modem import RNodeModem


class RNodeDriver(RadioDriver):
    """An RNode, set to what the configuration says each time it is opened."""

    scheme: ClassVar[str] = "rnode"

    def __init__(self, line: Line, settings: RadioSettings, region: str, rule: Rule) -> None:
        super().__init__(line, region, rule)
        self._settings = settings

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `port`, `frequency`, and `bandwidth`, `spreading_factor`, `coding_rate`, `tx_power`,
        `region`."""
        options = Options(cls.scheme, table, RADIO_KEYS)
        line = read_line(options, BAUD, TCP_PORT)
        settings = read_settings(options)
        region, rule = read_rule(options, settings)
        return cls(line, settings, region, rule)

    def make_modem(self, duty_cycle: float) -> RNodeModem:
        # The device itself holds back what is too much, should this program be mistaken.
        return RNodeModem(self._settings, duty_cycle if duty_cycle < 1 else None)
