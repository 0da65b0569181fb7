"""A probe in the node's place, to run a driver against: it sends what a test says and counts what comes."""

from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import trio

from nexus_node.base.duty import AirBudget
from nexus_node.base.errors import CarrierClosed, CarrierLost
from nexus_node.base.limits import MTU_MAX, MTU_MIN
from nexus_node.ports.driver import Carrier, Driver, LinkProfile, Signal, TextPort

PATIENCE_S = 10.0
"""How long a connection, or its return, may take."""
PROMPT_S = 1.0
"""How long ending may take."""
TICK_S = 0.01
_RESTART_S = 0.05
_GIVEN_UP = "the node gave this carrier up"
_HELLO = b"is anybody there"


class ContractBroken(AssertionError):
    """The driver does not keep the contract; the text says in what."""


class ProbeCarrier:
    """A carrier as the node has it, for tests: send with `send`, read `received`."""

    def __init__(self, profile: LinkProfile, label: str, dialed: bool, fault: Callable[[str], None]) -> None:
        self.profile = profile
        self.label = label
        self.dialed = dialed
        self.received: list[bytes] = []
        self.hellos = 0
        self.stalls: list[bool] = []
        """What the driver said of the far end, in turn."""
        self.attached = True
        self.pulled = 0
        """Bytes the driver took from `next_frame` and `next_frame_nowait`."""
        self._fault = fault
        self._queue: deque[bytes] = deque()
        self._source: Iterator[bytes] = iter(())
        self._closed = trio.Event()
        self._waiting = False
        self._bell = trio.Event()

    def send(self, *frames: bytes) -> None:
        """Offer frames to the driver."""
        self._queue.extend(frames)
        self._bell.set()

    @property
    def offered(self) -> int:
        """How many frames the driver has not taken yet."""
        return len(self._queue)

    def send_from(self, source: Iterator[bytes]) -> None:
        """Offer whatever `source` yields, made only when the driver asks."""
        self._source = source
        self._bell.set()

    def close(self) -> None:
        """Give the carrier up: `next_frame` and `wait_closed` raise `CarrierClosed`."""
        self._closed.set()
        self._bell.set()

    async def next_frame(self) -> bytes:
        if self._waiting:
            self._fault("waits for next_frame twice at once on one carrier")
        self._waiting = True
        try:
            while not self._closed.is_set():
                if (frame := self.next_frame_nowait()) is not None:
                    return frame
                self._bell = trio.Event()
                await self._bell.wait()
        finally:
            self._waiting = False
        raise CarrierClosed(_GIVEN_UP)

    async def wait_closed(self) -> None:
        await self._closed.wait()
        raise CarrierClosed(_GIVEN_UP)

    def next_frame_nowait(self) -> bytes | None:
        if not self.attached:
            self._fault("takes frames from a carrier it has detached")
        frame = self._queue.popleft() if self._queue else next(self._source, None)
        self.pulled += len(frame or b"")
        return frame

    def deliver(self, frame: bytes, signal: Signal | None = None) -> None:
        if not self.attached:
            self._fault("delivers to a carrier it has detached")
        if type(frame) is not bytes:
            self._fault(f"delivers {type(frame).__name__} instead of bytes")
        if not 0 < len(frame) <= self.profile.mtu:
            self._fault(f"delivers a frame of {len(frame)} bytes where the MTU is {self.profile.mtu}")
        if frame == _HELLO:
            self.hellos += 1
        else:
            self.received.append(frame)

    def retune(self, profile: LinkProfile) -> None:
        self.profile = profile

    def billed(self, seconds: float) -> None:
        if seconds < 0:
            self._fault(f"bills {seconds} s of airtime")

    def stalled(self, stalled: bool) -> None:
        self.stalls.append(stalled)


class ProbePort:
    """A `DriverPort` for tests. `knock` answers strangers; `hold()` makes attaching wait."""

    def __init__(self, knock: Callable[[bytes, bytes], bytes | bool] = lambda source, frame: True) -> None:
        self.carriers: list[ProbeCarrier] = []
        """Those attached now."""
        self.reports: list[tuple[str, str | None]] = []
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.budgets: dict[str, AirBudget] = {}
        """Airtime by sub-band."""
        self._knock = knock
        self._gate = trio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate = trio.Event()

    def release(self) -> None:
        self._gate.set()

    @asynccontextmanager
    async def attach(self, profile: LinkProfile, label: str, *, dialed: bool) -> AsyncIterator[Carrier]:
        if not (MTU_MIN <= profile.mtu <= MTU_MAX and profile.bps > 0 and label):
            self.faults.append(f"attaches with a profile or label that cannot be: {profile}, {label!r}")
        await self._gate.wait()
        carrier = ProbeCarrier(profile, label, dialed, self.faults.append)
        self.carriers.append(carrier)
        try:
            yield carrier
        finally:
            carrier.attached = False
            self.carriers.remove(carrier)

    def knock(self, source: bytes, frame: bytes) -> bytes | bool:
        return self._knock(source, frame)

    @contextmanager
    def bridge(self) -> Iterator[TextPort]:
        raise ContractBroken("the probe has no bridge of texts")
        yield

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def report(self, state: str, why: str | None = None) -> None:
        self.reports.append((state, why))

    def airtime(self, band: str, duty_cycle: float) -> AirBudget:
        return self.budgets.setdefault(band, AirBudget(duty_cycle))


@dataclass
class Running:
    """A driver at work, started again when it ends, as the supervisor does."""

    driver: Driver
    port: ProbePort
    scope: trio.CancelScope
    ends: int = 0

    async def work(self) -> None:
        with self.scope:
            while True:
                try:
                    await self.driver.run(self.port)
                except CarrierLost:
                    pass
                self.ends += 1
                await trio.sleep(_RESTART_S)


@asynccontextmanager
async def running(driver: Driver, port: ProbePort) -> AsyncIterator[Running]:
    """Run a driver for as long as the context lasts; it must end promptly and leave nothing attached."""
    try:
        async with trio.open_nursery() as nursery:
            it = Running(driver, port, trio.CancelScope())
            nursery.start_soon(it.work)
            yield it
            it.scope.cancel()
            cancelled = trio.current_time()
    except BaseExceptionGroup as group:
        broken: BaseException | None = group.subgroup(ContractBroken)
        while isinstance(broken, BaseExceptionGroup):
            broken = broken.exceptions[0]
        raise (broken or group) from None
    if trio.current_time() - cancelled > PROMPT_S:
        raise ContractBroken(
            f"{driver.label} took {trio.current_time() - cancelled:.1f} s to end when cancelled"
        )
    if port.carriers:
        raise ContractBroken(f"{driver.label} left {port.carriers[0].label} attached when it ended")
    if port.faults:
        raise ContractBroken(f"{driver.label} {port.faults[0]}")


async def until(condition: Callable[[], bool], otherwise: str, seconds: float = PATIENCE_S) -> None:
    """Wait for a condition; raises `ContractBroken(otherwise)` when it does not come in time."""
    with trio.move_on_after(seconds):
        while not condition():
            await trio.sleep(TICK_S)
        return
    raise ContractBroken(otherwise)


async def meet(near: ProbePort, far: ProbePort) -> tuple[ProbeCarrier, ProbeCarrier]:
    """The newest carriers of both ends, once a frame has crossed between them each way."""
    for end in near.carriers + far.carriers:
        end.hellos = 0
    with trio.move_on_after(PATIENCE_S):
        while True:
            ends = [port.carriers[-1] for port in (near, far) if port.carriers]
            if len(ends) == 2 and all(end.hellos for end in ends):
                return ends[0], ends[1]
            for end in ends:
                if not end.offered:  # a slow medium takes one when it can
                    end.send(_HELLO)
            await trio.sleep(TICK_S * 2)
    raise ContractBroken(f"no frame crossed between the two drivers within {PATIENCE_S:.0f} s")
