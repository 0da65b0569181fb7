"""Our drivers on one emulated board, programs of others on another: bytes exact both ways (R2, K2, M2)."""

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
import trio

from nexus_drivers.meshcore import MeshcoreDriver
from nexus_drivers.meshcore_kiss import MeshcoreKissDriver
from nexus_drivers.meshtastic import MeshtasticDriver
from nexus_drivers.probe import ProbePort, running
from nexus_drivers.rnode import RNodeDriver
from nexus_firmware.meshtastic_modem import PREFIX

from .conftest import SCRIPTS, need, set_kiss_radio

PACKAGES = {
    "rnode": "rns",
    "kiss": "rns",
    "pymc": "pymc_core",
    "meshcore": "meshcore",
    "meshtastic": "meshtastic",
}
"""What each kind of peer comes from."""

ALIKE = {
    "frequency": 867_200_000,
    "bandwidth": 500_000,
    "spreading_factor": 7,
    "region": "NZ865",
    "tx_power": 7,
}
BATCH = 10
"""Packets that an RNode of RNS's gets at once: 5,000 bytes, of 6,144 that its queue holds."""
KEY = "nexus=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
MESH = ("--preset", "SHORT_TURBO", "--region", "US", "--channel", KEY)


@pytest.fixture
def echo(peer_python, tmp_path) -> Iterator:
    """Starts a peer that sends back what it hears."""
    running_now = []

    def start(kind: str, port: str, *options: str) -> None:
        need(peer_python, PACKAGES[kind])
        process = subprocess.Popen(
            [peer_python, SCRIPTS / "echo.py", kind, port, *options],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        running_now.append(process)
        while (line := process.stdout.readline()) != "up\n":
            assert line, f"{kind} ended"

    yield start
    for process in running_now:
        process.kill()
        process.wait()
        process.stdout.close()


async def exchange(driver, sizes: list[int], *, tries: int = 1) -> int:
    """Send packets of these sizes, one at a time; how many came back exact. Nothing else may come, or more
    often than it was sent. `tries` is how often one is sent whose answer does not come in time."""
    port, dice, exact = ProbePort(), random.Random(1), 0
    async with running(driver, port):
        with trio.fail_after(15):
            while not port.carriers:
                await trio.sleep(0.01)
        (carrier,) = port.carriers
        sent = []
        for size in sizes:
            packet = dice.randbytes(size)
            for _ in range(tries):
                sent.append(packet)
                carrier.send(packet)
                with trio.move_on_after(3 + 5 * carrier.profile.mtu * 8 / carrier.profile.bps):
                    while packet not in carrier.received:
                        await trio.sleep(0.005)
                if packet in carrier.received:
                    break
            exact += packet in carrier.received
        assert not Counter(carrier.received) - Counter(sent)
    return exact


def sizes(most: int, count: int) -> list[int]:
    dice = random.Random(2)
    return [2, most, *(dice.randint(2, most) for _ in range(count - 2))]


def test_r2_200_packets_each_way_between_rnode_and_rns(emulator, echo) -> None:
    """1 to 500 random bytes, all equal and in order; as many at once as the boards' queues hold."""
    ours, theirs = emulator("rnode"), emulator("rnode")
    echo("rnode", theirs, str(BATCH))
    driver = RNodeDriver.from_config({"port": ours, **ALIKE, "spreading_factor": 5})
    dice = random.Random(3)
    packets = [dice.randbytes(size) for size in (1, 500, *(dice.randint(1, 500) for _ in range(198)))]

    async def main() -> None:
        port = ProbePort()
        async with running(driver, port):
            with trio.fail_after(15):
                while not port.carriers:
                    await trio.sleep(0.01)
            (carrier,) = port.carriers
            for end in range(BATCH, len(packets) + 1, BATCH):
                carrier.send(*packets[end - BATCH : end])
                with trio.move_on_after(30):
                    while len(carrier.received) < end:
                        await trio.sleep(0.005)
                assert carrier.received == packets[:end]
            assert len(carrier.received) == 200

    trio.run(main)


def test_k2_meshcore_kiss_and_rns(emulator, echo) -> None:
    """RNS does not set the radio of a KISS modem."""
    ours, theirs = emulator("meshcore"), emulator("meshcore")
    set_kiss_radio(theirs)
    echo("kiss", theirs)
    driver = MeshcoreKissDriver.from_config({"port": ours, **ALIKE})
    assert trio.run(exchange, driver, sizes(255, 10)) == 10


def test_k2_meshcore_kiss_and_pymc_core(emulator, echo) -> None:
    ours, theirs = emulator("meshcore"), emulator("meshcore")
    echo("pymc", theirs)
    driver = MeshcoreKissDriver.from_config({"port": ours, **ALIKE})
    assert (
        trio.run(partial(exchange, tries=3), driver, sizes(255, 50)) == 50
    )  # its client lets the air be busy


def test_c1_c2_meshcore_companion_and_its_client(emulator, echo) -> None:
    """Over TCP on both sides: that client cannot open a pty."""
    radio = ("--radio", "915000000,500000,7,5", "--tcp", "127.0.0.1:0")
    ours, theirs = emulator("companion", *radio), emulator("companion", *radio)
    echo("meshcore", theirs)
    driver = MeshcoreDriver.from_config({"port": f"tcp://{ours}", "channel": "nexus"})
    assert trio.run(exchange, driver, sizes(161, 40)) == 40


def test_m2_meshtastic_and_the_stock_client(emulator, echo) -> None:
    ours = emulator("meshtastic", "--node", "0a0a0a0a", *MESH)
    theirs = emulator("meshtastic", "--node", "0b0b0b0b", *MESH)
    echo("meshtastic", theirs)
    driver = MeshtasticDriver.from_config({"port": ours, "channel": "nexus"})
    # Two devices that waited for the air begin in the same slot one time in eight, as stock ones do, and
    # broadcasts are not acknowledged: the links above repeat what was lost.
    assert trio.run(partial(exchange, tries=3), driver, sizes(219 - len(PREFIX), 30)) == 30
