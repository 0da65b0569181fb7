"""Mail carried from node to node: relays that meet find out what each lacks and copy it (N10,
docs/protocol/custody.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import RECEIPTS_HEARD, RECONCILE_ITEMS
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.engine.contacts import Rank
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.peers import Attachment
from nexus_node.engine.relay import Relay
from nexus_node.engine.router import NARROW_BPS, Router
from nexus_node.ports.custody import CustodyStore
from nexus_node.proto.reconcile import ROOM_MIN, Initiator, Reply
from nexus_node.proto.reconcile_responder import Responder
from nexus_node.wire.announce import Serve
from nexus_node.wire.custody import PREFIXES_MAX, TLV_COPY, Delivered
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority
from nexus_node.wire.reconcile import SALT_SIZE, Answer, parse_reconcile_untrusted
from nexus_node.wire.routing import PREFIX_SIZE

_REPEAT_S, _REPEATS = 3.0, 6
_MIRROR = bytes([0xFF] * PREFIX_SIZE)


class _Meeting:
    """What goes on with one neighbour that carries as well."""

    def __init__(self, peer: NodeId, link: Attachment) -> None:
        self.peer = peer
        self.address = address_of(peer)
        self.link = link
        self.room = link.link.room - HEADER_SIZE - 1
        self.asking: Initiator | None = None
        self.answering: Responder | None = None
        self.salt = b""
        """Of the questions that are being answered."""
        self.question = b""
        """What was last asked, to be asked again."""
        self.due = float("inf")
        self.tries = 0
        self.giving: dict[bytes, None] = {}
        """Messages it lacks, each once."""
        self.proving: dict[bytes, None] = {}
        """Messages whose receipts it lacks."""
        self.offers: dict[bytes, None] = {}
        """Messages that have come since the two compared notes."""

    @property
    def waiting(self) -> bool:
        return bool(self.giving or self.proving or self.offers)


class Courier:
    """Copies of messages whose recipients are out of reach, and the receipts that call them back."""

    def __init__(
        self,
        mail: CustodyStore,
        relay: Relay,
        router: Router,
        forwarder: Forwarder,
        rng: Rng,
        *,
        rank: Callable[..., Rank],
        counters: Counter[str],
        wall_ms: Callable[[float], int],
        arm: Callable[[float], None],
        wake: Callable[[Attachment], None],
    ) -> None:
        self._mail = mail
        self._relay = relay
        self._router = router
        self._forwarder = forwarder
        self._rng = rng
        self._rank = rank
        self._counters = counters
        self._wall_ms = wall_ms
        self._arm = arm
        self._wake = wake
        self._meetings: dict[NodeId, _Meeting] = {}
        self._heard: OrderedDict[bytes, bytes] = OrderedDict()
        """Receipts of messages that are not here, by prefix: nothing here can tell whether they are true."""
        relay.kept = self._kept
        relay.proved = self._proved

    # --- meeting and parting --------------------------------------------------------------------
    def look_around(self, now: float) -> None:
        """The neighbours, or what they say of themselves, are others now."""
        here = {
            peer: link
            for peer, link, announce in self._router.neighbours()
            if announce is not None and self._carries_with(peer, link, announce.serve)
        }
        for peer in self._meetings.keys() - here.keys():
            del self._meetings[peer]
        for peer, link in here.items():
            meeting = self._meetings.get(peer)
            if meeting is None or meeting.link is not link:
                self._meet(peer, link, now)

    def part(self, peer: NodeId) -> None:
        """The session with that neighbour is over."""
        self._meetings.pop(peer, None)

    def _carries_with(self, peer: NodeId, link: Attachment, theirs: Serve) -> bool:
        if Serve.NOBODY in (self._relay.policy.serve, theirs) or link.link.room < ROOM_MIN + HEADER_SIZE + 1:
            return False
        return link.profile.bps >= NARROW_BPS or self._rank(address_of(peer)) >= Rank.TRUSTED

    def _meet(self, peer: NodeId, link: Attachment, now: float) -> None:
        meeting = self._meetings[peer] = _Meeting(peer, link)
        if self._router.own < peer:
            narrow = link.profile.bps < NARROW_BPS
            meeting.asking = Initiator(
                self._items(), salt=self._rng.random_bytes(SALT_SIZE), narrow=narrow, room=meeting.room
            )
            self._ask(meeting, meeting.asking.open(), now)

    def _items(self) -> dict[bytes, int]:
        """What is compared: messages by their prefix, receipts by its mirror image."""
        items = {prefix: 0 for prefix, _ in self._mail.prefixes()[: RECONCILE_ITEMS // 2]}
        room = RECONCILE_ITEMS - len(items) - len(self._heard)
        for receipt in self._mail.receipts(max(0, room)):
            items[_mirror(receipt.prefix)] = 0
        for prefix in self._heard:
            items[_mirror(prefix)] = 0
        return items

    # --- comparing notes ------------------------------------------------------------------------
    def take_reconcile(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour's question or answer. Raises BadWire."""
        meeting = self._meetings.get(peer)
        message = parse_reconcile_untrusted(packet.data)
        if meeting is None:
            self._counters["not_carrying"] += 1
        elif isinstance(message, Answer):
            if meeting.asking is not None:
                reply = meeting.asking.take(message)
                meeting.due = float("inf")
                self._learn(meeting, reply)
                if reply.message is not None:
                    self._ask(meeting, reply.message, now)
        else:
            if message.opening is not None and (
                meeting.answering is None or meeting.salt != message.opening[0]
            ):
                meeting.salt = message.opening[0]
                meeting.answering = Responder(self._items(), salt=meeting.salt, room=meeting.room)
            if meeting.answering is not None:
                reply = meeting.answering.take(message)
                self._learn(meeting, reply)
                if reply.message is not None:
                    self._forwarder.tell(peer, Context.RECONCILE, reply.message)

    def _ask(self, meeting: _Meeting, question: bytes, now: float) -> None:
        if question != meeting.question:
            meeting.question, meeting.tries = question, 0
        self._forwarder.tell(meeting.peer, Context.RECONCILE, question)
        meeting.due = now + _REPEAT_S * 2.0**meeting.tries
        self._arm(meeting.due)

    def _learn(self, meeting: _Meeting, reply: Reply) -> None:
        for item in reply.they_lack:
            if self._mail.held(item) is not None:
                meeting.giving[item] = None
            else:
                meeting.proving[_mirror(item)] = None
        if meeting.waiting:
            self._wake(meeting.link)

    # --- giving ---------------------------------------------------------------------------------
    def fill(self, peer: NodeId, packer: ItemPacker) -> None:
        """Add to a frame what that neighbour lacks: receipts first, since they spare copies."""
        meeting = self._meetings.get(peer)
        if meeting is None:
            return
        while meeting.proving and packer.left >= HEADER_SIZE + PREFIX_SIZE + 16:
            prefix = _pop(meeting.proving)
            receipt = self._mail.receipt(prefix) or self._heard.get(prefix)
            if receipt is not None:
                body = Packet(Context.DELIVERED, Delivered(prefix, receipt).encode())
                packer.add(ItemKind.PACKET, body.encode())
        while meeting.offers and packer.left >= HEADER_SIZE + PREFIX_SIZE:
            most = min(PREFIXES_MAX, (packer.left - HEADER_SIZE) // PREFIX_SIZE)
            batch = [_pop(meeting.offers) for _ in range(min(most, len(meeting.offers)))]
            packer.add(ItemKind.PACKET, Packet(Context.OFFER, b"".join(batch)).encode())
        while meeting.giving:
            prefix = next(iter(meeting.giving))
            held = self._mail.held(prefix)
            if held is not None and held.destination != meeting.address:
                tlvs = ((TLV_COPY, held.mark),)
                body = Packet(Context.MESSAGE, held.data, held.destination, priority=Priority.BULK, tlvs=tlvs)
                encoded = body.encode()
                if len(encoded) > meeting.link.link.room - 1:
                    self._forwarder.enqueue(meeting.link, encoded, Priority.BULK)
                elif len(encoded) <= packer.left:
                    packer.add(ItemKind.PACKET, encoded)
                else:
                    return
                self._counters["copies_given"] += 1
            del meeting.giving[prefix]

    def take_offer(self, peer: NodeId, prefixes: list[bytes]) -> None:
        """A neighbour has got messages that may be lacking here."""
        if peer not in self._meetings:
            self._counters["not_carrying"] += 1
            return
        lacking = [
            prefix
            for prefix in prefixes
            if self._mail.held(prefix) is None and self._mail.receipt(prefix) is None
        ]
        if lacking:
            self._forwarder.tell(peer, Context.TAKE, b"".join(lacking))

    def take_take(self, peer: NodeId, prefixes: list[bytes]) -> None:
        """A neighbour wants copies of these."""
        meeting = self._meetings.get(peer)
        if meeting is None:
            self._counters["not_carrying"] += 1
            return
        meeting.giving.update((prefix, None) for prefix in prefixes if self._mail.held(prefix) is not None)
        self._wake(meeting.link)

    # --- what comes in --------------------------------------------------------------------------
    def take_copy(self, peer: NodeId, packet: Packet, mark: bytes, prefix: bytes, now: float) -> None:
        """A copy to carry, unless its receipt has been heard."""
        receipt = self._heard.get(prefix)
        if receipt is not None and receipt_mark(receipt) == mark:
            self._counters["copies_known"] += 1
            self._forwarder.tell(peer, Context.DELIVERED, Delivered(prefix, receipt).encode())
        else:
            self._relay.take_copy(peer, packet, mark, now)

    def heard(self, peer: NodeId, entry: Delivered) -> None:
        """A receipt of a message that is not here: it is passed on to those who may have it."""
        if self._heard.get(entry.prefix) == entry.receipt or self._mail.receipt(entry.prefix) is not None:
            return
        self._heard[entry.prefix] = entry.receipt
        if len(self._heard) > RECEIPTS_HEARD:
            self._heard.popitem(last=False)
        self._spread(entry.prefix, but=peer)

    def prove(self, prefix: bytes, receipt: bytes, now: float) -> None:
        """A message to or from this node has arrived: whoever carries it should know."""
        if self._relay.policy.serve is not Serve.NOBODY and self._mail.receipt(prefix) is None:
            expires_ms = self._wall_ms(now) + self._relay.policy.ttl_s * 1000
            self._mail.add_receipt(prefix, receipt, expires_ms)
            self._spread(prefix)

    def _kept(self, prefix: bytes, giver: NodeId) -> None:
        for meeting in self._meetings.values():
            if meeting.peer != giver:
                meeting.offers[prefix] = None
                self._wake(meeting.link)

    def _proved(self, prefix: bytes, receipt: bytes) -> None:
        self._spread(prefix)

    def _spread(self, prefix: bytes, *, but: NodeId | None = None) -> None:
        for meeting in self._meetings.values():
            if meeting.peer != but:
                meeting.proving[prefix] = None
                self._wake(meeting.link)

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Ask again what was not answered."""
        for meeting in self._meetings.values():
            if now >= meeting.due:
                meeting.tries += 1
                if meeting.tries > _REPEATS:
                    meeting.due = float("inf")
                else:
                    self._ask(meeting, meeting.question, now)
            elif meeting.due < float("inf"):
                self._arm(meeting.due)


def _pop(queue: dict[bytes, None]) -> bytes:
    first = next(iter(queue))
    del queue[first]
    return first


def _mirror(prefix: bytes) -> bytes:
    """What a message's receipt is called when notes are compared."""
    return bytes(a ^ b for a, b in zip(prefix, _MIRROR, strict=True))
