"""Replays a contact trace with one real node per person: contacts are carriers for as long as they last.

In one instant contacts end first, then messages are sent, then contacts begin (`traces.Step`), as in
`nexus_sim.oracle`.
"""

import gc
import random
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from statistics import fmean, median
from typing import Any, ClassVar, Never, Self

import trio
from trio.testing import wait_all_tasks_blocked

from nexus_drivers.memory import UNPACED_BPS
from nexus_drivers.stream import until_lost
from nexus_node.base.errors import CarrierLost
from nexus_node.base.limits import MTU_BULK
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.relay import RelayPolicy
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile
from nexus_node.runtime.node import Node, open_node
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.announce import Serve
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import EPOCH_S, SeededRng, wall
from nexus_sim.traces import Contact, Message, Step, Trace
from nexus_sim.world import QUOTA_BYTES, EventLog

SENT_TO_OTHERS = ("custody_taken", "copies_taken", "copies_known", "messages_forwarded", "duplicates")
"""Counters of a node: messages that came from a neighbour to keep or carry, to pass on at once, or for
nothing, as they were here already. With those in inboxes they are the transmissions."""
_MANY = 1 << 40
"""No owner limits strangers here: everybody is one."""
SLACK_S = 0.01
"""A frame that is out within that arrives at once: each step of the clock costs as much as its handling."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the messages of a trace. `delays` in seconds, of those delivered in time, by id."""

    delays: dict[str, float]
    sent: int
    transmissions: int
    """Copies that nodes took from one another, without those that reached their recipient too late."""
    virtual_s: float
    counters: Counter[str]
    """What the nodes counted, added up."""
    log_hash: str

    def figures(self) -> dict[str, Any]:
        """The figures of `nexus-sim contacts`; means, medians and overhead of nothing are None."""
        delays = self.delays.values()
        delivered = len(delays)
        return {
            "delivered": delivered,
            "delivery_ratio": round(delivered / self.sent, 4),
            "delay_s": {
                "mean": round(fmean(delays), 3) if delays else None,
                "median": round(median(delays), 3) if delays else None,
            },
            "transmissions": self.transmissions,
            "overhead": round((self.transmissions - delivered) / delivered, 3) if delivered else None,
            "virtual_s": round(self.virtual_s, 3),
            "counters": dict(sorted(self.counters.items())),
            "log_hash": self.log_hash,
        }


class _Port:
    """A driver that does nothing by itself: it holds the port through which contacts are attached."""

    scheme: ClassVar[str] = "contacts"
    label = "contacts"
    port: DriverPort

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        return cls()

    async def run(self, port: DriverPort) -> None:
        self.port = port
        await trio.sleep_forever()


class _Person:
    """Somebody with a node, whose keys follow from the seed and the name alone."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.store = MemoryStore(QUOTA_BYTES)
        self.driver = _Port()
        self.node: Node
        digest = blake2b(f"{seed} {name}".encode(), digest_size=40).digest()
        self.identity = Identity.from_seed(digest[:32])
        self._rng = SeededRng(int.from_bytes(digest[32:]))

    async def live(self, log: EventLog, options: Mapping[str, Any]) -> None:
        """Run the node until cancelled."""
        drivers = [(self.driver, CarrierConfig(self.driver.scheme))]
        async with open_node(
            self.identity, self.store, self._rng, drivers, name=self.name, wall=wall, **options
        ) as node:
            self.node = node
            await log.follow(self.name, node)


class _Replay:
    """The people of a trace, and the contacts that last now."""

    def __init__(self, trace: Trace, bytes_per_s: float, seed: int, nursery: trio.Nursery) -> None:
        self.trace = trace
        self.people = {name: _Person(name, seed) for name in trace.people}
        self.log = EventLog()
        self._seed = seed
        self._nursery = nursery
        self._bytes_per_s = bytes_per_s
        self._profile = LinkProfile(mtu=MTU_BULK, bps=8 * bytes_per_s or UNPACED_BPS, ordered=True)
        self._lasting: dict[Contact, trio.CancelScope] = {}

    async def start(self, options: Mapping[str, Any]) -> None:
        """Start all nodes; senders know whom they will write to."""
        for person in self.people.values():
            self._nursery.start_soon(person.live, self.log, options)
        await wait_all_tasks_blocked()
        for message in self.trace.messages:
            node = self.people[message.src].node
            uri = make_uri(self.people[message.dst].identity.node_id)
            node.core.contacts.add(message.dst, uri, node.wall_ms())
        for person in self.people.values():
            person.node.core.commit()
            person.node.pump.after()

    async def run(self, until: float) -> None:
        """Play the trace up to `until`."""
        begin = trio.current_time()
        for (at, _), steps in groupby(self.trace.timeline(), key=lambda step: step[:2]):
            await trio.sleep_until(begin + min(at, until))
            if at > until:
                break
            for _, step, what in steps:
                if isinstance(what, Message):
                    self.people[what.src].node.send(what.dst, text_of(what, self._seed))
                elif step is Step.BEGIN:
                    scope = self._lasting[what] = trio.CancelScope()
                    self._nursery.start_soon(self._meet, what, scope)
                else:
                    self._lasting.pop(what).cancel()
            await wait_all_tasks_blocked()

    async def _meet(self, contact: Contact, scope: trio.CancelScope) -> None:
        """Be the contact until the scope is cancelled, or a node gives its end up."""
        a, b = self.people[contact.a].driver.port, self.people[contact.b].driver.port
        with scope:
            try:
                async with (
                    a.attach(self._profile, f"contact:{contact.b}", dialed=True) as ours,
                    b.attach(self._profile, f"contact:{contact.a}", dialed=False) as theirs,
                ):
                    await until_lost(lambda: self._move(ours, theirs), lambda: self._move(theirs, ours))
            except CarrierLost:
                pass

    async def _move(self, source: Carrier, sink: Carrier) -> Never:
        """One direction, each with the whole bandwidth of the contact; a frame cut off by its end is lost."""
        free_at = 0.0
        while True:
            frame = await source.next_frame()
            now = trio.current_time()
            if self._bytes_per_s:
                free_at = max(free_at, now) + len(frame) / self._bytes_per_s
            if free_at > now + SLACK_S:
                await trio.sleep_until(free_at)
            else:
                await trio.lowlevel.checkpoint()
            sink.deliver(frame)

    # --- what came of it ------------------------------------------------------------------------
    def outcome(self, ttl_s: float, virtual_s: float) -> Outcome:
        """Look into all inboxes."""
        sent_at = {one.id: one.t for one in self.trace.messages}
        delays: dict[str, float] = {}
        counters: Counter[str] = Counter()
        for person in self.people.values():
            core = person.node.core
            counters += core.counters
            for row in person.store.inbox():
                message_id = core.text_of(row).partition(" ")[0]
                delay = row.received_ms / 1000 - EPOCH_S - sent_at[message_id]
                if delay <= ttl_s:
                    delays[message_id] = max(0.0, round(delay, 3))
        taken = sum(counters[name] for name in SENT_TO_OTHERS)
        return Outcome(delays, len(sent_at), len(delays) + taken, virtual_s, counters, self.log.digest)


def text_of(message: Message, seed: int) -> str:
    """The text to send: the message's id, a blank, and letters up to its size."""
    head = f"{message.id} "
    letters = max(0, message.size - len(head.encode()))
    return head + "".join(random.Random(f"{seed} {message.id}").choices(string.ascii_letters, k=letters))


async def replay(
    trace: Trace,
    *,
    ttl_s: float,
    bytes_per_s: float,
    seed: int,
    carry: bool = True,
) -> Outcome:
    """Replay a trace, to be run inside `nexus_sim.clock.virtual_run`.

    A message counts as delivered when it is in the inbox `ttl_s` after it was sent, so the replay ends that
    long after the last one. Each direction of a contact carries `bytes_per_s`, or any number when that is
    0. With `carry` everybody carries anybody's messages for as long as they may take.
    """
    policy = RelayPolicy(Serve.ANYONE, ttl_s=max(1, int(ttl_s)), interval_s=0.0, per_day=(_MANY, _MANY))
    options: dict[str, Any] = {"relay": policy} if carry else {}
    until = trace.messages[-1].t + ttl_s
    async with trio.open_nursery() as nursery:
        world = _Replay(trace, bytes_per_s, seed, nursery)
        await world.start(options)
        gc.freeze()  # the nodes stay; to look through them for garbage takes a tenth of the time
        begin = trio.current_time()
        await world.run(until)
        outcome = world.outcome(ttl_s, trio.current_time() - begin)
        nursery.cancel_scope.cancel()
    gc.unfreeze()
    return outcome
