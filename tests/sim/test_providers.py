"""N7: one file from two nodes that have it, over links of 10 Mbit/s: whole nodes in virtual time."""

import random

import trio

from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.engine.attach import seal_attachment
from nexus_node.engine.events import Event
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import virtual_run
from nexus_sim.wires import Plug, Rate, Wire
from nexus_sim.world import SimNode, World, open_world

RATE = Rate(10e6, delay_s=0.005)
CONTENT = random.Random(7).randbytes(5_000_000)
RELAY = {"relay": RelayPolicy(serve=Serve.ANYONE, interval_s=0.0)}


class Scene:
    """Two relays keep a file for bob, who is away."""

    def __init__(self, world: World, wires: trio.Nursery) -> None:
        self.world, self.nursery = world, wires
        self.plugs = {name: Plug() for name in world.nodes}
        for name, plug in self.plugs.items():
            world.nodes[name].drivers.append(plug)

    def join(self, a: str, b: str) -> tuple[Wire, trio.CancelScope]:
        scope = trio.CancelScope()
        wire = Wire(self.plugs[a], self.plugs[b], (a, b), RATE, self.world.dice(a + b))
        self.nursery.start_soon(wire.last, scope)
        return wire, scope

    async def begin(self) -> SimNode:
        """Until both relays have all of it; returns bob, who is not joined to anybody."""
        for name in ("alice", "left", "right", "bob"):
            await self.world.start(name, RELAY if name in ("left", "right") else None)
        alice, bob = self.world.nodes["alice"], self.world.nodes["bob"]
        alice.node.core.contacts.add("bob", make_uri(bob.identity.node_id), alice.node.wall_ms())
        scopes = [self.join("alice", name)[1] for name in ("left", "right")]
        await trio.sleep(5)
        file = seal_attachment("a.bin", CONTENT, key=alice.node.core.random_bytes(32), min_bandwidth=0)
        alice.node.send("bob", "look", files=[file])
        with trio.fail_after(120):
            while not all(self.has(name) for name in ("left", "right")):
                await trio.sleep(0.5)
        for scope in scopes:
            scope.cancel()
        await trio.sleep(1)
        return bob

    def has(self, name: str) -> bool:
        return any(stored.complete for stored in self.world.nodes[name].store.objects())

    async def fetched(self, bob: SimNode) -> float:
        """Seconds until bob has the file."""
        begun = trio.current_time()
        with trio.fail_after(120):
            while not self.has("bob"):
                await trio.sleep(0.01)
        return trio.current_time() - begun


def fetch_from(*names: str) -> tuple[float, int]:
    """Seconds, and bytes on all links."""

    async def main() -> tuple[float, int]:
        async with open_world(["alice", "left", "right", "bob"], 1) as world, trio.open_nursery() as wires:
            scene = Scene(world, wires)
            bob = await scene.begin()
            joined = [scene.join(name, "bob")[0] for name in names]
            took = await scene.fetched(bob)
            wires.cancel_scope.cancel()
            return took, sum(wire.bytes for wire in joined)

    return virtual_run(main, 1)


def test_n7_two_providers_are_nearly_twice_as_fast_as_one() -> None:
    (alone, least), (both, most) = fetch_from("left"), fetch_from("left", "right")
    print(alone, both, alone / both, least, most)
    assert alone < 1.1 * 8 * len(CONTENT) / RATE.bps
    assert alone / both >= 1.8
    assert most < 1.01 * least  # nothing is fetched twice


def test_n7_a_lying_provider_costs_at_most_one_chunk() -> None:
    alone, least = fetch_from("right")

    async def main() -> None:
        dropped = []

        def told(name: str, event: Event) -> None:
            if event.event == "provider_dropped":
                dropped.append((name, event.fields["by"]))

        names = ["alice", "left", "right", "bob"]
        async with open_world(names, 2, told=told) as world, trio.open_nursery() as wires:
            scene = Scene(world, wires)
            bob = await scene.begin()
            liar = world.nodes["left"].store
            honest = liar.read_chunk
            lies = []

            def read_chunk(object_id: bytes, number: int) -> bytes:
                chunk = honest(object_id, number)
                if number < 3:
                    return chunk
                lies.append(number)
                return bytes([chunk[0] ^ 1]) + chunk[1:]

            liar.read_chunk = read_chunk
            scene.join("left", "bob")
            wire, _ = scene.join("right", "bob")
            took = await scene.fetched(bob)
            print(took, alone, len(lies), bob.node.core.counters["wrong_chunk"], wire.bytes, least)
            assert lies
            # What is wrong comes from the other, once.
            assert wire.bytes <= least + CHUNK_SIZE
            assert took <= alone + 8 * CHUNK_SIZE / RATE.bps
            assert dropped == [("bob", world.nodes["left"].identity.address.hex())]
            wires.cancel_scope.cancel()

    virtual_run(main, 2)
