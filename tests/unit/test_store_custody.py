"""Others' mail on disk: migration, damage, bounds, a full disk, and where answers come from (N7, N10, S2)."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nexus_node.base import limits
from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import MIB
from nexus_node.ports.store import Correspondent
from nexus_node.store import files
from nexus_node.store.check import an_incoming, an_outgoing
from nexus_node.store.check_custody import (
    BOB,
    CAROL,
    DAY_MS,
    GIVER,
    NOW_MS,
    OTHER,
    a_held,
    a_prefix,
    a_slip,
    numbers,
)
from nexus_node.store.memory import MemoryStore
from nexus_node.store.migrations import migrate, version_of
from nexus_node.store.sqlite import SqliteStore

PAGE = 4096
CONTACT = Correspondent(GIVER, Address(GIVER[:16]), "giver", "trusted", True, 5)
RECEIVED = replace(an_incoming(1, GIVER), seq=1)


def make_version_1(path: Path) -> None:
    """A database as it was before there was custody, with a contact, a message from it, and a neighbour
    behind each of 500 labels."""
    files.make_database(path, lambda connection: migrate(connection, 1))
    connection = sqlite3.connect(path)
    connection.executemany(
        "INSERT INTO neighbours (label, node_id) VALUES (?, ?)",
        [(f"tcp:{number}", number.to_bytes(32)) for number in range(500)],
    )
    contact = CONTACT.node_id, CONTACT.address, CONTACT.name, CONTACT.trust, CONTACT.knows_us, CONTACT.seen_ms
    connection.execute(
        """INSERT INTO correspondents (node_id, address, name, trust, knows_us, seen_ms)
        VALUES (?, ?, ?, ?, ?, ?)""",
        contact,
    )
    connection.execute(
        """INSERT INTO inbox (id, sender, sent_ms, received_ms, body, delivered, read)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            RECEIVED.id,
            RECEIVED.sender,
            RECEIVED.sent_ms,
            RECEIVED.received_ms,
            RECEIVED.body,
            RECEIVED.delivered,
            RECEIVED.read,
        ),
    )
    connection.commit()
    connection.close()


def neighbours(store: SqliteStore) -> list[int]:
    """Which of these are there."""
    found = [store.neighbour(f"tcp:{number}") for number in range(500)]
    return [int.from_bytes(node_id) for node_id in found if node_id is not None]


def fill(path: Path, count: int = 300) -> SqliteStore:
    store = SqliteStore.open(path, 64 * MIB)
    for number in range(count):
        store.hold(a_held(number, CAROL if number % 3 else BOB, size=300, rank=number % 4), 64 * MIB)
        store.add_receipt(a_prefix(1000 + number), (b"%d" % number).rjust(16, b"p"), NOW_MS)
        store.put_slip(a_slip(number))
    store.commit()
    return store


def totals_hold(store: SqliteStore) -> None:
    """The totals are those of the rows, by class and in all."""
    counted = store._read(
        "SELECT 4 * promised + rank, count(*), sum(size) FROM custody GROUP BY 1 ORDER BY 1"
    )
    assert store._read("SELECT * FROM custody_totals WHERE messages OR bytes ORDER BY grade") == counted
    assert store.custody_usage() == (len(store.prefixes()), sum(size for *_, size in counted))


def scramble(path: Path, start: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[start : start + PAGE] = bytes(byte ^ 0x5A for byte in damaged[start : start + PAGE])
    path.write_bytes(damaged)


def root_of(path: Path, name: str) -> int:
    """Where the first page of a table or index begins."""
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.close()
    return (root - 1) * PAGE


def page_of(path: Path, content: bytes) -> int:
    """Where the page begins that holds `content`."""
    at = path.read_bytes().index(content)
    return at - at % PAGE


def test_version_1_is_brought_forward_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make_version_1(path)
    store = SqliteStore.open(path, MIB)
    assert store.recovered is None
    assert version_of(store._connection) >= 2
    assert neighbours(store) == list(range(500))
    assert store.correspondents() == [CONTACT] and CONTACT.relays == ()
    assert list(store.inbox()) == [RECEIVED] and RECEIVED.first is None
    named = replace(CONTACT, relays=(OTHER, GIVER))
    store.put_correspondent(named)
    assert store.custody_usage() == (0, 0)
    assert store.hold(a_held(1), MIB).taken
    store.close()
    again = SqliteStore.open(path, MIB)
    assert (again.recovered, numbers(again)) == (None, [1])
    assert again.correspondents() == [named]
    again.close()


def test_damaged_version_1_is_recovered_and_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make_version_1(path)
    scramble(path, page_of(path, (250).to_bytes(32)))
    store = SqliteStore.open(path, MIB)
    assert store.recovered is not None and "custody" not in store.recovered
    assert 380 <= len(neighbours(store)) < 500
    assert (store.correspondents(), list(store.inbox())) == ([CONTACT], [RECEIVED])
    assert store.hold(a_held(1), MIB).taken
    totals_hold(store)
    store.close()


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = fill(path, 50)
    store.release(a_prefix(49))
    before = (store.held_for(CAROL, limit=99), store.waiting(), store.receipts(99), store.slips_for(BOB, 99))
    given = store.given_since(a_held(1).giver, NOW_MS)
    store.close()
    again = SqliteStore.open(path, MIB)
    assert before == (
        again.held_for(CAROL, limit=99),
        again.waiting(),
        again.receipts(99),
        again.slips_for(BOB, 99),
    )
    assert again.given_since(a_held(1).giver, NOW_MS) == given == (50, 15000)
    totals_hold(again)
    again.hold(a_held(77), MIB)
    assert again.held_for(BOB, limit=99)[-1].seq == 51  # not that of the released one again
    again.close()


@pytest.mark.parametrize("where", ["row", "index", "totals"])
def test_damaged_page_loses_its_rows_only(tmp_path: Path, where: str) -> None:
    path = tmp_path / "store.db"
    fill(path).close()
    if where == "row":
        scramble(path, page_of(path, a_held(150, size=300).data))
    else:
        scramble(path, root_of(path, "custody_destination" if where == "index" else "custody_totals"))
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None
    found = numbers(store)
    assert (285 <= len(found) < 300) if where == "row" else found == list(range(300))
    if where == "row":
        assert f"{300 - len(found)} custody" in store.recovered.split("lost")[1]
    for number in found:
        held = store.held(a_prefix(number))
        assert held is not None and held.data == a_held(number, size=300).data
    assert len(store.receipts(999)) == len(store.slips_for(BOB, 999)) == 300
    totals_hold(store)
    store.close()
    again = SqliteStore.open(path, 64 * MIB)
    assert again.recovered is None
    again.close()


def test_row_that_cannot_be_is_not_saved(tmp_path: Path) -> None:
    """One flipped bit in an id: the message would answer to a prefix that is not its own."""
    path = tmp_path / "store.db"
    fill(path, 20).close()
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(a_held(3).id) + 2] ^= 1
    path.write_bytes(damaged)
    scramble(path, root_of(path, "custody_grade"))
    store = SqliteStore.open(path, MIB)
    assert store.recovered is not None and "1 custody" in store.recovered.split("lost")[1]
    assert numbers(store) == [number for number in range(20) if number != 3]
    totals_hold(store)
    store.close()


@pytest.mark.parametrize("kind", ["receipts", "slips"])
def test_receipts_and_slips_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(limits, f"CUSTODY_{kind.upper()}", 100)
    store = MemoryStore(MIB)
    put: dict[str, Callable[[int], bool]] = {
        "receipts": lambda number: store.add_receipt(a_prefix(number), bytes(16), NOW_MS),
        "slips": lambda number: store.put_slip(a_slip(number)),
    }
    most = 0
    for number in range(1, 5000):
        assert put[kind](number)
        if number in (1023, 1024, 2047, 2048, 4999):
            rows = store._read(f"SELECT prefix FROM {kind} ORDER BY seq")
            assert rows == [(a_prefix(one),) for one in range(number + 1 - len(rows), number + 1)]
            assert len(rows) == 100 or number % 1024
            most = max(most, len(rows))
    assert most < 100 + 1024
    store.close()


def test_old_slips_outlive_many_that_came_and_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CUSTODY_SLIPS", 100)
    store = MemoryStore(MIB)
    store.put_slip(a_slip(0, CAROL))
    for number in range(1, 3000):
        store.put_slip(a_slip(number))
        if number > 10:
            store.drop_slip(BOB, a_slip(number - 10).receipt)
    assert store.slips_for(CAROL, 9) == [a_slip(0, CAROL)]
    store.close()


def test_counts_of_givers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3: a flood of neighbours pushes out the oldest counts, a sixteenth at a time."""
    monkeypatch.setattr(limits, "CUSTODY_GIVEN", 160)
    store = MemoryStore(MIB)
    givers = [NodeId(number.to_bytes(32)) for number in range(1000)]
    for number, giver in enumerate(givers):
        store.hold(a_held(number, giver=giver, received_ms=NOW_MS), MIB)
        assert store.given_since(giver, NOW_MS) == (1, 100)
        assert store._read("SELECT count(*) FROM given")[0][0] <= 161
    assert all(store.given_since(giver, NOW_MS) == (1, 100) for giver in givers[-150:])
    store.hold(a_held(5000, received_ms=NOW_MS + 2 * DAY_MS), MIB)
    assert store._read("SELECT count(*) FROM given")[0][0] == 1
    store.close()


def test_low_disk_refuses_mail_but_not_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(tmp_path / "store.db", 3)
    usage = store.custody_usage()
    monkeypatch.setattr(limits, "DISK_RESERVE", 1 << 60)
    store._space_unchecked = 1 << 30  # as after much has been written
    with pytest.raises(StoreFull, match=rf"the disk under {tmp_path} has only \d+ MB left; free some"):
        store.hold(a_held(5), MIB)
    assert store.custody_usage() == usage
    assert store.add_receipt(a_prefix(1), bytes(16), NOW_MS)
    store.commit()
    assert store.held(a_prefix(1)) is None
    store.close()


def test_disk_space_is_looked_at_as_mail_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(tmp_path / "store.db", 3)
    monkeypatch.setattr(limits, "DISK_RESERVE", 1 << 60)
    with pytest.raises(StoreFull, match="the disk under"):
        for number in range(10, 16):
            store.hold(a_held(number, size=60_000), MIB)
    store.close()


def test_own_messages_and_those_of_others_have_a_quota_each() -> None:
    store = MemoryStore(100)
    for number in range(9):
        assert store.hold(a_held(number, size=100), 900).taken
    assert store.usage() == (0, 0, 100)
    message = an_outgoing(1, size=10)
    message.size = 80
    store.add_outgoing(message)
    with pytest.raises(StoreFull, match=r"a message of 100 bytes for others: 900 of 900.*relay\.quota_mb"):
        store.hold(a_held(9, size=100), 900)
    store.close()


def test_disk_full_undoes_mail_and_its_totals(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = fill(path, 3)
    usage = store.custody_usage()
    store.hold(a_held(4), MIB)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(StoreFull, match=rf"the disk under {tmp_path} is full"):
        store.hold(a_held(5, size=40 * PAGE), MIB)
    with pytest.raises(StoreFull):
        store.commit()
    assert (numbers(store), store.custody_usage()) == ([0, 1, 2], usage)
    totals_hold(store)
    store.close()


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda store: store.waiting(), "SCAN custody USING COVERING INDEX custody_destination"),
        (lambda store: store.waiting(BOB), "SEARCH custody USING COVERING INDEX custody_destination"),
        (lambda store: store.prefixes(), "SCAN custody USING COVERING INDEX custody_expiry"),
        (lambda store: store.held_for(BOB, limit=9), "SEARCH custody USING INDEX custody_destination"),
        (lambda store: store._oldest(3), "SEARCH custody USING INDEX custody_grade"),
        (lambda store: store.slips_for(BOB, 9), "SEARCH slips USING INDEX"),
        (lambda store: store.given_since(a_held(1).giver, 0), "SEARCH given USING INDEX"),
    ],
    ids=["waiting", "waiting_one", "prefixes", "held_for", "oldest", "slips_for", "given_since"],
)
def test_questions_are_answered_from_an_index(ask: Callable[[MemoryStore], object], index: str) -> None:
    """Those about one destination, class or giver read no others; those about all read no messages."""
    store = MemoryStore(MIB)
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    ask(store)
    store._connection.set_trace_callback(None)
    (sql,) = asked
    plan = [row[3] for row in store._connection.execute("EXPLAIN QUERY PLAN " + sql)]
    assert plan[0].startswith(index), plan
    assert len(plan) == 1 or "slips" in index  # few a destination, so sorting those is cheap
    store.close()


def test_a_store_for_mail_in_memory_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: a relay that is memory-only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store = MemoryStore(0)
    before = set(os.listdir("/proc/self/fd"))
    for number in range(300):
        store.hold(a_held(number, Address(number.to_bytes(16)), size=60_000), 64 * MIB)
    store.commit()
    assert store.waiting() and store.prefixes()
    assert set(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []
    store.close()


def test_ids_that_differ_after_the_prefix_are_one_message(tmp_path: Path) -> None:
    store = MemoryStore(MIB)
    first, second = a_held(1), a_held(1)
    second.id = ObjectId(first.prefix.ljust(32, b"z"))
    assert store.hold(first, MIB).taken
    assert not store.hold(second, MIB).taken
    store.close()
