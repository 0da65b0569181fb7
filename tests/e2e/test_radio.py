"""Two real nodes over two emulated radios on one air, with the contract's configuration keys (N2, N13)."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.nodes import RunningNode, free_port, introduce, wait_until
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


@contextmanager
def meshtastic_over_tcp(folder: Path) -> Iterator[tuple[str, str]]:
    """The carriers of two stock devices with a channel of their own."""
    air = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    options = ("--region", "US", "--preset", "SHORT_TURBO", "--channel", "nexus=AAECAwQFBgcICQoLDA0ODw==")
    ports = [free_port(), free_port()]
    radios = [Process(None, "meshtastic", air, "--tcp", f"127.0.0.1:{port}", *options) for port in ports]
    try:
        one, other = (f"meshtastic host=127.0.0.1:{port} channel=nexus" for port in ports)
        yield one, other
    finally:
        for radio in radios:
            radio.end()


@contextmanager
def rnodes_over_tcp(folder: Path) -> Iterator[tuple[str, str]]:
    air = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    ports = [free_port(), free_port()]
    radios = [Process(None, "rnode", air, "--tcp", f"127.0.0.1:{port}") for port in ports]
    try:
        one, other = (f"rnode port=tcp://127.0.0.1:{port} {SET}" for port in ports)
        yield one, other
    finally:
        for radio in radios:
            radio.end()


@contextmanager
def e22_modules(folder: Path) -> Iterator[tuple[str, str]]:
    with two_radios(folder, "e22") as radios:
        one, other = (
            f"uart_lora port={radio.link} dialect=e22 frequency=915125000 air_rate=38400 region=US915"
            for radio in radios
        )
        yield one, other


@contextmanager
def meshcore_devices(folder: Path) -> Iterator[tuple[str, str]]:
    with two_radios(folder, "companion", "--radio", "915000000,500000,7,5") as radios:
        one, other = (f"meshcore port={radio.link} channel=nexus" for radio in radios)
        yield one, other


@pytest.mark.parametrize(
    "carriers",
    [
        meshtastic_over_tcp,
        *(
            pytest.param(one, marks=pytest.mark.soak)
            for one in (meshcore_devices, rnodes_over_tcp, e22_modules)
        ),
    ],
)
def test_two_nodes_over_other_radios(carriers, tmp_path: Path) -> None:
    """N17, and modules without any framing of their own."""
    with (
        carriers(tmp_path) as (one, other),
        RunningNode(tmp_path / "alice", [one]) as alice,
        RunningNode(tmp_path / "bob", [other]) as bob,
    ):
        alice.start()
        bob.start()
        introduce(alice, bob)
        text = "through somebody else's radio " * 20
        message = alice.send("bob", text)
        alice.wait(message, "delivered", 60)
        assert [row["text"] for row in bob.inbox()] == [text]


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
