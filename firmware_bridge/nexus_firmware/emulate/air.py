"""The air between emulated radios: who hears whom, and when. Time comes in as `now`, in seconds.

Everybody tuned alike hears everybody, after exactly the packet's time on air. A radio that transmits
hears nothing meanwhile (half duplex). Two packets that overlap at a receiver are both lost there, unless
the first ends before the last five symbols of the second's preamble, from which a receiver can still
lock on to it (Bor, Roedig, Voigt and Alonso 2016).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from nexus_firmware.airtime import symbol_time, time_on_air

CRITICAL_SYMBOLS = 5
"""Of the preamble: what a receiver needs to lock on."""


class Channel(NamedTuple):
    """What two LoRa radios must have in common to hear each other. Hz."""

    frequency: int
    bandwidth: int
    spreading_factor: int
    sync_word: int


@dataclass(frozen=True, slots=True)
class Transmission:
    """One LoRa packet on its way."""

    channel: Channel
    payload: bytes
    coding_rate: int
    preamble: int

    @property
    def airtime(self) -> float:
        """Seconds from its first to its last symbol."""
        return time_on_air(
            len(self.payload),
            spreading_factor=self.channel.spreading_factor,
            bandwidth=self.channel.bandwidth,
            coding_rate=self.coding_rate,
            preamble=self.preamble,
        )

    @property
    def grace(self) -> float:
        """Seconds of its preamble that may be lost."""
        symbol = symbol_time(self.channel.spreading_factor, self.channel.bandwidth)
        return max(self.preamble - CRITICAL_SYMBOLS, 0) * symbol


class Heard(NamedTuple):
    """A whole packet as a radio chip hands it over."""

    payload: bytes
    rssi_dbm: float
    snr_db: float


class Station(Protocol):
    """A radio on the air."""

    @property
    def channel(self) -> Channel | None:
        """What it listens to now; None while it does not."""
        ...

    def sense(self, until: float, now: float) -> None:
        """A packet has begun that will keep the channel busy until then."""
        ...

    def hear(self, heard: Heard, now: float) -> None:
        """A packet has come whole."""
        ...


class Air(Protocol):
    """What a board needs of the air."""

    def join(self, station: Station) -> None: ...

    def leave(self, station: Station) -> None: ...

    def transmit(self, station: Station, transmission: Transmission, now: float) -> None: ...

    def advance(self, now: float) -> None:
        """Deliver every packet whose end has come."""
        ...

    def next_deadline(self) -> float | None: ...


@dataclass(slots=True)
class _Reception:
    station: Station
    transmission: Transmission
    begins: float
    ends: float
    spoilt: bool = False

    def collides(self, other: "_Reception") -> bool:
        """Whether the first lasts into what the second's receiver needs."""
        first, second = (self, other) if self.begins <= other.begins else (other, self)
        return first.ends - second.begins > second.transmission.grace


@dataclass(slots=True)
class Ether:
    """An `Air` within one process.

    `lost` is asked once for each receiver of each packet; `signal` is what every receiver measures
    (RSSI in dBm, SNR in dB).
    """

    lost: Callable[[], bool] = lambda: False
    signal: tuple[float, float] = (-80.0, 10.0)
    _stations: list[Station] = field(default_factory=list)
    _sending: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By identity of the station: when its last transmission begins and ends."""
    _receptions: list[_Reception] = field(default_factory=list)

    def join(self, station: Station) -> None:
        """Put a radio on the air."""
        self._stations.append(station)

    def leave(self, station: Station) -> None:
        """Take it off; what it was hearing is gone."""
        self._stations.remove(station)
        self._receptions = [one for one in self._receptions if one.station is not station]

    def transmit(self, station: Station | None, transmission: Transmission, now: float) -> None:
        """A packet begins, or began a moment ago; `station` None is one that is not of this process."""
        self.advance(now)
        ends = now + transmission.airtime
        if station is not None:
            self._sending[id(station)] = (now, ends)
            for one in self._receptions:
                one.spoilt |= one.station is station
        for other in list(self._stations):
            if other is station or other.channel != transmission.channel:
                continue
            begun, over = self._sending.get(id(other), (now, now))
            deaf = begun < ends and now < over
            reception = _Reception(other, transmission, now, ends, spoilt=deaf or self.lost())
            for one in self._receptions:
                if one.station is other and one.collides(reception):
                    one.spoilt = reception.spoilt = True
            self._receptions.append(reception)
            other.sense(ends, now)

    def advance(self, now: float) -> None:
        """Deliver every packet whose end has come, in order."""
        due = sorted((one for one in self._receptions if one.ends <= now), key=lambda one: one.ends)
        if not due:
            return
        self._receptions = [one for one in self._receptions if one.ends > now]
        for one in due:
            if not one.spoilt and one.station.channel == one.transmission.channel:
                one.station.hear(Heard(one.transmission.payload, *self.signal), one.ends)

    def next_deadline(self) -> float | None:
        """When the next packet ends."""
        return min((one.ends for one in self._receptions), default=None)
