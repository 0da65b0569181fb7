"""Merkle tree over chunks: RFC 6962 section 2.1 with BLAKE3 (N7, docs/protocol/object.md).

The tree is cut into *pages* of up to `FAN_OUT` hashes: page (level 1, number i) holds the leaf hashes of
chunks 128 i and on, page (level L, number i) the roots of the pages (L - 1, 128 i) and on, up to the level
of a single page, whose root is the root of all. Aligned blocks of 128 are whole subtrees, so it is the same
root. An object of one chunk has no pages: its root is its leaf hash.
"""

from collections.abc import Iterable, Iterator, Sequence

from blake3 import blake3

HASH_SIZE = 32
FAN_OUT = 128
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


def hashes_in(page: bytes) -> list[bytes]:
    """Cut a page into its hashes."""
    return [page[at : at + HASH_SIZE] for at in range(0, len(page), HASH_SIZE)]


def page_root(page: bytes) -> bytes:
    """The root of what is under a page."""
    return merkle_root(hashes_in(page))


def page_levels(chunks: int) -> int:
    """How many levels of pages a tree over so many chunks has: 0 for one chunk, 3 for 1 GiB."""
    levels = 0
    while chunks > 1:
        chunks = -(-chunks // FAN_OUT)
        levels += 1
    return levels


def page_hashes(chunks: int, level: int, number: int) -> int:
    """How many hashes page (level, number) holds; 0 when a tree over so many chunks has no such page."""
    if not 1 <= level <= page_levels(chunks) or number < 0:
        return 0
    below: int = -(-chunks // FAN_OUT ** (level - 1))
    return max(0, min(FAN_OUT, below - number * FAN_OUT))


def pages_over(leaves: Iterable[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (level, number, page) of the tree over these leaves: those of level 1 as they fill, and so on."""
    level, hashes = 0, leaves
    while True:
        level, roots, page, number = level + 1, [], [], 0
        for leaf in hashes:
            page.append(leaf)
            if len(page) == FAN_OUT:
                roots.append(merkle_root(page))
                yield level, number, b"".join(page)
                page, number = [], number + 1
        if page:
            if level == 1 and number == 0 and len(page) == 1:
                return
            roots.append(merkle_root(page))
            yield level, number, b"".join(page)
        if len(roots) <= 1:
            return
        hashes = roots
