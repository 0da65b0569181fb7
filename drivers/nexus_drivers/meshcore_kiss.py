"""The `meshcore_kiss` driver: boards with MeshCore's KISS modem firmware (radio.md section 4.1a)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from nexus_drivers.line import Line, read_line
from nexus_drivers.options import Options
from nexus_drivers.radio import RadioDriver
from nexus_drivers.radio_options import RADIO_KEYS, read_rule, read_settings
from nexus_firmware.meshcore_kiss import BAUD
from nexus_firmware.meshcore_modem import MeshcoreModem
from nexus_firmware.radio import RadioSettings
from nexus_firmware.regions import Rule


class MeshcoreKissDriver(RadioDriver):
    """A modem that carries this node's own packets; it takes no part in a MeshCore network."""

    scheme: ClassVar[str] = "meshcore_kiss"

    def __init__(self, line: Line, settings: RadioSettings, region: str, rule: Rule) -> None:
        super().__init__(line, region, rule)
        self._settings = settings

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `port`, `frequency`, and the other radio keys."""
        options = Options(cls.scheme, table, RADIO_KEYS)
        line = read_line(options, BAUD)
        settings = read_settings(options)
        region, rule = read_rule(options, settings)
        return cls(line, settings, region, rule)

    def make_modem(self, duty_cycle: float) -> MeshcoreModem:
        return MeshcoreModem(self._settings)
