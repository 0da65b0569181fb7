"""Attackers on real sockets, and what to measure of a node that stands them."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nexus_drivers.framing import FrameSplitter, join_frames
from nexus_drivers.tcp import PROFILE
from nexus_node.crypto.identity import Identity
from nexus_node.proto.fragment import OutgoingTransfer
from nexus_node.proto.link import Link
from nexus_node.runtime.rng import OsRng
from nexus_node.wire.frames import Item, ItemKind, encode_items
from tests.harness.nodes import RunningNode, free_port, introduce, wait_until

OPENING = bytes.fromhex("01341200") + bytes(range(1, 33))
"""A well-formed XX opening without a cookie."""


def rss_mb(node: RunningNode) -> float:
    """Resident memory of the node's process in MB."""
    assert node.process is not None
    pages = int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def allow_files(wanted: int) -> int:
    """Raise this process's soft limit of open files; how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(wanted, hard)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(soft, allowed)


def port_of(node: RunningNode, scheme: str) -> int:
    """The port of the node's first carrier of that scheme."""
    carrier = next(one for one in node.carriers if one.startswith(scheme))
    return int(carrier.rpartition(":")[2])


def connect(node: RunningNode) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(node, "tcp")), timeout=10)


def counters(node: RunningNode) -> dict[str, int]:
    return node.status()["counters"]


def is_closed(sock: socket.socket, timeout_s: float = 5.0) -> bool:
    """Whether the far end closes within that time, whatever it says before."""
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(65536):
                return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False
    return False


class Neighbour:
    """A hostile neighbour: a proper link over TCP, under an identity of its own, and any items over it."""

    def __init__(self, node: RunningNode, identity: Identity | None = None) -> None:
        self.identity = identity or Identity.generate(OsRng())
        self.socket = connect(node)
        self._splitter = FrameSplitter(PROFILE.mtu)
        self.link = Link(self.identity, PROFILE, OsRng(), dialed=True, known=None, now=time.monotonic())
        self._transfer = 0
        self._flush()
        while not self.link.up:
            self.hear()

    def _flush(self) -> None:
        while (frame := self.link.poll_handshake()) is not None:
            self.socket.sendall(join_frames([frame]))

    def hear(self) -> list[Item]:
        """Wait for one block; its items that are not the link's own."""
        block = self.socket.recv(65536)
        assert block, "the node closed the connection"
        items: list[Item] = []
        for frame in self._splitter.parse_frames_untrusted(block):
            items += self.link.receive(frame, time.monotonic())
            self._flush()
        return items

    def say(self, *items: Item) -> None:
        """Items that fit one frame."""
        self.say_raw(encode_items(list(items)))

    def say_raw(self, plaintext: bytes) -> None:
        """Anything at all, properly sealed."""
        session = self.link._session
        assert session is not None
        self.socket.sendall(join_frames([session.seal(plaintext)]))

    def say_packet(self, packet: bytes) -> None:
        """A packet of any size, in fragments as our own nodes cut it."""
        if len(packet) < self.link.room:
            self.say((ItemKind.PACKET, packet))
            return
        transfer = OutgoingTransfer(self._transfer, packet, self.link.room - 1, ordered=True)
        self._transfer = (self._transfer + 1) % 256
        while not transfer.finished:
            self.say((ItemKind.FRAGMENT, transfer.next_fragment().encode()))


@contextmanager
def listener(folder: Path, *schemes: str) -> Iterator[RunningNode]:
    """A running node called bob that listens on loopback by each scheme, `tcp` or `udp`."""
    forms = {"tcp": "tcp listen=127.0.0.1:{}", "udp": "udp bind=127.0.0.1:{}"}
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    carriers = [forms[scheme].format(free_port(kinds[scheme])) for scheme in schemes]
    with RunningNode(folder / "bob", carriers) as node:
        node.start()
        wait_until(lambda: _listening(node), 20, "listening")
        yield node


def _listening(node: RunningNode) -> bool:
    return all(carrier["state"] == "listening" for carrier in node.status()["carriers"])


@contextmanager
def honest(folder: Path, node: RunningNode, scheme: str = "tcp") -> Iterator[RunningNode]:
    """A running node called alice with a carrier to `node`, each the other's contact; no link yet."""
    port = port_of(node, scheme)
    dial = {"tcp": f"tcp connect=127.0.0.1:{port}", "udp": f"udp bind=127.0.0.1:0 peers=127.0.0.1:{port}"}
    with RunningNode(folder / "alice", [dial[scheme]]) as alice:
        alice.start()
        introduce(alice, node)
        yield alice


def deliver(alice: RunningNode, text: str, within_s: float) -> float:
    """Send a text to bob; the seconds until its receipt."""
    start = time.monotonic()
    alice.wait(alice.send("bob", text), "delivered", within_s)
    return time.monotonic() - start
