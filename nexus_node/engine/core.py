"""The node's heart: everything it decides, without a clock, a socket or a thread of its own.

Durable before visible stands in one place each way: `next_frame` and `poll_events` commit the store
before anything leaves. See ARCHITECTURE.md for the way of a message through here.
"""

from collections.abc import Callable, Iterable, Sequence

from nexus_node.base.errors import BadWire, InputError, StoreCorrupt, StoreError
from nexus_node.base.foreign import is_foreign
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.limits import (
    ATTACHMENTS_MAX,
    CLOCK_STEP_S,
    MESSAGE_TTL_S,
    RECEIPTS_WAITING,
    TEXT_MAX,
)
from nexus_node.base.rng import Rng
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.crypto.filestream import file_withdrawn
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.vault import Vault
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.bridge import Bridge
from nexus_node.engine.carriers import Carriers
from nexus_node.engine.collect import Collector
from nexus_node.engine.compose import Composer
from nexus_node.engine.contacts import Contacts
from nexus_node.engine.courier import Courier
from nexus_node.engine.delivery import Delivery
from nexus_node.engine.dispatch import Dispatcher
from nexus_node.engine.events import Event, Value
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.group_air import GroupAir
from nexus_node.engine.group_book import GroupBook
from nexus_node.engine.group_flood import GroupFlood
from nexus_node.engine.groups import Groups
from nexus_node.engine.inbound import Inbound
from nexus_node.engine.medium import Medium
from nexus_node.engine.mutable import Mutables
from nexus_node.engine.neighbour import NARROW_BPS
from nexus_node.engine.notify import Notifier
from nexus_node.engine.objects import Objects
from nexus_node.engine.outbox import Outbox
from nexus_node.engine.peers import Attachment
from nexus_node.engine.planner import Planner
from nexus_node.engine.receipts import Receipts
from nexus_node.engine.relay import NO_RELAY, Relay, RelayPolicy
from nexus_node.engine.router import Router
from nexus_node.engine.schedule import Step, order
from nexus_node.engine.serving import Server
from nexus_node.engine.tracer import Tracer
from nexus_node.engine.unwanted import Unwanted
from nexus_node.engine.wallclock import NEVER_MS, WallClock
from nexus_node.ports.groups import SentMessage
from nexus_node.ports.store import Incoming, Outgoing, Store
from nexus_node.proto.paths import Policy
from nexus_node.wire.custody import Delivered
from nexus_node.wire.description import Description, parse_descriptions_untrusted
from nexus_node.wire.frames import ItemPacker
from nexus_node.wire.packet import Context, Packet, Priority
from nexus_node.wire.routing import PREFIX_SIZE

_URGENT, _STANDARD, _BULK = (Priority.REAL_TIME, Priority.INTERACTIVE), (Priority.STANDARD,), (Priority.BULK,)
Fill = Callable[[Attachment, NodeId, ItemPacker, bool], None]
"""Adds to a frame what one step holds; the last says whether the neighbour has asked for a pause."""
_READ_TOLD_TIMES = 2
"""Nothing answers a *read* receipt: it goes at once, or when there is a link, and at the next link again."""
_WIDE_BPS = 1_000_000
"""From here on a link costs less than compressing a text does."""


class NodeCore(Carriers):
    """One node. Times are monotonic seconds `now`; the carrier's number `cid` comes from `carrier_up`."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        rng: Rng,
        *,
        now: float,
        read_receipts: bool = False,
        relay: RelayPolicy = NO_RELAY,
        mail: Store | None = None,
        path_policy: Policy = Policy.BALANCED,
        name: str = "",
    ) -> None:
        """`mail` is where others' messages are kept, if not in `store`: in memory only (S2). `name` is what
        people on Meshtastic call this node."""
        super().__init__(identity, store, rng, now=now)
        self.wall = WallClock()
        self._failure: StoreError | None = None
        self._expiry_at = now
        """When the next message, of this node or kept for others, is over."""
        self._read_receipts = read_receipts
        self._resume: dict[int, float] = {}
        """When links are looked at again that have no air left for bulk, or whose neighbour wants a pause."""
        self._vault = Vault(identity.vault_key())
        composer = Composer(identity, rng)
        self._events: list[Event] = []
        self.contacts = Contacts(store, identity.node_id, self._emit)
        self.objects = Objects(store, self._arm_expiry_ms)
        self._receipts = Receipts(store)
        self.router = Router(
            identity,
            store,
            rng,
            counters=self.counters,
            arm=self._arm_paths,
            serve=relay.serve,
            memory_only=relay.memory_only,
            policy=path_policy,
            now=now,
        )
        self.router.paths.pinned = lambda address: self.contacts.by_address(address) is not None
        self.forwarder = Forwarder(
            self.router, counters=self.counters, arm=self._arm, wake=self._wake, dead=self._give_up
        )
        self.fetcher = Fetcher(
            identity.address,
            self.router,
            self.forwarder,
            counters=self.counters,
            emit=self._emit,
            arm=self._arm,
        )
        self._mail = mail if mail is not None else store
        self.relay = Relay(
            identity,
            self._mail,
            relay,
            self.router,
            self.forwarder,
            self.fetcher,
            rank=self.contacts.rank,
            counters=self.counters,
            wall=self.wall,
            arm=self._arm,
            arm_expiry=self._arm_expiry,
            wake=self._wake,
        )
        self.courier = Courier(
            self._mail,
            self.relay,
            self.router,
            self.forwarder,
            rng,
            rank=self.contacts.rank,
            counters=self.counters,
            arm=self._arm,
            wake=self._wake,
        )
        self.outbox = Outbox(
            store,
            composer,
            self._vault,
            rng,
            self.contacts,
            self.wall,
            is_letter=lambda message_id: self.groups.post.is_letter(message_id),
            submit=self._submit,
            counters=self.counters,
        )
        self.groups = Groups(
            identity,
            store,
            self._vault,
            rng,
            self.contacts,
            queue=self.outbox.queue_letter,
            near=lambda node_id: bool(self.delivery.ways_to(node_id)),
            link_to=self.router.link_to,
            fetcher=lambda: self.fetcher,
            air=self._make_air,
            flood=self._make_flood,
            counters=self.counters,
            emit=self._emit,
            arm=self._arm,
            wall=self.wall,
        )
        self.groups.start(now)
        self.contacts.fellows = self.groups.fellows
        self.contacts.is_taken = lambda name: self.groups.named(name) is not None
        self.delivery = Delivery(
            identity.address,
            store,
            counters=self.counters,
            emit=self._emit_of_delivery,
            arm=self._arm,
            wall_ms=self.wall.ms,
            reseal=self.outbox.reseal,
            silent=lambda to, at: self.planner.silent(to, at),
            answered=lambda to: self.planner.answered(to),
            turned_away=lambda by, to, at: self.planner.turned_away(by, to, at),
            wake=self._wake,
            dead=self._give_up,
            ended=self._file_ended,
        )
        self.notifier = Notifier(
            identity,
            store,
            self.router,
            self.forwarder,
            counters=self.counters,
            emit=self._emit,
            arm=self._arm,
            arm_expiry=self._arm_expiry,
            wake=self._wake,
            fetcher=self.fetcher,
            wall=self.wall,
        )
        self.mutables = Mutables(
            identity,
            store,
            self.router,
            self.forwarder,
            self.fetcher,
            self.wall,
            counters=self.counters,
            emit=self._emit,
            arm=self._arm,
            arm_expiry=self._arm_expiry_ms,
        )
        self._server = Server(
            self.router,
            self.forwarder,
            sources=[
                self.delivery.served,
                self.relay.served,
                self.notifier.served,
                self.mutables.served,
                self.groups.files.served,
            ],
            counters=self.counters,
            wake=self._wake,
        )
        self._server.progress = self.delivery.asked
        self._server.sent = self.delivery.all_sent
        self.planner = Planner(store, self.contacts, self.router, self.delivery, self._arm)
        self.bridge = Bridge(
            store,
            self.contacts,
            self._vault,
            rng,
            self.wall,
            self.counters,
            self._emit,
            self._arm,
            lambda to, text, at: self.send(to, text, now=at),
            name,
        )
        self.tracer = Tracer(
            identity.address, self.router, self.forwarder, rng, self.counters, self._emit, now
        )
        collector = Collector(store, self.router, self.forwarder, self.counters)
        self.unwanted = Unwanted(
            store,
            self.router,
            self.forwarder,
            self.fetcher,
            self._receipts,
            collector,
            files_of=self.files_of,
            counters=self.counters,
            emit=self._emit,
        )
        self._inbound = Inbound(
            store,
            composer,
            self._vault,
            self.contacts,
            self._receipts,
            collector,
            self.forwarder,
            self.groups,
            self.counters,
            self._emit,
            rng,
            self.wall,
            self.fetcher,
            self.bridge,
            self.unwanted,
            self._arm_expiry_ms,
        )
        self._dispatcher = Dispatcher(
            identity.address,
            self._inbound,
            self.delivery,
            self.router,
            self.forwarder,
            self.relay,
            self.courier,
            collector,
            self.tracer,
            self.fetcher,
            self._server,
            self.groups,
            self.notifier,
            self.mutables,
            self.unwanted,
            self.counters,
        )
        self._promising = (
            self.groups.air,
            self.groups.flood,
            self.delivery,
            self.relay,
            self.router.announces,
            self._inbound,
            self.unwanted,
            self.notifier,
            self.mutables,
        )
        self._fills = self._make_fills()
        self.planner.start(now)
        self._arm(now)

    # --- frames ---------------------------------------------------------------------------------
    def _fill(self, attachment: Attachment, peer: NodeId, packer: ItemPacker) -> None:
        """What a frame carries, in the order of `engine/schedule.py`."""
        now = self._now
        paused_until, bulk_at = self.router.paused_until(peer), attachment.bulk_at(now)
        paused, short = paused_until > now, bulk_at > now
        if paused or short:
            again = min(at for at in (paused_until, bulk_at) if at > now)
            self._resume[attachment.cid] = again
            self._arm(again)
        fills = self._fills
        for step in order(attachment.frames_sent, paused=paused, short=short):
            fills[step](attachment, peer, packer, paused)
        self.forwarder.ease(attachment, now)

    def _make_fills(self) -> tuple[Fill, ...]:
        """Who takes each step, in the order of `Step`: a table, since each frame goes through it."""
        delivery, forwarder = self.delivery, self.forwarder
        fills: dict[Step, Fill] = {
            Step.ANSWERS: self._fill_answers,
            Step.OWN: lambda link, peer, packer, paused: delivery.fill(
                link, packer, self._now, paused=paused
            ),
            Step.TRANSIT_URGENT: lambda link, peer, packer, paused: forwarder.fill(link, packer, _URGENT),
            Step.TRANSIT: lambda link, peer, packer, paused: forwarder.fill(link, packer, _STANDARD),
            Step.OWN_LARGE: lambda link, peer, packer, paused: delivery.fill_large(
                link, packer, self._now, paused=paused
            ),
            Step.TRANSIT_LARGE: lambda link, peer, packer, paused: forwarder.fill_large(
                link, packer, self._now, bulk=False
            ),
            Step.FEED_BULK: lambda link, peer, packer, paused: self._server.feed(link, self._now),
            Step.BULK: lambda link, peer, packer, paused: forwarder.fill(link, packer, _BULK),
            Step.BULK_LARGE: lambda link, peer, packer, paused: forwarder.fill_large(
                link, packer, self._now, bulk=True
            ),
            Step.COPIES: lambda link, peer, packer, paused: self.courier.fill(peer, packer, self._now),
        }
        return tuple(fills[step] for step in Step)

    def _fill_answers(self, attachment: Attachment, peer: NodeId, packer: ItemPacker, paused: bool) -> None:
        now = self._now
        self._receipts.fill(peer, packer)
        self.relay.fill(peer, packer)
        self.router.gossip.fill(peer, packer, now)
        self.notifier.feed(attachment, peer, now)

    def _fill_broadcast(self, medium: Medium, packer: ItemPacker) -> None:
        self.groups.air.fill_broadcast(medium, packer, self._now)
        self.groups.flood.fill_broadcast(medium, packer, self._now)
        self.router.gossip.fill_broadcast(medium, packer, self._now)
        self._stir(medium)

    def _stir(self, medium: Medium) -> None:
        """See whether there is something for all neighbours on a medium."""
        if medium.stirring:
            return
        of_groups = self.groups.air.has_broadcasts(medium) or self.groups.flood.has_broadcasts(medium)
        if of_groups or self.router.gossip.has_broadcasts(medium, self._now):
            self._arm_links(medium.stir(self._now))

    def _take(self, one: Attachment, kind: int, body: bytes, now: float) -> None:
        self._dispatcher.take(one, kind, body, now)

    def _settle(self) -> None:
        if self.promised or self._failure is not None:
            self.commit()

    # --- neighbours -----------------------------------------------------------------------------
    def _link_came(self, one: Attachment, peer: NodeId) -> None:
        self.contacts.met(peer, self.wall.ms(self._now))
        self.courier.met(peer, self._now)
        self.router.neighbour_down(peer, self._now)  # it may have forgotten what it knew of paths
        self._links_changed(peer)
        self.notifier.met(peer, self._now)
        if self._read_receipts:
            for seq, receipt in self.store.to_tell(peer, limit=RECEIPTS_WAITING):
                self._receipts.add(peer, receipt, read=seq)
        self._emit("link_up", {"peer": address_of(peer).hex(), "carrier": one.label})

    def _link_went(self, one: Attachment, peer: NodeId, why: str) -> None:
        self._links_changed(peer, without=one)
        self.forwarder.session_over(one.cid, self._now)
        self._emit("link_down", {"peer": address_of(peer).hex(), "carrier": one.label, "why": why})

    def _links_changed(
        self, peer: NodeId, *, retuned: bool = False, without: Attachment | None = None
    ) -> None:
        links = [
            one
            for one in self.attachments.values()
            if one.link.peer == peer and not one.stalled and one is not without
        ]
        best = max(links, key=lambda link: link.profile.bps, default=None)
        if best is not None:
            self.router.neighbour_up(peer, best, self._now)
            self.mutables.met(peer, self._now)
        else:
            self.router.neighbour_down(peer, self._now)
            self._receipts.forget(peer)
            self.courier.parted(peer, self._now)
            self._server.forget(address_of(peer))
            self.notifier.parted(peer, self._now)
            self.mutables.parted(peer)
        self.planner.links_changed(peer, self._now, retuned=retuned)
        self.fetcher.route_changed(address_of(peer), self._now)
        self.router.relays_changed = True
        self._follow()
        self._wake_all(links)

    def _is_worth_a_link(self, peer: NodeId) -> bool:
        return bool(self.store.pending(peer, limit=1)) or self.groups.shares_a_group(peer)

    def _is_contact(self, peer: NodeId) -> bool:
        return self.contacts.name_of(peer) is not None

    def _follow(self) -> None:
        """Act on paths that are others now."""
        if self.router.relays_changed:
            self.router.relays_changed = False
            self.planner.relays_changed(self._now)
            self.courier.look_around(self._now)
        # A set's own order differs from run to run.
        for address in sorted(self.router.take_changed(self._now)):
            self.planner.route_changed(address, self._now)
            self.fetcher.route_changed(address, self._now)
            self.relay.route_changed(address, self._now)
            self.relay.hand_slips(address, self._now)
        self._wake_all(self.router.gossip.waiting(self._now))
        for medium in self.media.values():
            self._stir(medium)

    # --- time and durability --------------------------------------------------------------------
    def expire(self, now: float) -> None:
        """Do what is due; afterwards `wake_at` says when to come again."""
        self._now = now
        if now >= self._links_at:
            self._expire_links(now)
        if now >= self._paths_at:
            self._paths_at = float("inf")
            self._wake_all(self.router.expire(now))
            self._follow()
        if now >= self._rooms_at:
            self._expire_rooms(now)

    def _expire_rooms(self, now: float) -> None:
        self._rooms_at = float("inf")
        self.planner.expire(now)
        self._wake_all(self.delivery.expire(now))
        self.forwarder.expire(now, self.attachments)
        self._resume_links(now)
        self.relay.expire(now)
        self.courier.expire(now)
        self.fetcher.expire(now)
        self.notifier.expire(now)
        self.bridge.expire(now)
        self.groups.expire(now)
        self.mutables.expire(now)
        if now >= self._expiry_at:
            self._expire_messages(now)
        self._arm(self._expiry_at)
        self._follow()

    def _resume_links(self, now: float) -> None:
        """There is air for bulk again, or a pause is over."""
        for cid, until in list(self._resume.items()):
            if now < until:
                self._arm(until)
                continue
            del self._resume[cid]
            if cid in self.attachments:
                self._wake(self.attachments[cid])

    def _expire_messages(self, now: float) -> None:
        self.delivery.expire_messages(now)
        self.relay.expire_messages(now)
        self.store.expire_objects(self.wall.ms(now))
        self.notifier.expire_published(now)
        self._expiry_at = float("inf")
        for expiry in (
            self.store.next_expiry_ms(),
            self.store.next_object_expiry_ms(),
            self._mail.next_custody_expiry_ms(),
            self.mutables.expire_forks(now),
        ):
            if expiry is not None and expiry < NEVER_MS:
                self._arm_expiry(max(now + 1, now + (expiry - self.wall.ms(now)) / 1000))

    def set_wall(self, offset_s: float) -> None:
        """Wall seconds minus monotonic seconds are now these. A step means that the clock was set: what
        this run has queued keeps its age and its time to live, and so does what it has taken from others."""
        step_s = offset_s - self.wall.offset_s
        self.wall.offset_s = offset_s
        if abs(step_s) <= CLOCK_STEP_S:
            return
        self.outbox.redate(step_s)
        self.relay.redate(step_s, self._now)
        self._arm_expiry(self._now)

    def commit(self) -> None:
        """Make everything so far durable.

        Raises StoreError, and from then on always: what this engine believes since the last commit is
        void, so nothing of it may leave; a new engine on the same store is right again.
        """
        if self._failure is None:
            try:
                if self.store.dirty:
                    self.store.commit()
                if self._mail.dirty:
                    self._mail.commit()
            except StoreError as error:
                self._failure = error
        if self._failure is not None:
            raise self._failure
        for room in self._promising:
            room.promised = False

    @property
    def dirty(self) -> bool:
        """Whether there is something to commit."""
        return self.store.dirty or (self._mail is not self.store and self._mail.dirty)

    @property
    def promised(self) -> bool:
        """Whether something is queued that must not leave before the store has committed."""
        for room in self._promising:  # noqa: SIM110 - asked at every turn, and a generator takes thrice as long
            if room.promised:
                return True
        return False

    def poll_events(self) -> list[Event]:
        """What has happened since this was asked last, which is durable by then. Raises StoreError."""
        if not self._events:
            return []
        self.commit()
        events, self._events = self._events, []
        return events

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def _arm_expiry(self, at: float) -> None:
        """A message is over at that time."""
        self._expiry_at = min(self._expiry_at, at)
        self._arm(at)

    def _arm_expiry_ms(self, expires_ms: int) -> None:
        """The same, by the wall clock: something is over at those milliseconds since 1970."""
        self._arm_expiry(expires_ms / 1000 - self.wall.offset_s)

    def _emit(self, event: str, fields: dict[str, Value]) -> None:
        self._events.append(Event(event, self.wall.ms(self._now), fields))

    def _make_air(self, groups: GroupBook) -> GroupAir:
        return GroupAir(
            self.identity,
            self._rng,
            link_to=self.router.link_to,
            has=groups.has_message,
            delivered=groups.confirmed,
            write=groups.write_letters,
            stir=self._stir,
            wake=self._wake,
            arm=self._arm,
            counters=self.counters,
        )

    def _make_flood(self, groups: GroupBook) -> GroupFlood:
        return GroupFlood(
            self.identity,
            self._rng,
            links=groups.links,
            via=self._begins_with,
            epoch=groups.epoch_called,
            has=groups.has_message,
            author=groups.author_of,
            delivered=groups.confirmed,
            write=groups.write_letters,
            stir=self._stir,
            wake=self._wake,
            arm=self._arm,
            counters=self.counters,
        )

    def _begins_with(self, node_id: NodeId) -> tuple[NodeId, bool] | None:
        """The neighbour that a known way to a node begins with, and whether that way is narrow."""
        path = self.router.paths.best(address_of(node_id))
        link = self.router.link_to(path.via) if path is not None else None
        if path is None or link is None:
            return None
        return path.via, min(link.profile.bps, path.cost.bps) < NARROW_BPS

    def _emit_of_delivery(self, event: str, fields: dict[str, Value]) -> None:
        """What becomes of a letter about a group is for its group to know."""
        message_id = MessageId(bytes.fromhex(str(fields["id"])))
        if not self.groups.post.is_letter(message_id):
            self._emit(event, fields)
        elif event == "message_state":
            state, by = State(str(fields["state"])), str(fields["by"])
            self.groups.post.moved(message_id, state, by, self._now, self.wall.ms(self._now))

    # --- messages -------------------------------------------------------------------------------
    def send(
        self,
        name: str,
        text: str,
        *,
        min_bandwidth: int = 0,
        files: Sequence[SealedFile] = (),
        now: float,
    ) -> Outgoing:
        """Compose, seal and store a message; it is accepted once `commit` has returned. Returns the row of
        its text; with `files` there is one for each of these too.

        Raises UnknownContact, InputError and StoreFull with words.
        """
        self._now = now
        to = self.contacts.get(name)
        raw = text.encode()
        if not raw and not files:
            raise InputError("the message is empty; give it a text")
        if len(files) > ATTACHMENTS_MAX:
            raise InputError(
                f"a message takes {ATTACHMENTS_MAX} files, not {len(files)}; send several messages"
            )
        if is_foreign(to.node_id):
            if files:
                raise InputError(f"{name!r} is on Meshtastic, which takes no files; send a text")
            if min_bandwidth:
                raise InputError(
                    f"{name!r} is on Meshtastic, which has no bandwidth to wait for; leave it out"
                )
            self._arm_expiry(now + MESSAGE_TTL_S)
            return self.bridge.send(to, text, now)
        if len(raw) > TEXT_MAX:
            raise InputError(
                f"the text has {len(raw)} bytes and a message takes {TEXT_MAX}; shorten or split it"
            )
        ways = self.delivery.ways_to(to.node_id)
        compress = not ways or not ways[0].direct or ways[0].link.profile.bps < _WIDE_BPS
        row = self.outbox.queue_text(
            to, raw, compress=compress, min_bandwidth=min_bandwidth, files=files, now=now
        )
        self._emit("message_state", {"id": row.id.hex(), "to": to.address.hex(), "state": "queued", "by": ""})
        return row

    def _submit(self, rows: list[Outgoing], now: float) -> None:
        """Send a new message, or look for a way to its recipient."""
        to = rows[0].to
        self._arm_expiry(now + MESSAGE_TTL_S)
        for row in rows:
            self._wake_all(self.delivery.submit(row))
        ways = self.delivery.ways_to(to)
        if not ways or not ways[0].direct:
            self._open_to(to)
        if not ways:
            self.planner.wanted(to, now)

    def random_bytes(self, count: int) -> bytes:
        """Randomness for keys that are made outside, such as a file's."""
        return self._rng.random_bytes(count)

    def cancel(self, message_id: MessageId, now: float) -> list[Outgoing]:
        """Send nothing more of a message, and tell the recipient of files that will not come; returns its
        rows. Raises InputError when there is nothing left to cancel."""
        self._now = now
        row = self.store.outgoing(message_id)
        if row is None or row.is_file or self.groups.post.is_letter(message_id):
            raise InputError(f"there is no message {message_id.hex()} in the outbox")
        if is_foreign(row.to):
            raise InputError("that message goes to Meshtastic, where nothing can be called back")
        rows = [row] if row.part_of is None else self.store.parts(row.part_of)
        left = [one for one in rows if not one.state.final]
        if not left:
            raise InputError("there is nothing left of that message to cancel")
        for one in left:
            if one.is_file:
                self._withdraw(one)
            self.delivery.cancel(one, now)
        return rows

    def _withdraw(self, row: Outgoing) -> None:
        file = self.outbox.description_of(row)
        if file is None or row.part_of is None:
            return
        entry = Delivered(row.object[:PREFIX_SIZE], file_withdrawn(file.key, row.object, row.part_of))
        for way in self.delivery.ways_to(row.to):
            packet = Packet(Context.WITHDRAWN, entry.encode(), way.destination, priority=Priority.INTERACTIVE)
            self.forwarder.enqueue(way.link, packet.encode(), packet.priority, way.destination, sure=True)

    def _file_ended(self, row: Outgoing) -> None:
        """Nothing more is sent of an attached file."""
        self._server.stop(row.object[:PREFIX_SIZE])
        self.store.delete_object(row.object)

    def files_of(self, row: Incoming) -> list[Description]:
        """The files attached to a message in the inbox; none where the disk has damaged what was said of
        them."""
        if not row.files:
            return []
        try:
            return parse_descriptions_untrusted(self._vault.open(row.files, row.id))[0]
        except (StoreCorrupt, BadWire):
            self.counters["damaged_texts"] += 1
            return []

    def text_of(self, row: Incoming | Outgoing | SentMessage) -> str:
        """The text of an inbox or outbox row, or of a message to a group.

        Words in its place where the disk has damaged it.
        """
        try:
            return self._vault.open(row.body, row.id).decode()
        except StoreCorrupt:
            self.counters["damaged_texts"] += 1
            return "[this text was damaged on this node's disk and cannot be read]"

    def mark_read(self, rows: Iterable[Incoming], now: float) -> None:
        """The person has seen these; their senders are told if the owner wishes so (`read_receipts`)."""
        self._now = now
        for row in rows:
            foreign = is_foreign(row.sender) or not row.read  # a group's have no such receipt
            tell = _READ_TOLD_TIMES if self._read_receipts and not foreign else 0
            if row.read_ms is None and self.store.mark_read(row.id, self.wall.ms(now), tell=tell) and tell:
                link = self.router.link_to(row.sender)
                if link is not None:
                    self._receipts.add(row.sender, row.read, read=row.seq)
                    self._inbound.promised = True
                    self._wake(link)
