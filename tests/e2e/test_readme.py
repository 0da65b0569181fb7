"""The commands of README.md do what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.harness.nodes import free_port

ROOT = Path(__file__).parents[2]


def test_two_nodes_in_two_shells(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().split("### Two nodes in two shells")[1].split("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    come_alice, write, come_bob, see, attach = blocks
    ready = "until nexus --home {} status >/dev/null 2>&1; do sleep 0.05; done\n".format
    script = (
        "trap 'kill $(jobs -p)' EXIT\n"
        + come_alice
        + ready("alice")
        + write
        + come_bob
        + ready("bob")
        + see
        + attach
    )
    done = subprocess.run(
        ["bash", "-ec", script.replace("4001", str(free_port()))],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"\bqueued\b", done.stdout)) == 2  # what send says, and the outbox
    # What send says, twice the outbox, and send of a file.
    assert len(re.findall(r"\bdelivered\b", done.stdout)) == 4
    assert "    Hello Bob\n" in done.stdout
    assert "    Are you there?\n" in done.stdout
    assert "    look\n    + photo.jpg, " in done.stdout
    (came,) = (tmp_path / "bob" / "files").glob("*/photo.jpg")
    assert came.read_bytes() == (tmp_path / "photo.jpg").read_bytes() and came.stat().st_size == 400_000
    assert done.stderr.count("ready\n") == 2
