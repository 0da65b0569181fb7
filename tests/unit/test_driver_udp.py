"""The udp driver: peers, strangers who knock, and a network that complains."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from nexus_drivers.options import Endpoint, parse_endpoint
from nexus_drivers.probe import ProbePort, running, until
from nexus_drivers.sockets import source_bytes
from nexus_drivers.udp import PROFILE, UdpDriver
from nexus_node.base import limits
from nexus_node.base.errors import CarrierLost


@asynccontextmanager
async def bound(port: ProbePort, *peers: Endpoint) -> AsyncIterator[Endpoint]:
    async with running(UdpDriver(Endpoint("127.0.0.1", 0), peers), port) as it:
        await until(lambda: bool(port.reports), "it does not listen")
        yield parse_endpoint((port.reports[0][1] or "").partition(";")[0])
        assert it.ends == 0


def far_socket() -> trio.socket.SocketType:
    return trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def run(main: Callable[[], object]) -> None:
    async def in_time() -> None:
        with trio.fail_after(20):
            await main()  # type: ignore[misc]

    trio.run(in_time)


def test_n3_a_stranger_costs_nothing_before_the_node_says_so() -> None:
    knocks: list[tuple[bytes, bytes]] = []
    answers: list[bytes | bool] = [b"cookie", False, True]

    def knock(source: bytes, frame: bytes) -> bytes | bool:
        knocks.append((source, frame))
        return answers.pop(0)

    async def main() -> None:
        port = ProbePort(knock)
        async with bound(port) as where:
            with far_socket() as far:
                await far.bind(("127.0.0.1", 0))
                await far.sendto(b"first", where)
                assert await far.recvfrom(99) == (b"cookie", where)
                assert not port.carriers
                for frame in (b"second", b"third", b"fourth"):
                    await far.sendto(frame, where)
                await until(lambda: bool(port.carriers), "not attached")
                (carrier,) = port.carriers
                await until(lambda: carrier.received == [b"third", b"fourth"], "not delivered")
                me = far.getsockname()
                assert knocks == [(source_bytes(me), frame) for frame in (b"first", b"second", b"third")]
                assert (carrier.label, carrier.dialed) == (f"udp:127.0.0.1:{me[1]}", False)
                carrier.send(b"welcome")
                assert await far.recvfrom(99) == (b"welcome", where)

    run(main)


def test_n3_strangers_are_bounded_and_the_least_recently_heard_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRANGER_CARRIERS", 3)

    async def main() -> None:
        port = ProbePort()
        async with bound(port) as where:
            fars = [far_socket() for _ in range(4)]
            for far in (*fars[:3], fars[0], fars[3]):
                await far.sendto(b"x", where)
                await trio.sleep(0.03)
            await until(lambda: len(port.carriers) == 3, "the bound is not kept")
            labels = {f"udp:127.0.0.1:{far.getsockname()[1]}" for far in (fars[0], fars[2], fars[3])}
            await until(lambda: {carrier.label for carrier in port.carriers} == labels, "the wrong one went")
            for far in fars:
                far.close()

    run(main)


def test_datagrams_that_cannot_be_frames_are_dropped() -> None:
    async def main() -> None:
        port = ProbePort()
        async with bound(port) as where:
            with far_socket() as far:
                for frame in (b"", bytes(PROFILE.mtu + 1), bytes(60000), b"x" * PROFILE.mtu):
                    await far.sendto(frame, where)
                await until(lambda: bool(port.carriers and port.carriers[0].received), "nothing came")
                assert port.carriers[0].received == [b"x" * PROFILE.mtu]

    run(main)


def test_a_peer_that_is_not_there_does_not_end_the_driver() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            nobody = Endpoint(*sock.getsockname())
        port = ProbePort()
        async with bound(port, nobody) as where:
            await until(lambda: bool(port.carriers), "peers are attached from the start")
            (carrier,) = port.carriers
            assert (carrier.label, carrier.dialed) == (f"udp:{nobody}", True)
            for _ in range(5):
                carrier.send(b"hello")
                await trio.sleep(0.01)
            with far_socket() as far:
                await far.bind(nobody)
                carrier.send(b"are you there")
                assert await far.recvfrom(99) == (b"are you there", where)
                await far.sendto(b"now I am", where)
                await until(lambda: carrier.received == [b"now I am"], "not delivered")

    run(main)


def test_a_configured_peer_is_attached_again_and_is_no_stranger_meanwhile() -> None:
    knocks: list[bytes] = []

    def knock(source: bytes, frame: bytes) -> bool:
        knocks.append(frame)
        return True

    async def main() -> None:
        with far_socket() as far:
            await far.bind(("127.0.0.1", 0))
            port = ProbePort(knock)
            async with bound(port, Endpoint(*far.getsockname())) as where:
                await until(lambda: bool(port.carriers), "not attached")
                first = port.carriers[0]
                first.close()
                await until(lambda: not port.carriers, "not closed")
                await far.sendto(b"meanwhile", where)
                await until(lambda: bool(port.carriers), "not attached again", 3.0)
                assert port.carriers[0] is not first
                assert port.carriers[0].dialed
                await far.sendto(b"again", where)
                await until(lambda: port.carriers[0].received[-1:] == [b"again"], "not delivered")
        assert not knocks

    run(main)


def test_an_unknown_name_is_told_and_leaves_the_others_alone() -> None:
    async def main() -> None:
        with far_socket() as far:
            await far.bind(("127.0.0.1", 0))
            port = ProbePort()
            async with bound(port, Endpoint("::1", 9), Endpoint(*far.getsockname())):
                await until(lambda: bool(port.carriers), "the good peer is not attached")
                await until(
                    lambda: any("udp:[::1]:9 cannot be used" in (why or "") for _, why in port.reports),
                    "not told",
                )

    run(main)


def test_what_the_system_refuses_to_send_is_told_and_survived() -> None:
    async def main() -> None:
        # From a loopback address the system sends nowhere else.
        far = Endpoint("192.0.2.99", 9)
        port = ProbePort()
        async with bound(port, far):
            await until(lambda: bool(port.carriers), "not attached")
            port.carriers[0].send(b"x", b"y")
            await until(
                lambda: "nothing can be sent to udp:192.0.2.99:9" in (port.reports[-1][1] or ""), "not told"
            )
            assert port.carriers[0].attached

    run(main)


def test_a_port_in_use_is_told_with_the_cure() -> None:
    async def main() -> None:
        async with bound(ProbePort()) as where:
            with pytest.raises(
                CarrierLost, match=f"{where} is in use by another program; choose another port"
            ):
                await UdpDriver(where).run(ProbePort())

    run(main)


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this machine has no IPv6")
def test_one_ipv6_socket_speaks_ipv4_as_well() -> None:
    async def main() -> None:
        with far_socket() as far:
            await far.bind(("127.0.0.1", 0))
            port = ProbePort()
            async with running(UdpDriver(Endpoint("::", 0), (Endpoint(*far.getsockname()),)), port):
                await until(lambda: bool(port.carriers), "not attached")
                port.carriers[0].send(b"four")
                frame, source = await far.recvfrom(99)
                assert frame == b"four"
                await far.sendto(b"six", source)
                await until(lambda: port.carriers[0].received == [b"six"], "not delivered")

    run(main)
