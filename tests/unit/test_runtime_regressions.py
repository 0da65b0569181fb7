"""Defects that a review proved in the runtime, each at its smallest, so that none comes back."""

import json
import logging
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from nexus_drivers.memory import MemoryMedium
from nexus_node.base.errors import InputError, StoreFull
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.client.path import control_path
from nexus_node.config.model import CarrierConfig, NodeConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.attach import seal_attachment
from nexus_node.ports.driver import DriverPort, LinkProfile
from nexus_node.ports.store import Keep
from nexus_node.runtime.control import open_control, serve_control
from nexus_node.runtime.files import attachments, get
from nexus_node.runtime.node import Node, open_node
from nexus_node.runtime.putting import open_regular, put_file
from nexus_node.runtime.service import STORE_NAME, _serve
from nexus_node.runtime.verbs import wait
from nexus_node.store.memory import MemoryStore
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import SeededRng, virtual_run, wall
from nexus_sim.world import World, open_world

STREAM = LinkProfile(mtu=16384, bps=100e6, ordered=True)
ME, FRIEND = (Identity.from_seed(bytes([seed]) * 32) for seed in (1, 2))

# --- control --------------------------------------------------------------------------------------
LONG = "é" * 450_000
ID = "00" * 32
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a wait without end in sight": ("wait", {"id": ID, "state": "sent", "timeout_s": 10**400}),
    "a negative wait": ("wait", {"id": ID, "state": "sent", "timeout_s": -1}),
    "a verb of half a megabyte": (LONG, {}),
    "a contact's name": ("contact.show", {"name": LONG}),
    "a new contact's name": ("contact.add", {"name": LONG, "uri": make_uri(FRIEND.node_id)}),
    "a contact's link": ("contact.add", {"name": "x", "uri": LONG}),
    "a level of trust": ("contact.trust", {"name": "friend", "trust": LONG}),
    "a recipient": ("send", {"to": LONG, "text": "x"}),
    "a text": ("send", {"to": "friend", "text": LONG}),
    "a state": ("wait", {"id": ID, "state": LONG}),
    "an id": ("wait", {"id": LONG, "state": "sent"}),
    "a place in the inbox": ("inbox", {"since": LONG}),
    "a sender": ("inbox", {"from": LONG}),
    "a path to put": ("put", {"path": "/" + LONG}),
    "a path with a zero to put": ("put", {"path": "a\0b"}),
    "a path with a zero to get": ("get", {"object": "an object here", "path": "a\0b"}),
    "a path to get": ("get", {"object": "an object here", "path": "/" + LONG}),
    "a folder to get": ("get", {"object": "an object here", "path": "/"}),
}


def with_control(
    folder: Path, main: Callable[[Node, Callable[[str, dict[str, Any]], Awaitable[Any]]], Awaitable[None]]
) -> None:
    """Run `main` with a node and a way to send requests to its control socket, non-ASCII as it is."""

    async def run() -> None:
        async with (
            open_control(folder) as listener,
            open_node(ME, MemoryStore(10**7), SeededRng(1), []) as node,
            trio.open_nursery() as nursery,
        ):
            node.core.contacts.add("friend", make_uri(FRIEND.node_id), 0)
            nursery.start_soon(serve_control, node, listener)
            with trio.fail_after(20):
                with control_path(folder) as path:
                    stream = await trio.open_unix_socket(path)
                async with stream:
                    await main(node, lambda verb, args: _ask(stream, verb, args))
            nursery.cancel_scope.cancel()

    trio.run(run)


async def _ask(stream: trio.SocketStream, verb: str, args: dict[str, Any]) -> Any:
    """The answer to one request; of a stream, all its items."""
    line = json.dumps({"id": 7, "verb": verb, "args": args}, ensure_ascii=False)
    await stream.send_all(line.encode() + b"\n")
    buffer, items = b"", []
    while True:
        block = await stream.receive_some()
        if not block:
            raise EOFError
        buffer += block
        *lines, buffer = buffer.split(b"\n")
        for answer in map(json.loads, lines):
            assert answer["id"] == 7
            if "item" not in answer:
                return items if "end" in answer else answer
            items.append(answer["item"])


def test_control_requests_that_escape_to_more_than_a_line_are_answered_in_words(tmp_path: Path) -> None:
    async def main(node: Node, ask: Callable[..., Awaitable[Any]]) -> None:
        here = node.core.objects.put(b"content", now_ms=0).id.hex()
        for what, (verb, args) in REQUESTS.items():
            filled = {name: here if value == "an object here" else value for name, value in args.items()}
            answer = await ask(verb, filled)
            assert answer["error"]["message"], what
            assert len(json.dumps(answer)) < 10_000, what
            assert (await ask("status", {}))["result"]["version"], what

    with_control(tmp_path, main)


def test_damaged_texts_are_shown_as_such_and_the_node_stays_up(tmp_path: Path) -> None:
    async def main(node: Node, ask: Callable[..., Awaitable[Any]]) -> None:
        store = node.core.store
        for text in ("damaged", "sound"):
            node.core.send("friend", text, now=node.now())
        rows = list(store.outbox())
        for row in rows:
            store._write(
                """INSERT INTO inbox (id, sender, sent_ms, received_ms, body, delivered, read)
                VALUES (?, ?, 1, 1, ?, ?, ?)""",
                (row.id, FRIEND.node_id, row.body, row.delivered_mark, row.read_mark),
            )
        for table in ("inbox", "outbox"):
            store._write(f"UPDATE {table} SET body = zeroblob(length(body)) WHERE id = ?", (rows[0].id,))
        for verb in ("inbox", "outbox"):
            damaged, sound = await ask(verb, {})
            assert "damaged on this node's disk" in damaged["text"] and sound["text"] == "sound"
        counters = (await ask("status", {}))["result"]["counters"]
        assert counters == {"damaged_texts": 2}

    with_control(tmp_path, main)


# --- the store pauses -----------------------------------------------------------------------------
def test_sigterm_during_a_store_pause_ends_the_node_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit, full, failed = SqliteStore.commit, False, 0

    def failing(self: SqliteStore) -> None:
        nonlocal failed
        if full and not failed:
            failed += 1
            self._execute("ROLLBACK")
            self._journal.clear()
            raise StoreFull("the disk is full")
        commit(self)

    monkeypatch.setattr(SqliteStore, "commit", failing)

    async def main() -> tuple[int, float]:
        nonlocal full
        code = -1
        ready = trio.Event()

        async def serve() -> None:
            nonlocal code
            code = await _serve(tmp_path, NodeConfig(), ME, ready.set)

        with trio.fail_after(20), caplog.at_level(logging.ERROR):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                await ready.wait()
                with control_path(tmp_path) as path:
                    stream = await trio.open_unix_socket(path)
                friend = make_uri(FRIEND.node_id)
                async with stream:
                    await _ask(stream, "contact.add", {"name": "friend", "uri": friend})
                    full = True
                    told = await _ask(stream, "send", {"to": "friend", "text": "x"})
                    assert "the disk is full" in told["error"]["message"]
                while "starting again" not in caplog.text:
                    await trio.sleep(0.01)
                began = trio.current_time()
                os.kill(os.getpid(), signal.SIGTERM)
            return code, trio.current_time() - began

    code, seconds = trio.run(main)
    assert (code, failed) == (0, 1) and seconds < 1.5
    store = SqliteStore.open(tmp_path / STORE_NAME, 10**7)
    assert list(store.outbox()) == [] and store.contact("friend") is not None
    store.close()


# --- links in virtual time ------------------------------------------------------------------------
def between(medium: MemoryMedium, main: Callable[[World], Awaitable[None]]) -> None:
    """Run `main` in a world where alice and bob share a medium."""

    async def run() -> None:
        async with open_world(["alice", "bob"], 1) as world:
            world.join(medium, "alice", "bob")
            await main(world)

    virtual_run(run, 1)


async def until(true: Callable[[], bool], seconds: float) -> float:
    """Sleep until it is true; the seconds that took."""
    began = trio.current_time()
    with trio.fail_after(seconds):
        while not true():
            await trio.sleep(0.05)
    return trio.current_time() - began


def test_m5_a_file_described_with_a_wrong_key_is_damaged_and_spoils_no_inbox(tmp_path: Path) -> None:
    """Anybody can write a message, and say in it of any object that it is a file under any key."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await trio.sleep(5)
        good = seal_attachment("photo.jpg", b"content" * 20_000, key=b"k" * 32)
        false = replace(good, description=replace(good.description, key=b"?" * 32))
        alice.send(bob, "first")
        alice.node.send("bob", "liar", files=[false])
        await until(lambda: len(bob.inbox()) == 2, 60)
        alice.node.send("bob", "look", files=[good])
        await until(lambda: len(bob.inbox()) == 3, 60)
        object_id = good.header.id
        await until(lambda: all(one.arrived_ms for one in bob.store.expected(object_id)), 60)
        bob.node.files = tmp_path / "files"
        await attachments(bob.node, list(bob.store.inbox())[1])
        assert not any(one.is_file() for one in bob.node.files.rglob("*")), "what was begun of it"
        first, liar, look = [await attachments(bob.node, row) for row in bob.store.inbox()]
        assert first == []
        assert [(one["state"], one["path"]) for one in liar] == [("damaged", None)]
        assert [one["state"] for one in look] == ["complete"]
        assert Path(look[0]["path"]).read_bytes() == b"content" * 20_000
        assert bob.store.get_object(object_id).keep == Keep.CACHED
        bob.store._write("UPDATE objects SET keep = ?", (Keep.OWNED,))  # as a kill just before leaves it
        assert await attachments(bob.node, list(bob.store.inbox())[2]) == look
        assert bob.store.get_object(object_id).keep == Keep.CACHED
        out = tmp_path / "out"
        await get(bob.node, {"object": object_id.hex(), "path": str(out)})
        assert out.read_bytes() == b"content" * 20_000

    between(MemoryMedium(bps=20e6, mtu=16384), main)


def test_n7_two_who_look_at_a_message_at_once_both_get_its_file(tmp_path: Path) -> None:
    """Neither takes the place of the other's, and what is shown as complete is."""
    content = random.Random(1).randbytes(5_000_000)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await trio.sleep(5)
        alice.send(bob, "before")
        alice.node.send("bob", "look", files=[seal_attachment("a.bin", content, key=b"k" * 32)])
        await until(lambda: len(bob.inbox()) == 2, 60)
        look = next(row for row in bob.store.inbox() if row.files)
        await until(
            lambda: bob.node.core.store.expected(bob.node.core.files_of(look)[0].object)[0].arrived_ms, 60
        )
        bob.node.files = tmp_path / "a file, no folder"
        bob.node.files.touch()
        (file,) = await attachments(bob.node, look)
        assert (file["state"], file["path"]) == ("complete", None) and "cannot be written" in file["why"]
        bob.node.files = tmp_path / "files"
        shown = []

        async def watch() -> None:
            (file,) = await attachments(bob.node, look)
            assert Path(file["path"]).read_bytes() == content
            shown.append((file["state"], file["why"]))

        async with trio.open_nursery() as readers:
            for _ in range(3):
                readers.start_soon(watch)
        assert shown == [("complete", None)] * 3

    between(MemoryMedium(bps=20e6, mtu=16384), main)


@pytest.mark.parametrize("what", ["damaged", "went while it was read"])
def test_n7_an_object_that_cannot_be_read_to_its_end_ends_no_node_and_leaves_no_file(
    tmp_path: Path, what: str
) -> None:
    content, out = tmp_path / "content", tmp_path / "out"
    content.write_bytes(random.Random(1).randbytes(3_000_000))
    store = SqliteStore.open(tmp_path / "nexus.db", 10**8)

    async def main() -> None:
        async with open_node(ME, store, SeededRng(1), []) as node:
            stored, _ = await put_file(node, content, min_bandwidth=0, ttl_s=None)
            node.core.commit()
            read = node.core.objects.read

            def spoil(object_id: ObjectId) -> Iterator[bytes]:
                for number, chunk in enumerate(read(object_id)):
                    if number == 500 and what == "damaged":
                        for pack in tmp_path.glob("*.pack"):
                            with pack.open("r+b") as file:
                                file.write(bytes(pack.stat().st_size - CHUNK_SIZE))
                    elif number == 500:
                        store.delete_object(object_id)
                    yield chunk

            node.core.objects.read = spoil
            with pytest.raises(InputError, match=what):
                await get(node, {"object": stored.id.hex(), "path": str(out)})
            assert not out.exists()
            node.core.objects.read = read
            await put_file(node, content, min_bandwidth=0, ttl_s=None)  # all of it is whole again
            await get(node, {"object": stored.id.hex(), "path": str(out)})
            assert out.read_bytes() == content.read_bytes()

    trio.run(main)
    store.close()


@pytest.mark.parametrize(("bps", "texts"), [(9600, 1), (9600, 3), (1200, 1)])
def test_n9_64_kb_over_a_slow_ordered_link_are_sent_once(bps: int, texts: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await trio.sleep(5)
        dice = random.Random(0)
        for _ in range(texts):
            alice.send(bob, "".join(map(chr, dice.choices(range(1, 128), k=65_536))))
        size = sum(row.size for row in alice.store.outbox())
        await until(lambda: len(bob.inbox()) == texts, 1.1 * 8 * size / bps)
        await trio.sleep(300)
        [attachment] = alice.node.core.attachments.values()
        assert attachment.tx_bytes < 1.03 * size + 2000
        assert {state.value for state in alice.outbox()} == {"delivered"}
        assert not alice.node.core.counters["repeats"] and not bob.node.core.counters["duplicates"]

    between(MemoryMedium(bps=bps, mtu=1500), main)


@pytest.mark.parametrize(
    "medium",
    [
        MemoryMedium(bps=20e6, mtu=1400, delay_s=0.01, reorder=1e-9),
        MemoryMedium(bps=20e6, mtu=1400, delay_s=0.05, reorder=1e-9),
        MemoryMedium(bps=20e6, mtu=16384, delay_s=0.05),
    ],
    ids=["datagrams-10ms", "datagrams-50ms", "stream-50ms"],
)
def test_n9_100_texts_of_12_kb_over_links_with_delay(medium: MemoryMedium) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await trio.sleep(2)
        for seed in range(100):
            alice.send(bob, random.Random(seed).randbytes(6000).hex())
        await until(lambda: {state.value for state in alice.outbox()} == {"delivered"}, 5)
        assert len(bob.inbox()) == 100
        assert not alice.node.core.counters["repeats"] and not bob.node.core.counters["duplicates"]

    between(medium, main)


def test_n13_held_is_told_though_no_frame_goes_out() -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        before = alice.send(world.nodes["bob"], "waits", min_bandwidth=10**6)
        await world.start("bob")
        for message in before, None:
            message = message or alice.send(world.nodes["bob"], "and another", min_bandwidth=10**6)
            answer = await wait(alice.node, {"id": message.hex(), "state": "held", "timeout_s": 5})
            assert (answer["state"], answer["why"]) == ("held", "needs 1000000 bps")
            assert not alice.store.dirty and not alice.node.core.has_events

    between(MemoryMedium(bps=9600, mtu=255), main)


class TuningDriver:
    """A driver whose medium changes right after it was attached."""

    scheme = label = "tuning"

    async def run(self, port: DriverPort) -> None:
        async with port.attach(STREAM, "tuning:1", dialed=True) as carrier:
            carrier.retune(LinkProfile(mtu=1000, bps=5000.0, duty_cycle=0.1, shared=True))
            await trio.sleep_forever()


class StuckDriver:
    """A driver that hangs in its write, as with a far end that reads nothing."""

    scheme = label = "stuck"

    def __init__(self) -> None:
        self.attached = self.detached = 0

    async def run(self, port: DriverPort) -> None:
        while True:
            async with port.attach(STREAM, "stuck:1", dialed=True) as carrier:
                self.attached += 1
                try:
                    await carrier.next_frame()
                    await trio.sleep_forever()
                finally:
                    self.detached += 1


def test_retune_keeps_what_the_owner_has_set() -> None:
    async def profile_of(config: CarrierConfig) -> LinkProfile:
        async with open_node(ME, MemoryStore(10**7), SeededRng(1), [(TuningDriver(), config)]) as node:
            await trio.sleep(1)
            [attachment] = node.core.attachments.values()
            assert attachment.link.mtu == attachment.profile.mtu
            return attachment.profile

    async def main() -> None:
        plain = await profile_of(CarrierConfig("tuning"))
        assert (plain.mtu, plain.bps, plain.duty_cycle, plain.shared) == (1000, 5000, 0.1, True)
        owned = await profile_of(CarrierConfig("tuning", bps=300, mtu=200, duty_cycle=0.01))
        assert (owned.mtu, owned.bps, owned.duty_cycle, owned.shared) == (200, 300, 0.01, True)
        wider = await profile_of(CarrierConfig("tuning", mtu=4000))
        assert wider.mtu == 1000, "what the medium takes still bounds it"

    virtual_run(main, 1)


def test_a_driver_stuck_in_its_write_is_made_to_let_go_and_costs_nothing_meanwhile() -> None:
    async def main() -> None:
        driver = StuckDriver()
        drivers = [(driver, CarrierConfig("stuck"))]
        async with open_node(ME, MemoryStore(10**7), SeededRng(1), drivers, wall=wall) as node:
            expire, calls = node.core.expire, []

            def counted(now: float) -> None:
                calls.append(now)
                expire(now)

            node.core.expire = counted
            began = time.process_time()
            await trio.sleep(120)
            assert driver.attached >= 3 and driver.detached >= driver.attached - 1
            assert len(calls) < 500 and time.process_time() - began < 2

    virtual_run(main, 1)


def test_put_refuses_a_pipe_instead_of_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="regular file"):
        open_regular(pipe)
