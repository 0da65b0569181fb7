"""A world of real nodes in virtual time: what survives their restarts, and how they start and stop."""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any

import trio

from nexus_drivers.memory import MemoryDriver, MemoryMedium
from nexus_node.base.states import State
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.events import Event
from nexus_node.ports.driver import Driver
from nexus_node.runtime.node import Node, open_node
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import EPOCH_S, AlarmTimer, SeededRng
from nexus_sim.stores import SimStore

QUOTA_BYTES = 64_000_000


def _unheard(cid: int, why: str, now: float) -> None:
    """What a carrier that goes with its node is to the node."""


class SimNode:
    """A node with what survives its restarts: identity, store, and the drivers of its carriers."""

    def __init__(self, name: str, identity: Identity, rng: SeededRng) -> None:
        self.name = name
        self.rng = rng
        self.identity = identity
        self.store = SimStore(QUOTA_BYTES)
        self.drivers: list[Driver] = []
        self.options: dict[str, Any] = {}
        """What `open_node` gets besides."""
        self.clock_off_s = 0.0
        """How much its wall clock is wrong."""
        self.running: Node | None = None
        self._stop: trio.Event | None = None
        self._time: Callable[[], float] = trio.current_time

    async def run(
        self, log: "EventLog", task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until `stop`."""
        drivers = [(driver, CarrierConfig(driver.scheme)) for driver in self.drivers]
        stop = self._stop = trio.Event()
        self._time = trio.lowlevel.current_clock().current_time
        async with (
            open_node(
                self.identity,
                self.store,
                self.rng,
                drivers,
                name=self.name,
                wall=self._wall,
                timer=AlarmTimer(),
                **self.options,
            ) as node,
            trio.open_nursery() as nursery,
        ):
            self.running = node
            nursery.start_soon(log.follow, self.name, node)
            task_status.started()
            try:
                await stop.wait()
            finally:
                vars(node.core)["carrier_down"] = _unheard  # there is nobody any more to be told of it
            nursery.cancel_scope.cancel()
        self.running = None
        self.store.crash()

    def _wall(self) -> float:
        return EPOCH_S + self._time() + self.clock_off_s

    async def stop(self) -> None:
        """End the run without taking leave, as a power cut does, and wait until it is over; what was
        committed stays."""
        if self._stop is not None:
            self._stop.set()
        while self.running is not None:
            await trio.sleep(0.001)

    @property
    def node(self) -> Node:
        """The running node. Raises RuntimeError when it is stopped."""
        if self.running is None:
            raise RuntimeError(f"{self.name} is not running")
        return self.running

    def send(
        self, to: "SimNode", text: str, *, min_bandwidth: int = 0, files: Sequence[SealedFile] = ()
    ) -> bytes:
        """Write to another node, which becomes a contact if it is none; the message's id."""
        node = self.node
        if node.core.contacts.by_address(to.identity.address) is None:
            node.core.contacts.add(to.name, make_uri(to.identity.node_id), node.wall_ms())
        return node.send(to.name, text, min_bandwidth=min_bandwidth, files=files)

    def inbox(self) -> list[str]:
        """The texts received so far; the node must be running."""
        return [self.node.core.text_of(row) for row in self.store.inbox()]

    def outbox(self) -> list[State]:
        """The states of the messages sent so far."""
        return [row.state for row in self.store.outbox()]


class EventLog:
    """Every event of every node, in order, as one hash: equal for equal seeds."""

    def __init__(self, told: Callable[[str, Event], None] = lambda name, event: None) -> None:
        """`told` gets each event, with the name of its node."""
        self._hash = blake2b(digest_size=16)
        self._told = told
        self.count = 0

    async def follow(self, name: str, node: Node) -> None:
        with node.pump.follow() as events:
            async for event in events:
                self._hash.update(repr((trio.current_time(), name, event)).encode())
                self.count += 1
                self._told(name, event)
        raise RuntimeError(f"the log of {name} lost events: more came in one instant than are buffered")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class World:
    """Nodes by name. What each is made of follows from the seed and its name alone."""

    def __init__(
        self,
        names: list[str],
        seed: int,
        nursery: trio.Nursery,
        *,
        told: Callable[[str, Event], None] = lambda name, event: None,
    ) -> None:
        self._seed = seed
        self._nursery = nursery
        self.log = EventLog(told)
        self.nodes = {name: self._make(name) for name in names}

    def _make(self, name: str) -> SimNode:
        digest = blake2b(f"{self._seed} {name}".encode(), digest_size=40).digest()
        rng = SeededRng(int.from_bytes(digest[32:]))
        return SimNode(name, Identity.from_seed(digest[:32]), rng)

    def dice(self, what: str) -> random.Random:
        """A generator of its own for something in this world."""
        return random.Random(f"{self._seed} {what}")

    def join(self, medium: MemoryMedium, *names: str) -> None:
        """Put a medium of the `memory` driver between nodes, which use it from their next start on."""
        for name in names:
            self.nodes[name].drivers.append(MemoryDriver(medium))

    async def start(self, name: str, options: Mapping[str, Any] | None = None) -> SimNode:
        """Start, or start again, a node; `options` go to `open_node`, now and later."""
        node = self.nodes[name]
        if options is not None:
            node.options = dict(options)
        await self._nursery.start(node.run, self.log)
        return node

    async def stop(self, name: str) -> None:
        """Stop a node, as a power cut does."""
        await self.nodes[name].stop()


@asynccontextmanager
async def open_world(
    names: list[str], seed: int, *, told: Callable[[str, Event], None] = lambda name, event: None
) -> AsyncIterator[World]:
    """A world for as long as the context lasts. Run it inside `nexus_sim.clock.virtual_run`."""
    async with trio.open_nursery() as nursery:
        yield World(names, seed, nursery, told=told)
        nursery.cancel_scope.cancel()
