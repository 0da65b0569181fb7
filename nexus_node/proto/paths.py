"""Paths to destinations, several for each, without loops (N4, docs/protocol/routing.md).

The feasibility condition of Babel (RFC 8966 section 3.5.1) makes loops impossible: under one sequence of a
destination's announces, a node believes only neighbours that are nearer than it has ever said to be itself.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import DESTINATIONS_MAX, PATHS_PER_DESTINATION
from nexus_node.crypto.address import address_of
from nexus_node.wire.announce import Announce
from nexus_node.wire.packet import MAX_HOPS
from nexus_node.wire.pathcost import Hop, PathCost
from nexus_node.wire.tlv import Tlvs

ANNOUNCE_EVERY_S = 30 * 60.0
STALE_AFTER_S = 6 * ANNOUNCE_EVERY_S
GONE_AFTER_S = 8 * ANNOUNCE_EVERY_S
"""A path is stale after six intervals without a new sequence and gone after two more (N4): on a slow
channel a round of announces takes longer than one."""
_BOUND_AFTER_S = GONE_AFTER_S + ANNOUNCE_EVERY_S
"""What was told is remembered until no neighbour can use it any more, and their clocks' half interval."""
_CHANGE = 1.25
"""A cost that changes by more than this factor is told again (N4)."""
_STICKY = 0.8
"""Another path takes over from one in use only when its score is that much lower: no flapping."""

Rank = tuple[int, int]


class Policy(StrEnum):
    """How the paths to one destination are scored, on decoded values."""

    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    RELIABLE = "reliable"
    BALANCED = "balanced"
    LARGEST_MTU = "largest-mtu"


_SCORES: dict[Policy, Callable[["Path"], float]] = {
    Policy.CHEAPEST: lambda path: path.cost.cost,
    Policy.FASTEST: lambda path: path.cost.latency_ms + 8e6 / path.cost.bps,
    Policy.RELIABLE: lambda path: path.cost.hops,
    Policy.BALANCED: lambda path: path.cost.cost + 1000 * path.cost.latency_ms,
    Policy.LARGEST_MTU: lambda path: 1 / path.cost.mtu,
}
"""Lower is better. `fastest` is milliseconds for 1,000 bytes, `balanced` microseconds for them."""


@dataclass(slots=True)
class Path:
    """A way to a destination: over the neighbour `via`, which `reported` what it costs from there."""

    via: NodeId
    announce: Announce
    reported: PathCost
    cost: PathCost
    """Seen from here."""
    heard: float
    """When its sequence was first heard of here, from anyone: neighbours that repeat an old one to each
    other do not keep it alive."""
    hops_left: int
    tlvs: Tlvs

    def stale(self, now: float) -> bool:
        return now >= self.heard + STALE_AFTER_S


@dataclass(slots=True)
class Destination:
    """What is known of the ways to one node."""

    announce: Announce
    """The newest authentic one."""
    renewed: float
    """When that was first heard."""
    first: NodeId
    """The neighbour that made this node remember it."""
    paths: dict[NodeId, Path] = field(default_factory=dict)
    best: Path | None = None
    dearer: bool = False
    """The best path costs more by now than it says here, so much that a loop could hide in it."""
    told: PathCost | None = None
    """What this node last told its neighbours that it costs, if it did."""
    told_sequence: int = -1
    told_rank: Rank = (0, 0)
    """The lowest rank ever told under that sequence: a neighbour must be below it to be believed."""
    told_at: float = float("-inf")
    used: float = float("-inf")
    """When something was last sent that way."""

    def feasible(self, path: Path) -> bool:
        sequence = path.announce.sequence
        newer = sequence > self.told_sequence
        return newer or (sequence == self.told_sequence and path.reported.rank < self.told_rank)


def costs_else(one: PathCost, other: PathCost) -> bool:
    """Whether the two differ by so much that neighbours are to be told (N4)."""
    low, high = sorted((one.cost + 1, other.cost + 1))
    return high > _CHANGE * low


class PathTable:
    """All paths of one node."""

    def __init__(self, own: NodeId, *, policy: Policy = Policy.BALANCED) -> None:
        self._own = own
        self._score = _SCORES[policy]
        self._destinations: dict[Address, Destination] = {}
        self._shares: dict[NodeId, OrderedDict[Address, None]] = {}
        """Destinations by the neighbour they were first heard from, the longest without use first."""
        self._bounds: OrderedDict[Address, tuple[int, Rank, float]] = OrderedDict()
        """What was told of destinations since forgotten: `told_sequence`, `told_rank`, `told_at`."""
        self.changed: set[Address] = set()
        """Destinations whose best path has become another, or wider, or narrower."""
        self.to_tell: set[Address] = set()
        """Destinations that the neighbours should hear of: news, or a cost that has changed much."""
        self.starved: set[Address] = set()
        """Destinations that have lost their path, or of whose path is known only that it is dearer."""
        self.pinned: Callable[[Address], bool] = lambda _: False
        """Destinations that are never given up for others: contacts."""

    def __len__(self) -> int:
        return len(self._destinations)

    # --- what neighbours say --------------------------------------------------------------------
    def heard(
        self,
        announce: Announce,
        reported: PathCost,
        via: NodeId,
        hop: Hop,
        now: float,
        *,
        hops_left: int = MAX_HOPS,
        tlvs: Tlvs = (),
    ) -> str | None:
        """Take in an announce from the neighbour `via`; a counter's name when it is not believed.

        `hop` is the link to that neighbour, `hops_left` how far the announce may still go, `tlvs` the
        packet's, which are passed on.
        """
        if announce.node_id == self._own:
            return "own_announce"
        address = address_of(announce.node_id)
        known = self._destinations.get(address)
        too_far = reported.hops >= MAX_HOPS
        if known is not None and announce.sequence <= known.announce.sequence:
            if announce.sequence < known.announce.sequence:
                return "announce_rolled_back"
            if announce != known.announce:
                return "announce_forged"
            announce = known.announce  # one of each is enough to keep
        elif known is None and too_far:
            return "announce_too_far"
        elif not announce.authentic():
            return "announce_forged"
        if known is None:
            known = self._admit(address, announce, via, now)
            if known is None:
                return "destinations_full"
        if announce.sequence > known.announce.sequence:
            known.announce, known.renewed = announce, now
        if too_far:
            return "announce_too_far"
        path = Path(via, announce, reported, reported.after(hop), known.renewed, hops_left, tlvs)
        if self._must_keep(known, path):
            known.dearer = True
            self.starved.add(address)
            return None
        known.paths[via] = path
        self._choose(address, known, now)
        if len(known.paths) > PATHS_PER_DESTINATION:
            others = [one for one in known.paths.values() if one is not known.best]
            del known.paths[max(others, key=lambda one: self._worth(known, one)).via]
        return None

    def _must_keep(self, known: Destination, path: Path) -> bool:
        """Whether the best path, which by this is too dear to be believed, is still the one to use. What
        its neighbour said before keeps it free of loops; what it costs only a new sequence can tell."""
        if known.best is None or known.best.via != path.via or known.feasible(path):
            return False
        rivals = (one for one in known.paths.values() if one.via != path.via and known.feasible(one))
        return all(self._score(path) <= self._score(one) for one in rivals)

    def _worth(self, known: Destination, path: Path) -> tuple[bool, int, float]:
        """Higher for what is sooner given up."""
        return not known.feasible(path), -path.announce.sequence, self._score(path)

    def lost_by(self, via: NodeId, addresses: list[Address], now: float) -> None:
        """The neighbour has no path to these any more."""
        for address in addresses:
            known = self._destinations.get(address)
            if known is not None and known.paths.pop(via, None) is not None:
                self._choose(address, known, now)

    def neighbour_down(self, via: NodeId, now: float) -> None:
        """Nothing goes over that neighbour any more."""
        for address, known in self._destinations.items():
            if known.paths.pop(via, None) is not None:
                self._choose(address, known, now)

    def recost(self, via: NodeId, hop: Hop, now: float) -> None:
        """The link to that neighbour costs something else now."""
        for address, known in self._destinations.items():
            path = known.paths.get(via)
            if path is not None:
                was = path.cost.bps_code
                path.cost = path.reported.after(hop)
                self._choose(address, known, now)
                if path is known.best and path.cost.bps_code != was:
                    self.changed.add(address)

    # --- what this node does --------------------------------------------------------------------
    def best(self, address: Address) -> Path | None:
        """The path to use."""
        known = self._destinations.get(address)
        return known.best if known is not None else None

    def use(self, address: Address, now: float) -> Path | None:
        """The path to use, noted as in use."""
        known = self._destinations.get(address)
        if known is None:
            return None
        known.used = now
        self._shares[known.first].move_to_end(address)
        return known.best

    def known(self, address: Address) -> Destination | None:
        return self._destinations.get(address)

    def all(self) -> Iterator[tuple[Address, Destination]]:
        return iter(self._destinations.items())

    def bound(self, address: Address) -> tuple[int, Rank]:
        """An announce helps this node if it is newer than that sequence, or as new and below that rank."""
        known = self._destinations.get(address)
        if known is None:
            sequence, rank, _ = self._bounds.get(address, (0, (0, 0), 0.0))
            return sequence, rank
        if known.announce.sequence > known.told_sequence:
            return known.announce.sequence - 1, (0, 0)
        return known.told_sequence, known.told_rank

    def tell(self, address: Address, now: float) -> Path | None:
        """The path that neighbours are now told of; from here on only what is nearer is believed."""
        known = self._destinations.get(address)
        if known is None or known.best is None:
            return None
        path = known.best
        sequence, rank = path.announce.sequence, path.cost.rank
        if sequence > known.told_sequence:
            known.told_sequence, known.told_rank = sequence, rank
        elif sequence == known.told_sequence:
            known.told_rank = min(known.told_rank, rank)
        known.told, known.told_at = path.cost, now
        return path

    def told_lost(self, address: Address) -> None:
        """The neighbours now know that there is no path to it here."""
        known = self._destinations.get(address)
        if known is not None:
            known.told = None

    def expire(self, now: float) -> None:
        """Drop what has had no new sequence for eight intervals."""
        for address, known in list(self._destinations.items()):
            gone = [path.via for path in known.paths.values() if now >= path.heard + GONE_AFTER_S]
            for via in gone:
                del known.paths[via]
            if gone or (known.best is not None and known.best.stale(now)):
                self._choose(address, known, now)
            if not known.paths and now >= known.renewed + GONE_AFTER_S:
                self._forget(address)
        for address in [one for one, (_, _, at) in self._bounds.items() if now >= at + _BOUND_AFTER_S]:
            del self._bounds[address]

    # --- bookkeeping ----------------------------------------------------------------------------
    def _choose(self, address: Address, known: Destination, now: float) -> None:
        """Settle on the best of the paths that cannot loop."""
        before = known.best
        paths = [path for path in known.paths.values() if known.feasible(path)]
        fresh = [path for path in paths if not path.stale(now)] or paths if len(paths) > 1 else paths
        best = fresh[0] if fresh else None
        if len(fresh) > 1:
            best = min(fresh, key=self._score)
            current = next((path for path in fresh if before is not None and path.via == before.via), None)
            if current is not None and self._score(best) >= _STICKY * self._score(current):
                best = current
        known.best = best
        if best is not before:
            known.dearer = False
        if best is not None and before is not None and best.cost.bps_code != before.cost.bps_code:
            self.changed.add(address)
        if (best and best.via) != (before and before.via):
            self.changed.add(address)
            if best is None:
                self.starved.add(address)
        if self._is_news(known):
            self.to_tell.add(address)

    @staticmethod
    def _is_news(known: Destination) -> bool:
        best, told = known.best, known.told
        if best is None:
            return told is not None
        if told is None:
            return True
        return best.announce.sequence > known.told_sequence or costs_else(best.cost, told)

    def _admit(self, address: Address, announce: Announce, via: NodeId, now: float) -> Destination | None:
        """Remember one more destination, if there is or can be made room for it."""
        if len(self._destinations) >= DESTINATIONS_MAX and not self._make_room(address, via):
            return None
        known = self._destinations[address] = Destination(announce, now, via)
        if address in self._bounds:
            known.told_sequence, known.told_rank, known.told_at = self._bounds.pop(address)
        self._shares.setdefault(via, OrderedDict())[address] = None
        return known

    def _make_room(self, address: Address, via: NodeId) -> bool:
        """Of the neighbour that brought the most, what was longest without use goes; but none pushes out
        what another brought who brought less."""
        for greedy in sorted(self._shares, key=lambda one: len(self._shares[one]), reverse=True):
            if greedy == via and not self.pinned(address):
                return False
            victim = next((one for one in self._shares[greedy] if not self.pinned(one)), None)
            if victim is not None:
                self._forget(victim)
                return True
        return False

    def _forget(self, address: Address) -> None:
        known = self._destinations.pop(address)
        share = self._shares[known.first]
        del share[address]
        if not share:
            del self._shares[known.first]
        if known.best is not None:
            self.changed.add(address)
        self.to_tell.discard(address)
        if known.told is not None:
            self.to_tell.add(address)  # that it is lost
        if known.told_sequence >= 0:
            self._bounds[address] = known.told_sequence, known.told_rank, known.told_at
            if len(self._bounds) > DESTINATIONS_MAX:
                self._bounds.popitem(last=False)
