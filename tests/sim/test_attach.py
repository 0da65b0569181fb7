"""N13: a photo waits on the slow carrier and goes by itself on the fast one, whole nodes in virtual time."""

import random

import trio

from nexus_drivers.memory import MemoryMedium
from nexus_node.base.states import State
from nexus_node.engine.attach import seal_attachment, whole_facts, whole_state
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_sim.clock import virtual_run
from nexus_sim.world import SimNode, World, open_world

PHOTO = random.Random(1).randbytes(400_000)
SLOW_BPS, FAST_BPS = 1200, 5e6


def attach(sender: SimNode, to: SimNode, text: str, content: bytes = PHOTO, **options) -> bytes:
    file = seal_attachment("photo.jpg", content, key=sender.node.core.random_bytes(32), **options)
    return sender.node.send(to.name, text, files=[file])


def slow(world: World) -> MemoryMedium:
    return MemoryMedium(rng=world.dice("slow"), bps=SLOW_BPS, mtu=255, half_duplex=True)


def fast(world: World) -> MemoryMedium:
    return MemoryMedium(rng=world.dice("fast"), bps=FAST_BPS)


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


def test_n13_a_photo_waits_half_an_hour_for_a_fast_link() -> None:
    async def main() -> None:
        async with open_world(["alice", "bob"], 1) as world:
            narrow = slow(world)
            world.join(narrow, "alice", "bob")
            alice, bob = await world.start("alice"), await world.start("bob")
            await trio.sleep(30)
            message = attach(alice, bob, "look", media_type="image/jpeg")
            await trio.sleep(10)
            assert bob.inbox() == ["look"]  # with what is known of the photo, in seconds
            assert not has_file(bob)
            await trio.sleep(30 * 60 - 40)
            assert state_of(alice, message) is State.HELD
            print("slow bytes", narrow.bytes)
            world.join(fast(world), "alice", "bob")
            await trio.sleep(5)
            assert has_file(bob)
            await trio.sleep(1)
            assert states_of(alice, message) == [State.QUEUED, State.HELD, State.SENT, State.DELIVERED]

    virtual_run(main, 1)
