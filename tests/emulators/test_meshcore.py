"""The emulated MeshCore modem: one packet at a time, two frames for the host (K3, K4, K6, K7)."""

from random import Random

import pytest

from nexus_firmware import meshcore_kiss as codec
from nexus_firmware.emulate.air import Heard
from nexus_firmware.emulate.meshcore import MeshcoreModem
from nexus_firmware.meshcore_kiss import Answer, Done, Failed, Received, Sub, TxDone
from nexus_firmware.radio import RadioSettings

from .bench import Bench

SETTINGS = RadioSettings(869_525_000, 250_000, 8, 5, 20)


class Host:
    def __init__(self, bench: Bench, **options) -> None:
        self.bench = bench
        self.desk = bench.add(MeshcoreModem(Random(len(bench.desks)), **options))
        self.decoder = codec.MeshcoreDecoder()
        bench.run(0.5)
        assert self.ask(*codec.set_radio(SETTINGS)) == [Done(), Done()]

    def events(self):
        return self.decoder.feed(self.desk.read())

    def ask(self, *frames: bytes):
        return self.decoder.feed(self.desk.ask(b"".join(frames)))


@pytest.fixture
def pair():
    bench = Bench(signal=(-70.0, -7.5))
    return bench, Host(bench), Host(bench)


@pytest.mark.parametrize("size", [1, 100, 255])
def test_packets_cross_the_air(pair, size):
    bench, a, b = pair
    packet = (b"\xc0\xdb\xdc\xdd" * 64)[:size]
    a.desk.write(codec.encode_packet(packet))
    bench.run(5)
    assert a.events() == [TxDone(True)]
    assert b.events() == [Received(packet, -70, -7.5)]
    assert a.desk.sent[0][1].airtime == pytest.approx(codec.packet_airtime(size, SETTINGS))


def test_longer_packets_vanish(pair):
    bench, a, b = pair
    a.desk.write(b"\xc0\x00" + bytes(256) + b"\xc0")
    bench.run(5)
    assert a.events() == b.events() == []


def test_a_second_packet_is_busy_until_txdone(pair):
    """K3."""
    bench, a, b = pair
    a.desk.write(codec.encode_packet(b"first") + codec.encode_packet(b"second"))
    assert a.events() == [Failed(codec.TX_BUSY)]
    bench.run(5)
    assert a.events() == [TxDone(True)]
    a.desk.write(codec.encode_packet(b"third"))
    bench.run(5)
    assert [event.data for event in b.events()] == [b"first", b"third"]


def test_key_up_and_full_duplex_timing(pair):
    bench, a, _ = pair
    a.desk.write(codec.set_parameter(codec.FULL_DUPLEX, 1) + codec.set_parameter(codec.TXDELAY, 20))
    begin = bench.now
    a.desk.write(codec.encode_packet(b"x"))
    bench.run(1)
    assert a.desk.sent[0][0] == pytest.approx(begin + 0.2)


def test_it_listens_before_it_talks(pair):
    bench, a, b = pair
    for host in (a, b):
        host.desk.write(codec.set_parameter(codec.TXDELAY, 0) + codec.set_parameter(codec.PERSISTENCE, 255))
    a.desk.write(codec.encode_packet(bytes(255)))
    bench.run(0.01)
    b.desk.write(codec.encode_packet(b"polite"))
    bench.run(5)
    assert [event.data for event in a.events() if isinstance(event, Received)] == [b"polite"]
    assert [event.data for event in b.events() if isinstance(event, Received)] == [bytes(255)]


def test_questions(pair):
    _, a, _ = pair
    assert a.ask(codec.PROBE) == [
        Answer(Sub.PING, None),
        Answer(Sub.VERSION, 1),
        Answer(Sub.DEVICE_NAME, "Emulated KISS modem"),
    ]
    assert a.ask(codec.ask(Sub.RADIO), codec.ask(Sub.TX_POWER)) == [
        Answer(Sub.RADIO, (869_525_000, 250_000, 8, 5)),
        Answer(Sub.TX_POWER, 20),
    ]
    assert a.ask(codec.ask(Sub.NOISE_FLOOR), codec.ask(Sub.CHANNEL_BUSY), codec.ask(Sub.STATS)) == [
        Answer(Sub.NOISE_FLOOR, -117),
        Answer(Sub.CHANNEL_BUSY, 0),
        Answer(Sub.STATS, (0, 0, 0)),
    ]
    assert a.ask(codec.ask(Sub.AIRTIME)) == [Failed(0x01)]
    assert a.ask(codec.ask(Sub.RANDOM, b"\0")) == [Failed(0x02)]
    assert a.ask(bytes.fromhex("c0067fc0")) == [Failed(codec.UNKNOWN_COMMAND)]


@pytest.mark.parametrize("size", [1, 20, 160, 255])
def test_airtime_agrees(pair, size):
    """K7."""
    _, a, _ = pair
    (answer,) = a.ask(codec.ask(Sub.AIRTIME, bytes((size,))))
    assert answer.value == pytest.approx(1000 * codec.packet_airtime(size, SETTINGS), abs=1)


def test_reports_can_be_switched_off(pair):
    """K4."""
    bench, a, b = pair
    assert b.ask(codec.set_signal_report(False)) == [Answer(Sub.SIGNAL_REPORT, 0)]
    a.desk.write(codec.encode_packet(b"plain"))
    bench.run(5)
    assert b.events() == [Received(b"plain")]


def test_radio_is_zero_until_somebody_sets_it():
    bench = Bench()
    desk = bench.add(MeshcoreModem(Random(1)))
    bench.run(0.5)
    (answer,) = codec.MeshcoreDecoder().feed(desk.ask(codec.ask(Sub.RADIO)))
    assert answer.value == (0, 0, 0, 0)
    assert desk.channel[:3] == (869_618_000, 62_500, 8)


def test_a_host_that_does_not_read_is_told_busy_and_recovers():
    """K6: what is in the port and two frames; TxDone is late but never lost."""
    bench = Bench()
    a, b = Host(bench, port_octets=64), Host(bench)
    a.desk.reads = False
    a.desk.write(codec.encode_packet(b"from a"))
    for _ in range(30):
        a.desk.write(codec.ask(Sub.DEVICE_NAME))
    bench.run(5)
    assert [event.data for event in b.events()] == [b"from a"]
    a.desk.write(codec.encode_packet(b"too early"))
    a.desk.reads = True
    bench.settle()
    events = a.events()
    names = [event for event in events if event == Answer(Sub.DEVICE_NAME, "Emulated KISS modem")]
    assert 2 <= len(names) <= 6
    assert TxDone(True) in events
    assert Failed(codec.TX_BUSY) in events
    a.desk.write(codec.encode_packet(b"again"))
    bench.run(5)
    assert a.events() == [TxDone(True)]
    assert [event.data for event in b.events()] == [b"again"]


def test_a_backed_up_modem_keeps_the_last_packet_off_the_air():
    bench = Bench()
    a = Host(bench, port_octets=16)
    a.desk.reads = False
    for _ in range(5):
        a.desk.write(codec.ask(Sub.DEVICE_NAME))
    for number in range(3):
        a.desk.firmware.hear(Heard(bytes((number,)), -70, 5), bench.now)
    a.desk.reads = True
    bench.settle()
    bench.run(1)
    assert [event for event in a.events() if isinstance(event, Received)] == [Received(b"\x02", -70, 5.0)]


def test_it_reboots_to_its_defaults(pair):
    bench, a, _ = pair
    assert a.ask(codec.ask(Sub.REBOOT)) == [Done()]
    bench.run(1)
    assert a.ask(codec.ask(Sub.RADIO)) == [Answer(Sub.RADIO, (0, 0, 0, 0))]
