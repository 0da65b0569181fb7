"""Version 6: files attached to messages. A file going out is an outbox row that is `part_of` a message; one
coming in is `expected` once its message is here. Custody takes objects of other kinds than messages: `size`
then counts the object's bytes as well."""

import sqlite3

_CUSTODY = """seq INTEGER PRIMARY KEY AUTOINCREMENT, prefix BLOB NOT NULL UNIQUE,
    id BLOB NOT NULL CHECK (substr(id, 1, 8) = prefix), destination BLOB NOT NULL,
    mark BLOB NOT NULL, giver BLOB NOT NULL, rank INTEGER NOT NULL CHECK (rank BETWEEN 0 AND 3),
    promised INTEGER NOT NULL CHECK (promised IN (0, 1)),
    received_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    size INTEGER NOT NULL CHECK (size >= length(data)), data BLOB NOT NULL, kind INTEGER NOT NULL"""

_STATEMENTS = (
    "ALTER TABLE outbox ADD COLUMN part_of BLOB",
    "CREATE INDEX outbox_parts ON outbox (part_of) WHERE part_of IS NOT NULL",
    "ALTER TABLE inbox ADD COLUMN files BLOB NOT NULL DEFAULT x''",
    """CREATE TABLE expected (
        seq INTEGER PRIMARY KEY, object BLOB NOT NULL, message BLOB NOT NULL, sender BLOB NOT NULL,
        min_bandwidth INTEGER NOT NULL, receipt BLOB NOT NULL, arrived_ms INTEGER,
        UNIQUE (object, message)) STRICT""",
    # SQLite cannot change a CHECK. The totals stand in another table, and triggers come with the new one.
    f"CREATE TABLE kept ({_CUSTODY}) STRICT",
    """INSERT INTO kept SELECT seq, prefix, id, destination, mark, giver, rank, promised, received_ms,
        expires_ms, size, data, 2 FROM custody""",
    "DROP TRIGGER custody_in",
    "DROP TRIGGER custody_out",
    "DROP TRIGGER custody_promise",
    "DROP TABLE custody",
    "ALTER TABLE kept RENAME TO custody",
    "CREATE INDEX custody_destination ON custody (destination, seq, size)",
    "CREATE INDEX custody_expiry ON custody (expires_ms, received_ms, prefix, kind)",
    "CREATE INDEX custody_grade ON custody (promised, rank)",
    """CREATE TRIGGER custody_in AFTER INSERT ON custody BEGIN
        UPDATE custody_totals SET messages = messages + 1, bytes = bytes + NEW.size
            WHERE grade = 4 * NEW.promised + NEW.rank;
        INSERT INTO given (giver, hour, messages, bytes)
            VALUES (NEW.giver, NEW.received_ms / 3600000, 1, NEW.size)
            ON CONFLICT (giver, hour) DO UPDATE SET messages = messages + 1, bytes = bytes + NEW.size;
    END""",
    """CREATE TRIGGER custody_out AFTER DELETE ON custody BEGIN
        UPDATE custody_totals SET messages = messages - 1, bytes = bytes - OLD.size
            WHERE grade = 4 * OLD.promised + OLD.rank;
    END""",
    """CREATE TRIGGER custody_promise AFTER UPDATE OF promised ON custody BEGIN
        UPDATE custody_totals SET messages = messages - 1, bytes = bytes - OLD.size
            WHERE grade = 4 * OLD.promised + OLD.rank;
        UPDATE custody_totals SET messages = messages + 1, bytes = bytes + NEW.size
            WHERE grade = 4 * NEW.promised + NEW.rank;
    END""",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From version 5."""
    for statement in _STATEMENTS:
        connection.execute(statement)
