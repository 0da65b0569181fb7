"""A link driver over Unix sockets that keep packets apart (SOCK_SEQPACKET, Linux): a packet is a frame."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Never, Self

import trio

from nexus_drivers.options import Options
from nexus_drivers.stream import until_lost
from nexus_node.base.errors import CarrierLost, ConfigError, RemoteError
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile

PROFILE = LinkProfile(mtu=4096, bps=1e9, ordered=True)
RETRY_S = 0.2


class UnixSockDriver:
    """Listens on a path, or stays connected to one."""

    scheme: ClassVar[str] = "unixsock"

    def __init__(self, path: Path, *, dials: bool) -> None:
        self._path = path
        self._dials = dials

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `listen = "/path"` or `connect = "/path"`, exactly one."""
        options = Options(cls.scheme, table, ("listen", "connect"))
        listen, connect = options.text("listen"), options.text("connect")
        if listen and connect:
            raise options.wrong("listen", "stands beside connect; make two carriers of them")
        for key, path in (("listen", listen), ("connect", connect)):
            if path and not path.startswith("/"):
                raise options.wrong(key, 'must be a whole path; write it from "/" on')
            if path:
                return cls(Path(path), dials=key == "connect")
        raise ConfigError("unixsock: listen and connect are both missing; write one of them as a path")

    @property
    def label(self) -> str:
        return f"unixsock:{self._path}"

    async def run(self, port: DriverPort) -> None:
        await (self._connect(port) if self._dials else self._listen(port))

    async def _connect(self, port: DriverPort) -> None:
        why: str | None = None
        while True:
            port.report("connecting", why)
            with _socket() as sock:
                try:
                    await sock.connect(str(self._path))
                    await self._serve(sock, port)
                except OSError as error:
                    why = f"{self._path} cannot be reached: {error.strerror}"
                except (CarrierLost, RemoteError) as error:
                    why = str(error)
            port.report("waiting", why)
            await trio.sleep(RETRY_S)

    async def _listen(self, port: DriverPort) -> None:
        with _socket() as sock:
            try:
                if self._path.is_socket():
                    self._path.unlink()  # left behind by a node that was killed
                await sock.bind(str(self._path))
                os.chmod(self._path, 0o600)
            except OSError as error:
                raise CarrierLost(f"cannot listen on {self._path}: {error.strerror}") from error
            sock.listen()
            port.report("listening")
            async with trio.open_nursery() as nursery:
                while True:
                    accepted, _ = await sock.accept()
                    nursery.start_soon(self._accepted, accepted, port)

    async def _accepted(self, sock: trio.socket.SocketType, port: DriverPort) -> None:
        with sock:
            try:
                await self._serve(sock, port)
            except (CarrierLost, RemoteError):
                pass  # the node saw why as the attach context ended

    async def _serve(self, sock: trio.socket.SocketType, port: DriverPort) -> None:
        """One connection, one carrier: both end together."""
        async with port.attach(PROFILE, self.label, dialed=self._dials) as carrier:
            await until_lost(lambda: _transmit(sock, carrier), lambda: _receive(sock, carrier))


async def _transmit(sock: trio.socket.SocketType, carrier: Carrier) -> Never:
    while True:
        frame = await carrier.next_frame()
        try:
            await sock.send(frame)
        except OSError as error:
            raise CarrierLost(f"the connection broke: {error.strerror}") from error


async def _receive(sock: trio.socket.SocketType, carrier: Carrier) -> Never:
    while True:
        try:
            frame = await sock.recv(PROFILE.mtu + 1)
        except OSError as error:
            raise CarrierLost(f"the connection broke: {error.strerror}") from error
        if not frame:
            raise CarrierLost("the far end closed the connection")
        if len(frame) > PROFILE.mtu:
            raise RemoteError("bad_length")
        carrier.deliver(frame)


def _socket() -> trio.socket.SocketType:
    return trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
