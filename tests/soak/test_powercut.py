"""Power cuts that drop what was not synced: nothing that was promised is lost (N9, performance.md)."""

import random
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.harness.nodes import RunningNode, pair, tcp_carriers, udp_carriers
from tests.soak import objects
from tests.soak.conftest import Report
from tests.soak.counts import times
from tests.soak.powercut import Disk, build_shim
from tests.soak.traffic import Traffic, kill_after

IN_FLIGHT = 64
CUTS_PER_PAIR = 10


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


WRITER = """
import sqlite3, sys
database = sqlite3.connect("rows.db", isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute(f"PRAGMA synchronous = {sys.argv[1]}")
n = 0
while True:
    n += 1
    database.execute("INSERT INTO rows VALUES (?)", (n,))
    print(n, flush=True)
"""


@pytest.mark.parametrize(
    ("synchronous", "torn"), [("OFF", False), ("NORMAL", True), ("FULL", False), ("FULL", True)]
)
def test_the_harness_loses_what_sqlite_did_not_sync_and_nothing_else(
    synchronous: str, torn: bool, shim: Path, tmp_path: Path, rng: random.Random
) -> None:
    """The control: of rows committed and told, FULL keeps all; NORMAL and OFF lose some, so the cut bites."""
    (folder := tmp_path / "home").mkdir()
    database = sqlite3.connect(folder / "rows.db")
    database.execute("CREATE TABLE rows (n INTEGER PRIMARY KEY)")
    database.close()
    disk = Disk(folder, shim)
    disk.power_on()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, synchronous], cwd=folder, env=disk.env, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        told = 0
        while told < 300:
            told = int(writer.stdout.readline())
        writer.kill()
        told = max([told, *map(int, writer.stdout.read().split()[:-1])])
    lost = disk.cut(rng if torn else None)
    database = sqlite3.connect(folder / "rows.db")
    missing = set(range(1, told + 1)) - {row[0] for row in database.execute("SELECT n FROM rows")}
    database.close()
    if synchronous == "FULL":
        assert not missing
    else:
        assert missing
        assert lost > 0


@pytest.mark.parametrize("cuts", times(2, "SOAK_CUTS", 100))
def test_n9_power_cuts_lose_nothing_that_was_promised(
    cuts: int, shim: Path, tmp_path: Path, rng: random.Random, report: Report
) -> None:
    """Sender or receiver is cut, by turns with and without remains of unsynced writes."""
    began = time.monotonic()
    done = answered = in_flight = dropped = number = 0
    while done < cuts:
        (folder := tmp_path / str(number)).mkdir()
        carriers = (tcp_carriers(), udp_carriers(), tcp_carriers()[::-1])[number % 3]
        number += 1
        disks = {name: Disk(folder / name, shim) for name in ("alice", "bob")}
        with pair(folder, carriers, before_start=partial(switch_on, disks)) as (alice, bob):
            traffic = Traffic(alice, bob, rng)
            traffic.watch()
            takes_s = traffic.time(IN_FLIGHT)
            for _ in range(min(CUTS_PER_PAIR, cuts - done)):
                victim = rng.choice((alice, bob))
                with kill_after(victim, rng.uniform(0, takes_s)):
                    traffic.send(IN_FLIGHT)
                dropped += disks[victim.name].cut(rng if done % 2 else None)
                traffic.check()
                in_flight += traffic.in_flight()
                switch_on(disks, victim)
                victim.start()
                if victim is alice:
                    traffic.watch()
                assert "damaged" not in victim.words()
                victim.wait_link()
                done += 1
            traffic.settle()
            answered += len(traffic.texts)
    # Two cuts may both have come too early or too late.
    assert in_flight > 0 or done < CUTS_PER_PAIR, "no cut came while messages were in flight"
    took = time.monotonic() - began
    report(
        f"{done} power cuts, {answered} messages answered for, {in_flight / done:.0f} in flight at a cut, "
        f"{dropped} bytes dropped; 0 lost, 0 twice; {took:.0f} s"
    )


@pytest.mark.parametrize("cuts", times(3, "SOAK_OBJECT_CUTS", 100))
def test_n7_power_cuts_leave_no_object_that_reads_back_wrong(
    cuts: int, shim: Path, tmp_path: Path, rng: random.Random, report: Report
) -> None:
    """Objects put, fetched in parts and deleted, packs sealed and compacted, with power cut at any time."""
    (folder := tmp_path / "home").mkdir()
    disk, told = Disk(folder, shim), list[str]()
    lost = whole = partial = 0
    for cut in range(cuts):
        disk.power_on()
        objects.run_until_killed(folder / "nexus.db", told, rng, disk.env)
        lost += disk.cut(rng if cut % 2 else None)
        here, parts = objects.check(folder / "nexus.db", told)
        whole, partial = whole + here, partial + parts
    assert lost > 0
    report(
        f"{cuts} power cuts, {len(told)} objects stored; {whole} complete and {partial} partial objects read "
        f"after them, {lost} bytes dropped; 0 wrong, 0 lost"
    )


def switch_on(disks: dict[str, Disk], node: RunningNode) -> None:
    disks[node.name].power_on()
    node.env = disks[node.name].env
