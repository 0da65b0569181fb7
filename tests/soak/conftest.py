"""Counts and seeds from the environment, and the figures of a soak at its end.

SOAK_SEED repeats a run's random choices; SOAK_KILLS (for each carrier), SOAK_RECEIPTS (for each side),
SOAK_CUTS, SOAK_LOADS and SOAK_SCHEDULES (around relays) make it longer or shorter.
"""

import os
import random
from collections.abc import Callable

import pytest

FIGURES = pytest.StashKey[list[str]]()
Report = Callable[[str], None]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Seeded by SOAK_SEED and the test's name; shown when the test fails."""
    seed = os.environ.get("SOAK_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"repeat the random choices with SOAK_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Takes a line for the summary at the end."""
    lines = request.config.stash.setdefault(FIGURES, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("soak figures")
        for line in lines:
            terminalreporter.write_line(line)
