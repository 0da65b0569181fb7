"""Which nodes are on, and how long their batteries last."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

from nexus_sim.outcome import Charge
from nexus_sim.scenario import Battery

_HOUR_S = 3600.0


class Power:
    """The switches of all nodes. A node is on while nothing has it off."""

    def __init__(
        self,
        on: Callable[[str], Awaitable[None]],
        off: Callable[[str], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        """`on` and `off` start and stop a node; `now` tells the seconds since the beginning."""
        self._on = on
        self._off = off
        self._now = now
        self._reasons: Counter[str] = Counter()
        """Why each node is off, counted: outages may overlap."""
        self._since: dict[str, float] = {}
        self._on_s: defaultdict[str, float] = defaultdict(float)

    async def begin(self, name: str) -> None:
        """Switch a node on for the first time, unless something has it off."""
        if not self._reasons[name] and name not in self._since:
            self._since[name] = self._now()
            await self._on(name)

    async def cut(self, name: str) -> None:
        """One more reason for it to be off."""
        self._reasons[name] += 1
        since = self._since.pop(name, None)
        if since is not None:
            self._on_s[name] += self._now() - since
            await self._off(name)

    async def restore(self, name: str) -> None:
        """One reason less."""
        self._reasons[name] -= 1
        await self.begin(name)

    def used_mah(self, name: str, battery: Battery, airtime_s: float) -> float:
        """What a node has drawn so far, given its seconds on air."""
        now = self._now()
        on_s = self._on_s[name] + (now - self._since[name] if name in self._since else 0.0)
        drawn = on_s * battery.on_ma + (now - on_s) * battery.off_ma
        return (drawn + airtime_s * (battery.tx_ma - battery.on_ma)) / _HOUR_S

    def charge(self, name: str, battery: Battery, airtime_s: float) -> Charge:
        """What is left of its battery, and how long a full one lasts at that rate."""
        used = self.used_mah(name, battery, airtime_s)
        days = battery.mah / used * self._now() / (24 * _HOUR_S) if used else None
        return Charge(max(0.0, 1 - used / battery.mah), days)
