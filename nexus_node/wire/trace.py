"""Tracing: every node on the way to a destination says that it is there (docs/protocol/routing.md)."""

from dataclasses import dataclass
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address

NONCE_SIZE = 8
_TRACE = Struct("<B8s")
_REPLY = Struct("<B8s16s")
_LAST = 0x80


@dataclass(frozen=True, slots=True)
class Trace:
    """Data of a TRACE packet: hop u8, the sender's count from 1 | nonce 8."""

    hop: int
    nonce: bytes

    def encode(self) -> bytes:
        return _TRACE.pack(self.hop, self.nonce)


def parse_trace_untrusted(data: bytes) -> Trace:
    """Raises BadWire("bad_trace")."""
    if len(data) != _TRACE.size or not 0 < data[0] < _LAST:
        raise BadWire("bad_trace")
    return Trace(*_TRACE.unpack(data))


@dataclass(frozen=True, slots=True)
class TraceReply:
    """Data of a TRACE_REPLY packet: hop u8, with 128 added at the destination | nonce 8 | address 16. It is
    a claim: nothing is signed."""

    hop: int
    nonce: bytes
    address: Address
    last: bool

    def encode(self) -> bytes:
        return _REPLY.pack(self.hop | (_LAST if self.last else 0), self.nonce, self.address)


def parse_trace_reply_untrusted(data: bytes) -> TraceReply:
    """Raises BadWire("bad_trace")."""
    if len(data) != _REPLY.size:
        raise BadWire("bad_trace")
    hop, nonce, address = _REPLY.unpack(data)
    return TraceReply(hop & ~_LAST, nonce, Address(address), bool(hop & _LAST))
