"""Virtual time and its one source of chance.

trio shuffles the tasks that are ready in each turn; the simulator seeds that shuffle, and has the tasks
sorted before it, as trio does for Hypothesis (their order comes from sets of objects by address). So one
seed means one run.

A deadline of trio's costs a cancel scope and an exception. The simulated media sleep by `sleep_until` of this
module, and the nodes' own timers are `AlarmTimer`s, which cost neither.

The names this relies on are private to trio: `virtual_run` fails loudly if they change.
"""

import gc
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from math import inf
from typing import TypeVar

import trio
from trio.testing import MockClock

from nexus_node.runtime.pump import Timer
from nexus_sim.remembered import gossip_remembered

T = TypeVar("T")

_GARBAGE = 20_000, 50, 100
"""After how many new objects the newest are looked through, and the older ones how much more seldom."""
EPOCH_S = 1_767_225_600.0
"""Virtual time 0 is 2026-01-01 on the wall."""


class Alarms:
    """The time of a run, moved on when every task waits: to trio's next deadline, or to the next call asked
    for here."""

    def __init__(self, clock: MockClock, next_deadline: Callable[[], float]) -> None:
        self._now = clock.current_time()
        self._next_deadline = next_deadline
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call that once it is `when` and every task waits. It may do no more than wake tasks, and returns
        False if it has woken none."""
        self._count += 1
        heappush(self._calls, (when, self._count, call))

    def now(self) -> float:
        """The virtual time."""
        return self._now

    def jump(self) -> None:
        """What trio does when every task waits."""
        calls, deadline = self._calls, self._next_deadline()
        woken = False
        while not woken:
            due = min(deadline, calls[0][0] if calls else inf)
            if self._now < due < inf:
                self._now = due
            woken = due == deadline
            while calls and calls[0][0] <= self._now:
                woken = heappop(calls)[2]() is not False or woken


_ALARMS: trio.lowlevel.RunVar[Alarms] = trio.lowlevel.RunVar("alarms")


def alarms() -> Alarms:
    """Those of the run that this is called in. Raises LookupError outside `virtual_run`."""
    return _ALARMS.get()


async def sleep_until(when: float) -> None:
    """As `trio.sleep_until`, for what the simulator does itself."""
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def wake() -> None:
        nonlocal task
        if task is not None:
            trio.lowlevel.reschedule(task)

    def abort(_: object) -> trio.lowlevel.Abort:
        nonlocal task
        task = None
        return trio.lowlevel.Abort.SUCCEEDED

    alarms().at(when, wake)
    await trio.lowlevel.wait_task_rescheduled(abort)


class AlarmTimer(Timer):
    """A node's timer without a cancel scope. Alarms that were brought forward wake nobody when they come."""

    def __init__(self) -> None:
        self._alarms = alarms()
        self._at = inf
        self._task: trio.lowlevel.Task | None = None

    @property
    def at(self) -> float:
        return self._at

    def bring_forward(self, at: float) -> None:
        self._at = at
        if self._task is not None:
            self._alarms.at(at, self._ring)

    async def sleep(self, until: float) -> None:
        self._at = until
        self._task = trio.lowlevel.current_task()
        if until < inf:
            self._alarms.at(until, self._ring)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _ring(self) -> bool:
        task = self._task
        if task is None or self._alarms.now() < self._at:
            return False
        self._task = None
        trio.lowlevel.reschedule(task)
        return True

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


def virtual_run(main: Callable[[], Awaitable[T]], seed: int) -> T:
    """Run `main` under a clock that jumps ahead whenever every task waits. The same seed, the same run."""
    from trio._core import _run  # noqa: PLC0415 - private: only here, and only when a simulation runs

    names, clock = vars(_run), MockClock(autojump_threshold=0)
    if not isinstance(names.get("_r"), random.Random) or "_ALLOW_DETERMINISTIC_SCHEDULING" not in names:
        raise RuntimeError("this trio's scheduler has no shuffle to seed; nexus_sim.clock needs an update")
    if not hasattr(clock, "_autojump"):
        raise RuntimeError("this trio's clock has no jump to take over; nexus_sim.clock needs an update")

    async def run() -> T:
        one = Alarms(clock, _run.GLOBAL_RUN_CONTEXT.runner.deadlines.next_deadline)
        vars(clock).update(_autojump=one.jump, current_time=one.now)
        _ALARMS.set(one)
        return await main()

    names["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    _run._r.seed(seed)
    with _seldom_looked_through(), gossip_remembered(), _chance_of(seed):
        try:
            return trio.run(run, clock=clock)
        except BaseExceptionGroup as errors:
            if errors.subgroup(KeyboardInterrupt) is None:
                raise
            raise KeyboardInterrupt from None  # as the terminal's key is told outside of trio


@contextmanager
def _chance_of(seed: int) -> Iterator[None]:
    """Drivers of real radios draw waits and numbers from the interpreter's own generator."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def _seldom_looked_through() -> Iterator[None]:
    """The nodes stay: to look through all they have for garbage again and again takes a fifth of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def wall() -> float:
    """Seconds since 1970 in virtual time."""
    return EPOCH_S + trio.current_time()


class SeededRng:
    """Random bytes that a seed determines. For simulations only: keys made from it are no secret."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
