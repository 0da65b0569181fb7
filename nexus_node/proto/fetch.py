"""Fetching one object from whoever has it: what to ask of whom, and what to make of what comes (N7).

Sans-IO. Each provider has a window of bytes asked for and not yet here: twice what comes in the time that a
question takes, as measured (after the model of BBR, Cardwell et al. 2016). So the same machine serves a radio
of 300 bit/s and a wire of 1 Gbit/s, and no more waits at a slow provider than another could take over.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address
from nexus_node.base.limits import CHUNK_SIZE, FETCH_WINDOW_MAX, PROVIDERS_MAX
from nexus_node.proto.hashtree import HashTree, split_unit, unit_of
from nexus_node.wire.dataobject import ObjectHeader
from nexus_node.wire.transfer import RUNS_MAX, Run

_WINDOW_MIN = 2 * CHUNK_SIZE
"""One unit on its way and one asked for: the provider always has something to send."""
_WINDOW_START_S = 0.25
_AHEAD_S = 0.1
"""What is asked for beyond the round trip, so that a short stall empties nothing."""
_MEASURE_S = 0.05
_FORGET = 0.9
"""A rate that is not reached again counts for so much less with each measurement."""
_PACKET = 4 * CHUNK_SIZE
"""As much may come at once."""
_PATIENCE_S = 2.0
_PATIENCE_MAX_S = 120.0
_TRIES = 6
"""Questions that go unanswered before a provider is left alone, until it offers again."""
_REORDERED = 16
"""Units that may come late before they count as lost."""
_RUN_MAX = 0xFFFF


class WrongUnits(BadWire):
    """Some of the units that came do not fit the object; `fresh` are those beside them that do."""

    def __init__(self, fresh: list[tuple[int, bytes]]) -> None:
        super().__init__("wrong_chunk")
        self.fresh = fresh


@dataclass(slots=True)
class Provider:
    """One node that has the object, and what it was asked for."""

    bps: float
    """Of the way to it, as far as is known."""
    window: float
    asked: OrderedDict[int, tuple[int, float]] = field(default_factory=OrderedDict)
    """Units on their way: their sizes and when they were asked for, in that order."""
    bytes: int = 0
    """The same in bytes."""
    due: float = inf
    """When something should have come."""
    tries: int = 0
    rtt: float = inf
    """Seconds from a question to its first unit, the least so far."""
    rate: float = 0.0
    """Bytes per second that come, the most of late."""
    since: float = 0.0
    """When the present measurement began, and what has come in it."""
    came: int = 0
    latest: float = 0.0
    """When something came last."""

    def ask(self, unit: int, size: int, now: float) -> None:
        if not self.asked:  # since then it had nothing to send
            self.since += now - max(self.latest, self.since)
        self.asked[unit] = size, now
        self.bytes += size

    def drop(self, unit: int) -> None:
        self.bytes -= self.asked.pop(unit)[0]

    def measure(self, unit: int, now: float) -> None:
        """That unit has come."""
        size, asked_at = self.asked[unit]
        self.rtt = min(self.rtt, now - asked_at)
        self.came += size
        self.latest = now
        took = now - self.since
        if took >= max(_MEASURE_S, self.rtt):
            self.rate = max(self.came / took, _FORGET * self.rate)
            self.since, self.came = now, 0
            window = 2 * self.rate * (self.rtt + _AHEAD_S)
            self.window = min(max(_WINDOW_MIN, window), FETCH_WINDOW_MAX)


class Fetch:
    """One object on its way here."""

    def __init__(
        self, header: ObjectHeader, pages: Iterable[tuple[int, int, bytes]], have: Iterable[int]
    ) -> None:
        """`pages` and `have` are the pages and chunks that are here already."""
        self.tree = HashTree(header)
        for level, number, hashes in pages:
            self.tree.add_page(level, number, hashes)
        self._have = bytearray(self.tree.chunks)
        self.have = 0
        """Chunks that are here."""
        for number in have:
            self.found(number)
        self.providers: dict[Address, Provider] = {}
        self._liars: set[Address] = set()
        """Providers whose units did not fit: asked again only when there is nobody else."""
        self._owners: dict[int, Address] = {}
        """Who was asked for each unit on its way."""
        self._again: list[int] = []
        """Units that were asked for and did not come."""
        self._cursor = 0
        """Chunks below it are here, on their way or in `_again`."""

    @property
    def complete(self) -> bool:
        return self.have == self.tree.chunks

    @property
    def waiting(self) -> bool:
        """Whether anything is asked for and not here."""
        return bool(self._owners)

    def found(self, number: int) -> None:
        """That chunk is here."""
        self.have += not self._have[number]
        self._have[number] = 1

    # --- providers ------------------------------------------------------------------------------
    def offered(self, who: Address, bps: float) -> None:
        """That node has the object, on a way of so many bits per second."""
        provider = self.providers.get(who)
        if provider is None:
            if (who in self._liars and self.providers) or not self._place():
                return
            window = min(max(_WINDOW_MIN, bps / 8 * _WINDOW_START_S), FETCH_WINDOW_MAX / 8)
            self.providers[who] = Provider(bps, window)
        else:
            provider.bps, provider.tries = bps, 0

    def _place(self) -> bool:
        """Whether there is a place for one more; one that nothing is asked of gives way."""
        if len(self.providers) >= PROVIDERS_MAX:
            idle = next((who for who, one in self.providers.items() if not one.asked), None)
            if idle is None:
                return False
            del self.providers[idle]
        return True

    def lied(self, who: Address) -> None:
        """What that node sent is none of this object."""
        if len(self._liars) < PROVIDERS_MAX:
            self._liars.add(who)
        self.lost(who)

    def way(self, who: Address, bps: float) -> None:
        """The way to that provider is of so many bits per second now."""
        self.providers[who].bps = bps

    def lost(self, who: Address) -> None:
        """That node is out of reach, or not to be asked any more."""
        provider = self.providers.pop(who, None)
        if provider is not None:
            self._release(provider)

    def restart(self, who: Address) -> None:
        """What that node was asked for may have got lost: its way is another now."""
        provider = self.providers[who]
        self._release(provider)
        provider.tries = 0

    def _release(self, provider: Provider) -> None:
        for unit in provider.asked:
            del self._owners[unit]
            self._again.append(unit)
        provider.asked.clear()
        provider.bytes = 0
        provider.due = inf

    # --- asking ---------------------------------------------------------------------------------
    def ask(self, who: Address, now: float) -> list[Run]:
        """What to ask of a provider now: nothing while half of its window is on its way, or it is silent and
        another is not."""
        provider = self.providers[who]
        silent = provider.tries > 0 and any(one.tries == 0 for one in self.providers.values())
        if silent or provider.bytes > provider.window / 2:
            return []
        units: list[int] = []
        for unit in self._wanted():
            size = self.tree.size_of(unit) or 0
            if provider.bytes and provider.bytes + size > provider.window:
                self._again.append(unit)
                break
            units.append(unit)
            provider.ask(unit, size, now)
            self._owners[unit] = who
        runs = _runs(units)
        for first, count in runs[RUNS_MAX:]:
            for unit in range(first, first + count):
                provider.drop(unit)
                del self._owners[unit]
                self._again.append(unit)
        if runs:
            provider.due = now + self._patience(provider)
        return runs[:RUNS_MAX]

    def _wanted(self) -> Iterator[int]:
        """Units to ask for, each once: what did not come, pages, chunks in order."""
        self._again.sort(reverse=True)
        while self._again:
            level, number = split_unit(unit := self._again.pop())
            if not (self.tree.knows(level, number) if level else self._have[number]):
                yield unit
        for level, number in list(self.tree.missing_pages()):
            if (unit := unit_of(level, number)) not in self._owners:
                yield unit
        while self._cursor < self.tree.chunks:
            number = self._cursor
            if not self.tree.can_check(0, number):
                return
            self._cursor += 1
            if not self._have[number]:
                yield number

    def _patience(self, provider: Provider) -> float:
        drain = 4 * 8 * min(provider.bytes, _PACKET) / provider.bps
        rtt = provider.rtt if provider.rtt < inf else 0.0
        patience = max(_PATIENCE_S, 4 * rtt) * 2.0 ** min(provider.tries, 6)
        return drain + min(_PATIENCE_MAX_S, patience)

    # --- what comes -----------------------------------------------------------------------------
    def owner(self, unit: int) -> Address | None:
        """Who was asked for that unit and has not sent it."""
        return self._owners.get(unit)

    def take(self, first: int, data: bytes, now: float) -> list[tuple[int, bytes]]:
        """Units that came, one after the other from `first`: those that are new, checked.

        A unit nobody was asked for, or that is here, is passed over. Raises BadWire("bad_chunk") for sizes
        that are none, WrongUnits for what does not fit the object's hashes: that is `owner`'s fault, if it
        came from there.
        """
        fresh: list[tuple[int, bytes]] = []
        wrong = False
        at, unit = 0, first
        while at < len(data):
            size = self.tree.size_of(unit)
            if size is None or at + size > len(data):
                raise BadWire("bad_chunk")
            if unit in self._owners:
                part = data[at : at + size]
                if self.tree.checks(unit, part):
                    fresh.append((unit, part))
                else:
                    wrong = True
            at += size
            unit += 1
        for one, part in fresh:
            self._came(one, part, now)
        if wrong:
            raise WrongUnits(fresh)
        return fresh

    def _came(self, unit: int, part: bytes, now: float) -> None:
        provider = self.providers[self._owners.pop(unit)]
        skipped = []
        for earlier in provider.asked:
            if earlier == unit:
                break
            skipped.append(earlier)
        provider.measure(unit, now)
        provider.drop(unit)
        if len(skipped) > _REORDERED:  # what was asked for before this is lost
            for earlier in skipped:
                provider.drop(earlier)
                del self._owners[earlier]
                self._again.append(earlier)
        level, number = split_unit(unit)
        if level:
            self.tree.add_page(level, number, part)
        else:
            self.found(number)
        provider.tries = 0
        provider.due = now + self._patience(provider) if provider.asked else inf

    # --- time -----------------------------------------------------------------------------------
    def next_deadline(self) -> float:
        return min((one.due for one in self.providers.values()), default=inf)

    def expire(self, now: float) -> list[Address]:
        """Ask again for what did not come; returns the providers that are left alone from now on."""
        silent = []
        for who, provider in list(self.providers.items()):
            if now < provider.due:
                continue
            self._release(provider)
            provider.window = max(_WINDOW_MIN, provider.window / 2)
            provider.tries += 1
            if provider.tries >= _TRIES:
                del self.providers[who]
                silent.append(who)
        return silent


def _runs(units: Iterable[int]) -> list[Run]:
    runs: list[Run] = []
    for unit in units:
        if runs and unit == sum(runs[-1]) and runs[-1][1] < _RUN_MAX:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((unit, 1))
    return runs
