"""Two nodes in two shells, by contract.md alone: every verb, its JSON and its exit code."""

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shell import Json, ask, nexus
from tests.harness.nodes import (
    NEXUS,
    RunningNode,
    introduce,
    tcp_carriers,
    tcp_pair,
    udp_carriers,
    wait_until,
)

Pair = tuple[RunningNode, RunningNode]

STATUS = {
    "address": None,
    "version": None,
    "uptime_s": None,
    "carriers": "label driver state why bps mtu airtime_used_s airtime_limit_s rx_bytes tx_bytes",
    "links": "peer carrier state rtt_ms bps rssi_dbm snr_db name trust mtu queued_bytes gossip_bps paused "
    "queued cost cost_times share_bytes gossip",
    "queue": "queued held",
    "store": "objects bytes quota_bytes",
    "relay": "enabled messages bytes serve memory_only quota_bytes",
    "routing": "destinations wanted",
    "counters": "",
}


def has(row: Json, keys: str) -> None:
    """The contract names the least; anything may be added."""
    assert set(keys.split()) <= set(row), f"{set(keys.split()) - set(row)} missing in {row}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with tcp_pair(tmp_path_factory.mktemp("pair")) as nodes:
        yield nodes


@pytest.mark.parametrize("carriers", [tcp_carriers, udp_carriers], ids=["tcp", "udp"])
def test_a_text_from_shell_to_shell(tmp_path: Path, carriers) -> None:
    """N9, M5: init, run, contact add, send --wait delivered, inbox."""
    own = carriers()
    with RunningNode(tmp_path / "alice", own[0]) as alice, RunningNode(tmp_path / "bob", own[1]) as bob:
        alice.start()
        bob.start()
        assert alice.words() == bob.words() == "ready\n"  # alone on its line, and nothing else to say
        for here, there in ((alice, bob), (bob, alice)):
            link = nexus(there.home, "id", "--json").row()["uri"]
            added = ask(here.home, "contact", "add", there.name, link)[0]
            has(added, "name address node_id uri trust")
        sent = nexus(alice.home, "send", "bob", "Grüße, Bob 👋", "--wait", "delivered", "--json").row()
        assert sent["state"] == "delivered"
        long = "x" * 65536
        nexus(
            alice.home, "send", "bob", "-", "--wait", "delivered", "--timeout", "20", "--json", stdin=long
        ).rows()
        first, second = ask(bob.home, "inbox")
        has(first, "id from to text sent_ms received_ms attachments")
        assert (first["id"], first["from"], first["text"]) == (sent["id"], "alice", "Grüße, Bob 👋")
        assert first["sent_ms"] <= first["received_ms"]
        assert second["text"] == long
        assert ask(bob.home, "inbox") == [first, second]  # reading takes nothing away
        assert ask(bob.home, "inbox", "--since", first["id"]) == [second]
        assert len(ask(bob.home, "inbox", "--from", "alice")) == 2
        row = ask(alice.home, "outbox")[0]
        has(row, "id to state facts held bytes_done bytes_total")
        assert (row["id"], row["to"], row["state"], row["held"]) == (sent["id"], "bob", "delivered", None)
        facts = row["facts"]
        assert [fact["state"] for fact in facts] == ["queued", "sent", "delivered"]
        assert [fact["at_ms"] for fact in facts] == sorted(fact["at_ms"] for fact in facts)
        assert facts[-1]["by"] == nexus(bob.home, "id", "--json").row()["address"]
        assert row["bytes_done"] == row["bytes_total"] > 0


def test_init_makes_a_private_home_and_id_shows_it(tmp_path: Path) -> None:
    """N1: no registrar; the private key is for its owner's eyes."""
    home = tmp_path / "deep" / "home"
    made = nexus(home, "init", "--name", "carol", "--json")
    has(made.row(), "address node_id uri")
    assert len(bytes.fromhex(made.row()["address"])) == 16
    assert len(bytes.fromhex(made.row()["node_id"])) == 32
    assert "unencrypted" in made.err
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "identity.json").stat().st_mode) == 0o600
    assert nexus(home, "id", "--json").row() == made.row()
    assert "never overwritten" in nexus(home, "init").refusal(1)
    assert nexus(home, "init", "--if-missing", "--json").row() == made.row()
    assert nexus(None, "id", "--json", NEXUS_HOME=str(home)).row() == made.row()


def test_status_has_the_keys_of_the_contract(pair: Pair) -> None:
    (status,) = ask(pair[0].home, "status")
    for key, inner in STATUS.items():
        assert key in status
        for row in status[key] if isinstance(status[key], list) else [status[key]]:
            if inner:
                has(row, inner)
    assert {"listening", "up"} == {carrier["state"] for carrier in status["carriers"]}
    assert status["links"][0]["peer"] == nexus(pair[1].home, "id", "--json").row()["address"]
    assert status["relay"]["enabled"] is False
    assert isinstance(status["counters"], dict)


def test_contacts(pair: Pair) -> None:
    home = pair[0].home
    has(ask(home, "contact", "show", "bob")[0], "name address node_id uri trust")
    assert "bob" in [row["name"] for row in ask(home, "contact", "list")]
    assert ask(home, "contact", "trust", "bob", "verified")[0]["trust"] == "verified"
    assert ask(home, "contact", "trust", "bob")[0]["trust"] == "verified"
    shown = nexus(home, "contact", "show", "bob", "--qr")
    assert shown.code == 0
    assert "█" in shown.out
    link = ask(home, "contact", "show", "bob")[0]["uri"]
    other = pair[1].home.parent / "dora"
    dora = nexus(other, "init", "--name", "dora", "--json").row()["uri"]
    assert ask(home, "contact", "add", "dora", dora)[0]["uri"] == dora
    assert ask(home, "contact", "remove", "dora")[0]["name"] == "dora"
    assert "dora" not in [row["name"] for row in ask(home, "contact", "list")]
    assert "bob" in nexus(home, "contact", "add", "robert", link).refusal(1)  # one key, one name


def test_an_object_out_and_back(pair: Pair, tmp_path: Path) -> None:
    """N7: addressed by content, the same content is the same object."""
    home, source, back = pair[0].home, tmp_path / "photo.bin", tmp_path / "back.bin"
    source.write_bytes(os.urandom(100_001))
    put = ask(home, "put", str(source))[0]
    has(put, "object size root chunks_have chunks_total")
    assert (put["size"], put["chunks_have"], put["chunks_total"]) == (100_001, 25, 25)
    assert ask(home, "put", str(source))[0]["object"] == put["object"]
    assert [row["object"] for row in ask(home, "objects")].count(put["object"]) == 1
    ask(home, "get", put["object"], "-o", str(back))
    assert back.read_bytes() == source.read_bytes()
    assert "already" in nexus(home, "get", put["object"], "-o", str(back)).refusal(1)


def test_events_are_told_as_they_happen(pair: Pair) -> None:
    alice, bob = pair
    command = [*NEXUS, "--home", str(bob.home), "events", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["event"]  # it follows: what was is told first
        message = alice.send("bob", "an event")
        for line in follower.stdout:
            event = json.loads(line)
            if event["event"] == "message_received" and event["id"] == message:
                break
        follower.terminate()
    told = ask(alice.home, "events")  # without --follow it ends by itself
    has(told[0], "event at_ms")
    assert "link_up" in [event["event"] for event in told]


def test_doctor_with_and_without_a_node(pair: Pair, tmp_path: Path) -> None:
    findings = {row["check"]: row for row in ask(pair[0].home, "doctor")}
    has(findings["node"], "check ok found do")
    assert findings["node"]["found"] == "running"
    sick = nexus(tmp_path / "nowhere", "doctor", "--json")
    assert sick.code == 1
    home = next(row for row in map(json.loads, sick.out.splitlines()) if row["check"] == "home")
    assert (home["ok"], "nexus" in home["do"]) == (False, True)


def test_output_for_people_has_no_colour_in_a_pipe(pair: Pair) -> None:
    alice, bob = pair
    alice.wait(alice.send("bob", "plain"), "delivered")
    for home, verb in ((alice.home, "status"), (alice.home, "outbox"), (bob.home, "inbox")):
        shown = nexus(home, verb)
        assert (shown.code, "\x1b" in shown.out) == (0, False)
        assert len(shown.out.splitlines()) > 1


def test_wait_gives_up_in_time_and_the_message_stays(tmp_path: Path) -> None:
    """M5: the queue is written before delivery is tried, and survives a SIGTERM that ends in under 2 s."""
    carriers = tcp_carriers()
    with (
        RunningNode(tmp_path / "alice", carriers[0]) as alice,
        RunningNode(tmp_path / "bob", carriers[1]) as bob,
    ):
        alice.start()
        ask(alice.home, "contact", "add", "bob", bob.uri)
        late = nexus(alice.home, "send", "bob", "hi", "--wait", "delivered", "--timeout", "0.1", "--json")
        assert "nexus outbox" in late.refusal(4)
        sent = json.loads(late.out)
        assert sent["state"] == "queued"
        began = time.monotonic()
        assert alice.terminate() == 0
        assert time.monotonic() - began < 2
        assert "run" in nexus(alice.home, "outbox").refusal(3)
        alice.start()
        (row,) = ask(alice.home, "outbox")
        assert (row["id"], row["state"]) == (sent["id"], "queued")
        assert "no way to the recipient" in row["why"]
        bob.start()
        alice.wait(sent["id"], "delivered")
        began = time.monotonic()
        assert (alice.terminate(), bob.terminate()) == (0, 0)  # with a link up
        assert time.monotonic() - began < 4


def test_waiting_until_it_was_read(tmp_path: Path) -> None:
    """`delivered` does not end it: the receipt may still come, or the time may run out (4)."""
    carriers = tcp_carriers()
    with (
        RunningNode(tmp_path / "alice", carriers[0]) as alice,
        RunningNode(tmp_path / "bob", carriers[1]) as bob,
    ):
        config = bob.home / "config.toml"
        config.write_text(config.read_text().replace("# read_receipts = false", "read_receipts = true"))
        alice.start()
        bob.start()
        introduce(alice, bob)
        unread = nexus(alice.home, "send", "bob", "hi", "--wait", "read", "--timeout", "0.5", "--json")
        assert "still " in unread.refusal(4)  # on a slow machine not delivered yet
        command = [*NEXUS, "--home", str(alice.home), "send", "bob", "and this?", "--wait", "read", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
            wait_until(lambda: len(alice.outbox()) == 2, 10, "it sent")
            alice.wait(alice.outbox()[1]["id"], "delivered")
            assert len(ask(bob.home, "inbox")) == 2
            told, _ = waiting.communicate(timeout=20)
        assert (waiting.returncode, json.loads(told)["state"]) == (0, "read")
