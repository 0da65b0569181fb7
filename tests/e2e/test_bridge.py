"""Texts to and from people on Meshtastic, over emulated devices (N17, docs/bridge.md)."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_node.client.errors import ControlError
from tests.harness.mesh_user import MeshUser
from tests.harness.nodes import RunningNode, free_port, introduce, tcp_carriers, wait_until
from tests.radio.bench import Process

from .shell import ask, nexus

OPTIONS = ("--region", "US", "--preset", "SHORT_TURBO")
GATE, CARL, STRANGER = 0x0A0A0A0A, 0x0C0C0C0C, 0x0D0D0D0D


class Mesh:
    """Emulated devices on one air, each on a TCP port."""

    def __init__(self) -> None:
        self.air = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.ports: dict[int, int] = {}
        self.devices: dict[int, Process] = {}

    def add(self, number: int) -> None:
        port = self.ports[number] = free_port()
        self.devices[number] = Process(
            None, "meshtastic", self.air, "--tcp", f"127.0.0.1:{port}", "--node", f"{number:08x}", *OPTIONS
        )

    def carrier(self, number: int) -> str:
        return f"meshtastic host=127.0.0.1:{self.ports[number]} bridge=true"


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    made = Mesh()
    for number in (GATE, CARL):
        made.add(number)
    yield made
    for device in made.devices.values():
        if device.process.poll() is None:
            device.end()


def bridged(node: RunningNode) -> RunningNode:
    """Started, its device set up, and Carl its contact."""
    node.start()
    wait_until(lambda: node.status()["carriers"][-1]["state"] == "listening", 40, "the device set up")
    ask(node.home, "contact", "add", "carl", f"meshtastic:{CARL:08x}")
    return node


def texts(node: RunningNode) -> list[tuple[str, str, bool]]:
    return [(row["from"], row["text"], row["end_to_end"]) for row in node.inbox()]


def test_texts_both_ways_marked_and_never_delivered(mesh: Mesh, tmp_path: Path) -> None:
    mesh.add(STRANGER)
    with RunningNode(tmp_path / "alice", [mesh.carrier(GATE)]) as alice:
        bridged(alice)
        (row,) = ask(alice.home, "contact", "list")
        assert (row["name"], row["uri"], row["end_to_end"]) == ("carl", "meshtastic:!0c0c0c0c", False)
        with MeshUser(mesh.ports[CARL]) as carl:
            carl.tell("yes", GATE)  # by then the devices have each other's keys
            wait_until(lambda: len(texts(alice)) == 1, 40, "the text")
            carl.listen(2.5)
            message = alice.send("carl", "are you there?")
            carl.until(lambda: carl.texts)
            assert carl.texts == [(GATE, CARL, "are you there?")]
            wait_until(
                lambda: any("acknowledged" in fact["by"] for fact in alice.outbox()[0]["facts"]),
                15,
                "the ack",
            )
            (out,) = alice.outbox()
            assert (out["id"], out["to"], out["state"], out["end_to_end"]) == (message, "carl", "sent", False)
            assert {fact["state"] for fact in out["facts"]} == {"queued", "sent"}
            assert out["facts"][-1]["by"] == "the radio of !0c0c0c0c has acknowledged it"
            with pytest.raises(ControlError, match="nothing proves that it is delivered"):
                alice.wait(message, "delivered", 5)
            # In: to the device, or on the channel by name; not what was for all.
            carl.say("nobody in particular")
            carl.listen(2.5)
            carl.say("@Alice, on the channel")
            wait_until(lambda: len(texts(alice)) == 2, 40, "the text by name")
            assert texts(alice) == [("carl", "yes", False), ("carl", "@Alice, on the channel", False)]
            # Long ones go in parts, too long ones are refused.
            long = "word " * 70
            alice.send("carl", long)
            carl.until(lambda: len(carl.texts) == 3)
            parts = [text for _, _, text in carl.texts[1:]]
            assert [part[:4] for part in parts] == ["1/2 ", "2/2 "]
            assert "".join(part[4:] for part in parts) == long
            assert all(len(part.encode()) <= 200 for part in parts)
            refused = nexus(alice.home, "send", "carl", "x" * 1100).refusal(1)
            assert "1100 bytes" in refused
        with MeshUser(mesh.ports[STRANGER]) as stranger:
            stranger.say("@alice you do not know me")
            wait_until(
                lambda: alice.status()["counters"].get("bridge_strangers") == 1, 40, "the stranger counted"
            )
        assert len(texts(alice)) == 2
        events = ask(alice.home, "events")
        (event,) = (event for event in events if event["event"] == "bridge_stranger")
        assert event["from"] == "meshtastic:!0d0d0d0d"


def test_names_lead_through_the_gateway_both_ways(mesh: Mesh, tmp_path: Path) -> None:
    """Carl has Meshtastic, Bob the internet; Alice's node is between them."""
    wires = tcp_carriers()
    with (
        RunningNode(tmp_path / "alice", [*wires[0], mesh.carrier(GATE)]) as alice,
        RunningNode(tmp_path / "bob", wires[1]) as bob,
        MeshUser(mesh.ports[CARL]) as carl,
    ):
        bridged(alice)
        bob.start()
        introduce(alice, bob)
        carl.tell("@bob: how is it there?", GATE)
        wait_until(lambda: bool(bob.inbox()), 40, "the text at Bob's")
        assert texts(bob) == [("alice", "carl by Meshtastic, not end-to-end: how is it there?", True)]
        bob.wait(bob.send("alice", "@carl all well"), "delivered", 20)
        carl.until(lambda: carl.texts)
        assert carl.texts == [(GATE, CARL, "bob: all well")]
        # What passes through is in the gateway's inbox: that is what not end-to-end means.
        assert texts(alice) == [("carl", "@bob: how is it there?", False), ("bob", "@carl all well", True)]
        bob.send("alice", "@carl " + "x" * 1100)
        wait_until(lambda: len(bob.inbox()) == 2, 20, "the refusal")
        assert bob.inbox()[1]["text"].startswith("carl does not get this: the text has 1105 bytes")


def test_once_and_for_good(mesh: Mesh, tmp_path: Path) -> None:
    """kill -9 loses nothing that was shown or accepted, and nothing goes twice."""
    with RunningNode(tmp_path / "alice", [mesh.carrier(GATE)]) as alice:
        bridged(alice)
        with MeshUser(mesh.ports[CARL]) as carl:
            carl.tell("once", GATE)
            wait_until(lambda: len(texts(alice)) == 1, 40, "the text")
            alice.kill9()
            radio, alice.carriers = alice.carriers, []
            alice.start()
            assert texts(alice) == [("carl", "once", False)]
            alice.send("carl", "when you can")
            (row,) = alice.outbox()
            assert (row["state"], row["held"]) == ("queued", None)
            assert row["why"].startswith("no radio bridges texts")
            alice.kill9()
            alice.carriers = radio
            alice.start()
            carl.until(lambda: carl.texts)
            wait_until(lambda: alice.outbox()[0]["state"] == "sent", 40, "sent")
            alice.kill9()
            alice.start()
            wait_until(lambda: alice.status()["carriers"][-1]["state"] == "listening", 40, "set up again")
            carl.listen(5)
            assert [text for *_, text in carl.texts] == ["when you can"]
            assert alice.outbox()[0]["state"] == "sent"


def test_a_text_for_nobody_in_reach_is_tried_again_and_says_so(mesh: Mesh, tmp_path: Path) -> None:
    with RunningNode(tmp_path / "alice", [mesh.carrier(GATE)]) as alice:
        bridged(alice)
        ask(alice.home, "contact", "add", "dora", "meshtastic:!0e0e0e0e")
        alice.send("dora", "hello?")
        why = "the destination's key is not known here; trying again in "
        wait_until(lambda: alice.outbox()[0]["why"].startswith(why), 15, "the refusal")
        assert alice.outbox()[0]["state"] == "queued"
        assert "is on Meshtastic" in nexus(alice.home, "contact", "trust", "dora", "verified").refusal(1)
        assert "names no Meshtastic node" in nexus(
            alice.home, "contact", "add", "eve", "meshtastic:eve"
        ).refusal(1)
