"""Parsers of outside bytes: a value or BadWire, in bounded time and memory, whatever comes (M5)."""

import ast
import json
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire

from .mutate import mutate
from .table import TABLE, Target

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus" / "parsers"
SOURCES = ("nexus_node", "drivers", "firmware_bridge", "sim", "examples")
DEADLINE_MS = 2000
"""Far above what any input takes, below what somebody could stall a node with."""


def _hostile(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """One input in five is random, the rest are valid ones with zero to four changes."""
    mutated = st.builds(mutate, valid, st.integers(0, 2**32 - 1))
    return st.one_of(st.binary(max_size=200), mutated, mutated, mutated, mutated)


def check(target: Target, data: bytes) -> Any:
    """Parse; the value or the refusal's code. Fails on any other error, much memory, or a lossy encoder."""
    tracemalloc.start()
    try:
        value = target.parse(data)
    except BadWire as error:
        return error.code
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= target.memory(len(data)), f"{peak} bytes for an input of {len(data)}"
    assert target.parse(target.encode(value)) == value
    return value


@pytest.mark.parametrize("name", TABLE)
def test_parser_stands_500_inputs(name: str) -> None:
    target = TABLE[name]
    _each(_hostile(target.valid), 500, partial(check, target))


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TABLE)
def test_parser_stands_100_000_inputs(name: str) -> None:
    """The valid ones to change are made beforehand, and the inputs tried in twenty runs: hypothesis
    slows down as what it remembers of a run grows."""
    target = TABLE[name]
    pool: list[bytes] = []
    _each(target.valid, 2000, pool.append)
    hostile = _hostile(st.sampled_from(pool))
    assert sum(_each(hostile, 5000, partial(check, target)) for _ in range(20)) >= 100_000


def _each(inputs: st.SearchStrategy[bytes], examples: int, use: Callable[[bytes], Any]) -> int:
    """Give `use` that many inputs; how many it got."""
    tried = 0

    @settings(
        max_examples=examples, deadline=DEADLINE_MS, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=inputs)
    def run(data: bytes) -> None:
        nonlocal tried
        tried += 1
        use(data)

    run()
    return tried


@pytest.mark.parametrize("name", TABLE)
def test_corpus(name: str) -> None:
    """Inputs worth keeping: each parses, or is refused with the code that stands beside it."""
    cases = json.loads((CORPUS / f"{name.rpartition('.')[2]}.json").read_text())
    assert len(cases) >= 4
    for case in cases:
        data = b"".join(bytes.fromhex(part) * times for part, times in case["parts"])
        found = check(TABLE[name], data)
        refused = found if isinstance(found, str) and case["refused"] is not None else None
        assert refused == case["refused"], case["why"]


def test_every_parser_is_in_the_table() -> None:
    """A parser that nobody feeds garbage does not get in."""
    found = set(_parsers_in_the_tree())
    assert found == set(TABLE)


def _parsers_in_the_tree() -> Iterator[str]:
    for top in SOURCES:
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts if top == "nexus_node" else parts[1:])
            yield from _parsers_of(ast.parse(path.read_text()), module)


def _parsers_of(node: ast.AST, within: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{within}.{child.name}"
            if child.name.startswith("parse_") and child.name.endswith("_untrusted"):
                yield name
            yield from _parsers_of(child, name)
        else:
            yield from _parsers_of(child, within)


def test_no_other_name_hides_a_parser() -> None:
    """Whatever is called `*_untrusted` is a parser of the table or a `from_untrusted` type (architecture)."""
    for top in SOURCES:
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "untrusted" in node.name:
                    assert node.name == "from_untrusted" or node.name.startswith("parse_"), path
