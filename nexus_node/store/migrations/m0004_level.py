"""Version 4: nothing of who is given copies is kept (`engine/acquaintance.py`)."""

import sqlite3


def migrate(connection: sqlite3.Connection) -> None:
    """From version 3."""
    connection.execute("ALTER TABLE custody DROP COLUMN level")
