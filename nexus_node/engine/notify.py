"""Publish and subscribe: what was published goes from neighbour to neighbour, to who wants it (N8,
docs/protocol/pub.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from nexus_node.base.errors import BadWire, InputError, StoreCorrupt, StoreFull
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import (
    ATTACHMENT_MAX,
    CHUNK_SIZE,
    NOTICES_PER_NEIGHBOUR,
    PUBLICATIONS_MAX,
    PUBLISHED_BURST,
    PUBLISHED_PER_S,
    PUBLISHERS_TIMED,
    PULLS_MAX,
    SUBSCRIBERS_REMEMBERED,
    SUBSCRIPTIONS_PER_NEIGHBOUR,
)
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.peers import Attachment
from nexus_node.engine.router import Router
from nexus_node.engine.serving import Served
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.store import Keep, Store, StoredObject
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.pubsub import OWN, Asked, Entry, Wanted, topics_of
from nexus_node.wire.dataobject import describe
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority
from nexus_node.wire.pub import (
    ALL,
    HINT_SIZE,
    HINTS_MAX,
    KIND_PUBLISHED,
    PUBLISHED_TEXT_MAX,
    PUBLISHED_TTL_MAX_S,
    SUBSCRIPTIONS_MAX,
    Mode,
    Published,
    Reference,
    Subscription,
    Topic,
    TopicKind,
    parse_hints_untrusted,
    parse_published_untrusted,
    parse_subscriptions_untrusted,
)
from nexus_node.wire.transfer import Offer

TTL_S = 7 * 24 * 3600
"""How long something published is kept, unless its publisher says otherwise."""
_LIFETIME_MIN = 7 * 24 * 60
"""How long a subscription lasts that is not renewed: so long neighbours fetch for who is away."""
_RENEW_S = 8 * 3600
_OVERLAP_S = 3600
"""What is asked for again beyond the time without a link: it may have been lost as that ended."""
_SHARE, _BURST_S = 0.02, 600.0
"""Of a link, for subscriptions and hints (N5, the tier of services); what may be saved up."""
_NARROW_BPS = 10_000
"""Below this nothing goes that was not asked for, but for hints (N5)."""
_FRAME = 3 + 16 + 1 + HEADER_SIZE
"""Bytes of a frame beside the data of its only packet."""
_DIGEST_S = 60.0
_HINT_TRIES, _HINT_AGAIN_S = 6, 30.0
"""How often a hint goes that is not answered, and after how long first."""
_ASK_TRIES, _ASK_AGAIN_S = 3, 60.0
_STRIKES, _FORGIVEN_PER_S = 16, 1 / 60
"""What a neighbour may hand over that is not right before its hints are passed over."""
_INTAKE, _INTAKE_PER_S = 512, 20
"""Published objects taken of one neighbour."""
_CHANGES, _CHANGES_PER_S = 64, 2
"""SUBSCRIBE packets taken of one neighbour: each has all that is published looked through."""
_LOOK_S = 600.0
"""How often objects are looked for that are pointed to."""
_AHEAD_S = 24 * 3600
"""How far ahead a publisher's clock may be."""


class _Told(IntEnum):
    """What a neighbour was last told of a published object, in this session."""

    HINTED = 0
    SENT = 1
    CONFIRMED = 2
    """It said that it has it, and was told that this node has it too."""


@dataclass(slots=True)
class _Known:
    """A published object that is here."""

    id: ObjectId
    topic: Topic
    publisher: NodeId
    size: int
    arrived_ms: int
    expires_ms: int
    refers: Reference | None
    shown: bool = False
    """Whether this node's own subscriptions have told of it."""


class _Neighbour:
    """What passes between this node and one neighbour."""

    def __init__(self, now: float) -> None:
        self.has: OrderedDict[bytes, None] = OrderedDict()
        """What it has said that it has."""
        self.told: dict[bytes, _Told] = {}
        self.queue: OrderedDict[bytes, tuple[float, int, Mode]] = OrderedDict()
        """What it is to be told of: when, how often it was, and how it wants it."""
        self.asked: dict[Topic, Asked] = {}
        self.changed: OrderedDict[Topic, None] = OrderedDict()
        """Topics of which it is to be told anew what is wanted."""
        self.complete: dict[Topic, float] = {}
        """Until when it has told all there was."""
        self.renew_at = float("inf")
        self.budget: TokenBucket | None = None
        self.due = float("inf")
        """When there is something to tell it; 0 once its link has been woken for that."""
        self.digest_at = 0.0
        self.worth = 1.0
        """The share of what it was told that it did not have."""
        self.strikes = TokenBucket(_FORGIVEN_PER_S, _STRIKES, now)
        self.intake = TokenBucket(_INTAKE_PER_S, _INTAKE, now)
        self.changes = TokenBucket(_CHANGES_PER_S, _CHANGES, now)

    def note_has(self, key: bytes) -> None:
        if self.told.get(key) in (_Told.HINTED, _Told.SENT) and key not in self.has:
            self.worth = max(0.0, self.worth - 0.1)
        self.has[key] = None
        self.has.move_to_end(key)
        if len(self.has) > NOTICES_PER_NEIGHBOUR:
            self.has.popitem(last=False)
        self.queue.pop(key, None)

    def note_told(self, key: bytes, what: _Told) -> None:
        self.told[key] = what
        if len(self.told) > NOTICES_PER_NEIGHBOUR:
            del self.told[next(iter(self.told))]


@dataclass(slots=True)
class _Pull:
    """Something asked for: when to ask again, and who else has it."""

    due: float
    others: list[NodeId] = field(default_factory=list)
    tries: int = 1


class Notifier:
    """All that is published and wanted, as far as this node knows."""

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
        self._forwarder = forwarder
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._arm_expiry = arm_expiry
        self._wake = wake
        self._fetcher = fetcher
        self._over_at = 0.0
        """When the next subscription ends."""
        self._media: dict[int, TokenBucket] = {}
        """The budget of each shared medium."""
        self._look_at = float("inf")
        """When to look again for objects that are pointed to and not here."""
        self._wall = wall
        self.promised = False
        """Whether something is queued that rests on what is not durable yet."""
        self.wanted = Wanted()
        self._neighbours: OrderedDict[NodeId, _Neighbour] = OrderedDict()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._pulls: OrderedDict[bytes, _Pull] = OrderedDict()
        self._pace: OrderedDict[NodeId, TokenBucket] = OrderedDict()
        self._load()

    def _load(self) -> None:
        for topic, mode in self._store.subscriptions():
            self.wanted.put(OWN, topic, Entry(mode, 0))
        for stored in list(self._store.objects()):
            if stored.kind == KIND_PUBLISHED and stored.complete and stored.expires_ms is not None:
                try:
                    published = parse_published_untrusted(b"".join(self._store.read_object(stored.id)))
                except (BadWire, StoreCorrupt, KeyError):
                    continue
                known = _known(published, stored)
                known.shown = OWN in self.wanted.takers(known.topic, known.publisher)
                self._known[stored.id[:HINT_SIZE]] = known

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
        """Raises InputError beyond `SUBSCRIPTIONS_PER_NEIGHBOUR`."""
        if not self.wanted.put(OWN, topic, Entry(mode, 0)):
            raise InputError(
                f"a node has {SUBSCRIPTIONS_PER_NEIGHBOUR} subscriptions at most; end one: nexus unsubscribe"
            )
        self._store.put_subscription(topic, mode)
        self._changed(topic, now)
        for known in list(self._known.values()):
            if not known.shown and topic in topics_of(known.topic, known.publisher):
                self._show(known, self._read(known))
        self._look(now)

    def unsubscribe(self, topic: Topic, now: float) -> None:
        """Raises InputError when there is no such subscription."""
        if not self._store.drop_subscription(topic):
            raise InputError(f"this node is not subscribed to {topic}; see: nexus subscriptions")
        self.wanted.drop(OWN, topic)
        self._changed(topic, now)

    def subscriptions(self) -> list[tuple[Topic, Mode]]:
        return self._store.subscriptions()

    def published(self) -> Iterator[tuple[ObjectId, Published]]:
        """What was published where this node has subscribed, or by itself; the oldest here first."""
        for known in list(self._known.values()):
            own = known.publisher == self._identity.node_id
            if own or OWN in self.wanted.takers(known.topic, known.publisher):
                published = self._read(known)
                if published is not None:
                    yield known.id, published

    def served(self, prefix: bytes, asker: Address) -> Served | None:
        """The object that something published here points to: anybody may have it. Of what others have
        published only what was fetched because of that: pointing to it makes nothing public."""
        for known in self._known.values():
            if known.refers is not None and known.refers.header.id.startswith(prefix):
                stored = self._store.get_object(known.refers.header.id)
                own = known.publisher == self._identity.node_id
                if stored is not None and stored.complete and (own or stored.keep is Keep.CACHED):
                    return Served(self._store, stored.id, stored.min_bandwidth)
        return None

    # --- neighbours -----------------------------------------------------------------------------
    def met(self, peer: NodeId, now: float) -> None:
        """A link has come up: say what is wanted. What it wanted before holds until it has had time to say so
        again."""
        neighbour = self._neighbour(peer, now)
        link = self._router.link_to(peer)
        if link is None:
            return
        self._neighbours.move_to_end(peer)
        neighbour.budget = self._budget_of(link, now)
        rate = neighbour.budget.rate
        neighbour.told.clear()
        neighbour.asked.clear()
        neighbour.changed = OrderedDict.fromkeys(
            topic for topic in self.wanted.topics() if self.wanted.asked(topic, peer) is not None
        )
        neighbour.complete = {
            topic: at for topic, at in neighbour.complete.items() if topic in neighbour.changed
        }
        neighbour.renew_at = now + _RENEW_S
        grace = now + 600 + 32 * SUBSCRIPTIONS_PER_NEIGHBOUR / rate
        for entry in self.wanted.of(peer).values():
            entry.expires = min(entry.expires, grace)
        self._end_at(grace)
        self._arm(neighbour.renew_at)
        self._look(now)
        self._stir(peer)

    def parted(self, peer: NodeId, now: float) -> None:
        """No link to that neighbour is left."""
        neighbour = self._neighbours.get(peer)
        if neighbour is None:
            return
        for topic in neighbour.asked:
            if topic not in neighbour.changed:
                neighbour.complete[topic] = now
        neighbour.asked.clear()
        neighbour.changed.clear()
        neighbour.queue.clear()
        neighbour.renew_at = float("inf")
        gone = [one for one in self._neighbours if self._router.link_to(one) is None]
        for one in gone[: max(0, len(gone) - SUBSCRIBERS_REMEMBERED)]:
            del self._neighbours[one]

    def _budget_of(self, link: Attachment, now: float) -> TokenBucket:
        """Neighbours on one medium share one."""
        rate = min(link.profile.bps, 1e9) / 8 * _SHARE
        fresh = TokenBucket(rate, rate * _BURST_S, now)
        if link.medium is None:
            return fresh
        budget = self._media.setdefault(link.medium.cid, fresh)
        budget.change(rate, rate * _BURST_S, now)
        return budget

    def _end_at(self, at: float) -> None:
        """A subscription ends then."""
        self._over_at = min(self._over_at, at)
        self._arm(at)

    def _neighbour(self, peer: NodeId, now: float) -> _Neighbour:
        if peer not in self._neighbours:
            self._neighbours[peer] = _Neighbour(now)
        return self._neighbours[peer]

    def _up(self) -> Iterator[tuple[NodeId, _Neighbour]]:
        for peer, neighbour in self._neighbours.items():
            if self._router.link_to(peer) is not None:
                yield peer, neighbour

    def _stir(self, peer: NodeId) -> None:
        link = self._router.link_to(peer)
        if link is not None:
            self._neighbours[peer].due = 0.0
            self._wake(link)

    def _changed(self, topic: Topic, now: float) -> None:
        """Somebody wants that topic now, or does not any more."""
        for peer, neighbour in self._up():
            if self.wanted.asked(topic, peer) != neighbour.asked.get(topic):
                neighbour.changed[topic] = None
                self._stir(peer)

    # --- what neighbours want -------------------------------------------------------------------
    def take_subscribe(self, peer: NodeId, packet: Packet, now: float) -> None:
        """Raises BadWire."""
        neighbour = self._neighbour(peer, now)
        if not neighbour.changes.take(1, now):
            raise BadWire("subscribes_too_fast")
        fresh: dict[Topic, Subscription] = {}
        for one in parse_subscriptions_untrusted(packet.data):
            before = self.wanted.of(peer).get(one.topic)
            if one.lifetime_min == 0:
                if self.wanted.drop(peer, one.topic):
                    self._changed(one.topic, now)
                continue
            entry = Entry(one.mode, one.hops, now + 60 * one.lifetime_min)
            if not self.wanted.put(peer, one.topic, entry):
                self._counters["subscriptions_full"] += 1
                continue
            self._end_at(entry.expires)
            fresh[one.topic] = one
            if before is None or (before.mode, before.hops) != (one.mode, one.hops):
                self._changed(one.topic, now)
        if fresh:
            self._catch_up(peer, neighbour, fresh, now)

    def _catch_up(
        self, peer: NodeId, neighbour: _Neighbour, fresh: dict[Topic, Subscription], now: float
    ) -> None:
        """Tell a neighbour what is here of what it wants, as far back as it says."""
        now_ms = self._wall.ms(now)
        for key, known in self._known.items():
            for topic in topics_of(known.topic, known.publisher):
                one = fresh.get(topic)
                if one is not None and (one.back_s == ALL or known.arrived_ms >= now_ms - 1000 * one.back_s):
                    self._notify(peer, neighbour, key, one.mode, now)
                    break

    def _notify(self, peer: NodeId, neighbour: _Neighbour, key: bytes, mode: Mode, now: float) -> None:
        told = neighbour.told.get(key)
        if key in neighbour.has or key in neighbour.queue or told in (_Told.SENT, _Told.CONFIRMED):
            return
        if self._router.link_to(peer) is None:
            return  # it will say how far back it wants to know
        due = now
        if mode is Mode.DIGEST:
            if neighbour.digest_at <= now:
                neighbour.digest_at = now + _DIGEST_S
            due = neighbour.digest_at
        neighbour.queue[key] = due, 0, mode
        if len(neighbour.queue) > PUBLICATIONS_MAX:
            neighbour.queue.popitem(last=False)
        self._stir(peer)

    # --- what goes out --------------------------------------------------------------------------
    def feed(self, link: Attachment, peer: NodeId, now: float) -> None:
        """Put what that neighbour is to be told into its link's queue, as far as there is budget."""
        neighbour = self._neighbours.get(peer)
        if neighbour is None or neighbour.budget is None or now < neighbour.due:
            return
        if self._router.link_to(peer) is not link:
            return
        neighbour.due = float("inf")
        if neighbour.changed and not self._feed_subscriptions(link, peer, neighbour, neighbour.budget, now):
            return
        if neighbour.queue:
            self._feed_notices(link, peer, neighbour, neighbour.budget, now)

    def _later(self, neighbour: _Neighbour, at: float) -> None:
        """There is something to tell it then."""
        neighbour.due = min(neighbour.due, at)
        self._arm(at)

    def _afford(self, neighbour: _Neighbour, budget: TokenBucket, size: int, now: float) -> bool:
        if budget.take(size, now):
            return True
        self._later(neighbour, budget.ready_at(size, now))
        return False

    def _feed_subscriptions(
        self, link: Attachment, peer: NodeId, neighbour: _Neighbour, budget: TokenBucket, now: float
    ) -> bool:
        """False when there is no budget for more just now."""
        room = link.link.room - HEADER_SIZE - 1
        while neighbour.changed:
            parts: list[bytes] = []
            went: dict[Topic, Asked | None] = {}
            for topic in neighbour.changed:
                asked = self.wanted.asked(topic, peer)
                part = _ask_for(topic, asked, neighbour.complete.get(topic), now)
                if parts and (sum(map(len, parts)) + len(part) > room or len(parts) == SUBSCRIPTIONS_MAX):
                    break
                parts.append(part)
                went[topic] = asked
            data = b"".join(parts)
            if not self._afford(neighbour, budget, _FRAME + len(data), now):
                return False
            for topic, asked in went.items():
                del neighbour.changed[topic]
                neighbour.complete.pop(topic, None)
                neighbour.asked.pop(topic, None)
                if asked is not None:
                    neighbour.asked[topic] = asked
            self._say(link, Context.SUBSCRIBE, data)
        return True

    def _feed_notices(
        self, link: Attachment, peer: NodeId, neighbour: _Neighbour, budget: TokenBucket, now: float
    ) -> None:
        hints: list[bytes] = []
        most = min(HINTS_MAX, max(1, (link.link.room - HEADER_SIZE - 1) // HINT_SIZE))
        for key, (due, _, mode) in list(neighbour.queue.items()):
            known = self._known.get(key)
            if known is None or known.expires_ms <= self._wall.ms(now):
                del neighbour.queue[key]
            elif due > now:
                self._later(neighbour, due)
            elif self._cheaper_whole(link, neighbour, known, mode):
                del neighbour.queue[key]
                self._send_whole(link, neighbour, known)
            else:
                hints.append(key)
                if len(hints) == most:
                    if not self._hint(link, neighbour, hints, budget, now):
                        return
                    hints = []
        if hints:
            self._hint(link, neighbour, hints, budget, now)

    def _cheaper_whole(self, link: Attachment, neighbour: _Neighbour, known: _Known, mode: Mode) -> bool:
        """Whether pushing costs less air than a hint, and the question and answer that may follow it."""
        if (
            mode is not Mode.PUSH
            or link.profile.bps < _NARROW_BPS
            or neighbour.told.get(known.id[:HINT_SIZE])
        ):
            return False
        hint, whole = _FRAME + HINT_SIZE, _FRAME + known.size
        return whole <= hint + neighbour.worth * (hint + whole)

    def _hint(
        self, link: Attachment, neighbour: _Neighbour, keys: list[bytes], budget: TokenBucket, now: float
    ) -> bool:
        if not self._afford(neighbour, budget, _FRAME + HINT_SIZE * len(keys), now):
            return False
        for key in keys:
            _, tries, _ = neighbour.queue.pop(key)
            if key in neighbour.has:
                neighbour.note_told(key, _Told.CONFIRMED)
                continue
            neighbour.note_told(key, neighbour.told.get(key, _Told.HINTED))
            neighbour.worth += 0.1 * (1 - neighbour.worth)
            if tries + 1 < _HINT_TRIES:
                again = now + (_HINT_AGAIN_S + 16 * 8 * link.link.mtu / link.profile.bps) * 2**tries
                neighbour.queue[key] = again, tries + 1, Mode.HINT
                self._later(neighbour, again)
        self._say(link, Context.HINT, b"".join(keys))
        return True

    def _send_whole(self, link: Attachment, neighbour: _Neighbour, known: _Known) -> None:
        data = self._content(known)
        if data is None:
            return
        if known.id[:HINT_SIZE] not in neighbour.told:
            neighbour.worth += 0.1 * (1 - neighbour.worth)
        neighbour.note_told(known.id[:HINT_SIZE], _Told.SENT)
        body = Packet(Context.PUBLISHED, data, priority=Priority.STANDARD).encode()
        self._forwarder.enqueue(link, body, Priority.STANDARD, sure=True)

    def _say(self, link: Attachment, context: Context, data: bytes) -> None:
        """Hints are repeated until they are answered; all else is acknowledged where it may be lost."""
        body = Packet(context, data, priority=Priority.STANDARD).encode()
        self._forwarder.enqueue(link, body, Priority.STANDARD, sure=context is not Context.HINT)

    # --- what comes in --------------------------------------------------------------------------
    def take_hint(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour has these. Raises BadWire."""
        neighbour = self._neighbour(peer, now)
        keys = parse_hints_untrusted(packet.data)
        if not neighbour.strikes.has(1, now):
            self._counters["hints_passed_over"] += len(keys)
            return
        ask = []
        for key in keys:
            neighbour.note_has(key)
            if key in self._known:
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

    def _confirm(self, peer: NodeId, neighbour: _Neighbour, key: bytes, now: float) -> None:
        """Say that it is here already, unless this node has told that neighbour of it first."""
        if neighbour.told.get(key) in (None, _Told.CONFIRMED):
            neighbour.queue[key] = now, 0, Mode.HINT
            self._stir(peer)

    def _pull(self, peer: NodeId, keys: list[bytes], now: float) -> None:
        link = self._router.link_to(peer)
        if link is None or not keys:
            return
        due = now + _ASK_AGAIN_S + 4 * 8 * CHUNK_SIZE * (1 + len(keys)) / link.profile.bps
        for key in keys:
            pull = self._pulls.setdefault(key, _Pull(due))
            pull.due = due
        self._arm(due)
        body = Packet(Context.PULL, b"".join(keys), priority=Priority.INTERACTIVE).encode()
        self._forwarder.enqueue(link, body, Priority.INTERACTIVE, sure=True)

    def take_pull(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour wants these: what is published is for everybody. Raises BadWire."""
        neighbour, link = self._neighbour(peer, now), self._router.link_to(peer)
        for key in parse_hints_untrusted(packet.data):
            known = self._known.get(key)
            if known is None or link is None:
                self._counters["pulled_not_here"] += 1
                continue
            neighbour.queue.pop(key, None)
            self._send_whole(link, neighbour, known)

    def take_published(self, peer: NodeId, packet: Packet, now: float) -> None:
        """Something published, whole. Raises BadWire; what is wrong with it counts against that neighbour."""
        neighbour = self._neighbour(peer, now)
        key = describe(KIND_PUBLISHED, packet.data)[0].id[:HINT_SIZE]
        if key not in self._pulls and not neighbour.intake.take(1, now):
            self._counters["published_too_fast"] += 1
            self._put_off(peer, key, neighbour.intake.ready_at(1, now))
            return
        try:
            published = parse_published_untrusted(packet.data)
            if key in self._known:
                neighbour.note_has(key)
                self._confirm(peer, neighbour, key, now)
                self._counters["published_again"] += 1
                return
            takers = self.wanted.takers(published.topic, published.publisher)
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

    def _keep(self, published: Published, now: float, expires_ms: int, keep: Keep) -> _Known:
        """Store it, tell of it, and spread it."""
        header, chunks = describe(KIND_PUBLISHED, published.encode())
        now_ms = self._wall.ms(now)
        stored = StoredObject(header.id, header.kind, header.size, header.root, now_ms, expires_ms, keep=keep)
        self._store.put_object(stored, chunks)
        self.promised = True
        key = header.id[:HINT_SIZE]
        known = self._known.get(key) or _known(published, stored)
        self._known[key] = known
        while len(self._known) > PUBLICATIONS_MAX:
            self._forget(next(iter(self._known)))
            self._counters["published_pushed_out"] += 1
        self._arm_expiry(now + (expires_ms - now_ms) / 1000)
        for who, mode in self.wanted.takers(known.topic, known.publisher).items():
            if who is OWN:
                self._show(known, published)
                if not self._has_referred(known):
                    self._look(now)
            elif who in self._neighbours:
                self._notify(who, self._neighbours[who], key, mode, now)
        return known

    def _forget(self, key: bytes) -> None:
        known = self._known.pop(key)
        self._store.delete_object(known.id)

    def _show(self, known: _Known, published: Published | None) -> None:
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

    def _look(self, now: float) -> None:
        """Fetch the objects that are pointed to where this node has subscribed, from who published them."""
        missing = [one for one in self._known.values() if one.shown and not self._has_referred(one)]
        for known in missing:
            self._fetch(known, now)
        self._look_at = now + _LOOK_S if missing else float("inf")
        self._arm(self._look_at)

    def _has_referred(self, known: _Known) -> bool:
        if known.refers is None or known.refers.header.size > ATTACHMENT_MAX:
            return True
        stored = self._store.get_object(known.refers.header.id)
        return stored is not None and stored.complete

    def _fetch(self, known: _Known, now: float) -> None:
        if known.refers is None or self._fetcher.progress(known.refers.header.id) is not None:
            return
        header, bps = known.refers.header, known.refers.min_bandwidth

        def done(at: float) -> None:
            self._emit("object_arrived", {"object": header.id.hex()})

        offer = Offer(header, bps, address_of(known.publisher))
        now_ms = self._wall.ms(now)
        self._fetcher.begin(
            known.publisher, offer, bps, now_ms, now, done, store=self._store, keep=Keep.CACHED
        )

    def _content(self, known: _Known) -> bytes | None:
        """None, and forgotten, when it has had to make room, or is damaged."""
        try:
            return b"".join(self._store.read_object(known.id))
        except (KeyError, StoreCorrupt):
            self._known.pop(known.id[:HINT_SIZE], None)
            return None

    def _read(self, known: _Known) -> Published | None:
        data = self._content(known)
        return parse_published_untrusted(data) if data is not None else None

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Do what is due."""
        if now >= self._over_at:
            for topic in self.wanted.expire(now):
                self._changed(topic, now)
            self._over_at = self.wanted.next_expiry()
        self._arm(self._over_at)
        for peer, neighbour in self._up():
            if now >= neighbour.renew_at:
                for topic in neighbour.asked:
                    neighbour.complete[topic] = now
                    neighbour.changed[topic] = None
                neighbour.renew_at = now + _RENEW_S
                self._stir(peer)
            if 0.0 < neighbour.due <= now:
                self._stir(peer)
            self._arm(neighbour.renew_at)
            if neighbour.due > now:  # else its link has been woken, and tells when it is asked for a frame
                self._arm(neighbour.due)
        if now >= self._look_at:
            self._look(now)
        self._arm(self._look_at)
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
        now_ms = self._wall.ms(now)
        for key in [key for key, known in self._known.items() if known.expires_ms <= now_ms]:
            del self._known[key]


def _known(published: Published, stored: StoredObject) -> _Known:
    refers = published.what if isinstance(published.what, Reference) else None
    return _Known(
        stored.id,
        published.topic,
        published.publisher,
        stored.size,
        stored.created_ms,
        stored.expires_ms or 0,
        refers,
    )


def _ask_for(topic: Topic, asked: Asked | None, complete: float | None, now: float) -> bytes:
    """What a neighbour is told of a topic."""
    if asked is None:
        return Subscription(topic, Mode.PUSH, 0, 0, 0).encode()
    back = ALL if complete is None else int(now - complete) + _OVERLAP_S
    return Subscription(topic, asked[0], asked[1], _LIFETIME_MIN, back).encode()
