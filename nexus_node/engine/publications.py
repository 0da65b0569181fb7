"""What was published and is here, in the store and as far as it is remembered (N8, docs/protocol/pub.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from nexus_node.base.errors import BadWire, StoreCorrupt
from nexus_node.base.ids import NodeId, ObjectId
from nexus_node.base.limits import PUBLICATIONS_MAX
from nexus_node.ports.store import Keep, Store, StoredObject
from nexus_node.wire.dataobject import describe
from nexus_node.wire.pub import (
    HINT_SIZE,
    KIND_PUBLISHED,
    Published,
    Reference,
    Topic,
    parse_published_untrusted,
)


@dataclass(slots=True)
class Known:
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


class Publications:
    """By the first bytes of their ids, as hints name them; the oldest first."""

    def __init__(
        self, own: NodeId, store: Store, *, counters: Counter[str], arm_expiry: Callable[[float], None]
    ) -> None:
        self._own = own
        self._store = store
        self._counters = counters
        self._arm_expiry = arm_expiry
        self.known: OrderedDict[bytes, Known] = OrderedDict()
        self._load()

    def _load(self) -> None:
        for stored in list(self._store.objects()):
            if stored.kind == KIND_PUBLISHED and stored.complete and stored.expires_ms is not None:
                try:
                    published = parse_published_untrusted(b"".join(self._store.read_object(stored.id)))
                except (BadWire, StoreCorrupt, KeyError):
                    continue
                self.known[stored.id[:HINT_SIZE]] = _known(published, stored)

    def keep(self, published: Published, expires_ms: int, keep: Keep, now: float, now_ms: int) -> Known:
        """Store it; it is over at those milliseconds since 1970. Raises StoreFull."""
        header, chunks = describe(KIND_PUBLISHED, published.encode())
        stored = StoredObject(header.id, header.kind, header.size, header.root, now_ms, expires_ms, keep=keep)
        self._store.put_object(stored, chunks)
        key = header.id[:HINT_SIZE]
        known = self.known.get(key) or _known(published, stored)
        self.known[key] = known
        while len(self.known) > PUBLICATIONS_MAX:
            others = (key for key, one in self.known.items() if one.publisher != self._own)
            oldest = self.known.pop(next(others, next(iter(self.known))))
            self._store.delete_object(oldest.id)
            self._counters["published_pushed_out"] += 1
        self._arm_expiry(now + (expires_ms - now_ms) / 1000)
        return known

    def content(self, known: Known) -> bytes | None:
        """None, and forgotten, when it has had to make room, or is damaged."""
        try:
            return b"".join(self._store.read_object(known.id))
        except (KeyError, StoreCorrupt):
            self.known.pop(known.id[:HINT_SIZE], None)
            return None

    def read(self, known: Known) -> Published | None:
        """The same, parsed."""
        data = self.content(known)
        return parse_published_untrusted(data) if data is not None else None

    def expire(self, now_ms: int) -> None:
        """The store has let go of what is over."""
        for key in [key for key, known in self.known.items() if known.expires_ms <= now_ms]:
            del self.known[key]


def _known(published: Published, stored: StoredObject) -> Known:
    refers = published.what if isinstance(published.what, Reference) else None
    return Known(
        stored.id,
        published.topic,
        published.publisher,
        stored.size,
        stored.created_ms,
        stored.expires_ms or 0,
        refers,
    )
