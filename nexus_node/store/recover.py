"""Saving what can be read from a damaged database, row by row, into a new one."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nexus_node.base.errors import StoreCorrupt
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import (
    FAN_OUT,
    HASH_SIZE,
    hashes_in,
    leaf_hash,
    page_hashes,
    page_levels,
    page_root,
)
from nexus_node.store.chunks import chunk_count
from nexus_node.store.database import STATES, Row
from nexus_node.store.files import open_read_only, replace_database, set_aside
from nexus_node.store.migrations import VERSION, migrate, version_of

_TABLES = (
    "meta",
    "objects",
    "pages",
    "chunks",
    "outbox",
    "facts",
    "inbox",
    "expected",
    "correspondents",
    "neighbours",
    "custody",
    "receipts",
    "slips",
    "groups",
    "group_rows",
    "subscriptions",
    "versions",
)
_MISSES_MAX = 5_000
"""Row numbers tried in vain before the rest counts as lost; a damaged inner page hides some 4,000 rows."""
_SEQ_MAX = 1 << 40
"""A larger row number is damage."""


@dataclass
class _Tally:
    saved: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def lose(self, table: str, rows: int) -> None:
        self.lost[table] = self.lost.get(table, 0) + rows


def recover(path: Path, fault: str, stamp: str) -> str:
    """Replace the damaged database by one with every row that can still be read; says what that came to.

    The damaged files are kept, unchanged, under a name with `stamp`. Raises `StoreCorrupt` when not one
    row can be read.
    """
    damaged = open_read_only(path)
    tally = _Tally()

    def fill(new: sqlite3.Connection) -> None:
        version = version_of(damaged)
        migrate(new, version if 0 < version < VERSION else VERSION)
        new.execute("BEGIN")
        made = {name for (name,) in new.execute("SELECT name FROM sqlite_schema")}
        for table in _TABLES:
            if table in made:  # an older version has fewer
                _copy(damaged, new, table, tally)
        strange = new.execute(f"DELETE FROM outbox WHERE state NOT IN {tuple(STATES)}").rowcount
        tally.saved["outbox"] -= strange
        tally.lose("outbox", strange)
        if "pages" in made:  # else the migration to come looks at the chunks
            _mend_objects(new, tally)
        if not any(tally.saved.values()):
            raise _NothingReadable
        new.execute("COMMIT")

    try:
        # Without this, SQLite refuses to look at a truncated file at all.
        damaged.execute("PRAGMA writable_schema = ON")
        aside = replace_database(path, stamp, fill)
    except _NothingReadable:
        aside = set_aside(path, stamp)
        raise StoreCorrupt(
            f"{path} is damaged ({fault}) and nothing in it can be read; it stands now at {aside}: "
            f"put a backup at {path}, or start again to begin with an empty store"
        ) from None
    finally:
        damaged.close()
    lost = _words(tally.lost)
    return (
        f"{path} was damaged ({fault}) and is kept as {aside}; saved {_words(tally.saved)}; "
        f"lost, as far as can be told: {lost or 'nothing'}"
    )


class _NothingReadable(Exception):
    pass


def _words(rows: dict[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in rows.items() if count)


def _copy(damaged: sqlite3.Connection, new: sqlite3.Connection, table: str, tally: _Tally) -> None:
    tally.saved[table] = 0
    for row in _readable(damaged, table, tally):
        try:
            new.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
            tally.saved[table] += 1
        except sqlite3.IntegrityError:  # of a type or value that this column cannot have
            tally.lose(table, 1)


def _readable(damaged: sqlite3.Connection, table: str, tally: _Tally) -> Iterator[Row]:
    """Yield every row that can be read, stepping over row numbers where nothing can."""
    last = tried = 0
    while tried - last < _MISSES_MAX:
        try:
            for row in damaged.execute(f"SELECT * FROM {table} WHERE seq > ? ORDER BY seq", (tried,)):
                if last < row[0] < _SEQ_MAX:
                    if tried > last:
                        tally.lose(table, row[0] - last - 1)
                    last = tried = row[0]
                    yield row
            return
        except (sqlite3.DatabaseError, UnicodeDecodeError):  # a complaint may quote damaged bytes
            tried += 1
    tally.lose(table, 1)


def _mend_objects(new: sqlite3.Connection, tally: _Tally) -> None:
    """Keep only objects in their rows that are what their root says, and pages that hang on a root.

    An object that lost pages is there in part. The packs are left alone: a chunk proves itself when read.
    """

    def drop(table: str, seq: int) -> None:
        new.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
        tally.saved[table] -= 1
        tally.lose(table, 1)

    sound = set[int]()
    for seq, size, root, content in new.execute("SELECT seq, size, root, content FROM objects").fetchall():
        if size > CHUNK_SIZE:
            sound.update(_sound_pages(new, seq, size, root))
        elif content and leaf_hash(content) != root:
            drop("objects", seq)
    for (seq,) in new.execute("SELECT seq FROM pages").fetchall():
        if seq not in sound:
            drop("pages", seq)


def _sound_pages(new: sqlite3.Connection, seq: int, size: int, root: bytes) -> Iterator[int]:
    """Yield the `seq` of the pages of an object that hang on its root."""
    total = chunk_count(size)
    roots = {0: root}
    for level in range(page_levels(total), 0, -1):
        below: dict[int, bytes] = {}
        for page, number, hashes in new.execute(
            "SELECT seq, number, hashes FROM pages WHERE object = ? AND level = ?", (seq, level)
        ).fetchall():
            wanted = HASH_SIZE * page_hashes(total, level, number)
            if hashes and len(hashes) == wanted and page_root(hashes) == roots.get(number):
                below.update(enumerate(hashes_in(hashes), FAN_OUT * number))
                yield page
        roots = below
