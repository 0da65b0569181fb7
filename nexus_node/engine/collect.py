"""Fetching one's own mail from the relays that keep it (N10, docs/protocol/custody.md)."""

from collections import Counter, OrderedDict
from dataclasses import dataclass

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


@dataclass(slots=True)
class _Wanted:
    """A message asked of a relay, until when no other is asked, and whether another has it as well."""

    relay: Address
    until: float
    other: bool = False


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
            elif self._ask_of(pending.relay, prefix, now):
                wanted.append(prefix)
        if not wanted:
            return
        data = b"".join(wanted)
        if pending.relay == address_of(peer):
            self._forwarder.tell(peer, Context.WANT, data)
            return
        route = self._router.route(pending.relay, now)
        if route is not None:
            packet = Packet(Context.WANT, data, pending.relay, priority=Priority.INTERACTIVE)
            self._forwarder.enqueue(
                route.link, on_the_way(packet, route), Priority.INTERACTIVE, pending.relay
            )

    def _files_called(self, prefix: bytes) -> list[tuple[NodeId, bytes]]:
        """The senders and receipts of a file that is here; none while it is not."""
        files = [one for one in self._store.expected(prefix) if not one.ended]
        here = all(one.arrived_ms is not None for one in files)
        return [(one.sender, one.receipt) for one in files] if here else []

    def _ask_of(self, relay: Address, prefix: bytes, now: float) -> bool:
        """Whether to ask that relay for a message now: one at a time, and another if it did not come."""
        known = self._wanted.get(prefix)
        if known is None:
            self._wanted[prefix] = _Wanted(relay, now + _ASK_AGAIN_S)
            if len(self._wanted) > WANTED_MAX:
                self._wanted.popitem(last=False)
            return True
        if now < known.until:
            known.other = known.other or relay != known.relay
            return False
        if relay == known.relay and known.other:  # it had its turn
            known.other = False
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
