"""Packs of chunks: what damage, a full disk and compaction do to them (N7, M5)."""

import errno
import os
import random
from pathlib import Path

import pytest

from nexus_node.base.errors import StoreCorrupt, StoreFull
from nexus_node.base.limits import CHUNK_SIZE, MIB
from nexus_node.ports.store import StoredObject
from nexus_node.store import packs
from nexus_node.store.check import an_incoming
from nexus_node.store.check_objects import an_object, pages_of
from nexus_node.store.memory import MemoryStore
from nexus_node.store.packs import FileDisk
from nexus_node.store.sqlite import SqliteStore
from tests.soak import objects


def make(number: int, chunks: int = 4) -> tuple[StoredObject, list[bytes]]:
    """An object no chunk of which is in another; its last one is short."""
    content = b"".join(b"%04d%04d" % (number, at) * (CHUNK_SIZE // 8) for at in range(chunks))
    return an_object(number, content[:-7])


def put(store: SqliteStore, number: int, chunks: int = 4) -> tuple[StoredObject, list[bytes]]:
    header, content = make(number, chunks)
    assert store.put_object(header, content)
    return header, content


def packs_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pack"))


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five chunks a pack."""
    monkeypatch.setattr(packs, "PACK_BYTES", 5 * packs.cost(CHUNK_SIZE) + 100)


def test_packs_stand_beside_the_database_for_the_owner_only(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    before = os.umask(0)
    try:
        put(store, 1)
    finally:
        os.umask(before)
    assert store.dirty
    store.commit()
    assert [(path.name, path.stat().st_mode & 0o777) for path in packs_in(tmp_path)] == [
        ("nexus-000001.pack", 0o600)
    ]
    store.close()
    (tmp_path / "other-000001.pack").write_bytes(b"not ours")
    (tmp_path / "nexus-old.pack").write_bytes(b"not ours")
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    put(store, 2)
    store.close()
    assert len(packs_in(tmp_path)) == 3, "the last pack is gone on with"


@pytest.mark.parametrize("cut", [1, 40, CHUNK_SIZE, CHUNK_SIZE + 40])
@pytest.mark.parametrize("tail", [b"", bytes(9000), b"\x01" * 9000], ids=["cut", "zeros", "garbage"])
def test_torn_tail_is_taken_off_and_the_rest_kept(tmp_path: Path, cut: int, tail: bytes) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    first, second = put(store, 1), put(store, 2)
    store.close()
    (path,) = packs_in(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut] + tail)
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert list(store.read_object(first[0].id)) == first[1]
    lost = store.missing(second[0].id, limit=9)
    assert lost == ([3] if cut <= CHUNK_SIZE else [2, 3])
    assert [store.add_chunk(second[0].id, at, second[1][at]) for at in lost][-1]
    store.close()
    assert path.read_bytes() == whole
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert list(store.read_object(second[0].id)) == second[1]
    assert store.usage()[1] == first[0].size + second[0].size
    store.close()


@pytest.mark.parametrize("at", [20, 2000], ids=["head", "chunk"])
def test_damage_within_a_pack_that_has_no_footer_costs_that_chunk_only(tmp_path: Path, at: int) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    header, chunks = put(store, 1)
    store.close()
    (path,) = packs_in(tmp_path)
    data = bytearray(path.read_bytes())
    data[packs.cost(CHUNK_SIZE) + at] ^= 0xFF
    path.write_bytes(data)
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert store.missing(header.id, limit=9) == [1]
    assert store.usage()[1] == header.size - CHUNK_SIZE
    with pytest.raises(KeyError):
        store.read_object(header.id)
    assert store.add_chunk(header.id, 1, chunks[1])
    assert list(store.read_object(header.id)) == chunks
    store.close()


def test_damaged_chunk_is_not_read_but_fetched_anew(tmp_path: Path, small_packs: None) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    header, chunks = put(store, 1, 9)
    other, _ = an_object(2, chunks[2] * 2 + chunks[0])
    store.put_object(other, [chunks[2], chunks[2], chunks[0]])
    store.close()
    path = packs_in(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[data.index(chunks[2]) + 99] ^= 1
    path.write_bytes(data)

    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert store.get_object(header.id).complete, "a sealed pack is taken at its footer's word"
    used = store.usage()[1]
    read = store.read_object(header.id)
    assert [next(read), next(read)] == chunks[:2]
    with pytest.raises(StoreCorrupt, match="chunk 2 is damaged on the disk; put or fetch the object again"):
        next(read)
    assert (store.missing(header.id, limit=9), store.missing(other.id, limit=9)) == ([2], [0, 1])
    assert store.usage()[1] == used - CHUNK_SIZE
    with pytest.raises(KeyError):
        store.read_chunk(header.id, 2)
    assert store.add_chunk(header.id, 2, chunks[2])
    assert store.get_object(other.id).complete
    store.close()
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert list(store.read_object(header.id)) == chunks, "the later one counts"
    assert store.usage()[1] == used
    store.close()


def test_lost_pack_leaves_objects_in_part(tmp_path: Path, small_packs: None) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    header, chunks = put(store, 1, 9)
    store.close()
    packs_in(tmp_path)[0].unlink()
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert store.missing(header.id, limit=9) == [0, 1, 2, 3, 4]
    assert store.put_object(header, chunks)
    assert list(store.read_object(header.id)) == chunks
    store.close()


def test_footer_that_is_damaged_or_missing_is_made_anew(tmp_path: Path, small_packs: None) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    header, chunks = put(store, 1, 14)
    store.close()
    first, second, _ = packs_in(tmp_path)
    sealed = first.read_bytes(), second.read_bytes()
    first.write_bytes(sealed[0][:-3] + b"abc")
    second.write_bytes(packs._HEADER.pack(packs._MAGIC, 0) + sealed[1][packs._HEADER.size : -200])
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert list(store.read_object(header.id)) == chunks
    store.close()
    assert (first.read_bytes(), second.read_bytes()) == sealed


@pytest.mark.parametrize("memory", [False, True])
def test_pack_that_is_mostly_dead_is_compacted(tmp_path: Path, small_packs: None, memory: bool) -> None:
    store = MemoryStore(MIB) if memory else SqliteStore.open(tmp_path / "nexus.db", MIB)
    made = [put(store, number, 2) for number in range(1, 20)]
    store.commit()
    before = sum(store._packs.sizes.values())
    kept = made[::3]
    for header, _ in made:
        if header not in [one for one, _ in kept]:
            store.delete_object(header.id)
    assert sum(store._packs.sizes.values()) == before, "nothing goes before the commit"
    for _ in range(9):
        store.set_meta("key", b"value")
        store.commit()
    after = sum(store._packs.sizes.values())
    used = store.usage()[1]
    assert after <= 2 * used + 6 * CHUNK_SIZE < before
    for header, chunks in kept:
        assert list(store.read_object(header.id)) == chunks
    if memory:
        return
    store.close()
    sizes = [path.stat().st_size for path in packs_in(tmp_path)]
    assert sum(sizes) < after + 1000
    store = SqliteStore.open(tmp_path / "nexus.db", MIB)
    assert store.usage()[1] == used
    for header, chunks in kept:
        assert list(store.read_object(header.id)) == chunks
        store.delete_object(header.id)
    store.commit()
    assert packs_in(tmp_path) == []
    store.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("method", ["write", "sync"])
def test_disk_that_fails_keeps_the_last_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, method: str
) -> None:
    store = SqliteStore.open(tmp_path / "nexus.db", 64 * MIB)
    first = put(store, 1)
    partial, chunks = make(2)
    store.begin_object(partial)
    store.add_page(partial.id, *pages_of(chunks)[0])
    store.commit()
    usage = store.usage()

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    store.add_incoming(an_incoming(1))
    store.add_chunk(partial.id, 0, chunks[0])
    with monkeypatch.context() as broken:
        broken.setattr(FileDisk, method, fail)
        wanted = StoreFull if code == errno.ENOSPC else StoreCorrupt
        with pytest.raises(wanted, match=rf"the disk under {tmp_path}"):
            store.commit()
        assert not store.dirty
        assert (store.usage(), list(store.inbox())) == (usage, [])
        assert store.missing(partial.id, limit=9) == [0, 1, 2, 3]
        if method == "write":  # a caller that goes on must not commit what came later
            with pytest.raises(wanted):
                put(store, 3, 200)
            with pytest.raises(wanted):
                store.add_chunk(partial.id, 1, chunks[1])
            with pytest.raises(wanted):
                store.commit()
    for at in range(4):
        store.add_chunk(partial.id, at, chunks[at])
    store.close()
    store = SqliteStore.open(tmp_path / "nexus.db", 64 * MIB)
    assert list(store.read_object(partial.id)) == chunks
    assert list(store.read_object(first[0].id)) == first[1]
    store.close()


# --- kill -9 ----------------------------------------------------------------------------------------


def test_kill_leaves_no_object_that_reads_back_wrong(tmp_path: Path) -> None:
    rng, told = random.Random(7), list[str]()
    for _ in range(8):
        objects.run_until_killed(tmp_path / "nexus.db", told, rng, {})
        objects.check(tmp_path / "nexus.db", told)
    assert len(told) > 20
