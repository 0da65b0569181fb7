"""Publish and subscribe: what was published goes from neighbour to neighbour, to who wants it (N8,
docs/protocol/pub.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nexus_node.base.errors import BadWire, InputError, StoreFull
from nexus_node.base.ids import NodeId, ObjectId
from nexus_node.base.limits import (
    CHUNK_SIZE,
    PUBLISHED_BURST,
    PUBLISHED_PER_S,
    PUBLISHERS_TIMED,
    PULLS_MAX,
)
from nexus_node.crypto.identity import Identity
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.notices import Notices
from nexus_node.engine.peers import Attachment
from nexus_node.engine.pub_neighbours import PubNeighbour, PubNeighbours, Told
from nexus_node.engine.publications import Known, Publications
from nexus_node.engine.references import References
from nexus_node.engine.router import Router
from nexus_node.engine.subscriptions import Subscriptions
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.store import Keep, Store
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.pubsub import OWN, topics_of
from nexus_node.wire.dataobject import describe
from nexus_node.wire.packet import Context, Packet, Priority
from nexus_node.wire.pub import (
    HINT_SIZE,
    KIND_PUBLISHED,
    PUBLISHED_TEXT_MAX,
    PUBLISHED_TTL_MAX_S,
    Mode,
    Published,
    Reference,
    Topic,
    TopicKind,
    parse_hints_untrusted,
    parse_published_untrusted,
)

TTL_S = 7 * 24 * 3600
"""How long something published is kept, unless its publisher says otherwise."""
_ASK_TRIES, _ASK_AGAIN_S = 3, 60.0
_AHEAD_S = 24 * 3600
"""How far ahead a publisher's clock may be."""


@dataclass(slots=True)
class _Pull:
    """Something asked for: when to ask again, and who else has it."""

    due: float
    others: list[NodeId] = field(default_factory=list)
    tries: int = 1


class Notifier:
    """All that is published and wanted, as far as this node knows: takes it in, and has it told on."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        router: Router,
        forwarder: Forwarder,
        *,
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        arm_expiry: Callable[[float], None],
        wake: Callable[[Attachment], None],
        fetcher: Fetcher,
        wall: WallClock,
    ) -> None:
        self._identity = identity
        self._store = store
        self._router = router
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._wall = wall
        self.promised = False
        """Whether something is queued that rests on what is not durable yet."""
        self.neighbours = PubNeighbours(router, forwarder, arm=arm, wake=wake)
        self._subscriptions = Subscriptions(store, self.neighbours, counters=counters, arm=arm)
        self._wanted = self._subscriptions.wanted
        self._publications = Publications(identity.node_id, store, counters=counters, arm_expiry=arm_expiry)
        for known in self._publications.known.values():
            known.shown = OWN in self._wanted.takers(known.topic, known.publisher)
        self._notices = Notices(router, self.neighbours, self._publications, wall)
        self._references = References(
            identity.node_id, store, self._publications, fetcher, wall, emit=emit, arm=arm
        )
        self.served = self._references.served
        self._pulls: OrderedDict[bytes, _Pull] = OrderedDict()
        self._pace: OrderedDict[NodeId, TokenBucket] = OrderedDict()

    # --- what people do -------------------------------------------------------------------------
    def publish(
        self, topic: Topic, what: str | Reference, now: float, *, ttl_s: int = TTL_S
    ) -> tuple[ObjectId, Published]:
        """Publish a text or point to an object; durable once the store has committed.

        Raises InputError and StoreFull with words.
        """
        if topic.kind in (TopicKind.PREFIX, TopicKind.SCOPE_PREFIX):
            raise InputError(
                f"{topic} takes in many topics; publish on one, such as key:HEX or scope:geo/a/b"
            )
        if topic.kind is TopicKind.NODE and topic.value != self._identity.address:
            raise InputError(
                f"only that node itself publishes on {topic}; this one is node:{self._identity.address.hex()}"
            )
        if not 0 < ttl_s <= PUBLISHED_TTL_MAX_S:
            raise InputError(f"what is published lives 1 to {PUBLISHED_TTL_MAX_S} seconds, not {ttl_s}")
        if isinstance(what, str) and len(what.encode()) > PUBLISHED_TEXT_MAX:
            raise InputError(
                f"the text has {len(what.encode())} bytes and {PUBLISHED_TEXT_MAX} can be published; "
                "put it as a file and publish the object"
            )
        if not self._wall.trusted(now):
            raise InputError("this node's clock is not set, and what is published carries the time; set it")
        now_ms = self._wall.ms(now)
        published = Published.make(self._identity, now_ms // 1000, ttl_s, topic, what)
        known = self._keep(published, now, now_ms + ttl_s * 1000, Keep.OWNED)
        return known.id, published

    def subscribe(self, topic: Topic, mode: Mode, now: float) -> None:
        """Raises InputError for one too many."""
        self._subscriptions.subscribe(topic, mode)
        for known in list(self._publications.known.values()):
            if not known.shown and topic in topics_of(known.topic, known.publisher):
                self._show(known, self._publications.read(known))
        self._references.look(now)

    def unsubscribe(self, topic: Topic) -> None:
        """Raises InputError when there is no such subscription."""
        self._subscriptions.unsubscribe(topic)

    def subscriptions(self) -> list[tuple[Topic, Mode]]:
        return self._store.subscriptions()

    def published(self) -> Iterator[tuple[ObjectId, Published]]:
        """What was published where this node has subscribed, or by itself; the oldest here first."""
        for known in list(self._publications.known.values()):
            own = known.publisher == self._identity.node_id
            if own or OWN in self._wanted.takers(known.topic, known.publisher):
                published = self._publications.read(known)
                if published is not None:
                    yield known.id, published

    # --- neighbours -----------------------------------------------------------------------------
    def met(self, peer: NodeId, now: float) -> None:
        """A link has come up."""
        link = self._router.link_to(peer)
        if link is None:
            return
        self._subscriptions.met(peer, self.neighbours.met(peer, link, now), now)
        self._references.look(now)
        self.neighbours.stir(peer)

    def parted(self, peer: NodeId, now: float) -> None:
        """No link to that neighbour is left."""
        neighbour = self.neighbours.get(peer)
        if neighbour is not None:
            self._subscriptions.parted(neighbour, now)
            self.neighbours.parted(neighbour)

    def feed(self, link: Attachment, peer: NodeId, now: float) -> None:
        """Put what that neighbour is to be told into its link's queue, as far as there is budget."""
        neighbour = self.neighbours.get(peer)
        if neighbour is None or neighbour.budget is None or now < neighbour.due:
            return
        if self._router.link_to(peer) is not link:
            return
        neighbour.due = float("inf")
        if neighbour.changed and not self._subscriptions.feed(link, peer, neighbour, now):
            return
        if neighbour.queue:
            self._notices.feed(link, neighbour, now)

    # --- what comes in --------------------------------------------------------------------------
    def take_subscribe(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour wants these. Raises BadWire."""
        fresh = self._subscriptions.take(peer, packet, now)
        if fresh:
            self._notices.catch_up(peer, self.neighbours.of(peer, now), fresh, now)

    def take_hint(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour has these. Raises BadWire."""
        neighbour = self.neighbours.of(peer, now)
        keys = parse_hints_untrusted(packet.data)
        if not neighbour.strikes.has(1, now):
            self._counters["hints_passed_over"] += len(keys)
            return
        ask = []
        for key in keys:
            neighbour.note_has(key)
            if key in self._publications.known:
                self._confirm(peer, neighbour, key, now)
            elif not neighbour.asked:
                self._counters["hints_unasked"] += 1
            elif key in self._pulls:
                others = self._pulls[key].others
                if peer not in others and len(others) < _ASK_TRIES:
                    others.append(peer)
            elif len(self._pulls) < PULLS_MAX:
                ask.append(key)
        self._pull(peer, ask, now)

    def _confirm(self, peer: NodeId, neighbour: PubNeighbour, key: bytes, now: float) -> None:
        """Say that it is here already, unless this node has told that neighbour of it first."""
        if neighbour.told.get(key) in (None, Told.CONFIRMED):
            neighbour.queue[key] = now, 0, Mode.HINT
            self.neighbours.stir(peer)

    def _pull(self, peer: NodeId, keys: list[bytes], now: float) -> None:
        link = self._router.link_to(peer)
        if link is None or not keys:
            return
        due = now + _ASK_AGAIN_S + 4 * 8 * CHUNK_SIZE * (1 + len(keys)) / link.profile.bps
        for key in keys:
            pull = self._pulls.setdefault(key, _Pull(due))
            pull.due = due
        self._arm(due)
        self.neighbours.say(link, Context.PULL, b"".join(keys), Priority.INTERACTIVE)

    def take_pull(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour wants these: what is published is for everybody. Raises BadWire."""
        neighbour, link = self.neighbours.of(peer, now), self._router.link_to(peer)
        for key in parse_hints_untrusted(packet.data):
            known = self._publications.known.get(key)
            if known is None or link is None:
                self._counters["pulled_not_here"] += 1
                continue
            neighbour.queue.pop(key, None)
            self._notices.send_whole(link, neighbour, known)

    def take_published(self, peer: NodeId, packet: Packet, now: float) -> None:
        """Something published, whole. Raises BadWire; what is wrong with it counts against that neighbour."""
        neighbour = self.neighbours.of(peer, now)
        key = describe(KIND_PUBLISHED, packet.data)[0].id[:HINT_SIZE]
        if key not in self._pulls and not neighbour.intake.take(1, now):
            self._counters["published_too_fast"] += 1
            self._put_off(peer, key, neighbour.intake.ready_at(1, now))
            return
        try:
            published = parse_published_untrusted(packet.data)
            if key in self._publications.known:
                neighbour.note_has(key)
                self._confirm(peer, neighbour, key, now)
                self._counters["published_again"] += 1
                return
            takers = self._wanted.takers(published.topic, published.publisher)
            if not takers.keys() - {peer}:
                raise BadWire("published_unasked")
            if not published.authentic():
                raise BadWire("forged_published")
        except BadWire:
            self._pulls.pop(key, None)
            neighbour.strikes.take(1, now)
            self._counters["invalid_hints"] += 1
            raise
        neighbour.note_has(key)
        ready_at = self._ready_at(published.publisher, now)
        if ready_at > now:
            self._counters["publisher_too_fast"] += 1
            self._put_off(peer, key, ready_at)
            return
        self._pulls.pop(key, None)
        expires_ms = self._expires_ms(published, now)
        if expires_ms <= self._wall.ms(now):
            self._counters["published_expired"] += 1
            return
        try:
            self._keep(published, now, expires_ms, Keep.CACHED)
        except StoreFull:
            self._counters["published_store_full"] += 1

    def _put_off(self, peer: NodeId, key: bytes, until: float) -> None:
        """Ask for it once there may be more of that kind."""
        if key in self._pulls or len(self._pulls) < PULLS_MAX:
            self._pulls[key] = _Pull(until, [peer])
            self._arm(until)

    def _ready_at(self, publisher: NodeId, now: float) -> float:
        """When that publisher may publish; `now` if it may, which then counts."""
        bucket = self._pace.get(publisher)
        if bucket is None:
            bucket = self._pace[publisher] = TokenBucket(PUBLISHED_PER_S, PUBLISHED_BURST, now)
            if len(self._pace) > PUBLISHERS_TIMED:
                self._pace.popitem(last=False)
        if bucket.take(1, now):
            return now
        return bucket.ready_at(1, now)

    def _expires_ms(self, published: Published, now: float) -> int:
        """Its time counts from when it was published; where the clock is not set, from now."""
        now_ms = self._wall.ms(now)
        if not self._wall.trusted(now):
            return now_ms + 1000 * published.ttl_s
        ahead = published.time * 1000 > now_ms + 1000 * _AHEAD_S
        return 0 if ahead else 1000 * (published.time + published.ttl_s)

    def _keep(self, published: Published, now: float, expires_ms: int, keep: Keep) -> Known:
        """Store it, tell of it, and spread it."""
        known = self._publications.keep(published, expires_ms, keep, now, self._wall.ms(now))
        self.promised = True
        for who, mode in self._wanted.takers(known.topic, known.publisher).items():
            if who is OWN:
                self._show(known, published)
                if not self._references.has(known):
                    self._references.look(now)
            elif (neighbour := self.neighbours.get(who)) is not None:
                self._notices.notify(who, neighbour, known.id[:HINT_SIZE], mode, now)
        return known

    def _show(self, known: Known, published: Published | None) -> None:
        if published is None or known.publisher == self._identity.node_id:
            return
        known.shown = True
        self._emit(
            "published",
            {
                "topic": str(published.topic),
                "publisher": published.address.hex(),
                "object": known.id.hex(),
                "published_ms": published.time * 1000,
                "text": published.what if isinstance(published.what, str) else None,
                "refers": None if known.refers is None else known.refers.header.id.hex(),
            },
        )

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Do what is due."""
        self._subscriptions.expire(now)
        for peer, neighbour in self.neighbours.up():
            if 0.0 < neighbour.due <= now:
                self.neighbours.stir(peer)
            if neighbour.due > now:  # else its link has been woken, and tells when it is asked for a frame
                self._arm(neighbour.due)
        self._references.expire(now)
        for key, pull in list(self._pulls.items()):
            if now >= pull.due:
                self._pull_again(key, pull, now)
            else:
                self._arm(pull.due)

    def _pull_again(self, key: bytes, pull: _Pull, now: float) -> None:
        """Ask the next that has it."""
        pull.tries += 1
        while pull.others and pull.tries <= _ASK_TRIES:
            peer = pull.others.pop(0)
            if self._router.link_to(peer) is not None:
                self._pull(peer, [key], now)
                return
        del self._pulls[key]

    def expire_published(self, now: float) -> None:
        """The store has let go of what is over."""
        self._publications.expire(self._wall.ms(now))
