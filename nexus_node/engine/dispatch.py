"""Which room an item from a neighbour belongs to. Everything here came through an authenticated link."""

from collections import Counter
from collections.abc import Callable

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import RECEIPTS_PER_PACKET
from nexus_node.engine.collect import Collector
from nexus_node.engine.courier import Courier
from nexus_node.engine.delivery import Delivery
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder, object_prefix
from nexus_node.engine.groups import Groups
from nexus_node.engine.inbound import Inbound
from nexus_node.engine.mutable import Mutables
from nexus_node.engine.notify import Notifier
from nexus_node.engine.peers import Attachment
from nexus_node.engine.receipts import Answer
from nexus_node.engine.relay import Relay
from nexus_node.engine.router import Router
from nexus_node.engine.serving import Server
from nexus_node.engine.tracer import Tracer
from nexus_node.engine.unwanted import Unwanted
from nexus_node.wire.custody import (
    PREFIXES_MAX,
    parse_copy_tlv_untrusted,
    parse_custody_tlv_untrusted,
    parse_custody_untrusted,
    parse_delivered_untrusted,
    parse_pending_untrusted,
    parse_promise_untrusted,
)
from nexus_node.wire.fragments import parse_fragment_ack_untrusted, parse_fragment_untrusted
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.packet import (
    Context,
    Packet,
    parse_packet_untrusted,
    parse_receipts_untrusted,
    parse_refusal_untrusted,
)
from nexus_node.wire.routing import (
    parse_prefixes_untrusted,
    parse_pressure_untrusted,
    parse_too_big_untrusted,
)
from nexus_node.wire.transfer import parse_ask_untrusted, parse_chunk_untrusted, parse_offer_untrusted


class Dispatcher:
    """Takes items in. Raises BadWire for what the peer got wrong; the caller counts it."""

    def __init__(
        self,
        own: Address,
        inbound: Inbound,
        delivery: Delivery,
        router: Router,
        forwarder: Forwarder,
        relay: Relay,
        courier: Courier,
        collector: Collector,
        tracer: Tracer,
        fetcher: Fetcher,
        server: Server,
        groups: Groups,
        notifier: Notifier,
        mutables: Mutables,
        unwanted: Unwanted,
        counters: Counter[str],
    ) -> None:
        self._own = own
        self._inbound = inbound
        self._delivery = delivery
        self._router = router
        self._forwarder = forwarder
        self._relay = relay
        self._courier = courier
        self._collector = collector
        self._tracer = tracer
        self._fetcher = fetcher
        self._server = server
        self._unwanted = unwanted
        self._counters = counters
        self._takers: dict[int, Callable[[NodeId, Packet, float], None]] = {
            Context.RECEIPTS: self._receipts,
            Context.REFUSAL: self._refusal,
            Context.TOO_BIG: self._too_big,
            Context.PRESSURE: self._pressure,
            Context.CUSTODY: self._custody,
            Context.PROMISE: self._promise,
            Context.PENDING: self._pending,
            Context.WANT: self._want,
            Context.DELIVERED: self._delivered,
            Context.TRACE: tracer.take,
            Context.TRACE_REPLY: tracer.take_reply,
            Context.RECONCILE: courier.take_reconcile,
            Context.ACQUAINTANCE: courier.take_acquaintance,
            Context.OFFER: self._offer,
            Context.TAKE: self._take,
            Context.GROUP: lambda peer, packet, now: groups.hear(peer, packet.data, now),
            Context.GROUP_CHECK: groups.air.take_check,
            Context.GROUP_HAVE: groups.air.take_have,
            Context.GROUP_FAR: groups.hear_far,
            Context.GROUP_CHECK_FAR: groups.flood.take_check,
            Context.GROUP_HAVE_FAR: groups.flood.take_have,
            Context.GROUP_WANT: groups.flood.take_want,
            Context.OFFER_OBJECT: self._inbound_offer,
            Context.ASK: self._ask,
            Context.CHUNK: self._chunk,
            Context.WITHDRAWN: self._withdrawn,
            Context.SUBSCRIBE: notifier.take_subscribe,
            Context.HINT: notifier.take_hint,
            Context.PULL: notifier.take_pull,
            Context.PUBLISHED: notifier.take_published,
            Context.RECORD: mutables.take_record,
            Context.NO_RECORD: mutables.take_no_record,
            Context.RECORD_REQUEST: mutables.take_request,
            Context.FORK: mutables.take_fork,
        }

    def take(self, link: Attachment, kind: int, body: bytes, now: float) -> None:
        """One item from an established link. Unknown kinds are skipped, so that newer peers can add some."""
        if kind == ItemKind.PACKET:
            self._packet(link, body, now)
        elif kind == ItemKind.FRAGMENT:
            self._fragment(link, body, now)
        elif kind == ItemKind.FRAGMENT_ACK:
            ack = parse_fragment_ack_untrusted(body)
            if not self._delivery.take_ack(link, ack, now):
                self._forwarder.take_ack(link, ack, now)
        else:
            self._counters["unknown_item"] += 1

    def _fragment(self, link: Attachment, body: bytes, now: float) -> None:
        fragment = parse_fragment_untrusted(body)
        packet, ack = link.reassembly.take(fragment, ordered=link.profile.ordered)
        peer = link.link.peer
        if packet is not None:
            link.answers.pop(fragment.transfer, None)
            answer = self._packet(link, packet, now)
            if answer is not None:
                link.answers[fragment.transfer] = answer
        elif peer is not None and link.reassembly.is_done(fragment.transfer):
            answer = link.answers.get(fragment.transfer)
            if answer is not None:  # it repeats what we have: our receipt was lost
                self._inbound.answer(peer, answer)
        if ack is not None:
            link.link.queue(ItemKind.FRAGMENT_ACK, ack.encode())

    def _packet(self, link: Attachment, body: bytes, now: float) -> Answer | None:
        """Act on a packet; what it has earned if it was a message to this node."""
        packet = parse_packet_untrusted(body)
        peer = link.link.peer
        if peer is None:
            return None
        if packet.destination not in (None, self._own):
            self._in_transit(peer, packet, now)
        elif packet.context == Context.MESSAGE:
            answer = self._inbound.take(peer, packet, now)
            if answer is not None:
                self._courier.prove(answer.prefix, answer.receipt, now)
            return answer
        elif packet.context in self._takers:
            self._takers[packet.context](peer, packet, now)
        elif not self._router.take(peer, packet, now):
            self._counters["unknown_context"] += 1
        return None

    # --- for others -----------------------------------------------------------------------------
    def _in_transit(self, peer: NodeId, packet: Packet, now: float) -> None:
        if packet.context in (Context.MESSAGE, Context.OFFER_OBJECT):
            asked = parse_custody_tlv_untrusted(packet.tlvs)
            copy = parse_copy_tlv_untrusted(packet.tlvs)
            if asked is not None:
                mark, relay = asked
                if relay in (None, self._own):
                    take = self._relay.take if packet.context == Context.MESSAGE else self._relay.take_offer
                    take(peer, packet, mark, remote=relay is not None, now=now)
                else:
                    self._forwarder.pass_on(peer, packet, now, towards=relay)
            elif copy is not None and packet.context != Context.MESSAGE:
                raise BadWire("bad_custody")  # files are not carried
            elif copy is not None:
                self._courier.take_copy(peer, packet, copy, object_prefix(packet), now)
            else:
                self._forwarder.pass_on(peer, packet, now)
        elif packet.context == Context.DELIVERED:
            for entry in parse_delivered_untrusted(packet.data):
                if not self._relay.take_delivered(peer, entry, packet, now):
                    self._counters["receipt_without_way"] += 1
        elif packet.context == Context.TRACE:
            self._tracer.take(peer, packet, now)
        elif packet.context == Context.WITHDRAWN:
            for entry in parse_delivered_untrusted(packet.data):
                self._relay.take_withdrawn(peer, entry.prefix)
            self._forwarder.pass_on(peer, packet, now)
        else:
            self._forwarder.pass_on(peer, packet, now)

    # --- for this node --------------------------------------------------------------------------
    def _receipts(self, peer: NodeId, packet: Packet, now: float) -> None:
        for receipt in parse_receipts_untrusted(packet.data, RECEIPTS_PER_PACKET):
            if not self._delivery.take_receipt(receipt, now):
                self._counters["unknown_receipt"] += 1

    def _delivered(self, peer: NodeId, packet: Packet, now: float) -> None:
        for entry in parse_delivered_untrusted(packet.data):
            ours = self._delivery.take_receipt(entry.receipt, now)
            if ours:
                self._courier.prove(entry.prefix, entry.receipt, now)
            known = self._relay.take_delivered(peer, entry, packet, now) or ours
            if not known:
                self._forwarder.send_back(peer, entry.prefix, Context.DELIVERED, entry.encode())
                self._courier.heard(peer, entry)

    def _refusal(self, peer: NodeId, packet: Packet, now: float) -> None:
        refusal = parse_refusal_untrusted(packet.data)
        ours = self._delivery.take_refusal(peer, refusal, now)
        if not ours and not self._relay.take_refusal(peer, refusal, now):
            self._send_back(peer, refusal.object_prefix, packet, "unknown_refusal")

    def _too_big(self, peer: NodeId, packet: Packet, now: float) -> None:
        too_big = parse_too_big_untrusted(packet.data)
        if not self._delivery.too_big(peer, too_big.prefix, too_big.limit, now):
            self._send_back(peer, too_big.prefix, packet, "unknown_refusal")

    def _pressure(self, peer: NodeId, packet: Packet, now: float) -> None:
        pressure = parse_pressure_untrusted(packet.data)
        self._counters["backpressure_heard"] += 1
        self._router.pause(peer, pressure.pause_ms / 1000, now)

    def _custody(self, peer: NodeId, packet: Packet, now: float) -> None:
        custody = parse_custody_untrusted(packet.data)
        for prefix in custody.prefixes:
            if not self._delivery.relayed(peer, prefix, now, memory_only=custody.memory_only):
                self._counters["unasked_custody"] += 1

    def _promise(self, peer: NodeId, packet: Packet, now: float) -> None:
        promise = parse_promise_untrusted(packet.data)
        mark = self._delivery.mark_of(promise.prefix)
        if mark is None:
            self._send_back(peer, promise.prefix, packet, "unasked_custody")
        elif not promise.authentic(mark):
            raise BadWire("forged_promise")
        elif not self._delivery.relayed(promise.relay, promise.prefix, now, memory_only=promise.memory_only):
            self._counters["unasked_custody"] += 1

    def _pending(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._collector.take_pending(peer, parse_pending_untrusted(packet.data), now)

    def _want(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._relay.take_want(parse_prefixes_untrusted(packet.data, PREFIXES_MAX), now)

    def _offer(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._courier.take_offer(peer, parse_prefixes_untrusted(packet.data, PREFIXES_MAX), now)

    def _take(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._courier.take_take(peer, parse_prefixes_untrusted(packet.data, PREFIXES_MAX))

    def _inbound_offer(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._inbound.take_offer(peer, parse_offer_untrusted(packet.data), now)

    def _ask(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._server.take_ask(peer, parse_ask_untrusted(packet.data), now)

    def _chunk(self, peer: NodeId, packet: Packet, now: float) -> None:
        self._fetcher.take(peer, parse_chunk_untrusted(packet.data), now)

    def _withdrawn(self, peer: NodeId, packet: Packet, now: float) -> None:
        for entry in parse_delivered_untrusted(packet.data):
            if not self._unwanted.take_withdrawn(entry, now):
                self._counters["unknown_withdrawal"] += 1

    def _send_back(self, peer: NodeId, prefix: bytes, packet: Packet, code: str) -> None:
        if not self._forwarder.send_back(peer, prefix, Context(packet.context), packet.data):
            raise BadWire(code)
