"""Every radio driver with the board that is emulated for it: what the tests of all of them run over."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nexus_drivers.meshcore import MeshcoreDriver
from nexus_drivers.meshcore_kiss import MeshcoreKissDriver
from nexus_drivers.meshtastic import MeshtasticDriver
from nexus_drivers.radio import RadioDriver
from nexus_drivers.rnode import RNodeDriver
from nexus_drivers.uart_lora import UartLoraDriver
from nexus_firmware.emulate.companion import Companion
from nexus_firmware.emulate.e22 import E22, FACTORY, Mode
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.mesh_node import NodeSettings
from nexus_firmware.emulate.mesh_packet import MeshChannel
from nexus_firmware.emulate.meshcore import MeshcoreModem
from nexus_firmware.emulate.meshtastic import Meshtastic
from nexus_firmware.emulate.rak import Rak3172
from nexus_firmware.emulate.rn2483 import Rn2483
from nexus_firmware.emulate.rnode import RNode
from nexus_firmware.emulate.rylr import Rylr998

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
    make_fast: Callable[[random.Random], Firmware] | None = None
    """A board as quick as the driver is with `fast`, where that is the board's own business."""
    share: float = 1.0
    """Of the airtime that the law allows: the board itself may use the rest."""

    def new(self, **keys: Any) -> RadioDriver:
        return self.driver.from_config({**self.table, **keys})


E22_EU = {"port": "/dev/x", "dialect": "e22", "frequency": 868_125_000, "region": "EU868"}
E22_FAST = {"dialect": "e22", "frequency": 915_125_000, "air_rate": 38400, "region": "US915"}


def _e22(dice: random.Random) -> E22:
    registers = bytearray(FACTORY)
    registers[4] |= 0x10  # changes its mode by command
    return E22(dice, mode=Mode.TRANSPARENT, registers=bytes(registers))


def _text(dialect: str, make: Callable[[random.Random], Firmware]) -> Radio:
    said = {"dialect": dialect}
    fast = {"frequency": 866_000_000, "spreading_factor": 7, "bandwidth": 500_000, "region": "IN865"}
    return Radio(make, UartLoraDriver, EU | said, dialect, fast | said)


def _meshtastic(region: str, preset: str) -> Callable[[random.Random], Firmware]:
    def make(dice: random.Random) -> Meshtastic:
        number = dice.randrange(4, 0xFFFFFFFF)
        settings = NodeSettings(number, "Emulated", "EMU", region, preset, (MeshChannel(""),), "CLIENT")
        return Meshtastic(dice, settings)

    return make


def _companion(*radio: int) -> Callable[[random.Random], Firmware]:
    frequency, bandwidth, factor, rate = radio
    return lambda dice: Companion(dice, radio=(frequency, bandwidth, factor, rate))


RADIOS = {
    "meshcore": Radio(
        _companion(869_618_000, 62_500, 8, 8),
        MeshcoreDriver,
        {"port": "/dev/x", "channel": "nexus"},
        "companion",
        {"channel": 1},
        ("--radio", "915000000,500000,7,5"),
        make_fast=_companion(915_000_000, 500_000, 7, 5),
        share=0.9,
    ),
    "meshtastic": Radio(
        _meshtastic("EU_868", "LONG_FAST"),
        MeshtasticDriver,
        {"port": "/dev/x"},
        "meshtastic",
        {},
        ("--region", "US", "--preset", "SHORT_TURBO"),
        make_fast=_meshtastic("US", "SHORT_TURBO"),
        share=0.9,
    ),
    "rnode": Radio(RNode, RNodeDriver, EU, "rnode", FAST),
    "meshcore_kiss": Radio(MeshcoreModem, MeshcoreKissDriver, EU, "meshcore", FAST),
    "e22": Radio(_e22, UartLoraDriver, E22_EU, "e22", E22_FAST),
    "rylr998": _text("rylr998", Rylr998),
    "rak3172": _text("rak3172", Rak3172),
    "rn2483": _text("rn2483", Rn2483),
}
