"""The `meshcore` driver: MeshCore companion devices, whose network floods our packets (radio.md 4.1b)."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from nexus_drivers.line import Line, read_line
from nexus_drivers.options import Options
from nexus_drivers.radio import RadioDriver
from nexus_firmware.companion_modem import CompanionModem
from nexus_firmware.meshcore_companion import BAUD, CHANNELS, TCP_PORT
from nexus_firmware.modem import Modem
from nexus_firmware.regions import Rule, find_rule, regions_at
from nexus_node.base.errors import CarrierLost

_OWN_SHARE = 0.9
"""Of the airtime: the device itself sends of its own accord as well."""


class MeshcoreDriver(RadioDriver):
    """A device that its owner has set: frequency, channels and keys are the device's business."""

    scheme: ClassVar[str] = "meshcore"

    def __init__(self, line: Line, *, channel: int | str) -> None:
        super().__init__(line)
        self._channel = channel

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `port`, and `channel` (index or name), which has no default: the first is everybody's."""
        options = Options(cls.scheme, table, ("port", "channel"))
        line = read_line(options, BAUD, TCP_PORT)
        if "channel" not in options:
            raise options.missing("channel", 'channel = 1, or its name, such as channel = "nexus"')
        channel = table["channel"]
        if not isinstance(channel, str):
            channel = options.whole("channel", 1, 0, CHANNELS - 1)
        elif not 0 < len(channel.encode()) <= 32:
            raise options.wrong("channel", "is no channel: write its index from 0 to 7, or its name")
        return cls(line, channel=channel)

    def make_modem(self, duty_cycle: float) -> CompanionModem:
        return CompanionModem(self._channel, lambda: random.getrandbits(16))

    def find_rule(self, modem: Modem) -> tuple[str, Rule]:
        """The strictest of those that allow the channel the device is set to."""
        settings = modem.settings
        names = list(regions_at(settings.frequency, settings.bandwidth)) if settings is not None else []
        if settings is None or not names:
            raise CarrierLost(
                "the MeshCore device is set to a frequency of no region known here; set another"
            )
        rules = [(name, find_rule(name, settings.frequency, settings.bandwidth)) for name in names]
        region, rule = min(rules, key=lambda one: one[1].duty_cycle)
        share = rule.duty_cycle * _OWN_SHARE if rule.duty_cycle < 1 else rule.duty_cycle
        return region, replace(rule, duty_cycle=share)
