"""The `meshtastic` driver: stock Meshtastic devices as carriers, on a serial port or over TCP (N17)."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import trio

from nexus_drivers.bridge import carry_texts
from nexus_drivers.line import Line, read_line
from nexus_drivers.options import Options
from nexus_drivers.radio import RadioDriver, Session
from nexus_firmware.meshtastic import PORTS_FREE, PRIVATE_PORT
from nexus_firmware.meshtastic_modem import MeshtasticModem
from nexus_firmware.meshtastic_presets import REGIONS as MESHTASTIC_REGIONS
from nexus_firmware.meshtastic_stream import SERIAL_BAUD, TCP_PORT
from nexus_firmware.meshtastic_texts import Texts
from nexus_firmware.modem import Modem
from nexus_firmware.regions import REGIONS, Rule, find_rule
from nexus_node.base.errors import CarrierLost, InputError
from nexus_node.ports.driver import DriverPort

_ATAK_PORT = 257
_OWN_SHARE = 0.9
"""Of the airtime: the device itself sends of its own accord as well."""
_TAKEN_S = 30.0
"""A device has one client over TCP, and a new one takes its place: no tug of war."""
_ANYWHERE = Rule("the device's region", 0, 10**10, 0.1, 27)


class MeshtasticDriver(RadioDriver):
    """A device that its owner has set: region, preset, channels and keys are the device's business."""

    scheme: ClassVar[str] = "meshtastic"

    def __init__(
        self,
        line: Line,
        *,
        channel: int | str = 0,
        portnum: int = PRIVATE_PORT,
        hops: int | None = None,
        bridge: bool = False,
    ) -> None:
        super().__init__(line)
        self._channel = channel
        self._portnum = portnum
        self._hops = hops
        self.bridges = bridge

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `port` or `host`, `channel` (index or name), `portnum`, `hops`, `bridge`."""
        options = Options(cls.scheme, table, ("port", "host", "channel", "portnum", "hops", "bridge"))
        if "host" in options:
            if "port" in options:
                raise options.wrong("host", "stands beside port; make two carriers of them")
            host = options.text("host") or ""
            line = read_line(Options(cls.scheme, {"port": f"tcp://{host}"}, ("port",)), SERIAL_BAUD, TCP_PORT)
        else:
            line = read_line(options, SERIAL_BAUD, TCP_PORT)
        channel = table.get("channel", 0)
        if not isinstance(channel, str):
            channel = options.whole("channel", 0, 0, 7)
        elif not 0 < len(channel.encode()) <= 11:
            raise options.wrong("channel", "is no channel: write its index from 0 to 7, or its name")
        portnum = options.whole("portnum", PRIVATE_PORT, PORTS_FREE.start, PORTS_FREE.stop - 1)
        if portnum == _ATAK_PORT:
            raise options.wrong("portnum", "belongs to ATAK; choose another from 256 to 511")
        hops = options.whole("hops", 3, 0, 7) if "hops" in options else None
        return cls(line, channel=channel, portnum=portnum, hops=hops, bridge=options.flag("bridge"))

    def make_modem(self, duty_cycle: float) -> MeshtasticModem:
        try:
            modem = MeshtasticModem(self._channel, self._portnum, self._hops, lambda: random.getrandbits(32))
        except InputError as error:
            raise CarrierLost(str(error)) from error
        modem.texts = Texts() if self.bridges else None
        return modem

    async def beside(self, session: Session) -> None:
        modem = session.modem
        if isinstance(modem, MeshtasticModem) and modem.texts is not None:
            await carry_texts(session, modem, modem.texts)

    def find_rule(self, modem: Modem) -> tuple[str, Rule]:
        """By what the device is set to; where that is not known, the strictest its firmware keeps."""
        region = modem.region if isinstance(modem, MeshtasticModem) else None
        settings = modem.settings
        if region is None or settings is None:
            return "EU868", _ANYWHERE
        rule = _ANYWHERE
        if region in MESHTASTIC_REGIONS:
            area = MESHTASTIC_REGIONS[region]
            rule = Rule(region, area.start, area.end, area.duty_cycle, area.power_dbm)
        for known in REGIONS.values():
            if region in known.meshtastic:
                try:
                    rule = find_rule(known.name, settings.frequency, settings.bandwidth)
                except ValueError:
                    pass  # tuned to somewhere else by its owner: what the firmware keeps
        share = rule.duty_cycle * _OWN_SHARE if rule.duty_cycle < 1 else rule.duty_cycle
        return region, replace(rule, duty_cycle=share)

    async def run(self, port: DriverPort) -> None:
        try:
            await super().run(port)
        except CarrierLost as error:
            if self.line.far is None or "went away" not in str(error):
                raise
            why = f"{self.line} closed the connection; perhaps another program took it, such as the app"
            port.report("waiting", why)
            await trio.sleep(random.uniform(_TAKEN_S, 1.5 * _TAKEN_S))
            raise CarrierLost(why) from error
