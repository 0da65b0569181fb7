"""Figures as JSON lines while a measurement runs, and as tables in docs/benchmarks.md afterwards."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, Any]


def emit(name: str, figures: Figures) -> Figures:
    """Print one measurement as a JSON line; returns it."""
    print(json.dumps({"bench": name, **figures}), flush=True)
    return figures


def middle_of(rounds: Sequence[Figures], key: str) -> float:
    """The median of one figure over several rounds."""
    return float(statistics.median(one[key] for one in rounds))


@dataclass(frozen=True)
class Table:
    """Cells are text; `columns` gives the head."""

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class Section:
    """A part of the report: title, words, tables."""

    title: str
    words: str
    tables: list[Table]

    def markdown(self, conditions: str) -> str:
        """`conditions` say under which it was measured."""
        tables = (table.markdown() for table in self.tables)
        return "\n\n".join([f"## {self.title}", f"{self.words} {conditions}", *tables])


def verdict(holds: bool) -> str:
    return "met" if holds else "**missed**"


def ratio(ours: float, other: float | None) -> str:
    """`ours` as a multiple of `other`."""
    return "-" if not other else f"{ours / other:.2f}x"
