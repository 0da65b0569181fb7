"""The items of one side, in order and hashed under the salt (docs/protocol/reconcile.md)."""

from bisect import bisect_left
from collections.abc import Mapping
from hashlib import blake2b

from nexus_node.base.errors import LocalError
from nexus_node.base.limits import RECONCILE_ITEMS
from nexus_node.wire.reconcile import ITEM_SIZE, Place, Summary

_ALL = (1 << 64) - 1


class ItemSet:
    """A snapshot. Who does not know the salt cannot choose items whose hashes add up to something."""

    def __init__(self, items: Mapping[bytes, int], salt: bytes) -> None:
        """`items`: 8-byte ids to times (u32, seconds), both the same at either side.

        Raises LocalError if there are more than RECONCILE_ITEMS.
        """
        if len(items) > RECONCILE_ITEMS:
            raise LocalError("too many items to reconcile")
        self._salt = salt
        self._items = dict(items)
        self._places = sorted((time, item) for item, time in items.items())
        self._sums = [0]
        """Of the hashes of the first i items, modulo 2^64."""
        self.shorts: list[int] = []
        for _, item in self._places:
            hashed = self.hash(item)
            self._sums.append(self._sums[-1] + hashed & _ALL)
            self.shorts.append(_short(hashed))
        self.by_short = {short: index for index, short in enumerate(self.shorts)}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __getitem__(self, index: int) -> bytes:
        return self._places[index][1]

    def place(self, index: int) -> Place:
        return self._places[index]

    def find(self, place: Place) -> int:
        """How many items stand before that place."""
        return bisect_left(self._places, place)

    def border(self, index: int) -> Place:
        """A place between items index - 1 and index that takes few bytes on the wire."""
        (time_before, before), (time, item) = self._places[index - 1], self._places[index]
        if time_before < time:
            return time, bytes(ITEM_SIZE)
        size = next(i + 1 for i in range(ITEM_SIZE) if before[i] != item[i])
        return time, item[:size].ljust(ITEM_SIZE, b"\0")

    @property
    def summary(self) -> Summary:
        return Summary(len(self), self._sums[-1])

    def fingerprint(self, start: int, end: int) -> bytes:
        """Of items start to end - 1: the lower half of the sum of their hashes."""
        return (self._sums[end] - self._sums[start] & 0xFFFFFFFF).to_bytes(4, "little")

    def hash(self, item: bytes) -> int:
        """64 bits, for any item."""
        hashed = blake2b(item, digest_size=8, key=self._salt, person=b"nexus reconcile").digest()
        return int.from_bytes(hashed, "little")

    def short(self, item: bytes) -> int:
        """The short id: 32 bits, not 0."""
        return _short(self.hash(item))


def _short(hashed: int) -> int:
    return hashed >> 32 or 1
