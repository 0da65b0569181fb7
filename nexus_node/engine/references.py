"""Objects that something published points to: fetched by who has subscribed, given to who asks (N8)."""

from collections.abc import Callable

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import ATTACHMENT_MAX
from nexus_node.crypto.address import address_of
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.publications import Known, Publications
from nexus_node.engine.serving import Served
from nexus_node.engine.wallclock import WallClock
from nexus_node.ports.store import Keep, Store
from nexus_node.wire.transfer import Offer

_LOOK_S = 600.0
"""How often they are looked for."""


class References:
    """What is pointed to."""

    def __init__(
        self,
        own: NodeId,
        store: Store,
        publications: Publications,
        fetcher: Fetcher,
        wall: WallClock,
        *,
        emit: Emit,
        arm: Callable[[float], None],
    ) -> None:
        self._own = own
        self._store = store
        self._publications = publications
        self._fetcher = fetcher
        self._wall = wall
        self._emit = emit
        self._arm = arm
        self._look_at = float("inf")
        """When to look again for what is not here."""

    def served(self, prefix: bytes, asker: Address) -> Served | None:
        """The object that something published here points to: anybody may have it. Of what others have
        published only what was fetched because of that: pointing to it makes nothing public."""
        for known in self._publications.known.values():
            if known.refers is not None and known.refers.header.id.startswith(prefix):
                stored = self._store.get_object(known.refers.header.id)
                own = known.publisher == self._own
                if stored is not None and stored.complete and (own or stored.keep is Keep.CACHED):
                    return Served(self._store, stored.id, stored.min_bandwidth)
        return None

    def look(self, now: float) -> None:
        """Fetch the objects that are pointed to where this node has subscribed, from who published them."""
        missing = [one for one in self._publications.known.values() if one.shown and not self.has(one)]
        for known in missing:
            self._fetch(known, now)
        self._look_at = now + _LOOK_S if missing else float("inf")
        self._arm(self._look_at)

    def has(self, known: Known) -> bool:
        if known.refers is None or known.refers.header.size > ATTACHMENT_MAX:
            return True
        stored = self._store.get_object(known.refers.header.id)
        return stored is not None and stored.complete

    def _fetch(self, known: Known, now: float) -> None:
        if known.refers is None or self._fetcher.progress(known.refers.header.id) is not None:
            return
        header, bps = known.refers.header, known.refers.min_bandwidth

        def done(at: float) -> None:
            self._emit("object_arrived", {"object": header.id.hex()})

        offer = Offer(header, bps, address_of(known.publisher))
        now_ms = self._wall.ms(now)
        self._fetcher.begin(
            known.publisher, offer, bps, now_ms, now, done, store=self._store, keep=Keep.CACHED
        )

    def expire(self, now: float) -> None:
        """Look again for what is not here."""
        if now >= self._look_at:
            self.look(now)
        self._arm(self._look_at)
