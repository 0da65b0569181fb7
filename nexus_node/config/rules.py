"""What a configuration value may be, and the words for when it is something else."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import inf
from typing import Any

from nexus_node.base.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rule:
    """`expected` completes the sentence "X must be ..."."""

    expected: str
    accepts: Callable[[Any], bool]


def whole(low: int, high: int, unit: str) -> Rule:
    """A whole number within bounds."""
    return Rule(
        f"a whole number of {unit} from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def number(low: float, high: float, unit: str) -> Rule:
    """A number within bounds, whole or not."""
    return Rule(
        f"a number of {unit} from {low} to {high}",
        lambda value: type(value) in (int, float) and low <= value <= high,
    )


def positive(unit: str) -> Rule:
    """A number above 0, whole or not."""
    return Rule(
        f"a number of {unit} above 0",
        lambda value: type(value) in (int, float) and 0 < value < inf,
    )


def fraction() -> Rule:
    """A share: more than nothing, at most all."""
    return Rule(
        "a number above 0 and at most 1, such as 0.01 for one percent",
        lambda value: type(value) in (int, float) and 0 < value <= 1,
    )


def flag() -> Rule:
    """A truth value."""
    return Rule("true or false", lambda value: type(value) is bool)


def one_of(*choices: str) -> Rule:
    """One of a few words."""
    return Rule(" or ".join(f'"{choice}"' for choice in choices), lambda value: value in choices)


def short_text(most: int) -> Rule:
    """One line of printable text, of so many bytes in UTF-8."""
    return Rule(
        f"printable text of 1 to {most} bytes, without blanks at its ends",
        lambda value: (
            type(value) is str
            and value.isprintable()
            and 0 < len(value.encode()) <= most
            and value == value.strip()
        ),
    )


def texts(most: int, what: str) -> Rule:
    """A list of a few texts."""
    return Rule(
        f'a list of at most {most} {what}, such as ["nexus:..."]',
        lambda value: (
            type(value) is list and len(value) <= most and all(type(entry) is str for entry in value)
        ),
    )


def check(values: Mapping[str, Any], rules: Mapping[str, Rule], where: str) -> None:
    """Hold every value to its rule. Raises `ConfigError` that names the key and the cure.

    `where` names the part of the configuration the values stand in, such as ` in [store]`.
    """
    for key, value in values.items():
        if key not in rules:
            raise ConfigError(unknown("key", key, rules, where))
        if not rules[key].accepts(value):
            raise ConfigError(
                f"{key}{where} is {json.dumps(value, default=str)}, but must be {rules[key].expected}"
            )


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    """The sentence about a name nobody knows, with the nearest that somebody does."""
    # Only then: it is 0.15 MB that a node without mistakes spares.
    near: list[str] = import_module("difflib").get_close_matches(name, list(known), n=1, cutoff=0.5)
    cure = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(sorted(known))}"
    return f'unknown {what} "{name}"{where}; {cure}'
