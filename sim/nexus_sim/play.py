"""Plays a scenario with real nodes in virtual time."""

import gc
import math
import random
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import trio

from nexus_node.base.states import State
from nexus_node.engine.events import Event
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_sim.air import Air, OnAir, SimRadio
from nexus_sim.channel import Channel, Sensing
from nexus_sim.duty import ANYWHERE, EU868
from nexus_sim.invariants import check_air, check_custody, check_duty, check_stores, explain
from nexus_sim.links import Links, Plane
from nexus_sim.modem import Modem
from nexus_sim.places import Walk, box_of, places_of
from nexus_sim.propagation import LogDistance, Shadowing, loss_of_snr, snr_sensitivity
from nexus_sim.reception import GOURSAUD, Fate, Listening, Rules
from nexus_sim.record import Record
from nexus_sim.scenario import Outage, Partition, Place, Radio, Scenario, Texts, WireSetting, resolve
from nexus_sim.traces import read_matrix
from nexus_sim.wires import Plug, Rate, Wire
from nexus_sim.world import SimNode, open_world

_START_S = 30.0
"""Nodes are switched on within so long of the beginning."""
_MANY = 1 << 40
_REACH_SPARE_DB = 3.0
"""A carrier sense notices what is so much too weak to be received (channel.py)."""


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    scenario: Scenario
    seed: int
    places: dict[str, Place]
    virtual_s: float
    record: Record
    frames: int = 0
    bytes_on_air: int = 0
    airtime_s: float = 0.0
    fates: Counter[Fate] = field(default_factory=Counter)
    airtime_of: dict[str, float] = field(default_factory=dict)
    """Seconds on air, by node."""
    duty_of: dict[str, float] = field(default_factory=dict)
    """The largest share of an hour that a node was on air, of what its band allows."""
    duty_violations: int = 0
    wire_bytes: int = 0
    reach: list[tuple[str, str, float]] = field(default_factory=list)
    """Who could hear whom at the end, with the signal-to-noise ratio in dB."""
    wires: list[tuple[str, str]] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    log_hash: str = ""
    events: int = 0


class Player:
    """One run of a scenario, inside `virtual_run`."""

    def __init__(
        self, scenario: Scenario, seed: int, *, heard: Callable[[OnAir, dict[int, str]], None] | None = None
    ) -> None:
        """`heard` is told of each packet on the air, with the names of its numbers. Raises ConfigError."""
        self.scenario = scenario
        self.seed = seed
        self.record = Record()
        self.places = places_of(scenario, self._dice("places"))
        self._heard = heard
        self._channel: Channel | None = None
        self._air: Air | None = None
        self._plane: Plane | None = None
        self._links: Links | None = None
        self._numbers = {name: number for number, name in enumerate(self.places, 1)}
        self._names = {number: name for name, number in self._numbers.items()}
        self._plugs: dict[str, Plug] = {name: Plug() for name in self.places}
        self._wires: list[tuple[Wire, str, str]] = []
        self._joined: dict[Wire, trio.CancelScope] = {}
        self._wanted: dict[Wire, bool] = {}
        self._off: Counter[str] = Counter()
        """By how many outages each node is off."""
        self._by_address: dict[str, str] = {}
        self._modem: Modem | None = None
        self._check(scenario)

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {what}")

    def _resolve(self, names: Iterable[str], where: str) -> list[str]:
        return resolve(names, self.places, where)

    def _check(self, scenario: Scenario) -> None:
        """Every name must be that of a node. Raises ConfigError."""
        if scenario.radio is not None:
            self._resolve(scenario.radio.nodes, " in [radio]")
        self._resolve(scenario.relays.nodes, " in [relays]")
        if scenario.mobility is not None:
            self._resolve(scenario.mobility.nodes, " in [mobility]")
        for wire in scenario.wires:
            self._resolve(wire.between, " in [[wire]]")
        for texts in scenario.texts:
            self._resolve((*texts.senders, *texts.recipients), " in [[texts]]")
        for outage in scenario.outages:
            self._resolve(outage.nodes, " in [[outage]]")
        for partition in scenario.partitions:
            self._resolve((name for group in partition.groups for name in group), " in [[partition]]")
        for clocks in scenario.clocks:
            self._resolve(clocks.nodes, " in [[clock]]")

    # --- building -------------------------------------------------------------------------------
    async def play(self) -> Outcome:
        """Run it from beginning to end."""
        async with open_world(list(self.places), self.seed, told=self._told) as world:
            self.world = world
            self._by_address = {one.identity.address.hex(): name for name, one in world.nodes.items()}
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._build()
                begin = trio.current_time()
                nursery.start_soon(self._start_nodes)
                for task in self._tasks():
                    nursery.start_soon(task)
                await trio.sleep_until(begin + self.scenario.duration_s)
                outcome = self._outcome(trio.current_time() - begin)
                nursery.cancel_scope.cancel()
        return outcome

    def _build(self) -> None:
        for name, node in self.world.nodes.items():
            node.drivers.append(self._plugs[name])
        for clocks in self.scenario.clocks:
            for name in clocks.nodes:
                self.world.nodes[name].clock_off_s = clocks.off_s
        if self.scenario.radio is not None:
            self._build_air(self.scenario.radio)
        for setting in self.scenario.wires:
            self._build_wires(setting)

    def _build_air(self, radio: Radio) -> None:
        modem = self._modem = Modem(
            radio.frequency, radio.spreading_factor, radio.bandwidth, radio.coding_rate, radio.preamble
        )
        links = self._links = Links(radio.tx_dbm - snr_sensitivity(modem) + _REACH_SPARE_DB)
        rules = Rules(
            capture=radio.capture,
            capture_db=radio.capture_db,
            max_concurrent=1,
            isolation=GOURSAUD if radio.isolation == "goursaud" else None,
        )
        bands = EU868 if radio.region == "EU868" else ANYWHERE
        channel = self._channel = Channel(
            links, rules=rules, sensing=Sensing(cad_miss=radio.cad_miss), bands=bands, seed=self.seed
        )
        self._air = Air(channel, heard=self._on_air)
        self._nursery.start_soon(self._air.run)
        names = radio.nodes or tuple(self.places)
        if radio.matrix:
            self._set_matrix(radio, links)
        else:
            loss = radio.pathloss
            model = LogDistance(loss.model == "ln", loss.d0, loss.pl0, loss.gamma)
            self._plane = Plane(links, model, Shadowing(radio.shadowing_db, self.seed))
        band = channel.duty_band(radio.frequency)
        for name in names:
            number, place = self._numbers[name], self.places[name]
            channel.add(number, Listening.OFF)
            if self._plane is not None:
                self._plane.place(number, place.x, place.y)
            driver = SimRadio(
                self._air,
                number,
                modem,
                tx_dbm=radio.tx_dbm,
                mtu=radio.mtu,
                duty_cycle=band.duty_cycle if band is not None and band.duty_cycle < 1 else None,
                dice=self._dice(f"radio {name}"),
            )
            self.world.nodes[name].drivers.append(driver)

    def _set_matrix(self, radio: Radio, links: Links) -> None:
        for sender, receiver, snr_db in read_matrix(self.scenario.folder / radio.matrix):
            a, b = self._resolve((sender, receiver), " in the matrix")
            links.set(self._numbers[a], self._numbers[b], loss_of_snr(snr_db, radio.tx_dbm, radio.bandwidth))

    def _build_wires(self, setting: WireSetting) -> None:
        rate = Rate(setting.bps, setting.delay_s, setting.loss)
        names = setting.between
        for at, a in enumerate(names):
            for b in names[at + 1 :]:
                wire = self._wire(a, b, rate)
                self._nursery.start_soon(self._keep_times, wire, setting.up)

    def _wire(self, a: str, b: str, rate: Rate) -> Wire:
        wire = Wire(self._plugs[a], self._plugs[b], (a, b), rate, self._dice(f"wire {a} {b}"))
        self._wires.append((wire, a, b))
        self._wanted[wire] = False
        return wire

    def _options(self, name: str) -> dict[str, Any]:
        relays = self.scenario.relays
        first = list(self.places)[: relays.count]
        if name not in relays.nodes and name not in first:
            return {}
        serve = Serve[relays.serve.upper()]
        return {"relay": RelayPolicy(serve, interval_s=0.0, per_day=(_MANY, _MANY))}

    async def _start_nodes(self) -> None:
        dice = self._dice("start")
        order = sorted((dice.uniform(0, _START_S), name) for name in self.places)
        begin = trio.current_time()
        for at, name in order:
            await trio.sleep_until(begin + at)
            if not self._off[name]:
                await self._switch_on(name)

    # --- who is on, and who is joined -----------------------------------------------------------
    async def _switch_on(self, name: str) -> None:
        node = self.world.nodes[name]
        if node.running is None:
            await self.world.start(name, self._options(name))
            self._join_again(name)

    async def _switch_off(self, name: str) -> None:
        await self.world.stop(name)

    def _join_again(self, name: str) -> None:
        for wire, a, b in self._wires:
            if name in (a, b) and self._wanted[wire]:
                self._join(wire)

    def _join(self, wire: Wire) -> None:
        """Put a wire in, once both its nodes are on."""
        old = self._joined.pop(wire, None)
        if old is not None:
            old.cancel()
        scope = self._joined[wire] = trio.CancelScope()
        self._nursery.start_soon(wire.last, scope)

    def _cut(self, wire: Wire) -> None:
        scope = self._joined.pop(wire, None)
        if scope is not None:
            scope.cancel()

    async def _keep_times(self, wire: Wire, times: Iterable[tuple[float, float]]) -> None:
        """Have a wire up at these times; while a partition lasts it is cut all the same."""
        begin = trio.current_time()
        for up, down in times:
            await trio.sleep_until(begin + up)
            self._wanted[wire] = True
            self._join(wire)
            if math.isinf(down):
                return
            await trio.sleep_until(begin + down)
            self._wanted[wire] = False
            self._cut(wire)

    # --- what happens meanwhile -----------------------------------------------------------------
    def _tasks(self) -> list[Callable[[], Awaitable[None]]]:
        scenario = self.scenario
        tasks: list[Callable[[], Awaitable[None]]] = []
        for number, texts in enumerate(scenario.texts):
            tasks.append(lambda texts=texts, number=number: self._write(texts, self._dice(f"texts {number}")))  # type: ignore[misc]
        tasks += [lambda outage=outage: self._fail(outage) for outage in scenario.outages]  # type: ignore[misc]
        tasks += [lambda one=one: self._part(one) for one in scenario.partitions]  # type: ignore[misc]
        if scenario.contacts is not None:
            tasks.append(self._meet)
        if scenario.mobility is not None:
            tasks.append(self._move)
        return tasks

    async def _write(self, texts: Texts, dice: random.Random) -> None:
        """Send texts at random times; each has letters that no other text has."""
        if not texts.per_hour:
            return
        senders = list(texts.senders or self.places)
        recipients = list(texts.recipients or self.places)
        begin = trio.current_time()
        end = min(texts.end_s, self.scenario.duration_s - self.scenario.settle_s)
        at = texts.start_s
        while True:
            at += dice.expovariate(texts.per_hour * len(senders) / 3600)
            if at >= end:
                return
            await trio.sleep_until(begin + at)
            sender = self.world.nodes[dice.choice(senders)]
            others = [name for name in recipients if name != sender.name]
            size = dice.randint(*texts.size)
            letters = "".join(dice.choices(string.ascii_lowercase + "     ", k=size))
            if others and sender.running is not None:
                self._send(sender, self.world.nodes[dice.choice(others)], letters, texts.min_bandwidth)

    def _send(self, sender: SimNode, recipient: SimNode, text: str, min_bandwidth: int) -> None:
        self.record.expect(sender.name, recipient.name, text, trio.current_time(), min_bandwidth)
        message_id = sender.send(recipient, text, min_bandwidth=min_bandwidth).hex()
        self.record.accepted(message_id)

    async def _fail(self, outage: Outage) -> None:
        begin = trio.current_time()
        at = outage.at_s
        while True:
            await trio.sleep_until(begin + at)
            for name in outage.nodes:
                self._off[name] += 1
                await self._switch_off(name)
            if not outage.for_s:
                return
            await trio.sleep_until(begin + at + outage.for_s)
            for name in outage.nodes:
                self._off[name] -= 1
                if not self._off[name]:
                    await self._switch_on(name)
            if not outage.every_s:
                return
            at += max(outage.every_s, outage.for_s)

    async def _part(self, partition: Partition) -> None:
        """Cut everything between the groups, and mend it afterwards."""
        begin = trio.current_time()
        group = {name: number for number, names in enumerate(partition.groups) for name in names}
        await trio.sleep_until(begin + partition.from_s)
        apart = [(a, b) for a in group for b in group if group[a] != group[b] and a < b]
        for wire, a, b in self._wires:
            if a in group and b in group and group[a] != group[b]:
                self._cut(wire)
        before: list[tuple[int, int, float]] = []
        links = self._links
        if links is not None:
            for a, b in apart:
                for one, other in ((a, b), (b, a)):
                    number, far = self._numbers[one], self._numbers[other]
                    loss = dict(links.of(number)).get(far)
                    if loss is not None:
                        before.append((number, far, loss))
                        links.set(number, far, math.inf)
        await trio.sleep_until(begin + partition.to_s)
        if links is not None:
            for number, far, loss in before:
                links.set(number, far, loss)
        for wire, a, b in self._wires:
            if a in group and b in group and group[a] != group[b] and self._wanted[wire]:
                self._join(wire)

    async def _meet(self) -> None:
        """Wires for as long as the contacts of a trace last."""
        contacts = self.scenario.contacts
        if contacts is None:
            return
        begin = trio.current_time()
        rate = Rate(8 * contacts.bytes_per_s)
        for meeting in contacts.meetings:
            if meeting.start >= self.scenario.duration_s:
                return
            await trio.sleep_until(begin + meeting.start)
            wire = self._wire(meeting.a, meeting.b, rate)
            self._nursery.start_soon(self._meeting, wire, begin + meeting.end)

    async def _meeting(self, wire: Wire, until: float) -> None:
        self._wanted[wire] = True
        self._join(wire)
        await trio.sleep_until(until)
        self._cut(wire)
        self._wanted[wire] = False
        self._wires = [one for one in self._wires if one[0] is not wire]
        self._passed_bytes += wire.bytes

    _passed_bytes = 0
    """Over wires that are no more."""

    async def _move(self) -> None:
        rule, plane = self.scenario.mobility, self._plane
        if rule is None or plane is None:
            return
        box = box_of(self.places)
        names = list(rule.nodes or self.places)
        radios = set(self.scenario.radio.nodes) if self.scenario.radio is not None else set()
        walks = {name: Walk(self.places[name], box, rule, self._dice(f"walk {name}")) for name in names}
        while True:
            await trio.sleep(rule.step_s)
            now = trio.current_time()
            for name, walk in walks.items():
                if walk.step(now):
                    self.places[name] = Place(name, walk.x, walk.y)
                    if not radios or name in radios:
                        plane.place(self._numbers[name], walk.x, walk.y)

    # --- what is seen ---------------------------------------------------------------------------
    def _told(self, name: str, event: Event) -> None:
        now = trio.current_time()
        self.record.told(name, event, now)
        if event.event != "message_state" or event.fields["state"] not in ("relayed", "sent"):
            return
        message = self.record.messages.get(str(event.fields["id"]))
        if message is None or message.sender != name:
            return
        by = str(event.fields["by"])
        if event.fields["state"] == State.RELAYED and by in self._by_address:
            check_custody(self.world.nodes[self._by_address[by]], message, self.record, now)
        elif by == SimRadio.label and self._modem is not None:
            mtu = self.scenario.radio.mtu if self.scenario.radio is not None else 255
            bps = 8 * mtu / self._modem.airtime(mtu)
            if message.min_bandwidth > bps:
                self.record.breaches.append(
                    f"message {message.id} needs {message.min_bandwidth} bps and was sent at {bps:.0f}"
                )

    def _on_air(self, packet: OnAir) -> None:
        check_air(packet.frame, self.record, packet.end)
        if self._heard is not None:
            self._heard(packet, self._names)

    # --- what came of it ------------------------------------------------------------------------
    def _outcome(self, virtual_s: float) -> Outcome:
        nodes, record = self.world.nodes, self.record
        outcome = Outcome(self.scenario, self.seed, self.places, virtual_s, record)
        if self._air is not None and self._channel is not None and self._links is not None:
            self._look_at_air(outcome, self._air, self._channel, self._links)
        outcome.wire_bytes = self._passed_bytes + sum(wire.bytes for wire, _, _ in self._wires)
        outcome.wires = [(a, b) for _, a, b in self._wires]
        for message in record.messages.values():
            if message.received_s is None:
                message.why = explain(message, nodes[message.sender].running)
                if not message.why:
                    record.breaches.append(f"message {message.id} is gone without a reason")
        for node in nodes.values():
            if node.running is not None:
                outcome.counters += node.running.core.counters
        check_stores({name: node.store for name, node in nodes.items()}, record)
        outcome.log_hash, outcome.events = self.world.log.digest, self.world.log.count
        return outcome

    def _look_at_air(self, outcome: Outcome, air: Air, channel: Channel, links: Links) -> None:
        radio = self.scenario.radio
        if radio is None or self._modem is None:
            return
        outcome.frames, outcome.bytes_on_air = air.frames, air.bytes
        outcome.airtime_s, outcome.fates = air.airtime_s, air.fates
        names = {self._numbers[name]: name for name in radio.nodes or self.places}
        outcome.duty_violations = check_duty(channel, names, self.record)
        for number, name in names.items():
            duty = channel.duty(number)
            outcome.airtime_of[name], outcome.duty_of[name] = duty.airtime_s, duty.highest
            for other, loss in links.of(number):
                snr_db = radio.tx_dbm - loss - channel.noise_floor(self._modem)
                if radio.tx_dbm - loss >= snr_sensitivity(self._modem) and other in names:
                    outcome.reach.append((name, names[other], round(snr_db, 1)))


def play(
    scenario: Scenario, seed: int, *, heard: Callable[[OnAir, dict[int, str]], None] | None = None
) -> Callable[[], Awaitable[Outcome]]:
    """The run as a function for `virtual_run`. Raises ConfigError."""
    player = Player(scenario, seed, heard=heard)

    async def main() -> Outcome:
        gc.freeze()  # the nodes stay; to look through them for garbage takes a tenth of the time
        try:
            return await player.play()
        finally:
            gc.unfreeze()

    return main
