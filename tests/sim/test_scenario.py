"""Scenario files: what is read, what is refused and in which words, and what comes of each part."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nexus_node.base.errors import ConfigError
from nexus_sim import play as playing
from nexus_sim.channel import Channel
from nexus_sim.cli import cli
from nexus_sim.clock import virtual_run
from nexus_sim.names import resolve
from nexus_sim.outcome import Outcome
from nexus_sim.play import play
from nexus_sim.record import Record
from nexus_sim.scenario import Scenario
from nexus_sim.scenario_file import LISTS, TABLES, TOP, check_scenario, read_scenario

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
NEXUS_SIM = Path(sys.executable).with_name("nexus-sim")
HEAD = 'name = "t"\nduration_s = 600\n'
TWO = HEAD + "[places]\ncount = 2\n"


def scenario(text: str, folder: Path = Path()) -> Scenario:
    return check_scenario(tomllib.loads(text), folder)


def played(text: str, seed: int = 1, folder: Path = Path()) -> Outcome:
    outcome = virtual_run(play(scenario(text, folder), seed), seed)
    assert outcome.record.breaches == []
    return outcome


# --- refused, in one sentence -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("duration_s = 600\n[places]", "name is missing; every scenario has a name and a duration_s"),
        ('name = "t"\n[places]', "duration_s is missing"),
        ('name = ""\nduration_s = 600\n[places]', 'name is "", but must be printable text'),
        ('name = "t"\nduration_s = 0\n[places]', "duration_s is 0, but must be a number of seconds above 0"),
        ('name = "t"\nduration_s = inf\n[places]', "duration_s is Infinity, but must be"),
        (HEAD, "there are no nodes; add [places], [[node]] or [contacts]"),
        (HEAD + "settle_s = 600\n[places]", "settle_s leaves no time to send anything; make duration_s"),
        (HEAD + "seed = -1\n[places]", "seed is -1, but must be a whole number"),
        (HEAD + "durations = 3\n[places]", 'unknown key "durations"; did you mean "duration_s"?'),
        (HEAD + "[place]", 'unknown key "place"; did you mean "places"?'),
        (HEAD + "places = 3", "places must be a list of tables: put each below its own line [[places]]"),
        (HEAD + "radio = 3\n[places]", "radio must be a table: put its keys below a line [radio]"),
        (
            TWO + "[texts]\nper_hour = 1",
            "texts must be a list of tables: put each below its own line [[texts]]",
        ),
        (HEAD + '[places]\nkind = "circle"', 'kind in [places] is "circle", but must be "line" or "grid"'),
        (HEAD + "[places]\ncount = 0", "count in [places] is 0, but must be a whole number of nodes from 1"),
        (HEAD + "[places]\ncuont = 4", 'unknown key "cuont" in [places]; did you mean "count"?'),
        (HEAD + '[places]\nkind = "file"', 'file in [places] is missing; kind is "file"'),
        (HEAD + '[places]\nkind = "file"\nfile = "no.csv"', "file in [places]: "),
        (HEAD + "[[places]]\n[[places]]", 'there are two nodes "n1"; give each [[places]] its own prefix'),
        (HEAD + '[[node]]\nname = "a"\n[[node]]\nname = "a"', "two [[node]] have the same name"),
        (HEAD + "[[node]]\nx = 3", "name in [[node]] number 1 is missing; it must be printable text"),
        (TWO + "[radio]\nspreading_factor = 13", "spreading_factor in [radio] is 13, but must be a whole"),
        (TWO + "[radio]\npathloss = 3", "pathloss in [radio] must be a table, such as"),
        (TWO + '[radio]\npathloss = { model = "hata" }', 'model in pathloss is "hata", but must be "ln" or'),
        (TWO + '[radio]\nnodes = ["n9"]', 'there is no node "n9" in [radio]; did you mean'),
        (TWO + '[radio]\nnodes = ["m*"]', 'no node is like "m*" in [radio]; they are called n1, n2'),
        (TWO + '[radio]\nmatrix = "no.csv"', "no.csv cannot be read"),
        (TWO + '[relays]\nnodes = ["zz"]', 'there is no node "zz" in [relays]; see [places] and [[node]]'),
        (TWO + '[relays]\nserve = "all"', 'serve in [relays] is "all", but must be "contacts" or "anyone"'),
        (TWO + "[[wire]]\nbps = 9", "between in [[wire]] number 1 is missing; it must be a list of names"),
        (TWO + '[[wire]]\nbetween = ["n1"]', 'between in [[wire]] is one node only, "n1"; name another'),
        (
            TWO + '[[wire]]\nbetween = ["n?"]\nup = [[5, 3]]',
            "up in [[wire]] number 1 is [[5, 3]], but must be",
        ),
        (TWO + '[[wire]]\nbetween = ["n?"]\nup = [[5, nan]]', "but must be a list of times such as"),
        (
            TWO + '[[wire]]\nbetween = ["n?"]\nloss = 2',
            "loss in [[wire]] number 1 is 2, but must be a number",
        ),
        (
            TWO + '[[wire]]\nbetween = ["n?"]\nup = [[0, 9]]\nevery_s = 5',
            "every_s in [[wire]] is before the last time in up",
        ),
        (TWO + '[contacts]\nfile = "no.csv"', "file in [contacts]: "),
        (TWO + "[mobility]", "[mobility] moves radios by their places; add [radio], without a matrix"),
        (
            TWO + "[radio]\n[mobility]\nspeed_mps = [3, 1]",
            "speed_mps in [mobility] is [3, 1], but must be two",
        ),
        (
            TWO + '[radio]\n[mobility]\n[[partition]]\ngroups=[["n1"],["n2"]]\nfrom_s=1\nto_s=2',
            "a [[partition]] does not hold for nodes that move; leave out one of the two",
        ),
        (
            TWO + "[[texts]]\nsize = [20.5, 30]",
            "size in [[texts]] number 1 is [20.5, 30], but must be two num",
        ),
        (TWO + '[[texts]]\nsenders = "n1"', 'senders in [[texts]] number 1 is "n1", but must be a list of'),
        (TWO + '[[texts]]\n[[texts]]\nrecipients = ["x"]', 'there is no node "x" in [[texts]]'),
        (TWO + "[[outage]]\nat_s = 3", "nodes in [[outage]] number 1 is missing"),
        (TWO + '[[outage]]\nnodes = ["n1"]\nevery_s = 9', "every_s in [[outage]] needs for_s"),
        (
            TWO + '[[outage]]\nnodes = ["n1"]\nevery_s = 9\nfor_s = 9',
            "every_s in [[outage]] is not longer than for_s; the nodes would never be on",
        ),
        (TWO + '[[battery]]\nnodes = ["n1"]', "mah in [[battery]] number 1 is missing"),
        (
            TWO + '[[partition]]\ngroups = [["n1"]]\nfrom_s = 1\nto_s = 2',
            "groups in [[partition]] number 1 is",
        ),
        (
            TWO + '[[partition]]\ngroups = [["n1"], ["n2"]]\nfrom_s = 2\nto_s = 2',
            "from_s in [[partition]] is not before to_s",
        ),
        (
            TWO + '[[partition]]\ngroups = [["n1"], ["n*"]]\nfrom_s = 1\nto_s = 2',
            '"n1" is in two groups of a [[partition]]; leave it in one',
        ),
        (
            TWO + "[radio]\nfrequency = 915e6",
            "frequency in [radio] is 915000000, which lies in no band of EU868",
        ),
        (
            TWO + "[radio]\nfrequency = 864e6\nspreading_factor = 12",
            "a packet of mtu in [radio], 255 bytes, is 9.3 s on air, and the band has 3.6 s in an hour",
        ),
        (
            HEAD + '[places]\nkind = "file"\nfile = "empty.csv"',
            "empty.csv has nothing below its first line; give",
        ),
        (TWO + "[relays]\ncount = 3", "count in [relays] is 3, but there are 2 nodes; make it less"),
        (
            TWO + '[radio]\nnodes = ["n1"]\n[mobility]\nnodes = ["n2"]',
            '"n2" in [mobility] has no radio, and only',
        ),
        (TWO + '[radio]\nnodes = ["n1"]\nmatrix = "heard.csv"', '"n2" in heard.csv has no radio; add it to'),
        (TWO + "[[texts]]\nstart_s = 9\nend_s = 9", "start_s in [[texts]] is not before end_s"),
        ("settle_s = 60\n" + TWO + "[[texts]]\nstart_s = 540", "start_s in [[texts]] is 540, but nothing is"),
        (
            TWO + '[[texts]]\nsenders = ["n1"]\nrecipients = ["n1"]',
            "nobody in [[texts]] has anybody to write",
        ),
        (
            HEAD + "[places]\ncount = 129\n[[texts]]\ngroup = true",
            "group in [[texts]] has 129 members, but a group has at most 128; name fewer",
        ),
        (
            TWO + '[[wire]]\nbetween = ["n?"]\nup = [[600, 700]]',
            "the first time in up in [[wire]] is 600, after the end of the run; make it less than 600",
        ),
        (TWO + '[[outage]]\nnodes = ["n1"]\nat_s = 1000', "at_s in [[outage]] is 1000, after the end of the"),
        (
            TWO + '[[partition]]\ngroups = [["n1"], ["n2"]]\nfrom_s = 700\nto_s = 800',
            "from_s in [[partition]] is 700, after the end of the run",
        ),
        (
            TWO + '[[clock]]\nnodes = ["n1"]\noff_s = 1\n[[clock]]\nnodes = ["n*"]\noff_s = 2',
            '"n1" is in two [[clock]]; leave it in one',
        ),
        (
            TWO + '[[clock]]\nnodes = ["n1"]\noff_s = "late"',
            'off_s in [[clock]] number 1 is "late", but must',
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_cure(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("name,x,y\n")
    (tmp_path / "heard.csv").write_text("from,to,snr_db\nn1,n2,5\n")
    with pytest.raises(ConfigError) as raised:
        virtual_run(play(scenario(text, tmp_path), 1), 1)
    assert words in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = ", "is not valid TOML"),
        (b'name = "\xff"', "is not UTF-8 text (byte 8); save it as UTF-8"),
        (b"short = 3\n" + TWO.encode(), "short must be a table: put what it changes below a line [short]"),
        (TWO.encode(), "there is no short form; add a table [short]"),
        (TWO.encode() + b"[short]\nduration = 3", 'unknown key "duration"; did you mean "duration_s"?'),
    ],
)
def test_the_command_says_which_file_is_wrong_and_ends_with_2(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    done = CliRunner().invoke(cli, ["run", str(path), "--short"])
    assert done.exit_code == 2
    message = " ".join(done.output.replace(str(path), "FILE").split())
    assert f"Error: FILE {words}" in message or f"Error: FILE: {words}" in message


def test_what_only_the_run_finds_names_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(TWO + '[relays]\nnodes = ["n9"]\n')
    done = CliRunner().invoke(cli, ["run", str(path)])
    assert done.exit_code == 2
    assert f'{path}: there is no node "n9" in [relays]' in " ".join(done.output.split())


def test_a_scenario_that_is_not_there_names_those_that_are() -> None:
    done = CliRunner().invoke(cli, ["run", "vally"])
    assert done.exit_code == 2 and "those that ship: bridge, bus," in done.output


# --- documented ---------------------------------------------------------------------------------
def section(title: str) -> str:
    """The text below a heading of docs/simulator.md, up to the next."""
    return PAGE.partition(f"\n### {title}\n")[2].partition("\n#")[0]


@pytest.mark.parametrize("table", ["", *TABLES, *LISTS])
def test_every_key_is_documented(table: str) -> None:
    rules = TABLES[table][1] if table in TABLES else LISTS[table][2] if table in LISTS else TOP
    title = f"`[{table}]`" if table in TABLES else f"`[[{table}]]`" if table else "Top"
    text = section(title)
    assert text, f"there is no section {title}"
    missing = [key for key in rules if f"`{key}`" not in text]
    assert missing == []


# --- names --------------------------------------------------------------------------------------
def test_patterns_stand_for_nodes_in_order_each_once() -> None:
    known = ("n1", "n2", "gate", "n10", "n[1]")
    assert resolve(["n*", "gate", "n1"], known, "") == ("n1", "n2", "n10", "n[1]", "gate")
    assert resolve(["n?"], known, "") == ("n1", "n2")
    assert resolve(["n[1]"], known, "") == ("n[1]",)  # a name that there is, is no pattern


def test_groups_of_places_have_names_and_origins_of_their_own() -> None:
    text = HEAD + '[[places]]\nkind = "line"\ncount = 2\nprefix = "a"\nx = 50\ny = -7\nspacing_m = 10\n'
    outcome = played(text + '[[places]]\ncount = 3\nprefix = "b"\nx = 90000\nside_m = 5\n')
    assert list(outcome.places) == ["a1", "a2", "b1", "b2", "b3"]
    assert [(outcome.places[name].x, outcome.places[name].y) for name in ("a1", "a2")] == [(50, -7), (60, -7)]
    assert all(90000 <= outcome.places[name].x <= 90005 for name in ("b1", "b2", "b3"))


def test_the_short_form_merges_tables_and_replaces_all_else(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        HEAD + "[places]\ncount = 9\nspread_m = 7\n[[texts]]\n[[texts]]\n[short]\nduration_s = 5\n"
        "[short.places]\ncount = 2\n[[short.texts]]\nper_hour = 3\n"
    )
    full, short = read_scenario(path), read_scenario(path, short=True)
    assert (full.duration_s, full.places[0].count, len(full.texts)) == (600, 9, 2)
    assert (short.duration_s, short.places[0].count, short.places[0].spread_m) == (5, 2, 7)
    assert [texts.per_hour for texts in short.texts] == [3]


# --- what comes of it ---------------------------------------------------------------------------
def delivered(outcome: Outcome) -> dict[tuple[str, str], list[float]]:
    """When messages arrived, by sender and recipient."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in outcome.record.messages.values():
        if one.received_s is not None:
            found.setdefault((one.sender, one.recipient), []).append(one.received_s)
    return found


WIRED = TWO + '[[wire]]\nbetween = ["n1", "n2"]\n'


def test_a_wire_is_in_at_its_times_again_and_again() -> None:
    texts = '[[texts]]\nsenders = ["n1"]\nper_hour = 600\n'
    outcome = played(WIRED + "up = [[100, 110]]\nevery_s = 200\n" + texts)
    times = delivered(outcome)["n1", "n2"]
    assert {int(at // 10) for at in times} <= {10, 30, 50} and len({int(at // 200) for at in times}) == 3


def test_a_partition_keeps_a_wire_out_that_comes_in_meanwhile() -> None:
    texts = '[[texts]]\nsenders = ["n1"]\nper_hour = 600\n'
    parted = '[[partition]]\ngroups = [["n1"], ["n2"]]\nfrom_s = 50\nto_s = 300\n'
    times = delivered(played(WIRED + "up = [[100, 600]]\n" + parted + texts))["n1", "n2"]
    assert min(times) >= 300
    times = delivered(played(WIRED + parted + texts))["n1", "n2"]
    assert [at for at in times if at < 50] and not [at for at in times if 51 < at < 300]


def test_a_partition_cuts_radio_and_mends_it() -> None:
    text = (
        HEAD.replace("600", "3000")
        + "[places]\ncount = 2\nside_m = 100\n[radio]\n[[texts]]\nper_hour = 120\n"
    )
    parted = '[[partition]]\ngroups = [["n1"], ["n2"]]\nfrom_s = 500\nto_s = 1500\n'
    outcome = played(text + parted)
    times = sorted(at for some in delivered(outcome).values() for at in some)
    assert [at for at in times if at < 500] and [at for at in times if at > 1500]
    assert not [at for at in times if 501 < at < 1500]
    assert {(a, b) for a, b, _ in outcome.reach} == {("n1", "n2"), ("n2", "n1")}


def test_an_outage_ends_or_does_not_and_comes_again_at_a_nodes_own_times() -> None:
    base = HEAD + "[places]\ncount = 4\n"
    gone = played(base + '[[outage]]\nnodes = ["n2"]\nat_s = 100\n')
    assert gone.off == {"n2"}
    back = played(base + '[[outage]]\nnodes = ["n2"]\nat_s = 100\nfor_s = 50\n')
    assert back.off == set()
    text = base + '[[outage]]\nnodes = ["n*"]\nat_s = 0\nfor_s = 50\nevery_s = 60\nspread_s = 60\n'
    writes = "[[texts]]\nat_start = true\n"
    sent = [(one.sender, one.sent_s) for one in played(text + writes).record.messages.values()]
    for name in ("n1", "n2", "n3", "n4"):
        times = [at for sender, at in sent if sender == name]
        assert len(times) >= 9
        assert all(later - sooner == pytest.approx(60, abs=31) for sooner, later in pairwise(times))
    assert len({round(at % 60, 2) for _, at in sent[8:]}) >= 4  # each at a time of its own


def test_overlapping_outages_have_a_node_off_until_the_last_ends() -> None:
    text = HEAD + "[places]\ncount = 2\n" + '[[outage]]\nnodes = ["n1"]\nat_s = 50\nfor_s = 100\n'
    text += (
        '[[outage]]\nnodes = ["n1"]\nat_s = 100\nfor_s = 150\n[[texts]]\nat_start = true\nsenders = ["n1"]\n'
    )
    times = [one.sent_s for one in played(text).record.messages.values()]
    assert [at for at in times if at >= 50] == pytest.approx([250], abs=0.1)


def test_a_battery_that_is_empty_stops_its_node_for_good() -> None:
    text = HEAD.replace("600", "7200") + "[places]\ncount = 3\nside_m = 50\n[radio]\n"
    text += '[[battery]]\nnodes = ["n1"]\nmah = 20\non_ma = 20\n'
    text += '[[battery]]\nnodes = ["n2"]\nmah = 2000\non_ma = 20\n'
    text += '[[battery]]\nnodes = ["n3"]\nmah = 2000\non_ma = 20\noff_ma = 1\n'
    text += '[[outage]]\nnodes = ["n3"]\nat_s = 1800\nfor_s = 3600\n'
    outcome = played(text)
    assert outcome.off == {"n1"}
    one, two, three = (outcome.charges[name] for name in ("n1", "n2", "n3"))
    assert one.left == 0 and 0.975 < two.left < 0.981  # 2 h at 20 mA are 40 of 2000 mAh, and some on air
    drawn = 2 * 20 + outcome.airtime_of["n2"] * (118 - 20) / 3600
    assert 2000 * (1 - two.left) == pytest.approx(drawn, rel=0.02)
    assert 2000 * (1 - three.left) == pytest.approx(21 + outcome.airtime_of["n3"] * 98 / 3600, rel=0.03)
    assert two.days == pytest.approx(2000 / (drawn / 2) / 24, rel=0.02)


def test_a_text_to_all_is_a_message_to_each() -> None:
    text = HEAD + "[places]\ncount = 5\n" + '[[wire]]\nbetween = ["n*"]\n'
    outcome = played(text + '[[texts]]\nsenders = ["n2"]\nto_all = true\nper_hour = 60\n')
    sent = list(outcome.record.messages.values())
    assert len(sent) >= 4 and len(sent) % 4 == 0
    assert {one.recipient for one in sent[:4]} == {"n1", "n3", "n4", "n5"}
    assert len({one.text for one in sent[:4]}) == 1
    assert all(one.received_s is not None for one in sent)


def test_a_circle_is_whom_one_writes_to() -> None:
    text = HEAD + "[places]\ncount = 12\n" + "[[texts]]\ncircle = 2\nper_hour = 200\n"
    to: dict[str, set[str]] = {}
    for one in played(text).record.messages.values():
        to.setdefault(one.sender, set()).add(one.recipient)
    assert len(to) == 12 and {len(some) for some in to.values()} == {2}
    assert len(set(map(frozenset, to.values()))) > 6 and all(name not in some for name, some in to.items())


def test_wrong_clocks_do_not_keep_mail_back() -> None:
    text = WIRED + '[[clock]]\nnodes = ["n1"]\noff_s = -300000000\n[[texts]]\nper_hour = 60\n'
    outcome = played(text)
    assert outcome.record.messages and all(
        one.received_s is not None for one in outcome.record.messages.values()
    )


# --- the link matrix ----------------------------------------------------------------------------
def test_a_measured_matrix_says_who_hears_whom(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("from,to,snr_db\nn1,n2,5\nn2,n1,3.5\nn2,n3,-4\nn3,n2,-30\n")
    text = HEAD.replace("600", "1500") + '[places]\ncount = 3\nside_m = 1\n[radio]\nmatrix = "m.csv"\n'
    outcome = played(text + "[[texts]]\nper_hour = 30\n", folder=tmp_path)
    assert sorted(outcome.reach) == [("n1", "n2", 5.0), ("n2", "n1", 3.5), ("n2", "n3", -4.0)]
    pairs = set(delivered(outcome))
    assert pairs == {("n1", "n2"), ("n2", "n1")}  # n3 hears, but nobody hears n3


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("from,to\nn1,n2\n", "snr_db is missing"),
        ("from,to,snr_db\nn1,n2,strong\n", "line 2: snr_db must be a number of decibels, not 'strong'"),
        ("from,to,snr_db\nn1,n2,nan\n", "line 2: snr_db must be a number"),
        ("from,to,snr_db\nn1,zz,3\n", 'there is no node "zz" in m.csv'),
        ("from,to,snr_db\nn1,n1,3\n", "line 2: n1 cannot hear itself; from and to must differ"),
        ("from,to,snr_db\nn1,n2,3\nn1,n2,4\n", "line 3: there is a link from n1 to n2 already"),
    ],
)
def test_a_matrix_that_makes_no_sense_is_one_sentence(rows: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(rows)
    (tmp_path / "s.toml").write_text(TWO + '[radio]\nmatrix = "m.csv"\n')
    done = CliRunner().invoke(cli, ["run", str(tmp_path / "s.toml")])
    assert done.exit_code == 2 and words in " ".join(done.output.split()), done.output


# --- the same seed, the same run ----------------------------------------------------------------
BUSY = """
name = "everything"
duration_s = 900
settle_s = 100
[[places]]
count = 5
side_m = 3000
[[node]]
name = "w"
[radio]
nodes = ["n*"]
shadowing_db = 4
[relays]
count = 2
[mobility]
nodes = ["n5"]
[[wire]]
between = ["w", "n1"]
loss = 0.1
delay_s = 0.1
[[texts]]
per_hour = 30
[[outage]]
nodes = ["n3"]
at_s = 300
for_s = 60
every_s = 200
spread_s = 20
[[battery]]
nodes = ["n2"]
mah = 2
"""


def run_apart(hash_seed: str, *arguments: str) -> dict[str, Any]:
    """The figures of a run in a process of its own."""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [str(NEXUS_SIM), "run", *arguments, "--json"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(ran.stdout)
    return figures | {"wall_s": 0, "cpu_s": 0}


def test_one_seed_is_one_run_in_any_process(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(BUSY)
    first = run_apart("1", str(path), "--seed", "3")
    extra = ["--report", str(tmp_path / "out"), "--trace", str(tmp_path / "t")]
    assert run_apart("77", str(path), "--seed", "3", *extra) == first
    assert first["messages_sent"] > 20
    assert played(BUSY, 4).log_hash != first["log_hash"] == played(BUSY, 3).log_hash


def test_a_trace_has_every_frame_on_the_air_and_on_wires(tmp_path: Path) -> None:
    path, trace = tmp_path / "s.toml", tmp_path / "t"
    path.write_text(BUSY.replace("delay_s = 0.1", "delay_s = 0.1\nbps = 8000"))
    told = CliRunner().invoke(cli, ["run", str(path), "--trace", str(trace), "--json"])
    figures = json.loads(told.stdout)
    rows = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [row["end_s"] for row in rows] == sorted(row["end_s"] for row in rows)
    assert all(row["bytes"] == len(bytes.fromhex(row["frame"])) for row in rows)
    air, wires = [row for row in rows if "heard" in row], [row for row in rows if "to" in row]
    assert len(air) + len(wires) == len(rows)
    assert len(air) == figures["frames"]
    assert sum(row["bytes"] for row in air) == figures["bytes_on_air"]
    assert sum(row["end_s"] - row["begin_s"] for row in air) == pytest.approx(figures["airtime_s"], abs=0.01)
    for fate, times in figures["fates"].items():
        assert sum(fate == one[0] for row in air for one in row["heard"].values()) == times
    assert 0 <= figures["bytes_on_wires"] - sum(row["bytes"] for row in wires) < 3000  # one may be under way
    assert {(row["from"], row["to"]) for row in wires} == {("w", "n1"), ("n1", "w")}
    lost = [row for row in wires if not row["arrived"]]
    assert 0.04 < len(lost) / len(wires) < 0.18  # of 0.1
    for row in wires:  # at 1,000 bytes a second, and 0.1 s later unless it was lost
        takes = row["bytes"] / 1000 + 0.1 * row["arrived"]
        assert row["end_s"] - row["begin_s"] == pytest.approx(takes, abs=0.011)


@pytest.mark.parametrize("name", ["bus", "disaster"])
def test_relays_and_couriers_do_nothing_in_the_order_of_a_set(name: str) -> None:
    assert run_apart("1", name, "--short") == run_apart("2", name, "--short")


def test_a_seed_that_fails_prints_the_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a scenario.toml"
    path.write_text(BUSY + "[short]\nduration_s = 300\n")

    def broken(stores: Any, record: Record) -> None:
        record.breaches.append("something that must not be")

    monkeypatch.setattr(playing, "check_stores", broken)
    done = CliRunner().invoke(cli, ["run", str(path), "--short", "--seed", "9", "--json"])
    assert done.exit_code == 1
    assert "must not happen: something that must not be" in done.stderr
    command = done.stderr.partition("repeat it with: ")[2].strip()
    program, *arguments = shlex.split(command)
    assert program == "nexus-sim"
    again = CliRunner().invoke(cli, [*arguments, "--json"])
    assert again.exit_code == 1
    assert json.loads(again.stdout)["log_hash"] == json.loads(done.stdout)["log_hash"]


def test_a_run_that_breaks_off_says_how_to_repeat_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.toml"
    path.write_text(TWO)

    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(playing, "check_stores", broken)
    done = CliRunner().invoke(cli, ["run", str(path), "--seed", "5"])
    assert done.exit_code == 1 and f"repeat it with: nexus-sim run {path} --seed 5" in done.stderr


def test_the_key_that_ends_a_program_ends_a_run_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(BUSY.replace("900", "900000"))
    trace = tmp_path / "t"
    heeding = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # though tests may not
    )
    main = heeding + "from nexus_sim.cli import main\nmain()"
    command = [sys.executable, "-c", main, "run", str(path), "--trace", str(trace)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (trace.exists() and trace.stat().st_size):
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Aborted!" in told and "Traceback" not in told and "repeat it with" in told


def test_a_driver_that_fails_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, node: int, now: float) -> bool:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(Channel, "busy", broken)
    outcome = virtual_run(play(scenario(TWO + "[radio]\n"), 1), 1)
    assert outcome.record.breaches and "a driver failed: radio: by nothing" in outcome.record.breaches[0]
