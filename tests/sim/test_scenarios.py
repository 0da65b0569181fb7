"""The scenarios that ship: short forms run, pages are there. `make sim-full` runs them in full."""

from pathlib import Path

import pytest

from nexus_node.base.states import State
from nexus_sim.clock import virtual_run
from nexus_sim.outcome import Outcome
from nexus_sim.play import play
from nexus_sim.scenario_file import read_scenario
from nexus_sim.shipped import find, shipped

DOCS = Path(__file__).parents[2] / "docs"
NAMES = [name for name, _ in shipped()]
LEAST = {
    "bridge": 0.9,
    "bus": 0.9,
    "city": 0.6,
    "disaster": 0.85,
    "festival": 0.9,
    "group": 0.9,
    "ring-road": 1.0,
    "sensors": 0.9,
    "valley": 1.0,
    "village": 0.9,
}
"""So much of what is sent in the short form must arrive, but for what is held for want of bandwidth."""


def short_run(name: str) -> Outcome:
    return virtual_run(play(read_scenario(find(name), short=True), 0), 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_short_form_runs_and_nothing_happens_that_must_not(name: str) -> None:
    outcome = short_run(name)
    messages = [one for one in outcome.record.messages.values() if one.state is not State.HELD]
    arrived = sum(one.received_s is not None for one in messages)
    assert outcome.record.breaches == []
    assert len(messages) >= 10 and arrived / len(messages) >= LEAST[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_is_there_and_how_to_run_it(name: str) -> None:
    scenario = read_scenario(find(name))
    page = (DOCS / "scenarios" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {scenario.name}\n")
    assert f"nexus-sim run {name} --report" in page
    for part in ("## The place", "## What happens", "## A run", "## What to change"):
        assert f"\n{part}\n" in page
    assert f"(scenarios/{name}.md)" in (DOCS / "simulator.md").read_text(encoding="utf-8")


def test_every_page_is_of_a_scenario() -> None:
    assert sorted(path.stem for path in (DOCS / "scenarios").glob("*.md")) == sorted(NAMES) == sorted(LEAST)
    assert len(NAMES) >= 10


def test_the_timetable_of_the_ring_road() -> None:
    """Each courier stops for 5 minutes in a village and needs 20 from one to the next; 12 villages, a day."""
    rows = set()
    for begin in range(0, 86400, 1200):
        stop = begin // 1200
        east, west = f"v{stop % 12 + 1}", f"v{-stop % 12 + 1}"
        rows |= {f"{begin},{begin + 300},east,{east}", f"{begin},{begin + 300},west,{west}"}
        if east == west:
            rows.add(f"{begin},{begin + 300},east,west")
    lines = find("ring-road").with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "start,end,a,b" and set(lines[1:]) == rows and len(lines) == len(rows) + 1


def test_n13_what_needs_bandwidth_never_crosses_the_radio_behind_a_bridge() -> None:
    outcome = short_run("bridge")
    photos = [one for one in outcome.record.messages.values() if one.photo is not None]
    assert {one.min_bandwidth for one in photos} == {10_000}
    house = [one for one in photos if one.recipient.startswith("house")]
    hikers = [one for one in photos if one.recipient.startswith("hiker")]
    assert [one for one in house if one.photo_s is not None]
    assert [one for one in hikers if one.received_s is not None]  # the text, with what is said of the photo
    assert [one for one in hikers if one.photo_s is not None] == []
