"""What every table of the store stands on: the transaction, the counters, the quota and the errors."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexus_node.base import limits
from nexus_node.base.errors import (
    LocalError,
    NexusError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from nexus_node.base.states import State
from nexus_node.ports.store import Keep
from nexus_node.store.files import SUSPECT, beside

STATE_CODES = {state: code for code, state in zip(range(10, 90, 10), State, strict=True)}
"""How the database writes a state (migrations/m0001_initial.py)."""
STATES = {code: state for state, code in STATE_CODES.items()}

_PAGE = 100
"""Rows read at a time by an iteration: no read cursor stays open across a commit."""
_SPACE_CHECK_BYTES = 256 * limits.KIB
_SPACE_CHECK_S = 1.0
"""How much may be written, and for how long, before free disk space is looked at again."""

Row = tuple[Any, ...]


@dataclass(slots=True)
class Counters:
    """What `usage` and `count_states` answer; goes back with the writes it counted."""

    objects: int = 0
    bytes: int = 0
    others: int = 0
    """Of `bytes`, what objects kept for others have or will have: their room is not the owner's."""
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))

    def copy(self) -> "Counters":
        return Counters(self.objects, self.bytes, self.others, self.states.copy())


def translate(error: sqlite3.DatabaseError, path: Path | None) -> NexusError:
    """Say in words for people what SQLite says in codes."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_ERROR or path is None:
        return LocalError(f"the store used SQLite wrongly: {error}")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"the disk under {path.parent} is full; free some space")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreUnavailable(
            f"{path} cannot be written ({error}); give this user the right to write there"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"{path} is in use by another process; stop that one first")
    return StoreCorrupt(
        f"{path} cannot be trusted ({error}); start the node again to have it checked and recovered, "
        "and replace the disk if this comes back"
    )


class Database:
    """One SQLite connection with at most one open transaction; no `path` means in memory."""

    def __init__(self, connection: sqlite3.Connection, quota_bytes: int, path: Path | None) -> None:
        self._connection = connection
        self._cursor = connection.cursor()  # one is enough: every result is taken at once
        self._execute = self._cursor.execute
        self._quota = quota_bytes
        self._path = path
        self._journal: list[tuple[str, Row]] = []
        self._past: list[Any] = []
        self._failure: NexusError | None = None
        self._depth = 0
        self._space_unchecked = _SPACE_CHECK_BYTES
        self._space_checked_at = 0.0
        self._committed = Counters()
        try:
            self._load()
            self._counters = self._count()
        except BaseException:
            self._release()
            raise
        self._committed = self._counters.copy()

    # --- transactions ---------------------------------------------------------------------------
    @property
    def dirty(self) -> bool:
        return bool(self._journal) or self._failure is not None

    def commit(self) -> None:
        if self._depth:
            raise LocalError("commit() inside atomic()")
        with suppress(StoreError):  # it is in _failure then
            self._before_commit()
            if self._journal:
                self._run("COMMIT")
        failure, self._failure = self._failure, None
        if failure is not None:
            self._counters = self._committed.copy()
            raise failure
        if self._journal or self._past:
            self._journal.clear()
            self._past.clear()
            self._committed = self._counters.copy()
        self._after_commit()

    def _before_commit(self) -> None:
        """Make durable what the rows to be committed rest on. Raises StoreError, left in `_failure`."""

    def _after_commit(self) -> None:
        """Let go of what the last rows rested on. Raises nothing."""

    def _gone_back(self) -> None:
        """All since the last commit was undone after an error."""

    @contextmanager
    def atomic(self) -> Iterator[None]:
        # No SAVEPOINT: SQLite then copies every page before it changes, 20 us for a message.
        written, before, kept = len(self._journal), self._counters.copy(), len(self._past)
        self._depth += 1
        try:
            yield
            if self._failure is not None:
                raise self._failure
        except BaseException:
            if self._failure is None:
                self._undo(written)
                self._go_back(kept)
                self._counters = before
            raise
        finally:
            self._depth -= 1

    def _undo(self, kept: int) -> None:
        """Take back all writes of this transaction but the first `kept`, by doing those again."""
        if len(self._journal) > kept:
            self._run("ROLLBACK")
            if kept:
                self._run("BEGIN IMMEDIATE")
            for sql, values in self._journal[:kept]:
                self._run(sql, values)
            del self._journal[kept:]

    def _keep(self, known: dict[Any, int], key: Any, value: int | None) -> None:
        """Set or, with None, remove what is known in memory: it goes back with the writes around it."""
        self._past += (known, key, known.get(key))
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value

    def _go_back(self, kept: int) -> None:
        """Take back what `_keep` did since the last commit, but for the first `kept` entries of `_past`."""
        while len(self._past) > kept:
            value, key, known = self._past.pop(), self._past.pop(), self._past.pop()
            if value is None:
                known.pop(key, None)
            else:
                known[key] = value

    def close(self) -> None:
        try:
            self.commit()
        finally:
            self._release()

    def _release(self) -> None:
        self._cursor.close()  # a statement that failed, left in it, would keep the file locked
        self._connection.close()

    # --- statements -----------------------------------------------------------------------------
    def _read(self, sql: str, values: Row = ()) -> list[Row]:
        try:
            return self._execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from error

    def _write(self, sql: str, values: Row = ()) -> sqlite3.Cursor:
        """Run a statement in the open transaction, opening one if need be.

        After a failure every write repeats it until `commit` has told the caller that all is undone:
        else what came after the failure would be committed without what came before.
        """
        if self._failure is not None:
            raise self._failure
        if not self._connection.in_transaction:
            self._run("BEGIN IMMEDIATE")
        cursor = self._run(sql, values)
        self._journal.append((sql, values))
        return cursor

    def _run(self, sql: str, values: Row = ()) -> sqlite3.Cursor:
        try:
            return self._execute(sql, values)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from error

    def _pages(self, sql: str, values: Row, since_seq: int, limit: int | None) -> Iterator[Row]:
        """Yield rows of a query that ends in `seq > ? ORDER BY seq LIMIT ?`; `seq` is the last column."""
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(_PAGE, limit)
            rows = self._read(sql, (*values, since_seq, size))
            yield from rows
            if len(rows) < size:
                return
            since_seq = rows[-1][-1]
            limit = None if limit is None else limit - size

    def _failed(self, error: sqlite3.DatabaseError) -> NexusError:
        """Go back to the last commit and return what to raise."""
        return self._fail(translate(error, self._path))

    def _fail(self, failure: NexusError) -> NexusError:
        if self._path and isinstance(failure, StoreCorrupt):
            with suppress(OSError):
                beside(self._path, SUSPECT).touch(0o600)
        if self._connection.in_transaction:  # after some errors SQLite has done it itself
            with suppress(sqlite3.DatabaseError):
                self._connection.execute("ROLLBACK")
        if self._journal or self._past:
            self._failure = failure
            self._journal.clear()
            self._go_back(0)
        self._gone_back()
        self._counters = self._committed.copy()
        return failure

    # --- quota ----------------------------------------------------------------------------------
    def usage(self) -> tuple[int, int, int]:
        counters = self._counters
        return counters.objects, max(0, counters.bytes - counters.others), self._quota

    def count_states(self) -> dict[State, int]:
        return self._counters.states.copy()

    def _take_room(self, size: int, what: str) -> None:
        """Count `size` bytes more; raises `StoreFull` when the quota or the disk has no room."""
        if not self._fits(size):
            self._let_go(size)
        if not self._fits(size):
            _, used, quota = self.usage()
            raise StoreFull(
                f"no room for {what} of {size} bytes: {used} of {quota} bytes are in use; "
                "let objects go with nexus remove, or raise store.quota_mb in config.toml"
            )
        self._space_unchecked += size + limits.KIB
        if self._path and (
            self._space_unchecked >= _SPACE_CHECK_BYTES
            or time.monotonic() > self._space_checked_at + _SPACE_CHECK_S
        ):
            self._check_space(self._path.parent)
        self._counters.bytes += size

    def _fits(self, size: int) -> bool:
        """Whether the quota has room for so many bytes more; negative for what would go."""
        return self._counters.bytes + size <= self._quota + self._counters.others

    def _let_go(self, size: int) -> None:
        """Let go of what may go, so that `size` bytes fit."""

    def _check_space(self, directory: Path) -> None:
        disk = os.statvfs(directory)
        free = disk.f_bavail * disk.f_frsize
        if free < limits.DISK_RESERVE:
            self._space_unchecked = _SPACE_CHECK_BYTES  # look again at the next write
            raise StoreFull(
                f"the disk under {directory} has only {free // limits.MIB} MB left; free some space"
            )
        self._space_unchecked = 0
        self._space_checked_at = time.monotonic()

    def _load(self) -> None:
        """Take into memory what is to be known there."""

    def _count(self) -> Counters:
        counters = Counters()
        (counters.objects, inline), *_ = self._read("SELECT count(*), total(length(content)) FROM objects")
        for table, size in (
            ("outbox", "length(body) + open * size"),
            ("inbox", "length(body) + length(files)"),
            ("group_rows", "length(data) * (kind IN (0, 3, 5, 8))"),  # as store/groups.py counts
            ("versions", "length(data)"),
        ):
            counters.bytes += int(self._read(f"SELECT total({size}) FROM {table}")[0][0])
        counters.bytes += int(inline)
        kept = "SELECT total(size) FROM objects WHERE keep = ?"
        counters.others = int(self._read(kept, (Keep.FOR_OTHERS,))[0][0])
        for code, count in self._read("SELECT state, count(*) FROM outbox GROUP BY state"):
            counters.states[STATES[code]] = count
        return counters
