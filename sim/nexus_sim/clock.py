"""Virtual time and its one source of chance.

trio shuffles the tasks that are ready in each turn; the simulator seeds that shuffle, and has the tasks
sorted before it, as trio does for Hypothesis (their order comes from sets of objects by address). So one
seed means one run. The names this relies on are private to trio: `virtual_run` fails loudly if they change.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")

EPOCH_S = 1_767_225_600.0
"""Virtual time 0 is 2026-01-01 on the wall."""


def virtual_run(main: Callable[[], Awaitable[T]], seed: int) -> T:
    """Run `main` under a clock that jumps ahead whenever every task waits. The same seed, the same run."""
    from trio._core import _run  # noqa: PLC0415 - private: only here, and only when a simulation runs

    names = vars(_run)
    if not isinstance(names.get("_r"), random.Random) or "_ALLOW_DETERMINISTIC_SCHEDULING" not in names:
        raise RuntimeError("this trio's scheduler has no shuffle to seed; nexus_sim.clock needs an update")
    names["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    _run._r.seed(seed)
    return trio.run(main, clock=MockClock(autojump_threshold=0))


def wall() -> float:
    """Seconds since 1970 in virtual time."""
    return EPOCH_S + trio.current_time()


class SeededRng:
    """Random bytes that a seed determines. For simulations only: keys made from it are no secret."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
