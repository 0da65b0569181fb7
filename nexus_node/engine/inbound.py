"""Mail for this node: exactly once into the inbox, and an answer every time it comes (N10)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from nexus_node.base.errors import BadWire, StoreFull
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import CHUNK_SIZE, FILE_PART_S
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.filestream import file_receipt
from nexus_node.crypto.vault import Vault
from nexus_node.engine.bridge import Bridge
from nexus_node.engine.collect import Collector
from nexus_node.engine.compose import Composer, ReadMessage
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.groups import Groups
from nexus_node.engine.receipts import Answer, Receipts
from nexus_node.engine.unwanted import Unwanted
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.store import Expected, Incoming, Store
from nexus_node.wire.custody import Delivered
from nexus_node.wire.description import encode_descriptions
from nexus_node.wire.packet import Packet, Reason
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.transfer import Offer

_SOON_S = 5
"""When a file may be offered again whose message is still on its way."""


class Inbound:
    """Opens and stores messages. Raises BadWire for what their senders got wrong; the caller counts it."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        vault: Vault,
        contacts: Contacts,
        receipts: Receipts,
        collector: Collector,
        forwarder: Forwarder,
        groups: Groups,
        counters: Counter[str],
        emit: Emit,
        rng: Rng,
        wall: WallClock,
        fetcher: Fetcher,
        bridge: Bridge,
        unwanted: Unwanted,
        arm_expiry: Callable[[int], None],
    ) -> None:
        """`arm_expiry` is told when something is over, in milliseconds since 1970."""
        self._store = store
        self._composer = composer
        self._vault = vault
        self._contacts = contacts
        self._receipts = receipts
        self._collector = collector
        self._forwarder = forwarder
        self._groups = groups
        self._counters = counters
        self._emit = emit
        self._rng = rng
        self._wall = wall
        self._fetcher = fetcher
        self._bridge = bridge
        self._unwanted = unwanted
        self._arm_expiry = arm_expiry
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    def take(self, peer: NodeId, packet: Packet, now: float) -> Answer | None:
        """A message to this node, from a neighbour; what it has earned, if anything."""
        message_id = self._composer.identify(packet.data)
        prefix = message_id[:PREFIX_SIZE]
        known = self._store.receipt_of(message_id)
        if known is not None:
            self._counters["duplicates"] += 1
            answer = Answer(prefix, *known)
        else:
            try:
                message = self._composer.open(message_id, packet.data, self._contacts.candidates(peer))
            except BadWire as error:
                unknown = error.code == "unknown_sender"
                reason = Reason.UNKNOWN_SENDER if unknown else Reason.UNREADABLE
                self._forwarder.refuse(peer, prefix, reason)
                raise
            try:
                if message.group is not None:
                    self._take_letter(peer, message, now)
                elif self._store.incoming_before(message.opened.sender, message.first or message.id):
                    self._counters["duplicates"] += 1  # it was read as it was sealed before, or after
                else:
                    self._keep(message, self._wall.ms(now))
                    self._bridge.forward(message.opened.sender, message.text, now)
            except StoreFull:
                self._counters["refused_store_full"] += 1
                self._forwarder.refuse(peer, prefix, Reason.STORE_FULL)
                return None
            answer = Answer(prefix, message.opened.sender, message.opened.delivered)
        self._collector.arrived(prefix)
        self.answer(peer, answer)
        return answer

    def _take_letter(self, peer: NodeId, message: ReadMessage, now: float) -> None:
        """A letter about a group. It may come again: reading it twice changes nothing."""
        self._contacts.met(message.opened.sender, self._wall.ms(now))
        try:
            self._groups.take(message.opened.sender, message.group or b"", now)
        except BadWire as error:
            if error.code == "group_repeat":
                self._counters["duplicates"] += 1
                return
            self._forwarder.refuse(peer, message.id[:PREFIX_SIZE], Reason.UNREADABLE)
            raise

    def _keep(self, message: ReadMessage, wall_ms: int) -> None:
        opened = message.opened
        body = self._vault.seal(message.text.encode(), self._rng, message.id)
        row = Incoming(
            message.id, opened.sender, message.sent_ms, wall_ms, body, opened.delivered, opened.read
        )
        row.first = message.first
        if message.files:
            row.files = self._vault.seal(encode_descriptions(message.files), self._rng, message.id)
            for one in message.files:
                receipt = file_receipt(one.key, one.object)
                self._store.expect(
                    Expected(one.object, message.id, opened.sender, one.min_bandwidth, receipt)
                )
        self._contacts.met(opened.sender, wall_ms)
        self._store.add_incoming(row)
        self._emit("message_received", {"id": row.shown_id.hex(), "from": address_of(opened.sender).hex()})

    def take_offer(self, peer: NodeId, offer: Offer, now: float) -> None:
        """Somebody has a file for this node: fetch it if a message has described it."""
        object_id = offer.header.id
        prefix = object_id[:PREFIX_SIZE]
        described = self._store.expected(object_id)
        expected = [one for one in described if not one.ended]
        if not described:
            self._collector.arrived(prefix)
            self._counters["files_not_expected"] += 1
            self._forwarder.refuse(peer, prefix, Reason.NOT_EXPECTED, _SOON_S)
            return
        if not expected:
            self._collector.arrived(prefix)
            self._unwanted.turn_down(peer, object_id)
            return

        def answer() -> None:
            # Whoever has seen the header can describe the object too, with another key: each gets a receipt.
            for one in expected:
                self.answer(peer, Answer(prefix, one.sender, one.receipt))

        def whole(now: float) -> None:
            self._store.arrived(object_id, self._wall.ms(now))
            stored = self._store.get_object(object_id)
            if stored is not None and stored.expires_ms is not None:
                self._store.put_object(replace(stored, expires_ms=None), ())
            for sender in dict.fromkeys(one.sender for one in expected):
                self._emit("file_received", {"object": object_id.hex(), "from": address_of(sender).hex()})
            answer()

        if all(one.arrived_ms is not None for one in expected):
            self._collector.arrived(prefix)
            answer()
            return
        min_bandwidth = min(one.min_bandwidth for one in expected)
        wall_ms = self._wall.ms(now)
        until_ms = None
        if offer.header.size > CHUNK_SIZE and self._wall.trusted(now):  # else there is no part of it
            until_ms = wall_ms + 1000 * FILE_PART_S
            self._arm_expiry(until_ms)
        reason = self._fetcher.begin(
            peer, offer, min_bandwidth, wall_ms, now, whole, store=self._store, until_ms=until_ms
        )
        if reason is not None:
            self._collector.arrived(prefix)
            self._forwarder.refuse(peer, prefix, reason)
        else:
            self._collector.file_comes(prefix, now)

    def answer(self, peer: NodeId, answer: Answer) -> None:
        """Send a receipt to the neighbour that the message came from: its sender, or on the way to it."""
        self.promised = True
        if answer.sender == peer:
            self._receipts.add(peer, answer.receipt)
        else:
            self._collector.send_receipt(peer, answer.sender, Delivered(answer.prefix, answer.receipt))
