"""From outbox to receipt: what goes to whom, when it is repeated, what proves it arrived (N9, M5)."""

from collections import Counter
from collections.abc import Callable

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import IN_FLIGHT_MESSAGES, RECEIPTS_PER_PACKET, TRANSFERS_OUT
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.engine.compose import destination_of
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
        reseal: Callable[[Outgoing, float], bytes | None],
    ) -> None:
        """`reseal` seals a row as an introduction, updates the store, and returns its packet data; None
        when it was one already."""
        self._store = store
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._wall_ms = wall_ms
        self._reseal = reseal
        self._mailboxes: dict[NodeId, Mailbox] = {}
        self._marks: dict[bytes, Flight] = {}

    # --- links come and go ----------------------------------------------------------------------
    def links_changed(self, peer: NodeId, links: list[Attachment]) -> None:
        """The live links to `peer` are now these; over another best one, the unanswered goes again."""
        best = max(links, key=lambda link: link.profile.bps, default=None)
        mailbox = self._mailboxes.get(peer)
        if mailbox is not None and mailbox.best is best:
            return
        self.drop_mailbox(peer)
        if best is None:
            return
        fresh = Mailbox(peer, best)
        if mailbox is not None:
            fresh.receipts = mailbox.receipts
        best.unacknowledged = 0
        self._mailboxes[peer] = fresh

    def drop_mailbox(self, peer: NodeId) -> None:
        """Forget what is under way to `peer`: the store has it all."""
        mailbox = self._mailboxes.pop(peer, None)
        for flight in mailbox.flights.values() if mailbox is not None else ():
            self._forget(flight)

    def best_link(self, peer: NodeId) -> Attachment | None:
        mailbox = self._mailboxes.get(peer)
        return mailbox.best if mailbox is not None else None

    # --- what people and peers add --------------------------------------------------------------
    def submit(self, row: Outgoing, data: bytes) -> Attachment | None:
        """A new outbox row; returns the attachment that has something to send because of it."""
        mailbox = self._mailboxes.get(row.to)
        if mailbox is None:
            return None
        if not mailbox.backlog and len(mailbox.ready) < IN_FLIGHT_MESSAGES:
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
            batch = list(mailbox.receipts)[:most] if len(mailbox.receipts) > most else list(mailbox.receipts)
            for receipt in batch:
                del mailbox.receipts[receipt]
            packet = Packet(Context.RECEIPTS, b"".join(batch), priority=Priority.INTERACTIVE)
            packer.add(ItemKind.PACKET, packet.encode())

    def _fill_messages(self, mailbox: Mailbox, packer: ItemPacker, now: float) -> None:
        link = mailbox.best
        largest = link.link.room - 1
        while link.window_open:
            if not mailbox.sending:
                flight = self._next_ready(mailbox, now)
                if flight is None:
                    return
                if len(flight.packet) > largest:
                    mailbox.transferring += 1
                    self._cut(flight, link)
                    mailbox.transfers.append(flight)
                    continue
                mailbox.sending.append(flight)
            flight = mailbox.sending[0]
            if not flight.done:
                if len(flight.packet) > packer.left:
                    return
                packer.add(ItemKind.PACKET, flight.packet)
                self._sent(flight, link, len(flight.packet), now)
            mailbox.sending.popleft()

    def _fill_fragments(self, mailbox: Mailbox, packer: ItemPacker, now: float) -> None:
        link = mailbox.best
        while mailbox.transfers and link.window_open:
            flight = mailbox.transfers[0]
            transfer = flight.transfer
            if flight.done or transfer is None or transfer.waiting:
                mailbox.transfers.popleft()
                continue
            if packer.left < transfer.next_size:
                return
            fragment = transfer.next_fragment()
            packer.add(ItemKind.FRAGMENT, fragment.encode())
            self._sent(flight, link, len(fragment.data), now)
            mailbox.transfers.rotate(-1)

    @staticmethod
    def _cut(flight: Flight, link: Attachment) -> None:
        """Begin, or begin again, to send a flight in fragments that fill a frame each."""
        size = link.link.room - 1
        flight.transfer = OutgoingTransfer(
            link.number_transfer(), flight.packet, size, ordered=link.profile.ordered
        )

    def _next_ready(self, mailbox: Mailbox, now: float) -> Flight | None:
        """Take the next row that may go over this link out of `ready`, loading more from the store."""
        while len(mailbox.flights) < IN_FLIGHT_MESSAGES and mailbox.transferring < TRANSFERS_OUT:
            if not mailbox.ready and not self._load(mailbox):
                return None
            if not mailbox.ready:
                continue
            row, data = mailbox.ready.popleft()
            if row.min_bandwidth > mailbox.best.profile.bps:
                best = int(mailbox.best.profile.bps)
                self._fact(row, State.HELD, f"needs {row.min_bandwidth} bps, best is {best}", now)
                continue
            flight = Flight(row, Packet(Context.MESSAGE, data).encode())
            mailbox.flights[row.id] = flight
            self._marks[row.delivered_mark] = flight
            return flight
        return None

    def _load(self, mailbox: Mailbox) -> bool:
        """Load the next rows from the store; False when there are none."""
        if not mailbox.backlog:
            return False
        rows = self._store.pending(mailbox.peer, since_seq=mailbox.cursor, limit=LOAD_ROWS)
        mailbox.backlog = len(rows) == LOAD_ROWS
        for row in rows:
            mailbox.cursor = row.seq
            _, data = destination_of(b"".join(self._store.read_object(row.object)))
            mailbox.ready.append((row, data))
        return bool(rows)

    def _sent(self, flight: Flight, link: Attachment, size: int, now: float) -> None:
        link.unacknowledged += size
        flight.unacknowledged += size
        flight.due = now + link.retry_after(flight.tries)
        self._arm(flight.due)
        if flight.row.state.rank < State.SENT.rank and flight.tries == 0 and flight.unacknowledged == size:
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
            flight = self._flight(row)
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
            flight.due = now + _REFUSED_RETRY_S
            self._arm(flight.due)
            self._settle(flight, lost=False)
            if flight.transfer is not None:
                self._cut(flight, mailbox.best)
            self._emit(
                "message_refused", {"id": row.id.hex(), "why": "the recipient's store is full; trying again"}
            )
        elif refusal.reason == Reason.UNKNOWN_SENDER:
            self._finish(flight)
            data = self._reseal(row, now)
            fresh = self._store.outgoing(row.id)
            if data is None:
                self._fact(row, State.FAILED, _REFUSED[Reason.UNREADABLE], now)
            elif fresh is not None:
                mailbox.ready.appendleft((fresh, data))
        else:
            words = _REFUSED.get(refusal.reason, f"refused for reason {refusal.reason}")
            self._fact(row, State.FAILED, words, now)
            self._finish(flight)

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
            flight.tries = 0
            flight.due = now + link.retry_after(0)
            if not transfer.waiting and flight not in mailbox.transfers:
                mailbox.transfers.append(flight)
            return

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> list[Attachment]:
        """Repeat what was not answered in time; returns the attachments that have something to send."""
        woken = []
        for mailbox in self._mailboxes.values():
            for flight in mailbox.flights.values():
                if now >= flight.due:
                    self._repeat(mailbox, flight)
                elif flight.due != float("inf"):
                    self._arm(flight.due)
            if not mailbox.idle:
                woken.append(mailbox.best)
        return woken

    def _repeat(self, mailbox: Mailbox, flight: Flight) -> None:
        self._settle(flight, lost=True)
        flight.tries += 1
        flight.due = float("inf")
        self._counters["repeats"] += 1
        if flight.transfer is None:
            mailbox.sending.append(flight)
            return
        if mailbox.best.profile.ordered:  # nothing gets lost there: the far end has let go of it
            self._cut(flight, mailbox.best)
        else:
            flight.transfer.timed_out()
        mailbox.transfers.append(flight)

    def expire_messages(self, now: float) -> None:
        """End the messages whose time is over (S2)."""
        for row in self._store.expired(self._wall_ms(now)):
            self._fact(row, State.EXPIRED, "not delivered in time", now)
            flight = self._flight(row)
            if flight is not None:
                self._finish(flight)

    # --- bookkeeping ----------------------------------------------------------------------------
    def _fact(self, row: Outgoing, state: State, by: str, now: float) -> None:
        if self._store.add_fact(row.id, Fact(state, self._wall_ms(now), by)):
            fields: dict[str, Value] = {"id": row.id.hex(), "to": address_of(row.to).hex()}
            self._emit("message_state", fields | {"state": state.value, "by": by})

    def _flight(self, row: Outgoing) -> Flight | None:
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


_REFUSED: dict[int, str] = {
    Reason.UNREADABLE: "the recipient could not read it",
    Reason.NOT_HERE: "that node is not the recipient and does not relay",
    Reason.TOO_OLD: "it was too old for the recipient",
}


def refused_prefix(object_id: bytes) -> bytes:
    """How a refusal names an object."""
    return object_id[: Refusal.PREFIX_SIZE]
