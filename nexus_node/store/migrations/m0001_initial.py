"""Version 1: everything the store port asks for.

Every table is keyed by a rising `seq`, so that new rows share pages; hashes are found through unique
indexes. `state` counts 10, 20, .. 80 in the order of `State`: each takes one byte, so a changed row
keeps its size. `open` is 1 until the state is final. An object's `content` is the content itself up
to one chunk, beyond that the BLAKE3 hashes of its chunks (32 bytes each).
"""

import sqlite3

_STATEMENTS = (
    "CREATE TABLE meta (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL) STRICT",
    """CREATE TABLE objects (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, size INTEGER NOT NULL,
        root BLOB NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER, min_bandwidth INTEGER NOT NULL,
        content BLOB NOT NULL) STRICT""",
    """CREATE TABLE chunks (
        seq INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, refs INTEGER NOT NULL,
        content BLOB NOT NULL) STRICT""",
    """CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, recipient BLOB NOT NULL, object BLOB NOT NULL,
        created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, size INTEGER NOT NULL,
        min_bandwidth INTEGER NOT NULL,
        state INTEGER NOT NULL, open INTEGER NOT NULL,
        delivered_mark BLOB NOT NULL UNIQUE, read_mark BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT""",
    "CREATE INDEX outbox_pending ON outbox (recipient) WHERE open = 1",
    "CREATE INDEX outbox_expiry ON outbox (expires_ms) WHERE open = 1",
    """CREATE TABLE facts (
        seq INTEGER PRIMARY KEY, message INTEGER NOT NULL, state INTEGER NOT NULL, evidence TEXT NOT NULL,
        at_ms INTEGER NOT NULL, UNIQUE (message, state, evidence)) STRICT""",
    """CREATE TABLE inbox (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, sender BLOB NOT NULL, sent_ms INTEGER NOT NULL,
        received_ms INTEGER NOT NULL, read_ms INTEGER, delivered BLOB NOT NULL, read BLOB NOT NULL,
        body BLOB NOT NULL) STRICT""",
    "CREATE INDEX inbox_sender ON inbox (sender)",
    """CREATE TABLE correspondents (
        seq INTEGER PRIMARY KEY, node_id BLOB NOT NULL UNIQUE, address BLOB NOT NULL, name TEXT UNIQUE,
        trust TEXT NOT NULL, knows_us INTEGER NOT NULL, seen_ms INTEGER NOT NULL) STRICT""",
    "CREATE INDEX strangers ON correspondents (seen_ms) WHERE name IS NULL",
    """CREATE TABLE neighbours (
        seq INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, node_id BLOB NOT NULL) STRICT""",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From an empty database."""
    for statement in _STATEMENTS:
        connection.execute(statement)
