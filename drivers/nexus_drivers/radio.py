"""Drivers of radios on a port: what `rnode`, `uart_lora`, `meshcore_kiss` and `meshtastic` share (N6).

The firmware's own rules are in its `Modem`. Here are the port, the node's carrier, and the law: a frame is
taken from the node only when the radio has room for it and the hour has airtime left.
"""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from typing import Any, ClassVar, Never, Self

import trio

from nexus_drivers.line import Line
from nexus_drivers.short_frames import SHORTEST, ShortFrames
from nexus_drivers.stream import until_lost
from nexus_firmware.modem import Modem, longest_frame
from nexus_firmware.radio import RadioSettings
from nexus_firmware.regions import Rule
from nexus_node.base.duty import HOUR_S, AirBudget
from nexus_node.base.errors import BadWire, CarrierClosed, CarrierLost
from nexus_node.base.limits import MTU_MIN
from nexus_node.ports.driver import HELD, Carrier, DriverPort, LinkProfile, Signal

_READ_SIZE = 4096
_FAREWELL_S = 0.3
_REATTACH_S = 1.0
_SHORT_PACE, _SHORT_GAP_S = 1.5, 0.3
"""Airtimes, and seconds, that a short packet takes with what its radio waits before."""
_HELD_AFTER_S = 5.0
"""A radio that takes nothing for so long is said to be held up; before, it just sends."""


class RadioDriver(ABC):
    """One radio on a line. `rule` is what the law allows where it is set to, if that is known beforehand."""

    scheme: ClassVar[str]
    bridges = False
    """Whether it carries plain texts beside frames, in `beside`."""

    def __init__(self, line: Line, region: str | None = None, rule: Rule | None = None) -> None:
        self.line = line
        self._region = region
        self._rule = rule

    @classmethod
    @abstractmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self: ...

    @abstractmethod
    def make_modem(self, duty_cycle: float) -> Modem:
        """A new machine for the radio, which may send for that share of an hour."""

    def find_rule(self, modem: Modem) -> tuple[str, Rule]:
        """Region and rule of a radio that is set by others. Raises `CarrierLost`."""
        if self._region is None or self._rule is None:
            raise CarrierLost("where this radio sends is not known; set its region")
        return self._region, self._rule

    def sense(self, stream: trio.abc.Stream, modem: Modem, now: float) -> None:
        """Look at what tells beside the stream how the radio is; before each frame. Raises `CarrierLost`."""
        return

    async def beside(self, session: "Session") -> None:
        """What it does beside carrying frames, if it `bridges`; until cancelled."""
        await trio.sleep_forever()

    @property
    def law(self) -> tuple[str, Rule] | None:
        """Region and rule, where the configuration says where it sends."""
        return (self._region, self._rule) if self._region and self._rule else None

    @property
    def label(self) -> str:
        return f"{self.scheme}:{self.line}"

    async def run(self, port: DriverPort) -> None:
        """One opening of the port; raises `CarrierLost`, after which the supervisor starts it again."""
        await self.line.wait_there(port.report)
        port.report("connecting", f"opening {self.line}")
        budget = _budget(port, self._region, self._rule) if self._region and self._rule else None
        duty_cycle = budget.limit_s / HOUR_S if budget is not None and budget.limit_s is not None else 1.0
        modem = self.make_modem(duty_cycle)
        async with await self.line.open() as stream:
            port.report("connecting", f"{self.line} is open, waiting for the {modem.kind}")
            try:
                await Session(self, stream, modem, port).run()
            finally:
                with trio.move_on_after(_FAREWELL_S, shield=True):
                    await _say_farewell(stream, modem)


async def _say_farewell(stream: trio.abc.Stream, modem: Modem) -> None:
    try:
        if modem.farewell:
            await stream.send_all(modem.farewell)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # it is gone


def _budget(port: DriverPort, region: str, rule: Rule) -> AirBudget:
    return port.airtime(f"{region} {rule.name}", rule.duty_cycle)


class Session:
    """From an open port to its loss."""

    def __init__(self, driver: RadioDriver, stream: trio.abc.Stream, modem: Modem, port: DriverPort) -> None:
        self._driver = driver
        self._stream = stream
        self.modem = self._modem = modem
        self.port = self._port = port
        self._air: tuple[AirBudget, float, Rule] | None = None
        """What the radio may send, seconds of a largest frame, and the law; once the radio is set up."""
        self._carrier: Carrier | None = None
        self._lost: CarrierLost | None = None
        self._scope = trio.CancelScope()
        """Around what must end when the port is lost."""
        self._changed = trio.Event()
        self._to_write = trio.Event()
        self._timer = trio.Event()
        self._why: str | None = None
        """Why nothing may go, while that is said."""
        self._settings: RadioSettings | None = None
        """How the radio was set when its carrier was attached."""
        self._sent = False
        """Whether a frame has gone out."""
        self._short: ShortFrames | None = None
        """Cuts frames up, where a packet holds less than a link needs."""
        self._waiting = trio.CancelScope()
        """Around waiting for a frame of the node's."""

    async def run(self) -> Never:
        """Raises `CarrierLost`."""
        modem = self._modem
        modem.begin(trio.current_time())
        async with trio.open_nursery() as nursery:
            for task in (self._read, self._write, self._tick):
                nursery.start_soon(self._watch, task)
            if self._driver.bridges:
                nursery.start_soon(self._watch, partial(self._driver.beside, self))
            try:
                await self._carry()
            except CarrierLost as error:
                lost = error
            nursery.cancel_scope.cancel()
        raise lost

    async def _watch(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except CarrierLost as error:
            self._lost = self._lost or error
            self._scope.cancel()

    # --- the port -------------------------------------------------------------------------------
    async def _read(self) -> None:
        while data := await self._guard(self._stream.receive_some(_READ_SIZE)):
            self._modem.receive(bytes(data), trio.current_time())
            self._news()
            await trio.lowlevel.checkpoint()
        raise CarrierLost(f"{self._driver.line} went away; plug the radio in again")

    async def _write(self) -> None:
        while True:
            while (data := self._modem.poll_write()) is not None:
                await self._guard(self._stream.send_all(data))
            self._to_write = trio.Event()
            await self._to_write.wait()

    async def _tick(self) -> None:
        while True:
            now = trio.current_time()
            if now >= self._modem.next_deadline():
                self._modem.expire(now)
                self._news()
            self._timer = trio.Event()
            with trio.move_on_at(self._modem.next_deadline()):
                await self._timer.wait()

    async def _guard(self, operation: Awaitable[Any]) -> Any:
        try:
            return await operation
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise CarrierLost(f"{self._driver.line} went away: {error}; plug the radio in again") from error

    def _news(self) -> None:
        """The machine has moved: hand up what was heard, write, look again what may be sent and when."""
        for event in (self._changed, self._to_write, self._timer):
            event.set()
        self._changed = trio.Event()
        for _ in range(self._modem.foreign):
            self._port.count("foreign_packets")
        self._modem.foreign = 0
        heard = self._modem.heard
        while heard:
            one = heard.popleft()
            signal = Signal(one.rssi_dbm, one.snr_db) if one.rssi_dbm is not None else None
            if self._carrier is not None and (frame := self._whole(one.data)) is not None:
                self._carrier.deliver(frame, signal)

    def _whole(self, packet: bytes) -> bytes | None:
        """The frame that is there with this packet."""
        if self._short is None:
            return packet
        try:
            frame = self._short.take(packet, trio.current_time())
        except BadWire as error:
            self._port.count(error.code)
            return None
        self._waiting.cancel()  # it may want to ask, or was asked
        return frame

    async def _news_until(self, at: float) -> None:
        with trio.move_on_at(at):
            await self._changed.wait()

    # --- the carrier ----------------------------------------------------------------------------
    async def _carry(self) -> Never:
        modem, driver = self._modem, self._driver
        with self._scope:
            while not modem.ready:
                await self._news_until(inf)
        self._raise_lost()
        self._settings = modem.settings
        region, rule = driver.find_rule(modem)
        budget = _budget(self._port, region, rule)
        most = min(rule.max_airtime or inf, budget.limit_s or inf)
        size = longest_frame(modem, most, SHORTEST)
        longest = modem.airtime(size)
        self._air = budget, longest, rule
        self._short = None
        if size < MTU_MIN:
            self._short = ShortFrames(size, _SHORT_PACE * longest + _SHORT_GAP_S, random.random)
        mtu = self._short.mtu if self._short is not None else size
        profile = LinkProfile(
            mtu=mtu,
            bps=8 * mtu / self._airtime(mtu),
            half_duplex=True,
            shared=True,
            duty_cycle=rule.duty_cycle if rule.duty_cycle < 1 else None,
            airtime=self._airtime,
        )
        while True:
            try:
                async with self._port.attach(profile, driver.label, dialed=True) as carrier:
                    self._port.report("up", modem.note)
                    self._carrier = carrier
                    with trio.CancelScope() as self._scope:
                        if self._lost is None:
                            pull = partial(self._pull, carrier, budget, longest, rule)
                            await until_lost(pull, carrier.wait_closed)
                    self._raise_lost()
            except CarrierClosed as error:
                self._port.report("waiting", str(error))
            finally:
                self._carrier = None
            with trio.CancelScope() as self._scope:
                if self._lost is None:
                    await trio.sleep(_REATTACH_S)
            self._raise_lost()

    def _raise_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    async def _pull(self, carrier: Carrier, budget: AirBudget, longest: float, rule: Rule) -> Never:
        modem = self._modem
        while True:
            await self._until_free(budget, longest, rule)
            if self._sent and not modem.listens_first:
                # Others who are as deaf while they send must be heard some time.
                await trio.sleep(random.uniform(0, longest))
            frame = await self._next_packet(carrier)
            await self._until_free(budget, longest, rule)  # much may have happened meanwhile
            now, airtime = trio.current_time(), modem.airtime(len(frame))
            budget.add(airtime, now)
            carrier.billed(airtime)
            modem.send(frame, now)
            self._sent = True
            self._news()
            await trio.lowlevel.checkpoint()

    async def _next_packet(self, carrier: Carrier) -> bytes:
        """What goes out next: a frame of the node's, or a part of one."""
        short = self._short
        if short is None:
            return await carrier.next_frame()
        while True:
            short.expire(trio.current_time())
            if (packet := short.next_packet()) is not None:
                return packet
            frame = None
            with trio.CancelScope(deadline=short.next_deadline()) as self._waiting:
                frame = await carrier.next_frame()
            if frame is not None:
                short.give(frame)

    def _airtime(self, size: int) -> float:
        """Seconds on the air of a frame of the node's."""
        if self._short is None:
            return self._modem.airtime(size)
        return sum(map(self._modem.airtime, self._short.packet_sizes(size)))

    async def until_free(self) -> None:
        """Until the radio is set up and something may go; what goes then is to be billed first."""
        while self._air is None:
            await self._news_until(inf)
        await self._until_free(*self._air)

    async def news(self) -> None:
        """Until the machine has moved."""
        await self._news_until(inf)

    def bill(self, airtime: float) -> None:
        """That much is about to go out, beside the frames."""
        if self._air is not None:
            self._air[0].add(airtime, trio.current_time())

    def gave(self) -> None:
        """The machine was given something to send."""
        self._sent = True
        self._news()

    async def _until_free(self, budget: AirBudget, longest: float, rule: Rule) -> None:
        """Until the radio has room and the law lets a largest frame go; `status` says why not."""
        modem = self._modem
        since = trio.current_time()
        while True:
            now = trio.current_time()
            self._driver.sense(self._stream, modem, now)
            allowed = budget.free_at(longest, now)
            free = modem.room_at(now)
            if modem.ready and modem.settings != self._settings:
                raise CarrierLost(f"the {modem.kind} was set to something else; it is looked at anew")
            if allowed <= now and free <= now:
                if self._why is not None:
                    self._why = None
                    self._port.report("up", modem.note)
                return
            wait = max(allowed, free)
            asks = free == inf or modem.trouble is not None
            say = since + max(_HELD_AFTER_S, 3 * longest) if asks else inf
            if allowed > now:
                self._hold(
                    f"{budget.used(now):.1f} of {budget.limit_s or 0:.1f} s airtime of this hour are used in"
                    f" {rule.name} ({rule.low / 1e6:g}-{rule.high / 1e6:g} MHz); the next frame may go at"
                    f" {_clock(allowed - now)}"
                )
            elif now >= say:
                self._hold(modem.trouble or f"the {modem.kind} takes nothing for now")
            await self._news_until(min(wait, say) if say > now else wait)

    def _hold(self, why: str) -> None:
        if why != self._why:
            self._why = why
            self._port.report(HELD, why)


def _clock(seconds: float) -> str:
    """The time of day in so many seconds."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
