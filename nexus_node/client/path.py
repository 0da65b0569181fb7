"""Where a node's control socket is, in a form the kernel takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nexus_node.base.errors import InputError

SOCKET_NAME = "control.sock"
SUN_PATH_MAX = 107
"""Longest Unix socket path in bytes: `sun_path` of 108, less the terminating zero (unix(7))."""


@contextmanager
def control_path(home: Path) -> Iterator[str]:
    """Give the path to bind or connect `home`'s control socket by, valid inside the context.

    A path longer than the kernel takes goes by way of an open directory under /proc/self/fd.
    Raises `InputError` where there is no such way, `OSError` when `home` cannot be opened.
    """
    path = home / SOCKET_NAME
    if len(os.fsencode(path)) <= SUN_PATH_MAX:
        yield str(path)
        return
    if not os.path.isdir("/proc/self/fd"):
        raise InputError(
            f"the path {path} is longer than the {SUN_PATH_MAX} bytes a socket may have; use a shorter home"
        )
    directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET_NAME}"
    finally:
        os.close(directory)
