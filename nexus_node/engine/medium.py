"""A shared medium: one carrier that many nodes hear, with a link to each neighbour (N2, N3, N6,
docs/protocol/link.md).

Nodes say HELLO, the more seldom the longer they are there; who hears one and has few links opens one. What
is for all neighbours is sealed once. Everything that many might answer at once waits a random while.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING

from nexus_node.base.duty import AirBudget
from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import DESTINATIONS_MAX, HEARD_MAX, LINKS_PER_CARRIER
from nexus_node.base.rng import Rng
from nexus_node.crypto.identity import Identity, agreement_key_of
from nexus_node.engine.peers import Attachment
from nexus_node.ports.driver import LinkProfile, Signal
from nexus_node.proto.broadcast import BroadcastReceiver, BroadcastSender
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.fragment import ReassemblyBudget
from nexus_node.proto.handshake import opener_of
from nexus_node.proto.link import Link
from nexus_node.wire.frames import (
    ITEM_HEAD,
    TAG_SIZE,
    Capabilities,
    Final,
    FrameKind,
    Handshaking,
    Hello,
    Item,
    Opening,
    Reply,
    Retry,
    SealedFrame,
    encode_items,
    index_of,
    pad_items,
    sealed_header,
)
from nexus_node.wire.pathcost import PathCost
from nexus_node.wire.routing import PathRequest

if TYPE_CHECKING:
    from nexus_node.engine.neighbour import Neighbour

LINKS_WANTED = 8
"""Who has fewer opens links to those it hears: so many chosen at random by each node connect them all, and a
handshake costs the air of two messages."""
_HELLO_FIRST_S, _HELLO_MAX_S = 30.0, 1800.0
"""Between two HELLOs: doubled each time, to the interval of announces."""
_OPENING_AT_ONCE, _OPENINGS_NOTED = 2, 8
"""Handshakes this node has under way of its own accord, since all wait for the same air; and nodes noted to
be opened to: the others say HELLO again."""
_ENOUGH_HELLOS = 3
"""Others that a newcomer has heard: who was about to answer its HELLO as well need not."""
_HELLO_SIZE, _OPENING_SIZE, _ANNOUNCE_SIZE = 35, 123, 133
_CONTENDERS = 8.0
"""Frames that fit into the random wait before something that many may say at once; twice as many as are
heard, where those are more."""
_HEAD = len(sealed_header(0, 0, 0)) + TAG_SIZE
"""Bytes of a broadcast besides its items."""
_HEARD_S = 2 * _HELLO_MAX_S
_REOPEN_S = 600.0
"""So long a node that did not answer an opening is not tried again."""
_GOSSIP_SHARE, _GOSSIP_ALL = 0.02, 0.07
_REQUESTS = 0.25
"""Of the medium for one node's announces, and for those of all it hears together; and for requests for paths
that part of it again, since announces serve everybody (N5)."""
_GOSSIP_BURST_S = 300.0
_HANDSHAKES, _HANDSHAKES_ALL = 0.1, 0.3
"""Of the medium for one node's handshakes, and for those of all it hears together: who opens more gets none
through, for they collide."""


class _Heard:
    """A node whose HELLO was heard."""

    __slots__ = ("at", "avoid_until", "index")

    def __init__(self, now: float) -> None:
        self.at = now
        self.index: int | None = None
        """Of its broadcasts; another one shows that it has started anew."""
        self.avoid_until = -inf


class Medium:
    """One shared carrier of the node, from attach to detach."""

    def __init__(
        self,
        identity: Identity,
        profile: LinkProfile,
        label: str,
        cid: int,
        rng: Rng,
        budget: ReassemblyBudget,
        *,
        number: Callable[[], int],
        wanted: Callable[[NodeId], bool],
        now: float,
        air: AirBudget | None = None,
    ) -> None:
        """`number` gives the next link its number; `wanted` says whether a link with that node is worth its
        air though there are enough others; `air` is what its radio may send in an hour."""
        self.cid = cid
        self.profile = profile
        self.label = label
        self.signal: Signal | None = None
        self.rx_bytes = self.tx_bytes = 0
        self.airtime_s = 0.0
        self._air = air
        self.links: dict[NodeId, Attachment] = {}
        """By peer, up or under way."""
        saved = profile.bps / 8 * _GOSSIP_SHARE * _GOSSIP_BURST_S
        self.gossip, self.requests = TokenBucket(0.0, saved, now), TokenBucket(0.0, _REQUESTS * saved, now)
        """The bytes of announces, and of requests for paths, that this node may broadcast."""
        self._handshakes = TokenBucket(0.0, 4 * _OPENING_SIZE, now)
        """The bytes of handshakes that this node may send."""
        self.asking: OrderedDict[Address, tuple[PathRequest, int]] = OrderedDict()
        """Destinations that all neighbours are to be asked for, each with the hops left."""
        self.told: OrderedDict[Address, tuple[float, PathCost]] = OrderedDict()
        """When those here were last told of a destination, by this node or others, and its cost from here."""
        self.owing: dict[NodeId, Neighbour] = {}
        """Neighbours for whom the router may have something that goes to all here."""
        self.quiet_until = -inf
        """Before that nothing goes to all here, unless there comes something more."""
        self.tell_at = inf
        """When what is news to some here is to go at the latest."""
        self._identity = identity
        self._rng = rng
        self._budget = budget
        self._number = number
        self._wanted = wanted
        self._sender = BroadcastSender(rng, now)
        self._by_index: dict[int, Attachment] = {}
        self._by_broadcast: dict[int, list[tuple[BroadcastReceiver, Attachment]]] = {}
        """Links that are up, by the index of what their peers say to all."""
        self._heard: OrderedDict[NodeId, _Heard] = OrderedDict()
        self._openings: dict[NodeId, float] = {}
        """Who is to be opened to, and when."""
        self._waiting: OrderedDict[int, Attachment] = OrderedDict()
        """Links that may have something to send, in turn."""
        self._broadcast_at = inf
        self._hello_gap = _HELLO_FIRST_S
        self._hello_at = now + self._wait(_HELLO_SIZE)
        self._answer_at = inf
        """When a newcomer's HELLO is answered by one, unless others have done so."""
        self._hellos = 0
        self.hello_due = self.broadcast_due = False
        """Whether one may go as soon as the air is free."""
        self.retune(profile, now)

    # --- figures --------------------------------------------------------------------------------
    @property
    def state(self) -> str:
        """`up` with a link, else `listening`, for `status`."""
        return "up" if any(one.link.up for one in self.links.values()) else "listening"

    @property
    def why(self) -> str | None:
        """Why there is no link, in words for people."""
        return None if self.state == "up" else "nobody has answered yet"

    @property
    def heard(self) -> int:
        """How many nodes were heard lately."""
        return len(self._heard)

    def hears(self, node_id: NodeId) -> bool:
        return node_id in self._heard

    def retune(self, profile: LinkProfile, now: float) -> None:
        """What the medium can do has changed."""
        self.profile = profile
        self._share_air(now)
        for one in self.links.values():
            one.profile = profile
            one.link.retune(profile)

    def _share_air(self, now: float) -> None:
        heard = max(1, len(self._heard))
        opening = self.profile.bps / 8 * min(_HANDSHAKES, _HANDSHAKES_ALL / heard)
        self._handshakes.change(opening, self._handshakes.burst, now)
        share = min(_GOSSIP_SHARE, _GOSSIP_ALL / heard)
        rate = self.profile.bps / 8 * share
        self.gossip.change(rate, rate * _GOSSIP_BURST_S, now)
        self.requests.change(_REQUESTS * rate, _REQUESTS * rate * _GOSSIP_BURST_S, now)
        self.quiet_until = -inf  # with other budgets that is another time

    def _wait(self, size: int, rounds: float = 0.0) -> float:
        """A random time, long enough for some others to say as much; after so many rounds of that."""
        number = int.from_bytes(self._rng.random_bytes(2), "little")
        contenders = max(_CONTENDERS, 2 * len(self._heard))
        return (rounds + number / 65536) * contenders * 8 * size / self.profile.bps

    # --- links ----------------------------------------------------------------------------------
    def _link_with(self, peer: NodeId, *, dialed: bool, now: float) -> Attachment:
        link = self._new_link(peer, dialed=dialed, now=now)
        while link.index in self._by_index:  # one in 65,536 for each that there is: frames would go astray
            link = self._new_link(peer, dialed=dialed, now=now)
        one = Attachment(
            self._number(),
            self.profile,
            self.label,
            link,
            self._budget,
            dialed=dialed,
            medium=self,
            air=self._air,
        )
        self.links[peer] = self._by_index[link.index] = one
        return one

    def _new_link(self, peer: NodeId, *, dialed: bool, now: float) -> Link:
        return Link(
            self._identity,
            self.profile,
            self._rng,
            dialed=dialed,
            known=peer,
            offer=self._offer,
            leave=self._leave_to_open,
            others=len(self._heard),
            now=now,
        )

    def _offer(self, now: float) -> Capabilities:
        return Capabilities(self.profile.mtu, self._sender.share(now))

    def _leave_to_open(self, now: float) -> float:
        """When this node may open a handshake, or repeat an opening."""
        return self._handshakes.ready_at(_OPENING_SIZE, now)

    def paid(self, handshaking: int, now: float) -> None:
        """So many bytes of handshakes go: answers at once, so that they are not asked for again."""
        self._handshakes.take(handshaking, now, credit=inf)

    def remove(self, one: Attachment, now: float) -> None:
        """That link has ended."""
        for peer in [peer for peer, link in self.links.items() if link is one]:
            del self.links[peer]
            heard = self._heard.get(peer)
            if heard is not None and one.link.broadcasts is None:  # it never came up
                heard.avoid_until = now + _REOPEN_S
        self._by_index = {index: link for index, link in self._by_index.items() if link is not one}
        self.note_senders()
        self._waiting.pop(one.cid, None)
        if one.link.broadcasts is not None and not any(left.link.up for left in self.links.values()):
            self._start_anew(now)

    def _start_anew(self, now: float) -> None:
        """Nobody is left: say HELLO as after a start, by an index that shows those who still think that they
        have a link that this side has not. Otherwise the way back would wait for the half-hourly HELLO."""
        self._sender = BroadcastSender(self._rng, now)
        self._hello_gap = _HELLO_FIRST_S
        self._hello_at = min(self._hello_at, now + self._wait(_HELLO_SIZE))

    def want(self, peer: NodeId, now: float) -> Attachment | None:
        """Open a link with a node that was heard, if there is none."""
        heard = self._heard.get(peer)
        if heard is None or peer in self.links or now < heard.avoid_until:
            return None
        if len(self.links) >= LINKS_PER_CARRIER:
            return None
        self._openings.pop(peer, None)
        return self._link_with(peer, dialed=True, now=now)

    # --- receiving ------------------------------------------------------------------------------
    def is_for_others(self, frame: bytes) -> bool:
        """Whether a frame is sealed for a link that is none of this node's."""
        index = index_of(frame)
        return index is not None and index not in self._by_index

    def sort(self, frame: Handshaking | SealedFrame, now: float) -> Attachment | None:
        """The link a frame is for; None if it is for none, or was taken in here. Raises BadWire."""
        match frame:
            case Hello():
                return self._on_hello(frame, now)
            case Opening():
                return self._on_opening(frame, now)
            case Reply() | Final() | Retry():
                return self._by_index.get(frame.receiver)
            case SealedFrame() if frame.broadcast:
                return self._sender_of(frame)
            case SealedFrame():
                return self._by_index.get(frame.index) if frame.index is not None else None
        return None

    def _on_hello(self, hello: Hello, now: float) -> Attachment | None:
        """The link with that node, if there is one."""
        peer = hello.node_id
        if peer == self._identity.node_id:
            raise BadWire("own_hello")
        agreement_key_of(peer)  # no link can be opened with what is no node id: BadWire
        self._hellos += 1
        fresh = self._note(peer, now)
        heard = self._heard[peer]
        anew, heard.index = heard.index not in (None, hello.index), hello.index
        if (fresh or anew) and self._answer_at == inf:  # who slept may have missed what was said meanwhile
            self._answer_at, self._hellos = now + self._wait(_HELLO_SIZE), 0
        known = self.links.get(peer)
        if known is not None:
            if known.link.broadcasts is not None and known.link.broadcasts.index != hello.index:
                known.link.recover(now)
            return known
        room = len(self._openings) < _OPENINGS_NOTED
        if (room and len(self.links) < LINKS_WANTED) or self._wanted(peer):
            # Of two who hear each other the one with the lower id begins.
            rounds = 0.0 if self._identity.node_id < peer else 1.0
            self._openings.setdefault(peer, now + self._wait(_OPENING_SIZE, rounds))
        return None

    def _note(self, peer: NodeId, now: float) -> bool:
        """That node was heard; whether it is new here."""
        heard = self._heard.get(peer)
        fresh = heard is None
        if heard is None:
            heard = self._heard[peer] = _Heard(now)
            if len(self._heard) > HEARD_MAX:
                self._heard.popitem(last=False)
            self._share_air(now)
        heard.at = now
        self._heard.move_to_end(peer)
        return fresh

    def _on_opening(self, opening: Opening, now: float) -> Attachment | None:
        if opening.kind != FrameKind.IK1:
            raise BadWire("bad_handshake")
        try:
            peer = opener_of(self._identity, opening.noise, self._rng)
        except BadWire:
            return None  # it is for somebody else
        self._openings.pop(peer, None)
        self._note(peer, now)
        known = self.links.get(peer)
        if known is not None:
            return known
        if len(self.links) >= LINKS_PER_CARRIER:
            raise BadWire("links_full")
        return self._link_with(peer, dialed=False, now=now)

    def _sender_of(self, frame: SealedFrame) -> Attachment | None:
        """Two may have drawn the same index, or one have taken another's: then it shows who has sealed it."""
        found = self._by_broadcast.get(frame.index, []) if frame.index is not None else []
        if len(found) > 1:
            found = [one for one in found if one[0].has_sealed(frame)] or found
        return found[0][1] if found else None

    def note_senders(self) -> None:
        """A link has come up, or has gone: its peer's broadcasts are known by another index now."""
        self._by_broadcast = {}
        for one in self.links.values():
            if one.link.broadcasts is not None:
                same = self._by_broadcast.setdefault(one.link.broadcasts.index, [])
                same.append((one.link.broadcasts, one))

    # --- sending --------------------------------------------------------------------------------
    def wake(self, one: Attachment) -> None:
        """That link may have something to send."""
        self._waiting[one.cid] = one

    @property
    def stirring(self) -> bool:
        """Whether a broadcast is to go."""
        return self.broadcast_due or self._broadcast_at != inf

    def stir(self, now: float) -> float:
        """There is something for all neighbours; returns when it goes."""
        self._broadcast_at = now + self._wait(_ANNOUNCE_SIZE)
        return self._broadcast_at

    def poll_hello(self, now: float) -> bytes | None:
        """A HELLO if one is due."""
        if not self.hello_due:
            return None
        self.hello_due = False
        return Hello(self._sender.share(now).index, self._identity.node_id).encode()

    def take_broadcast(self) -> bool:
        """Whether to broadcast now."""
        due, self.broadcast_due = self.broadcast_due, False
        return due

    def note_told(self, address: Address, cost: PathCost, now: float) -> None:
        """All here have been told of that destination."""
        self.told[address] = now, cost
        self.told.move_to_end(address)
        if len(self.told) > DESTINATIONS_MAX:
            self.told.popitem(last=False)

    def seal(self, items: list[Item], now: float) -> bytes:
        """A frame for all neighbours, itself paid for as its items are."""
        plaintext = encode_items(items)
        paid = len(plaintext)
        if self.profile.pad:
            plaintext = encode_items(pad_items(items, _HEAD, self.profile.pad, self._mtu))
        frame = self._sender.seal(plaintext, now)
        self.gossip.take(len(frame) - paid, now, credit=inf)
        return frame

    @property
    def room(self) -> int:
        """Bytes of items that one broadcast holds: what every neighbour takes."""
        return self._mtu - _HEAD - (ITEM_HEAD if self.profile.pad else 0)

    @property
    def _mtu(self) -> int:
        mtus = [one.link.mtu for one in self.links.values() if one.link.up]
        return min(mtus) if mtus else self.profile.mtu

    def turns(self) -> Iterator[Attachment]:
        """The links to be asked for a frame, each once; the one that has one goes to the end."""
        for cid, one in list(self._waiting.items()):
            yield one
            if self._waiting.get(cid) is one:
                del self._waiting[cid]

    def served(self, one: Attachment) -> None:
        """That link has sent a frame, and may have another: it is asked last."""
        self._waiting[one.cid] = one
        self._waiting.move_to_end(one.cid)

    # --- time -----------------------------------------------------------------------------------
    def next_deadline(self) -> float:
        """When `expire` wants to be called; infinite if never."""
        return min(self._hello_at, self._answer_at, self._broadcast_at, *self._openings.values())

    def expire(self, now: float) -> list[Attachment]:
        """Do what is due; the links that were opened."""
        if now >= self._broadcast_at:
            self._broadcast_at, self.broadcast_due = inf, True
        if now >= self._answer_at:
            self._answer_at = inf
            self.hello_due = self.hello_due or self._hellos < _ENOUGH_HELLOS
        if now >= self._hello_at:
            self.hello_due = True
            self._hello_at = now + self._hello_gap * (1 + self._rng.random_bytes(1)[0] / 1024)
            self._hello_gap = min(2 * self._hello_gap, _HELLO_MAX_S)
        for peer, heard in list(self._heard.items()):  # in the order in which they were heard
            if now < heard.at + _HEARD_S:
                break
            if peer not in self.links:
                del self._heard[peer]
                self._share_air(now)
        opened = []
        for peer in [peer for peer, at in self._openings.items() if now >= at]:
            del self._openings[peer]
            wanted = self._wanted(peer)
            if len(self.links) >= LINKS_WANTED and not wanted:
                continue
            under_way = sum(not one.link.up for one in self.links.values())
            may = wanted or self._leave_to_open(now) <= now
            if under_way >= _OPENING_AT_ONCE or not may:
                self._openings[peer] = now + self._wait(_OPENING_SIZE, 1.0)
                continue
            one = self.want(peer, now)
            opened += [one] if one is not None else []
        return opened
