"""Mail carried from node to node: relays that meet find out what each lacks and copy it (N10,
docs/protocol/custody.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import ACQUAINTANCES_MAX, RECEIPTS_HEARD, RECONCILE_ITEMS, WANTED_MAX
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.engine.acquaintance import Acquaintances, worth_a_copy
from nexus_node.engine.contacts import Rank
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.neighbour import NARROW_BPS
from nexus_node.engine.peers import Attachment
from nexus_node.engine.relay import Relay
from nexus_node.engine.router import Router
from nexus_node.ports.custody import CustodyStore, Held
from nexus_node.proto.reconcile import ROOM_MIN, Initiator, Reply
from nexus_node.proto.reconcile_responder import Responder
from nexus_node.wire.announce import Serve
from nexus_node.wire.custody import (
    PREFIXES_MAX,
    TLV_COPY,
    Acquaintance,
    Delivered,
    parse_acquaintance_untrusted,
)
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority
from nexus_node.wire.reconcile import SALT_SIZE, Answer, parse_reconcile_untrusted
from nexus_node.wire.routing import PREFIX_SIZE

_REPEAT_S, _REPEATS = 3.0, 6
_CHECK_S, _CHECK_NARROW_S, _CHECK_MAX_S = 5.0, 60.0, 3600.0
"""After something was sent where it may get lost, notes are compared again; twice as late each time, until
there is something to send once more."""
_GIVEN_TIMES = 8
"""A copy that did not arrive that often is not wanted."""
_ASK_AGAIN_S = 4.0
"""So long a copy that was asked of one neighbour is not asked of another."""
_INTRODUCE_EVERY_S = 600.0
"""Who has something to give says again how many it meets, no more often."""
_INTRODUCED = ACQUAINTANCES_MAX
_INTRODUCED_NARROW = 32
"""Of how many nodes a neighbour is told that they have been met; where air is dear, 40 bytes' worth."""
_MIRROR = bytes([0xFF] * PREFIX_SIZE)
_COPY_HEAD = 60
"""Bytes of a copy's frame and packet beyond its data, about."""


@dataclass(slots=True)
class _Asked:
    """A copy asked of a neighbour, until when no other is asked, and who has offered it as well."""

    peer: NodeId
    until: float
    others: list[NodeId] = field(default_factory=list)
    deferred: bool = False
    """It may not leave this one here before `until`."""


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
        self.check_at = float("inf")
        """When to compare notes again, as what was sent since may have got lost."""
        self.checks = 0
        self.given: Counter[bytes] = Counter()
        """How often each message was sent to it, where that may get lost."""
        self.theirs: Acquaintance | None = None
        """Whom it has met, once it has said so."""
        self.introduced = float("-inf")
        """When it was last told the same of this node."""
        self.giving: dict[bytes, None] = {}
        """Messages it has asked for, each once; where air is dear, those it lacks."""
        self.withheld: dict[bytes, None] = {}
        """Messages that it is not the right one to carry, as things stand."""
        self.proving: dict[bytes, None] = {}
        """Messages whose receipts it lacks."""
        self.offers: dict[bytes, None] = {}
        """Messages it lacks, and may want."""

    def check(self, now: float) -> float:
        """Compare notes again some time after this."""
        if not self.link.profile.ordered:
            first = _CHECK_NARROW_S if self.narrow else _CHECK_S
            self.check_at = min(self.check_at, now + min(first * 2.0**self.checks, _CHECK_MAX_S))
        return self.check_at

    @property
    def narrow(self) -> bool:
        return self.link.profile.bps < NARROW_BPS

    @property
    def waiting(self) -> bool:
        return bool(self.giving or self.proving or self.offers)

    def seconds(self, held: Held) -> float:
        """What a copy takes of the link."""
        return 8 * (len(held.data) + _COPY_HEAD) / self.link.profile.bps


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
        self._arm = arm
        self._wake = wake
        self._meetings: dict[NodeId, _Meeting] = {}
        self._acquaintances = Acquaintances()
        self._asked: OrderedDict[bytes, _Asked] = OrderedDict()
        self._declined: OrderedDict[bytes, None] = OrderedDict()
        """Copies that came and were not for this node, by its owner's rules."""
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
        self._declined.clear()
        for peer in [one for one in self._meetings if one not in here]:
            self._end(peer, now)
        for peer, link in here.items():
            meeting = self._meetings.get(peer)
            if meeting is None or meeting.link is not link:
                self._meet(peer, link, now)

    def met(self, peer: NodeId, now: float) -> None:
        """There is a new session with that neighbour, which may have forgotten the one before."""
        self._acquaintances.met(address_of(peer))
        self._end(peer, now)

    def _end(self, peer: NodeId, now: float) -> None:
        """What that neighbour was asked for is asked of others."""
        if self._meetings.pop(peer, None) is not None:
            self._ask_others([prefix for prefix, asked in self._asked.items() if asked.peer == peer], now)

    def parted(self, peer: NodeId, now: float) -> None:
        """There is no link to that neighbour any more."""
        self._acquaintances.parted(address_of(peer), now)

    def _carries_with(self, peer: NodeId, link: Attachment, theirs: Serve) -> bool:
        if Serve.NOBODY in (self._relay.policy.serve, theirs) or link.link.room < ROOM_MIN + HEADER_SIZE + 1:
            return False
        return link.profile.bps >= NARROW_BPS or self._rank(address_of(peer)) >= Rank.TRUSTED

    def _meet(self, peer: NodeId, link: Attachment, now: float) -> None:
        meeting = self._meetings[peer] = _Meeting(peer, link)
        self._introduce(meeting, now)
        if self._router.own < peer:
            self._compare(meeting, now)

    def _compare(self, meeting: _Meeting, now: float) -> None:
        salt = self._rng.random_bytes(SALT_SIZE)
        meeting.asking = Initiator(self._items(), salt=salt, narrow=meeting.narrow, room=meeting.room)
        self._ask(meeting, meeting.asking.open(), now)

    def _introduce(self, meeting: _Meeting, now: float) -> None:
        """Say whom this node meets, so that it gets what it is the right one to carry."""
        meeting.introduced = now
        ours = self._acquaintances.introduce(now, _INTRODUCED_NARROW if meeting.narrow else _INTRODUCED)
        self._forwarder.tell(meeting.peer, Context.ACQUAINTANCE, ours.encode())

    def take_acquaintance(self, peer: NodeId, packet: Packet, now: float) -> None:
        """Whom a neighbour has met. Raises BadWire."""
        theirs = parse_acquaintance_untrusted(packet.data)
        meeting = self._meetings.get(peer)
        if meeting is None:
            self._counters["not_carrying"] += 1
            return
        meeting.theirs = theirs
        meeting.offers |= meeting.withheld
        meeting.withheld.clear()
        if meeting.waiting:
            self._wake(meeting.link)

    def _should_carry(self, meeting: _Meeting, held: Held, now: float) -> bool:
        """Whether that neighbour gets a copy. Until it has said whom it meets, everything."""
        if meeting.theirs is None:
            return True
        ours = self._acquaintances.busy(now)
        return worth_a_copy(meeting.seconds(held), ours, meeting.theirs, held.destination)

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
        ordered = meeting.link.profile.ordered  # nothing gets lost, but who is asked may not be ready yet
        meeting.due = now + (
            _REPEAT_S * 2.0**meeting.tries if ordered else meeting.link.retry_after(meeting.tries)
        )
        self._arm(meeting.due)

    def _learn(self, meeting: _Meeting, reply: Reply) -> None:
        for item in reply.they_lack:
            if self._mail.held(item) is not None:
                (meeting.giving if meeting.narrow else meeting.offers)[item] = None
            else:
                meeting.proving[_mirror(item)] = None
        if meeting.waiting:
            self._wake(meeting.link)

    # --- giving ---------------------------------------------------------------------------------
    def fill(self, peer: NodeId, packer: ItemPacker, now: float) -> None:
        """Add to a frame what that neighbour lacks: receipts first, since they spare copies."""
        meeting = self._meetings.get(peer)
        if meeting is None or not meeting.waiting:
            return
        if now >= meeting.introduced + _INTRODUCE_EVERY_S:
            self._introduce(meeting, now)
        self._arm(meeting.check(now))
        while meeting.proving and packer.left >= HEADER_SIZE + PREFIX_SIZE + 16:
            prefix = _pop(meeting.proving)
            receipt = self._mail.receipt(prefix) or self._heard.get(prefix)
            if receipt is not None:
                body = Packet(Context.DELIVERED, Delivered(prefix, receipt).encode())
                packer.add(ItemKind.PACKET, body.encode())
        while meeting.offers and packer.left >= HEADER_SIZE + PREFIX_SIZE:
            most = min(PREFIXES_MAX, (packer.left - HEADER_SIZE) // PREFIX_SIZE)
            batch = [_pop(meeting.offers) for _ in range(min(most, len(meeting.offers)))]
            offered = [prefix for prefix in batch if self._is_for(meeting, prefix, now) is not None]
            if offered:
                packer.add(ItemKind.PACKET, Packet(Context.OFFER, b"".join(offered)).encode())
        while meeting.giving:
            prefix = next(iter(meeting.giving))
            held = self._is_for(meeting, prefix, now)
            if held is not None:
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
                if not meeting.link.profile.ordered:
                    meeting.given[prefix] += 1
                    meeting.checks = 0
            del meeting.giving[prefix]

    def _is_for(self, meeting: _Meeting, prefix: bytes, now: float) -> Held | None:
        """That message, if that neighbour should carry it; else it is withheld. To its recipient relays hand
        it over."""
        held = self._mail.held(prefix)
        if held is None or held.destination == meeting.address or meeting.given[prefix] >= _GIVEN_TIMES:
            return None
        if not self._should_carry(meeting, held, now):
            meeting.withheld[prefix] = None
            return None
        return held

    def take_offer(self, peer: NodeId, prefixes: list[bytes], now: float) -> None:
        """A neighbour has messages that may be lacking here; each is asked of one at a time."""
        if peer not in self._meetings:
            self._counters["not_carrying"] += 1
            return
        wanted = []
        for prefix in prefixes:
            known = self._mail.held(prefix) is not None or self._mail.receipt(prefix) is not None
            if known or prefix in self._declined:
                continue
            asked = self._asked.get(prefix)
            if asked is None or now >= asked.until:
                wanted.append(prefix)
            elif peer != asked.peer:
                asked.others.append(peer)
        self._ask_for(peer, wanted, now)

    def _ask_for(self, peer: NodeId, prefixes: list[bytes], now: float) -> None:
        """Ask for as many as that neighbour may leave here now, and for the rest once it may."""
        if not prefixes:
            return
        count, retry_s = self._relay.allowance(peer, now)
        if count < WANTED_MAX:
            under_way = (one for one in self._asked.values() if one.peer == peer and not one.deferred)
            count = max(0, count - sum(1 for _ in under_way))
        if count:
            self._forwarder.tell(peer, Context.TAKE, b"".join(prefixes[:count]))
        for number, prefix in enumerate(prefixes):
            others = self._asked[prefix].others if prefix in self._asked else []
            if number < count:
                self._asked[prefix] = _Asked(peer, now + _ASK_AGAIN_S, others)
            else:
                self._asked[prefix] = _Asked(peer, now + retry_s, [*others, peer], deferred=True)
            self._arm(self._asked[prefix].until)
            self._asked.move_to_end(prefix)
            if len(self._asked) > WANTED_MAX:
                self._asked.popitem(last=False)

    def _ask_others(self, prefixes: Iterable[bytes], now: float) -> None:
        """What one neighbour does not send, another may have."""
        again: dict[NodeId, list[bytes]] = {}
        for prefix in prefixes:
            others = [peer for peer in self._asked[prefix].others if peer in self._meetings]
            if others and self._mail.receipt(prefix) is None:
                again.setdefault(others.pop(0), []).append(prefix)
                self._asked[prefix].others = others
            else:
                del self._asked[prefix]
        for peer, batch in again.items():
            for at in range(0, len(batch), PREFIXES_MAX):
                self._ask_for(peer, batch[at : at + PREFIXES_MAX], now)

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
        self._asked.pop(prefix, None)
        receipt = self._heard.get(prefix)
        if receipt is not None and receipt_mark(receipt) == mark:
            self._counters["copies_known"] += 1
            self._forwarder.tell(peer, Context.DELIVERED, Delivered(prefix, receipt).encode())
        elif not self._relay.take_copy(peer, packet, mark, now):
            self._declined[prefix] = None
            if len(self._declined) > WANTED_MAX:
                self._declined.popitem(last=False)

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
            self._mail.add_receipt(prefix, receipt, self._relay.expiry_ms(now))
            self._spread(prefix)

    def _kept(self, prefix: bytes, giver: NodeId) -> None:
        for meeting in self._meetings.values():
            if meeting.peer != giver:
                meeting.checks = 0
                meeting.offers[prefix] = None
                self._wake(meeting.link)

    def _proved(self, prefix: bytes, receipt: bytes) -> None:
        self._spread(prefix)

    def _spread(self, prefix: bytes, *, but: NodeId | None = None) -> None:
        for meeting in self._meetings.values():
            if meeting.peer != but:
                meeting.checks = 0
                meeting.proving[prefix] = None
                self._wake(meeting.link)

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Ask again what was not answered."""
        late = [prefix for prefix, asked in self._asked.items() if now >= asked.until]
        self._ask_others(late, now)
        for asked in self._asked.values():
            self._arm(asked.until)
        for meeting in self._meetings.values():
            if now >= meeting.due:
                meeting.tries += 1
                if meeting.tries > _REPEATS:
                    meeting.due = float("inf")
                    self._arm(meeting.check(now))
                else:
                    self._ask(meeting, meeting.question, now)
            elif meeting.due < float("inf"):
                self._arm(meeting.due)
            elif meeting.check_at <= now:
                meeting.checks += 1
                meeting.check_at = float("inf")
                self._compare(meeting, now)
            elif meeting.check_at < float("inf"):
                self._arm(meeting.check_at)


def _pop(queue: dict[bytes, None]) -> bytes:
    first = next(iter(queue))
    del queue[first]
    return first


def _mirror(prefix: bytes) -> bytes:
    """What a message's receipt is called when notes are compared."""
    return bytes(a ^ b for a, b in zip(prefix, _MIRROR, strict=True))
