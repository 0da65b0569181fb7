"""Type-length-value extensions: unknown ones pass through (N2, docs/protocol/packet.md)."""

from nexus_node.base.errors import BadWire

Tlvs = tuple[tuple[int, bytes], ...]
"""(type, value) pairs in wire order; a value is at most 255 bytes."""


def encode_tlvs(tlvs: Tlvs) -> bytes:
    """Each as type u8, length u8, value."""
    return b"".join(bytes((kind, len(value))) + value for kind, value in tlvs)


def parse_tlvs_untrusted(data: bytes) -> Tlvs:
    """Parse TLVs that fill `data` exactly. Raises BadWire("bad_tlv")."""
    tlvs = []
    at = 0
    while at < len(data):
        end = at + 2 + data[at + 1] if at + 2 <= len(data) else len(data) + 1
        if end > len(data):
            raise BadWire("bad_tlv")
        tlvs.append((data[at], data[at + 2 : end]))
        at = end
    return tuple(tlvs)
