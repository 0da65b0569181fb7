"""Version 7: groups, and all that belongs to them, in few tables: an empty one takes a page, and so does an
index, in the database of everybody who has no group.

`kind` says what a row of `group_rows` is (`store/groups.py`), `grp` is its group's `seq`; `place` and `at_ms`
are what the kind makes of them.
"""

import sqlite3

_STATEMENTS = (
    """CREATE TABLE groups (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, name TEXT NOT NULL UNIQUE,
        standing INTEGER NOT NULL, inviter BLOB NOT NULL, created_ms INTEGER NOT NULL) STRICT""",
    """CREATE TABLE group_rows (
        seq INTEGER PRIMARY KEY, grp INTEGER NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL,
        place INTEGER NOT NULL, at_ms INTEGER NOT NULL, data BLOB NOT NULL,
        UNIQUE (id, kind, grp, place)) STRICT""",
    "CREATE INDEX group_rows_of ON group_rows (grp, kind)",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From version 6."""
    for statement in _STATEMENTS:
        connection.execute(statement)
