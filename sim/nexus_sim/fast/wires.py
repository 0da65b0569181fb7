"""IP links between nodes of the model: announces and requests cross them within their own budgets, and
nothing gets lost."""

import numpy as np

from nexus_node.base.errors import ConfigError
from nexus_node.base.limits import PATH_REQUESTS_BURST, PATH_REQUESTS_PER_S, PATHS_WANTED
from nexus_node.engine import neighbour, path_requests
from nexus_sim.fast import sizes
from nexus_sim.fast.carry import Carry
from nexus_sim.fast.gossip import WIRE_ITEMS_BURST, WIRE_ITEMS_PER_S, WIRED, Gossip
from nexus_sim.fast.graph import Array, spans
from nexus_sim.scenario import Scenario

_WIRES_MAX = 255 - WIRED
_UNKNOWN = 255
_ASKED = 256
"""Destinations asked for over wires that a node remembers; by chance one takes another's place."""
Pairs = tuple[Array, Array]
_NONE: Pairs = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class Wires:
    """All wires, and what waits at their ends. A node says the same on all of its wires."""

    def __init__(self, gossip: Gossip, carry: Carry, scenario: Scenario, names: list[str]) -> None:
        """Raises ConfigError."""
        self._gossip = gossip
        number = {name: at for at, name in enumerate(names)}
        ends: list[tuple[int, int]] = []
        slowest = float("inf")
        for wire in scenario.wires:
            if wire.loss or wire.up != ((0.0, float("inf")),):
                raise ConfigError("the fast model has no loss and no times in [[wire]]; use nexus-sim run")
            slowest = min(slowest, wire.bps)
            for at, a in enumerate(wire.between):
                for b in wire.between[at + 1 :]:
                    for one, other in ((number[a], number[b]), (number[b], number[a])):
                        carry.wires.setdefault(one, []).append((other, wire.bps, wire.delay_s))
                        ends.append((one, other))
        most = max(map(len, carry.wires.values()), default=0)
        if most > _WIRES_MAX:
            raise ConfigError(f"a node has {most} wires and the fast model takes {_WIRES_MAX}")
        ends.sort(key=lambda pair: pair[0])  # stable: in the order of `via`
        self.start = np.array([a for a, _ in ends], dtype=np.int64)
        self.to = np.array([b for _, b in ends], dtype=np.int64)
        self.bytes = 0
        nodes = len(names)
        self._first = np.searchsorted(self.start, np.arange(nodes + 1))
        self._via = np.zeros(len(ends), dtype=np.int64)
        for at, (one, other) in enumerate(ends):
            self._via[at] = WIRED + [node for node, _, _ in carry.wires[other]].index(one)
        gossip.wired[self.start] = True
        for one, there in carry.wires.items():  # the quickest link counts, as `PathRequests._patience`
            quickest = max(bps for _, bps, _ in there)
            wait_s = max(path_requests.ASK_AGAIN_S, neighbour.NARROW_BPS / quickest)
            gossip.patience_s[one] = min(gossip.patience_s[one], wait_s)
        share = neighbour.SHARE * slowest / 8 / sizes.ANNOUNCE_ITEM if ends else 0.0
        self._announces = _Budget(nodes, min(share, WIRE_ITEMS_PER_S), WIRE_ITEMS_BURST)
        self._requests = _Budget(
            nodes, neighbour.PACE * PATH_REQUESTS_PER_S, neighbour.PACE_BURST * PATH_REQUESTS_BURST
        )
        ends_at = np.unique(self.start)
        self._row = np.zeros(nodes, dtype=np.int64)
        self._row[ends_at] = np.arange(len(ends_at))
        self._dest = np.full((len(ends_at), _ASKED), -1, dtype=np.int32)
        self._dest_at = np.full((len(ends_at), _ASKED), -np.inf)
        self._news = self._asked = _NONE
        self.announces = self.requests = 0
        """Sent over all wires."""
        self.dropped = 0
        """Requests for which there was no room."""

    def step(self, now: float, step_s: float) -> None:
        """Send what may go."""
        if not len(self.start):
            return
        gossip = self._gossip
        self._announces.fill(step_s)
        self._requests.fill(step_s)
        news, gossip.to_wire = _joined(self._news, gossip.to_wire), []
        key = news[0].astype(np.int64) << 32 | news[1]
        _, once = np.unique(key, return_index=True)
        once.sort()
        (node, dest), self._news = self._announces.take((news[0][once], news[1][once]))
        if len(node):
            self._tell(node, dest, now)
        fresh, gossip.asked_to_wire = self._not_lately(_joined(_NONE, gossip.asked_to_wire), now), []
        (node, value), self._asked = self._requests.take(_joined(self._asked, [fresh]))
        if len(node):
            self._ask(node, value, now)
        rank = _rank(self._asked[0])
        self.dropped += int((rank >= PATHS_WANTED).sum())
        self._asked = self._asked[0][rank < PATHS_WANTED], self._asked[1][rank < PATHS_WANTED]

    def _not_lately(self, asked: Pairs, now: float) -> Pairs:
        """Without what was asked for a while ago: nothing gets lost here, and who was asked remembers. As
        `should_ask` of the router."""
        node, value = asked
        dest = self._gossip.requests.goals(value)
        place = self._row[node], dest % _ASKED
        new = (self._dest[place] != dest) | (now >= self._dest_at[place] + neighbour.REMEMBERED_S)
        self._dest[place] = dest
        self._dest_at[place[0][new], place[1][new]] = now
        return node[new], value[new]

    def _tell(self, node: Array, dest: Array, now: float) -> None:
        gossip = self._gossip
        own = node == dest
        slots = gossip.tables.find(node, dest)
        there = own | (slots >= 0)
        node, dest, own, slots = node[there], dest[there], own[there], slots[there]
        row = gossip.tables.entries[slots]
        seq = np.where(own, gossip.sequence[node] & 255, row["seq"])
        lora, ip = np.where(own, 0, row["lora"]), np.where(own, 0, row["ip"]) + 1
        came = np.where(own, _UNKNOWN, row["via"])
        wires, which = self._of(node)
        new = self._via_at_start(wires) != came[which]  # not to whom it came from
        wires, which = wires[new], which[new]
        self.announces += len(wires)
        self.bytes += len(wires) * sizes.ANNOUNCE_ITEM
        told = (dest[which], seq[which], lora[which], ip[which])
        none = np.zeros(len(wires), dtype=np.uint32)
        gossip.learn(self.to[wires], self._via[wires], none, *told, now)

    def _ask(self, node: Array, value: Array, now: float) -> None:
        wires, which = self._of(node)
        self.requests += len(wires)
        self.bytes += len(wires) * sizes.REQUEST_ITEM
        self._gossip.asked_for(self.to[wires], self._via[wires], value[which], now)

    def _of(self, node: Array) -> Pairs:
        counts = self._first[node + 1] - self._first[node]
        return spans(self._first[node], counts), np.repeat(np.arange(len(node)), counts)

    def _via_at_start(self, wires: Array) -> Array:
        return np.asarray(WIRED + wires - self._first[self.start[wires]])


class _Budget:
    """A token bucket for each node, of items."""

    def __init__(self, nodes: int, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens = np.full(nodes, burst)

    def fill(self, step_s: float) -> None:
        np.minimum(self._tokens + self._rate * step_s, self._burst, out=self._tokens)

    def take(self, pairs: Pairs) -> tuple[Pairs, Pairs]:
        """(what may go, what waits), the first of each node first."""
        node = pairs[0]
        going = _rank(node) < np.floor(self._tokens[node])
        np.subtract.at(self._tokens, node[going], 1.0)
        return (node[going], pairs[1][going]), (node[~going], pairs[1][~going])


def _rank(nodes: Array) -> Array:
    """How many before each are the same."""
    order = np.argsort(nodes, kind="stable")
    sorted_nodes = nodes[order]
    begin = np.searchsorted(sorted_nodes, sorted_nodes, side="left")
    rank = np.empty(len(nodes), dtype=np.int64)
    rank[order] = np.arange(len(nodes)) - begin
    return rank


def _joined(first: Pairs, more: list[Pairs]) -> Pairs:
    return np.concatenate([first[0], *(a for a, _ in more)]), np.concatenate(
        [first[1], *(b for _, b in more)]
    )
