"""Telling neighbours what was published: whole, by hints, or by hints gathered for a while, as the link is
(N8, docs/protocol/pub.md)."""

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import PUBLICATIONS_MAX
from nexus_node.engine.neighbour import NARROW_BPS
from nexus_node.engine.peers import Attachment
from nexus_node.engine.pub_neighbours import FRAME, PubNeighbour, PubNeighbours, Told
from nexus_node.engine.publications import Known, Publications
from nexus_node.engine.router import Router
from nexus_node.engine.wallclock import WallClock
from nexus_node.proto.pubsub import topics_of
from nexus_node.wire.packet import HEADER_SIZE, Context
from nexus_node.wire.pub import ALL, HINT_SIZE, HINTS_MAX, Mode, Subscription, Topic

_DIGEST_S = 60.0
_HINT_TRIES, _HINT_AGAIN_S = 6, 30.0
"""How often a hint goes that is not answered, and after how long first."""


class Notices:
    """What neighbours are told, once each."""

    def __init__(
        self, router: Router, neighbours: PubNeighbours, publications: Publications, wall: WallClock
    ) -> None:
        self._router = router
        self._neighbours = neighbours
        self._publications = publications
        self._wall = wall

    def catch_up(
        self, peer: NodeId, neighbour: PubNeighbour, fresh: dict[Topic, Subscription], now: float
    ) -> None:
        """Tell a neighbour what is here of what it wants, as far back as it says."""
        now_ms = self._wall.ms(now)
        for key, known in self._publications.known.items():
            for topic in topics_of(known.topic, known.publisher):
                one = fresh.get(topic)
                if one is not None and (one.back_s == ALL or known.arrived_ms >= now_ms - 1000 * one.back_s):
                    self.notify(peer, neighbour, key, one.mode, now)
                    break

    def notify(self, peer: NodeId, neighbour: PubNeighbour, key: bytes, mode: Mode, now: float) -> None:
        """Tell a neighbour of what it wants, unless it has it or knows."""
        told = neighbour.told.get(key)
        if key in neighbour.has or key in neighbour.queue or told in (Told.SENT, Told.CONFIRMED):
            return
        if self._router.link_to(peer) is None:
            return  # it will say how far back it wants to know
        due = now
        if mode is Mode.DIGEST:
            if neighbour.digest_at <= now:
                neighbour.digest_at = now + _DIGEST_S
            due = neighbour.digest_at
        neighbour.queue[key] = due, 0, mode
        if len(neighbour.queue) > PUBLICATIONS_MAX:
            neighbour.queue.popitem(last=False)
        self._neighbours.stir(peer)

    def feed(self, link: Attachment, neighbour: PubNeighbour, now: float) -> None:
        """Tell a neighbour what waits for it, as far as its budget goes."""
        hints: list[bytes] = []
        most = min(HINTS_MAX, max(1, (link.link.room - HEADER_SIZE - 1) // HINT_SIZE))
        for key, (due, _, mode) in list(neighbour.queue.items()):
            known = self._publications.known.get(key)
            if known is None or known.expires_ms <= self._wall.ms(now):
                del neighbour.queue[key]
            elif due > now:
                self._neighbours.later(neighbour, due)
            elif self._cheaper_whole(link, neighbour, known, mode):
                del neighbour.queue[key]
                self.send_whole(link, neighbour, known)
            else:
                hints.append(key)
                if len(hints) == most:
                    if not self._hint(link, neighbour, hints, now):
                        return
                    hints = []
        if hints:
            self._hint(link, neighbour, hints, now)

    def _cheaper_whole(self, link: Attachment, neighbour: PubNeighbour, known: Known, mode: Mode) -> bool:
        """Whether pushing costs less air than a hint, and the question and answer that may follow it."""
        if mode is not Mode.PUSH or link.profile.bps < NARROW_BPS or neighbour.told.get(known.id[:HINT_SIZE]):
            return False
        hint, whole = FRAME + HINT_SIZE, FRAME + known.size
        return whole <= hint + neighbour.worth * (hint + whole)

    def _hint(self, link: Attachment, neighbour: PubNeighbour, keys: list[bytes], now: float) -> bool:
        if not self._neighbours.afford(neighbour, FRAME + HINT_SIZE * len(keys), now):
            return False
        for key in keys:
            _, tries, _ = neighbour.queue.pop(key)
            if key in neighbour.has:
                neighbour.note_told(key, Told.CONFIRMED)
                continue
            neighbour.note_told(key, neighbour.told.get(key, Told.HINTED))
            neighbour.worth += 0.1 * (1 - neighbour.worth)
            if tries + 1 < _HINT_TRIES:
                again = now + (_HINT_AGAIN_S + 16 * 8 * link.link.mtu / link.profile.bps) * 2**tries
                neighbour.queue[key] = again, tries + 1, Mode.HINT
                self._neighbours.later(neighbour, again)
        self._neighbours.say(link, Context.HINT, b"".join(keys))
        return True

    def send_whole(self, link: Attachment, neighbour: PubNeighbour, known: Known) -> None:
        """Send all of it."""
        data = self._publications.content(known)
        if data is None:
            return
        if known.id[:HINT_SIZE] not in neighbour.told:
            neighbour.worth += 0.1 * (1 - neighbour.worth)
        neighbour.note_told(known.id[:HINT_SIZE], Told.SENT)
        self._neighbours.say(link, Context.PUBLISHED, data)
