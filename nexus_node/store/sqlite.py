"""The store on disk: opening it, with every check that comes before the first row is trusted."""

import sqlite3
import time
from pathlib import Path

from nexus_node.base.errors import StoreCorrupt, StoreUnavailable
from nexus_node.base.limits import MIB
from nexus_node.store.custody import CustodyTable
from nexus_node.store.database import STATES, translate
from nexus_node.store.files import (
    APPLICATION_ID,
    SUSPECT,
    WAL,
    beside,
    connect,
    finish_swap,
    keep_private,
    make_database,
    open_read_only,
)
from nexus_node.store.groups import GroupTable
from nexus_node.store.inbox import InboxTable
from nexus_node.store.migrations import VERSION, layout, layout_of, migrate, version_of
from nexus_node.store.mutable import MutableTable
from nexus_node.store.objects import ObjectTable
from nexus_node.store.outbox import NAMED_WRONG, NAMES_LACK, NAMES_SINCE
from nexus_node.store.packs import FileDisk, Packs
from nexus_node.store.people import PeopleTable
from nexus_node.store.pub import PubTable
from nexus_node.store.recover import recover

CHECK_MAX = 64 * MIB
"""A larger database is checked only after a crash or an error: 100 MB take 0.3 s, and 2.5 s from a card."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""What SQLite calls it when reading fails because of what it read."""


class SqlStore(ObjectTable, InboxTable, PeopleTable, CustodyTable, GroupTable, PubTable, MutableTable):
    """All tables together: the whole store port on any SQLite connection."""


class SqliteStore(SqlStore):
    """The store port on a file, durable at each commit (WAL, synchronous FULL). One process at a time."""

    recovered: str | None = None
    """What was saved and what lost, when `open` found the database damaged."""

    @classmethod
    def open(cls, path: Path, quota_bytes: int) -> "SqliteStore":
        """Open the database, making or migrating it as needed.

        A damaged one is set aside under a name with the time, and what is readable goes on in a new
        one (`recovered`). Raises `StoreCorrupt` when nothing is readable or the file is not ours,
        `StoreUnavailable` for rights, another process or a newer version, `StoreFull`.
        """
        try:
            recovered = _prepare(path)
            store = cls(_connect(path), quota_bytes, path, Packs(FileDisk(path)))
        except sqlite3.DatabaseError as error:
            raise translate(error, path) from error
        except OSError as error:
            raise StoreUnavailable(
                f"{error.filename or path} cannot be used as the database ({error.strerror}); "
                "give this user the right to write there, or choose another home"
            ) from error
        store.recovered = recovered
        return store


def _prepare(path: Path) -> str | None:
    """Leave a sound database of ours at `path`; returns what a recovery did."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    finish_swap(path, stamp)
    if not path.exists():
        make_database(path, migrate)
        return None
    keep_private(path)
    with path.open("rb") as file:
        header = file.read(100)
    if header[:16] != b"SQLite format 3\0" or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreCorrupt(
            f"{path} is not a Nexus Node database, or its first page is damaged; it was left alone: "
            "put a backup in its place, or move it away to begin with an empty store"
        )
    fault = _examine(path)
    recovered = None if fault is None else recover(path, fault, stamp)
    beside(path, SUSPECT).unlink(missing_ok=True)
    return recovered


def _examine(path: Path) -> str | None:
    """Return what is wrong with the database, changing nothing.

    The full check, not the quick one: a WAL that was damaged after part of it had been copied leaves
    pages that are sound one by one, and indexes that do not fit their tables.
    """
    wal = beside(path, WAL)
    crashed = wal.exists() and wal.stat().st_size > 0
    suspect = beside(path, SUSPECT).exists()
    connection = open_read_only(path)
    try:
        version = version_of(connection)
        if version > VERSION:
            raise StoreUnavailable(
                f"{path} was written by a newer Nexus Node (layout {version}, this one knows {VERSION}); "
                "install the newer version"
            )
        if version < 1 or not layout(version) <= layout_of(connection):
            return "its layout is not as it was made"
        named = version >= NAMES_SINCE
        if named and connection.execute(NAMED_WRONG).fetchone()[0]:
            return "it does not say which messages can be found by their ids"
        if path.stat().st_size > CHECK_MAX and not crashed and not suspect:
            return None
        found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if named and found == "ok" and connection.execute(NAMES_LACK).fetchone()[0]:
            found = "messages that cannot be found by their ids"
        strange = connection.execute(f"SELECT count(*) FROM outbox WHERE state NOT IN {tuple(STATES)}")
        if strange.fetchone()[0]:
            found = "a message in a state that does not exist"
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in _DAMAGE:
            raise
        return str(error)
    except UnicodeDecodeError:  # SQLite's complaint quotes damaged bytes
        return "malformed database schema"
    finally:
        connection.close()
    return None if found == "ok" else " ".join(found.split())


def _connect(path: Path) -> sqlite3.Connection:
    connection = connect(path.absolute().as_uri())
    try:
        for setting in (
            "locking_mode = EXCLUSIVE",  # one process, so no shared memory file and fewer system calls
            "journal_mode = WAL",
            "synchronous = FULL",
            "temp_store = MEMORY",  # undoing an inner atomic() needs no file
            "secure_delete = FAST",  # the cells of deleted rows are zeroed where the page is written anyway
            f"journal_size_limit = {8 * MIB}",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        migrate(connection)
        connection.execute("BEGIN IMMEDIATE")  # takes the lock, and finds out now whether writing works
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection
