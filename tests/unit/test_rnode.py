"""The RNode codec: golden frames (radio.md section 2), what it asks and what it makes of the answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware import rnode
from nexus_firmware.kiss import encode_kiss
from nexus_firmware.radio import RadioSettings
from nexus_firmware.rnode import RNodeDecoder
from nexus_firmware.rnode_events import (
    Battery,
    ChannelStats,
    Command,
    Counter,
    CsmaStats,
    Detected,
    DeviceError,
    Echo,
    Firmware,
    Hardware,
    PhysicalStats,
    Ready,
    Received,
    Restarted,
    Temperature,
)
from nexus_firmware.rnode_queue import QueueAccount

SETTINGS = RadioSettings(867_200_000, 125_000, 8, 5, 7)


def decoded(text: str):
    return RNodeDecoder().feed(bytes.fromhex(text))


def test_the_detection_request_is_what_clients_send():
    assert bytes.fromhex("c00873c05000c04800c04900c0") == rnode.DETECTION


def test_the_configuration_has_the_order_and_bytes_of_clients():
    """R3: 867.2 MHz, 125 kHz, SF8, CR 4/5, 7 dBm."""
    frames = rnode.configuration(rnode.wanted(SETTINGS, airtime_limit=0.1, short_airtime_limit=0.5))
    assert b"".join(frames).hex(" ") == (
        "c0 01 33 b0 6c 00 c0 c0 02 00 01 e8 48 c0 c0 03 07 c0 c0 04 08 c0 c0 05 05 c0 "
        "c0 0b 13 88 c0 c0 0c 03 e8 c0 c0 06 01 c0"
    )
    plain = rnode.configuration(rnode.wanted(SETTINGS))
    assert b"".join(plain).hex() == "c00133b06c00c0c0020001e848c0c00307c0c00408c0c00505c0c00601c0"


def test_settings_that_need_escapes_get_them():
    """A frequency with FEND and FESC in it."""
    (frame,) = rnode.configuration({Command.FREQUENCY: 0x33C0DB00})
    assert frame.hex() == "c00133dbdcdbdd00c0"


def test_mismatched_echoes_are_named():
    wanted = rnode.wanted(SETTINGS)
    echoes = dict(wanted)
    assert list(rnode.mismatches(wanted, echoes)) == []
    echoes[Command.FREQUENCY] += 100
    assert list(rnode.mismatches(wanted, echoes)) == []
    echoes[Command.FREQUENCY] += 1
    echoes[Command.TX_POWER] = 6
    del echoes[Command.RADIO_STATE]
    assert list(rnode.mismatches(wanted, echoes)) == [
        (Command.FREQUENCY, 867_200_000, 867_200_101),
        (Command.TX_POWER, 7, 6),
        (Command.RADIO_STATE, 1, None),
    ]


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("c0 08 46 c0", Detected()),
        ("c0 50 01 56 c0", Firmware(1, 86)),
        ("c0 48 80 c0", Hardware(Command.PLATFORM, 0x80)),
        ("c0 49 81 c0", Hardware(Command.MCU, 0x81)),
        ("c0 47 3c c0", Hardware(Command.BOARD, 0x3C)),
        ("c0 01 33 b0 6c 00 c0", Echo(Command.FREQUENCY, 867_200_000)),
        ("c0 02 00 01 e8 48 c0", Echo(Command.BANDWIDTH, 125_000)),
        ("c0 03 16 c0", Echo(Command.TX_POWER, 22)),
        ("c0 04 08 c0", Echo(Command.SPREADING_FACTOR, 8)),
        ("c0 05 05 c0", Echo(Command.CODING_RATE, 5)),
        ("c0 06 01 c0", Echo(Command.RADIO_STATE, 1)),
        ("c0 0b 13 88 c0", Echo(Command.SHORT_AIRTIME_LIMIT, 5000)),
        ("c0 0c 03 e8 c0", Echo(Command.LONG_AIRTIME_LIMIT, 1000)),
        ("c0 0f 01 c0", Ready(True)),
        ("c0 0f 00 c0", Ready(False)),
        ("c0 21 00 00 01 00 c0", Counter(Command.RECEIVED, 256)),
        ("c0 22 00 00 00 07 c0", Counter(Command.TRANSMITTED, 7)),
        (
            "c0 25 00 64 01 f4 03 e8 07 d0 4d 28 ff c0",
            ChannelStats(0.01, 0.05, 0.1, 0.2, -80, -117, None),
        ),
        (
            "c0 25 00 00 00 00 00 00 00 00 3a 28 35 c0",
            ChannelStats(0, 0, 0, 0, -99, -117, -104),
        ),
        (
            "c0 26 08 00 01 e8 00 12 00 25 00 18 00 30 c0",
            PhysicalStats(2048, 488, 18, 37, 24, 48),
        ),
        ("c0 27 01 5a c0", Battery(1, 90)),
        ("c0 28 01 00 0f c0", CsmaStats(1, 0, 15)),
        ("c0 29 8e c0", Temperature(22)),
        ("c0 90 05 c0", DeviceError(5)),
        ("c0 55 f8 c0", Restarted()),
        ("c0 00 db dc db dd dc dd c0", Received(b"\xc0\xdb\xdc\xdd", None, None)),
    ],
)
def test_golden_frames(text, event):
    """R6, R8."""
    assert decoded(text) == [event]


def test_signal_belongs_to_the_next_packet_only():
    stream = "c0 23 4d c0 c0 24 28 c0 c0 00 61 c0 c0 00 62 c0 c0 24 d8 c0 c0 23 25 c0 c0 00 63 c0"
    assert decoded(stream) == [
        Received(b"a", -80, 10.0),
        Received(b"b", None, None),
        Received(b"c", -120, -10.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "c0 01 33 b0 8d c0",
        "c0 25 00 c0",
        "c0 fe c0",
        "c0 00 c0",
        "c0 08 73 c0",
        "c0 55 01 c0",
        "c0 84 01 02 03 04 c0",
    ],
)
def test_what_says_nothing_known_is_skipped(text):
    decoder = RNodeDecoder()
    assert decoder.feed(bytes.fromhex(text)) == []
    assert decoder.skipped == 1
    assert decoder.feed(bytes.fromhex("c0 08 46 c0")) == [Detected()]


@given(st.binary(min_size=1, max_size=rnode.MTU))
def test_packets_come_back(packet):
    assert RNodeDecoder().feed(rnode.encode_packet(packet)) == [Received(packet, None, None)]


@pytest.mark.parametrize("special", [b"\xc0", b"\xdb", b"\xdc", b"\xdd"])
def test_packets_of_nothing_but_special_bytes_come_back(special):
    packet = special * rnode.MTU
    assert RNodeDecoder().feed(rnode.encode_packet(packet)) == [Received(packet, None, None)]


def test_packets_the_firmware_would_spoil_are_refused():
    """R4: 508 bytes make a third, empty frame."""
    for packet in (b"", bytes(501), bytes(508)):
        with pytest.raises(ValueError, match="1 to 500"):
            rnode.encode_packet(packet)


def test_device_packets_up_to_508_bytes_are_taken():
    assert RNodeDecoder().feed(encode_kiss(0, bytes(508))) == [Received(bytes(508), None, None)]


@pytest.mark.parametrize(
    ("settings", "symbols"),
    [((8, 125_000), 18), ((7, 125_000), 24), ((7, 250_000), 47), ((5, 500_000), 94), ((12, 125_000), 18)],
)
def test_preambles(settings, symbols):
    spreading_factor, bandwidth = settings
    one = RadioSettings(868_000_000, bandwidth, spreading_factor, 5)
    assert rnode.preamble_symbols(one) == symbols


@pytest.mark.parametrize(("size", "milliseconds"), [(20, 123), (160, 482), (500, 1435)])
def test_packet_airtime(size, milliseconds):
    """radio.md section 5.2, SF8, 125 kHz, 4/5; 254 bytes are one frame, 255 two."""
    assert rnode.packet_airtime(size, SETTINGS) * 1000 == pytest.approx(milliseconds, abs=0.6)
    preamble = rnode.preamble_symbols(SETTINGS)
    assert rnode.packet_airtime(254, SETTINGS) == SETTINGS.airtime(255, preamble)
    assert rnode.packet_airtime(255, SETTINGS) == SETTINGS.airtime(255, preamble) + SETTINGS.airtime(
        2, preamble
    )


def test_the_account_never_holds_more_than_it_may():
    """R5: at most 4 packets and 3000 bytes in the device."""
    account = QueueAccount()
    for _ in range(4):
        assert account.room(500, 10.0)
        account.took(500, 1.5, 10.0)
    assert not account.room(1, 10.0)
    assert account.next_room(10.0) == 11.5
    assert not account.room(1, 11.4)
    assert account.room(500, 11.5)
    large = QueueAccount(packets=100)
    for _ in range(6):
        large.took(500, 1.0, 0.0)
    assert not large.room(1, 0.5)
    assert large.room(500, 1.0)
    large.forget()
    assert large.next_room(0.5) is None
