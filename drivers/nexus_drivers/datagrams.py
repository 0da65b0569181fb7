"""One datagram socket shared by many carriers: who a datagram belongs to, and what strangers may cost."""

import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Never

import trio

from nexus_drivers.sockets import SocketAddress, endpoint_of, source_bytes, words
from nexus_node.base import limits
from nexus_node.base.errors import CarrierLost
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile

TURN = 64
"""Datagrams moved before others get their turn."""
BACKLOG = 16
"""Datagrams kept for a carrier that is just being attached."""
FAILED_PAUSE_S = 0.05
"""After a send the system refused, so that an absent network is not tried thousands of times a second."""


@dataclass(eq=False)
class Path:
    """One far end of the socket, and its carrier while it is attached."""

    address: SocketAddress
    label: str
    dialed: bool
    configured: bool = False
    stranger: bool = False
    heard: float = field(default_factory=trio.current_time)
    carrier: Carrier | None = None
    backlog: deque[bytes] = field(default_factory=lambda: deque(maxlen=BACKLOG))
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    trouble: str | None = None

    def take(self, frame: bytes) -> None:
        if self.carrier is None:
            self.backlog.append(frame)
        else:
            self.carrier.deliver(frame)


class Exchange:
    """Moves datagrams between a bound, non-blocking socket and the carriers of its far ends."""

    def __init__(
        self, sock: socket.socket, port: DriverPort, profile: LinkProfile, nursery: trio.Nursery
    ) -> None:
        self.paths: dict[SocketAddress, Path] = {}
        self.where = str(endpoint_of(sock.getsockname()))
        self._sock = sock
        self._port = port
        self._profile = profile
        self._nursery = nursery
        self._writable = trio.Lock()

    # --- far ends -------------------------------------------------------------------------------
    def add(self, path: Path) -> None:
        """Give the datagrams from its address to this path; one that had them ends."""
        self.remove(self.paths.get(path.address))
        self.paths[path.address] = path

    def remove(self, path: Path | None) -> None:
        """End a path and its carrier."""
        if path is not None:
            path.scope.cancel()
            if self.paths.get(path.address) is path:
                del self.paths[path.address]

    def start(self, path: Path) -> None:
        """Add a path and serve it until it ends."""
        self.add(path)
        self._nursery.start_soon(self._serve_and_remove, path)

    async def _serve_and_remove(self, path: Path) -> None:
        await self.serve(path)
        self.remove(path)

    async def serve(self, path: Path) -> None:
        """Attach a path's carrier and send for it, until the node gives it up or the path ends."""
        with path.scope:
            try:
                async with self._port.attach(self._profile, path.label, dialed=path.dialed) as carrier:
                    path.carrier = carrier
                    for frame in path.backlog:
                        carrier.deliver(frame)
                    path.backlog.clear()
                    try:
                        await self._transmit(path, carrier)
                    finally:
                        path.carrier = None  # nothing is delivered while it is being detached
            except CarrierLost:
                pass

    # --- in -------------------------------------------------------------------------------------
    async def receive(self) -> Never:
        """Read the socket empty at each wake, but no more than a turn at a time."""
        largest = self._profile.mtu
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            now = trio.current_time()
            for _ in range(TURN):
                try:
                    frame, source = self._sock.recvfrom(largest + 1)
                except BlockingIOError:
                    break
                except OSError as error:  # an ICMP complaint about something sent earlier
                    self.report(f"the network reports: {words(error)}")
                    continue
                if not 0 < len(frame) <= largest:
                    self._port.count("bad_datagram")
                    continue
                path = self.paths.get(source)
                if path is None:
                    self._judge(source, frame)
                else:
                    path.heard = now
                    path.take(frame)

    def _judge(self, source: SocketAddress, frame: bytes) -> None:
        verdict = self._port.knock(source_bytes(source), frame)
        if isinstance(verdict, bytes):
            try:
                self._sock.sendto(verdict, source)
            except OSError:
                pass  # a stranger's answer is not worth waiting or telling; it knocks again
        elif verdict:
            strangers = [path for path in self.paths.values() if path.stranger]
            if len(strangers) >= limits.STRANGER_CARRIERS:
                self.remove(min(strangers, key=lambda path: path.heard))
                self._port.count("strangers_dropped")
            path = Path(source, f"udp:{endpoint_of(source)}", dialed=False, stranger=True)
            path.take(frame)
            self.start(path)

    # --- out ------------------------------------------------------------------------------------
    async def _transmit(self, path: Path, carrier: Carrier) -> Never:
        while True:
            frame: bytes | None = await carrier.next_frame()
            left = TURN
            while frame is not None:
                await self._send(path, frame)
                left -= 1
                frame = carrier.next_frame_nowait() if left else None
            await trio.lowlevel.checkpoint()

    async def _send(self, path: Path, frame: bytes) -> None:
        while True:
            try:
                self._sock.sendto(frame, path.address)
                break
            except BlockingIOError:
                async with self._writable:  # trio lets one task wait for a socket
                    await trio.lowlevel.wait_writable(self._sock)
            except OSError as error:
                why = f"nothing can be sent to {path.label}: {words(error)}"
                if why != path.trouble:
                    path.trouble = why
                    self.report(why)
                await trio.sleep(FAILED_PAUSE_S)
                return
        if path.trouble:
            path.trouble = None
            self.report()

    def report(self, trouble: str | None = None) -> None:
        """Show that we listen, and a trouble that ends neither the socket nor a carrier."""
        self._port.report("listening", f"{self.where}; {trouble}" if trouble else self.where)
