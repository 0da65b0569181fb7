"""What passes between this node and each neighbour about what is published, within its budget (N5, N8)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import IntEnum

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import NOTICES_PER_NEIGHBOUR, SUBSCRIBERS_REMEMBERED
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.peers import Attachment
from nexus_node.engine.router import Router
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.pubsub import Asked
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority
from nexus_node.wire.pub import Mode, Topic

FRAME = 3 + 16 + 1 + HEADER_SIZE
"""Bytes of a frame beside the data of its only packet."""
_SHARE, _BURST_S = 0.02, 600.0
"""Of a link, for subscriptions and hints (N5, the tier of services); what may be saved up."""
_STRIKES, _FORGIVEN_PER_S = 16, 1 / 60
"""What a neighbour may hand over that is not right before its hints are passed over."""
_INTAKE, _INTAKE_PER_S = 512, 20
"""Published objects taken of one neighbour."""
_CHANGES, _CHANGES_PER_S = 64, 2
"""SUBSCRIBE packets taken of one neighbour: each has all that is published looked through."""


class Told(IntEnum):
    """What a neighbour was last told of a published object, in this session."""

    HINTED = 0
    SENT = 1
    CONFIRMED = 2
    """It said that it has it, and was told that this node has it too."""


class PubNeighbour:
    """What passes between this node and one neighbour."""

    def __init__(self, now: float) -> None:
        self.has: OrderedDict[bytes, None] = OrderedDict()
        """What it has said that it has."""
        self.told: dict[bytes, Told] = {}
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
        if self.told.get(key) in (Told.HINTED, Told.SENT) and key not in self.has:
            self.worth = max(0.0, self.worth - 0.1)
        self.has[key] = None
        self.has.move_to_end(key)
        if len(self.has) > NOTICES_PER_NEIGHBOUR:
            self.has.popitem(last=False)
        self.queue.pop(key, None)

    def note_told(self, key: bytes, what: Told) -> None:
        self.told[key] = what
        if len(self.told) > NOTICES_PER_NEIGHBOUR:
            del self.told[next(iter(self.told))]


class PubNeighbours:
    """All neighbours, and those that were here lately: what they have is worth remembering."""

    def __init__(
        self,
        router: Router,
        forwarder: Forwarder,
        *,
        arm: Callable[[float], None],
        wake: Callable[[Attachment], None],
    ) -> None:
        self._router = router
        self._forwarder = forwarder
        self._arm = arm
        self._wake = wake
        self._all: OrderedDict[NodeId, PubNeighbour] = OrderedDict()
        self._media: dict[int, TokenBucket] = {}
        """The budget of each shared medium."""

    def of(self, peer: NodeId, now: float) -> PubNeighbour:
        if peer not in self._all:
            self._all[peer] = PubNeighbour(now)
        return self._all[peer]

    def services_of(self, peer: NodeId) -> TokenBucket | None:
        """What subscriptions and hints may take of the link to that neighbour, in bytes (N5)."""
        neighbour = self._all.get(peer)
        return neighbour.budget if neighbour is not None else None

    def get(self, peer: NodeId) -> PubNeighbour | None:
        """None for one of which nothing is remembered."""
        return self._all.get(peer)

    def up(self) -> Iterator[tuple[NodeId, PubNeighbour]]:
        """Those that there is a link with."""
        for peer, neighbour in self._all.items():
            if self._router.link_to(peer) is not None:
                yield peer, neighbour

    # --- links ----------------------------------------------------------------------------------
    def met(self, peer: NodeId, link: Attachment, now: float) -> PubNeighbour:
        """A link has come up: a new session, in which nothing was told yet."""
        neighbour = self.of(peer, now)
        self._all.move_to_end(peer)
        neighbour.budget = self.budget_of(link, now)
        neighbour.told.clear()
        return neighbour

    def parted(self, neighbour: PubNeighbour) -> None:
        """No link to that neighbour is left."""
        neighbour.queue.clear()
        gone = [one for one in self._all if self._router.link_to(one) is None]
        for one in gone[: max(0, len(gone) - SUBSCRIBERS_REMEMBERED)]:
            del self._all[one]

    def budget_of(self, link: Attachment, now: float) -> TokenBucket:
        """Neighbours on one medium share one."""
        rate = min(link.profile.bps, 1e9) / 8 * _SHARE
        fresh = TokenBucket(rate, rate * _BURST_S, now)
        if link.medium is None:
            return fresh
        budget = self._media.setdefault(link.medium.cid, fresh)
        budget.change(rate, rate * _BURST_S, now)
        return budget

    def stir(self, peer: NodeId) -> None:
        """There is something to tell it."""
        link = self._router.link_to(peer)
        if link is not None:
            self._all[peer].due = 0.0
            self._wake(link)

    # --- what goes out --------------------------------------------------------------------------
    def later(self, neighbour: PubNeighbour, at: float) -> None:
        """There is something to tell it then."""
        neighbour.due = min(neighbour.due, at)
        self._arm(at)

    def afford(self, neighbour: PubNeighbour, size: int, now: float) -> bool:
        """Whether its budget has so many bytes, which are then spent; if not, it is asked again in time."""
        budget = neighbour.budget
        if budget is None or budget.take(size, now):
            return True
        self.later(neighbour, budget.ready_at(size, now))
        return False

    def say(
        self, link: Attachment, context: Context, data: bytes, priority: Priority = Priority.STANDARD
    ) -> None:
        """Hints are repeated until they are answered; all else is acknowledged where it may be lost."""
        body = Packet(context, data, priority=priority).encode()
        self._forwarder.enqueue(link, body, priority, sure=context is not Context.HINT)
