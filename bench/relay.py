"""A relay over TCP loopback: packets it passes on, messages it keeps for the absent, and their return.

The relay is a whole node in a process of its own, with its store on disk. In the first part its neighbours
are bare engines on sockets, which cost less than it does; in the others they are whole nodes too.
"""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from bench.hop import keep_going
from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, middle_of, ratio, verdict
from bench.workers import free_port, receive, worker
from nexus_drivers.framing import FrameSplitter, join_frames
from nexus_drivers.stream import BLOCK
from nexus_drivers.tcp import PROFILE, TcpDriver
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.core import NodeCore
from nexus_node.engine.relay import RelayPolicy
from nexus_node.runtime.node import Node, open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.memory import MemoryStore
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.announce import Serve
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.packet import Context, Packet, Priority, parse_packet_untrusted
from nexus_node.wire.uri import make_uri

SIZE = 200
BURST, LONG_BURST = 6_000, 60_000
MESSAGES = 5_000
ROUNDS = 3
WINDOW = 64
LXMF_MESSAGES = 300
CUSTODY_MUST, CUSTODY_AIM = 100, 4_000
_QUOTA = 10**9
_QUIET_S = 1.0
"""A receiver that has heard nothing for so long has heard all."""
_RELAY, _SENDER, _RECEIVER = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
_UNKNOWN_CONTEXT = 200
"""A packet whose kind no node knows is passed on like any other."""


# --- the relay --------------------------------------------------------------------------------------
@contextmanager
def _relay(folder: str) -> Iterator[tuple[Connection, int]]:
    """A relay in a process of its own: its pipe, and the port it listens on."""
    with worker(_run_relay, folder) as relay:
        yield relay, receive(relay)


def _run_relay(pipe: Connection, folder: str) -> None:
    trio.run(_serve, pipe, folder)


async def _serve(pipe: Connection, folder: str) -> None:
    """Answers what it is asked: `now` at once, `empty` when it keeps no mail any more."""
    port = free_port()
    store = SqliteStore.open(Path(folder, "relay.db"), _QUOTA)
    policy = RelayPolicy(serve=Serve.ANYONE)
    drivers = [_driver("listen", port)]
    async with open_node(_RELAY, store, OsRng(), drivers, relay=policy) as node:
        node.core.contacts.add("sender", make_uri(_SENDER.node_id), node.wall_ms())
        node.core.contacts.trust("sender", "verified")
        node.core.commit()
        await trio.sleep(0.2)
        pipe.send(port)
        while True:
            await trio.lowlevel.wait_readable(pipe.fileno())
            try:
                asked = pipe.recv()
            except EOFError:
                break
            while asked == "empty" and node.core.relay.usage[0]:
                await trio.sleep(0.002)
            pipe.send((time.process_time(), time.monotonic(), node.core.relay.usage[0], node.core.counters))
    store.close()


def _ask(relay: Connection, what: str = "now") -> tuple[float, float, int, dict[str, int]]:
    """(CPU seconds, time, messages kept, counters) of the relay."""
    relay.send(what)
    return receive(relay)


def _driver(key: str, port: int) -> tuple[TcpDriver, CarrierConfig]:
    table = {key: f"127.0.0.1:{port}"}
    return TcpDriver.from_config(table), CarrierConfig("tcp", table)


# --- forwarding -------------------------------------------------------------------------------------
def measure_forwarding(context: int, count: int) -> Figures:
    """A burst of `count` packets through a relay, as fast as the links take them."""
    with TemporaryDirectory() as folder, _relay(folder) as (relay, port), ExitStack() as stack:
        receiver = stack.enter_context(worker(_count_packets, port, context, count))
        sender = stack.enter_context(worker(_push_packets, port, context, count))
        receive(receiver), receive(sender)
        before = _ask(relay)
        sender.send("go")
        received, took = receive(receiver)
        sent_s = receive(sender)
        after = _ask(relay)
    return Figures(
        context=context,
        sent=count,
        received=received,
        sent_per_s=round(count / sent_s),
        per_s=round(received / took),
        relay_us=round(1e6 * (after[0] - before[0]) / count, 1),
        pauses=after[3]["backpressure_sent"],
        refused=after[3]["transit_full"],
    )


class _End:
    """An engine on a socket to the relay, without a node around it."""

    def __init__(self, identity: Identity, port: int) -> None:
        self.core = NodeCore(identity, MemoryStore(_QUOTA), OsRng(), now=time.monotonic())
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._splitter = FrameSplitter(PROFILE.mtu)
        self.cid = self.core.carrier_up(PROFILE, "relay", dialed=True, now=time.monotonic())
        self.attachment = self.core.attachments[self.cid]
        while self.core.router.link_to(_RELAY.node_id) is None:
            self.exchange(0.01)
        deadline = time.monotonic() + 1.0  # let the announces pass
        while time.monotonic() < deadline:
            self.exchange(0.05)

    def frames(self, wait_s: float) -> list[bytes]:
        """What has arrived."""
        if not select.select([self._socket], [], [], wait_s)[0]:
            return []
        return list(self._splitter.parse_frames_untrusted(self._socket.recv(BLOCK)))

    def exchange(self, wait_s: float) -> bool:
        """Send what the engine has, at most as much as one write takes, and take in what has arrived;
        False when there was nothing to send."""
        now = time.monotonic()
        if now >= self.core.wake_at:
            self.core.expire(now)
        frames: list[bytes] = []
        size = 0
        while size < BLOCK and (frame := self.core.next_frame(self.cid, now)) is not None:
            frames.append(frame)
            size += len(frame)
        if frames:
            self._socket.sendall(join_frames(frames))
        for frame in self.frames(0 if frames else wait_s):
            self.core.deliver(self.cid, frame, None, time.monotonic())
        return bool(frames)


def _push_packets(pipe: Connection, port: int, context: int, count: int) -> None:
    end = _End(_SENDER, port)
    to = _RECEIVER.address
    bodies = [
        Packet(context, os.urandom(SIZE), to, priority=Priority.STANDARD).encode() for _ in range(count)
    ]
    bodies.reverse()
    pipe.send("ready")
    pipe.recv()
    began = time.perf_counter()
    while bodies:
        while bodies and end.core.forwarder.enqueue(end.attachment, bodies[-1], Priority.STANDARD, to):
            bodies.pop()
        end.exchange(0.001)
    while end.core.forwarder.load(end.attachment)[0]:
        end.exchange(0.001)
    pipe.send(time.perf_counter() - began)
    while not pipe.poll():
        end.exchange(0.05)


def _count_packets(pipe: Connection, port: int, context: int, count: int) -> None:
    end = _End(_RECEIVER, port)
    pipe.send("ready")
    received, first, last = 0, float("inf"), float("-inf")
    while received < count and (received == 0 or time.perf_counter() < last + _QUIET_S):
        for frame in end.frames(0.1):
            for kind, body in end.attachment.link.receive(frame, time.monotonic()):
                received += kind == ItemKind.PACKET and parse_packet_untrusted(body).context == context
            last = time.perf_counter()
            first = min(first, last)
    pipe.send((received, last - first))


# --- texts through a relay --------------------------------------------------------------------------
def measure_texts(window: int, seconds: float) -> Figures:
    """Whole nodes at both ends: 100-byte texts over the relay, durable there, with receipts."""
    with TemporaryDirectory() as folder, _relay(folder) as (relay, port), ExitStack() as stack:
        receiver = stack.enter_context(worker(_run_node, _receive_texts, folder, port))
        receive(receiver)
        before = _ask(relay)
        sender = stack.enter_context(worker(_run_node, _send_texts, folder, port, window, seconds))
        took, count = receive(sender)
        after = _ask(relay)
    return Figures(
        window=window, per_s=round(count / took), relay_us=round(1e6 * (after[0] - before[0]) / count, 1)
    )


def _run_node(pipe: Connection, what, *args) -> None:
    trio.run(what, pipe, *args)


async def _receive_texts(pipe: Connection, folder: str, port: int) -> None:
    store = SqliteStore.open(Path(folder, "receiver.db"), _QUOTA)
    async with open_node(_RECEIVER, store, OsRng(), [_driver("connect", port)]) as node:
        node.core.contacts.add("sender", make_uri(_SENDER.node_id), node.wall_ms())
        await _link(node)
        pipe.send("ready")
        await trio.lowlevel.wait_readable(pipe.fileno())
    store.close()


async def _send_texts(pipe: Connection, folder: str, port: int, window: int, seconds: float) -> None:
    store = SqliteStore.open(Path(folder, "sender.db"), _QUOTA)
    async with open_node(_SENDER, store, OsRng(), [_driver("connect", port)]) as node:
        _know_receiver(node, "receiver")
        await _link(node)
        await trio.sleep(0.5)
        begin = time.perf_counter()
        spans = await keep_going(node, window, lambda _: time.perf_counter() >= begin + seconds)
        pipe.send((time.perf_counter() - begin, len(spans)))
    store.close()


async def _link(node: Node) -> None:
    """Wait for the link to the relay."""
    with node.pump.follow() as events:
        async for event in events:
            if event.event == "link_up":
                return


def _know_receiver(node: Node, name: str) -> None:
    """The receiver as a contact that was met before, so that envelopes are the short ones."""
    node.core.contacts.add(name, make_uri(_RECEIVER.node_id), node.wall_ms())
    node.core.contacts.met(_RECEIVER.node_id, node.wall_ms())
    node.core.commit()


# --- custody ----------------------------------------------------------------------------------------
def measure_custody(count: int, *, restarts: int = 0) -> Figures:
    """Mail for somebody absent into a relay's custody and, when the sender is gone and the relay was
    started anew, once and `restarts` times more, out of it to the recipient.

    In: from the sender's link to its last `relayed`, which the relay says when it has it on disk. Out: from
    the recipient's link until its receipts have emptied the relay.
    """
    with TemporaryDirectory() as folder:
        with _relay(folder) as (relay, port):
            before = _ask(relay)[0]
            with worker(_run_node, _give, folder, port, count) as sender:
                in_s = receive(sender)
            after, _, kept, _ = _ask(relay)
        for _ in range(restarts):
            with _relay(folder):
                pass
        with _relay(folder) as (relay, port):
            first_s, inbox_s, out_s, out_us = _fetch_all(relay, folder, port, count)
    if kept != count:
        raise RuntimeError(f"the relay kept {kept} of {count} messages")
    return Figures(
        count=count,
        in_per_s=round(count / in_s),
        out_per_s=round(count / out_s),
        both_per_s=round(count / (in_s + out_s)),
        in_us=round(1e6 * (after - before) / count),
        out_us=round(out_us),
        first_ms=round(1000 * first_s, 1),
        inbox_ms=round(1000 * inbox_s, 1),
    )


def _fetch_all(relay: Connection, folder: str, port: int, count: int) -> tuple[float, float, float, float]:
    """Seconds from the recipient's link to its first message, to its last, and to the relay's being empty;
    the relay's CPU in us per message."""
    before = _ask(relay)[0]
    with worker(_run_node, _fetch, folder, port, count) as recipient:
        up, first, last = receive(recipient)
        cpu, emptied, _, _ = _ask(relay, "empty")
        recipient.send("stop")
        received = receive(recipient)
    if received != count:
        raise RuntimeError(f"{received} of {count} messages are in the inbox")
    return first - up, last - up, emptied - up, 1e6 * (cpu - before) / count


async def _give(pipe: Connection, folder: str, port: int, count: int) -> None:
    store = SqliteStore.open(Path(folder, "giver.db"), _QUOTA)
    async with open_node(_SENDER, store, OsRng(), []) as node:  # written before there is a link
        _know_receiver(node, "absent")
        node.core.contacts.add("relay", make_uri(_RELAY.node_id), node.wall_ms())
        node.core.contacts.trust("relay", "trusted")
        for number in range(count):
            node.core.send("absent", f"{number:08d}" + "x" * 92, now=node.now())
        node.core.commit()
    async with open_node(_SENDER, store, OsRng(), [_driver("connect", port)]) as node:
        begun, relayed = 0.0, 0
        with node.pump.follow() as events:
            async for event in events:
                if event.event == "link_up":
                    begun = time.perf_counter()
                relayed += event.fields.get("state") == "relayed"
                if relayed == count:
                    break
        pipe.send(time.perf_counter() - begun)
    store.close()


async def _fetch(pipe: Connection, folder: str, port: int, count: int) -> None:
    store = SqliteStore.open(Path(folder, "recipient.db"), _QUOTA)
    async with open_node(_RECEIVER, store, OsRng(), [_driver("connect", port)]) as node:
        node.core.contacts.add("sender", make_uri(_SENDER.node_id), node.wall_ms())
        up = first = 0.0
        received = 0
        with node.pump.follow() as events:
            async for event in events:
                if event.event == "link_up":
                    up = time.monotonic()
                elif event.event == "message_received":
                    received += 1
                    first = first or time.monotonic()
                if received == count:
                    break
        pipe.send((up, first, time.monotonic()))
        await trio.lowlevel.wait_readable(pipe.fileno())
        pipe.send(sum(1 for _ in store.inbox()))
    store.close()


# --- the report -------------------------------------------------------------------------------------
def run(peer: Peer | None) -> Section:
    """Forwarding beside an RNS transport node, custody beside an LXMF propagation node, absence."""
    bars = Table(["bar", "must", "ours", ""])
    tables = [_forwarding(peer, bars), _custody(peer, bars), _absence(), bars]
    words = (
        f"The relay is a whole node in a process of its own. Forwarding: packets of {SIZE} bytes, pushed and "
        "counted by engines without a node around them; *messages* are looked at more closely by the relay, "
        "so that answers find back. The last row is whole nodes at both ends. Custody: "
        f"{MESSAGES:,} texts of 100 bytes, written before the sender has a link; *in* ends with the last "
        "promise, which the relay gives once it has the message on disk, *out* when the recipient's receipts "
        "have emptied the relay, which was started anew in between. Medians of "
        f"{ROUNDS} rounds. RNS and LXMF: their own scripts, one run; proof of work reduced to nothing."
    )
    return Section("A relay", words, tables)


def _forwarding(peer: Peer | None, bars: Table) -> Table:
    table = Table(["", "offered", "sent", "arrived", "/s", "CPU us at the relay, each", "asked to pause"])
    best: dict[str, Figures] = {}
    for what, context, count in (
        ("packets", _UNKNOWN_CONTEXT, BURST),
        ("messages", Context.MESSAGE, BURST),
        ("messages", Context.MESSAGE, LONG_BURST),
    ):
        rounds = [emit("relay: forwarding", measure_forwarding(context, count)) for _ in range(ROUNDS)]
        one = {key: middle_of(rounds, key) for key in ("per_s", "relay_us", "pauses")}
        lost = sum(each["sent"] - each["received"] for each in rounds)
        best.setdefault(what, one)
        share = f"{100 * (1 - lost / (count * ROUNDS)):.1f} %"
        table.add(f"ours, {what}", "all at once", count, share, *(f"{one[key]:g}" for key in one))
        if what == "messages":
            bars.add(f"a burst of {count:,} through a relay", "0 lost", f"{lost} lost", verdict(lost == 0))
    texts = [emit("relay: texts", measure_texts(WINDOW, 3.0)) for _ in range(ROUNDS)]
    rate, cost = (middle_of(texts, key) for key in ("per_s", "relay_us"))
    table.add(
        "ours, texts with receipts", f"{WINDOW} in flight", "-", "100.0 %", f"{rate:g}", f"{cost:g}", "-"
    )
    theirs = peer.run("bench_forward.py", "1", str(BURST), str(SIZE), "0,4000") if peer is not None else []
    for line in theirs:
        arrived = f"{line['received_pct'][0]} %"
        cost = line["cpu_us_per_pkt"]["t"]
        offered = "all at once" if line["offered_per_s"] == "max" else f"{line['offered_per_s']}/s"
        table.add(f"RNS, {line['kind']}", offered, line["n"], arrived, line["recv_per_s"], cost, "-")
    ours = best["messages"]
    rns = max((line["recv_per_s"] for line in theirs), default=None)
    holds = verdict(ours["per_s"] >= rns) if rns else "not measured"
    bars.add("forwarding, of an RNS transport node's best", "1x", ratio(ours["per_s"], rns), holds)
    return table


def _custody(peer: Peer | None, bars: Table) -> Table:
    table = Table(["", "in, /s", "out, /s", "in and out, /s", "CPU us at the relay, in", "out"])
    rounds = [emit("relay: custody", measure_custody(MESSAGES)) for _ in range(ROUNDS)]
    keys = ("in_per_s", "out_per_s", "both_per_s", "in_us", "out_us")
    ours = {key: middle_of(rounds, key) for key in keys}
    table.add("ours", *(f"{ours[key]:g}" for key in keys))
    lines = peer.run("bench_propagation.py", "bulk", str(LXMF_MESSAGES), "1") if peer is not None else []
    rate = None
    for line in lines:
        rate, out = line["in_msgs_per_s"], line["out_msgs_per_s"]
        both = round(1 / (1 / rate + 1 / out), 1)
        table.add("LXMF propagation node", rate, out, both, round(1000 * line["pn_cpu_ms_per_msg"]), "-")
    for what, key in (("custody, in", "in_per_s"), ("custody, out", "out_per_s")):
        holds = verdict(ours[key] >= CUSTODY_MUST * rate) if rate else "not measured"
        must = f"{CUSTODY_MUST}x LXMF's in" + (f" = {CUSTODY_MUST * rate:.0f}/s" if rate else "")
        bars.add(what, must, f"{ours[key]:g}/s", holds)
    return table


def _absence() -> Table:
    table = Table(["a recipient's return, the relay restarted 3 times", "first in the inbox, ms", "last, ms"])
    for count in (1, 100):
        one = emit("relay: absence", measure_custody(count, restarts=2))
        messages = f"{count} message{'s' if count > 1 else ''} waiting"
        table.add(messages, f"{one['first_ms']:g}", f"{one['inbox_ms']:g}")
    return table
