"""Fetching one's own mail from the relays that keep it (N10, docs/protocol/custody.md)."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import WANTED_MAX
from nexus_node.crypto.address import address_of
from nexus_node.engine.forward import Forwarder, on_the_way
from nexus_node.engine.router import Router
from nexus_node.ports.store import Store
from nexus_node.wire.custody import Delivered, Pending
from nexus_node.wire.packet import Context, Packet, Priority

_ASK_AGAIN_S = 4.0
"""So long a message that was asked of one relay is not asked of another."""
_OTHERS = 4
"""Relays remembered that have it as well."""


@dataclass(slots=True)
class _Wanted:
    """A message asked of a relay, until when no other is asked, and which others have it as well, with the
    neighbours that said so."""

    relay: Address
    until: float
    others: dict[Address, NodeId] = field(default_factory=dict)


class Collector:
    """Asks relays for what is not here yet, and tells them what is."""

    def __init__(self, store: Store, router: Router, forwarder: Forwarder, counters: Counter[str]) -> None:
        self._store = store
        self._router = router
        self._forwarder = forwarder
        self._counters = counters
        self._wanted: OrderedDict[bytes, _Wanted] = OrderedDict()
        """Messages asked for that have not come yet."""

    def take_pending(self, peer: NodeId, pending: Pending, now: float) -> None:
        """A relay has messages for this node; `peer` is the neighbour that said so."""
        wanted = []
        for prefix in pending.prefixes:
            message = self._store.incoming_called(prefix)
            known = [message] if message is not None else self._files_called(prefix)
            if known:
                self._counters["pending_known"] += 1
                for sender, receipt in known:
                    self.send_receipt(peer, sender, Delivered(prefix, receipt))
            elif self._is_file(prefix) or self._ask_of(pending.relay, peer, prefix, now):
                wanted.append(prefix)
        if wanted:
            self._want(pending.relay, peer, b"".join(wanted), now)

    def _want(self, relay: Address, peer: NodeId, prefixes: bytes, now: float) -> None:
        """Ask a relay, of which that neighbour has told, for messages."""
        if relay == address_of(peer):
            self._forwarder.tell(peer, Context.WANT, prefixes)
            return
        route = self._router.route(relay, now)
        if route is not None:
            packet = Packet(Context.WANT, prefixes, relay, priority=Priority.INTERACTIVE)
            self._forwarder.enqueue(route.link, on_the_way(packet, route), Priority.INTERACTIVE, relay)

    def file_comes(self, prefix: bytes, now: float) -> None:
        """A file is on its way here: whoever else keeps it may give a part of it."""
        known = self._wanted.pop(prefix, None)
        for relay, peer in known.others.items() if known is not None else ():
            self._want(relay, peer, prefix, now)

    def _is_file(self, prefix: bytes) -> bool:
        """Whether that is a file: every relay that has it may give a part of it."""
        return any(not one.ended for one in self._store.expected(prefix))

    def _files_called(self, prefix: bytes) -> list[tuple[NodeId, bytes]]:
        """The senders and receipts of a file that is here; none while it is not."""
        files = [one for one in self._store.expected(prefix) if not one.ended]
        here = all(one.arrived_ms is not None for one in files)
        return [(one.sender, one.receipt) for one in files] if here else []

    def _ask_of(self, relay: Address, peer: NodeId, prefix: bytes, now: float) -> bool:
        """Whether to ask that relay for a message now: one at a time, and another if it did not come."""
        known = self._wanted.get(prefix)
        if known is None:
            self._wanted[prefix] = _Wanted(relay, now + _ASK_AGAIN_S)
            if len(self._wanted) > WANTED_MAX:
                self._wanted.popitem(last=False)
            return True
        if now < known.until:
            if relay != known.relay and len(known.others) < _OTHERS:
                known.others[relay] = peer
            return False
        if relay == known.relay and known.others:  # it had its turn
            known.others.clear()
            return False
        known.relay, known.until = relay, now + _ASK_AGAIN_S
        return True

    def arrived(self, prefix: bytes) -> None:
        """A message is here: it need not be asked for any more."""
        self._wanted.pop(prefix, None)

    def send_receipt(self, peer: NodeId, sender: NodeId, entry: Delivered) -> None:
        """Send a receipt back the way its message came: through `peer`, to the message's sender."""
        link = self._router.link_to(peer)
        if link is not None:
            destination = address_of(sender)
            packet = Packet(Context.DELIVERED, entry.encode(), destination, priority=Priority.INTERACTIVE)
            self._forwarder.enqueue(link, packet.encode(), Priority.INTERACTIVE, destination)
