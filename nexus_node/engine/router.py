"""Which way to whom: what neighbours say of paths, and what follows from it (N4, N5)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.engine.gossip import Gossip
from nexus_node.engine.neighbour import SOON_S, Neighbour
from nexus_node.engine.own_announce import OwnAnnounce
from nexus_node.engine.path_requests import PathRequests
from nexus_node.engine.peers import Attachment
from nexus_node.ports.store import Store
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.paths import ANNOUNCE_EVERY_S, Path, PathTable, Policy
from nexus_node.proto.width import Widths
from nexus_node.wire.announce import Announce, Serve, parse_announce_untrusted
from nexus_node.wire.packet import MAX_HOPS, Context, Packet
from nexus_node.wire.routing import parse_path_request_untrusted, parse_paths_lost_untrusted


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
        self.own = identity.node_id
        self._address = identity.address
        self._arm = arm
        self.paths = PathTable(identity.node_id, policy=policy)
        self._neighbours: dict[NodeId, Neighbour] = {}
        self._by_address: dict[Address, Neighbour] = {}
        self.announces = OwnAnnounce(
            identity, store, self._neighbours, arm, serve, memory_only=memory_only, now=now
        )
        self.requests = PathRequests(self.paths, self._neighbours, self._by_address, rng, arm)
        self.gossip = Gossip(
            self.paths, self._neighbours, self.requests, self.announces, rng, counters=counters, arm=arm
        )
        self.relays_changed = False
        """Whether a neighbour has said something else than before about keeping messages, or has gone."""
        self._widths = Widths()
        self._sweep_at = now + ANNOUNCE_EVERY_S / 2
        arm(self._sweep_at)

    # --- neighbours -----------------------------------------------------------------------------
    def neighbour_up(self, peer: NodeId, link: Attachment, now: float) -> None:
        """The best link to that neighbour is now this one, or costs something else.

        A neighbour that has started a new session may have lost its memory, and with it what keeps paths
        through it free of loops: call `neighbour_down` first.
        """
        self.gossip.neighbour_up()
        known = self._neighbours.get(peer)
        if known is not None:
            if known.link.profile.bps != link.profile.bps:
                self.paths.changed.add(known.address)
            known.use(link, now)
            self.paths.recost(peer, known.hop, now)
            self.gossip.spread(now)
            return
        fresh = self._neighbours[peer] = self._by_address[address_of(peer)] = Neighbour(
            peer, link, now, self.gossip.owing
        )
        for address, known_destination in self.paths.all():
            if known_destination.best is not None:
                fresh.owe(address)
        self.paths.changed.add(fresh.address)
        self.announces.neighbour_up(fresh, now)
        self.requests.neighbour_up(fresh, now)

    def neighbour_down(self, peer: NodeId, now: float) -> None:
        """No link to that neighbour is left."""
        gone = self._neighbours.pop(peer, None)
        if gone is None:
            return
        del self._by_address[gone.address]
        self.gossip.neighbour_down(gone)
        self.paths.changed.add(gone.address)
        self.paths.neighbour_down(peer, now)
        self.announces.schedule(now + SOON_S)
        self.requests.look_for_broken(now)
        self.gossip.spread(now)

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

    def gossip_of(self, peer: NodeId) -> TokenBucket | None:
        """What announces may take of the link to that neighbour, in bytes (N5)."""
        neighbour = self._neighbours.get(peer)
        return neighbour.gossip if neighbour is not None else None

    def cost_of(self, peer: NodeId) -> tuple[float, float] | None:
        """What the link to that neighbour costs, in microseconds for 1,000 bytes, and how many times of that
        are because of its queue (N6)."""
        neighbour = self._neighbours.get(peer)
        return (neighbour.hop.cost, 1 + neighbour.load**2) if neighbour is not None else None

    def loaded(self, link: Attachment, load: float, now: float) -> None:
        """So much waits for that link: its cost rises with the square (N6), told when it has changed much."""
        neighbour = next((one for one in self._neighbours.values() if one.link is link), None)
        if neighbour is not None and not 0.5 < (1 + load**2) / (1 + neighbour.load**2) < 2:
            neighbour.load = load
            self.paths.recost(neighbour.peer, neighbour.hop, now)
            self.gossip.spread(now)

    # --- routes ---------------------------------------------------------------------------------
    def route(self, address: Address, now: float) -> Route | None:
        """The way to a node, if one is known."""
        neighbour = self._by_address.get(address)
        path = self.paths.use(address, now)
        if path is not None:
            self.requests.used(address, now)
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

    def take_changed(self, now: float) -> set[Address]:
        """Destinations whose route has become another, or wider, or narrower, since the last call."""
        changed, self.paths.changed = self.paths.changed, set()
        for address in sorted(one for one in changed if one in self._widths):
            self.width(address, self.route(address, now), now)
        return changed

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
            request = parse_path_request_untrusted(packet.data)
            if request.destination == self._address:
                self.announces.asked(neighbour, request, now)
            else:
                self.requests.take(neighbour, request, packet.hops, now)
        elif packet.context == Context.PATH_LOST:
            lost = parse_paths_lost_untrusted(packet.data)
            for address in lost:
                neighbour.pending.pop(address, None)
            self.paths.lost_by(peer, lost, now)
            self.requests.look_for_broken(now)
        else:
            return False
        self.gossip.spread(now)
        return True

    def _take_announce(self, neighbour: Neighbour, packet: Packet, now: float) -> None:
        if not neighbour.intake.take(1, now):
            raise BadWire("announces_too_fast")
        cost, announce = parse_announce_untrusted(packet.data)
        if announce.node_id == self.own:
            self.announces.remembered(announce, now)
            return
        neighbour.pending.pop(address_of(announce.node_id), None)
        hops_left = min(packet.hops, MAX_HOPS) - 1
        why = self.paths.heard(
            announce, cost, neighbour.peer, neighbour.hop, now, hops_left=hops_left, tlvs=packet.tlvs
        )
        self.requests.look_for_broken(now)
        if announce.node_id == neighbour.peer and why is None:
            before, neighbour.relay = neighbour.relay, announce
            if before is None or (before.serve, before.memory_only) != (announce.serve, announce.memory_only):
                self.relays_changed = True
        if why in ("announce_rolled_back", "announce_too_far"):
            self._correct(neighbour, announce)
        if why is not None:
            raise BadWire(why)

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

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> list[Attachment]:
        """Do what is due; returns the links that have something to send because of it."""
        self.announces.expire(now)
        self.paths.changed |= self._widths.take_due(now)
        self._arm(self._widths.due)
        self.requests.expire(now)
        if now >= self._sweep_at:
            self._sweep_at = now + ANNOUNCE_EVERY_S / 2
            self.paths.expire(now)
            self.requests.look_for_broken(now)
            self.gossip.spread(now)
        self._arm(self._sweep_at)
        return self.gossip.waiting(now)
