"""N13: what a way may be counted on for, as a pure rule: less at once, more once it has lasted."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.ids import Address
from nexus_node.proto.width import CALM_S, PATIENCE_MAX_S, PATIENCE_S, Width, Widths

SLOW, FAST = 1200.0, 5e6


def flap(width: Width, *, up_s: float, down_s: float, times: int, now: float = 0.0) -> tuple[int, float]:
    """How often a way that flaps is counted on for what it is at its best; and the time then."""
    starts = 0
    for _ in range(times):
        starts += width.see(FAST, now) == FAST or width.see(FAST, now + up_s) == FAST
        now += up_s
        assert width.see(SLOW, now) == SLOW
        now += down_s
    return starts, now


def test_a_way_that_is_calm_counts_at_once() -> None:
    width = Width(SLOW)
    assert width.see(FAST, 1800.0) == FAST
    assert width.see(SLOW, 1900.0) == SLOW


def test_after_a_fall_more_counts_only_once_it_has_lasted() -> None:
    width = Width(FAST)
    width.see(0.0, 10.0)
    assert width.see(FAST, 10.1) == 0.0
    assert width.due == 10.1 + PATIENCE_S
    assert width.see(FAST, width.due) == FAST


def test_a_link_that_flaps_faster_than_that_starts_something_once() -> None:
    starts, _ = flap(Width(SLOW), up_s=0.9, down_s=2.0, times=200)
    assert starts == 1
    starts, _ = flap(Width(SLOW), up_s=4.9, down_s=2.0, times=200)
    assert starts == 4  # at once, after 1 s, 2 s and 4 s; from then on 5 s are asked for


def test_a_link_that_is_there_longer_is_used_each_time() -> None:
    starts, _ = flap(Width(SLOW), up_s=PATIENCE_MAX_S + 0.1, down_s=1.0, times=50)
    assert starts == 50


def test_after_calm_the_falls_are_forgotten() -> None:
    width = Width(SLOW)
    _, now = flap(width, up_s=0.5, down_s=0.5, times=20)
    assert width.see(FAST, now) == SLOW
    width.see(SLOW, now + 0.1)
    assert width.see(FAST, now + 0.1 + CALM_S) == FAST


figures = st.sampled_from([0.0, 1200.0, 9600.0, 10_000.0, 5e6])


@given(st.lists(st.tuples(figures, st.floats(0.001, 400.0)), min_size=1, max_size=60), figures)
def test_never_more_than_there_is_and_never_less_for_long(
    steps: list[tuple[float, float]], first: float
) -> None:
    width, now = Width(first), 0.0
    history = [(0.0, first)]
    for bps, lasts in steps:
        counted = width.see(bps, now)
        history.append((now, bps))
        assert counted <= bps
        assert (width.due < now + PATIENCE_MAX_S + 1e-9) == (counted < bps)  # it never waits without a date
        now += lasts
        after = width.see(bps, now)
        assert after <= bps
        if lasts >= PATIENCE_MAX_S:
            # A rise during the wait of another counts from the end of that one.
            assert after == bps or width.see(bps, now + PATIENCE_MAX_S) == bps


def test_who_asks_first_for_a_way_that_is_due_takes_nothing_from_those_who_wait_for_it() -> None:
    """A file was held for ever, for a link of 100 Mbit/s."""
    widths, way = Widths(), Address(bytes(16))
    for bps, now in ((FAST, 0.0), (0.0, 1.0), (FAST, 2.0)):
        widths.see(way, bps, now)
    assert widths.due == 2.0 + PATIENCE_S
    assert widths.see(way, FAST, 3.01) == FAST
    assert widths.due <= 3.01 and widths.take_due(3.02) == {way}
    assert widths.take_due(3.03) == set() and widths.due == inf


def test_a_way_that_nobody_asks_for_is_told_once_it_is_due() -> None:
    widths, way = Widths(), Address(bytes(16))
    for bps, now in ((FAST, 0.0), (0.0, 1.0), (FAST, 2.0)):
        widths.see(way, bps, now)
    assert widths.take_due(2.9) == set()
    assert widths.take_due(3.0) == {way}
    assert widths.see(way, FAST, 3.0) == FAST and widths.take_due(3.0) == set()
