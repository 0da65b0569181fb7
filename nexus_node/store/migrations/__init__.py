"""The database's layout, one numbered module per change; `PRAGMA user_version` counts them."""

import sqlite3
from collections.abc import Callable

from nexus_node.store.migrations import m0001_initial

MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (m0001_initial.migrate,)
VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many migrations the database has seen."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, upto: int = VERSION) -> None:
    """Bring the database to version `upto`, each step in one transaction.

    Raises what SQLite raises; the database is then as the last complete step left it.
    """
    for number in range(version_of(connection), upto):
        connection.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
