"""The arguments of requests to the control socket (docs/control.md)."""

import math
from pathlib import Path
from typing import Any

from nexus_node.base.errors import InputError

Json = dict[str, Any]
SECONDS_MAX = 10**10
BANDWIDTH_MAX = 2**32 - 1
"""As what announces a file writes it (docs/protocol/message.md)."""


class UsageError(InputError):
    """A request whose arguments do not fit its verb."""


def argument(args: Json, name: str, kind: type, default: Any = ...) -> Any:
    """One argument of a request. Raises UsageError that names it."""
    value = args.get(name, default)
    if value is ...:
        raise UsageError(f"the argument {name!r} is missing")
    if value is not default and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise UsageError(f"the argument {name!r} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def amount(args: Json, name: str, most: int) -> int | None:
    """A whole number from 0 to `most`, None if it is left out. Raises UsageError."""
    value: int | None = argument(args, name, int, None)
    if value is not None and not 0 <= value <= most:
        raise UsageError(f"the argument {name!r} is a whole number from 0 to {most}, not {value}")
    return value


def seconds(args: Json, name: str, default: float | None) -> float | None:
    """A number of seconds from 0 to `SECONDS_MAX`. Raises UsageError."""
    value: float | None = args.get(name, default)
    if value is not None and (
        not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= SECONDS_MAX
    ):
        raise UsageError(f"the argument {name!r} is a number of seconds from 0 to {SECONDS_MAX}")
    return value


def in_seconds(left_s: float | None) -> int | None:
    """A time to come in whole seconds, as answers have it."""
    return math.ceil(left_s) if left_s is not None else None


def file_path(args: Json) -> Path:
    """The path of a file. Raises UsageError."""
    text = argument(args, "path", str)
    if "\0" in text:
        raise UsageError("a path cannot hold a zero byte")
    return Path(text)


def identifier(args: Json, name: str) -> bytes:
    """A 32-byte id in hex. Raises UsageError."""
    text = argument(args, name, str)
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"an id has 64 hex digits, and {text!r} is none")
    return value
