"""What is told of a run: the figures of `nexus-sim run --json`."""

from collections import Counter
from typing import Any

from nexus_sim.play import Outcome
from nexus_sim.reception import Fate


def percentile(values: list[float], share: float) -> float | None:
    """The value that this share of the sorted values does not exceed; None of none."""
    if not values:
        return None
    return values[min(len(values) - 1, int(share * len(values)))]


def figures(outcome: Outcome, wall_s: float) -> dict[str, Any]:
    """The JSON of a run (contract.md); seconds, and `latency_s` of what was delivered."""
    messages = list(outcome.record.messages.values())
    latencies = sorted(one.received_s - one.sent_s for one in messages if one.received_s is not None)
    sent, delivered = len(messages), len(latencies)
    return {
        "scenario": outcome.scenario.name,
        "seed": outcome.seed,
        "nodes": len(outcome.places),
        "virtual_s": round(outcome.virtual_s, 3),
        "wall_s": round(wall_s, 3),
        "messages_sent": sent,
        "delivered": delivered,
        "delivery_ratio": round(delivered / sent, 4) if sent else None,
        "latency_s": {
            "p50": _rounded(percentile(latencies, 0.5)),
            "p90": _rounded(percentile(latencies, 0.9)),
            "max": _rounded(latencies[-1] if latencies else None),
        },
        "states": dict(sorted(Counter(one.state.value for one in messages).items())),
        "undelivered": dict(Counter(one.why for one in messages if one.received_s is None).most_common()),
        "frames": outcome.frames,
        "receptions": outcome.fates[Fate.RECEIVED],
        "collisions": outcome.fates[Fate.COLLIDED],
        "airtime_s": round(outcome.airtime_s, 3),
        "bytes_on_air": outcome.bytes_on_air,
        "bytes_on_wires": outcome.wire_bytes,
        "duty_violations": outcome.duty_violations,
        "highest_duty": round(max(outcome.duty_of.values(), default=0.0), 4),
        "counters": dict(sorted(outcome.counters.items())),
        "breaches": outcome.record.breaches,
        "events": outcome.events,
        "log_hash": outcome.log_hash,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
