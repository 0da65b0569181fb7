"""The control socket in hostile hands: it is the owner's, but no bytes on it may take the node down."""

import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nexus_node.base.limits import CONTROL_CLIENTS, CONTROL_LINE_MAX, CONTROL_REQUESTS
from nexus_node.client.path import SOCKET_NAME, control_path
from tests.harness.nodes import RunningNode, wait_until

from .attacker import allow_files, counters, rss_mb


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("control") / "owner") as running:
        yield running.start()


@pytest.fixture(autouse=True)
def stands(node: RunningNode) -> Iterator[None]:
    """After every attack the same process answers, and has thrown nothing."""
    assert node.process is not None
    pid = node.process.pid
    yield
    assert node.status()["version"] and node.running and node.process.pid == pid
    assert "Traceback" not in node.words()


def raw(node: RunningNode) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    with control_path(node.home) as path:
        sock.connect(path)
    return sock


def ask(node: RunningNode, *lines: bytes) -> list[dict[str, Any]]:
    """The answers to some lines, one each."""
    with raw(node) as sock:
        sock.sendall(b"".join(line + b"\n" for line in lines))
        with sock.makefile("rb") as answers:
            return [json.loads(answers.readline()) for _ in lines]


def request(verb: str, **args: Any) -> bytes:
    return json.dumps({"id": 1, "verb": verb, "args": args}).encode()


def test_only_the_owner_may_connect(node: RunningNode) -> None:
    mode = (node.home / SOCKET_NAME).stat()
    assert stat.S_IMODE(mode.st_mode) == 0o600 and mode.st_uid == os.getuid()


GARBAGE = {
    "bytes": os.urandom(5000).replace(b"\n", b""),
    "a list": b"[1]",
    "nesting": b"[" * 200_000,
    "objects": b'{"a":' * 100_000,
    "half a surrogate pair": b'{"id":1,"verb":"\\ud800"}',
    "infinity": b'{"id":1,"verb":"wait","args":{"timeout_s":1e999}}',
    "not a number": b'{"id":1,"verb":"wait","args":{"timeout_s":NaN}}',
    "an endless number": b'{"id":' + b"9" * 5000 + b',"verb":"status"}',
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_answered_and_counted(node: RunningNode, what: str) -> None:
    before = counters(node).get("control_line", 0)
    [answer] = ask(node, GARBAGE[what])
    assert answer["id"] is None and answer["error"]["code"] == "usage"
    assert counters(node)["control_line"] == before + 1


REQUESTS = {
    "no verb": b'{"id":1}',
    "a verb of another type": b'{"id":1,"verb":[]}',
    "no whole number": b'{"id":1.5,"verb":"status"}',
    "arguments in a list": b'{"id":1,"verb":"status","args":[]}',
    "an unknown verb": request("\u202e" * 10),
    "an unknown verb that escapes to more than a line": json.dumps(
        {"id": 1, "verb": "\u00e9" * 400_000}, ensure_ascii=False
    ).encode(),
    "a value that escapes to more than a line": json.dumps(
        {"id": 1, "verb": "contact.show", "args": {"name": "\u00e9" * 400_000}}, ensure_ascii=False
    ).encode(),
    "a text of the wrong type": request("send", to="x", text={"a": [1]}),
    "a wait for longer than there is": request("wait", id="00" * 32, state="sent", timeout_s=10**400),
    "a wait for less than nothing": request("wait", id="00" * 32, state="sent", timeout_s=-1),
    "a wait for nonsense": request("wait", id="zz", state=7),
    "a path with a zero": request("put", path="/tmp/\0"),
    "a path that is too long": request("put", path="/" + "x" * 100_000),
    "a folder": request("put", path="/"),
    "an endless file": request("put", path="/dev/zero"),
    "an object into a zero": request("get", object="00" * 32, path="\0"),
    "a number too large": request("put", path="/dev/null", ttl_s=10**30),
    "a boolean for a number": request("put", path="/dev/null", ttl_s=True),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_requests_that_cannot_be_are_refused_in_words(node: RunningNode, what: str) -> None:
    [answer] = ask(node, REQUESTS[what])
    assert answer["error"]["message"] and len(json.dumps(answer)) < 10_000


def test_nesting_just_below_what_the_parser_takes(node: RunningNode) -> None:
    """Whatever depth parses, refusing it must not go deeper."""
    for depth in range(300, 1100, 7):
        nested = b"[" * depth + b"]" * depth
        [answer] = ask(node, b'{"id":1,"verb":"contact.show","args":{"name":' + nested + b"}}")
        assert answer["error"]["code"] == "usage", depth


def test_an_endless_line_is_cut_off(node: RunningNode) -> None:
    rss = rss_mb(node)
    with raw(node) as sock:
        sent = 0
        try:
            while sent < 50 * CONTROL_LINE_MAX:
                sent += sock.send(b"x" * 65536)
        except OSError:
            pass
        assert sent < 5 * CONTROL_LINE_MAX
        assert b"too long" in sock.recv(4096)
    assert counters(node)["control_line_length"] == 1
    assert rss_mb(node) - rss < 20


def test_a_thousand_connections_half_written(node: RunningNode) -> None:
    """At most CONTROL_CLIENTS are served; the others wait in the kernel and cost the node no file."""
    rss, files = rss_mb(node), _files(node)
    allow_files(1500)
    held: list[socket.socket] = []
    try:
        for _ in range(1000):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            held.append(sock)
            with control_path(node.home) as path:
                try:
                    sock.connect(path)
                    sock.send(b'{"id":1,"verb":"sta')
                except BlockingIOError:
                    continue  # the queue of the socket is full: what a caller waits in
        wait_until(lambda: _files(node) >= files + CONTROL_CLIENTS - 5, 10, "connections")
        time.sleep(0.3)
        assert _files(node) <= files + CONTROL_CLIENTS + 2
        assert rss_mb(node) - rss < 20
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: bool(node.status()), 10, "an answer after the crowd has gone")


def test_one_connection_cannot_begin_requests_without_end(node: RunningNode) -> None:
    lines = [
        json.dumps({"id": number, "verb": "events", "args": {"follow": True}}).encode()
        for number in range(CONTROL_REQUESTS + 20)
    ]
    rss = rss_mb(node)
    with raw(node) as sock:
        sock.sendall(b"".join(line + b"\n" for line in lines))
        answers = sock.makefile("rb")
        refused = 0
        while refused < 20:
            answer = json.loads(answers.readline())
            refused += "error" in answer and answer["error"]["code"] == "usage"
    assert rss_mb(node) - rss < 20


def _files(node: RunningNode) -> int:
    assert node.process is not None
    return len(os.listdir(Path("/proc") / str(node.process.pid) / "fd"))
