"""N3, N6: texts in large numbers, over a path with a narrow link and over a link that loses much."""

from collections import Counter
from itertools import pairwise

import trio

from nexus_node.base.limits import TRANSIT_PAUSE_BYTES
from nexus_node.engine.events import Event
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import virtual_run
from nexus_sim.wires import Plug, Rate, Wire
from nexus_sim.world import open_world

NAMES = ["alice", "near", "far", "bob"]
WIDE, NARROW = Rate(50e6, delay_s=0.005), Rate(400e3, delay_s=0.005)
TEXTS, BYTES = 60, 25_000


def test_n6_two_senders_to_a_narrow_link_two_hops_away_repeat_nothing() -> None:
    """A path that takes a minute for what two send at once: nobody takes that for a loss."""
    delivered = Counter[str]()

    def told(name: str, event: Event) -> None:
        delivered[name] += event.event == "message_state" and event.fields["state"] == "delivered"

    async def main() -> None:
        async with open_world(NAMES, 1, told=told) as world, trio.open_nursery() as nursery:
            plugs = {name: Plug() for name in NAMES}
            for name, plug in plugs.items():
                world.nodes[name].drivers.append(plug)
                await world.start(name)
            wires = []
            for a, b in pairwise(NAMES):
                rate = NARROW if b == "bob" else WIDE
                wires.append(Wire(plugs[a], plugs[b], (a, b), rate, world.dice(a + b)))
                nursery.start_soon(wires[-1].last, trio.CancelScope())
            cores = {name: world.nodes[name].node.core for name in NAMES}
            for name in ("alice", "near"):
                cores[name].contacts.add("bob", make_uri(world.nodes["bob"].identity.node_id), 0)
            await trio.sleep(5)
            began, before, size = trio.current_time(), wires[-1].bytes, 0
            for number in range(TEXTS):
                for name in ("alice", "near"):
                    text = world.dice(f"{name} {number}").randbytes(BYTES).hex()
                    sent = world.nodes[name].node.send("bob", text)
                    size += len(world.nodes[name].store.outgoing(sent).envelope)
            most = 0
            with trio.fail_after(240):
                while delivered["alice"] < TEXTS or delivered["near"] < TEXTS:
                    await trio.sleep(0.5)
                    waiting = [
                        cores["far"].forwarder.load(one)[1] for one in cores["far"].attachments.values()
                    ]
                    most = max(most, *waiting)
            assert trio.current_time() - began < 1.1 * 8 * size / NARROW.bps
            assert wires[-1].bytes - before < 1.03 * size
            assert 0 < most < TRANSIT_PAUSE_BYTES
            assert sum(core.counters["repeats"] for core in cores.values()) == 0
            nursery.cancel_scope.cancel()

    virtual_run(main, 1)


def test_n3_where_a_fifth_is_lost_three_hundred_texts_need_no_long_wait() -> None:
    """Who waits for doubled timers, though receipts of later texts come in, needs 50 s."""
    delivered = Counter[str]()

    def told(name: str, event: Event) -> None:
        delivered[name] += event.event == "message_state" and event.fields["state"] == "delivered"

    async def main() -> None:
        async with open_world(["alice", "bob"], 1, told=told) as world, trio.open_nursery() as nursery:
            plugs = {name: Plug() for name in ("alice", "bob")}
            for name, plug in plugs.items():
                world.nodes[name].drivers.append(plug)
                await world.start(name)
            rate = Rate(1e6, delay_s=0.02, loss=0.2)
            wire = Wire(plugs["alice"], plugs["bob"], ("alice", "bob"), rate, world.dice("loss"))
            nursery.start_soon(wire.last, trio.CancelScope())
            alice = world.nodes["alice"].node
            alice.core.contacts.add("bob", make_uri(world.nodes["bob"].identity.node_id), 0)
            await trio.sleep(20)
            for number in range(300):
                alice.send("bob", world.dice(str(number)).randbytes(500).hex())
            with trio.fail_after(20):
                while delivered["alice"] < 300:
                    await trio.sleep(0.1)
            assert len(list(world.nodes["bob"].store.inbox())) == 300
            nursery.cancel_scope.cancel()

    virtual_run(main, 1)
