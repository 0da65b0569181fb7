"""Strangers on a TCP listener: silence, garbage, lying lengths, slowness, deaf ears (N3, M5)."""

import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from nexus_drivers.framing import join_frames
from nexus_drivers.tcp import TcpDriver
from nexus_node.base.limits import HANDSHAKE_TIMEOUT_S, PENDING_CONNECTIONS, TCP_CONNECTIONS
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.runtime.node import Node, open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.memory import MemoryStore
from tests.harness.nodes import free_port, wait_until

from .attacker import (
    OPENING,
    Neighbour,
    allow_files,
    connect,
    counters,
    deliver,
    honest,
    is_closed,
    listener,
    rss_mb,
)

MEMORY_MB = 40


def test_3000_silent_connections_keep_no_honest_peer_out(tmp_path: Path) -> None:
    wanted = min(3000, allow_files(3500) - 400)
    with listener(tmp_path, "tcp") as bob:
        before = peak = rss_mb(bob)
        silent: list[socket.socket] = []
        stop = threading.Event()

        def more() -> None:
            """The attack goes on while the honest peer comes."""
            while not stop.wait(0.02):
                silent.append(connect(bob))
                silent.pop(0).close()

        attack = threading.Thread(target=more)
        try:
            for number in range(wanted):
                silent.append(connect(bob))
                if number % 2:  # half-open in Noise's sense as well
                    silent[-1].sendall(join_frames([OPENING]))
            attack.start()
            with honest(tmp_path, bob) as alice:
                start = time.monotonic()
                alice.wait_link(30)
                linked = time.monotonic() - start
                seconds = [deliver(alice, f"text {number}", 10) for number in range(20)]
                peak = max(peak, rss_mb(bob))
                status = bob.status()
                assert len(bob.inbox()) == 20
            waiting = [one for one in status["carriers"] if one["state"] in ("waiting", "opening")]
            assert len(waiting) <= PENDING_CONNECTIONS
            assert len(status["carriers"]) <= TCP_CONNECTIONS + 1
            dropped = status["counters"].get("unfinished_handshakes_dropped", 0)
            away = status["counters"].get("connections_turned_away", 0)
            assert dropped > 0
            assert dropped + away >= wanted - TCP_CONNECTIONS
            assert peak - before < MEMORY_MB
        finally:
            stop.set()
            attack.join()
            for sock in silent:
                sock.close()
        print(
            f"\n{wanted} silent connections: rss {before:.1f} -> {peak:.1f} MB, "
            f"link {linked:.2f} s after the start, slowest delivery {max(seconds):.3f} s, "
            f"dropped {dropped}, turned away {away}"
        )


def test_garbage_at_line_rate(tmp_path: Path) -> None:
    with listener(tmp_path, "tcp", "udp") as bob, honest(tmp_path, bob) as alice:
        alice.wait_link(30)
        before = rss_mb(bob)
        stop, sent = threading.Event(), [0, 0]
        port = int(bob.carriers[1].rpartition(":")[2])

        def stream() -> None:
            while not stop.is_set():
                try:
                    with connect(bob) as sock:
                        while not stop.is_set():
                            # Lengths that may be, and garbage in the frames: the costlier kind.
                            sock.sendall(join_frames([os.urandom(1000)] * 20))
                            sent[0] += 20_000
                except OSError:
                    continue

        def datagrams() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", port))
                while not stop.is_set():
                    for _ in range(50):
                        try:
                            sent[1] += sock.send(os.urandom(1 + sent[1] % 1400))
                        except OSError:
                            pass

        threads = [threading.Thread(target=one) for one in (stream, stream, datagrams)]
        for thread in threads:
            thread.start()
        try:
            seconds = [deliver(alice, f"text {number}", 10) for number in range(10)]
            until = time.monotonic() + 2
            while time.monotonic() < until:
                seconds.append(deliver(alice, "more", 10))
            peak = rss_mb(bob)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        found = counters(bob)
        assert found["bad_frame"] > 100 and found["no_session"] > 10
        assert peak - before < MEMORY_MB
        assert all(one["state"] == "listening" for one in bob.status()["carriers"] if ":" in str(one["why"]))
        print(
            f"\ngarbage: {sent[0] / 1e6:.0f} MB on TCP, {sent[1] / 1e6:.0f} MB on UDP, "
            f"rss {before:.1f} -> {peak:.1f} MB, slowest of {len(seconds)} deliveries {max(seconds):.3f} s"
        )


@pytest.mark.parametrize("length", [b"\x00\x00", b"\xff\xff", b"\x01\x41"])
def test_a_length_that_cannot_be_ends_the_connection_and_counts(tmp_path: Path, length: bytes) -> None:
    with listener(tmp_path, "tcp") as bob:
        with connect(bob) as sock:
            sock.sendall(length)
            assert is_closed(sock)
        wait_until(lambda: counters(bob).get("bad_length", 0) == 1, 5, "bad_length")
        # And from a neighbour with a link, whose link ends with it.
        mallory = Neighbour(bob)
        mallory.socket.sendall(length + bytes(100))
        assert is_closed(mallory.socket)
        wait_until(lambda: counters(bob).get("bad_length", 0) == 2, 5, "bad_length")
        assert [one["state"] for one in bob.status()["carriers"]] == ["listening"]


# --- in virtual time, twenty times as fast ----------------------------------------------------------
def _in_fast_time(attack: Callable[[Node, int], Awaitable[None]]) -> None:
    async def main() -> None:
        port = free_port()
        driver = TcpDriver.from_config({"listen": f"127.0.0.1:{port}"})
        identity = Identity.generate(OsRng())
        config = CarrierConfig("tcp", {})
        async with open_node(identity, MemoryStore(10**7), OsRng(), [(driver, config)]) as node:
            while node.carriers()[0]["state"] != "listening":
                await trio.sleep(0.1)
            with trio.fail_after(120):
                await attack(node, port)

    trio.run(main, clock=MockClock(rate=20))


async def _gone(node: Node) -> float:
    """The seconds until no connection is left."""
    start = trio.current_time()
    while node.core.attachments:
        await trio.sleep(0.2)
    return trio.current_time() - start


def test_slow_loris_silence_and_half_a_frame_end_with_the_handshakes_time() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        try:
            for byte in join_frames([OPENING]) * 5:
                await stream.send_all(bytes((byte,)))
                await trio.sleep(1)
        except trio.BrokenResourceError:
            pass

    async def attack(node: Node, port: int) -> None:
        async with trio.open_nursery() as nursery:
            streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(30)]
            for number, stream in enumerate(streams):
                if number % 3 == 0:
                    nursery.start_soon(drip, stream)
                elif number % 3 == 1:
                    await stream.send_all(b"\x00\x10" + bytes(100))
            while len(node.core.attachments) < 30:
                await trio.sleep(0.1)
            assert await _gone(node) < HANDSHAKE_TIMEOUT_S + 10
            nursery.cancel_scope.cancel()

    _in_fast_time(attack)


def test_a_stranger_that_never_reads_goes_like_any_other() -> None:
    """Its openings are answered until the socket is full; the blocked write must not keep the connection."""

    async def attack(node: Node, port: int) -> None:
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await sock.connect(("127.0.0.1", port))
        stream = trio.SocketStream(sock)
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S - 3):
            while True:
                await stream.send_all(join_frames([OPENING] * 100))
        assert len(node.core.attachments) == 1
        assert await _gone(node) < 20

    _in_fast_time(attack)
