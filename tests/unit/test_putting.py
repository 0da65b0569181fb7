"""N7: a file is put a part at a time, whole or not at all."""

import random
from pathlib import Path

import pytest
import trio

from nexus_node.base.errors import InputError, StoreFull
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.identity import Identity
from nexus_node.engine.objects import Objects
from nexus_node.engine.putting import Putting
from nexus_node.ports.store import Keep, StoredObject
from nexus_node.runtime.node import open_node
from nexus_node.runtime.putting import _measure, _plain, put_file
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.dataobject import KIND_BLOB, KIND_VERSION, chunks_of, describe
from nexus_sim.clock import SeededRng

NOW_MS = 1_767_225_600_000
PART = 256


def made(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def begin(store, content: bytes, path: Path, armed: list[int] | None = None, **options) -> Putting:
    path.write_bytes(content)
    header, pages = _measure(path, KIND_BLOB, _plain)
    assert header == describe(KIND_BLOB, content)[0]
    arm = armed.append if armed is not None else lambda at: None
    return Objects(store, arm).begin(header, pages, now_ms=NOW_MS, **options)


def fill(putting: Putting, content: bytes) -> None:
    while putting.name():
        pass
    chunks = chunks_of(content)
    for first in range(0, len(chunks), PART):
        putting.add(first, chunks[first : first + PART])


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 128 * CHUNK_SIZE, 300 * CHUNK_SIZE + 5])
@pytest.mark.parametrize("ttl_s", [None, 60, 10**6])
def test_n7_it_is_the_object_that_it_would_be_at_once(tmp_path: Path, size: int, ttl_s: int | None) -> None:
    store, content, armed = MemoryStore(10**8), made(size), []
    putting = begin(store, content, tmp_path / "file", armed, min_bandwidth=5, ttl_s=ttl_s)
    fill(putting, content)
    stored = putting.finish()
    other = MemoryStore(10**8)
    at_once = [Objects(other, armed.append).put(content, now_ms=NOW_MS, min_bandwidth=5, ttl_s=ttl_s)]
    assert [stored] == list(store.objects()) == at_once == list(other.objects())
    assert b"".join(store.read_object(stored.id)) == content
    assert armed == ([] if ttl_s is None else [NOW_MS + 1000 * ttl_s] * 2)
    assert store.usage()[:2] == other.usage()[:2]


@pytest.mark.parametrize("size", [1, CHUNK_SIZE, 300 * CHUNK_SIZE + 5])
@pytest.mark.parametrize("spoilt", ["content", "shorter"])
def test_n7_of_a_file_that_changes_meanwhile_nothing_is_kept(tmp_path: Path, size: int, spoilt: str) -> None:
    store, content = MemoryStore(10**8), made(size)
    putting = begin(store, content, tmp_path / "file")
    with pytest.raises(InputError, match="changed while it was read"):
        if spoilt == "content":
            fill(putting, content[:-1] + bytes([content[-1] ^ 1]))
        elif size > CHUNK_SIZE:
            fill(putting, content[: 290 * CHUNK_SIZE])
        putting.finish()
    putting.drop()
    assert list(store.objects()) == [] and store.usage()[1] == 0


def test_n7_what_a_kill_left_goes_after_a_day_or_is_finished(tmp_path: Path) -> None:
    store, content = MemoryStore(10**8), made(300 * CHUNK_SIZE)
    first = begin(store, content, tmp_path / "file")
    assert not first.name()
    first.add(0, chunks_of(content)[:PART])
    (left,) = store.objects()
    assert (left.chunks_have, left.expires_ms) == (PART, NOW_MS + 24 * 3600 * 1000)
    again = begin(store, content, tmp_path / "file")
    fill(again, content)
    assert again.finish().expires_ms is None
    again.drop()  # what was there before this one stays
    assert b"".join(store.read_object(left.id)) == content


def test_n7_what_is_here_is_kept_as_its_owner_s_from_then_on(tmp_path: Path) -> None:
    store, content = MemoryStore(10**8), made(300 * CHUNK_SIZE)
    header, chunks = describe(KIND_BLOB, content)
    row = StoredObject(header.id, header.kind, header.size, header.root, 0, 5, keep=Keep.CACHED)
    store.put_object(row, chunks)
    putting = begin(store, content, tmp_path / "file")
    assert putting.complete
    stored = putting.finish()
    assert (stored.keep, stored.expires_ms) == (Keep.OWNED, None)


def test_n7_of_two_who_put_the_same_one_may_give_up(tmp_path: Path) -> None:
    store, content = MemoryStore(10**8), made(300 * CHUNK_SIZE)
    gives_up = begin(store, content, tmp_path / "file")
    other = begin(store, content, tmp_path / "file")
    fill(other, content)
    stored = other.finish()
    gives_up.drop()
    assert list(store.objects()) == [stored]


def test_n7_without_room_nothing_goes_and_the_words_say_so(tmp_path: Path) -> None:
    store = MemoryStore(10**6)
    putting = begin(store, made(300 * CHUNK_SIZE), tmp_path / "file")
    with pytest.raises(StoreFull, match=r"no room for 1228800 bytes: 0 of 1000000 .* raise store.quota_mb"):
        putting.name()
    putting.drop()
    assert list(store.objects()) == []


def test_n7_room_is_only_needed_for_what_is_not_here(tmp_path: Path) -> None:
    store, content = MemoryStore(1_500_000), made(300 * CHUNK_SIZE)
    first = begin(store, content, tmp_path / "file")  # as a kill left it
    first.name()
    first.add(0, chunks_of(content)[:PART])
    again = begin(store, content, tmp_path / "file")
    fill(again, content)
    again.finish()
    header, pages = _measure(tmp_path / "file", KIND_VERSION, _plain)  # the same chunks under another name
    other = Objects(store, lambda at: None).begin(header, pages, now_ms=NOW_MS)
    assert not other.name() and other.complete
    assert other.finish().complete
    assert store.usage()[1] == 300 * CHUNK_SIZE


def test_n7_a_small_one_that_the_disk_has_damaged_is_put_again(tmp_path: Path) -> None:
    store, content = MemoryStore(10**6), b"small"
    first = begin(store, content, tmp_path / "file")
    fill(first, content)
    stored = first.finish()
    store._write("UPDATE objects SET content = ? WHERE id = ?", (b"smaLl", stored.id))
    again = begin(store, content, tmp_path / "file")
    assert not again.complete
    fill(again, content)
    assert again.finish() == stored
    assert b"".join(store.read_object(stored.id)) == content and store.usage()[1] == len(content)


def test_n7_deleted_meanwhile(tmp_path: Path) -> None:
    store, content = MemoryStore(10**8), made(300 * CHUNK_SIZE)
    putting = begin(store, content, tmp_path / "file")
    (row,) = store.objects()
    store.delete_object(row.id)
    with pytest.raises(InputError, match="deleted while it was put"):
        fill(putting, content)


@pytest.mark.parametrize("ttl_s", [None, 3600])
def test_n7_of_a_version_without_room_for_its_record_nothing_is_kept(
    tmp_path: Path, ttl_s: int | None
) -> None:
    """All of its content fits, and then 157 bytes do not."""
    first, large = tmp_path / "first", tmp_path / "large"
    first.write_bytes(b"first")
    store = MemoryStore(10**6)

    async def main() -> None:
        async with open_node(Identity.from_seed(bytes(32)), store, SeededRng(1), []) as node:
            how = {"min_bandwidth": 0, "ttl_s": ttl_s, "label": "page"}
            stored, record = await put_file(node, first, **how)
            before = store.usage()
            large.write_bytes(made(before[2] - before[1] - 100))
            with pytest.raises(StoreFull, match="a record of a mutable object"):
                await put_file(node, large, **how)
            assert store.usage() == before and list(store.objects()) == [stored]
            assert node.core.mutables.latest(record.name) == record
            store.commit()
            large.write_bytes(made(before[2] - before[1] - 200))
            assert (await put_file(node, large, **how))[1].sequence > record.sequence

    trio.run(main)
