"""Version 11: the outbox is found by id and read mark in `outbox_names`, written for many rows at a time.

Ids and marks are random. In an index of its own each of them made another page of 4 KB to be written with
every row. `outbox_named` says up to which `seq` the rows have their names.
"""

import sqlite3

_COLUMNS = """seq, id, recipient, object, created_ms, expires_ms, size, min_bandwidth, state, open,
    delivered_mark, read_mark, body, envelope, facts, part_of"""

_STATEMENTS = (
    """CREATE TABLE messages (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, recipient BLOB NOT NULL, object BLOB NOT NULL,
        created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, size INTEGER NOT NULL,
        min_bandwidth INTEGER NOT NULL,
        state INTEGER NOT NULL, open INTEGER NOT NULL,
        delivered_mark BLOB NOT NULL, read_mark BLOB NOT NULL, body BLOB NOT NULL,
        envelope BLOB NOT NULL, facts TEXT NOT NULL, part_of BLOB) STRICT""",
    f"INSERT INTO messages SELECT {_COLUMNS} FROM outbox",
    "DROP TABLE outbox",
    "ALTER TABLE messages RENAME TO outbox",
    "CREATE UNIQUE INDEX outbox_undelivered ON outbox (delivered_mark) WHERE state < 70",
    "CREATE INDEX outbox_pending ON outbox (recipient) WHERE open = 1",
    "CREATE INDEX outbox_expiry ON outbox (expires_ms) WHERE open = 1",
    "CREATE INDEX outbox_parts ON outbox (part_of) WHERE part_of IS NOT NULL",
    """CREATE TABLE outbox_names (
        name BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name, seq)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE outbox_named (upto INTEGER NOT NULL) STRICT",
    "INSERT INTO outbox_named VALUES (0)",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From version 10. The store writes the names when it is opened."""
    for statement in _STATEMENTS:
        connection.execute(statement)
