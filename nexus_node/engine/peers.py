"""Attachments: each link, with its carrier and what has passed over it."""

from typing import TYPE_CHECKING

from nexus_node.base.duty import AirBudget
from nexus_node.base.limits import WINDOW_BYTES_MAX, WINDOW_BYTES_MIN, WINDOW_BYTES_START
from nexus_node.engine.receipts import Answer
from nexus_node.engine.schedule import BULK_OF_DUTY
from nexus_node.ports.driver import LinkProfile, Signal
from nexus_node.proto.fragment import Reassembly, ReassemblyBudget
from nexus_node.proto.link import Link

_DEAD_TRIES, _DEAD_S = 5, 30.0
"""On a shared medium nothing else shows soon that a neighbour has gone."""

if TYPE_CHECKING:
    from nexus_node.engine.medium import Medium


class Attachment:
    """A carrier between two nodes, from attach to detach; or one link of many on a shared medium."""

    def __init__(
        self,
        cid: int,
        profile: LinkProfile,
        label: str,
        link: Link,
        budget: ReassemblyBudget,
        *,
        dialed: bool,
        medium: "Medium | None" = None,
        air: AirBudget | None = None,
    ) -> None:
        self.cid = cid
        self.profile = profile
        self.label = label
        self.link = link
        self.dialed = dialed
        self.medium = medium
        self.signal: Signal | None = None
        self.stalled = False
        """Whether its driver has said that the far end acknowledges nothing, since its session began."""
        self.reached = True
        """Whether the far end acknowledges something, as the driver says."""
        self.rx_bytes = self.tx_bytes = 0
        self.airtime_s = 0.0
        self.air = air
        """What its radio may send in an hour; None without such a limit."""
        self.frames_sent = 0
        self.due = 0.0
        """When the link wants to be called, as it said when it was last heard or sent something."""
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

    @property
    def state(self) -> str:
        """As `Link.state`, or `stalled`."""
        return "stalled" if self.stalled and self.link.up else self.link.state

    @property
    def why(self) -> str | None:
        """Why there is no link, in words for people."""
        if self.stalled and self.link.up:
            return "the far end acknowledges nothing"
        return self.link.closed or (None if self.state == "up" else "no link there yet")

    def bulk_at(self, now: float) -> float:
        """From when on bulk may go, `now` if it may: its radio has to have air left for what is more urgent
        (N6)."""
        air = self.air
        if air is None or air.limit_s is None:
            return now
        largest = self.link.mtu
        took = self.profile.airtime(largest) if self.profile.airtime else 8 * largest / self.profile.bps
        return air.free_at(min(took, BULK_OF_DUTY * air.limit_s), now, share=BULK_OF_DUTY)

    def number_transfer(self) -> int:
        number = self.next_transfer
        self.next_transfer = (number + 1) % 256
        return number

    @property
    def window_open(self) -> bool:
        """Whether more may be sent before something is acknowledged. Ordered carriers pace themselves."""
        return self.profile.ordered or self.unacknowledged < self.window

    @property
    def acknowledges(self) -> bool:
        """Whether what crosses hops is acknowledged on this one: where the air is shared, too much gets lost
        to leave that to the ends."""
        return self.medium is not None

    def is_dead(self, tries: int, now: float) -> bool:
        """Whether so many repeats in vain mean that nobody is there any more."""
        silent = now - self.link.last_answered
        return self.medium is not None and tries >= _DEAD_TRIES and silent >= _DEAD_S

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
