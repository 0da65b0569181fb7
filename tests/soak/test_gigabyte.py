"""1 GB of chunks stored, read at a new start, and evicted, in bounded memory (N7)."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.test_files import put_and_get
from tests.soak.conftest import Report

CHILD = """
import sys, time
from pathlib import Path
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import leaf_hash, page_root, pages_over
from nexus_node.ports.store import Keep, StoredObject
from nexus_node.store.sqlite import SqliteStore
path, first, objects, chunks, quota = Path(sys.argv[1]), int(sys.argv[2]), 10, 24_400, 10**9
def chunk(number, at):
    return (number << 32 | at).to_bytes(8, "little") * (CHUNK_SIZE // 8)
began = time.perf_counter()
store = SqliteStore.open(path, quota)
print("open", round(time.perf_counter() - began, 2), file=sys.stderr)
if first < 0:
    for one in list(store.objects()):
        assert sum(map(len, store.read_object(one.id))) == one.size
        assert store.delete_object(one.id)
        store.commit()
for number in range(first, first + objects) if first >= 0 else ():
    object_id = ObjectId(bytes([number]) * 32)
    pages = list(pages_over(leaf_hash(chunk(number, at)) for at in range(chunks)))
    size = chunks * CHUNK_SIZE
    store.begin_object(StoredObject(object_id, 1, size, page_root(pages[-1][2]), 0, keep=Keep.CACHED))
    for page in reversed(pages):
        store.add_page(object_id, *page)
    for at in range(chunks):
        done = store.add_chunk(object_id, at, chunk(number, at))
        if at % 256 == 255:
            store.commit()
            assert store.usage()[1] <= quota
    assert done
here = [one.id[0] for one in store.objects()]
used = store.usage()[1]
store.close()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(used, peak, *here)
"""
SIZE = 10 * 24_400 * 4096
"""Of ten objects; there is room for ten."""


@pytest.mark.soak
def test_n7_a_gigabyte_is_stored_and_evicted_in_bounded_memory(tmp_path: Path, report: Report) -> None:
    """Ten objects of 100 MB make room for ten others, which are then read and deleted."""
    words = []
    for first, left in ((0, range(10)), (10, range(10, 20)), (-1, ())):
        began = time.monotonic()
        child = subprocess.run(
            [sys.executable, "-c", CHILD, tmp_path / "nexus.db", str(first)],
            capture_output=True,
            text=True,
            check=True,
            timeout=900,
        )
        used, peak_kb, *here = map(int, child.stdout.split())
        assert here == list(left)
        assert used == (SIZE if here else 0)
        assert peak_kb < 120_000
        words.append(f"{time.monotonic() - began:.0f} s, peak {peak_kb // 1000} MB, {child.stderr.strip()}")
    assert not list(tmp_path.glob("*.pack"))
    report("1 GB stored, replaced, deleted: " + "; ".join(words))


@pytest.mark.soak
def test_n7_a_node_is_given_a_gigabyte_and_gives_it_back_in_bounded_memory(
    tmp_path: Path, report: Report
) -> None:
    peak, answers, _ = put_and_get(tmp_path, 1_000_000_000)
    assert peak < 120
    report(f"1 GB put and got: peak {peak:.0f} MB, {answers} answers to others meanwhile")
