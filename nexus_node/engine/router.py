"""Which way to whom: announces, requests for paths, and what neighbours say of them (N4, N5)."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ADDRESS_SIZE, Address, NodeId
from nexus_node.base.limits import (
    PATH_REQUESTS_SEEN,
    PATHS_WANTED,
)
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.engine.medium import Medium
from nexus_node.engine.neighbour import (
    ANNOUNCE_ITEM,
    CALM_S,
    CALM_WIRE_S,
    NARROW_BPS,
    REQUEST_ITEM,
    SOON_S,
    Neighbour,
    cost_of,
    demand_of,
    frame_full,
    soon,
)
from nexus_node.engine.peers import Attachment
from nexus_node.ports.store import Store
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.paths import ANNOUNCE_EVERY_S, Destination, Path, PathTable, Policy, costs_else
from nexus_node.proto.width import Widths
from nexus_node.wire.announce import Announce, Serve, parse_announce_untrusted
from nexus_node.wire.frames import ITEM_HEAD, ItemKind, ItemPacker
from nexus_node.wire.packet import HEADER_SIZE, MAX_HOPS, Context, Packet, Priority
from nexus_node.wire.pathcost import UNREACHABLE, PathCost
from nexus_node.wire.routing import (
    PATHS_LOST_MAX,
    PathRequest,
    parse_path_request_untrusted,
    parse_paths_lost_untrusted,
)

_ANNOUNCE_GAP_S = 0.5
_BUMPS, _BUMPS_PER_S = 10, 0.1
"""New sequences because somebody asks: a failure of links needs one, a liar could have them without end."""
_SEQUENCE_LAST = 0xFFFF0000
"""Nobody comes near it who does not want to end the count."""
_ASK_AGAIN_S, _ASK_AGAIN_MAX_S, _ASK_AGAIN_SHARED_S = 1.0, 300.0, 3600.0
_ASK_SOON = 8
"""Requests and answers may get lost: so often it is asked again without waiting longer each time."""
_ASKED_S, _ASKED_SHARED_S = 300.0, 3600.0
"""An answer to a neighbour's request may take that long, over radio; where the air is shared, it is asked for
seldom, and the next announce answers it."""
_TELLERS, _TELLERS_AGAIN = 3, 2
"""Neighbours that have told of a path on a shared medium: the others there have heard one of them; and of one
that was told there before and costs the same, where a telling lost does no harm yet."""
_RETOLD_S = 2.5 * ANNOUNCE_EVERY_S
"""Such a one is told there for every third announce, twice before it would be stale."""
_DUE_S = 0.9 * ANNOUNCE_EVERY_S
"""After so long the next announce is none that something has called for."""
_ROUND_SHARED = 60
"""What goes from radio to radio takes its turn at each, and waits before that."""
_PASSED_S, _BROKEN_S = 0.8, 60.0
"""A request for what was just asked for, as a share of the time after which it is repeated, is not passed on;
one after that finds no answer that way, and goes every way."""
_IN_USE_S = 60.0
"""A path used that recently is looked for at once when it breaks, and for as long."""
_SAME = 24
"""Bytes of a request that tell it from others: id, destination and sequence."""
_SEQUENCES_RESERVED = 256
"""Announce sequences promised to the disk at a time: no write for each announce."""
_META_SEQUENCE = "announce_sequence"


@dataclass(frozen=True, slots=True)
class Route:
    """The link to send over, and the path it is part of; None to a neighbour itself."""

    link: Attachment
    path: Path | None = None

    @property
    def latency_s(self) -> float:
        """The worst time one way beyond the first link."""
        return self.path.cost.latency_ms / 1000 if self.path is not None else 0.0

    @property
    def bps(self) -> float:
        """Bits per second of the slowest link, which path costs tell to within a twentieth: the benefit of
        the doubt."""
        own = self.link.profile.bps
        return min(own, 1.05 * self.path.cost.bps) if self.path is not None else own


@dataclass(slots=True)
class _Search:
    """A destination that is looked for: when to ask again, when to give up, how often was asked."""

    due: float
    until: float
    tries: int = 1


class Router:
    """Keeps the path table of one node and tells its neighbours."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        rng: Rng,
        *,
        counters: Counter[str],
        arm: Callable[[float], None],
        serve: Serve = Serve.NOBODY,
        memory_only: bool = False,
        policy: Policy = Policy.BALANCED,
        now: float,
    ) -> None:
        self._identity = identity
        self._store = store
        self._rng = rng
        self._counters = counters
        self._arm = arm
        self._serve = serve
        self._memory_only = memory_only
        self.paths = PathTable(identity.node_id, policy=policy)
        self._neighbours: dict[NodeId, Neighbour] = {}
        self._by_address: dict[Address, Neighbour] = {}
        self._owing: dict[NodeId, Neighbour] = {}
        """Those for whom there may be something: most of the time nobody."""
        self._seen, self._seen_before = set[bytes](), set[bytes]()
        """Requests that came through or were made here, so that none goes round; and those before them."""
        self._passed: OrderedDict[Address, tuple[float, tuple[int, bool]]] = OrderedDict()
        """When others were lately asked for a destination, and how much."""
        self._bumps = TokenBucket(_BUMPS_PER_S, _BUMPS, now)
        self._wanted: OrderedDict[Address, _Search] = OrderedDict()
        """Destinations this node looks for."""
        self.relays_changed = False
        """Whether a neighbour has said something else than before about keeping messages, or has gone."""
        self.promised = False
        """Whether an announce waits whose sequence is not durable yet."""
        self._widths = Widths()
        self._reserved = int.from_bytes(store.get_meta(_META_SEQUENCE) or b"", "little")
        self._announce_at = float("inf")
        self._announced_at = float("-inf")
        self._introduce_at = float("inf")
        """When neighbours that have come are told the announce there is: nothing that has come makes a newer
        one necessary, for nobody's path can be in the way of one straight from here."""
        self._sequence = self._reserved
        """The highest of this node's own that is known to be in the world."""
        self._announce = self._sign()
        self._sweep_at = now + ANNOUNCE_EVERY_S / 2
        self._schedule(now + ANNOUNCE_EVERY_S)
        arm(self._sweep_at)

    # --- neighbours -----------------------------------------------------------------------------
    def neighbour_up(self, peer: NodeId, link: Attachment, now: float) -> None:
        """The best link to that neighbour is now this one, or costs something else.

        A neighbour that has started a new session may have lost its memory, and with it what keeps paths
        through it free of loops: call `neighbour_down` first.
        """
        known = self._neighbours.get(peer)
        if known is not None:
            if known.link.profile.bps != link.profile.bps:
                self.paths.changed.add(known.address)
            known.use(link, now)
            self.paths.recost(peer, known.hop, now)
            self._spread(now)
            return
        fresh = self._neighbours[peer] = self._by_address[address_of(peer)] = Neighbour(
            peer, link, now, self._owing
        )
        for address, known_destination in self.paths.all():
            if known_destination.best is not None:
                fresh.owe(address)
        self.paths.changed.add(fresh.address)
        self._introduce_at = min(self._introduce_at, now + soon(link))
        self._arm(self._introduce_at)
        for address in self._wanted:
            if address != fresh.address:  # its own announce comes unasked
                self._ask(address, (fresh,), now)
        fresh.greet_at = now + 2 * max(self._patience(), soon(link))
        self._arm(fresh.greet_at)

    def neighbour_down(self, peer: NodeId, now: float) -> None:
        """No link to that neighbour is left."""
        gone = self._neighbours.pop(peer, None)
        if gone is None:
            return
        del self._by_address[gone.address]
        self._owing.pop(peer, None)
        self.paths.changed.add(gone.address)
        self.paths.neighbour_down(peer, now)
        self._schedule(now + SOON_S)
        self._look_for_broken(now)
        self._spread(now)

    def neighbours(self) -> list[tuple[NodeId, Attachment, Announce | None]]:
        """Each neighbour, the link to it, and its own announce once heard."""
        return [(one.peer, one.link, one.relay) for one in self._neighbours.values()]

    def link_to(self, peer: NodeId) -> Attachment | None:
        """The link to a neighbour, if it is one."""
        neighbour = self._neighbours.get(peer)
        return neighbour.link if neighbour is not None else None

    def pause(self, peer: NodeId, seconds: float, now: float) -> None:
        """That neighbour wants nothing for others for so long (N6)."""
        neighbour = self._neighbours.get(peer)
        if neighbour is not None:
            neighbour.paused_until = now + seconds
            self._arm(neighbour.paused_until)

    def paused(self, peer: NodeId, now: float) -> bool:
        return now < self.paused_until(peer)

    def paused_until(self, peer: NodeId) -> float:
        """Until when that neighbour has asked not to be sent anything for others."""
        neighbour = self._neighbours.get(peer)
        return neighbour.paused_until if neighbour is not None else float("-inf")

    def gossip_bps(self, peer: NodeId) -> float | None:
        """Bits per second of the link to that neighbour that announces may take."""
        neighbour = self._neighbours.get(peer)
        return 8 * neighbour.gossip.rate if neighbour is not None else None

    @property
    def own(self) -> NodeId:
        """This node."""
        return self._identity.node_id

    def loaded(self, link: Attachment, load: float, now: float) -> None:
        """So much waits for that link: its cost rises with the square (N6), told when it has changed much."""
        neighbour = next((one for one in self._neighbours.values() if one.link is link), None)
        if neighbour is not None and not 0.5 < (1 + load**2) / (1 + neighbour.load**2) < 2:
            neighbour.load = load
            self.paths.recost(neighbour.peer, neighbour.hop, now)
            self._spread(now)

    # --- routes ---------------------------------------------------------------------------------
    @property
    def wanted(self) -> int:
        """How many destinations are looked for."""
        return len(self._wanted)

    def route(self, address: Address, now: float) -> Route | None:
        """The way to a node, if one is known."""
        neighbour = self._by_address.get(address)
        path = self.paths.use(address, now)
        if path is not None and self._known_well(address):
            self._wanted.pop(address, None)
        elif path is not None:
            self.want(address, now, most_s=_IN_USE_S)
        if neighbour is not None and (path is None or path.via == neighbour.peer):
            return Route(neighbour.link)
        return Route(self._neighbours[path.via].link, path) if path is not None else None

    def width(self, address: Address, route: Route | None, now: float) -> float:
        """Bits per second that the way to a node, which is this, may be counted on for (N13, proto/width.py).

        Who was told less than the way does now hears of it as of a change, once that has lasted.
        """
        counted = self._widths.see(address, route.bps if route is not None else 0.0, now)
        self._arm(self._widths.due)
        return counted

    def no_path(self, peer: NodeId, address: Address) -> None:
        """A packet came from that neighbour that cannot go on: it believes in a path that is no more."""
        neighbour = self._neighbours.get(peer)
        if neighbour is not None:
            neighbour.owe_loss(address, first=True)

    def _known_well(self, address: Address) -> bool:
        known = self.paths.known(address)
        return known is not None and known.best is not None and not known.dearer

    def want(self, address: Address, now: float, *, most_s: float = float("inf")) -> None:
        """Look for a path; asked again later, less and less often, until one is found, `forget_wanted` is
        called or `most_s` have passed."""
        known = self._wanted.get(address)
        if known is not None:
            known.until = max(known.until, now + most_s)
            return
        if len(self._wanted) >= PATHS_WANTED:
            passing = (one for one, search in self._wanted.items() if search.until < float("inf"))
            del self._wanted[next(passing, next(iter(self._wanted)))]
        search = self._wanted[address] = _Search(now + self._patience(), now + most_s)
        self._arm(search.due)
        self._ask(address, self._neighbours.values(), now)

    def forget_wanted(self, address: Address) -> None:
        self._wanted.pop(address, None)

    def take_changed(self, now: float) -> set[Address]:
        """Destinations whose route has become another, or wider, or narrower, since the last call."""
        changed, self.paths.changed = self.paths.changed, set()
        for address in sorted(one for one in changed if one in self._widths):
            self.width(address, self.route(address, now), now)
        return changed

    def waiting(self, now: float) -> list[Attachment]:
        """The links that have something to send."""
        if not self._owing:
            return []
        found = []
        for one in list(self._owing.values()):
            if one.has_news(now):
                found.append(one.link)
            elif not one.owed:
                del self._owing[one.peer]
            elif one.link.medium is None:
                self._arm(one.tell_at)
        return found

    # --- what neighbours say --------------------------------------------------------------------
    def take(self, peer: NodeId, packet: Packet, now: float) -> bool:
        """A packet about paths from a neighbour; False if it is about something else. Raises BadWire."""
        neighbour = self._neighbours.get(peer)
        if neighbour is None:
            return False
        if packet.context == Context.ANNOUNCE:
            self._take_announce(neighbour, packet, now)
        elif packet.context == Context.PATH_REQUEST:
            if not neighbour.questions.take(1, now):
                raise BadWire("path_requests_too_fast")
            self._take_request(neighbour, parse_path_request_untrusted(packet.data), packet.hops, now)
        elif packet.context == Context.PATH_LOST:
            lost = parse_paths_lost_untrusted(packet.data)
            for address in lost:
                neighbour.pending.pop(address, None)
            self.paths.lost_by(peer, lost, now)
            self._look_for_broken(now)
        else:
            return False
        self._spread(now)
        return True

    def _take_announce(self, neighbour: Neighbour, packet: Packet, now: float) -> None:
        if not neighbour.intake.take(1, now):
            raise BadWire("announces_too_fast")
        cost, announce = parse_announce_untrusted(packet.data)
        if announce.node_id == self._identity.node_id:
            self._take_own(announce, now)
            return
        neighbour.pending.pop(address_of(announce.node_id), None)
        hops_left = min(packet.hops, MAX_HOPS) - 1
        why = self.paths.heard(
            announce, cost, neighbour.peer, neighbour.hop, now, hops_left=hops_left, tlvs=packet.tlvs
        )
        self._look_for_broken(now)
        if announce.node_id == neighbour.peer and why is None:
            before, neighbour.relay = neighbour.relay, announce
            if before is None or (before.serve, before.memory_only) != (announce.serve, announce.memory_only):
                self.relays_changed = True
        if why in ("announce_rolled_back", "announce_too_far"):
            self._correct(neighbour, announce)
        if why is not None:
            raise BadWire(why)

    def _take_own(self, announce: Announce, now: float) -> None:
        """A neighbour remembers a newer one than was given out here: this node has lost its memory."""
        if announce.sequence < self._sequence or announce == self._announce:
            return
        if announce.sequence <= _SEQUENCE_LAST and announce.authentic():
            self._sequence = announce.sequence
            self._schedule(now)

    def _correct(self, neighbour: Neighbour, announce: Announce) -> None:
        """Show the newest announce to whoever spreads an older one, and so, at last, to who made it."""
        address = address_of(announce.node_id)
        known = self.paths.known(address)
        if known is None:
            return
        if announce.sequence < known.announce.sequence:
            if neighbour.link.medium is not None and announce.node_id != neighbour.peer:
                return  # it will hear of the newest: only who made it may not
            behind = [neighbour]
        else:
            behind = [self._neighbours[via] for via, path in known.paths.items() if path.announce != announce]
        for one in behind:
            one.behind.add(address)
            one.owe(address)

    def _take_request(self, neighbour: Neighbour, request: PathRequest, hops: int, now: float) -> None:
        address = request.destination
        if address == self._identity.address:
            if request.sequence < self._announce.sequence:
                neighbour.introduce()
            elif self._announce_at > now + SOON_S:
                self._schedule(self._bumps.ready_at(1, now))
                self._bumps.take(1, now, credit=1)
            return
        if not self._remember(request):
            return
        neighbour.asked[address] = request, now
        neighbour.asked.move_to_end(address)
        if len(neighbour.asked) > PATHS_WANTED:
            neighbour.asked.popitem(last=False)
        if self._answer(neighbour, address, now) or hops <= 1:
            return
        onward_request = replace(request, rank=(0, 0))  # what is near enough here may not be for who asks
        if self._soon_again(address, now, demand_of(onward_request)):
            return
        passed_at, _ = self._passed.get(address, (float("-inf"), (0, False)))
        best = self.paths.best(address)
        onward: Iterable[Neighbour] = self._neighbours.values()
        if address in self._by_address:
            onward = (self._by_address[address],)
            if best is not None and best.via not in (neighbour.peer, onward[0].peer):
                onward = (*onward, self._neighbours[best.via])  # which may lack the newest sequence
        elif best is not None and best.via != neighbour.peer and now >= passed_at + _BROKEN_S:
            onward = (self._neighbours[best.via],)
        others = [one for one in onward if one is not neighbour]
        self._pass_on(onward_request, min(hops, MAX_HOPS) - 1, others, now)

    def _answer(self, neighbour: Neighbour, address: Address, now: float) -> bool:
        """Tell a neighbour of a path it asked for, if there is one good enough for it."""
        request, at = neighbour.asked.get(address, (None, 0.0))
        path = self.paths.best(address)
        if request is None or path is None or path.via == neighbour.peer:
            return False
        if now >= at + (_ASKED_SHARED_S if neighbour.link.medium is not None else _ASKED_S):
            del neighbour.asked[address]
            return False
        newer = path.announce.sequence > request.sequence
        if newer or (path.announce.sequence == request.sequence and path.cost.rank < request.rank):
            neighbour.owe(address, first=True)
            return True
        return False

    # --- telling --------------------------------------------------------------------------------
    def has_broadcasts(self, medium: Medium, now: float) -> bool:
        """Whether there is something for all neighbours on that medium, and the budget for all of it or for a
        frame full: each frame costs air of its own."""
        if not self._owing and not medium.asking:
            return False
        telling = own = 0
        for one in self._owing.values():
            if one.link.medium is medium and one.peer in medium.links:
                telling = max(telling, len(one.news) * ANNOUNCE_ITEM)
                if one.own_due:
                    own = ANNOUNCE_ITEM
        asking = len(medium.asking) * REQUEST_ITEM if medium.asking and self._on(medium) else 0
        if not (asking or telling or own):
            return False
        most = frame_full(medium.room)
        if telling < most and now < medium.tell_at:
            telling = 0
            self._arm(medium.tell_at)
        due = float("inf")
        for bucket, size, credit in (
            (medium.requests, asking, 0.0),
            (medium.gossip, telling, 0.0),
            (medium.gossip, own, medium.gossip.burst),
        ):
            if size > 0:
                due = min(due, bucket.ready_at(min(size, most), now, credit=credit))
        if due > now:
            self._arm(due)
        return due <= now

    def _on(self, medium: Medium) -> list[Neighbour]:
        known = self._neighbours
        here = [known[peer] for peer in medium.links if peer in known]
        return [one for one in here if one.link.medium is medium]

    def fill_broadcast(self, medium: Medium, packer: ItemPacker, now: float) -> None:
        """Put what all neighbours on a medium should know into a frame, once, within the budget for it. That
        there is no path any more is told only to who still sends that way: it cannot be proved."""
        here = self._on(medium)
        for one in here:
            one.gossip = medium.gossip
        while medium.asking:
            address, (request, hops) = next(iter(medium.asking.items()))
            if request.sequence == 0 and self.paths.best(address) is not None:
                del medium.asking[address]  # found meanwhile
                continue
            if packer.left < REQUEST_ITEM - ITEM_HEAD:
                return
            if not medium.requests.take(REQUEST_ITEM, now):
                break
            packer.add(ItemKind.PACKET, _request(request, hops))
            del medium.asking[address]
        if any(one.own_due for one in here):
            body = Packet(Context.ANNOUNCE, self._announce.encode(PathCost())).encode()
            if not self._fill_announce(here[0], body, packer, now, urgent=True):
                return
            for one in here:
                one.own_due = False
        for one in here:
            while one.news:
                address = next(iter(one.news))
                before = len(packer.items)
                if not self._fill_news(one, address, packer, now):
                    return
                if len(packer.items) > before:
                    for other in here:
                        other.news.pop(address, None)
                        other.asked.pop(address, None)
                        other.behind.discard(address)
        medium.tell_at = float("inf")

    def fill(self, peer: NodeId, packer: ItemPacker, now: float) -> None:
        """Add to a frame what that neighbour should know, within the budget for gossip (N5)."""
        neighbour = self._neighbours.get(peer)
        if neighbour is None or not neighbour.has_news(now):
            return
        if neighbour.greeting is not None and packer.left >= len(neighbour.greeting):
            packer.add(ItemKind.PACKET, neighbour.greeting)
            neighbour.greeting = None
        if neighbour.link.medium is not None:
            self._fill_lost(neighbour, packer, now)
            return
        while neighbour.requests and packer.left >= len(neighbour.requests[0]):
            if not neighbour.asking.has(1, now):
                self._arm(neighbour.asking.ready_at(1, now))
                break
            if not self._afford(neighbour, len(neighbour.requests[0]), now, urgent=True):
                break
            neighbour.asking.take(1, now)
            packer.add(ItemKind.PACKET, neighbour.requests.popleft())
        if neighbour.lost:
            self._fill_lost(neighbour, packer, now)
        if neighbour.own_due:
            body = Packet(Context.ANNOUNCE, self._announce.encode(PathCost())).encode()
            neighbour.own_due = not self._fill_announce(neighbour, body, packer, now, urgent=True)
        if now < neighbour.tell_at:
            return
        while neighbour.news:
            if not self._fill_news(neighbour, next(iter(neighbour.news)), packer, now):
                return
        neighbour.told(now)

    def _afford(self, neighbour: Neighbour, size: int, now: float, *, urgent: bool) -> bool:
        """Whether so many bytes may go to that neighbour now; what is urgent, on credit."""
        credit = neighbour.gossip.burst if urgent else 0.0
        if neighbour.gossip.take(size + ITEM_HEAD, now, credit=credit):
            return True
        self._arm(neighbour.gossip.ready_at(size + ITEM_HEAD, now, credit=credit))
        return False

    def _fill_lost(self, neighbour: Neighbour, packer: ItemPacker, now: float) -> None:
        most = min(PATHS_LOST_MAX, (packer.left - HEADER_SIZE) // ADDRESS_SIZE)
        batch = list(islice(neighbour.lost, max(0, most)))
        packet = Packet(Context.PATH_LOST, b"".join(batch), priority=Priority.INTERACTIVE).encode()
        if batch and self._afford(neighbour, len(packet), now, urgent=True):
            packer.add(ItemKind.PACKET, packet)
            for address in batch:
                del neighbour.lost[address]

    def _fill_news(self, neighbour: Neighbour, address: Address, packer: ItemPacker, now: float) -> bool:
        """False when it must wait, for room or for the budget."""
        known = self.paths.known(address)
        path = known.best if known is not None else None
        body = b""
        medium = neighbour.link.medium
        tellers = self._tellers(medium, known, path) if medium and known and path else []
        if path is not None and self._lacks(neighbour, address, path, tellers, _TELLERS):
            body = Packet(
                Context.ANNOUNCE, path.announce.encode(path.cost), hops=path.hops_left, tlvs=path.tlvs
            ).encode()
        elif known is not None and address in neighbour.behind:
            body, path = Packet(Context.ANNOUNCE, known.announce.encode(UNREACHABLE), hops=1).encode(), None
        if body and not self._fill_announce(neighbour, body, packer, now, urgent=address in neighbour.asked):
            return False
        if body and path is not None:
            self.paths.tell(address, now)
            if medium is not None:
                medium.note_told(address, path.cost, now)
            neighbour.asked.pop(address, None)
        neighbour.behind.discard(address)
        del neighbour.news[address]
        return True

    @staticmethod
    def _lacks(
        neighbour: Neighbour, address: Address, path: Path, tellers: list[NodeId], enough: int
    ) -> bool:
        """Whether that path is news to a neighbour; where the air is shared, not if it or enough others have
        told one there that is as good as over this node (as in Trickle, RFC 6206)."""
        peer = neighbour.peer
        if path.hops_left <= 0 or peer == path.via or peer == path.announce.node_id:
            return False
        return address in neighbour.asked or (peer not in tellers and len(tellers) < enough)

    def _tellers(self, medium: Medium, known: Destination, path: Path) -> list[NodeId]:
        """Who has told, on that medium, a path as good as this one is over this node."""
        over = path.cost.rank_after(cost_of(medium.profile))
        return [
            via
            for via, one in known.paths.items()
            if via in medium.links and one.announce is path.announce and one.reported.rank <= over
        ]

    def _fill_announce(
        self, neighbour: Neighbour, body: bytes, packer: ItemPacker, now: float, *, urgent: bool
    ) -> bool:
        """Whether that is done with; what is too large for the link never goes."""
        if len(body) >= neighbour.link.link.room:
            self._counters["announces_too_large"] += 1
            return True
        if packer.left < len(body) or not self._afford(neighbour, len(body), now, urgent=urgent):
            return False
        packer.add(ItemKind.PACKET, body)
        return True

    def _spread(self, now: float) -> None:
        """Queue for every neighbour what has changed."""
        for address in sorted(self.paths.to_tell):  # a set's own order differs from run to run
            known = self.paths.known(address)
            if known is not None and known.best is not None:
                self._spread_path(address, known, known.best, now)
                continue
            self.paths.told_lost(address)
            for neighbour in self._neighbours.values():
                if neighbour.link.medium is not None:
                    neighbour.news.pop(address, None)
                else:
                    neighbour.owe_loss(address)
        self.paths.to_tell.clear()

    def _spread_path(self, address: Address, known: Destination, path: Path, now: float) -> None:
        """Queue it for every neighbour that lacks it."""
        told: dict[Medium, tuple[list[NodeId], int]] = {}
        at_once = float("-inf")
        by_wire = now + CALM_WIRE_S if _is_due(known, path, now) else at_once
        last, tellers, enough = None, list[NodeId](), 0
        for neighbour in self._neighbours.values():
            asked = address in neighbour.asked
            if asked and self._answer(neighbour, address, now):
                continue
            medium = neighbour.link.medium
            if medium is None:
                neighbour.owe(address, by=by_wire)
                continue
            if medium is not last:
                if medium not in told:
                    few = self._enough(medium, address, path, now)
                    told[medium] = self._tellers(medium, known, path) if few else [], few
                last, (tellers, enough) = medium, told[medium]
            if (enough or asked) and self._lacks(neighbour, address, path, tellers, enough):
                neighbour.owe(address, by=now + self._calm_s() if enough == _TELLERS_AGAIN else at_once)
            elif address not in neighbour.behind:
                neighbour.news.pop(address, None)
        for medium, (tellers, enough) in told.items():
            if 0 < enough <= len(tellers):
                medium.note_told(address, path.cost, now)

    def _calm_s(self) -> float:
        """Who has heard the same at the same time does not tell it at the same time: what one has told the
        others need not."""
        return CALM_S * (1 + self._rng.random_bytes(1)[0]) / 256

    @staticmethod
    def _enough(medium: Medium, address: Address, path: Path, now: float) -> int:
        """How many need to tell of a path on a medium: fewer what is only newer there, and nobody soon."""
        at, cost = medium.told.get(address, (0.0, None))
        if cost is None or costs_else(cost, path.cost):
            return _TELLERS
        return _TELLERS_AGAIN if now >= at + _RETOLD_S else 0

    def _patience(self) -> float:
        """Seconds until a request is repeated: the time of 10,000 bits, or of so many announces where the air
        is shared with everybody the request goes to; of the quickest link."""
        rounds = (
            (_ROUND_SHARED * 8 * ANNOUNCE_ITEM if one.link.medium is not None else NARROW_BPS)
            / one.link.profile.bps
            for one in self._neighbours.values()
        )
        return max(_ASK_AGAIN_S, min(rounds, default=1.0))

    @property
    def _only_shared(self) -> bool:
        """Whether whoever is asked has to share the air for it with many others."""
        return all(one.link.medium is not None for one in self._neighbours.values())

    def _soon_again(self, address: Address, now: float, demand: tuple[int, bool]) -> bool:
        """Whether others were asked for no less a moment ago, and may still answer."""
        passed_at, passed = self._passed.get(address, (float("-inf"), (0, False)))
        patience = self._patience()
        return passed >= demand and now < passed_at + _PASSED_S * patience

    def _look_for_broken(self, now: float) -> None:
        """Ask at once for what is in use."""
        for address in sorted(self.paths.starved):
            known = self.paths.known(address)
            if known is not None and now < known.used + _IN_USE_S:
                self.want(address, now, most_s=_IN_USE_S)
        self.paths.starved.clear()

    def _ask(self, address: Address, neighbours: Iterable[Neighbour], now: float) -> None:
        number = int.from_bytes(self._rng.random_bytes(4), "little")
        request = PathRequest(number, address, *self.paths.bound(address))
        self._remember(request)
        self._pass_on(request, MAX_HOPS, neighbours, now)

    def _pass_on(self, request: PathRequest, hops: int, neighbours: Iterable[Neighbour], now: float) -> None:
        self._passed[request.destination] = now, demand_of(request)
        self._passed.move_to_end(request.destination)
        over = now - max(_BROKEN_S, _PASSED_S * self._patience())
        while next(iter(self._passed.values()))[0] < over or len(self._passed) > PATH_REQUESTS_SEEN:
            self._passed.popitem(last=False)
        body = _request(request, hops)
        for neighbour in neighbours:
            medium = neighbour.link.medium
            if medium is not None:
                waiting = medium.asking.get(request.destination)
                if waiting is None or demand_of(waiting[0]) < demand_of(request):
                    medium.asking[request.destination] = request, hops
                if len(medium.asking) > PATHS_WANTED:
                    medium.asking.popitem(last=False)
            elif neighbour.should_ask(request, now):
                neighbour.ask(body)

    def _remember(self, request: PathRequest) -> bool:
        """False if it has been here before."""
        key = request.encode()[:_SAME]
        if key in self._seen or key in self._seen_before:
            return False
        self._seen.add(key)
        if len(self._seen) >= PATH_REQUESTS_SEEN // 2:
            self._seen, self._seen_before = set(), self._seen
        return True

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> list[Attachment]:
        """Do what is due; returns the links that have something to send because of it."""
        if now >= self._announce_at:
            self._new_sequence(now)
        elif now >= self._introduce_at:
            self._introduce()
        self._arm(min(self._announce_at, self._introduce_at))
        self.paths.changed |= self._widths.take_due(now)
        self._arm(self._widths.due)
        for address, search in list(self._wanted.items()):
            if now >= search.due:
                if self._known_well(address) or now >= search.until:
                    del self._wanted[address]
                    continue
                search.tries += 1
                without_delay, most_s = (
                    (4, _ASK_AGAIN_SHARED_S) if self._only_shared else (_ASK_SOON, _ASK_AGAIN_MAX_S)
                )
                patience = self._patience() * 2.0 ** min(max(0, search.tries - without_delay), 9)
                search.due = now + min(patience, most_s)
                self._ask(address, self._neighbours.values(), now)
            self._arm(search.due)
        for neighbour in self._neighbours.values():
            if neighbour.relay is None and now >= neighbour.greet_at:
                neighbour.greetings += 1
                greet_in = max(2 * self._patience(), soon(neighbour.link)) * 2.0 ** min(
                    neighbour.greetings, 9
                )
                neighbour.greet_at = now + min(greet_in, _ASK_AGAIN_MAX_S)
                self._greet(neighbour)
            if neighbour.relay is None:
                self._arm(neighbour.greet_at)
        if now >= self._sweep_at:
            self._sweep_at = now + ANNOUNCE_EVERY_S / 2
            self.paths.expire(now)
            self._look_for_broken(now)
            self._spread(now)
        self._arm(self._sweep_at)
        return self.waiting(now)

    def _greet(self, neighbour: Neighbour) -> None:
        """Ask a neighbour alone for its own announce."""
        number = int.from_bytes(self._rng.random_bytes(4), "little")
        request = PathRequest(number, neighbour.address, *self.paths.bound(neighbour.address))
        body = Packet(Context.PATH_REQUEST, request.encode(), hops=1, priority=Priority.INTERACTIVE)
        neighbour.greet(body.encode())

    def _schedule(self, at: float) -> None:
        """Announce anew at that time, if it is not done sooner anyway."""
        self._announce_at = min(self._announce_at, max(at, self._announced_at + _ANNOUNCE_GAP_S))
        self._arm(self._announce_at)

    def _new_sequence(self, now: float) -> None:
        self._announce = self._sign()
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


def _request(request: PathRequest, hops: int) -> bytes:
    return Packet(Context.PATH_REQUEST, request.encode(), hops=hops, priority=Priority.INTERACTIVE).encode()


def _is_due(known: Destination, path: Path, now: float) -> bool:
    """Whether that only keeps alive what was told an interval ago; what comes sooner mends something."""
    if known.told is None or costs_else(known.told, path.cost):
        return False
    return path.announce.sequence == known.told_sequence + 1 and now >= known.told_at + _DUE_S
