"""What neighbours say about paths and packets on their way (N4, N6, docs/protocol/routing.md)."""

from dataclasses import dataclass
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ADDRESS_SIZE, Address

PREFIX_SIZE = 8
"""Messages on their way are called by the first 8 bytes of their object's id."""

_REQUEST = Struct("<I16sIHB")
PATH_REQUEST_SIZE = _REQUEST.size
_TOO_BIG = Struct("<8sI")
_PRESSURE = Struct("<BH")
PATHS_LOST_MAX = 64


@dataclass(frozen=True, slots=True)
class PathRequest:
    """id u32 | destination 16 | sequence u32 | cost u16 | hops u8: who has a path to that destination, newer
    than `sequence`, or as new and of a lower rank (cost, hops)? All zero asks for any, as sequences begin at
    1."""

    id: int
    destination: Address
    sequence: int = 0
    rank: tuple[int, int] = (0, 0)

    def encode(self) -> bytes:
        return _REQUEST.pack(self.id, self.destination, self.sequence, *self.rank)


def parse_path_request_untrusted(data: bytes) -> PathRequest:
    """Raises BadWire("bad_path_request")."""
    if len(data) != _REQUEST.size:
        raise BadWire("bad_path_request")
    number, destination, sequence, cost, hops = _REQUEST.unpack(data)
    return PathRequest(number, Address(destination), sequence, (cost, hops))


def parse_paths_lost_untrusted(data: bytes) -> list[Address]:
    """Addresses, 16 bytes each, that a neighbour has no path to any more. Raises BadWire("bad_path_lost")."""
    if not data or len(data) % ADDRESS_SIZE or len(data) > PATHS_LOST_MAX * ADDRESS_SIZE:
        raise BadWire("bad_path_lost")
    return [Address(data[at : at + ADDRESS_SIZE]) for at in range(0, len(data), ADDRESS_SIZE)]


@dataclass(frozen=True, slots=True)
class TooBig:
    """object prefix 8 | limit u32: that packet is larger than the next link takes, which is `limit` bytes."""

    prefix: bytes
    limit: int

    def encode(self) -> bytes:
        return _TOO_BIG.pack(self.prefix, self.limit)


def parse_too_big_untrusted(data: bytes) -> TooBig:
    """Raises BadWire("bad_too_big")."""
    if len(data) != _TOO_BIG.size:
        raise BadWire("bad_too_big")
    return TooBig(*_TOO_BIG.unpack(data))


@dataclass(frozen=True, slots=True)
class Pressure:
    """level u8 (how full the sender's queues are, in 1/255) | pause u16: send nothing through me for that
    many ms; 0 takes it back. The 3-byte backpressure signal of N6."""

    level: int
    pause_ms: int

    def encode(self) -> bytes:
        return _PRESSURE.pack(self.level, self.pause_ms)


def parse_pressure_untrusted(data: bytes) -> Pressure:
    """Raises BadWire("bad_pressure")."""
    if len(data) != _PRESSURE.size:
        raise BadWire("bad_pressure")
    return Pressure(*_PRESSURE.unpack(data))


def parse_prefixes_untrusted(data: bytes, most: int) -> list[bytes]:
    """Split into object prefixes of 8 bytes, at most `most`. Raises BadWire("bad_prefixes")."""
    if not data or len(data) % PREFIX_SIZE or len(data) > most * PREFIX_SIZE:
        raise BadWire("bad_prefixes")
    return [data[at : at + PREFIX_SIZE] for at in range(0, len(data), PREFIX_SIZE)]
