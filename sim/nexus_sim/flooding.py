"""Managed flooding of Meshtastic, as Meshtasticator models it, on our channel: how far messages get.

A model, not the firmware, and none of our nodes: it shows that the channel gives what a published simulator
gives (docs/simulator.md has the rules and both sets of figures).
"""

import math
import random
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev
from typing import Any

from nexus_sim.channel import Channel, Outcome, Sensing, Transmission
from nexus_sim.events import Agenda
from nexus_sim.links import Links, Plane
from nexus_sim.modem import Modem
from nexus_sim.propagation import SuburbanMacro, snr_sensitivity
from nexus_sim.reception import Fate, Rules
from nexus_sim.settings import FloodSetting

HEADER_BYTES = 16
NEAREST_M = 10.0
"""No two nodes are closer."""
CW_MIN, CW_MAX = 2, 8
"""Contention windows, as powers of two, of the firmware that Meshtasticator models."""
SNR_LOW_DB, SNR_HIGH_DB = -20.0, 15.0
"""Signal-to-noise ratios of a packet to pass on that give the smallest and the largest window."""
SLOT_SYMBOLS, SLOT_S = 8.5, 0.0076
"""A slot: 8.5 symbols and what propagation, turnaround and processing take."""
PROCESSING_S = 4.5
"""What a sender waits for others to pass its packet on, beside time on air and contention."""


@dataclass(eq=False, slots=True)
class Message:
    """What a node says to all."""

    origin: int
    created: float
    acknowledged: bool = False
    """Whether the origin takes it that somebody has passed it on."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A message as it is sent by one node."""

    message: Message
    hops_left: int


@dataclass(frozen=True, slots=True)
class FloodRun:
    """What one seed gave. Shares are from 0 to 1."""

    reach: float
    """Of all nodes that a message could reach, over all messages."""
    useful: float
    """Of all packets received, those that brought a message to whom it was new."""
    collided: float
    """Of all packets that arrived strong enough at a node that was not sending itself."""
    tx_utilisation: float
    """Of the time, the mean of all nodes."""
    delay_s: float
    """From the creation of a message, mean of all receptions."""
    messages: int
    sent: int
    received: int


class _Node:
    """A node that floods."""

    def __init__(self, number: int, mesh: "_Mesh") -> None:
        self.number = number
        self.mesh = mesh
        self.rng = random.Random(f"{mesh.seed} node {number}")
        self.queue: deque[Copy] = deque()
        self.heard: Counter[Message] = Counter()
        self.snr: dict[Message, float] = {}
        """Of the last copy heard."""
        self.on_air_s = 0.0
        """Sent and heard."""
        self.passed_on: set[Message] = set()

    # --- messages of its own --------------------------------------------------------------------
    def say_later(self) -> None:
        """Create a message after the next interval, unless it could not spread before the horizon."""
        mesh, setting = self.mesh, self.mesh.setting
        when = mesh.agenda.now + self.rng.expovariate(1 / setting.mean_interval_s)
        if when + setting.hop_limit * mesh.airtime_s < setting.horizon_s:
            mesh.agenda.at(when, self._say)

    def _say(self) -> None:
        message = Message(self.number, self.mesh.agenda.now)
        self.mesh.messages += 1
        self._try(message, self.mesh.setting.retransmissions)

    def _try(self, message: Message, left: int) -> None:
        """Send, and see later whether anybody passed it on."""
        self.put(Copy(message, self.mesh.setting.hop_limit))
        mesh = self.mesh
        contention = 2 ** self._window_of_use() + 2 ** ((CW_MAX + CW_MIN) // 2)
        wait = 2 * mesh.airtime_s + contention * mesh.slot_s + PROCESSING_S
        mesh.agenda.at(mesh.agenda.now + wait, partial(self._check, message, left))

    def _check(self, message: Message, left: int) -> None:
        if not message.acknowledged and left:
            self._try(message, left - 1)
        else:
            self.say_later()

    # --- sending --------------------------------------------------------------------------------
    def put(self, copy: Copy) -> None:
        """Queue a copy; one at a time contends for the channel."""
        self.queue.append(copy)
        if len(self.queue) == 1:
            self._contend()

    def _contend(self) -> None:
        message = self.queue[0].message
        window = self._window_of_snr(self.snr[message]) if message in self.snr else self._window_of_use()
        slots = self.rng.randrange(2**window)
        self.mesh.agenda.at(self.mesh.agenda.now + slots * self.mesh.slot_s, self._attempt)

    def _window_of_snr(self, snr_db: float) -> int:
        """Who heard a packet badly is far away and goes first."""
        share = (min(max(snr_db, SNR_LOW_DB), SNR_HIGH_DB) - SNR_LOW_DB) / (SNR_HIGH_DB - SNR_LOW_DB)
        return int(share * (CW_MAX - CW_MIN) + CW_MIN)

    def _window_of_use(self) -> int:
        share = min(1.0, self.on_air_s / self.mesh.agenda.now) if self.mesh.agenda.now else 0.0
        return int(share * (CW_MAX - CW_MIN) + CW_MIN)

    def _attempt(self) -> None:
        """Send what is first in the queue if the medium is free, or drop it if others have passed it on."""
        mesh, copy = self.mesh, self.queue[0]
        now = mesh.agenda.now
        if mesh.channel.receiving(self.number, now) or mesh.channel.busy(self.number, now):
            self._contend()
        elif self.heard[copy.message] > 1:
            self._next()
        else:
            self.on_air_s += mesh.airtime_s
            self.passed_on.add(copy.message)
            packet = Transmission(self.number, mesh.modem, mesh.setting.tx_dbm, mesh.airtime_s, copy)
            mesh.agenda.at(mesh.channel.begin(packet, now), partial(self._sent, packet, copy))

    def _sent(self, packet: Transmission, copy: Copy) -> None:
        self.mesh.arrived(copy, self.mesh.channel.finish(packet, self.mesh.agenda.now))
        self._next()

    def _next(self) -> None:
        self.queue.popleft()
        if self.queue:
            self._contend()

    # --- hearing --------------------------------------------------------------------------------
    def hear(self, copy: Copy, snr_db: float) -> bool:
        """Take a copy, pass it on if it is the first and may go further; returns whether it was new here."""
        message = copy.message
        self.heard[message] += 1
        self.snr[message] = snr_db
        everywhere = self.mesh.setting.acks == "meshtasticator"
        if message.origin == self.number or (everywhere and message in self.passed_on):
            message.acknowledged = True
        if message.origin == self.number or self.heard[message] > 1:
            return False
        if copy.hops_left:
            self.put(Copy(message, copy.hops_left - 1))
        return True


class _Mesh:
    """All nodes of a run, and what is counted."""

    def __init__(self, setting: FloodSetting, seed: int) -> None:
        self.setting = setting
        self.seed = seed
        self.agenda = Agenda()
        self.modem = Modem(
            setting.frequency,
            setting.spreading_factor,
            setting.bandwidth,
            setting.coding_rate,
            setting.preamble,
        )
        self.airtime_s = airtime(setting, self.modem)
        self.slot_s = SLOT_SYMBOLS * self.modem.symbol_s + SLOT_S
        self.nodes = [_Node(number, self) for number in range(setting.nodes)]
        self.channel = self._channel()
        self.messages = 0
        self.useful = 0
        self.fates: Counter[Fate] = Counter()
        self.delay_s = 0.0

    def _channel(self) -> Channel:
        setting = self.setting
        sensing = Sensing()
        model = SuburbanMacro(setting.frequency, setting.height_m, setting.height_m)
        reach_db = setting.tx_dbm - snr_sensitivity(self.modem)
        links = Links(reach_db + sensing.cad_margin_db)
        plane = Plane(links, model)
        rules = Rules(setting.capture, setting.capture_db, setting.max_concurrent)
        channel = Channel(links, rules=rules, sensing=sensing, seed=self.seed)
        for number, (x, y) in enumerate(layout(setting, self.seed, model.range_m(reach_db))):
            plane.place(number, x, y)
            channel.add(number, self.modem)
        return channel

    def arrived(self, copy: Copy, outcomes: list[Outcome]) -> None:
        """A packet has ended: hand it to whoever received it."""
        noise = self.setting.noise_dbm
        for receiver, fate, rssi_dbm, snr_db in outcomes:
            self.fates[fate] += 1
            if fate not in (Fate.TOO_WEAK, Fate.HALF_DUPLEX):
                self.nodes[receiver].on_air_s += self.airtime_s
            if fate is Fate.RECEIVED:
                self.delay_s += self.agenda.now - copy.message.created
                level = snr_db if noise is None else rssi_dbm - noise
                self.useful += self.nodes[receiver].hear(copy, level)

    def outcome(self) -> FloodRun:
        received = self.fates[Fate.RECEIVED]
        arrived = self.fates.total() - self.fates[Fate.TOO_WEAK] - self.fates[Fate.HALF_DUPLEX]
        airtime_s = [self.channel.duty(node.number).airtime_s for node in self.nodes]
        possible = self.messages * (len(self.nodes) - 1)
        return FloodRun(
            reach=self.useful / possible if possible else 0.0,
            useful=self.useful / received if received else 0.0,
            collided=self.fates[Fate.COLLIDED] / arrived if arrived else 0.0,
            tx_utilisation=fmean(airtime_s) / self.setting.horizon_s,
            delay_s=self.delay_s / received if received else 0.0,
            messages=self.messages,
            sent=round(sum(airtime_s) / self.airtime_s),
            received=received,
        )


def layout(setting: FloodSetting, seed: int, range_m: float) -> list[tuple[float, float]]:
    """Places in a square: uniform, no two too close, each in range of one before it."""
    rng = random.Random(f"{seed} layout")
    places: list[tuple[float, float]] = []
    while len(places) < setting.nodes:
        place = rng.uniform(0, setting.side_m), rng.uniform(0, setting.side_m)
        distances = [math.dist(place, other) for other in places]
        if not places or NEAREST_M <= min(distances) <= range_m:
            places.append(place)
    return places


def airtime(setting: FloodSetting, modem: Modem) -> float:
    """Seconds on air; Meshtasticator's counts four coding symbols a block too many."""
    size = setting.payload + HEADER_BYTES
    exact = modem.airtime(size)
    if setting.airtime == "exact":
        return exact
    return exact + 4 * modem.symbol_s * _blocks(modem, size)


def _blocks(modem: Modem, size: int) -> int:
    """Coding blocks in a packet: the symbols it grows by with one more in each."""
    rates = [Modem(0, modem.spreading_factor, modem.bandwidth, rate).airtime(size) for rate in (5, 6)]
    return round((rates[1] - rates[0]) / modem.symbol_s)


def flood(setting: FloodSetting, seed: int) -> FloodRun:
    """Run a setting once."""
    mesh = _Mesh(setting, seed)
    for node in mesh.nodes:
        node.say_later()
    mesh.agenda.run(setting.horizon_s)
    return mesh.outcome()


def figures(runs: list[FloodRun]) -> dict[str, Any]:
    """The figures of `nexus-sim flood`: means of all seeds and what lies between them; counts over all."""

    def both(name: str) -> dict[str, float]:
        values = [getattr(run, name) for run in runs]
        spread = stdev(values) if len(values) > 1 else 0.0
        return {f"{name}_mean": round(fmean(values), 4), f"{name}_sd": round(spread, 4)}

    shares = ("reach", "useful", "collided", "tx_utilisation", "delay_s")
    counts = {name: sum(getattr(run, name) for run in runs) for name in ("messages", "sent", "received")}
    return {key: value for name in shares for key, value in both(name).items()} | counts
