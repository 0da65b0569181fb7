"""Chunks by their leaf hash, each stored once, and the pages of hash trees that name them (N7).

What is known of every leaf that a page names stands in memory (`_leaves`): how often it is named and,
when its chunk is here, where. An object's chunk is here when its leaf says so, whoever brought it.
"""

from collections.abc import Iterable, Iterator

from nexus_node.base.errors import LocalError, StoreCorrupt
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import FAN_OUT, hashes_in, leaf_hash, page_hashes
from nexus_node.store.database import Counters, Database, Row

_PLACE, _SIZE_SHIFT, _ONE = (1 << 48) - 1, 48, 1 << 64
"""A leaf's entry is one number: times named << 64 | size of its chunk << 48 | place, 0 when not here."""
_HERE = _ONE - 1
"""Size and place of an entry."""


def chunk_count(size: int) -> int:
    """Into how many chunks `size` bytes are cut; an empty object is one empty chunk."""
    return max(1, -(-size // CHUNK_SIZE))


def chunk_size(size: int, number: int) -> int:
    """How long chunk `number` of an object of `size` bytes is."""
    return min(CHUNK_SIZE, size - number * CHUNK_SIZE)


def _size_of(entry: int) -> int:
    return (entry & _HERE) >> _SIZE_SHIFT


class ChunkTable(Database):
    """The tables `pages` and `chunks`, for objects of more than one chunk."""

    _leaves: dict[bytes, int]
    _lacking: dict[int, int]
    """How many chunks are not here, by the `seq` of objects of which some are not."""

    def _count(self) -> Counters:
        counters = super()._count()
        leaves = {
            digest: size << _SIZE_SHIFT | place
            for place, digest, size in self._read("SELECT seq, hash, length(content) FROM chunks")
        }
        sizes = self._read("SELECT seq, size FROM objects WHERE size > ?", (CHUNK_SIZE,))
        lacking = {seq: chunk_count(size) for seq, size in sizes}
        for seq, size in sizes:
            for number, page in self._leaf_pages(seq):
                for at, leaf in enumerate(hashes_in(page), number * FAN_OUT):
                    entry = leaves.get(leaf, 0)
                    leaves[leaf] = entry + _ONE
                    lacking[seq] -= _is_here(entry, size, at)
        self._leaves = {leaf: entry for leaf, entry in leaves.items() if entry >= _ONE}
        self._lacking = {seq: count for seq, count in lacking.items() if count}
        counters.bytes += sum(map(_size_of, self._leaves.values()))
        return counters

    # --- pages ----------------------------------------------------------------------------------
    def add_page(self, object_id: ObjectId, level: int, number: int, hashes: bytes) -> None:
        seq, size = self._find(object_id)
        if not hashes or len(hashes) != 32 * page_hashes(chunk_count(size), level, number):
            raise LocalError(
                f"an object of {size} bytes has no page {number} of {len(hashes)} bytes on level {level}"
            )
        self._put_page(seq, size, level, number, hashes)

    def _put_page(self, seq: int, size: int, level: int, number: int, hashes: bytes) -> None:
        row = self._write(
            "INSERT OR IGNORE INTO pages (object, level, number, hashes) VALUES (?, ?, ?, ?)",
            (seq, level, number, hashes),
        )
        if level > 1 or row.rowcount == 0:
            return
        found = 0
        for at, leaf in enumerate(hashes_in(hashes), number * FAN_OUT):
            entry = self._leaves.get(leaf, 0)
            self._keep(self._leaves, leaf, entry + _ONE)
            found += _is_here(entry, size, at)
        self._lack(seq, -found)

    def page(self, object_id: ObjectId, level: int, number: int) -> bytes | None:
        rows = self._read(
            "SELECT hashes FROM pages WHERE object = ? AND level = ? AND number = ?",
            (self._find(object_id)[0], level, number),
        )
        return rows[0][0] if rows else None

    def pages(self, object_id: ObjectId) -> Iterator[tuple[int, int, bytes]]:
        seq, _ = self._find(object_id)
        sql = "SELECT level, number FROM pages WHERE object = ? ORDER BY level DESC, number"
        for level, number in self._read(sql, (seq,)):
            page = self.page(object_id, level, number)
            if page is not None:
                yield level, number, page

    def _leaf_pages(self, seq: int, since: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (number, hashes) of an object's pages of level 1 with `number` >= since."""
        sql = (
            "SELECT number, hashes FROM pages WHERE object = ? AND level = 1 AND number >= ? "
            "ORDER BY number LIMIT 8"
        )
        while rows := self._read(sql, (seq, since)):
            yield from rows
            since = rows[-1][0] + 1

    def _drop_pages(self, seq: int) -> None:
        """Forget an object's pages, and the chunks that no other page names."""
        for _, page in self._leaf_pages(seq):
            for leaf in hashes_in(page):
                entry = self._leaves[leaf] - _ONE
                if entry < _ONE and entry & _PLACE:
                    self._free(entry)
                self._keep(self._leaves, leaf, entry if entry >= _ONE else None)
        self._write("DELETE FROM pages WHERE object = ?", (seq,))
        self._keep(self._lacking, seq, None)

    # --- chunks ---------------------------------------------------------------------------------
    def _put_chunk(self, leaf: bytes, chunk: bytes) -> None:
        """Store a chunk unless it is here; every object that names it has it then."""
        entry = self._leaves.get(leaf, 0)
        if entry & _PLACE:
            return
        self._take_room(len(chunk), "a chunk")
        place = self._write(
            "INSERT OR REPLACE INTO chunks (hash, content) VALUES (?, ?)", (leaf, chunk)
        ).lastrowid
        entry |= len(chunk) << _SIZE_SHIFT | (place or 0)
        self._keep(self._leaves, leaf, entry)
        if entry >= _ONE:
            for seq, count in self._naming(leaf, entry, list(self._lacking)):
                self._lack(seq, -count)

    def _naming(self, leaf: bytes, entry: int, objects: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield which of `objects` name that chunk, and how often where it fits."""
        sql = (
            "SELECT number, hashes, size FROM pages JOIN objects ON objects.seq = object "
            "WHERE object = ? AND level = 1 AND instr(hashes, ?)"
        )
        for seq in objects:
            count = sum(
                one == leaf and _is_here(entry, size, at)
                for number, page, size in self._read(sql, (seq, leaf))
                for at, one in enumerate(hashes_in(page), number * FAN_OUT)
            )
            if count:
                yield seq, count

    def _lack(self, seq: int, more: int) -> None:
        if more:
            self._keep(self._lacking, seq, (self._lacking.get(seq, 0) + more) or None)

    def _has(self, leaf: bytes, size: int, number: int) -> bool:
        return _is_here(self._leaves.get(leaf, 0), size, number)

    def _fetch(self, leaf: bytes, size: int, number: int) -> bytes:
        """Read and check chunk `number` of an object of that size; raises KeyError, StoreCorrupt."""
        entry = self._leaves[leaf]
        if not _is_here(entry, size, number):
            raise KeyError(leaf)
        rows = self._read("SELECT content FROM chunks WHERE seq = ?", (entry & _PLACE,))
        content: bytes = rows[0][0] if rows else b""
        if leaf_hash(content) == leaf:
            return content
        self._free(entry)
        self._keep(self._leaves, leaf, entry - (entry & _HERE))
        everyone = [seq for (seq,) in self._read("SELECT seq FROM objects WHERE size > ?", (CHUNK_SIZE,))]
        for seq, count in self._naming(leaf, entry, everyone):
            self._lack(seq, count)
        raise StoreCorrupt(f"chunk {number} is damaged on the disk; put or fetch the object again")

    def _free(self, entry: int) -> None:
        self._write("DELETE FROM chunks WHERE seq = ?", (entry & _PLACE,))
        self._counters.bytes -= _size_of(entry)

    # --- for both -------------------------------------------------------------------------------
    def _find(self, object_id: ObjectId) -> Row:
        """`seq` and size of an object; raises KeyError."""
        rows = self._read("SELECT seq, size FROM objects WHERE id = ?", (object_id,))
        if not rows:
            raise KeyError(object_id)
        return rows[0]


def _is_here(entry: int, size: int, number: int) -> bool:
    """Whether a leaf's chunk is here and of the length that chunk `number` of an object of `size` has.

    Whoever makes a tree may give it leaves of other lengths: such an object is never complete.
    """
    return entry & _PLACE > 0 and _size_of(entry) == chunk_size(size, number)
