"""A recorded session, played back: nothing new in the inbox, and the counters tell (N3)."""

import socket
import threading
import time
from pathlib import Path

from nexus_drivers.framing import FrameSplitter
from nexus_drivers.tcp import PROFILE
from nexus_node.wire.frames import FrameKind
from tests.harness.nodes import RunningNode, free_port, introduce, wait_until

from .attacker import connect, counters, deliver, is_closed, listener, port_of

REFUSALS = ("no_session", "bad_tag", "replay", "bad_handshake", "unasked_reply", "bad_frame")


def refused(node: RunningNode) -> int:
    found = counters(node)
    return sum(found.get(name, 0) for name in REFUSALS)


class TcpTap:
    """Forwards connections to a port and keeps every byte of both ways, a pair a connection."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.captures: list[tuple[bytearray, bytearray]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            capture = (bytearray(), bytearray())
            self.captures.append(capture)
            for source, sink, kept in ((near, far, capture[0]), (far, near, capture[1])):
                threading.Thread(target=self._pump, args=(source, sink, kept), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        try:
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()

    def close(self) -> None:
        self._listener.close()


def test_n3_a_tcp_capture_played_back_over_tcp_and_udp(tmp_path: Path) -> None:
    with listener(tmp_path, "tcp", "udp") as bob:
        tap = TcpTap(port_of(bob, "tcp"))
        with RunningNode(tmp_path / "alice", [f"tcp connect=127.0.0.1:{tap.port}"]) as alice:
            # Two sessions: the first opens with XX, the second, alice knowing bob now, with IK.
            for session in range(2):
                alice.start()
                if session == 0:
                    introduce(alice, bob)
                    alice_id, bob_id = alice.request("id")["node_id"], bob.request("id")["node_id"]
                alice.wait_link()
                for number in range(5):
                    deliver(alice, f"session {session} text {number}", 10)
                bob.wait(bob.send("alice", "and back"), "delivered", 10)
                assert alice.terminate() == 0
        tap.close()
        wait_until(lambda: not bob.status()["links"], 10, "the end of the sessions")
        inbox, sent = bob.inbox(), [row["state"] for row in bob.outbox()]
        assert len(inbox) == 10

        opened = [bytes(there[2:3]) for there, _ in tap.captures]
        assert {FrameKind.XX1, FrameKind.IK1} <= {byte[0] for byte in opened if byte}
        ways = [bytes(way) for capture in tap.captures for way in capture if way]
        for way in ways:  # and whoever only listens learns no text, no name and no node
            for clear in (b"session", b"alice", bytes.fromhex(bob_id), bytes.fromhex(alice_id)):
                assert clear not in way
        before = refused(bob)
        for way in ways * 3:
            with connect(bob) as sock:
                sock.sendall(way)
                sock.shutdown(socket.SHUT_WR)
                assert is_closed(sock, 10)
        over_tcp = refused(bob) - before
        assert over_tcp >= len(ways) * 3

        before, to = refused(bob), ("127.0.0.1", port_of(bob, "udp"))
        datagrams = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for way in ways:
                for frame in FrameSplitter(PROFILE.mtu).parse_frames_untrusted(way):
                    if len(frame) <= 1400:
                        sock.sendto(frame, to)
                        datagrams += 1
        wait_until(lambda: refused(bob) - before >= datagrams - len(ways) * 2, 10, "refused datagrams")
        assert bob.inbox() == inbox
        assert [row["state"] for row in bob.outbox()] == sent
        assert not bob.status()["links"]
        print(f"\nreplayed: {len(ways) * 3} TCP streams ({over_tcp} frames refused), {datagrams} datagrams")


class UdpTap:
    """Forwards datagrams between one node and a port, from one address, keeping those that go there."""

    def __init__(self, to: int) -> None:
        self._to = ("127.0.0.1", to)
        self._near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._near.bind(("127.0.0.1", free_port(socket.SOCK_DGRAM)))
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port: int = self._near.getsockname()[1]
        self.kept: list[bytes] = []
        self._client: tuple[str, int] | None = None
        for pump in (self._there, self._back):
            threading.Thread(target=pump, daemon=True).start()

    def _there(self) -> None:
        while True:
            try:
                data, self._client = self._near.recvfrom(65536)
                self.kept.append(data)
                self.far.sendto(data, self._to)
            except OSError:
                return

    def _back(self) -> None:
        while True:
            try:
                data = self.far.recv(65536)
                if self._client is not None:
                    self._near.sendto(data, self._client)
            except OSError:
                time.sleep(0.01)
                if self.far.fileno() < 0:
                    return

    def replay(self) -> int:
        """Everything once more, from the very address the link lives on."""
        kept = list(self.kept)
        for data in kept:
            self.far.sendto(data, self._to)
        return len(kept)

    def close(self) -> None:
        self._near.close()
        self.far.close()


def test_n3_datagrams_played_back_into_the_living_session(tmp_path: Path) -> None:
    with listener(tmp_path, "udp") as bob:
        tap = UdpTap(port_of(bob, "udp"))
        carrier = f"udp bind=127.0.0.1:0 peers=127.0.0.1:{tap.port}"
        with RunningNode(tmp_path / "alice", [carrier]) as alice:
            alice.start()
            introduce(alice, bob)
            alice.wait_link()
            for number in range(20):
                deliver(alice, f"text {number}", 10)
            inbox, links = bob.inbox(), bob.status()["links"]
            assert len(inbox) == 20 and len(links) == 1
            for _ in range(5):
                count = tap.replay()
            assert count > 20
            wait_until(lambda: counters(bob).get("replay", 0) >= 5 * 20, 10, "replay")
            # Its openings and last messages among it did not end what works.
            deliver(alice, "still here", 10)
            assert [row["text"] for row in bob.inbox()] == [row["text"] for row in inbox] + ["still here"]
            assert [link["peer"] for link in bob.status()["links"]] == [link["peer"] for link in links]
            print(f"\nreplayed {5 * count} datagrams: {counters(bob)}")
        tap.close()
