"""`examples/lora_wifi_bridge`: it runs, and its settings are such as a node takes."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_node.config import load_config
from nexus_node.runtime.registry import make_driver

FOLDER = Path(__file__).parents[2] / "examples" / "lora_wifi_bridge"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: the air of the emulators is sockets."""
    with tempfile.TemporaryDirectory(prefix="nx-") as made:
        yield Path(made)


def test_a_text_crosses_each_way(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "bridge.py")],
        capture_output=True,
        text=True,
        timeout=110,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    story = (
        "hill     reads: Hello up there",
        "house    reads: Loud and clear",
        "a text has crossed each way",
    )
    places = [done.stdout.find(told) for told in story]
    assert -1 not in places and places == sorted(places)
    for pid in re.findall(r"process (\d+)", done.stdout):
        assert not Path(f"/proc/{pid}").exists()
    assert not [left for left in folder.iterdir() if not left.name.startswith("nexus-air-")]


@pytest.mark.parametrize("name", ["hill", "gateway", "house"])
def test_its_settings_are_taken(name: str) -> None:
    config = load_config(FOLDER / f"{name}.toml")
    assert config.name == name
    for carrier in config.carriers:
        make_driver(carrier)
