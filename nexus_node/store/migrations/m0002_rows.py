"""Version 2: a message going out is one row.

The outbox row holds the envelope, empty once the state is final, and its `facts`: a line for each, with
state, time in ms and evidence. `tell` is how often the sender of an inbox row is still to be told that it was
read. An envelope that was cut into chunks is not brought over: the text is in the row, and is sealed again.
"""

import sqlite3

_MESSAGE, _INLINE, _HASH = 2, 4096, 32
"""In version 1: the kind of objects that held envelopes, the largest kept whole, bytes of a chunk's hash."""

_BEFORE = (
    """CREATE TABLE messages (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, recipient BLOB NOT NULL, object BLOB NOT NULL,
        created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, size INTEGER NOT NULL,
        min_bandwidth INTEGER NOT NULL,
        state INTEGER NOT NULL, open INTEGER NOT NULL,
        delivered_mark BLOB NOT NULL, read_mark BLOB NOT NULL UNIQUE, body BLOB NOT NULL,
        envelope BLOB NOT NULL, facts TEXT NOT NULL) STRICT""",
    f"""INSERT INTO messages SELECT seq, id, recipient, object, created_ms, expires_ms, size, min_bandwidth,
        state, open, delivered_mark, read_mark, body,
        coalesce((SELECT substr(content, 17) FROM objects
            WHERE objects.id = outbox.object AND outbox.open = 1 AND objects.size <= {_INLINE}), x''),
        coalesce((SELECT group_concat(line, '') FROM (
            SELECT facts.state || ' ' || at_ms || ' ' || evidence || char(10) AS line
            FROM facts WHERE message = outbox.seq ORDER BY facts.seq)), '')
        FROM outbox""",
)
_AFTER = (
    f"DELETE FROM objects WHERE kind = {_MESSAGE}",
    "DELETE FROM chunks WHERE refs <= 0",
    "DROP TABLE facts",
    "DROP TABLE outbox",
    "ALTER TABLE messages RENAME TO outbox",
    "CREATE UNIQUE INDEX outbox_undelivered ON outbox (delivered_mark) WHERE state < 70",
    "CREATE INDEX outbox_pending ON outbox (recipient) WHERE open = 1",
    "CREATE INDEX outbox_expiry ON outbox (expires_ms) WHERE open = 1",
    "ALTER TABLE inbox ADD COLUMN tell INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX inbox_to_tell ON inbox (sender) WHERE tell > 0",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From version 1."""
    for statement in _BEFORE:
        connection.execute(statement)
    chunked = f"SELECT content FROM objects WHERE kind = {_MESSAGE} AND size > {_INLINE}"
    for (hashes,) in connection.execute(chunked).fetchall():
        for at in range(0, len(hashes), _HASH):
            digest = hashes[at : at + _HASH]
            connection.execute("UPDATE chunks SET refs = refs - 1 WHERE hash = ?", (digest,))
    for statement in _AFTER:
        connection.execute(statement)
