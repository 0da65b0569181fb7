"""The KISS modem wrapper of pymc_core against the emulated MeshCore modem (K1)."""

import hashlib

import pytest

from nexus_firmware.meshcore_kiss import packet_airtime
from nexus_firmware.radio import RadioSettings

SIZES = [2, 100, 255]
"""It refuses to send a single byte."""


def test_kiss_modem_wrapper(peer, emulator):
    ports = [emulator("meshcore") for _ in range(2)]
    found = peer("pymc_core", "pymc_modems.py", *ports, *map(str, SIZES))
    assert found["connected"] == [True, True]
    radio = found["radio"]
    assert (radio["frequency"], radio["bandwidth"]) == (869_525_000, 500_000)
    assert (radio["spreading_factor"], radio["coding_rate"]) == (7, 5)
    assert found["power"] == 14
    assert found["ping"] is True
    assert found["noise_floor"] == -117
    airtime = packet_airtime(100, RadioSettings(869_525_000, 500_000, 7, 5))
    assert found["airtime"] == pytest.approx(1000 * airtime, abs=1)
    assert found["busy"] is False
    assert found["signal_report"] is True
    assert found["name"] == "Emulated KISS modem"
    assert (found["version"], found["battery"]) == (1, 4100)
    assert found["sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert found["packets"] == [[size, True, [[True, -80, 10.0]]] for size in SIZES * 2]
    assert [(one["rx"], one["tx"], one["errors"]) for one in found["stats"]] == [(3, 3, 0)] * 2
