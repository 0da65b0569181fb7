"""Whole nodes, drivers and runtime in virtual time."""

import os
import subprocess
import sys
import time

import pytest
import trio

from nexus_drivers.memory import MemoryDriver, MemoryMedium
from nexus_node.base.errors import CarrierClosed
from nexus_node.base.limits import HANDSHAKE_TIMEOUT_S
from nexus_node.base.states import State
from nexus_node.ports.driver import DriverPort
from nexus_sim.clock import virtual_run
from nexus_sim.world import open_world


def test_s2_a_month_of_absence_passes_in_seconds_and_nothing_is_lost() -> None:
    async def main() -> None:
        async with open_world(["alice", "bob"], 1) as world:
            world.join(MemoryMedium(rng=world.dice("air"), bps=9600), "alice", "bob")
            alice, bob = await world.start("alice"), world.nodes["bob"]
            for day in range(29):
                alice.send(bob, f"day {day}")
                await trio.sleep(24 * 3600)
                if day % 7 == 6:
                    await world.stop("alice")
                    await world.start("alice")
            await world.start("bob")
            await trio.sleep(120)
            assert bob.inbox() == [f"day {day}" for day in range(29)]
            assert alice.outbox() == [State.DELIVERED] * 29

    begin = time.perf_counter()
    virtual_run(main, 1)
    assert time.perf_counter() - begin < 20


def test_an_idle_virtual_day_is_cheap_because_nothing_polls() -> None:
    async def main() -> int:
        async with open_world(["alice", "bob"], 2) as world:
            world.join(MemoryMedium(rng=world.dice("air")), "alice", "bob")
            alice = await world.start("alice")
            bob = await world.start("bob")
            alice.send(bob, "there?")
            await trio.sleep(24 * 3600)
            assert alice.node.core.attachments
            return alice.node.core.attachments[1].frames_sent

    frames = virtual_run(main, 2)
    assert 1000 < frames < 12_000  # keep-alives and one rekey an hour


def test_n9_lossy_links_and_restarts_deliver_everything_once() -> None:
    async def main() -> None:
        async with open_world(["alice", "bob"], 3) as world:
            world.join(
                MemoryMedium(
                    rng=world.dice("air"), bps=1e6, delay_s=0.05, loss=0.2, duplicate=0.1, reorder=0.2
                ),
                "alice",
                "bob",
            )
            await world.start("alice")
            await world.start("bob")
            alice, bob = world.nodes["alice"], world.nodes["bob"]
            texts = [f"{number} " * (1 + number % 9 * 300) for number in range(60)]
            for number, text in enumerate(texts):
                alice.send(bob, text)
                await trio.sleep(0.5)
                if number % 20 == 10:
                    await world.stop("bob" if number % 40 == 10 else "alice")
                    await trio.sleep(5)
                    await world.start("bob" if number % 40 == 10 else "alice")
            await trio.sleep(1200)
            assert sorted(bob.inbox()) == sorted(texts)
            assert set(alice.outbox()) == {State.DELIVERED}

    virtual_run(main, 3)


def _run_once(seed: int) -> tuple[str, int]:
    async def main() -> tuple[str, int]:
        async with open_world(["alice", "bob", "carol"], seed) as world:
            world.join(MemoryMedium(rng=world.dice("air"), bps=50_000, loss=0.1, reorder=0.1), "alice", "bob")
            world.join(MemoryMedium(rng=world.dice("air"), bps=2400, delay_s=0.2), "bob", "carol")
            for name in world.nodes:
                await world.start(name)
            for number in range(20):
                to = world.nodes["alice" if number % 2 else "carol"]
                world.nodes["bob"].send(to, f"{number} " * number or "zero")
                await trio.sleep(3)
            await trio.sleep(300)
            return world.log.digest, world.log.count

    return virtual_run(main, seed)


def test_the_same_seed_gives_the_same_log_in_any_process() -> None:
    digest, count = _run_once(11)
    assert count > 60
    assert _run_once(11) == (digest, count)
    assert _run_once(12)[0] != digest
    program = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
    program += "import test_world; print(test_world._run_once(11)[0])"
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == digest


def test_a_driver_that_does_not_ask_hears_at_once_that_its_carrier_was_given_up() -> None:
    class Waits(MemoryDriver):
        closed_s = 0.0

        async def run(self, port: DriverPort) -> None:
            async with port.attach(MemoryMedium().profile, "a wall", dialed=False) as carrier:
                began = trio.current_time()
                with pytest.raises(CarrierClosed, match="no handshake was completed in time"):
                    await carrier.wait_closed()
                self.closed_s = trio.current_time() - began
            await trio.sleep_forever()

    async def main() -> float:
        async with open_world(["alice"], 4) as world:
            driver = Waits(MemoryMedium())
            world.nodes["alice"].drivers.append(driver)
            await world.start("alice")
            await trio.sleep(60)
            return driver.closed_s

    # The node cuts a driver off five seconds later: so this one was told.
    assert virtual_run(main, 4) == HANDSHAKE_TIMEOUT_S
