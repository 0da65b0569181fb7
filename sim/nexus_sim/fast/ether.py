"""The air in steps: listening before talking, collisions, capture and half duplex, for very many nodes.

The rules are those of `nexus_sim.reception` for radios that follow one packet at a time, and of the driver in
`nexus_sim.air`; within a step, events are taken in the order of their times. Left out: packets that are too
weak disturb nobody (as there), who is disturbed by two at once is disturbed by the stronger, and the duty
cycle is booked but not waited for.
"""

from typing import Any

import numpy as np

from nexus_sim import air
from nexus_sim.channel import Sensing
from nexus_sim.fast.graph import Array, Graph
from nexus_sim.modem import Modem
from nexus_sim.reception import Rules

NEVER = np.inf


class Ether:
    """One channel. Times are seconds; a frame belongs to its sender, which has one on air at most."""

    def __init__(
        self, graph: Graph, modem: Modem, dice: np.random.Generator, rules: Rules, sensing: Sensing
    ) -> None:
        count = graph.nodes
        self.graph = graph
        self._dice = dice
        self._rules = rules
        self._spare_s = modem.spare_s
        self._slot_s = air._SLOT_SYMBOLS * modem.symbol_s + air._SLOT_S
        self._cad_s = sensing.cad_symbols * modem.symbol_s
        self._lock_s = sensing.lock_symbols * modem.symbol_s
        self._cad_miss = sensing.cad_miss
        self.end = np.full(count, -NEVER)
        """Of a node's frame, whether on air or past."""
        self.on_air = np.zeros(count, dtype=bool)
        self._free = np.zeros(count)
        self._ready = np.zeros(count)
        self._window = np.zeros(count, dtype=np.uint8)
        self._busy = np.full(count, -NEVER)
        self._begun = np.full(count, NEVER)
        """When, in this step, the first who can be noticed began."""
        self._followed_until = np.full(count, -NEVER)
        self._followed_since = np.full(count, -NEVER)
        self._followed = np.zeros(count, dtype=np.int64)
        self._followed_dbm = np.zeros(count, dtype=np.float32)
        self._noise_until = np.full(count, -NEVER)
        self._noise_dbm = np.zeros(count, dtype=np.float32)
        self._intact = np.zeros(len(graph.to), dtype=bool)
        """Of the frame that the edge's node sends, whether it arrives whole at the other end."""
        self.received = self.lost = 0

    # --- listening before talking ---------------------------------------------------------------
    def choose(self, wanting: Array, now: float, step_s: float) -> tuple[Array, Array]:
        """Of the nodes that have something to send, those that begin within this step, and when."""
        until = now + step_s
        nodes = wanting[~self.on_air[wanting] & (self._free[wanting] < until)]
        fresh = nodes[self._window[nodes] == 0]
        self._window[fresh] = air._WINDOW_MIN
        self._ready[fresh] = np.maximum(now, self._free[fresh]) + self._turns(fresh)
        late = nodes[self._ready[nodes] < now]
        self._ready[late] = now + self._turns(late) * self._dice.random(len(late))
        nodes = nodes[self._ready[nodes] < until]
        at = self._ready[nodes]
        noticed = (self._busy[nodes] > at) & (self._dice.random(len(nodes)) >= self._cad_miss)
        following = (self._followed_until[nodes] > at) & (self._followed_since[nodes] + self._lock_s < at)
        busy = noticed | following
        self._defer(nodes[busy])
        nodes, at = nodes[~busy], at[~busy]
        edges, which = self.graph.edges_of(nodes)
        np.minimum.at(self._begun, self.graph.to[edges], at[which])
        busy = self._begun[nodes] + self._cad_s <= at
        self._begun[self.graph.to[edges]] = NEVER
        self._defer(nodes[busy])
        nodes, at = nodes[~busy], at[~busy]
        self._window[nodes] = 0
        return nodes, at

    def _turns(self, nodes: Array) -> Array:
        drawn = (self._dice.random(len(nodes)) * 2.0 ** self._window[nodes]).astype(np.int64)
        return np.asarray(self._slot_s * (1 + drawn))

    def _defer(self, nodes: Array) -> None:
        self._window[nodes] = np.minimum(self._window[nodes] + 1, air._WINDOW_MAX)
        self._ready[nodes] += self._turns(nodes)

    # --- frames ---------------------------------------------------------------------------------
    def begin(self, nodes: Array, at: Array, airtime_s: Array) -> None:
        """These send, from `at` for so long."""
        end = at + airtime_s
        self.end[nodes], self.on_air[nodes] = end, True
        self._free[nodes] = end + air._TURNAROUND_S
        following = self._followed_until[nodes] > at
        deaf = nodes[following]
        self._intact[self._followed[deaf]] = False
        self._drown(deaf, at[following], self._followed_dbm[deaf], self._followed_until[deaf])
        self._followed_until[deaf] = -NEVER
        edges, which = self.graph.edges_of(nodes)
        np.maximum.at(self._busy, self.graph.to[edges], end[which])
        clear = self.graph.decodable[edges]
        edges, which = edges[clear], which[clear]
        order = np.lexsort((at[which], self.graph.to[edges]))
        edges, which = edges[order], which[order]
        for some in rounds(self.graph.to[edges]):
            self._arrive(edges[some], at[which[some]], end[which[some]])

    def _arrive(self, edges: Array, at: Array, end: Array) -> None:
        """One new frame at each of some receivers."""
        to, dbm = self.graph.to[edges], self.graph.rssi[edges]
        capture_db = self._rules.capture_db if self._rules.capture else np.inf
        sending = self.on_air[to] & (self.end[to] > at)
        following = (self._followed_until[to] > at) & ~sending
        old = to[following]
        hurt = (dbm[following] > self._followed_dbm[old] - capture_db) & (
            self._followed_until[old] > at[following] + self._spare_s
        )
        self._intact[self._followed[old[hurt]]] = False
        noise = self._noise_until[to] > at
        over = noise & (self._noise_until[to] > at + self._spare_s) & (dbm - self._noise_dbm[to] < capture_db)
        taken = ~sending & ~following
        self._intact[edges] = taken & ~over
        new = to[taken]
        self._followed[new], self._followed_dbm[new] = edges[taken], dbm[taken]
        self._followed_since[new], self._followed_until[new] = at[taken], end[taken]
        self._drown(to[~taken], at[~taken], dbm[~taken], end[~taken])

    def _drown(self, nodes: Array, at: Array, dbm: Array, end: Array) -> None:
        """A frame that these do not follow is on air there: others have it against them."""
        still = self._noise_until[nodes] > at
        self._noise_dbm[nodes] = np.where(still, np.maximum(self._noise_dbm[nodes], dbm), dbm)
        self._noise_until[nodes] = np.where(still, np.maximum(self._noise_until[nodes], end), end)

    def finish(self, until: float) -> tuple[Array, Array]:
        """The nodes whose frames have ended by then, and the edges over which they have arrived."""
        senders = np.flatnonzero(self.on_air & (self.end <= until))
        self.on_air[senders] = False
        edges, _ = self.graph.edges_of(senders)
        edges = edges[self.graph.decodable[edges]]
        intact = self._intact[edges]
        self.received += int(intact.sum())
        self.lost += len(edges) - int(intact.sum())
        return senders, edges[intact]


def rounds(keys: Array) -> Any:
    """Indices of sorted keys such that in each round no key comes twice: firsts, then seconds, and so on."""
    if not len(keys):
        return
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    begin = np.flatnonzero(new)
    rank = np.arange(len(keys)) - np.repeat(begin, np.diff(np.append(begin, len(keys))))
    for number in range(int(rank.max()) + 1):
        yield np.flatnonzero(rank == number)
