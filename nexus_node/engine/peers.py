"""Attachments: each carrier with its link and what has passed over it."""

from nexus_node.base.limits import WINDOW_BYTES_MAX, WINDOW_BYTES_MIN, WINDOW_BYTES_START
from nexus_node.engine.receipts import Answer
from nexus_node.ports.driver import LinkProfile, Signal
from nexus_node.proto.fragment import Reassembly, ReassemblyBudget
from nexus_node.proto.link import Link


class Attachment:
    """One carrier of the node, from attach to detach."""

    def __init__(
        self,
        cid: int,
        profile: LinkProfile,
        label: str,
        link: Link,
        budget: ReassemblyBudget,
        *,
        dialed: bool,
    ) -> None:
        self.cid = cid
        self.profile = profile
        self.label = label
        self.link = link
        self.dialed = dialed
        self.signal: Signal | None = None
        self.rx_bytes = self.tx_bytes = 0
        self.airtime_s = 0.0
        self.frames_sent = 0
        self.reassembly = Reassembly(budget)
        self.begin_session()

    def begin_session(self) -> None:
        """Forget what belonged to the previous link session."""
        self.reassembly.clear()
        self.answers: dict[int, Answer] = {}
        """What messages that came as fragments have earned, by transfer number, should it get lost."""
        self.next_transfer = 0
        self.unacknowledged = 0
        """Bytes sent in messages and fragments that nothing has answered yet."""
        self.window = WINDOW_BYTES_START

    def number_transfer(self) -> int:
        number = self.next_transfer
        self.next_transfer = (number + 1) % 256
        return number

    @property
    def window_open(self) -> bool:
        """Whether more may be sent before something is acknowledged. Ordered carriers pace themselves."""
        return self.profile.ordered or self.unacknowledged < self.window

    def answered(self, size: int) -> None:
        """That many bytes were acknowledged: additive increase, one frame a window."""
        self.unacknowledged -= size
        self.window = min(WINDOW_BYTES_MAX, self.window + max(1, size * self.link.mtu // self.window))

    def lost(self, size: int) -> None:
        """That many bytes were not acknowledged in time: multiplicative decrease."""
        self.unacknowledged -= size
        self.window = max(WINDOW_BYTES_MIN, self.window // 2)

    def retry_after(self, tries: int) -> float:
        """Seconds until an unanswered message is sent again (60 at most, unless the link needs longer)."""
        drain = 2 * 8 * (self.unacknowledged + self.link.mtu) / self.profile.bps
        if self.profile.ordered:
            return max(60.0, drain)
        patience = max(0.5, 3 * (self.link.rtt or self.link.rto)) * 2.0 ** min(tries, 7)
        return max(min(patience, 60.0), drain)
