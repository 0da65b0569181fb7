"""What a neighbour's items mean: open, store, answer. Everything here came through an authenticated link."""

from collections import Counter

from nexus_node.base.errors import BadWire, StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import RECEIPTS_PER_PACKET
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.vault import Vault
from nexus_node.engine.compose import Composer, ReadMessage
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.delivery import Delivery, Emit, refused_prefix
from nexus_node.engine.peers import Attachment
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.store import Incoming, Store
from nexus_node.wire.dataobject import KIND_MESSAGE, describe
from nexus_node.wire.fragments import parse_fragment_ack_untrusted, parse_fragment_untrusted
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.packet import (
    Context,
    Packet,
    Reason,
    Refusal,
    parse_packet_untrusted,
    parse_receipts_untrusted,
    parse_refusal_untrusted,
)


class Inbound:
    """Takes items in. Raises BadWire for what the peer got wrong; the caller counts it."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        composer: Composer,
        vault: Vault,
        contacts: Contacts,
        delivery: Delivery,
        counters: Counter[str],
        emit: Emit,
        rng: Rng,
        wall: WallClock,
    ) -> None:
        self._identity = identity
        self._store = store
        self._composer = composer
        self._vault = vault
        self._contacts = contacts
        self._delivery = delivery
        self._counters = counters
        self._emit = emit
        self._rng = rng
        self._wall = wall

    def take(self, link: Attachment, kind: int, body: bytes, now: float) -> None:
        """One item from an established link. Unknown kinds are skipped, so that newer peers can add some."""
        if kind == ItemKind.PACKET:
            self._packet(link, body, now)
        elif kind == ItemKind.FRAGMENT:
            self._fragment(link, body, now)
        elif kind == ItemKind.FRAGMENT_ACK:
            self._delivery.take_ack(link, parse_fragment_ack_untrusted(body), now)
        else:
            self._counters["unknown_item"] += 1

    def _fragment(self, link: Attachment, body: bytes, now: float) -> None:
        fragment = parse_fragment_untrusted(body)
        packet, ack = link.reassembly.take(fragment, ordered=link.profile.ordered)
        peer = link.link.peer
        if packet is not None:
            link.receipt_of.pop(fragment.transfer, None)
            receipt = self._packet(link, packet, now)
            if receipt is not None:
                link.receipt_of[fragment.transfer] = receipt
        elif peer is not None and link.reassembly.is_done(fragment.transfer):
            receipt = link.receipt_of.get(fragment.transfer)
            if receipt is not None:  # it repeats what we have: our receipt was lost
                self._delivery.answer(peer, receipt)
        if ack is not None:
            link.link.queue(ItemKind.FRAGMENT_ACK, ack.encode())

    def _packet(self, link: Attachment, body: bytes, now: float) -> bytes | None:
        """Act on a packet; the receipt it earned, if any."""
        packet = parse_packet_untrusted(body)
        peer = link.link.peer
        if peer is None:
            return None
        if packet.destination not in (None, self._identity.address):
            self._counters["not_for_us"] += 1
            if packet.context == Context.MESSAGE:
                object_id = describe(KIND_MESSAGE, (packet.destination or b"") + packet.data)[0].id
                self._refuse(peer, object_id, Reason.NOT_HERE)
        elif packet.context == Context.MESSAGE:
            return self._message(peer, packet, now)
        elif packet.context == Context.RECEIPTS:
            for receipt in parse_receipts_untrusted(packet.data, RECEIPTS_PER_PACKET):
                self._delivery.take_receipt(receipt, now)
        elif packet.context == Context.REFUSAL:
            self._delivery.take_refusal(peer, parse_refusal_untrusted(packet.data), now)
        else:
            self._counters["unknown_context"] += 1
        return None

    def _message(self, peer: NodeId, packet: Packet, now: float) -> bytes | None:
        """A message to us: exactly once into the inbox, and a receipt every time it comes."""
        message_id = self._composer.identify(packet.data)
        known = self._store.incoming(message_id)
        if known is not None:
            self._counters["duplicates"] += 1
            self._delivery.answer(known.sender, known.delivered)
            return known.delivered
        try:
            message = self._composer.open(message_id, packet.data, self._contacts.candidates(peer))
        except BadWire as error:
            unknown = error.code == "unknown_sender"
            self._refuse(peer, message_id, Reason.UNKNOWN_SENDER if unknown else Reason.UNREADABLE)
            raise
        wall_ms = self._wall.ms(now)
        try:
            self._store_message(message, wall_ms)
        except StoreFull:
            self._counters["refused_store_full"] += 1
            self._refuse(peer, message_id, Reason.STORE_FULL)
            return None
        self._delivery.answer(message.opened.sender, message.opened.delivered)
        return message.opened.delivered

    def _store_message(self, message: ReadMessage, wall_ms: int) -> None:
        opened = message.opened
        body = self._vault.seal(message.text.encode(), self._rng, message.id)
        row = Incoming(
            message.id, opened.sender, message.sent_ms, wall_ms, body, opened.delivered, opened.read
        )
        with self._store.atomic():
            self._store.add_incoming(row)
            self._contacts.met(opened.sender, wall_ms)
        self._emit("message_received", {"id": message.id.hex(), "from": address_of(opened.sender).hex()})

    def _refuse(self, peer: NodeId, object_id: bytes | MessageId, reason: Reason) -> None:
        self._delivery.refuse(peer, Refusal(reason, refused_prefix(object_id)))
