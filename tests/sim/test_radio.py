"""`nexus-sim radio` against LoRaSim, ALOHA's closed form, and the channel itself (acceptance S1, S2)."""

import json
import math
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nexus_node.base.errors import ConfigError
from nexus_sim.channel import Channel, Transmission
from nexus_sim.cli import cli
from nexus_sim.links import Links
from nexus_sim.modem import Modem
from nexus_sim.propagation import lorasim_sensitivity
from nexus_sim.radio import place, rules_of, run, simulate
from nexus_sim.reception import Fate, Listening
from nexus_sim.settings import PathLossSetting, RadioSetting, check_radio, read_radio

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios" / "radio"

PUBLISHED = [
    # radio.md section 6.1: LoRaSim with its fault mended, 5 seeds.
    ("sn1-simple", 0.5045),
    ("sn1", 0.6461),
    ("sn3-simple", 0.8459),
    ("sn3", 0.8967),
    ("sn4", 0.9016),
]
LAYOUT_SD = 0.007
"""Of the rate, between placements, with capture: 0.0047 to 0.0066 in 40 runs each of SN1, SN3 and SN4."""
SN2 = {"radius_m": 37.4, "spreading_factor": 6, "bandwidth": 500_000}
SN4 = {"radius_m": 110.26, "spreading_factor": "fastest"}
THREE = {"frequencies": (860e6, 864e6, 868e6)}
LORASIM: list[tuple[int, float, float, bool, dict[str, Any], float, float]] = [
    # Other settings, with the same LoRaSim, 10 runs each. Nodes, mean interval, horizon, capture, the rest;
    # mean and standard deviation of the rate.
    (400, 1000.0, 50_000.0, True, {"coding_rate": 8}, 0.4390, 0.0080),
    (600, 1000.0, 50_000.0, True, {}, 0.3966, 0.0047),
    (600, 1000.0, 50_000.0, False, {}, 0.2066, 0.0031),
    (200, 1000.0, 100_000.0, True, {"coding_rate": 8, **THREE}, 0.8605, 0.0050),
    (500, 1.0, 200.0, True, SN2, 0.0861, 0.0037),
    (300, 100.0, 20_000.0, True, SN4, 0.7708, 0.0235),
    (300, 100.0, 20_000.0, False, SN4, 0.7571, 0.0143),
]
ALOHA: list[tuple[int, float, float, dict[str, Any]]] = [
    # Nodes, mean interval, horizon, and the rest.
    (200, 1000.0, 100_000.0, {"coding_rate": 8}),
    (64, 1000.0, 100_000.0, {}),
    (1600, 1000.0, 50_000.0, SN2),
    (30, 60.0, 60_000.0, {"spreading_factor": 7, "payload": 255, "radius_m": 30.0}),
    (500, 300.0, 50_000.0, {"spreading_factor": 9, "bandwidth": 250_000, "preamble": 16, "radius_m": 30.0}),
    (10, 30.0, 90_000.0, {"spreading_factor": 10, "bandwidth": 62_500, "payload": 0, "radius_m": 30.0}),
]


def rate(setting: RadioSetting, seeds: int) -> tuple[float, int]:
    """Data extraction rate over so many seeds, and packets sent."""
    figures = simulate(setting, seeds).figures()
    return figures["der_mean"], figures["sent"]


@pytest.mark.parametrize(("name", "expected"), PUBLISHED)
def test_published_rows_in_short(name: str, expected: float) -> None:
    """8 placements a tenth as long: four standard errors of placements and packets, and those of the row."""
    setting = read_radio(EXAMPLES / f"{name}.toml")
    found, sent = rate(replace(setting, horizon_s=setting.horizon_s / 10), 8)
    # Packets that collide do so in pairs and more, so they count for less: half.
    packets = 2 * expected * (1 - expected) / sent
    placements = LAYOUT_SD**2 * (1 / 8 + 1 / 5) if setting.capture else 0.0021**2 / 5
    assert found == pytest.approx(expected, abs=min(0.015, 4 * math.sqrt(packets + placements)))


@pytest.mark.soak
@pytest.mark.parametrize(("name", "expected"), PUBLISHED)
def test_published_rows_in_full(name: str, expected: float) -> None:
    found, _ = rate(read_radio(EXAMPLES / f"{name}.toml"), 5)
    assert found == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(
    ("nodes", "interval", "horizon", "capture", "rest", "expected", "deviation"), LORASIM
)
def test_other_settings_of_lorasim(
    nodes: int,
    interval: float,
    horizon: float,
    capture: bool,
    rest: dict[str, Any],
    expected: float,
    deviation: float,
) -> None:
    """Four standard errors: LoRaSim's of 10 runs, ours of 4."""
    setting = RadioSetting(
        nodes=nodes, mean_interval_s=interval, horizon_s=horizon, capture=capture, max_concurrent=0, **rest
    )
    found, _ = rate(setting, 4)
    assert found == pytest.approx(expected, abs=4 * deviation * math.sqrt(1 / 10 + 1 / 4))


@pytest.mark.parametrize(("nodes", "interval", "horizon", "rest"), ALOHA)
def test_without_capture_it_is_pure_aloha(
    nodes: int, interval: float, horizon: float, rest: dict[str, Any]
) -> None:
    """Each other sender is silent at the begin, a share m/(m+T) of the time, and then for T."""
    setting = RadioSetting(
        nodes=nodes, mean_interval_s=interval, horizon_s=horizon, capture=False, max_concurrent=0, **rest
    )
    airtime = place(setting, 0)[0].airtime_s
    exact = (interval / (interval + airtime) * math.exp(-airtime / interval)) ** (nodes - 1)
    found, sent = rate(setting, 3)
    assert found == pytest.approx(exact, abs=4 * math.sqrt(2 * exact * (1 - exact) / sent))
    if nodes >= 64:  # the usual form takes so many for infinitely many
        assert found == pytest.approx(math.exp(-2 * nodes * airtime / interval), abs=0.01)


def test_seeds_differ_and_repeat() -> None:
    setting = RadioSetting(horizon_s=20_000.0)
    assert run(setting, 3) == run(setting, 3)
    rates = [one.der for one in simulate(setting, 4).runs]
    assert len(set(rates)) == 4
    assert rates[1:] == [one.der for one in simulate(replace(setting, seed=1), 3).runs]
    assert simulate(setting, 1).figures()["der_sd"] == 0


def test_every_packet_has_one_fate() -> None:
    figures = simulate(
        RadioSetting(
            nodes=300, radius_m=130.0, spreading_factor="fastest", isolation="goursaud", max_concurrent=1
        ),
        1,
    ).figures()
    fates = [figures[name] for name in ("received", "collided", "interfered", "busy", "too_weak")]
    assert sum(fates) == figures["sent"]
    assert all(fates)


def test_the_channel_decides_the_same_packets_the_same() -> None:
    """The senders of a setting on a whole channel: the receiver is the same, so are the counts."""
    setting = RadioSetting(nodes=150, radius_m=115.0, spreading_factor="fastest", max_concurrent=2)
    setting = replace(setting, mean_interval_s=100.0, horizon_s=5000.0, isolation="goursaud")
    senders = place(setting, 0)
    links = Links(1000)
    channel = Channel(links, rules=rules_of(setting), sensitivity=lorasim_sensitivity)
    channel.add(-1, Listening.ALL)
    for number, sender in enumerate(senders):
        channel.add(number, sender.modem)
        links.set(number, -1, -sender.rssi_dbm)
    chance = Random("0 intervals").random
    due = sorted((-100 * math.log(1 - chance()), number) for number in range(len(senders)))
    sent = []
    while due[0][0] < setting.horizon_s:
        now, number = due.pop(0)
        packet = Transmission(number, senders[number].modem, 0, senders[number].airtime_s)
        end = channel.begin(packet, now)
        sent.append(packet)
        due = sorted([*due, (end - 100 * math.log(1 - chance()), number)])
    heard = Counter(one.fate for packet in sent for one in channel.finish(packet, 1e9))
    found = run(setting, 0).fates
    assert found == heard | Counter({Fate.TOO_WEAK: found[Fate.TOO_WEAK]})
    assert found.total() == len(sent)
    assert all(found[fate] for fate in (Fate.RECEIVED, Fate.COLLIDED, Fate.BUSY, Fate.INTERFERED))


# --- senders ------------------------------------------------------------------------------------
def test_senders_are_uniform_in_the_disc() -> None:
    setting = RadioSetting(nodes=20_000, radius_m=100.0, pathloss=PathLossSetting("log10", 10.0, 50.0, 3.0))
    rssi = [sender.rssi_dbm for sender in place(setting, 0)]
    for metres in (25.0, 50.0, 75.0):
        at = 14 - 50 - 30 * math.log10(metres / 10)
        inside = sum(one > at for one in rssi) / 20_000
        assert inside == pytest.approx((metres / 100) ** 2, abs=0.014)  # four standard errors


@pytest.mark.parametrize(
    ("dbm", "factor", "bandwidth"),
    [
        (-100.0, 7, 500_000),
        (-121.0, 8, 500_000),
        (-124.0, 8, 500_000),
        (-126.4, 9, 500_000),
        (-128.2, 9, 250_000),
        (-128.6, 10, 500_000),
        (-131.0, 9, 125_000),
        (-132.0, 11, 250_000),
        (-134.4, 11, 125_000),
    ],
)
def test_fastest_is_the_least_airtime_that_reaches(dbm: float, factor: int, bandwidth: int) -> None:
    here = PathLossSetting("log10", 0.001, 14 - dbm)
    (sender,) = place(RadioSetting(nodes=1, radius_m=0.001, spreading_factor="fastest", pathloss=here), 0)
    assert sender.rssi_dbm == pytest.approx(dbm)
    choices = [(f, b) for f in range(7, 13) for b in (125_000, 250_000, 500_000)]
    modems = [Modem(860e6, f, b, 5) for f, b in choices]
    reaching = [one for one in modems if lorasim_sensitivity(one) <= sender.rssi_dbm]
    assert sender.airtime_s == min(one.airtime(20) for one in reaching)
    assert (sender.modem.spreading_factor, sender.modem.bandwidth) == (factor, bandwidth)


def test_who_cannot_reach_is_too_weak_and_disturbs_nobody() -> None:
    far = PathLossSetting("log10", 40.0, 190.0, 2.08)
    for factor in (12, "fastest"):
        figures = simulate(check_radio({"spreading_factor": factor, "pathloss": vars_of(far)}), 1).figures()
        assert figures["too_weak"] == figures["sent"] > 0
        assert figures["der_mean"] == 0


def vars_of(one: PathLossSetting) -> dict[str, object]:
    return {name: getattr(one, name) for name in ("model", "d0", "pl0", "gamma")}


def test_the_receiver_of_lorasim_follows_eight_packets() -> None:
    """At a load of 20 it follows one in three at best, whatever the capture."""
    loaded = RadioSetting(
        nodes=400, spreading_factor=12, mean_interval_s=26.0, horizon_s=2000.0, capture_db=0.0
    )
    eight, any_number = (simulate(replace(loaded, max_concurrent=n), 2).figures() for n in (8, 0))
    assert eight["busy"] > 0 == any_number["busy"]
    assert eight["received"] < any_number["received"]


def test_one_sender_alone_loses_nothing() -> None:
    found = simulate(RadioSetting(nodes=1, horizon_s=1e6), 3).figures()
    assert found["der_mean"] == 1.0
    nothing = simulate(RadioSetting(nodes=1, horizon_s=1e-6), 2).figures()
    assert (nothing["der_mean"], nothing["sent"]) == (None, 0)


# --- the program --------------------------------------------------------------------------------
def _run(folder: Path, text: str, *options: str) -> Result:
    file = folder / "setting.toml"
    file.write_text(text)
    return CliRunner().invoke(cli, ["radio", str(file), *options], terminal_width=1000)


def test_the_program_answers_with_the_figures(tmp_path: Path) -> None:
    result = _run(tmp_path, "nodes = 10\nhorizon_s = 10_000\nradius_m = 90\n", "--seeds", "3", "--json")
    assert result.exit_code == 0
    figures = json.loads(result.stdout)
    assert figures["sent"] == figures["received"] + figures["collided"] > 200
    assert figures["seeds"] == [0, 1, 2]
    assert 0 < figures["der_sd"] < 0.1 and 0.9 < figures["der_mean"] <= 1
    lines = _run(tmp_path, "nodes = 10\nhorizon_s = 10_000\nradius_m = 90\n", "--seeds", "3").stdout
    assert f"der_mean    {figures['der_mean']}\n" in lines


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.toml")))
def test_examples_are_settings(name: str) -> None:
    assert read_radio(EXAMPLES / f"{name}.toml").horizon_s >= 100_000


def test_defaults_are_the_contract() -> None:
    contract = """
        nodes = 64
        radius_m = 98.96
        spreading_factor = 12
        bandwidth = 125000
        coding_rate = 5
        payload = 20
        preamble = 8
        tx_dbm = 14
        mean_interval_s = 1000.0
        horizon_s = 500000.0
        capture = true
        capture_db = 6.0
        max_concurrent = 8
        pathloss = { model = "ln", d0 = 40.0, pl0 = 127.41, gamma = 2.08 }
    """
    assert check_radio(tomllib.loads(contract)) == RadioSetting() == check_radio({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node = 3", 'unknown key "node"; did you mean "nodes"?'),
        ("spreading = 7", 'unknown key "spreading"; did you mean "spreading_factor"?'),
        ('pathloss = { model = "ln", gama = 2 }', 'unknown key "gama" in pathloss; did you mean "gamma"?'),
        ('pathloss = { model = "log" }', 'model in pathloss is "log", but must be "ln" or "log10"'),
        ("pathloss = 3", "pathloss must be a table"),
        ("nodes = 0", "nodes is 0, but must be a whole number of nodes from 1 to"),
        ("nodes = 1.5", "nodes is 1.5"),
        ("radius_m = -1", "radius_m is -1, but must be a number of metres above 0"),
        ("radius_m = inf", "radius_m is Infinity"),
        ("horizon_s = nan", "horizon_s is NaN"),
        ("spreading_factor = 13", 'must be a whole number from 5 to 12, or "fastest"'),
        ('spreading_factor = "slowest"', 'or "fastest"'),
        ("spreading_factor = true", 'or "fastest"'),
        ("bandwidth = 125", "bandwidth is 125, but must be a number of hertz from 7800 to 1625000"),
        ("coding_rate = 4", "coding_rate is 4"),
        ("payload = 256", "payload is 256, but must be a whole number of bytes from 0 to 255"),
        ("capture = 1", "capture is 1, but must be true or false"),
        ("frequencies = []", "frequencies is []"),
        ("frequencies = [868.1]", "a list of 1 to 64 frequencies in hertz"),
        ('spreading_factor = 5\nchip = "sx127x"', "has no spreading_factor 5"),
        ('bandwidth = 62500\nsensitivity = "lorasim"', 'leave sensitivity out or set it to "snr"'),
        ("nodes = ", "is not valid TOML"),
        ('nodes = "\udcff"', "is not UTF-8 text"),
    ],
)
def test_a_bad_setting_is_a_usage_error_that_names_file_key_and_cure(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "setting.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    result = CliRunner().invoke(cli, ["radio", str(file)], terminal_width=1000)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "setting.toml" in result.stderr
    with pytest.raises(ConfigError):
        read_radio(file)


@pytest.mark.parametrize(
    ("values", "milliseconds"),
    [
        ({"spreading_factor": 6}, 7.07),  # SN2: no explicit header, as the SX127x demands
        ({"spreading_factor": 6, "chip": "sx126x"}, 7.97),
        ({"spreading_factor": 5}, 4.30),
    ],
)
def test_the_fastest_spreading_factors_depend_on_the_chip(
    values: dict[str, Any], milliseconds: float
) -> None:
    (sender, *_) = place(check_radio({"bandwidth": 500_000} | values), 0)
    assert 1000 * sender.airtime_s == pytest.approx(milliseconds, abs=0.005)
