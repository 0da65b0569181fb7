"""Scenarios: a TOML file to checked values (docs/simulator.md has every key)."""

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from nexus_firmware.airtime import MAX_PAYLOAD
from nexus_node.base.errors import ConfigError, InputError
from nexus_node.base.limits import MTU_MIN, NAME_MAX, TEXT_MAX
from nexus_node.config.rules import Rule, check, flag, number, one_of, positive, short_text, unknown, whole
from nexus_sim.settings import FREQUENCY, PATHLOSS, PathLossSetting
from nexus_sim.traces import Contact, read_contacts

NODES_MAX = 5000
_FOREVER_S = 10.0 * 366 * 24 * 3600
_METRES = number(-1e7, 1e7, "metres")
_SECONDS = number(0, _FOREVER_S, "seconds")
_PROBABILITY = number(0, 1, "probability")
OULU = PathLossSetting("log10", 1000.0, 128.95, 2.32)
"""Petajajarvi et al., "On the coverage of LPWANs", ITST 2015, as in FLoRa."""
_NAMES = Rule(
    'a list of names of nodes, such as ["n1", "n2"]',
    lambda value: type(value) is list and bool(value) and all(type(one) is str for one in value),
)


def _pair(low: float, high: float, unit: str) -> Rule:
    """Two numbers, the first not above the second."""
    return Rule(
        f"two numbers of {unit} from {low:g} to {high:g}, the lower one first",
        lambda value: (
            type(value) is list
            and len(value) == 2
            and all(type(one) in (int, float) for one in value)
            and low <= value[0] <= value[1] <= high
        ),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands, in metres."""

    name: str
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Places:
    """Nodes by a rule: n1, n2 and so on."""

    kind: str = "random"
    """line, grid, random, clusters, or file."""
    count: int = 10
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
    size: tuple[int, int] = (20, 160)
    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    start_s: float = 0.0
    end_s: float = math.inf
    min_bandwidth: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """Nodes that stop as by a power cut, and start again after `for_s`, or never at 0."""

    nodes: tuple[str, ...]
    at_s: float = 0.0
    for_s: float = 0.0
    every_s: float = 0.0
    """Again and again, at this distance; 0 for once."""


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
    places: Places | None = None
    radio: Radio | None = None
    relays: Relays = Relays()
    wires: tuple[WireSetting, ...] = ()
    contacts: Contacts | None = None
    mobility: Mobility | None = None
    texts: tuple[Texts, ...] = ()
    outages: tuple[Outage, ...] = ()
    partitions: tuple[Partition, ...] = ()
    clocks: tuple[Clocks, ...] = ()
    folder: Path = field(default=Path(), repr=False)
    """What file names in it start from."""


_TEXT = short_text(2000)
_NAME = short_text(NAME_MAX)
_FILE = short_text(4096)
TOP: Mapping[str, Rule] = {
    "name": _NAME,
    "about": _TEXT,
    "duration_s": positive("seconds"),
    "seed": whole(0, 2**63, "any size"),
    "settle_s": _SECONDS,
}
TABLES: Mapping[str, tuple[type, Mapping[str, Rule]]] = {
    "places": (
        Places,
        {
            "kind": one_of("line", "grid", "random", "clusters", "file"),
            "count": whole(1, NODES_MAX, "nodes"),
            "spacing_m": positive("metres"),
            "side_m": positive("metres"),
            "clusters": whole(1, NODES_MAX, "clusters"),
            "spread_m": positive("metres"),
            "file": _FILE,
        },
    ),
    "radio": (
        Radio,
        {
            "frequency": FREQUENCY,
            "bandwidth": number(7_800, 1_625_000, "hertz"),
            "spreading_factor": whole(5, 12, "bits a symbol"),
            "coding_rate": whole(5, 8, "eighths: 5 stands for 4/5, 8 for 4/8,"),
            "preamble": whole(6, 65_535, "symbols"),
            "tx_dbm": number(-50, 60, "dBm"),
            "mtu": whole(MTU_MIN, MAX_PAYLOAD, "bytes"),
            "region": one_of("EU868", "none"),
            "shadowing_db": number(0, 100, "decibels"),
            "matrix": _FILE,
            "capture": flag(),
            "capture_db": number(0, 1000, "decibels"),
            "isolation": one_of("none", "goursaud"),
            "cad_miss": _PROBABILITY,
            "nodes": _NAMES,
        },
    ),
    "relays": (
        Relays,
        {"nodes": _NAMES, "count": whole(0, NODES_MAX, "nodes"), "serve": one_of("contacts", "anyone")},
    ),
    "contacts": (Contacts, {"file": _FILE, "bytes_per_s": number(0, 1e12, "bytes a second")}),
    "mobility": (
        Mobility,
        {
            "speed_mps": _pair(0.01, 1000, "metres a second"),
            "pause_s": _pair(0, _FOREVER_S, "seconds"),
            "step_s": number(0.1, 3600, "seconds"),
            "nodes": _NAMES,
        },
    ),
}
LISTS: Mapping[str, tuple[str, type, Mapping[str, Rule]]] = {
    "node": ("nodes", Place, {"name": _NAME, "x": _METRES, "y": _METRES}),
    "wire": (
        "wires",
        WireSetting,
        {
            "between": _NAMES,
            "bps": number(0, 1e12, "bits per second; 0 is no limit"),
            "delay_s": number(0, 3600, "seconds"),
            "loss": _PROBABILITY,
            "up": Rule(
                "a list of times such as [[0, 3600], [7200, 9000]], in order",
                lambda value: _are_spans(value),
            ),
        },
    ),
    "texts": (
        "texts",
        Texts,
        {
            "per_hour": number(0, 1e6, "texts"),
            "size": _pair(1, TEXT_MAX, "bytes"),
            "senders": _NAMES,
            "recipients": _NAMES,
            "start_s": _SECONDS,
            "end_s": _SECONDS,
            "min_bandwidth": whole(0, 10**12, "bits per second"),
        },
    ),
    "outage": (
        "outages",
        Outage,
        {"nodes": _NAMES, "at_s": _SECONDS, "for_s": _SECONDS, "every_s": _SECONDS},
    ),
    "partition": (
        "partitions",
        Partition,
        {
            "groups": Rule(
                'a list of lists of names, such as [["n1"], ["n2", "n3"]]',
                lambda value: type(value) is list and len(value) > 1 and all(map(_NAMES.accepts, value)),
            ),
            "from_s": _SECONDS,
            "to_s": _SECONDS,
        },
    ),
    "clock": ("clocks", Clocks, {"nodes": _NAMES, "off_s": number(-_FOREVER_S, _FOREVER_S, "seconds")}),
}


def _are_spans(value: Any) -> bool:
    if type(value) is not list or not value:
        return False
    times = []
    for one in value:
        if type(one) is not list or len(one) != 2 or not all(type(at) in (int, float) for at in one):
            return False
        times += one
    return times == sorted(times) and times[0] >= 0


def read_scenario(path: Path) -> Scenario:
    """Read a scenario and what it names. Raises ConfigError with file, key and cure."""
    try:
        return check_scenario(tomllib.loads(path.read_bytes().decode("utf-8")), path.parent)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def check_scenario(values: Mapping[str, Any], folder: Path) -> Scenario:
    """Check a parsed scenario; files in it lie in `folder`. Raises ConfigError."""
    top = dict(values)
    made: dict[str, Any] = {"folder": folder}
    for name, (make, rules) in TABLES.items():
        if name in top:
            made[name] = _table(name, top.pop(name), make, rules)
    for name, (key, make, rules) in LISTS.items():
        if name in top:
            made[key] = _list(name, top.pop(name), make, rules)
    for key in top:
        if key not in TOP:
            raise ConfigError(unknown("key", key, [*TOP, *TABLES, *LISTS]))
    check(top, TOP, "")
    for key in ("name", "duration_s"):
        if key not in top:
            raise ConfigError(f"{key} is missing; every scenario has a name and a duration_s")
    if "contacts" in made:
        made["contacts"] = _with_meetings(made["contacts"], folder)
    scenario = Scenario(**top, **made)
    _check_sense(scenario)
    return scenario


def _table(name: str, values: Any, make: type, rules: Mapping[str, Rule], where: str = "") -> Any:
    where = where or f" in [{name}]"
    if not isinstance(values, dict):
        raise ConfigError(f"{name} must be a table: put its keys below a line [{name}]")
    values = dict(values)
    extra: dict[str, Any] = {}
    if make is Radio and "pathloss" in values:
        pathloss = values.pop("pathloss")
        if not isinstance(pathloss, dict):
            raise ConfigError(f'pathloss{where} must be a table, such as {{ model = "log10", d0 = 1000.0 }}')
        check(pathloss, PATHLOSS, " in pathloss")
        extra["pathloss"] = PathLossSetting(**pathloss)
    known = {**rules, "pathloss": Rule("a table", lambda value: True)} if make is Radio else rules
    check(values, known, where)
    needed = [one.name for one in fields(make) if one.name in rules and _is_required(one)]
    for key in needed:
        if key not in values:
            raise ConfigError(f"{key}{where} is missing; it must be {rules[key].expected}")
    return make(**{key: _frozen(value) for key, value in values.items()}, **extra)


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _list(name: str, tables: Any, make: type, rules: Mapping[str, Rule]) -> tuple[Any, ...]:
    if not isinstance(tables, list):
        raise ConfigError(f"{name} must be a list of tables: put each below its own line [[{name}]]")
    return tuple(
        _table(name, table, make, rules, f" in [[{name}]] number {index}")
        for index, table in enumerate(tables, 1)
    )


def _with_meetings(contacts: Contacts, folder: Path) -> Contacts:
    try:
        meetings = read_contacts(folder / contacts.file)
    except InputError as error:
        raise ConfigError(f"file in [contacts]: {error}") from error
    return Contacts(contacts.file, contacts.bytes_per_s, meetings)


def _check_sense(scenario: Scenario) -> None:
    """What single values do not show. Raises ConfigError."""
    if not scenario.nodes and scenario.places is None and scenario.contacts is None:
        raise ConfigError("there are no nodes; add [places], [[node]] or [contacts]")
    if scenario.places is not None and scenario.places.kind == "file" and not scenario.places.file:
        raise ConfigError('file in [places] is missing; kind is "file"')
    if scenario.settle_s >= scenario.duration_s:
        raise ConfigError("settle_s leaves no time to send anything; make duration_s longer")
    for partition in scenario.partitions:
        if partition.from_s >= partition.to_s:
            raise ConfigError("from_s in [[partition]] is not before to_s")
    for wire in scenario.wires:
        if len(wire.between) < 2:
            raise ConfigError("between in [[wire]] must name two nodes or more")


def resolve(names: Iterable[str], known: Mapping[str, Any], where: str) -> list[str]:
    """Names of a scenario that must be nodes. Raises ConfigError with the nearest that is."""
    found = list(names)
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
            cure = f'did you mean "{near[0]}"?' if near else "see [places] and [[node]]"
            raise ConfigError(f'there is no node "{name}"{where}; {cure}')
    return found
