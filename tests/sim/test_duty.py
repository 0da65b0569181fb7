"""The duty ledger against counting by hand (radio.md section 5.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.duty import HOUR_S, Ledger
from nexus_sim.channel import Channel, Transmission
from nexus_sim.duty import EU868, Duty
from nexus_sim.links import Links
from nexus_sim.modem import Modem


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 900)), max_size=40), st.integers(0, 8000))
def test_the_ledger_is_the_overlap_with_the_last_hour(spans: list[tuple[int, int]], later: int) -> None:
    ledger, sent, now = Ledger(), [], 0
    for gap, lasts in spans:
        ledger.add(now + gap, now + gap + lasts)
        sent.append((now + gap, now + gap + lasts))
        for at in (now + gap, now + gap + lasts // 2, now + gap + lasts, now + gap + lasts + later):
            expected = sum(max(0, min(end, at) - max(begin, at - HOUR_S)) for begin, end in sent)
            assert ledger.used(at) == pytest.approx(expected)
        now += gap + lasts


@pytest.mark.parametrize(
    ("megahertz", "share"),
    [(864.9, 0.001), (866, 0.01), (868.1, 0.01), (869, 0.001), (869.525, 0.1), (869.8, 0.01), (868.65, None)],
)
def test_bands_of_eu868(megahertz: float, share: float | None) -> None:
    band = Duty(EU868).band(megahertz * 1e6)
    assert (band and band.duty_cycle) == share


def test_what_is_too_much_in_any_hour_is_counted() -> None:
    duty = Duty(EU868)
    for number in range(36):  # 36 s in an hour: 1 %
        duty.add(868.1e6, 100.0 * number, 100.0 * number + 1)
    assert (duty.violations, duty.highest) == (0, pytest.approx(1.0))
    assert duty.used(868.1e6, 3600.0) == pytest.approx(36)
    duty.add(868.1e6, 3600.5, 3601.0)  # the hour before 3601 has all but the first
    assert duty.violations == 0
    duty.add(868.1e6, 3601.1, 3602.0)
    assert (duty.violations, duty.highest) == (1, pytest.approx(36.4 / 36))
    duty.add(869.525e6, 3602.0, 3602.0 + 360)  # another band has a ledger of its own
    assert duty.violations == 1
    duty.add(868.65e6, 4000.0, 4000.1)  # between the bands nobody may send
    assert duty.violations == 2
    assert duty.airtime_s == pytest.approx(36 + 1.4 + 360.1)


def test_the_channel_keeps_the_books() -> None:
    modem = Modem(869.525e6, 11, 250_000, 5, preamble=16)
    channel = Channel(Links(100), bands=EU868)
    channel.add(1, modem)
    channel.add(2, modem)
    now = 0.0
    for _ in range(200):
        end = channel.begin(Transmission(1, modem, 14, 2.0), now)
        now = end + 16.0
    assert channel.duty(1).used(modem.frequency, now) == pytest.approx(400, abs=2)
    assert channel.duty(1).airtime_s == pytest.approx(400)
    # 10 % of an hour are 360 s: the 181st packet of 2 s every 18 s is the first too many.
    assert channel.duty(1).violations == 20
    assert (channel.duty(2).airtime_s, channel.duty(2).violations) == (0, 0)
