"""What a thief of the disk reads, with a passphrase and without (N1, docs/threat-model.md)."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.harness.nodes import NEXUS, RunningNode, introduce, tcp_carriers

SECRET = "the password of the harbour gate"


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
def test_n1_texts_and_keys_on_the_disk(tmp_path: Path, sealed: bool) -> None:
    passphrase, home = tmp_path / "passphrase", tmp_path / "bob"
    passphrase.write_text("correct horse battery staple\n")
    option = ["--passphrase-file", str(passphrase)] if sealed else []
    subprocess.run(
        [*NEXUS, "--home", str(home), "init", "--name", "bob", *option],
        check=True,
        capture_output=True,
        timeout=60,
    )
    listens, connects = tcp_carriers()
    with RunningNode(home, listens) as bob, RunningNode(tmp_path / "alice", connects) as alice:
        bob.start(*option)
        alice.start()
        introduce(alice, bob)
        alice.wait_link()
        alice.wait(alice.send("bob", SECRET), "delivered")
        bob.wait(bob.send("alice", SECRET + " again"), "delivered")
        assert [row["text"] for row in bob.inbox()] == [SECRET]
        assert bob.terminate() == 0
    files = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert {"nexus.db", "identity.json"} <= set(files)
    assert not any(SECRET.encode() in content for content in files.values()), "texts are sealed at rest"
    assert any(b"alice" in content for content in files.values()), "names of contacts are not"
    identity = json.loads(files["identity.json"])
    assert ("seed" in identity) != sealed
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, f"{path.name} is the owner's alone"
