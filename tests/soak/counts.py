"""How often each fault is made: briefly in `make test`, as often as the promises say in `make soak`."""

import os

import pytest


def times(short: int, variable: str, long: int) -> list[object]:
    """Parameters of a test: a short count, and the count of a soak, which `variable` may change."""
    count = int(os.environ.get(variable, long))
    return [pytest.param(short, id="short"), pytest.param(count, id="soak", marks=pytest.mark.soak)]
