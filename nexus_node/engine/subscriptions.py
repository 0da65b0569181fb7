"""Who wants what: subscriptions spread from neighbour to neighbour (N8, docs/protocol/pub.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import SUBSCRIPTIONS_PER_NEIGHBOUR
from nexus_node.engine.peers import Attachment
from nexus_node.engine.pub_neighbours import FRAME, PubNeighbour, PubNeighbours
from nexus_node.ports.store import Store
from nexus_node.proto.pubsub import OWN, Asked, Entry, Wanted
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet
from nexus_node.wire.pub import (
    ALL,
    SUBSCRIPTIONS_MAX,
    Mode,
    Subscription,
    Topic,
    parse_subscriptions_untrusted,
)

_LIFETIME_MIN = 7 * 24 * 60
"""How long a subscription lasts that is not renewed: so long neighbours fetch for who is away."""
_RENEW_S = 8 * 3600
_OVERLAP_S = 3600
"""What is asked for again beyond the time without a link: it may have been lost as that ended."""


class Subscriptions:
    """Those of this node and of its neighbours."""

    def __init__(
        self,
        store: Store,
        neighbours: PubNeighbours,
        *,
        counters: Counter[str],
        arm: Callable[[float], None],
    ) -> None:
        self._store = store
        self._neighbours = neighbours
        self._counters = counters
        self._arm = arm
        self._over_at = 0.0
        """When the next subscription ends."""
        self.wanted = Wanted()
        for topic, mode in store.subscriptions():
            self.wanted.put(OWN, topic, Entry(mode, 0))

    # --- what people do -------------------------------------------------------------------------
    def subscribe(self, topic: Topic, mode: Mode) -> None:
        """Raises InputError beyond `SUBSCRIPTIONS_PER_NEIGHBOUR`."""
        if not self.wanted.put(OWN, topic, Entry(mode, 0)):
            raise InputError(
                f"a node has {SUBSCRIPTIONS_PER_NEIGHBOUR} subscriptions at most; end one: nexus unsubscribe"
            )
        self._store.put_subscription(topic, mode)
        self._changed(topic)

    def unsubscribe(self, topic: Topic) -> None:
        """Raises InputError when there is no such subscription."""
        if not self._store.drop_subscription(topic):
            raise InputError(f"this node is not subscribed to {topic}; see: nexus subscriptions")
        self.wanted.drop(OWN, topic)
        self._changed(topic)

    # --- neighbours -----------------------------------------------------------------------------
    def met(self, peer: NodeId, neighbour: PubNeighbour, now: float) -> None:
        """A link has come up: say what is wanted. What it wanted before holds until it has had time to say so
        again."""
        neighbour.asked.clear()
        neighbour.changed = OrderedDict.fromkeys(
            topic for topic in self.wanted.topics() if self.wanted.asked(topic, peer) is not None
        )
        neighbour.complete = {
            topic: at for topic, at in neighbour.complete.items() if topic in neighbour.changed
        }
        neighbour.renew_at = now + _RENEW_S
        rate = neighbour.budget.rate if neighbour.budget is not None else 1.0
        grace = now + 600 + 32 * SUBSCRIPTIONS_PER_NEIGHBOUR / rate
        for entry in self.wanted.of(peer).values():
            entry.expires = min(entry.expires, grace)
        self._end_at(grace)
        self._arm(neighbour.renew_at)

    @staticmethod
    def parted(neighbour: PubNeighbour, now: float) -> None:
        """No link to that neighbour is left."""
        for topic in neighbour.asked:
            if topic not in neighbour.changed:
                neighbour.complete[topic] = now
        neighbour.asked.clear()
        neighbour.changed.clear()
        neighbour.renew_at = float("inf")

    def _end_at(self, at: float) -> None:
        """A subscription ends then."""
        self._over_at = min(self._over_at, at)
        self._arm(at)

    def _changed(self, topic: Topic) -> None:
        """Somebody wants that topic now, or does not any more."""
        for peer, neighbour in self._neighbours.up():
            if self.wanted.asked(topic, peer) != neighbour.asked.get(topic):
                neighbour.changed[topic] = None
                self._neighbours.stir(peer)

    def take(self, peer: NodeId, packet: Packet, now: float) -> dict[Topic, Subscription]:
        """A neighbour wants these; returns what is to be told of. Raises BadWire."""
        neighbour = self._neighbours.of(peer, now)
        if not neighbour.changes.take(1, now):
            raise BadWire("subscribes_too_fast")
        fresh: dict[Topic, Subscription] = {}
        for one in parse_subscriptions_untrusted(packet.data):
            before = self.wanted.of(peer).get(one.topic)
            if one.lifetime_min == 0:
                if self.wanted.drop(peer, one.topic):
                    self._changed(one.topic)
                continue
            entry = Entry(one.mode, one.hops, now + 60 * one.lifetime_min)
            if not self.wanted.put(peer, one.topic, entry):
                self._counters["subscriptions_full"] += 1
                continue
            self._end_at(entry.expires)
            fresh[one.topic] = one
            if before is None or (before.mode, before.hops) != (one.mode, one.hops):
                self._changed(one.topic)
        return fresh

    def feed(self, link: Attachment, peer: NodeId, neighbour: PubNeighbour, now: float) -> bool:
        """Tell a neighbour what is wanted of it. False when there is no budget for more just now."""
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
            if not self._neighbours.afford(neighbour, FRAME + len(data), now):
                return False
            for topic, asked in went.items():
                del neighbour.changed[topic]
                neighbour.complete.pop(topic, None)
                neighbour.asked.pop(topic, None)
                if asked is not None:
                    neighbour.asked[topic] = asked
            self._neighbours.say(link, Context.SUBSCRIBE, data)
        return True

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """End what nobody has renewed, and renew what this node wants."""
        if now >= self._over_at:
            for topic in self.wanted.expire(now):
                self._changed(topic)
            self._over_at = self.wanted.next_expiry()
        self._arm(self._over_at)
        for peer, neighbour in self._neighbours.up():
            if now >= neighbour.renew_at:
                for topic in neighbour.asked:
                    neighbour.complete[topic] = now
                    neighbour.changed[topic] = None
                neighbour.renew_at = now + _RENEW_S
                self._neighbours.stir(peer)
            self._arm(neighbour.renew_at)


def _ask_for(topic: Topic, asked: Asked | None, complete: float | None, now: float) -> bytes:
    """What a neighbour is told of a topic."""
    if asked is None:
        return Subscription(topic, Mode.PUSH, 0, 0, 0).encode()
    back = ALL if complete is None else int(now - complete) + _OVERLAP_S
    return Subscription(topic, asked[0], asked[1], _LIFETIME_MIN, back).encode()
