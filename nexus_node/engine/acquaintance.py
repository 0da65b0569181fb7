"""Whom this node has met, and which neighbours are worth a copy of a message (N10, docs/protocol/custody.md).

A fixed number of copies is the wrong knob: what is right among 20 people on Wi-Fi is wrong among 400, or on
LoRa. Here the price of a copy, in seconds of the link, decides how choosy its carrier is.
"""

from collections import OrderedDict
from itertools import islice
from math import log10

from nexus_node.base.ids import Address
from nexus_node.base.limits import ACQUAINTANCES_MAX
from nexus_node.wire.custody import Acquaintance

_LATELY_S = 3600.0
_FREE_S = 0.0005
"""A copy that takes less of the link costs nothing worth sparing: 6 kB at 100 Mbps."""
_USUAL_S, _SHARE, _SHARE_A_DECADE = 0.0025, 0.7, 0.2
"""A copy of 600 bytes at 250 kB/s goes to whoever meets 0.7 times as many as its carrier; one that takes ten
times as long, to whoever meets 0.9 times as many, and so on."""
_SLACK = 3
"""Differences that small among people who meet few mean nothing."""
_DEAREST_S = 60.0
"""What takes longer only goes to those who know the recipient."""


class Acquaintances:
    """The nodes this one has had a link with, in memory."""

    def __init__(self) -> None:
        self._ended: OrderedDict[Address, float] = OrderedDict()
        """When the last link with each ended, the latest last; infinite while there is one."""

    def met(self, who: Address) -> None:
        """There is a link with that node."""
        self._ended[who] = float("inf")
        self._ended.move_to_end(who)
        if len(self._ended) > ACQUAINTANCES_MAX:
            self._ended.popitem(last=False)

    def parted(self, who: Address, now: float) -> None:
        """There is none any more."""
        if who in self._ended:
            self._ended[who] = now
            self._ended.move_to_end(who)

    def busy(self, now: float) -> int:
        """How many it has met within the last hour."""
        return sum(ended > now - _LATELY_S for ended in self._ended.values())

    def introduce(self, now: float, most: int) -> Acquaintance:
        """What a neighbour is told, of at most that many nodes."""
        return Acquaintance.make(self.busy(now), list(islice(reversed(self._ended), most)))


def worth_a_copy(seconds: float, ours: int, theirs: Acquaintance, recipient: Address) -> bool:
    """Whether a neighbour should carry a message as well, when that takes `seconds` of the link and this
    node has met `ours` nodes within the last hour."""
    if seconds < _FREE_S or theirs.knows(recipient):
        return True
    share = _SHARE + _SHARE_A_DECADE * log10(seconds / _USUAL_S)
    return seconds <= _DEAREST_S and theirs.busy + _SLACK >= share * ours
