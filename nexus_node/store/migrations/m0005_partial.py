"""Version 5: objects may be here in part. `pages` holds their hash trees, `chunks` is keyed by leaf hash.

An object's `content` is the content itself up to one chunk, else empty. Whether a chunk is here follows
from the pages, and so do its references. `keep` is ports.store.Keep. What was damaged is left out.
"""

import sqlite3

from blake3 import blake3

from nexus_node.crypto.merkle import leaf_hash, pages_over

_INLINE, _HASH = 4096, 32
"""In version 4: the largest object kept whole in its row, bytes of a chunk's hash."""


def migrate(connection: sqlite3.Connection) -> None:
    """From version 4."""
    connection.execute(
        """CREATE TABLE pages (
        seq INTEGER PRIMARY KEY, object INTEGER NOT NULL, level INTEGER NOT NULL, number INTEGER NOT NULL,
        hashes BLOB NOT NULL, UNIQUE (object, level, number)) STRICT"""
    )
    connection.execute("ALTER TABLE chunks DROP COLUMN refs")
    connection.execute(
        "ALTER TABLE objects ADD COLUMN keep INTEGER NOT NULL DEFAULT 2 CHECK (keep BETWEEN 0 AND 2)"
    )
    connection.execute("CREATE INDEX objects_expiry ON objects (expires_ms) WHERE expires_ms IS NOT NULL")
    leaves = _rekey(connection)
    used = set()
    for seq, size in connection.execute(
        "SELECT seq, size FROM objects WHERE size > ?", (_INLINE,)
    ).fetchall():
        hashes = connection.execute("SELECT content FROM objects WHERE seq = ?", (seq,)).fetchone()[0]
        named = [leaves.get(hashes[at : at + _HASH]) for at in range(0, len(hashes), _HASH)]
        found = [leaf for leaf in named if leaf is not None]
        if len(found) != len(named) or len(found) != -(-size // _INLINE):
            connection.execute("DELETE FROM objects WHERE seq = ?", (seq,))
            continue
        used.update(found)
        connection.execute("UPDATE objects SET content = x'' WHERE seq = ?", (seq,))
        for page in pages_over(found):
            connection.execute(
                "INSERT INTO pages (object, level, number, hashes) VALUES (?, ?, ?, ?)", (seq, *page)
            )
    for leaf in set(leaves.values()) - used:
        connection.execute("DELETE FROM chunks WHERE hash = ?", (leaf,))


def _rekey(connection: sqlite3.Connection) -> dict[bytes, bytes]:
    """Key every sound chunk by its leaf hash; returns these by the hashes of before."""
    leaves = {}
    for (seq,) in connection.execute("SELECT seq FROM chunks").fetchall():
        digest, content = connection.execute(
            "SELECT hash, content FROM chunks WHERE seq = ?", (seq,)
        ).fetchone()
        if blake3(content).digest() == digest:
            leaves[digest] = leaf_hash(content)
            connection.execute("UPDATE chunks SET hash = ? WHERE seq = ?", (leaves[digest], seq))
        else:
            connection.execute("DELETE FROM chunks WHERE seq = ?", (seq,))
    return leaves
