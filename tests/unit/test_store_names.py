"""Rows of the outbox are found by id and read mark, whose names are written many at a time (N9, M5)."""

import sqlite3
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest

from nexus_node.base.ids import MessageId, ObjectId
from nexus_node.base.states import State
from nexus_node.ports.groups import Letter
from nexus_node.ports.store import Fact, Outgoing
from nexus_node.store.check import an_outgoing
from nexus_node.store.check_groups import a_group
from nexus_node.store.files import make_database
from nexus_node.store.migrations import migrate
from nexus_node.store.outbox import OutboxTable
from nexus_node.store.sqlite import SqliteStore

QUOTA = 10**8
PAGE_IN_WAL = 4096 + 24


def a_row(number: int) -> Outgoing:
    """As `an_outgoing`, with an id and marks as random as real ones."""

    def name(what: bytes, size: int) -> bytes:
        return blake2b(b"%s %d" % (what, number), digest_size=size).digest()

    object_id = ObjectId(name(b"id", 32))
    return replace(
        an_outgoing(number, size=150),
        id=MessageId(object_id),
        object=object_id,
        delivered_mark=name(b"delivered", 16),
        read_mark=name(b"read", 16),
    )


def add(store: SqliteStore, *numbers: int) -> list[Outgoing]:
    rows = [a_row(number) for number in numbers]
    for row in rows:
        row.seq = store.add_outgoing(row)
    return rows


def found(store: SqliteStore, rows: list[Outgoing]) -> bool:
    return all(
        store.outgoing(row.id) == row and store.find_by_mark(row.read_mark) == (row, State.READ)
        for row in rows
    )


def named(store: SqliteStore) -> int:
    count: int = store._read("SELECT count(*) FROM outbox_names")[0][0]
    return count


def crash(store: SqliteStore, path: Path) -> SqliteStore:
    store._connection.close()
    return SqliteStore.open(path, QUOTA)


def test_rows_are_found_with_names_and_without_and_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    store = SqliteStore.open(path, QUOTA)
    rows: list[Outgoing] = []
    for start in range(0, 2600, 100):
        rows += add(store, *range(start, start + 100))
        assert found(store, rows[-100:])
        store.commit()
    assert named(store) == 2 * 2200  # when 1,024 were without, with the commit of the hundred
    assert found(store, rows) and store.outgoing(MessageId(bytes(32))) is None
    add(store, 9999)
    store = crash(store, path)
    assert found(store, rows) and store.outgoing(a_row(9999).id) is None
    store.close()


def test_a_commit_writes_few_pages_however_many_rows_there_are(tmp_path: Path) -> None:
    """Cards wear by the page: of 20 rows each had two pages of its own in the indexes of ids and marks."""
    path = tmp_path / "nexus.db"
    store = SqliteStore.open(path, QUOTA)
    store._connection.execute("PRAGMA wal_autocheckpoint = 0")
    for row in add(store, *range(5000)):
        store.add_facts(row, Fact(State.DELIVERED, 5, "bob"))
    store.commit()
    wal = Path(f"{path}-wal")
    before = wal.stat().st_size
    add(store, *range(5000, 5020))
    store.commit()
    assert (wal.stat().st_size - before) / PAGE_IN_WAL <= 10
    store.close()


@pytest.mark.parametrize("what", ["INSERT OR IGNORE INTO outbox_names", "COMMIT"])
def test_names_that_cannot_be_written_leave_the_rows_as_they_were(tmp_path: Path, what: str) -> None:
    path = tmp_path / "nexus.db"
    store = SqliteStore.open(path, QUOTA)
    rows = add(store, *range(OutboxTable._unnamed_most - 1))
    store.commit()
    add(store, 5000, 5001)
    run = store._execute

    def full(sql: str, *values):
        if sql.startswith(what):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return run(sql, *values)

    store._execute = full
    with pytest.raises(Exception, match="is full"):
        store.commit()
    store._execute = run
    assert named(store) == 0 and found(store, rows) and store.outgoing(a_row(5000).id) is None
    rows += add(store, 5000, 5001)
    store.commit()
    assert named(store) == 2 * len(rows) and found(store, rows)
    store.close()


def test_a_row_that_gets_the_number_of_one_that_was_dropped_is_found_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    store = SqliteStore.open(path, QUOTA)
    group = a_group()
    store.put_group(group)
    rows = add(store, *range(OutboxTable._unnamed_most))
    store.commit()
    assert named(store) == 2 * len(rows)
    letter = rows.pop()
    store.add_facts(letter, Fact(State.DELIVERED, 5, "bob"))
    store.add_letter(Letter(letter.id, group.id, b"", 0))
    store.drop_letter(letter.id)
    assert named(store) == 2 * len(rows) and store.outgoing(letter.id) is None
    (again,) = add(store, 7000)
    assert again.seq == letter.seq
    store.commit()
    store = crash(store, path)
    assert found(store, [*rows, again])
    store.close()


def test_a_new_sealing_of_a_row_with_names_is_found_by_its_new_mark(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    store = SqliteStore.open(path, QUOTA)
    rows = add(store, *range(OutboxTable._unnamed_most), 3000)
    store.commit()
    unnamed = add(store, 3001)[0]
    resealed = [replace(row, read_mark=a_row(row.seq + 8000).read_mark) for row in (rows[0], unnamed)]
    for row in resealed:
        store.reseal(row)
    store.commit()
    store = crash(store, path)
    assert found(store, [*resealed, *rows[1:]])
    assert store.find_by_mark(rows[0].read_mark) is None and store.find_by_mark(unnamed.read_mark) is None
    store.close()


def test_version_10_gets_the_names_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    make_database(path, lambda connection: migrate(connection, 10))
    connection = sqlite3.connect(path, isolation_level=None)
    rows = [replace(a_row(number), seq=number + 1) for number in range(1500)]
    columns = "seq id recipient object created_ms expires_ms size min_bandwidth delivered_mark read_mark"
    names = [*columns.replace("recipient", "to").split(), "body", "envelope"]
    connection.execute("BEGIN")
    for row in rows:
        values = [getattr(row, name) for name in names]
        connection.execute(
            f"INSERT INTO outbox ({', '.join(columns.split())}, body, envelope, state, open, facts) "
            f"VALUES ({', '.join('?' * len(values))}, 10, 1, '')",
            values,
        )
    connection.execute("COMMIT")
    connection.close()
    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and named(store) == 3000
    assert found(store, rows) and list(store.outbox()) == rows
    store.close()


def changed(path: Path, *statements: str) -> str:
    """Change a closed store behind its back, and open it: what was recovered."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    store = SqliteStore.open(path, QUOTA)
    recovered = store.recovered
    store.close()
    return recovered or ""


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE outbox_named SET upto = 999999",
        "UPDATE outbox_named SET upto = -1",
        "DELETE FROM outbox_named",
        "INSERT INTO outbox_named VALUES (5)",
        "DELETE FROM outbox_names WHERE seq = 7",
        "UPDATE outbox_names SET seq = seq + 1 WHERE seq = 700",
    ],
)
def test_names_that_do_not_fit_the_rows_are_noticed_at_the_start(tmp_path: Path, damage: str) -> None:
    """As `PRAGMA integrity_check` notices of an index: such a message could not be found."""
    path = tmp_path / "nexus.db"
    store = SqliteStore.open(path, QUOTA)
    rows = add(store, *range(OutboxTable._unnamed_most + 100))
    store.commit()
    store.close()
    assert changed(path) == ""
    recovered = changed(path, damage)
    assert "by their ids" in recovered and recovered.endswith("lost, as far as can be told: nothing")
    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and found(store, rows)
    store.close()


def test_a_row_whose_names_are_gone_is_retired_and_sealed_again_all_the_same(tmp_path: Path) -> None:
    """Who holds the row knows its `seq`: a bridge would try for ever what it cannot retire."""
    store = SqliteStore.open(tmp_path / "nexus.db", QUOTA)
    rows = add(store, *range(OutboxTable._unnamed_most))
    store.commit()
    store._write("DELETE FROM outbox_names")
    store.reseal(replace(rows[0], read_mark=a_row(9000).read_mark))
    store.retire(rows[1])
    assert [row.seq for row in store.pending(rows[0].to, limit=2)] == [rows[0].seq, rows[2].seq]
    assert store.find_by_mark(a_row(9000).read_mark) is not None
    store.close()
