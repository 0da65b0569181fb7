"""What the drivers on IP share: words for socket errors, addresses as bytes, and back-off."""

import errno
import ipaddress
import os
import random
import socket
from typing import Any

from nexus_drivers.options import Endpoint
from nexus_node.base.errors import CarrierLost

SocketAddress = tuple[Any, ...]
"""(host, port) for IPv4, (host, port, flow, scope) for IPv6, hosts numeric: as `recvfrom` gives it."""


def words(error: BaseException) -> str:
    """What an operating-system error says, without its number; the first cause when it wraps others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.errno is None and error.__cause__ is not None:
        return words(error.__cause__)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return (isinstance(error, OSError) and error.strerror) or str(error)


def bind_failure(endpoint: Endpoint, error: OSError) -> CarrierLost:
    """Why we could not take a local address, with the cure."""
    if isinstance(error, socket.gaierror):
        return CarrierLost(f"{endpoint}: {words(error)}; write an address of this machine")
    cures = {
        errno.EADDRINUSE: "is in use by another program; choose another port or stop it",
        errno.EADDRNOTAVAIL: "is not an address of this machine; choose one it has, or 0.0.0.0 for all",
        errno.EACCES: "may not be used by this account; choose a port above 1023",
    }
    return CarrierLost(f"{endpoint} {cures.get(error.errno or 0, f'cannot be used: {words(error)}')}")


def plain_host(host: str) -> str:
    """A numeric host as people write it: an IPv4 address mapped into IPv6 as IPv4."""
    mapped = ipaddress.IPv6Address(host).ipv4_mapped if ":" in host else None
    return str(mapped) if mapped else host


def endpoint_of(address: SocketAddress) -> Endpoint:
    """A socket address as an endpoint."""
    return Endpoint(plain_host(address[0]), address[1])


def source_bytes(address: SocketAddress) -> bytes:
    """A socket address in canonical form: 16 bytes of IPv6 (IPv4 mapped), 2 of port, and 4 of scope
    when it has one; the same far end gives the same bytes whatever socket heard it.
    """
    host: str = address[0]
    port: int = address[1]
    ip = ipaddress.ip_address(host.partition("%")[0])
    packed = ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed
    scope: int = address[3] if len(address) > 3 else 0
    return packed + port.to_bytes(2, "big") + (scope.to_bytes(4, "big") if scope else b"")


class Backoff:
    """Pauses that double from `first` to `last` seconds, each shortened by up to half so that many
    nodes do not return at once."""

    def __init__(self, first: float, last: float) -> None:
        self._first, self._last = first, last
        self._next = first

    def reset(self) -> None:
        """Start again from the shortest pause."""
        self._next = self._first

    def pause(self) -> float:
        """The next pause in seconds."""
        pause, self._next = self._next, min(self._next * 2, self._last)
        return pause * random.uniform(0.5, 1.0)
