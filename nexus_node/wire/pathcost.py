"""What a path costs, in 7 bytes that every relay on the way updates (N4, docs/protocol/announce.md)."""

from functools import lru_cache
from math import log2
from struct import Struct
from typing import NamedTuple

from nexus_node.base.errors import BadWire

_LAYOUT = Struct("<HHBBB")
PATH_COST_SIZE = _LAYOUT.size
_U16, _U8 = 0xFFFF, 0xFF
_COST_MAX = 16 * 1000
"""Codes above it, which no real path has, are decoded like this one: a float holds no more."""


class Hop(NamedTuple):
    """What one link adds to a path.

    `cost` is the microseconds that 1,000 bytes take on it, made dearer by what waits there; `latency_ms`
    the worst time a small frame needs; `bps` bits per second; `mtu` bytes.
    """

    cost: float
    latency_ms: float
    bps: float
    mtu: int


class PathCost(NamedTuple):
    """cost u16 = round(16 log2(v + 1)), worst latency in ms u16, bottleneck u8 = round(8 log2 bps),
    hops u8, bottleneck MTU u8 = round(4 log2 bytes), little-endian. Kept as codes, so that passing one
    on changes nothing but what the hop adds.
    """

    cost_code: int = 0
    latency_ms: int = 0
    bps_code: int = _U8
    hops: int = 0
    mtu_code: int = _U8

    @property
    def cost(self) -> float:
        return _cost(self.cost_code)

    @property
    def bps(self) -> float:
        return float(2.0 ** (self.bps_code / 8))

    @property
    def mtu(self) -> int:
        return int(2.0 ** (self.mtu_code / 4))

    @property
    def rank(self) -> tuple[int, int]:
        """What may only fall from relay to destination (docs/protocol/routing.md): each hop raises it."""
        return self.cost_code, self.hops

    def rank_after(self, cost: float) -> tuple[int, int]:
        """Its rank from one hop farther away, which costs that."""
        code = round(16 * log2(self.cost + cost + 1))
        return min(_U16, max(self.cost_code, code)), min(_U8, self.hops + 1)

    def after(self, hop: Hop) -> "PathCost":
        """The same path seen from one hop farther away."""
        return _after(self, hop)

    def encode(self) -> bytes:
        """The 7 bytes."""
        return _LAYOUT.pack(self.cost_code, self.latency_ms, self.bps_code, self.hops, self.mtu_code)


UNREACHABLE = PathCost(_U16, _U16, 0, _U8, 0)
"""No path at all: goes with an announce that is only to show how new it is."""


@lru_cache(1024)  # every announce comes again each half hour, at the same cost
def _after(path: PathCost, hop: Hop) -> PathCost:
    cost_code, hops = path.rank_after(hop.cost)
    return PathCost(
        cost_code=cost_code,
        latency_ms=min(_U16, path.latency_ms + round(hop.latency_ms)),
        bps_code=min(path.bps_code, _code(8, hop.bps)),
        hops=hops,
        mtu_code=min(path.mtu_code, _code(4, hop.mtu)),
    )


@lru_cache(256)  # there are few kinds of links
def _code(scale: int, value: float) -> int:
    return min(_U8, max(0, round(scale * log2(max(1.0, value)))))


@lru_cache(1024)
def _cost(code: int) -> float:
    return float(2.0 ** (min(code, _COST_MAX) / 16) - 1)


def parse_path_cost_untrusted(data: bytes) -> PathCost:
    """Every 7 bytes are a path cost. Raises BadWire("bad_path_cost") for another length."""
    if len(data) != PATH_COST_SIZE:
        raise BadWire("bad_path_cost")
    return PathCost(*_LAYOUT.unpack(data))
