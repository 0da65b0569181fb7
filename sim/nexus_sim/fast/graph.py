"""Who hears whom among very many nodes: places to a graph in arrays.

Node i's edges are those from `first[i]` to before `first[i + 1]`. An edge stands for one direction.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_node.base.errors import ConfigError

Array = NDArray[Any]
NEIGHBOURS_MAX = 200
"""In reach of one node: an edge is named by one byte at its node, and wires want some of them."""


@dataclass(slots=True)
class Graph:
    """Radio links of all nodes; `rssi` in dBm. Edges too weak to decode are there if they are noticed."""

    first: Array
    start: Array
    """The node each edge begins at."""
    to: Array
    rssi: Array
    back: Array
    """The edge of the other direction."""
    decodable: Array

    @property
    def nodes(self) -> int:
        return len(self.first) - 1

    def edges_of(self, nodes: Array) -> tuple[Array, Array]:
        """All edges of these nodes, and for each the index in `nodes` of the node it begins at."""
        counts = self.first[nodes + 1] - self.first[nodes]
        return spans(self.first[nodes], counts), np.repeat(np.arange(len(nodes)), counts)


def spans(first: Array, counts: Array) -> Array:
    """first[0], first[0] + 1 .. `counts[0]` of them, then the same from first[1], and so on."""
    total = int(counts.sum())
    ends = np.cumsum(counts)
    return np.asarray(np.arange(total) + np.repeat(first - (ends - counts), counts))


def graph_of(x: Array, y: Array, reach_m: float, rssi_of: Any, sensitivity_dbm: float) -> Graph:
    """The graph of nodes at `x`, `y` (metres), each heard up to `reach_m`; `rssi_of` gives the dBm that
    arrive over distances. Raises ConfigError where one node has too many others in reach."""
    a, b = _pairs(x, y, reach_m)
    rssi = np.asarray(rssi_of(np.hypot(x[a] - x[b], y[a] - y[b])), dtype=np.float32)
    start, to = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((to, start))
    twin = np.empty(len(order), dtype=np.int64)
    twin[order] = np.arange(len(order))
    count = len(a)
    back = np.concatenate([twin[count:], twin[:count]])[order] if count else twin
    start, to, rssi = start[order], to[order].astype(np.int32), np.concatenate([rssi, rssi])[order]
    first = np.searchsorted(start, np.arange(len(x) + 1))
    most = int(np.diff(first).max(initial=0))
    if most > NEIGHBOURS_MAX:
        raise ConfigError(
            f"a node has {most} others in reach and the fast model takes {NEIGHBOURS_MAX}; "
            "spread the nodes over more room, or run fewer with nexus-sim run"
        )
    return Graph(first, start.astype(np.int32), to, rssi, back, rssi >= sensitivity_dbm)


def _pairs(x: Array, y: Array, reach_m: float) -> tuple[Array, Array]:
    """Every pair within reach once, by looking in the same and half of the adjoining squares only."""
    column = np.floor((x - x.min()) / reach_m).astype(np.int64)
    row = np.floor((y - y.min()) / reach_m).astype(np.int64)
    width = int(column.max()) + 3
    cell = (row + 1) * width + column + 1
    order = np.argsort(cell, kind="stable")
    sorted_cell = cell[order]
    found_a, found_b = [], []
    for step in (0, 1, width - 1, width, width + 1):
        begin = np.searchsorted(sorted_cell, cell[order] + step, side="left")
        end = np.searchsorted(sorted_cell, cell[order] + step, side="right")
        if step == 0:
            begin = np.arange(len(order)) + 1
        counts = np.maximum(end - begin, 0)
        a, b = np.repeat(order, counts), order[spans(begin, counts)]
        near = np.hypot(x[a] - x[b], y[a] - y[b]) <= reach_m
        found_a.append(a[near])
        found_b.append(b[near])
    return np.concatenate(found_a), np.concatenate(found_b)


def islands(nodes: int, start: Array, to: Array) -> Array:
    """A number for each node, the same for those that are connected."""
    label = np.arange(nodes)
    while True:
        lower = label.copy()
        np.minimum.at(lower, start, label[to])
        lower = lower[lower]
        if (lower == label).all():
            return label
        label = lower
