"""Whatever the control socket tells is on disk by then (durable before visible)."""

from pathlib import Path

import trio

from nexus_node.client.async_ import AsyncControlClient
from nexus_node.crypto.identity import Identity
from nexus_node.runtime.control import open_control, serve_control
from nexus_node.runtime.node import open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.uri import make_uri


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
