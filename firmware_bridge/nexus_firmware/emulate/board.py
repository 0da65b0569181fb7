"""A board: an emulated firmware with power, an antenna and a clock. trio."""

import math
from collections.abc import Awaitable, Callable

import trio

from nexus_firmware.emulate.air import Air, Channel, Heard
from nexus_firmware.emulate.firmware import Firmware

READ_SIZE = 4096


class Board:
    """Runs one firmware on one air; `serve` is its port. Time is trio's, so virtual under a `MockClock`.

    `bad_line` is put between the board and each port.
    """

    def __init__(
        self,
        firmware: Firmware,
        air: Air,
        bad_line: Callable[[trio.abc.Stream], trio.abc.Stream] = lambda stream: stream,
    ) -> None:
        self.firmware = firmware
        self._air = air
        self._bad_line = bad_line
        self._reads = trio.Event()
        self._reads.set()
        self._bell = trio.Event()
        self._has_output = trio.Event()
        self._stepped = trio.Event()
        self._changed = trio.Event()
        self._up = False

    # --- the station on the air ---------------------------------------------------------------------
    @property
    def channel(self) -> Channel | None:
        return self.firmware.channel

    def sense(self, until: float, now: float) -> None:
        self.firmware.sense(until, now)
        self._bell.set()

    def hear(self, heard: Heard, now: float) -> None:
        self.firmware.hear(heard, now)
        self._bell.set()

    # --- power --------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Power it, until cancelled."""
        self.firmware.boot(trio.current_time())
        self._air.join(self)
        try:
            while True:
                self._bell = trio.Event()
                self._step()
                deadlines = (self.firmware.next_deadline(), self._air.next_deadline())
                at = min((time for time in deadlines if time is not None), default=math.inf)
                with trio.move_on_at(at):
                    await self._bell.wait()
                await trio.lowlevel.checkpoint()
        finally:
            self._air.leave(self)

    def _step(self) -> None:
        now = trio.current_time()
        self._air.advance(now)
        self.firmware.wake(now)
        while transmission := self.firmware.transmit():
            self._air.transmit(self, transmission, now)
        self._has_output.set()
        self._stepped.set()
        self._stepped = trio.Event()
        if self.firmware.up != self._up:
            self._up = self.firmware.up
            self._changed.set()
            self._changed = trio.Event()

    async def wait_up(self, up: bool) -> None:
        """Until it has booted, or until it starts over."""
        while self._up != up:
            await self._changed.wait()

    async def after_each_step(self, look: Callable[[], Awaitable[None]]) -> None:
        """Let somebody look at the firmware now and whenever it has moved, until cancelled."""
        while True:
            stepped = self._stepped
            await look()
            await stepped.wait()

    def ring(self) -> None:
        """Something happened on the air that the board's loop must look at."""
        self._bell.set()

    # --- the port -----------------------------------------------------------------------------------
    def stop_reading(self) -> None:
        """Let what the host writes pile up, as a board does that hangs."""
        self._reads = trio.Event()

    def read_on(self) -> None:
        """And take it all."""
        self._reads.set()

    async def serve(self, port: trio.abc.Stream) -> None:
        """Be the device at the other end of a stream, until it ends or breaks."""
        stream = self._bad_line(port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, stream, nursery.cancel_scope)
            try:
                while data := await stream.receive_some(READ_SIZE):
                    await self._reads.wait()
                    self.firmware.receive(bytes(data), trio.current_time())
                    self._bell.set()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

    async def _speak(self, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        """A piece is fetched when the port has taken the one before: what waits, waits in the device."""
        while True:
            self._has_output = trio.Event()
            while piece := self.firmware.output():
                try:
                    await stream.send_all(piece)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    scope.cancel()
                    return
            await self._has_output.wait()
