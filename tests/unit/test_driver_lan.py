"""Discovery on the local network, here on the loopback interface."""

import random
import socket

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_drivers import lan
from nexus_drivers.lan import Beacon, Lan, open_socket, parse_beacon_untrusted
from nexus_drivers.options import Endpoint
from nexus_drivers.probe import ProbePort, meet, running, until
from nexus_drivers.udp import UdpDriver
from nexus_node.base import limits
from nexus_node.base.errors import BadWire

LOOPBACK = "127.0.0.1"


@given(st.binary(min_size=8, max_size=8), st.integers(1, 65535))
def test_beacons_are_read_as_written(instance: bytes, port: int) -> None:
    beacon = Beacon(instance, port)
    assert parse_beacon_untrusted(beacon.encode()) == beacon
    assert len(beacon.encode()) == 15


GOOD = Beacon(b"12345678", 4001).encode()


@pytest.mark.parametrize(
    "bad", [b"", GOOD[:-1], GOOD + b"x", b"X" + GOOD[1:], GOOD[:4] + b"\2" + GOOD[5:], GOOD[:-2] + b"\0\0"]
)
def test_what_is_no_beacon_is_refused(bad: bytes) -> None:
    with pytest.raises(BadWire):
        parse_beacon_untrusted(bad)


DATAGRAMS = st.one_of(
    st.binary(max_size=40), st.binary(min_size=10, max_size=10).map(lambda tail: GOOD[:5] + tail)
)


def read_untrusted(data: bytes) -> None:
    try:
        beacon = parse_beacon_untrusted(data)
    except BadWire:
        return
    assert beacon.encode() == data


test_arbitrary_bytes_give_a_beacon_or_bad_wire = given(DATAGRAMS)(read_untrusted)
test_arbitrary_bytes_for_long = pytest.mark.fuzz(
    settings(max_examples=100_000, deadline=None)(given(DATAGRAMS)(read_untrusted))
)


def lan_port() -> int:
    return random.SystemRandom().randint(12000, 32000)


def test_nodes_find_each_other_and_one_side_dials() -> None:
    async def main() -> None:
        shared = lan_port()
        drivers = [
            UdpDriver(Endpoint(LOOPBACK, 0), lan=True, lan_interface=LOOPBACK, lan_port=shared)
            for _ in range(2)
        ]
        here, there = ProbePort(), ProbePort()
        async with running(drivers[0], here):
            await trio.sleep(0.2)  # the second comes late: it must be answered, not wait for the next beacon
            async with running(drivers[1], there):
                with trio.fail_after(3.0):
                    await meet(here, there)
                await trio.sleep(0.2)
                assert (len(here.carriers), len(there.carriers)) == (1, 1)
                assert here.carriers[0].dialed != there.carriers[0].dialed

    trio.run(main)


def test_a_neighbour_that_fell_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_drivers.udp.BEACON_S", 0.1)
    monkeypatch.setattr("nexus_drivers.udp.SILENT_S", 0.5)

    async def main() -> None:
        shared = lan_port()
        port = ProbePort()
        driver = UdpDriver(Endpoint(LOOPBACK, 0), lan=True, lan_interface=LOOPBACK, lan_port=shared)
        async with running(driver, port):
            await until(lambda: bool(port.reports), "it does not listen")
            with beacon_sender() as sock:
                sock.sendto(Beacon(b"\xff" * 8, 9).encode(), (lan.GROUP, shared))
                await until(lambda: len(port.carriers) == 1, "the neighbour was not attached")
                assert (port.carriers[0].label, port.carriers[0].dialed) == ("udp:127.0.0.1:9", True)
                sock.sendto(Beacon(b"\0" * 8, 10).encode(), (lan.GROUP, shared))
                await until(lambda: not port.carriers, "the silent neighbour was kept", 3.0)

    trio.run(main)


def test_false_beacons_cannot_make_us_dial_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINKS_PER_CARRIER", 5)

    async def main() -> None:
        shared = lan_port()
        port = ProbePort()
        driver = UdpDriver(Endpoint(LOOPBACK, 0), lan=True, lan_interface=LOOPBACK, lan_port=shared)
        async with running(driver, port):
            await until(lambda: bool(port.reports), "it does not listen")
            with beacon_sender() as sock:
                for i in range(50):
                    sock.sendto(Beacon(b"\xff" * 7 + bytes([i]), 100 + i).encode(), (lan.GROUP, shared))
                await until(lambda: len(port.carriers) == 5, "neighbours were not attached")
                await trio.sleep(0.1)
                assert len(port.carriers) == 5

    trio.run(main)


def test_newcomers_share_one_answer() -> None:
    async def main() -> None:
        shared = lan_port()
        met: list[bytes] = []
        with open_socket(shared) as ours, open_socket(shared) as ear, beacon_sender() as sock:
            membership = socket.inet_aton(lan.GROUP) + socket.inet_aton(LOOPBACK)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            node = Lan(
                ours,
                interface=LOOPBACK,
                our_port=7,
                on_neighbour=lambda who, _: met.append(who),
                on_trouble=print,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.run)
                await trio.sleep(0.1)
                for i in range(30):
                    sock.sendto(Beacon(b"\0" * 7 + bytes([i]), 9).encode(), (lan.GROUP, shared))
                await trio.sleep(1.5)
                nursery.cancel_scope.cancel()
            heard = []
            while True:
                try:
                    heard.append(parse_beacon_untrusted(ear.recv(99)))
                except BlockingIOError:
                    break
        assert len([beacon for beacon in heard if beacon.port == 7]) == 2
        assert not met  # all of them are lower than any likely instance, so it is they who dial

    trio.run(main)


def beacon_sender() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
    return sock
