"""What is told of a run, of the model or of real nodes, in the same words."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from nexus_sim.report import percentile

SAMPLE_S = 60.0
"""Between two looks at the path tables."""
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@dataclass(slots=True)
class OnAirBooks:
    """Frames, bytes and seconds on air by kind: hello, handshake, broadcast, sealed."""

    frames: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    airtime_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, kind: str, size: int, airtime_s: float, frames: int = 1) -> None:
        self.frames[kind] += frames
        self.bytes[kind] += size
        self.airtime_s[kind] += airtime_s


@dataclass(slots=True)
class Curve:
    """The share of ordered pairs of nodes of which the first knows a way to the second, by time."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def add(self, at_s: float, share: float) -> None:
        self.points.append((round(at_s, 3), share))

    def reached(self, share: float) -> float | None:
        """When that share was first seen."""
        return next((at for at, seen in self.points if seen >= share), None)


@dataclass(slots=True)
class Delays:
    """Messages sent, and how long those that arrived took, in seconds."""

    sent: int
    late_s: list[float]


def figures(
    *,
    nodes: int,
    seed: int,
    virtual_s: float,
    neighbours: float,
    links: float,
    one_sided: float,
    books: OnAirBooks,
    received: int,
    collided: int,
    curve: Curve,
    delays: Delays,
    highest_duty: float,
    wire_bytes: int,
) -> dict[str, Any]:
    """The JSON of a run: seconds and bytes; shares from 0 to 1. `one_sided`: of the links that are up at a
    node, those that are not at the other end."""
    late = sorted(delays.late_s)
    final = curve.points[-1][1] if curve.points else 0.0
    return {
        "nodes": nodes,
        "seed": seed,
        "virtual_s": round(virtual_s, 3),
        "neighbours": round(neighbours, 3),
        "links": round(links, 3),
        "one_sided": round(one_sided, 4),
        "frames": dict(sorted(books.frames.items())),
        "bytes": dict(sorted(books.bytes.items())),
        "airtime_s": {kind: round(one, 1) for kind, one in sorted(books.airtime_s.items())},
        "air_share": round(sum(books.airtime_s.values()) / virtual_s / nodes, 5),
        "receptions": received,
        "lost_share": round(collided / max(1, received + collided), 4),
        "known_share": round(final, 5),
        "known_nodes": round(final * (nodes - 1), 2),
        "known_at_s": {f"{share:g}": curve.reached(share) for share in _SHARES},
        "curve": [(at, round(share, 5)) for at, share in curve.points],
        "messages_sent": delays.sent,
        "delivered": len(late),
        "delivery_ratio": round(len(late) / delays.sent, 4) if delays.sent else None,
        "latency_s": {
            "p50": _rounded(percentile(late, 0.5)),
            "p90": _rounded(percentile(late, 0.9)),
        },
        "highest_duty": round(highest_duty, 4),
        "bytes_on_wires": wire_bytes,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
