"""What every store must do with records of mutable objects and evidence of forks (N7)."""

from collections.abc import Callable

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import MIB
from nexus_node.ports.mutable import StoredFork, StoredRecord
from nexus_node.ports.store import Store
from nexus_node.store.expect import expect, expect_raises

MakeStore = Callable[[int], Store]
ALICE, BOB = NodeId(b"a" * 32), NodeId(b"b" * 32)


def a_record(name: bytes, sequence: int, owner: NodeId = ALICE) -> StoredRecord:
    return StoredRecord(name * 32, sequence, owner, b"%s of %d" % (name, sequence))


def check_records(make_store: MakeStore) -> None:
    """Records come back by sequence, all of 64 bits of it, and go one by one."""
    store = make_store(MIB)
    sequences = (5, 2**64 - 1, 0, 2**63, 255, 256)
    for sequence in sequences:
        expect(store.put_record(a_record(b"n", sequence)), True, "a new record")
    used = store.usage()[1]
    again = StoredRecord(b"n" * 32, 5, ALICE, b"another")
    expect(store.put_record(again), False, "a record of the same sequence")
    expect(store.usage()[1], used, "bytes counted then")
    store.put_record(a_record(b"m", 7, BOB))
    expected = [a_record(b"n", sequence) for sequence in sorted(sequences, reverse=True)]
    expect(store.records(b"n" * 32), expected, "records by sequence")
    expect(store.records(b"x" * 32), [], "records of a name that is not here")
    latest = [a_record(b"m", 7, BOB), a_record(b"n", 2**64 - 1)]
    expect(list(store.latest_records()), latest, "the latest of each name")
    expect(list(store.latest_records(BOB)), latest[:1], "the latest of one owner")
    store.drop_record(b"n" * 32, 2**64 - 1)
    store.drop_record(b"n" * 32, 1)
    expect(store.records(b"n" * 32), expected[1:], "records after one was dropped")
    for record in expected:
        store.drop_record(record.name, record.sequence)
    store.drop_record(b"m" * 32, 7)
    expect(store.usage()[1], 0, "bytes counted when all are gone")
    store.commit()
    store.close()


def check_stale_records(make_store: MakeStore) -> None:
    """The names longest without a new record go, and never one's own."""
    store = make_store(MIB)
    for name, owner in ((b"1", ALICE), (b"2", BOB), (b"3", BOB), (b"4", BOB)):
        store.put_record(a_record(name, 1, owner))
    store.put_record(a_record(b"2", 2, BOB))
    expect(store.drop_stale_records(ALICE, most=3), 0, "names that go when there are few")
    expect(store.drop_stale_records(ALICE, most=2), 1, "names that go")
    expect([one.name[:1] for one in store.latest_records()], [b"1", b"2", b"4"], "names that stay")
    expect(store.drop_stale_records(ALICE, most=0), 2, "names that go when none may stay")
    expect(list(store.latest_records()), [a_record(b"1", 1)], "what is one's own")
    store.close()


def check_forks(make_store: MakeStore) -> None:
    """Evidence is kept beside the records, in the order it came, and undone with what is around it."""
    store = make_store(MIB)
    store.put_record(a_record(b"n", 1))
    forks = [StoredFork(b"n" * 32, sequence, BOB, 10 * sequence, b"evidence") for sequence in (3, 1)]
    for fork in forks:
        expect(store.put_fork(fork), True, "new evidence")
    expect(store.put_fork(forks[0]), False, "evidence that is here")
    store.commit()
    used = store.usage()[1]

    def fails() -> None:
        with store.atomic():
            store.drop_fork(b"n" * 32, 3)
            store.put_record(a_record(b"o", 1))
            store.put_record(StoredRecord(b"o" * 32, 2, BOB, bytes(2 * MIB)))

    expect_raises(StoreFull, fails, "a record beyond the quota")
    expect((store.forks(), store.usage()[1]), (forks, used), "what is here then")
    expect(store.records(b"o" * 32), [], "what was undone")
    store.drop_fork(b"n" * 32, 3)
    expect((store.forks(), store.records(b"n" * 32)), (forks[1:], [a_record(b"n", 1)]), "what is left")
    store.close()


MUTABLE_CHECKS: tuple[Callable[[MakeStore], None], ...] = (check_records, check_stale_records, check_forks)
