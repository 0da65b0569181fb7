"""LoRa time on air against published and measured values (acceptance A14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware.airtime import symbol_time, time_on_air


def milliseconds(size, bandwidth_khz, spreading_factor, coding_rate, **options):
    return 1000 * time_on_air(
        size,
        spreading_factor=spreading_factor,
        bandwidth=bandwidth_khz * 1000,
        coding_rate=coding_rate,
        **options,
    )


@pytest.mark.parametrize(
    ("size", "modem", "options", "expected"),
    [
        # Bor, Roedig, Voigt and Alonso 2016, experiments 0, 4 and 2.
        (20, (125, 12, 8), {}, 1712.13),
        (20, (125, 12, 5), {}, 1318.91),
        (20, (500, 6, 5), {"explicit_header": False, "chip": "sx127x"}, 7.07),
    ],
)
def test_lorasim_values(size, modem, options, expected):
    assert milliseconds(size, *modem, **options) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("size", "expected"), [(117, 1098), (181, 1623), (37, 443)])
def test_meshcore_firmware_frames(size, expected):
    """SF8, 62.5 kHz, 4/8, as the MeshCore firmware itself reckons."""
    assert milliseconds(size, 62.5, 8, 8, preamble=16) == pytest.approx(expected, abs=1)


def meshtastic(size):
    """Bytes on air of application data on a channel: header 16, Data protobuf 7 or 8."""
    return 16 + 7 + (size > 127) + size


@pytest.mark.parametrize(
    ("modem", "small", "large", "kilobyte"),
    [
        ((500, 7, 5), 24, 76, 461),
        ((250, 7, 5), 48, 153, 922),
        ((250, 8, 5), 90, 270, 1640),
        ((250, 9, 5), 160, 488, 2911),
        ((250, 10, 5), 300, 873, 5350),
        ((500, 9, 5), 80, 244, 1455),
        ((500, 11, 8), 378, 1230, 7493),
        ((250, 11, 5), 559, 1624, 9800),
        ((125, 11, 8), 1774, 5837, 35869),
        ((125, 12, 8), 3285, 10625, 64659),
        ((125, 9, 5), 321, 976, 5821),
        ((125, 10, 5), 600, 1747, 10701),
        ((62.5, 7, 6), 218, 721, 4369),
        ((62.5, 8, 6), 411, 1271, 7755),
    ],
)
def test_meshtastic_presets(modem, small, large, kilobyte):
    """20 B, 160 B, and 1024 B as four fragments of 231 B and one of 100 B."""
    assert milliseconds(meshtastic(20), *modem, preamble=16) == pytest.approx(small, abs=0.6)
    assert milliseconds(meshtastic(160), *modem, preamble=16) == pytest.approx(large, abs=0.6)
    fragments = [231] * 4 + [100]
    total = sum(milliseconds(meshtastic(size), *modem, preamble=16) for size in fragments)
    assert total == pytest.approx(kilobyte, abs=0.6)


@pytest.mark.parametrize(
    ("modem", "preamble", "small", "large", "split"),
    [
        ((125, 8, 5), 18, 123, 482, 1435),
        ((125, 7, 5), 24, 73, 278, 822),
        ((250, 7, 5), 47, 48, 151, 434),
        ((125, 9, 5), 18, 226, 861, 2562),
        ((250, 10, 5), 18, 226, 800, 2337),
        ((250, 11, 5), 18, 412, 1477, 4264),
        ((125, 12, 8), 18, 2302, 9642, 28459),
        ((500, 5, 5), 94, 10, 28, 79),
        ((62.5, 8, 5), 18, 247, 964, 2869),
    ],
)
def test_rnode_settings(modem, preamble, small, large, split):
    """One header byte a packet; 500 B travel as 254 and 246."""
    assert milliseconds(21, *modem, preamble=preamble) == pytest.approx(small, abs=0.6)
    assert milliseconds(161, *modem, preamble=preamble) == pytest.approx(large, abs=0.6)
    both = sum(milliseconds(size, *modem, preamble=preamble) for size in (255, 247))
    assert both == pytest.approx(split, abs=0.6)


@pytest.mark.parametrize(
    ("modem", "small", "large", "longest"),
    [
        ((62.5, 8, 8), 312, 1459, 2246),
        ((62.5, 7, 5), 130, 539, 816),
        ((250, 10, 5), 218, 792, 1181),
        ((250, 11, 5), 395, 1460, 2157),
    ],
)
def test_meshcore_settings(modem, small, large, longest):
    for size, expected in ((20, small), (160, large), (255, longest)):
        assert milliseconds(size, *modem, preamble=16) == pytest.approx(expected, abs=0.6)


def test_low_data_rate_starts_above_16_milliseconds():
    assert symbol_time(11, 125_000) == pytest.approx(0.016384)
    slow = {"spreading_factor": 11, "bandwidth": 125_000, "coding_rate": 5}
    assert time_on_air(50, **slow) == time_on_air(50, **slow, low_data_rate=True)
    assert time_on_air(50, **slow) > time_on_air(50, **slow, low_data_rate=False)
    fast = {"spreading_factor": 10, "bandwidth": 125_000, "coding_rate": 5}
    assert time_on_air(50, **fast) == time_on_air(50, **fast, low_data_rate=False)


@given(
    size=st.integers(0, 254),
    spreading_factor=st.integers(5, 12),
    coding_rate=st.integers(5, 8),
    bandwidth=st.sampled_from([62_500, 125_000, 250_000, 500_000]),
)
def test_more_bytes_never_take_less_time(size, spreading_factor, coding_rate, bandwidth):
    modem = {"spreading_factor": spreading_factor, "coding_rate": coding_rate, "bandwidth": bandwidth}
    shorter, longer = time_on_air(size, **modem), time_on_air(size + 1, **modem)
    assert 0 < shorter <= longer
    assert time_on_air(size, **modem, crc=False, explicit_header=False) <= shorter


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload_bytes": 256},
        {"payload_bytes": -1},
        {"spreading_factor": 4},
        {"spreading_factor": 13},
        {"coding_rate": 4},
        {"coding_rate": 9},
        {"spreading_factor": 5, "chip": "sx127x"},
        {"spreading_factor": 6, "chip": "sx127x"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    good = {"payload_bytes": 20, "spreading_factor": 7, "coding_rate": 5, "bandwidth": 125_000}
    with pytest.raises(ValueError):
        time_on_air(**(good | wrong))
