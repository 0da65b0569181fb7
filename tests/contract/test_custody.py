"""Our two stores against the custody part of the suite (N7, N10, S2)."""

from itertools import count
from pathlib import Path

import pytest

from nexus_node.ports.custody import CustodyStore
from nexus_node.store.check_custody import CUSTODY_CHECKS, MakeCustodyStore
from nexus_node.store.memory import MemoryStore
from nexus_node.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "memory"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeCustodyStore:
    names = count()

    def make(quota_bytes: int) -> CustodyStore:
        if request.param == "memory":
            return MemoryStore(quota_bytes)
        return SqliteStore.open(tmp_path / f"{next(names)}.db", quota_bytes)

    return make


@pytest.mark.parametrize("check", CUSTODY_CHECKS, ids=lambda check: check.__name__)
def test_custody(check, make_store: MakeCustodyStore) -> None:
    check(make_store)
