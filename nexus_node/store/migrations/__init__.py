"""The database's layout, one numbered module per change; `PRAGMA user_version` counts them."""

import sqlite3
from collections.abc import Callable

from nexus_node.store.migrations import (
    m0001_initial,
    m0002_rows,
    m0003_custody,
    m0004_level,
    m0005_partial,
    m0006_files,
    m0007_groups,
    m0008_pub,
    m0009_mutable,
    m0010_unwanted,
    m0011_names,
)

MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    m0001_initial.migrate,
    m0002_rows.migrate,
    m0003_custody.migrate,
    m0004_level.migrate,
    m0005_partial.migrate,
    m0006_files.migrate,
    m0007_groups.migrate,
    m0008_pub.migrate,
    m0009_mutable.migrate,
    m0010_unwanted.migrate,
    m0011_names.migrate,
)
VERSION = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many migrations the database has seen."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def layout_of(connection: sqlite3.Connection) -> set[str]:
    """Return the statements that define the database's tables and indexes."""
    return {row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}


def layout(version: int) -> set[str]:
    """Return what `layout_of` must hold in a sound database of that version."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, version)
    statements = layout_of(connection)
    connection.close()
    return statements


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
