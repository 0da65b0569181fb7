"""Regional rules: sub-bands of the law, and where a channel lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware.meshtastic_presets import REGIONS as MESH_REGIONS
from nexus_firmware.meshtastic_presets import radio_settings
from nexus_firmware.regions import REGIONS, find_rule, regions_at


@pytest.mark.parametrize(
    ("megahertz", "band", "duty", "erp"),
    [
        (864.0, "K", 0.001, 14),
        (866.5, "L", 0.01, 14),
        (868.1, "M", 0.01, 14),
        (868.3, "M", 0.01, 14),
        (868.95, "N", 0.001, 14),
        (869.525, "P", 0.1, 27),
        (869.85, "Q", 0.01, 14),
    ],
)
def test_eu868(megahertz, band, duty, erp):
    """EN 300 220-2 V3.2.1, page 22."""
    rule = find_rule("EU868", round(megahertz * 1e6), 125_000)
    assert (rule.name, rule.duty_cycle, rule.max_erp_dbm, rule.max_airtime) == (band, duty, erp, None)


def test_a_whole_channel_must_lie_within():
    """868.65 lies between M and N, and 869.525 with 250 kHz fills P exactly."""
    for frequency, bandwidth in ((868_650_000, 125_000), (868_590_000, 125_000), (869_525_000, 500_000)):
        with pytest.raises(
            ValueError, match=r"choose a channel within 863-865, 865-868, 868-868.6, 868.7-869.2"
        ):
            find_rule("EU868", frequency, bandwidth)
    assert find_rule("EU868", 869_525_000, 250_000).name == "P"
    assert find_rule("EU868", 868_537_500, 125_000).name == "M"


def test_power_chooses_among_rules():
    """Band Q: 5 mW all the time, or 25 mW for 1 %."""
    assert find_rule("EU868", 869_850_000, 125_000, erp_dbm=7).duty_cycle == 1
    assert find_rule("EU868", 869_850_000, 125_000, erp_dbm=8).duty_cycle == 0.01
    assert find_rule("EU433", 433_500_000, 125_000, erp_dbm=0).duty_cycle == 1
    assert find_rule("EU433", 433_500_000, 125_000).duty_cycle == 0.1
    with pytest.raises(
        ValueError, match=r"20 dBm ERP are too much at 868.1 MHz with 125 kHz in EU868; set at most 14"
    ):
        find_rule("EU868", 868_100_000, 125_000, erp_dbm=20)


def test_dwell_times_on_request():
    """15.247: none for what is at least 500 kHz wide."""
    assert find_rule("US915", 906_875_000, 250_000).max_airtime is None
    assert find_rule("US915", 906_875_000, 250_000, strict_dwell=True).max_airtime == 0.4
    assert find_rule("US915", 906_875_000, 500_000, strict_dwell=True).max_airtime is None
    assert find_rule("AS923", 923_200_000, 125_000, strict_dwell=True).max_airtime == 0.4
    assert find_rule("EU868", 868_100_000, 125_000, strict_dwell=True).max_airtime is None


@pytest.mark.parametrize(
    ("region", "megahertz", "duty"),
    [
        ("US915", 915.0, 1),
        ("AU915", 920.0, 1),
        ("AS923", 923.2, 1),
        ("KR920", 922.3, 1),
        ("IN865", 865.4, 1),
        ("CN470", 490.0, 1),
        ("RU864", 868.95, 0.1),
        ("RU864", 867.0, 0.01),
        ("NZ865", 866.0, 1),
        ("EU433", 433.5, 0.1),
    ],
)
def test_other_regions(region, megahertz, duty):
    assert find_rule(region, round(megahertz * 1e6), 125_000).duty_cycle == duty


def test_every_region_names_its_source_and_is_in_order():
    for name, region in REGIONS.items():
        assert region.name == name
        assert region.source
        assert region.rules
        for rule in region.rules:
            assert rule.low < rule.high
            assert 0 < rule.duty_cycle <= 1


SPOKEN = [name for name, one in REGIONS.items() if one.meshtastic and name != "KR920"]


@pytest.mark.parametrize("region", SPOKEN)
def test_what_meshtastic_sends_by_default_lies_in_a_sub_band(region):
    """With a duty cycle no stricter than the firmware keeps, but for Russia, where it relies on listening."""
    for name in REGIONS[region].meshtastic:
        settings = radio_settings(name, "LONG_FAST")
        rule = find_rule(region, settings.frequency, settings.bandwidth)
        assert rule.duty_cycle >= MESH_REGIONS[name].duty_cycle or region == "RU864"


@given(
    st.sampled_from(list(REGIONS)),
    st.integers(400_000_000, 1_000_000_000),
    st.sampled_from([62_500, 500_000]),
)
def test_a_rule_is_found_exactly_where_a_region_is(region, frequency, bandwidth):
    if region in regions_at(frequency, bandwidth):
        assert find_rule(region, frequency, bandwidth).holds(frequency, bandwidth)
    else:
        with pytest.raises(ValueError, match=region):
            find_rule(region, frequency, bandwidth)


def test_what_a_frequency_may_mean():
    assert list(regions_at(869_525_000, 125_000)) == ["EU868"]
    assert set(regions_at(866_500_000, 125_000)) == {"EU868", "IN865", "RU864", "NZ865"}
    assert list(regions_at(2_400_000_000, 125_000)) == []
