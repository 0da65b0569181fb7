"""Alice, a relay and Bob on this machine lose nothing, whoever is away and whoever is killed in mid-sentence.

Alice and Bob only have a link to the relay. Run it with `make demo`. Exit code 0 only if every text that
`send` accepted is in Bob's inbox exactly once and every state is delivered.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from nexus_node.client.errors import ControlError, NodeNotRunning
from nexus_node.client.sync import ControlClient

NEXUS = [sys.executable, "-m", "nexus_node.cli"]
BURST = 200
"""Texts in a row; the kill comes when half of them are accepted."""
PHOTO_BYTES = 60_000
PATIENCE_S = 15.0
"""How long anything may take before the demo gives up."""

MEANING = {
    "relayed": " (on the relay's disk)",
    "delivered": " (a receipt only Bob can make)",
}
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
STYLES = {"alice": "35", "relay": "33", "bob": "36", "bold": "1", "good": "32", "bad": "1;31"}
STARTED = time.monotonic()


class Failed(Exception):
    """Something the demo promises did not happen."""


def styled(text: str, style: str) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if COLOURED else text


def say(who: str, text: str, style: str = "") -> None:
    """One line: seconds since the start, who, what."""
    name = styled(f"{who:<6}", who) if who in STYLES else f"{who:<6}"
    print(f"{time.monotonic() - STARTED:6.2f}  {name} {styled(text, style) if style else text}", flush=True)


def heading(text: str) -> None:
    print("\n" + styled(text, "bold"), flush=True)


def until(what: str, reached: Callable[[], bool]) -> None:
    """Wait until `reached`. Raises `Failed` when that takes too long."""
    give_up = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > give_up:
            raise Failed(f"{what} did not happen within {PATIENCE_S:.0f} s")
        time.sleep(0.02)


class DemoNode:
    """A `nexus run` process in a home of its own, whose events are printed as they come."""

    def __init__(self, name: str, home: Path, carriers: tuple[str, ...], *options: str) -> None:
        self.name = name
        self.home = home
        self.carriers = carriers
        self.options = options
        self.talks = True
        """Whether each message is told. The texts of a burst are counted instead."""
        self.log: deque[str] = deque(maxlen=20)
        self._process: subprocess.Popen[str] | None = None
        subprocess.run([*NEXUS, "--home", str(home), "init", "--name", name], check=True, capture_output=True)

    def start(self) -> None:
        """Start the process and return once it is ready."""
        # A session of its own: Ctrl-C reaches the demo alone, which then stops its nodes by their ids.
        carriers = [word for carrier in self.carriers for word in ("--carrier", carrier)]
        self._process = process = subprocess.Popen(
            [*NEXUS, "--home", str(self.home), "run", *carriers, *self.options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read_log, args=(process, ready), daemon=True).start()
        if not ready.wait(PATIENCE_S) or process.poll() is not None:
            raise Failed(f"{self.name} did not start")
        say(self.name, f"is ready ({'; '.join(self.carriers)}), process {process.pid}")
        threading.Thread(target=self._follow, daemon=True).start()

    def _read_log(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        for line in process.stderr or ():
            self.log.append(line.rstrip())
            if line == "ready\n":
                ready.set()
        ready.set()  # the end: nobody need wait longer

    def _follow(self) -> None:
        try:
            with ControlClient(self.home) as client:
                for event in client.stream("events", {"follow": True}):
                    self._tell(event)
        except (NodeNotRunning, ControlError):
            pass  # killed or stopped

    def _tell(self, event: dict[str, Any]) -> None:
        if event["event"] == "link_up":
            say(self.name, "has an encrypted link")
        elif event["event"] == "link_down":
            say(self.name, f"has lost the link: {event['why']}")
        elif event["event"] == "message_state" and self.talks:
            say(self.name, f"message {event['id'][:8]} is {event['state']}{MEANING.get(event['state'], '')}")
        elif event["event"] == "message_received" and self.talks:
            say(self.name, f"message {event['id'][:8]} has arrived")

    def kill(self) -> None:
        """`kill -9`: no chance to save anything."""
        if self._process is None:
            raise Failed(f"{self.name} is not running")
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not heard; harmless when it is not running."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self.kill()

    def client(self) -> ControlClient:
        return ControlClient(self.home, timeout_s=PATIENCE_S)

    def states(self) -> Counter[str]:
        with self.client() as client:
            return Counter(client.request("status")["queue"]["states"])


class Burst(threading.Thread):
    """Sends texts one after the other, whatever happens to the node meanwhile."""

    def __init__(self, node: DemoNode, label: str) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._label = label
        self.accepted: dict[str, str] = {}
        """Message id to text: what `send` answered for."""
        self.in_doubt: list[str] = []
        """Texts on their way to a node that was killed before it could answer: stored or not."""

    def run(self) -> None:
        numbers = count(1)
        while len(self.accepted) + len(self.in_doubt) < BURST:
            try:
                with self._node.client() as client:
                    while len(self.accepted) + len(self.in_doubt) < BURST:
                        text = f"{self._label}, text {next(numbers)}"
                        self._send(client, text)
            except NodeNotRunning:
                time.sleep(0.05)  # until it is back

    def _send(self, client: ControlClient, text: str) -> None:
        try:
            self.accepted[client.request("send", {"to": "bob", "text": text})["id"]] = text
        except NodeNotRunning:
            self.in_doubt.append(text)
            raise


def burst_with_kill(alice: DemoNode, victim: DemoNode) -> Burst:
    """Alice sends a burst; half-way `victim` is killed, and comes back."""
    before = alice.states()["delivered"]
    burst = Burst(alice, f"while {victim.name} is killed")
    burst.start()
    until("half of the burst", lambda: len(burst.accepted) >= BURST // 2)
    victim.kill()
    say("", f"kill -9 {victim.name} after {len(burst.accepted)} of {BURST} texts", "bad")
    if victim is alice:
        time.sleep(0.5)
    else:
        burst.join(PATIENCE_S)
        say("alice", f"has accepted {len(burst.accepted)} texts; {waiting(alice)} wait for Bob")
    victim.start()
    burst.join(PATIENCE_S)
    until("delivery of the burst", lambda: not burst.is_alive() and waiting(alice) == 0)
    doubt = f"; {len(burst.in_doubt)} was cut off before the answer" if burst.in_doubt else ""
    arrived = alice.states()["delivered"] - before
    say("alice", f"{len(burst.accepted)} texts accepted, {arrived} delivered{doubt}")
    return burst


def waiting(alice: DemoNode) -> int:
    states = alice.states()
    return states["queued"] + states["sent"] + states["relayed"]


def know(node: DemoNode, other: DemoNode, trust: str = "untrusted") -> None:
    """Make a contact of a node."""
    with node.client() as client:
        client.request("contact.add", {"name": other.name, "uri": contact_link(other)})
        client.request("contact.trust", {"name": other.name, "trust": trust})


def play(alice: DemoNode, relay: DemoNode, bob: DemoNode, slow: tuple[str, ...]) -> None:
    """The whole demo. Raises `Failed`."""
    heading("1. Bob is away. Alice writes to him all the same, and leaves.")
    relay.start()
    know(relay, alice, "verified")
    alice.start()
    know(alice, relay, "trusted")
    know(alice, bob)
    photo = random.Random(1).randbytes(PHOTO_BYTES)
    (alice.home / "photo.jpg").write_bytes(photo)
    with alice.client() as client:
        say("alice", f"sends: Hello Bob, are you there? And a photo of {PHOTO_BYTES // 1000} kB")
        mail = {"to": "bob", "text": "Hello Bob, are you there?", "files": [str(alice.home / "photo.jpg")]}
        hello = client.request("send.files", mail)
        say("alice", f"both are safe on disk ({hello['state']}), and Alice need not wait")
        client.request("wait", {"id": hello["id"], "state": "relayed", "timeout_s": PATIENCE_S})
    alice.stop()
    say("alice", "has left")

    heading("2. Bob comes, where there is only a link of 2,400 bit/s, and then one that is fast.")
    fast, bob.carriers = bob.carriers, slow
    bob.start()
    know(bob, alice)
    until("Bob's mail", lambda: bool(inbox(bob)))
    for message in inbox(bob):
        say("bob", f"reads from {message['from']}: {message['text']}")
        for file in message["attachments"]:
            needs = f"is {file['state']} for a link of {file['needs_bps']} bit/s"
            say("bob", f"sees that {file['name']}, {file['size'] // 1000} kB, {needs}")
    time.sleep(1)
    if photo_of(bob) is not None:
        raise Failed("the photo came over a link too slow for it")
    bob.stop()
    bob.carriers = fast
    bob.start()
    until("the photo", lambda: photo_of(bob) is not None)
    if photo_of(bob) != photo:
        raise Failed("the photo is not as it was sent")
    say("bob", "has the photo, as it was sent, without having asked for it")

    heading("3. Alice is back, and learns of it.")
    alice.start()
    with alice.client() as client:
        client.request("wait", {"id": hello["id"], "state": "delivered", "timeout_s": PATIENCE_S})
    time.sleep(0.1)

    alice.talks = bob.talks = False
    bursts = []
    for number, victim in enumerate((bob, relay, alice), 4):
        name = "the relay" if victim is relay else victim.name.capitalize()
        heading(f"{number}. Alice sends {BURST} texts; half-way {name} is killed.")
        bursts.append(burst_with_kill(alice, victim))

    heading("7. What has become of them.")
    check(alice, bob, {hello["id"]} | {message_id for burst in bursts for message_id in burst.accepted})


def inbox(node: DemoNode) -> list[dict[str, Any]]:
    with node.client() as client:
        return list(client.stream("inbox"))


def photo_of(bob: DemoNode) -> bytes | None:
    """The photo as it lies on Bob's disk, once it is there."""
    paths = [file["path"] for message in inbox(bob) for file in message["attachments"]]
    return Path(paths[0]).read_bytes() if paths and paths[0] else None


def check(alice: DemoNode, bob: DemoNode, accepted: set[str]) -> None:
    """Raises `Failed` unless every accepted message is in Bob's inbox once and known to be delivered."""
    arrived = Counter(message["id"] for message in inbox(bob))
    with alice.client() as client:
        states = {message["id"]: message["state"] for message in client.stream("outbox")}
    twice = sum(times > 1 for times in arrived.values())
    undelivered = sum(state != "delivered" for state in states.values())
    lost = len(accepted - set(arrived))
    strange = len(set(arrived) - set(states)) + len(accepted - set(states))
    say("", f"{len(accepted)} texts accepted, {lost} lost, {twice} doubled, {undelivered} undelivered")
    if lost or twice or undelivered or strange:
        raise Failed("Alice and Bob do not agree")


def contact_link(node: DemoNode) -> str:
    """What one person gives the other, as `nexus id` shows it."""
    shown = subprocess.run(
        [*NEXUS, "--home", str(node.home), "id", "--json"], check=True, capture_output=True, text=True
    )
    link: str = json.loads(shown.stdout)["uri"]
    return link


def free_port() -> int:
    """A free port below those the system lends to outgoing connections: the relay needs it again later."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def ended(number: int, _frame: object) -> NoReturn:
    """A signal that ends the demo, by way of its clean-up."""
    sys.exit(128 + number)


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGHUP, ended)
    try:
        with ExitStack() as stack:
            homes = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexus-demo-")))
            port, slow = free_port(), f"127.0.0.1:{free_port()} bps=2400"
            nodes = {}
            for name, carriers, options in (
                ("alice", (f"tcp connect=127.0.0.1:{port}",), ()),
                ("relay", (f"tcp listen=127.0.0.1:{port}", f"tcp listen={slow}"), ("--relay",)),
                ("bob", (f"tcp connect=127.0.0.1:{port}",), ()),
            ):
                nodes[name] = DemoNode(name, homes / name, carriers, *options)
                stack.callback(nodes[name].stop)
            say("", f"three identities in {homes}, removed at the end")
            try:
                play(nodes["alice"], nodes["relay"], nodes["bob"], (f"tcp connect={slow}",))
            except (Failed, ControlError, NodeNotRunning) as error:
                say("", f"FAILED: {error}", "bad")
                for node in nodes.values():
                    print(f"--- the last lines of {node.name}'s log", *node.log, sep="\n", flush=True)
                return 1
    except KeyboardInterrupt:
        print("\ninterrupted; everything is cleaned up", flush=True)
        return 130
    say("", "nothing was lost, nothing came twice", "good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
