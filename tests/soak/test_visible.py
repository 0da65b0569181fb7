"""What a face is shown is on disk by then: a state seen once never goes back (M5)."""

from pathlib import Path

import trio

from nexus_node.crypto.identity import Identity
from nexus_node.runtime.node import open_node
from nexus_node.runtime.rng import OsRng
from nexus_node.runtime.verbs import STREAMS
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.uri import make_uri


def test_m5_the_outbox_shows_nothing_that_a_crash_could_take_back(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore.open(tmp_path / "nexus.db", 10**7)
        async with open_node(Identity.generate(OsRng()), store, OsRng(), []) as node:
            bob = make_uri(Identity.generate(OsRng()).node_id, "bob")
            node.core.contacts.add("bob", bob, node.wall_ms())
            node.core.send("bob", "hello", now=node.now())
            assert store.dirty  # as in the moment between a receipt and its commit
            async for _ in STREAMS["outbox"](node, {}):
                assert not store.dirty
        store.close()

    trio.run(main)
