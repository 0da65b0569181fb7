"""Plays a scenario with real nodes in virtual time."""

import math
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from nexus_node.base.errors import ConfigError, InputError
from nexus_node.engine.events import Event
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_sim.air import Air, OnAir, SimRadio
from nexus_sim.channel import Channel, Sensing
from nexus_sim.duty import ANYWHERE, EU868
from nexus_sim.failures import noted_failures
from nexus_sim.invariants import check_duty, check_relayed, check_sealed, check_stores, explain, explain_photo
from nexus_sim.joins import Joins
from nexus_sim.leaving import check_leaving
from nexus_sim.links import Links, Plane
from nexus_sim.modem import Modem
from nexus_sim.names import resolve, resolved
from nexus_sim.outcome import Outcome
from nexus_sim.places import Walk, box_of, places_of
from nexus_sim.power import Power
from nexus_sim.propagation import LogDistance, Shadowing, loss_of_snr, snr_sensitivity
from nexus_sim.reception import GOURSAUD, Listening, Rules
from nexus_sim.record import Record
from nexus_sim.scenario import Battery, Outage, Partition, Place, Radio, Scenario, WireSetting
from nexus_sim.traces import read_matrix
from nexus_sim.traffic import Traffic
from nexus_sim.wires import OnWire, Plug, Rate, Watch, Wire
from nexus_sim.world import SimNode, open_world
from nexus_sim.writing import Writer

_START_S = 30.0
"""Nodes are switched on within so long of the beginning."""
_DRAIN_S = 60.0
"""How often batteries are looked at."""
_MANY = 1 << 40
_REACH_SPARE_DB = 3.0
"""A carrier sense notices what is so much too weak to be received (channel.py)."""


class Player:
    """One run of a scenario, inside `virtual_run`."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        heard: Callable[[OnAir, dict[int, str]], None] | None = None,
        carried: Callable[[OnWire], None] | None = None,
        beside: Callable[["Player"], Awaitable[None]] | None = None,
    ) -> None:
        """`heard` is told of each packet on the air, with the names of its numbers, `carried` of each frame
        on a wire; `beside` is a task that acts in the run as well. Raises ConfigError."""
        self.seed = seed
        self.record = Record()
        self.places = places_of(scenario, self._dice("places"))
        self.scenario = resolved(scenario, self.places)
        self._matrix = self._read_matrix()
        self.traffic = Traffic(scenario.duration_s)
        self._beside = beside
        self._heard = heard
        self._carried = carried
        self._channel: Channel | None = None
        self._air: Air | None = None
        self._plane: Plane | None = None
        self._links: Links | None = None
        self._numbers = {name: number for number, name in enumerate(self.places, 1)}
        self._names = {number: name for name, number in self._numbers.items()}
        self._plugs: dict[str, Plug] = {name: Plug() for name in self.places}
        self._by_address: dict[str, SimNode] = {}
        self._modem: Modem | None = None
        self._radio_bps = 0.0

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {what}")

    # --- building -------------------------------------------------------------------------------
    async def play(self) -> Outcome:
        """Run it from beginning to end."""
        async with open_world(list(self.places), self.seed, told=self._told) as world:
            self.world = world
            self._by_address = {one.identity.address.hex(): one for one in world.nodes.values()}
            async with trio.open_nursery() as nursery:
                begin = trio.current_time()
                self._nursery = nursery
                self._joins = Joins(nursery, self._plugs, self._dice, Watch(self._into_wire, self._carried))
                self._power = Power(self._start, world.stop, lambda: trio.current_time() - begin)
                self._writer = Writer(self.scenario, world, self.record, self._dice, begin)
                self._build()
                nursery.start_soon(self._start_nodes)
                for task in self._tasks():
                    nursery.start_soon(task)
                if self._beside is not None:
                    nursery.start_soon(self._beside, self)
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
        self._radio_bps = 8 * radio.mtu / modem.airtime(radio.mtu)
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
            for a, b, snr_db in self._matrix:
                loss_db = loss_of_snr(snr_db, radio.tx_dbm, radio.bandwidth)
                links.set(self._numbers[a], self._numbers[b], loss_db)
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
                pulled=self._pulled,
            )
            self.world.nodes[name].drivers.append(driver)

    def _read_matrix(self) -> list[tuple[str, str, float]]:
        """The measured links, if there are any. Raises ConfigError."""
        radio = self.scenario.radio
        if radio is None or not radio.matrix:
            return []
        try:
            measured = read_matrix(self.scenario.folder / radio.matrix)
        except InputError as error:
            raise ConfigError(f"matrix in [radio]: {error}") from error
        names = list(dict.fromkeys(name for a, b, _ in measured for name in (a, b)))
        resolve(names, self.places, f" in {radio.matrix}")
        without = [name for name in names if radio.nodes and name not in radio.nodes]
        if without:
            raise ConfigError(
                f'"{without[0]}" in {radio.matrix} has no radio; add it to nodes in [radio], or take it out'
            )
        return measured

    def _build_wires(self, setting: WireSetting) -> None:
        rate = Rate(setting.bps, setting.delay_s, setting.loss)
        names = setting.between
        for at, a in enumerate(names):
            for b in names[at + 1 :]:
                wire = self._joins.wire(a, b, rate)
                self._nursery.start_soon(self._keep_times, wire, setting)

    def _is_relay(self, name: str) -> bool:
        relays = self.scenario.relays
        return name in relays.nodes or self._numbers[name] <= relays.count

    def _options(self, name: str) -> dict[str, Any]:
        if not self._is_relay(name):
            return {}
        serve = Serve[self.scenario.relays.serve.upper()]
        return {"relay": RelayPolicy(serve, interval_s=0.0, per_day=(_MANY, _MANY))}

    async def _start_nodes(self) -> None:
        dice = self._dice("start")
        order = sorted((dice.uniform(0, _START_S), name) for name in self.places)
        begin = trio.current_time()
        for at, name in order:
            await trio.sleep_until(begin + at)
            await self._power.begin(name)

    async def _start(self, name: str) -> None:
        await self.world.start(name, self._options(name))
        self._joins.switched_on(name)
        self._writer.started(name)

    async def _keep_times(self, wire: Wire, setting: WireSetting) -> None:
        """Have a wire in at its times."""
        begin = trio.current_time()
        while True:
            for up, down in setting.up:
                await trio.sleep_until(begin + up)
                self._joins.put_in(wire)
                await trio.sleep_until(begin + down)
                self._joins.take_out(wire)
            if not setting.every_s:
                return
            begin += setting.every_s

    # --- what happens meanwhile -----------------------------------------------------------------
    def _tasks(self) -> list[Callable[[], Awaitable[None]]]:
        scenario = self.scenario
        tasks: list[Callable[[], Awaitable[None]]] = []
        for number, texts in enumerate(scenario.texts):
            if not texts.at_start:
                tasks.append(partial(self._writer.now_and_then, number))
        for number, outage in enumerate(scenario.outages):
            dice = self._dice(f"outage {number}")
            tasks += [
                partial(self._fail, outage, name, dice.uniform(0, outage.spread_s)) for name in outage.nodes
            ]
        tasks += [partial(self._drain, one, name) for one in scenario.batteries for name in one.nodes]
        tasks += [partial(self._part, one) for one in scenario.partitions]
        if scenario.contacts is not None:
            tasks.append(self._meet)
        if scenario.mobility is not None:
            tasks.append(self._move)
        return tasks

    async def _fail(self, outage: Outage, name: str, later_s: float) -> None:
        """Have a node off at the times of an outage."""
        begin = trio.current_time() + later_s
        at = outage.at_s
        while True:
            await trio.sleep_until(begin + at)
            await self._power.cut(name)
            if not outage.for_s:
                return
            await trio.sleep_until(begin + at + outage.for_s)
            await self._power.restore(name)
            if not outage.every_s:
                return
            at += outage.every_s

    async def _drain(self, battery: Battery, name: str) -> None:
        """Have a node off for good when its battery is empty."""
        while self._power.used_mah(name, battery, self._airtime(name)) < battery.mah:
            await trio.sleep(_DRAIN_S)
        await self._power.cut(name)

    def _airtime(self, name: str) -> float:
        radio = self.scenario.radio
        if self._channel is None or radio is None or name not in (radio.nodes or self.places):
            return 0.0
        return self._channel.duty(self._numbers[name]).airtime_s

    async def _part(self, partition: Partition) -> None:
        """Cut everything between the groups, and mend it afterwards."""
        begin = trio.current_time()
        group = {name: number for number, names in enumerate(partition.groups) for name in names}
        await trio.sleep_until(begin + partition.from_s)
        apart = [(a, b) for a in group for b in group if group[a] != group[b] and a < b]
        self._joins.part(apart)
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
        self._joins.mend(apart)

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
            wire = self._joins.wire(meeting.a, meeting.b, rate)
            self._nursery.start_soon(self._meeting, wire, begin + meeting.end)

    async def _meeting(self, wire: Wire, until: float) -> None:
        self._joins.put_in(wire)
        await trio.sleep_until(until)
        self._joins.forget(wire)

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
        check_relayed(name, event, self._by_address, self.record, now)
        if event.event != "message_state" or event.fields["state"] not in ("relayed", "sent"):
            return
        message = self.record.messages.get(str(event.fields["id"]))
        if message is None or message.sender != name:
            return
        if message.min_bandwidth:
            if event.fields["state"] == "relayed" and message.photo is None:
                self.record.breaches.append(
                    f"message {message.id} needs {message.min_bandwidth} bps and was left with a relay"
                )
            label, _, peer = str(event.fields["by"]).partition(":")
            bps = self._radio_bps if label == SimRadio.label else self._joins.widest(name, peer)
            if label in (SimRadio.label, Plug.scheme) and message.min_bandwidth > bps:
                self.record.breaches.append(
                    f"message {message.id} needs {message.min_bandwidth} bps and was sent at {bps:.0f}"
                )

    def _pulled(self, number: int, frame: bytes) -> None:
        node = self.world.nodes[self._names[number]]
        if node.running is not None:
            items = node.running.core.latest
            self.traffic.pulled(number, frame, items)
            check_leaving(node, items, self._radio_bps, self.record, trio.current_time())

    def _into_wire(self, name: str, rate: Rate, frame: bytes) -> None:
        node, now = self.world.nodes[name], trio.current_time()
        check_sealed(frame, "on a wire", self.record, now)
        if node.running is not None:
            check_leaving(node, node.running.core.latest, rate.bps or math.inf, self.record, now)

    def _on_air(self, packet: OnAir) -> None:
        check_sealed(packet.frame, "on the air", self.record, packet.end)
        self.traffic.heard(packet)
        if self._heard is not None:
            self._heard(packet, self._names)

    # --- what came of it ------------------------------------------------------------------------
    def _outcome(self, virtual_s: float) -> Outcome:
        nodes, record = self.world.nodes, self.record
        outcome = Outcome(self.scenario, self.seed, self.places, virtual_s, record, self.traffic)
        if self._air is not None and self._channel is not None and self._links is not None:
            self._look_at_air(outcome, self._air, self._channel, self._links)
        outcome.wire_bytes, outcome.wires = self._joins.bytes, list(self._joins.met)
        outcome.names = self._names
        outcome.relays = {name for name in nodes if self._is_relay(name)}
        outcome.off = {name for name, node in nodes.items() if node.running is None}
        for battery in self.scenario.batteries:
            for name in battery.nodes:
                outcome.charges[name] = self._power.charge(name, battery, self._airtime(name))
        for message in record.messages.values():
            if message.received_s is None:
                message.why = explain(message, nodes[message.sender].running)
                if not message.why:
                    record.breaches.append(f"message {message.id} is gone without a reason")
            if message.photo is not None and message.photo_s is None:
                message.photo_why = explain_photo(message, nodes[message.sender].running)
                if not message.photo_why:
                    record.breaches.append(f"the photo of message {message.id} is gone without a reason")
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
    scenario: Scenario,
    seed: int,
    *,
    heard: Callable[[OnAir, dict[int, str]], None] | None = None,
    carried: Callable[[OnWire], None] | None = None,
) -> Callable[[], Awaitable[Outcome]]:
    """The run as a function for `virtual_run`, told of as `Player` says. Raises ConfigError."""
    player = Player(scenario, seed, heard=heard, carried=carried)

    async def main() -> Outcome:
        with noted_failures(player.record.breaches):
            return await player.play()

    return main
