"""The memory medium, in virtual time."""

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from nexus_drivers.memory import MemoryDriver, MemoryMedium, name_medium, named_medium
from nexus_drivers.probe import ProbeCarrier, ProbePort, running
from nexus_node.base.errors import CarrierLost

Scene = Callable[[list[ProbeCarrier]], Awaitable[None]]


def on_stage(medium: MemoryMedium, ends: int, scene: Scene) -> None:
    """Run a scene with that many drivers on the medium, in virtual time."""

    async def place(left: int, ports: list[ProbePort]) -> None:
        if left:
            port = ProbePort()
            async with running(MemoryDriver(medium), port):
                await trio.sleep(0.01)
                await place(left - 1, [*ports, port])
        else:
            await scene([port.carriers[0] for port in ports])

    trio.run(place, ends, [], clock=trio.testing.MockClock(autojump_threshold=0))


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") * 5 for number in range(count)]


def crossed(seed: int = 1, count: int = 2000, **how: float) -> list[int]:
    """The numbers of the frames that arrived, in order."""
    arrived: list[int] = []

    async def scene(carriers: list[ProbeCarrier]) -> None:
        carriers[0].send(*numbered(count))
        await trio.sleep(60)
        arrived.extend(int.from_bytes(frame[:4], "big") for frame in carriers[1].received)

    on_stage(MemoryMedium(rng=random.Random(seed), **how), 2, scene)  # type: ignore[arg-type]
    return arrived


def test_loss_duplication_and_reordering_come_as_often_as_asked() -> None:
    assert crossed() == list(range(2000))
    assert 2000 * 0.85 < len(crossed(loss=0.1)) < 2000 * 0.95
    assert 2000 * 1.05 < len(crossed(duplicate=0.1)) < 2000 * 1.15
    late = crossed(reorder=0.1, bps=1e5)
    assert sorted(late) == list(range(2000)) != late


def test_the_same_seed_gives_the_same_run() -> None:
    how = {"loss": 0.1, "duplicate": 0.1, "reorder": 0.1, "bps": 1e6}
    assert crossed(seed=7, **how) == crossed(seed=7, **how) != crossed(seed=8, **how)


def test_rate_and_delay_take_virtual_time() -> None:
    async def scene(carriers: list[ProbeCarrier]) -> None:
        carriers[0].send(bytes(125))
        await trio.sleep(3600.99)
        assert not carriers[1].received
        await trio.sleep(0.02)
        assert carriers[1].received

    on_stage(MemoryMedium(bps=1000, delay_s=3600.0), 2, scene)


def test_all_on_a_shared_medium_hear_and_it_carries_one_frame_at_a_time() -> None:
    async def scene(carriers: list[ProbeCarrier]) -> None:
        assert all(carrier.profile.shared and carrier.profile.half_duplex for carrier in carriers)
        airtime = carriers[0].profile.airtime
        assert airtime is not None and airtime(125) == 1.0
        for carrier in carriers[:3]:
            carrier.send(bytes(125))
        await trio.sleep(2.5)
        assert len(carriers[3].received) == 2
        await trio.sleep(1.0)
        assert [len(carrier.received) for carrier in carriers] == [2, 2, 2, 3]

    on_stage(MemoryMedium(bps=1000, shared=True), 4, scene)


def test_the_end_that_comes_last_dials() -> None:
    async def scene(carriers: list[ProbeCarrier]) -> None:
        assert [carrier.dialed for carrier in carriers] == [False, True]
        assert carriers[0].profile.ordered

    on_stage(MemoryMedium(), 2, scene)


def test_a_cable_has_two_ends() -> None:
    async def scene(_: list[ProbeCarrier]) -> None:
        with pytest.raises(CarrierLost, match="medium wire has both its ends already"):
            await MemoryDriver(medium).run(ProbePort())

    medium = MemoryMedium("wire")
    on_stage(medium, 2, scene)


def test_configuration_finds_media_by_name() -> None:
    kept = name_medium(MemoryMedium("kept", loss=0.5))
    assert named_medium("kept") is kept
    assert MemoryDriver.from_config({"medium": "other"}).label == "memory:other"
    first = named_medium("third")
    assert named_medium("third") is first is not named_medium("fourth")
