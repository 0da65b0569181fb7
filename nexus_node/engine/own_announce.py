"""What this node tells of itself: its announces, each with a new sequence, and to whom they go (N4)."""

from collections.abc import Callable, Mapping

from nexus_node.base.ids import NodeId
from nexus_node.crypto.identity import Identity
from nexus_node.engine.neighbour import SOON_S, Neighbour, soon
from nexus_node.ports.store import Store
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.paths import ANNOUNCE_EVERY_S
from nexus_node.wire.announce import Announce, Serve
from nexus_node.wire.routing import PathRequest

ANNOUNCE_GAP_S = 0.5
_BUMPS, BUMPS_PER_S = 10, 0.1
"""New sequences because somebody asks: a failure of links needs one, a liar could have them without end."""
_SEQUENCE_LAST = 0xFFFF0000
"""Nobody comes near it who does not want to end the count."""
_SEQUENCES_RESERVED = 256
"""Announce sequences promised to the disk at a time: no write for each announce."""
_META_SEQUENCE = "announce_sequence"


class OwnAnnounce:
    """The latest announce of one node, and when the next is due."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        neighbours: Mapping[NodeId, Neighbour],
        arm: Callable[[float], None],
        serve: Serve,
        *,
        memory_only: bool,
        now: float,
    ) -> None:
        self._identity = identity
        self._store = store
        self._neighbours = neighbours
        self._arm = arm
        self._serve = serve
        self._memory_only = memory_only
        self.promised = False
        """Whether an announce waits whose sequence is not durable yet."""
        self._bumps = TokenBucket(BUMPS_PER_S, _BUMPS, now)
        self._reserved = int.from_bytes(store.get_meta(_META_SEQUENCE) or b"", "little")
        self._announce_at = float("inf")
        self._announced_at = float("-inf")
        self._introduce_at = float("inf")
        """When neighbours that have come are told the announce there is: nothing that has come makes a newer
        one necessary, for nobody's path can be in the way of one straight from here."""
        self._sequence = self._reserved
        """The highest of this node's own that is known to be in the world."""
        self.latest = self._sign()
        self.schedule(now + ANNOUNCE_EVERY_S)

    def neighbour_up(self, fresh: Neighbour, now: float) -> None:
        """Tell one that has come, and others that come with it."""
        self._introduce_at = min(self._introduce_at, now + soon(fresh.link))
        self._arm(self._introduce_at)

    def remembered(self, announce: Announce, now: float) -> None:
        """A neighbour remembers a newer one than was given out here: this node has lost its memory."""
        if announce.sequence < self._sequence or announce == self.latest:
            return
        if announce.sequence <= _SEQUENCE_LAST and announce.authentic():
            self._sequence = announce.sequence
            self.schedule(now)

    def asked(self, neighbour: Neighbour, request: PathRequest, now: float) -> None:
        """Somebody looks for this node: with the announce there is, if that is enough, or a new one."""
        if request.sequence < self.latest.sequence:
            neighbour.introduce()
        elif self._announce_at > now + SOON_S:
            self.schedule(self._bumps.ready_at(1, now))
            self._bumps.take(1, now, credit=1)

    def expire(self, now: float) -> None:
        """Announce, if that is due."""
        if now >= self._announce_at:
            self._new_sequence(now)
        elif now >= self._introduce_at:
            self._introduce()
        self._arm(min(self._announce_at, self._introduce_at))

    def schedule(self, at: float) -> None:
        """Announce anew at that time, if it is not done sooner anyway."""
        self._announce_at = min(self._announce_at, max(at, self._announced_at + ANNOUNCE_GAP_S))
        self._arm(self._announce_at)

    def _new_sequence(self, now: float) -> None:
        self.latest = self._sign()
        self._announced_at = now
        self._announce_at = now + ANNOUNCE_EVERY_S
        for neighbour in self._neighbours.values():
            neighbour.introduced = False
        self._introduce()

    def _introduce(self) -> None:
        """Tell this node's announce to every neighbour that has not been told it."""
        self._introduce_at = float("inf")
        for neighbour in self._neighbours.values():
            if not neighbour.introduced:
                neighbour.introduce()

    def _sign(self) -> Announce:
        """The next announce. Its sequence is behind what the store knows, and so after any restart."""
        self._sequence += 1
        if self._sequence > self._reserved:
            self._reserved = self._sequence + _SEQUENCES_RESERVED
            self._store.set_meta(_META_SEQUENCE, self._reserved.to_bytes(4, "little"))
            self.promised = True
        return Announce.make(self._identity, self._sequence, self._serve, memory_only=self._memory_only)
