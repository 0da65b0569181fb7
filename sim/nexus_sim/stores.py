"""The stores of simulated nodes: in memory, and they tell what they hold and what no commit has covered."""

from collections.abc import Iterator
from typing import Protocol

from nexus_node.ports.custody import Admission, Held
from nexus_node.ports.store import Incoming
from nexus_node.store.memory import MemoryStore
from nexus_node.store.packs import MemoryDisk, Packs


class Keeper(Protocol):
    """Whoever has a store that can be looked into: a node of a run."""

    @property
    def name(self) -> str: ...
    @property
    def store(self) -> "SimStore": ...


class SimStore(MemoryStore):
    """A `MemoryStore` that can be looked into."""

    def __init__(self, quota_bytes: int) -> None:
        super().__init__(quota_bytes)
        self._disk = MemoryDisk()
        self._packs = Packs(self._disk)
        self.unsure: set[bytes] = set()
        """What a power cut would take, although it may be there: prefixes of mail kept for others, and the
        receipts that stand for messages to this node."""

    def hold(self, held: Held, quota_bytes: int) -> Admission:
        admission = super().hold(held, quota_bytes)
        if admission.taken:
            self.unsure.add(held.prefix)
        return admission

    def add_incoming(self, message: Incoming) -> bool:
        added = super().add_incoming(message)
        if added:
            self.unsure.add(message.delivered)
        return added

    def commit(self) -> None:
        super().commit()
        self.unsure.clear()

    def crash(self) -> None:
        super().crash()
        self.unsure.clear()

    def shown(self) -> set[bytes]:
        """The ids of the messages that its reader has been shown."""
        return {one for row in self._read("SELECT id, first FROM inbox") for one in row if one is not None}

    def rows(self) -> Iterator[tuple[str, bytes]]:
        """Every text and blob in any table, and the name of that table."""
        for (table,) in self._read("SELECT name FROM sqlite_master WHERE type = 'table'"):
            for row in self._read(f"SELECT * FROM {table}"):
                for value in row:
                    if isinstance(value, bytes):
                        yield table, value
                    elif isinstance(value, str):
                        yield table, value.encode()

    def packs(self) -> Iterator[bytes]:
        """Every pack of chunks."""
        self._packs.sync()
        for number in self._disk.numbers():
            yield self._disk.read(number, 0, self._disk.size(number))
