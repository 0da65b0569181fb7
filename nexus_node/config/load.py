"""From TOML, or a `--carrier` option, to checked settings; every fault is a `ConfigError` of one sentence."""

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexus_node.base.errors import ConfigError
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import MESSAGE_TTL_S, MTU_MAX, MTU_MIN, NAME_MAX, RELAYS_MAX
from nexus_node.wire.uri import BadUri, parse_uri_untrusted

from .model import CarrierConfig, LogConfig, MessagesConfig, NodeConfig, RelayConfig, StoreConfig
from .rules import Rule, check, flag, fraction, one_of, short_text, texts, unknown, whole

MEGABYTES = whole(1, 1_000_000, "megabytes")
PER_DAY = whole(0, 1_000_000, "messages")

SECTIONS: Mapping[str, tuple[type, Mapping[str, Rule]]] = {
    "store": (StoreConfig, {"quota_mb": MEGABYTES}),
    "relay": (
        RelayConfig,
        {
            "enabled": flag(),
            "serve": one_of("contacts", "trusted", "anyone"),
            "memory_only": flag(),
            "ttl_days": whole(1, MESSAGE_TTL_S // (24 * 3600), "days"),
            "quota_mb": MEGABYTES,
            "stranger_interval_s": whole(0, 24 * 3600, "seconds"),
            "stranger_per_day": PER_DAY,
            "trusted_per_day": PER_DAY,
        },
    ),
    "messages": (MessagesConfig, {"read_receipts": flag()}),
    "log": (LogConfig, {"level": one_of("debug", "info", "warning", "error")}),
}
TOP: Mapping[str, Rule] = {
    "name": short_text(NAME_MAX),
    "relays": texts(RELAYS_MAX, "contact links"),
    "path_policy": one_of("cheapest", "fastest", "reliable", "balanced", "largest-mtu"),
}
CARRIER: Mapping[str, Rule] = {
    "driver": short_text(64),
    "label": short_text(64),
    "bps": whole(1, 10**12, "bits per second"),
    "mtu": whole(MTU_MIN, MTU_MAX, "bytes"),
    "duty_cycle": fraction(),
    "pad": whole(1, MTU_MAX, "bytes"),
}


def load_config(path: Path) -> NodeConfig:
    """Read and check `config.toml`. Raises `ConfigError` naming the file and key or line."""
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
        return check_config(values)
    except FileNotFoundError:
        home = shlex.quote(str(path.parent))
        raise ConfigError(
            f"{path} is missing; write one with: nexus --home {home} init --if-missing"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def check_config(values: Mapping[str, Any]) -> NodeConfig:
    """Check a parsed `config.toml`. Raises `ConfigError`."""
    top = dict(values)
    carriers = top.pop("carrier", [])
    sections = {name: top.pop(name) for name in SECTIONS if name in top}
    for key in top:
        if key not in TOP:
            raise ConfigError(unknown("key", key, [*TOP, *SECTIONS, "carrier"]))
    check(top, TOP, "")
    if "relays" in top:
        top["relays"] = _parse_relays(top["relays"])
    for name, section in sections.items():
        make, rules = SECTIONS[name]
        if not isinstance(section, dict):
            raise ConfigError(f"{name} must be a table: put its keys below a line [{name}]")
        check(section, rules, f" in [{name}]")
        sections[name] = make(**section)
    return NodeConfig(**top, **sections, carriers=_check_carriers(carriers))


def _parse_relays(links: list[str]) -> tuple[NodeId, ...]:
    relays: dict[NodeId, int] = {}
    for number, link in enumerate(links, 1):
        try:
            relay = parse_uri_untrusted(link).node_id
        except BadUri as error:
            raise ConfigError(
                f"entry {number} of relays is no contact link that can be used: {error}"
            ) from error
        if relay in relays:
            raise ConfigError(
                f"entries {relays[relay]} and {number} of relays are the same node; remove one of them"
            )
        relays[relay] = number
    return tuple(relays)


def _check_carriers(tables: Any) -> tuple[CarrierConfig, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("carrier must be a list of tables: put each below its own line [[carrier]]")
    return tuple(
        check_carrier(table, f" in [[carrier]] number {number}") for number, table in enumerate(tables, 1)
    )


def check_carrier(table: Mapping[str, Any], where: str) -> CarrierConfig:
    """Split a carrier's keys into the node's, checked here, and its driver's. Raises `ConfigError`."""
    if "driver" not in table:
        raise ConfigError(f'driver{where} is missing; name one, such as driver = "tcp"')
    ours = {key: value for key, value in table.items() if key in CARRIER}
    check(ours, CARRIER, where)
    theirs = {key: value for key, value in table.items() if key not in CARRIER}
    return CarrierConfig(**ours, table=theirs)


def parse_carrier_option(text: str) -> CarrierConfig:
    """Read `DRIVER key=value ...`, the keys of a `[[carrier]]` table. Raises `ConfigError`.

    Values with blanks are quoted as in a shell; a list is comma-separated (`peers=host:1,host:2`), one of a
    single value may end in a comma; numbers and true or false mean themselves.
    """
    where = f" in --carrier '{text}'"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"a quote is not closed{where}") from error
    if not words or "=" in words[0]:
        raise ConfigError(
            f"the driver is missing{where}; begin with its name, such as 'tcp listen=127.0.0.1:4001'"
        )
    table: dict[str, Any] = {"driver": words[0]}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise ConfigError(f'"{word}"{where} is not of the form key=value')
        if key in table:
            raise ConfigError(f"{key} is given twice{where}")
        table[key] = value if key == "label" else _parse_value(value)
    return check_carrier(table, where)


def _parse_value(text: str) -> Any:
    if "," in text:
        return [_parse_scalar(part) for part in text.split(",") if part]
    return _parse_scalar(text)


def _parse_scalar(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        # "1_000", "nan" and "inf" are numbers to Python, names to people.
        if not text.strip("+-.0123456789eE"):
            return value
    return text
