"""Immutable objects by their id, whole or in part; equal chunks of different objects are stored once (N7)."""

from collections.abc import Iterable, Iterator
from itertools import islice

from nexus_node.base.errors import LocalError, StoreCorrupt, StoreFull
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import FAN_OUT, hashes_in, leaf_hash, page_root, pages_over
from nexus_node.ports.store import Keep, StoredObject
from nexus_node.store.chunks import ChunkTable, chunk_count, chunk_size
from nexus_node.store.database import Row

_HEADER = "id, kind, size, root, created_ms, expires_ms, min_bandwidth, keep"


class ObjectTable(ChunkTable):
    """The table `objects`. Objects of one chunk are in their row (`content`, empty while it is not here)."""

    _fixed = False
    """Whether nothing may go to make room just now."""
    _busy: ObjectId | None = None
    """The object last written to: it does not go to make room for itself."""

    def _load(self) -> None:
        super()._load()
        self._reads, self._read_at = 0, dict[int, int]()

    def put_object(self, header: StoredObject, chunks: Iterable[bytes]) -> bool:
        before = self.get_object(header.id)
        if before is not None and before.keep < header.keep:
            self._write("UPDATE objects SET keep = ? WHERE id = ?", (header.keep, header.id))
            self._count_others(before.keep, -before.size)
            self._count_others(header.keep, before.size)
        fresh = self._put_content(header, chunks, before)
        if before is not None and before.expires_ms is not None:
            expires_ms = max(before.expires_ms, header.expires_ms) if header.expires_ms is not None else None
            if expires_ms != before.expires_ms:
                self._write("UPDATE objects SET expires_ms = ? WHERE id = ?", (expires_ms, header.id))
        return fresh

    def _put_content(
        self, header: StoredObject, chunks: Iterable[bytes], before: StoredObject | None
    ) -> bool:
        if header.size <= CHUNK_SIZE:
            return self._put_inline(header, b"".join(islice(chunks, 2)))
        if before is not None and before.complete:
            return False
        with self.atomic():
            if before is None:
                self._insert_object(header, b"")
            seq, size = self._find(header.id)
            root = b""
            self._busy = header.id
            if not self._fits(size):
                self._let_go(size)
            self._fixed = True  # a chunk that is here must stay until its page names it
            try:
                for level, number, page in pages_over(self._leaves_of(header, chunks)):
                    self._put_page(seq, size, level, number, page)
                    root = page
            finally:
                self._fixed = False
            if page_root(root) != header.root or seq in self._lacking:
                raise LocalError(f"these chunks are not the object {header.id.hex()}")
        return True

    def _leaves_of(self, header: StoredObject, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Store the chunks and yield their leaf hashes."""
        size = 0
        for number, chunk in enumerate(chunks or (b"",)):
            size += len(chunk)
            if len(chunk) != chunk_size(header.size, number):
                break
            leaf = leaf_hash(chunk)
            self._put_chunk(leaf, chunk)
            yield leaf
        if size != header.size:
            raise LocalError(f"these chunks are not an object of {header.size} bytes")

    def _put_inline(self, header: StoredObject, content: bytes) -> bool:
        if len(content) != header.size:
            raise LocalError(f"these chunks are not an object of {header.size} bytes")
        self._busy = header.id
        try:
            self._take_room(header.size, "an object")
        except StoreFull:
            if self.have_chunks(header.id) == 0:
                raise
            return False
        if self._insert_object(header, content):
            return True
        sql = "UPDATE objects SET content = ? WHERE id = ? AND size = ? AND length(content) < size"
        if self._write(sql, (content, header.id, header.size)).rowcount:
            return True
        self._counters.bytes -= header.size
        return False

    def begin_object(self, header: StoredObject) -> bool:
        return self._insert_object(header, b"")

    def _insert_object(self, header: StoredObject, content: bytes) -> bool:
        cursor = self._write(
            f"INSERT OR IGNORE INTO objects ({_HEADER}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                header.id,
                header.kind,
                header.size,
                header.root,
                header.created_ms,
                header.expires_ms,
                header.min_bandwidth,
                header.keep,
                content,
            ),
        )
        if cursor.rowcount == 1:
            self._counters.objects += 1
            self._count_others(header.keep, header.size)
            if header.size > CHUNK_SIZE:
                self._keep(self._lacking, cursor.lastrowid, chunk_count(header.size))
        return cursor.rowcount == 1

    def add_chunk(self, object_id: ObjectId, number: int, chunk: bytes) -> bool:
        seq, size = self._find(object_id)
        if not 0 <= number < chunk_count(size) or len(chunk) != chunk_size(size, number):
            raise LocalError(f"an object of {size} bytes has no chunk {number} of {len(chunk)} bytes")
        if size <= CHUNK_SIZE:
            header = self.get_object(object_id)
            return header is not None and not header.complete and self._put_inline(header, chunk)
        if seq not in self._lacking:
            return False
        self._busy = object_id
        self._put_chunk(self._leaf(seq, number), chunk, seq)
        return seq not in self._lacking

    def missing(self, object_id: ObjectId, *, since: int = 0, limit: int) -> list[int]:
        seq, size = self._find(object_id)
        if size <= CHUNK_SIZE:
            return [] if since or self.have_chunks(object_id) else [0][:limit]
        if seq not in self._lacking:
            return []
        return list(islice(self._missing(seq, size, since), limit))

    def _missing(self, seq: int, size: int, since: int) -> Iterator[int]:
        for number, page in self._leaf_pages(seq, since // FAN_OUT):
            for at, leaf in enumerate(hashes_in(page), number * FAN_OUT):
                if at >= since and not self._has(leaf, size, at):
                    yield at

    def have_chunks(self, object_id: ObjectId) -> int:
        header = self.get_object(object_id)
        return 0 if header is None else header.chunks_have

    def get_object(self, object_id: ObjectId) -> StoredObject | None:
        rows = self._read(f"SELECT {_HEADER}, length(content), seq FROM objects WHERE id = ?", (object_id,))
        return self._stored(rows[0]) if rows else None

    def object_called(self, prefix: bytes) -> ObjectId | None:
        sql = "SELECT id FROM objects WHERE id >= ? AND id < ? LIMIT 1"
        rows = self._read(sql, (prefix, prefix + b"\xff" * 33))
        return ObjectId(rows[0][0]) if rows else None

    def read_chunk(self, object_id: ObjectId, number: int) -> bytes:
        seq, size = self._find(object_id)
        if not 0 <= number < chunk_count(size):
            raise KeyError(number)
        self._touch(seq)
        try:
            return self._chunk(seq, size, number)
        except (StoreCorrupt, LocalError):
            raise KeyError(number) from None

    def read_object(self, object_id: ObjectId) -> Iterator[bytes]:
        header = self.get_object(object_id)
        if header is None or not header.complete:
            raise KeyError(object_id)
        return self._read_whole(object_id, header.chunks_total)

    def _read_whole(self, object_id: ObjectId, total: int) -> Iterator[bytes]:
        self._touch(self._find(object_id)[0])
        for number in range(total):
            seq, size = self._find(object_id)
            yield self._chunk(seq, size, number)

    def _chunk(self, seq: int, size: int, number: int) -> bytes:
        if size > CHUNK_SIZE:
            return self._fetch(self._leaf(seq, number), size, number)
        ((content, root),) = self._read("SELECT content, root FROM objects WHERE seq = ?", (seq,))
        if len(content) < size:
            raise KeyError(number)
        if leaf_hash(content) != root:
            self._write("UPDATE objects SET content = x'' WHERE seq = ?", (seq,))
            self._counters.bytes -= size
            raise StoreCorrupt("the object is damaged on the disk; put or fetch it again")
        return bytes(content)

    def delete_object(self, object_id: ObjectId) -> bool:
        # Twice as fast as DELETE .. RETURNING.
        rows = self._read("SELECT seq, size, length(content), keep FROM objects WHERE id = ?", (object_id,))
        if not rows:
            return False
        seq, size, content, keep = rows[0]
        self._count_others(keep, -size)
        self._write("DELETE FROM objects WHERE seq = ?", (seq,))
        self._read_at.pop(seq, None)
        self._forget_used()
        self._counters.objects -= 1
        self._counters.bytes -= content
        if size > CHUNK_SIZE:
            self._drop_pages(seq)
        return True

    def cache_object(self, object_id: ObjectId) -> None:
        sql = "UPDATE objects SET keep = ? WHERE id = ? AND keep = ?"
        self._write(sql, (Keep.CACHED, object_id, Keep.OWNED))

    # --- what goes ------------------------------------------------------------------------------
    def expire_objects(self, now_ms: int) -> int:
        rows = self._read("SELECT id FROM objects WHERE expires_ms <= ?", (now_ms,))
        return sum(self.delete_object(object_id) for (object_id,) in rows)

    def next_object_expiry_ms(self) -> int | None:
        earliest: int | None = self._read("SELECT min(expires_ms) FROM objects WHERE expires_ms IS NOT NULL")[
            0
        ][0]
        return earliest

    def has_room(self, size: int) -> bool:
        if self._fits(size):
            return True
        ((cached,),) = self._read("SELECT total(size) FROM objects WHERE keep = ?", (Keep.CACHED,))
        return self._fits(size - int(cached))

    def _let_go(self, size: int) -> None:
        if self._fixed:
            return
        rows = self._read("SELECT seq, id, size FROM objects WHERE keep = ?", (Keep.CACHED,))
        rows = [row for row in rows if row[1] != self._busy]
        if not self._fits(size - sum(row[2] for row in rows)):
            return  # not even then
        for _, object_id, _ in sorted(rows, key=lambda row: (self._read_at.get(row[0], 0), row[0])):
            if self._fits(size):
                return
            self.delete_object(object_id)

    def _count_others(self, keep: int, size: int) -> None:
        if keep == Keep.FOR_OTHERS:
            self._counters.others += size

    def _touch(self, seq: int) -> None:
        """It was read; known until the next start, for that is not worth a write."""
        self._read_at.pop(seq, None)
        self._reads += 1
        self._read_at[seq] = self._reads

    def objects(self) -> Iterator[StoredObject]:
        sql = f"SELECT {_HEADER}, length(content), seq FROM objects WHERE seq > ? ORDER BY seq LIMIT ?"
        return map(self._stored, self._pages(sql, (), 0, None))

    def _stored(self, row: Row) -> StoredObject:
        size, keep, content, seq = row[2], *row[-3:]
        total = chunk_count(size)
        have = total - self._lacking.get(seq, 0) if size > CHUNK_SIZE else int(content == size)
        return StoredObject(*(*row[:-3], total, have, Keep(keep)))
