"""What only a process of its own can show: what it loads, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from fake_node import FakeNode

from nexus_node.base.ids import NodeId
from nexus_node.wire.uri import make_uri

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
    node.verbs |= {"status": {"address": "11"}, "inbox": [], "paths": []}
    node.verbs["trace"] = [{"hop": 1, "address": "11", "name": None, "rtt_ms": 1.0, "last": True}]
    assert loads("--help") == set()
    assert loads("--home", str(home), "status", "--json") == set()
    assert loads("--home", str(home), "inbox", "--json") == set()
    assert loads("--home", str(home), "paths", "--json") == set()
    assert loads("--home", str(home), "trace", "bob", "--json") == set()
    # `inbox` for people is what shows that the list above can be told from an empty one.
    assert loads("--home", str(home), "inbox") == {"rich"}


def test_the_configuration_loads_no_cryptography(home: Path) -> None:
    """N10: it reads the relays' contact links, which needs none."""
    (home / "config.toml").write_text(f'relays = ["{make_uri(NodeId(bytes(32)))}"]\n')
    subprocess.run([*NEXUS, "--home", str(home), "init"], check=True, capture_output=True, timeout=30)
    assert loads("--home", str(home), "id", "--json") == {"tomllib"}


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


def on_terminal(home: Path, *args: str, **env: str) -> bytes:
    """What a terminal of 80 columns gets."""
    ours, theirs = os.openpty()
    subprocess.run(
        [*NEXUS, "--home", str(home), *args],
        stdout=theirs,
        timeout=20,
        check=True,
        env={key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
        | {"TERM": "xterm-256color"}
        | env,
    )
    os.close(theirs)
    shown = os.read(ours, 4096)
    os.close(ours)
    return shown


def test_colour_only_on_a_terminal(node: FakeNode, home: Path) -> None:
    node.verbs["send"] = {"id": "ab", "state": "failed"}
    assert b"\x1b[" in on_terminal(home, "send", "bob", "hi")
    assert b"\x1b[" not in on_terminal(home, "send", "bob", "hi", NO_COLOR="1")


def test_n4_addresses_of_paths_are_whole_on_a_narrow_terminal(node: FakeNode, home: Path) -> None:
    figures = dict.fromkeys(("bps", "mtu", "latency_ms", "cost", "age_s"), 1000)
    flags = {"name": None, "carrier": "roof", "hops": 2, "stale": True, "best": False}
    node.verbs["paths"] = [figures | flags | {"destination": "ab" * 16, "next_hop": "cd" * 16}]
    shown = on_terminal(home, "paths", NO_COLOR="1").decode()
    assert all(words in shown for words in ("ab" * 16, "cd" * 16, "1.0 kbit/s", "stale"))
