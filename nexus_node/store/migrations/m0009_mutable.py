"""Version 9: records of mutable objects (kind 0), and evidence of forks (kind 1; `at_ms`: when it was found).

A sequence is 8 bytes, big-endian, so that all of them have their order.
"""

import sqlite3

_STATEMENTS = (
    """CREATE TABLE versions (
        seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name BLOB NOT NULL, sequence BLOB NOT NULL,
        owner BLOB NOT NULL, at_ms INTEGER NOT NULL, data BLOB NOT NULL,
        UNIQUE (name, kind, sequence)) STRICT""",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From version 8."""
    for statement in _STATEMENTS:
        connection.execute(statement)
