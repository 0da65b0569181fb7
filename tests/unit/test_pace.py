"""N13: how long a transfer still takes is told from what has come, or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from nexus_node.proto.pace import Pace


@given(st.floats(0.01, 1e4), st.integers(2, 400), st.floats(0, 1))
def test_n13_at_a_steady_rate_the_estimate_is_true(per_s: float, come: int, late: float) -> None:
    pace, total = Pace(), 1000
    for done in range(1, come + 1):
        pace.note(done, done / per_s)
    now = (come + late) / per_s
    left_s = pace.left_s(total, now)
    if come / per_s < 1:
        assert left_s is None or left_s >= 0
        return
    assert left_s is not None
    true_s = (total - come) / per_s
    assert abs(left_s - true_s) <= 0.5 * true_s / min(come - 1, 2)


def test_n13_nothing_is_said_before_something_was_measured_or_when_nothing_comes() -> None:
    pace = Pace()
    assert pace.left_s(100, 0.0) is None
    pace.note(10, 0.0)
    assert pace.left_s(100, 1.0) is None
    pace.note(20, 10.0)
    assert pace.left_s(100, 10.0) == 80.0
    assert pace.left_s(100, 20.0) == 80.0  # the next ten are due only now
    assert pace.left_s(100, 30.0) == 160.0
    assert pace.left_s(100, 51.0) is None
    pace.note(30, 60.0)
    assert pace.left_s(100, 60.0) == 210.0


def test_n13_it_follows_a_rate_that_changes() -> None:
    pace = Pace()
    for second in range(100):
        pace.note(second, float(second))
    for second in range(100):
        pace.note(100 + 100 * second, 100.0 + second)
    assert pace.left_s(20_000, 199.0) == (20_000 - 10_000) / 100.0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1e6)), max_size=200))
def test_n13_it_stays_small_and_never_says_nonsense(notes: list[tuple[int, float]]) -> None:
    pace = Pace()
    for done, now in sorted(notes, key=lambda note: note[1]):
        pace.note(done, now)
        left_s = pace.left_s(10**6, now)
        assert left_s is None or left_s >= 0
        assert len(pace._samples) <= 70
