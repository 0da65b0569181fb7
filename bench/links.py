"""Link set-ups per second over TCP loopback, one after the other and many at once."""

import socket
import statistics
import struct
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import trio

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, middle_of, ratio, verdict
from bench.workers import free_port, receive, worker
from nexus_drivers.stream import move_frames
from nexus_drivers.tcp import PROFILE, TcpDriver
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.core import NodeCore
from nexus_node.ports.driver import Signal
from nexus_node.runtime.carrier import NodeCarrier, Slot
from nexus_node.runtime.node import Node, open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.sqlite import SqliteStore

COUNT = 100
ROUNDS = 3
_QUOTA = 10**9
_SEEDS = bytes([1]) * 32, bytes([2]) * 32


def measure_connections(pattern: str) -> Figures:
    """Whole nodes: a new TCP connection, the handshake, and a round trip that proves both ends are up."""
    with TemporaryDirectory() as folder, worker(_listener, folder) as far:
        with worker(_dialer, folder, receive(far), pattern) as near:
            return _figures("new TCP connection, both ends up", pattern, *receive(near))


def measure_handshakes(pattern: str) -> Figures:
    """Engines on one TCP connection that is there already, until the initiator's end is up."""
    with TemporaryDirectory() as folder, worker(_answering_engine, folder) as far:
        with worker(_opening_engine, folder, receive(far), pattern) as near:
            figures = _figures("handshake alone, initiator up", pattern, *receive(near))
        if receive(far) < 2 * COUNT:
            raise RuntimeError("the answering end has not all the links that the opening end has")
        return figures


def _figures(what: str, pattern: str, spans: list[float], sequence_s: float, parallel_s: float) -> Figures:
    return Figures(
        what=what,
        pattern=pattern,
        sequence_per_s=round(COUNT / sequence_s),
        parallel_per_s=round(COUNT / parallel_s),
        p50_ms=round(1000 * statistics.median(spans), 2),
    )


# --- whole nodes ------------------------------------------------------------------------------------
def _listener(pipe: Connection, folder: str) -> None:
    trio.run(_listen, pipe, folder)


async def _listen(pipe: Connection, folder: str) -> None:
    port = free_port()
    table = {"listen": f"127.0.0.1:{port}"}
    driver = TcpDriver.from_config(table), CarrierConfig("tcp", table)
    store = SqliteStore.open(Path(folder, "listener.db"), _QUOTA)
    async with open_node(Identity.from_seed(_SEEDS[1]), store, OsRng(), [driver]):
        await trio.sleep(0.2)
        pipe.send(port)
        await trio.lowlevel.wait_readable(pipe.fileno())
    store.close()


def _dialer(pipe: Connection, folder: str, port: int, pattern: str) -> None:
    pipe.send(trio.run(_dial, folder, port, pattern))


async def _dial(folder: str, port: int, pattern: str) -> tuple[list[float], float, float]:
    store = SqliteStore.open(Path(folder, "dialer.db"), _QUOTA)
    if pattern == "IK":
        store.remember_neighbour("known", Identity.from_seed(_SEEDS[1]).node_id)
        store.commit()
    async with open_node(Identity.from_seed(_SEEDS[0]), store, OsRng(), []) as node:
        slot = Slot(node.pump, _NoDriver(), CarrierConfig("bench"))
        spans = []
        begin = time.perf_counter()
        for number in range(COUNT):
            since = time.perf_counter()
            async with trio.open_nursery() as nursery:
                await nursery.start(_hold_link, node, slot, port, _label(pattern, number))
                spans.append(time.perf_counter() - since)
                nursery.cancel_scope.cancel()
        sequence = time.perf_counter() - begin
        begin = time.perf_counter()
        async with trio.open_nursery() as holders:
            async with trio.open_nursery() as starters:
                for number in range(COUNT):
                    label = _label(pattern, COUNT + number)
                    starters.start_soon(holders.start, _hold_link, node, slot, port, label)
            parallel = time.perf_counter() - begin
            holders.cancel_scope.cancel()
    store.close()
    return spans, sequence, parallel


def _label(pattern: str, number: int) -> str:
    """The label decides: a node opens with IK where it knows whom it met."""
    return "known" if pattern == "IK" else f"new {number}"


async def _hold_link(
    node: Node,
    slot: Slot,
    port: int,
    label: str,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        async with slot.attach(PROFILE, label, dialed=True) as carrier:
            watched = _Watched(node, carrier, max(slot.cids), task_status.started)
            await move_frames(stream, watched, PROFILE.mtu)


class _NoDriver:
    """Stands in a slot whose connections the measurement makes itself."""

    scheme: ClassVar[str] = "bench"
    label = "bench"

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        return cls()

    async def run(self, port: object) -> None:
        await trio.sleep_forever()


class _Watched:
    """A carrier that asks the peer for an answer once the link is up, and tells when it has come."""

    def __init__(self, node: Node, carrier: NodeCarrier, cid: int, done: Callable[[], None]) -> None:
        self._node, self._carrier, self._cid = node, carrier, cid
        self._done: Callable[[], None] | None = done
        self._asked = False
        self.next_frame = carrier.next_frame
        self.next_frame_nowait = carrier.next_frame_nowait
        self.retune, self.billed = carrier.retune, carrier.billed

    def deliver(self, frame: bytes, signal: Signal | None = None) -> None:
        self._carrier.deliver(frame, signal)
        if self._asked:
            if self._done is not None:
                self._done()
                self._done = None
        elif (link := self._node.core.attachments[self._cid].link).up:
            self._asked = True
            link.ping(self._node.now())
            self._node.core.ready.add(self._cid)
            self._node.pump.after()


# --- engines on one connection ----------------------------------------------------------------------
_HEAD = struct.Struct("<IH")
_GONE = 0
"""A length of 0: the opening end has let that carrier go."""


class _Channels:
    """Many carriers of one engine over one socket: number u32, length u16, frame."""

    def __init__(self, core: NodeCore, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.core = core
        self._connection = connection
        self._rest = b""
        self.cids: dict[int, int] = {}
        """Carriers by channel number."""

    def open(self, channel: int, label: str, *, dialed: bool) -> None:
        cid = self.core.carrier_up(PROFILE, label, dialed=dialed, now=time.monotonic())
        self.cids[channel] = cid

    def close(self, channel: int) -> None:
        self.core.carrier_down(self.cids.pop(channel), "measured", time.monotonic())

    def send(self, gone: int | None = None) -> None:
        """Send what every carrier that is ready has."""
        parts = []
        for channel, cid in list(self.cids.items()):
            if cid in self.core.ready:
                self.core.ready.discard(cid)
                while (frame := self.core.next_frame(cid, time.monotonic())) is not None:
                    parts += [_HEAD.pack(channel, len(frame)), frame]
        if gone is not None:
            parts.append(_HEAD.pack(gone, _GONE))
        if parts:
            self._connection.sendall(b"".join(parts))

    def receive(self) -> bool:
        """Take in at least one read; False when the far end has closed. Unknown channels are new ones."""
        block = self._connection.recv(65536)
        data, at = self._rest + block, 0
        while len(data) - at >= _HEAD.size:
            channel, size = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            if len(data) < start + size:
                break
            at = start + size
            if size == _GONE:
                self.close(channel)
                continue
            if channel not in self.cids:
                self.open(channel, "bench", dialed=False)
            self.core.deliver(self.cids[channel], data[start:at], None, time.monotonic())
        self._rest = data[at:]
        return bool(block)

    def links_up(self) -> int:
        """How many links have come up since it was asked last."""
        return sum(event.event == "link_up" for event in self.core.poll_events())


def _engine(folder: str, seed: bytes) -> NodeCore:
    store = SqliteStore.open(Path(folder, f"{seed[0]}.db"), _QUOTA)
    core = NodeCore(Identity.from_seed(seed), store, OsRng(), now=time.monotonic())
    core.wall.offset_s = time.time() - time.monotonic()
    return core


def _answering_engine(pipe: Connection, folder: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        channels = _Channels(_engine(folder, _SEEDS[1]), listener.accept()[0])
    up = 0
    while channels.receive():
        channels.send()
        up += channels.links_up()
    pipe.send(up)


def _opening_engine(pipe: Connection, folder: str, port: int, pattern: str) -> None:
    core = _engine(folder, _SEEDS[0])
    if pattern == "IK":
        core.store.remember_neighbour("known", Identity.from_seed(_SEEDS[1]).node_id)
    connection = socket.create_connection(("127.0.0.1", port))
    channels = _Channels(core, connection)
    spans: list[float] = []
    begin = time.perf_counter()
    for number in range(COUNT):
        since = time.perf_counter()
        _bring_up(channels, [number], pattern)
        spans.append(time.perf_counter() - since)
        core.attachments[channels.cids[number]].link.ping(time.monotonic())  # IK: the far end is up by this
        core.ready.add(channels.cids[number])
        channels.send(gone=number)
        channels.close(number)
    sequence = time.perf_counter() - begin
    begin = time.perf_counter()
    _bring_up(channels, list(range(COUNT, 2 * COUNT)), pattern)
    parallel = time.perf_counter() - begin
    connection.shutdown(socket.SHUT_WR)
    pipe.send((spans, sequence, parallel))


def _bring_up(channels: _Channels, numbers: list[int], pattern: str) -> None:
    for number in numbers:
        channels.open(number, _label(pattern, number), dialed=True)
    channels.send()
    left = len(numbers)
    while left:
        if not channels.receive():
            raise RuntimeError("the answering engine has gone")
        left -= channels.links_up()
        channels.send()


# --- the report -------------------------------------------------------------------------------------
def run(peer: Peer | None) -> Section:
    """Ours and RNS in turn; of each the round in the middle."""
    rounds: dict[str, list[Figures]] = {}
    for _ in range(ROUNDS):
        for measure in (measure_handshakes, measure_connections):
            for pattern in ("XX", "IK"):
                figures = emit("links", measure(pattern))
                rounds.setdefault(f"{figures['what']}, {pattern}", []).append(figures)
        if peer is not None:
            for direct in peer.run("bench_link.py", str(COUNT), "1", last=lambda one: one["hops"] == 1):
                figures = Figures(
                    sequence_per_s=direct["seq_links_per_s"],
                    parallel_per_s=direct["par_links_per_s"],
                    p50_ms=direct["med_ms"],
                )
                rounds.setdefault("RNS", []).append(figures)
    middle = {what: {key: middle_of(figures, key) for key in _KEYS} for what, figures in rounds.items()}
    rns = middle.get("RNS")
    table = Table(["set-up", "one after the other, /s", "at once, /s", "p50 ms", "to RNS", "must 0.7x RNS"])
    for what, figures in middle.items():
        times = (
            f"{ratio(figures['sequence_per_s'], rns['sequence_per_s'])}, "
            f"{ratio(figures['parallel_per_s'], rns['parallel_per_s'])}"
            if rns is not None
            else "-"
        )
        holds = rns is not None and all(figures[key] >= 0.7 * rns[key] for key in _KEYS[:2])
        bar = verdict(holds) if rns is not None and what.startswith("handshake") else "-"
        table.add(what, *(f"{figures[key]:g}" for key in _KEYS), times, bar)
    if rns is None:
        table.add("RNS", *["not installed"] * 3, "-", "-")
    words = (
        f"{COUNT} links between two processes over TCP loopback, median of {ROUNDS} rounds. RNS sets its "
        "links up over a connection that is there already, and counts until the initiator's end is up: the "
        "rows *handshake alone* do the same with two engines on one socket, and the bar is about them. "
        "*New TCP connection* is what a node really does: connect, shake hands, and a round trip that proves "
        "that both ends are up. With XX the other end is met for the first time and remembered durably."
    )
    return Section("Link set-ups", words, [table])


_KEYS = ("sequence_per_s", "parallel_per_s", "p50_ms")
