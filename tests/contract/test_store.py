"""Our two stores against the suite that any store must pass (N7, M5)."""

from itertools import count
from pathlib import Path

import pytest

from nexus_node.ports.store import Store
from nexus_node.store.check import CHECKS, MakeStore
from nexus_node.store.memory import MemoryStore
from nexus_node.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "memory"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    numbers = count()

    def make(quota_bytes: int) -> Store:
        if request.param == "memory":
            return MemoryStore(quota_bytes)
        return SqliteStore.open(tmp_path / f"{next(numbers)}.db", quota_bytes)

    return make


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_store(check, make_store: MakeStore) -> None:
    check(make_store)
