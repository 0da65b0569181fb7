"""What came of a run, for whoever tells of it."""

from collections import Counter
from dataclasses import dataclass, field

from nexus_sim.reception import Fate
from nexus_sim.record import Record
from nexus_sim.scenario import Place, Scenario
from nexus_sim.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Charge:
    """Of one battery: the share that is left, and how many days it lasts at the rate of the run."""

    left: float
    days: float | None


@dataclass(slots=True)
class Outcome:
    """What came of a run. Nodes are names; times are seconds since its beginning."""

    scenario: Scenario
    seed: int
    places: dict[str, Place]
    virtual_s: float
    record: Record
    traffic: Traffic
    frames: int = 0
    bytes_on_air: int = 0
    airtime_s: float = 0.0
    fates: Counter[Fate] = field(default_factory=Counter)
    airtime_of: dict[str, float] = field(default_factory=dict)
    """Seconds on air, by node."""
    duty_of: dict[str, float] = field(default_factory=dict)
    """The largest share of an hour that a node was on air, of what its band allows."""
    duty_violations: int = 0
    wire_bytes: int = 0
    reach: list[tuple[str, str, float]] = field(default_factory=list)
    """Who could hear whom at the end, with the signal-to-noise ratio in dB."""
    wires: list[tuple[str, str]] = field(default_factory=list)
    """Who was joined by a wire at any time."""
    names: dict[int, str] = field(default_factory=dict)
    """Of the numbers that the air knows nodes by."""
    relays: set[str] = field(default_factory=set)
    off: set[str] = field(default_factory=set)
    """Who was off at the end."""
    charges: dict[str, Charge] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    log_hash: str = ""
    events: int = 0
