"""`make sim-full`: every scenario that ships, in full; figures go into docs/scenarios and the index.

`python -m bench.scenarios NAME ...` runs some of them.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from nexus_sim.page_words import duration, percent
from nexus_sim.shipped import shipped

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "scenarios"
INDEX = ROOT / "docs" / "simulator.md"
REPORTS = ROOT / "build" / "sim"
NEXUS_SIM = Path(sys.executable).with_name("nexus-sim")
LIMIT_S = 1800
"""No scenario may take longer."""


def run(name: str) -> dict[str, Any]:
    """The figures of a full run. Raises CalledProcessError if something that must hold did not."""
    command = [str(NEXUS_SIM), "run", name, "--json", "--report", str(REPORTS / name)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_S)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """What a scenario's page shows of a run."""
    latency, seconds = figures["latency_s"], figures["airtime_by_kind_s"]
    total = sum(seconds.values())
    kinds = sorted(
        (kind for kind in seconds if total and seconds[kind] / total > 0.02), key=lambda one: -seconds[one]
    )
    shares = ", ".join(
        f"{kind.replace('_', ' ')} {percent(round(seconds[kind] / total, 2))}" for kind in kinds
    )
    shown = [
        ("nodes, virtual time", f"{figures['nodes']}, {duration(figures['virtual_s'])}"),
        (
            "messages sent, arrived",
            f"{figures['messages_sent']}, {figures['delivered']} ({percent(figures['delivery_ratio'])})",
        ),
        (
            "latency: half, nine tenths, all",
            ", ".join(duration(latency[key]) for key in ("p50", "p90", "max")),
        ),
    ]
    if total:
        shown += [
            ("packets on the air, collisions at receivers", f"{figures['frames']}, {figures['collisions']}"),
            ("time on air", f"{duration(figures['airtime_s'])}: {shares}"),
            ("fullest hour of a node, of its duty cycle", percent(figures["highest_duty"])),
        ]
    shown += [(f"not delivered: {why}", str(times)) for why, times in figures["undelivered"].items()]
    if figures["photos_sent"]:
        shown.append(("photos sent, arrived", f"{figures['photos_sent']}, {figures['photos_arrived']}"))
    shown += [
        (f"photos not there: {why}", str(times)) for why, times in figures["photos_undelivered"].items()
    ]
    shown.append(("processor time of the run", duration(round(figures["cpu_s"]))))
    return shown


def put(path: Path, lines: list[str]) -> None:
    """Put lines where a page's figures stand."""
    text = path.read_text(encoding="utf-8")
    block = "\n".join(["<!-- figures -->", *lines, "<!-- end of figures -->"])
    changed, times = re.subn(
        r"<!-- figures -->.*?<!-- end of figures -->", lambda _: block, text, flags=re.DOTALL
    )
    if times != 1:
        raise SystemExit(f"{path} must have one place for figures, between <!-- figures --> and its end")
    path.write_text(changed, encoding="utf-8")


def index() -> list[str]:
    """The table of all scenarios, from their latest reports; what has none here stays as it was."""
    before = INDEX.read_text(encoding="utf-8").splitlines()
    lines = [
        "| scenario | | nodes | sent | arrived | half within | processor time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, scenario in shipped():
        cells: list[object] = [f"[`{name}`](scenarios/{name}.md)", scenario.name]
        report = REPORTS / name / "run.json"
        if report.exists():
            one = json.loads(report.read_text(encoding="utf-8"))
            cells += [one["nodes"], one["messages_sent"], one["delivered"], duration(one["latency_s"]["p50"])]
            cells.append(duration(round(one["cpu_s"])))
        row = f"| {' | '.join(map(str, cells))} |"
        if not report.exists():
            row = next((line for line in before if line.startswith(f"| {cells[0]} |")), row)
        lines.append(row)
    return lines


def main() -> None:
    """Run those named on the command line, or all."""
    names = sys.argv[1:] or [name for name, _ in shipped()]
    for name in names:
        figures = run(name)
        lines = [f"| {key} | {value} |" for key, value in rows(figures)]
        put(PAGES / f"{name}.md", ["| seed 0 | |", "|---|---|", *lines])
        arrived = f"{figures['delivered']}/{figures['messages_sent']}"
        print(
            f"{name:<12} {arrived:<10} {figures['wall_s']:.0f} s, {figures['cpu_s']:.0f} s of processor",
            flush=True,
        )
    put(INDEX, index())
    print(f"reports: {REPORTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
