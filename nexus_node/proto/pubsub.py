"""Who wants what: the subscriptions of a node and of its neighbours, and what each neighbour is asked for
(N8, docs/protocol/pub.md). Pure: no clock of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import SUBSCRIPTIONS_PER_NEIGHBOUR
from nexus_node.crypto.address import address_of
from nexus_node.wire.pub import HOPS_MAX, Mode, Topic, TopicKind

OWN = None
"""In the place of a neighbour: the node itself."""


@dataclass(slots=True)
class Entry:
    """One subscription of a neighbour, or of the node itself, which never ends by itself."""

    mode: Mode
    hops: int
    expires: float = inf


Asked = tuple[Mode, int]
"""What a neighbour is asked for: how, and how many more nodes may pass it on."""


def topics_of(topic: Topic, publisher: NodeId) -> Iterator[Topic]:
    """Every subscription that takes in what `publisher` has published on `topic`."""
    yield Topic(TopicKind.NODE, address_of(publisher))
    if topic.kind is TopicKind.KEY:
        yield topic
        for size in range(1, len(topic.value) + 1):
            yield Topic(TopicKind.PREFIX, topic.value[:size])
    elif topic.kind is TopicKind.SCOPE:
        yield topic
        parts = topic.value.split(b"/")
        for count in range(1, len(parts) + 1):
            yield Topic(TopicKind.SCOPE_PREFIX, b"/".join(parts[:count]))


class Wanted:
    """All subscriptions known here, at most `SUBSCRIPTIONS_PER_NEIGHBOUR` of each neighbour.

    What a node wants of a neighbour is what it wants itself and what its other neighbours want of it. Each
    node on the way lowers `hops` by one: so nothing goes farther than eight hops, and in a ring no
    subscription outlives the one that began it, for it would have to be lower than itself.
    """

    def __init__(self) -> None:
        self._topics: dict[Topic, dict[NodeId | None, Entry]] = {}
        self._of: dict[NodeId | None, dict[Topic, Entry]] = {}

    def put(self, who: NodeId | None, topic: Topic, entry: Entry) -> bool:
        """Add or renew a subscription; False when that neighbour has too many."""
        theirs = self._of.setdefault(who, {})
        if topic not in theirs and len(theirs) >= SUBSCRIPTIONS_PER_NEIGHBOUR:
            return False
        theirs[topic] = entry
        self._topics.setdefault(topic, {})[who] = entry
        return True

    def drop(self, who: NodeId | None, topic: Topic) -> bool:
        """End a subscription; False if there was none."""
        if self._of.get(who, {}).pop(topic, None) is None:
            return False
        if not self._of[who]:
            del self._of[who]
        del self._topics[topic][who]
        if not self._topics[topic]:
            del self._topics[topic]
        return True

    def of(self, who: NodeId | None) -> dict[Topic, Entry]:
        return self._of.get(who, {})

    def topics(self) -> list[Topic]:
        return list(self._topics)

    def expire(self, now: float) -> list[Topic]:
        """End what nobody has renewed; returns the topics that are wanted otherwise now."""
        over = [
            (who, topic)
            for who, theirs in self._of.items()
            for topic, entry in theirs.items()
            if entry.expires <= now
        ]
        for who, topic in over:
            self.drop(who, topic)
        return [topic for _, topic in over]

    def next_expiry(self) -> float:
        """When the first of them ends."""
        return min((entry.expires for theirs in self._of.values() for entry in theirs.values()), default=inf)

    def asked(self, topic: Topic, peer: NodeId) -> Asked | None:
        """What that neighbour is to be asked for; None for nothing."""
        best: Asked | None = None
        for who, entry in self._topics.get(topic, {}).items():
            hops = HOPS_MAX - 1 if who is OWN else entry.hops - 1
            if who != peer and hops >= 0:
                best = (entry.mode, hops) if best is None else (min(best[0], entry.mode), max(best[1], hops))
        return best

    def takers(self, topic: Topic, publisher: NodeId) -> dict[NodeId | None, Mode]:
        """Who wants what `publisher` has published on `topic`, and how: the node itself is `OWN`."""
        found: dict[NodeId | None, Mode] = {}
        for one in topics_of(topic, publisher):
            for who, entry in self._topics.get(one, {}).items():
                found[who] = min(found.get(who, Mode.HINT), entry.mode)
        return found
