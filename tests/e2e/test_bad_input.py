"""What people get wrong: an exit code, and one sentence that names the thing and the cure."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_node.base.limits import DISK_RESERVE, MIB
from tests.e2e.shell import ask, nexus
from tests.harness.nodes import RunningNode, free_port, wait_until


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A running node, and a contact of hers who is away."""
    folder = tmp_path_factory.mktemp("bad")
    with RunningNode(folder / "alice", [f"tcp listen=127.0.0.1:{free_port()}"]) as node:
        node.start()
        node.request("contact.add", name="bob", uri=RunningNode(folder / "bob").uri)
        yield node


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without a node."""
    made = tmp_path / "carol"
    assert nexus(made, "init", "--name", "carol").code == 0
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with little more room than the store keeps free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={DISK_RESERVE + 4 * MIB}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def edit(home: Path, old: str, new: str) -> None:
    config = home / "config.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


# --- what is typed ----------------------------------------------------------------------------------
def test_a_contact_link_with_a_typing_error(alice: RunningNode) -> None:
    typed = alice.uri[:20] + ("a" if alice.uri[20] != "a" else "b") + alice.uri[21:]
    said = nexus(alice.home, "contact", "add", "x", typed).refusal(1)
    assert "checksum" in said
    assert "ask for it again" in said
    assert "nexus:" in nexus(alice.home, "contact", "add", "x", "bob@example.org").refusal(1)
    assert "own" in nexus(alice.home, "contact", "add", "me", alice.uri).refusal(1)


def test_an_unknown_contact(alice: RunningNode) -> None:
    for verb in (["send", "bobb", "hi"], ["contact", "show", "bobb"], ["inbox", "--from", "bobb"]):
        said = nexus(alice.home, *verb).refusal(1)
        assert "'bobb'" in said
        assert "nexus contact list" in said


def test_texts_that_cannot_be_sent(alice: RunningNode) -> None:
    assert "empty" in nexus(alice.home, "send", "bob", "").refusal(1)
    assert "65536 bytes" in nexus(alice.home, "send", "bob", "-", stdin="x" * 65537).refusal(1)
    assert not alice.outbox()


def test_usage_errors_have_code_2(alice: RunningNode) -> None:
    for wrong in (["send", "bob"], ["frobnicate"], ["get", "00", "-o", "x"], ["inbox", "--since", "zz"]):
        done = nexus(alice.home, *wrong)
        assert (done.code, done.out, bool(done.err)) == (2, "", True)


# --- nobody there, or somebody already --------------------------------------------------------------
def test_no_running_node(home: Path) -> None:
    assert f"nexus --home {home} run" in nexus(home, "status").refusal(3)
    nowhere = home / "nowhere"
    assert f"nexus --home {nowhere} init" in nexus(nowhere, "inbox").refusal(3)
    assert f"nexus --home {nowhere} init" in nexus(nowhere, "run").refusal(1)
    with RunningNode(home) as node:
        node.start()
        node.kill9()
        assert (home / "control.sock").exists()  # what a killed node leaves behind
        assert f"nexus --home {home} run" in nexus(home, "status").refusal(3)
        node.start()  # and no obstacle to the next
        assert nexus(home, "status").code == 0


def test_a_second_run_on_one_home(alice: RunningNode) -> None:
    assert alice.process is not None
    said = nexus(alice.home, "run").refusal(1)
    assert str(alice.home) in said
    assert f"process {alice.process.pid}" in said
    assert nexus(alice.home, "status").code == 0


def test_a_port_in_use_is_shown_and_taken_once_it_is_free(home: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        node = RunningNode(home, [f"tcp listen=127.0.0.1:{port}"])
        with node:
            node.start()
            wait_until(lambda: node.status()["carriers"][0]["state"] == "waiting", 10, "the refusal")
            (carrier,) = ask(home, "status")[0]["carriers"]
            assert f"127.0.0.1:{port} is in use" in carrier["why"]
            assert "choose another port" in carrier["why"]
            assert "is in use" in node.words()
            other.close()
            wait_until(lambda: node.status()["carriers"][0]["state"] == "listening", 10, "listening")


# --- configuration ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# quota_mb = 512", "qouta_mb = 512", 'did you mean "quota_mb"?'),
        ("[store]", "[stor]", 'did you mean "store"?'),
        ("# quota_mb = 512", 'quota_mb = "much"', "a whole number of megabytes"),
        ("# relays = []", 'relays = ["nexus:aaaa"]', "entry 1 of relays"),
        ('name = "carol"', 'name = "carol', "line"),
        ("# [[carrier]]", '[[carrier]]\ndriver = "tcq"', "installed are"),
        ("# [[carrier]]", '[[carrier]]\ndriver = "tcp"\nlisen = "127.0.0.1:1"', 'the nearest is "listen"'),
    ],
)
def test_a_mistake_in_the_configuration(home: Path, old: str, new: str, said: str) -> None:
    edit(home, old, new)
    assert said in nexus(home, "run").refusal(1)
    assert nexus(home, "doctor").code == 1


def test_a_mistake_in_a_carrier_option(home: Path) -> None:
    assert '"lisen"' in nexus(home, "run", "--carrier", "tcp lisen=127.0.0.1:1").refusal(1)
    done = nexus(home, "run", "--carrier", "listen=127.0.0.1:1")
    assert (done.code, "the driver is missing" in done.err) == (2, True)


# --- passphrases ------------------------------------------------------------------------------------
def test_passphrases(tmp_path: Path) -> None:
    """N1: sealed at rest."""
    home, right, wrong = tmp_path / "sealed", tmp_path / "right", tmp_path / "wrong"
    right.write_text("a long enough passphrase\n")
    wrong.write_text("another\n")
    made = nexus(home, "init", "--name", "sealed", "--passphrase-file", str(right), "--json")
    assert "sealed under your passphrase" in made.err
    assert "does not open" in nexus(home, "run", "--passphrase-file", str(wrong)).refusal(1)
    assert "--passphrase-file" in nexus(home, "run").refusal(1)  # and no terminal to ask on
    assert nexus(home, "run", "--passphrase-file", str(tmp_path / "none")).code == 2
    assert nexus(home, "id", "--json").row() == made.row()  # what is public needs no passphrase
    with RunningNode(home) as node:
        node.start("--passphrase-file", str(right))
        told, ready = node.words().splitlines()
        assert ready == "ready"
        assert "No carrier is configured" in told
        assert str(home) in told


def test_the_identity_of_another_node(home: Path, tmp_path: Path) -> None:
    """Its messages would be unreadable, and what came now unreadable later."""
    with RunningNode(home) as node:
        node.start()
        node.terminate()
        own, other = home / "identity.json", RunningNode(tmp_path / "dora").home / "identity.json"
        kept = own.read_bytes()
        own.write_bytes(other.read_bytes())
        said = nexus(home, "run").refusal(1)
        assert "nexus.db belongs to the node" in said
        assert "put the right identity file back" in said
        own.write_bytes(kept)
        node.start()


# --- disks ------------------------------------------------------------------------------------------
def test_a_full_disk(small_disk: Path) -> None:
    """Nothing more is taken in, the node stays up, and goes on once there is room (StoreFull)."""
    with RunningNode(small_disk / "alice") as node:
        node.start()
        node.request("contact.add", name="bob", uri=RunningNode(small_disk / "bob").uri)
        node.send("bob", "there is room")
        filler = small_disk / "filler"
        filler.write_bytes(bytes(4 * MIB))
        wait_until(lambda: nexus(node.home, "send", "bob", "none").code == 1, 10, "a refusal")
        said = nexus(node.home, "send", "bob", "no room").refusal(1)
        assert str(small_disk) in said
        assert "free some space" in said
        assert "make room" in nexus(node.home, "doctor").out
        kept = len(node.outbox())
        filler.unlink()
        node.send("bob", "room again")
        assert len(node.outbox()) == kept + 1


def test_a_read_only_home(small_disk: Path) -> None:
    home = small_disk / "carol"
    assert nexus(home, "init", "--name", "carol").code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = nexus(home, "run").refusal(1)
    assert str(home) in said
    assert "Read-only file system" in said
    assert "choose" in nexus(small_disk / "new", "init").refusal(1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_of_somebody_else(home: Path) -> None:
    home.chmod(0o500)
    assert "cannot be written" in nexus(home, "run").refusal(1)
    home.chmod(0o700)
