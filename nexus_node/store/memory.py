"""The store without a disk: the same tables in memory, for the simulator (docs/adr/0002-store.md)."""

import sqlite3
from functools import cache

from nexus_node.store.migrations import migrate
from nexus_node.store.packs import MemoryDisk, Packs
from nexus_node.store.sqlite import SqlStore

_STATEMENTS = 16
"""Kept compiled, 4 KB each: as many as come again soon, while a store uses 46."""


def _connect(*, shared: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=not shared, cached_statements=_STATEMENTS
    )
    connection.execute("PRAGMA page_size = 512")  # an empty table or index takes a page
    return connection


@cache
def _empty() -> sqlite3.Connection:
    """An empty store that others are copies of: to migrate each takes 20 times as long, and leaves three
    times as much memory behind."""
    connection = _connect(shared=True)
    migrate(connection)
    return connection


class MemoryStore(SqlStore):
    """The store port in memory; `commit` makes nothing durable."""

    _unnamed_most = 64  # a page costs nothing here, and a simulator has many stores

    def __init__(self, quota_bytes: int) -> None:
        connection = _connect()
        _empty().backup(connection)
        super().__init__(connection, quota_bytes, None, Packs(MemoryDisk()))

    def crash(self) -> None:
        """As at a power cut: what no commit has covered is gone."""
        self._undo(0)
        self._go_back(0)
        self._packs.discard()
        self._counters = self._committed.copy()
