"""A home belongs to one running node at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nexus_node.base.errors import InputError

LOCK_NAME = "node.lock"


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the home. The kernel lets go when the process ends, however it ends.

    Raises InputError with words when another node has it or the home cannot be written.
    """
    try:
        lock = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(
            f"the home {home} cannot be written: {error.strerror}; check its owner and mode"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise InputError(
                f"a node is running on {home} already (process {holder}); stop it, or choose another --home"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
