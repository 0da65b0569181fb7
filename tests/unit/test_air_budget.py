"""What a radio may still send, and that a restart does not forget what it sent (A12, N6)."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.duty import HOUR_S, AirBudget
from nexus_node.engine.wallclock import WallClock
from nexus_node.runtime.airtime import KeptAirBudget
from nexus_node.store.memory import MemoryStore

NOW_WALL = 1_800_000_000.0


def wall(at: float = NOW_WALL) -> WallClock:
    """As if the machine had started at that wall time."""
    clock = WallClock()
    clock.offset_s = at
    return clock


@given(
    st.sampled_from([0.001, 0.01, 0.1]),
    st.lists(st.tuples(st.floats(0, 300), st.floats(0.05, 3.5), st.floats(0, 60)), max_size=120),
)
def test_three_times_too_much_offered_never_exceeds_the_limit_in_any_hour(duty, offers):
    """Whatever is offered, given when allowed, on air up to 60 s later: no hour has more than its share."""
    budget, now, idle_at, on_air = AirBudget(duty), 0.0, 0.0, []
    for pause, airtime, delay in offers:
        now = budget.free_at(airtime, now + pause)
        if now == inf:
            return
        budget.add(airtime, now)
        assert budget.used(now) <= budget.limit_s + 1e-6
        reckoned = max(now, idle_at)
        idle_at = reckoned + airtime
        begin = max(reckoned + delay, on_air[-1][1] if on_air else 0.0)
        on_air.append((begin, begin + airtime))
    for _, at in on_air:
        used = sum(max(0.0, min(end, at) - max(begin, at - HOUR_S)) for begin, end in on_air)
        assert used <= duty * HOUR_S + 1e-6


def test_when_the_next_may_go():
    budget = AirBudget(0.01)
    assert budget.free_at(36.0, 5.0) == 5.0
    assert budget.free_at(36.1, 5.0) == inf
    budget.add(30.0, 100.0)
    assert budget.free_at(6.0, 100.0) == 100.0
    # Of the 30 s from 100 on, a second must be more than an hour and a minute ago when the 7 s are over.
    assert budget.free_at(7.0, 100.0) == pytest.approx(100 + 1 + 3660 - 7)
    assert AirBudget(1.0).free_at(1e9, 1.0) == 1.0


def test_a_restart_forgets_nothing():
    store = MemoryStore(10**6)
    first = KeptAirBudget(0.01, "radio P", store, wall(), 0.0)
    for number in range(30):
        first.add(1.0, 10.0 * number)
    used = first.used(300.0)
    # The machine started again: its monotonic clock is at 5, the wall a minute later.
    second = KeptAirBudget(0.01, "radio P", store, wall(NOW_WALL + 360 - 5), 5.0)
    assert used <= second.used(5.0) <= used + 1.002
    assert second.free_at(10.0, 5.0) > 5.0 + HOUR_S - 400
    hours = KeptAirBudget(0.01, "radio P", store, wall(NOW_WALL + 2 * HOUR_S), 5.0)
    assert hours.used(5.0) <= 1.0
    other = KeptAirBudget(0.01, "radio M", store, wall(NOW_WALL), 5.0)
    assert other.used(5.0) == 0.0


@pytest.mark.parametrize(
    ("then", "later"), [(1000.0, NOW_WALL), (NOW_WALL, 1000.0), (NOW_WALL, NOW_WALL - 9e5)]
)
def test_with_a_wrong_clock_all_counts_from_now(then, later):
    store = MemoryStore(10**6)
    KeptAirBudget(0.01, "radio P", store, wall(then), 0.0).add(20.0, 0.0)
    assert KeptAirBudget(0.01, "radio P", store, wall(later), 0.0).used(3000.0) == pytest.approx(21.0)


def test_damaged_records_are_no_trouble():
    store = MemoryStore(10**6)
    for data in (b"x", b"12345678" + b"y", b"\xff" * 800):
        store.set_meta("airtime radio P", data)
        KeptAirBudget(0.01, "radio P", store, wall(), 0.0).used(0.0)
