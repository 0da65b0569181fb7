"""N6: what goes first in a frame, what a paused neighbour gets, bulk that leaves a radio air for texts."""

from types import SimpleNamespace
from typing import ClassVar

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.duty import HOUR_S, AirBudget
from nexus_node.base.limits import TRANSFERS_OUT
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.attach import seal_attachment
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.schedule import BULK_FIRST_EVERY, BULK_OF_DUTY, Step, order
from nexus_node.ports.driver import LinkProfile
from nexus_node.runtime import network, verbs
from nexus_node.runtime.node import open_node
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.frames import ItemPacker
from nexus_node.wire.packet import Context, Packet, Priority

from .mesh import Mesh
from .world import SeededRng, Wire

RADIO = LinkProfile(mtu=255, bps=1200, half_duplex=True)
DUTY = 0.02
FRAMES = st.integers(0, 10**6)
BULK = {Step.FEED_BULK, Step.BULK, Step.BULK_LARGE, Step.COPIES}
URGENT = {Step.OWN, Step.TRANSIT_URGENT}


def ranks(steps: tuple[Step, ...]) -> dict[Step, int]:
    """Where each step comes first."""
    return {step: steps.index(step) for step in steps}


@given(FRAMES, st.booleans(), st.booleans())
def test_n6_answers_first_and_nothing_urgent_ever_left_out(frames: int, paused: bool, short: bool) -> None:
    steps = order(frames, paused=paused, short=short)
    assert steps[0] is Step.ANSWERS
    assert set(steps) >= URGENT | {Step.OWN_LARGE}


@given(FRAMES)
def test_n6_a_tenth_of_the_frames_serves_bulk_first_and_all_others_last(frames: int) -> None:
    first = 0
    for one in range(frames, frames + BULK_FIRST_EVERY):
        steps = order(one, paused=False, short=False)
        assert set(steps) == set(Step)
        at = ranks(steps)
        before = at[Step.BULK] < min(at[step] for step in URGENT | {Step.TRANSIT})
        first += before
        assert before or at[Step.FEED_BULK] > max(at[step] for step in set(Step) - BULK)
    assert first / BULK_FIRST_EVERY >= 0.1


@given(FRAMES)
def test_n6_own_messages_and_others_take_turns(frames: int) -> None:
    turns = [order(one, paused=False, short=False) for one in range(frames, frames + BULK_FIRST_EVERY)]
    own_first = [steps.index(Step.OWN) < steps.index(Step.TRANSIT_URGENT) for steps in turns]
    assert own_first.count(True) == BULK_FIRST_EVERY / 2


@given(FRAMES, st.booleans())
def test_n6_a_paused_neighbour_gets_its_own_and_what_is_urgent(frames: int, short: bool) -> None:
    steps = set(order(frames, paused=True, short=short))
    assert steps == {Step.ANSWERS, Step.OWN, Step.OWN_LARGE, Step.TRANSIT_URGENT}


@given(FRAMES)
def test_n6_a_radio_short_of_air_sends_all_but_bulk(frames: int) -> None:
    assert set(order(frames, paused=False, short=True)) == set(Step) - BULK


# --- a radio with a duty cycle ---------------------------------------------------------------------
class _Radio(Wire):
    """A wire that sends a frame after the other, within an hour's airtime at each end."""

    def __init__(self, mesh: Mesh, a: str, b: str) -> None:
        super().__init__(mesh[a], mesh[b], RADIO, mesh.dice)
        mesh.wires[frozenset((a, b))] = self
        self.budgets = AirBudget(DUTY), AirBudget(DUTY)
        for side, host in enumerate(self.hosts):
            self.cids[side] = host.core.carrier_up(
                RADIO, f"radio:{side}", dialed=True, now=mesh.now, air=self.budgets[side]
            )
            host.core.next_frame = self._limited(host.core, self.budgets[side])

    def _limited(self, core, budget: AirBudget):
        pull = core.next_frame

        def next_frame(cid: int, now: float) -> bytes | None:
            if budget.free_at(8 * RADIO.mtu / RADIO.bps, now) > now:
                core.ready.add(cid)
                return None
            frame = pull(cid, now)
            if frame is not None:
                budget.add(8 * len(frame) / RADIO.bps, now)
            return frame

        return next_frame


def _meet() -> tuple[Mesh, _Radio]:
    mesh = Mesh("alice", "bob")
    mesh.knows("alice", "bob")
    mesh.knows("bob", "alice")
    radio = _Radio(mesh, "alice", "bob")
    mesh.run(60)
    return mesh, radio


def test_n6_bulk_leaves_a_radio_air_for_texts_and_goes_on_by_itself() -> None:
    mesh, radio = _meet()
    size = 11_000  # more than three quarters of what 72 s carry, and less than two hours of that
    file = seal_attachment("log.bin", SeededRng(5).random_bytes(size), key=bytes(32), min_bandwidth=0)
    mesh["alice"].send("bob", "a log", mesh.now, files=[file])
    mesh.run(600)
    (link,) = mesh["alice"].core.attachments.values()
    limit_s = radio.budgets[0].limit_s
    assert limit_s == HOUR_S * DUTY
    frame_s = 8 * RADIO.mtu / RADIO.bps
    used_s = radio.budgets[0].used(mesh.now)
    assert BULK_OF_DUTY * limit_s - 2 * frame_s < used_s < BULK_OF_DUTY * limit_s + 4 * frame_s
    assert mesh.now < link.bulk_at(mesh.now) < mesh.now + HOUR_S + 60
    assert sorted(mesh["alice"].states().values()) == ["delivered", "queued"]
    node = SimpleNamespace(core=mesh["alice"].core, now=lambda: mesh.now)
    assert 0 < network._link(node, link, mesh["bob"].identity.node_id)["bulk_in_s"] < HOUR_S
    (row,) = (row for row in mesh["alice"].store.outbox() if not row.is_file)
    assert verbs._outgoing(node, row)["why"].startswith("its radio has airtime for files again in ")

    for number in range(10):  # texts have the rest
        mesh.send("alice", "bob", f"still here {number}")
        mesh.run(1)
    assert mesh["bob"].inbox() == ["a log"] + [f"still here {number}" for number in range(10)]

    before = radio.bytes
    mesh.run(600)
    assert radio.bytes - before < 400  # nothing is tried in vain meanwhile, but for a question again
    mesh.run(2 * HOUR_S)
    assert set(mesh["alice"].states().values()) == {"delivered"}


class _Limited:
    """A driver whose radio has used most of its hour."""

    scheme: ClassVar[str] = "limited"
    label = "limited"

    async def run(self, port) -> None:
        port.airtime("G1", DUTY).add(0.9 * HOUR_S * DUTY, trio.current_time())
        async with port.attach(RADIO, self.label, dialed=True):
            await trio.sleep_forever()


def test_n6_the_account_that_a_driver_keeps_is_the_one_that_counts() -> None:
    async def main() -> float:
        rng, driver = SeededRng(1), _Limited()
        identity = Identity.from_seed(bytes([1]) * 32)
        async with open_node(identity, MemoryStore(10**8), rng, [(driver, CarrierConfig("limited"))]) as node:
            await trio.testing.wait_all_tasks_blocked()
            (link,) = node.core.attachments.values()
            return link.bulk_at(node.now()) - node.now()

    assert 0 < trio.run(main) < 2 * HOUR_S


def test_n6_bulk_goes_even_over_a_radio_whose_frames_take_most_of_an_hour_of_airtime() -> None:
    mesh, _ = _meet()
    (link,) = mesh["alice"].core.attachments.values()
    link.air = tiny = AirBudget(1.5 / HOUR_S)
    assert 8 * RADIO.mtu / RADIO.bps > BULK_OF_DUTY * 1.5
    assert link.bulk_at(mesh.now) == mesh.now
    tiny.add(0.1, mesh.now)
    assert mesh.now < link.bulk_at(mesh.now) < mesh.now + 2 * HOUR_S
    link.air = AirBudget(1.0)
    assert link.bulk_at(mesh.now) == mesh.now


# --- fragments -------------------------------------------------------------------------------------
def test_n6_packets_in_fragments_find_room_beside_bulk() -> None:
    mesh, _ = _meet()
    core = mesh["alice"].core
    (link,) = core.attachments.values()
    link.air = None
    forwarder: Forwarder = core.forwarder
    bulk = Packet(Context.CHUNK, bytes(400), priority=Priority.BULK).encode()
    urgent = Packet(Context.WANT, bytes(400), priority=Priority.INTERACTIVE).encode()
    for _ in range(2 * TRANSFERS_OUT):
        forwarder.enqueue(link, bulk, Priority.BULK)
    packer = ItemPacker(link.link.room)
    forwarder.fill(link, packer, (Priority.BULK,))
    assert forwarder.load(link)[0] == 2 * TRANSFERS_OUT
    forwarder.enqueue(link, urgent, Priority.INTERACTIVE)
    forwarder.fill(link, packer, (Priority.REAL_TIME, Priority.INTERACTIVE))
    forwarder.fill_large(link, packer, mesh.now, bulk=False)
    transit = forwarder._transits[link.cid]
    assert not transit.queues[Priority.INTERACTIVE]
    begun = [one for one in transit.transfers if one.due < float("inf")]
    assert [one.priority for one in begun] == [Priority.INTERACTIVE]


def test_n6_what_waits_in_bulk_is_counted_as_it_comes_and_goes() -> None:
    mesh = Mesh("alice", "bob")
    mesh.join("alice", "bob")
    mesh.run(1)
    core = mesh["alice"].core
    (link,) = core.attachments.values()
    for size in (100, 5000, 40_000):  # whole, and in fragments
        for priority in (Priority.STANDARD, Priority.BULK, Priority.BULK):
            body = Packet(Context.CHUNK, bytes(size), priority=priority).encode()
            core.forwarder.enqueue(link, body, priority)
    waiting = core.forwarder._transits[link.cid].queues[Priority.BULK]
    assert core.forwarder.bulk(link) == sum(len(one.body) for one in waiting) > 90_000
    mesh.run(1)
    assert core.forwarder.bulk(link) == core.forwarder.load(link)[1] == 0
    assert core.forwarder._transits[link.cid].bulk_bytes == 0
