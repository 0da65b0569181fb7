"""What this node keeps for absent recipients: whose mail, how much, until when, and how it hands it over
(N10, S2, S3, docs/protocol/custody.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import ceil

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import MESSAGE_TTL_S, PENDING_BATCH_BYTES, SENDERS_TIMED
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.crypto.identity import Identity
from nexus_node.engine.contacts import Rank
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder, on_the_way
from nexus_node.engine.peers import Attachment
from nexus_node.engine.router import Route, Router
from nexus_node.engine.serving import Served
from nexus_node.engine.wallclock import NEVER_MS, WallClock
from nexus_node.ports.custody import Held, Slip
from nexus_node.ports.store import Keep, Store
from nexus_node.wire.announce import Serve
from nexus_node.wire.custody import PREFIXES_MAX, Custody, Delivered, Pending, Promise
from nexus_node.wire.dataobject import KIND_MESSAGE, describe
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.message import parse_message_data_untrusted
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority, Reason, Refusal
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.transfer import parse_offer_untrusted

_HOUR_S, _DAY_S = 3600, 24 * 3600
_MANY = 1 << 30
_PATIENCE_S, _PATIENCE_MAX_S = 5.0, 600.0
"""How long a recipient may take to fetch and answer before it is told again, and at most."""
_SLIP_TRIES = 3
_ADDRESSED = 2 + 16 + 1 + 16
"""Bytes of a PENDING packet before its prefixes."""


@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """What the owner lets this node keep for others; the numbers of S3 unless set otherwise."""

    serve: Serve = Serve.NOBODY
    memory_only: bool = False
    ttl_s: int = MESSAGE_TTL_S
    quota_bytes: int = 256_000_000
    interval_s: float = 10.0
    """Between two messages of one neighbour that is no contact."""
    per_day: tuple[int, int] = (20, 200)
    """Messages a day from a neighbour that is not trusted, and from a trusted one; verified: no limit."""


NO_RELAY = RelayPolicy()
"""Nothing is kept for anybody."""


@dataclass(slots=True)
class _Telling:
    """A recipient that is there and has mail here."""

    cursor: int = 0
    batch: dict[bytes, Held] = field(default_factory=dict)
    """What it was told of and has not yet acknowledged."""
    size: int = 0
    """Messages in that batch to begin with."""
    more: bool = True
    due: float = 0.0
    tries: int = 0
    refused: bool = False
    """Whether it turned one away for now: it is told less and less often, though it answers."""


class Relay:
    """Custody of other people's messages."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        policy: RelayPolicy,
        router: Router,
        forwarder: Forwarder,
        fetcher: Fetcher,
        *,
        rank: Callable[[Address], Rank],
        counters: Counter[str],
        wall: WallClock,
        arm: Callable[[float], None],
        arm_expiry: Callable[[float], None],
        wake: Callable[[Attachment], None],
    ) -> None:
        self.policy = policy
        self._identity = identity
        self._store = store
        self._router = router
        self._forwarder = forwarder
        self._rank = rank
        self._counters = counters
        self._wall = wall
        self._wall_ms = wall.ms
        self._arm = arm
        self._arm_expiry = arm_expiry
        self._wake = wake
        self._fetcher = fetcher
        self.kept: Callable[[bytes, NodeId], None] = lambda prefix, giver: None
        """Told of each message that is kept from now on, and who gave it."""
        self.proved: Callable[[bytes, bytes], None] = lambda prefix, receipt: None
        """Told of each message that has proved to be delivered, with its receipt."""
        self._accepted: dict[NodeId, list[bytes]] = {}
        """What each neighbour is to be told that we keep, once it is durable."""
        self._last: OrderedDict[NodeId, float] = OrderedDict()
        """When each neighbour last gave something."""
        self._telling: dict[Address, _Telling] = {}
        self._before: int | None = None
        """The `seq` before the first that this run has taken; None while it has taken none."""
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    @property
    def usage(self) -> tuple[int, int]:
        """(messages, bytes) kept for others."""
        return self._store.custody_usage()

    # --- taking messages in ---------------------------------------------------------------------
    def take(self, peer: NodeId, packet: Packet, mark: bytes, *, remote: bool, now: float) -> None:
        """A neighbour asks this node to keep a message; `remote` when the sender is farther away."""
        destination = packet.destination or Address(b"")
        header, _ = describe(KIND_MESSAGE, destination + packet.data)
        object_id = header.id
        prefix = object_id[:PREFIX_SIZE]
        receipt = self._store.receipt(prefix)
        if receipt is not None:  # it has arrived already: better news than custody
            self._forwarder.tell(peer, Context.DELIVERED, Delivered(prefix, receipt).encode())
            return
        held = self._store.held(prefix)
        if held is None:
            refusal = self._judge(peer, destination, prefix, now)
            if refusal is None:
                refusal = self._hold(peer, packet, object_id, mark, now, promised=True)
            if refusal is not None:
                self._counters[_COUNTERS[refusal.reason]] += 1
                self._forwarder.tell(peer, Context.REFUSAL, refusal.encode())
                return
        elif not held.promised:
            self._store.promise(prefix)
        self._promise(peer, prefix, mark, remote=remote)
        if held is None:
            self.kept(prefix, peer)
            self.route_changed(destination, now)

    def take_offer(self, peer: NodeId, packet: Packet, mark: bytes, *, remote: bool, now: float) -> None:
        """A neighbour asks this node to keep a file: custody is promised once all of it is here."""
        offer = parse_offer_untrusted(packet.data)
        prefix = offer.header.id[:PREFIX_SIZE]
        receipt = self._store.receipt(prefix)
        if receipt is not None:
            self._forwarder.tell(peer, Context.DELIVERED, Delivered(prefix, receipt).encode())
            return
        held = self._store.held(prefix)
        reason = None
        if held is None:
            refusal = self._judge(peer, packet.destination or Address(b""), prefix, now)
            if refusal is None:
                refusal = self._hold(peer, packet, offer.header.id, mark, now, promised=False)
            if refusal is not None:
                self._counters[_COUNTERS[refusal.reason]] += 1
                self._forwarder.tell(peer, Context.REFUSAL, refusal.encode())
                return

        def whole(now: float) -> None:
            self._store.promise(prefix)
            self._promise(peer, prefix, mark, remote=remote)
            self.route_changed(packet.destination or Address(b""), now)

        if held is not None and held.promised:
            self._promise(peer, prefix, mark, remote=remote)
        else:
            reason = self._fetcher.begin(
                peer,
                offer,
                offer.min_bandwidth,
                self._wall_ms(now),
                now,
                whole,
                store=self._store,
                keep=Keep.FOR_OTHERS,
            )
        if reason is not None:
            self._forwarder.refuse(peer, prefix, reason)

    def _promise(self, peer: NodeId, prefix: bytes, mark: bytes, *, remote: bool) -> None:
        """Say that a message or file is kept, once that is durable."""
        self.promised = True
        if remote:
            promise = Promise.make(self._identity, prefix, mark, memory_only=self.policy.memory_only)
            self._forwarder.tell(peer, Context.PROMISE, promise.encode())
        else:
            self._accepted.setdefault(peer, []).append(prefix)
            link = self._router.link_to(peer)
            if link is not None:
                self._wake(link)

    def served(self, prefix: bytes, asker: Address) -> Served | None:
        """The file with that prefix, if it is kept for who asks for it."""
        held = self._store.held(prefix)
        if held is None or held.kind == KIND_MESSAGE or held.destination != asker or not held.promised:
            return None
        offer = parse_offer_untrusted(held.data)
        return Served(self._store, held.id, offer.min_bandwidth)

    def take_copy(self, peer: NodeId, packet: Packet, mark: bytes, now: float) -> bool:
        """A neighbour gives a copy to carry; nothing is promised. False if it is not for this node."""
        destination = packet.destination or Address(b"")
        object_id = describe(KIND_MESSAGE, destination + packet.data)[0].id
        prefix = object_id[:PREFIX_SIZE]
        if self._store.held(prefix) is not None or self._store.receipt(prefix) is not None:
            self._counters["copies_known"] += 1
            return True
        refusal = self._judge(peer, destination, prefix, now)
        if refusal is None:
            refusal = self._hold(peer, packet, object_id, mark, now, promised=False)
        if refusal is not None:
            self._counters[_COUNTERS[refusal.reason]] += 1
            return refusal.reason is Reason.TOO_MUCH
        self.kept(prefix, peer)
        self.route_changed(destination, now)
        return True

    def _judge(self, peer: NodeId, destination: Address, prefix: bytes, now: float) -> Refusal | None:
        """Whether the owner lets that neighbour leave mail for that destination now (N15, S3)."""
        policy = self.policy
        rank = self._rank(address_of(peer))
        if policy.serve is Serve.NOBODY:
            return Refusal(Reason.NOT_HERE, prefix)
        least = _LEAST[policy.serve]
        if max(rank, self._rank(destination)) < least:
            return Refusal(Reason.NOT_SERVED, prefix)
        count, retry_s = self.allowance(peer, now)
        return None if count else Refusal(Reason.TOO_MUCH, prefix, min(0xFFFF, retry_s))

    def allowance(self, peer: NodeId, now: float) -> tuple[int, int]:
        """How many messages that neighbour may leave here now, and in how many seconds more (S3)."""
        rank = self._rank(address_of(peer))
        if rank >= Rank.VERIFIED:
            return _MANY, 0
        interval_s = self.policy.interval_s if rank is Rank.STRANGER else 0.0
        wait = self._last.get(peer, float("-inf")) + interval_s - now
        if wait > 0:
            return 0, ceil(wait)
        given, _ = self._store.given_since(peer, self._wall_ms(now) - _DAY_S * 1000)
        left = max(0, self.policy.per_day[rank >= Rank.TRUSTED] - given)
        return (1, ceil(interval_s)) if left and interval_s else (left, _HOUR_S)

    def _hold(
        self, peer: NodeId, packet: Packet, object_id: ObjectId, mark: bytes, now: float, *, promised: bool
    ) -> Refusal | None:
        wall_ms, expires_ms = self._wall_ms(now), self.expiry_ms(now)
        kind, size, data = KIND_MESSAGE, len(packet.data), packet.data
        if packet.context == Context.OFFER_OBJECT:
            offer = parse_offer_untrusted(packet.data)
            kind, size = offer.header.kind, offer.header.size
            data = replace(offer, provider=None).encode()
        elif (sent_ms := 1000 * parse_message_data_untrusted(packet.data)[0]) > 0:
            over_ms = sent_ms + self.policy.ttl_s * 1000  # what is passed on does not become younger
            if over_ms > wall_ms:
                expires_ms = min(expires_ms, over_ms)
            elif not promised or sent_ms + MESSAGE_TTL_S * 1000 > wall_ms:
                return Refusal(Reason.TOO_OLD, object_id[:PREFIX_SIZE], 0xFFFF)
            # else a clock is wrong, for its sender lets go of it after 30 days as well
        held = Held(
            id=object_id,
            destination=packet.destination or Address(b""),
            data=data,
            mark=mark,
            giver=peer,
            rank=self._rank(address_of(peer)),
            promised=promised,
            received_ms=wall_ms,
            expires_ms=expires_ms,
            kind=kind,
            size=size,
        )
        self._expire_files(now)  # before the store itself lets go of what is over, to make room
        try:
            admission = self._store.hold(held, self.policy.quota_bytes)
        except StoreFull:
            return Refusal(Reason.STORE_FULL, object_id[:PREFIX_SIZE])
        self._counters["custody_taken" if promised else "copies_taken"] += 1
        if admission.evicted:
            self._counters["custody_evicted"] += len(admission.evicted)
            for prefix in admission.evicted:
                self._let_go(prefix)
        if self._before is None and (first := self._store.held(held.prefix)) is not None:
            self._before = first.seq - 1
        self._last[peer] = now
        self._last.move_to_end(peer)
        if len(self._last) > SENDERS_TIMED:
            self._last.popitem(last=False)
        if expires_ms != NEVER_MS:
            self._arm_expiry(now + (expires_ms - wall_ms) / 1000)
        return None

    def fill(self, peer: NodeId, packer: ItemPacker) -> None:
        """Tell a neighbour what this node keeps for it to be delivered; durable by then."""
        accepted = self._accepted.get(peer)
        while accepted:
            most = min(PREFIXES_MAX, (packer.left - HEADER_SIZE - 1) // PREFIX_SIZE)
            if most <= 0:
                return
            batch, accepted[:most] = accepted[:most], []
            data = Custody(batch, self.policy.memory_only).encode()
            packer.add(ItemKind.PACKET, Packet(Context.CUSTODY, data, priority=Priority.INTERACTIVE).encode())
        self._accepted.pop(peer, None)

    # --- handing over ---------------------------------------------------------------------------
    def route_changed(self, address: Address, now: float) -> None:
        """There may be a way to that node now: tell it what is here for it."""
        if address not in self._telling:
            if not self._store.held_for(address, limit=1) or self._router.route(address, now) is None:
                return
            self._telling[address] = _Telling()
        telling = self._telling[address]
        telling.more = True
        if not telling.batch:
            self._tell(address, telling, now)

    def hand_slips(self, address: Address, now: float) -> None:
        """Send a returned sender the receipts that came for it while it was away."""
        route = self._router.route(address, now)
        slips = self._store.slips_for(address, PREFIXES_MAX) if route is not None else []
        for slip in slips:
            if route is None:
                return
            packet = Packet(Context.DELIVERED, Delivered(slip.prefix, slip.receipt).encode(), address)
            self._forwarder.enqueue(route.link, on_the_way(packet, route), Priority.INTERACTIVE, address)
            if slip.tries + 1 >= _SLIP_TRIES:
                self._store.drop_slip(address, slip.receipt)
            else:
                self._store.tried_slip(address, slip.receipt)

    def _tell(self, address: Address, telling: _Telling, now: float) -> None:
        """Tell a recipient of the next messages here for it."""
        route = self._router.route(address, now)
        if route is None:
            del self._telling[address]
            return
        most = max(1, min(PREFIXES_MAX, (route.link.link.room - _ADDRESSED) // PREFIX_SIZE))
        rows: list[Held] = []
        size = 0
        while True:
            found = self._store.held_for(address, since_seq=telling.cursor, limit=most)
            for row in found:
                telling.cursor = row.seq
                if row.kind != KIND_MESSAGE and not self._may_go(row, route, now):
                    continue
                rows.append(row)
                telling.batch[row.prefix] = row
                size += row.size
                if size > PENDING_BATCH_BYTES:
                    break
            if not found or telling.batch:
                break
        telling.more = bool(found)
        telling.size = len(telling.batch)
        if rows:
            data = Pending(self._identity.address, [row.prefix for row in rows]).encode()
            self._send(Packet(Context.PENDING, data, address, priority=Priority.INTERACTIVE), route)
        elif not telling.batch:
            del self._telling[address]
            return
        self._wait(telling, size, route, now)

    def _wait(self, telling: _Telling, size: int, route: Route, now: float) -> None:
        """Tell it again after a while, and the time that so many bytes need."""
        drain = 16 * size / route.link.profile.bps + 4 * route.latency_s
        patience = min(_PATIENCE_S * 2.0 ** min(telling.tries, 10), _PATIENCE_MAX_S)
        telling.due = now + patience + drain
        self._arm(telling.due)

    def _may_go(self, held: Held, route: Route, now: float) -> bool:
        """Whether a file is whole, and the way to its recipient as wide as it needs (N13)."""
        if not held.promised:
            return False
        bps = self._router.width(held.destination, route, now)
        return parse_offer_untrusted(held.data).min_bandwidth <= bps

    def _send(self, packet: Packet, route: Route) -> None:
        body = on_the_way(packet, route)
        self._forwarder.enqueue(route.link, body, packet.priority, packet.destination)

    def take_want(self, prefixes: list[bytes], now: float) -> None:
        """A recipient fetches messages. Whoever asks, they only go to where they are addressed."""
        answered: dict[Address, tuple[Route, int]] = {}
        for prefix in prefixes:
            held = self._held(prefix)
            route = self._router.route(held.destination, now) if held is not None else None
            if held is None or route is None:
                self._counters["wanted_not_here"] += 1
            elif held.kind == KIND_MESSAGE:
                self._send(Packet(Context.MESSAGE, held.data, held.destination), route)
                size = answered.get(held.destination, (route, 0))[1]
                answered[held.destination] = route, size + held.size
            elif self._may_go(held, route, now):
                own = self._identity.address if route.path is not None else b""
                self._send(Packet(Context.OFFER_OBJECT, held.data + own, held.destination), route)
        for address, (route, size) in answered.items():
            telling = self._telling.get(address)
            if telling is not None and not telling.refused:
                telling.tries = 0  # pauses double for who is silent, not for who asks and gets nothing
                self._wait(telling, size, route, now)

    def _held(self, prefix: bytes) -> Held | None:
        for telling in self._telling.values():
            if prefix in telling.batch:
                return telling.batch[prefix]
        return self._store.held(prefix)

    # --- receipts -------------------------------------------------------------------------------
    def take_delivered(self, peer: NodeId, entry: Delivered, packet: Packet, now: float) -> bool:
        """A receipt on its way to the message's sender. If it proves the delivery of something kept here,
        that goes, and the receipt waits for the sender if need be; False when it has no way on."""
        held = self._held(entry.prefix)
        if held is not None:
            if receipt_mark(entry.receipt) == held.mark:
                self._release(held, entry, now)
            elif held.kind == KIND_MESSAGE or address_of(peer) != held.destination:
                self._counters["forged_receipt"] += 1
                return True  # else it may prove to the sender that the file is not wanted
        sender = packet.destination
        if sender in (None, self._identity.address):
            return held is not None
        onward = Packet(Context.DELIVERED, entry.encode(), sender, packet.hops, Priority.INTERACTIVE)
        if packet.hops <= 1:
            return False
        giver = self._router.link_to(held.giver) if held is not None else None
        link = giver or self._forwarder.way_back(entry.prefix, peer)
        route = self._router.route(sender, now) if sender is not None else None
        if link is not None:
            ends = link.link.peer is not None and address_of(link.link.peer) == sender
            body = replace(onward, destination=None if ends else sender, hops=packet.hops - 1).encode()
            return self._forwarder.enqueue(link, body, Priority.INTERACTIVE, sender)
        if route is not None:
            self._send(onward, route)
        elif held is not None and sender is not None:
            self._store.put_slip(Slip(sender, entry.prefix, entry.receipt, held.expires_ms))
        else:
            return False
        return True

    def take_refusal(self, peer: NodeId, refusal: Refusal, now: float) -> bool:
        """Somebody beyond turned a message away; False if it is none that is kept here. Only its recipient,
        over a link, can say that it will never be read."""
        held = self._held(refusal.object_prefix)
        if held is None:
            return False
        final = refusal.reason in (Reason.UNKNOWN_SENDER, Reason.UNREADABLE, Reason.DECLINED)
        if final and address_of(peer) == held.destination:
            self._forget(held)
            self._counters["custody_refused"] += 1
            self._forwarder.tell(held.giver, Context.REFUSAL, refusal.encode())
        elif held.destination in self._telling:
            self._telling[held.destination].refused = True
        return True

    def take_withdrawn(self, peer: NodeId, prefix: bytes) -> None:
        """Whoever gave a file to keep will have it sent no more."""
        held = self._held(prefix)
        if held is not None and held.kind != KIND_MESSAGE and held.giver == peer:
            self._forget(held)
            self._counters["custody_withdrawn"] += 1

    def _forget(self, held: Held) -> None:
        """Nobody is to have that any more."""
        self._store.release(held.prefix)
        self._let_go(held.prefix)
        telling = self._telling.get(held.destination)
        if telling is not None:
            telling.batch.pop(held.prefix, None)

    def _release(self, held: Held, entry: Delivered, now: float) -> None:
        self._store.add_receipt(entry.prefix, entry.receipt, held.expires_ms)
        if held.kind != KIND_MESSAGE:
            self._let_go(entry.prefix)
        self._counters["custody_delivered"] += 1
        self.proved(entry.prefix, entry.receipt)
        telling = self._telling.get(held.destination)
        if telling is not None and telling.batch.pop(entry.prefix, None) is not None:
            telling.tries, telling.refused = 0, False
            if telling.more and 2 * len(telling.batch) <= telling.size:
                self._tell(held.destination, telling, now)
            elif not telling.batch:
                del self._telling[held.destination]

    def _let_go(self, prefix: bytes) -> None:
        """What was kept under that name is gone: so is its object, if it was a file."""
        stored = self._store.object_called(prefix)
        if stored is not None:
            self._fetcher.cancel(stored)
            self._store.delete_object(stored)

    # --- time -----------------------------------------------------------------------------------
    def expiry_ms(self, now: float) -> int:
        """Until when what is taken now is kept. While the clock is not set nobody can say."""
        ttl_ms = self.policy.ttl_s * 1000
        return self._wall_ms(now) + ttl_ms if self._wall.trusted(now) else NEVER_MS

    def redate(self, step_s: float, now: float) -> None:
        """The wall clock was set by so much: what this run has taken keeps its time to live, and what was
        taken without a clock gets one."""
        if self._wall.trusted(now):
            step_ms, now_ms, ttl_ms = int(step_s * 1000), self._wall_ms(now), self.policy.ttl_s * 1000
            self._store.redate_custody(step_ms, now_ms, ttl_ms, since_seq=self._before, never_ms=NEVER_MS)

    def expire(self, now: float) -> None:
        """Tell again what was not fetched."""
        for address, telling in list(self._telling.items()):
            if now >= telling.due:
                telling.tries += 1
                telling.cursor = 0
                telling.batch.clear()
                self._tell(address, telling, now)
            else:
                self._arm(telling.due)

    def _expire_files(self, now: float) -> None:
        for prefix in self._store.expired_files(self._wall_ms(now)):
            self._store.release(prefix)
            self._let_go(prefix)
            self._counters["custody_expired"] += 1

    def expire_messages(self, now: float) -> None:
        """Let go of what is over (S2)."""
        self._expire_files(now)
        messages, _, _ = self._store.expire_custody(self._wall_ms(now))
        if messages:
            self._counters["custody_expired"] += messages


_LEAST = {Serve.CONTACTS: Rank.UNTRUSTED, Serve.TRUSTED: Rank.TRUSTED, Serve.ANYONE: Rank.STRANGER}
_COUNTERS: dict[int, str] = {
    Reason.NOT_HERE: "not_for_us",
    Reason.NOT_SERVED: "custody_not_served",
    Reason.TOO_MUCH: "custody_too_much",
    Reason.STORE_FULL: "custody_full",
    Reason.TOO_OLD: "custody_too_old",
}
