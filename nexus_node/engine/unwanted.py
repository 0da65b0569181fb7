"""Files that will not come: declined by who should get them, or withdrawn by who sends them (N7, S6)."""

from collections import Counter
from collections.abc import Callable
from hmac import compare_digest

from nexus_node.base.errors import InputError
from nexus_node.base.ids import NodeId, ObjectId
from nexus_node.crypto.address import address_of
from nexus_node.crypto.filestream import file_declined, file_withdrawn
from nexus_node.engine.collect import Collector
from nexus_node.engine.events import Emit
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.receipts import Receipts
from nexus_node.engine.router import Router
from nexus_node.ports.store import Expected, Incoming, Store
from nexus_node.wire.custody import Delivered
from nexus_node.wire.description import Description
from nexus_node.wire.packet import Reason
from nexus_node.wire.routing import PREFIX_SIZE

DECLINED, WITHDRAWN = "declined", "withdrawn"


class Unwanted:
    """The recipient's side. What was fetched of such a file goes from the disk."""

    def __init__(
        self,
        store: Store,
        router: Router,
        forwarder: Forwarder,
        fetcher: Fetcher,
        receipts: Receipts,
        collector: Collector,
        *,
        files_of: Callable[[Incoming], list[Description]],
        counters: Counter[str],
        emit: Emit,
    ) -> None:
        self._store = store
        self._router = router
        self._forwarder = forwarder
        self._fetcher = fetcher
        self._receipts = receipts
        self._collector = collector
        self._files_of = files_of
        self._counters = counters
        self._emit = emit
        self.promised = False
        """Whether something is queued that must not leave before the store has committed."""

    # --- declined -------------------------------------------------------------------------------
    def decline(self, prefix: bytes, now: float) -> list[Expected]:
        """The owner does not want the file whose object is called so, and its senders are told, now or when
        they offer it again. Returns what was expected. Raises InputError with words."""
        expected = [one for one in self._store.expected(prefix) if not one.ended]
        if not expected:
            raise InputError(f"no file {prefix.hex()} is on its way here; see: nexus inbox")
        if any(one.arrived_ms is not None for one in expected):
            raise InputError("that file is here already; it cannot be declined any more")
        object_id = expected[0].object
        if any(one.object != object_id for one in expected):
            raise InputError(f"several files are called {prefix.hex()}; give more of the id")
        peers = self._fetcher.sources(object_id, now)
        for one in expected:
            found = self._described(one)
            if found is None:
                continue  # the disk has damaged its message: its sender waits until the message is over
            row, file = found
            self._store.end_expected(one, DECLINED, file_declined(file.key, object_id, row.shown_id))
        self._drop(object_id)
        for peer in peers or self._ways_to(expected, now):
            self.turn_down(peer, object_id)
        for sender in dict.fromkeys(one.sender for one in expected):
            self._emit("file_declined", {"object": object_id.hex(), "from": address_of(sender).hex()})
        return expected

    def _ways_to(self, expected: list[Expected], now: float) -> list[NodeId]:
        routes = [self._router.route(address_of(one.sender), now) for one in expected]
        peers = (route.link.link.peer for route in routes if route is not None)
        return list(dict.fromkeys(peer for peer in peers if peer is not None))

    def turn_down(self, peer: NodeId, object_id: ObjectId) -> None:
        """Tell who is at the other end, or beyond it, that the file is not wanted: to relays the neighbour's
        word is enough, the sender has proof."""
        self.promised = True
        prefix = object_id[:PREFIX_SIZE]
        for one in self._store.expected(object_id):
            if one.ended != DECLINED:
                continue
            if one.sender == peer:
                self._receipts.add(peer, one.receipt)
            else:
                self._collector.send_receipt(peer, one.sender, Delivered(prefix, one.receipt))
        self._forwarder.refuse(peer, prefix, Reason.DECLINED)

    # --- withdrawn ------------------------------------------------------------------------------
    def take_withdrawn(self, entry: Delivered, now: float) -> bool:
        """Somebody says that a file will not be sent; False when that proves nothing."""
        believed = False
        for one in self._store.expected(entry.prefix):
            found = self._described(one) if not one.ended and one.arrived_ms is None else None
            if found is None:
                continue
            row, file = found
            if compare_digest(file_withdrawn(file.key, one.object, row.shown_id), entry.receipt):
                believed = True
                self._store.end_expected(one, WITHDRAWN, one.receipt)
                if all(other.ended for other in self._store.expected(one.object)):
                    self._drop(one.object)
                fields = {"object": one.object.hex(), "from": address_of(one.sender).hex()}
                self._emit("file_withdrawn", {**fields})
        return believed

    def _drop(self, object_id: ObjectId) -> None:
        self._fetcher.cancel(object_id)
        if self._store.held(object_id[:PREFIX_SIZE]) is None:  # not kept for others as well
            self._store.delete_object(object_id)

    def _described(self, expected: Expected) -> tuple[Incoming, Description] | None:
        row = self._store.incoming(expected.message)
        for file in self._files_of(row) if row is not None else ():
            if row is not None and file.object == expected.object:
                return row, file
        return None
