"""Objects on their way here: what is offered, what is asked of whom, what has come (N7, N13)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus_node.base.errors import BadWire, StoreFull
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import CHUNK_SIZE, FETCHES_MAX
from nexus_node.crypto.address import address_of
from nexus_node.crypto.merkle import FAN_OUT
from nexus_node.engine.events import Emit
from nexus_node.engine.forward import Forwarder, on_the_way
from nexus_node.engine.router import Router
from nexus_node.ports.store import Keep, Store, StoredObject
from nexus_node.proto.fetch import Fetch, WrongUnits
from nexus_node.proto.hashtree import split_unit
from nexus_node.proto.pace import Pace
from nexus_node.wire.dataobject import ObjectHeader
from nexus_node.wire.packet import Context, Packet, Priority, Reason
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.transfer import Ask, Chunk, Offer

_LOOK_S = 60.0
"""How long a path to a provider is looked for because it has offered something."""
_PROGRESS_EVERY = 16
"""Parts into which the progress of a transfer is told."""


@dataclass(slots=True)
class _Job:
    """One object on its way here."""

    id: ObjectId
    store: Store
    fetch: Fetch
    min_bandwidth: int
    done: Callable[[float], None]
    ways: dict[Address, int] = field(default_factory=dict)
    """The link that each provider was last asked over."""
    pace: Pace = field(default_factory=Pace)
    told: int = 0


class Fetcher:
    """All objects on their way here. Whether one is wanted at all is for others to say (`begin`)."""

    def __init__(
        self,
        own: Address,
        router: Router,
        forwarder: Forwarder,
        *,
        counters: Counter[str],
        emit: Emit,
        arm: Callable[[float], None],
    ) -> None:
        self._own = own
        self._router = router
        self._forwarder = forwarder
        self._counters = counters
        self._emit = emit
        self._arm = arm
        self._jobs: dict[bytes, _Job] = {}

    @property
    def under_way(self) -> int:
        return len(self._jobs)

    def begin(
        self,
        peer: NodeId,
        offer: Offer,
        min_bandwidth: int,
        now_ms: int,
        now: float,
        done: Callable[[float], None],
        *,
        store: Store,
        keep: Keep = Keep.OWNED,
        until_ms: int | None = None,
    ) -> Reason | None:
        """Fetch the object that a neighbour, or a node beyond it, has offered; `done` is called once all of
        it is here. Returns why it is not, to be told to whoever offered it.

        What is here of it goes at `until_ms`, unless `done` says something else.
        """
        header = offer.header
        object_id = header.id
        prefix = object_id[:PREFIX_SIZE]
        job = self._jobs.get(prefix)
        if job is None:
            if len(self._jobs) >= FETCHES_MAX and not self._give_way():
                return Reason.BUSY
            try:
                job = _open(store, header, min_bandwidth, now_ms, done, keep, until_ms)
            except StoreFull:
                return Reason.STORE_FULL
            if job.fetch.complete:
                done(now)
                return None
            self._jobs[prefix] = job
        job.done = done
        provider = offer.provider or address_of(peer)
        route = self._router.route(provider, now)
        if route is None:
            self._router.requests.want(provider, now, most_s=_LOOK_S)
        job.fetch.offered(provider, route.bps if route is not None else 1e3)
        self._ask(prefix, job, now)
        return None

    def _give_way(self) -> bool:
        """Let go of the oldest object that nobody is asked for: its next offer begins where that ended."""
        for prefix, job in self._jobs.items():
            if not job.fetch.waiting:
                del self._jobs[prefix]
                return True
        return False

    def cancel(self, object_id: ObjectId) -> None:
        """That object is not wanted any more."""
        self._jobs.pop(object_id[:PREFIX_SIZE], None)

    def sources(self, object_id: ObjectId, now: float) -> list[NodeId]:
        """The neighbours that an object comes from, or through."""
        job = self._jobs.get(object_id[:PREFIX_SIZE])
        routes = [self._router.route(who, now) for who in job.fetch.providers] if job is not None else []
        peers = (route.link.link.peer for route in routes if route is not None)
        return list(dict.fromkeys(peer for peer in peers if peer is not None))

    # --- what comes -----------------------------------------------------------------------------
    def take(self, peer: NodeId, chunk: Chunk, now: float) -> None:
        """Units from a provider. Raises BadWire for what is wrong with them; who sent that is asked no
        more."""
        job = self._jobs.get(chunk.prefix)
        if job is None:
            self._counters["chunks_not_wanted"] += 1
            return
        owner = job.fetch.owner(chunk.first)
        try:
            fresh = job.fetch.take(chunk.first, chunk.data, now)
        except BadWire as error:
            route = self._router.route(owner, now) if owner is not None else None
            if owner is not None and route is not None and route.link.link.peer == peer:
                job.fetch.lied(owner)
                self._emit("provider_dropped", {"object": job.id.hex(), "by": owner.hex()})
                self._ask_all(chunk.prefix, job, now)
            if isinstance(error, WrongUnits) and error.fresh:
                self._came(peer, chunk.prefix, job, None, error.fresh, now)
            raise
        self._came(peer, chunk.prefix, job, owner, fresh, now)

    def _came(
        self,
        peer: NodeId,
        prefix: bytes,
        job: _Job,
        owner: Address | None,
        fresh: list[tuple[int, bytes]],
        now: float,
    ) -> None:
        """Store what was checked, and ask `owner` for more."""
        try:
            whole = _keep(job, fresh)
        except KeyError:  # it went to make room, or its time is over
            self._counters["fetch_gone"] += 1
            del self._jobs[prefix]
            self._emit("fetch_stopped", {"object": job.id.hex(), "why": "it is not kept any more"})
            return
        except StoreFull as error:
            self._counters["fetch_store_full"] += 1
            del self._jobs[prefix]
            self._emit("fetch_stopped", {"object": job.id.hex(), "why": str(error)})
            self._forwarder.refuse(peer, prefix, Reason.STORE_FULL)
            return
        if whole:
            del self._jobs[prefix]
            job.done(now)
            return
        total = job.fetch.tree.chunks
        job.pace.note(job.fetch.have, now)
        if job.fetch.have * _PROGRESS_EVERY // total > job.told:
            job.told = job.fetch.have * _PROGRESS_EVERY // total
            self._emit("progress", {"object": job.id.hex(), "chunks": job.fetch.have, "of": total})
        if any(split_unit(unit)[0] for unit, _ in fresh):  # chunks can be asked of all who had nothing to do
            self._ask_all(prefix, job, now)
        elif owner is not None:
            self._ask_one(prefix, job, owner, now)

    # --- asking ---------------------------------------------------------------------------------
    def _ask(self, prefix: bytes, job: _Job, now: float) -> None:
        self._ask_all(prefix, job, now)
        self._arm(job.fetch.next_deadline())

    def _ask_all(self, prefix: bytes, job: _Job, now: float) -> None:
        for who in list(job.fetch.providers):
            self._ask_one(prefix, job, who, now)

    def _ask_one(self, prefix: bytes, job: _Job, who: Address, now: float) -> None:
        """Ask a provider for what its window has room for, if the way to it is wide enough."""
        route = self._router.route(who, now)
        if who not in job.fetch.providers or route is None:
            return
        if self._router.width(who, route, now) < job.min_bandwidth:
            return
        job.fetch.way(who, route.bps)
        runs = job.fetch.ask(who, now)
        if not runs:
            return
        asker = self._own if route.path is not None else None
        packet = Packet(
            Context.ASK,
            Ask(prefix, job.fetch.have, runs, asker).encode(),
            who,
            priority=Priority.INTERACTIVE,
        )
        job.ways[who] = route.link.cid
        self._forwarder.enqueue(route.link, on_the_way(packet, route), packet.priority, who, sure=True)
        self._arm(job.fetch.next_deadline())

    def route_changed(self, address: Address, now: float) -> None:
        """The way to that node is another now, or there is none: ask anew what may have got lost."""
        for prefix, job in self._jobs.items():
            if address in job.fetch.providers:
                route = self._router.route(address, now)
                if route is None or route.link.cid != job.ways.get(address):
                    job.fetch.restart(address)
                self._ask_all(prefix, job, now)

    def expire(self, now: float) -> None:
        """Ask again for what has not come in time."""
        for prefix, job in list(self._jobs.items()):
            if now >= job.fetch.next_deadline():
                for who in job.fetch.expire(now):
                    self._counters["providers_silent"] += 1
                    self._emit("provider_dropped", {"object": job.id.hex(), "by": who.hex()})
                if not job.fetch.providers:
                    del self._jobs[prefix]  # whoever offers it next begins where this ended
                    continue
                self._ask_all(prefix, job, now)
            self._arm(job.fetch.next_deadline())

    def progress(self, object_id: ObjectId) -> int | None:
        """How many chunks of an object that is on its way are here."""
        job = self._jobs.get(object_id[:PREFIX_SIZE])
        return job.fetch.have if job is not None else None

    def left_s(self, object_id: ObjectId, now: float) -> float | None:
        """Seconds until an object is here, as far as that can be told."""
        job = self._jobs.get(object_id[:PREFIX_SIZE])
        return job.pace.left_s(job.fetch.tree.chunks, now) if job is not None else None


def _open(
    store: Store,
    header: ObjectHeader,
    min_bandwidth: int,
    now_ms: int,
    done: Callable[[float], None],
    keep: Keep,
    until_ms: int | None,
) -> _Job:
    """Begin to fetch an object, or go on where that ended. Raises StoreFull when it will not fit."""
    object_id = header.id
    before = store.get_object(object_id)
    lacking = header.size - CHUNK_SIZE * (before.chunks_have if before is not None else 0)
    if keep is Keep.OWNED and not store.has_room(lacking):
        _, used, quota = store.usage()
        raise StoreFull(f"no room for a file of {header.size} bytes: {used} of {quota} bytes are in use")
    row = StoredObject(
        object_id, header.kind, header.size, header.root, now_ms, until_ms, min_bandwidth, keep=keep
    )
    store.begin_object(row)
    stored = store.get_object(object_id)
    whole = stored is not None and stored.complete
    pages = [] if whole else list(store.pages(object_id))
    fetch = Fetch(header, pages, ())
    job = _Job(object_id, store, fetch, min_bandwidth, done)
    if whole:
        for number in range(fetch.tree.chunks):
            fetch.found(number)
    for level, number, _ in pages:
        if level == 1:
            _look(job, number)
    return job


def _look(job: _Job, page: int) -> None:
    """Which chunks under a page are here already."""
    first = FAN_OUT * page
    after = min(first + FAN_OUT, job.fetch.tree.chunks)
    missing = set(job.store.missing(job.id, since=first, limit=FAN_OUT))
    for number in range(first, after):
        if number not in missing:
            job.fetch.found(number)


def _keep(job: _Job, fresh: list[tuple[int, bytes]]) -> bool:
    """Store checked units; whether the object is whole now."""
    whole = False
    for unit, part in fresh:
        level, number = split_unit(unit)
        if not level:
            whole = job.store.add_chunk(job.id, number, part)
            continue
        job.store.add_page(job.id, level, number, part)
        if level == 1:
            _look(job, number)
            whole = job.fetch.complete
    job.store.write_chunks()
    return whole
