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
from nexus_node.ports.store import StoredObject
from nexus_node.store.sqlite import SqliteStore
path, objects, chunks = Path(sys.argv[1]), 10, 24_400
def chunk(number, at):
    return (number << 32 | at).to_bytes(8, "little") * (CHUNK_SIZE // 8)
began = time.perf_counter()
store = SqliteStore.open(path, 1 << 40)
print("open", round(time.perf_counter() - began, 2), file=sys.stderr)
for number in range(objects):
    object_id = ObjectId(bytes([number]) * 32)
    if sys.argv[2] == "evict":
        assert sum(map(len, store.read_object(object_id))) == chunks * CHUNK_SIZE
        assert store.delete_object(object_id)
        store.commit()
        continue
    pages = list(pages_over(leaf_hash(chunk(number, at)) for at in range(chunks)))
    store.begin_object(StoredObject(object_id, 1, chunks * CHUNK_SIZE, page_root(pages[-1][2]), 0))
    for page in reversed(pages):
        store.add_page(object_id, *page)
    for at in range(chunks):
        done = store.add_chunk(object_id, at, chunk(number, at))
        if at % 256 == 255:
            store.commit()
    assert done
used = store.usage()[1]
store.close()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(used, peak)
"""


@pytest.mark.soak
def test_n7_a_gigabyte_is_stored_and_evicted_in_bounded_memory(tmp_path: Path, report: Report) -> None:
    words = []
    for step, left in (("store", 10 * 24_400 * 4096), ("evict", 0)):
        began = time.monotonic()
        child = subprocess.run(
            [sys.executable, "-c", CHILD, tmp_path / "nexus.db", step],
            capture_output=True,
            text=True,
            check=True,
            timeout=900,
        )
        used, peak_kb = map(int, child.stdout.split())
        assert used == left
        assert peak_kb < 120_000
        words.append(
            f"{step}: {time.monotonic() - began:.0f} s, peak {peak_kb // 1000} MB, {child.stderr.strip()}"
        )
    assert not list(tmp_path.glob("*.pack"))
    report("1 GB; " + "; ".join(words))


@pytest.mark.soak
def test_n7_a_node_is_given_a_gigabyte_and_gives_it_back_in_bounded_memory(
    tmp_path: Path, report: Report
) -> None:
    peak, answers, _ = put_and_get(tmp_path, 1_000_000_000)
    assert peak < 120
    report(f"1 GB put and got: peak {peak:.0f} MB, {answers} answers to others meanwhile")
