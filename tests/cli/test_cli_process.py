"""What only a process of its own can show: what it loads, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from fake_node import FakeNode

NEXUS = [sys.executable, "-m", "nexus_node.cli"]
HEAVY = ("trio", "nacl", "cryptography", "rich", "segno", "asyncio", "tomllib", "sqlite3")


def loads(*args: str) -> set[str]:
    """Which of the heavy modules a command line loads."""
    code = f"""
import sys
from nexus_node.cli.main import main
try:
    main()
finally:
    print("loaded", *(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split("loaded")[1].split())


def test_help_and_verbs_load_nothing_heavy(node: FakeNode, home: Path) -> None:
    node.verbs |= {"status": {"address": "11"}, "inbox": []}
    assert loads("--help") == set()
    assert loads("--home", str(home), "status", "--json") == set()
    assert loads("--home", str(home), "inbox", "--json") == set()
    # `inbox` for people is what shows that the list above can be told from an empty one.
    assert loads("--home", str(home), "inbox") == {"rich"}


def test_followed_lines_come_at_once_and_the_end_of_a_pipe_is_quiet(node: FakeNode, home: Path) -> None:
    node.verbs["events"] = [{"event": "first"}, ..., *[{"event": "more"}] * 5000]
    process = subprocess.Popen(
        [*NEXUS, "--home", str(home), "events", "--follow", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline()) == {"event": "first"}
    process.stdout.close()
    node.wake.set()
    assert process.stderr.read() == b""
    assert process.wait(10) == 0


def test_control_c_is_quiet(node: FakeNode, home: Path) -> None:
    node.verbs["inbox"] = [
        {"id": "ab", "from": "bob", "text": "x", "sent_ms": 0, "received_ms": 0, "attachments": []},
        ...,
    ]
    process = subprocess.Popen(
        [*NEXUS, "--home", str(home), "inbox", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"bob" in process.stdout.readline()
    assert process.stdout.readline() == b"    x\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_colour_only_on_a_terminal(node: FakeNode, home: Path) -> None:
    node.verbs["send"] = {"id": "ab", "state": "failed"}

    def on_terminal(**env: str) -> bytes:
        ours, theirs = os.openpty()
        subprocess.run(
            [*NEXUS, "--home", str(home), "send", "bob", "hi"],
            stdout=theirs,
            timeout=20,
            check=True,
            env={key: value for key, value in os.environ.items() if key != "NO_COLOR"}
            | {"TERM": "xterm-256color"}
            | env,
        )
        os.close(theirs)
        shown = os.read(ours, 4096)
        os.close(ours)
        return shown

    assert b"\x1b[" in on_terminal()
    assert b"\x1b[" not in on_terminal(NO_COLOR="1")
