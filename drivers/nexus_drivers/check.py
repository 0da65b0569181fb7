"""The driver contract as a product: `check_driver` runs any driver against it (docs/drivers.md).

    import trio
    from nexus_drivers.check import check_config, check_driver

    def make_pair():  # two new drivers that reach each other when both run
        return MyDriver(...), MyDriver(...)

    def test_my_driver():
        trio.run(check_driver, make_pair)
        check_config(MyDriver, good={"port": "/dev/ttyUSB0"}, bad={"port": 7})

Every check raises `ContractBroken` that says what the driver did. They run in real time, some
seconds in all, with a probe in the node's place.
"""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from nexus_drivers.probe import (
    PATIENCE_S,
    PROMPT_S,
    TICK_S,
    ContractBroken,
    ProbeCarrier,
    ProbePort,
    Running,
    meet,
    running,
    until,
)
from nexus_node.base.errors import ConfigError
from nexus_node.base.limits import MIB
from nexus_node.ports.driver import Driver, LinkProfile

MakePair = Callable[[], tuple[Driver, Driver]]

HELD_MAX = 64 * MIB
"""What may disappear into buffers towards a far end that takes nothing."""


@dataclass
class _Joined:
    near: Running
    far: Running

    async def meet(self) -> tuple[ProbeCarrier, ProbeCarrier]:
        return await meet(self.near.port, self.far.port)


@asynccontextmanager
async def _joined(make_pair: MakePair) -> AsyncIterator[_Joined]:
    near, far = make_pair()
    async with running(far, ProbePort()) as far_end, running(near, ProbePort()) as near_end:
        yield _Joined(near_end, far_end)


async def check_frames(make_pair: MakePair) -> None:
    """Frames of 1 byte to the MTU cross both ways unchanged, none merged, split or echoed."""
    async with _joined(make_pair) as pair:
        ends = await pair.meet()
        for seed, (sender, receiver) in enumerate((ends, ends[::-1])):
            frames = _frames(sender.profile, random.Random(seed))
            await (_cross_ordered if sender.profile.ordered else _cross_unordered)(sender, receiver, frames)
            if {frame for frame in frames if len(frame) > 16} & set(sender.received):
                raise ContractBroken("a driver delivered a frame to the carrier that sent it")
            receiver.received.clear()


def _frames(profile: LinkProfile, dice: random.Random) -> list[bytes]:
    """Frames of every awkward size, and where the medium is not slow, of others and very many small ones."""
    mtu = profile.mtu
    sizes = {1, 2, 3, 127, 128, 255, 256, 257, 511, 512, mtu // 2, mtu - 1, mtu}
    if profile.bps >= 1e6:
        sizes |= {dice.randint(1, mtu) for _ in range(60)}
    frames = [dice.randbytes(size) for size in sorted(sizes) if size <= mtu]
    if profile.bps >= 1e6 and profile.ordered:
        frames += [dice.randbytes(dice.randint(17, 60)) for _ in range(3000)]
    return frames


def _airtime(profile: LinkProfile, frames: Sequence[bytes]) -> float:
    return sum(map(len, frames)) * 8 / profile.bps


async def _cross_ordered(sender: ProbeCarrier, receiver: ProbeCarrier, frames: Sequence[bytes]) -> None:
    sender.send(*frames)
    await until(
        lambda: len(receiver.received) >= len(frames),
        "frames vanished on an ordered carrier",
        PATIENCE_S + 2 * _airtime(sender.profile, frames),
    )
    if receiver.received != frames:
        raise ContractBroken("an ordered carrier changed or reordered frames")


async def _cross_unordered(sender: ProbeCarrier, receiver: ProbeCarrier, frames: Sequence[bytes]) -> None:
    missing = set(frames)
    with trio.move_on_after(PATIENCE_S + 10 * _airtime(sender.profile, frames)):
        while missing:
            turn = list(missing)[:16]
            sender.send(*turn)
            with trio.move_on_after(0.1 + 2 * _airtime(sender.profile, turn)):
                while not missing.isdisjoint(turn):
                    await trio.sleep(TICK_S)
                    missing.difference_update(receiver.received)
            if unknown := set(receiver.received) - set(frames):
                raise ContractBroken(f"a frame of {len(unknown.pop())} bytes arrived that was never sent")
        return
    raise ContractBroken(f"a frame of {len(missing.pop())} bytes never arrived, however often it was sent")


async def check_cancel(make_pair: MakePair) -> None:
    """A driver ends promptly when cancelled, alone or under full traffic, and leaves no file open."""
    before = _open_files()
    for driver in make_pair():
        async with running(driver, ProbePort()):
            await trio.sleep(0.1)
    async with _joined(make_pair) as pair:
        turns = [0]
        for end in await pair.meet():
            end.send_from(_endless(end.profile.mtu, turns))
        for _ in range(20):
            await trio.sleep(TICK_S)
            turns[0] += 1
    if leaked := _open_files() - before:
        raise ContractBroken(f"the drivers left files open: {', '.join(sorted(leaked))}")


def _endless(size: int, turns: list[int]) -> Iterator[bytes]:
    """Frames without end, which notice that nobody else gets a turn."""
    seen, since = -1, 0.0
    while True:
        if turns[0] != seen:
            seen, since = turns[0], trio.current_time()
        elif trio.current_time() - since > 2.0:
            raise ContractBroken("the driver sends without ever letting others run; add a checkpoint")
        yield bytes(size)


def _open_files() -> set[str]:
    """Sockets and files of this process, where the system shows them."""
    found = set()
    if os.path.isdir("/proc/self/fd"):
        for fd in os.listdir("/proc/self/fd"):
            try:
                found.add(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                pass  # the listing's own
    return {name for name in found if not name.startswith("/proc/")}


async def check_close(make_pair: MakePair) -> None:
    """`CarrierClosed` ends that carrier but not the driver, and the two can meet again."""
    for side in (0, 1):
        async with _joined(make_pair) as pair:
            ends = await pair.meet()
            await _close(ends[side], ends[1 - side])
            if (await pair.meet())[side] is ends[side]:
                raise ContractBroken("a carrier the node gave up is still in use")
            if pair.near.ends or pair.far.ends:
                raise ContractBroken("a driver ended because the node gave up one carrier")


async def _close(end: ProbeCarrier, far: ProbeCarrier) -> None:
    end.close()
    await until(lambda: not end.attached, "a carrier the node gave up was not detached", PROMPT_S)
    if far.profile.ordered:
        await until(lambda: not far.attached, "the far end did not see the carrier close")


async def check_return(make_pair: MakePair) -> None:
    """A far end that goes is noticed on ordered carriers, and met again when it comes back."""
    near, far = make_pair()
    await _leave_and_return(far, near)
    await _leave_and_return(near, far)


async def _leave_and_return(gone: Driver, stays: Driver) -> None:
    async with running(stays, ProbePort()) as here:
        async with running(gone, there := ProbePort()):
            end, _ = await meet(here.port, there)
        if end.profile.ordered:
            await until(lambda: not end.attached, "the loss of an ordered carrier was not noticed")
        async with running(gone, there := ProbePort()):
            await meet(here.port, there)


async def check_backpressure(make_pair: MakePair) -> None:
    """On ordered carriers a far end that takes nothing makes the near one wait; nothing is lost."""
    near, far = make_pair()
    async with running(far, ProbePort()) as far_end, running(near, ProbePort()) as near_end:
        far_end.port.hold()
        with trio.move_on_after(1.0):
            while not near_end.port.carriers:
                await trio.sleep(TICK_S)
        if not near_end.port.carriers:
            far_end.port.release()
            await until(lambda: bool(near_end.port.carriers), "the near end never attached a carrier")
        end = near_end.port.carriers[0]
        if not end.profile.ordered:
            far_end.port.release()
            return
        enough, made = trio.Event(), 0

        def numbered() -> Iterator[bytes]:
            nonlocal made
            while not enough.is_set():
                made += 1
                yield made.to_bytes(4, "big") * (end.profile.mtu // 4)

        end.send_from(numbered())
        pulled = -1
        while pulled != end.pulled:
            pulled = end.pulled
            await trio.sleep(0.3)
            if pulled > HELD_MAX:
                raise ContractBroken(f"{pulled} bytes were taken for a far end that takes nothing")
        enough.set()
        far_end.port.release()
        await until(lambda: bool(far_end.port.carriers), "the far end never attached its carrier")
        there = far_end.port.carriers[0]
        await until(lambda: len(there.received) >= made, "frames vanished while the far end was slow")
        if [int.from_bytes(frame[:4], "big") for frame in there.received] != list(range(1, made + 1)):
            raise ContractBroken("frames were reordered or doubled while the far end was slow")


CHECKS: tuple[Callable[[MakePair], Awaitable[None]], ...] = (
    check_frames,
    check_cancel,
    check_close,
    check_return,
    check_backpressure,
)


async def check_driver(make_pair: MakePair) -> None:
    """Run every check. `make_pair` gives two new drivers that reach each other when both run."""
    for check in CHECKS:
        await check(make_pair)


def check_config(driver: type[Driver], *, good: Mapping[str, Any], bad: Mapping[str, Any]) -> None:
    """`from_config` takes `good`; with any one pair of `bad` in it, or a misspelt key, it raises
    `ConfigError` that names the key (and the nearest one it knows)."""
    made = driver.from_config(good)
    if not made.label or not driver.scheme:
        raise ContractBroken(f"{driver.__name__} has no scheme or no label")
    for key in good:
        _expect_refusal(driver, {**good, f"{key}x": good[key]}, f"{key}x", key)
    for key, value in bad.items():
        _expect_refusal(driver, {**good, key: value}, key)


def _expect_refusal(driver: type[Driver], table: Mapping[str, Any], *names: str) -> None:
    try:
        driver.from_config(table)
    except ConfigError as error:
        for name in names:
            if name not in str(error):
                raise ContractBroken(f"{error!s} does not name {name}") from error
    else:
        raise ContractBroken(f"{driver.__name__} takes {dict(table)} without complaint")
