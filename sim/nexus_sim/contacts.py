"""Replays a contact trace with one real node per person: contacts are carriers for as long as they last.

In one instant contacts end first, then messages are sent, then contacts begin (`traces.Step`), as in
`nexus_sim.oracle`.
"""

import random
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from math import inf
from statistics import fmean, median
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from nexus_node.base.ids import MessageId
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.events import Event
from nexus_node.engine.relay import RelayPolicy
from nexus_node.runtime.node import Node, open_node
from nexus_node.wire.announce import Serve
from nexus_node.wire.uri import make_uri
from nexus_sim.clock import EPOCH_S, SeededRng, wall
from nexus_sim.failures import noted_failures
from nexus_sim.invariants import check_relayed, check_sealed, check_stores, explain
from nexus_sim.leaving import check_leaving
from nexus_sim.record import Record
from nexus_sim.stores import SimStore
from nexus_sim.traces import Contact, Message, Step, Trace
from nexus_sim.wires import Plug, Rate, Watch, Wire
from nexus_sim.world import QUOTA_BYTES, EventLog

SENT_TO_OTHERS = (
    "custody_taken",
    "copies_taken",
    "copies_known",
    "custody_too_old",
    "messages_forwarded",
    "duplicates",
)
"""Counters of a node: messages that came from a neighbour to keep or carry, to pass on at once, or for
nothing, as they were here already or too old. With those in inboxes they are the transmissions."""
_MANY = 1 << 40
"""No owner limits strangers here: everybody is one."""
_LATE_S = 0.01
"""What arrives in the instant in which its time is over still counts."""


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
    breaches: list[str]
    """Of what must hold in every run (docs/simulator.md)."""

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
            "breaches": self.breaches,
            "log_hash": self.log_hash,
        }


class _Person:
    """Somebody with a node, whose keys follow from the seed and the name alone."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.store = SimStore(QUOTA_BYTES)
        self.plug = Plug()
        self.node: Node
        digest = blake2b(f"{seed} {name}".encode(), digest_size=40).digest()
        self.identity = Identity.from_seed(digest[:32])
        self._rng = SeededRng(int.from_bytes(digest[32:]))

    async def live(self, log: EventLog, options: Mapping[str, Any]) -> None:
        """Run the node until cancelled."""
        drivers = [(self.plug, CarrierConfig(self.plug.scheme))]
        async with open_node(
            self.identity, self.store, self._rng, drivers, name=self.name, wall=wall, **options
        ) as node:
            self.node = node
            await log.follow(self.name, node)


class _Replay:
    """The people of a trace, and the contacts that last now."""

    def __init__(
        self, trace: Trace, ttl_s: float, bytes_per_s: float, seed: int, nursery: trio.Nursery
    ) -> None:
        self.trace = trace
        self._ttl_s = ttl_s
        self.people = {name: _Person(name, seed) for name in trace.people}
        self.record = Record()
        self.log = EventLog(self._told)
        self._by_address = {one.identity.address.hex(): one for one in self.people.values()}
        self._watch = Watch(self._into_wire)
        self._seed = seed
        self._nursery = nursery
        self._rate = Rate(8 * bytes_per_s)
        self._dice = random.Random(seed)
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
                    text = text_of(what, self._seed)
                    self.record.expect(what.src, what.dst, text, trio.current_time(), 0)
                    node = self.people[what.src].node
                    message_id = MessageId(node.send(what.dst, text))
                    self.record.accepted(message_id.hex())
                    self._nursery.start_soon(self._call_back, node, message_id)
                elif step is Step.BEGIN:
                    scope = self._lasting[what] = trio.CancelScope()
                    self._nursery.start_soon(self._wire(what).last, scope)
                else:
                    self._lasting.pop(what).cancel()
            await wait_all_tasks_blocked()

    async def _call_back(self, node: Node, message_id: MessageId) -> None:
        """What comes too late is of no use: its sender lets go of it when everybody else does."""
        await trio.sleep(self._ttl_s + _LATE_S)
        row = node.core.store.outgoing(message_id)
        if row is not None and not row.state.final:
            node.core.cancel(message_id, node.now())
            node.pump.after()

    def _wire(self, contact: Contact) -> Wire:
        a, b = self.people[contact.a], self.people[contact.b]
        return Wire(a.plug, b.plug, (a.name, b.name), self._rate, self._dice, watch=self._watch)

    # --- what must hold -------------------------------------------------------------------------
    def _told(self, name: str, event: Event) -> None:
        now = trio.current_time()
        self.record.told(name, event, now)
        check_relayed(name, event, self._by_address, self.record, now)

    def _into_wire(self, name: str, rate: Rate, frame: bytes) -> None:
        person, now = self.people[name], trio.current_time()
        check_sealed(frame, "on a wire", self.record, now)
        check_leaving(person, person.node.core.latest, rate.bps or inf, self.record, now)

    def _look_at_all(self) -> None:
        for message in self.record.messages.values():
            if message.received_s is None and not explain(message, self.people[message.sender].node):
                self.record.breaches.append(f"message {message.id} is gone without a reason")
        check_stores({name: one.store for name, one in self.people.items()}, self.record)

    # --- what came of it ------------------------------------------------------------------------
    def outcome(self, virtual_s: float) -> Outcome:
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
                if delay <= self._ttl_s:
                    delays[message_id] = max(0.0, round(delay, 3))
        taken = sum(counters[name] for name in SENT_TO_OTHERS)
        self._look_at_all()
        return Outcome(
            delays,
            len(sent_at),
            len(delays) + taken,
            virtual_s,
            counters,
            self.log.digest,
            self.record.breaches,
        )


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
        world = _Replay(trace, ttl_s, bytes_per_s, seed, nursery)
        with noted_failures(world.record.breaches):
            await world.start(options)
            begin = trio.current_time()
            await world.run(until)
            outcome = world.outcome(trio.current_time() - begin)
        nursery.cancel_scope.cancel()
    return outcome
