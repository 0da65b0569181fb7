"""From outbox to receipt: what goes to whom, when it is repeated, what proves it arrived (N9, M5)."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import Address, MessageId, NodeId
from nexus_node.base.limits import IN_FLIGHT_MESSAGES
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.engine.attach import whole_state
from nexus_node.engine.compose import is_introduction, is_sound
from nexus_node.engine.events import Emit
from nexus_node.engine.mailbox import LOAD_ROWS, Flight, Mailbox, Way
from nexus_node.engine.peers import Attachment
from nexus_node.engine.serving import Served
from nexus_node.ports.store import Fact, Outgoing, Store
from nexus_node.proto.pace import Pace
from nexus_node.wire.fragments import FragmentAck
from nexus_node.wire.frames import ItemPacker
from nexus_node.wire.packet import Reason, Refusal

_REFUSED_RETRY_S = 60.0
_ON_THE_WAY_S = 0.5
"""A node on the way that knows no way on soon knows one, or says that it has none."""
_UNSAID_S = 0.05
"""How long `sent` may wait to be written together with the receipt."""
_SILENT_TRIES = 2
"""After so many repeats without an answer a path is not believed."""


class Delivery:
    """Moves outbox rows along the ways it is given until a receipt, an expiry or a refusal ends each."""

    def __init__(
        self,
        own: Address,
        store: Store,
        *,
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        wall_ms: Callable[[float], int],
        reseal: Callable[[Outgoing, float], Outgoing | None],
        silent: Callable[[NodeId, float], None],
        answered: Callable[[NodeId], None],
        turned_away: Callable[[NodeId, NodeId, float], float],
        wake: Callable[[Attachment], None],
        dead: Callable[[Attachment], None],
        ended: Callable[[Outgoing], None],
    ) -> None:
        """Args:
        reseal: seals a row's text anew as an introduction, in the store too, and returns the new row; None
            when our own copy cannot be read. It may raise StoreFull.
        silent: told of a recipient that does not answer along its path.
        answered: told of one that does.
        turned_away: told of a relay that will not keep mail for a recipient; returns until when it is not
            asked again.
        wake: told of a link that has become a way, and so may have something to send.
        dead: told of a link whose other end seems to have gone.
        ended: told of a file that nothing more is sent of.
        """
        self._own = own
        self._store = store
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._wall_ms = wall_ms
        self._reseal = reseal
        self._silent = silent
        self._answered = answered
        self._turned_away = turned_away
        self._wake = wake
        self._dead = dead
        self._ended = ended
        self._mailboxes: dict[NodeId, list[Mailbox]] = {}
        """By recipient: one on a way to it, or one for each relay its mail goes to."""
        self._over: dict[Attachment, list[Mailbox]] = {}
        """The same by link."""
        self._marks: dict[bytes, Outgoing] = {}
        """What is on its way, by the mark of its receipt."""
        self._unsaid: deque[tuple[float, Flight]] = deque()
        """Until when a flight's `sent` waits for its receipt, soonest first."""
        self.refusals: OrderedDict[MessageId, tuple[str, float]] = OrderedDict()
        """Why the messages last turned away were, in words for people, and when they go again."""
        self.forgetful: set[NodeId] = set()
        """Relays that keep what they were given in memory only, as they said when they took it (S2)."""
        self.fetched: dict[MessageId, Pace] = {}
        """How many chunks of each file are there, as far as its last question tells."""
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    # --- ways -----------------------------------------------------------------------------------
    def set_ways(self, to: NodeId, ways: list[Way], *, again: bool = False) -> None:
        """The ways to `to` are now these. What is unanswered on others goes again.

        `again`: what they can do has changed, so that what was held may go now.
        """
        kept: list[Mailbox] = []
        for mailbox in self._mailboxes.pop(to, ()):
            way = next((way for way in ways if way.same(mailbox.way)), None)
            if way is not None and not again:
                if mailbox.turn(way):
                    self._wake(way.link)
                kept.append(mailbox)
            else:
                self._drop(mailbox)
        for way in ways:
            if not any(way.same(mailbox.way) for mailbox in kept):
                mailbox = Mailbox(self._own, to, way, self._arm)
                self._over.setdefault(way.link, []).append(mailbox)
                self._wake(way.link)
                kept.append(mailbox)
        if kept:
            self._mailboxes[to] = kept

    def _drop(self, mailbox: Mailbox) -> None:
        over = self._over[mailbox.way.link]
        over.remove(mailbox)
        if not over:
            del self._over[mailbox.way.link]
        for flight in list(mailbox.flights.values()):
            self._say(flight)
            mailbox.finish(flight)

    def ways_to(self, to: NodeId) -> list[Way]:
        return [mailbox.way for mailbox in self._mailboxes.get(to, ())]

    # --- pulling --------------------------------------------------------------------------------
    def submit(self, row: Outgoing) -> Iterable[Attachment]:
        """A new outbox row; returns the links that have something to send because of it."""
        self.promised = True
        mailboxes = self._mailboxes.get(row.to, ())
        for mailbox in mailboxes:
            mailbox.submit(row)
        return [mailbox.way.link for mailbox in mailboxes]

    def fill(self, link: Attachment, packer: ItemPacker, now: float, *, paused: bool) -> None:
        """Fill a frame with whole messages; recipients take turns. A neighbour that asked for a pause only
        gets what is its own."""
        mailboxes = self._over.get(link)
        if mailboxes is None:
            return
        if len(mailboxes) > 1:
            mailboxes.append(mailboxes.pop(0))
        for mailbox in mailboxes:
            if mailbox.idle or (paused and not mailbox.way.direct):
                continue
            if mailbox.holding:
                self._hold(mailbox, now)
            self._sent(mailbox.fill_messages(packer, now, self._load), now)

    def fill_large(self, link: Attachment, packer: ItemPacker, now: float, *, paused: bool) -> None:
        """The same with fragments."""
        for mailbox in self._over.get(link, ()):
            if not (mailbox.idle or (paused and not mailbox.way.direct)):
                self._sent(mailbox.fill_fragments(packer, now), now)

    def waiting(self, link: Attachment) -> bool:
        """Whether a link has messages to send now."""
        return any(not mailbox.idle for mailbox in self._over.get(link, ()))

    def _load(self, mailbox: Mailbox, now: float) -> bool:
        """Load the next rows that may go on that way from the store; False when there are none."""
        way = mailbox.way
        rows = self._store.pending(
            mailbox.to,
            since_seq=mailbox.cursor,
            limit=LOAD_ROWS,
            bps=way.bps,
            not_by=address_of(way.relay).hex() if way.relay is not None else "",
        )
        mailbox.backlog = len(rows) == LOAD_ROWS
        for row in rows:
            mailbox.cursor = row.seq
            if not way.carries(row) or mailbox.leaves_to_relays(row, now):
                continue
            if is_sound(row):
                mailbox.ready.append(row)
            else:  # the disk has damaged it, but the row has the text as well
                self._counters["envelopes_lost"] += 1
                self._seal_again(mailbox, row, now)
        return bool(rows)

    def _hold(self, mailbox: Mailbox, now: float) -> None:
        """Say of what needs a wider link than this that it is held (N13)."""
        mailbox.holding = False
        for row in self._store.to_hold(mailbox.to, bps=mailbox.way.bps):
            self._fact(row, State.HELD, f"needs {row.min_bandwidth} bps", now)

    def _sent(self, flights: Iterator[Flight], now: float) -> None:
        """These have gone out for the first time."""
        for flight in flights:
            self._marks[flight.row.delivered_mark] = flight.row
            if flight.row.is_file:
                continue  # only offered
            if flight.row.state.rank < State.SENT.rank:
                flight.unsaid = Fact(State.SENT, self._wall_ms(now), flight.mailbox.way.link.label)
                if not self._unsaid:
                    self._arm(now + _UNSAID_S)
                self._unsaid.append((now + _UNSAID_S, flight))

    def _seal_again(self, mailbox: Mailbox, row: Outgoing, now: float) -> None:
        """Queue a fresh introduction with the same text in place of the row's envelope: later, if the store
        has no room for one now."""
        if row.is_file:
            self._finish(row)
            self._fact(row, State.FAILED, "our own copy of it was damaged on the disk", now)
            return
        flights = self._flights_of(row)
        for flight in flights:
            self._say(flight)
        try:
            sealed = self._reseal(row, now)
        except StoreFull:
            flight = mailbox.flights.get(row.id) or mailbox.begin(row, b"")
            self._wait(flight, now)
            return
        self._finish(row)
        if sealed is None:
            self._fact(row, State.FAILED, "our own copy of it was damaged on the disk", now)
        else:
            self.promised = True
            for one in self._mailboxes.get(row.to, ()):
                if one.way.carries(sealed):
                    one.ready.append(sealed)

    # --- answers --------------------------------------------------------------------------------
    def take_receipt(self, receipt: bytes, now: float) -> bool:
        """Believe a receipt: only the recipient can make it. False for one that proves nothing of ours."""
        mark = receipt_mark(receipt)
        row = self._marks.get(mark)
        state = State.DELIVERED
        if row is None:
            found = self._store.find_by_mark(mark)
            if found is None:
                return False
            row, state = found
        if row.is_file and state is State.READ:
            return self._declined(row, now)
        for flight in self._flights_of(row):
            flight.mailbox.proved(flight, now)
        self._fact(row, state, address_of(row.to).hex(), now)
        self._finish(row)
        self._answered(row.to)
        return True

    def _declined(self, row: Outgoing, now: float) -> bool:
        """The recipient has proved that it does not want that file."""
        self._fact(row, State.FAILED, _FINAL[Reason.DECLINED], now)
        self._finish(row)
        self._answered(row.to)
        return True

    def cancel(self, row: Outgoing, now: float) -> None:
        """The owner does not want that sent any more. It may have arrived all the same."""
        self._fact(row, State.FAILED, "cancelled here", now)
        self._finish(row)

    def relayed(self, relay: NodeId, prefix: bytes, now: float, *, memory_only: bool) -> bool:
        """That relay keeps that message; False if it was not asked to."""
        for flight in self._called(prefix):
            if flight.mailbox.way.relay == relay:
                self.forgetful.discard(relay)
                if memory_only:
                    self.forgetful.add(relay)
                self._fact(flight.row, State.RELAYED, address_of(relay).hex(), now)
                flight.mailbox.finish(flight)
                return True
        return False

    def mark_of(self, prefix: bytes) -> bytes | None:
        """The mark of a message on its way to a relay."""
        return next((flight.row.delivered_mark for flight in self._called(prefix)), None)

    def take_refusal(self, peer: NodeId, refusal: Refusal, now: float) -> bool:
        """A message was turned away by a neighbour, or beyond it; False if it is none of ours.

        Only the recipient itself, over a link, can end a message.
        """
        flight = next(
            (one for one in self._called(refusal.object_prefix) if one.mailbox.way.link.link.peer == peer),
            None,
        )
        if flight is None:
            return refusal.reason == Reason.UNKNOWN_SENDER and self._unknown_to(refusal.object_prefix, now)
        row, mailbox = flight.row, flight.mailbox
        direct = mailbox.way.direct
        unknown = refusal.reason == Reason.UNKNOWN_SENDER and mailbox.way.relay is None
        if unknown and not is_introduction(row.envelope):
            self._seal_again(mailbox, row, now)
        elif direct and refusal.reason not in _LATER:
            self._fact(row, State.FAILED, _FINAL.get(refusal.reason, "the recipient could not read it"), now)
            self._finish(row)
        else:
            on_the_way = not direct and mailbox.way.relay is None
            soon = max(_ON_THE_WAY_S, 4 * mailbox.way.latency_s)
            until = self._wait(flight, now, soon if on_the_way else _REFUSED_RETRY_S, refusal.retry_s)
            if mailbox.way.relay is not None and refusal.reason in (Reason.NOT_HERE, Reason.NOT_SERVED):
                until = self._turned_away(mailbox.way.relay, mailbox.to, now)
            elif on_the_way:
                self._silent(mailbox.to, now)
            who = "the recipient" if direct else "a relay" if mailbox.way.relay else "a node on the way"
            self._refused(row, f"{who} {_WORDS.get(refusal.reason, 'turned it away')}", until, now)
        return True

    def _unknown_to(self, prefix: bytes, now: float) -> bool:
        """The recipient of a message that relays keep could not tell who sent it: seal it again."""
        row = self._store.open_outgoing(prefix)
        if row is None or row.state is not State.RELAYED or is_introduction(row.envelope):
            return False
        for mailbox in self._mailboxes.get(row.to, ())[:1]:
            self._seal_again(mailbox, row, now)
        return True

    def too_big(self, peer: NodeId, prefix: bytes, limit: int, now: float) -> bool:
        """A node on the way cannot pass on a packet of that size; False if it is none of ours."""
        flight = next((one for one in self._called(prefix) if one.mailbox.way.link.link.peer == peer), None)
        if flight is None:
            return False
        until = self._wait(flight, now)
        self._refused(flight.row, f"a link on the way takes {limit} bytes at most", until, now)
        return True

    def _refused(self, row: Outgoing, why: str, until: float, now: float) -> None:
        """Say why a message was turned away and when it goes again, and remember it for who asks later."""
        words = f"{why}; trying again in {until - now:.0f} s"
        self._emit("message_refused", {"id": row.id.hex(), "why": words})
        self.refusals[row.id] = why, until
        self.refusals.move_to_end(row.id)
        if len(self.refusals) > IN_FLIGHT_MESSAGES:
            self.refusals.popitem(last=False)

    def _wait(self, flight: Flight, now: float, first_s: float = _REFUSED_RETRY_S, asked_s: int = 0) -> float:
        """Try again when asked to, or later and later: 1, 2, 4 .. 64 times `first_s`. Returns when."""
        until = now + (asked_s or first_s * 2.0 ** min(flight.refused, 6))
        flight.mailbox.park(flight, until)
        return until

    # --- attached files -------------------------------------------------------------------------
    def served(self, prefix: bytes, asker: Address) -> Served | None:
        """The file with that prefix, if it was offered to who asks for it."""
        for flight in self._offered(prefix, asker):
            return Served(self._store, flight.row.object, flight.row.min_bandwidth)
        return None

    def asked(self, prefix: bytes, asker: Address, have: int, now: float) -> None:
        """Somebody fetches a file, and has so many chunks of it by now."""
        for flight in self._offered(prefix, asker):
            flight.mailbox.asked(flight, now)
            self.fetched.setdefault(flight.row.id, Pace()).note(have, now)

    def all_sent(self, prefix: bytes, asker: Address, now: float) -> None:
        """All of a file has been sent to who fetches it."""
        for flight in self._offered(prefix, asker):
            if flight.row.state.rank < State.SENT.rank:
                self._fact(flight.row, State.SENT, flight.mailbox.way.link.label, now)

    def _offered(self, prefix: bytes, asker: Address) -> list[Flight]:
        """The flights of a file that are that node's business: its recipient's all, a relay's its own."""
        return [
            flight
            for flight in self._called(prefix)
            if flight.row.is_file
            and asker in {address_of(node) for node in (flight.row.to, flight.mailbox.way.relay) if node}
        ]

    def take_ack(self, link: Attachment, ack: FragmentAck, now: float) -> bool:
        """Fragments of ours arrived; False if they are none of ours."""
        return any(mailbox.take_ack(ack, now) for mailbox in self._over.get(link, ()))

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> list[Attachment]:
        """Repeat what was not answered in time; returns the links that have something to send."""
        while self._unsaid:
            due, flight = self._unsaid[0]
            if flight.unsaid is not None and now < due:
                self._arm(due)
                break
            self._unsaid.popleft()
            self._say(flight)
        for mailbox in [one for mailboxes in self._over.values() for one in mailboxes]:
            for flight in mailbox.late(now):
                if flight.row.is_file and (bulk_at := mailbox.way.link.bulk_at(now)) > now:
                    mailbox.put_off(flight, bulk_at)  # offered again it could not go either
                elif not flight.packet:
                    self._seal_again(mailbox, flight.row, now)
                elif mailbox.way.link.is_dead(flight.tries, now):
                    self._dead(mailbox.way.link)
                    break
                elif mailbox.repeat(flight):
                    self._counters["repeats"] += 1
                    if flight.tries >= _SILENT_TRIES and not mailbox.way.direct and mailbox.way.relay is None:
                        self._silent(mailbox.to, now)
        return [link for link in self._over if self.waiting(link)]

    def expire_messages(self, now: float) -> None:
        """End the messages whose time is over (S2)."""
        for row in self._store.expired(self._wall_ms(now)):
            self._fact(row, State.EXPIRED, "not delivered in time", now)
            self._finish(row)

    # --- bookkeeping ----------------------------------------------------------------------------
    def _fact(self, row: Outgoing, state: State, by: str, now: float) -> None:
        """Record a fact, after what is unsaid of that message; both in one write."""
        facts = [Fact(state, self._wall_ms(now), by)]
        for flight in self._flights_of(row):
            if flight.unsaid is not None:
                facts.insert(0, flight.unsaid)
                flight.unsaid = None
        self._record(row, *facts)

    def _say(self, flight: Flight) -> None:
        """Record that a flight was sent, if that is still unsaid."""
        if flight.unsaid is not None:
            self._record(flight.row, flight.unsaid)
            flight.unsaid = None

    def _record(self, row: Outgoing, *facts: Fact) -> None:
        before = row.state
        moved = self._store.add_facts(row, *facts)
        if row.part_of is None:
            for fact in moved:
                self._tell(row.id, row, fact.state, fact.by)
        elif moved:
            rows = self._store.parts(row.part_of)
            earlier = [replace(one, state=before) if one.id == row.id else one for one in rows]
            whole = whole_state(rows)
            if whole is not whole_state(earlier):
                self._tell(row.part_of, row, whole, moved[-1].by)
            if row.is_file and row.state.final and not before.final:
                self._ended(row)

    def _tell(self, message_id: MessageId, row: Outgoing, state: State, by: str) -> None:
        to = address_of(row.to).hex()
        self._emit("message_state", {"id": message_id.hex(), "to": to, "state": state.value, "by": by})

    def _flights_of(self, row: Outgoing) -> list[Flight]:
        mailboxes = self._mailboxes.get(row.to, ())
        return [flight for one in mailboxes if (flight := one.flights.get(row.id)) is not None]

    def _called(self, prefix: bytes) -> Iterator[Flight]:
        for mailboxes in self._mailboxes.values():
            for mailbox in mailboxes:
                flight = mailbox.called.get(prefix)
                if flight is not None:
                    yield flight

    def _finish(self, row: Outgoing) -> None:
        """Nothing more is sent of that message."""
        for flight in self._flights_of(row):
            flight.mailbox.finish(flight)
        self._marks.pop(row.delivered_mark, None)
        self.fetched.pop(row.id, None)
        self.refusals.pop(row.id, None)


_LATER = (Reason.STORE_FULL, Reason.BUSY, Reason.TOO_MUCH, Reason.NOT_EXPECTED, Reason.TOO_OLD)
_FINAL: dict[int, str] = {
    Reason.NOT_HERE: "that node is not the recipient",
    Reason.DECLINED: "declined by the recipient",
}
_WORDS: dict[int, str] = {
    Reason.STORE_FULL: "has no room for it",
    Reason.NOT_HERE: "does not keep mail for others",
    Reason.NO_PATH: "knows no way to the recipient",
    Reason.BUSY: "has too much waiting already",
    Reason.NOT_SERVED: "does not keep mail for these people",
    Reason.TOO_MUCH: "takes no more from this node for now",
    Reason.TOO_OLD: "keeps nothing that was sent so long ago",
    Reason.NOT_EXPECTED: "has not read yet what the file belongs to",
}
