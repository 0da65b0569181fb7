"""Strangers with datagrams from any address they like: no state before a cookie, no amplification (N3)."""

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_node.base.limits import STRANGER_CARRIERS
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.noise import KEY_SIZE
from nexus_node.proto.handshake import HandshakeMaker
from nexus_node.runtime.rng import OsRng
from nexus_node.wire.frames import Capabilities, FrameKind, Opening, Reply, Retry, parse_frame_untrusted
from tests.harness.nodes import RunningNode, wait_until

from .attacker import OPENING, counters, deliver, honest, listener, port_of, rss_mb


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with listener(tmp_path_factory.mktemp("udp"), "udp") as node:
        yield node


def sources(count: int) -> Iterator[socket.socket]:
    """Sockets on that many loopback addresses, one after another."""
    for number in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"127.{1 + number // 60000}.{number // 250 % 240}.{1 + number % 250}", 0))
            sock.settimeout(5)
            yield sock


def test_n3_openings_from_3000_sources_leave_nothing_behind(bob: RunningNode) -> None:
    to = ("127.0.0.1", port_of(bob, "udp"))
    before, rss = bob.status(), rss_mb(bob)
    dice = random.Random(4)
    smallest = 10.0
    for number, sock in enumerate(sources(3000)):
        cookie = b"" if number % 3 else dice.randbytes(16)
        noise = dice.randbytes(KEY_SIZE + (66 if number % 2 else 0))
        kind = FrameKind.IK1 if number % 2 else FrameKind.XX1
        request = Opening(kind, number, cookie, noise).encode()
        sock.sendto(request, to)
        reply, _ = sock.recvfrom(2000)
        assert isinstance(parse_frame_untrusted(reply), Retry)
        assert len(reply) <= len(request)
        smallest = min(smallest, len(request) / len(reply))
    after = bob.status()
    assert after["carriers"] == before["carriers"] and after["links"] == []
    assert after["counters"]["cookies_sent"] - before["counters"].get("cookies_sent", 0) == 3000
    assert rss_mb(bob) - rss < 10
    print(
        f"\n3000 sources: a reply is at most 1/{smallest:.1f} of its request, rss +{rss_mb(bob) - rss:.1f} MB"
    )


def test_n3_no_reply_is_larger_than_what_asked_for_it(bob: RunningNode) -> None:
    """Whatever a stranger sends, its victim is sent no more bytes than the stranger spent."""
    to = ("127.0.0.1", port_of(bob, "udp"))
    dice = random.Random(5)
    requests = [
        OPENING,
        OPENING[:5],
        OPENING[:35],
        b"\x07",
        b"\x80" + bytes(18),
        b"\x80" + bytes(17),
        b"\x06" * 19,
    ]
    requests += [
        bytes((dice.choice((1, 4, 0x80, 0x90)), 0, 0, dice.choice((0, 16)))) + os.urandom(n)
        for n in range(90)
    ]
    sent = received = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.02)
        for request in requests:
            sock.sendto(request, to)
            sent += len(request)
            try:
                while True:
                    reply = sock.recv(2000)
                    assert len(reply) <= len(request), request.hex()
                    received += len(reply)
            except TimeoutError:
                continue
    assert 0 < received < sent
    assert not bob.status()["links"]


def test_n3_proven_strangers_are_bounded_and_honest_ones_still_come(bob: RunningNode, tmp_path: Path) -> None:
    """With a cookie a stranger gets a place, one of STRANGER_CARRIERS; the longest silent makes room."""
    to = ("127.0.0.1", port_of(bob, "udp"))
    rss = rss_mb(bob)
    count = STRANGER_CARRIERS + 150
    for number, sock in enumerate(sources(count)):
        attempt = HandshakeMaker(Identity.generate(OsRng()), OsRng()).open(None, Capabilities(1400))
        sock.sendto(Opening(attempt.kind, number, b"", attempt.message).encode(), to)
        retry = parse_frame_untrusted(sock.recv(2000))
        assert isinstance(retry, Retry)
        sock.sendto(Opening(attempt.kind, number, retry.cookie, attempt.message).encode(), to)
        assert isinstance(parse_frame_untrusted(sock.recv(2000)), Reply)
        # A cookie is good for its own source only.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.settimeout(5)
            if number % 50 == 0:
                other.sendto(Opening(attempt.kind, number, retry.cookie, attempt.message).encode(), to)
                assert isinstance(parse_frame_untrusted(other.recv(2000)), Retry)
    status = bob.status()
    assert STRANGER_CARRIERS / 2 < len(status["carriers"]) <= STRANGER_CARRIERS + 1
    dropped = {
        name: status["counters"].get(name, 0)
        for name in ("strangers_dropped", "unfinished_handshakes_dropped")
    }
    assert sum(dropped.values()) >= count - STRANGER_CARRIERS
    assert rss_mb(bob) - rss < 40
    with honest(tmp_path, bob, "udp") as alice:
        alice.wait_link(30)
        seconds = deliver(alice, "through the crowd", 5)
    print(
        f"\n{count} strangers with cookies: rss +{rss_mb(bob) - rss:.1f} MB, {dropped}, "
        f"delivered in {seconds:.3f} s"
    )


def test_datagrams_of_strangers_are_counted_by_what_is_wrong(bob: RunningNode) -> None:
    to = ("127.0.0.1", port_of(bob, "udp"))
    cases = {
        "bad_frame": b"\x00",
        "no_session": b"\x80" + bytes(40),
        "unasked_reply": Reply(FrameKind.XX2, 1, 2, bytes(98)).encode(),
        "bad_datagram": bytes(3000),
    }
    before = counters(bob)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in cases.values():
            sock.sendto(datagram, to)
        for counter in cases:
            wait_until(lambda name=counter: counters(bob).get(name, 0) > before.get(name, 0), 5, counter)
