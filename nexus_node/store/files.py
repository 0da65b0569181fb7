"""The files of a database: making one, and putting one in another's place, whole at any power cut."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

APPLICATION_ID = 0x4E58_4E44
"""`NXND` in the header says that a database is ours."""
WAL = "-wal"
SUSPECT = ".suspect"
"""A file of this suffix asks for the full check at the next start."""
_SIDE_FILES = ("", WAL, "-shm")
_LOCK_WAIT_S = 1.0
"""A process being replaced may still be closing the database."""
_UNFINISHED, _READY = ".unfinished", ".recovered"


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def connect(name: str) -> sqlite3.Connection:
    """Connect by file name or URI, with no transaction but those that are begun."""
    connection = sqlite3.connect(name, timeout=_LOCK_WAIT_S, uri=True, isolation_level=None)
    # One damaged byte in a name must not make its whole table unreadable.
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open without ever writing to the database or its WAL, whose frames are read all the same."""
    return connect(f"{path.absolute().as_uri()}?mode=ro")


def make_database(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make a database that appears at `path` only when `fill` is done and everything is on disk."""
    unfinished = beside(path, _UNFINISHED)
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        connection = connect(unfinished.absolute().as_uri())
        try:
            connection.execute("PRAGMA journal_mode = OFF")  # a half-made one is thrown away whole
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA page_size = 4096")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            fill(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        sync_path(unfinished)
        unfinished.rename(path)
    except BaseException:
        for suffix in _SIDE_FILES:
            with suppress(OSError):
                beside(unfinished, suffix).unlink()
        raise
    sync_path(path.parent)


def replace_database(path: Path, stamp: str, fill: Callable[[sqlite3.Connection], None]) -> Path:
    """Make a new database, set the one at `path` aside, and put the new one there.

    Once the new one is whole, a power cut anywhere is made good by `finish_swap`.
    """
    make_database(beside(path, _READY), fill)
    aside = set_aside(path, stamp)
    finish_swap(path, stamp)
    return aside


def finish_swap(path: Path, stamp: str) -> None:
    """Put a recovered database in its place, if a power cut came just before."""
    ready = beside(path, _READY)
    if ready.exists():
        if any(beside(path, suffix).exists() for suffix in _SIDE_FILES):
            set_aside(path, stamp)
        ready.rename(path)
        sync_path(path.parent)


def set_aside(path: Path, stamp: str) -> Path:
    """Rename the database with its side files, together; returns the new name."""
    aside = beside(path, f".damaged-{stamp}")
    number = 1
    while any(beside(aside, suffix).exists() for suffix in _SIDE_FILES):
        number += 1
        aside = beside(path, f".damaged-{stamp}-{number}")
    for suffix in _SIDE_FILES:
        if beside(path, suffix).exists():
            beside(path, suffix).rename(beside(aside, suffix))
    sync_path(path.parent)
    return aside


def keep_private(path: Path) -> None:
    """Let nobody but the owner read the files, whatever rights they were copied with."""
    for suffix in _SIDE_FILES:
        file = beside(path, suffix)
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(0o600)


def sync_path(path: Path) -> None:
    """Make durable what a file holds, or which files a folder has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
