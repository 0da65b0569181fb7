"""How objects cross the mesh: offered, asked for unit by unit, and sent (N7, docs/protocol/transfer.md)."""

from dataclasses import dataclass
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ADDRESS_SIZE, Address
from nexus_node.wire.dataobject import HEADER_SIZE, ObjectHeader, parse_object_header_untrusted
from nexus_node.wire.tlv import Tlvs

TLV_MIN_BANDWIDTH = 3
"""Of a CHUNK packet: bits per second u32. No link that is slower may carry it (N13)."""

RUNS_MAX = 64
"""Runs of units one ASK may name."""

_BANDWIDTH = Struct("<I")
_ASK = Struct("<B8sI")
_RUN = Struct("<IH")
_CHUNK = Struct("<8sI")
CHUNK_HEAD = _CHUNK.size
_FAR = 0x01
_FLAGS = _FAR

Run = tuple[int, int]
"""The first unit, and how many that follow each other with it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Data of an OFFER_OBJECT packet: object header 42 | min_bandwidth u32 | provider 16, of one that is not
    the neighbour itself.

    The provider has that object for the destination, and will send what it is asked for.
    """

    header: ObjectHeader
    min_bandwidth: int = 0
    provider: Address | None = None

    def encode(self) -> bytes:
        head = self.header.encode() + _BANDWIDTH.pack(min(self.min_bandwidth, 0xFFFFFFFF))
        return head + (self.provider or b"")


def parse_offer_untrusted(data: bytes) -> Offer:
    """Raises BadWire("bad_offer"), or what a header is refused with."""
    head = HEADER_SIZE + _BANDWIDTH.size
    if len(data) not in (head, head + ADDRESS_SIZE):
        raise BadWire("bad_offer")
    header = parse_object_header_untrusted(data[:HEADER_SIZE])
    return Offer(header, _BANDWIDTH.unpack_from(data, HEADER_SIZE)[0], Address(data[head:]) or None)


@dataclass(frozen=True, slots=True)
class Ask:
    """Data of an ASK packet: flags u8 | object prefix 8 | chunks the asker has u32 | its address 16, of one
    that is not the neighbour itself (flag 1) | runs, each unit u32, count u16.

    Please send me these units. Units: docs/protocol/transfer.md.
    """

    prefix: bytes
    have: int
    runs: list[Run]
    asker: Address | None = None

    def encode(self) -> bytes:
        head = _ASK.pack(_FAR if self.asker else 0, self.prefix, self.have) + (self.asker or b"")
        return head + b"".join(_RUN.pack(*run) for run in self.runs)


def parse_ask_untrusted(data: bytes) -> Ask:
    """Raises BadWire("bad_ask")."""
    if len(data) < _ASK.size:
        raise BadWire("bad_ask")
    flags, prefix, have = _ASK.unpack_from(data)
    at = _ASK.size + (ADDRESS_SIZE if flags & _FAR else 0)
    count, rest = divmod(len(data) - at, _RUN.size)
    if flags & ~_FLAGS or rest or not 0 <= count <= RUNS_MAX:
        raise BadWire("bad_ask")
    asker = Address(data[_ASK.size : at]) or None
    return Ask(prefix, have, list(_RUN.iter_unpack(data[at:])), asker)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Data of a CHUNK packet: object prefix 8 | first unit u32 | whole units, one after the other."""

    prefix: bytes
    first: int
    data: bytes

    def encode(self) -> bytes:
        return _CHUNK.pack(self.prefix, self.first) + self.data


def parse_chunk_untrusted(data: bytes) -> Chunk:
    """Raises BadWire("bad_chunk")."""
    if len(data) <= CHUNK_HEAD:
        raise BadWire("bad_chunk")
    prefix, first = _CHUNK.unpack_from(data)
    return Chunk(prefix, first, data[CHUNK_HEAD:])


def bandwidth_tlv(min_bandwidth: int) -> Tlvs:
    """What keeps a CHUNK or MESSAGE packet off slower links; nothing for one that may go anywhere."""
    if not min_bandwidth:
        return ()
    return ((TLV_MIN_BANDWIDTH, _BANDWIDTH.pack(min(min_bandwidth, 0xFFFFFFFF))),)


def parse_bandwidth_tlv_untrusted(tlvs: Tlvs) -> int:
    """The least bits per second of a link that may carry a packet. Raises BadWire("bad_bandwidth")."""
    value = next((value for kind, value in tlvs if kind == TLV_MIN_BANDWIDTH), None)
    if value is None:
        return 0
    if len(value) != _BANDWIDTH.size:
        raise BadWire("bad_bandwidth")
    needed: int = _BANDWIDTH.unpack(value)[0]
    return needed
