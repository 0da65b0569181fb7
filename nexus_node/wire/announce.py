"""Announces: a node says that it is there, and relays say what the way to it costs (N4,
docs/protocol/announce.md)."""

from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity, verify
from nexus_node.wire.pathcost import PATH_COST_SIZE, PathCost, parse_path_cost_untrusted
from nexus_node.wire.tlv import Tlvs, encode_tlvs, parse_tlvs_untrusted

_LABEL = b"NexusAnnounce/0"
_HEAD = Struct("<32sIB")
ANNOUNCE_SIZE = PATH_COST_SIZE + _HEAD.size + SIGNATURE_SIZE
"""Bytes of an announce without TLVs: 108."""
TLVS_MAX = 255
"""Bytes of TLVs, as in a packet: thousands of announces are kept in memory."""


class Serve(IntEnum):
    """Whose messages a node keeps (`serve` in its configuration): the low two bits of an announce's flags."""

    NOBODY = 0
    CONTACTS = 1
    TRUSTED = 2
    ANYONE = 3


_SERVE_MASK = 0x03
_MEMORY_ONLY = 0x04


@dataclass(frozen=True, slots=True)
class Announce:
    """node id 32 | sequence u32 | flags u8 | TLVs | signature 64, after the path cost that relays change.

    The signature covers all but the path cost. TLVs, known or not, are passed on as they came.
    """

    node_id: NodeId
    sequence: int
    serve: Serve = Serve.NOBODY
    memory_only: bool = False
    tlvs: Tlvs = ()
    flags: int = 0
    """Bits this version knows nothing of; passed on."""
    signature: bytes = field(default=b"", repr=False)

    @classmethod
    def make(cls, identity: Identity, sequence: int, serve: Serve, *, memory_only: bool) -> "Announce":
        """A node's own announce, signed."""
        bare = cls(identity.node_id, sequence, serve, memory_only)
        return cls(identity.node_id, sequence, serve, memory_only, signature=identity.sign(bare._signed()))

    def authentic(self) -> bool:
        """Whether the node itself has signed it."""
        return verify(self.node_id, self._signed(), self.signature)

    def encode(self, cost: PathCost) -> bytes:
        """Data of an ANNOUNCE packet."""
        return cost.encode() + self._body() + self.signature

    def _body(self) -> bytes:
        flags = self.flags | self.serve | (_MEMORY_ONLY if self.memory_only else 0)
        return _HEAD.pack(self.node_id, self.sequence, flags) + encode_tlvs(self.tlvs)

    def _signed(self) -> bytes:
        return _LABEL + self._body()


def parse_announce_untrusted(data: bytes) -> tuple[PathCost, Announce]:
    """What the announce says; its signature is not checked here.

    Raises BadWire("bad_announce") or BadWire("bad_tlv").
    """
    if not ANNOUNCE_SIZE <= len(data) <= ANNOUNCE_SIZE + TLVS_MAX:
        raise BadWire("bad_announce")
    cost = parse_path_cost_untrusted(data[:PATH_COST_SIZE])
    node_id, sequence, flags = _HEAD.unpack_from(data, PATH_COST_SIZE)
    tlvs = parse_tlvs_untrusted(data[PATH_COST_SIZE + _HEAD.size : -SIGNATURE_SIZE])
    known = _SERVE_MASK | _MEMORY_ONLY
    return cost, Announce(
        NodeId(node_id),
        sequence,
        Serve(flags & _SERVE_MASK),
        bool(flags & _MEMORY_ONLY),
        tlvs,
        flags & ~known,
        data[-SIGNATURE_SIZE:],
    )
