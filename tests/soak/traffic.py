"""What the soak tests keep account of: messages a node has answered for, and what both sides show of them."""

import random
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nexus_node.client.codec import LineBuffer, encode_request, parse_line_untrusted
from nexus_node.client.errors import NodeNotRunning
from nexus_node.client.path import control_path
from nexus_node.store.database import STATES
from tests.harness.nodes import Json, RunningNode

ARRIVED = ("delivered", "read")
SETTLE_S = 90.0


@contextmanager
def kill_after(node: RunningNode, delay_s: float) -> Iterator[None]:
    """SIGKILL the node that long after the context was entered; on leaving it is dead."""
    assert node.process is not None
    timer = threading.Timer(delay_s, node.process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        node.kill9()


def send_many(
    node: RunningNode, to: str, texts: list[str], rng: random.Random, answered: Callable[[str, str], None]
) -> None:
    """Send texts in batches of a random size, calling `answered(id, text)` after each answer was read.

    Returns early when the node dies. A batch goes in one write, so its messages share a commit.
    """
    size = rng.choice((4, 16, 64, 64))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        try:
            with control_path(node.home) as path:
                connection.connect(path)
            lines = LineBuffer()
            at = 0
            while at < len(texts):
                batch = range(at, min(at + size, len(texts)))
                requests = (encode_request(n, "send", {"to": to, "text": texts[n]}) for n in batch)
                connection.sendall(b"".join(requests))
                while at < batch.stop:
                    if not (block := connection.recv(65536)):
                        return
                    for line in lines.feed(block):
                        answer = parse_line_untrusted(line)
                        assert "result" in answer, answer
                        answered(answer["result"]["id"], texts[answer["id"]])
                        at += 1
        except (ConnectionError, FileNotFoundError):
            return  # killed


class Traffic:
    """Messages from one node to another."""

    def __init__(self, sender: RunningNode, receiver: RunningNode, rng: random.Random) -> None:
        self.sender, self.receiver = sender, receiver
        self.texts: dict[str, str] = {}
        """By id, recorded after the answer to `send` was read."""
        self.shown: set[str] = set()
        """Ids that the sender has shown, or durably holds, as delivered."""
        self.read: set[str] = set()
        """Ids that the receiver has shown."""
        self._seen: set[str] = set()
        self._rng = random.Random(rng.random())
        self._count = 0

    def send(self, count: int) -> None:
        """Send that many new texts, or fewer if the sender dies; all differ, some need fragments."""
        texts = []
        for _ in range(count):
            self._count += 1
            length = self._rng.choices((20, 100, 600, 3000, 20000), (20, 60, 14, 5, 1))[0]
            texts.append(
                f"{self.sender.name} {self._count} ".ljust(self._rng.randint(length // 2, length), "x")
            )
        send_many(self.sender, self.receiver.name, texts, self._rng, self.texts.__setitem__)

    def time(self, count: int) -> float:
        """Seconds from sending that many until the last of them is delivered."""
        began = time.monotonic()
        self.send(count)
        self.sender.wait(list(self.texts)[-1], "delivered")
        return time.monotonic() - began

    def watch(self) -> None:
        """From now until the sender ends, note what its events call delivered."""

        def follow() -> None:
            with suppress(NodeNotRunning):
                for event in self.sender.control(None).stream("events", {"follow": True}):
                    if event["event"] == "message_state" and event["state"] in ARRIVED:
                        self._seen.add(event["id"])

        threading.Thread(target=follow, daemon=True).start()

    # --- what the two sides hold ----------------------------------------------------------------
    def sent_states(self) -> dict[str, str]:
        """State by message id at the sender: as shown if it runs, else as on its disk."""
        self.shown |= self._seen.copy()
        if self.sender.running:
            states = {
                row["id"]: row["state"] for row in self.sender.outbox() if row["to"] == self.receiver.name
            }
        else:
            states = dict(rows_on_disk(self.sender.home, "SELECT lower(hex(id)), state FROM outbox"))
            states = {message: STATES[code] for message, code in states.items()}
        self.shown |= {message for message, state in states.items() if state in ARRIVED}
        return states

    def arrived(self) -> list[str]:
        """Message ids in the receiver's inbox: as shown if it runs, else as on its disk."""
        if self.receiver.running:
            ids = [row["id"] for row in self.receiver.inbox()]
            self.read.update(ids)
            return ids
        return [row[0] for row in rows_on_disk(self.receiver.home, "SELECT lower(hex(id)) FROM inbox")]

    # --- what must hold -------------------------------------------------------------------------
    def check(self) -> None:
        """At any instant: what was answered for is at the sender, what it calls delivered is in the inbox."""
        states = self.sent_states()  # before the inbox, which may only be ahead
        missing = self.texts.keys() - states.keys()
        assert not missing, f"{len(missing)} messages that send answered for are not in the outbox"
        back = {message for message in self.shown if states[message] not in ARRIVED}
        assert not back, f"{len(back)} messages were delivered and are not any more"
        arrived = set(self.arrived())
        gone = self.read - arrived
        assert not gone, f"{len(gone)} messages were shown in the inbox and are not any more"
        lost = self.shown - arrived
        assert not lost, f"{len(lost)} messages are called delivered and not in the inbox"

    def in_flight(self) -> int:
        """How many messages that were answered for are not known to be delivered."""
        return len(self.texts.keys() - self.shown)

    def settle(self) -> None:
        """With both nodes running: all arrives, exactly once, with its text; states end in delivered."""
        deadline = time.monotonic() + SETTLE_S
        pause = 0.02
        while not all(state in ARRIVED for state in self.sent_states().values()):
            assert time.monotonic() < deadline, f"not settled within {SETTLE_S} s: {self._waiting()}"
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
        self.check()
        inbox = self.receiver.inbox()
        got = {row["id"]: row["text"] for row in inbox}
        assert len(got) == len(inbox), "a message is in the inbox twice"
        assert len(set(got.values())) == len(inbox), "a text is in the inbox twice"
        wrong = {message for message, text in self.texts.items() if got.get(message) != text}
        assert not wrong, (
            f"{len(wrong)} messages that send answered for are not in the inbox as they were sent"
        )
        assert got.keys() <= self.sent_states().keys(), "a message in the inbox was never sent"

    def _waiting(self) -> Json:
        rows = [row for row in self.sender.outbox() if row["state"] not in ARRIVED]
        return {
            "waiting": len(rows),
            "first": rows[:2],
            "sender": self.sender.status(),
            "receiver": self.receiver.status(),
        }


def rows_on_disk(home: Path, query: str) -> list[tuple[str, str]]:
    """Read the database of a node that does not run from a copy: reading must not mend anything."""
    with tempfile.TemporaryDirectory() as folder:
        for path in home.glob("nexus.db*"):
            shutil.copy(path, folder)
        if not (Path(folder) / "nexus.db").exists():
            return []
        connection = sqlite3.connect(Path(folder) / "nexus.db")
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
