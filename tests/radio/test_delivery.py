"""How long a text takes over a radio, in virtual time (all seeds: `python -m bench radio`)."""

from statistics import median

import pytest

from bench.radio import BARS, NARROW_P90_S, NARROW_SEEDS, NARROW_WORST_S, SEEDS, measure_narrow

from .delivery import seconds


def test_a_long_text_at_1200_bps_with_every_tenth_frame_lost() -> None:
    found = measure_narrow()
    assert found["arrived"] == NARROW_SEEDS
    assert found["p90_s"] <= NARROW_P90_S
    assert found["worst_s"] <= NARROW_WORST_S


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "size", "loss"), BARS)
def test_a_text_over_boards(kind: str, size: int, loss: float) -> None:
    took = [seconds(kind, size, loss, seed)[0] for seed in range(SEEDS)]
    assert median(took) <= BARS[kind, size, loss]
