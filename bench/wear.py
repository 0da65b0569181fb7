"""What a card has to write for a message that is sent and delivered (docs/adr/0002-store.md)."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit
from bench.workers import disk_bytes
from nexus_node.base.ids import MessageId, ObjectId
from nexus_node.base.limits import KIB
from nexus_node.base.states import State
from nexus_node.ports.store import Fact, Outgoing
from nexus_node.store.check import an_outgoing
from nexus_node.store.sqlite import SqliteStore

HELD = (1_000, 20_000, 100_000)
A_COMMIT = (1, 20)
_COUNT = 10_240
"""Messages of a measurement: ten times as many as get their names together."""
_DELIVERED = Fact(State.DELIVERED, 1, "ab" * 16)


def _row() -> Outgoing:
    """As a text of 100 bytes makes it."""
    object_id = ObjectId(os.urandom(32))
    return replace(
        an_outgoing(0, size=140),
        id=MessageId(object_id),
        object=object_id,
        size=190,
        envelope=os.urandom(190),
        delivered_mark=os.urandom(16),
        read_mark=os.urandom(16),
    )


def _send(store: SqliteStore, count: int, a_commit: int) -> None:
    for _ in range(count // a_commit):
        rows = [_row() for _ in range(a_commit)]
        for row in rows:
            row.seq = store.add_outgoing(row)
        store.commit()
        for row in rows:
            store.add_facts(row, _DELIVERED)
        store.commit()


def measure(held: int, a_commit: int) -> Figures:
    """KB that reach the disk for each message, in an outbox that holds so many."""
    with TemporaryDirectory() as folder:
        store = SqliteStore.open(Path(folder, "store.db"), 1 << 40)
        _send(store, held, 1_000)
        before = disk_bytes()
        _send(store, _COUNT, a_commit)
        store.close()
        return {"held": held, "a_commit": a_commit, "kb": round((disk_bytes() - before) / _COUNT / KIB, 1)}


def run(peer: Peer | None) -> Section:
    table = Table(["messages in the outbox", *(f"KB a message, {count} a commit" for count in A_COMMIT)])
    for held in HELD:
        table.add(held, *(emit("wear", measure(held, count))["kb"] for count in A_COMMIT))
    words = (
        "What a sender's store writes for a text of 100 bytes sent and delivered, with the checkpoints of "
        "SQLite: a commit for so many when they are queued, and one when their receipts come."
    )
    return Section("Wear", words, [table])
