"""A host that vanishes while TCP connections to it stand (N4): nodes in this process, real connections, and a
filter in the kernel that lets nothing through to some of them."""

import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from nexus_drivers import tcp
from nexus_drivers.probe import ProbePort
from nexus_drivers.tcp import TcpDriver
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity, address_of
from nexus_node.runtime.node import Node, open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.uri import make_uri
from tests.harness.nodes import free_port

_ATTACH_FILTER, _DETACH_FILTER = 26, 27
"""SO_ATTACH_FILTER, SO_DETACH_FILTER (socket(7))."""
pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this system does not tell")


class Cut:
    """Connections at some port of which neither end hears anything, as when a cable is out."""

    def __init__(self, streams: list[trio.SocketStream], port: int) -> None:
        self._sockets = [
            one.socket
            for one in streams
            if port in (one.socket.getsockname()[1], one.socket.getpeername()[1])
        ]
        nothing = ctypes.create_string_buffer(struct.pack("@HBBI", 0x06, 0, 0, 0))  # return 0 bytes
        program = struct.pack("@HP", 1, ctypes.addressof(nothing))
        for one in self._sockets:
            one.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)

    def mend(self) -> None:
        for one in self._sockets:
            one.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[trio.SocketStream]:
    """Both ends of each connection of the driver."""
    found: list[trio.SocketStream] = []
    set_up = tcp._set_up

    def note(stream: trio.SocketStream) -> None:
        found.append(stream)
        set_up(stream)

    monkeypatch.setattr(tcp, "_set_up", note)
    return found


async def until(happened, words: str, seconds: float = 10) -> float:
    began = trio.current_time()
    with trio.move_on_after(seconds):
        while not happened():
            await trio.sleep(0.01)
        return trio.current_time() - began
    raise AssertionError(words)


def texts(node: Node) -> list[str]:
    return [node.core.text_of(one) for one in node.core.store.inbox()]


@asynccontextmanager
async def node(folder: Path, seed: int, *tables: tuple[str, int]) -> AsyncIterator[Node]:
    carriers = []
    for key, port in tables:
        table = {key: f"127.0.0.1:{port}"}
        carriers.append((TcpDriver.from_config(table), CarrierConfig("tcp", table)))
    store = SqliteStore.open(folder / f"{seed}.db", 10**9)
    async with open_node(Identity.from_seed(bytes([seed]) * 32), store, OsRng(), carriers) as it:
        yield it
    store.close()


def test_n4_where_a_host_vanishes_behind_a_connection_another_path_takes_over(
    tmp_path: Path, streams: list[trio.SocketStream]
) -> None:
    """Within two seconds; and when it is back, its link goes on, on the same connection."""

    async def main() -> None:
        ports = free_port(), free_port()
        both = [("connect", port) for port in ports]
        async with (
            node(tmp_path, 2, ("listen", ports[0])),
            node(tmp_path, 3, ("listen", ports[1])),
            node(tmp_path, 1, *both) as alice,
            node(tmp_path, 4, *both) as bob,
        ):
            us, them = (
                Identity.from_seed(bytes([1]) * 32).node_id,
                Identity.from_seed(bytes([4]) * 32).node_id,
            )
            alice.core.contacts.add("bob", make_uri(them), alice.wall_ms())
            bob.core.contacts.add("alice", make_uri(us), bob.wall_ms())
            await until(lambda: alice.core.router.route(address_of(them), alice.now()) is not None, "no path")
            await trio.sleep(1)  # both paths are known

            async def arrives(text: str) -> float:
                alice.core.send("bob", text, now=alice.now())
                alice.pump.after()
                return await until(lambda: text in texts(bob), text)

            assert await arrives("before") < 1
            route = alice.core.router.route(address_of(them), alice.now())
            assert route is not None
            cut = Cut(streams, int(route.link.label.rsplit(":", 1)[1]))
            took = await arrives("the other way round")
            print(f"fail-over took {took:.2f} s")
            assert took < 2
            assert route.link.state == "stalled" and route.link.why == "the far end acknowledges nothing"
            cut.mend()
            await until(lambda: route.link.state == "up", "the link stays stalled", 20)
            assert await arrives("after") < 1
            assert route.link in alice.core.attachments.values(), "the connection is the same"

    trio.run(main)


def test_n4_a_far_end_that_reads_nothing_has_not_vanished(streams: list[trio.SocketStream]) -> None:
    """Its system acknowledges what it takes, and says when it is full."""

    async def main() -> None:
        port = ProbePort()
        where = free_port()
        driver = TcpDriver.from_config({"listen": f"127.0.0.1:{where}"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run, port)
            await until(lambda: bool(port.reports), "it does not listen")
            stream = await trio.open_tcp_stream("127.0.0.1", where)
            await until(lambda: bool(port.carriers), "not taken")
            (carrier,) = port.carriers
            carrier.send(*[bytes(1000)] * 20_000)
            await trio.sleep(2.5)
            assert carrier.stalls == []

            async def read() -> None:
                while await stream.receive_some(1 << 20):
                    pass

            nursery.start_soon(read)
            await until(lambda: not carrier.offered, "it is not sent")
            await trio.sleep(0.5)
            cut = Cut(streams, where)
            carrier.send(b"into the void")
            took = await until(lambda: carrier.stalls == [True], "nothing was noticed")
            assert 1 < took < 3
            cut.mend()
            await until(lambda: carrier.stalls == [True, False], "it stays stalled", 20)
            nursery.cancel_scope.cancel()
            await stream.aclose()

    trio.run(main)


def test_where_the_system_does_not_tell_the_connection_serves_as_before(
    streams: list[trio.SocketStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_INFO", struct.Struct("@4096x"))  # a shorter answer comes

    async def main() -> None:
        port = ProbePort()
        where = free_port()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(TcpDriver.from_config({"listen": f"127.0.0.1:{where}"}).run, port)
            await until(lambda: bool(port.reports), "it does not listen")
            async with await trio.open_tcp_stream("127.0.0.1", where) as stream:
                await until(lambda: bool(port.carriers), "not taken")
                (carrier,) = port.carriers
                for frame in (b"one", b"two"):
                    carrier.send(frame)
                    assert await stream.receive_some(100) == bytes((3, 0)) + frame
                    await trio.sleep(0.5)
                assert carrier.attached and carrier.stalls == []
            nursery.cancel_scope.cancel()

    trio.run(main)
