"""The commands of docs/radio.md do what it says."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "radio.md"


def test_two_nodes_on_one_machine_without_hardware(tmp_path: Path) -> None:
    section = PAGE.read_text().split("## Two nodes on one machine")[1].split("\n## ")[0]
    begin, write = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    begin = begin.replace("--air try", f"--air test-{uuid.uuid4().hex[:8]}")
    there = "until [ -e radio-a ] && [ -e radio-b ]; do sleep 0.05; done\n"
    ready = "until nexus --home {} status >/dev/null 2>&1; do sleep 0.05; done\n".format
    script = "trap 'kill $(jobs -p)' EXIT\n" + begin + there + ready("alice") + ready("bob") + write
    done = subprocess.run(
        ["bash", "-ec", script],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "delivered" in done.stdout and "    over the air\n" in done.stdout
