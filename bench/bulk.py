"""Bulk over TCP: a file attached to a message, verified and durable at the receiving end (N7)."""

import time
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory

import trio

from bench.hop import receiver, sending
from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, middle_of, verdict
from bench.workers import receive, worker
from nexus_node.base.states import State
from nexus_node.crypto.filestream import KEY_SIZE
from nexus_node.engine.attach import seal_attachment
from nexus_node.runtime.node import Node
from nexus_node.runtime.rng import OsRng

SIZE = 40_000_000
ROUNDS = 3
_TEXT_EVERY_S = 0.02


def measure(size: int, *, texts: bool) -> Figures:
    """Two processes that embed a node each; with `texts` one is sent every 20 ms beside the file."""
    with TemporaryDirectory() as folder, worker(receiver, folder) as far:
        with worker(_sender, folder, receive(far), size, texts) as near:
            accepted, took, spans, sender_cpu = receive(near)
        far.send("stop")
        _, receiver_cpu = receive(far)
    late = sorted(spans)[int(0.95 * len(spans))] if spans else 0.0
    return Figures(
        mb_per_s=round(size / took / 1e6, 1),
        accepted_mb_per_s=round(size / accepted / 1e6, 1),
        sender_cpu_s=round(sender_cpu, 2),
        receiver_cpu_s=round(receiver_cpu, 2),
        texts=len(spans),
        text_p95_ms=round(1000 * late, 1),
    )


def _sender(pipe: Connection, folder: str, port: int, size: int, texts: bool) -> None:
    pipe.send(trio.run(_send, folder, port, size, texts))


async def _send(folder: str, port: int, size: int, texts: bool) -> tuple[float, float, list[float], float]:
    """Seconds until the file was accepted, then until its receipt; of each text; of CPU time."""
    rng, spans = OsRng(), []
    content = rng.random_bytes(size)
    async with sending(folder, port) as node:
        cpu, began = time.process_time(), time.perf_counter()
        file = seal_attachment("file.bin", content, key=rng.random_bytes(KEY_SIZE), min_bandwidth=0)
        message = node.send("receiver", "a file", files=[file]).hex()
        accepted = time.perf_counter()
        async with trio.open_nursery() as nursery:
            if texts:
                nursery.start_soon(_send_texts, node, spans)
            await node.pump.reach(message, State.DELIVERED)
            nursery.cancel_scope.cancel()
        took = time.perf_counter() - accepted
        return accepted - began, took, spans, time.process_time() - cpu


async def _send_texts(node: Node, spans: list[float]) -> None:
    while True:
        begin = time.perf_counter()
        await node.pump.reach(node.send("receiver", "how are you?").hex(), State.DELIVERED)
        spans.append(time.perf_counter() - begin)
        await trio.sleep(_TEXT_EVERY_S)


# --- the report -------------------------------------------------------------------------------------
def run(peer: Peer | None) -> Section:
    """Ours alone and with texts beside it, then Reticulum's Resource."""
    table = Table(["", "MB", "MB/s", "CPU s, sender", "CPU s, receiver", "texts, p95 ms"])
    middle = {}
    for texts in (False, True):
        rounds = [emit("bulk", measure(SIZE, texts=texts)) for _ in range(ROUNDS)]
        one = middle[texts] = {key: middle_of(rounds, key) for key in rounds[0]}
        what = "ours, a text every 20 ms beside it" if texts else "ours"
        late = f"{one['text_p95_ms']:g}" if texts else "-"
        table.add(what, SIZE // 10**6, one["mb_per_s"], one["sender_cpu_s"], one["receiver_cpu_s"], late)
    bars = Table(["bar", "must", "ours", ""])
    late_ms = middle[True]["text_p95_ms"]
    bars.add("a text while the file flows, p95", "100 ms", f"{late_ms:.0f} ms", verdict(late_ms <= 100))
    for line in _resource(peer) if peer is not None else ():
        what, least = ("as it comes", 3) if line["compress"] else ("compression off", 2)
        table.add(f"RNS Resource, {what}", 10, line["MB_s"], line["cpu_tx"], line["cpu_rx"], "-")
        times = middle[False]["mb_per_s"] / line["MB_s"]
        bars.add(f"RNS Resource, {what}", f"{least}x", f"{times:.1f}x", verdict(times >= least))
    return Section("Bulk", _WORDS, [table, bars])


_WORDS = (
    f"A file of {SIZE // 10**6} MB attached to a message, over TCP loopback, median of {ROUNDS} rounds: from "
    "its acceptance at the sender (sealed and durable by then) to the receipt, which says that every chunk "
    "was checked and is on the receiver's disk. CPU includes sealing and storing it at the sender. RNS keeps "
    "what it receives in a temporary file and checks one hash at the end."
)


def _resource(peer: Peer) -> list[Figures]:
    """Reticulum's transfers of 10 MB over one hop."""
    lines = peer.run("bench_resource.py", str(ROUNDS), last=lambda line: line.get("compress") is False)
    return [line for line in lines if line.get("size") == 10_000_000 and line.get("hops") == 1]
