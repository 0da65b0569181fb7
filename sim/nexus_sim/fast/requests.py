"""Requests for paths of very many nodes: what waits to be sent, what came through, and who is still to be
answered."""

import numpy as np

from nexus_node.base.limits import PATHS_WANTED
from nexus_node.engine import path_requests
from nexus_node.wire.packet import MAX_HOPS
from nexus_sim.fast.graph import Array

HOP_BITS = 5
"""A request is written as its number, shifted by these, and the hops it may still go."""
_SEEN, _ASKED = 256, 64
"""Requests and destinations asked for that a node remembers; by chance one takes another's place."""
_MULTIPLIER, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(56)


class Requests:
    """All nodes' requests."""

    def __init__(self, nodes: int) -> None:
        self.waiting = np.zeros(nodes, dtype=np.int32)
        """How many each node has to send."""
        self.made = 0
        self._ring = np.zeros((nodes, PATHS_WANTED), dtype=np.int32)
        self._head = np.zeros(nodes, dtype=np.int32)
        self._for = np.full((nodes, _ASKED), -1, dtype=np.int32)
        """What they ask for, of which one waits for each destination."""
        self._seen = np.zeros((nodes, _SEEN), dtype=np.int32)
        self._asked = np.full((nodes, _ASKED), -1, dtype=np.int32)
        self._asked_at = np.full((nodes, _ASKED), -np.inf, dtype=np.float32)
        self._asked_by = np.zeros((nodes, _ASKED), dtype=np.uint8)
        self._passed = np.full((nodes, _ASKED), -1, dtype=np.int32)
        self._passed_at = np.full((nodes, _ASKED), -np.inf, dtype=np.float32)
        self._goal = np.zeros(1024, dtype=np.int32)
        self._least = np.full((1024, 2), -1, dtype=np.int16)

    # --- what is asked --------------------------------------------------------------------------
    def make(self, node: int, dest: int, sequence: int, lora: int) -> Array:
        """A node's new request, written. An answer must be newer than `sequence` (-1 for any), or as new
        with fewer hops than `lora`."""
        if self.made == len(self._goal):
            self._goal = np.concatenate([self._goal, np.zeros_like(self._goal)])
            self._least = np.concatenate([self._least, np.full_like(self._least, -1)])
        number, self.made = self.made, self.made + 1
        self._goal[number] = dest
        self._least[number] = sequence, lora
        self._seen[node, _place(np.array([number]))] = number + 1
        return np.array([number << HOP_BITS | MAX_HOPS - 1])

    def first_time(self, nodes: Array, value: Array) -> Array:
        """Whether these have not been at these nodes before; now they have. No node twice."""
        number = value >> HOP_BITS
        place = _place(number)
        new = self._seen[nodes, place] != number + 1
        self._seen[nodes, place] = number + 1
        return np.asarray(new)

    def goals(self, value: Array) -> Array:
        """The destinations they ask for."""
        return np.asarray(self._goal[value >> HOP_BITS])

    def least(self, value: Array) -> Array:
        """What answers must be, as (sequence, hops)."""
        return np.asarray(self._least[value >> HOP_BITS])

    # --- what waits -----------------------------------------------------------------------------
    def queue(self, nodes: Array, value: Array) -> None:
        """To be sent, if none for the same destination waits; where too many do the oldest goes. No node
        twice."""
        dests = self.goals(value)
        new = self._for[nodes, dests % _ASKED] != dests
        nodes, value, dests = nodes[new], value[new], dests[new]
        self._for[nodes, dests % _ASKED] = dests
        self.pop(nodes[self.waiting[nodes] == PATHS_WANTED])
        self._ring[nodes, (self._head[nodes] + self.waiting[nodes]) % PATHS_WANTED] = value
        self.waiting[nodes] += 1

    def front(self, nodes: Array) -> Array:
        """What waits longest, of nodes where something does."""
        return np.asarray(self._ring[nodes, self._head[nodes]])

    def pop(self, nodes: Array) -> None:
        """That is done with."""
        dests = self.goals(self.front(nodes))
        done = self._for[nodes, dests % _ASKED] == dests
        self._for[nodes[done], dests[done] % _ASKED] = -1
        self._head[nodes] = (self._head[nodes] + 1) % PATHS_WANTED
        self.waiting[nodes] -= 1

    # --- who is to be answered ------------------------------------------------------------------
    def note(self, nodes: Array, dests: Array, via: Array, now: float) -> None:
        """Neighbours ask these nodes; of several that ask for the same, the last is remembered."""
        where = dests % _ASKED
        self._asked[nodes, where], self._asked_at[nodes, where] = dests, now
        self._asked_by[nodes, where] = via

    def passed(self, nodes: Array, dests: Array, now: float) -> None:
        """They ask others."""
        where = dests % _ASKED
        self._passed[nodes, where], self._passed_at[nodes, where] = dests, now

    def soon_again(self, nodes: Array, dests: Array, patience_s: Array, now: float) -> Array:
        """Whether they asked others a moment ago, as `PathRequests._soon_again`."""
        where = dests % _ASKED
        again = self._passed[nodes, where] == dests
        return np.asarray(again & (now < self._passed_at[nodes, where] + path_requests.PASSED_S * patience_s))

    def open_for(self, nodes: Array, dests: Array, via: Array, now: float, *, wires: int) -> Array:
        """Whether a neighbour on the air, but not `via`, waits for an answer about these; edges from `wires`
        on are no air."""
        where = dests % _ASKED
        by = self._asked_by[nodes, where]
        asked = (self._asked[nodes, where] == dests) & (by != via) & (by < wires)
        return np.asarray(asked & (self._asked_at[nodes, where] > now - path_requests.ASKED_SHARED_S))

    def asked_by(self, nodes: Array, dests: Array) -> Array:
        """Who asked these nodes last for something like that, as `via`."""
        return np.asarray(self._asked_by[nodes, dests % _ASKED])

    def answered(self, nodes: Array, dests: Array) -> None:
        """Now they have it."""
        where = dests % _ASKED
        asked = self._asked[nodes, where] == dests
        self._asked_at[nodes[asked], where[asked]] = -np.inf


def _place(number: Array) -> Array:
    """Where a request is remembered."""
    return np.asarray((number.astype(np.uint64) * _MULTIPLIER) >> _SHIFT).astype(np.int64)
