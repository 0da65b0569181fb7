"""The drivers of radios keep the contract, over ptys to emulated boards in processes of their own."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from nexus_drivers.check import CHECKS, MakePair, check_config
from nexus_drivers.rnode import RNodeDriver

from .bench import two_radios
from .radios import RADIOS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", RADIOS)
def test_driver_keeps_the_contract(
    kind: str, check: Callable[[MakePair], Awaitable[None]], tmp_path: Path
) -> None:
    radio = RADIOS[kind]
    with two_radios(tmp_path, radio.kind, *radio.options) as ports:
        trio.run(
            check,
            lambda: tuple(radio.driver.from_config({**radio.fast, "port": str(one.link)}) for one in ports),
        )


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
