"""What a scenario is: checked values (docs/simulator.md has every key; `scenario_file.py` reads them)."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from nexus_firmware.airtime import MAX_PAYLOAD
from nexus_sim.settings import PathLossSetting
from nexus_sim.traces import Contact

OULU = PathLossSetting("log10", 1000.0, 128.95, 2.32)
"""Petajajarvi et al., "On the coverage of LPWANs", ITST 2015, as in FLoRa."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands, in metres."""

    name: str
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Places:
    """A group of nodes placed by a rule: n1, n2 and so on."""

    kind: str = "random"
    """line, grid, random, clusters, or file."""
    count: int = 10
    prefix: str = "n"
    """What their names begin with."""
    x: float = 0.0
    y: float = 0.0
    """Of the first of a line or grid, of the lower left corner of the square otherwise."""
    spacing_m: float = 1000.0
    """Between neighbours of a line or grid."""
    side_m: float = 5000.0
    """Of the square that random nodes and clusters lie in."""
    clusters: int = 4
    spread_m: float = 300.0
    """Standard deviation of a cluster's nodes from its middle."""
    file: str = ""
    """CSV with the columns name, x, y, beside the scenario."""


@dataclass(frozen=True, slots=True)
class Radio:
    """The LoRa radios; all nodes have one, unless `nodes` names those that do."""

    frequency: float = 869_525_000
    bandwidth: float = 125_000
    spreading_factor: int = 8
    coding_rate: int = 5
    preamble: int = 16
    tx_dbm: float = 14.0
    mtu: int = MAX_PAYLOAD
    region: str = "EU868"
    pathloss: PathLossSetting = OULU
    shadowing_db: float = 0.0
    matrix: str = ""
    """CSV with the columns from, to, snr_db: measured links instead of distances."""
    capture: bool = True
    capture_db: float = 6.0
    isolation: str = "none"
    cad_miss: float = 0.05
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relays:
    """Nodes that keep mail for others, by name, or the first so many."""

    nodes: tuple[str, ...] = ()
    count: int = 0
    serve: str = "anyone"


@dataclass(frozen=True, slots=True)
class WireSetting:
    """An IP link between each two of `between`, up at the given times or always."""

    between: tuple[str, ...]
    bps: float = 1e7
    delay_s: float = 0.0
    loss: float = 0.0
    up: tuple[tuple[float, float], ...] = ((0.0, math.inf),)
    every_s: float = 0.0
    """These times again and again, at this distance; 0 for once."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """Who meets whom and when, from a trace; names are those of the trace."""

    file: str
    bytes_per_s: float = 250_000.0
    meetings: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class Mobility:
    """Random waypoint: nodes walk to a random place, rest, and go on."""

    speed_mps: tuple[float, float] = (0.5, 1.5)
    pause_s: tuple[float, float] = (0.0, 300.0)
    step_s: float = 10.0
    nodes: tuple[str, ...] = ()
    """All with a place if none are named."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as a Poisson process of each sender, to a random recipient each."""

    per_hour: float = 1.0
    at_start: bool = False
    """Instead: one of each sender whenever it is switched on."""
    to_all: bool = False
    """Each text goes to every recipient, as messages of their own."""
    group: bool = False
    """Each text goes to a group of all senders and recipients, who have met before the run."""
    size: tuple[int, int] = (20, 160)
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    circle: int = 0
    """Each sender writes only to so many of them, drawn once; 0 for all."""
    start_s: float = 0.0
    end_s: float = math.inf
    min_bandwidth: int = 0
    photo: tuple[int, int] = (0, 0)
    """Each text has a photo of so many bytes attached, which waits for `min_bandwidth`, or for what images
    need; the text does not wait then."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Nodes that stop as by a power cut, and start again after `for_s`, or never at 0."""

    nodes: tuple[str, ...]
    at_s: float = 0.0
    for_s: float = 0.0
    every_s: float = 0.0
    """Again and again, at this distance; 0 for once."""
    spread_s: float = 0.0
    """Each node's times are later by a random part of this, always the same."""


@dataclass(frozen=True, slots=True)
class Battery:
    """Nodes that stop for good when their charge is used up."""

    nodes: tuple[str, ...]
    mah: float
    on_ma: float = 15.0
    """While they are on: a radio that receives (5 mA, SX1262 datasheet table 3-5) and a processor."""
    tx_ma: float = 118.0
    """While they are on air: 107 mA at 22 dBm (SX1262), and the processor."""
    off_ma: float = 0.02
    """While an [[outage]] has them off: asleep."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Groups of nodes that neither radio nor wires join for a while."""

    groups: tuple[tuple[str, ...], ...]
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Clocks:
    """Nodes whose clocks are wrong by so much."""

    nodes: tuple[str, ...]
    off_s: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario. Every name in it is that of a node."""

    name: str
    duration_s: float
    about: str = ""
    seed: int = 0
    settle_s: float = 0.0
    """At the end nothing new is sent for so long."""
    nodes: tuple[Place, ...] = ()
    """Those placed by name, in the file's order."""
    places: tuple[Places, ...] = ()
    radio: Radio | None = None
    relays: Relays = Relays()
    wires: tuple[WireSetting, ...] = ()
    contacts: Contacts | None = None
    mobility: Mobility | None = None
    texts: tuple[Texts, ...] = ()
    outages: tuple[Outage, ...] = ()
    batteries: tuple[Battery, ...] = ()
    partitions: tuple[Partition, ...] = ()
    clocks: tuple[Clocks, ...] = ()
    folder: Path = field(default=Path(), repr=False)
    """What file names in it start from."""
