"""The MeshCore modem codec: golden frames, packets and their signal, the one packet in the modem (K3-K5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware import meshcore_kiss as codec
from nexus_firmware.meshcore_kiss import (
    Answer,
    Done,
    Failed,
    MeshcoreDecoder,
    Outcome,
    Received,
    Sub,
    TransmitSlot,
    TxDone,
)
from nexus_firmware.radio import RadioSettings


def decoded(text, **options):
    return MeshcoreDecoder(**options).feed(bytes.fromhex(text))


def test_set_radio_bytes():
    """K5, as pymc_core writes them."""
    radio, power = codec.set_radio(RadioSettings(869_525_000, 250_000, 10, 5, 20))
    assert radio == bytes.fromhex("c0 06 09 08 e6 d3 33 90 d0 03 00 0a 05 c0")
    assert power == bytes.fromhex("c0 06 0a 14 c0")


def test_questions():
    assert codec.ask(Sub.AIRTIME, bytes((192,))) == bytes.fromhex("c0060fdbdcc0")
    assert codec.set_signal_report(True) == bytes.fromhex("c0061901c0")
    assert codec.set_parameter(codec.TXDELAY, 5) == bytes.fromhex("c00105c0")
    assert bytes.fromhex("c00617c0c00611c0c00616c0") == codec.PROBE


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("c0 06 f0 c0", Done()),
        ("c0 06 f1 07 c0", Failed(codec.TX_BUSY)),
        ("c0 06 f8 01 c0", TxDone(True)),
        ("c0 06 f8 00 c0", TxDone(False)),
        ("c0 06 97 c0", Answer(Sub.PING, None)),
        ("c0 06 91 01 00 c0", Answer(Sub.VERSION, 1)),
        ("c0 06 8b 08 e6 d3 33 90 d0 03 00 0a 05 c0", Answer(Sub.RADIO, (869_525_000, 250_000, 10, 5))),
        ("c0 06 8f e8 03 00 00 c0", Answer(Sub.AIRTIME, 1000)),
        ("c0 06 90 8b ff c0", Answer(Sub.NOISE_FLOOR, -117)),
        ("c0 06 8d 8b c0", Answer(Sub.RSSI, -117)),
        ("c0 06 8e 01 c0", Answer(Sub.CHANNEL_BUSY, 1)),
        ("c0 06 92 01 00 00 00 02 00 00 00 03 00 00 00 c0", Answer(Sub.STATS, (1, 2, 3))),
        ("c0 06 93 04 10 c0", Answer(Sub.BATTERY, 4100)),
        ("c0 06 94 fd 00 c0", Answer(Sub.MCU_TEMPERATURE, 25.3)),
        ("c0 06 96 48 65 6c 74 65 63 c0", Answer(Sub.DEVICE_NAME, "Heltec")),
        ("c0 06 9a 00 c0", Answer(Sub.SIGNAL_REPORT, 0)),
    ],
)
def test_golden_frames(text, event):
    assert decoded(text) == [event]


def test_the_signal_comes_after_its_packet():
    """K4."""
    stream = "c0 00 68 69 c0 c0 06 f9 e2 ba c0"
    assert decoded(stream) == [Received(b"hi", -70, -7.5)]
    decoder = MeshcoreDecoder()
    assert decoder.feed(bytes.fromhex(stream[:14])) == []
    assert decoder.holds
    assert decoder.feed(bytes.fromhex(stream[14:])) == [Received(b"hi", -70, -7.5)]
    assert not decoder.holds


def test_a_packet_without_signal_comes_out_all_the_same():
    """K4: the report switched off, left out, or late."""
    assert decoded("c0 00 61 c0 c0 06 f0 c0") == [Received(b"a"), Done()]
    assert decoded("c0 00 61 c0", signal_reports=False) == [Received(b"a")]
    assert decoded("c0 06 9a 00 c0 c0 00 61 c0")[1:] == [Received(b"a")]
    decoder = MeshcoreDecoder()
    assert decoder.feed(bytes.fromhex("c00061c0")) == []
    assert decoder.release() == [Received(b"a")]
    assert decoder.release() == []
    assert decoder.feed(bytes.fromhex("c006f9e2bac0")) == []


@given(st.binary(min_size=1, max_size=codec.MTU))
def test_packets_come_back(packet):
    assert MeshcoreDecoder(signal_reports=False).feed(codec.encode_packet(packet)) == [Received(packet)]


@pytest.mark.parametrize("special", [b"\xc0", b"\xdb", b"\xdc", b"\xdd"])
def test_packets_of_nothing_but_special_bytes_come_back(special):
    packet = special * codec.MTU
    assert MeshcoreDecoder(signal_reports=False).feed(codec.encode_packet(packet)) == [Received(packet)]


def test_packets_the_modem_would_drop_are_refused():
    for packet in (b"", bytes(256)):
        with pytest.raises(ValueError, match="1 to 255"):
            codec.encode_packet(packet)


@pytest.mark.parametrize(("size", "milliseconds"), [(117, 1098), (181, 1623), (37, 443)])
def test_airtime_is_what_older_firmware_reckons_and_sixteen_symbols(size, milliseconds):
    settings = RadioSettings(869_618_000, 62_500, 8, 8)
    longer = 16 * 256 / 62_500
    assert codec.packet_airtime(size, settings) == pytest.approx(milliseconds / 1000 + longer, abs=0.001)
    slow = RadioSettings(869_525_000, 250_000, 10, 5)
    assert codec.packet_airtime(255, slow) == pytest.approx(1.181, abs=0.001)


def test_one_packet_at_a_time():
    """K3."""
    slot = TransmitSlot(longest=2.0)
    assert slot.free(0.0)
    slot.wrote(1.0, 0.0)
    assert not slot.free(100.0)
    assert slot.deadline == 11.0
    assert slot.take(Done(), 0.5) is None
    assert slot.take(TxDone(True), 1.0) == Outcome.SENT
    assert slot.deadline is None
    assert slot.free(1.0)
    assert slot.take(TxDone(True), 1.0) is None
    slot.wrote(1.0, 2.0)
    assert slot.take(TxDone(False), 3.0) == Outcome.FAILED
    slot.wrote(1.0, 4.0)
    assert slot.take(Failed(0x02), 4.0) is None
    assert slot.take(Failed(codec.TX_BUSY), 4.0) == Outcome.BUSY
    assert not slot.free(4.1)
    assert slot.free(4.2)
    slot.wrote(1.0, 5.0)
    slot.reset()
    assert slot.free(5.0)
