"""`nexus-sim fast`: the model's parts against what they stand for, and the whole beside real nodes."""

import json
import math
import os
import random
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nexus_node.base.errors import ConfigError
from nexus_node.engine import gossip, medium
from nexus_node.wire.packet import MAX_HOPS
from nexus_sim import play as playing
from nexus_sim.channel import Channel, Sensing, Transmission
from nexus_sim.cli import cli
from nexus_sim.fast import closed
from nexus_sim.fast.ether import Ether
from nexus_sim.fast.graph import graph_of, islands
from nexus_sim.fast.larger import backbone, larger
from nexus_sim.fast.meeting import UP
from nexus_sim.fast.model import Model
from nexus_sim.fast.requests import HOP_BITS
from nexus_sim.fast.tables import Tables
from nexus_sim.fast.verb import play
from nexus_sim.links import Links, Plane
from nexus_sim.modem import Modem
from nexus_sim.propagation import LogDistance, snr_sensitivity
from nexus_sim.reception import Fate, Rules
from nexus_sim.scenario import Scenario
from nexus_sim.scenario_file import read_scenario

SCALE = Path(__file__).parents[2] / "examples" / "scenarios" / "scale"
MODEM = Modem(869.5e6, 8, 125_000, 5, 16)


def plain(nodes: int, duration_s: float, *, per_hour: float = 0.0) -> Scenario:
    scenario = larger(read_scenario(SCALE / "plain.toml"), nodes)
    texts = (replace(scenario.texts[0], per_hour=per_hour),)
    return replace(scenario, duration_s=duration_s, settle_s=0.0, texts=texts)


# --- parts ------------------------------------------------------------------------------------------
def test_tables_hold_what_a_dict_holds() -> None:
    dice = random.Random(1)
    tables, known = Tables(60), set()
    for _ in range(800):
        nodes = sorted(dice.sample(range(60), 20))
        dests = [dice.randrange(60) for _ in nodes]
        slots, fresh = tables.admit(np.array(nodes), np.array(dests))
        assert fresh.tolist() == [pair not in known for pair in zip(nodes, dests, strict=True)]
        assert (tables.entries["dest"][slots] == np.array(dests) + 1).all()
        known |= set(zip(nodes, dests, strict=True))
    for node in range(60):
        mine = {dest for one, dest in known if one == node}
        found = tables.find(np.full(60, node), np.arange(60)) >= 0
        assert set(np.flatnonzero(found).tolist()) == mine
        assert [tables.look(node, dest) >= 0 for dest in range(60)] == found.tolist()
        slots, _ = tables.of(np.array([node]))
        assert sorted((tables.entries["dest"][slots] - 1).tolist()) == sorted(mine)


def test_tables_are_bounded_as_a_node_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_sim.fast.tables.DESTINATIONS_MAX", 5)
    tables = Tables(40)
    for dest in range(10):
        tables.admit(np.array([3]), np.array([dest]))
    assert (tables.count[3], tables.full) == (5, 5)


def test_the_graph_has_the_pairs_that_are_near() -> None:
    dice = np.random.default_rng(5)
    x, y = dice.random(300) * 1000, dice.random(300) * 700
    graph = graph_of(x, y, 90.0, lambda away: -away, -60.0)
    for node in range(300):
        away = np.hypot(x - x[node], y - y[node])
        near = [other for other in range(300) if other != node and away[other] <= 90]
        edges, _ = graph.edges_of(np.array([node]))
        assert graph.to[edges].tolist() == near
        assert (graph.start[edges] == node).all()
        assert (graph.to[graph.back[edges]] == node).all()
        assert (graph.start[graph.back[edges]] == graph.to[edges]).all()
        assert graph.decodable[edges].tolist() == [bool(away[other] <= 60) for other in near]


def test_islands_are_what_hangs_together() -> None:
    start = np.array([0, 1, 1, 2, 4, 5])
    to = np.array([1, 0, 2, 1, 5, 4])
    label = islands(6, start, to)
    assert label[0] == label[1] == label[2] and label[4] == label[5]
    assert len({int(label[0]), int(label[3]), int(label[4])}) == 3


@pytest.mark.parametrize("seed", range(4))
def test_the_air_loses_what_the_channel_loses(seed: int) -> None:
    """The same frames at the same times, of nodes that do not listen: nearly all have the same fate."""
    dice = random.Random(seed)
    places = [(dice.uniform(0, 9000), dice.uniform(0, 9000)) for _ in range(14)]
    model, rules, sensing = LogDistance(False, 1000.0, 128.95, 2.32), Rules(max_concurrent=1), Sensing()
    reach_db = 14.0 - snr_sensitivity(MODEM) + sensing.cad_margin_db
    links = Links(reach_db)
    plane, channel = Plane(links, model), Channel(links, rules=rules, sensing=sensing)
    for number, (x, y) in enumerate(places):
        plane.place(number, x, y)
        channel.add(number, MODEM)
    graph = graph_of(
        np.array([x for x, _ in places]),
        np.array([y for _, y in places]),
        model.range_m(reach_db),
        lambda away: np.array([14.0 - model.loss_db(float(one)) for one in away]),
        snr_sensitivity(MODEM),
    )
    ether = Ether(graph, MODEM, np.random.default_rng(0), rules, sensing)
    free = [0.0] * len(places)
    sent: list[tuple[float, int, float]] = []
    for _ in range(1500):
        node = dice.randrange(len(places))
        begin = free[node] + dice.expovariate(1 / 3.0)
        airtime_s = MODEM.airtime(dice.randrange(21, 256))
        free[node] = begin + airtime_s + 0.001
        sent.append((begin, node, airtime_s))
    sent.sort()
    expected, ends = set(), []
    for begin, node, airtime_s in sent:
        ends = [one for one in ends if not _ended(channel, one, begin, expected)]
        packet = Transmission(node, MODEM, 14.0, airtime_s, begin)
        ends.append((channel.begin(packet, begin), packet))
    for end, packet in ends:
        _ended(channel, (end, packet), math.inf, expected)
    arrived, step_s, at, begun = set(), 0.05, 0.0, {}
    while sent or ether.on_air.any():
        now = [one for one in sent if one[0] < at + step_s]
        del sent[: len(now)]
        if now:
            nodes = np.array([node for _, node, _ in now])
            ether.begin(nodes, np.array([one[0] for one in now]), np.array([one[2] for one in now]))
            begun |= {node: begin for begin, node, _ in now}
        _, edges = ether.finish(at + step_s)
        arrived |= {(begun[int(graph.start[edge])], int(graph.to[edge])) for edge in edges.tolist()}
        at += step_s
    assert len(expected) > 1000
    assert len(expected ^ arrived) < 0.03 * len(expected)  # two at once count as the stronger of them


def _ended(
    channel: Channel, one: tuple[float, Transmission], now: float, expected: set[tuple[float, int]]
) -> bool:
    """Whether that packet is over by now; then who has received it is noted."""
    end, packet = one
    if end > now:
        return False
    begin = packet.data
    assert isinstance(begin, float)
    expected |= {
        (begin, heard.receiver) for heard in channel.finish(packet, end) if heard.fate is Fate.RECEIVED
    }
    return True


# --- the whole --------------------------------------------------------------------------------------
def test_following_the_next_hops_leads_there() -> None:
    """No loops: the bound of what was told keeps them out, as in the real node."""
    model = Model(plain(60, 900.0, per_hour=2.0), 3)
    model.run()
    ways = 0
    for node in range(60):
        for dest in range(60):
            here, hops = node, 0
            while here != dest and hops <= 60:
                way = model.carry._way(here, dest)
                if way is None:
                    break
                here, hops = way[0], hops + 1
            assert hops <= 60, f"from {node} to {dest} goes round"
            ways += here == dest
    assert ways > 500


def test_shares_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = plain(60, 600.0)
    before = Model(scenario, 0, met=True).run()
    monkeypatch.setattr(medium, "_GOSSIP_SHARE", medium._GOSSIP_SHARE / 4)
    monkeypatch.setattr(medium, "_GOSSIP_ALL", medium._GOSSIP_ALL / 4)
    after = Model(scenario, 0, met=True).run()
    assert after["announces_sent"] < 0.7 * before["announces_sent"]


def test_who_has_heard_enough_tell_it_does_not_tell_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = plain(60, 600.0)
    before = Model(scenario, 0, met=True).run()
    monkeypatch.setattr(gossip, "TELLERS", 1)
    after = Model(scenario, 0, met=True).run()
    assert after["announces_sent"] < 0.9 * before["announces_sent"]


def test_links_are_up_at_both_ends() -> None:
    model = Model(plain(60, 400.0), 1)
    figures = model.run()
    assert figures["links"] > 4
    assert figures["one_sided"] < 0.02


def test_texts_and_places_are_those_of_the_real_run() -> None:
    both = play(plain(12, 400.0, per_hour=20.0), 5, beside=True)
    assert both["messages_sent"]["fast"] == both["messages_sent"]["real"] > 10
    assert both["neighbours"]["fast"] == both["neighbours"]["real"] > 1


@pytest.mark.soak  # 70 s, most of it for the real nodes
def test_thirty_nodes_are_as_real_ones() -> None:
    """The tolerances are what docs/scale.md found over several seeds."""
    both = play(plain(30, 900.0, per_hour=2.0), 0, beside=True)
    assert both.pop("breaches") == []
    fast, real = ({name: one[who] for name, one in both.items()} for who in ("fast", "real"))
    assert fast["neighbours"] == real["neighbours"]
    assert fast["links"] == pytest.approx(real["links"], rel=0.1)
    assert fast["receptions"] == pytest.approx(real["receptions"], rel=0.15)
    assert fast["air_share"] == pytest.approx(real["air_share"], rel=0.1)
    assert fast["lost_share"] == pytest.approx(real["lost_share"], abs=0.03)
    for kind, spare in (("hello", 0.1), ("handshake", 0.15), ("broadcast", 0.15), ("sealed", 0.25)):
        assert fast["frames"][kind] == pytest.approx(real["frames"][kind], rel=spare), kind
        assert fast["airtime_s"][kind] == pytest.approx(real["airtime_s"][kind], rel=spare), kind
    for at_s in (120.0, 300.0, 600.0):
        modelled, seen = (dict(who["curve"])[at_s] for who in (fast, real))
        assert modelled == pytest.approx(seen, abs=0.12), at_s


def test_a_flood_goes_as_far_as_the_formula_says() -> None:
    """The share of a hop's range that a flood makes good, from counting in the links of the model."""
    model = Model(plain(3000, 60.0), 0, met=True)
    start, to = model.graph.start, model.graph.to
    up = model.meeting.state == UP
    begin = np.searchsorted(start[up], np.arange(3001))
    neighbours = model.graph.decodable.sum() / 3000
    shares = []
    for source in range(0, 3000, 100):
        seen, edge = {source}, {source}
        for _ in range(8):
            edge = {int(one) for node in edge for one in to[up][begin[node] : begin[node + 1]]} - seen
            seen |= edge
        shares.append(math.sqrt(len(seen) / neighbours) / 8)
    assert float(np.median(shares)) == pytest.approx(closed._HOP, abs=0.06)


def test_the_formulas_add_up() -> None:
    figures = play(read_scenario(SCALE / "plain.toml"), None, closed=True, nodes=1_000_000)
    air, wire = figures["air"], figures["wire"]
    assert air["told_per_interval"] * air["s_between_announces"] == pytest.approx(1800, rel=0.01)
    assert air["hours_to_tell_of_all"] * 3600 / 1e6 == pytest.approx(air["s_between_announces"], rel=0.01)
    assert wire["bytes_per_s_of_all_announces"] * 8 / 0.03 == pytest.approx(
        wire["least_bps_for_them"], rel=0.01
    )


def test_wires_join_islands() -> None:
    scenario = larger(read_scenario(SCALE / "islands.toml"), 50)
    scenario = replace(scenario, duration_s=1200.0, settle_s=0.0, texts=())
    apart = Model(scenario, 0).run()
    joined = Model(backbone(scenario, 2, 0), 0).run()
    assert apart["reachable_share"] < 0.6 < 0.9 < joined["reachable_share"]
    assert joined["known_share"] > 1.1 * apart["known_share"]
    assert joined["bytes_on_wires"] > 0 == apart["bytes_on_wires"]


@pytest.mark.parametrize("hash_seed", ["0", "7"])
def test_the_same_seed_is_the_same_run(hash_seed: str) -> None:
    code = "from nexus_sim.cli import main; main()"
    command = [sys.executable, "-c", code, "fast", str(SCALE / "plain.toml")]
    command += ["--nodes", "20", "--duration", "200", "--per-hour", "20", "--seed", "4", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    figures = json.loads(said)
    del figures["wall_s"]
    scenario = plain(20, 200.0, per_hour=20.0)
    expected = Model(replace(scenario, settle_s=50.0), 4).run()
    assert figures == json.loads(json.dumps(expected))
    assert Model(replace(scenario, settle_s=50.0), 5).run()["receptions"] != expected["receptions"]


def test_what_the_model_lacks_is_said() -> None:
    scenario = plain(10, 100.0)
    radio = scenario.radio
    assert radio is not None
    with pytest.raises(ConfigError, match=r"no shadowing_db in \[radio\]; take it out, or use nexus-sim run"):
        Model(replace(scenario, radio=replace(radio, shadowing_db=3.0)), 0)
    with pytest.raises(
        ConfigError, match=r"no at_start, to_all, group or circle in \[\[texts\]\]; take it out"
    ):
        Model(replace(scenario, texts=(replace(scenario.texts[0], circle=3),)), 0)
    with pytest.raises(ConfigError, match=r"needs a \[radio\]"):
        Model(replace(scenario, radio=None), 0)
    with pytest.raises(ConfigError, match="--backbone needs"):
        backbone(scenario, 3, 0)
    with pytest.raises(ConfigError, match="in reach and the fast model takes"):
        Model(larger(replace(scenario, places=(replace(scenario.places[0], side_m=10.0),)), 250), 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--island", "25"], "--neighbours and --island are for --closed"),
        (["--neighbours", "9"], "add --closed"),
        (
            ["--closed", "--met"],
            "--closed is formulas alone: it goes with --nodes, --neighbours and --island only",
        ),
        (["--closed", "--duration", "60"], "--closed is formulas alone"),
        (["--closed", "--neighbours", "-1"], "-1.0 is not in the range x>0"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(options: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["fast", str(SCALE / "plain.toml"), *options])
    assert done.exit_code == 2 and words in " ".join(done.output.split())


def test_what_must_hold_is_looked_for_beside_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "check_stores", lambda stores, record: record.breaches.append("open"))
    command = ["fast", str(SCALE / "plain.toml"), "--nodes", "3", "--duration", "60", "--beside"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1 and "must not happen: open" in done.stderr
    told = shlex.split(done.stderr.partition("repeat it with: nexus-sim ")[2])
    assert sorted(told) == sorted(command)


def test_without_numpy_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("nexus_sim.fast")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("nexus_sim.fast", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    answer = CliRunner().invoke(cli, ["fast", str(SCALE / "plain.toml")])
    assert answer.exit_code == 1
    assert "pip install 'nexus-node[sim]'" in answer.output


def test_a_hop_s_number_fits() -> None:
    assert MAX_HOPS <= 1 << HOP_BITS
