"""What neighbours are told of paths, each within the budget of its link (N4, N5)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from nexus_node.base.ids import ADDRESS_SIZE, Address, NodeId
from nexus_node.base.rng import Rng
from nexus_node.engine.medium import Medium
from nexus_node.engine.neighbour import (
    ANNOUNCE_ITEM,
    CALM_S,
    CALM_WIRE_S,
    REQUEST_ITEM,
    Neighbour,
    cost_of,
    frame_full,
)
from nexus_node.engine.own_announce import OwnAnnounce
from nexus_node.engine.path_requests import PathRequests, encoded
from nexus_node.engine.peers import Attachment
from nexus_node.proto.paths import ANNOUNCE_EVERY_S, Destination, Path, PathTable, costs_else
from nexus_node.wire.frames import ITEM_HEAD, ItemKind, ItemPacker
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority
from nexus_node.wire.pathcost import UNREACHABLE, PathCost
from nexus_node.wire.routing import PATHS_LOST_MAX

TELLERS, TELLERS_AGAIN = 3, 2
"""Neighbours that have told of a path on a shared medium: the others there have heard one of them; and of one
that was told there before and costs the same, where a telling lost does no harm yet."""
RETOLD_S = 2.5 * ANNOUNCE_EVERY_S
"""Such a one is told there for every third announce, twice before it would be stale."""
_DUE_S = 0.9 * ANNOUNCE_EVERY_S
"""After so long the next announce is none that something has called for."""


class Gossip:
    """Decides who is to hear of what, and puts it into frames."""

    def __init__(
        self,
        paths: PathTable,
        neighbours: Mapping[NodeId, Neighbour],
        requests: PathRequests,
        own: OwnAnnounce,
        rng: Rng,
        *,
        counters: Counter[str],
        arm: Callable[[float], None],
    ) -> None:
        self._paths = paths
        self._neighbours = neighbours
        self._requests = requests
        self._own = own
        self._rng = rng
        self._counters = counters
        self._arm = arm
        self._together: dict[Medium | None, list[Neighbour]] = {}
        """All by the medium they are on; empty when that is to be found out anew."""
        self.owing: dict[NodeId, Neighbour] = {}
        """Those for whom there may be something that goes to them alone: most of the time nobody."""

    def neighbour_up(self) -> None:
        """One has come, or the link to it is another."""
        self._together = {}

    def neighbour_down(self, gone: Neighbour) -> None:
        """Nothing is for that one any more."""
        self._together = {}
        self.owing.pop(gone.peer, None)
        if gone.link.medium is not None:
            gone.link.medium.owing.pop(gone.peer, None)

    # --- deciding -------------------------------------------------------------------------------
    def spread(self, now: float) -> None:
        """Queue for every neighbour what has changed."""
        for address in sorted(self._paths.to_tell):  # a set's own order differs from run to run
            known = self._paths.known(address)
            if known is not None and known.best is not None:
                self._spread_path(address, known, known.best, now)
                continue
            self._paths.told_lost(address)
            for neighbour in self._neighbours.values():
                if neighbour.link.medium is not None:
                    neighbour.news.pop(address, None)
                else:
                    neighbour.owe_loss(address)
        self._paths.to_tell.clear()

    def _spread_path(self, address: Address, known: Destination, path: Path, now: float) -> None:
        """Queue it for every neighbour that lacks it."""
        by_wire = now + CALM_WIRE_S if _is_due(known, path, now) else float("-inf")
        for medium, here in self._by_medium():
            if medium is not None:
                self._spread_on(medium, here, address, known, path, now)
                continue
            for neighbour in here:
                if address not in neighbour.asked or not self._requests.answer(neighbour, address, now):
                    neighbour.owe(address, by=by_wire)

    def _spread_on(
        self,
        medium: Medium,
        here: list[Neighbour],
        address: Address,
        known: Destination,
        path: Path,
        now: float,
    ) -> None:
        """The same for those on a medium."""
        enough = self._enough(medium, address, path, now)
        asking = any(address in neighbour.asked for neighbour in here)
        tellers = self._tellers(medium, known, path) if enough else []
        if enough or asking:
            for neighbour in here:
                asked = address in neighbour.asked
                if asked and self._requests.answer(neighbour, address, now):
                    continue
                if (enough or asked) and self._lacks(neighbour, address, path, tellers, enough):
                    soon = enough != TELLERS_AGAIN
                    neighbour.owe(address, by=float("-inf") if soon else now + self._calm_s())
                elif address not in neighbour.behind:
                    neighbour.news.pop(address, None)
        else:
            for neighbour in medium.owing.values():
                if neighbour.link.medium is medium and address not in neighbour.behind:
                    neighbour.news.pop(address, None)
        if 0 < enough <= len(tellers):
            medium.note_told(address, path.cost, now)

    def _by_medium(self) -> Iterable[tuple[Medium | None, list[Neighbour]]]:
        """The neighbours on each medium, and under None those on wires."""
        if not self._together:
            for neighbour in self._neighbours.values():
                self._together.setdefault(neighbour.link.medium, []).append(neighbour)
        return self._together.items()

    def _calm_s(self) -> float:
        """Who has heard the same at the same time does not tell it at the same time: what one has told the
        others need not."""
        return CALM_S * (1 + self._rng.random_bytes(1)[0]) / 256

    @staticmethod
    def _enough(medium: Medium, address: Address, path: Path, now: float) -> int:
        """How many need to tell of a path on a medium: fewer what is only newer there, and nobody soon."""
        at, cost = medium.told.get(address, (0.0, None))
        if cost is None or costs_else(cost, path.cost):
            return TELLERS
        return TELLERS_AGAIN if now >= at + RETOLD_S else 0

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

    def waiting(self, now: float) -> list[Attachment]:
        """The links that have something to send."""
        if not self.owing:
            return []
        found = []
        for one in list(self.owing.values()):
            if one.has_news(now):
                found.append(one.link)
            elif one.link.medium is not None or not one.owed:
                del self.owing[one.peer]
            else:
                self._arm(one.tell_at)
        return found

    # --- telling --------------------------------------------------------------------------------
    def has_broadcasts(self, medium: Medium, now: float) -> bool:
        """Whether there is something for all neighbours on that medium, and the budget for all of it or for a
        frame full: each frame costs air of its own."""
        if not medium.owing and not medium.asking:
            return False
        if now < medium.quiet_until:
            self._arm(medium.quiet_until)
            return False
        telling = own = 0
        for one in list(medium.owing.values()):
            if one.link.medium is not medium or not (one.news or one.own_due):
                del medium.owing[one.peer]
            elif one.peer in medium.links:
                telling = max(telling, len(one.news) * ANNOUNCE_ITEM)
                if one.own_due:
                    own = ANNOUNCE_ITEM
        asking = len(medium.asking) * REQUEST_ITEM if medium.asking and self._on(medium) else 0
        if not (asking or telling or own):
            return False
        most, due = frame_full(medium.room), float("inf")
        if telling < most and now < medium.tell_at:
            telling, due = 0, medium.tell_at
        for bucket, size, credit in (
            (medium.requests, asking, 0.0),
            (medium.gossip, telling, 0.0),
            (medium.gossip, own, medium.gossip.burst),
        ):
            if size > 0:
                due = min(due, bucket.ready_at(min(size, most), now, credit=credit))
        if due > now:
            medium.quiet_until = due
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
            if request.sequence == 0 and self._paths.best(address) is not None:
                del medium.asking[address]  # found meanwhile
                continue
            if packer.left < REQUEST_ITEM - ITEM_HEAD:
                return
            if not medium.requests.take(REQUEST_ITEM, now):
                break
            packer.add(ItemKind.PACKET, encoded(request, hops))
            del medium.asking[address]
        if any(one.own_due for one in here):
            body = Packet(Context.ANNOUNCE, self._own.latest.encode(PathCost())).encode()
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
            body = Packet(Context.ANNOUNCE, self._own.latest.encode(PathCost())).encode()
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
        known = self._paths.known(address)
        path = known.best if known is not None else None
        body = b""
        medium = neighbour.link.medium
        tellers = self._tellers(medium, known, path) if medium and known and path else []
        if path is not None and self._lacks(neighbour, address, path, tellers, TELLERS):
            body = Packet(
                Context.ANNOUNCE, path.announce.encode(path.cost), hops=path.hops_left, tlvs=path.tlvs
            ).encode()
        elif known is not None and address in neighbour.behind:
            body, path = Packet(Context.ANNOUNCE, known.announce.encode(UNREACHABLE), hops=1).encode(), None
        if body and not self._fill_announce(neighbour, body, packer, now, urgent=address in neighbour.asked):
            return False
        if body and path is not None:
            self._paths.tell(address, now)
            if medium is not None:
                medium.note_told(address, path.cost, now)
            neighbour.asked.pop(address, None)
        neighbour.behind.discard(address)
        del neighbour.news[address]
        return True

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


def _is_due(known: Destination, path: Path, now: float) -> bool:
    """Whether that only keeps alive what was told an interval ago; what comes sooner mends something."""
    if known.told is None or costs_else(known.told, path.cost):
        return False
    return path.announce.sequence == known.told_sequence + 1 and now >= known.told_at + _DUE_S
