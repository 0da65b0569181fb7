"""Sending others what they ask of objects that are here, a packet at a time when a link has room (N7)."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import ASKERS_MAX, ASKS_MAX
from nexus_node.crypto.address import address_of
from nexus_node.engine.forward import Forwarder, on_the_way
from nexus_node.engine.peers import Attachment
from nexus_node.engine.router import Route, Router
from nexus_node.ports.store import Store
from nexus_node.proto.hashtree import split_unit
from nexus_node.wire.packet import HEADER_SIZE, Context, Packet, Priority
from nexus_node.wire.transfer import CHUNK_HEAD, Ask, Chunk, bandwidth_tlv

_AHEAD_S = 0.02
"""What waits for a link in chunks is at most so much of its time: anything urgent is behind no more."""
_HEAD = 2 + HEADER_SIZE + 16 + CHUNK_HEAD + 8
"""Bytes of a CHUNK packet beside its units, at most."""


@dataclass(slots=True)
class Served:
    """An object that somebody may have: what is here of it, and no slower way than this for it."""

    store: Store
    object: ObjectId
    min_bandwidth: int


Source = Callable[[bytes, Address], Served | None]
"""Says whether the object with that prefix is here for that asker."""


@dataclass(slots=True)
class _Job:
    """One asker of one object."""

    prefix: bytes
    asker: Address
    served: Served
    runs: deque[tuple[int, int]] = field(default_factory=deque)


class Server:
    """What was asked for and has not been sent."""

    def __init__(
        self,
        router: Router,
        forwarder: Forwarder,
        *,
        sources: list[Source],
        counters: Counter[str],
        wake: Callable[[Attachment], None],
    ) -> None:
        self._router = router
        self._forwarder = forwarder
        self._sources = sources
        self._counters = counters
        self._wake = wake
        self._jobs: dict[tuple[bytes, Address], _Job] = {}
        self.progress: Callable[[bytes, Address, int, float], None] = lambda prefix, asker, have, now: None
        """Told of each question: the object's prefix, who asks, and how many chunks are there by then."""
        self.sent: Callable[[bytes, Address, float], None] = lambda prefix, asker, now: None
        """Told when all has been sent that an asker lacked."""

    def take_ask(self, peer: NodeId, ask: Ask, now: float) -> None:
        """Somebody asks for units. Raises BadWire("unasked_object") for what is not here for it."""
        asker = ask.asker or address_of(peer)
        served = next((found for one in self._sources if (found := one(ask.prefix, asker))), None)
        if served is None:
            raise BadWire("unasked_object")
        job = self._jobs.get((ask.prefix, asker))
        if job is None:
            if len(self._jobs) >= ASKERS_MAX:
                self._give_way(now)
            job = self._jobs[ask.prefix, asker] = _Job(ask.prefix, asker, served)
        job.served = served
        for run in ask.runs:
            if run not in job.runs and len(job.runs) < ASKS_MAX:
                job.runs.append(run)
        self.progress(ask.prefix, asker, ask.have, now)
        route = self._router.route(asker, now)
        if route is not None:
            self._wake(route.link)

    def _give_way(self, now: float) -> None:
        """Let go of the question of somebody to whom no way is known, or else of the longest unserved."""
        lost = (key for key in self._jobs if self._router.route(key[1], now) is None)
        del self._jobs[next(lost, next(iter(self._jobs)))]

    def stop(self, prefix: bytes) -> None:
        """Nobody is to have that object any more."""
        for key in [key for key in self._jobs if key[0] == prefix]:
            del self._jobs[key]

    def forget(self, asker: Address) -> None:
        """That node has gone: when it is back it asks for what it lacks then."""
        for key in [key for key in self._jobs if key[1] == asker]:
            del self._jobs[key]

    def feed(self, link: Attachment, now: float) -> None:
        """Put the next packets of chunks into a link's queue, while little waits there; askers take turns."""
        if not self._jobs:
            return
        room = max(link.link.room - _HEAD, 0)
        ahead = max(room, int(_AHEAD_S * min(link.profile.bps, 1e9) / 8))
        while self._forwarder.bulk(link) < ahead:
            for key, job in list(self._jobs.items()):
                route = self._router.route(job.asker, now) if job.runs else None
                if route is None or route.link is not link or route.bps < job.served.min_bandwidth:
                    continue
                self._jobs[key] = self._jobs.pop(key)  # the others come first next time
                self._send(job, route, room, now)
                break
            else:
                return

    def _send(self, job: _Job, route: Route, room: int, now: float) -> None:
        unit, count = job.runs.popleft()
        parts: list[bytes] = []
        size = 0
        for number in range(unit, unit + count):
            if parts and size + len(parts[-1]) > room:
                break  # one like the last does not fit: it need not be read to know
            part = _read(job.served, number)
            if part is None:
                self._counters["asked_not_here"] += 1
                count = number - unit
                break
            if parts and size + len(part) > room:
                break
            parts.append(part)
            size += len(part)
        if len(parts) < count:
            job.runs.appendleft((unit + len(parts), count - len(parts)))
        if parts:
            data = Chunk(job.prefix, unit, b"".join(parts)).encode()
            tlvs = bandwidth_tlv(job.served.min_bandwidth) if route.path is not None else ()
            packet = Packet(Context.CHUNK, data, job.asker, priority=Priority.BULK, tlvs=tlvs)
            body = on_the_way(packet, route)
            self._forwarder.enqueue(route.link, body, Priority.BULK, job.asker if route.path else None)
        if not job.runs:
            stored = job.served.store.get_object(job.served.object)
            if stored is not None and unit + len(parts) == stored.chunks_total:  # they are asked for in order
                self.sent(job.prefix, job.asker, now)
            del self._jobs[job.prefix, job.asker]


def _read(served: Served, unit: int) -> bytes | None:
    """None for what is not here, or not any more: whoever asks may have proved by now that it has it."""
    level, number = split_unit(unit)
    try:
        if level:
            return served.store.page(served.object, level, number)
        return served.store.read_chunk(served.object, number)
    except KeyError:
        return None
