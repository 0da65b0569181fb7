"""Every radio driver with the board that is emulated for it: what the tests of all of them run over."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nexus_drivers.radio import RadioDriver
from nexus_drivers.rnode import RNodeDriver
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.rnode import RNode

EU = {
    "port": "/dev/x",
    "frequency": 869_525_000,
    "bandwidth": 125_000,
    "spreading_factor": 8,
    "coding_rate": 5,
    "region": "EU868",
}
FAST = {"frequency": 915_000_000, "bandwidth": 500_000, "spreading_factor": 7, "region": "US915"}
"""Over ptys in real time: as quick as such radios get, with no limit on airtime."""


@dataclass(frozen=True)
class Radio:
    """`table` is used in virtual time, `fast` in real; `options` are the emulator's on its command line."""

    make: Callable[[random.Random], Firmware]
    driver: type[RadioDriver]
    table: dict[str, Any]
    kind: str
    fast: dict[str, Any]
    options: tuple[str, ...] = ()

    def new(self, **keys: Any) -> RadioDriver:
        return self.driver.from_config({**self.table, **keys})


RADIOS = {"rnode": Radio(RNode, RNodeDriver, EU, "rnode", FAST)}
