"""How wide the way to a node may be taken to be, when links come and go (N13).

A way may be counted on for less at once, and for more only when that has lasted: at once without a fall of
late, after each further fall twice as long, as routes that flap are damped (RFC 2439). So what needs a wide
link does not set out each time that one shows up for a moment, and a link that stays a while is still used.
"""

from collections import OrderedDict
from math import inf

from nexus_node.base.ids import Address
from nexus_node.base.limits import DESTINATIONS_MAX

PATIENCE_S, PATIENCE_MAX_S = 1.0, 5.0
"""How long more must have lasted after one fall, and after many: what is there longer than that is used."""
CALM_S = 300.0
"""After so long without a fall none is held against a way."""


class Width:
    """One way, in bits per second; 0 while there is none."""

    __slots__ = ("_fallen_at", "_falls", "_least", "_seen", "bps", "due")

    def __init__(self, bps: float) -> None:
        self.bps = bps
        """What it may be counted on for."""
        self.due = inf
        """When that will be more, if nothing falls until then."""
        self._seen = bps
        self._least = bps
        """The least it has been since it was last more than counted on."""
        self._falls = 0
        self._fallen_at = -inf

    def see(self, bps: float, now: float) -> float:
        """It is that wide now, and has been what was last seen until now. Returns what to count on."""
        if now >= self.due:
            self.wait_over()
        if now >= self._fallen_at + CALM_S:
            self._falls = 0
        if bps < self._seen:
            self._falls += 1
            self._fallen_at = now
            self.due = inf
        self._seen = bps
        if bps <= self.bps:
            self.bps, self.due = bps, inf
        elif self.due == inf:
            self._least = bps
            self.due = now + self._patience
            if self.due <= now:
                self.bps, self.due = bps, inf
        else:
            self._least = min(self._least, bps)
        return self.bps

    def wait_over(self) -> None:
        """It is due: more may be counted on."""
        self.bps, self.due = self._least, inf

    @property
    def _patience(self) -> float:
        return min(PATIENCE_S * 2.0 ** (self._falls - 1), PATIENCE_MAX_S) if self._falls else 0.0


class Widths:
    """Of the ways that somebody has asked for the width of."""

    def __init__(self) -> None:
        self.due = inf
        """When the first of them may be counted on for more."""
        self._ways: OrderedDict[Address, Width] = OrderedDict()
        self._raised: set[Address] = set()
        """Those that became due as somebody asked."""

    def __contains__(self, address: Address) -> bool:
        return address in self._ways

    def see(self, address: Address, bps: float, now: float) -> float:
        """The way to that node is that wide now. Returns what to count on."""
        width = self._ways.get(address)
        if width is None:
            width = self._ways[address] = Width(bps)
            if len(self._ways) > DESTINATIONS_MAX:
                self._ways.popitem(last=False)
        before = width.bps
        counted = width.see(bps, now)
        if counted > before:
            self._raised.add(address)
            self.due = now
        self.due = min(self.due, width.due)
        return counted

    def take_due(self, now: float) -> set[Address]:
        """Those that may be counted on for more now, or since the last call."""
        if now < self.due:
            return set()
        raised, self._raised = self._raised, set()
        for address, one in self._ways.items():
            if now >= one.due:
                one.wait_over()
                raised.add(address)
        self.due = min((one.due for one in self._ways.values()), default=inf)
        return raised
