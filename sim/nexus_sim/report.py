"""What is told of a run: the figures of `nexus-sim run --json`, and the folder of `--report`."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from nexus_sim.outcome import Outcome
from nexus_sim.page import page
from nexus_sim.reception import Fate
from nexus_sim.traffic import KINDS

PAGE, FIGURES = "index.html", "run.json"


def percentile(values: list[float], share: float) -> float | None:
    """The value that this share of the sorted values does not exceed; None of none."""
    if not values:
        return None
    return values[min(len(values) - 1, int(share * len(values)))]


def run_figures(outcome: Outcome, wall_s: float, cpu_s: float) -> dict[str, Any]:
    """The JSON of a run (contract.md); seconds, and `latency_s` of what was delivered. The run has taken
    `wall_s`, of which `cpu_s` of a processor."""
    messages = list(outcome.record.messages.values())
    latencies = sorted(one.received_s - one.sent_s for one in messages if one.received_s is not None)
    sent, delivered = len(messages), len(latencies)
    return {
        "scenario": outcome.scenario.name,
        "seed": outcome.seed,
        "nodes": len(outcome.places),
        "virtual_s": round(outcome.virtual_s, 3),
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "messages_sent": sent,
        "delivered": delivered,
        "delivery_ratio": round(delivered / sent, 4) if sent else None,
        "photos_sent": len(outcome.record.photos),
        "photos_arrived": sum(one.photo_s is not None for one in outcome.record.photos.values()),
        "photos_undelivered": dict(
            Counter(
                one.photo_why for one in outcome.record.photos.values() if one.photo_s is None
            ).most_common()
        ),
        "latency_s": {
            "p50": _rounded(percentile(latencies, 0.5)),
            "p90": _rounded(percentile(latencies, 0.9)),
            "max": _rounded(latencies[-1] if latencies else None),
        },
        "states": dict(sorted(Counter(one.state.value for one in messages).items())),
        "undelivered": dict(Counter(one.why for one in messages if one.received_s is None).most_common()),
        "frames": outcome.frames,
        "receptions": outcome.fates[Fate.RECEIVED],
        "fates": {fate.name.lower(): outcome.fates[fate] for fate in Fate},
        "collisions": outcome.fates[Fate.COLLIDED],
        "airtime_s": round(outcome.airtime_s, 3),
        "airtime_by_kind_s": _by_kind(outcome),
        "frames_by_kind": {kind: outcome.traffic.frames[kind] for kind in KINDS},
        "bytes_on_air": outcome.bytes_on_air,
        "bytes_on_wires": outcome.wire_bytes,
        "duty_violations": outcome.duty_violations,
        "highest_duty": round(max(outcome.duty_of.values(), default=0.0), 4),
        "refused_meanwhile": dict(outcome.record.refusals.most_common()),
        "counters": dict(sorted(outcome.counters.items())),
        "breaches": outcome.record.breaches,
        "events": outcome.events,
        "log_hash": outcome.log_hash,
        "by_node": _by_node(outcome),
    }


def _by_kind(outcome: Outcome) -> dict[str, float]:
    """Seconds on air, by kind of traffic; a frame that holds several is shared out by their bytes."""
    found: dict[str, float] = defaultdict(float)
    for (_, kind), seconds in outcome.traffic.airtime.items():
        found[kind] += seconds
    return {kind: round(found[kind], 3) for kind in KINDS}


def _by_node(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """What each node sent, got and did not get; `lost` counts packets in its reach, by reason."""
    number = {name: number for number, name in outcome.names.items()}
    messages = outcome.record.messages.values()
    sent = Counter(one.sender for one in messages)
    wanted = Counter(one.recipient for one in messages)
    got = Counter(one.recipient for one in messages if one.received_s is not None)
    kinds: dict[int, dict[str, float]] = defaultdict(dict)
    for (sender, kind), seconds in outcome.traffic.airtime.items():
        kinds[sender][kind] = round(seconds, 3)
    return {
        name: {
            "airtime_s": round(outcome.airtime_of.get(name, 0.0), 3),
            "airtime_by_kind_s": {
                kind: kinds[number[name]][kind] for kind in KINDS if kind in kinds[number[name]]
            },
            "duty": round(outcome.duty_of.get(name, 0.0), 4),
            "lost": {
                fate.name.lower(): outcome.traffic.losses[number[name], fate]
                for fate in Fate
                if outcome.traffic.losses[number[name], fate]
            },
            "sent": sent[name],
            "to_it": wanted[name],
            "arrived": got[name],
            **_battery(outcome, name),
        }
        for name in outcome.places
    }


def _battery(outcome: Outcome, name: str) -> dict[str, Any]:
    """What is left of a node's battery, and how many days a full one lasts, if it has one."""
    charge = outcome.charges.get(name)
    if charge is None:
        return {}
    return {
        "battery_left": round(charge.left, 4),
        "battery_days": round(charge.days, 1) if charge.days is not None else None,
    }


def write_report(folder: Path, outcome: Outcome, result: dict[str, Any], command: str) -> None:
    """Write the page and the figures into a folder, which is made. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page(outcome, result, command), encoding="utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
