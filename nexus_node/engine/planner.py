"""Which ways to take to each recipient: its own link, a path, or relays that keep its mail (N4, N10)."""

from collections.abc import Callable

from nexus_node.base.foreign import is_foreign
from nexus_node.base.ids import Address, NodeId
from nexus_node.crypto.address import address_of
from nexus_node.engine.contacts import Contacts, Rank
from nexus_node.engine.delivery import Delivery
from nexus_node.engine.mailbox import Way
from nexus_node.engine.peers import Attachment
from nexus_node.engine.router import Route, Router
from nexus_node.ports.store import Outgoing, Store
from nexus_node.wire.announce import Serve

RELAYS_PER_MESSAGE = 2
_TURNED_AWAY_S = 3600.0
"""A relay that will not keep a recipient's mail is not asked again for so long."""
_SILENT_S = 600.0
"""A recipient that did not answer along its path counts as absent for so long, or until it answers."""


class Planner:
    """Tells the delivery where to send whenever something that this depends on has changed."""

    def __init__(
        self,
        store: Store,
        contacts: Contacts,
        router: Router,
        delivery: Delivery,
        arm: Callable[[float], None],
    ) -> None:
        self._store = store
        self._contacts = contacts
        self._router = router
        self._delivery = delivery
        self._arm = arm
        self._turned_away: dict[tuple[NodeId | None, NodeId], float] = {}
        """(relay, recipient), and until when."""
        self._silent: dict[NodeId, float] = {}
        self._far: dict[Address, NodeId] = {
            address_of(one): one for one in store.recipients() if not is_foreign(one)
        }
        """Recipients of unfinished messages that are no neighbours."""
        self._near: dict[Address, NodeId] = {}
        """Neighbours that messages go to."""
        self._named: set[Address] = set()
        """Relays that they have named and that are no neighbours."""

    def start(self, now: float) -> None:
        """Look for ways to the recipients that an earlier run has left messages for."""
        self.relays_changed(now)

    # --- what has changed -----------------------------------------------------------------------
    def wanted(self, to: NodeId, now: float) -> None:
        """There is a new message to that node."""
        if not self._delivery.ways_to(to):
            self._plan(to, now)

    def links_changed(self, peer: NodeId, now: float, *, retuned: bool = False) -> None:
        """The links to that neighbour are others now, or can do something else."""
        self._plan(peer, now, again=retuned)

    def route_changed(self, address: Address, now: float) -> None:
        """The path to that node is another now."""
        to = self._far.get(address) or self._near.get(address)
        if to is not None:
            self._plan(to, now)
        if address in self._named:
            self.relays_changed(now)

    def relays_changed(self, now: float) -> None:
        """Another relay is there, or one has gone, or the owner trusts others."""
        for to in list(self._far.values()):
            self._plan(to, now)

    def silent(self, to: NodeId, now: float) -> None:
        """That recipient does not answer along its path."""
        if now >= self._silent.get(to, float("-inf")):
            self._silent[to] = now + _SILENT_S
            self._arm(now + _SILENT_S)
            self._plan(to, now)

    def answered(self, to: NodeId) -> None:
        """That recipient has answered."""
        self._silent.pop(to, None)

    def turned_away(self, relay: NodeId, to: NodeId, now: float) -> float:
        """That relay will not keep mail for that recipient. Returns until when it is not asked again."""
        until = self._turned_away[relay, to] = now + _TURNED_AWAY_S
        self._arm(until)
        self._plan(to, now)
        return until

    def expire(self, now: float) -> None:
        """Try again what did not work for a while."""
        if not (self._silent or self._turned_away):
            return
        over = {to for to, until in self._silent.items() if now >= until}
        over |= {to for (_, to), until in self._turned_away.items() if now >= until}
        self._silent = {to: until for to, until in self._silent.items() if now < until}
        self._turned_away = {pair: until for pair, until in self._turned_away.items() if now < until}
        for until in (*self._silent.values(), *self._turned_away.values()):
            self._arm(until)
        for to in sorted(over):
            self._plan(to, now)

    def why(self, row: Outgoing) -> str:
        """Why a message is not delivered yet, in words for people."""
        ways = self._delivery.ways_to(row.to)
        if not ways:
            return "no way to the recipient, and no relay that would keep it"
        if ways[0].direct:
            return "waiting for the receipt"
        relays = [way for way in ways if way.relay is not None]
        if relays and not row.is_file and not any(way.carries(row) for way in ways):
            return f"the recipient is away; no relay is given a text that needs {row.min_bandwidth} bps"
        if relays:
            words = f"the recipient is away; given to {len(relays)} relay{'s' if len(relays) > 1 else ''}"
            forgetful = sum(way.relay in self._delivery.forgetful for way in relays)
            if forgetful:
                words += f", {f'{forgetful} of them ' if forgetful < len(relays) else ''}in memory only"
            return words
        return "on its way over other nodes, waiting for the receipt"

    # --- planning -------------------------------------------------------------------------------
    def _plan(self, to: NodeId, now: float, *, again: bool = False) -> None:
        address = address_of(to)
        route = self._router.route(address, now)
        if route is not None and route.path is None:
            self._far.pop(address, None)
            self._near[address] = to
            self._silent.pop(to, None)
            bps = self._router.width(address, route, now)
            self._delivery.set_ways(to, [Way(route.link, slowest_bps=bps)], again=again)
            return
        self._near.pop(address, None)
        if not self._store.pending(to, limit=1):
            self._far.pop(address, None)
            self._delivery.set_ways(to, [])
            return
        self._far[address] = to
        ways = []
        if route is not None:
            bps = self._router.width(address, route, now)
            ways.append(Way(route.link, address, latency_s=route.latency_s, slowest_bps=bps))
        else:
            self._router.requests.want(address, now)
        if route is None or now < self._silent.get(to, float("-inf")):
            ways += self._relays(to, address, now)[:RELAYS_PER_MESSAGE]
        self._delivery.set_ways(to, ways, again=again)

    def _relays(self, to: NodeId, address: Address, now: float) -> list[Way]:
        """Relays for a recipient's mail: those it has named, then trusted neighbours, disks before memory;
        without any of these, neighbours that keep anybody's mail."""
        ways: list[Way] = []
        for relay in self._contacts.relays_of(to):
            link = self._router.link_to(relay)
            if link is not None:
                ways.append(self._to_neighbour(link, address, relay, now))
                continue
            relay_address = address_of(relay)
            self._named.add(relay_address)
            route = self._router.route(relay_address, now)
            if route is not None:
                bps = self._router.width(relay_address, route, now)
                ways.append(Way(route.link, address, relay, relay_address, route.latency_s, bps))
            else:
                self._router.requests.want(relay_address, now)
        neighbours = sorted(
            (announce.memory_only, -link.profile.bps, peer, link.cid)
            for peer, link, announce in self._router.neighbours()
            if announce is not None and announce.serve is not Serve.NOBODY
        )
        trusted = [one for one in neighbours if self._contacts.rank(address_of(one[2])) >= Rank.TRUSTED]
        for *_, peer, _ in trusted or (neighbours if not ways else ()):
            link = self._router.link_to(peer)
            if link is not None:
                ways.append(self._to_neighbour(link, address, peer, now))
        named: dict[NodeId | None, Way] = {}
        for way in ways:
            if way.relay not in (None, to) and now >= self._turned_away.get((way.relay, to), now):
                named.setdefault(way.relay, way)
        return list(named.values())

    def _to_neighbour(self, link: Attachment, destination: Address, relay: NodeId, now: float) -> Way:
        """Into the custody of a neighbour."""
        bps = self._router.width(address_of(relay), Route(link), now)
        return Way(link, destination, relay, slowest_bps=bps)
