"""N13: a photo waits on the slow carrier and goes by itself on the fast one: whole nodes in virtual time."""

import random
from collections.abc import Callable
from io import BytesIO

import trio
from PIL import Image

from nexus_drivers.memory import MemoryMedium
from nexus_node.base.states import State
from nexus_node.engine.attach import preview_room, seal_attachment, whole_facts, whole_state
from nexus_node.engine.relay import RelayPolicy
from nexus_node.runtime.preview import make_preview
from nexus_node.wire.announce import Serve
from nexus_node.wire.description import Description
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import virtual_run
from nexus_sim.wires import Plug, Rate, Wire
from nexus_sim.world import SimNode, World, open_world
from tests.harness.pictures import picture

NOISE = random.Random(1).randbytes(400_000)
PHOTO = picture(2400, 1800, quality=95)
"""A JPEG of some 400 KB."""
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


def attach(sender: SimNode, to: str, text: str, content: bytes, **options) -> bytes:
    file = seal_attachment("photo.jpg", content, key=sender.node.core.random_bytes(32), **options)
    return sender.node.send(to, text, files=[file])


def attach_photo(sender: SimNode, to: str) -> bytes:
    """As `nexus send --file` does: with a preview for which there is room."""
    core = sender.node.core
    room = preview_room(core.delivery.ways_to(core.contacts.get(to).node_id))
    preview = make_preview(BytesIO(PHOTO), room)
    assert 100 < len(preview) <= room < 500
    return attach(sender, to, "look", PHOTO, media_type="image/jpeg", preview=preview)


def described(reader: SimNode) -> Description:
    (row,) = reader.store.inbox()
    (file,) = reader.node.core.files_of(row)
    return file


async def until(true: Callable[[], bool]) -> float:
    """Wait until it is true; how long that took."""
    began = trio.current_time()
    while not true():
        await trio.sleep(0.05)
    return trio.current_time() - began


def state_of(sender: SimNode, message: bytes) -> State:
    return whole_state(sender.store.parts(message))


def states_of(sender: SimNode, message: bytes) -> list[State]:
    rows = sender.store.parts(message)
    return [fact.state for fact in whole_facts([sender.store.facts(row.id) for row in rows])]


def has_file(reader: SimNode) -> bool:
    stored = reader.store.get_object(described(reader).object)
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
            message = attach_photo(alice, "bob")
            assert await until(lambda: bob.inbox() == ["look"]) < 8  # with what is known of the photo
            file = described(bob)
            assert (file.name, file.size, file.media_type) == ("photo.jpg", len(PHOTO), "image/jpeg")
            assert Image.open(BytesIO(file.preview)).width in (48, 64)
            await trio.sleep(8)
            before = air(alice)
            await trio.sleep(30 * 60)
            assert state_of(alice, message) is State.HELD
            assert air(alice) - before < 500  # not one byte of the photo
            (held,) = [row for row in alice.store.parts(message) if row.is_file]
            assert held.min_bandwidth == 10_000
            assert [int(way.bps) for way in alice.node.core.delivery.ways_to(held.to)] == [SLOW_BPS]
            before = air(alice)
            place.fast_link("alice", "bob", wires)
            took = await until(lambda: has_file(bob))
            print("direct", took, air(alice) - before)
            assert took < 5
            assert air(alice) - before < 500
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
            message = attach_photo(alice, "bob")
            print("text over two", await until(lambda: bob.inbox() == ["look"]))
            await trio.sleep(30)
            slow = air(alice) + air(world.nodes["relay"])
            place.fast_link("relay", "bob", wires)
            await trio.sleep(600)
            assert state_of(alice, message) is State.HELD
            assert not has_file(bob)
            assert bob.store.get_object(described(bob).object) is None  # not one byte of the photo
            print("slow", air(alice) + air(world.nodes["relay"]) - slow)
            assert air(alice) + air(world.nodes["relay"]) - slow < 1500
            slow = air(alice) + air(world.nodes["relay"])
            place.fast_link("alice", "relay", wires)
            took = await until(lambda: has_file(bob))
            print("behind a relay", took)
            assert took < 5
            assert air(alice) + air(world.nodes["relay"]) - slow < 500
            await trio.sleep(2)
            assert states_of(alice, message) == [State.QUEUED, State.HELD, State.SENT, State.DELIVERED]
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
            message = attach(alice, "bob", "file", NOISE[:10_000])
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
        for seed in range(16):
            async with open_world(["alice", "bob"], 10 + seed) as world:
                medium = MemoryMedium(rng=world.dice("air"), bps=SLOW_BPS, mtu=255, shared=True, loss=0.1)
                world.join(medium, "alice", "bob")
                alice, bob = await world.start("alice"), await world.start("bob")
                befriend(alice, bob)
                await trio.sleep(120)
                message = attach(alice, "bob", "file", NOISE[:10_000])
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
