"""S7: emulated boards, our drivers and real nodes in the simulated air; three in a row, the ends hidden."""

import random

import pytest
import trio

from nexus_node.base.states import State
from nexus_sim.boards import BoardAir
from nexus_sim.channel import Channel
from nexus_sim.clock import virtual_run
from nexus_sim.links import Links
from nexus_sim.reception import Fate
from nexus_sim.world import open_world
from tests.radio.bench import Bench, on
from tests.radio.radios import RADIOS

TEXTS = 3


def run(kind: str, seed: int) -> tuple[dict[Fate, int], str]:
    """Alice, Bob and Carol stand in a row; Alice and Carol do not hear each other and write at once."""

    async def main() -> tuple[dict[Fate, int], str]:
        links = Links(150.0)
        for a, b in ((1, 2), (2, 3)):
            links.set(a, b, 110.0)
            links.set(b, a, 110.0)
        air = BoardAir(Channel(links, seed=seed))
        async with open_world(["alice", "bob", "carol"], seed) as world, trio.open_nursery() as nursery:
            bench = Bench(nursery, air)  # type: ignore[arg-type]
            for name in world.nodes:
                line = bench.add(RADIOS[kind].make(random.Random(f"{seed} {name}")))
                world.nodes[name].drivers.append(on(line, RADIOS[kind].new()))
                await trio.sleep(0.01)  # its board joins the air in this order
            for name in world.nodes:
                await world.start(name)
            alice, carol = world.nodes["alice"], world.nodes["carol"]
            await trio.sleep(400)
            for number in range(TEXTS):
                alice.send(carol, f"to carol {number}")
                carol.send(alice, f"to alice {number}")
            await trio.sleep(600)
            assert sorted(carol.inbox()) == [f"to carol {number}" for number in range(TEXTS)]
            assert sorted(alice.inbox()) == [f"to alice {number}" for number in range(TEXTS)]
            assert set(alice.outbox() + carol.outbox()) == {State.DELIVERED}
            neighbours = {row.link.peer for row in alice.node.core.attachments.values() if row.link.up}
            others = {world.nodes[name].identity.node_id for name in ("bob", "carol")}
            passes_on = kind == "meshtastic"  # the boards do, and the ends are neighbours
            assert neighbours == (others if passes_on else {world.nodes["bob"].identity.node_id})
            nursery.cancel_scope.cancel()
            return air.fates, world.log.digest

    return virtual_run(main, seed)


@pytest.mark.parametrize("kind", RADIOS)
def test_hidden_terminals_talk_through_the_one_between(kind: str) -> None:
    fates, digest = run(kind, 1)
    assert fates[Fate.COLLIDED] > 0, "they would be no hidden terminals"
    assert fates[Fate.RECEIVED] > 2 * fates[Fate.COLLIDED]
    assert run(kind, 1) == (fates, digest), "the same seed, another run"
