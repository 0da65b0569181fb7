"""Airtime that outlasts restarts: what a radio has sent in the last hour, kept in the store (N6)."""

import struct

from nexus_node.base.duty import HOUR_S, AirBudget
from nexus_node.engine.wallclock import PLAUSIBLE_MS, WallClock
from nexus_node.ports.store import Store

_ENTRY = struct.Struct("<II")
"""A minute since 1970, and the milliseconds given to the radio in it."""
_MINUTE_S = 60
_SAVE_EVERY_S = 1.0
"""Of airtime: so little may be forgotten by a crash, and is assumed to be at every start."""


class KeptAirBudget(AirBudget):
    """An `AirBudget` that is written to the store as it is used."""

    def __init__(self, duty_cycle: float, key: str, store: Store, wall: WallClock, now: float) -> None:
        super().__init__(duty_cycle)
        self.key = key
        self._store = store
        self._wall = wall
        self._unsaved = 0.0
        self._load(now)

    def add(self, airtime_s: float, now: float) -> None:
        super().add(airtime_s, now)
        self._unsaved += airtime_s
        if self._unsaved >= _SAVE_EVERY_S:
            self._save(now)

    def _save(self, now: float) -> None:
        self._unsaved = 0.0
        minutes: dict[int, float] = {}
        for begin, end in self.given(now):
            minute = self._wall.ms(end) // (1000 * _MINUTE_S)
            minutes[minute] = minutes.get(minute, 0.0) + end - begin
        entries = (
            _ENTRY.pack(max(0, minute), round(seconds * 1000)) for minute, seconds in sorted(minutes.items())
        )
        self._store.set_meta(f"airtime {self.key}", b"".join(entries))

    def _load(self, now: float) -> None:
        """Each minute counts from its end. Where the clock was wrong then or now, from now."""
        data = self._store.get_meta(f"airtime {self.key}") or b""
        entries = list(_ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]))
        if not entries:
            return
        newest = (entries[-1][0] + 1) * _MINUTE_S
        here = self._wall.ms(now) / 1000
        sound = self._wall.trusted(now) and newest * 1000 >= PLAUSIBLE_MS and newest <= here + _MINUTE_S
        shift = now - (here if sound else newest)
        for minute, milliseconds in entries:
            at = min(now, (minute + 1) * _MINUTE_S + shift)
            if at > now - HOUR_S - _MINUTE_S:
                super().add(min(milliseconds / 1000, HOUR_S), at)
        super().add(_SAVE_EVERY_S, now)
