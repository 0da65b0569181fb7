"""The units of an object: its chunks, and the pages of hashes above them, each of which can be checked as it
comes (N7, docs/protocol/transfer.md).

Pages are those of `nexus_node.crypto.merkle`.
"""

from collections.abc import Iterator

from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import FAN_OUT, HASH_SIZE, leaf_hash, page_root
from nexus_node.wire.dataobject import ObjectHeader

_LEVEL_SHIFT = 28
_NUMBER_MASK = (1 << _LEVEL_SHIFT) - 1


def unit_of(level: int, number: int) -> int:
    """How a unit is called on the wire: level u4 (0 are chunks), number u28."""
    return level << _LEVEL_SHIFT | number


def split_unit(unit: int) -> tuple[int, int]:
    """(level, number)."""
    return unit >> _LEVEL_SHIFT, unit & _NUMBER_MASK


class HashTree:
    """What is known of one object's hashes."""

    def __init__(self, header: ObjectHeader) -> None:
        self._size = header.size
        self._root = header.root
        self.chunks = max(1, -(-header.size // CHUNK_SIZE))
        self.counts = [self.chunks]
        """Units of each level."""
        while self.counts[-1] > 1:
            self.counts.append(-(-self.counts[-1] // FAN_OUT))
        self._pages: dict[tuple[int, int], bytes] = {}

    @property
    def top(self) -> int:
        """The level of the page under the root; 0 without pages."""
        return len(self.counts) - 1

    def size_of(self, unit: int) -> int | None:
        """Bytes of a unit; None when there is none of that name."""
        level, number = split_unit(unit)
        if level > self.top or number >= self.counts[level]:
            return None
        if level == 0:
            return min(CHUNK_SIZE, self._size - CHUNK_SIZE * number)
        return HASH_SIZE * min(FAN_OUT, self.counts[level - 1] - FAN_OUT * number)

    def knows(self, level: int, number: int) -> bool:
        """Whether that page is here."""
        return (level, number) in self._pages

    def can_check(self, level: int, number: int) -> bool:
        """Whether the hash of that unit is known."""
        return level == self.top or (level + 1, number // FAN_OUT) in self._pages

    def checks(self, unit: int, data: bytes) -> bool:
        """Whether `data` is that unit; its hash must be known."""
        level, number = split_unit(unit)
        found = page_root(data) if level else leaf_hash(data)
        if level == self.top:
            return found == self._root
        at = HASH_SIZE * (number % FAN_OUT)
        return found == self._pages[level + 1, number // FAN_OUT][at : at + HASH_SIZE]

    def add_page(self, level: int, number: int, hashes: bytes) -> None:
        """A page that has been checked."""
        self._pages[level, number] = hashes

    def missing_pages(self) -> Iterator[tuple[int, int]]:
        """Pages that are not here and could be checked, the upper ones first."""
        for level in range(self.top, 0, -1):
            for number in range(self.counts[level]):
                if (level, number) not in self._pages and self.can_check(level, number):
                    yield level, number
