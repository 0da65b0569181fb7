"""The drivers of radios keep the contract: all in virtual time, and over ptys to boards in processes of their
own."""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from nexus_drivers.check import CHECKS, MakePair, check_config, check_frames
from nexus_drivers.meshcore import MeshcoreDriver
from nexus_drivers.meshcore_kiss import MeshcoreKissDriver
from nexus_drivers.meshtastic import MeshtasticDriver
from nexus_drivers.radio import RadioDriver
from nexus_drivers.rnode import RNodeDriver
from nexus_drivers.uart_lora import UartLoraDriver
from nexus_firmware.emulate.air import Ether
from nexus_firmware.emulate.board import Board
from nexus_firmware.emulate.serve import serve_tcp

from .bench import Bench, on, two_radios
from .radios import RADIOS

Check = Callable[[MakePair], Awaitable[None]]
each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
each_kind = pytest.mark.parametrize("kind", RADIOS)


@each_check
@each_kind
def test_driver_keeps_the_contract_in_virtual_time(kind: str, check: Check) -> None:
    radio = RADIOS[kind]

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            lines = [bench.add((radio.make_fast or radio.make)(random.Random(number))) for number in (1, 2)]

            def make_pair() -> tuple[RadioDriver, RadioDriver]:
                near, far = (on(line, radio.new(**radio.fast)) for line in lines)
                return near, far

            await check(make_pair)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def over_ptys(kind: str, check: Check, folder: Path) -> None:
    radio = RADIOS[kind]
    with two_radios(folder, radio.kind, *radio.options) as ports:

        def make_pair() -> tuple[RadioDriver, RadioDriver]:
            near, far = (radio.driver.from_config({**radio.fast, "port": str(one.link)}) for one in ports)
            return near, far

        trio.run(check, make_pair)


@pytest.mark.soak
@each_check
@each_kind
def test_driver_keeps_the_contract_over_ptys(kind: str, check: Check, tmp_path: Path) -> None:
    over_ptys(kind, check, tmp_path)


def test_r10_frames_cross_by_tcp() -> None:
    """In real time, to boards that serve TCP as the firmware does."""
    radio = RADIOS["rnode"]

    async def main() -> None:
        ether, where = Ether(), []
        async with trio.open_nursery() as nursery:
            for number in (1, 2):
                board = Board(radio.make(random.Random(number)), ether)
                nursery.start_soon(board.run)
                serve = partial(serve_tcp, newest_wins=False)
                nursery.start_soon(serve, board, "127.0.0.1", 0, where.append)
                while len(where) < number:
                    await trio.sleep(0.01)

            def make_pair() -> tuple[RadioDriver, RadioDriver]:
                keys = radio.fast | {"spreading_factor": 5}
                near, far = (RNodeDriver.from_config({**keys, "port": f"tcp://{one}"}) for one in where)
                return near, far

            await check_frames(make_pair)
            nursery.cancel_scope.cancel()

    trio.run(main)


RADIO = {
    "port": "/dev/ttyUSB0",
    "frequency": 869_525_000,
    "bandwidth": 125_000,
    "spreading_factor": 8,
    "coding_rate": 5,
    "tx_power": 14,
    "region": "EU868",
}
WRONG = {
    "port": 7,
    "frequency": 868_650_000,
    "bandwidth": 1,
    "spreading_factor": 4,
    "coding_rate": 9,
    "tx_power": 28,
    "region": "Mars",
}


def test_configuration_errors_name_the_key() -> None:
    check_config(RNodeDriver, good=RADIO, bad=WRONG)
    check_config(
        MeshcoreDriver,
        good={"port": "/dev/ttyUSB0", "channel": "nexus"},
        bad={"port": 7, "channel": 8},
    )
    check_config(
        MeshtasticDriver,
        good={"port": "/dev/ttyACM0", "channel": 1, "portnum": 300, "hops": 2},
        bad={"port": 7, "channel": 8, "portnum": 257, "hops": 8, "host": "x"},
    )
    check_config(MeshcoreKissDriver, good=RADIO, bad=WRONG | {"port": "tcp://10.0.0.1"})
    for dialect in ("rylr998", "rak3172", "rn2483"):
        good = RADIO | {"dialect": dialect}
        check_config(UartLoraDriver, good=good, bad=WRONG | {"dialect": "e32", "bandwidth": 203_000})
    check_config(
        UartLoraDriver,
        good={"port": "/dev/serial0", "dialect": "e22", "frequency": 868_125_000, "tx_power": 13}
        | {"region": "EU868", "air_rate": 2400, "max_power": 22, "old_rssi": True, "aux": "cts"},
        bad={
            "port": "tcp://10.0.0.1",
            "frequency": 868_300_000,
            "tx_power": 5,
            "air_rate": 2401,
            "max_power": 25,
            "old_rssi": 1,
            "aux": "rts",
            "spreading_factor": 8,
        },
    )
