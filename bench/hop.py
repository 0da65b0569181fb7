"""One hop over TCP: 100-byte texts, durable at both ends, each answered by its receipt.

A message counts when its sender's node has made `delivered` durable.
"""

import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from bench import ceiling
from bench.nodes import NodeProcess, link_up
from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, middle_of, ratio, verdict
from bench.workers import cpu_s, free_port, receive, worker
from nexus_drivers.tcp import TcpDriver
from nexus_node.client.async_ import AsyncControlClient
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.runtime.node import Node, open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.uri import make_uri

WINDOW = 64
PIECE = 24
"""Texts written in one go before the node's other tasks have their turn."""
ROUNDS = 3
SECONDS = 3.0
_QUOTA = 10**9
_WARM_UP = 200
_SEEDS = bytes([1]) * 32, bytes([2]) * 32


def measure_embedded(window: int, seconds: float) -> Figures:
    """Two processes that embed a node each; the sender keeps `window` messages unanswered."""
    with TemporaryDirectory() as folder, worker(receiver, folder) as far:
        port = receive(far)
        with worker(_sender, folder, port, window, seconds) as sender:
            took, spans, sender_cpu = receive(sender)
            far.send("stop")
            received, receiver_cpu = receive(far)
    return Figures(
        window=window, **_figures(took, spans, sender_cpu), receiver_us=round(1e6 * receiver_cpu / received)
    )


def measure_control(window: int, seconds: float) -> Figures:
    """Two processes of `nexus run`, and a third one that sends over the control socket."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        bob = stack.enter_context(NodeProcess(Path(folder, "bob"), [f"tcp listen=127.0.0.1:{port}"]))
        alice = stack.enter_context(NodeProcess(Path(folder, "alice"), [f"tcp connect=127.0.0.1:{port}"]))
        link_up(alice, bob)
        before = cpu_s(alice.pid), cpu_s(bob.pid)
        with worker(_client, str(alice.home), window, seconds) as client:
            took, spans, client_cpu = receive(client)
        sender_cpu, receiver_cpu = cpu_s(alice.pid) - before[0], cpu_s(bob.pid) - before[1]
    figures = _figures(took, spans, sender_cpu)
    return Figures(
        window=window,
        **figures,
        receiver_us=round(1e6 * receiver_cpu / len(spans)),
        client_us=round(1e6 * client_cpu / len(spans)),
    )


def _figures(took: float, spans: Sequence[float], sender_cpu: float) -> Figures:
    return Figures(
        per_s=round(len(spans) / took),
        p50_ms=round(1000 * statistics.median(spans), 3),
        p99_ms=round(1000 * statistics.quantiles(spans, n=100)[98], 3),
        sender_us=round(1e6 * sender_cpu / len(spans)),
    )


# --- nodes in our own processes ---------------------------------------------------------------------
def _carriers(key: str, port: int) -> list[tuple[TcpDriver, CarrierConfig]]:
    table = {key: f"127.0.0.1:{port}"}
    return [(TcpDriver.from_config(table), CarrierConfig("tcp", table))]


def _text(number: int) -> str:
    return f"{number:08d}" + "x" * 92


def receiver(pipe: Connection, folder: str) -> None:
    """The receiving process: tells its port; at the end how many messages came and its CPU seconds."""
    trio.run(_receive, pipe, folder)


async def _receive(pipe: Connection, folder: str) -> None:
    port = free_port()
    store = SqliteStore.open(Path(folder, "receiver.db"), _QUOTA)
    async with open_node(Identity.from_seed(_SEEDS[1]), store, OsRng(), _carriers("listen", port)) as node:
        node.core.contacts.add("sender", make_uri(Identity.from_seed(_SEEDS[0]).node_id), node.wall_ms())
        node.core.commit()
        pipe.send(port)
        cpu = time.process_time()
        await trio.lowlevel.wait_readable(pipe.fileno())
        cpu = time.process_time() - cpu
        pipe.send((sum(1 for _ in store.inbox()), cpu))
    store.close()


def _sender(pipe: Connection, folder: str, port: int, window: int, seconds: float) -> None:
    pipe.send(trio.run(_send, folder, port, window, seconds))


@asynccontextmanager
async def sending(folder: str, port: int) -> AsyncIterator[Node]:
    """A node with a link to the receiving process."""
    store = SqliteStore.open(Path(folder, "sender.db"), _QUOTA)
    async with open_node(Identity.from_seed(_SEEDS[0]), store, OsRng(), _carriers("connect", port)) as node:
        node.core.contacts.add("receiver", make_uri(Identity.from_seed(_SEEDS[1]).node_id), node.wall_ms())
        with node.pump.follow() as events:
            async for event in events:
                if event.event == "link_up":
                    break
        yield node
    store.close()


async def _send(folder: str, port: int, window: int, seconds: float) -> tuple[float, list[float], float]:
    async with sending(folder, port) as node:
        await keep_going(node, 1, _until_count(_WARM_UP))
        cpu, started = time.process_time(), time.perf_counter()
        spans = await keep_going(node, window, lambda _: time.perf_counter() >= started + seconds)
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    return took, spans, cpu


def _until_count(count: int) -> Callable[[int], bool]:
    return lambda done: done >= count


async def keep_going(node: Node, window: int, enough: Callable[[int], bool]) -> list[float]:
    """Keep `window` messages unanswered until it is enough, and take in the last answers; seconds each."""
    begun: dict[str, float] = {}
    spans: list[float] = []

    async def fill(room: int) -> None:
        while room > 0:
            for _ in range(min(room, PIECE)):
                begin = time.perf_counter()
                row = node.core.send("receiver", _text(len(begun)), now=node.now())
                begun[row.id.hex()] = begin
            node.pump.after()  # they are durable before any leaves, with whatever else is to be written then
            room -= PIECE
            await trio.lowlevel.checkpoint()

    with node.pump.follow() as events:
        await fill(window)
        while begun:
            changes = [await events.receive()]
            while True:
                try:
                    changes.append(events.receive_nowait())
                except trio.WouldBlock:
                    break
            now = time.perf_counter()
            delivered = [one for one in changes if one.fields.get("state") == "delivered"]
            spans += [now - begun.pop(str(one.fields["id"])) for one in delivered]
            if delivered and not enough(len(spans)):
                await fill(window - len(begun))
    return spans


# --- the control socket -----------------------------------------------------------------------------
def _client(pipe: Connection, home: str, window: int, seconds: float) -> None:
    pipe.send(trio.run(_ask, Path(home), window, seconds))


async def _ask(home: Path, window: int, seconds: float) -> tuple[float, list[float], float]:
    spans: list[float] = []
    async with trio.open_nursery() as nursery:
        client = await AsyncControlClient.connect(home, nursery)
        cpu, started = time.process_time(), time.perf_counter()

        async def one_after_the_other() -> None:
            while (begin := time.perf_counter()) < started + seconds:
                answer = await client.request("send", {"to": "bob", "text": _text(len(spans))})
                await client.request("wait", {"id": answer["id"], "state": "delivered"})
                spans.append(time.perf_counter() - begin)

        async with trio.open_nursery() as senders:
            for _ in range(window):
                senders.start_soon(one_after_the_other)
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    return took, spans, cpu


# --- the report -------------------------------------------------------------------------------------
def run(peer: Peer | None) -> Section:
    """The ceiling, ours and LXMF in turn, LXMF at either window: its rounds differ most."""
    kinds = (
        ("the bare loop", ceiling.measure),
        ("ours, embedded", measure_embedded),
        ("ours, by control socket", measure_control),
    )
    middle: dict[tuple[str, int], Figures] = {}
    theirs: list[Figures] = []
    for window in (WINDOW, 1):
        rounds: dict[str, list[Figures]] = {}
        for _ in range(ROUNDS):
            for what, measure in kinds:
                rounds.setdefault(what, []).append(emit(f"hop: {what}", measure(window, SECONDS)))
            if peer is not None:
                theirs.append(_lxmf(peer))
        for what, figures in rounds.items():
            middle[what, window] = {key: middle_of(figures, key) for key in _KEYS}
    lxmf = {what: middle_of(theirs, what) for what in theirs[0]} if theirs else {}
    table = Table(
        ["", "in flight", "/s", "p50 ms", "p99 ms", "CPU us, sender", "CPU us, receiver", "to the bare loop"]
    )
    for (what, window), one in middle.items():
        bare = middle["the bare loop", window]
        table.add(what, window, *(f"{one[key]:g}" for key in _KEYS), ratio(one["per_s"], bare["per_s"]))
    for what, per_s in lxmf.items():
        spread = f"{min(one[what] for one in theirs):g} to {max(one[what] for one in theirs):g}"
        table.add(f"LXMF {what} ({spread})", "-", f"{per_s:g}", *["-"] * 5)
    return Section("One hop", _WORDS, [table, _bars(middle, lxmf)])


_KEYS = ("per_s", "p50_ms", "p99_ms", "sender_us", "receiver_us")
_WORDS = (
    f"100-byte texts over TCP loopback, {SECONDS:.0f} s a round, median of {ROUNDS} rounds, the bare loop "
    "(`bench/ceiling.py`), ours and LXMF in turn, twice as often (slowest to fastest round). *Embedded*: "
    "sender and receiver are programs with a node inside. *By control socket*: two `nexus run`, and a third "
    "process that sends and waits by the socket. CPU is user and system time for each message; it depends "
    "little on what else the machine does, while rates and times follow the disk. LXMF stores nothing "
    "durably before its proof goes out."
)


def _lxmf(peer: Peer) -> Figures:
    """Messages per second of LXMF by the way it is used."""
    names = {
        ("direct", "burst"): "direct, as the API is used naturally",
        ("opp", "burst"): "opportunistic, as the API is used naturally",
        ("direct", "{'threads': 8}"): "direct, 8 threads",
        ("direct", "{'serial': True}"): "direct, one at a time",
        ("opp", "{'serial': True}"): "opportunistic, one at a time",
    }
    lines = peer.run("bench_lxmf_direct.py", "1", "100", "0,1,3,4,5")
    return {names[line["method"], str(line["mode"])]: line["msgs_per_s"] for line in lines}


def _bars(middle: dict[tuple[str, int], Figures], lxmf: dict[str, float]) -> Table:
    table = Table(["bar", "must", "ours", ""])
    ours, bare = middle["ours, embedded", WINDOW], middle["the bare loop", WINDOW]
    share = ours["per_s"] / bare["per_s"]
    table.add(f"{WINDOW} in flight, of the bare loop", "30 %", f"{100 * share:.0f} %", verdict(share >= 0.3))
    p50 = middle["ours, embedded", 1]["p50_ms"]
    table.add("one at a time, p50 to the receipt", "6 ms", f"{p50:.1f} ms", verdict(p50 <= 6))
    best = max(lxmf.values(), default=None)
    natural = max((per_s for what, per_s in lxmf.items() if "naturally" in what), default=None)
    one = max((per_s for what, per_s in lxmf.items() if "opportunistic, one at a time" in what), default=None)
    for what, most, per_s in (("in its best mode", 5, best), ("as it is used naturally", 100, natural)):
        holds = verdict(ours["per_s"] >= most * per_s) if per_s else "not measured"
        table.add(f"LXMF {what}", f"{most}x", ratio(ours["per_s"], per_s), holds)
    theirs = 1000 / one if one else None
    holds = verdict(p50 <= 2 * theirs) if theirs else "not measured"
    table.add("one at a time, p50, of LXMF opportunistic", "at most 2x", ratio(p50, theirs), holds)
    return table
