"""Where a radio is: a serial port, or a TCP port of its firmware."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import trio

from nexus_drivers.options import Endpoint, Options, parse_endpoint
from nexus_drivers.serial_port import open_serial
from nexus_drivers.sockets import words
from nexus_node.base.errors import CarrierLost

_LOOK_EVERY_S = 1.0
"""For a port that is not there: a plugged-in radio is found that soon."""
_CONNECT_S = 10.0


@dataclass(frozen=True)
class Line:
    """`port` is a device, a URL that pyserial knows, or `tcp://host:port`, which is `far` then."""

    port: str
    baud: int
    far: Endpoint | None = None

    def __str__(self) -> str:
        return self.port

    async def wait_there(self, report: Callable[[str, str], None]) -> None:
        """Until the device is there, saying meanwhile that it is not."""
        if self.far is not None or "://" in self.port or os.name != "posix" or os.path.exists(self.port):
            return
        report("waiting", f"{self.port} is not there; plug the radio in, or name another port")
        while not os.path.exists(self.port):
            await trio.sleep(_LOOK_EVERY_S)

    async def open(self) -> trio.abc.Stream:
        """Raises `CarrierLost` in a sentence with the cure."""
        if self.far is None:
            return await open_serial(self.port, self.baud)
        try:
            with trio.fail_after(_CONNECT_S):
                return await trio.open_tcp_stream(self.far.host, self.far.port)
        except trio.TooSlowError:
            raise CarrierLost(f"{self.far} did not answer within {_CONNECT_S:.0f} s") from None
        except OSError as error:
            raise CarrierLost(f"{self.far} cannot be reached: {words(error)}") from error


def read_line(options: Options, baud: int, tcp_port: int | None = None) -> Line:
    """From the key `port`. Raises `ConfigError`; also for TCP where the firmware has none."""
    port = options.text("port")
    if port is None:
        example = " or tcp://192.0.2.7" if tcp_port else ""
        raise options.missing("port", f'port = "/dev/ttyUSB0"{example}')
    if not port.startswith("tcp://"):
        return Line(port, baud)
    if tcp_port is None:
        raise options.wrong("port", "is TCP, which this firmware does not have; name a serial port")
    where = port.removeprefix("tcp://").rstrip("/")
    has_port = ":" in where.rpartition("]")[2]
    try:
        return Line(port, baud, parse_endpoint(where if has_port else f"{where}:{tcp_port}"))
    except ValueError as error:
        raise options.wrong("port", str(error)) from None
