"""Finding neighbours on the local network by multicast beacons.

A beacon says only that some node listens on a port: 4 bytes magic, 1 version, 8 instance, 2 port
(big-endian). The instance is random for each run, so it tells nobody who is there.

The group is in 239.255.0.0/16, which RFC 2365 leaves to every site to use without registration
(unassigned 224.0.0.x addresses belong to IANA), and a time-to-live of 1 keeps beacons on the link.
"""

import os
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

import trio

from nexus_drivers.options import Endpoint
from nexus_drivers.sockets import bind_failure, words
from nexus_node.base import limits
from nexus_node.base.errors import BadWire

GROUP = "239.255.78.88"
DEFAULT_PORT = 47474
BEACON_S = 10.0
ANSWER_SPACING_S = 1.0
"""Least time between two beacons, however many newcomers ask for one."""
SILENT_S = 60.0
"""A neighbour heard neither by beacon nor by datagram for this long has left."""
_MAGIC = b"NXLB"
_VERSION = 1
_BEACON = struct.Struct("!4sB8sH")
_IP_MULTICAST_ALL = 49  # Linux; without it we would hear groups that other programs joined elsewhere


@dataclass(frozen=True, slots=True)
class Beacon:
    """A node's presence: the random id of its run, and the UDP port it listens on."""

    instance: bytes
    port: int

    def encode(self) -> bytes:
        return _BEACON.pack(_MAGIC, _VERSION, self.instance, self.port)


def parse_beacon_untrusted(data: bytes) -> Beacon:
    """Read a beacon; raises `BadWire`."""
    if len(data) != _BEACON.size:
        raise BadWire("beacon_size")
    magic, version, instance, port = _BEACON.unpack(data)
    if magic != _MAGIC or version != _VERSION:
        raise BadWire("beacon_version")
    if port == 0:
        raise BadWire("beacon_port")
    return Beacon(instance, port)


def open_socket(lan_port: int) -> socket.socket:
    """The socket beacons come and go by. Raises `CarrierLost` when the port cannot be had."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several nodes on one host
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        sock.bind((GROUP, lan_port))  # the group's address, so that only its datagrams come
    except OSError as error:
        sock.close()
        raise bind_failure(Endpoint(GROUP, lan_port), error) from error
    return sock


class Lan:
    """Sends our beacons and hears others', on a socket from `open_socket`.

    `interface` is an IPv4 address or a name such as `wlan0`; None means every interface but loopback.
    `on_neighbour(instance, endpoint)` is called for each beacon of a neighbour that is ours to dial:
    of two nodes the one with the lower instance dials. `on_trouble(why)` is told when no interface
    takes our beacons, `on_trouble(None)` when one does again.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        interface: str | None,
        our_port: int,
        on_neighbour: Callable[[bytes, Endpoint], None],
        on_trouble: Callable[[str | None], None],
    ) -> None:
        self._sock = sock
        self._group = sock.getsockname()
        self._interface = interface
        self._beacon = Beacon(os.urandom(8), our_port)
        self._on_neighbour = on_neighbour
        self._on_trouble = on_trouble
        self._trouble: str | None = None
        self._known: dict[bytes, None] = {}
        self._newcomer = trio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear)
            nursery.start_soon(self._announce)

    async def _announce(self) -> Never:
        while True:
            self._newcomer = trio.Event()
            self._send()
            await trio.sleep(ANSWER_SPACING_S)
            with trio.move_on_after((BEACON_S - ANSWER_SPACING_S) * random.uniform(0.9, 1.1)):
                await self._newcomer.wait()

    def _send(self) -> None:
        """One beacon on every interface; joins the group there first, as interfaces come and go."""
        trouble: str | None = "no interface is up"
        for request in self._requests():
            try:
                self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            except OSError:
                pass  # joined already, or the send below says what is wrong
            try:
                self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
                self._sock.sendto(self._beacon.encode(), self._group)
                trouble = None
            except OSError as error:
                trouble = trouble and words(error)
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble and f"no beacons on the local network: {trouble}")

    def _requests(self) -> list[bytes]:
        """A `struct ip_mreqn` for each interface: group, address, index."""
        address, indexes = "0.0.0.0", [0]
        if self._interface is None:
            indexes = [index for index, name in socket.if_nameindex() if name != "lo"]
        elif is_ipv4(self._interface):
            address = self._interface
        else:
            indexes = [index for index, name in socket.if_nameindex() if name == self._interface]
        head = socket.inet_aton(GROUP) + socket.inet_aton(address)
        return [head + struct.pack("=i", index) for index in indexes]

    async def _hear(self) -> Never:
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                data, (host, _) = self._sock.recvfrom(_BEACON.size + 1)
                beacon = parse_beacon_untrusted(data)
            except (OSError, BadWire):
                continue  # other programs may use the group as well
            if beacon.instance == self._beacon.instance:
                continue
            newcomer = beacon.instance not in self._known
            self._known.pop(beacon.instance, None)
            self._known[beacon.instance] = None  # latest last
            if len(self._known) > limits.STRANGER_CARRIERS:
                del self._known[next(iter(self._known))]
            if self._beacon.instance < beacon.instance:
                self._on_neighbour(beacon.instance, Endpoint(host, beacon.port))
            elif newcomer:
                self._newcomer.set()  # it dials us once it has heard of us


def is_ipv4(text: str) -> bool:
    """Whether this is a dotted IPv4 address."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True
