"""From outbox to receipt: what goes to whom, when it is repeated, what proves it arrived (N9, M5)."""

from collections import Counter
from collections.abc import Callable
from itertools import islice

from nexus_node.base.errors import BadWire, StoreFull
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import IN_FLIGHT_MESSAGES, RECEIPTS_PER_PACKET, RECEIPTS_WAITING, TRANSFERS_OUT
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.engine.compose import destination_of, is_introduction
from nexus_node.engine.events import Value
from nexus_node.engine.mailbox import Flight, Mailbox
from nexus_node.engine.peers import Attachment
from nexus_node.ports.store import Fact, Outgoing, Store
from nexus_node.proto.fragment import OutgoingTransfer
from nexus_node.wire.fragments import FragmentAck
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.packet import HEADER_SIZE, RECEIPT_SIZE, Context, Packet, Priority, Reason, Refusal

LOAD_ROWS = 64
_REFUSED_RETRY_S = 60.0
_BULK_FIRST_EVERY = 8
"""Every eighth frame serves fragments first: more than the 10 % floor of N6."""

Emit = Callable[[str, dict[str, Value]], None]


class Delivery:
    """Moves outbox rows over links until a receipt, an expiry or a refusal ends each of them."""

    def __init__(
        self,
        store: Store,
        *,
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        wall_ms: Callable[[float], int],
        reseal: Callable[[Outgoing, float], tuple[Outgoing, bytes] | None],
    ) -> None:
        """`reseal` seals a row's text anew as an introduction, in the store too, and returns the new row
        and its packet data; None when our own copy cannot be read. It may raise StoreFull."""
        self._store = store
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._wall_ms = wall_ms
        self._reseal = reseal
        self._mailboxes: dict[NodeId, Mailbox] = {}
        self._marks: dict[bytes, Flight] = {}
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    # --- links come and go ----------------------------------------------------------------------
    def links_changed(self, peer: NodeId, links: list[Attachment], *, retuned: bool = False) -> None:
        """The live links to `peer` are now these; over another best one, the unanswered goes again.

        `retuned`: what they can do has changed, so that what was held may go now.
        """
        best = max(links, key=lambda link: link.profile.bps, default=None)
        mailbox = self._mailboxes.get(peer)
        if mailbox is not None and mailbox.best is best and not retuned:
            return
        self._mailboxes.pop(peer, None)
        for flight in mailbox.flights.values() if mailbox is not None else ():
            self._forget(flight)
        if best is None:
            return
        fresh = self._mailboxes[peer] = Mailbox(peer, best)
        if mailbox is not None:
            fresh.receipts, fresh.refusals = mailbox.receipts, mailbox.refusals
        best.unacknowledged = 0

    def best_link(self, peer: NodeId) -> Attachment | None:
        mailbox = self._mailboxes.get(peer)
        return mailbox.best if mailbox is not None else None

    # --- what people and peers add --------------------------------------------------------------
    def submit(self, row: Outgoing, data: bytes) -> Attachment | None:
        """A new outbox row; returns the attachment that has something to send because of it."""
        self.promised = True
        mailbox = self._mailboxes.get(row.to)
        if mailbox is None:
            return None
        if row.min_bandwidth > mailbox.best.profile.bps:
            mailbox.holding = True
        elif not mailbox.backlog and len(mailbox.ready) < IN_FLIGHT_MESSAGES:
            mailbox.ready.append((row, data))
            mailbox.cursor = row.seq
        else:
            mailbox.backlog = True
        return mailbox.best

    def answer(self, peer: NodeId, receipt: bytes) -> Attachment | None:
        """Queue a receipt for a neighbour; None when it has no link (it will ask again by repeating)."""
        mailbox = self._mailboxes.get(peer)
        if mailbox is None:
            return None
        mailbox.receipts[receipt] = None
        self.promised = True
        if len(mailbox.receipts) > RECEIPTS_WAITING:
            del mailbox.receipts[next(iter(mailbox.receipts))]
        return mailbox.best

    def refuse(self, peer: NodeId, refusal: Refusal) -> None:
        """Queue a refusal for a neighbour."""
        mailbox = self._mailboxes.get(peer)
        if mailbox is not None and len(mailbox.refusals) < IN_FLIGHT_MESSAGES:
            mailbox.refusals.append(refusal)

    # --- pulling --------------------------------------------------------------------------------
    def fill(self, link: Attachment, packer: ItemPacker, now: float) -> None:
        """Fill a frame: receipts, then texts, then fragments (these two swapped in every eighth frame)."""
        peer = link.link.peer
        mailbox = self._mailboxes.get(peer) if peer is not None else None
        if mailbox is None or mailbox.best is not link or mailbox.idle:
            return
        if mailbox.holding:
            self._hold(mailbox, now)
        self._fill_receipts(mailbox, packer)
        while mailbox.refusals and packer.left >= HEADER_SIZE + 1 + Refusal.PREFIX_SIZE:
            data = mailbox.refusals.popleft().encode()
            packer.add(ItemKind.PACKET, Packet(Context.REFUSAL, data, priority=Priority.INTERACTIVE).encode())
        if link.frames_sent % _BULK_FIRST_EVERY == 0:
            self._fill_fragments(mailbox, packer, now)
            self._fill_messages(mailbox, packer, now)
        else:
            self._fill_messages(mailbox, packer, now)
            self._fill_fragments(mailbox, packer, now)

    def _fill_receipts(self, mailbox: Mailbox, packer: ItemPacker) -> None:
        while mailbox.receipts and packer.left >= HEADER_SIZE + RECEIPT_SIZE:
            most = min(RECEIPTS_PER_PACKET, (packer.left - HEADER_SIZE) // RECEIPT_SIZE)
            batch = list(islice(mailbox.receipts, most))
            for receipt in batch:
                del mailbox.receipts[receipt]
            packet = Packet(Context.RECEIPTS, b"".join(batch), priority=Priority.INTERACTIVE)
            packer.add(ItemKind.PACKET, packet.encode())

    def _fill_messages(self, mailbox: Mailbox, packer: ItemPacker, now: float) -> None:
        link = mailbox.best
        while link.window_open:
            if not mailbox.sending and not self._next_small(mailbox, now):
                return
            flight = mailbox.sending[0]
            if not flight.done:
                if len(flight.packet) > packer.left:
                    return
                packer.add(ItemKind.PACKET, flight.packet)
                self._sent(flight, link, len(flight.packet), now, whole=True)
            mailbox.sending.popleft()

    def _fill_fragments(self, mailbox: Mailbox, packer: ItemPacker, now: float) -> None:
        """One transfer after the other; what closes the window asks to be acknowledged."""
        link = mailbox.best
        while link.window_open and (mailbox.transfers or self._next_large(mailbox)):
            flight = mailbox.transfers[0]
            transfer = flight.transfer
            if flight.done or transfer is None or transfer.waiting:
                mailbox.transfers.popleft()
                continue
            size = transfer.next_size
            if packer.left < size:
                return
            fragment = transfer.next_fragment(ask=link.unacknowledged + size >= link.window)
            packer.add(ItemKind.FRAGMENT, fragment.encode())
            self._sent(flight, link, len(fragment.data), now, whole=transfer.waiting)

    def _next_small(self, mailbox: Mailbox, now: float) -> bool:
        """Put the next message that fits one frame into `sending`; larger ones on the way go to `large`."""
        largest = mailbox.best.link.room - 1
        while len(mailbox.flights) < IN_FLIGHT_MESSAGES and len(mailbox.large) < LOAD_ROWS:
            if not mailbox.ready and not self._load(mailbox, now):
                return False
            if not mailbox.ready:
                continue
            row, data = mailbox.ready.popleft()
            packet = Packet(Context.MESSAGE, data).encode()
            if len(packet) > largest:
                mailbox.large.append((row, packet))
            else:
                mailbox.sending.append(self._flight(mailbox, row, packet))
                return True
        return False

    def _next_large(self, mailbox: Mailbox) -> bool:
        """Begin the next transfer, if one may begin."""
        if not mailbox.large or mailbox.transferring >= TRANSFERS_OUT:
            return False
        flight = self._flight(mailbox, *mailbox.large.popleft())
        mailbox.transferring += 1
        self._cut(flight, mailbox.best)
        mailbox.transfers.append(flight)
        return True

    def _flight(self, mailbox: Mailbox, row: Outgoing, packet: bytes) -> Flight:
        flight = mailbox.flights[row.id] = self._marks[row.delivered_mark] = Flight(row, packet)
        return flight

    @staticmethod
    def _cut(flight: Flight, link: Attachment) -> None:
        """Begin, or begin again, to send a flight in fragments that fill a frame each."""
        size = link.link.room - 1
        flight.transfer = OutgoingTransfer(
            link.number_transfer(), flight.packet, size, ordered=link.profile.ordered
        )

    def _load(self, mailbox: Mailbox, now: float) -> bool:
        """Load the next rows that may go over this link from the store; False when there are none."""
        if not mailbox.backlog:
            return False
        bps = mailbox.best.profile.bps
        rows = self._store.pending(mailbox.peer, since_seq=mailbox.cursor, limit=LOAD_ROWS, bps=bps)
        mailbox.backlog = len(rows) == LOAD_ROWS
        for row in rows:
            mailbox.cursor = row.seq
            try:
                _, data = destination_of(b"".join(self._store.read_object(row.object)))
                mailbox.ready.append((row, data))
            except KeyError:  # the database was damaged there, but the text is in the row as well
                self._counters["envelopes_lost"] += 1
                self._seal_again(mailbox, row, now)
        return bool(rows)

    def _hold(self, mailbox: Mailbox, now: float) -> None:
        """Say of what needs a wider link than this that it is held (N13)."""
        mailbox.holding = False
        for row in self._store.to_hold(mailbox.peer, bps=mailbox.best.profile.bps):
            self._fact(row, State.HELD, f"needs {row.min_bandwidth} bps", now)

    def _seal_again(self, mailbox: Mailbox, row: Outgoing, now: float) -> None:
        """Queue a fresh introduction with the same text in place of the row's envelope: later, if the store
        has no room for one now."""
        flight = mailbox.flights.get(row.id)
        try:
            sealed = self._reseal(row, now)
        except StoreFull:
            self._wait_for_room(mailbox, flight or self._flight(mailbox, row, b""), now)
            return
        if flight is not None:
            self._finish(flight)
        if sealed is None:
            self._fact(row, State.FAILED, "our own copy of it was damaged on the disk", now)
        else:
            self.promised = True
            mailbox.ready.append(sealed)

    def _sent(self, flight: Flight, link: Attachment, size: int, now: float, *, whole: bool) -> None:
        link.unacknowledged += size
        flight.unacknowledged += size
        flight.due = now + link.retry_after(flight.tries)
        self._arm(flight.due)
        if whole and not flight.sent:
            flight.sent = True
            if flight.row.state.rank < State.SENT.rank:
                self._fact(flight.row, State.SENT, link.label, now)

    # --- answers --------------------------------------------------------------------------------
    def take_receipt(self, receipt: bytes, now: float) -> None:
        """Believe a receipt: only the recipient can make it. One that proves nothing of ours is counted."""
        mark = receipt_mark(receipt)
        flight = self._marks.get(mark)
        if flight is not None:
            row, state = flight.row, State.DELIVERED
        else:
            found = self._store.find_by_mark(mark)
            if found is None:
                self._counters["unknown_receipt"] += 1
                return
            row, state = found
            flight = self._in_flight(row)
        self._fact(row, state, address_of(row.to).hex(), now)
        if flight is not None:
            self._finish(flight)

    def take_refusal(self, peer: NodeId, refusal: Refusal, now: float) -> None:
        """A neighbour would not have a message of ours for it. Raises BadWire("unknown_refusal")."""
        mailbox = self._mailboxes.get(peer)
        flights = mailbox.flights.values() if mailbox is not None else ()
        flight = next((one for one in flights if one.row.object.startswith(refusal.object_prefix)), None)
        if mailbox is None or flight is None:
            raise BadWire("unknown_refusal")
        row = flight.row
        if refusal.reason == Reason.STORE_FULL:
            self._wait_for_room(mailbox, flight, now)
            self._emit(
                "message_refused", {"id": row.id.hex(), "why": "the recipient's store is full; trying again"}
            )
        elif refusal.reason == Reason.UNKNOWN_SENDER and not is_introduction(flight.packet[HEADER_SIZE:]):
            self._seal_again(mailbox, row, now)
        else:
            words = _REFUSED.get(refusal.reason, "the recipient could not read it")
            self._fact(row, State.FAILED, words, now)
            self._finish(flight)

    def _wait_for_room(self, mailbox: Mailbox, flight: Flight, now: float) -> None:
        """Try again later, and later each time: 1 minute, 2, 4 .. 64."""
        flight.due = now + _REFUSED_RETRY_S * 2.0 ** min(flight.refused, 6)
        flight.refused += 1
        self._arm(flight.due)
        self._settle(flight, lost=False)
        for queue in (mailbox.sending, mailbox.transfers):
            if flight in queue:
                queue.remove(flight)
        if flight.transfer is not None:
            self._cut(flight, mailbox.best)

    def take_ack(self, link: Attachment, ack: FragmentAck, now: float) -> None:
        """Fragments of ours arrived."""
        peer = link.link.peer
        mailbox = self._mailboxes.get(peer) if peer is not None else None
        for flight in mailbox.flights.values() if mailbox is not None else ():
            transfer = flight.transfer
            if transfer is None or transfer.number != ack.transfer or mailbox is None:
                continue
            before = transfer.bytes_acknowledged
            transfer.acknowledged(ack)
            arrived = min(transfer.bytes_acknowledged - before, flight.unacknowledged)
            flight.unacknowledged -= arrived
            link.answered(arrived)
            if arrived:
                flight.tries = 0
                flight.due = now + link.retry_after(0)
                self._arm(flight.due)
            if not transfer.waiting and flight not in mailbox.transfers:
                mailbox.transfers.append(flight)
            return

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> list[Attachment]:
        """Repeat what was not answered in time; returns the attachments that have something to send."""
        woken = []
        for mailbox in self._mailboxes.values():
            for flight in list(mailbox.flights.values()):
                if now >= flight.due:
                    self._repeat(mailbox, flight, now)
                elif flight.due != float("inf"):
                    self._arm(flight.due)
            if not mailbox.idle:
                woken.append(mailbox.best)
        return woken

    def _repeat(self, mailbox: Mailbox, flight: Flight, now: float) -> None:
        """Send again what was not answered; each flight stands in at most one queue."""
        link, transfer = mailbox.best, flight.transfer
        if not flight.packet:
            self._seal_again(mailbox, flight.row, now)
            return
        if link.profile.ordered and transfer and not transfer.waiting and flight in mailbox.transfers:
            flight.due = float("inf")  # still on its way out; nothing is late before it has left
            return
        self._settle(flight, lost=True)
        flight.tries += 1
        flight.due = float("inf")
        self._counters["repeats"] += 1
        if transfer is None:
            mailbox.sending.append(flight)
            return
        if link.profile.ordered or (transfer.finished and flight.tries > 1):
            self._cut(flight, link)  # the far end has let go of what it had
        else:
            transfer.timed_out()
        if flight not in mailbox.transfers:
            mailbox.transfers.append(flight)

    def expire_messages(self, now: float) -> None:
        """End the messages whose time is over (S2)."""
        for row in self._store.expired(self._wall_ms(now)):
            self._fact(row, State.EXPIRED, "not delivered in time", now)
            flight = self._in_flight(row)
            if flight is not None:
                self._finish(flight)

    # --- bookkeeping ----------------------------------------------------------------------------
    def _fact(self, row: Outgoing, state: State, by: str, now: float) -> None:
        if self._store.add_fact(row.id, Fact(state, self._wall_ms(now), by)):
            fields: dict[str, Value] = {"id": row.id.hex(), "to": address_of(row.to).hex()}
            self._emit("message_state", fields | {"state": state.value, "by": by})

    def _in_flight(self, row: Outgoing) -> Flight | None:
        mailbox = self._mailboxes.get(row.to)
        return mailbox.flights.get(row.id) if mailbox is not None else None

    def _settle(self, flight: Flight, *, lost: bool) -> None:
        """Take a flight's bytes out of its link's window."""
        mailbox = self._mailboxes.get(flight.row.to)
        if mailbox is not None and flight.unacknowledged:
            if lost:
                mailbox.best.lost(flight.unacknowledged)
            else:
                mailbox.best.answered(flight.unacknowledged)
        flight.unacknowledged = 0

    def _finish(self, flight: Flight) -> None:
        self._settle(flight, lost=False)
        self._forget(flight)
        mailbox = self._mailboxes.get(flight.row.to)
        if mailbox is not None and mailbox.flights.pop(flight.row.id, None) is not None:
            mailbox.transferring -= flight.transfer is not None

    def _forget(self, flight: Flight) -> None:
        flight.done = True
        self._marks.pop(flight.row.delivered_mark, None)


_REFUSED: dict[int, str] = {Reason.NOT_HERE: "that node is not the recipient and does not relay"}


def refused_prefix(object_id: bytes) -> bytes:
    """How a refusal names an object."""
    return object_id[: Refusal.PREFIX_SIZE]
