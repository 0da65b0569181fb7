"""One neighbour, and what it is yet to be told of paths within its budget (N4, N5)."""

from collections import OrderedDict, deque

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import (
    ANNOUNCES_BURST,
    ANNOUNCES_PER_S,
    DESTINATIONS_MAX,
    PATH_REQUESTS_BURST,
    PATH_REQUESTS_PER_S,
    PATHS_WANTED,
)
from nexus_node.crypto.address import address_of
from nexus_node.engine.peers import Attachment
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.budget import TokenBucket
from nexus_node.wire.announce import ANNOUNCE_SIZE, Announce
from nexus_node.wire.frames import ITEM_HEAD
from nexus_node.wire.packet import HEADER_SIZE
from nexus_node.wire.pathcost import Hop
from nexus_node.wire.routing import PATH_REQUEST_SIZE, PathRequest

NARROW_BPS = 10_000
"""Below this air is dear: gossip gets less of it, and what is not routing only goes when asked for (N5)."""
SHARE, _SHARE_NARROW = 0.03, 0.0135
"""Of a link for announces: N5's routing tier, and what keeps 50 destinations at 1 kbps below 2 % in all."""
_GOSSIP_BURST_S = 300.0
PACE, PACE_BURST = 0.8, 0.5
"""Of what a neighbour takes, so that its count and ours never meet."""
ANNOUNCE_ITEM = HEADER_SIZE + ANNOUNCE_SIZE + ITEM_HEAD
REQUEST_ITEM = HEADER_SIZE + PATH_REQUEST_SIZE + ITEM_HEAD
TURNS = 4
CALM_S, CALM_WIRE_S = 240.0, 10.0
"""What is only newer than what was told in time may wait so long for company on a medium, and on a wire: each
frame has a cost of its own. On a medium some may even have told it before."""
_NEWS_PER_S, _NEWS_BURST, _NEWS_GAP_S = 1.0, 16.0, 1.0
"""Frames with what nobody asked for, over a wire: more of them, and what comes within a second shares one."""
SOON_S = 0.2
"""Links that change together share one announce."""
REMEMBERED_S = 60.0
"""A neighbour remembers longer what it was asked for; it is asked again after that all the same."""


class Neighbour:
    """What one neighbour is yet to be told, within its budget."""

    def __init__(
        self, peer: NodeId, link: Attachment, now: float, owing: "dict[NodeId, Neighbour] | None" = None
    ) -> None:
        """It puts itself into `owing` when there may be something for it alone; what all on its medium should
        hear stands there."""
        self.peer = peer
        self._owing = owing if owing is not None else {}
        self.address = address_of(peer)
        self.intake = TokenBucket(ANNOUNCES_PER_S, ANNOUNCES_BURST, now)
        self.questions = TokenBucket(PATH_REQUESTS_PER_S, PATH_REQUESTS_BURST, now)
        self.news: OrderedDict[Address, None] = OrderedDict()
        self.tell_at = self._tell_next = float("-inf")
        """When the news are to go, and before when the next ones are not. On a medium see there."""
        self._frames = TokenBucket(_NEWS_PER_S, _NEWS_BURST, now)
        self.behind: set[Address] = set()
        """Destinations in `news` of which it has told an older announce than is known here."""
        self.lost: OrderedDict[Address, None] = OrderedDict()
        self.requests: deque[bytes] = deque(maxlen=PATHS_WANTED)
        self.asking = TokenBucket(PACE * PATH_REQUESTS_PER_S, PACE_BURST * PATH_REQUESTS_BURST, now)
        self.asked: OrderedDict[Address, tuple[PathRequest, float]] = OrderedDict()
        """What it asked for, and when, and has not got: the answer goes at once, and on credit."""
        self.pending: OrderedDict[Address, tuple[float, tuple[int, bool]]] = OrderedDict()
        """What it was asked for, when, and how much, and has not answered: where nothing gets lost it need
        not be asked again soon, since it remembers."""
        self.introduced = self.own_due = False
        """Whether this node's latest announce has been put down for it; and whether it is yet to be told."""
        self.paused_until = float("-inf")
        """Until then it has asked not to be sent anything for others."""
        self.relay: Announce | None = None
        """Its own announce: whether it keeps messages, and whose."""
        self.greet_at = float("inf")
        """When it is asked for that, should the one it sends unasked get lost."""
        self.greetings = 0
        self.greeting: bytes | None = None
        self.load = 0.0
        """What waits for that link, in units of what makes this node ask others to pause."""
        self.link = link
        self.gossip = gossip_of(link, now)
        self._hop: tuple[LinkProfile, float | None, int, float, Hop] | None = None
        """The hop, and what it follows from."""

    def use(self, link: Attachment, now: float) -> None:
        if link.medium is not self.link.medium and self.news:
            self.tell_at = now  # what was put off for the link before
            if link.medium is not None:
                link.medium.tell_at = min(link.medium.tell_at, now)
        moved, self.link = link.medium is not self.link.medium, link
        if moved and self.owed:
            self._note()
        gossip = gossip_of(link, now)
        if gossip.rate != self.gossip.rate or link.medium is not None:
            self.gossip = gossip

    @property
    def hop(self) -> Hop:
        """What the link to it adds to a path."""
        profile, link, known = self.link.profile, self.link.link, self._hop
        if known and known[0] is profile and known[1:4] == (link.rtt, link.mtu, self.load):
            return known[4]
        hop = hop_of(self.link)
        if self.load:
            hop = hop._replace(cost=hop.cost * (1 + self.load**2))
        self._hop = profile, link.rtt, link.mtu, self.load, hop
        return hop

    def should_ask(self, request: PathRequest, now: float) -> bool:
        """Whether it is to be asked, which is then noted."""
        address, demand = request.destination, demand_of(request)
        at, asked = self.pending.get(address, (float("-inf"), (-1, False)))
        if self.link.profile.ordered and now < at + REMEMBERED_S and asked >= demand:
            return False
        self.pending[address] = now, demand
        self.pending.move_to_end(address)
        if len(self.pending) > PATHS_WANTED:
            self.pending.popitem(last=False)
        return True

    def has_news(self, now: float) -> bool:
        """Whether there is news for it alone that is to go now."""
        if self.lost or self.greeting:
            return True
        if self.link.medium is not None:
            return False
        return bool(self.own_due or self.requests or (self.news and now >= self.tell_at))

    def told(self, now: float) -> None:
        """It was told of all that there was for it alone."""
        self.tell_at = float("inf")
        self._tell_next = now if self._frames.take(1, now) else now + _NEWS_GAP_S

    @property
    def owed(self) -> bool:
        """Whether there is anything for it, alone or with others."""
        return bool(self.news or self.own_due or self.lost or self.requests or self.greeting)

    def _note(self) -> None:
        """There is something for it that goes to all, where its link is one of a medium."""
        medium = self.link.medium
        if medium is None:
            self._owing[self.peer] = self
        else:
            medium.owing[self.peer] = self
            medium.quiet_until = float("-inf")

    def introduce(self) -> None:
        """It is to be told this node's own announce."""
        self.introduced = self.own_due = True
        self._note()

    def ask(self, body: bytes) -> None:
        """It is to be sent that request."""
        self.requests.append(body)
        self._owing[self.peer] = self

    def greet(self, body: bytes) -> None:
        """It alone is to be sent that request, for its own announce."""
        self.greeting = body
        self._owing[self.peer] = self

    def owe(self, address: Address, *, first: bool = False, by: float = float("-inf")) -> None:
        """It is to be told of that destination, `first` of all and at once, or else `by` some time."""
        self._note()
        medium = self.link.medium
        if medium is not None:
            medium.tell_at = min(medium.tell_at, by)
        elif not self.news or self.tell_at > by:
            self.tell_at = by if first else max(by, self._tell_next)
        if self.lost:
            self.lost.pop(address, None)
        self.news[address] = None
        if first:
            self.news.move_to_end(address, last=False)
        if len(self.news) > DESTINATIONS_MAX:
            self.behind.discard(self.news.popitem()[0])

    def owe_loss(self, address: Address, *, first: bool = False) -> None:
        """It is to be told that there is no path to that destination."""
        self._owing[self.peer] = self
        self.lost[address] = None
        if first:
            self.lost.move_to_end(address, last=False)
        if len(self.lost) > DESTINATIONS_MAX:
            self.lost.popitem()


def gossip_of(link: Attachment, now: float) -> TokenBucket:
    """The bytes of announces that link may carry."""
    if link.medium is not None:
        return link.medium.gossip
    bps = link.profile.bps
    rate = bps / 8 * (SHARE if bps >= NARROW_BPS else _SHARE_NARROW)
    rate = min(rate, PACE * ANNOUNCES_PER_S * ANNOUNCE_ITEM)
    return TokenBucket(rate, min(rate * _GOSSIP_BURST_S, PACE_BURST * ANNOUNCES_BURST * ANNOUNCE_ITEM), now)


def soon(link: Attachment) -> float:
    """Neighbours that come together are told of this node together, the longer it takes on their links."""
    return max(SOON_S, 10 * 8 * ANNOUNCE_ITEM / link.profile.bps)


def frame_full(room: int) -> int:
    """Bytes of announces that a broadcast with so much room holds; the last saves its length field."""
    return max(1, (room + ITEM_HEAD - 1) // ANNOUNCE_ITEM) * ANNOUNCE_ITEM


def hop_of(link: Attachment) -> Hop:
    """What that link adds to a path; its latency is at least the time of 100 bytes, and where others send as
    well and each packet is acknowledged, of some such turns."""
    bps = link.profile.bps
    rtt = link.link.rtt or 0.0
    turns = TURNS if link.medium is not None else 1
    return Hop(cost_of(link.profile), max(500 * rtt, turns * 8e5 / bps), bps, link.link.mtu)


def cost_of(profile: LinkProfile) -> float:
    return 8e9 / profile.bps + 1000 * profile.cost_per_byte


def demand_of(request: PathRequest) -> tuple[int, bool]:
    """Higher for a request that fewer paths can answer."""
    return request.sequence, request.rank == (0, 0)
