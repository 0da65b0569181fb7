"""The `memory` driver: nodes of one process joined by a medium that can lose, double, delay and reorder.

Time comes from trio alone (`trio.sleep`), so whole nodes run in virtual time; chance comes from the
medium's seeded generator, so the same seed gives the same run.
"""

import heapq
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Never, Self
from weakref import WeakValueDictionary

import trio

from nexus_drivers.options import Options
from nexus_drivers.stream import until_lost
from nexus_node.base.errors import CarrierLost, ConfigError
from nexus_node.base.limits import MIB, MTU_BULK
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile

WINDOW = MIB
"""Bytes under way to one end: an ordered sender waits for room, on other media more is lost."""
LATE_S = 0.05
"""How much later than its turn a reordered frame arrives."""
REJOIN_PAUSE_S = 0.05
UNPACED_BPS = 1e9
"""What the profile says of a medium without a rate."""


@dataclass(eq=False)
class _End:
    """A driver's place on a medium, from joining to leaving."""

    under_way: list[tuple[float, int, bytes]] = field(default_factory=list)
    """A heap of (due, sequence, frame)."""
    size: int = 0
    arrival: trio.Event = field(default_factory=trio.Event)
    room: trio.Event = field(default_factory=trio.Event)
    complete: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    others: list["_End"] = field(default_factory=list)
    dialed: bool = True


class MemoryMedium:
    """A cable between two drivers, or with `shared` a radio channel that all who join hear.

    `bps` None means no pacing. `loss`, `duplicate` and `reorder` are probabilities from 0 to 1, drawn
    for each frame and receiver; with all three 0 a cable is ordered. A shared medium carries one frame
    at a time.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        mtu: int = MTU_BULK,
        bps: float | None = None,
        delay_s: float = 0.0,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        shared: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.profile = LinkProfile(
            mtu=mtu,
            bps=bps or UNPACED_BPS,
            half_duplex=shared,
            shared=shared,
            ordered=not (shared or loss or duplicate or reorder),
            airtime=self._airtime if bps else None,
        )
        self._delay_s = delay_s
        self._loss = loss
        self._duplicate = duplicate
        self._reorder = reorder
        self._rng = rng or random.Random(0)
        self._paced = bps is not None
        self._ends: list[_End] = []
        self._air = trio.Lock()
        self._sequence = itertools.count()

    def _airtime(self, size: int) -> float:
        return size * 8 / self.profile.bps

    # --- who is there ---------------------------------------------------------------------------
    def join(self, end: _End) -> None:
        """Take a place. Raises `CarrierLost` when a cable has both its ends already."""
        if self.profile.shared:
            end.others = self._ends
            end.complete.set()
        elif len(self._ends) == 2:
            raise CarrierLost(f"medium {self.name} has both its ends already; use another, or a shared one")
        else:
            for other in self._ends:
                if not other.complete.is_set():  # else it is about to leave
                    end.others, other.others = [other], [end]
                    other.dialed = False
                    end.complete.set()
                    other.complete.set()
        self._ends.append(end)

    def leave(self, end: _End) -> None:
        """Give the place up; a cable is then cut at its other end as well."""
        self._ends.remove(end)
        if not self.profile.shared:
            for other in end.others:
                other.scope.cancel()

    # --- frames ---------------------------------------------------------------------------------
    async def carry(self, end: _End, frame: bytes, carrier: Carrier) -> None:
        """Occupy the medium for as long as the frame takes, then set it on its way to the others."""
        if self._paced:
            seconds = self._airtime(len(frame))
            if self.profile.shared:
                async with self._air:
                    await trio.sleep(seconds)
            else:
                await trio.sleep(seconds)
            carrier.billed(seconds)
        else:
            await trio.lowlevel.checkpoint()
        for other in end.others:
            if other is not end:
                while self.profile.ordered and other.size + len(frame) > WINDOW:
                    other.room = trio.Event()
                    await other.room.wait()
                self._toss(other, frame)

    def _toss(self, end: _End, frame: bytes) -> None:
        for _ in range(1 + (self._rng.random() < self._duplicate)):
            late = LATE_S if self._rng.random() < self._reorder else 0.0
            if self._rng.random() >= self._loss and end.size + len(frame) <= WINDOW:
                due = trio.current_time() + self._delay_s + late
                heapq.heappush(end.under_way, (due, next(self._sequence), frame))
                end.size += len(frame)
                end.arrival.set()

    async def receive(self, end: _End, carrier: Carrier) -> Never:
        """Deliver what comes, each frame when it is due."""
        while True:
            end.arrival = trio.Event()
            now = trio.current_time()
            while end.under_way and end.under_way[0][0] <= now:
                frame = heapq.heappop(end.under_way)[2]
                end.size -= len(frame)
                carrier.deliver(frame)
            end.room.set()
            next_due = end.under_way[0][0] if end.under_way else float("inf")
            with trio.move_on_at(next_due):
                await end.arrival.wait()


_named: WeakValueDictionary[str, MemoryMedium] = WeakValueDictionary()


def named_medium(name: str) -> MemoryMedium:
    """The process's medium of that name, made with the defaults when there is none."""
    return _named.get(name) or name_medium(MemoryMedium(name))


def name_medium(medium: MemoryMedium) -> MemoryMedium:
    """Let configuration find this medium by its name, for as long as somebody holds it."""
    _named[medium.name] = medium
    return medium


class MemoryDriver:
    """A place on a medium. On a cable the end that joins last dials, on a shared medium all do."""

    scheme: ClassVar[str] = "memory"

    def __init__(self, medium: MemoryMedium) -> None:
        self._medium = medium

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Key: `medium = "name"`; drivers of one process that name the same are joined."""
        name = Options(cls.scheme, table, ("medium",)).text("medium")
        if name is None:
            raise ConfigError('memory: medium is missing; write medium = "any name"')
        return cls(named_medium(name))

    @property
    def label(self) -> str:
        return f"memory:{self._medium.name}"

    async def run(self, port: DriverPort) -> None:
        while True:
            end = _End()
            self._medium.join(end)
            try:
                if not end.complete.is_set():
                    port.report("waiting", f"nobody is at the other end of medium {self._medium.name} yet")
                    await end.complete.wait()
                port.report("listening")
                with end.scope:
                    await self._serve(port, end)
            except CarrierLost:
                pass  # the node gave the carrier up
            finally:
                self._medium.leave(end)
            await trio.sleep(REJOIN_PAUSE_S)

    async def _serve(self, port: DriverPort, end: _End) -> None:
        medium = self._medium
        async with port.attach(medium.profile, self.label, dialed=end.dialed) as carrier:

            async def transmit() -> Never:
                while True:
                    await medium.carry(end, await carrier.next_frame(), carrier)

            async def receive() -> Never:
                await medium.receive(end, carrier)

            await until_lost(transmit, receive)
