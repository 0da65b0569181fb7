"""Messages to one recipient over one link: what goes next, in fragments or whole, and what goes again.

Everything here is bounded: only a window of the outbox is in memory.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

from nexus_node.base.ids import Address, MessageId, NodeId
from nexus_node.base.limits import IN_FLIGHT_MESSAGES, MTU_BULK, TRANSFERS_OUT
from nexus_node.base.states import State
from nexus_node.engine.peers import Attachment
from nexus_node.ports.store import Fact, Outgoing
from nexus_node.proto.fragment import OutgoingTransfer
from nexus_node.wire.custody import custody_tlv
from nexus_node.wire.fragments import FragmentAck
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.packet import Context, Packet
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.tlv import Tlvs
from nexus_node.wire.transfer import bandwidth_tlv

LOAD_ROWS = 64
_FAR_PATIENCE_S = 2.0
_HANDOVER_S = 5.0
"""So long, and what their bytes need, relays have to hand over what they keep for who is back."""
_PATIENCE_MAX_S = 600.0
_FETCH_PATIENCE_S = 60.0
"""So long after a question for parts of a file it is not offered again."""


@dataclass(frozen=True, slots=True)
class Way:
    """How messages get nearer to their recipient: over a link, to the recipient itself (no `destination`),
    along a path, or into the custody of `relay`."""

    link: Attachment
    destination: Address | None = None
    relay: NodeId | None = None
    relay_address: Address | None = None
    """Of a relay that is not the neighbour itself."""
    latency_s: float = 0.0
    """The worst time one way beyond the first link."""
    slowest_bps: float = inf
    """What the whole way may be counted on for, as far as is known (proto/width.py)."""

    @property
    def bps(self) -> float:
        """Bits per second of the slowest link, for what is not to cross slower ones (N13)."""
        return min(self.link.profile.bps, self.slowest_bps)

    @property
    def direct(self) -> bool:
        return self.destination is None

    def carries(self, row: Outgoing) -> bool:
        """Whether it is wide enough for a message (N13). A relay keeps no word of what a text needs, and
        would hand it over any link: it gets none that needs anything."""
        return row.min_bandwidth <= (self.bps if self.relay is None or row.is_file else 0)

    def same(self, other: "Way") -> bool:
        """Whether what is under way stays under way."""
        return (self.link, self.destination, self.relay) == (other.link, other.destination, other.relay)


class Flight:
    """A message on its way and not yet answered."""

    __slots__ = (
        "due",
        "mailbox",
        "packet",
        "refused",
        "rounds",
        "row",
        "sent",
        "transfer",
        "tries",
        "unacknowledged",
        "unsaid",
        "waits",
        "went",
    )

    def __init__(self, mailbox: "Mailbox", row: Outgoing, packet: bytes) -> None:
        self.mailbox = mailbox
        self.row = row
        self.packet = packet
        """Empty while its envelope is lost and the store has no room for another."""
        self.transfer: OutgoingTransfer | None = None
        self.due = inf
        self.went = 0.0
        """When its latest fragment was handed to the carrier."""
        self.tries = 0
        self.rounds = 0
        """How often it has crossed the first link, which acknowledged it, in vain."""
        self.unacknowledged = 0
        """Bytes of it counted in the link's window."""
        self.refused = 0
        """How often it was turned away for the time being."""
        self.sent = False
        """Whether all of it has gone out once."""
        self.waits = False
        """Whether it is not to be sent again before it is due."""
        self.unsaid: Fact | None = None
        """`sent`, while it waits for a receipt to be written with."""


class Mailbox:
    """One recipient's messages on one way."""

    def __init__(self, own: Address, to: NodeId, way: Way, arm: Callable[[float], None]) -> None:
        self._own = own
        self.to = to
        self.way = way
        self._arm = arm
        self.flights: dict[MessageId, Flight] = {}
        self.called: dict[bytes, Flight] = {}
        """The same by the prefix of their objects' ids, as on the wire."""
        self.ready: deque[Outgoing] = deque()
        """Rows loaded and not yet sent."""
        self.holding = True
        """Whether there may be rows that this way is too narrow for and that do not say so yet."""
        self.cursor = 0
        """The outbox up to this `seq` is loaded."""
        self.backlog = True
        """Whether the store may hold rows past the cursor."""
        self._overtaken = -inf
        """What went before then and has no receipt is lost, where nothing overtakes: see `proved`."""
        self._look_at = -inf
        self._handed_over = 0.0
        """When what relays keep goes this way too: infinite once it does, 0 while there is none."""
        self._sending: deque[Flight] = deque()
        """Flights that fit one frame and are to go now."""
        self._transfers: deque[Flight] = deque()
        """Flights with fragments to go now."""
        self._unanswered = 0
        """Bytes that have gone out and have no receipt."""
        self._transferring = 0
        """Flights in fragments, gone or not: the far end keeps room for a bounded number."""
        self._large: deque[Outgoing] = deque()
        """Rows too large for a frame that have not begun: small ones overtake them."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send now."""
        return not (
            self.backlog or self.holding or self.ready or self._large or self._sending or self._transfers
        )

    def submit(self, row: Outgoing) -> None:
        """A new row of the outbox."""
        if not self.way.carries(row):
            self.holding = True
        elif not self.backlog and len(self.ready) < IN_FLIGHT_MESSAGES:
            self.ready.append(row)
            self.cursor = row.seq
        else:
            self.backlog = True

    def turn(self, way: Way) -> bool:
        """The way is this now, which what is under way stays on. Returns whether it is wider than before, so
        that what was held may go (N13)."""
        wider = way.bps > self.way.bps
        if wider:
            self._load_anew()
        elif way.bps < self.way.bps:
            self.holding = True
            for rows in (self.ready, self._large):
                fit = [row for row in rows if way.carries(row)]
                rows.clear()
                rows.extend(fit)
        self.way = way
        return wider

    def _load_anew(self) -> None:
        """Look through the store again, from the oldest row on; what is under way is passed over."""
        self.ready.clear()
        self._large.clear()
        self.cursor, self.backlog = 0, True

    def leaves_to_relays(self, row: Outgoing, now: float) -> bool:
        """Whether a relay is about to hand that message over: along a path it would only come twice."""
        way = self.way
        along_path = not way.direct and way.relay is None
        if not along_path or row.state is not State.RELAYED or self._handed_over == inf:
            return False
        due = max(self._handed_over, now + _HANDOVER_S + 8 * way.latency_s)
        self._handed_over = min(due + 32 * row.size / way.link.profile.bps, now + _PATIENCE_MAX_S)
        self._arm(self._handed_over)
        return True

    # --- pulling --------------------------------------------------------------------------------
    def fill_messages(
        self, packer: ItemPacker, now: float, load: Callable[["Mailbox", float], bool]
    ) -> Iterator[Flight]:
        """Fill a frame with whole messages, up to 4 KB: answers need not wait for more. Yields those that
        went out for the first time."""
        link = self.way.link
        while link.window_open and packer.used < MTU_BULK:
            if not self._sending and not self._next_small(now, load):
                return
            flight = self._sending[0]
            if self.flights.get(flight.row.id) is flight:
                if len(flight.packet) > packer.left:
                    return
                packer.add(ItemKind.PACKET, flight.packet)
                if self._went(flight, len(flight.packet), now, whole=True):
                    yield flight
            self._sending.popleft()

    def fill_fragments(self, packer: ItemPacker, now: float) -> Iterator[Flight]:
        """One transfer after the other; what closes the window asks to be acknowledged."""
        link = self.way.link
        while link.window_open and (self._transfers or self._next_large()):
            flight = self._transfers[0]
            transfer = flight.transfer
            if self.flights.get(flight.row.id) is not flight or transfer is None or transfer.waiting:
                self._transfers.popleft()
                continue
            size = transfer.next_size
            if packer.left < size:
                return
            fragment = transfer.next_fragment(ask=link.unacknowledged + size >= link.window)
            packer.add(ItemKind.FRAGMENT, fragment.encode())
            if self._went(flight, len(fragment.data), now, whole=transfer.waiting):
                yield flight

    def _next_small(self, now: float, load: Callable[["Mailbox", float], bool]) -> bool:
        """Put the next message that fits one frame into `_sending`; larger ones on the way go to `_large`."""
        largest = self.way.link.link.room - 1
        while len(self.flights) < IN_FLIGHT_MESSAGES and len(self._large) < LOAD_ROWS:
            if not self.ready and not (self.backlog and load(self, now)):
                return False
            if not self.ready:
                continue
            row = self.ready.popleft()
            if row.id in self.flights:
                continue
            packet = self._packet(row)
            if len(packet) > largest or (self.way.link.acknowledges and not self.way.direct):
                self._large.append(row)
            else:
                self._sending.append(self.begin(row, packet))
                return True
        return False

    def _next_large(self) -> bool:
        """Begin the next transfer, if one may begin."""
        if not self._large or self._transferring >= TRANSFERS_OUT:
            return False
        row = self._large.popleft()
        flight = self.begin(row, self._packet(row))
        self._transferring += 1
        self._cut(flight)
        self._transfers.append(flight)
        return True

    def _packet(self, row: Outgoing) -> bytes:
        way = self.way
        tlvs: Tlvs = (custody_tlv(row.delivered_mark, way.relay_address),) if way.relay is not None else ()
        if not row.is_file:
            tlvs += () if way.direct else bandwidth_tlv(row.min_bandwidth)
            return Packet(Context.MESSAGE, row.envelope, way.destination, tlvs=tlvs).encode()
        here = way.direct or (way.relay is not None and way.relay_address is None)
        data = row.envelope + (b"" if here else self._own)  # whoever wants it must know whom to ask
        return Packet(Context.OFFER_OBJECT, data, way.destination, tlvs=tlvs).encode()

    def begin(self, row: Outgoing, packet: bytes) -> Flight:
        """Note a message as on its way."""
        flight = self.flights[row.id] = self.called[row.object[:PREFIX_SIZE]] = Flight(self, row, packet)
        return flight

    def _cut(self, flight: Flight) -> None:
        """Begin, or begin again, to send a flight in fragments that fill a frame each."""
        link = self.way.link
        flight.transfer = OutgoingTransfer(
            link.number_transfer(), flight.packet, link.link.room - 1, ordered=link.profile.ordered
        )

    def _went(self, flight: Flight, size: int, now: float, *, whole: bool) -> bool:
        self.way.link.unacknowledged += size
        flight.unacknowledged += size
        flight.went, flight.waits = now, False
        first = whole and not flight.sent
        if first:
            flight.sent = True
            self._unanswered += len(flight.packet)
        self._await(flight, now)
        return first

    def _await(self, flight: Flight, now: float) -> None:
        link, transfer = self.way.link, flight.transfer
        patience = link.retry_after(flight.tries)
        crossed = transfer is None or transfer.finished or not link.acknowledges
        if crossed and not self.way.direct:  # several links, of which any may lose it
            far = (_FAR_PATIENCE_S + 4 * self.way.latency_s) * 2.0 ** min(flight.tries + flight.rounds, 10)
            ahead = max(len(flight.packet), self._unanswered)
            patience = min(far, _PATIENCE_MAX_S) + 16 * ahead / (self.way.bps or link.profile.bps)
        flight.due = now + patience
        self._arm(flight.due)

    # --- answers --------------------------------------------------------------------------------
    def take_ack(self, ack: FragmentAck, now: float) -> bool:
        """Fragments arrived; False if they are of none of these."""
        for flight in self.flights.values():
            transfer = flight.transfer
            if transfer is None or transfer.number != ack.transfer:
                continue
            before = transfer.bytes_acknowledged
            transfer.acknowledged(ack)
            arrived = min(transfer.bytes_acknowledged - before, flight.unacknowledged)
            flight.unacknowledged -= arrived
            self.way.link.answered(arrived)
            if arrived and flight.tries == 0:
                # What was sent twice tells nothing (Karn's algorithm, RFC 6298).
                self.way.link.link.measured(now - flight.went)
            if arrived:
                flight.tries = 0
                self._await(flight, now)
            if not transfer.waiting and flight not in self._transfers:
                self._transfers.append(flight)
            return True
        return False

    def proved(self, flight: Flight, now: float) -> None:
        """The receipt of a message has come. What went well before it to the same node and has none is lost
        (as in RACK, RFC 8985), and need not wait for its time. On a shared medium a receipt tells the round
        trip, where no fragments do: until it is known, what is lost there is repeated with patience."""
        link = self.way.link
        if not self.way.direct or flight.transfer is not None or flight.tries:
            return  # what was sent twice tells nothing (Karn's algorithm, RFC 6298)
        if link.acknowledges:
            link.link.measured(now - flight.went)
        elif not link.profile.ordered and link.link.rtt is not None:
            self._overtaken = max(self._overtaken, flight.went - link.link.rtt / 4)
            if now >= self._look_at:
                self._look_at = now + link.link.rtt / 2
                self._arm(self._look_at)

    def asked(self, flight: Flight, now: float) -> None:
        """Somebody fetches a file that was offered: that is answer enough for a while."""
        flight.tries = flight.rounds = 0
        self.put_off(flight, now + _FETCH_PATIENCE_S)

    def put_off(self, flight: Flight, until: float) -> None:
        """Do not repeat it before that time."""
        self._settle(flight, lost=False)
        flight.waits = True
        flight.due = until
        self._arm(until)

    def finish(self, flight: Flight) -> None:
        """A message is no longer on its way here."""
        self._settle(flight, lost=False)
        if self.flights.pop(flight.row.id, None) is not None:
            self._transferring -= flight.transfer is not None
            self._unanswered -= len(flight.packet) if flight.sent else 0
        self.called.pop(flight.row.object[:PREFIX_SIZE], None)

    def park(self, flight: Flight, until: float) -> None:
        """Send a message again at that time, not sooner."""
        self.put_off(flight, until)
        flight.refused += 1
        for queue in (self._sending, self._transfers):
            if flight in queue:
                queue.remove(flight)
        if flight.transfer is not None:
            self._cut(flight)

    def _settle(self, flight: Flight, *, lost: bool) -> None:
        """Take a flight's bytes out of its link's window."""
        if flight.unacknowledged:
            link = self.way.link
            if lost:
                link.lost(flight.unacknowledged)
            else:
                link.answered(flight.unacknowledged)
        flight.unacknowledged = 0

    # --- time -----------------------------------------------------------------------------------
    def late(self, now: float) -> list[Flight]:
        """What was not answered in time."""
        if now >= self._handed_over > 0.0:
            self._handed_over = inf
            self._load_anew()
        elif 0.0 < self._handed_over < inf:
            self._arm(self._handed_over)
        late = []
        for flight in self.flights.values():
            lost = flight.transfer is None and flight.sent and flight.went < self._overtaken
            if now >= flight.due or (lost and flight.due != inf and not flight.waits):
                late.append(flight)
            elif flight.due != inf:
                self._arm(flight.due)
        return late

    def repeat(self, flight: Flight) -> bool:
        """Send again what was not answered; False if it is still on its way out. Each flight stands in at
        most one queue."""
        link, transfer = self.way.link, flight.transfer
        flight.due = inf
        if link.profile.ordered and transfer and not transfer.waiting and flight in self._transfers:
            return False  # nothing is late before it has left
        self._settle(flight, lost=True)
        flight.tries += 1
        if transfer is None:
            self._sending.append(flight)
            return True
        if link.profile.ordered or (transfer.finished and (flight.tries > 1 or not self.way.direct)):
            flight.rounds += transfer.finished
            self._cut(flight)  # the far end has let go of what it had
        else:
            transfer.timed_out()
        if flight not in self._transfers:
            self._transfers.append(flight)
        return True
