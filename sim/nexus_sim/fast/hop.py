"""A packet's way over one link on the air, in fragments that are acknowledged (docs/protocol/link.md)."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from nexus_sim.fast import sizes
from nexus_sim.fast.graph import Graph


class Sender(Protocol):
    """What puts sealed frames on the air."""

    graph: Graph
    room: int
    """Bytes of items in a frame."""

    def send(self, edge: int, size: int, arrived: Callable[[], None]) -> None: ...


class Hop:
    """A packet on its way to one neighbour over the air, in fragments that are acknowledged."""

    __slots__ = ("_edge", "_here", "_lacking", "_parts", "_sender", "_taken", "crossed", "done", "tries")

    def __init__(self, sender: Sender, edge: int, packet: int, taken: Callable[[], None]) -> None:
        self._sender, self._edge, self._taken = sender, edge, taken
        self._parts = sizes.fragments(packet, sender.room)
        self._lacking = set(range(len(self._parts)))
        self._here: set[int] = set()
        self.done = self.crossed = False
        """Whether it has been acknowledged; and whether who waits has seen that."""
        self.tries = 0
        for number in range(len(self._parts)):
            self._send(number, ask=number == len(self._parts) - 1)

    def _send(self, number: int, *, ask: bool) -> None:
        self._sender.send(self._edge, self._parts[number], partial(self._arrived, number, ask))

    def repeat(self) -> None:
        """Nothing was heard: ask again with what came last."""
        self._send(max(self._lacking), ask=True)

    def _arrived(self, number: int, ask: bool) -> None:
        """At the other end, which says what it has when it is asked, and when it has all."""
        before = len(self._here)
        self._here.add(number)
        complete = len(self._here) == len(self._parts)
        if ask or complete:
            back = int(self._sender.graph.back[self._edge])
            self._sender.send(back, sizes.ACK, partial(self._acknowledged, set(self._here)))
        if complete and before < len(self._parts):
            self._taken()

    def _acknowledged(self, here: set[int]) -> None:
        self._lacking -= here
        self.tries = 0
        self.done = not self._lacking
        gaps = sorted(number for number in self._lacking if number < max(here))
        for number in gaps:
            self._send(number, ask=number == gaps[-1])
