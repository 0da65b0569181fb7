"""The `udp` driver: one socket, configured peers, neighbours found on the LAN, and strangers who knock."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, Never, Self

import trio

from nexus_drivers.datagrams import Exchange, Path
from nexus_drivers.lan import BEACON_S, DEFAULT_PORT, SILENT_S, Lan, is_ipv4, open_socket
from nexus_drivers.options import Endpoint, Options
from nexus_drivers.sockets import Backoff, SocketAddress, bind_failure, words
from nexus_node.base import limits
from nexus_node.base.errors import ConfigError
from nexus_node.ports.driver import DriverPort, LinkProfile

PROFILE = LinkProfile(mtu=1400, bps=100e6, ordered=False)
"""1,400 bytes of payload stay below 1,500 with the headers of IPv6, UDP and a tunnel."""
SOCKET_BUFFER = limits.MIB
ATTACH_PAUSE_S = 1.0
"""Before a configured peer whose carrier the node gave up is attached again."""
RESOLVE_S = 300.0
RESOLVE_RETRY_FIRST_S, RESOLVE_RETRY_LAST_S = 1.0, 60.0


class UdpDriver:
    """A UDP socket and the far ends it talks with."""

    scheme: ClassVar[str] = "udp"

    def __init__(
        self,
        bind: Endpoint,
        peers: tuple[Endpoint, ...] = (),
        *,
        lan: bool = False,
        lan_interface: str | None = None,
        lan_port: int = DEFAULT_PORT,
    ) -> None:
        self._bind = bind
        self._peers = peers
        self._lan = lan
        self._lan_interface = lan_interface
        self._lan_port = lan_port

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `bind = "host:port"`, `peers = ["host:port", ...]`, `lan = true`, `lan_interface` (an
        IPv4 address or interface name), `lan_port`. At least one of the first three."""
        options = Options(cls.scheme, table, ("bind", "peers", "lan", "lan_interface", "lan_port"))
        bind = options.endpoint("bind", any_port=True)
        peers = options.endpoints("peers")
        on_lan = options.flag("lan")
        interface = options.text("lan_interface")
        if not (bind or peers or on_lan):
            raise ConfigError('udp: bind is missing; write bind = "0.0.0.0:5001", peers, or lan = true')
        if interface and not on_lan:
            raise options.wrong("lan_interface", "is of no use without lan = true; add that or leave it out")
        if on_lan and bind and ":" in bind.host and bind.host != "::":
            raise options.wrong("bind", 'cannot be found by lan = true, which is IPv4; bind "[::]" instead')
        if on_lan and interface is None and bind and is_ipv4(bind.host) and bind.host != "0.0.0.0":
            interface = bind.host
        any_host = "::" if any(":" in peer.host for peer in peers) else "0.0.0.0"
        return cls(
            bind or Endpoint(any_host, 0),
            peers,
            lan=on_lan,
            lan_interface=interface,
            lan_port=options.whole("lan_port", DEFAULT_PORT, 1, 65535),
        )

    @property
    def label(self) -> str:
        return f"udp:{self._bind}"

    async def run(self, port: DriverPort) -> None:
        with ExitStack() as sockets:
            sock = sockets.enter_context(await self._open())
            beacons = sockets.enter_context(open_socket(self._lan_port)) if self._lan else None
            async with trio.open_nursery() as nursery:
                exchange = Exchange(sock, port, PROFILE, nursery)
                exchange.report()
                nursery.start_soon(exchange.receive)
                for peer in self._peers:
                    nursery.start_soon(self._keep_peer, exchange, sock.family, peer)
                if beacons:
                    nursery.start_soon(_Neighbours(exchange, sock).run, beacons, self._lan_interface)

    async def _open(self) -> socket.socket:
        try:
            family, _, _, _, address = (
                await trio.socket.getaddrinfo(*self._bind, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
            )[0]
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise bind_failure(self._bind, error) from error
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(address)
        except OSError as error:
            sock.close()
            raise bind_failure(self._bind, error) from error
        return sock

    # --- configured peers -----------------------------------------------------------------------
    async def _keep_peer(self, exchange: Exchange, family: socket.AddressFamily, peer: Endpoint) -> Never:
        backoff = Backoff(RESOLVE_RETRY_FIRST_S, RESOLVE_RETRY_LAST_S)
        label = f"udp:{peer}"
        while True:
            try:
                address = await _resolve(peer, family)
            except OSError as error:
                exchange.report(f"{label} cannot be used: {words(error)}")
                await trio.sleep(backoff.pause())
                continue
            backoff.reset()
            path = Path(address, label, dialed=True, configured=True)
            if (other := exchange.paths.get(address)) and other.configured and other.label != label:
                exchange.report(f"{label} is the same far end as {other.label}; leave one out")
                await trio.sleep(RESOLVE_S)
                continue
            exchange.add(path)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_name, exchange, family, peer, path)
                await exchange.serve(path)
                nursery.cancel_scope.cancel()
            # Until it is attached again the path keeps its address, so that its far end is no stranger.
            await trio.sleep(ATTACH_PAUSE_S)

    async def _follow_name(
        self, exchange: Exchange, family: socket.AddressFamily, peer: Endpoint, path: Path
    ) -> Never:
        """Look the name up again from time to time; a numeric one stays what it is."""
        while True:
            await trio.sleep(RESOLVE_S)
            try:
                address = await _resolve(peer, family)
            except OSError:
                continue  # the address we have is the best we know
            if address != path.address:
                exchange.remove(path)  # ends `serve`: the peer is attached anew at its new address


class _Neighbours:
    """Carriers to what LAN discovery finds."""

    def __init__(self, exchange: Exchange, sock: socket.socket) -> None:
        self._exchange = exchange
        self._sock = sock
        self._paths: dict[bytes, Path] = {}

    async def run(self, beacons: socket.socket, interface: str | None) -> None:
        discovery = Lan(
            beacons,
            interface=interface,
            our_port=self._sock.getsockname()[1],
            on_neighbour=self._meet,
            on_trouble=self._exchange.report,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forget_silent)
            await discovery.run()

    def _meet(self, instance: bytes, endpoint: Endpoint) -> None:
        address: SocketAddress = endpoint
        if self._sock.family == socket.AF_INET6:
            address = (f"::ffff:{endpoint.host}", endpoint.port, 0, 0)
        exchange = self._exchange
        known = self._paths.get(instance)
        if known is not None and exchange.paths.get(known.address) is known:
            if known.address == address:
                known.heard = trio.current_time()
        elif address in exchange.paths:
            exchange.paths[address].heard = trio.current_time()
        else:
            self._paths = {i: p for i, p in self._paths.items() if exchange.paths.get(p.address) is p}
            if len(self._paths) < limits.LINKS_PER_CARRIER:
                path = self._paths[instance] = Path(address, f"udp:{endpoint}", dialed=True)
                exchange.start(path)

    async def _forget_silent(self) -> Never:
        while True:
            await trio.sleep(BEACON_S)
            for path in self._paths.values():
                if trio.current_time() - path.heard > SILENT_S:
                    self._exchange.remove(path)


async def _resolve(peer: Endpoint, family: socket.AddressFamily) -> SocketAddress:
    flags = socket.AI_V4MAPPED if family == socket.AF_INET6 else 0
    found = await trio.socket.getaddrinfo(*peer, family=family, type=socket.SOCK_DGRAM, flags=flags)
    return found[0][4]
