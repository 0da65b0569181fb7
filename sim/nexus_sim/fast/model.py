"""A scenario played by a model of channel and routing, for more nodes than can be real ones.

Radios are drawn frame by frame, as `nexus-sim run` has it (ether.py); links, announces and requests follow
the code's shares and times (meeting.py, gossip.py); messages go hop by hop (carry.py). docs/scale.md says how
far this agrees with real nodes and what it leaves out. Nodes do not move, fail or restart, and no mail is
kept by relays; there are no keys and no bytes, only sizes.
"""

import random
from dataclasses import replace
from typing import Any

import numpy as np

from nexus_node.base.duty import HOUR_S
from nexus_node.base.errors import ConfigError
from nexus_sim import duty
from nexus_sim.channel import Sensing
from nexus_sim.events import Agenda
from nexus_sim.fast import sizes
from nexus_sim.fast.carry import Carry
from nexus_sim.fast.ether import Ether
from nexus_sim.fast.figures import SAMPLE_S, Curve, Delays, OnAirBooks, figures
from nexus_sim.fast.gossip import DEAD, Gossip
from nexus_sim.fast.graph import Array, graph_of, islands
from nexus_sim.fast.meeting import UP, Meeting
from nexus_sim.fast.outbox import Frame, Outbox
from nexus_sim.fast.tables import Tables
from nexus_sim.fast.wires import Wires
from nexus_sim.modem import Modem
from nexus_sim.names import resolved
from nexus_sim.places import places_of
from nexus_sim.play import _START_S
from nexus_sim.propagation import LogDistance, snr_sensitivity
from nexus_sim.reception import Rules
from nexus_sim.scenario import Radio, Scenario

_STEPS = 6
"""To the time of a largest frame."""


class Model:
    """One run."""

    def __init__(self, scenario: Scenario, seed: int, *, met: bool = False) -> None:
        """`met`: begin with links made, for the time after. Raises ConfigError for what the model does not
        have."""
        self._modem, radio = modem_of(scenario)
        places = places_of(scenario, random.Random(f"{seed} places"))
        self.scenario, self.seed = resolved(scenario, places), seed
        self._names = list(places)
        x = np.array([one.x for one in places.values()])
        y = np.array([one.y for one in places.values()])
        sensing = Sensing(cad_miss=radio.cad_miss)
        loss = LogDistance(
            radio.pathloss.model == "ln", radio.pathloss.d0, radio.pathloss.pl0, radio.pathloss.gamma
        )
        sensitivity = snr_sensitivity(self._modem)
        reach_m = loss.range_m(radio.tx_dbm - sensitivity + sensing.cad_margin_db)
        slope = 10 * loss.gamma * (np.log(10.0) if loss.natural else 1.0)
        self.graph = graph = graph_of(
            x,
            y,
            reach_m,
            lambda away: radio.tx_dbm - loss.pl0 - slope * np.log10(np.maximum(away, 0.001) / loss.d0),
            sensitivity,
        )
        frame_s = self._modem.airtime(radio.mtu)
        bps = 8 * radio.mtu / frame_s
        room = radio.mtu - sizes.SEALED
        self._step_s = frame_s / _STEPS
        self._airtimes = np.array([self._modem.airtime(size) for size in range(radio.mtu + 1)])
        dice = np.random.default_rng([seed, 1])
        count = graph.nodes
        self.agenda = Agenda()
        self._outbox = Outbox(count)
        self.ether = Ether(graph, self._modem, dice, Rules(radio.capture, radio.capture_db), sensing)
        self.meeting = Meeting(graph, self.agenda, self._outbox, bps, dice)
        self.tables = Tables(count)
        self.gossip = Gossip(graph, self.meeting, self.tables, bps, room, dice)
        self.carry = Carry(graph, self.meeting, self.gossip, self._outbox, self.agenda, bps, room, radio.mtu)
        self.wires = Wires(self.gossip, self.carry, self.scenario, self._names)
        self._single: dict[int, Frame] = {}
        """The frames to single neighbours on air, by sender."""
        self._hello = np.zeros(count, dtype=bool)
        """Whether what a node sends is a HELLO."""
        self._all = np.zeros(count, dtype=bool)
        """Whether it is a broadcast."""
        self.books = OnAirBooks()
        self.curve = Curve()
        self._aired = np.zeros(count)
        self._start(met)

    def _start(self, met: bool) -> None:
        """Nodes are switched on, and write, when and as in `nexus-sim run`."""
        count, scenario = self.graph.nodes, self.scenario
        dice = random.Random(f"{self.seed} start")
        at = np.array([dice.uniform(0, _START_S) for _ in range(count)])
        self.meeting.start(np.arange(count), at)
        if met:
            self.meeting.meet()
            self.gossip.share(np.arange(count))
            self.gossip.spread_out()
        number = {name: at for at, name in enumerate(self._names)}
        for which, texts in enumerate(scenario.texts):
            end = min(texts.end_s, scenario.duration_s - scenario.settle_s)
            senders = [number[name] for name in texts.senders or self._names]
            recipients = [number[name] for name in texts.recipients or self._names]
            dice = random.Random(f"{self.seed} texts {which}")
            self.carry.write(replace(texts, end_s=end), senders, recipients, dice)
        self.agenda.at(SAMPLE_S, self._look)

    # --- the run --------------------------------------------------------------------------------
    def run(self) -> dict[str, Any]:
        """From beginning to end; the figures."""
        now, step = 0.0, 0
        while now < self.scenario.duration_s:
            self._step(now)
            step += 1
            now = step * self._step_s
        self.agenda.run(now)
        return self._figures(now)

    def _step(self, now: float) -> None:
        self.agenda.run(now)
        meeting, gossip = self.meeting, self.gossip
        if meeting.came:
            came, meeting.came = meeting.came, []
            gossip.linked(np.array(came), now)
            self.carry.linked(came)
        meeting.expire(now)
        gossip.expire(now, self._step_s)
        self.wires.step(now, self._step_s)
        wanting = np.flatnonzero(meeting.hello_due | gossip.broadcast_due | self._outbox.waiting)
        nodes, at = self.ether.choose(wanting, now, self._step_s)
        if len(nodes):
            self._send(nodes, at, now)
        self._receive(now + self._step_s)

    def _send(self, nodes: Array, at: Array, now: float) -> None:
        """HELLO first, then what is for all, then single neighbours."""
        size = np.zeros(len(nodes), dtype=np.int64)
        hello = self.meeting.hello_due[nodes]
        size[hello] = sizes.HELLO
        self.meeting.hello_due[nodes[hello]] = False
        spoken = ~hello & self.gossip.broadcast_due[nodes]
        size[spoken] = self.gossip.compose(nodes[spoken], now)
        single = (size == 0) & self._outbox.waiting[nodes]
        for index in np.flatnonzero(single).tolist():
            frame = self._outbox.take(int(nodes[index]))
            self._single[int(nodes[index])] = frame
            size[index] = frame.size
            self.books.add(frame.kind, frame.size, float(self._airtimes[frame.size]))
        self._hello[nodes], self._all[nodes] = hello, spoken & ~single
        airtime = self._airtimes[size]
        for kind, some in (("hello", hello), ("broadcast", spoken & ~single & (size > 0))):
            if some.any():
                self.books.add(kind, int(size[some].sum()), float(airtime[some].sum()), int(some.sum()))
        some = size > 0
        self.ether.begin(nodes[some], at[some], airtime[some])
        self._aired[nodes[some]] += airtime[some]

    def _receive(self, until: float) -> None:
        senders, edges = self.ether.finish(until)
        if not len(senders):
            return
        on = self.meeting.started[self.graph.to[edges]] < until
        edges = edges[on]
        sender = self.graph.start[edges]
        hello = edges[self._hello[sender]]
        if len(hello):
            self.gossip.share(self.meeting.heard_hello(hello, until))
        spoken = edges[self._all[sender]]
        if len(spoken):
            self.gossip.hear(spoken, until)
        arrived = set(edges[~self._hello[sender] & ~self._all[sender]].tolist())
        for node in senders.tolist():
            frame = self._single.pop(node, None)
            if frame is not None and frame.edge in arrived:
                self.agenda.at(max(until, self.agenda.now), frame.arrived)

    # --- what is seen ---------------------------------------------------------------------------
    def _look(self) -> None:
        count = self.graph.nodes
        known = int(self.tables.count.sum())
        linked = np.flatnonzero(self.meeting.state == UP)
        there = self.tables.find(self.graph.start[linked].astype(np.int64), self.graph.to[linked])
        known += int((there < 0).sum())
        self.curve.add(self.agenda.now, known / max(1, count * (count - 1)))
        self.agenda.at(self.agenda.now + SAMPLE_S, self._look)

    def _figures(self, now: float) -> dict[str, Any]:
        graph, count = self.graph, self.graph.nodes
        letters = self.carry.letters
        late = [one.received_s - one.sent_s for one in letters if one.received_s is not None]
        clear = graph.decodable
        starts = np.concatenate([graph.start[clear], self.wires.start])
        up = np.flatnonzero(self.meeting.state == UP)
        one_sided = int((self.meeting.state[graph.back[up]] != UP).sum())
        label = islands(count, starts, np.concatenate([graph.to[clear], self.wires.to]))
        size = np.bincount(label).astype(np.float64)
        entries = self.tables.entries
        lora = entries["lora"][: self.tables.end]
        lora = lora[(entries["dest"][: self.tables.end] > 0) & (lora != DEAD)]
        told = figures(
            nodes=count,
            seed=self.seed,
            virtual_s=now,
            neighbours=int(clear.sum()) / count,
            links=float((self.meeting.up.sum() + len(self.wires.to)) / count),
            one_sided=one_sided / max(1, len(up) + len(self.wires.to)),
            books=self.books,
            received=self.ether.received,
            collided=self.ether.lost,
            curve=self.curve,
            delays=Delays(len(letters), late),
            highest_duty=float(self._aired.max(initial=0)) / max(now, HOUR_S) / self._duty(),
            wire_bytes=self.carry.wire_bytes + self.wires.bytes,
        )
        return {
            **told,
            "reachable_share": round(float((size * (size - 1)).sum()) / max(1, count * (count - 1)), 5),
            "hops": {
                "mean": round(float(lora.mean()), 2) if len(lora) else None,
                "max": int(lora.max(initial=0)),
            },
            "known_at": {
                where: round(float(self.tables.count[some].mean()), 1) if some.any() else None
                for where, some in (("wired", self.gossip.wired), ("others", ~self.gossip.wired))
            },
            "announces_sent": self.gossip.announces_sent,
            "requests_sent": self.gossip.requests_sent,
            "requests_made": self.gossip.requests.made,
            "tables_full": self.tables.full,
        }

    def _duty(self) -> float:
        radio = self.scenario.radio
        bands = duty.EU868 if radio is not None and radio.region == "EU868" else duty.ANYWHERE
        band = duty.Duty(bands).band(self._modem.frequency)
        return band.duty_cycle if band is not None else 1.0


def modem_of(scenario: Scenario) -> tuple[Modem, Radio]:
    """The radios of a scenario, if the model has all that is in it. Raises ConfigError."""
    radio = scenario.radio
    if radio is None:
        raise ConfigError("the fast model needs a [radio]")
    unknown = {
        "nodes in [radio]": radio.nodes,
        "matrix in [radio]": radio.matrix,
        "shadowing_db in [radio]": radio.shadowing_db,
        "isolation in [radio]": radio.isolation != "none",
        "[relays]": scenario.relays.nodes or scenario.relays.count,
        "[contacts]": scenario.contacts,
        "[mobility]": scenario.mobility,
        "[[outage]]": scenario.outages,
        "[[battery]]": scenario.batteries,
        "at_start, to_all, group or circle in [[texts]]": any(
            one.at_start or one.to_all or one.group or one.circle for one in scenario.texts
        ),
        "[[partition]]": scenario.partitions,
    }
    for what, there in unknown.items():
        if there:
            raise ConfigError(f"the fast model has no {what}; take it out, or use nexus-sim run")
    modem = Modem(radio.frequency, radio.spreading_factor, radio.bandwidth, radio.coding_rate, radio.preamble)
    return modem, radio
