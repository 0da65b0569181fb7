"""Custody: what senders, relays and recipients tell each other about mail for the absent (N10,
docs/protocol/custody.md)."""

from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ADDRESS_SIZE, Address, NodeId
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity, verify
from nexus_node.wire.packet import RECEIPT_SIZE
from nexus_node.wire.routing import PREFIX_SIZE, parse_prefixes_untrusted
from nexus_node.wire.tlv import Tlvs

TLV_CUSTODY = 1
"""Of a MESSAGE packet: mark 16 | relay 16 or nothing. Please keep this message for its destination; the mark
is the hash of the receipt that will prove its delivery. With a relay's address it is that relay's to keep,
and the packet goes there first; without one, the neighbour's that receives it."""

TLV_COPY = 2
"""Of a MESSAGE packet: mark 16. A copy to be carried towards its destination; nobody promises anything."""

PREFIXES_MAX = 128
"""Messages one packet of these kinds may name."""

FILTER_BYTES_MAX = 1280
_FILTER_BITS = 10
"""For each node in an acquaintance's filter: with four bits set, one of 80 others seems to be in it."""
_FILTER_BYTES_MIN = 4
_BITS = Struct("<4I")

_LABEL = b"NexusCustody/0"
_MEMORY_ONLY = 0x01
_PROMISE = Struct("<B8s32s")


def custody_tlv(mark: bytes, relay: Address | None) -> tuple[int, bytes]:
    """What asks for custody, see TLV_CUSTODY."""
    return TLV_CUSTODY, mark + (relay or b"")


def parse_custody_tlv_untrusted(tlvs: Tlvs) -> tuple[bytes, Address | None] | None:
    """(mark, relay) of the TLV that asks for custody, None without one. Raises BadWire("bad_custody")."""
    value = next((value for kind, value in tlvs if kind == TLV_CUSTODY), None)
    if value is None:
        return None
    if len(value) not in (RECEIPT_SIZE, RECEIPT_SIZE + ADDRESS_SIZE):
        raise BadWire("bad_custody")
    return value[:RECEIPT_SIZE], Address(value[RECEIPT_SIZE:]) or None


def parse_copy_tlv_untrusted(tlvs: Tlvs) -> bytes | None:
    """The mark of the TLV that makes a message a copy, None without one. Raises BadWire("bad_custody")."""
    value = next((value for kind, value in tlvs if kind == TLV_COPY), None)
    if value is not None and len(value) != RECEIPT_SIZE:
        raise BadWire("bad_custody")
    return value


@dataclass(frozen=True, slots=True)
class Custody:
    """Data of a CUSTODY packet to a neighbour: flags u8 | object prefixes of 8 bytes. The sender keeps these
    messages: on its disk, or in memory only (flag 1)."""

    prefixes: list[bytes]
    memory_only: bool = False

    def encode(self) -> bytes:
        return bytes((_MEMORY_ONLY if self.memory_only else 0,)) + b"".join(self.prefixes)


def parse_custody_untrusted(data: bytes) -> Custody:
    """Raises BadWire("bad_prefixes")."""
    prefixes = parse_prefixes_untrusted(data[1:], PREFIXES_MAX)
    return Custody(prefixes, bool(data[0] & _MEMORY_ONLY))


@dataclass(frozen=True, slots=True)
class Promise:
    """Data of a PROMISE packet, which crosses hops: flags u8 | object prefix 8 | the relay's node id 32 |
    its signature 64 of the rest and the mark. As CUSTODY, from a relay that is not a neighbour."""

    prefix: bytes
    relay: NodeId
    flags: int = 0
    signature: bytes = field(default=b"", repr=False)

    @classmethod
    def make(cls, identity: Identity, prefix: bytes, mark: bytes, *, memory_only: bool) -> "Promise":
        bare = cls(prefix, identity.node_id, _MEMORY_ONLY if memory_only else 0)
        return cls(prefix, identity.node_id, bare.flags, identity.sign(bare._signed(mark)))

    @property
    def memory_only(self) -> bool:
        return bool(self.flags & _MEMORY_ONLY)

    def authentic(self, mark: bytes) -> bool:
        """Whether that relay promised it for the message with that mark."""
        return verify(self.relay, self._signed(mark), self.signature)

    def encode(self) -> bytes:
        return self._body() + self.signature

    def _body(self) -> bytes:
        return _PROMISE.pack(self.flags, self.prefix, self.relay)

    def _signed(self, mark: bytes) -> bytes:
        return _LABEL + self._body() + mark


def parse_promise_untrusted(data: bytes) -> Promise:
    """Raises BadWire("bad_promise"). The signature is not checked here."""
    if len(data) != _PROMISE.size + SIGNATURE_SIZE:
        raise BadWire("bad_promise")
    flags, prefix, relay = _PROMISE.unpack_from(data)
    return Promise(prefix, NodeId(relay), flags, data[_PROMISE.size :])


@dataclass(frozen=True, slots=True)
class Pending:
    """Data of a PENDING packet: relay 16 | object prefixes of 8 bytes. These messages wait for you there."""

    relay: Address
    prefixes: list[bytes]

    def encode(self) -> bytes:
        return self.relay + b"".join(self.prefixes)


def parse_pending_untrusted(data: bytes) -> Pending:
    """Raises BadWire("bad_prefixes")."""
    return Pending(Address(data[:ADDRESS_SIZE]), parse_prefixes_untrusted(data[ADDRESS_SIZE:], PREFIXES_MAX))


@dataclass(frozen=True, slots=True)
class Delivered:
    """One entry of a DELIVERED packet's data: object prefix 8 | receipt 16. On its way to the sender of the
    message it tells every relay that knows the mark that its copy may go."""

    prefix: bytes
    receipt: bytes = field(repr=False)

    def encode(self) -> bytes:
        return self.prefix + self.receipt


def parse_delivered_untrusted(data: bytes) -> list[Delivered]:
    """Raises BadWire("bad_delivered")."""
    size = PREFIX_SIZE + RECEIPT_SIZE
    if not data or len(data) % size or len(data) > PREFIXES_MAX * size:
        raise BadWire("bad_delivered")
    return [
        Delivered(data[at : at + PREFIX_SIZE], data[at + PREFIX_SIZE : at + size])
        for at in range(0, len(data), size)
    ]


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """Data of an ACQUAINTANCE packet between nodes that carry for each other: how many nodes the sender has
    met within the last hour u16 | a Bloom filter of the nodes it has met, the bits of each byte from the
    lowest on."""

    busy: int
    filter: bytes = field(default=b"", repr=False)

    @classmethod
    def make(cls, busy: int, met: list[Address]) -> "Acquaintance":
        if not met:
            return cls(busy)
        size = min(FILTER_BYTES_MAX, max(_FILTER_BYTES_MIN, (_FILTER_BITS * len(met) + 7) // 8))
        bits = 0
        for address in met:
            for index in _filter_bits(address, size):
                bits |= 1 << index
        return cls(busy, bits.to_bytes(size, "little"))

    def knows(self, address: Address) -> bool:
        """Whether the sender has, in all likelihood, met that node."""
        indices = _filter_bits(address, len(self.filter)) if self.filter else ()
        return bool(indices) and all(self.filter[index // 8] >> index % 8 & 1 for index in indices)

    def encode(self) -> bytes:
        return min(self.busy, 0xFFFF).to_bytes(2, "little") + self.filter


def _filter_bits(address: Address, size: int) -> tuple[int, ...]:
    """Which bits of a filter of `size` bytes stand for that node."""
    digest = blake2b(address, digest_size=_BITS.size, person=b"nexus met").digest()
    return tuple(number % (8 * size) for number in _BITS.unpack(digest))


def parse_acquaintance_untrusted(data: bytes) -> Acquaintance:
    """Raises BadWire("bad_acquaintance")."""
    if not 2 <= len(data) <= 2 + FILTER_BYTES_MAX:
        raise BadWire("bad_acquaintance")
    return Acquaintance(int.from_bytes(data[:2], "little"), data[2:])
