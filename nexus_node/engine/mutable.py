"""Mutable objects of this node and of others, and owners who forked theirs (N7, docs/protocol/mutable.md)."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from nexus_node.base.errors import BadWire, InputError, StoreFull
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import (
    FORK_LISTENERS,
    FORK_TOLD_BURST,
    FORK_TOLD_PER_S,
    LABEL_MAX,
    MIB,
    OBJECT_MAX,
    RECORD_NAMES_MAX,
    RECORDS_BURST,
    RECORDS_GIVEN,
    RECORDS_PER_S,
    RECORDS_WANTED,
)
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import Identity
from nexus_node.engine.events import Emit, Value
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.router import Router
from nexus_node.engine.serving import Served
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.mutable import StoredFork, StoredRecord
from nexus_node.ports.store import Keep, Store, StoredObject
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.mutable import ForkKey, Forks, Versions
from nexus_node.wire.dataobject import KIND_VERSION, ObjectHeader, describe
from nexus_node.wire.mutable import (
    DIGEST_SIZE,
    Fork,
    Record,
    RecordAnswer,
    RecordRequest,
    name_of,
    parse_fork_untrusted,
    parse_no_record_untrusted,
    parse_record_answer_untrusted,
    parse_record_request_untrusted,
    parse_record_untrusted,
)
from nexus_node.wire.packet import Context, Packet, Priority, Reason
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.transfer import Offer

_SEQUENCE_MAX = 2**64 - 1


def label_bytes(label: str) -> bytes:
    """A label as it is signed. Raises InputError for what is none."""
    raw = label.encode(errors="replace")
    if not 1 <= len(raw) <= LABEL_MAX or "/" in label or not label.isprintable():
        raise InputError(f"a name is 1 to {LABEL_MAX} bytes of printable text without '/', not {label!r}")
    return raw


def _read(stored: Iterable[StoredRecord]) -> list[Record]:
    """Records as they were signed, but for those that the disk has damaged."""
    records: list[Record] = []
    for one in stored:
        with suppress(BadWire):
            records.append(parse_record_untrusted(one.data))
    return records


@dataclass(slots=True)
class _Listener:
    """A neighbour: what it may ask, and what evidence it has been told."""

    intake: TokenBucket
    pace: TokenBucket
    told: set[ForkKey] = field(default_factory=set)


@dataclass(slots=True)
class _Search:
    """A name that somebody here has asked for."""

    asked: set[NodeId] = field(default_factory=set)
    waiting: set[NodeId] = field(default_factory=set)
    why: Reason | None = None
    """Why the content is not fetched."""


class Mutables:
    """Versions are published, asked of neighbours and given to them; what proves a fork is told on."""

    def __init__(
        self,
        identity: Identity,
        store: Store,
        router: Router,
        forwarder: Forwarder,
        fetcher: Fetcher,
        wall: WallClock,
        *,
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
        arm_expiry: Callable[[int], None],
    ) -> None:
        """`arm_expiry` is told when something is over, in milliseconds since 1970."""
        self._identity = identity
        self._store = store
        self._router = router
        self._forwarder = forwarder
        self._fetcher = fetcher
        self._wall = wall
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._arm_expiry = arm_expiry
        self._forks = Forks()
        for stored in store.forks():
            with suppress(BadWire):  # damage on the disk
                self._forks.add(parse_fork_untrusted(stored.data), stored.found_ms)
        self._spread_at = float("inf")
        self._listeners: OrderedDict[NodeId, _Listener] = OrderedDict()
        self._searches: dict[bytes, _Search] = {}
        self._given: OrderedDict[tuple[bytes, Address], ObjectId] = OrderedDict()
        """Contents that a neighbour was told are here: it may have them."""
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    # --- one's own ------------------------------------------------------------------------------
    def publish(
        self, label: str, content: bytes, *, now: float, min_bandwidth: int = 0, ttl_s: int | None = None
    ) -> Record:
        """Sign and store a new version; the content of the one before goes. Raises InputError, StoreFull."""
        if len(content) > OBJECT_MAX:
            raise InputError(f"the file is larger than the {OBJECT_MAX // MIB} MiB an object takes")
        header, chunks = describe(KIND_VERSION, content)
        return self._publish(label, header, chunks, now, min_bandwidth, ttl_s)

    def check(self, label: str, now: float) -> None:
        """Raises InputError when no version can be signed under that name now."""
        label_bytes(label)
        if self.blocked_until_ms(self._identity.node_id, now) is not None:
            raise InputError(
                "two different versions with one number were signed with this identity, and others take "
                "nothing of it for a day; use an identity on one machine only"
            )

    def publish_stored(
        self, label: str, header: ObjectHeader, *, now: float, ttl_s: int | None = None
    ) -> Record:
        """The same with content that is here already; it stays for as long as it was to before, or longer."""
        return self._publish(label, header, None, now, 0, ttl_s)

    def _publish(
        self,
        label: str,
        header: ObjectHeader,
        chunks: list[bytes] | None,
        now: float,
        min_bandwidth: int,
        ttl_s: int | None,
    ) -> Record:
        self.check(label, now)
        raw, own, now_ms = label_bytes(label), self._identity.node_id, self._wall.ms(now)
        before = self.latest(name_of(own, raw))
        time_s = now_ms // 1000 if self._wall.trusted(now) else 0
        # Who has lost its store does not begin at 1 again: that would be a fork.
        sequence = max(before.sequence + 1 if before is not None else 1, time_s)
        if sequence > _SEQUENCE_MAX:
            raise InputError(f"{label!r} has had its last version; choose another name")
        expires_s = min((now_ms // 1000) + ttl_s, 2**32 - 1) if ttl_s is not None else 0
        record = Record.make(self._identity, raw, sequence, header, time_s, expires_s)
        with self._store.atomic():
            if chunks is not None:
                self._put(header, chunks, now_ms, 1000 * expires_s or None, min_bandwidth)
            self._keep(Versions(self._records(record.name)), record)
            if before is not None and before.content != record.content:
                self._let_go(before)
        if expires_s:
            self._arm_expiry(1000 * expires_s)
        return record

    def _put(
        self,
        header: ObjectHeader,
        chunks: list[bytes],
        now_ms: int,
        expires_ms: int | None,
        min_bandwidth: int,
    ) -> None:
        known = self._store.get_object(header.id)
        if known is not None and known.expires_ms != expires_ms:
            self._store.delete_object(header.id)  # the same content is to be here for another time
        self._store.put_object(
            StoredObject(header.id, header.kind, header.size, header.root, now_ms, expires_ms, min_bandwidth),
            chunks,
        )

    def _let_go(self, before: Record) -> None:
        """Its content is no version any more, unless it is one of another name."""
        mine = _read(self._store.latest_records(self._identity.node_id))
        if all(one.content != before.content for one in mine):
            self._store.delete_object(before.content.id)

    # --- what is known --------------------------------------------------------------------------
    def latest(self, name: bytes) -> Record | None:
        """The latest version that is known here."""
        return Versions(self._records(name)).latest

    def names(self) -> dict[ObjectId, Record]:
        """The latest version of each name, by its content."""
        return {record.content.id: record for record in _read(self._store.latest_records())}

    def blocked_until_ms(self, owner: NodeId, now: float) -> int | None:
        """Until when nothing is taken of that owner, because it forked; None when it is not blocked."""
        return self._forks.blocked_until_ms(owner, self._wall.ms(now))

    def over(self, record: Record, now: float) -> bool:
        """Whether that version's time is over."""
        return 0 < 1000 * record.expires_s <= self._wall.ms(now) and self._wall.trusted(now)

    def has_content(self, record: Record) -> bool:
        stored = self._store.get_object(record.content.id)
        return stored is not None and stored.complete

    def _records(self, name: bytes) -> list[Record]:
        return _read(self._store.records(name))

    # --- looking for others' --------------------------------------------------------------------
    def search(self, name: bytes, now: float) -> None:
        """Ask all neighbours for the latest version of that name, and fetch its content."""
        while len(self._searches) >= RECORDS_WANTED and name not in self._searches:
            del self._searches[next(iter(self._searches))]
        search = self._searches[name] = _Search()
        latest = self.latest(name)
        digest = latest.digest if latest is not None and self.has_content(latest) else bytes(DIGEST_SIZE)
        for peer, _, _ in self._router.neighbours():
            search.asked.add(peer)
            search.waiting.add(peer)
            self._tell(peer, Context.RECORD_REQUEST, RecordRequest(name, digest).encode())

    def waiting(self, name: bytes) -> bool:
        """Whether a neighbour that was asked has not answered."""
        search = self._searches.get(name)
        return search is not None and bool(search.waiting)

    def not_fetched(self, name: bytes) -> Reason | None:
        """Why the content of that name is not on its way, if there was a reason."""
        search = self._searches.get(name)
        return search.why if search is not None else None

    def take_record(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour's version of something. Raises BadWire."""
        self._admit(peer, now)
        answer = parse_record_answer_untrusted(packet.data)
        record = answer.record
        name = record.name
        search = self._searches.get(name)
        asked = search is not None and peer in search.asked
        versions = Versions(self._records(name))
        if not asked and versions.latest is None:
            raise BadWire("unasked_record")
        if not record.authentic():
            raise BadWire("forged_record")
        if self.blocked_until_ms(record.owner, now) is not None:
            self._counters["records_of_blocked"] += 1
        else:
            self._judge(versions, record, now)
        if search is not None and asked:
            latest = self.latest(name)
            if answer.has_content and latest is not None and latest.content == record.content:
                self._fetch(peer, search, latest, now)
            self._answered(peer, name, search, record.sequence)

    def take_no_record(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour has nothing that is not known here. Raises BadWire."""
        self._admit(peer, now)
        name = parse_no_record_untrusted(packet.data)
        search = self._searches.get(name)
        if search is None or peer not in search.asked:
            raise BadWire("unasked_record")
        self._answered(peer, name, search, None)

    def _answered(self, peer: NodeId, name: bytes, search: _Search, sequence: int | None) -> None:
        search.waiting.discard(peer)
        by = address_of(peer).hex()
        self._emit("record", {"name": name.hex(), "sequence": sequence, "by": by})

    def _judge(self, versions: Versions, record: Record, now: float) -> None:
        """A record whose signature holds, of an owner who is not blocked."""
        try:
            with self._store.atomic():
                against = self._keep(versions, record)
        except StoreFull:
            self._counters["records_store_full"] += 1
            return
        if against is not None:
            self._found(Fork.make(against, record), now)

    def _keep(self, versions: Versions, record: Record) -> Record | None:
        """Store a record if it is new; returns the one that it forks from. Raises StoreFull."""
        fresh = versions.latest is None
        taken = versions.take(record)
        if taken.dropped is not None:
            self._store.drop_record(record.name, taken.dropped.sequence)
        if taken.kept:
            self._store.put_record(StoredRecord(record.name, record.sequence, record.owner, record.encode()))
            if fresh:
                own = self._identity.node_id
                self._store.drop_stale_records(own, most=RECORD_NAMES_MAX)
        return taken.against

    def _fetch(self, peer: NodeId, search: _Search, record: Record, now: float) -> None:
        blocked = self.blocked_until_ms(record.owner, now) is not None
        if blocked or self.has_content(record) or self.over(record, now):
            return
        header, now_ms = record.content, self._wall.ms(now)
        fields: dict[str, Value] = {
            "name": record.name.hex(),
            "sequence": record.sequence,
            "object": header.id.hex(),
        }
        begun = self._store.begin_object(
            StoredObject(
                header.id,
                header.kind,
                header.size,
                header.root,
                now_ms,
                1000 * record.expires_s or None,
                keep=Keep.CACHED,
            )
        )
        if begun:
            self._fetcher.cancel(header.id)  # what is there of it begins anew
        if record.expires_s:
            self._arm_expiry(1000 * record.expires_s)
        search.why = self._fetcher.begin(
            peer, Offer(header), 0, now_ms, now, lambda _: self._emit("version", fields), store=self._store
        )
        if search.why is not None and begun:
            self._store.delete_object(header.id)

    # --- giving to others -----------------------------------------------------------------------
    def take_request(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour asks for a version. Raises BadWire."""
        self._admit(peer, now)
        request = parse_record_request_untrusted(packet.data)
        latest = self.latest(request.name)
        blocked = latest is not None and self.blocked_until_ms(latest.owner, now) is not None
        if latest is None or blocked or latest.digest == request.digest:
            self._tell(peer, Context.NO_RECORD, request.name)
            return
        has_content = self.has_content(latest)
        if has_content:
            content = latest.content.id
            key = (content[:PREFIX_SIZE], address_of(peer))
            self._given[key] = content
            self._given.move_to_end(key)
            if len(self._given) > RECORDS_GIVEN:
                self._given.popitem(last=False)
        self._tell(peer, Context.RECORD, RecordAnswer(latest, has_content).encode())

    def served(self, prefix: bytes, asker: Address) -> Served | None:
        """The content of a version that this asker was told of (`Server`)."""
        content = self._given.get((prefix, asker))
        stored = self._store.get_object(content) if content is not None else None
        if stored is None or not stored.complete:
            return None
        return Served(self._store, stored.id, stored.min_bandwidth)

    def _tell(self, peer: NodeId, context: Context, data: bytes) -> None:
        link = self._router.link_to(peer)
        if link is not None:
            self.promised = True
            priority = Priority.STANDARD if context == Context.FORK else Priority.INTERACTIVE
            self._forwarder.enqueue(
                link, Packet(context, data, priority=priority).encode(), priority, sure=True
            )

    # --- forks ----------------------------------------------------------------------------------
    def take_fork(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A neighbour says that an owner has forked, and proves it. Raises BadWire."""
        listener = self._admit(peer, now)
        fork = parse_fork_untrusted(packet.data)
        key = (fork.name, fork.sequence)
        if key not in self._forks and not fork.authentic():
            raise BadWire("forged_fork")
        listener.told.add(key)
        self._found(fork, now)

    def _found(self, fork: Fork, now: float) -> None:
        now_ms = self._wall.ms(now)
        goes = self._forks.add(fork, now_ms)
        if goes is None:
            return
        key = (fork.name, fork.sequence)
        self._forget(goes)
        stored = StoredFork(*key, fork.owner, now_ms - 1000 * fork.age_s, replace(fork, age_s=0).encode())
        try:
            self._store.put_fork(stored)
        except StoreFull:
            self._counters["records_store_full"] += 1  # it is known until the next start
        self._counters["forks_found"] += 1
        self._emit(
            "owner_forked",
            {
                "owner": fork.owner.hex(),
                "name": fork.name.hex(),
                "sequence": fork.sequence,
                "blocked_until_ms": self.blocked_until_ms(fork.owner, now),
            },
        )
        self._arm_expiry(self._forks.next_expiry_ms() or now_ms)
        self._spread(now)

    def _spread(self, now: float) -> None:
        """Tell each neighbour what it has not been told, at its pace."""
        self._spread_at = float("inf")
        keys = self._forks.keys()
        for peer, _, _ in self._router.neighbours() if keys else ():
            listener = self._listener(peer, now)
            for key in [key for key in keys if key not in listener.told]:
                if not listener.pace.take(1, now):
                    self._spread_at = min(self._spread_at, listener.pace.ready_at(1, now))
                    break
                listener.told.add(key)
                self._tell(peer, Context.FORK, self._forks.get(key, self._wall.ms(now)).encode())
        self._arm(self._spread_at)

    def _forget(self, keys: list[ForkKey]) -> None:
        for key in keys:
            self._store.drop_fork(*key)
            for listener in self._listeners.values():
                listener.told.discard(key)

    # --- neighbours and time --------------------------------------------------------------------
    def met(self, peer: NodeId, now: float) -> None:
        """There is a link with that neighbour."""
        self._spread(now)

    def parted(self, peer: NodeId) -> None:
        """There is none any more: it answers nothing."""
        for name, search in self._searches.items():
            if peer in search.waiting:
                self._answered(peer, name, search, None)

    def expire(self, now: float) -> None:
        if now >= self._spread_at:
            self._spread(now)
        self._arm(self._spread_at)

    def expire_forks(self, now: float) -> int | None:
        """Forget evidence whose time is over; when the next is, in milliseconds since 1970."""
        self._forget(self._forks.expire(self._wall.ms(now)))
        return self._forks.next_expiry_ms()

    def _admit(self, peer: NodeId, now: float) -> _Listener:
        listener = self._listener(peer, now)
        if not listener.intake.take(1, now):
            raise BadWire("records_too_fast")
        return listener

    def _listener(self, peer: NodeId, now: float) -> _Listener:
        listener = self._listeners.get(peer)
        if listener is None:
            listener = self._listeners[peer] = _Listener(
                TokenBucket(RECORDS_PER_S, RECORDS_BURST, now),
                TokenBucket(FORK_TOLD_PER_S, FORK_TOLD_BURST, now),
            )
            if len(self._listeners) > FORK_LISTENERS:
                self._listeners.popitem(last=False)
        self._listeners.move_to_end(peer)
        return listener
