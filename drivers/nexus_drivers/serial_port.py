"""Serial ports under trio: pyserial opens them, trio waits on the descriptor (radio.md section 8).

Where there is none to wait on (Windows, and pyserial's URLs such as `rfc2217://`), one thread reads.
"""

import errno
import os
import threading
from functools import partial
from typing import Any

import trio

from nexus_node.base.errors import CarrierLost

try:
    import termios
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]
try:
    import serial
except ImportError:  # a radio on TCP does without
    serial = None

_READ_SIZE = 4096
_FINISH_S = 0.3
"""How long a write that has begun may go on when it is cancelled, so that no half frame is left."""
_GONE = frozenset((errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADF))
_THREAD_READ_S = 0.2
MODEM_LINES = ("cts", "dsr", "ri", "cd")
"""The inputs of a port."""


class SerialStream(trio.abc.Stream):
    """An open port; `set_baud` changes its speed for what is written and read from then on."""

    _port: Any

    def set_baud(self, baud: int) -> None:
        """Raises `CarrierLost` when the port is gone."""
        try:
            self._port.baudrate = baud
        except (OSError, ValueError) as error:
            raise CarrierLost(_why(str(self._port.port), error)) from error

    def modem_line(self, name: str) -> bool:
        """Whether that one of `MODEM_LINES` is set. Raises `CarrierLost`, also where there is none."""
        try:
            return bool(getattr(self._port, name))
        except OSError as error:
            if error.errno in _GONE:
                raise CarrierLost(_why(str(self._port.port), error)) from error
            raise CarrierLost(
                f"{self._port.port} has no {name.upper()}; leave aux out, or use a GPIO"
            ) from error


async def open_serial(port: str, baud: int) -> SerialStream:
    """Open a port for this program alone, 8N1 without flow control.

    Raises `CarrierLost` in a sentence with the cure.
    """
    if serial is None:
        raise CarrierLost(f"{port} needs the Python package pyserial: pip install 'nexus-node[radio]'")
    has_descriptor = os.name == "posix" and "://" not in port
    try:
        if not has_descriptor:
            # Opening may resolve a name or connect. RFC 2217 has no time-out for writes.
            patience = 5 if "://" not in port else None
            there = await trio.to_thread.run_sync(
                partial(serial.serial_for_url, port, baud, timeout=_THREAD_READ_S, write_timeout=patience)
            )
            return _ThreadStream(there, port)
        there = serial.Serial(port, baud, timeout=0, write_timeout=0, exclusive=True)
    except (OSError, ValueError) as error:
        raise CarrierLost(_why(port, error)) from error
    _keep_lines(there.fileno())
    return _DescriptorStream(there, port)


def _keep_lines(descriptor: int) -> None:
    """Leave the modem lines alone when the port is closed: their change resets many boards."""
    try:
        settings = termios.tcgetattr(descriptor)
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    except termios.error:
        pass  # a port without modem lines


def _why(port: str, error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    match number:
        case errno.ENOENT | errno.ENXIO | errno.ENODEV:
            return f"{port} is not there; plug the radio in, or name another port"
        case errno.EACCES | errno.EPERM:
            return f"{port} may not be opened by this account; add it to the group dialout and log in again"
        case errno.EAGAIN | errno.EBUSY:
            return f"{port} is busy: another program has it open; end that one"
    words = os.strerror(number) if number else str(error)
    return f"{port} cannot be opened: {words}"


class _DescriptorStream(SerialStream):
    """A stream on the descriptor of an open port."""

    def __init__(self, port: Any, name: str) -> None:
        self._port = port
        self._name = name
        self._descriptor: int = port.fileno()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._descriptor)
            try:
                return os.read(self._descriptor, max_bytes or _READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in _GONE:
                    return b""
                raise trio.BrokenResourceError(os.strerror(error.errno or 0)) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.wait_writable(self._descriptor)
        rest = self._write(memoryview(data))
        while rest:
            try:
                await trio.lowlevel.wait_writable(self._descriptor)
            except trio.Cancelled:
                with trio.move_on_after(_FINISH_S, shield=True):
                    while rest:
                        await trio.lowlevel.wait_writable(self._descriptor)
                        rest = self._write(rest)
                raise
            rest = self._write(rest)

    def _write(self, data: memoryview) -> memoryview:
        try:
            return data[os.write(self._descriptor, data) :]
        except BlockingIOError:
            return data
        except OSError as error:
            raise trio.BrokenResourceError(os.strerror(error.errno or 0)) from error

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.wait_writable(self._descriptor)

    async def aclose(self) -> None:
        if self._descriptor >= 0:
            trio.lowlevel.notify_closing(self._descriptor)
            self._descriptor = -1
            self._port.close()
        await trio.lowlevel.checkpoint()


class _ThreadStream(SerialStream):
    """A stream on a port that only blocks: one thread reads until it is closed, a write borrows one."""

    def __init__(self, port: Any, name: str) -> None:
        self._port = port
        self._closed = False
        self._send, self._receive = trio.open_memory_channel[bytes](1)
        token = trio.lowlevel.current_trio_token()
        thread = threading.Thread(target=self._read, args=(token,), name=f"read {name}", daemon=True)
        thread.start()

    def _read(self, token: trio.lowlevel.TrioToken) -> None:
        try:
            while not self._closed:
                if data := self._port.read(self._port.in_waiting or 1):
                    trio.from_thread.run(self._send.send, data, trio_token=token)
        except (OSError, TypeError, trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # the port is gone or closed: TypeError is what pyserial says then
        except (trio.RunFinishedError, trio.Cancelled):
            return
        try:
            trio.from_thread.run_sync(self._send.close, trio_token=token)
        except trio.RunFinishedError:
            pass

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await trio.to_thread.run_sync(self._port.write, bytes(data))
        except (OSError, TypeError) as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self._closed = True
        self._receive.close()
        with trio.CancelScope(shield=True):
            # Of RFC 2217 this takes a while.
            await trio.to_thread.run_sync(self._port.close)
        await trio.lowlevel.checkpoint()
