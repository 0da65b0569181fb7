"""Reading a driver's configuration: every complaint is one sentence with the key, the value and the cure."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from nexus_node.base.errors import ConfigError

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)


class Endpoint(NamedTuple):
    """A host (name or address, IPv6 without brackets) and a port; `str()` gives it back as it is written."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, *, any_port: bool = False) -> Endpoint:
    """Read `host:port` or `[IPv6]:port`. `any_port` admits port 0 (the system chooses).

    Raises ValueError whose text says what is wrong and what to write.
    """
    host, colon, digits = text.rpartition(":")
    if not colon or host.endswith(":"):
        raise ValueError('has no port; write "host:port" such as "192.0.2.7:4001"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError('has no IPv6 address in brackets; write it as "[2001:db8::7]:4001"') from None
    elif ":" in host:
        raise ValueError('is an IPv6 address without brackets; write it as "[2001:db8::7]:4001"')
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError('has no valid host; write "host:port" such as "192.0.2.7:4001"')
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
        raise ValueError("has a port that is not a number; use 1 to 65535")
    port = int(digits)
    if port > 65535 or (port == 0 and not any_port):
        raise ValueError(f"has the port {port}; use 1 to 65535")
    return Endpoint(host, port)


class Options:
    """One driver's `[[carrier]]` table, checked key by key.

    Making one raises `ConfigError` for a key the driver does not know, naming the nearest it does.
    """

    def __init__(self, scheme: str, table: Mapping[str, Any], known: Collection[str]) -> None:
        self._scheme = scheme
        self._table = table
        for key in table:
            if key not in known:
                # Only then: it is 0.15 MB that a node without mistakes spares.
                nearest = import_module("difflib").get_close_matches(key, known, n=1, cutoff=0.0)[0]
                raise ConfigError(
                    f"{scheme}: unknown key {_shown(key)}; the nearest is {_shown(nearest)}"
                    f" (known here: {', '.join(sorted(known))})"
                )

    def wrong(self, key: str, why: str) -> ConfigError:
        """The error for a value that cannot be used; `why` continues the sentence and names the cure."""
        return ConfigError(f"{self._scheme}: {key} = {_shown(self._table.get(key))} {why}")

    def missing(self, key: str, example: str) -> ConfigError:
        """The error for a key that must be there."""
        return ConfigError(f"{self._scheme}: {key} is missing; write {example}")

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def text(self, key: str) -> str | None:
        """A text that is not empty, or None when the key is absent."""
        value = self._table.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.wrong(key, "must be a text; put it in quotes")
        return value

    def flag(self, key: str) -> bool:
        """True or false; false when the key is absent."""
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"must be a whole number from {low} to {high}")
        return value

    def endpoint(self, key: str, *, any_port: bool = False) -> Endpoint | None:
        """A `host:port`, or None when the key is absent."""
        text = self.text(key)
        return None if text is None else self._endpoint(key, text, any_port)

    def endpoints(self, key: str) -> tuple[Endpoint, ...]:
        """A list of different `host:port`, or one alone; empty when absent."""
        value = self._table.get(key, [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise self.wrong(key, 'must be a list of texts such as ["192.0.2.7:5001"]')
        found = tuple(self._endpoint(key, item, False) for item in items)
        if len(set(found)) < len(found):
            raise self.wrong(key, "names one of them twice; leave one out")
        return found

    def _endpoint(self, key: str, text: str, any_port: bool) -> Endpoint:
        try:
            return parse_endpoint(text, any_port=any_port)
        except ValueError as error:
            raise ConfigError(f"{self._scheme}: {key} = {_shown(text)} {error}") from None


def _shown(value: object) -> str:
    """As TOML would write it, near enough for a person to find the place."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else repr(value)
