"""What befalls radios, in virtual time over every driver (A5 to A13): the driver is back by itself, never
hands up what was not sent, and says how things stand."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from nexus_drivers.meshtastic import MeshtasticDriver
from nexus_drivers.probe import ProbePort, meet, running
from nexus_drivers.radio import RadioDriver
from nexus_firmware.emulate.air import Ether
from nexus_firmware.emulate.board import Board
from nexus_firmware.emulate.faults import BadLine
from nexus_firmware.emulate.serve import open_pty, serve_tcp
from nexus_node.base.duty import HOUR_S, AirBudget
from nexus_node.base.errors import CarrierLost
from nexus_node.base.states import State
from nexus_node.engine.wallclock import WallClock
from nexus_node.runtime.airtime import KeptAirBudget
from nexus_node.store.memory import MemoryStore
from nexus_sim.clock import virtual_run
from nexus_sim.world import open_world

from .bench import Bench, MemoryLine, on
from .delivery import Recorder, a_text
from .radios import RADIOS

every_kind = pytest.mark.parametrize("kind", RADIOS)


def in_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def pair(bench: Bench, kind: str) -> tuple[MemoryLine, MemoryLine]:
    radio = RADIOS[kind]
    return bench.add(radio.make(random.Random(1))), bench.add(radio.make(random.Random(2)))


@every_kind
@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5, 0.51, 0.55, 1.0, 2.0, 4.0, 30.0])
def test_unplugged_in_any_state_it_comes_back(kind: str, after_s: float) -> None:
    async def main() -> None:
        radio = RADIOS[kind]
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            near, far = pair(bench, kind)
            here, there = ProbePort(), ProbePort()
            async with (
                running(on(near, radio.new()), here),
                running(on(far, radio.new()), there),
            ):
                await trio.sleep(after_s)
                for carrier in here.carriers:
                    carrier.send(*(bytes((n,)) * carrier.profile.mtu for n in range(20)))
                await trio.sleep(0.05)
                near.unplug()
                await trio.sleep(0.5)
                assert not here.carriers
                state, why = here.reports[-1]
                assert state == "waiting" and why is not None and "is not there" in why
                near.plug_in()
                await meet_slowly(here, there)
                assert here.reports[-1] == ("up", None)
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


@every_kind
def test_c6_plugged_out_and_in_five_times(kind: str) -> None:
    """C6, and A6 for all: more often than other people's clients try again; nothing is handed up twice."""

    async def main() -> None:
        radio = RADIOS[kind]
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            near, far = pair(bench, kind)
            here, there = ProbePort(), ProbePort()
            async with (
                running(on(near, radio.new()), here),
                running(on(far, radio.new()), there),
            ):
                sent: list[bytes] = []
                for number in range(5):
                    a, b = await meet_slowly(here, there)
                    frame = bytes((number,)) * 20
                    for _ in range(10):
                        a.send(frame)
                        sent.append(frame)
                        await trio.sleep(20)
                        if frame in b.received:
                            break
                    near.unplug()
                    await trio.sleep(0.5)
                    assert not here.carriers
                    near.plug_in()
                await meet_slowly(here, there)
                frames = [frame for frame in b.received if len(frame) == 20]
                assert set(frames) == set(sent)
                assert all(frames.count(one) <= sent.count(one) for one in set(sent))
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


async def meet_slowly(here: ProbePort, there: ProbePort) -> tuple:
    """As `meet`, with the patience that a slow radio needs."""
    for _ in range(20):
        try:
            return await meet(here, there)
        except AssertionError:
            continue
    return await meet(here, there)


@every_kind
def test_a_board_that_boots_in_mid_frame_is_set_up_again(kind: str) -> None:
    """A11. Nothing is handed up that was not sent."""

    async def main() -> None:
        radio = RADIOS[kind]
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            near, far = pair(bench, kind)
            here, there = ProbePort(), ProbePort()
            async with (
                running(on(near, radio.new()), here),
                running(on(far, radio.new()), there),
            ):
                a, b = await meet_slowly(here, there)
                dice = random.Random(3)
                # Of one LoRa packet each: halves of two RNode packets may join by chance (R9), which the seal
                # refuses.
                sent = [dice.randbytes(min(a.profile.mtu, 254)) for _ in range(20)]
                for n, frame in enumerate(sent):
                    a.send(frame)
                    await trio.sleep(dice.uniform(0.2, 2))
                    if n % 3 == 0:
                        board = bench.boards[n % 2]
                        board.firmware.boot(trio.current_time())
                        board.ring()
                await trio.sleep(60)
                here_at_last, there_at_last = await meet_slowly(here, there)
                assert set(there_at_last.received) | set(b.received) <= set(sent)
                assert here.reports[-1] == ("up", None)
                assert here_at_last.attached
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


@pytest.mark.parametrize("kind", ["rnode", "meshtastic", "rylr998", "rak3172", "rn2483"])
def test_r6_m11_a_board_that_says_it_was_reset_is_back_within_ten_seconds(kind: str) -> None:
    """Those whose firmware says so when it starts; of the others the driver asks."""

    async def main() -> None:
        radio = RADIOS[kind]
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            near, far = pair(bench, kind)
            here, there = ProbePort(), ProbePort()
            async with running(on(near, radio.new()), here), running(on(far, radio.new()), there):
                await meet_slowly(here, there)
                bench.boards[0].firmware.boot(trio.current_time())
                bench.boards[0].ring()
                await trio.sleep(10)
                (a,), (b,) = here.carriers, there.carriers
                before = len(b.received)
                a.send(b"back")
                await trio.sleep(10)
                assert b"back" in b.received[before:] and near.opened == 1
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


class KeptPort(ProbePort):
    """The node's stand-in with budgets that are kept in a store, as the node's are."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store
        self._wall = WallClock()
        self._wall.offset_s = 1_800_000_000.0

    def airtime(self, band: str, duty_cycle: float) -> AirBudget:
        if band not in self.budgets:
            now = trio.current_time()
            self.budgets[band] = KeptAirBudget(duty_cycle, band, self._store, self._wall, now)
        return self.budgets[band]


@every_kind
def test_an_hour_never_has_more_than_the_law_allows(kind: str) -> None:
    """A12: more than three times too much is offered for an hour and a half, across a restart, of which the
    hour's airtime is kept; and status says when the next may go."""

    async def main() -> None:
        radio = RADIOS[kind]
        async with trio.open_nursery() as nursery:
            ether = Recorder()
            bench = Bench(nursery, ether)
            line = bench.add(radio.make(random.Random(1)))
            store = MemoryStore(10**6)
            for _ in range(2):
                port = KeptPort(store)
                async with running(on(line, radio.new()), port):
                    await trio.sleep(20)
                    (carrier,) = port.carriers
                    (budget,) = port.budgets.values()
                    assert budget.limit_s is not None
                    carrier.send_from(iter(lambda size=carrier.profile.mtu: bytes(size), None))
                    await trio.sleep(0.75 * HOUR_S)
                    assert any(
                        state == "held" and "the next frame may go at" in why
                        for state, why in port.reports
                        if why
                    )
            spans = [(at, at + airtime) for at, airtime in ether.sent]
            most = max(
                sum(min(end, at) - max(begin, at - HOUR_S) for begin, end in spans if at - HOUR_S < end <= at)
                for _, at in spans
            )
            assert 0.7 * budget.limit_s < most <= budget.limit_s / radio.share
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


@every_kind
@pytest.mark.parametrize("damage", [0.001, 0.02])
def test_nothing_damaged_on_a_line_is_ever_shown(kind: str, damage: float) -> None:
    """A13, with real nodes: what a line without a check spoils, the link's seal refuses."""

    async def main() -> None:
        radio = RADIOS[kind]
        async with open_world(["alice", "bob"], 1) as world, trio.open_nursery() as nursery:
            bench = Bench(nursery)
            bad = [False]
            for name in world.nodes:
                dice = world.dice(f"{name} line")
                line = bench.add(
                    radio.make(random.Random(name)),
                    lambda stream, dice=dice: Sometimes(stream, damage, dice, bad),
                )
                world.nodes[name].drivers.append(on(line, radio.new()))
                await world.start(name)
            alice, bob = world.nodes["alice"], world.nodes["bob"]
            first = a_text(200, 0)
            alice.send(bob, first)
            await trio.sleep(400)
            assert bob.inbox() == [first]
            bad[0] = True
            texts = [a_text(200, seed) for seed in range(1, 11)]
            for text in texts:
                alice.send(bob, text)
                await trio.sleep(60)
            assert set(bob.inbox()) <= {first, *texts}
            bad[0] = False
            await trio.sleep(4000)
            assert sorted(bob.inbox()) == sorted([first, *texts])
            assert set(alice.outbox()) == {State.DELIVERED}
            nursery.cancel_scope.cancel()

    virtual_run(main, 1)


def test_a_board_that_stops_reading_makes_the_driver_wait_and_is_still_heard(tmp_path: Path) -> None:
    """A10, on a real pty in real time."""

    async def main() -> None:
        radio = RADIOS["rnode"]
        ether = Ether()
        boards = [Board(radio.make(random.Random(number)), ether) for number in (1, 2)]
        async with (
            trio.open_nursery() as nursery,
            open_pty(tmp_path / "a") as (first, _),
            open_pty(tmp_path / "b") as (second, _),
        ):
            for board, stream in zip(boards, (first, second), strict=True):
                nursery.start_soon(board.run)
                nursery.start_soon(board.serve, stream)
            here, there = ProbePort(), ProbePort()
            near, far = (radio.new(**radio.fast, port=str(tmp_path / name)) for name in "ab")
            async with running(near, here), running(far, there):
                a, b = await meet(here, there)
                boards[0].stop_reading()
                a.send_from(iter(lambda: bytes(500), None))
                await trio.sleep(2)
                pulled = a.pulled
                b.send(b"still heard", b"and again")
                with trio.fail_after(10):
                    while len(a.received) < 2:
                        await trio.sleep(0.01)
                assert a.pulled == pulled < 4000
                assert a.received == [b"still heard", b"and again"]
                boards[0].read_on()
                with trio.fail_after(10):
                    while a.pulled == pulled or not b.received:
                        await trio.sleep(0.01)
                assert set(b.received) == {bytes(500)}
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_device_that_another_client_took_is_not_fought_for() -> None:
    """M10: by TCP a Meshtastic device has one client, and a new one takes its place."""

    async def main() -> None:
        radio = RADIOS["meshtastic"]
        firmware = radio.make(random.Random(1))
        firmware.over_tcp = True  # type: ignore[attr-defined]
        board = Board(firmware, Ether())
        where: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(board.run)
            nursery.start_soon(lambda: serve_tcp(board, "127.0.0.1", 0, where.append, newest_wins=True))
            while not where:
                await trio.sleep(0.01)
            port = ProbePort()
            async with running(MeshtasticDriver.from_config({"host": where[0]}), port):
                with trio.fail_after(10):
                    while not port.carriers:
                        await trio.sleep(0.01)
                host, number = where[0].rsplit(":", 1)
                async with await trio.open_tcp_stream(host, int(number)) as app:
                    with trio.fail_after(2):
                        while port.carriers:
                            await trio.sleep(0.01)
                    state, why = port.reports[-1]
                    assert state == "waiting" and why is not None and "perhaps another program took it" in why
                    with trio.move_on_after(1.5) as left_alone:
                        await app.receive_some(1)
                    assert left_alone.cancelled_caught, "the app's connection was taken back"
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_m10_then_it_leaves_the_device_to_the_other_for_half_a_minute(monkeypatch) -> None:
    async def taken(self: RadioDriver, port: ProbePort) -> None:
        raise CarrierLost("tcp://127.0.0.1:4403 went away; plug the radio in again")

    async def main() -> None:
        monkeypatch.setattr(RadioDriver, "run", taken)
        begin, port = trio.current_time(), ProbePort()
        with pytest.raises(CarrierLost, match="perhaps another program took it"):
            await MeshtasticDriver.from_config({"host": "127.0.0.1:4403"}).run(port)
        assert 30 <= trio.current_time() - begin <= 45
        assert port.reports[-1][0] == "waiting"

    in_virtual_time(main)


class Sometimes(BadLine):
    """A bad line while `bad` says so."""

    def __init__(self, stream: trio.abc.Stream, damage: float, dice: random.Random, bad: list[bool]) -> None:
        super().__init__(stream, damage, dice)
        self._bad = bad

    def _spoil(self, data: bytes) -> bytes:
        return super()._spoil(data) if self._bad[0] else data
