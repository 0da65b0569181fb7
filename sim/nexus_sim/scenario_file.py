"""Reading scenarios: a TOML file to checked values, or one clear sentence that says what to mend."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from nexus_firmware.airtime import MAX_PAYLOAD
from nexus_node.base.errors import ConfigError, InputError
from nexus_node.base.limits import ATTACHMENT_MAX, MTU_MIN, NAME_MAX, TEXT_MAX
from nexus_node.config.rules import Rule, check, flag, number, one_of, positive, short_text, unknown, whole
from nexus_sim.scenario import (
    Battery,
    Clocks,
    Contacts,
    Mobility,
    Outage,
    Partition,
    Place,
    Places,
    Radio,
    Relays,
    Scenario,
    Texts,
    WireSetting,
)
from nexus_sim.sense import check_sense, check_times
from nexus_sim.settings import FREQUENCY, PATHLOSS, PathLossSetting
from nexus_sim.traces import read_contacts

NODES_MAX = 5000
_FOREVER_S = 10 * 366 * 24 * 3600
_METRES = number(-10_000_000, 10_000_000, "metres")
_SECONDS = number(0, _FOREVER_S, "seconds")
_PROBABILITY = number(0, 1, "probability")
_MILLIAMPERES = number(0, 100_000, "milliamperes")
_NAMES = Rule(
    'a list of names of nodes, such as ["n1", "n2"]',
    lambda value: type(value) is list and bool(value) and all(type(one) is str for one in value),
)


def _pair(low: float, high: float, unit: str, *types: type) -> Rule:
    """Two numbers, the first not above the second."""
    types = types or (int, float)
    return Rule(
        f"two numbers of {unit} from {low} to {high}, the lower one first",
        lambda value: (
            type(value) is list
            and len(value) == 2
            and all(type(one) in types for one in value)
            and low <= value[0] <= value[1] <= high
        ),
    )


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
    "contacts": (Contacts, {"file": _FILE, "bytes_per_s": number(0, 10**12, "bytes a second")}),
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
    "places": (
        "places",
        Places,
        {
            "kind": one_of("line", "grid", "random", "clusters", "file"),
            "count": whole(1, NODES_MAX, "nodes"),
            "prefix": short_text(NAME_MAX - len(str(NODES_MAX))),
            "x": _METRES,
            "y": _METRES,
            "spacing_m": positive("metres"),
            "side_m": positive("metres"),
            "clusters": whole(1, NODES_MAX, "clusters"),
            "spread_m": positive("metres"),
            "file": _FILE,
        },
    ),
    "node": ("nodes", Place, {"name": _NAME, "x": _METRES, "y": _METRES}),
    "wire": (
        "wires",
        WireSetting,
        {
            "between": _NAMES,
            "bps": number(0, 10**12, "bits per second"),
            "delay_s": number(0, 3600, "seconds"),
            "loss": _PROBABILITY,
            "up": Rule(
                "a list of times such as [[0, 3600], [7200, 9000]], in order",
                lambda value: _are_spans(value),
            ),
            "every_s": _SECONDS,
        },
    ),
    "texts": (
        "texts",
        Texts,
        {
            "per_hour": number(0, 1_000_000, "texts"),
            "at_start": flag(),
            "to_all": flag(),
            "group": flag(),
            "size": _pair(1, TEXT_MAX, "whole bytes", int),
            "senders": _NAMES,
            "recipients": _NAMES,
            "circle": whole(0, NODES_MAX, "recipients"),
            "start_s": _SECONDS,
            "end_s": _SECONDS,
            "min_bandwidth": whole(0, 10**12, "bits per second"),
            "photo": _pair(1, ATTACHMENT_MAX, "whole bytes", int),
        },
    ),
    "outage": (
        "outages",
        Outage,
        {"nodes": _NAMES, "at_s": _SECONDS, "for_s": _SECONDS, "every_s": _SECONDS, "spread_s": _SECONDS},
    ),
    "battery": (
        "batteries",
        Battery,
        {
            "nodes": _NAMES,
            "mah": positive("milliampere-hours"),
            "on_ma": _MILLIAMPERES,
            "tx_ma": _MILLIAMPERES,
            "off_ma": _MILLIAMPERES,
        },
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
    return times == sorted(times) and times[0] >= 0 and all(begin < end for begin, end in value)


SHORT = "short"
"""The table that changes a scenario into its short form: tables are merged, all else is replaced."""


def read_scenario(path: Path, *, short: bool = False) -> Scenario:
    """Read a scenario, or its short form, and what it names. Raises ConfigError with file, key and cure."""
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
        changes = values.pop(SHORT, None)
        if changes is not None and not isinstance(changes, dict):
            raise ConfigError(f"{SHORT} must be a table: put what it changes below a line [{SHORT}]")
        if short and changes is None:
            raise ConfigError(f"there is no short form; add a table [{SHORT}] with what it changes")
        values = _merged(values, changes) if short and changes else values
        return check_scenario(values, path.parent, short=short)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return merged


def check_scenario(values: Mapping[str, Any], folder: Path, *, short: bool = False) -> Scenario:
    """Check a parsed scenario, or its short form; files in it lie in `folder`. Raises ConfigError."""
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
    check_sense(scenario)
    if not short:
        check_times(scenario)
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
    if make is Places and isinstance(tables, dict):
        return (_table(name, tables, make, rules),)
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
