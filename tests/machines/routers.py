"""A network of routers without trio: frames that take time, get lost and overtake each other; links that go
and come; nodes that forget. Time is virtual."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, partial

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address
from nexus_node.crypto.identity import Identity
from nexus_node.engine.router import Router
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.paths import Policy
from nexus_node.wire.announce import Serve
from nexus_node.wire.frames import ItemPacker, encode_items
from nexus_node.wire.packet import Packet, parse_packet_untrusted

from .world import SeededRng

IP = LinkProfile(mtu=1400, bps=100e6)
TCP = LinkProfile(mtu=16384, bps=100e6, ordered=True)
RADIO = LinkProfile(mtu=255, bps=1000, half_duplex=True)
FRAME_OVERHEAD = 22
"""Bytes of a sealed frame beside its items, with room for the 2 of a shared medium or a stream."""


@cache
def identity(number: int) -> Identity:
    return Identity.from_seed(number.to_bytes(32, "little"))


class Meta:
    """The small facts of a store, which outlive a restart."""

    def __init__(self) -> None:
        self.facts: dict[str, bytes] = {}

    def get_meta(self, key: str) -> bytes | None:
        return self.facts.get(key)

    def set_meta(self, key: str, value: bytes) -> None:
        self.facts[key] = value


class LinkEnd:
    """What a router sees of an attachment and its link."""

    def __init__(self, peer: Identity, profile: LinkProfile, rtt: float) -> None:
        self.profile = profile
        self.label = f"test:{peer.address.hex()}"
        self.link = self
        self.medium = None
        self.peer = peer.node_id
        self.rtt = rtt

    @property
    def mtu(self) -> int:
        return self.profile.mtu

    @property
    def room(self) -> int:
        return self.mtu - 19


class Node:
    def __init__(self, net: "Net", number: int, store=None, *, policy: Policy = Policy.BALANCED) -> None:
        self.net, self.number = net, number
        self.identity = identity(number)
        self.store = store or Meta()
        self.policy = policy
        self.counters: Counter[str] = Counter()
        self.links: dict[int, LinkEnd] = {}
        self.start()

    def start(self) -> None:
        """As after a crash: only the store is left."""
        self.wake_at = float("inf")
        self.router = Router(
            self.identity,
            self.store,
            SeededRng(self.number),
            counters=self.counters,
            arm=self.arm,
            serve=Serve.CONTACTS,
            policy=self.policy,
            now=self.net.now,
        )

    @property
    def address(self) -> Address:
        return self.identity.address

    def arm(self, at: float) -> None:
        if at < self.wake_at:
            self.wake_at = at
            self.net.at(at, lambda: self.expire(at))

    def expire(self, armed: float) -> None:
        if armed == self.wake_at:
            self.wake_at = float("inf")
            self.net.awake.add(self.number)
            self.router.expire(self.net.now)

    def next_hop(self, goal: int) -> int | None:
        """Whom a packet would go to, without noting any use."""
        path = self.router.paths.best(identity(goal).address)
        via = self.net.number_of[path.via] if path is not None else None
        return goal if goal in self.links and via in (None, goal) else via


class Edge:
    def __init__(self, a: int, b: int, profile: LinkProfile, delay: float, loss: float) -> None:
        self.profile, self.delay, self.loss = profile, delay, loss
        self.session = 0
        self.ends: dict[int, LinkEnd | None] = {a: None, b: None}
        self.sessions = {a: -1, b: -1}
        self.busy = {a: 0.0, b: 0.0}
        self.bytes = Counter[int]()

    def other(self, number: int) -> int:
        return next(one for one in self.ends if one != number)


class Net:
    """`after` is called after every step, with the network as it then is."""

    def __init__(self, count: int, seed: int = 0, *, policy: Policy = Policy.BALANCED) -> None:
        self.now = 0.0
        self.awake = set(range(count))
        """Nodes that may have something to send."""
        self.dice = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.edges: dict[frozenset[int], Edge] = {}
        self.number_of = {identity(number).node_id: number for number in range(count)}
        self.nodes = [Node(self, number, policy=policy) for number in range(count)]
        self.after: Callable[[], None] = lambda: None
        self.frames = Counter[tuple[int, int]]()
        """How many went, by from and to."""
        self.seen: list[tuple[int, int, bytes]] = []
        """Every packet: from, to, bytes."""

    # --- time -----------------------------------------------------------------------------------
    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), what))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        self.awake.update(range(len(self.nodes)))
        self._pump()
        while self._due and self._due[0][0] <= until:
            when, _, what = heapq.heappop(self._due)
            self.now = max(self.now, when)
            what()
            self._pump()
            self.after()
        self.now = until

    def wake(self, number: int) -> None:
        self.awake.add(number)

    # --- links ----------------------------------------------------------------------------------
    def join(
        self, a: int, b: int, profile: LinkProfile = IP, *, delay: float = 0.01, loss: float = 0.0
    ) -> Edge:
        edge = self.edges[frozenset((a, b))] = Edge(a, b, profile, delay, loss)
        self.up(a, b)
        return edge

    def up(self, a: int, b: int) -> None:
        edge = self.edges[frozenset((a, b))]
        edge.session += 1
        for number in (a, b):
            self._up(edge, number)

    def _up(self, edge: Edge, number: int) -> None:
        other = edge.other(number)
        router, links = self.nodes[number].router, self.nodes[number].links
        self.awake.add(number)
        if edge.ends[number] is not None:
            router.neighbour_down(identity(other).node_id, self.now)
        edge.ends[number] = links[other] = LinkEnd(identity(other), edge.profile, 2 * edge.delay)
        edge.sessions[number] = edge.session
        router.neighbour_up(identity(other).node_id, edge.ends[number], self.now)

    def notice_down(self, edge: Edge, number: int, session: int) -> None:
        """One end finds out that the link of that session is gone."""
        if edge.ends[number] is not None and edge.sessions[number] == session:
            edge.ends[number] = None
            edge.sessions[number] = -1
            self.awake.add(number)
            del self.nodes[number].links[edge.other(number)]
            self.nodes[number].router.neighbour_down(identity(edge.other(number)).node_id, self.now)

    def cut(self, a: int, b: int, *, apart: float = 0.0) -> None:
        """The link goes; the ends notice up to `apart` seconds apart from each other."""
        edge = self.edges[frozenset((a, b))]
        session, edge.session = edge.session, edge.session + 1
        for number in (a, b):
            self.at(
                self.now + self.dice.random() * apart,
                lambda number=number: self.notice_down(edge, number, session),
            )

    def kill(self, number: int) -> None:
        for pair in [pair for pair in self.edges if number in pair]:
            self.cut(*pair)

    def retune(self, a: int, b: int, profile: LinkProfile) -> None:
        edge = self.edges[frozenset((a, b))]
        edge.profile = profile
        for number, end in edge.ends.items():
            if end is not None:
                end.profile = profile
                self.nodes[number].router.neighbour_up(end.peer, end, self.now)

    def restart(self, number: int, *, forget: bool = False) -> None:
        """The node's memory is gone; its neighbours notice, and the links come up again, one by one."""
        node = self.nodes[number]
        if forget:
            node.store = Meta()
        for edge in self.edges.values():
            if number in edge.ends:
                edge.ends[number], edge.sessions[number] = None, -1
        node.links.clear()
        node.start()
        for pair, edge in self.edges.items():
            if number in pair and edge.ends[edge.other(number)] is not None:
                self.at(self.now + self.dice.random(), lambda pair=pair: self.up(*pair))

    def alive(self, a: int, b: int) -> bool:
        """Whether what a sends reaches b in the session that both know."""
        edge = self.edges.get(frozenset((a, b)))
        return edge is not None and edge.sessions[a] == edge.sessions[b] == edge.session

    # --- frames ---------------------------------------------------------------------------------
    def _pump(self) -> None:
        awake, self.awake = self.awake, set()
        for node in (self.nodes[number] for number in sorted(awake)):
            for end in node.router.gossip.waiting(self.now):
                pair = frozenset((node.number, self.number_of[end.peer]))
                self._send(self.edges[pair], node.number)

    def _send(self, edge: Edge, number: int) -> None:
        end = edge.ends[number]
        while end is not None and self.now >= edge.busy[number]:
            packer = ItemPacker(end.room)
            self.nodes[number].router.gossip.fill(end.peer, packer, self.now)
            if not packer.items:
                return
            size = FRAME_OVERHEAD + len(encode_items(packer.items))
            assert size - FRAME_OVERHEAD <= end.room
            edge.bytes[number] += size
            self.frames[number, edge.other(number)] += 1
            free = edge.busy[number] = self.now + 8 * size / edge.profile.bps
            self.at(free, partial(self.wake, number))
            bodies = [body for _, body in packer.items]
            self.seen += [(number, edge.other(number), body) for body in bodies]
            if self.dice.random() < edge.loss:
                continue
            jitter = 0.0 if edge.profile.ordered or not edge.loss else self.dice.random() * 10 * edge.delay
            arrive = partial(self._arrive, edge, edge.other(number), bodies, edge.sessions[number])
            self.at(free + edge.delay + jitter, arrive)

    def _arrive(self, edge: Edge, number: int, bodies: Iterable[bytes], session: int) -> None:
        end = edge.ends[number]
        if end is None or edge.sessions[number] != session or edge.session != session:
            return
        for body in bodies:
            self.hand(number, edge.other(number), parse_packet_untrusted(body))
            self.after()

    def hand(self, number: int, sender: int, packet: Packet) -> str | None:
        """Give a packet to a node as from that neighbour; the counter it raises."""
        node = self.nodes[number]
        self.awake.add(number)
        try:
            assert node.router.take(identity(sender).node_id, packet, self.now)
        except BadWire as error:
            node.counters[error.code] += 1
            return error.code
        return None

    # --- what is asked of it --------------------------------------------------------------------
    def way(self, start: int, goal: int) -> list[int] | None:
        """The nodes a packet would visit; None where it ends before its destination. Fails on a loop."""
        visited = [start]
        while visited[-1] != goal:
            after = self.nodes[visited[-1]].next_hop(goal)
            if after is None or not self.alive(visited[-1], after):
                return None
            assert after not in visited, f"a loop to {goal}: {visited} then {after}"
            visited.append(after)
        return visited

    def no_loops(self) -> None:
        """Follow the next hops from everywhere to everywhere, each only once."""
        for goal in range(len(self.nodes)):
            safe = {goal}
            for start in range(len(self.nodes)):
                visited, at = set(), start
                while at not in safe:
                    visited.add(at)
                    after = self.nodes[at].next_hop(goal)
                    if after is None or not self.alive(at, after):
                        break
                    assert after not in visited, f"a loop to {goal}: {visited} then {after}"
                    at = after
                safe |= visited

    def connected(self) -> list[tuple[int, int]]:
        """Pairs that links which are up join."""
        count = len(self.nodes)
        groups = list(range(count))
        for pair in self.edges:
            a, b = pair
            if self.alive(a, b):
                old, new = groups[a], groups[b]
                groups = [new if one == old else one for one in groups]
        return [(a, b) for a in range(count) for b in range(count) if a != b and groups[a] == groups[b]]

    def random_graph(self, extra: float, *, delay: float = 0.01, loss: float = 0.0, low: float = 6) -> None:
        """A spanning tree and some more, of random speeds."""
        count = len(self.nodes)
        for b in range(1, count):
            self.join(self.dice.randrange(b), b, self.speed(low), delay=delay, loss=loss)
        for a, b in itertools.combinations(range(count), 2):
            if frozenset((a, b)) not in self.edges and self.dice.random() < extra:
                self.join(a, b, self.speed(low), delay=delay, loss=loss)

    def speed(self, low: float = 6) -> LinkProfile:
        return LinkProfile(mtu=1400, bps=10 ** self.dice.uniform(low, 9))
