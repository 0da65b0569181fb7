"""Immutable objects by their id; equal chunks of different objects are stored once (N7)."""

from collections.abc import Iterator, Sequence

from blake3 import blake3

from nexus_node.base.errors import LocalError, StoreFull
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.ports.store import StoredObject
from nexus_node.store.database import Database, Row

HASH_SIZE = 32
_HEADER = "id, kind, size, root, created_ms, expires_ms, min_bandwidth"


def chunk_count(size: int) -> int:
    """Into how many chunks `size` bytes are cut; an empty object is one empty chunk."""
    return max(1, -(-size // CHUNK_SIZE))


def hashes_in(content: bytes) -> list[bytes]:
    """Cut a list of chunk hashes, as it stands in `objects.content`."""
    return [content[at : at + HASH_SIZE] for at in range(0, len(content), HASH_SIZE)]


class ObjectTable(Database):
    """The tables `objects` and `chunks`."""

    def put_object(self, header: StoredObject, chunks: Sequence[bytes]) -> bool:
        size = header.size
        chunks = chunks or (b"",)
        before_last = CHUNK_SIZE * (len(chunks) - 1)
        if len(chunks) != chunk_count(size) or before_last + len(chunks[-1]) != size:
            raise LocalError(f"these chunks are not an object of {size} bytes")
        if len(chunks) == 1:
            return self._put_inline(header, chunks[0])
        with self.atomic():
            hashes = [blake3(chunk).digest() for chunk in chunks]
            if not self._insert_object(header, b"".join(hashes)):
                return False
            for digest, chunk in zip(hashes, chunks, strict=True):
                self._put_chunk(digest, chunk)
        return True

    def _put_inline(self, header: StoredObject, content: bytes) -> bool:
        try:
            self._take_room(header.size, "an object")
        except StoreFull:
            if self.get_object(header.id) is None:
                raise
            return False
        fresh = self._insert_object(header, content)
        if not fresh:
            self._counters.bytes -= header.size
        return fresh

    def _insert_object(self, header: StoredObject, content: bytes) -> bool:
        cursor = self._write(
            f"INSERT OR IGNORE INTO objects ({_HEADER}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                header.id,
                header.kind,
                header.size,
                header.root,
                header.created_ms,
                header.expires_ms,
                header.min_bandwidth,
                content,
            ),
        )
        self._counters.objects += cursor.rowcount
        return cursor.rowcount == 1

    def _put_chunk(self, digest: bytes, chunk: bytes) -> None:
        known = self._write("UPDATE chunks SET refs = refs + 1 WHERE hash = ?", (digest,))
        if known.rowcount == 0:
            self._take_room(len(chunk), "a chunk")
            self._write("INSERT INTO chunks (hash, refs, content) VALUES (?, 1, ?)", (digest, chunk))

    def get_object(self, object_id: ObjectId) -> StoredObject | None:
        rows = self._read(f"SELECT {_HEADER}, seq FROM objects WHERE id = ?", (object_id,))
        return _stored(rows[0]) if rows else None

    def read_object(self, object_id: ObjectId) -> Iterator[bytes]:
        rows = self._read("SELECT size, content FROM objects WHERE id = ?", (object_id,))
        if not rows:
            raise KeyError(object_id)
        size, content = rows[0]
        return iter((content,)) if size <= CHUNK_SIZE else map(self._chunk, hashes_in(content))

    def _chunk(self, digest: bytes) -> bytes:
        rows = self._read("SELECT content FROM chunks WHERE hash = ?", (digest,))
        if not rows:
            raise KeyError(digest)
        content: bytes = rows[0][0]
        return content

    def delete_object(self, object_id: ObjectId) -> bool:
        # Twice as fast as DELETE .. RETURNING, here and below.
        rows = self._read(
            "SELECT seq, size, CASE WHEN size > ? THEN content END FROM objects WHERE id = ?",
            (CHUNK_SIZE, object_id),
        )
        if not rows:
            return False
        seq, size, hashes = rows[0]
        self._write("DELETE FROM objects WHERE seq = ?", (seq,))
        self._counters.objects -= 1
        if hashes is None:
            self._counters.bytes -= size
        else:
            for digest in hashes_in(hashes):
                self._release_chunk(digest)
        return True

    def _release_chunk(self, digest: bytes) -> None:
        for seq, refs, size in self._read(
            "SELECT seq, refs, length(content) FROM chunks WHERE hash = ?", (digest,)
        ):
            if refs > 1:
                self._write("UPDATE chunks SET refs = refs - 1 WHERE seq = ?", (seq,))
            else:
                self._write("DELETE FROM chunks WHERE seq = ?", (seq,))
                self._counters.bytes -= size

    def objects(self) -> Iterator[StoredObject]:
        sql = f"SELECT {_HEADER}, seq FROM objects WHERE seq > ? ORDER BY seq LIMIT ?"
        return map(_stored, self._pages(sql, (), 0, None))


def _stored(row: Row) -> StoredObject:
    chunks = chunk_count(row[2])
    return StoredObject(*(*row[:-1], chunks, chunks))
