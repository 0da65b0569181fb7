"""Contact traces: what is read, what the oracle says, and what real nodes make of them."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.engine.relay import Relay
from nexus_sim.cli import cli
from nexus_sim.clock import virtual_run
from nexus_sim.contacts import Outcome, replay
from nexus_sim.oracle import oracle
from nexus_sim.traces import Contact, Message, Trace, read_trace

TRACES = Path(__file__).parents[3] / "shared" / "traces"
CONTACTS = "start,end,a,b\n"
MESSAGES = "id,t,src,dst,size\n"


def trace_of(folder: Path, contacts: str, messages: str) -> Trace:
    """A trace from rows with blanks between them."""
    return read_trace(*write(folder, contacts, messages))


def write(folder: Path, contacts: str, messages: str) -> tuple[Path, Path]:
    files = folder / "contacts.csv", folder / "messages.csv"
    files[0].write_text(CONTACTS + contacts.replace(" ", "\n"))
    files[1].write_text(MESSAGES + messages.replace(" ", "\n"))
    return files


def replayed(trace: Trace, ttl_s: float, bytes_per_s: float = 250_000, *, carry: bool = True) -> Outcome:
    return virtual_run(lambda: replay(trace, ttl_s=ttl_s, bytes_per_s=bytes_per_s, seed=1, carry=carry), 1)


def shared_trace(name: str) -> Trace:
    if not TRACES.is_dir():
        pytest.skip(f"the contact traces are not at {TRACES}")
    return read_trace(TRACES / f"{name}_contacts.csv", TRACES / f"{name}_messages.csv")


# --- files --------------------------------------------------------------------------------------
def test_contacts_of_a_pair_that_overlap_or_touch_are_one(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, "40,60,b,a 0,20,a,b 20,40,a,b 70,90,a,b 75,80,b,a 10,30,a,c", "M,0,a,b,9")
    assert trace.contacts == (
        Contact(0, 60, "a", "b"),
        Contact(10, 30, "a", "c"),
        Contact(70, 90, "a", "b"),
    )
    assert trace.people == ["a", "b", "c"]


def test_columns_come_in_any_order_and_others_are_ignored(tmp_path: Path) -> None:
    contacts, messages = tmp_path / "c", tmp_path / "m"
    contacts.write_bytes(b"\xef\xbb\xbfb,a,note,end,start\r\n2,1,x,20,0.5\r\n")
    messages.write_text("size,dst,src,t,id\n20,2,1,7,M1\n")
    trace = read_trace(contacts, messages)
    assert trace == Trace((Contact(0.5, 20, "1", "2"),), (Message("M1", 7, "1", "2", 20),))


GOOD_CONTACTS, GOOD_MESSAGES = CONTACTS + "0,20,a,b\n", MESSAGES + "M1,0,a,b,100\n"


@pytest.mark.parametrize(
    ("contacts", "messages", "words"),
    [
        ("", GOOD_MESSAGES, "start, end, a, b is missing"),
        ("start,end,a\n0,20,1\n", GOOD_MESSAGES, "b is missing"),
        (CONTACTS + "0,20,a\n", GOOD_MESSAGES, "line 2: it has not as many values"),
        (CONTACTS + "0,20,a,b,c\n", GOOD_MESSAGES, "line 2: it has not as many values"),
        (GOOD_CONTACTS + "zero,20,a,b\n", GOOD_MESSAGES, "line 3: start must be a number of seconds"),
        (CONTACTS + "0,inf,a,b\n", GOOD_MESSAGES, "end must be a number"),
        (CONTACTS + "-1,20,a,b\n", GOOD_MESSAGES, "start must be a number"),
        (CONTACTS + "20,20,a,b\n", GOOD_MESSAGES, "not after its start"),
        (CONTACTS + "0,20,a,a\n", GOOD_MESSAGES, "a cannot meet themselves"),
        (CONTACTS + "0,20,a,\n", GOOD_MESSAGES, "b must have 1 to 64 printable characters"),
        (CONTACTS + '0,20,a,"b\n', GOOD_MESSAGES, "cannot be read as CSV"),
        (CONTACTS + "0,20,a,\udcff\n", GOOD_MESSAGES, "cannot be read as CSV in UTF-8"),
        (GOOD_CONTACTS, MESSAGES, "has nothing below its first line"),
        (GOOD_CONTACTS, MESSAGES + "M1,0,a,a,100\n", "a cannot write to themselves"),
        (GOOD_CONTACTS, MESSAGES + "M1,0,a,b,70000\n", "size must be 1 to 65536 bytes"),
        (GOOD_CONTACTS, MESSAGES + "M1,0,a,b,many\n", "size must be 1 to 65536 bytes"),
        (GOOD_CONTACTS, MESSAGES + "M 1,0,a,b,9\n", "must have no blank"),
        (GOOD_CONTACTS, GOOD_MESSAGES + "M1,1,b,a,9\n", "line 3: there is a message M1 already"),
    ],
)
def test_a_bad_file_is_a_usage_error_that_names_file_and_fault(
    tmp_path: Path, contacts: str, messages: str, words: str
) -> None:
    paths = tmp_path / "contacts.csv", tmp_path / "messages.csv"
    for path, text in zip(paths, (contacts, messages), strict=True):
        path.write_bytes(text.encode(errors="surrogateescape"))
    result = _run(*map(str, paths), "--ttl", "100")
    assert result.exit_code == 2
    plain = " ".join(result.stderr.split())
    assert words in plain
    assert "contacts.csv" in plain or "messages.csv" in plain
    assert result.stdout == ""


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["contacts", *arguments], terminal_width=1000)


def test_what_must_hold_is_looked_for_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A carrier that says that it has what it has not."""
    contacts, messages = tmp_path / "c d.csv", tmp_path / "m.csv"
    contacts.write_text(CONTACTS + "0,20,a,b\n100,120,b,c\n")
    messages.write_text(MESSAGES + "m1,0,a,c,100\n")
    command = ["contacts", str(contacts), str(messages), "--ttl", "300", "--seed", "4", "--json"]
    sound = CliRunner().invoke(cli, command)
    assert sound.exit_code == 0 and json.loads(sound.stdout)["breaches"] == []
    monkeypatch.setattr(Relay, "_hold", lambda *arguments, **options: None)
    planted = CliRunner().invoke(cli, command)
    assert planted.exit_code == 1 and json.loads(planted.stdout)["delivered"] == 0
    assert "must not happen: b has taken custody of message " in planted.stderr
    again = shlex.split(planted.stderr.partition("repeat it with: nexus-sim ")[2])
    assert CliRunner().invoke(cli, [*again, "--json"]).stderr == planted.stderr


def test_other_wrong_use_is_a_usage_error(tmp_path: Path) -> None:
    files = [str(path) for path in write(tmp_path, "0,20,a,b", "M,0,a,b,9")]
    for arguments in (
        files,  # no --ttl
        [*files, "--ttl", "0"],
        [*files, "--ttl", "9", "--bytes-per-s", "-1"],
        [files[0], "--ttl", "9"],
        [files[0], str(tmp_path / "none.csv"), "--ttl", "9"],
    ):
        assert _run(*arguments).exit_code == 2
    assert CliRunner().invoke(cli, ["radio"]).exit_code == 2


# --- the oracle ---------------------------------------------------------------------------------
def test_the_oracle_follows_chains_in_time_and_within_an_instant(tmp_path: Path) -> None:
    contacts = "0,20,a,b 40,60,b,c 50,70,c,d 10,30,d,e"
    messages = "same,0,a,b,9 wait,5,a,c,9 chain,0,a,d,9 past,0,a,e,9 ended,20,a,b,9 back,45,d,b,9"
    trace = trace_of(tmp_path, contacts, messages)
    assert oracle(trace, 100) == {"same": 0, "wait": 35, "chain": 50, "back": 5}
    assert oracle(trace, 35) == {"same": 0, "wait": 35, "back": 5}


def test_the_oracle_agrees_with_the_published_bound() -> None:
    if not TRACES.is_dir():
        pytest.skip(f"the contact traces are not at {TRACES}")
    for line in (TRACES / "oracle.txt").read_text().splitlines():
        name = line.partition(":")[0]
        trace = shared_trace(name)
        hours, ratio, mean, median = re.findall(
            r"ttl=(\d+) h.*delivered=([\d.]+) delay mean=(\d+) median=(\d+)", line
        )[0]
        assert (f"nodes={len(trace.people)} " in line) and (f"contacts={len(trace.contacts)} " in line)
        delays = sorted(oracle(trace, int(hours) * 3600).values())
        assert len(delays) / len(trace.messages) == float(ratio)
        assert round(sum(delays) / len(delays)) == int(mean)
        assert delays[len(delays) // 2] == int(median)


# --- real nodes ---------------------------------------------------------------------------------
def test_what_meets_in_time_is_delivered(tmp_path: Path) -> None:
    contacts = "0,20,a,b 100,120,a,b 100,120,a,c 105,140,c,d 400,420,a,d"
    messages = "during,10,a,b,300 ended,20,b,a,300 begins,100,c,a,5000 long,130,c,d,60000 late,0,a,d,300"
    outcome = replayed(trace_of(tmp_path, contacts, messages), 200)
    assert set(outcome.delays) >= {"during", "ended", "begins", "long"}
    delays = [round(outcome.delays[name], 1) for name in ("during", "ended", "begins", "long")]
    assert delays == [0.0, 80.0, 0.0, 0.2]  # 60 KB take 0.2 s
    figures = outcome.figures()
    assert figures["delivered"] == len(outcome.delays)
    assert figures["delivery_ratio"] == len(outcome.delays) / 5
    assert figures["transmissions"] >= figures["delivered"]
    assert figures["virtual_s"] == 330  # 200 s after the last message


def test_a_sender_gives_nobody_what_is_too_late(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, "200,220,a,b", "old,0,a,c,300 new,150,b,a,300")
    outcome = replayed(trace, 100)
    assert list(outcome.delays) == ["new"] and outcome.transmissions == 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_two_people_without_limits_are_exactly_the_oracle(
    contacts: list[tuple[int, int]], messages: list[tuple[int, bool]], ttl_s: int
) -> None:
    apart: list[Contact] = []
    for start, lasts in sorted(contacts):
        if not apart or start > apart[-1].end:
            apart.append(Contact(start, start + lasts, "a", "b"))
    sent = [
        Message(f"M{number}", t, *("ab" if forth else "ba"), 700)
        for number, (t, forth) in enumerate(sorted(messages))
    ]
    trace = Trace(tuple(apart), tuple(sent))
    outcome = replayed(trace, ttl_s, bytes_per_s=0)
    assert outcome.delays == oracle(trace, ttl_s)
    assert outcome.transmissions == len(outcome.delays)


def test_a_contact_carries_no_more_than_its_bandwidth(tmp_path: Path) -> None:
    messages = " ".join(f"M{number},0,a,b,1000" for number in range(40))
    trace = trace_of(tmp_path, "10,30,a,b 50,60,a,b", messages)
    outcome = replayed(trace, 40, bytes_per_s=1000)
    assert 10 < len(outcome.delays) < 26  # 20 s of the first contact for texts of at least 770 B packed
    assert len(replayed(trace, 40, bytes_per_s=3000).delays) == 40
    nobody = replayed(trace, 40, bytes_per_s=10).figures()
    assert nobody["delivered"] == nobody["transmissions"] == 0
    assert nobody["overhead"] is nobody["delay_s"]["mean"] is nobody["delay_s"]["median"] is None


def test_real_contacts_deliver_between_direct_and_oracle() -> None:
    whole = shared_trace("sfhh_day1")
    contacts = whole.contacts[:300]
    trace = Trace(contacts, tuple(one for one in whole.messages if one.t < contacts[-1].end))
    outcome = replayed(trace, 4 * 3600)
    bound = oracle(trace, 4 * 3600)
    direct: dict[str, float] = {}
    for one in trace.messages:
        pair = tuple(met for met in contacts if {met.a, met.b} == {one.src, one.dst})
        direct |= oracle(Trace(pair, (one,)), 4 * 3600)
    assert direct.keys() <= outcome.delays.keys() <= bound.keys()
    assert all(delay >= bound[name] for name, delay in outcome.delays.items())


def test_n10_mail_goes_from_pocket_to_pocket_as_the_oracle_would(tmp_path: Path) -> None:
    """Chains in time, meetings that overlap, and somebody met twice; what is carried takes no longer."""
    contacts = "0,20,a,b 30,60,b,c 50,90,c,d 200,220,d,e 210,230,e,f 300,310,a,f"
    messages = "chain,0,a,d,300 far,5,a,f,900 back,210,f,a,300 never,250,c,a,300"
    trace = trace_of(tmp_path, contacts, messages)
    outcome, bound = replayed(trace, 250, bytes_per_s=0), oracle(trace, 250)
    assert outcome.delays.keys() == bound.keys() == {"chain", "far", "back"}
    assert all(delay < bound[name] + 2 for name, delay in outcome.delays.items())
    assert replayed(trace, 250, bytes_per_s=0, carry=False).delays.keys() == {"back"}


# --- the program --------------------------------------------------------------------------------
KEYS = {
    *("delivered", "delivery_ratio", "delay_s", "transmissions", "overhead"),
    *("seed", "nodes", "contacts", "virtual_s", "wall_s", "log_hash"),
}


def test_the_same_seed_gives_the_same_log_in_any_process(tmp_path: Path) -> None:
    contacts = " ".join(
        f"{20 * (n // 5)},{20 * (n // 5) + 20 + 10 * (n % 3)},{n % 7},{7 + n * 3 % 11}" for n in range(60)
    )
    messages = " ".join(f"M{n},{5 * n},{n % 7},{7 + n * 5 % 11},{200 + n}" for n in range(40))
    arguments = [*map(str, write(tmp_path, contacts, messages)), "--ttl", "300", "--json"]

    def run(seed: str) -> dict[str, object]:
        result = json.loads(_run(*arguments, "--seed", seed).stdout)
        assert result.keys() >= KEYS
        assert result.pop("wall_s") > 0
        return dict(result)

    expected = run("5")
    assert expected["delivered"] != 0
    assert run("6")["log_hash"] != expected["log_hash"]
    program = "from nexus_sim.cli import main; main()"
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", program, "contacts", *arguments, "--seed", "5"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        result = json.loads(ran.stdout)
        del result["wall_s"]
        assert result == expected


def test_people_read_the_same_figures_in_lines(tmp_path: Path) -> None:
    files = write(tmp_path, "0,20,a,b", "M1,5,a,b,300 M2,30,a,b,300")
    result = _run(*map(str, files), "--ttl", "100")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (lines["delivered"], lines["delivery_ratio"], lines["overhead"]) == ("1", "0.5", "0.0")
    assert lines["delay_s"].startswith("mean 0.0")
