"""What the air was used for: airtime by node and by kind of traffic, and what became of packets where.

A sealed frame shows nobody what it holds. The node that sends it knows, and is asked in the instant in
which it gives the frame to its radio; so the kinds are those of the sender, not guesses of a listener.
A frame with several items is shared out by their bytes, what is around them with them.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from nexus_node.wire.fragments import FRAGMENT_HEAD
from nexus_node.wire.frames import SEALED, FrameKind, Item, ItemKind
from nexus_node.wire.packet import Context
from nexus_sim.air import OnAir
from nexus_sim.reception import Fate

KINDS = {
    "hello": "hellos: a node says that it is there",
    "handshake": "handshakes and new keys",
    "announce": "announces: paths to everybody",
    "path_request": "requests for a path",
    "message": "messages",
    "group": "messages and operations of groups, for all around",
    "group_receipt": "who has a message of a group",
    "receipt": "receipts, on their way back to the sender",
    "ack": "acknowledgements from hop to hop",
    "custody": "custody and what carriers tell each other",
    "refusal": "refusals",
    "control": "other news of paths and queues, traces",
    "keepalive": "keep-alives of links",
    "fragment": "packets larger than a frame, after their first fragment",
    "other": "sealed frames whose sender did not tell",
}
"""Every kind of traffic, and its name for people, in the order in which it is shown."""

_CONTEXTS: dict[int, str] = {
    Context.MESSAGE: "message",
    Context.RECEIPTS: "receipt",
    Context.DELIVERED: "receipt",
    Context.REFUSAL: "refusal",
    Context.ANNOUNCE: "announce",
    Context.PATH_REQUEST: "path_request",
    Context.CUSTODY: "custody",
    Context.PROMISE: "custody",
    Context.PENDING: "custody",
    Context.WANT: "custody",
    Context.OFFER: "custody",
    Context.TAKE: "custody",
    Context.RECONCILE: "custody",
    Context.ACQUAINTANCE: "custody",
    Context.GROUP: "group",
    Context.GROUP_FAR: "group",
    Context.GROUP_CHECK: "group_receipt",
    Context.GROUP_CHECK_FAR: "group_receipt",
    Context.GROUP_HAVE: "group_receipt",
    Context.GROUP_HAVE_FAR: "group_receipt",
    Context.GROUP_WANT: "group_receipt",
}
_ITEMS: dict[int, str] = {
    ItemKind.FRAGMENT_ACK: "ack",
    ItemKind.PING: "keepalive",
    ItemKind.PONG: "keepalive",
    ItemKind.REKEY: "handshake",
    ItemKind.REKEY_REPLY: "handshake",
}
_ELIDED = 0x10
_CONTEXT_AT, _CONTEXT_AFTER_ADDRESS = 2, 18
STEPS = 60
"""Into so many parts the time of a run is cut for what changes over it."""


class Traffic:
    """The books of one run. Senders and receivers are numbers."""

    def __init__(self, duration_s: float) -> None:
        self.step_s = duration_s / STEPS
        self.airtime: defaultdict[tuple[int, str], float] = defaultdict(float)
        """Seconds, by sender and kind."""
        self.over_time: defaultdict[tuple[int, str], float] = defaultdict(float)
        """Seconds, by the number of the time step in which a packet ended, and kind."""
        self.frames: Counter[str] = Counter()
        """How many held something of each kind."""
        self.sizes: Counter[str] = Counter()
        """Bytes of the items of each kind, each time that they were on the air."""
        self.losses: Counter[tuple[int, Fate]] = Counter()
        """Packets in reach that were not received, by receiver and reason."""
        self._given: dict[int, tuple[bytes, Sequence[Item]]] = {}

    def pulled(self, sender: int, frame: bytes, items: Sequence[Item]) -> None:
        """A node has given its radio a frame that holds these."""
        self._given[sender] = frame, items

    def heard(self, packet: OnAir) -> None:
        """A packet has ended."""
        given = self._given.get(packet.sender)
        shares = contents(packet.frame, given[1] if given is not None and given[0] is packet.frame else None)
        each = (packet.end - packet.begin) / sum(size for _, size in shares)
        step = min(int(packet.end / self.step_s), STEPS - 1)
        for kind, size in shares:
            self.airtime[packet.sender, kind] += each * size
            self.sizes[kind] += size
            self.over_time[step, kind] += each * size
        for kind in {kind for kind, _ in shares}:
            self.frames[kind] += 1
        for one in packet.outcomes:
            if one.fate:
                self.losses[one.receiver, one.fate] += 1


def contents(frame: bytes, items: Sequence[Item] | None) -> list[tuple[str, int]]:
    """(kind, bytes) of what a frame holds, given the items of a sealed one, if they are known."""
    if not frame[0] & SEALED:
        return [("hello" if frame[0] == FrameKind.HELLO else "handshake", len(frame))]
    if items is None:
        return [("other", 1)]
    found = [(_kind(kind, body), len(body) + 1) for kind, body in items if kind != ItemKind.PADDING]
    return found or [("handshake", 1)]  # it ends one


def packet_of(kind: int, body: bytes) -> bytes | None:
    """The packet, or what of it is in its first fragment, that an item is; None for all else."""
    if kind == ItemKind.PACKET:
        return body
    return None if kind != ItemKind.FRAGMENT or body[1] or body[2] & 0x3F else body[FRAGMENT_HEAD:]


def context_of(packet: bytes) -> int:
    """What a packet's data is, from its beginning."""
    return packet[_CONTEXT_AT if packet[0] & _ELIDED else _CONTEXT_AFTER_ADDRESS]


def _kind(kind: int, body: bytes) -> str:
    packet = packet_of(kind, body)
    if packet is not None:
        return _CONTEXTS.get(context_of(packet), "control")
    return "fragment" if kind == ItemKind.FRAGMENT else _ITEMS.get(kind, "control")
