"""Receipts on their way to neighbours: in order, each once, many in a packet."""

from dataclasses import dataclass, field
from itertools import islice

from nexus_node.base.ids import NodeId
from nexus_node.base.limits import RECEIPTS_PER_PACKET, RECEIPTS_WAITING
from nexus_node.ports.store import Store
from nexus_node.wire.frames import ItemKind, ItemPacker
from nexus_node.wire.packet import HEADER_SIZE, RECEIPT_SIZE, Context, Packet, Priority


@dataclass(slots=True)
class Answer:
    """The receipt that a message has earned, and whose message it is."""

    prefix: bytes
    sender: NodeId
    receipt: bytes = field(repr=False)


class Receipts:
    """What each neighbour is to be told. Bounded: who misses one repeats its message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[NodeId, dict[bytes, int | None]] = {}

    def add(self, peer: NodeId, receipt: bytes, *, read: int | None = None) -> None:
        """Queue a receipt for the neighbour that sent the message. `read` is the `seq` of the inbox row whose
        *read* receipt it is: it is offered again at the next link."""
        waiting = self._waiting.setdefault(peer, {})
        waiting[receipt] = read
        if len(waiting) > RECEIPTS_WAITING:
            del waiting[next(iter(waiting))]

    def fill(self, peer: NodeId, packer: ItemPacker) -> None:
        waiting = self._waiting.get(peer)
        while waiting and packer.left >= HEADER_SIZE + RECEIPT_SIZE:
            most = min(RECEIPTS_PER_PACKET, (packer.left - HEADER_SIZE) // RECEIPT_SIZE)
            batch = list(islice(waiting, most))
            for receipt in batch:
                read = waiting.pop(receipt)
                if read is not None:
                    self._store.told(read)
            packet = Packet(Context.RECEIPTS, b"".join(batch), priority=Priority.INTERACTIVE)
            packer.add(ItemKind.PACKET, packet.encode())

    def forget(self, peer: NodeId) -> None:
        """That neighbour has no link any more."""
        self._waiting.pop(peer, None)
