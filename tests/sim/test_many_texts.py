"""N3, N6: texts in large numbers over narrow and lossy links: whole nodes in virtual time."""

from collections import Counter
from collections.abc import Awaitable, Callable

import trio

from nexus_node.base.limits import TRANSIT_PAUSE_BYTES
from nexus_node.engine.core import NodeCore
from nexus_node.engine.events import Event
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import virtual_run
from nexus_sim.wires import Plug, Rate, Wire
from nexus_sim.world import World, open_world

WIDE, NARROW = Rate(50e6, delay_s=0.005), Rate(400e3, delay_s=0.005)


class Scene:
    """Nodes in line, or around one, that have had time to find each other; texts go to bob."""

    def __init__(self, world: World, delivered: Counter[str]) -> None:
        self.world = world
        self.delivered = delivered
        self.wires: dict[tuple[str, str], Wire] = {}
        self.bytes = 0
        """Of all envelopes."""

    def core(self, name: str) -> NodeCore:
        return self.world.nodes[name].node.core

    def send(self, name: str, count: int, size: int) -> None:
        node = self.world.nodes[name]
        for number in range(count):
            text = self.world.dice(f"{name} {number}").randbytes(size // 2).hex()
            self.bytes += len(node.store.outgoing(node.node.send("bob", text)).envelope)

    async def all_there(self, count: int, within_s: float, look: Callable[[], None] = lambda: None) -> float:
        """Seconds until so many are delivered."""
        began = trio.current_time()
        with trio.fail_after(within_s):
            while self.delivered.total() < count:
                await trio.sleep(0.2)
                look()
        return trio.current_time() - began


def play(main: Callable[[Scene], Awaitable[None]], *wires: tuple[str, str, Rate]) -> None:
    names = list(dict.fromkeys(name for a, b, _ in wires for name in (a, b)))
    delivered = Counter[str]()

    def told(name: str, event: Event) -> None:
        delivered[name] += event.event == "message_state" and event.fields["state"] == "delivered"

    async def run() -> None:
        async with open_world(names, 1, told=told) as world, trio.open_nursery() as nursery:
            scene = Scene(world, delivered)
            plugs = {name: Plug() for name in names}
            for name, plug in plugs.items():
                world.nodes[name].drivers.append(plug)
                await world.start(name)
                if name != "bob":
                    scene.core(name).contacts.add("bob", make_uri(world.nodes["bob"].identity.node_id), 0)
            for a, b, rate in wires:
                scene.wires[a, b] = Wire(plugs[a], plugs[b], (a, b), rate, world.dice(a + b))
                nursery.start_soon(scene.wires[a, b].last, trio.CancelScope())
            await trio.sleep(20)
            await main(scene)
            nursery.cancel_scope.cancel()

    virtual_run(run, 1)


def test_n6_two_senders_to_a_narrow_link_two_hops_away_repeat_nothing() -> None:
    """A path that takes a minute for what two send at once: nobody takes that for a loss."""

    async def main(scene: Scene) -> None:
        narrow, far = scene.wires["far", "bob"], scene.core("far")
        before, most = narrow.bytes, 0

        def look() -> None:
            nonlocal most
            most = max(most, *(far.forwarder.load(one)[1] for one in far.attachments.values()))

        for name in ("alice", "near"):
            scene.send(name, 60, 50_000)
        took = await scene.all_there(120, 240, look)
        assert took < 1.1 * 8 * scene.bytes / NARROW.bps
        assert narrow.bytes - before < 1.03 * scene.bytes
        assert 0 < most < TRANSIT_PAUSE_BYTES
        assert not any(scene.core(name).counters["repeats"] for name in ("alice", "near"))

    play(main, ("alice", "near", WIDE), ("near", "far", WIDE), ("far", "bob", NARROW))


def test_n6_what_a_crowd_repeats_while_it_still_waits_at_a_relay_is_not_queued_twice() -> None:
    """Nobody knows what the others have sent: for 20 s all repeat, and little of it goes on."""

    async def main(scene: Scene) -> None:
        narrow = scene.wires["hub", "bob"]
        before = narrow.bytes
        for number in range(20):
            scene.send(f"sender{number}", 10, 600)
        took = await scene.all_there(200, 60)
        await trio.sleep(30)
        assert took < 1.2 * 8 * scene.bytes / 50e3
        assert narrow.bytes - before < 1.3 * scene.bytes, "with 39 bytes for each receipt"
        assert scene.core("hub").counters["waiting_already"] > 100

    crowd = [(f"sender{number}", "hub", Rate(2e6, delay_s=0.02)) for number in range(20)]
    play(main, ("hub", "bob", Rate(50e3, delay_s=0.02)), *crowd)


def test_n3_where_a_fifth_is_lost_three_hundred_texts_need_no_long_wait() -> None:
    """Who waits for doubled timers, though receipts of later texts come in, needs 50 s."""

    async def main(scene: Scene) -> None:
        scene.send("alice", 300, 1000)
        await scene.all_there(300, 20)
        assert len(list(scene.world.nodes["bob"].store.inbox())) == 300

    play(main, ("alice", "bob", Rate(1e6, delay_s=0.02, loss=0.2)))
