"""The part of the store port for mutable objects: records of versions, and evidence of forks (N7)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from nexus_node.base.ids import NodeId


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A signed record (docs/protocol/mutable.md) and what it is found by."""

    name: bytes
    sequence: int
    owner: NodeId
    data: bytes


@dataclass(frozen=True, slots=True)
class StoredFork:
    """Evidence that an owner forked that version; `found_ms` is when that was found out."""

    name: bytes
    sequence: int
    owner: NodeId
    found_ms: int
    data: bytes


class MutableStore(Protocol):
    """Part of `Store`: same transaction, same rules. What is kept counts against the quota."""

    def put_record(self, record: StoredRecord) -> bool:
        """False, changing nothing, if there is one of that name and sequence. Raises `StoreFull`."""
        ...

    def records(self, name: bytes) -> list[StoredRecord]:
        """Of one name, the highest sequence first."""
        ...

    def latest_records(self, owner: NodeId | None = None) -> Iterator[StoredRecord]:
        """Of each name the record with the highest sequence, by name; of all owners or one."""
        ...

    def drop_record(self, name: bytes, sequence: int) -> None: ...
    def drop_stale_records(self, own: NodeId, *, most: int) -> int:
        """Forget names that are not `own`'s, those longest without a new record first, until `most` are left.
        How many."""
        ...

    def put_fork(self, fork: StoredFork) -> bool:
        """False, changing nothing, if there is one of that name and sequence. Raises `StoreFull`."""
        ...

    def forks(self) -> list[StoredFork]:
        """The longest known first."""
        ...

    def drop_fork(self, name: bytes, sequence: int) -> None: ...
