"""Two real nodes over two emulated radios on one air, with the contract's configuration keys (N2, N13)."""

import os
import uuid
from pathlib import Path

from tests.harness.nodes import RunningNode, introduce, wait_until
from tests.radio.bench import Process, two_radios

SET = "frequency=869525000 bandwidth=125000 spreading_factor=8 coding_rate=5 tx_power=14 region=EU868"


def carrier(node: RunningNode) -> dict:
    (row,) = node.request("status")["carriers"]
    return row


def test_two_nodes_over_two_rnodes(tmp_path: Path) -> None:
    with two_radios(tmp_path, "rnode") as (a, b):
        with (
            RunningNode(tmp_path / "alice", [f"rnode port={a.link} {SET}"]) as alice,
            RunningNode(tmp_path / "bob", [f"rnode port={b.link} {SET}"]) as bob,
        ):
            alice.start()
            bob.start()
            introduce(alice, bob)
            message = alice.send("bob", "over the air")
            alice.wait(message, "delivered", 40)
            assert [row["text"] for row in bob.inbox()] == ["over the air"]
            row = carrier(alice)
            assert (row["state"], row["driver"], row["mtu"], row["why"]) == ("up", "rnode", 500, None)
            assert row["airtime_limit_s"] == 360
            assert 0.2 < row["airtime_used_s"] < 10
            (link,) = alice.request("status")["links"]
            assert (link["rssi_dbm"], link["snr_db"]) == (-80, 10.0)
            # What was sent in this hour is remembered by the node that starts again.
            used = row["airtime_used_s"]
            assert alice.terminate() == 0
            alice.start()
            wait_until(lambda: carrier(alice)["airtime_used_s"] >= used - 1, 10, "the airtime of before")


def test_a_radio_that_comes_late_goes_and_comes_back(tmp_path: Path) -> None:
    """A8, A5, A6: a missing port is no obstacle, and status tells the truth all along."""
    air = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    link = tmp_path / "ttyRADIO"
    with RunningNode(tmp_path / "alice", [f"rnode port={link} {SET}"]) as alice:
        alice.start()
        row = carrier(alice)
        assert row["state"] == "waiting"
        assert row["why"] == f"{link} is not there; plug the radio in, or name another port"
        radio = Process(link, "rnode", air)
        wait_until(lambda: carrier(alice)["state"] == "listening", 10, "the radio set up")
        radio.kill()
        wait_until(lambda: "went away" in (carrier(alice)["why"] or ""), 1, "the loss in status")
        radio.start()
        wait_until(lambda: carrier(alice)["state"] == "listening", 10, "the radio set up again")
        with RunningNode(tmp_path / "bob", [f"rnode port={link} {SET}"]) as bob:
            bob.start()
            wait_until(lambda: "another program has it open" in (carrier(bob)["why"] or ""), 5, "busy")
            assert carrier(alice)["state"] == "listening"
        radio.end()
