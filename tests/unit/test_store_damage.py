"""A damaged database is recovered or refused with words, and never overwritten (N7, S2)."""

import re
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nexus_node.base.errors import StoreCorrupt, StoreError
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import CHUNK_SIZE, MIB
from nexus_node.crypto.merkle import leaf_hash
from nexus_node.ports.store import Correspondent
from nexus_node.store import sqlite
from nexus_node.store.check import BOB, CAROL, an_incoming, an_object, an_outgoing
from nexus_node.store.sqlite import SqliteStore

PAGE = 4096
CONTACT = Correspondent(BOB, Address(BOB[:16]), "bob", "trusted", True, 5, (CAROL, NodeId(bytes(32))))
BLOB = b"".join(b"%07d." % number for number in range(5 * CHUNK_SIZE // 8))
FILL = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store_damage import fill
fill(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def fill(path: Path, rows: int = 300) -> SqliteStore:
    """Write rows of each kind, a commit each 10."""
    store = SqliteStore.open(path, 64 * MIB)
    store.put_correspondent(CONTACT)
    store.put_object(*an_object(999, BLOB))
    for number in range(rows):
        store.add_incoming(an_incoming(number, size=400))
        store.put_object(*an_object(number, b"%d" % number))
        store.add_outgoing(an_outgoing(number, size=200))
        if number % 10 == 9:
            store.commit()
    store.commit()
    return store


def fill_and_crash(path: Path) -> None:
    """Leave everything in the WAL, as a crash does."""
    child = subprocess.run([sys.executable, "-c", FILL, path], check=False, timeout=60)
    assert child.returncode == -9
    assert path.with_name(path.name + "-wal").stat().st_size > 0


def page_of(path: Path, content: bytes) -> int:
    """Where the page begins that holds `content`."""
    at = path.read_bytes().index(content)
    return at - at % PAGE


def root_of(path: Path, name: str) -> int:
    """Where the first page of a table or index begins."""
    connection = sqlite3.connect(path)
    (number,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.close()
    return (number - 1) * PAGE


def scramble(path: Path, start: int) -> bytes:
    damaged = bytearray(path.read_bytes())
    damaged[start : start + PAGE] = bytes(byte ^ 0x5A for byte in damaged[start : start + PAGE])
    path.write_bytes(damaged)
    return bytes(damaged)


def aside(path: Path) -> list[Path]:
    kept = sorted(path.parent.glob(f"{path.name}.damaged-*"))
    return [file for file in kept if not file.name.endswith("-shm") and file.stat().st_size]


def sound(store: SqliteStore) -> None:
    """Every row that is there must be right, and the store must work."""
    assert store._counters == store._count()
    for row in store.inbox():
        assert row.body == an_incoming(row.sent_ms, size=400).body
    for out in store.outbox():
        sent = an_outgoing(out.min_bandwidth, size=200)
        assert (out.body, out.envelope) == (sent.body, sent.envelope)
        assert store.facts(out.id)
    for header in store.objects():
        if not header.complete:
            continue
        content = b"".join(store.read_object(header.id))
        assert content == (BLOB if header.created_ms == 999 else b"%d" % header.created_ms)
    store.add_incoming(an_incoming(10_000))
    store.commit()


def figures(store: SqliteStore) -> tuple[int, int, int]:
    whole = [header for header in store.objects() if header.complete]
    return len(list(store.inbox())), len(list(store.outbox())), len(whole)


def test_damaged_pages_of_rows_lose_those_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path).close()
    scramble(path, page_of(path, an_incoming(150, size=400).body))
    scramble(path, page_of(path, an_outgoing(150, size=200).body))
    damaged = scramble(path, page_of(path, leaf_hash(BLOB[:CHUNK_SIZE])))

    store = SqliteStore.open(path, 64 * MIB)
    (kept,) = aside(path)
    assert kept.read_bytes() == damaged
    assert store.recovered is not None and f"kept as {kept}" in store.recovered
    assert "1 pages" in store.recovered.split("lost")[1]
    inbox, outbox, objects = figures(store)
    assert 285 <= inbox < 300
    assert 280 <= outbox < 300
    assert objects == 300  # all but the one with the damaged page, which is there in part
    header, chunks = an_object(999, BLOB)
    assert store.have_chunks(header.id) == 0 and list(store.pages(header.id)) == []
    assert store.put_object(header, chunks)
    assert f"{300 - inbox} inbox" in store.recovered.split("lost")[1]
    assert store.contact("bob") == CONTACT
    sound(store)
    store.close()
    again = SqliteStore.open(path, 64 * MIB)
    assert again.recovered is None
    again.close()


@pytest.mark.parametrize("index", ["outbox_undelivered", "outbox_names", "sqlite_autoindex_inbox_1"])
def test_damaged_index_loses_nothing(tmp_path: Path, index: str) -> None:
    path = tmp_path / "store.db"
    fill(path).close()
    scramble(path, root_of(path, index))
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None and store.recovered.endswith("lost, as far as can be told: nothing")
    assert figures(store) == (300, 300, 301)
    sound(store)
    store.close()


def test_damaged_root_of_a_table_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path).close()
    scramble(path, root_of(path, "inbox"))
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None and "1 inbox" in store.recovered.split("lost")[1]
    assert figures(store) == (0, 300, 301)
    sound(store)
    store.close()


def test_one_flipped_byte_anywhere_never_breaks_the_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path, rows=25).close()
    original = path.read_bytes()
    recovered = 0
    for at in range(0, len(original), 1511):
        flipped = bytearray(original)
        flipped[at] ^= 0xFF
        path.write_bytes(flipped)
        try:
            store = SqliteStore.open(path, 64 * MIB)
        except StoreError as error:  # the header or the layout: refused, left alone or kept
            assert at < PAGE and str(path) in str(error)
            for kept in aside(path):
                kept.unlink()
            continue
        recovered += store.recovered is not None
        store.add_incoming(an_incoming(10_000))
        for header in list(store.objects()):
            with suppress(KeyError, StoreCorrupt):  # its hash tree or a chunk was hit
                list(store.read_object(header.id))
        assert at < PAGE or max(figures(store)[:2]) >= 25
        store.close()
        for kept in aside(path):
            assert kept.read_bytes() == flipped
            kept.unlink()
    assert recovered > 5


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated_file_gives_what_is_left(tmp_path: Path, part: float) -> None:
    """With fewer rows a third of the file are the first pages of its tables and indexes."""
    path = tmp_path / "store.db"
    fill(path, rows=600).close()
    pages = path.stat().st_size // PAGE
    damaged = path.read_bytes()[: int(pages * part) * PAGE]
    path.write_bytes(damaged)
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None
    assert aside(path)[0].read_bytes() == damaged
    assert sum(figures(store)[:2]) > 1200 * part / 2
    sound(store)
    store.close()


def test_file_cut_to_its_first_page_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path).close()
    damaged = path.read_bytes()[:PAGE]
    path.write_bytes(damaged)
    with pytest.raises(StoreCorrupt) as refused:
        SqliteStore.open(path, 64 * MIB)
    (kept,) = aside(path)
    assert kept.read_bytes() == damaged
    assert str(kept) in str(refused.value) and str(path) in str(refused.value)
    assert re.search("backup", str(refused.value))
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, this is a text\n" * 1000,
        bytes(range(256)) * 100,
        b"SQLite format 3\0",
        b"SQLite format 3\0" + bytes(9000),
    ],
    ids=["empty", "text", "garbage", "magic", "zeros"],
)
def test_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"is not a Nexus Node database.*left alone.*backup"):
        SqliteStore.open(path, MIB)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_other_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="is not a Nexus Node database"):
        SqliteStore.open(path, MIB)
    assert path.read_bytes() == content


def test_crash_leaves_everything_committed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill_and_crash(path)
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is None
    assert len(list(store.inbox())) == len(list(store.outbox())) == 300
    sound(store)
    store.close()


@pytest.mark.parametrize("part", [0.3, 0.8])
def test_damaged_wal_gives_a_sound_store(tmp_path: Path, part: float) -> None:
    path = tmp_path / "store.db"
    fill_and_crash(path)
    wal = path.with_name("store.db-wal")
    damaged = bytearray(wal.read_bytes())
    at = int(len(damaged) * part)
    damaged[at : at + 64] = bytes(byte ^ 0x5A for byte in damaged[at : at + 64])
    wal.write_bytes(damaged)
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None or len(list(store.inbox())) < 300
    sound(store)
    store.close()


def test_damaged_database_with_a_wal_is_set_aside_with_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path).close()
    fill_and_crash_more = FILL.replace("fill(Path(sys.argv[1]))", "more(Path(sys.argv[1]))").replace(
        "import fill", "import more"
    )
    subprocess.run([sys.executable, "-c", fill_and_crash_more, path], check=False, timeout=60)
    wal = path.with_name("store.db-wal")
    damaged, log = bytearray(path.read_bytes()), wal.read_bytes()
    damaged[10 * PAGE : 12 * PAGE] = bytes(2 * PAGE)
    path.write_bytes(damaged)
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None
    database, *others = aside(path)
    assert database.read_bytes() == damaged
    assert [kept.read_bytes() for kept in others] == [log]
    assert store.get_meta("after") == b"in the WAL only"
    store.close()


def more(path: Path) -> None:
    store = SqliteStore.open(path, 64 * MIB)
    store.set_meta("after", b"in the WAL only")
    store.commit()


def test_power_cut_between_the_renames_of_a_recovery(tmp_path: Path) -> None:
    """A finished recovery whose renames were cut off is put in place at the next start."""
    for left in ([], ["store.db"], ["store.db", "store.db-wal"]):
        home = tmp_path / str(len(left))
        home.mkdir()
        fill(home / "good.db", rows=20).close()
        (home / "good.db").rename(home / "store.db.recovered")
        for name in left:
            (home / name).write_bytes(b"damaged " + name.encode())
        store = SqliteStore.open(home / "store.db", 64 * MIB)
        assert len(list(store.inbox())) == 20
        store.close()
        kept = sorted(file.read_bytes() for file in aside(home / "store.db"))
        assert kept == sorted(b"damaged " + name.encode() for name in left)


def test_damage_met_while_running_is_recovered_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database too large to be checked at every start is checked after an error."""
    monkeypatch.setattr(sqlite, "CHECK_MAX", PAGE)
    path = tmp_path / "store.db"
    fill(path).close()
    scramble(path, root_of(path, "sqlite_autoindex_inbox_1"))
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is None
    with pytest.raises(StoreCorrupt, match=r"start the node again to have it checked and recovered"):
        store.incoming(an_incoming(1).id)
    store.close()
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is not None
    sound(store)
    store.close()
    store = SqliteStore.open(path, 64 * MIB)
    assert store.recovered is None
    store.close()
