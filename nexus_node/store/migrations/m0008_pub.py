"""Version 8: this node's own subscriptions. `kind` and `mode` as in docs/protocol/pub.md."""

import sqlite3


def migrate(connection: sqlite3.Connection) -> None:
    """From version 7."""
    connection.execute(
        """CREATE TABLE subscriptions (
        seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 5), value BLOB NOT NULL,
        mode INTEGER NOT NULL CHECK (mode BETWEEN 0 AND 2), UNIQUE (kind, value)) STRICT"""
    )
