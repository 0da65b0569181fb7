"""Version 3: what a relay keeps for absent recipients, the relays that contacts name, and which messages of
the inbox were sealed before under another id (`first`).

`custody_totals` counts by `grade`, which is 4 * promised + rank, and `given` by the neighbour and hour of
receipt; triggers keep both, so whatever undoes a row undoes its count. AUTOINCREMENT: a cursor into the
mail of one destination must not meet the number of a deleted row again. `size` is the length of `data`;
with it, and with all of the index on expiry, questions about every message are answered from an index.
"""

import sqlite3

_STATEMENTS = (
    "ALTER TABLE correspondents ADD COLUMN relays BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE inbox ADD COLUMN first BLOB",
    "CREATE INDEX inbox_first ON inbox (first) WHERE first IS NOT NULL",
    """CREATE TABLE custody (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, prefix BLOB NOT NULL UNIQUE,
        id BLOB NOT NULL CHECK (substr(id, 1, 8) = prefix), destination BLOB NOT NULL,
        mark BLOB NOT NULL, giver BLOB NOT NULL, rank INTEGER NOT NULL CHECK (rank BETWEEN 0 AND 3),
        promised INTEGER NOT NULL CHECK (promised IN (0, 1)),
        received_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, level REAL NOT NULL,
        size INTEGER NOT NULL CHECK (size = length(data)), data BLOB NOT NULL) STRICT""",
    "CREATE INDEX custody_destination ON custody (destination, seq, size)",
    "CREATE INDEX custody_expiry ON custody (expires_ms, received_ms, prefix)",
    "CREATE INDEX custody_grade ON custody (promised, rank)",
    """CREATE TABLE custody_totals (
        grade INTEGER PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT""",
    "INSERT INTO custody_totals VALUES " + ", ".join(f"({grade}, 0, 0)" for grade in range(8)),
    """CREATE TABLE given (
        seq INTEGER PRIMARY KEY, giver BLOB NOT NULL, hour INTEGER NOT NULL, messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL, UNIQUE (giver, hour)) STRICT""",
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
    """CREATE TABLE receipts (
        seq INTEGER PRIMARY KEY, prefix BLOB NOT NULL UNIQUE, receipt BLOB NOT NULL,
        expires_ms INTEGER NOT NULL) STRICT""",
    "CREATE INDEX receipts_expiry ON receipts (expires_ms)",
    """CREATE TABLE slips (
        seq INTEGER PRIMARY KEY, destination BLOB NOT NULL, prefix BLOB NOT NULL, receipt BLOB NOT NULL,
        expires_ms INTEGER NOT NULL, tries INTEGER NOT NULL, UNIQUE (destination, receipt)) STRICT""",
    "CREATE INDEX slips_expiry ON slips (expires_ms)",
)


def migrate(connection: sqlite3.Connection) -> None:
    """From version 2."""
    for statement in _STATEMENTS:
        connection.execute(statement)
