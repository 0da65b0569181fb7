"""Path tables of very many nodes: hash tables in one arena, 20 bytes a destination.

Each node has a block that grows when three quarters are full, up to what a real node remembers. A
destination has one path, the best; a real node keeps up to four.
"""

import numpy as np

from nexus_node.base.errors import LocalError
from nexus_node.base.limits import DESTINATIONS_MAX
from nexus_sim.fast.graph import Array, spans

ENTRY = np.dtype(
    [
        ("dest", "<i4"),
        ("told_by", "<u4"),
        ("heard", "<u2"),
        ("queued", "<u2"),
        ("told", "<u2"),
        ("seq", "u1"),
        ("via", "u1"),
        ("lora", "u1"),
        ("ip", "u1"),
        ("told_lora", "u1"),
        ("newest", "u1"),
    ],
    align=True,
)
"""dest: its number and one, 0 for none. heard: when its sequence was, seconds. queued: 0 or what goes first;
1 for answers, else two and the second since when (gossip.py). told: one and the second in which all on the
air were last told of it, 0 for never. told_by: bit i when the neighbour of link i has
told one as good. via: the edge's number at its node. seq: of that path. lora, ip: hops. told_lora: UNTOLD
under this sequence. newest: the newest sequence heard from anybody."""
UNTOLD = 255
_FIRST, _GROWTH, _FULL = 32, 4, 0.75
_ARENA_MAX = 1 << 27
"""Entries; memory is taken as they are used."""
_MULTIPLIER_INT, _SHIFT = 0x9E3779B97F4A7C15, 40
_MULTIPLIER = np.uint64(_MULTIPLIER_INT)


class Tables:
    """Entries are named by their index in `entries`."""

    def __init__(self, nodes: int) -> None:
        most = min(nodes, DESTINATIONS_MAX)
        largest = _FIRST
        while most > _FULL * largest:
            largest *= _GROWTH
        self.entries = np.zeros(min(_ARENA_MAX, 2 * nodes * largest), dtype=ENTRY)
        self._dest = self.entries["dest"]
        self.base = np.arange(nodes, dtype=np.int64) * _FIRST
        self.size = np.full(nodes, _FIRST, dtype=np.int64)
        self.count = np.zeros(nodes, dtype=np.int32)
        self.most = most
        self.full = 0
        """Destinations that found no room."""
        self._free: dict[int, list[int]] = {}
        self.end = nodes * _FIRST

    def look(self, node: int, dest: int) -> int:
        """As `find`, for one."""
        mask = int(self.size[node]) - 1
        base, at = int(self.base[node]), (dest * _MULTIPLIER_INT & (1 << 64) - 1) >> _SHIFT & mask
        while True:
            there = self._dest.item(base + at)
            if there == dest + 1:
                return base + at
            if not there:
                return -1
            at = at + 1 & mask

    def find(self, nodes: Array, dests: Array) -> Array:
        """The entry of each destination at its node; -1 where there is none."""
        return self._probe(nodes, dests)[0]

    def admit(self, nodes: Array, dests: Array) -> tuple[Array, Array]:
        """The same, made where there is none and there is room; and which were made. No node twice."""
        slots, holes = self._probe(nodes, dests)
        fresh = (slots < 0) & (self.count[nodes] < self.most)
        self.full += int(((slots < 0) & ~fresh).sum())
        slots[fresh] = holes[fresh]
        self.entries["dest"][holes[fresh]] = dests[fresh] + 1
        owners = nodes[fresh]
        self.count[owners] += 1
        crowded = owners[self.count[owners] > _FULL * self.size[owners]]
        if len(crowded):
            for node in crowded.tolist():
                self._grow(node)
            slots = self._probe(nodes, dests)[0]
        return slots, fresh

    def _probe(self, nodes: Array, dests: Array) -> tuple[Array, Array]:
        """(the entry or -1, the first hole behind it)"""
        mask = self.size[nodes] - 1
        at = (_hash(dests) & mask.astype(np.uint64)).astype(np.int64)
        slots = np.full(len(nodes), -1, dtype=np.int64)
        holes = slots.copy()
        looking = np.arange(len(nodes))
        column = self._dest
        while len(looking):
            where = self.base[nodes[looking]] + at[looking]
            there = column[where]
            same, empty = there == dests[looking] + 1, there == 0
            slots[looking[same]] = where[same]
            holes[looking[empty]] = where[empty]
            looking = looking[~(same | empty)]
            at[looking] = (at[looking] + 1) & mask[looking]
        return slots, holes

    def of(self, nodes: Array) -> tuple[Array, Array]:
        """All entries of these nodes that are in use, and for each the index in `nodes` of its node."""
        sizes = self.size[nodes]
        slots = spans(self.base[nodes], sizes)
        which = np.repeat(np.arange(len(nodes)), sizes)
        used = self.entries["dest"][slots] > 0
        return slots[used], which[used]

    def _grow(self, node: int) -> None:
        base, size = int(self.base[node]), int(self.size[node])
        old = self.entries[base : base + size].copy()
        self.entries[base : base + size] = 0
        self._free.setdefault(size, []).append(base)
        size *= _GROWTH
        waiting = self._free.get(size)
        if waiting:
            base = waiting.pop()
        else:
            base, self.end = self.end, self.end + size
            if self.end > len(self.entries):
                raise LocalError("the path tables of so many nodes do not fit; run fewer, or for less long")
        self.base[node], self.size[node] = base, size
        old = old[old["dest"] > 0]
        home = (_hash(old["dest"] - 1) & np.uint64(size - 1)).astype(np.int64)
        order = np.argsort(home, kind="stable")
        old, count = old[order], np.arange(len(old))
        place = np.maximum.accumulate(home[order] - count) + count  # where probing in that order ends
        inside = place < size
        self.entries[base + place[inside]] = old[inside]
        column, at = self.entries["dest"], 0
        for row in old[~inside]:  # round the end
            while column[base + at]:
                at += 1
            self.entries[base + at] = row


def _hash(dests: Array) -> Array:
    return np.asarray((dests.astype(np.uint64) * _MULTIPLIER) >> np.uint64(_SHIFT))
