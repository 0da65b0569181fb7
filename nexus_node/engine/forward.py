"""Packets of others on their way through this node: by priority, bounded, refused rather than dropped
(N2, N6, docs/protocol/routing.md)."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import REVERSE_PATHS, TRANSFERS_OUT, TRANSIT_BYTES, TRANSIT_PAUSE_BYTES
from nexus_node.engine.peers import Attachment
from nexus_node.engine.router import Route, Router
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.fragment import OutgoingTransfer
from nexus_node.wire.custody import TLV_CUSTODY
from nexus_node.wire.dataobject import KIND_MESSAGE, describe
from nexus_node.wire.fragments import FragmentAck
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.packet import Context, Packet, Priority, Reason, Refusal, parse_packet_untrusted
from nexus_node.wire.routing import PREFIX_SIZE, Pressure, TooBig
from nexus_node.wire.transfer import parse_bandwidth_tlv_untrusted, parse_offer_untrusted

_PAUSE_MS = 500
"""How long an upstream neighbour is asked to pause; asked again while it is still needed."""
_TRIES = 6
"""How often fragments of a transit packet are asked about before it is given up."""
_BULK_TRANSFERS = TRANSFERS_OUT // 2
"""With so many under way on a link no bulk begins: what is more urgent and goes in fragments finds room."""
_SLOWEST_S = 60.0
"""A packet that one link would need longer for is too big for it."""
_ORIGINS = 3
"""Neighbours remembered that one message came from: its sender's side, and a relay that hands it over."""
_LOOK_S = 60.0
"""How long a path is looked for because others send there."""
_LIMIT_MIN = 2048
"""Every link takes packets of this size."""


@dataclass(frozen=True, slots=True)
class _Queued:
    """An encoded packet that waits, and where to next: `aim` None for what is the neighbour's own."""

    body: bytes
    aim: Address | None
    sure: bool
    """Whether the next node is to acknowledge it, where anything may get lost."""


@dataclass(slots=True)
class _Transfer:
    """A transit packet that goes in fragments, or in one that is acknowledged."""

    transfer: OutgoingTransfer
    body: bytes
    aim: Address | None
    priority: Priority
    due: float = float("inf")
    went: float = 0.0
    tries: int = 0
    unacknowledged: int = 0


class Transit:
    """What waits for one link."""

    def __init__(self) -> None:
        self.queues: dict[Priority, deque[_Queued]] = {priority: deque() for priority in Priority}
        self.transfers: list[_Transfer] = []
        self.bytes = 0
        self.bulk_bytes = 0
        """Of these, what waits in the queue for bulk."""
        self.paused: dict[NodeId, float] = {}
        """Neighbours asked not to send through here, and until when."""
        self.here: set[bytes] = set()
        """Bodies of all that waits but bulk: who repeats one finds it here still."""
        self.shares: dict[NodeId, TokenBucket] = {}
        """What each neighbour may send through here: the link's rate, and at once half of its queue."""

    def has_place(self, priority: Priority) -> bool:
        """Whether one packet more of that priority may go in fragments. Bulk leaves room for what is more
        urgent, which in turn leaves bulk one place (N6)."""
        bulk = sum(one.priority is Priority.BULK for one in self.transfers)
        if priority is Priority.BULK:
            return bulk < _BULK_TRANSFERS and len(self.transfers) < TRANSFERS_OUT
        kept = max(bulk, bool(self.queues[Priority.BULK]))
        return len(self.transfers) - bulk < TRANSFERS_OUT - kept

    @property
    def waiting(self) -> bool:
        """Whether there is something to send now."""
        return any(self.queues.values()) or any(not one.transfer.waiting for one in self.transfers)


class Forwarder:
    """Moves packets from neighbour to neighbour."""

    def __init__(
        self,
        router: Router,
        *,
        counters: Counter[str],
        arm: Callable[[float], None],
        wake: Callable[[Attachment], None],
        dead: Callable[[Attachment], None],
    ) -> None:
        """`wake` is told of each link that has something to send because of a call, `dead` of one whose other
        end seems to have gone."""
        self._router = router
        self._counters = counters
        self._arm = arm
        self._wake = wake
        self._dead = dead
        self._transits: dict[int, Transit] = {}
        self._back: OrderedDict[bytes, list[NodeId]] = OrderedDict()
        """Where messages on their way came from, by object prefix, the latest last: answers go back that
        way (N4), each using one up, so that none goes round."""

    # --- what comes through ---------------------------------------------------------------------
    def pass_on(self, peer: NodeId, packet: Packet, now: float, *, towards: Address | None = None) -> None:
        """Send a packet that is not for this node one hop on, to its destination or first `towards` a relay;
        a message that cannot go is refused."""
        if packet.destination is None or packet.hops <= 1:
            self._counters["hops_exhausted"] += 1
            return
        prefix = b""
        if packet.context in (Context.MESSAGE, Context.OFFER_OBJECT):
            prefix = object_prefix(packet)
            self.came_from(prefix, peer)
        aim = towards or packet.destination
        route = self._router.route(aim, now)
        if route is None or route.link.link.peer == peer:
            self._counters["no_path"] += 1
            self._router.no_path(peer, aim)
            self._router.requests.want(aim, now, most_s=_LOOK_S)
            if prefix:
                self.refuse(peer, prefix, Reason.NO_PATH)
            return
        if parse_bandwidth_tlv_untrusted(packet.tlvs) > route.bps:
            self._counters["too_narrow"] += 1  # whoever asked for it asks again, once a way is wide enough
            return
        body = on_the_way(packet, route)
        limit = largest_over(route.link)
        if len(body) > limit and prefix:
            self.tell(peer, Context.TOO_BIG, TooBig(prefix, limit).encode())
        elif body in self._transit(route.link).here:
            self._counters["waiting_already"] += 1
        elif self._has_share(route.link, peer, len(body), now) and self.enqueue(
            route.link, body, packet.priority, aim
        ):
            if prefix:
                self._counters["messages_forwarded"] += 1
            self._press(route.link, peer, now)
        else:
            self._counters["transit_full"] += 1
            if prefix:
                self.refuse(peer, prefix, Reason.BUSY)

    def came_from(self, prefix: bytes, peer: NodeId) -> None:
        """Remember the neighbour a message came from."""
        peers = self._back.setdefault(prefix, [])
        if peer in peers:
            peers.remove(peer)
        peers.append(peer)
        del peers[:-_ORIGINS]
        self._back.move_to_end(prefix)
        if len(self._back) > REVERSE_PATHS:
            self._back.popitem(last=False)

    def way_back(self, prefix: bytes, peer: NodeId) -> Attachment | None:
        """The link to a neighbour that a message came from, for an answer that came from another one."""
        for origin in reversed(self._back.get(prefix, ())):
            link = self._router.link_to(origin)
            if origin != peer and link is not None:
                self._back[prefix].remove(origin)
                return link
        return None

    def send_back(self, peer: NodeId, prefix: bytes, context: Context, data: bytes) -> bool:
        """Pass an answer from `peer` on to where its message came from; False when that is not known."""
        link = self.way_back(prefix, peer)
        if link is None:
            return False
        body = Packet(context, data, priority=Priority.INTERACTIVE).encode()
        return self.enqueue(link, body, Priority.INTERACTIVE)

    def refuse(self, peer: NodeId, prefix: bytes, reason: Reason, retry_s: int = 0) -> None:
        """Tell a neighbour that its message does not go on from here."""
        self.tell(peer, Context.REFUSAL, Refusal(reason, prefix, retry_s).encode())

    def tell(self, peer: NodeId, context: Context, data: bytes) -> None:
        """Queue an answer for a neighbour."""
        link = self._router.link_to(peer)
        if link is not None:
            body = Packet(context, data, priority=Priority.INTERACTIVE).encode()
            self.enqueue(link, body, Priority.INTERACTIVE)

    def enqueue(
        self,
        link: Attachment,
        body: bytes,
        priority: Priority,
        destination: Address | None = None,
        *,
        sure: bool = False,
    ) -> bool:
        """Queue an encoded packet for a link, on its way to `destination`; False when there is no room.

        `sure` has it acknowledged by the neighbour and repeated until it is.
        """
        transit = self._transit(link)
        if transit.bytes + len(body) > TRANSIT_BYTES:
            return False
        sure = not link.profile.ordered and (sure or (destination is not None and link.acknowledges))
        transit.queues[priority].append(_Queued(body, destination, sure))
        if priority is not Priority.BULK:
            transit.here.add(body)
        transit.bytes += len(body)
        transit.bulk_bytes += len(body) if priority is Priority.BULK else 0
        self._wake(link)
        return True

    def _transit(self, link: Attachment) -> Transit:
        transit = self._transits.get(link.cid)
        if transit is None:
            transit = self._transits[link.cid] = Transit()
        return transit

    def _has_share(self, link: Attachment, peer: NodeId, size: int, now: float) -> bool:
        """Whether that neighbour leaves room for others (N6)."""
        shares = self._transit(link).shares
        if peer not in shares:
            shares[peer] = TokenBucket(min(link.profile.bps, 1e9) / 8, TRANSIT_BYTES / 2, now)
        return shares[peer].take(size, now)

    def _press(self, link: Attachment, peer: NodeId, now: float) -> None:
        """Ask a neighbour to pause when what it sends piles up here (N6)."""
        transit = self._transits[link.cid]
        if transit.bytes > TRANSIT_PAUSE_BYTES and now >= transit.paused.get(peer, 0.0):
            transit.paused[peer] = now + _PAUSE_MS / 2000
            level = min(255, 255 * transit.bytes // TRANSIT_BYTES)
            self._counters["backpressure_sent"] += 1
            self.tell(peer, Context.PRESSURE, Pressure(level, _PAUSE_MS).encode())
            self._router.loaded(link, transit.bytes / TRANSIT_PAUSE_BYTES, now)

    def load(self, link: Attachment) -> tuple[int, int]:
        """(packets, bytes) that wait for a link."""
        transit = self._transits.get(link.cid)
        if transit is None:
            return 0, 0
        return sum(map(len, transit.queues.values())) + len(transit.transfers), transit.bytes

    def waiting(self, link: Attachment) -> dict[Priority, int]:
        """Bytes that wait for a link, by priority."""
        transit = self._transits.get(link.cid) or Transit()
        sizes = {priority: sum(len(one.body) for one in queue) for priority, queue in transit.queues.items()}
        for one in transit.transfers:
            sizes[one.priority] += len(one.body)
        return sizes

    def share_left(self, peer: NodeId, now: float) -> int | None:
        """Bytes that neighbour may send through here at once, where it has used up most; None if it
        has sent nothing through here."""
        shares = [transit.shares[peer] for transit in self._transits.values() if peer in transit.shares]
        return min((int(one.left(now)) for one in shares), default=None)

    def bulk(self, link: Attachment) -> int:
        """Bytes of bulk that wait for a link, and of what is on its way in fragments."""
        transit = self._transits.get(link.cid)
        if transit is None:
            return 0
        return transit.bulk_bytes + sum(len(one.body) for one in transit.transfers)

    # --- pulling --------------------------------------------------------------------------------
    def fill(self, link: Attachment, packer: ItemPacker, priorities: tuple[Priority, ...]) -> None:
        """Fill a frame with packets of these priorities, in that order."""
        transit = self._transits.get(link.cid)
        if transit is not None and transit.bytes:
            for priority in priorities:
                if transit.queues[priority]:
                    self._fill_packets(transit, priority, link, packer)

    def fill_large(self, link: Attachment, packer: ItemPacker, now: float, *, bulk: bool) -> None:
        """Fill a frame with fragments of bulk, or of all other packets, the more urgent first."""
        transit = self._transits.get(link.cid)
        if transit is None or not transit.transfers:
            return
        some = [one for one in transit.transfers if (one.priority is Priority.BULK) is bulk]
        for one in sorted(some, key=_URGENCY):
            if not self._fill_fragments(transit, one, link, packer, now):
                return

    def ease(self, link: Attachment, now: float) -> None:
        """Tell neighbours that were asked to pause when little waits again (N6)."""
        transit = self._transits.get(link.cid)
        if transit is None or not transit.paused or transit.bytes >= TRANSIT_PAUSE_BYTES // 2:
            return
        for peer in transit.paused:
            self.tell(peer, Context.PRESSURE, Pressure(0, 0).encode())
        self._router.loaded(link, 0.0, now)
        transit.paused.clear()

    @staticmethod
    def _fill_packets(transit: Transit, priority: Priority, link: Attachment, packer: ItemPacker) -> None:
        queue, largest = transit.queues[priority], link.link.room - 1
        while queue:
            body, aim = queue[0].body, queue[0].aim
            if len(body) > largest or queue[0].sure:
                if not transit.has_place(priority):
                    return
                transfer = OutgoingTransfer(
                    link.number_transfer(), body, largest, ordered=link.profile.ordered
                )
                transit.transfers.append(_Transfer(transfer, body, aim, priority))
            elif len(body) <= packer.left:
                packer.add(ItemKind.PACKET, body)
                transit.bytes -= len(body)
                transit.here.discard(body)
            else:
                return
            queue.popleft()
            transit.bulk_bytes -= len(body) if priority is Priority.BULK else 0

    def _fill_fragments(
        self, transit: Transit, one: _Transfer, link: Attachment, packer: ItemPacker, now: float
    ) -> bool:
        """Add what is to go of one packet; False when the frame is full."""
        transfer = one.transfer
        while not transfer.waiting and link.window_open:
            size = transfer.next_size
            if packer.left < size:
                return False
            fragment = transfer.next_fragment(ask=link.unacknowledged + size >= link.window)
            packer.add(ItemKind.FRAGMENT, fragment.encode())
            if not link.profile.ordered:
                link.unacknowledged += len(fragment.data)
                one.unacknowledged += len(fragment.data)
                one.went = now
                one.due = now + link.retry_after(one.tries)
                self._arm(one.due)
        if transfer.finished:
            self._end(transit, one)
        return True

    @staticmethod
    def _end(transit: Transit, one: _Transfer) -> None:
        transit.transfers.remove(one)
        transit.bytes -= len(one.body)
        transit.here.discard(one.body)

    def take_ack(self, link: Attachment, ack: FragmentAck, now: float) -> bool:
        """Fragments arrived; False if they are none of this room's."""
        transit = self._transits.get(link.cid)
        for one in transit.transfers if transit is not None else ():
            if transit is not None and one.transfer.number == ack.transfer:
                before = one.transfer.bytes_acknowledged
                one.transfer.acknowledged(ack)
                arrived = min(one.transfer.bytes_acknowledged - before, one.unacknowledged)
                one.unacknowledged -= arrived
                link.answered(arrived)
                if arrived and one.tries == 0:
                    link.link.measured(now - one.went)
                one.tries = 0
                one.due = now + link.retry_after(0)
                self._arm(one.due)
                if one.transfer.finished:
                    link.answered(one.unacknowledged)
                    self._end(transit, one)
                return True
        return False

    # --- time and links -------------------------------------------------------------------------
    def expire(self, now: float, links: dict[int, Attachment]) -> None:
        """Ask again about fragments that nothing was heard of."""
        for cid, transit in list(self._transits.items()):
            if not transit.bytes:
                continue  # nothing waits, nothing is under way
            link = links[cid]
            for one in list(transit.transfers):
                if now < one.due:
                    if one.due < float("inf"):
                        self._arm(one.due)
                    continue
                link.lost(one.unacknowledged)
                one.unacknowledged = 0
                one.tries += 1
                one.due = float("inf")
                if link.is_dead(one.tries, now):
                    self._dead(link)
                    break
                if one.tries > _TRIES:
                    self._counters["transit_lost"] += 1
                    self._end(transit, one)
                else:
                    one.transfer.timed_out()
            if transit.waiting:
                self._wake(link)

    def session_over(self, cid: int, now: float) -> None:
        """A link's session has ended: what had not left goes another way, or is refused."""
        transit = self._transits.pop(cid, None)
        if transit is None:
            return
        unsent = [(one.body, one.aim) for one in transit.transfers]
        unsent += [(one.body, one.aim) for one in chain(*transit.queues.values())]
        for body, aim in unsent:
            if aim is not None:
                packet = parse_packet_untrusted(body)
                self._again(replace(packet, destination=packet.destination or aim), aim, now)

    def _again(self, packet: Packet, aim: Address, now: float) -> None:
        route = self._router.route(aim, now) if packet.hops > 1 else None
        if route is not None and parse_bandwidth_tlv_untrusted(packet.tlvs) > route.bps:
            self._counters["too_narrow"] += 1
            return
        if route is not None and self.enqueue(route.link, on_the_way(packet, route), packet.priority, aim):
            return
        self._counters["no_path"] += 1
        if packet.context in (Context.MESSAGE, Context.OFFER_OBJECT):
            prefix = object_prefix(packet)
            refusal = Refusal(Reason.NO_PATH, prefix).encode()
            self.send_back(self._router.own, prefix, Context.REFUSAL, refusal)


_URGENCY = attrgetter("priority")


def object_prefix(packet: Packet) -> bytes:
    """What the object of a MESSAGE or OFFER_OBJECT packet is called on the way. Raises BadWire for an offer
    that is none."""
    if packet.context == Context.OFFER_OBJECT:
        return parse_offer_untrusted(packet.data).header.id[:PREFIX_SIZE]
    return describe(KIND_MESSAGE, (packet.destination or b"") + packet.data)[0].id[:PREFIX_SIZE]


def on_the_way(packet: Packet, route: Route) -> bytes:
    """The packet one hop on; the last hop need not be told the destination (N2), unless a relay is asked."""
    kept = route.path is not None or any(kind == TLV_CUSTODY for kind, _ in packet.tlvs)
    destination = packet.destination if kept else None
    return Packet(
        packet.context, packet.data, destination, packet.hops - 1, packet.priority, packet.tlvs
    ).encode()


def largest_over(link: Attachment) -> int:
    """The largest packet sent over a link for others, in bytes: a minute's worth."""
    return max(_LIMIT_MIN, int(min(link.profile.bps, 1e9) / 8 * _SLOWEST_S))
