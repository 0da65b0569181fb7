"""Merkle tree over chunks: RFC 6962 section 2.1 with BLAKE3 (N7, docs/protocol/object.md)."""

from collections.abc import Sequence

from blake3 import blake3

_LEAF, _NODE = b"\x00", b"\x01"
"""Without these a node could be passed off as a chunk."""


def leaf_hash(chunk: bytes) -> bytes:
    """BLAKE3(0x00 | chunk), 32 bytes."""
    return blake3(_LEAF + chunk).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over one or more leaf hashes, 32 bytes; that of a single leaf is the leaf."""
    # Pairing up and carrying an odd last one gives the tree that RFC 6962 defines by its splits.
    level = list(leaves)
    while len(level) > 1:
        paired = [
            blake3(_NODE + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = paired + level[len(paired) * 2 :]
    return level[0]
