"""Mutable objects: records of versions, and evidence of forks (N7)."""

from collections.abc import Iterator
from enum import IntEnum

from nexus_node.base.ids import NodeId
from nexus_node.ports.mutable import StoredFork, StoredRecord
from nexus_node.store.database import Database, Row

_SELECT = "SELECT name, sequence, owner, at_ms, data, seq FROM versions "
_SEQUENCE_SIZE = 8


class _Kind(IntEnum):
    """What a row of `versions` is."""

    RECORD = 0
    FORK = 1


class MutableTable(Database):
    """The table `versions`. A sequence is 8 bytes, big-endian: SQLite's integers end at 2^63."""

    def put_record(self, record: StoredRecord) -> bool:
        return self._put_version(_Kind.RECORD, record.name, record.sequence, record.owner, 0, record.data)

    def records(self, name: bytes) -> list[StoredRecord]:
        sql = _SELECT + "WHERE name = ? AND kind = ? ORDER BY sequence DESC"
        return [_record(row) for row in self._read(sql, (name, int(_Kind.RECORD)))]

    def latest_records(self, owner: NodeId | None = None) -> Iterator[StoredRecord]:
        which, values = ("", ()) if owner is None else ("AND owner = ? ", (owner,))
        sql = f"SELECT name, max(sequence) FROM versions WHERE kind = 0 {which}GROUP BY name ORDER BY name"
        for name, sequence in self._read(sql, values):
            row = self._read(_SELECT + "WHERE name = ? AND kind = 0 AND sequence = ?", (name, sequence))
            yield from map(_record, row)

    def drop_record(self, name: bytes, sequence: int) -> None:
        self._drop_version(_Kind.RECORD, name, sequence)

    def drop_stale_records(self, own: NodeId, *, most: int) -> int:
        sql = """SELECT name FROM versions WHERE kind = 0 AND owner != ?
            GROUP BY name ORDER BY max(seq) DESC LIMIT -1 OFFSET ?"""
        names = self._read(sql, (own, most))
        for (name,) in names:
            for record in self.records(name):
                self.drop_record(name, record.sequence)
        return len(names)

    def put_fork(self, fork: StoredFork) -> bool:
        return self._put_version(_Kind.FORK, fork.name, fork.sequence, fork.owner, fork.found_ms, fork.data)

    def forks(self) -> list[StoredFork]:
        rows = self._read(_SELECT + "WHERE kind = 1 ORDER BY seq")
        return [
            StoredFork(name, int.from_bytes(sequence), NodeId(owner), at_ms, data)
            for name, sequence, owner, at_ms, data, _ in rows
        ]

    def drop_fork(self, name: bytes, sequence: int) -> None:
        self._drop_version(_Kind.FORK, name, sequence)

    # --- rows -----------------------------------------------------------------------------------
    def _put_version(
        self, kind: _Kind, name: bytes, sequence: int, owner: NodeId, at_ms: int, data: bytes
    ) -> bool:
        self._take_room(len(data), "a record of a mutable object")
        cursor = self._write(
            """INSERT OR IGNORE INTO versions (kind, name, sequence, owner, at_ms, data)
            VALUES (?, ?, ?, ?, ?, ?)""",
            (int(kind), name, sequence.to_bytes(_SEQUENCE_SIZE), owner, at_ms, data),
        )
        if cursor.rowcount == 0:
            self._counters.bytes -= len(data)
        return cursor.rowcount == 1

    def _drop_version(self, kind: _Kind, name: bytes, sequence: int) -> None:
        which = "FROM versions WHERE name = ? AND kind = ? AND sequence = ?"
        values: Row = (name, int(kind), sequence.to_bytes(_SEQUENCE_SIZE))
        for (size,) in self._read("SELECT length(data) " + which, values):
            self._write("DELETE " + which, values)
            self._counters.bytes -= size


def _record(row: Row) -> StoredRecord:
    name, sequence, owner, _, data, _ = row
    return StoredRecord(name, int.from_bytes(sequence), NodeId(owner), data)
