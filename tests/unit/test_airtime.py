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
    ("modem", "small", "large", "kilobyte", "signed", "pki"),
    [
        ((500, 7, 5), 24, 76, 461, 48, (29, 80)),
        ((250, 7, 5), 48, 153, 922, 96, (58, 160)),
        ((250, 8, 5), 90, 270, 1640, 172, (106, 285)),
        ((250, 9, 5), 160, 488, 2911, 314, (191, 508)),
        ((250, 10, 5), 300, 873, 5350, 566, (361, 935)),
        ((500, 9, 5), 80, 244, 1455, 157, (95, 254)),
        ((500, 11, 8), 378, 1230, 7493, 771, (443, 1295)),
        ((250, 11, 5), 559, 1624, 9800, 1051, (641, 1706)),
        ((125, 11, 8), 1774, 5837, 35869, 3740, (2167, 6230)),
        ((125, 12, 8), 3285, 10625, 64659, 6693, (3809, 11411)),
        ((125, 9, 5), 321, 976, 5821, 628, (382, 1017)),
        ((125, 10, 5), 600, 1747, 10701, 1133, (723, 1870)),
        ((62.5, 7, 6), 218, 721, 4369, 451, (267, 758)),
        ((62.5, 8, 6), 411, 1271, 7755, 804, (484, 1345)),
    ],
)
def test_meshtastic_presets(modem, small, large, kilobyte, signed, pki):
    """20 B, 160 B, and 1024 B as four fragments of 231 B and one of 100 B; signed; to one node."""
    assert milliseconds(meshtastic(20), *modem, preamble=16) == pytest.approx(small, abs=0.6)
    assert milliseconds(meshtastic(160), *modem, preamble=16) == pytest.approx(large, abs=0.6)
    fragments = [231] * 4 + [100]
    total = sum(milliseconds(meshtastic(size), *modem, preamble=16) for size in fragments)
    assert total == pytest.approx(kilobyte, abs=0.6)
    assert milliseconds(meshtastic(20) + 66, *modem, preamble=16) == pytest.approx(signed, abs=0.6)
    for size, expected in zip((20, 160), pki, strict=True):
        assert milliseconds(meshtastic(size) + 12, *modem, preamble=16) == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize(
    ("modem", "preamble", "small", "large", "split", "kilobyte"),
    [
        ((125, 8, 5), 18, 123, 482, 1435, 3003),
        ((125, 7, 5), 24, 73, 278, 822, 1722),
        ((250, 7, 5), 47, 48, 151, 434, 920),
        ((500, 7, 5), 94, 36, 87, 241, 520),
        ((125, 9, 5), 18, 226, 861, 2562, 5371),
        ((250, 10, 5), 18, 226, 800, 2337, 4920),
        ((250, 11, 5), 18, 412, 1477, 4264, 8980),
        ((125, 12, 8), 18, 2302, 9642, 28459, 59220),
        ((500, 5, 5), 94, 10, 28, 79, 168),
        ((62.5, 8, 5), 18, 247, 964, 2869, 6006),
    ],
)
def test_rnode_settings(modem, preamble, small, large, split, kilobyte):
    """One header byte a packet; 500 B travel as 254 and 246, 1024 B as twice that and 24."""
    assert milliseconds(21, *modem, preamble=preamble) == pytest.approx(small, abs=0.6)
    assert milliseconds(161, *modem, preamble=preamble) == pytest.approx(large, abs=0.6)
    both = sum(milliseconds(size, *modem, preamble=preamble) for size in (255, 247))
    assert both == pytest.approx(split, abs=0.6)
    rest = milliseconds(25, *modem, preamble=preamble)
    assert 2 * both + rest == pytest.approx(kilobyte, abs=0.6)


@pytest.mark.parametrize(
    ("modem", "small", "large", "longest", "kilobyte"),
    [
        ((62.5, 8, 8), 312, 1459, 2246, 9164),
        ((62.5, 7, 5), 130, 539, 816, 3341),
        ((250, 10, 5), 218, 792, 1181, 4859),
        ((250, 11, 5), 395, 1460, 2157, 8899),
    ],
)
def test_meshcore_settings(modem, small, large, longest, kilobyte):
    total = sum(milliseconds(size, *modem, preamble=16) for size in (255, 255, 255, 255, 4))
    assert total == pytest.approx(kilobyte, abs=0.6)
    for size, expected in ((20, small), (160, large), (255, longest)):
        assert milliseconds(size, *modem, preamble=16) == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize(
    ("size", "modem", "expected"),
    [
        # Symbols of 2^SF/500 kHz: preamble 8 + 6.25, 8, and blocks of 5 for each 4 SF bits begun of
        # 8 L + 16 CRC - 4 SF + 20 header (SX1261/2 datasheet 6.1.4).
        (20, (500, 5, 5), (8 + 6.25 + 8 + 9 * 5) * 0.064),  # 176 bits are 9 blocks of 20
        (20, (500, 6, 5), (8 + 6.25 + 8 + 8 * 5) * 0.128),  # 172 bits are 8 blocks of 24
        (255, (500, 5, 5), (8 + 6.25 + 8 + 103 * 5) * 0.064),  # 2056 bits are 103 blocks
        (255, (500, 6, 8), (8 + 6.25 + 8 + 86 * 8) * 0.128),  # 2052 bits are 86 blocks
        (0, (125, 5, 5), (8 + 6.25 + 8 + 1 * 5) * 0.256),  # 16 bits are 1 block
    ],
)
def test_the_fastest_spreading_factors_of_the_sx126x(size, modem, expected):
    assert milliseconds(size, *modem) == pytest.approx(expected, abs=0.0001)


@pytest.mark.parametrize(("bandwidth", "factor", "bps"), [(125, 8, 3125), (250, 11, 1074), (500, 5, 62500)])
def test_long_packets_near_the_raw_bit_rate(bandwidth, factor, bps):
    """What 100 bytes more take is 800 bits at SF BW/2^SF 4/5, but for the last block begun."""
    more = milliseconds(250, bandwidth, factor, 5) - milliseconds(150, bandwidth, factor, 5)
    block = 5 * 1000 * symbol_time(factor, bandwidth * 1000)
    assert more == pytest.approx(800_000 / bps, abs=block)


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
