"""Mail for who is away, in the custody of real relays (N10, M5, S2)."""

import sqlite3
import time
from pathlib import Path

import pytest

from tests.e2e.mesh import address, arrived, befriend_relay, mesh, send_relayed, start, wait_for
from tests.e2e.shell import ask, nexus
from tests.harness.nodes import RunningNode, wait_until

COUNT = 20


def know(node: RunningNode, *others: RunningNode) -> None:
    """Make contacts of nodes that need not run."""
    for other in others:
        node.request("contact.add", name=other.name, uri=other.uri)


def test_n10_what_a_relay_keeps_outlives_the_sender_and_kill_9(tmp_path: Path) -> None:
    with mesh(tmp_path, ["relay", "alice", "bob"], [("alice", "relay"), ("bob", "relay")]) as nodes:
        alice, relay, bob = nodes["alice"], nodes["relay"], nodes["bob"]
        start([relay], "--relay")
        start([alice])
        befriend_relay(alice, relay)
        know(alice, bob)
        texts = send_relayed(alice, "bob", COUNT, [relay])
        rows = ask(alice.home, "outbox")
        assert {row["state"] for row in rows} == {"relayed"}
        assert {row["facts"][-1]["by"] for row in rows} == {address(relay)}
        assert "relay" in nexus(alice.home, "outbox").out
        assert alice.terminate() == 0
        for _ in range(2):
            relay.kill9()
            relay.start("--relay")
        kept = ask(relay.home, "status")[0]["relay"]
        assert (kept["enabled"], kept["serve"], kept["messages"], kept["memory_only"]) == (
            True,
            "contacts",
            COUNT,
            False,
        )
        assert kept["bytes"] > 0
        bob.start()
        ready = time.monotonic()
        wait_for(bob, texts)
        print(f"Bob had his mail {time.monotonic() - ready:.2f} s after he was ready")
        wait_until(lambda: relay.status()["relay"]["messages"] == 0, 10, "the relay to let go")
        alice.start()  # and even so, she learns of it
        for message in texts:
            alice.wait(message, "delivered")


@pytest.mark.parametrize("lost", [0, 1])
def test_n10_either_of_two_relays_may_vanish_for_ever(lost: int, tmp_path: Path) -> None:
    """Without anyone choosing servers: both are trusted neighbours."""
    links = [(one, relay) for one in ("alice", "bob") for relay in ("r0", "r1")]
    with mesh(tmp_path, ["r0", "r1", "alice", "bob"], links) as nodes:
        alice, bob, relays = nodes["alice"], nodes["bob"], [nodes["r0"], nodes["r1"]]
        start(relays, "--relay")
        start([alice])
        for relay in relays:
            befriend_relay(alice, relay)
        know(alice, bob)
        texts = send_relayed(alice, "bob", COUNT, relays)
        alice.kill9()
        relays[lost].kill9()
        start([bob])
        wait_for(bob, texts)
        relays[lost].start("--relay")  # it was not for ever: its copies are told and go
        wait_until(lambda: relays[lost].status()["relay"]["messages"] == 0, 20, "the other copies to go")
        assert arrived(bob) == texts


def test_n10_the_relays_of_a_contact_link_are_used_over_several_hops(tmp_path: Path) -> None:
    """Bob's relay is no neighbour of Alice, and nobody she knows."""
    links = [("alice", "between"), ("between", "relay"), ("bob", "relay")]
    with mesh(tmp_path, ["alice", "between", "relay", "bob"], links) as nodes:
        alice, relay, bob = nodes["alice"], nodes["relay"], nodes["bob"]
        config = bob.home / "config.toml"
        config.write_text(config.read_text().replace("# relays = []", f'relays = ["{relay.uri}"]'))
        start([relay], "--relay")
        start([alice, nodes["between"]])
        know(relay, bob)
        link = nexus(bob.home, "id", "--json").row()["uri"]
        added = ask(alice.home, "contact", "add", "bob", link)[0]
        assert (added["relays"], added["uri"]) == ([address(relay)], link)
        texts = send_relayed(alice, "bob", 1, [relay])  # of a stranger
        alice.terminate()
        bob.start()
        assert ask(bob.home, "id")[0]["uri"] == bob.request("id")["uri"] == link
        wait_for(bob, texts)


def test_n15_a_relay_for_contacts_refuses_strangers_and_the_sender_learns_why(tmp_path: Path) -> None:
    with mesh(tmp_path, ["relay", "alice", "bob"], [("alice", "relay")]) as nodes:
        alice, relay, bob = nodes["alice"], nodes["relay"], nodes["bob"]
        start([relay], "--relay")
        start([alice])
        know(alice, relay, bob)
        message = alice.send("bob", "Who keeps this?")
        assert "no relay" in alice.outbox()[0]["why"]  # she does not trust it yet
        alice.request("contact.trust", name="relay", trust="trusted")
        wait_until(lambda: "does not keep mail for these people" in alice.outbox()[0]["why"], 5, "the reason")
        assert "does not keep mail" in nexus(alice.home, "outbox").out
        assert alice.outbox()[0]["state"] in ("queued", "sent")
        counters = relay.status()["counters"]
        assert counters["custody_not_served"] >= 1
        assert relay.status()["relay"]["messages"] == 0
        know(relay, alice)  # the owner of the relay makes her acquaintance: the next one is kept
        nodes["alice"].terminate()
        alice.start()
        alice.wait(message, "relayed", 20)


@pytest.mark.parametrize("memory_only", [True, False])
def test_s2_with_memory_only_nothing_of_others_mail_touches_the_disk(
    memory_only: bool, tmp_path: Path
) -> None:
    with mesh(tmp_path, ["relay", "alice", "bob"], [("alice", "relay")]) as nodes:
        alice, relay, bob = nodes["alice"], nodes["relay"], nodes["bob"]
        config = relay.home / "config.toml"
        relays = f"[relay]\nenabled = true\nmemory_only = {str(memory_only).lower()}\n"
        config.write_text(config.read_text().replace("[relay]\n", relays))
        start([relay, alice])
        befriend_relay(alice, relay)
        know(alice, bob)
        send_relayed(alice, "bob", 1, [relay])
        kept = relay.status()["relay"]
        assert (kept["messages"], kept["memory_only"]) == (1, memory_only)
        relay.terminate()
        alice.terminate()
        with sqlite3.connect(alice.home / "nexus.db") as disk:
            ((name, envelope),) = disk.execute("SELECT id, envelope FROM outbox")
        written = b"".join(path.read_bytes() for path in relay.home.iterdir() if path.is_file())
        traces = (envelope[40:72] in written, name[:8] in written)
        assert traces == (not memory_only, not memory_only)
        relay.start()
        assert relay.status()["relay"]["messages"] == (0 if memory_only else 1)
