"""Packets: what crosses hops. They carry the destination, never the source (N2, docs/protocol/packet.md)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ADDRESS_SIZE, Address
from nexus_node.wire.tlv import Tlvs, encode_tlvs, parse_tlvs_untrusted

HEADER_SIZE = 3
"""Flags u8, hops u8, context u8; the destination stands between hops and context when present."""
MAX_HOPS = 32

_VERSION_BITS = 0xC0
_HAS_TLVS = 0x20
_ELIDED = 0x10
_PRIORITY_SHIFT = 2


class Context(IntEnum):
    """What a packet's data is."""

    MESSAGE = 1
    """time u32 | envelope: the object of kind 2 without its destination."""
    RECEIPTS = 2
    """One or more receipts of 16 bytes."""
    REFUSAL = 3
    """See `Refusal`."""
    ANNOUNCE = 4
    """See `nexus_node.wire.announce`."""
    PATH_REQUEST = 5
    PATH_LOST = 6
    """Addresses of 16 bytes each."""
    TOO_BIG = 7
    PRESSURE = 8
    """These four: see `nexus_node.wire.routing`."""
    CUSTODY = 9
    PROMISE = 10
    PENDING = 11
    WANT = 12
    """Object prefixes of 8 bytes each: please send me these messages."""
    DELIVERED = 13
    """These five: see `nexus_node.wire.custody`."""
    TRACE = 14
    TRACE_REPLY = 15
    """These two: see `nexus_node.wire.trace`."""
    RECONCILE = 16
    """See `nexus_node.wire.reconcile`."""
    OFFER = 17
    TAKE = 18
    """Object prefixes of 8 bytes each: I have copies of these, and please give me copies of these."""
    ACQUAINTANCE = 19
    """See `nexus_node.wire.custody`."""

    SUBSCRIBE = 20
    HINT = 21
    PULL = 22
    PUBLISHED = 23
    """These four: see `nexus_node.wire.pub`."""

    OFFER_OBJECT = 24
    ASK = 25
    CHUNK = 26
    """These three: see `nexus_node.wire.transfer`."""

    GROUP = 27
    """Group items for all members in range, see `nexus_node.wire.groupitem`."""
    GROUP_CHECK = 28
    """Prefixes of 8 bytes each: who has these messages?"""
    GROUP_HAVE = 29
    """proof 16 | prefixes: I have these (docs/protocol/group.md)."""
    GROUP_FAR = 30
    """As GROUP, and members that hear it pass it on."""
    GROUP_CHECK_FAR = 31
    GROUP_HAVE_FAR = 32
    """These two: see `nexus_node.wire.groupfar`."""
    GROUP_WANT = 33
    """Prefixes of 8 bytes each: please broadcast these messages of a group once more."""

    WITHDRAWN = 34
    """As DELIVERED: files of these prefixes will not be sent, with proof (docs/protocol/transfer.md)."""

    RECORD = 40
    FORK = 41
    RECORD_REQUEST = 42
    NO_RECORD = 43
    """These four: see `nexus_node.wire.mutable`."""


class Priority(IntEnum):
    """The four classes of N6; a lower number goes first."""

    REAL_TIME = 0
    INTERACTIVE = 1
    STANDARD = 2
    BULK = 3


@dataclass(slots=True)
class Packet:
    """One packet. `destination` None is the neighbour that receives it: the last hop need not repeat it."""

    context: int
    data: bytes
    destination: Address | None = None
    hops: int = MAX_HOPS
    priority: Priority = Priority.STANDARD
    tlvs: Tlvs = ()

    def encode(self) -> bytes:
        flags = self.priority << _PRIORITY_SHIFT
        if self.destination is None:
            flags |= _ELIDED
        extension = b""
        if self.tlvs:
            flags |= _HAS_TLVS
            block = encode_tlvs(self.tlvs)
            extension = bytes((len(block),)) + block
        head = bytes((flags, self.hops)) + (self.destination or b"")
        return head + bytes((self.context,)) + extension + self.data


def parse_packet_untrusted(data: bytes) -> Packet:
    """Raises BadWire("bad_packet"), BadWire("packet_version") or BadWire("bad_tlv")."""
    if len(data) < HEADER_SIZE:
        raise BadWire("bad_packet")
    flags = data[0]
    if flags & _VERSION_BITS:
        raise BadWire("packet_version")
    at = 2
    destination = None
    if not flags & _ELIDED:
        destination = Address(data[at : at + ADDRESS_SIZE])
        at += ADDRESS_SIZE
    if at >= len(data):
        raise BadWire("bad_packet")
    context = data[at]
    at += 1
    tlvs: Tlvs = ()
    if flags & _HAS_TLVS:
        if at >= len(data) or at + 1 + data[at] > len(data):
            raise BadWire("bad_tlv")
        end = at + 1 + data[at]
        tlvs = parse_tlvs_untrusted(data[at + 1 : end])
        at = end
    priority = Priority((flags >> _PRIORITY_SHIFT) & 0x03)
    return Packet(context, data[at:], destination, data[1], priority, tlvs)


_OF_PATHS = frozenset((Context.ANNOUNCE, Context.PATH_REQUEST, Context.PATH_LOST))


def is_of_paths(data: bytes) -> bool:
    """Whether a packet, not parsed yet, tells a neighbour of paths."""
    return len(data) > HEADER_SIZE and bool(data[0] & _ELIDED) and data[2] in _OF_PATHS


class Reason(IntEnum):
    """Why a node refused a message."""

    STORE_FULL = 1
    UNKNOWN_SENDER = 2
    """The short envelope's sender is not known here: seal an introduction instead."""
    UNREADABLE = 3
    NOT_HERE = 4
    """Addressed to somebody else, and this node does not keep it."""
    NO_PATH = 5
    """This node knows no way to the destination."""
    BUSY = 6
    """Too much waits here already."""
    NOT_SERVED = 7
    """This relay does not keep mail for these people."""
    TOO_MUCH = 8
    """The sender has used up what the relay's owner allows it; `retry_s` says when there is more."""
    NOT_EXPECTED = 9
    """This node knows of no message with that file: not yet, perhaps."""
    DECLINED = 10
    """The recipient does not want that file."""
    TOO_OLD = 11
    """This relay keeps nothing that was sent so long ago."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Data of a REFUSAL packet: reason u8, the first 8 bytes of the refused object's id, and, if there is
    a time to try again, in how many seconds u16."""

    reason: int
    object_prefix: bytes
    retry_s: int = 0

    PREFIX_SIZE: ClassVar[int] = 8

    def encode(self) -> bytes:
        retry = self.retry_s.to_bytes(2, "little") if self.retry_s else b""
        return bytes((self.reason,)) + self.object_prefix + retry


def parse_refusal_untrusted(data: bytes) -> Refusal:
    """Raises BadWire("bad_refusal")."""
    size = 1 + Refusal.PREFIX_SIZE
    if len(data) not in (size, size + 2):
        raise BadWire("bad_refusal")
    return Refusal(data[0], data[1:size], int.from_bytes(data[size:], "little"))


RECEIPT_SIZE = 16


def parse_receipts_untrusted(data: bytes, most: int) -> list[bytes]:
    """Split into receipts of 16 bytes, at most `most`. Raises BadWire("bad_receipts")."""
    if not data or len(data) % RECEIPT_SIZE or len(data) > most * RECEIPT_SIZE:
        raise BadWire("bad_receipts")
    return [data[at : at + RECEIPT_SIZE] for at in range(0, len(data), RECEIPT_SIZE)]
