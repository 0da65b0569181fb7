"""A world of real nodes in virtual time, joined by media of the `memory` driver; nodes stop and come back."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b

import trio

from nexus_drivers.memory import MemoryDriver, MemoryMedium
from nexus_node.base.states import State
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.runtime.node import Node, open_node
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import SeededRng, wall

QUOTA_BYTES = 64_000_000


class SimNode:
    """A node with what survives its restarts: identity, store, and its places on media."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.rng = SeededRng(seed)
        self.identity = Identity.generate(self.rng)
        self.store = MemoryStore(QUOTA_BYTES)
        self.media: list[MemoryMedium] = []
        self.running: Node | None = None
        self._stop: trio.Event | None = None

    async def run(
        self, log: "EventLog", task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until `stop`."""
        drivers = [(MemoryDriver(medium), CarrierConfig("memory")) for medium in self.media]
        stop = self._stop = trio.Event()
        async with (
            open_node(self.identity, self.store, self.rng, drivers, name=self.name, wall=wall) as node,
            trio.open_nursery() as nursery,
        ):
            self.running = node
            nursery.start_soon(log.follow, self.name, node)
            task_status.started()
            await stop.wait()
            nursery.cancel_scope.cancel()
        self.running = None

    def stop(self) -> None:
        """End the run without taking leave, as a power cut does; what was committed stays."""
        if self._stop is not None:
            self._stop.set()

    @property
    def node(self) -> Node:
        """The running node. Raises RuntimeError when it is stopped."""
        if self.running is None:
            raise RuntimeError(f"{self.name} is not running")
        return self.running

    def inbox(self) -> list[str]:
        """The texts received so far; the node must be running."""
        return [self.node.core.text_of(row) for row in self.store.inbox()]

    def outbox(self) -> list[State]:
        """The states of the messages sent so far."""
        return [row.state for row in self.store.outbox()]


class EventLog:
    """Every event of every node, in order, as one hash: equal for equal seeds."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.count = 0

    async def follow(self, name: str, node: Node) -> None:
        with node.pump.follow() as events:
            async for event in events:
                self._hash.update(repr((trio.current_time(), name, event)).encode())
                self.count += 1
        raise RuntimeError(f"the log of {name} lost events: more came in one instant than are buffered")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class World:
    """Nodes by name, all of them each other's contacts."""

    def __init__(self, names: list[str], seed: int, nursery: trio.Nursery) -> None:
        self._dice = random.Random(seed)
        self._nursery = nursery
        self.log = EventLog()
        self.nodes = {name: SimNode(name, self._dice.getrandbits(64)) for name in names}

    def dice(self) -> random.Random:
        """A generator of its own for a medium, from the world's seed."""
        return random.Random(self._dice.getrandbits(64))

    def join(self, medium: MemoryMedium, *names: str) -> None:
        """Put a medium between nodes, which use it from their next start on."""
        for name in names:
            self.nodes[name].media.append(medium)

    async def start(self, name: str) -> SimNode:
        """Start, or start again, a node; it knows all the others by name."""
        node = self.nodes[name]
        await self._nursery.start(node.run, self.log)
        for other in self.nodes.values():
            if other is not node:
                uri = make_uri(other.identity.node_id)
                node.node.core.contacts.add(other.name, uri, node.node.wall_ms())
        node.node.core.commit()
        return node

    async def stop(self, name: str) -> None:
        """Stop a node and wait until it is gone."""
        node = self.nodes[name]
        node.stop()
        while node.running is not None:
            await trio.sleep(0.001)


@asynccontextmanager
async def open_world(names: list[str], seed: int) -> AsyncIterator[World]:
    """A world for as long as the context lasts. Run it inside `nexus_sim.clock.virtual_run`."""
    async with trio.open_nursery() as nursery:
        yield World(names, seed, nursery)
        nursery.cancel_scope.cancel()
