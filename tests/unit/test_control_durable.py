"""Whatever the control socket tells is on disk by then (durable before visible)."""

import json
from pathlib import Path

import pytest
import trio

from nexus_node.base.errors import StoreFull
from nexus_node.client.async_ import AsyncControlClient
from nexus_node.client.codec import encode_line
from nexus_node.client.path import control_path
from nexus_node.crypto.identity import Identity
from nexus_node.runtime.control import open_control, serve_control
from nexus_node.runtime.node import open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.uri import make_uri


def test_a_store_that_fails_is_told_to_who_asked(tmp_path: Path) -> None:
    """Not that the node has stopped: it starts over by itself."""
    said = bytearray()
    with pytest.raises(ExceptionGroup) as raised:
        trio.run(_failing, tmp_path, said)
    assert raised.group_contains(StoreFull)
    answers = [json.loads(line) for line in said.splitlines()]
    assert [(one["id"], one["error"]["code"]) for one in answers] == [(1, "store_full"), (2, "store_full")]


async def _failing(tmp_path: Path, said: bytearray) -> None:
    store = MemoryStore(1_000_000)
    friend = make_uri(Identity.generate(OsRng()).node_id)

    def fail() -> None:
        raise StoreFull("the disk is full; free some space")

    async with (
        open_control(tmp_path) as listener,
        open_node(Identity.generate(OsRng()), store, OsRng(), []) as node,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_control, node, listener)
        with control_path(tmp_path) as path:
            stream = await trio.open_unix_socket(path)
        store.commit = fail  # type: ignore[method-assign]
        asked = [
            {"id": number, "verb": "contact.add", "args": {"name": "friend", "uri": friend}}
            for number in (1, 2)
        ]
        await stream.send_all(b"".join(map(encode_line, asked)))
        with trio.CancelScope(shield=True), trio.move_on_after(5):
            while block := await stream.receive_some():
                said += block
        await trio.sleep_forever()


def test_every_answer_is_covered_by_a_commit(tmp_path: Path) -> None:
    trio.run(_every_answer, tmp_path)


async def _every_answer(tmp_path: Path) -> None:
    store = MemoryStore(1_000_000)
    friend = make_uri(Identity.generate(OsRng()).node_id)
    async with (
        open_control(tmp_path) as listener,
        open_node(Identity.generate(OsRng()), store, OsRng(), []) as node,
        trio.open_nursery() as nursery,
    ):
        node.pump.after = lambda: None  # else the flush task commits as well
        nursery.start_soon(serve_control, node, listener)
        client = await AsyncControlClient.connect(tmp_path, nursery)
        await client.request("contact.add", {"name": "friend", "uri": friend})
        assert not store.dirty
        for verb in ("outbox", "contact.list", "objects", "status", "send", "wait"):
            node.core.send("friend", f"told with {verb}", now=node.now())
            assert store.dirty
            if verb in ("status", "send"):
                await client.request(verb, {"to": "friend", "text": "hi"} if verb == "send" else {})
            elif verb == "wait":
                last = [row.id.hex() for row in store.outbox()][-1]
                await client.request(verb, {"id": last, "state": "queued"})
            else:
                async with client.stream(verb) as items:
                    told = [item async for item in items]
                assert told or verb == "objects"
            assert not store.dirty, verb
        nursery.cancel_scope.cancel()
