"""Opening, rights, migrations, and what a disk that will not write does to the store (M5, N7)."""

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nexus_node.base import limits
from nexus_node.base.errors import NexusError, StoreCorrupt, StoreFull, StoreUnavailable
from nexus_node.base.limits import CHUNK_SIZE, MIB
from nexus_node.base.states import State
from nexus_node.ports.store import Fact
from nexus_node.store.check import an_incoming, an_object, an_outgoing
from nexus_node.store.migrations import VERSION, migrate, version_of
from nexus_node.store.sqlite import SqliteStore


def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    before = os.umask(0)
    try:
        store = SqliteStore.open(path, MIB)
        store.set_meta("key", b"value")
        store.commit()
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600}
    store.close()
    path.chmod(0o644)
    SqliteStore.open(path, MIB).close()
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_each_commit_is_synced(tmp_path: Path) -> None:
    """What a power cut would show (`make soak`): with NORMAL the WAL is not synced at a commit."""
    store = SqliteStore.open(tmp_path / "store.db", MIB)
    told = [
        store._connection.execute(f"PRAGMA {name}").fetchone() for name in ("synchronous", "journal_mode")
    ]
    assert told == [(2,), ("wal",)]  # FULL
    store.close()


def test_everything_committed_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore.open(path, MIB)
    header, chunks = an_object(1, bytes(3 * CHUNK_SIZE))
    store.put_object(header, chunks)
    store.add_outgoing(an_outgoing(1))
    store.add_facts(an_outgoing(1), Fact(State.SENT, 5, "tcp:a"))
    store.add_incoming(an_incoming(2))
    usage, states = store.usage(), store.count_states()
    store.close()
    again = SqliteStore.open(path, MIB)
    assert (again.usage(), again.count_states()) == (usage, states)
    assert states[State.SENT] == 1
    assert list(again.read_object(header.id)) == chunks
    again.close()


def test_second_process_is_told_that_the_database_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore.open(path, MIB)
    code = (
        "import sys; from pathlib import Path; from nexus_node.store.sqlite import SqliteStore\n"
        "SqliteStore.open(Path(sys.argv[1]), 1)"
    )
    child = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert f"StoreUnavailable: {path} is in use by another process" in child.stderr
    store.set_meta("key", b"value")
    store.commit()
    store.close()


def test_path_that_cannot_be_a_database_is_refused_with_words(tmp_path: Path) -> None:
    with pytest.raises(
        StoreUnavailable, match=rf"{tmp_path} cannot be used as the database \(Is a directory"
    ):
        SqliteStore.open(tmp_path, MIB)
    with pytest.raises(StoreUnavailable, match=r"No such file or directory"):
        SqliteStore.open(tmp_path / "missing" / "store.db", MIB)
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"Not a directory"):
        SqliteStore.open(tmp_path / "file" / "store.db", MIB)


@pytest.mark.parametrize("existing", [True, False])
def test_read_only_home_is_refused_with_words(existing: bool) -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        path = home / "store.db"
        if existing:
            SqliteStore.open(path, MIB).close()
            path.chmod(0o400)
        home.chmod(0o500)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:  # root may write anywhere
                    for file in (home, *home.iterdir()):
                        os.chown(file, nobody, nobody)
                    os.setuid(nobody)
                SqliteStore.open(path, MIB)
            except StoreUnavailable as error:
                os._exit(0 if re.search(r"store\.db.*right to write there", str(error)) else 2)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        home.chmod(0o700)
    assert code == 0


# --- migrations -------------------------------------------------------------------------------------


def test_migration_1_makes_the_tables_from_nothing(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    assert version_of(connection) == 0
    migrate(connection, 1)
    assert version_of(connection) == 1
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {
        "meta",
        "objects",
        "chunks",
        "outbox",
        "facts",
        "inbox",
        "correspondents",
        "neighbours",
    }
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    migrate(connection, 1)
    connection.close()


def test_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    connection.execute("CREATE TABLE neighbours (in_the_way)")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, 1)
    assert version_of(connection) == 0
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("neighbours",)]
    connection.close()


def test_database_of_a_newer_version_is_refused_with_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqliteStore.open(path, MIB).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"newer Nexus Node.*install the newer version"):
        SqliteStore.open(path, MIB)
    assert path.read_bytes() == content


# --- the disk ---------------------------------------------------------------------------------------


def test_low_disk_refuses_growth_but_not_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore.open(tmp_path / "store.db", MIB)
    store.add_outgoing(an_outgoing(1))
    store.commit()
    usage = store.usage()
    monkeypatch.setattr(limits, "DISK_RESERVE", 1 << 60)
    store._space_unchecked = 1 << 30  # as after much has been written
    for grow in (
        lambda: store.put_object(*an_object(1, b"x")),
        lambda: store.put_object(*an_object(2, bytes(3 * CHUNK_SIZE))),
        lambda: store.add_outgoing(an_outgoing(2)),
        lambda: store.add_incoming(an_incoming(2)),
    ):
        with pytest.raises(StoreFull, match=rf"the disk under {tmp_path} has only \d+ MB left; free some"):
            grow()
    assert store.usage() == usage
    assert store.add_facts(an_outgoing(1), Fact(State.DELIVERED, 5, "bob"))
    monkeypatch.undo()
    assert store.add_incoming(an_incoming(2))
    store.commit()
    assert store.outgoing(an_outgoing(1).id).state is State.DELIVERED
    store.close()


def test_disk_full_at_a_statement_undoes_all_since_the_commit(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store.db", 64 * MIB)
    store.add_incoming(an_incoming(1))
    store.commit()
    usage = store.usage()
    store.add_incoming(an_incoming(2))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(StoreFull, match=rf"the disk under {tmp_path} is full; free some space"):
        store.add_incoming(an_incoming(9, size=40 * CHUNK_SIZE))
    assert store.dirty
    with pytest.raises(StoreFull):  # a caller that goes on must not commit what came later without message 2
        store.add_incoming(an_incoming(3))
    with pytest.raises(StoreFull):
        store.commit()
    assert not store.dirty
    assert store.usage() == usage
    assert [row.sent_ms for row in store.inbox()] == [1]
    assert store.add_incoming(an_incoming(3))
    store.commit()
    store.close()
    again = SqliteStore.open(tmp_path / "store.db", 64 * MIB)
    assert [row.sent_ms for row in again.inbox()] == [1, 3]
    again.close()


def test_failure_swallowed_inside_atomic_is_raised_at_its_end(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store.db", 64 * MIB)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(StoreFull):
        with store.atomic():
            store.set_meta("key", b"value")
            with pytest.raises(StoreFull):
                store.add_incoming(an_incoming(9, size=40 * CHUNK_SIZE))
    with pytest.raises(StoreFull):
        store.commit()
    assert store.get_meta("key") is None
    store.close()


def test_disk_that_fails_at_the_commit_keeps_the_last_one(tmp_path: Path) -> None:
    """A file size limit makes the write of the WAL fail, as a broken card does."""
    child = os.fork()
    if child == 0:
        os._exit(_fail_at_commit(tmp_path / "store.db"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store = SqliteStore.open(tmp_path / "store.db", MIB)
    assert [row.sent_ms for row in store.inbox()] == [1, 3]
    store.close()


def _fail_at_commit(path: Path) -> int:
    store = SqliteStore.open(path, MIB)
    store.add_incoming(an_incoming(1))
    store.commit()
    usage = store.usage()
    store.add_incoming(an_incoming(2, size=CHUNK_SIZE))
    size = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        store.commit()
        return 2
    except (StoreFull, StoreCorrupt):
        pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if store.dirty or store.usage() != usage or len(list(store.inbox())) != 1:
        return 3
    store.add_incoming(an_incoming(3))
    try:
        store.close()
    except NexusError:
        return 4
    return 0


# --- kill -9 ----------------------------------------------------------------------------------------


def _write_until_killed(path: Path, number: int, told: int) -> None:
    store = SqliteStore.open(path, 1 << 30)
    while True:
        for _ in range(8):
            number += 1
            store.add_incoming(an_incoming(number, size=400))
            store.put_object(*an_object(number, b"x" * 5000))
            store.add_outgoing(an_outgoing(number, size=200))
        store.commit()
        os.write(told, b"%d\n" % number)


def test_kill_loses_nothing_committed(tmp_path: Path) -> None:
    """20 rounds of kill -9 while writing: what a commit covered is there, all of it or none beyond (M5)."""
    path, last = tmp_path / "store.db", 0
    for round_number in range(20):
        reading, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _write_until_killed(path, last, told)
            finally:
                os._exit(1)
        os.close(told)
        with os.fdopen(reading, "rb") as lines:
            for _ in range(1 + round_number):
                assert lines.readline()
            os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            printed = lines.read().split()
        store = SqliteStore.open(path, 1 << 30)
        assert store.recovered is None
        numbers = [row.sent_ms for row in store.inbox()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= (int(printed[-1]) if printed else last + 8 * (1 + round_number))
        assert len(numbers) % 8 == 0
        assert len(list(store.outbox())) == len(list(store.objects())) == len(numbers)
        assert store._counters == store._count()
        last = len(numbers)
        store.close()
