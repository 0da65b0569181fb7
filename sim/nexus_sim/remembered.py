"""Signatures that many nodes of one process look at: what is a pure function of its bytes is computed once.

A real node checks each new announce itself, and so does each here; but whether 64 bytes are a signature over
others is the same for all of them. Nothing else is shared between nodes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from nexus_node.wire import announce

_REMEMBERED = 16_384
"""Some intervals of a thousand nodes: 8 MB."""


@contextmanager
def signatures_remembered() -> Iterator[None]:
    """Meanwhile the signature of each announce is computed once in this process, also where it is wrong."""
    names = vars(announce)
    computed = names["verify"]
    names["verify"] = lru_cache(_REMEMBERED)(computed)
    try:
        yield
    finally:
        names["verify"] = computed
