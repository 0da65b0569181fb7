"""The media of a run, without nodes: wires, radios that keep to their duty, and where nodes stand."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.ports.driver import LinkProfile, Signal
from nexus_sim.air import Air, OnAir, SimRadio
from nexus_sim.channel import Channel, Sensing
from nexus_sim.clock import virtual_run
from nexus_sim.duty import EU868, HOUR_S, Duty, Ledger
from nexus_sim.links import Links
from nexus_sim.modem import Modem
from nexus_sim.places import Walk, box_of, places_of
from nexus_sim.reception import Fate, Rules
from nexus_sim.scenario import Mobility, Place, Places, Scenario
from nexus_sim.wires import Plug, Rate, Wire


class End:
    """A carrier of a node that is not there: what it wants to send, and what it got, when."""

    def __init__(self) -> None:
        self.send, self._pull = trio.open_memory_channel[bytes](10_000)
        self.got: list[tuple[float, bytes]] = []
        self.profile: LinkProfile | None = None
        self.attached = False
        self.billed_s = 0.0

    async def next_frame(self) -> bytes:
        return await self._pull.receive()

    async def wait_closed(self) -> None:
        await trio.sleep_forever()

    def next_frame_nowait(self) -> bytes | None:
        return None

    def deliver(self, frame: bytes, signal: Signal | None = None) -> None:
        self.got.append((trio.current_time(), frame))

    def retune(self, profile: LinkProfile) -> None:
        self.profile = profile

    def billed(self, seconds: float) -> None:
        self.billed_s += seconds


class Port:
    """A node's side of a driver."""

    def __init__(self) -> None:
        self.end = End()

    @asynccontextmanager
    async def attach(self, profile: LinkProfile, label: str, *, dialed: bool) -> AsyncIterator[End]:
        self.end.profile, self.end.attached = profile, True
        try:
            yield self.end
        finally:
            self.end.attached = False


# --- wires --------------------------------------------------------------------------------------
def wired(
    rate: Rate, script: Callable[[End, End, Wire, trio.CancelScope], Awaitable[None]]
) -> tuple[End, End, Wire]:
    """Two ends joined by a wire while the script runs."""

    async def main() -> tuple[End, End, Wire]:
        plugs, ports = (Plug(), Plug()), (Port(), Port())
        for plug, port in zip(plugs, ports, strict=True):
            plug.port = port  # type: ignore[assignment]
        wire = Wire(*plugs, ("a", "b"), rate, random.Random(1))
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.last, scope)
            await trio.sleep(0)
            await script(ports[0].end, ports[1].end, wire, scope)
            scope.cancel()
        return ports[0].end, ports[1].end, wire

    return virtual_run(main, 1)


async def _ten(a: End, b: End, wire: Wire, scope: trio.CancelScope) -> None:
    for number in range(10):
        a.send.send_nowait(bytes([number]) * 100)
    b.send.send_nowait(b"back")
    await trio.sleep(20)


def test_a_wire_carries_at_its_rate_each_way_by_itself() -> None:
    a, b, wire = wired(Rate(bps=800), _ten)
    assert [frame[0] for _, frame in b.got] == list(range(10))
    assert [at for at, _ in b.got] == pytest.approx([1 + number for number in range(10)])
    assert a.got == [(pytest.approx(0.04, abs=0.011), b"back")]
    assert (wire.bytes, wire.frames) == (1004, 11)
    assert not a.attached and not b.attached


def test_delay_comes_on_top_and_keeps_the_order() -> None:
    _, b, _ = wired(Rate(bps=800, delay_s=3), _ten)
    assert [frame[0] for _, frame in b.got] == list(range(10))
    assert [at for at, _ in b.got] == pytest.approx([4 + number for number in range(10)])


def test_without_a_rate_everything_arrives_at_once() -> None:
    _, b, _ = wired(Rate(), _ten)
    assert len(b.got) == 10 and {at for at, _ in b.got} == {0.0}


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
def test_loss_takes_its_share_and_says_that_frames_are_datagrams(delay_s: float) -> None:
    async def many(a: End, b: End, wire: Wire, scope: trio.CancelScope) -> None:
        for number in range(2000):
            a.send.send_nowait(number.to_bytes(2, "big"))
        await trio.sleep(5)

    a, b, wire = wired(Rate(loss=0.2, delay_s=delay_s), many)
    assert 1520 < len(b.got) < 1680 and wire.frames == 2000
    assert [frame for _, frame in b.got] == sorted(frame for _, frame in b.got)
    assert a.profile is not None and not a.profile.ordered and Rate().profile.ordered


def test_a_wire_that_is_cut_loses_what_is_under_way_and_can_be_joined_again() -> None:
    async def cut(a: End, b: End, wire: Wire, scope: trio.CancelScope) -> None:
        a.send.send_nowait(bytes(100))
        await trio.sleep(0.5)
        scope.cancel()
        await trio.sleep(5)
        assert not a.attached and not b.got
        a.send.send_nowait(b"later")
        await wire.last(trio.CancelScope(deadline=trio.current_time() + 3))

    _, b, _ = wired(Rate(bps=800), cut)
    assert [frame for _, frame in b.got] == [b"later"]


def test_a_wire_to_a_node_that_is_off_is_none() -> None:
    async def main() -> None:
        plug = Plug()
        plug.port = Port()  # type: ignore[assignment]
        with trio.fail_after(1):
            await Wire(plug, Plug(), ("a", "b"), Rate(), random.Random(1)).last(trio.CancelScope())
        assert not plug.port.end.attached  # type: ignore[attr-defined]

    virtual_run(main, 1)


# --- radios -------------------------------------------------------------------------------------
MODEM = Modem(869.525e6, 7, 125_000, 5, preamble=16)
SIZE = 100


class Field:
    """Radios that all hear one another, or those of `pairs`."""

    def __init__(self, count: int, pairs: set[tuple[int, int]] | None = None, **sensing: float) -> None:
        links = Links(150.0)
        for a in range(1, count + 1):
            for b in range(1, count + 1):
                if a != b and (pairs is None or (a, b) in pairs or (b, a) in pairs):
                    links.set(a, b, 100.0)
        self.channel = Channel(
            links, rules=Rules(max_concurrent=1), sensing=Sensing(**sensing), bands=EU868, seed=1
        )
        self.packets: list[OnAir] = []
        self.air = Air(self.channel, heard=self.packets.append)
        self.ports = {number: Port() for number in range(1, count + 1)}
        self.pulled: list[tuple[int, bytes]] = []

    def radio(self, number: int) -> SimRadio:
        return SimRadio(
            self.air,
            number,
            MODEM,
            tx_dbm=14.0,
            mtu=255,
            duty_cycle=0.1,
            dice=random.Random(number),
            pulled=lambda node, frame: self.pulled.append((node, frame)),
        )

    def run(self, script: Callable[["Field", trio.Nursery], Awaitable[None]]) -> "Field":
        async def main() -> None:
            for number in self.ports:
                self.channel.add(number, MODEM)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.air.run)
                for number, port in self.ports.items():
                    nursery.start_soon(self.radio(number).run, port)
                await trio.sleep(0)
                await script(self, nursery)
                nursery.cancel_scope.cancel()

        virtual_run(main, 1)
        return self


def offer(port: Port, count: int) -> None:
    for number in range(count):
        port.end.send.send_nowait(number.to_bytes(2, "big") + bytes(SIZE - 2))


def test_a_packet_is_heard_by_all_in_reach_after_its_time_on_air_and_billed() -> None:
    async def script(field: Field, nursery: trio.Nursery) -> None:
        offer(field.ports[1], 3)
        await trio.sleep(10)

    field = Field(3, pairs={(1, 2)}).run(script)
    airtime = MODEM.airtime(SIZE)
    assert [frame[:2] for _, frame in field.ports[2].end.got] == [b"\0\0", b"\0\1", b"\0\2"]
    assert field.ports[3].end.got == []
    assert field.ports[1].end.billed_s == pytest.approx(3 * airtime)
    assert [packet.end - packet.begin for packet in field.packets] == pytest.approx([airtime] * 3)
    assert field.pulled == [(1, packet.frame) for packet in field.packets]
    assert all(
        later.begin > sooner.end for sooner, later in zip(field.packets, field.packets[1:], strict=False)
    )
    assert (field.air.frames, field.air.bytes) == (3, 3 * SIZE)


def test_radios_that_hear_one_another_collide_far_less_than_those_that_do_not() -> None:
    async def script(field: Field, nursery: trio.Nursery) -> None:
        for number in range(2, 6):
            offer(field.ports[number], 40)
        await trio.sleep(60)

    star = {(1, number) for number in range(2, 6)}
    together, hidden = Field(5).run(script), Field(5, pairs=star).run(script)

    def lost(field: Field) -> float:
        fates = [one.fate for packet in field.packets for one in packet.outcomes if one.receiver == 1]
        assert len(fates) == 160
        return sum(fate is not Fate.RECEIVED for fate in fates) / len(fates)

    assert lost(together) < 0.25 and lost(hidden) > 2 * lost(together)


def test_a_radio_keeps_to_its_duty_cycle_by_itself() -> None:
    async def script(field: Field, nursery: trio.Nursery) -> None:
        offer(field.ports[1], 5000)
        await trio.sleep(2 * HOUR_S)

    field = Field(2).run(script)
    duty = field.channel.duty(1)
    assert duty.violations == 0 and 0.995 < duty.highest <= 1
    assert duty.airtime_s == pytest.approx(2 * 360, rel=0.02)


def test_a_radio_that_is_switched_off_hears_nothing_and_its_last_packet_still_ends() -> None:
    async def script(field: Field, nursery: trio.Nursery) -> None:
        scope = trio.CancelScope()

        async def short_lived() -> None:
            with scope:
                await field.radio(3).run(extra)

        extra = Port()
        field.channel.add(3, MODEM)
        nursery.start_soon(short_lived)
        await trio.sleep(1)
        offer(extra, 1)
        while not field.pulled:
            await trio.sleep(0.01)
        while not field.channel.receiving(1, trio.current_time()):
            await trio.sleep(0.01)
        scope.cancel()
        await trio.sleep(2)
        offer(field.ports[1], 1)
        await trio.sleep(2)
        assert extra.end.got == [] and not extra.end.attached

    field = Field(2)
    links = field.channel._links
    for a, b in ((3, 1), (1, 3)):
        links.set(a, b, 100.0)
    field.run(script)
    assert [packet.sender for packet in field.packets] == [3, 1]
    assert [len(field.ports[number].end.got) for number in (1, 2)] == [1, 1]
    assert {one.receiver: one.fate for one in field.packets[1].outcomes}[3] is Fate.NOT_TUNED


# --- duty cycle ---------------------------------------------------------------------------------
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 2000), st.floats(0.01, 30)), max_size=30),
    st.floats(0, 5000),
    st.floats(0.01, 36),
)
def test_free_at_is_the_earliest_time_that_keeps_the_hour(
    spans: list[tuple[float, float]], later: float, airtime_s: float
) -> None:
    most_s, ledger, now = 36.0, Ledger(), 0.0
    for gap, lasts in spans:
        ledger.add(now + gap, now + gap + lasts)
        now += gap + lasts
    now += later
    free_at = ledger.free_at(airtime_s, most_s, now)
    assert now <= free_at <= now + HOUR_S + 1e-3

    def hour_at(begin: float) -> float:
        return ledger.used(begin + airtime_s) + airtime_s

    assert hour_at(free_at) <= most_s + 1e-4
    if free_at > now + 1e-3:
        assert hour_at(free_at - 1e-3) > most_s - 1e-4


def test_what_never_fits_is_never_free() -> None:
    duty = Duty(EU868)
    assert duty.free_at(868.65e6, 0.1, 5.0) == float("inf")  # between the bands
    assert duty.free_at(868.1e6, 37.0, 5.0) == float("inf")  # longer than an hour's 36 s
    assert duty.free_at(868.1e6, 36.0, 5.0) == 5.0


# --- places -------------------------------------------------------------------------------------
def placed(**rule: Any) -> list[tuple[float, float]]:
    scenario = Scenario("t", 1.0, places=(Places(**rule),))
    return [(one.x, one.y) for one in places_of(scenario, random.Random(5)).values()]


def test_lines_and_grids_stand_in_order() -> None:
    assert placed(kind="line", count=3, spacing_m=10) == [(0, 0), (10, 0), (20, 0)]
    assert placed(kind="grid", count=5, spacing_m=2) == [(0, 0), (2, 0), (4, 0), (0, 2), (2, 2)]


def test_chance_places_in_the_square_and_clusters_around_their_middles() -> None:
    assert all(0 <= x <= 9 and 0 <= y <= 9 for x, y in placed(count=200, side_m=9))
    spots = placed(kind="clusters", count=300, clusters=3, spread_m=1.0, side_m=1e6)
    for number in range(3):
        xs = [x for x, _ in spots[number::3]]
        assert max(xs) - min(xs) < 12
    assert placed(count=5) == placed(count=5)


@given(st.integers(0, 1000), st.floats(0.1, 30), st.floats(1, 60))
def test_a_walk_stays_in_its_box_and_below_its_speed(seed: int, speed: float, step_s: float) -> None:
    rule = Mobility(speed_mps=(speed / 2, speed), pause_s=(0, 5), step_s=step_s)
    places = {"a": Place("a", 0, 0), "b": Place("b", 300, 100)}
    walk = Walk(places["a"], box_of(places), rule, random.Random(seed))
    moved = 0
    for number in range(50):
        before = walk.x, walk.y
        moved += walk.step(number * step_s)
        assert -1e-6 <= walk.x <= 300 + 1e-6 and -1e-6 <= walk.y <= 100 + 1e-6
        assert ((walk.x - before[0]) ** 2 + (walk.y - before[1]) ** 2) ** 0.5 <= speed * step_s + 1e-6
    assert moved > 0
