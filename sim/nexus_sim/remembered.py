"""Announces that many nodes of one process look at: what is a pure function of their bytes is computed once.

A real node reads and checks each announce itself, and so does each here; but what some bytes say, and whether
64 bytes are a signature over others, is the same for all of them. Nothing else is shared between nodes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from nexus_node.engine import router
from nexus_node.wire import announce

_SIGNATURES = 16_384
"""Some intervals of a thousand nodes: 8 MB."""
_READ = 1024
"""What is on its way at one time."""


@contextmanager
def announces_remembered() -> Iterator[None]:
    """Meanwhile each announce is read, and its signature computed, once in this process; wrong ones too."""
    verifying, reading = vars(announce), vars(router)
    verify, read = verifying["verify"], reading["parse_announce_untrusted"]
    verifying["verify"] = lru_cache(_SIGNATURES)(verify)
    reading["parse_announce_untrusted"] = lru_cache(_READ)(read)
    try:
        yield
    finally:
        verifying["verify"], reading["parse_announce_untrusted"] = verify, read
