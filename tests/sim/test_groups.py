"""Groups over several hops of the simulated channel: one message for all, a rotation, who is asked (N11)."""

import pytest

from bench.groups import COPIES_MUST, MUST, ROTATION_MUST, Strip, measure


def test_n11_a_message_crosses_four_hops_and_its_sender_knows() -> None:
    found = measure(Strip(5, 3, ("group",), messages=1), 1)
    one = found["group"]
    assert found["hops"] == 4 and not found["breaches"] and not found["duty_violations"]
    assert one["within"] == one["of"] == 14 and one["last_s"] < 30, "passed on, not asked for"
    assert one["copies"] < 14, "once for all around, not once for each member"


@pytest.mark.soak  # two minutes: hours of fifty nodes
def test_n11_of_50_across_4_hops_all_but_a_few_have_it_within_10_minutes_and_a_rotation_fits() -> None:
    found = measure(Strip(5, 10), 1)
    group, each, rotation = found["group"], found["each"], found["rotation"]
    print(found)
    assert found["hops"] == 4 and not found["breaches"] and not found["duty_violations"]
    assert group["share"] >= MUST and group["of"] == 147 and group["last_s"] < 60
    assert group["on_air_s"] < each["on_air_s"] / 5 and group["last_s"] < each["last_s"]
    assert rotation["payload"] <= ROTATION_MUST and rotation["have"] == 49


@pytest.mark.soak  # a minute
def test_n11_of_20_in_range_all_have_it_after_one_transmission() -> None:
    found = measure(Strip(1, 20, ("group", "each")), 1)
    group, each = found["group"], found["each"]
    assert found["hops"] == 1 and group["within"] == group["of"] == 57
    assert group["copies"] <= COPIES_MUST and group["on_air_s"] < each["on_air_s"] / 3
