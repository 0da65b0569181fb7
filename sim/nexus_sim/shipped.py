"""The scenarios that ship with the simulator."""

from pathlib import Path

import click

from nexus_sim.scenario import Scenario
from nexus_sim.scenario_file import read_scenario

FOLDER = Path(__file__).parent / "scenarios"


def shipped() -> list[tuple[str, Scenario]]:
    """(name for the command line, scenario), in order."""
    return [(path.stem, read_scenario(path)) for path in sorted(FOLDER.glob("*.toml"))]


def find(name: str) -> Path:
    """The file of a scenario: a path, or the name of one that ships. Raises click.UsageError."""
    path = Path(name)
    if path.is_file():
        return path
    mine = FOLDER / f"{name}.toml"
    if "/" not in name and mine.is_file():
        return mine
    known = ", ".join(one.stem for one in sorted(FOLDER.glob("*.toml")))
    raise click.UsageError(f"there is no file {name} and no scenario of that name; those that ship: {known}")
