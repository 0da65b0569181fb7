"""Chunks of a large object into the store and out of it: rates, and what a card has to write for a byte."""

import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from bench.workers import disk_bytes
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE, MIB
from nexus_node.crypto.merkle import leaf_hash, page_root, pages_over
from nexus_node.ports.store import StoredObject
from nexus_node.store import packs
from nexus_node.store.sqlite import SqliteStore

SIZE = 256 * 1000 * 1000
A_COMMIT = 256
"""Chunks stored at each commit."""
PACKS = (8, 16)
_ID = ObjectId(bytes(32))


def _chunks() -> Iterator[bytes]:
    for number in range(SIZE // CHUNK_SIZE):
        yield number.to_bytes(8, "little") * (CHUNK_SIZE // 8)


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def into_packs(folder: Path, pack_mb: int) -> Figures:
    """As a transfer stores it: pages, then chunk by chunk, checked; then a new start, reading, deleting."""
    packs.PACK_BYTES = pack_mb * MIB
    pages = list(pages_over(map(leaf_hash, _chunks())))
    total = SIZE // CHUNK_SIZE
    header = StoredObject(_ID, 1, total * CHUNK_SIZE, page_root(pages[-1][2]), 0)
    store = SqliteStore.open(folder / "store.db", 1 << 40)
    before, began = disk_bytes(), time.perf_counter()
    store.begin_object(header)
    for page in sorted(pages, reverse=True):
        store.add_page(_ID, *page)
    for number, chunk in enumerate(_chunks()):
        leaf_hash(chunk)  # whoever receives it checks it
        store.add_chunk(_ID, number, chunk)
        if number % A_COMMIT == A_COMMIT - 1:
            store.commit()
    store.close()
    put = time.perf_counter() - began
    written = disk_bytes() - before
    began = time.perf_counter()
    store = SqliteStore.open(folder / "store.db", 1 << 40)
    opened = time.perf_counter() - began
    began = time.perf_counter()
    size = sum(map(len, store.read_object(_ID)))
    read = time.perf_counter() - began
    rss = _rss_mb()
    began = time.perf_counter()
    store.delete_object(_ID)
    store.commit()
    deleted = time.perf_counter() - began
    store.close()
    left = sum(path.stat().st_size for path in folder.glob("*.pack"))
    return _figures(put, read, written / size) | {
        "open_s": round(opened, 3),
        "delete_s": round(deleted, 3),
        "rss_mb": round(rss),
        "left": left,
    }


def into_sqlite(folder: Path, _: int) -> Figures:
    """The same chunks as blobs: what the packs are compared with."""
    database = sqlite3.connect(folder / "store.db", isolation_level=None)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {setting}")
    database.execute("CREATE TABLE chunks (seq INTEGER PRIMARY KEY, hash BLOB UNIQUE, content BLOB)")
    before, began = disk_bytes(), time.perf_counter()
    database.execute("BEGIN")
    for number, chunk in enumerate(_chunks()):
        database.execute("INSERT INTO chunks (hash, content) VALUES (?, ?)", (leaf_hash(chunk), chunk))
        if number % A_COMMIT == A_COMMIT - 1:
            database.execute("COMMIT")
            database.execute("BEGIN")
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    put = time.perf_counter() - began
    written = disk_bytes() - before
    began = time.perf_counter()
    size = 0
    for chunk in _chunks():
        row = database.execute("SELECT content FROM chunks WHERE hash = ?", (leaf_hash(chunk),)).fetchone()
        size += len(row[0])
    read = time.perf_counter() - began
    database.close()
    return _figures(put, read, written / size)


def _figures(put: float, read: float, wear: float) -> Figures:
    return {
        "put_mb_s": round(SIZE / 1e6 / put, 1),
        "read_mb_s": round(SIZE / 1e6 / read, 1),
        "wear": round(wear, 3),
    }


def _apart(work: Callable[[Path, int], Figures], pack_mb: int) -> Figures:
    """In a process of its own, whose bytes and memory are counted, on the disk of the working directory."""
    with (
        tempfile.TemporaryDirectory(dir=".") as name,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        return pool.apply(work, (Path(name), pack_mb))


def run(_: Peer | None) -> Section:
    table = Table(
        ["chunks in", "stored", "read", "device bytes a byte", "bar", "start", "deleted in", "memory"]
    )
    for pack_mb in PACKS:
        ours = emit("chunks", {"in": f"packs of {pack_mb} MiB", **_apart(into_packs, pack_mb)})
        table.add(
            ours["in"],
            f"{ours['put_mb_s']} MB/s",
            f"{ours['read_mb_s']} MB/s",
            ours["wear"],
            f"1.3: {verdict(ours['wear'] <= 1.3)}",
            f"{ours['open_s']} s",
            f"{ours['delete_s']} s",
            f"{ours['rss_mb']} MB",
        )
    blobs = emit("chunks", {"in": "SQLite blobs", **_apart(into_sqlite, 0)})
    rates = [f"{blobs[key]} MB/s" for key in ("put_mb_s", "read_mb_s")]
    table.add(blobs["in"], *rates, blobs["wear"], "", "", "", "")
    return Section(
        "Chunks",
        f"{SIZE // 1_000_000} MB in chunks of 4 KiB, a commit (fsync) each {A_COMMIT}; the process's "
        "`write_bytes` over the bytes stored, hash tree and database included.",
        [table],
    )
