"""Chunks by their leaf hash, each stored once, and the pages of hash trees that name them (N7).

What is known of every leaf that a page names stands in memory (`_leaves`, some 150 bytes each): how often
it is named and, when its chunk is here, where in the packs. An object's chunk is here when its leaf says
so, whoever brought it. The database says nothing of it: it names leaves, the packs say which are here;
so a restart may bring back a chunk that is named again before its pack was compacted.
"""

import errno
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from nexus_node.base.errors import LocalError, NexusError, StoreCorrupt, StoreFull, StoreUnavailable
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import FAN_OUT, HASH_SIZE, hashes_in, leaf_hash, page_hashes
from nexus_node.store.database import Counters, Database, Row
from nexus_node.store.packs import Packs, pack_of

_PLACE, _SIZE_SHIFT, _ONE = (1 << 43) - 1, 43, 1 << 56
"""A leaf's entry is one number: times named << 56 | size of its chunk << 43 | place, 0 when not here."""
_HERE = _ONE - 1
"""Size and place of an entry."""
_IN_USE = 64
"""Objects that are read or written at the same time without asking the database about each chunk."""
_SIZE, _WHOLE = _HERE - _PLACE, CHUNK_SIZE << _SIZE_SHIFT


def chunk_count(size: int) -> int:
    """Into how many chunks `size` bytes are cut; an empty object is one empty chunk."""
    return max(1, -(-size // CHUNK_SIZE))


def chunk_size(size: int, number: int) -> int:
    """How long chunk `number` of an object of `size` bytes is."""
    return min(CHUNK_SIZE, size - number * CHUNK_SIZE)


def _size_of(entry: int) -> int:
    return (entry & _SIZE) >> _SIZE_SHIFT


class ChunkTable(Database):
    """The table `pages` and the packs, for objects of more than one chunk."""

    _leaves: dict[bytes, int]
    _lacking: dict[int, int]
    """How many chunks are not here, by the `seq` of objects of which some are not."""
    _live: dict[int, int]
    """Bytes of chunks that some page names, by pack."""

    def __init__(
        self, connection: sqlite3.Connection, quota_bytes: int, path: Path | None, packs: Packs
    ) -> None:
        self._packs = packs
        self._shrunk: set[int] = set()
        """Packs that may have become worth compacting."""
        self._found: dict[ObjectId, Row] = {}
        """Of objects in use: what `_find` found."""
        self._used_pages: dict[int, tuple[int, bytes]] = {}
        """By `seq`, the number and the hashes of the page of leaves that was used last."""
        super().__init__(connection, quota_bytes, path)
        self._move_chunks()

    def _load(self) -> None:
        super()._load()
        leaves = self._leaves = dict[bytes, int]()
        for records in self._packs.load():
            leaves.update((leaf, size << _SIZE_SHIFT | place) for leaf, size, place in records)
        sizes = self._read("SELECT seq, size FROM objects WHERE size > ?", (CHUNK_SIZE,))
        self._lacking = {}
        for seq, size in sizes:
            lacking = total = chunk_count(size)
            for number, page in self._leaf_pages(seq):
                entry = 0
                for leaf in hashes_in(page):
                    entry = leaves.get(leaf, 0)
                    leaves[leaf] = entry + _ONE
                    lacking -= entry & _SIZE == _WHOLE  # not _is_here: it takes twice as long
                if number == (total - 1) // FAN_OUT:
                    lacking += (entry & _SIZE == _WHOLE) - _is_here(entry, size, total - 1)
            if lacking:
                self._lacking[seq] = lacking
        for leaf in [leaf for leaf, entry in leaves.items() if entry < _ONE]:
            del leaves[leaf]
        self._live = live = dict.fromkeys(self._packs.sizes, 0)
        for entry in leaves.values():
            if entry & _PLACE:
                live[pack_of(entry & _PLACE)] += (entry & _SIZE) >> _SIZE_SHIFT
        self._shrunk = set(self._packs.sizes)

    def _count(self) -> Counters:
        counters = super()._count()
        counters.bytes += sum(self._live.values())
        return counters

    def _move_chunks(self) -> None:
        """Move the chunks that version 4 kept in the database to the packs, once."""
        sql = "SELECT seq, hash, content FROM chunks WHERE seq > ? ORDER BY seq LIMIT 256"
        last, quota, self._quota = 0, self._quota, 1 << 62
        while rows := self._read(sql, (last,)):
            for _, leaf, content in rows:
                if leaf in self._leaves:
                    self._put_chunk(leaf, content)
            last = rows[-1][0]
            self._write("DELETE FROM chunks WHERE seq <= ?", (last,))
            self.commit()
        self._quota = quota
        if last:
            self._run("VACUUM")

    # --- transactions ---------------------------------------------------------------------------
    @property
    def dirty(self) -> bool:
        return bool(self._journal) or self._failure is not None or self._packs.dirty

    def _before_commit(self) -> None:
        super()._before_commit()
        if self._packs.dirty:
            try:
                self._packs.sync()
            except OSError as error:
                raise self._disk_failed(error) from error

    def _after_commit(self) -> None:
        """Let dead packs go, and copy what lives of one that is mostly dead."""
        super()._after_commit()
        for number in sorted(self._shrunk):
            live, size = self._live.get(number, 0), self._packs.sizes.get(number, 0)
            if number == self._packs.current and live:
                continue
            self._shrunk.discard(number)
            if 2 * live < size:
                try:
                    self._compact(number)
                except OSError:  # no room for the copy, most likely: another time
                    self._packs.discard()
                    return
                if live:
                    return  # one copy a commit: it takes some 0.1 s

    def _compact(self, number: int) -> None:
        moved = {}
        if self._live.get(number):
            for leaf, size, place in self._packs.records(number):
                entry = self._leaves.get(leaf, 0)
                if entry & _PLACE == place:
                    chunk = self._packs.read(place, size)
                    moved[leaf] = entry - place + self._packs.append(leaf, chunk)
            self._packs.sync()
        for entry in moved.values():
            pack = pack_of(entry & _PLACE)
            self._live[pack] = self._live.get(pack, 0) + _size_of(entry)
        self._leaves.update(moved)
        self._live.pop(number, None)
        self._packs.remove(number)

    def _gone_back(self) -> None:
        super()._gone_back()
        self._packs.discard()

    def _go_back(self, kept: int) -> None:
        super()._go_back(kept)
        self._forget_used()

    def _forget_used(self) -> None:
        """What is known of objects in use may be true no more."""
        self._found.clear()
        self._used_pages.clear()

    def _disk_failed(self, error: OSError) -> NexusError:
        where = self._path.parent if self._path else "memory"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return self._fail(StoreFull(f"the disk under {where} is full; free some space"))
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return self._fail(
                StoreUnavailable(
                    f"packs under {where} cannot be written ({error.strerror}); give this user the right to "
                    "write there"
                )
            )
        return self._fail(
            StoreCorrupt(
                f"the disk under {where} cannot be trusted ({error.strerror}); start the node again, and "
                "replace the disk if this comes back"
            )
        )

    def _release(self) -> None:
        super()._release()
        self._packs.close()

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
    def _leaf(self, seq: int, number: int) -> bytes:
        """The hash of a chunk; raises LocalError when the page that names it is not here."""
        used, hashes = self._used_pages.get(seq, (-1, b""))
        if used != number // FAN_OUT:
            sql = "SELECT hashes FROM pages WHERE object = ? AND level = 1 AND number = ?"
            rows = self._read(sql, (seq, number // FAN_OUT))
            if not rows:
                raise LocalError(f"the page that names chunk {number} is not here")
            hashes = rows[0][0]
            self._used_pages[seq] = number // FAN_OUT, hashes
        at = number % FAN_OUT * HASH_SIZE
        return hashes[at : at + HASH_SIZE]

    def write_chunks(self) -> None:
        self._packs.flush()

    def _put_chunk(self, leaf: bytes, chunk: bytes, seq: int | None = None) -> None:
        """Store a chunk unless it is here; every object that names it has it then, `seq` once at least."""
        entry = self._leaves.get(leaf, 0)
        if entry & _PLACE:
            return
        if self._failure is not None:
            raise self._failure
        self._take_room(len(chunk), "a chunk")
        entry = self._leaves.get(leaf, 0)  # what went to make room may have named it
        try:
            place = self._packs.append(leaf, chunk)
        except OSError as error:
            raise self._disk_failed(error) from error
        entry |= len(chunk) << _SIZE_SHIFT | place
        self._revive(place, len(chunk))
        self._keep(self._leaves, leaf, entry)
        if seq is not None and entry < 2 * _ONE:
            self._lack(seq, -1)
        elif entry >= _ONE:
            for other, count in self._naming(leaf, entry, list(self._lacking)):
                self._lack(other, -count)

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
        try:
            content = self._packs.read(entry & _PLACE, _size_of(entry))
        except OSError:
            content = b""
        if leaf_hash(content) == leaf:
            return content
        self._free(entry)
        self._keep(self._leaves, leaf, entry - (entry & _HERE))
        everyone = [seq for (seq,) in self._read("SELECT seq FROM objects WHERE size > ?", (CHUNK_SIZE,))]
        for seq, count in self._naming(leaf, entry, everyone):
            self._lack(seq, count)
        raise StoreCorrupt(f"chunk {number} is damaged on the disk; put or fetch the object again")

    def _free(self, entry: int) -> None:
        """The chunk of that entry is needed no more."""
        size = _size_of(entry)
        self._revive(entry & _PLACE, -size)
        self._counters.bytes -= size
        self._shrunk.add(pack_of(entry & _PLACE))

    def _revive(self, place: int, more: int) -> None:
        pack = pack_of(place)
        self._keep(self._live, pack, self._live.get(pack, 0) + more)

    # --- for both -------------------------------------------------------------------------------
    def _find(self, object_id: ObjectId) -> Row:
        """`seq` and size of an object; raises KeyError."""
        found = self._found.get(object_id)
        if found is None:
            rows = self._read("SELECT seq, size FROM objects WHERE id = ?", (object_id,))
            if not rows:
                raise KeyError(object_id)
            if len(self._found) == _IN_USE:
                self._forget_used()
            found = self._found[object_id] = rows[0]
        return found


def _is_here(entry: int, size: int, number: int) -> bool:
    """Whether a leaf's chunk is here and of the length that chunk `number` of an object of `size` has.

    Whoever makes a tree may give it leaves of other lengths: such an object is never complete.
    """
    return _size_of(entry) == chunk_size(size, number)
