"""`make demo`: what a new user sees first works, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEMO = [sys.executable, str(Path(__file__).parents[2] / "examples" / "demo.py")]


@contextmanager
def demo_until(said: str, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """A demo that has come as far as that word, and what it has said by then."""
    process = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if said in line:
                break
        yield process, lines
    finally:
        process.kill()
        process.wait()


def node_pids(lines: list[str]) -> list[int]:
    return [int(pid) for pid in re.findall(r"process (\d+)", "".join(lines))]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_nothing_is_lost(tmp_path: Path) -> None:
    """M5, N10: Bob reads what Alice left with the relay; kill -9 of each in the middle of a burst."""
    done = subprocess.run(
        DEMO, capture_output=True, text=True, timeout=60, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "0 lost, 0 doubled, 0 undelivered" in done.stdout
    story = (
        "is relayed",
        "alice  has left",
        "bob    reads from alice: Hello Bob",
        "bob    sees that photo.jpg, 60 kB, is waiting",
        "bob    has the photo",
        "kill -9 bob",
        "kill -9 relay",
        "kill -9 alice",
    )
    places = [done.stdout.find(told) for told in story]
    assert -1 not in places
    assert places == sorted(places)
    assert "\x1b" not in done.stdout  # coloured only on a terminal
    assert len(done.stdout.splitlines()) < 80
    assert all(map(gone, node_pids([done.stdout])))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_interrupted_it_cleans_up(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with demo_until("bob    is ready", tmp_path) as (process, lines):
        assert len(node_pids(lines)) == 3
        assert list(tmp_path.iterdir())
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == code
    assert all(map(gone, node_pids(lines)))
    assert not list(tmp_path.iterdir())


def test_a_node_that_dies_for_good_makes_it_fail(tmp_path: Path) -> None:
    with demo_until("bob    is ready", tmp_path) as (process, lines):
        relay = node_pids(lines)[0]
        began = time.monotonic()
        os.kill(relay, signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "FAILED" in said
        assert time.monotonic() - began < 30
    assert not list(tmp_path.iterdir())
