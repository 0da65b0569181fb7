"""Ebyte E22 and COBS: golden vectors of the manuals, frames in a pipe without boundaries (E1, E2, E5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware import e22
from nexus_firmware.cobs import OVERHEAD, CobsDecoder, Received, encode_frame, stuffed, unstuffed
from nexus_firmware.e22 import E22Settings, RegisterDecoder, Registers, WrongFormat

LIMIT = 240
COUNTING = bytes(range(1, 256))


# --- COBS -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        (b"\0", "0101"),
        (b"\0\0", "010101"),
        (b"\0\x11\0", "01021101"),
        (b"\x11\x22\0\x33", "0311220233"),
        (b"\x11\0\0\0", "0211010101"),
        (COUNTING[:254], "ff" + COUNTING[:254].hex()),
        (b"\0" + COUNTING[:254], "01ff" + COUNTING[:254].hex()),
        (COUNTING, "ff" + COUNTING[:254].hex() + "02ff"),
        (COUNTING[1:] + b"\0", "ff" + COUNTING[1:].hex() + "0101"),
        (COUNTING[2:] + b"\0\1", "fe" + COUNTING[2:].hex() + "0201"),
    ],
    ids=lambda value: value.hex()[:12] if isinstance(value, bytes) else "",
)
def test_stuffing_vectors(plain, expected):
    """Those of the paper and of every other implementation."""
    assert stuffed(plain).hex() == expected
    assert unstuffed(stuffed(plain)) == plain


awkward = st.lists(st.sampled_from([0, 1, 2, 254, 255]), max_size=600).map(bytes)


@given(st.binary(max_size=600) | awkward)
def test_stuffing_leaves_no_zero_and_comes_back(plain):
    assert 0 not in stuffed(plain)
    assert unstuffed(stuffed(plain)) == plain
    assert len(stuffed(plain)) <= len(plain) + 1 + len(plain) // 254


@pytest.mark.parametrize("broken", ["02", "05110203", "ff01"])
def test_what_is_cut_is_no_cobs(broken):
    assert unstuffed(bytes.fromhex(broken)) is None


def test_a_golden_frame():
    """Zero, COBS of the payload and its CRC-16/CCITT-FALSE (29B1 for 123456789), zero."""
    assert encode_frame(b"123456789", LIMIT).hex() == "00" + "0c" + b"123456789".hex() + "29b1" + "00"


@given(st.binary(min_size=1, max_size=LIMIT - OVERHEAD))
def test_frames_come_back_and_fit_one_packet(payload):
    frame = encode_frame(payload, LIMIT)
    assert len(frame) == len(payload) + OVERHEAD <= LIMIT
    assert CobsDecoder(LIMIT).feed(frame) == [Received(payload)]


@pytest.mark.parametrize("size", [0, LIMIT - OVERHEAD + 1])
def test_payloads_that_do_not_fit_are_refused(size):
    with pytest.raises(ValueError, match="1 to 235"):
        encode_frame(bytes(size), LIMIT)


def test_every_byte_value_fills_a_frame():
    for value in range(256):
        payload = bytes((value,)) * (LIMIT - OVERHEAD)
        assert CobsDecoder(LIMIT).feed(encode_frame(payload, LIMIT)) == [Received(payload)]


def in_pieces(decoder, stream, size):
    return [one for at in range(0, len(stream), size) for one in decoder.feed(stream[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 7, 240])
@pytest.mark.parametrize("rssi", [0x01, 0xB0, 0xFF])
def test_the_byte_behind_a_frame_is_its_rssi(size, rssi):
    """E2."""
    frames = [b"one", b"\0two\0", bytes(200)]
    stream = b"".join(encode_frame(one, LIMIT) + bytes((rssi,)) for one in frames)
    decoder = CobsDecoder(LIMIT, rssi_follows=True)
    assert in_pieces(decoder, stream, size) == [Received(one, rssi) for one in frames]
    assert decoder.dropped == 0
    # Whoever does not expect the byte loses no frame to it.
    plain = CobsDecoder(LIMIT)
    assert in_pieces(plain, stream, size) == [Received(one) for one in frames]


@pytest.mark.parametrize("size", [1, 240])
def test_a_missing_or_zero_rssi_costs_no_frame(size):
    frames = [b"one", b"two", b"three"]
    for between in (b"", b"\0"):
        stream = b"".join(encode_frame(one, LIMIT) + between for one in frames)
        decoder = CobsDecoder(LIMIT, rssi_follows=True)
        found = in_pieces(decoder, stream, size) + decoder.release()
        assert found == [Received(one) for one in frames]


def test_a_frame_waits_for_its_rssi_only_until_it_is_released():
    decoder = CobsDecoder(LIMIT, rssi_follows=True)
    assert decoder.feed(encode_frame(b"x", LIMIT)) == []
    assert decoder.holds
    assert decoder.release() == [Received(b"x")]
    assert not decoder.holds
    assert decoder.release() == []


@given(st.integers(0, 30), st.integers(1, 255))
def test_a_changed_byte_costs_that_frame_alone(at, change):
    first, second = encode_frame(b"the first frame", LIMIT), encode_frame(b"the second", LIMIT)
    at = 1 + at % (len(first) - 2)
    damaged = bytearray(first)
    damaged[at] ^= change
    assert CobsDecoder(LIMIT).feed(bytes(damaged) + second) == [Received(b"the second")]


# --- registers --------------------------------------------------------------------------------------
def test_register_commands_of_the_manuals():
    """E1: E22-400T22S page 15, E22-T33S page 14."""
    assert e22.write_registers(5, b"\x09", keep=True) == bytes.fromhex("c0050109")
    assert e22.write_registers(0, bytes.fromhex("12340061"), keep=True) == bytes.fromhex("c0000412340061")
    assert e22.read_registers(5, 1) == bytes.fromhex("c10501")
    assert e22.write_registers(5, b"\x09") == bytes.fromhex("c2050109")
    assert bytes.fromhex("c0c1c2c30002") == e22.AMBIENT_RSSI
    assert e22.switch_mode("configuration") == bytes.fromhex("c0c1c2c30202")
    with pytest.raises(ValueError, match="no mode turbo"):
        e22.switch_mode("turbo")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("c1 05 01 09", [Registers(5, b"\x09")]),
        ("c1 00 04 12 34 00 61", [Registers(0, bytes.fromhex("12340061"))]),
        ("cf cf c1 05 01 09", [Registers(5, b"\x09")]),
        ("ff ff ff", [WrongFormat()]),
        ("c1 00 02 b0 8c", [Registers(0, b"\xb0\x8c")]),
        ("c1 80 07 00 22 0b 16 00 00 00", [Registers(0x80, bytes.fromhex("00220b16000000"))]),
        ("c1 ff c1 05 01 09", [Registers(5, b"\x09")]),
        ("c1 05 00 c1 05 ff c1 05 01 09", [Registers(5, b"\x09")]),
        ("ff ff c1 05 01 09", [Registers(5, b"\x09")]),
    ],
)
def test_register_answers(text, found):
    data = bytes.fromhex(text)
    assert RegisterDecoder().feed(data) == found
    decoder = RegisterDecoder()
    assert [one for byte in data for one in decoder.feed(bytes((byte,)))] == found


def test_settings_of_the_manuals():
    """radio.md section 3.2: 0x62 is 9600 8N1 at 2.4k; REG1 0 is 240 bytes at 22 dBm."""
    plain = E22Settings(channel=23, address=0x1234, append_rssi=False, ambient_rssi=False, listen_first=False)
    assert plain.encode().hex() == "12340062001700"
    full = E22Settings(18, 62500, 32, 115200, network=7, power=3, software_mode=True)
    assert full.encode() == bytes.fromhex("ffff07e7f31290")
    for one in (plain, full):
        assert E22Settings.decode(one.encode()) == one


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"air_rate": 2500}, "no air rate 2500"),
        ({"sub_packet": 200}, "no sub-packet 200"),
        ({"uart_baud": 14400}, "no baud rate 14400"),
        ({"power": 4}, "no power code 4"),
    ],
)
def test_settings_no_module_has_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        E22Settings(18, **wrong).encode()


def test_channels():
    assert e22.channel_of(868_125_000) == 18
    assert e22.channel_of(433_125_000) == 23
    with pytest.raises(ValueError, match=r"at 868.1 MHz; the nearest is 868.125 MHz"):
        e22.channel_of(868_100_000)


def test_rssi_bytes_in_both_dialects():
    """E2."""
    assert e22.rssi_dbm(176, halves=False) == -80
    assert e22.rssi_dbm(160, halves=True) == -80


@pytest.mark.parametrize("rate", e22.AIR_RATES)
def test_airtime_is_near_the_rate_and_grows(rate):
    """The manual of the E22-400T22S: 100 bytes at 1.2k take about 1.5 s (with what the module waits)."""
    settings = E22Settings(18, rate)
    whole = settings.airtime(240)
    assert 0.9 * 240 * 8 / rate < whole < 1.7 * 240 * 8 / rate + 0.1
    assert settings.airtime(480) == pytest.approx(2 * whole)
    assert settings.mtu == 235
    if rate == 1200:
        assert 0.8 < settings.airtime(100) < 1.5
