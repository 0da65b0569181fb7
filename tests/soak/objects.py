"""A process that stores and deletes objects until it is killed, and what must be true of its store then.

Run as `python -m tests.soak.objects DATABASE FIRST SEED`. It prints a line at each commit: `+N` object N is
complete, `-N` it was deleted. Everything about object N follows from N.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.ports.store import StoredObject
from nexus_node.store import packs
from nexus_node.store.check_objects import an_object, pages_of
from nexus_node.store.sqlite import SqliteStore

QUOTA = 1 << 30
packs.PACK_BYTES = 40 * packs.cost(CHUNK_SIZE)
"""Small ones, so that sealing and compacting happen often."""


def make(number: int) -> tuple[StoredObject, list[bytes]]:
    """Up to 200 chunks, some of them those of other objects."""
    rng = random.Random(number)
    letters = [rng.randrange(2) * 1000 * number + rng.randrange(300) for _ in range(rng.randrange(2, 200))]
    content = b"".join(b"%08d" % letter * (CHUNK_SIZE // 8) for letter in letters)
    return an_object(number, content[: -rng.randrange(1, CHUNK_SIZE)])


def write(path: Path, number: int, rng: random.Random) -> None:
    """Put, fetch in parts and delete objects, telling of each commit."""
    store = SqliteStore.open(path, QUOTA)
    while True:
        number += 1
        told = [f"+{number}"]
        header, chunks = make(number)
        if rng.random() < 0.3:
            store.put_object(header, chunks)
        else:
            store.begin_object(header)
            for page in pages_of(chunks):
                store.add_page(header.id, *page)
            while missing := store.missing(header.id, limit=rng.randrange(1, 60)):
                for at in missing:
                    store.add_chunk(header.id, at, chunks[at])
                if rng.random() < 0.5:
                    store.commit()
        whole = [one for one in store.objects() if one.complete]
        for one in rng.sample(whole, max(0, len(whole) - 12)):
            store.delete_object(one.id)
            told.append(f"-{one.created_ms}")
        store.commit()
        print(*told, flush=True)


def run_until_killed(path: Path, told: list[str], rng: random.Random, env: dict[str, str]) -> None:
    """Let this module write for a while, kill it, and note what it told."""
    first = max((int(word[1:]) for word in " ".join(told).split() if word[0] == "+"), default=0) + 5
    with subprocess.Popen(
        [sys.executable, "-m", "tests.soak.objects", path, str(first), str(rng.random())],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | env,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        for _ in range(rng.randrange(1, 20)):
            told.append(child.stdout.readline())
        time.sleep(rng.uniform(0, 0.05))
        child.kill()
        told += [line for line in child.stdout if line.endswith("\n")]


def check(path: Path, lines: list[str]) -> tuple[int, int]:
    """Look at the store that was left: (complete objects, those in part); `lines` is all that was told.

    No object reads back wrong, none that was told complete lacks a chunk or is gone unless it was being
    deleted, and usage is exact.
    """
    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None
    whole, partial, sizes = set(), 0, {}
    for header in store.objects():
        wanted, chunks = make(header.created_ms)
        if header.complete:
            assert header == wanted and list(store.read_object(header.id)) == chunks
            whole.add(header.created_ms)
            here = list(range(len(chunks)))
        else:
            partial += 1
            known = {at for level, at, _ in store.pages(header.id) if level == 1}
            missing = set(store.missing(header.id, limit=999))
            here = [at for at in range(len(chunks)) if at // 128 in known and at not in missing]
            assert len(here) == header.chunks_have
            assert all(store.read_chunk(header.id, at) == chunks[at] for at in here)
        sizes.update((chunks[at], len(chunks[at])) for at in here)
    assert store.usage()[1] == sum(sizes.values())
    told = " ".join(lines).split()
    promised = {int(word[1:]) for word in told if word[0] == "+"} - {int(w[1:]) for w in told if w[0] == "-"}
    lost = promised - whole
    assert len(lost) <= 1, f"{lost} were told to be complete"
    lines += [f"-{number}" for number in lost]  # it was being deleted: the commit came, the line did not
    store.close()
    return len(whole), partial


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), random.Random(sys.argv[3]))
