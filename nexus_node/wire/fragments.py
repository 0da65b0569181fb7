"""Fragments of packets larger than a frame, and what acknowledges them (docs/protocol/link.md)."""

from dataclasses import dataclass
from struct import Struct

from nexus_node.base.errors import BadWire

FRAGMENT_HEAD = 3
_LAST = 0x8000
_ACK_WANTED = 0x4000
INDEX_MAX = 0x3FFF
BITMAP_MAX = 32
"""Bytes of bitmap in one acknowledgement: 256 fragments past the first gap."""

_HEAD = Struct("<BH")


@dataclass(frozen=True, slots=True)
class Fragment:
    """transfer u8, index u16 (bit 15 the last, bit 14 acknowledge now), data.

    All fragments of a packet but the last carry equally much.
    """

    transfer: int
    index: int
    data: bytes
    last: bool = False
    ack_wanted: bool = False

    def encode(self) -> bytes:
        flags = (_LAST if self.last else 0) | (_ACK_WANTED if self.ack_wanted else 0)
        return _HEAD.pack(self.transfer, self.index | flags) + self.data


def parse_fragment_untrusted(data: bytes) -> Fragment:
    """Raises BadWire("bad_fragment")."""
    if len(data) <= FRAGMENT_HEAD:
        raise BadWire("bad_fragment")
    transfer, index = _HEAD.unpack_from(data)
    return Fragment(
        transfer, index & INDEX_MAX, data[FRAGMENT_HEAD:], bool(index & _LAST), bool(index & _ACK_WANTED)
    )


@dataclass(frozen=True, slots=True)
class FragmentAck:
    """transfer u8, base u16, bitmap: all below `base` arrived, and base+1+i where bit i is set."""

    transfer: int
    base: int
    bitmap: int = 0

    def encode(self) -> bytes:
        bitmap = self.bitmap & (1 << 8 * BITMAP_MAX) - 1
        return _HEAD.pack(self.transfer, self.base) + bitmap.to_bytes(
            (bitmap.bit_length() + 7) // 8, "little"
        )


def parse_fragment_ack_untrusted(data: bytes) -> FragmentAck:
    """Raises BadWire("bad_fragment_ack")."""
    if not FRAGMENT_HEAD <= len(data) <= FRAGMENT_HEAD + BITMAP_MAX:
        raise BadWire("bad_fragment_ack")
    transfer, base = _HEAD.unpack_from(data)
    return FragmentAck(transfer, base, int.from_bytes(data[FRAGMENT_HEAD:], "little"))
