"""What one receiver makes of the packets that reach it: the rules of collision, capture and half duplex.

The rules are LoRaSim's (Bor et al. 2016) with its erratum: what has collided stays collided. Each rule is
explained in docs/simulator.md. Times are seconds of any one clock; a packet is on air from `begin` until just
before `end`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from nexus_sim.modem import Modem

Isolation = Mapping[int, Mapping[int, float]]
"""By spreading factor of the wanted packet and of the disturbing one: the least ratio of energies, in dB."""


def _row(factor: int, *values: float) -> dict[int, float]:
    others = [other for other in range(7, 13) if other != factor]
    return dict(zip(others, values, strict=True))


GOURSAUD: Isolation = {
    7: _row(7, -16, -18, -19, -19, -20),
    8: _row(8, -24, -20, -22, -22, -22),
    9: _row(9, -27, -27, -23, -25, -25),
    10: _row(10, -30, -30, -30, -26, -28),
    11: _row(11, -33, -33, -33, -33, -29),
    12: _row(12, -36, -36, -36, -36, -36),
}
"""Goursaud and Gorce, "Dedicated networks for IoT", EAI Endorsed Transactions on Internet of Things 1(1),
2015, with the signs ns-3's lorawan module gives it."""


class Fate(IntEnum):
    """What becomes of a packet at one receiver. Of several reasons the last in this order is told."""

    RECEIVED = 0
    BUSY = 1
    """The receiver was following as many packets as it can."""
    INTERFERED = 2
    """Packets of other spreading factors were too strong."""
    COLLIDED = 3
    """Another packet of the same spreading factor was too strong."""
    HALF_DUPLEX = 4
    """The receiver was sending at some time during the packet."""
    NOT_TUNED = 5
    """The receiver was off, or set otherwise, at some time during the packet."""
    TOO_WEAK = 6


@dataclass(frozen=True, slots=True)
class Rules:
    """How receivers decide. Without `capture` any overlap loses both packets, wherever it lies."""

    capture: bool = True
    capture_db: float = 6.0
    """So much stronger a packet must be to survive another."""
    max_concurrent: int = 0
    """Packets a receiver can follow at once; 0 for no limit."""
    isolation: Isolation | None = None
    """None: spreading factors do not disturb each other."""


class Listening(Enum):
    """What a radio hears that is not set to one modem."""

    ALL = "all"
    """Every setting at once, as a gateway."""
    OFF = "off"


class Reception:
    """A packet at one receiver."""

    __slots__ = ("begin", "disturbance", "end", "fate", "followed", "modem", "rssi_dbm")

    def __init__(self, modem: Modem, rssi_dbm: float, begin: float, end: float) -> None:
        self.modem = modem
        self.rssi_dbm = rssi_dbm
        self.begin = begin
        self.end = end
        self.fate = Fate.RECEIVED
        """As it stands; `Ear.settle` has the last word."""
        self.followed = False
        self.disturbance: dict[int, float] | None = None
        """Energy by spreading factor, in mW s."""

    def spoil(self, fate: Fate) -> None:
        """Lose the packet for this reason, unless there is a later one in the order of `Fate` already."""
        if fate > self.fate:
            self.fate = fate

    def disturb(self, factor: int, rssi_dbm: float, seconds: float) -> None:
        """Note the energy of a packet of another spreading factor."""
        if self.disturbance is None:
            self.disturbance = {}
        energy = 10 ** (rssi_dbm / 10) * seconds
        self.disturbance[factor] = self.disturbance.get(factor, 0.0) + energy


class Ear:
    """One receiver: what is on air there, and what that does to each packet.

    Only packets above the sensitivity `arrive`; those a carrier sense still notices are told to `notice`.
    """

    __slots__ = ("_active", "_faint", "_rules", "listening", "sending_until")

    def __init__(self, rules: Rules, listening: Modem | Listening = Listening.ALL) -> None:
        self._rules = rules
        self._active: list[Reception] = []
        self._faint: list[Reception] = []
        self.listening = listening
        self.sending_until = 0.0

    def arrive(self, new: Reception, now: float) -> None:
        """A packet begins: see what it and those on air do to each other."""
        active = self._active
        followed = 0
        if active:
            active = self._active = [one for one in active if one.end > now]
            for old in active:
                followed += old.followed
                self._meet(old, new, now)
        if self.sending_until > now:
            new.spoil(Fate.HALF_DUPLEX)
        elif not self._hears(new.modem):
            new.spoil(Fate.NOT_TUNED)
        elif 0 < self._rules.max_concurrent <= followed:
            new.spoil(Fate.BUSY)
        else:
            new.followed = True
        active.append(new)

    def _meet(self, old: Reception, new: Reception, now: float) -> None:
        """The collision rules, for a packet that begins while another is on air."""
        rules = self._rules
        ours, theirs = new.modem, old.modem
        if ours is not theirs and not ours.shares_channel(theirs):
            return
        if ours.spreading_factor != theirs.spreading_factor:
            if rules.isolation is not None:
                overlap = min(old.end, new.end) - now
                old.disturb(ours.spreading_factor, new.rssi_dbm, overlap)
                new.disturb(theirs.spreading_factor, old.rssi_dbm, overlap)
        elif not rules.capture:
            old.spoil(Fate.COLLIDED)
            new.spoil(Fate.COLLIDED)
        elif now + ours.spare_s < old.end:
            stronger = new.rssi_dbm - old.rssi_dbm
            if stronger < rules.capture_db:
                new.spoil(Fate.COLLIDED)
            if stronger > -rules.capture_db:
                old.spoil(Fate.COLLIDED)

    def settle(self, reception: Reception) -> Fate:
        """What became of a packet, at or after its end."""
        disturbance, isolation = reception.disturbance, self._rules.isolation
        if disturbance is not None and isolation is not None and reception.fate < Fate.INTERFERED:
            wanted = 10 ** (reception.rssi_dbm / 10) * (reception.end - reception.begin)
            least = isolation.get(reception.modem.spreading_factor, {})
            for factor, energy in disturbance.items():
                if factor in least and wanted < energy * 10 ** (least[factor] / 10):
                    reception.fate = Fate.INTERFERED
        return reception.fate

    # --- the receiver itself --------------------------------------------------------------------
    def send(self, now: float, until: float) -> None:
        """The radio sends, and hears nothing meanwhile."""
        self.sending_until = until
        self._deafen(now, Fate.HALF_DUPLEX)

    def tune(self, listening: Modem | Listening, now: float) -> None:
        """Set the radio otherwise, or turn it on or off; what it was following is lost."""
        self.listening = listening
        self._deafen(now, Fate.NOT_TUNED)

    def _deafen(self, now: float, fate: Fate) -> None:
        for one in self._active:
            if one.end > now:
                one.spoil(fate)
                one.followed = False

    def _hears(self, modem: Modem) -> bool:
        listening = self.listening
        return (
            listening is modem
            or listening is Listening.ALL
            or (isinstance(listening, Modem) and listening.hears(modem))
        )

    # --- what the receiver notices --------------------------------------------------------------
    def notice(self, faint: Reception, now: float) -> None:
        """A packet begins that is too weak to decode and to disturb others."""
        self._faint = [one for one in self._faint if one.end > now]
        self._faint.append(faint)

    def on_air(self, now: float) -> Iterator[Reception]:
        """Packets on air now that the radio, as it is set, can notice."""
        for one in (*self._active, *self._faint):
            if one.end > now and self._hears(one.modem):
                yield one
