"""Real nodes, watched for what the fast model says of itself too: what the two are compared by.

Nothing is asked of a node that would change what it does; the run is that of `nexus-sim run`.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from nexus_node.engine.core import NodeCore
from nexus_sim.air import OnAir
from nexus_sim.clock import virtual_run
from nexus_sim.failures import noted_failures
from nexus_sim.fast.figures import SAMPLE_S, Curve, Delays, OnAirBooks, figures
from nexus_sim.play import Player
from nexus_sim.scenario import Scenario
from nexus_sim.traced import kind_of

_KINDS = {"opening": "handshake", "reply": "handshake", "final": "handshake"}


class _Watched(Player):
    """A run whose path tables are looked at now and then."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        super().__init__(scenario, seed, heard=self._count)
        self.books = OnAirBooks()
        self.curve = Curve()
        self.links = self.one_sided = 0

    def _count(self, packet: OnAir, names: dict[int, str]) -> None:
        kind = kind_of(packet.frame)
        self.books.add(_KINDS.get(kind, kind), len(packet.frame), packet.end - packet.begin)

    def _tasks(self) -> list[Callable[[], Awaitable[None]]]:
        return [*super()._tasks(), self._look]

    async def _look(self) -> None:
        begin = trio.current_time()
        while True:
            await trio.sleep(SAMPLE_S)
            cores = [one.running.core for one in self.world.nodes.values() if one.running is not None]
            pairs = len(self.places) * (len(self.places) - 1)
            known = sum(_known(core) for core in cores)
            linked = {core.router.own: {peer for peer, _, _ in core.router.neighbours()} for core in cores}
            self.links = sum(map(len, linked.values()))
            self.one_sided = sum(
                one not in linked.get(other, ()) for one, others in linked.items() for other in others
            )
            self.curve.add(trio.current_time() - begin, known / pairs if pairs else 0.0)


def _known(core: NodeCore) -> int:
    """To how many others a node has a path or a link."""
    reached = {address for address, one in core.router.paths.all() if one.best is not None}
    reached |= set(core.router._by_address)
    return len(reached)


def real(scenario: Scenario, seed: int) -> dict[str, Any]:
    """The figures of a run with real nodes, and as `breaches` what must not happen. Raises ConfigError."""
    player = _Watched(scenario, seed)
    with noted_failures(player.record.breaches):
        outcome = virtual_run(player.play, seed)
    heard: dict[str, int] = defaultdict(int)
    for name, _, _ in outcome.reach:
        heard[name] += 1
    messages = list(outcome.record.messages.values())
    late = [one.received_s - one.sent_s for one in messages if one.received_s is not None]
    count = len(outcome.places)
    fates = Counter({fate.name.lower(): number for fate, number in outcome.fates.items()})
    found = figures(
        nodes=count,
        seed=seed,
        virtual_s=outcome.virtual_s,
        neighbours=sum(heard.values()) / count,
        links=player.links / count,
        one_sided=player.one_sided / max(1, player.links),
        books=player.books,
        received=fates["received"],
        collided=fates["collided"] + fates["busy"] + fates["half_duplex"],
        curve=player.curve,
        delays=Delays(len(messages), late),
        highest_duty=max(outcome.duty_of.values(), default=0.0),
        wire_bytes=outcome.wire_bytes,
    )
    return {**found, "breaches": outcome.record.breaches}
