"""A serial port over TCP (RFC 2217), which has modem lines: a pty has none. trio and pyserial."""

from collections.abc import Callable

import trio

from nexus_firmware.emulate.board import Board
from nexus_node.base.errors import InputError

try:
    from serial.rfc2217 import PortManager
except ImportError:  # the other ports do without
    PortManager = None


class _Lines:
    """What `PortManager` takes for a serial port: settings it may change as it likes, and the inputs."""

    baudrate, bytesize, parity, stopbits = 9600, 8, "N", 1
    xonxoff = rtscts = break_condition = False
    dtr = rts = True
    dsr = ri = cd = False

    def __init__(self, cts: Callable[[], bool]) -> None:
        self._cts = cts

    @property
    def cts(self) -> bool:
        return self._cts()

    def reset_input_buffer(self) -> None:
        """Nothing is kept here."""

    def reset_output_buffer(self) -> None:
        """Nothing is kept here."""


class Rfc2217Stream(trio.abc.Stream):
    """The device's end of such a port on a connection; `cts` says whether that input is set, and `tell_lines`
    sends it to the far end when it has changed."""

    def __init__(self, stream: trio.abc.Stream, cts: Callable[[], bool]) -> None:
        self._stream = stream
        if PortManager is None:
            raise InputError("--rfc2217 needs the Python package pyserial: pip install 'nexus-node[radio]'")
        self._answers = bytearray()
        self._writing = trio.Lock()
        self._manager = PortManager(_Lines(cts), self)

    def write(self, data: bytes) -> None:
        """For `PortManager`: what it has to say to the far end."""
        self._answers += data

    async def tell_lines(self) -> None:
        """Raises `trio.BrokenResourceError` when the far end is gone."""
        self._manager.check_modem_lines()
        await self._flush()

    async def _flush(self, data: bytes = b"") -> None:
        async with self._writing:
            out, self._answers = bytes(self._answers) + data, bytearray()
            if out:
                await self._stream.send_all(out)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while data := await self._stream.receive_some(max_bytes):
            plain = b"".join(self._manager.filter(data))
            await self._flush()
            if plain:
                return plain
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._flush(b"".join(self._manager.escape(bytes(data))))

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def serve_rfc2217(board: Board, connection: trio.SocketStream) -> None:
    """Be the device behind a connection, its line of being busy on CTS, until it ends."""
    stream = Rfc2217Stream(connection, lambda: board.firmware.line_low)
    async with connection, trio.open_nursery() as nursery:
        nursery.start_soon(_tell_lines, board, stream)
        await board.serve(stream)
        nursery.cancel_scope.cancel()


async def _tell_lines(board: Board, stream: Rfc2217Stream) -> None:
    try:
        await board.after_each_step(stream.tell_lines)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # `serve` sees the same
