"""What waits for one neighbour with a live link: messages, receipts, refusals. The store holds the rest."""

from collections import deque

from nexus_node.base.ids import MessageId, NodeId
from nexus_node.engine.peers import Attachment
from nexus_node.ports.store import Outgoing
from nexus_node.proto.fragment import OutgoingTransfer
from nexus_node.wire.packet import Refusal


class Flight:
    """A message handed to a link and not yet answered by a receipt."""

    __slots__ = ("done", "due", "packet", "refused", "row", "sent", "transfer", "tries", "unacknowledged")

    def __init__(self, row: Outgoing, packet: bytes) -> None:
        self.row = row
        self.packet = packet
        """Empty while its envelope is lost and the store has no room for another."""
        self.transfer: OutgoingTransfer | None = None
        self.due = float("inf")
        self.tries = 0
        self.unacknowledged = 0
        """Bytes of it counted in the attachment's window."""
        self.refused = 0
        """How often the far end had no room for it."""
        self.sent = False
        """Whether all of it has gone out once."""
        self.done = False


class Mailbox:
    """One neighbour's queues, all bounded: only a window of the outbox is in memory."""

    def __init__(self, peer: NodeId, best: Attachment) -> None:
        self.peer = peer
        self.best = best
        """The link that carries the messages: of several, the fastest."""
        self.receipts: dict[bytes, None] = {}
        """In order, each once."""
        self.refusals: deque[Refusal] = deque()
        self.flights: dict[MessageId, Flight] = {}
        self.ready: deque[tuple[Outgoing, bytes]] = deque()
        """Rows loaded and not yet sent, with their packets' data."""
        self.sending: deque[Flight] = deque()
        """Flights that fit one frame and are to go now."""
        self.transfers: deque[Flight] = deque()
        """Flights with fragments to go now."""
        self.transferring = 0
        """Flights in fragments, gone or not: the far end keeps room for a bounded number."""
        self.large: deque[tuple[Outgoing, bytes]] = deque()
        """Rows with their packets, too large for a frame, that have not begun: small ones overtake them."""
        self.holding = True
        """Whether there may be rows that this link is too narrow for and that do not say so yet."""
        self.cursor = 0
        """The outbox up to this `seq` is loaded."""
        self.backlog = True
        """Whether the store may hold rows past the cursor."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send now."""
        queues = (self.receipts, self.refusals, self.ready, self.large, self.sending, self.transfers)
        return not (self.backlog or self.holding or any(queues))
