"""The node's heart: everything it decides, without a clock, a socket or a thread of its own.

Durable before visible stands in one place each way: `next_frame` and `poll_event` commit the store
before anything leaves. See ARCHITECTURE.md for the way of a message through here.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import replace

from nexus_node.base.errors import BadWire, CarrierClosed, InputError, RemoteError, StoreCorrupt, StoreError
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import CLOCK_STEP_S, MESSAGE_TTL_S, PENDING_CONNECTIONS, TEXT_MAX
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.vault import Vault
from nexus_node.engine.compose import Composed, Composer
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.delivery import Delivery
from nexus_node.engine.events import Event, Value
from nexus_node.engine.inbound import Inbound
from nexus_node.engine.objects import Objects
from nexus_node.engine.peers import Attachment
from nexus_node.engine.wallclock import NEVER_MS, WallClock
from nexus_node.ports.driver import LinkProfile, Signal
from nexus_node.ports.store import Incoming, Outgoing, Store, StoredObject
from nexus_node.proto.cookie import CookieJar
from nexus_node.proto.fragment import ReassemblyBudget
from nexus_node.proto.link import Link, LinkDown, LinkFault
from nexus_node.wire.frames import (
    ItemKind,
    ItemPacker,
    Lost,
    Opening,
    Retry,
    SealedFrame,
    parse_frame_untrusted,
)

_WIDE_BPS = 1_000_000
"""From here on a link costs less than compressing a text does."""


class NodeCore:
    """One node. Times are monotonic seconds `now`; the carrier's number `cid` comes from `carrier_up`."""

    def __init__(
        self, identity: Identity, store: Store, rng: Rng, *, now: float, read_receipts: bool = False
    ) -> None:
        self.identity = identity
        self.store = store
        self.wall = WallClock()
        self.counters: Counter[str] = Counter()
        """Everything refused or dropped, by name, for `status`."""
        self.wake_at = float("inf")
        """When `expire` wants to be called; only ever brought forward between calls of `expire`."""
        self.ready: set[int] = set()
        """Carriers that may have something to send; the runtime takes numbers out."""
        self.attachments: dict[int, Attachment] = {}
        self._now = now
        self._failure: StoreError | None = None
        self._first_seq: int | None = None
        """The outbox row before this run's first."""
        self._rng = rng
        self._read_receipts = read_receipts
        self._cookies = CookieJar(rng)
        self._vault = Vault(identity.vault_key())
        self._composer = Composer(identity, rng)
        self._events: deque[Event] = deque()
        self._reassembly = ReassemblyBudget()
        self._next_cid = 1
        self._pending: OrderedDict[int, None] = OrderedDict()
        """Carriers others opened that have not completed a handshake, oldest first."""
        self.contacts = Contacts(store, identity.node_id, self._emit)
        self.objects = Objects(store)
        self.delivery = Delivery(
            store,
            counters=self.counters,
            emit=self._emit,
            arm=self._arm,
            wall_ms=self.wall.ms,
            reseal=self._reseal,
        )
        self._inbound = Inbound(
            identity,
            store,
            self._composer,
            self._vault,
            self.contacts,
            self.delivery,
            self.counters,
            self._emit,
            rng,
            self.wall,
        )
        self._arm(now)

    # --- carriers -------------------------------------------------------------------------------
    def carrier_up(self, profile: LinkProfile, label: str, *, dialed: bool, now: float) -> int:
        """A carrier was attached; its number. One more unproven than allowed makes the oldest go."""
        cid = self._next_cid
        self._next_cid += 1
        known = self.store.neighbour(label) if dialed else None
        link = Link(self.identity, profile, self._rng, dialed=dialed, known=known, now=now)
        self.attachments[cid] = Attachment(cid, profile, label, link, self._reassembly, dialed=dialed)
        if not dialed:
            self._pending[cid] = None
            if len(self._pending) > PENDING_CONNECTIONS:
                oldest, _ = self._pending.popitem(last=False)
                self.attachments[oldest].link.closed = "too many unfinished handshakes"
                self.counters["unfinished_handshakes_dropped"] += 1
                self.ready.add(oldest)
        self._arm_link(link)
        self.ready.add(cid)
        return cid

    def carrier_down(self, cid: int, why: str, now: float) -> None:
        """The carrier went away."""
        self._now = now
        self._pending.pop(cid, None)
        attachment = self.attachments.pop(cid, None)
        if attachment is not None:
            attachment.reassembly.clear()
            if attachment.link.peer is not None:
                self._link_down(attachment, attachment.link.peer, why)

    def knock(self, source: bytes, frame: bytes, now: float) -> bytes | bool:
        """Judge a frame from a source without a carrier, keeping nothing about it (N3); see DriverPort."""
        try:
            parsed = parse_frame_untrusted(frame)
        except BadWire as error:
            self.counters[error.code] += 1
            return False
        if isinstance(parsed, SealedFrame):
            self.counters["no_session"] += 1
            return Lost().encode()
        if not isinstance(parsed, Opening):
            self.counters["unasked_reply"] += 1
            return False
        if parsed.cookie and self._cookies.accepts(source, parsed.cookie, now):
            return True
        self.counters["cookies_sent"] += 1
        return Retry(parsed.sender, self._cookies.bake(source, now)).encode()

    def deliver(self, cid: int, frame: bytes, signal: Signal | None, now: float) -> None:
        """Take a received frame in. Whatever it holds, nothing but counters and state changes."""
        attachment = self.attachments.get(cid)
        if attachment is None:
            return
        self._now = now
        attachment.rx_bytes += len(frame)
        attachment.signal = signal or attachment.signal
        link = attachment.link
        try:
            items = link.receive(frame, now)
            self._link_events(attachment)
        except RemoteError as error:
            self.counters[error.code] += 1
            self._link_events(attachment)
            items = []
        for kind, body in items:
            try:
                self._inbound.take(attachment, kind, body, now)
            except RemoteError as error:  # that item's own fault: the others of the frame count
                self.counters[error.code] += 1
        link.conclude(now)
        self._link_events(attachment)
        self._arm_link(link)
        self.ready.add(cid)

    def next_frame(self, cid: int, now: float) -> bytes | None:
        """The next frame for that carrier, or None. Raises CarrierClosed when it is given up.

        What the frame may tell is committed first.
        """
        attachment = self.attachments.get(cid)
        if attachment is None:
            raise CarrierClosed("the carrier is detached")
        self._now = now
        if self.delivery.promised or self._failure is not None:
            self.commit()
        link = attachment.link
        frame = link.poll_handshake()
        if frame is None and link.up:
            packer = ItemPacker(link.room)
            link.fill(packer)
            self.delivery.fill(attachment, packer, now)
            if self.delivery.promised:  # what was just loaded had to be sealed again
                self.commit()
            if packer.items or link.must_send:
                frame = link.seal(packer.items, now)
                if any(kind == ItemKind.CLOSE for kind, _ in packer.items):
                    link.closed = "this node is stopping"
        if frame is None:
            if link.closed is not None:
                raise CarrierClosed(link.closed)
            return None
        attachment.tx_bytes += len(frame)
        attachment.frames_sent += 1
        self._arm_link(link)
        return frame

    def billed(self, cid: int, seconds: float) -> None:
        """The last frame took that much airtime."""
        if cid in self.attachments:
            self.attachments[cid].airtime_s += seconds

    def retune(self, cid: int, profile: LinkProfile) -> None:
        """What the carrier can do has changed."""
        attachment = self.attachments.get(cid)
        if attachment is not None:
            attachment.profile = profile
            attachment.link.retune(profile)
            if attachment.link.peer is not None:
                self._links_changed(attachment.link.peer, retuned=True)

    def close_links(self) -> None:
        """Take leave of every neighbour; the frames go with the next pulls."""
        for cid, attachment in self.attachments.items():
            attachment.link.close("stopping")
            self.ready.add(cid)

    def _link_events(self, attachment: Attachment) -> None:
        while (event := attachment.link.poll_event()) is not None:
            if isinstance(event, LinkFault):
                self.counters[event.code] += 1
                continue
            if isinstance(event, LinkDown):
                self._link_down(attachment, event.peer, event.why)
                continue
            self._pending.pop(attachment.cid, None)
            attachment.begin_session()
            self.contacts.met(event.peer, self.wall.ms(self._now))
            if attachment.dialed and self.store.neighbour(attachment.label) != event.peer:
                self.store.remember_neighbour(attachment.label, event.peer)
            self._links_changed(event.peer)
            self._emit("link_up", {"peer": address_of(event.peer).hex(), "carrier": attachment.label})

    def _link_down(self, attachment: Attachment, peer: NodeId, why: str) -> None:
        self._links_changed(peer, without=attachment)
        self._emit("link_down", {"peer": address_of(peer).hex(), "carrier": attachment.label, "why": why})

    def _links_changed(
        self, peer: NodeId, *, without: Attachment | None = None, retuned: bool = False
    ) -> None:
        links = [one for one in self.attachments.values() if one.link.peer == peer and one is not without]
        self.delivery.links_changed(peer, links, retuned=retuned)
        self.ready.update(one.cid for one in links)

    # --- time and durability --------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Do what is due; afterwards `wake_at` says when to come again."""
        self._now = now
        self.wake_at = float("inf")
        for cid, attachment in self.attachments.items():
            attachment.link.expire(now)
            self._link_events(attachment)
            self._arm_link(attachment.link)
            if attachment.link.must_send or attachment.link.closed is not None or not attachment.link.up:
                self.ready.add(cid)
        self.ready.update(one.cid for one in self.delivery.expire(now))
        self.delivery.expire_messages(now)
        expiry = self.store.next_expiry_ms()
        if expiry is not None and expiry < NEVER_MS:
            self._arm(max(now + 1, now + (expiry - self.wall.ms(now)) / 1000))

    def set_wall(self, offset_s: float) -> None:
        """Wall seconds minus monotonic seconds are now these. A step means that the clock was set: what
        this run has queued keeps its age and its time to live."""
        step_s = offset_s - self.wall.offset_s
        self.wall.offset_s = offset_s
        if abs(step_s) > CLOCK_STEP_S and self._first_seq is not None:
            self.store.redate(int(step_s * 1000), MESSAGE_TTL_S * 1000, since_seq=self._first_seq)
            self._arm(self._now)

    def commit(self) -> None:
        """Make everything so far durable.

        Raises StoreError, and from then on always: what this engine believes since the last commit is
        void, so nothing of it may leave; a new engine on the same store is right again.
        """
        if self._failure is None:
            try:
                if self.store.dirty:
                    self.store.commit()
            except StoreError as error:
                self._failure = error
        if self._failure is not None:
            raise self._failure
        self.delivery.promised = False

    def poll_event(self) -> Event | None:
        """The next event, which is durable by then."""
        if not self._events:
            return None
        self.commit()
        return self._events.popleft()

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def _arm(self, deadline: float) -> None:
        self.wake_at = min(self.wake_at, deadline)

    def _arm_link(self, link: Link) -> None:
        deadline = link.next_deadline()
        if deadline is not None:
            self._arm(deadline)

    def _emit(self, event: str, fields: dict[str, Value]) -> None:
        self._events.append(Event(event, self.wall.ms(self._now), fields))

    # --- messages -------------------------------------------------------------------------------
    def send(self, name: str, text: str, *, min_bandwidth: int = 0, now: float) -> Outgoing:
        """Compose, seal and store a message; it is accepted once `commit` has returned.

        Raises UnknownContact, InputError and StoreFull with words.
        """
        self._now = now
        to = self.contacts.get(name)
        raw = text.encode()
        if not raw:
            raise InputError("the message is empty; give it a text")
        if len(raw) > TEXT_MAX:
            raise InputError(
                f"the text has {len(raw)} bytes and a message takes {TEXT_MAX}; shorten or split it"
            )
        created_ms = self.wall.ms(now)
        trusted = self.wall.trusted(now)
        best = self.delivery.best_link(to.node_id)
        compress = best is None or best.profile.bps < _WIDE_BPS
        composed = self._composer.seal_text(to, raw, created_ms if trusted else 0, compress=compress)
        object_id = composed.header.id
        row = Outgoing(
            id=MessageId(object_id),
            to=to.node_id,
            object=object_id,
            created_ms=created_ms,
            expires_ms=created_ms + MESSAGE_TTL_S * 1000 if trusted else NEVER_MS,
            size=composed.header.size,
            body=self._vault.seal(raw, self._rng, object_id),
            delivered_mark=receipt_mark(composed.sealed.delivered),
            read_mark=receipt_mark(composed.sealed.read),
            min_bandwidth=min_bandwidth,
        )
        with self.store.atomic():
            self._put_envelope(composed, row.created_ms, row.expires_ms)
            seq = self.store.add_outgoing(row)
        if self._first_seq is None:
            self._first_seq = seq - 1
        self._arm(now + MESSAGE_TTL_S)
        stored = replace(row, seq=seq)
        woken = self.delivery.submit(stored, composed.data)
        if woken is not None:
            self.ready.add(woken.cid)
        self._emit("message_state", {"id": row.id.hex(), "to": to.address.hex(), "state": "queued", "by": ""})
        return stored

    def _put_envelope(self, composed: Composed, created_ms: int, expires_ms: int) -> None:
        header = composed.header
        total = len(composed.chunks)
        stored = StoredObject(
            header.id, header.kind, header.size, header.root, created_ms, expires_ms, 0, total, total
        )
        self.store.put_object(stored, composed.chunks)

    def _reseal(self, row: Outgoing, now: float) -> tuple[Outgoing, bytes] | None:
        """The recipient does not know our key, or the envelope is gone: seal the same text again, with an
        introduction. None when our own copy is damaged too. Raises StoreFull."""
        try:
            text = self._vault.open(row.body, row.id)
        except StoreCorrupt:
            return None
        to = self.contacts.forgot_us(row.to)
        sent_ms = row.created_ms if row.expires_ms != NEVER_MS else 0
        composed = self._composer.seal_text(to, text, sent_ms, compress=True)
        fresh = _resealed(row, composed)
        with self.store.atomic():
            self.store.delete_object(row.object)
            self._put_envelope(composed, row.created_ms, row.expires_ms)
            self.store.reseal(fresh)
        self.counters["resealed"] += 1
        return fresh, composed.data

    def text_of(self, row: Incoming | Outgoing) -> str:
        """The text of an inbox or outbox row; words in its place where the disk has damaged it."""
        try:
            return self._vault.open(row.body, row.id).decode()
        except StoreCorrupt:
            self.counters["damaged_texts"] += 1
            return "[this text was damaged on this node's disk and cannot be read]"

    def mark_read(self, rows: Iterable[Incoming], now: float) -> None:
        """The person has seen these; their senders are told if the owner wishes so (`read_receipts`)."""
        self._now = now
        for row in rows:
            if (
                row.read_ms is None
                and self.store.mark_read(row.id, self.wall.ms(now))
                and self._read_receipts
            ):
                woken = self.delivery.answer(row.sender, row.read)
                if woken is not None:
                    self.ready.add(woken.cid)


def _resealed(row: Outgoing, composed: Composed) -> Outgoing:
    return replace(
        row,
        object=composed.header.id,
        size=composed.header.size,
        delivered_mark=receipt_mark(composed.sealed.delivered),
        read_mark=receipt_mark(composed.sealed.read),
    )
