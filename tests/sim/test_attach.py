"""N13: a photo waits on the slow carrier and goes by itself on the fast one: whole nodes in virtual time."""

import random

import trio

from nexus_drivers.memory import MemoryMedium
from nexus_node.base.states import State
from nexus_node.engine.attach import seal_attachment, whole_facts, whole_state
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import virtual_run
from nexus_sim.wires import Plug, Rate, Wire
from nexus_sim.world import SimNode, World, open_world

PHOTO = random.Random(1).randbytes(400_000)
SLOW_BPS, FAST_BPS = 1200, 5e6
RELAY = {"relay": RelayPolicy(serve=Serve.ANYONE)}


class Place:
    """Nodes with a slow half-duplex carrier each to the first, and fast wires that come later."""

    def __init__(self, world: World, *names: str) -> None:
        self.world = world
        self.plugs = {name: Plug() for name in names}
        for name in names:
            world.nodes[name].drivers.append(self.plugs[name])
        self.slow: dict[str, MemoryMedium] = {}

    def slow_link(self, a: str, b: str) -> MemoryMedium:
        medium = MemoryMedium(rng=self.world.dice(a + b), bps=SLOW_BPS, mtu=255, shared=True)
        self.world.join(medium, a, b)
        return medium

    def fast_link(self, a: str, b: str, nursery: trio.Nursery) -> Wire:
        rate = Rate(FAST_BPS, delay_s=0.002)
        wire = Wire(self.plugs[a], self.plugs[b], (a, b), rate, self.world.dice(a + b))
        nursery.start_soon(wire.last, trio.CancelScope())
        return wire


def befriend(a: SimNode, b: SimNode, trust: str | None = None) -> None:
    core = a.node.core
    core.contacts.add(b.name, make_uri(b.identity.node_id), a.node.wall_ms())
    if trust is not None:
        core.contacts.trust(b.name, trust)
        core.planner.relays_changed(a.node.now())


def attach(sender: SimNode, to: str, text: str, content: bytes = PHOTO, **options) -> bytes:
    file = seal_attachment("photo.jpg", content, key=sender.node.core.random_bytes(32), **options)
    return sender.node.send(to, text, files=[file])


def state_of(sender: SimNode, message: bytes) -> State:
    return whole_state(sender.store.parts(message))


def states_of(sender: SimNode, message: bytes) -> list[State]:
    rows = sender.store.parts(message)
    return [fact.state for fact in whole_facts([sender.store.facts(row.id) for row in rows])]


def has_file(reader: SimNode) -> bool:
    (row,) = reader.store.inbox()
    (file,) = reader.node.core.files_of(row)
    stored = reader.store.get_object(file.object)
    return stored is not None and stored.complete


def air(node: SimNode) -> int:
    """Bytes that a node has sent over its slow carrier."""
    return sum(medium.tx_bytes for medium in node.node.core.media.values())


def test_n13_a_photo_waits_half_an_hour_for_a_fast_link() -> None:
    async def main() -> None:
        async with open_world(["alice", "bob"], 1) as world, trio.open_nursery() as wires:
            place = Place(world, "alice", "bob")
            place.slow_link("alice", "bob")
            alice, bob = await world.start("alice"), await world.start("bob")
            befriend(alice, bob)
            await trio.sleep(60)
            message = attach(alice, "bob", "look", media_type="image/jpeg")
            await trio.sleep(8)
            assert bob.inbox() == ["look"]  # with what is known of the photo, in seconds
            before = air(alice)
            await trio.sleep(30 * 60)
            assert state_of(alice, message) is State.HELD
            assert air(alice) - before < 500  # not one byte of the photo
            place.fast_link("alice", "bob", wires)
            await trio.sleep(5)
            assert has_file(bob)
            await trio.sleep(1)
            assert states_of(alice, message) == [State.QUEUED, State.HELD, State.SENT, State.DELIVERED]
            wires.cancel_scope.cancel()

    virtual_run(main, 1)


def test_n13_the_same_with_the_recipient_behind_a_relay() -> None:
    """The only fast link is the one between relay and recipient, and then both are."""

    async def main() -> None:
        names = ["alice", "relay", "bob"]
        async with open_world(names, 2) as world, trio.open_nursery() as wires:
            place = Place(world, *names)
            place.slow_link("alice", "relay")
            place.slow_link("relay", "bob")
            alice, _, bob = [await world.start(name, RELAY if name == "relay" else None) for name in names]
            befriend(alice, bob)
            await trio.sleep(120)
            message = attach(alice, "bob", "look", media_type="image/jpeg")
            await trio.sleep(30)
            assert bob.inbox() == ["look"]
            place.fast_link("relay", "bob", wires)
            await trio.sleep(600)
            assert state_of(alice, message) is State.HELD
            assert not has_file(bob)
            place.fast_link("alice", "relay", wires)
            await trio.sleep(10)
            assert has_file(bob)
            await trio.sleep(2)
            assert state_of(alice, message) is State.DELIVERED
            wires.cancel_scope.cancel()

    virtual_run(main, 2)


def test_n6_a_text_overtakes_a_file_on_a_slow_link_and_costs_it_little() -> None:
    async def main(with_text: bool) -> tuple[float, float]:
        async with open_world(["alice", "bob"], 3) as world:
            place = Place(world, "alice", "bob")
            place.slow_link("alice", "bob")
            alice, bob = await world.start("alice"), await world.start("bob")
            befriend(alice, bob)
            alice.node.send("bob", "hello")
            await trio.sleep(120)
            begun = trio.current_time()
            message = attach(alice, "bob", "file", PHOTO[:10_000])
            text_s = 0.0
            if with_text:
                await trio.sleep(8)
                sent = trio.current_time()
                alice.node.send("bob", "quick!")
                while "quick!" not in bob.inbox():
                    await trio.sleep(0.05)
                text_s = trio.current_time() - sent
            while state_of(alice, message) is not State.DELIVERED:
                await trio.sleep(0.1)
            return text_s, trio.current_time() - begun

    text_s, took = virtual_run(lambda: main(True), 3)
    _, alone = virtual_run(lambda: main(False), 3)
    print(text_s, took, alone)
    assert text_s <= 3.0
    assert took <= 1.1 * alone


def test_n7_a_file_always_crosses_a_slow_link_that_loses_a_tenth() -> None:
    async def main() -> None:
        for seed in range(4):
            async with open_world(["alice", "bob"], 10 + seed) as world:
                medium = MemoryMedium(rng=world.dice("air"), bps=SLOW_BPS, mtu=255, shared=True, loss=0.1)
                world.join(medium, "alice", "bob")
                alice, bob = await world.start("alice"), await world.start("bob")
                befriend(alice, bob)
                await trio.sleep(120)
                message = attach(alice, "bob", "file", PHOTO[:10_000])
                await trio.sleep(900)
                assert state_of(alice, message) is State.DELIVERED
                assert has_file(bob)

    virtual_run(main, 4)


def test_n6_a_text_is_quick_beside_ten_megabytes_over_wifi() -> None:
    async def main() -> None:
        async with open_world(["alice", "bob"], 5) as world, trio.open_nursery() as wires:
            place = Place(world, "alice", "bob")
            alice, bob = await world.start("alice"), await world.start("bob")
            befriend(alice, bob)
            place.fast_link("alice", "bob", wires)
            await trio.sleep(5)
            content = random.Random(2).randbytes(10_000_000)
            message = attach(alice, "bob", "file", content, min_bandwidth=0)
            spans = []
            while state_of(alice, message) is not State.DELIVERED:
                sent = trio.current_time()
                text = alice.node.send("bob", f"at {sent}")
                await alice.node.pump.reach(text.hex(), State.DELIVERED)
                spans.append(trio.current_time() - sent)
                await trio.sleep(0.5)
            spans.sort()
            print(len(spans), spans[int(0.95 * len(spans))], spans[-1])
            assert len(spans) > 20
            assert spans[int(0.95 * len(spans))] <= 0.1
            wires.cancel_scope.cancel()

    virtual_run(main, 5)
