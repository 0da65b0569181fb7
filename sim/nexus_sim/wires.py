"""IP links in virtual time: two nodes joined for as long as a wire lasts, at its rate, delay and loss."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Never, Self

import trio

from nexus_drivers.memory import UNPACED_BPS
from nexus_drivers.stream import until_lost
from nexus_node.base.errors import CarrierLost
from nexus_node.base.limits import MTU_BULK, MTU_STANDARD
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile
from nexus_sim.clock import alarms, sleep_until

SLACK_S = 0.01
"""A frame that is out within that arrives at once: each step of the clock costs as much as its handling."""


class Plug:
    """A driver that does nothing by itself: it holds the port through which wires are attached."""

    scheme: ClassVar[str] = "wire"
    label = "wires"

    def __init__(self) -> None:
        self.port: DriverPort | None = None
        """While the node runs."""
        self.wires: dict[trio.CancelScope, None] = {}
        """The scopes of those that are in; a node that stops takes its end out of each."""

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        return cls()

    async def run(self, port: DriverPort) -> None:
        self.port = port
        try:
            await trio.sleep_forever()
        finally:
            self.port = None
            for scope in self.wires:
                scope.cancel()


@dataclass(frozen=True, slots=True)
class Rate:
    """What each direction of a wire carries. `bps` 0 is no limit. With loss, frames come as datagrams do."""

    bps: float = 0.0
    delay_s: float = 0.0
    loss: float = 0.0

    @property
    def profile(self) -> LinkProfile:
        mtu = MTU_STANDARD if self.loss else MTU_BULK
        return LinkProfile(mtu=mtu, bps=self.bps or UNPACED_BPS, ordered=not self.loss)


@dataclass(frozen=True, slots=True)
class OnWire:
    """One frame that a wire has carried, or lost: for traces."""

    begin: float
    end: float
    sender: str
    receiver: str
    frame: bytes
    arrived: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of what goes over wires."""

    pulled: Callable[[str, Rate, bytes], None] = lambda name, rate, frame: None
    """Of every frame, at the instant in which the node of that name gave it."""
    carried: Callable[[OnWire], None] | None = None
    """Of every frame, when it is there or lost. What the end of a wire cuts off is not told."""


class Wire:
    """One link between two nodes' plugs; it can be joined again after it has ended."""

    def __init__(
        self,
        a: Plug,
        b: Plug,
        names: tuple[str, str],
        rate: Rate,
        dice: random.Random,
        *,
        watch: Watch = Watch(),
    ) -> None:
        self._watch = watch
        self._plugs = a, b
        self._names = names
        self._rate = rate
        self._dice = dice
        self.bytes = 0
        self.frames = 0

    async def last(self, scope: trio.CancelScope) -> None:
        """Be the link until the scope is cancelled, or a node gives its end up or stops."""
        a, b = (plug.port for plug in self._plugs)
        if a is None or b is None:
            return
        profile = self._rate.profile
        dialed = self._rate.loss > 0  # as peers of a datagram socket, both
        for plug in self._plugs:
            plug.wires[scope] = None
        with scope:
            try:
                async with (
                    a.attach(profile, f"wire:{self._names[1]}", dialed=True) as ours,
                    b.attach(profile, f"wire:{self._names[0]}", dialed=dialed) as theirs,
                ):
                    a_name, b_name = self._names
                    ways = (a_name, ours, theirs), (b_name, theirs, ours)
                    if self._rate.delay_s:
                        await until_lost(*(part for way in ways for part in self._delayed(*way)))
                    else:
                        await until_lost(*(partial(self._move, *way) for way in ways))
            except CarrierLost:
                pass
        for plug in self._plugs:
            plug.wires.pop(scope, None)

    async def _next(self, name: str, source: Carrier, free_at: float) -> tuple[bytes, float, float]:
        """The next frame of the node of that name, once it is out of it; when it began to be, and was."""
        frame = await source.next_frame()
        self._watch.pulled(name, self._rate, frame)
        self.bytes += len(frame)
        self.frames += 1
        now = trio.current_time()
        begin = max(free_at, now)
        if self._rate.bps:
            free_at = begin + 8 * len(frame) / self._rate.bps
        if free_at > now + SLACK_S:
            await sleep_until(free_at)
        elif not (self._rate.bps and self._rate.delay_s):  # else time passes anyway, here or on the way
            await trio.lowlevel.checkpoint()
        return frame, begin, free_at

    def _is_lost(self) -> bool:
        return self._rate.loss > 0 and self._dice.random() < self._rate.loss

    def _end(self, name: str, begin: float, frame: bytes, sink: Carrier | None) -> None:
        """A frame of the node of that name is there, or lost without a `sink`."""
        if self._watch.carried is not None:
            a, b = self._names
            receiver = b if name == a else a
            now = trio.current_time()
            self._watch.carried(OnWire(min(begin, now), now, name, receiver, frame, sink is not None))
        if sink is not None:
            sink.deliver(frame)

    async def _move(self, name: str, source: Carrier, sink: Carrier) -> Never:
        """One direction without delay; a frame cut off by the end is lost."""
        free_at = 0.0
        while True:
            frame, begin, free_at = await self._next(name, source, free_at)
            self._end(name, begin, frame, None if self._is_lost() else sink)

    def _delayed(self, name: str, source: Carrier, sink: Carrier) -> tuple[Any, Any]:
        """The two halves of a direction with delay: frames set off, and arrive in order."""
        under_way: deque[tuple[float, float, bytes]] = deque()
        arriving = trio.lowlevel.ParkingLot()

        async def send() -> Never:
            free_at = 0.0
            while True:
                frame, begin, free_at = await self._next(name, source, free_at)
                if self._is_lost():
                    self._end(name, begin, frame, None)
                else:
                    due = trio.current_time() + self._rate.delay_s
                    under_way.append((due, begin, frame))
                    alarms().at(due, arriving.unpark_all)

        async def receive() -> Never:
            while True:
                await arriving.park()
                while under_way and under_way[0][0] <= trio.current_time():
                    _, begin, frame = under_way.popleft()
                    self._end(name, begin, frame, sink)

        return send, receive
