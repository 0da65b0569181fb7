"""The `uart_lora` driver: LoRa modules on a UART, by the dialect they speak (radio.md section 3)."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import trio

from nexus_drivers.aux_pin import AuxPin, read_aux
from nexus_drivers.line import Line, read_line
from nexus_drivers.options import Options
from nexus_drivers.radio import RadioDriver
from nexus_drivers.radio_options import RADIO_KEYS, read_rule, read_settings
from nexus_firmware import e22
from nexus_firmware.at_dialects import DIALECTS
from nexus_firmware.at_modem import AtModem
from nexus_firmware.e22 import E22Settings
from nexus_firmware.e22_modem import E22Modem
from nexus_firmware.modem import Modem
from nexus_firmware.radio import RadioSettings
from nexus_firmware.regions import Rule

_E22_KEYS = ("air_rate", "max_power", "old_rssi", "aux")
_KINDS = ("e22", *DIALECTS)
_POWERS = {22: e22.POWERS_22_DBM, 30: e22.POWERS_30_DBM}


class UartLoraDriver(RadioDriver):
    """A module on a UART. `make` gives the machine of its dialect, `aux` says when it is busy, if wired."""

    scheme: ClassVar[str] = "uart_lora"

    def __init__(
        self, line: Line, region: str, rule: Rule, make: Callable[[], Modem], aux: AuxPin | None = None
    ) -> None:
        super().__init__(line, region, rule)
        self._make = make
        self.aux = aux

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `port`, `dialect` ("e22", "rylr998", "rak3172" or "rn2483"), `frequency`, the other radio
        keys, and for the E22 `air_rate`, `max_power`, `old_rssi` and `aux` in place of modulation."""
        options = Options(cls.scheme, table, ("dialect", *RADIO_KEYS, *_E22_KEYS))
        dialect = options.text("dialect")
        if dialect is None:
            raise options.missing("dialect", f'dialect = "e22"; there are {", ".join(_KINDS)}')
        if dialect not in _KINDS:
            raise options.wrong("dialect", f"is not known; use one of {', '.join(_KINDS)}")
        if dialect == "e22":
            return cls._e22(options)
        for key in _E22_KEYS:
            if key in options:
                raise options.wrong(key, 'is for dialect = "e22" only; leave it out')
        line = read_line(options, DIALECTS[dialect].baud)
        settings = read_settings(options)
        region, rule = read_rule(options, settings)
        try:
            AtModem(DIALECTS[dialect], settings)
        except ValueError as error:
            key = "spreading_factor" if "spreading" in str(error) else "bandwidth"
            raise options.wrong(key, f"cannot be used: {error}") from None
        return cls(line, region, rule, lambda: AtModem(DIALECTS[dialect], settings))

    @classmethod
    def _e22(cls, options: Options) -> Self:
        for key in ("bandwidth", "spreading_factor", "coding_rate"):
            if key in options:
                raise options.wrong(key, "is not a setting of the E22; write air_rate = 2400 (bit/s)")
        line = read_line(options, e22.CONFIGURATION_BAUD)
        asked = read_settings(options)
        try:
            channel = e22.channel_of(asked.frequency)
        except ValueError as error:
            raise options.wrong("frequency", f"cannot be used: {error}") from None
        most = options.whole("max_power", 22, 22, 30)
        if most not in _POWERS:
            raise options.wrong("max_power", "is the module's highest power; it is 22 or 30")
        air_rate = options.whole("air_rate", 2400, min(e22.AIR_RATES), max(e22.AIR_RATES))
        if air_rate not in e22.AIR_RATES:
            raise options.wrong("air_rate", f"is none; use one of {', '.join(map(str, e22.AIR_RATES))}")
        wanted = E22Settings(
            channel=channel, air_rate=air_rate, power=_power_code(options, asked, most), software_mode=True
        )
        # How wide its channel is the maker does not say: the middle must lie in the band.
        region, rule = read_rule(options, asked, bandwidth=0)
        base = asked.frequency - channel * 1_000_000
        halves = options.flag("old_rssi")
        aux = read_aux(options)
        name = str(aux) if aux is not None else None
        return cls(line, region, rule, lambda: E22Modem(wanted, base, halves=halves, aux=name), aux)

    def sense(self, stream: trio.abc.Stream, modem: Modem, now: float) -> None:
        if self.aux is not None and isinstance(modem, E22Modem):
            modem.take_aux(self.aux.busy(stream), now)

    def make_modem(self, duty_cycle: float) -> Modem:
        return self._make()


def _power_code(options: Options, asked: RadioSettings, most: int) -> int:
    """The code of the highest power that is not more than asked."""
    powers = _POWERS[most]
    for code, power in enumerate(powers):
        if power <= asked.tx_power:
            return code
    raise options.wrong("tx_power", f"is less than the {powers[-1]} dBm this module sends with at least")
