"""Wires between nodes: which should be in, which are, and who is kept apart meanwhile."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import trio

from nexus_sim.wires import Plug, Rate, Watch, Wire


class Joins:
    """All wires of a run. A wire is in while it is wanted, both its nodes are on and nothing parts them."""

    def __init__(
        self,
        nursery: trio.Nursery,
        plugs: Mapping[str, Plug],
        dice: Callable[[str], random.Random],
        watch: Watch,
    ) -> None:
        self._watch = watch
        self._nursery = nursery
        self._plugs = plugs
        self._dice = dice
        self._wires: dict[Wire, tuple[str, str]] = {}
        self._wanted: set[Wire] = set()
        self._joined: dict[Wire, trio.CancelScope] = {}
        self._apart: Counter[tuple[str, str]] = Counter()
        self._passed_bytes = 0
        self._widest: dict[tuple[str, str], float] = {}
        self.met: dict[tuple[str, str], None] = {}
        """Pairs that had a wire at any time, in order."""

    def wire(self, a: str, b: str, rate: Rate) -> Wire:
        """A new wire, which is not in yet."""
        dice = self._dice(f"wire {a} {b}")
        wire = Wire(self._plugs[a], self._plugs[b], (a, b), rate, dice, watch=self._watch)
        self._wires[wire] = min(a, b), max(a, b)
        self._widest[a, b] = self._widest[b, a] = max(self.widest(a, b), rate.bps or math.inf)
        return wire

    def widest(self, a: str, b: str) -> float:
        """Bits per second of the widest wire that the two have or had; 0 without one."""
        return self._widest.get((a, b), 0.0)

    def put_in(self, wire: Wire) -> None:
        """It is wanted from now."""
        self._wanted.add(wire)
        self._join(wire)

    def take_out(self, wire: Wire) -> None:
        """It is not wanted any more."""
        self._wanted.discard(wire)
        self._cut(wire)

    def forget(self, wire: Wire) -> None:
        """It will not be wanted again."""
        self.take_out(wire)
        del self._wires[wire]
        self._passed_bytes += wire.bytes

    def switched_on(self, name: str) -> None:
        """A node is on: its wires are joined."""
        for wire, pair in self._wires.items():
            if name in pair and wire in self._wanted:
                self._join(wire)

    def part(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep these pairs, each in order, apart."""
        pairs = set(pairs)
        self._apart.update(pairs)
        for wire, pair in self._wires.items():
            if pair in pairs:
                self._cut(wire)

    def mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep them apart no more."""
        pairs = set(pairs)
        self._apart -= Counter(pairs)
        for wire, pair in self._wires.items():
            if pair in pairs and wire in self._wanted:
                self._join(wire)

    @property
    def bytes(self) -> int:
        """That all wires have carried."""
        return self._passed_bytes + sum(wire.bytes for wire in self._wires)

    def _join(self, wire: Wire) -> None:
        pair = self._wires[wire]
        if self._apart[pair]:
            return
        self._cut(wire)
        self.met[pair] = None
        scope = self._joined[wire] = trio.CancelScope()
        self._nursery.start_soon(wire.last, scope)

    def _cut(self, wire: Wire) -> None:
        scope = self._joined.pop(wire, None)
        if scope is not None:
            scope.cancel()
