"""Drivers that fail are started again, as in a running node; in a run of the simulator that is a breach."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from nexus_node.runtime import supervise


class _Notes(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        self._notes.append(f"a driver failed: {record.getMessage()}")


@contextmanager
def noted_failures(notes: list[str]) -> Iterator[None]:
    """Have every failure of a driver written down, while the context lasts."""
    handler = _Notes(notes)
    supervise.log.addHandler(handler)
    try:
        yield
    finally:
        supervise.log.removeHandler(handler)
