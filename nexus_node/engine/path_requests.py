"""Requests for paths: what this node looks for, and what others do through it (N4)."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import PATH_REQUESTS_SEEN, PATHS_WANTED
from nexus_node.base.rng import Rng
from nexus_node.engine.neighbour import ANNOUNCE_ITEM, NARROW_BPS, Neighbour, demand_of, soon
from nexus_node.proto.paths import PathTable
from nexus_node.wire.packet import MAX_HOPS, Context, Packet, Priority
from nexus_node.wire.routing import PathRequest

ASK_AGAIN_S, ASK_AGAIN_MAX_S, ASK_AGAIN_SHARED_S = 1.0, 300.0, 3600.0
ASK_SOON, ASK_SOON_SHARED = 8, 4
"""Requests and answers may get lost: so often it is asked again without waiting longer each time."""
ASKED_S, ASKED_SHARED_S = 300.0, 3600.0
"""An answer to a neighbour's request may take that long, over radio; where the air is shared, it is asked for
seldom, and the next announce answers it."""
ROUND_SHARED = 60
"""What goes from radio to radio takes its turn at each, and waits before that."""
PASSED_S, _BROKEN_S = 0.8, 60.0
"""A request for what was just asked for, as a share of the time after which it is repeated, is not passed on;
one after that finds no answer that way, and goes every way."""
_IN_USE_S = 60.0
"""A path used that recently is looked for at once when it breaks, and for as long."""
_SAME = 24
"""Bytes of a request that tell it from others: id, destination and sequence."""


@dataclass(slots=True)
class _Search:
    """A destination that is looked for: when to ask again, when to give up, how often was asked."""

    due: float
    until: float
    tries: int = 1


class PathRequests:
    """Asks neighbours, and remembers what they have asked."""

    def __init__(
        self,
        paths: PathTable,
        neighbours: Mapping[NodeId, Neighbour],
        by_address: Mapping[Address, Neighbour],
        rng: Rng,
        arm: Callable[[float], None],
    ) -> None:
        self._paths = paths
        self._neighbours = neighbours
        self._by_address = by_address
        self._rng = rng
        self._arm = arm
        self._seen, self._seen_before = set[bytes](), set[bytes]()
        """Requests that came through or were made here, so that none goes round; and those before them."""
        self._passed: OrderedDict[Address, tuple[float, tuple[int, bool]]] = OrderedDict()
        """When others were lately asked for a destination, and how much."""
        self._wanted: OrderedDict[Address, _Search] = OrderedDict()
        """Destinations this node looks for."""

    def __len__(self) -> int:
        """How many destinations are looked for."""
        return len(self._wanted)

    # --- our own --------------------------------------------------------------------------------
    def want(self, address: Address, now: float, *, most_s: float = float("inf")) -> None:
        """Look for a path; asked again later, less and less often, until one is found or `most_s` have
        passed."""
        known = self._wanted.get(address)
        if known is not None:
            known.until = max(known.until, now + most_s)
            return
        if len(self._wanted) >= PATHS_WANTED:
            passing = (one for one, search in self._wanted.items() if search.until < float("inf"))
            del self._wanted[next(passing, next(iter(self._wanted)))]
        self._wanted[address] = _Search(now + self._patience(), now + most_s)
        self._ask(address, self._neighbours.values(), now)
        self._arm(now)  # whoever is asked is woken then, and it is seen when to ask again

    def used(self, address: Address, now: float) -> None:
        """A way there is used: that ends a search, unless it is known only that it has become dearer."""
        if self._known_well(address):
            self._wanted.pop(address, None)
        else:
            self.want(address, now, most_s=_IN_USE_S)

    def neighbour_up(self, fresh: Neighbour, now: float) -> None:
        """Ask one that has come as well."""
        for address in self._wanted:
            if address != fresh.address:  # its own announce comes unasked
                self._ask(address, (fresh,), now)
        fresh.greet_at = now + 2 * max(self._patience(), soon(fresh.link))
        self._arm(fresh.greet_at)

    def look_for_broken(self, now: float) -> None:
        """Ask at once for what is in use."""
        for address in sorted(self._paths.starved):
            known = self._paths.known(address)
            if known is not None and now < known.used + _IN_USE_S:
                self.want(address, now, most_s=_IN_USE_S)
        self._paths.starved.clear()

    def expire(self, now: float) -> None:
        """Ask again for what was not answered."""
        for address, search in list(self._wanted.items()):
            if now >= search.due:
                if self._known_well(address) or now >= search.until:
                    del self._wanted[address]
                    continue
                search.tries += 1
                without_delay, most_s = (
                    (ASK_SOON_SHARED, ASK_AGAIN_SHARED_S)
                    if self._only_shared
                    else (ASK_SOON, ASK_AGAIN_MAX_S)
                )
                patience = self._patience() * 2.0 ** min(max(0, search.tries - without_delay), 9)
                search.due = now + min(patience, most_s)
                self._ask(address, self._neighbours.values(), now)
            self._arm(search.due)
        for neighbour in self._neighbours.values():
            if neighbour.relay is None and now >= neighbour.greet_at:
                neighbour.greetings += 1
                greet_in = max(2 * self._patience(), soon(neighbour.link)) * 2.0 ** min(
                    neighbour.greetings, 9
                )
                neighbour.greet_at = now + min(greet_in, ASK_AGAIN_MAX_S)
                self._greet(neighbour)
            if neighbour.relay is None:
                self._arm(neighbour.greet_at)

    def _greet(self, neighbour: Neighbour) -> None:
        """Ask a neighbour alone for its own announce."""
        number = int.from_bytes(self._rng.random_bytes(4), "little")
        request = PathRequest(number, neighbour.address, *self._paths.bound(neighbour.address))
        body = Packet(Context.PATH_REQUEST, request.encode(), hops=1, priority=Priority.INTERACTIVE)
        neighbour.greet(body.encode())

    def _known_well(self, address: Address) -> bool:
        known = self._paths.known(address)
        return known is not None and known.best is not None and not known.dearer

    def _ask(self, address: Address, neighbours: Iterable[Neighbour], now: float) -> None:
        number = int.from_bytes(self._rng.random_bytes(4), "little")
        request = PathRequest(number, address, *self._paths.bound(address))
        self._remember(request)
        self._pass_on(request, MAX_HOPS, neighbours, now)

    def _patience(self) -> float:
        """Seconds until a request is repeated: the time of 10,000 bits, or of so many announces where the air
        is shared with everybody the request goes to; of the quickest link."""
        rounds = (
            (ROUND_SHARED * 8 * ANNOUNCE_ITEM if one.link.medium is not None else NARROW_BPS)
            / one.link.profile.bps
            for one in self._neighbours.values()
        )
        return max(ASK_AGAIN_S, min(rounds, default=1.0))

    @property
    def _only_shared(self) -> bool:
        """Whether whoever is asked has to share the air for it with many others."""
        return all(one.link.medium is not None for one in self._neighbours.values())

    # --- those of others ------------------------------------------------------------------------
    def take(self, neighbour: Neighbour, request: PathRequest, hops: int, now: float) -> None:
        """A neighbour looks for another node: answer it, or ask on."""
        address = request.destination
        if not self._remember(request):
            return
        neighbour.asked[address] = request, now
        neighbour.asked.move_to_end(address)
        if len(neighbour.asked) > PATHS_WANTED:
            neighbour.asked.popitem(last=False)
        if self.answer(neighbour, address, now) or hops <= 1:
            return
        onward_request = replace(request, rank=(0, 0))  # what is near enough here may not be for who asks
        if self._soon_again(address, now, demand_of(onward_request)):
            return
        passed_at, _ = self._passed.get(address, (float("-inf"), (0, False)))
        best = self._paths.best(address)
        onward: Iterable[Neighbour] = self._neighbours.values()
        if address in self._by_address:
            onward = (self._by_address[address],)
            if best is not None and best.via not in (neighbour.peer, onward[0].peer):
                onward = (*onward, self._neighbours[best.via])  # which may lack the newest sequence
        elif best is not None and best.via != neighbour.peer and now >= passed_at + _BROKEN_S:
            onward = (self._neighbours[best.via],)
        others = [one for one in onward if one is not neighbour]
        self._pass_on(onward_request, min(hops, MAX_HOPS) - 1, others, now)

    def answer(self, neighbour: Neighbour, address: Address, now: float) -> bool:
        """Tell a neighbour of a path it asked for, if there is one good enough for it."""
        request, at = neighbour.asked.get(address, (None, 0.0))
        path = self._paths.best(address)
        if request is None or path is None or path.via == neighbour.peer:
            return False
        if now >= at + (ASKED_SHARED_S if neighbour.link.medium is not None else ASKED_S):
            del neighbour.asked[address]
            return False
        newer = path.announce.sequence > request.sequence
        if newer or (path.announce.sequence == request.sequence and path.cost.rank < request.rank):
            neighbour.owe(address, first=True)
            return True
        return False

    def _soon_again(self, address: Address, now: float, demand: tuple[int, bool]) -> bool:
        """Whether others were asked for no less a moment ago, and may still answer."""
        passed_at, passed = self._passed.get(address, (float("-inf"), (0, False)))
        patience = self._patience()
        return passed >= demand and now < passed_at + PASSED_S * patience

    def _pass_on(self, request: PathRequest, hops: int, neighbours: Iterable[Neighbour], now: float) -> None:
        self._passed[request.destination] = now, demand_of(request)
        self._passed.move_to_end(request.destination)
        over = now - max(_BROKEN_S, PASSED_S * self._patience())
        while next(iter(self._passed.values()))[0] < over or len(self._passed) > PATH_REQUESTS_SEEN:
            self._passed.popitem(last=False)
        body = encoded(request, hops)
        for neighbour in neighbours:
            medium = neighbour.link.medium
            if medium is not None:
                waiting = medium.asking.get(request.destination)
                if waiting is None or demand_of(waiting[0]) < demand_of(request):
                    medium.asking[request.destination] = request, hops
                    medium.quiet_until = float("-inf")
                if len(medium.asking) > PATHS_WANTED:
                    medium.asking.popitem(last=False)
            elif neighbour.should_ask(request, now):
                neighbour.ask(body)

    def _remember(self, request: PathRequest) -> bool:
        """False if it has been here before."""
        key = request.encode()[:_SAME]
        if key in self._seen or key in self._seen_before:
            return False
        self._seen.add(key)
        if len(self._seen) >= PATH_REQUESTS_SEEN // 2:
            self._seen, self._seen_before = set(), self._seen
        return True


def encoded(request: PathRequest, hops: int) -> bytes:
    """The packet that asks neighbours."""
    return Packet(Context.PATH_REQUEST, request.encode(), hops=hops, priority=Priority.INTERACTIVE).encode()
