"""A shared radio medium: who hears which packet, and who does not and why. Deterministic, without a clock.

For whoever drives radios in virtual time (seconds, from anywhere, never going back):

    reach_db = 14.0 - snr_sensitivity(modem) + 3.0       # what a carrier sense notices: Sensing.cad_margin_db
    links = Links(reach_db)                              # links.set(a, b, loss) for measured ones, or
    plane = Plane(links, SuburbanMacro(modem.frequency))
    plane.place(1, 0.0, 0.0)                             # nodes are numbers; again to move one
    plane.place(2, 900.0, 0.0)
    channel = Channel(links, rules=Rules(max_concurrent=1), seed=7)
    channel.add(1, modem)                                # Listening.ALL for a gateway, Listening.OFF
    channel.add(2, modem)

    await sleep(channel.cad_time(1))                     # listen before talk:
    if channel.busy(1, now) or channel.receiving(1, now):
        ...                                              # asked at the end of the listening
    packet = Transmission(1, modem, 14.0, modem.airtime(len(frame)), frame)
    end = channel.begin(packet, now)                     # the sender hears nothing until then
    await sleep_until(end)
    for heard in channel.finish(packet, end):            # in order of the receivers' numbers
        if heard.fate is Fate.RECEIVED:
            radios[heard.receiver].deliver(packet.data, heard.rssi_dbm, heard.snr_db)

A packet that ends at t and one that begins at t do not overlap, whichever call comes first; of packets that
begin at t, the later call is the newly arrived one. `begin` fixes who hears a packet: nodes that move or are
added meanwhile hear the next one. When a sender dies in mid-packet, call `finish` at the end all the same and
throw the outcomes away. Chance is drawn in `busy` only, from a generator of the node's own, so that what
one node asks changes nothing for others.

A transmission costs time in proportion to those in reach of the sender, and at each of them to the packets on
air there; not to the number of nodes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from nexus_node.base.errors import LocalError
from nexus_sim.duty import ANYWHERE, Band, Duty
from nexus_sim.links import Links
from nexus_sim.modem import Modem
from nexus_sim.propagation import Sensitivity, noise_floor, snr_sensitivity
from nexus_sim.reception import Ear, Fate, Listening, Reception, Rules


@dataclass(frozen=True, slots=True)
class Sensing:
    """How radios notice that the medium is in use."""

    cad_symbols: float = 2.0
    """How long channel activity detection listens; what begins during it goes unnoticed."""
    cad_margin_db: float = 3.0
    """So much weaker than the sensitivity a packet may be and still be detected (Meshtasticator)."""
    cad_miss: float = 0.0
    """The probability that a detection fails to see what is there."""
    lock_symbols: float = 6.0
    """Symbols of a preamble after which a radio knows that it is receiving."""


@dataclass(eq=False, slots=True)
class Transmission:
    """A packet on its way: `tx_dbm` with the antenna's gain, `airtime_s` as `Modem.airtime` has it."""

    sender: int
    modem: Modem
    tx_dbm: float
    airtime_s: float
    data: object = None
    """Whatever the driver wants to find again at the end."""


class Outcome(NamedTuple):
    """What became of a packet at one receiver."""

    receiver: int
    fate: Fate
    rssi_dbm: float
    snr_db: float


class _Station:
    """A node's radio."""

    def __init__(self, ear: Ear, bands: Sequence[Band], rng: random.Random) -> None:
        self.ear = ear
        self.duty = Duty(bands)
        self.rng = rng


class Channel:
    """The medium of all nodes of a world. The module's text says how to use it."""

    def __init__(
        self,
        links: Links,
        *,
        rules: Rules | None = None,
        sensing: Sensing | None = None,
        sensitivity: Sensitivity = snr_sensitivity,
        bands: Sequence[Band] = ANYWHERE,
        seed: int = 0,
    ) -> None:
        self._links = links
        self._rules = rules or Rules()
        self._sensing = sensing or Sensing()
        self._sensitivity_of = sensitivity
        self._bands = bands
        self._seed = seed
        self._stations: dict[int, _Station] = {}
        self._on_air: dict[Transmission, tuple[float, list[tuple[int, Reception]]]] = {}
        self._levels: dict[Modem, tuple[float, float, float]] = {}

    def add(self, node: int, listening: Modem | Listening) -> None:
        """Give a node a radio, set to one modem, to all at once or off."""
        rng = random.Random(f"{self._seed} sense {node}")
        self._stations[node] = _Station(Ear(self._rules, listening), self._bands, rng)

    def tune(self, node: int, listening: Modem | Listening, now: float) -> None:
        """Set a node's radio otherwise, or turn it on or off; what it was receiving is lost."""
        self._stations[node].ear.tune(listening, now)

    # --- packets --------------------------------------------------------------------------------
    def begin(self, packet: Transmission, now: float) -> float:
        """Send: returns when the packet ends. Raises LocalError while the node is sending another."""
        sender = self._stations[packet.sender]
        if sender.ear.sending_until > now:
            raise LocalError(f"node {packet.sender} is sending until {sender.ear.sending_until}")
        modem = packet.modem
        end = now + packet.airtime_s
        sensitivity, detectable, _ = self._level(modem)
        sender.ear.send(now, end)
        sender.duty.add(modem.frequency, now, end)
        heard: list[tuple[int, Reception]] = []
        self._on_air[packet] = end, heard
        for receiver, loss in self._links.of(packet.sender):
            station = self._stations.get(receiver)
            rssi = packet.tx_dbm - loss
            if station is None or rssi < detectable:
                continue
            reception = Reception(modem, rssi, now, end)
            if rssi >= sensitivity:
                station.ear.arrive(reception, now)
            else:
                reception.spoil(Fate.TOO_WEAK)
                station.ear.notice(reception, now)
            heard.append((receiver, reception))
        return end

    def finish(self, packet: Transmission, now: float) -> list[Outcome]:
        """What everybody in reach made of a packet, at its end or later, once. Raises LocalError."""
        end, heard = self._on_air.get(packet, (inf, []))
        if end > now:
            raise LocalError("the packet was not begun, has been finished, or has not ended yet")
        del self._on_air[packet]
        floor = self._level(packet.modem)[2]
        stations = self._stations
        return [
            Outcome(receiver, stations[receiver].ear.settle(one), one.rssi_dbm, one.rssi_dbm - floor)
            for receiver, one in heard
        ]

    def _level(self, modem: Modem) -> tuple[float, float, float]:
        """Sensitivity, the weakest that a carrier sense notices, and the noise floor, in dBm."""
        found = self._levels.get(modem)
        if found is None:
            sensitivity = self._sensitivity_of(modem)
            found = sensitivity, sensitivity - self._sensing.cad_margin_db, noise_floor(modem.bandwidth)
            self._levels[modem] = found
        return found

    # --- listening before talking ---------------------------------------------------------------
    def cad_time(self, node: int) -> float:
        """Seconds that channel activity detection takes; 0 for a radio not set to one modem."""
        modem = self._stations[node].ear.listening
        return self._sensing.cad_symbols * modem.symbol_s if isinstance(modem, Modem) else 0.0

    def busy(self, node: int, now: float) -> bool:
        """Whether a detection that ends now found the medium in use; a node that sends finds that it is.

        It sees what can be noticed, was on air all the while, and is of the node's own setting.
        """
        station = self._stations[node]
        if station.ear.sending_until > now:
            return True
        since = now - self.cad_time(node)
        if not any(one.begin <= since for one in station.ear.on_air(now)):
            return False
        return station.rng.random() >= self._sensing.cad_miss

    def receiving(self, node: int, now: float) -> bool:
        """Whether the radio is following a packet and knows it: it has had enough of the preamble."""
        return self.receiving_until(node, now) > now

    def receiving_until(self, node: int, now: float) -> float:
        """The end of all it is following now and knows of; `now` if there is nothing."""
        locked = self._sensing.lock_symbols
        return max(
            (
                one.end
                for one in self._stations[node].ear.on_air(now)
                if one.followed and one.begin + locked * one.modem.symbol_s < now
            ),
            default=now,
        )

    def noise_floor(self, modem: Modem) -> float:
        """The noise that a signal-to-noise ratio of that setting is counted from, in dBm."""
        return self._level(modem)[2]

    def duty_band(self, frequency: float) -> Band | None:
        """The band a frequency lies in, and with it the share of an hour that a sender has."""
        return Duty(self._bands).band(frequency)

    # --- books ----------------------------------------------------------------------------------
    def duty(self, node: int) -> Duty:
        """How long a node was on air, and how much of it was allowed."""
        return self._stations[node].duty
