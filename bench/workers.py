"""The processes of a measurement. With BENCH_PROFILE=FOLDER each leaves its cProfile there."""

import cProfile
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SPAWN = multiprocessing.get_context("spawn")
_END_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def worker(target: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Run `target(pipe, *args)` in a process of its own; yields the other end of its pipe.

    The process should end when its pipe does; it is killed if it does not.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_run, args=(target, theirs, *args))
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(_END_S)
        process.kill()
        process.join()


def _run(target: Callable[..., None], pipe: Connection, *args: Any) -> None:
    folder = os.environ.get("BENCH_PROFILE")
    if folder is None:
        target(pipe, *args)
        return
    profile = cProfile.Profile(time.process_time)
    try:
        profile.runcall(target, pipe, *args)
    finally:
        profile.dump_stats(os.path.join(folder, f"{target.__module__}.{target.__name__}.{os.getpid()}.prof"))


def receive(pipe: Connection, within_s: float = 120.0) -> Any:
    """The next thing a worker says. Raises TimeoutError, or EOFError when it has ended."""
    if not pipe.poll(within_s):
        raise TimeoutError(f"a worker said nothing for {within_s:.0f} s")
    return pipe.recv()


def disk_bytes() -> int:
    """Bytes that this process has caused to be sent to the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """User and system seconds that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process in units of 2^20 bytes."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024
