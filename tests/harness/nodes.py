"""Real nodes for tests: processes of `nexus run` on real sockets, and the control socket to ask them.

```python
with tcp_pair(tmp_path) as (alice, bob):
    message = alice.send("bob", "hello")
    alice.wait(message, "delivered")
    assert [row["text"] for row in bob.inbox()] == ["hello"]
```
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from nexus_node.client.errors import ControlError, NodeNotRunning
from nexus_node.client.sync import ControlClient

NEXUS = [sys.executable, "-m", "nexus_node.cli"]
READY_TIMEOUT_S = 30.0
Json = dict[str, Any]


class RunningNode:
    """A home and the node process on it, which comes and goes. Leaving the context ends the process.

    The home is made if it is not there; its folder's name is the node's name. `env` is added to the
    environment of the node alone. Standard error goes to `log`, a file beside the home.
    """

    def __init__(
        self, home: Path, carriers: Sequence[str] = (), *, env: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self.name = home.name
        self.carriers = list(carriers)
        self.env = dict(env or {})
        self.log = home.with_name(home.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        made = subprocess.run(
            [*NEXUS, "--home", str(home), "init", "--if-missing", "--name", self.name, "--json"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        self.uri: str = json.loads(made.stdout)["uri"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill9()

    # --- the process ----------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *extra: str) -> Self:
        """Start `nexus run`, with `extra` arguments, and wait until it is ready."""
        return self.launch(*extra).wait_ready()

    def launch(self, *extra: str) -> Self:
        """Start `nexus run` and do not wait."""
        assert not self.running, f"{self.name} is running already"
        command = [*NEXUS, "--home", str(self.home), "run"]
        for carrier in self.carriers:
            command += ["--carrier", carrier]
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *extra],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **self.env},
            )
        return self

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Wait for the line `ready`; fails with the node's own words when it ends instead."""
        deadline = time.monotonic() + timeout_s
        while "ready" not in (words := self.words()).splitlines():
            assert self.running, f"{self.name} ended with {self.exit_code}:\n{words}"
            assert time.monotonic() < deadline, f"{self.name} is not ready after {timeout_s} s:\n{words}"
            time.sleep(0.005)
        return self

    def words(self) -> str:
        """Standard error since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def kill9(self) -> None:
        """SIGKILL, and wait until the process is gone; nothing when there is none."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def terminate(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; the exit code. Raises subprocess.TimeoutExpired."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    # --- the control socket ---------------------------------------------------------------------
    def control(self, timeout_s: float | None = 30.0) -> ControlClient:
        """A new connection to the control socket."""
        return ControlClient(self.home, timeout_s=timeout_s)

    def request(self, verb: str, **args: Any) -> Json:
        with self.control() as control:
            return control.request(verb, args)

    def stream(self, verb: str, **args: Any) -> list[Json]:
        with self.control() as control:
            return list(control.stream(verb, args))

    def send(self, to: str, text: str) -> str:
        """The id of a message that the node has answered for."""
        message: str = self.request("send", to=to, text=text)["id"]
        return message

    def wait(self, message: str, state: str, timeout_s: float = 30.0) -> Json:
        """Wait until a message has that state or a later one. Raises ControlError("timeout")."""
        with self.control(timeout_s + 10) as control:
            return control.request("wait", {"id": message, "state": state, "timeout_s": timeout_s})

    def inbox(self) -> list[Json]:
        return self.stream("inbox")

    def outbox(self) -> list[Json]:
        return self.stream("outbox")

    def status(self) -> Json:
        return self.request("status")

    def has_link(self) -> bool:
        """Whether a link is up; False while no node answers."""
        try:
            return any(link["state"] == "up" for link in self.status()["links"])
        except (NodeNotRunning, ControlError):
            return False

    def wait_link(self, timeout_s: float = 30.0) -> None:
        wait_until(self.has_link, timeout_s, f"a link of {self.name}")


def introduce(*nodes: RunningNode) -> None:
    """Make each running node a contact of each other, under its name."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.request("contact.add", name=other.name, uri=other.uri)


def wait_until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Ask again and again until it is true; fails, naming `what`, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.01)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nothing uses, and nothing will be given by chance.

    It lies below the range that outgoing connections get theirs from, or one of these could take it
    while its node is down.
    """
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def tcp_carriers() -> tuple[list[str], list[str]]:
    """Carriers of two nodes over TCP: the first listens, the second connects."""
    port = free_port()
    return [f"tcp listen=127.0.0.1:{port}"], [f"tcp connect=127.0.0.1:{port}"]


def udp_carriers() -> tuple[list[str], list[str]]:
    """Carriers of two nodes over UDP, each the other's peer."""
    one, other = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    ends = f"127.0.0.1:{one}", f"127.0.0.1:{other}"
    return [f"udp bind={ends[0]} peers={ends[1]}"], [f"udp bind={ends[1]} peers={ends[0]}"]


@contextmanager
def pair(
    folder: Path,
    carriers: tuple[list[str], list[str]],
    names: tuple[str, str] = ("alice", "bob"),
    before_start: Callable[[RunningNode], None] = lambda node: None,
) -> Iterator[tuple[RunningNode, RunningNode]]:
    """Two running nodes that know each other and have a link."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(RunningNode(folder / name, own))
            for name, own in zip(names, carriers, strict=True)
        )
        for node in (first, second):
            before_start(node)
            node.launch()
        for node in (first, second):
            node.wait_ready()
        introduce(first, second)
        for node in (first, second):
            node.wait_link()
        yield first, second


def tcp_pair(
    folder: Path, *, bps: int | None = None
) -> AbstractContextManager[tuple[RunningNode, RunningNode]]:
    """`bps` paces both ends."""
    paced = f" bps={bps}" if bps else ""
    one, other = tcp_carriers()
    return pair(folder, ([carrier + paced for carrier in one], [carrier + paced for carrier in other]))


def udp_pair(folder: Path) -> AbstractContextManager[tuple[RunningNode, RunningNode]]:
    return pair(folder, udp_carriers())
