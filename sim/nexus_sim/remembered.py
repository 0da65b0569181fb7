"""What many nodes of one process are told alike: what is a pure function of its bytes is computed once.

A real node reads each announce and request itself and checks signatures, and so does each here; but what some
bytes say, and whether 64 bytes are a signature over others, is the same for all, and takes memory once.
Nothing else is shared between nodes.
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


_PURE = (
    (announce, "verify", _SIGNATURES),
    (router, "parse_announce_untrusted", _READ),
    (router, "parse_path_request_untrusted", _READ),
)


@contextmanager
def gossip_remembered() -> Iterator[None]:
    """Meanwhile each announce and request is read, and its signature computed, once in this process."""
    before = [(vars(module), name, vars(module)[name]) for module, name, _ in _PURE]
    for (names, name, function), (_, _, size) in zip(before, _PURE, strict=True):
        names[name] = lru_cache(size)(function)
    try:
        yield
    finally:
        for names, name, function in before:
            names[name] = function
