"""Version 10: a file that is expected may be `ended`, 'declined' here or 'withdrawn' by its sender."""

import sqlite3


def migrate(connection: sqlite3.Connection) -> None:
    """From version 9."""
    connection.execute("ALTER TABLE expected ADD COLUMN ended TEXT NOT NULL DEFAULT ''")
