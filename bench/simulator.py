"""What the simulator costs: real nodes on LoRa, by how many they are, how long, and how much they write.

*Villages*: ten houses make one of 4 by 4 km, one radio cell; a wire joins one house of each to a hub, and
nine texts of ten stay in the village. *Plain*: a hundred nodes in 16 by 16 km, or others as dense, so that
most texts cross several hops, on one channel and with nothing but radios. Every run is a process of its own;
one is made twice, for its hash. What counts is processor time: the machine has others at work.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict

NEXUS_SIM = Path(sys.executable).with_name("nexus-sim")
HOUSES = 10
DAY_MUST_S, LARGE_MUST_S, LARGE_MUST_BYTES = 120, 300, 1e9
DAY, LARGE = (100, 24.0, 4.0), (1000, 1.0, 4.0)
"""Nodes, hours, texts a node and hour."""
TWICE = (100, 1.0, 16.0)
RUNS = [
    (10, 1.0, 4.0),
    (30, 1.0, 4.0),
    (100, 1.0, 4.0),
    (300, 1.0, 4.0),
    LARGE,
    (100, 1.0, 0.0),
    (100, 1.0, 16.0),
    DAY,
]
PLAIN_RUNS = [(30, 1.0, 4.0), (100, 1.0, 0.0), (100, 1.0, 1.0), (100, 1.0, 4.0), (300, 1.0, 1.0)]
PLAIN_M = 16_000
"""The side of the square in which a hundred nodes stand."""


def plain(nodes: int, hours: float, per_hour: float) -> str:
    """The text of a scenario file: nodes at random places, as dense whatever their number."""
    side_m = PLAIN_M * (nodes / 100) ** 0.5
    return f"""
name = "{nodes} nodes on a plain"
duration_s = {hours * 3600:.0f}
[places]
count = {nodes}
side_m = {side_m:.0f}
[radio]
spreading_factor = 8
[[texts]]
per_hour = {per_hour}
circle = 5
"""


def villages(nodes: int, hours: float, per_hour: float) -> str:
    """The same, ten nodes to a village and a hub."""
    count = nodes // HOUSES
    lines = [f'name = "{nodes} nodes in {count} villages"', f"duration_s = {hours * 3600:.0f}"]
    for village in range(count):
        x, y = village % 8 * 30_000, village // 8 * 30_000
        lines += [
            "[[places]]",
            f'prefix = "v{village}-"',
            f"count = {HOUSES}",
            f"x = {x}",
            f"y = {y}",
            "side_m = 4000",
        ]
        texts = [f'senders = ["v{village}-*"]', f'recipients = ["v{village}-*"]', "circle = 5"]
        lines += ["[[texts]]", *texts, f"per_hour = {0.9 * per_hour}"]
    lines += ["[[node]]", 'name = "hub"', "x = -30000", "y = -30000", "[radio]", 'nodes = ["v*"]']
    for village in range(count):
        lines += ["[[wire]]", f'between = ["hub", "v{village}-1"]', "bps = 1e6", "delay_s = 0.02"]
    everywhere = ['senders = ["v*"]', 'recipients = ["v*"]', "circle = 2"]
    return "\n".join([*lines, "[[texts]]", *everywhere, f"per_hour = {0.1 * per_hour}", ""])


def play(
    nodes: int, hours: float, per_hour: float, scenario: Callable[[int, float, float], str] = villages
) -> Figures:
    """One run. Raises CalledProcessError if something that must hold did not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.toml"
        path.write_text(scenario(nodes, hours, per_hour))
        process = subprocess.Popen([NEXUS_SIM, "run", path, "--json"], stdout=subprocess.PIPE, text=True)
        out = process.stdout.read() if process.stdout is not None else ""
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, process.args)
    found: dict[str, Any] = json.loads(out)
    kept = "messages_sent", "delivered", "frames", "receptions", "wall_s", "cpu_s", "log_hash"
    figures: dict[str, Any] = {
        "place": scenario.__name__,
        "nodes": nodes,
        "hours": hours,
        "per_hour": per_hour,
    }
    figures |= {key: found[key] for key in kept}
    return emit("simulator", figures | {"rss_bytes": used.ru_maxrss * 1024})


def run(peer: Peer | None) -> Section:
    """The table; there is no peer that runs its real node so."""
    table = Table(
        [
            "place",
            "nodes",
            "hours",
            "texts a node and hour",
            "sent",
            "arrived",
            "packets",
            "received",
            "wall s",
            "processor s",
            "MB",
        ]
    )
    found = {}
    for case, scenario in [(case, villages) for case in RUNS] + [(case, plain) for case in PLAIN_RUNS]:
        one = found[scenario, case] = play(*case, scenario)
        table.add(
            one["place"],
            one["nodes"],
            f"{one['hours']:g}",
            f"{one['per_hour']:g}",
            one["messages_sent"],
            one["delivered"],
            one["frames"],
            one["receptions"],
            f"{one['wall_s']:.0f}",
            f"{one['cpu_s']:.0f}",
            f"{one['rss_bytes'] / 1e6:.0f}",
        )
    day, large = found[villages, DAY], found[villages, LARGE]
    once, again = found[villages, TWICE], play(*TWICE)
    musts = Table(["must", "measured", ""])
    musts.add(
        f"100 nodes, 24 h: under {DAY_MUST_S} s",
        f"{day['cpu_s']:.0f} s of processor, {day['wall_s']:.0f} s",
        verdict(day["cpu_s"] < DAY_MUST_S),
    )
    musts.add(
        f"1,000 nodes, 1 h: under {LARGE_MUST_S} s",
        f"{large['cpu_s']:.0f} s of processor, {large['wall_s']:.0f} s",
        verdict(large["cpu_s"] < LARGE_MUST_S),
    )
    rss = large["rss_bytes"]
    musts.add("1,000 nodes: under 1 GB", f"{rss / 1e6:.0f} MB", verdict(rss < LARGE_MUST_BYTES))
    same = once["log_hash"] == again["log_hash"]
    musts.add("the same hash twice", "the same" if same else "another", verdict(same))
    words = f"{__doc__.split(chr(10) * 2)[1] if __doc__ else ''}"
    return Section("The simulator (N4, M5)", words.replace("\n", " ").strip(), [table, musts])
