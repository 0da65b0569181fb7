"""The tcp driver where the contract suite does not reach: strangers, limits, and words."""

import errno
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from nexus_drivers import tcp
from nexus_drivers.framing import join_frames
from nexus_drivers.options import Endpoint, parse_endpoint
from nexus_drivers.probe import ProbePort, running, until
from nexus_drivers.sockets import Backoff
from nexus_drivers.tcp import TcpDriver
from nexus_node.base import limits
from nexus_node.base.errors import CarrierLost, RemoteError
from nexus_node.ports.driver import Carrier, LinkProfile


class WitnessPort(ProbePort):
    """Remembers why each carrier ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[Exception] = []

    @asynccontextmanager
    async def attach(self, profile: LinkProfile, label: str, *, dialed: bool) -> AsyncIterator[Carrier]:
        async with super().attach(profile, label, dialed=dialed) as carrier:
            try:
                yield carrier
            except (RemoteError, CarrierLost) as error:
                self.ended.append(error)
                raise


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[WitnessPort, Endpoint]]:
    port = WitnessPort()
    async with running(TcpDriver(Endpoint("127.0.0.1", 0), dials=False), port):
        await until(lambda: bool(port.reports), "it does not listen")
        state, where = port.reports[0]
        assert state == "listening" and where is not None
        yield port, parse_endpoint(where)


def test_a_port_in_use_is_told_with_the_cure() -> None:
    async def main() -> None:
        async with listening() as (_, where):
            with pytest.raises(CarrierLost) as caught:
                await TcpDriver(where, dials=False).run(ProbePort())
        assert str(caught.value) == f"{where} is in use by another program; choose another port or stop it"

    trio.run(main)


def test_an_address_that_is_not_ours_is_told_with_the_cure() -> None:
    with pytest.raises(CarrierLost, match=r"192\.0\.2\.77:4001 is not an address of this machine; choose"):
        trio.run(TcpDriver(Endpoint("192.0.2.77", 4001), dials=False).run, ProbePort())


def test_garbage_closes_that_connection_and_names_the_fault() -> None:
    async def main() -> None:
        async with listening() as (port, where):
            good = await trio.open_tcp_stream(*where)
            bad = await trio.open_tcp_stream(*where)
            await good.send_all(join_frames([b"one"]))
            await bad.send_all(join_frames([b"two"]) + b"GET / HTTP/1.1\r\n\r\n")
            assert await bad.receive_some(1) == b""
            await until(lambda: bool(port.ended), "the carrier did not end")
            assert isinstance(port.ended[0], RemoteError) and port.ended[0].code == "bad_length"
            await good.send_all(join_frames([b"three"]))
            await until(lambda: port.carriers[0].received == [b"one", b"three"], "the good one suffered")
            assert port.carriers[0].label == "tcp:127.0.0.1"
            assert port.carriers[0].dialed is False
            await good.aclose()
            await until(lambda: not port.carriers, "the carrier did not end")

    trio.run(main)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TCP_CONNECTIONS", 5)

    async def main() -> None:
        async with listening() as (port, where):
            streams = [await trio.open_tcp_stream(*where) for _ in range(5)]
            await until(lambda: len(port.carriers) == 5, "not all were taken")
            extra = await trio.open_tcp_stream(*where)
            assert await extra.receive_some(1) == b""
            assert len(port.carriers) == 5
            assert "turning away: 5 connections are open" in (port.reports[-1][1] or "")
            await streams[0].aclose()
            await until(lambda: len(port.carriers) == 4, "the place was not given back")
            again = await trio.open_tcp_stream(*where)
            await until(lambda: len(port.carriers) == 5, "the place was not taken again")
            assert port.reports[-1] == ("listening", str(where))
            for stream in (*streams, extra, again):
                await stream.aclose()

    trio.run(main)


def test_running_out_of_files_pauses_accepting() -> None:
    async def main() -> None:
        async with listening() as (port, where):
            client = socket.create_connection(where)
            await until(lambda: len(port.carriers) == 1, "the first was not taken")
            late = socket.socket()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            taken: list[int] = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            try:
                with pytest.raises(OSError) as full:
                    while True:
                        taken.append(os.dup(0))
                late.connect(where)
                await until(lambda: port.reports[-1][0] == "waiting", "it did not report")
                assert full.value.errno == errno.EMFILE
                assert "takes no connections for a moment: Too many open files" in (port.reports[-1][1] or "")
            finally:
                for fd in taken:
                    os.close(fd)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: len(port.carriers) == 2, "it did not accept again")
            assert port.reports[-1] == ("listening", str(where))
            client.close()
            late.close()

    trio.run(main)


def test_a_far_end_that_is_not_there_is_told_and_tried_again() -> None:
    async def main() -> None:
        async with listening() as (_, where):
            pass
        port = ProbePort()
        async with running(TcpDriver(where, dials=True), port):
            await until(lambda: port.reports.count(("connecting", None)) == 1, "it does not try")
            await until(lambda: len(port.reports) >= 4, "it does not try again")
        why = f"{where} cannot be reached: Connection refused"
        assert port.reports[:4] == [
            ("connecting", None),
            ("waiting", why),
            ("connecting", why),
            ("waiting", why),
        ]

    trio.run(main)


def test_a_stream_of_small_frames_goes_out_in_few_writes() -> None:
    async def main() -> None:
        async with listening() as (port, where):
            stream = await trio.open_tcp_stream(*where)
            await until(lambda: bool(port.carriers), "not taken")
            port.carriers[0].send(*[bytes([i % 250 + 1]) * 100 for i in range(640)])
            first = bytes(await stream.receive_some(1 << 20))
            assert len(first) > 10_000
            await stream.aclose()

    trio.run(main)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system does not tell a dead host")
def test_a_far_host_that_acknowledges_nothing_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not read stands for one that is gone: from neither comes anything."""
    monkeypatch.setattr(tcp, "UNANSWERED_MS", 300)

    async def main() -> None:
        async with listening() as (port, where):
            sock = trio.socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await sock.connect(where)
            await until(lambda: bool(port.carriers), "not taken")
            port.carriers[0].send(*[bytes(1000)] * 20_000)
            await until(lambda: bool(port.ended), "the connection stays")
            assert "timed out" in str(port.ended[0])
            sock.close()

    trio.run(main)


def test_pauses_double_to_the_longest_with_jitter() -> None:
    backoff = Backoff(0.2, 30.0)
    pauses = [backoff.pause() for _ in range(12)]
    for step, pause in enumerate(pauses):
        full = min(0.2 * 2**step, 30.0)
        assert full / 2 <= pause <= full
    assert len(set(pauses)) == len(pauses)
    backoff.reset()
    assert backoff.pause() <= 0.2
