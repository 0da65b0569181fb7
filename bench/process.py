"""The node as a process: how fast it starts, what it takes while nothing happens (contract.md, `run`)."""

import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.nodes import NEXUS, NodeProcess, link_up
from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from bench.workers import cpu_s, free_port, rss_mb
from nexus_node.base.ids import MessageId
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.keyfile import load_identity
from nexus_node.crypto.vault import Vault
from nexus_node.ports.store import Incoming
from nexus_node.runtime.rng import OsRng
from nexus_node.runtime.service import STORE_NAME
from nexus_node.store.sqlite import SqliteStore

STORED = 50_000
IDLE_S = 20.0
_HELPS = 20
_STARTS = 5
_QUOTA = 512_000_000


def measure_help() -> Figures:
    """Wall time of `nexus --help` and of an empty Python program, medians, in ms."""
    commands = {"help_ms": [NEXUS, "--help"], "python_ms": [sys.executable, "-c", ""]}
    spans: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(_HELPS):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            spans[name].append(time.perf_counter() - begin)
    return Figures({name: round(1000 * statistics.median(each)) for name, each in spans.items()})


def measure_starts(home: Path) -> Figures:
    """From the start of the process to the line `ready`, median, in ms; resident memory 2 s later."""
    spans, sizes = [], []
    for _ in range(_STARTS):
        with NodeProcess(home) as node:
            spans.append(node.ready_s)
            time.sleep(2)
            sizes.append(rss_mb(node.pid))
    return Figures(ready_ms=round(1000 * statistics.median(spans)), rss_mb=round(statistics.median(sizes), 1))


def measure_idle(folder: Path) -> Figures:
    """Memory and CPU of the accepting one of two nodes whose link is up and has nothing to say."""
    with ExitStack() as stack:
        port = free_port()
        bob = stack.enter_context(NodeProcess(folder / "bob", [f"tcp listen=127.0.0.1:{port}"]))
        alice = stack.enter_context(NodeProcess(folder / "alice", [f"tcp connect=127.0.0.1:{port}"]))
        link_up(alice, bob)
        time.sleep(1)
        before = cpu_s(bob.pid)
        time.sleep(IDLE_S)
        share = (cpu_s(bob.pid) - before) / IDLE_S
        return Figures(idle_rss_mb=round(rss_mb(bob.pid), 1), idle_cpu_percent=round(100 * share, 2))


def fill_inbox(home: Path) -> None:
    """Put the messages of a long life into a node's inbox, as it would have stored them."""
    rng = OsRng()
    identity = load_identity((home / "identity.json").read_bytes(), None)
    vault = Vault(identity.vault_key())
    senders = [Identity.generate(rng).node_id for _ in range(50)]
    store = SqliteStore.open(home / STORE_NAME, _QUOTA)
    now_ms = int(time.time() * 1000)
    for number in range(STORED):
        name = MessageId(rng.random_bytes(32))
        body = vault.seal(b"x" * 100, rng, name)
        at_ms = now_ms - (STORED - number) * 1000
        receipts = rng.random_bytes(16), rng.random_bytes(16)
        store.add_incoming(Incoming(name, senders[number % 50], at_ms, at_ms, body, *receipts))
        if number % 1000 == 0:
            store.commit()
    store.close()


def run(peer: Peer | None) -> Section:
    with TemporaryDirectory() as name:
        folder = Path(name)
        helped = emit("process: help", measure_help())
        NodeProcess(folder / "empty")
        fresh = emit("process: start", measure_starts(folder / "empty"))
        idle = emit("process: idle", measure_idle(folder))
        NodeProcess(folder / "full")
        fill_inbox(folder / "full")
        full = emit(f"process: {STORED} stored", measure_starts(folder / "full"))
    table = Table(["", "ours", "must", ""])
    for what, value, unit, most in (
        ("`nexus --help`", helped["help_ms"], "ms", 120),
        ("an empty Python program, for comparison", helped["python_ms"], "ms", None),
        ("start to `ready`", fresh["ready_ms"], "ms", 800),
        ("idle with a link up, resident memory", idle["idle_rss_mb"], "MB", 45),
        (f"the same, CPU over {IDLE_S:.0f} s", idle["idle_cpu_percent"], "%", 0.2),
        (f"start to `ready` with {STORED:,} messages in the inbox", full["ready_ms"], "ms", 800),
        ("the same, resident memory", full["rss_mb"], "MB", None),
    ):
        bar = ("-", "-") if most is None else (f"{most} {unit}", verdict(value <= most))
        table.add(what, f"{value} {unit}", *bar)
    peers = Table(["peer", "start to ready, s", "resident memory, MB", "idle CPU, %"])
    for line in peer.run("bench_idle.py", "1", "10") if peer is not None else []:
        if line["bench"] == "idle":
            peers.add(line["what"], line["ready_s"], line["rss_mb"], line["idle_cpu_pct"])
    if peer is None:
        peers.add("rnsd, lxmd", *["not installed"] * 3)
    words = f"Medians of {_HELPS} runs of `--help` and of {_STARTS} starts; a tick of CPU time is 0.05 %."
    return Section("The process", words, [table, peers])
