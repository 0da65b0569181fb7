"""The emulated RNode: its answers, its air, its quirks (radio.md sections 2.3 to 2.7; R4, R5, R7, R9)."""

from random import Random

import pytest

from nexus_firmware import rnode as codec
from nexus_firmware.emulate.air import Channel, Heard, Transmission
from nexus_firmware.emulate.rnode import RNode
from nexus_firmware.radio import RadioSettings
from nexus_firmware.rnode_events import (
    Battery,
    ChannelStats,
    Command,
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
)

from .bench import Bench, Desk

SETTINGS = RadioSettings(867_200_000, 125_000, 8, 5, 7)
SPECIAL = b"\xc0\xdb\xdc\xdd"


class Host:
    """The codec at the desk of an emulated RNode."""

    def __init__(self, bench: Bench, **options) -> None:
        self.desk: Desk = bench.add(RNode(Random(len(bench.desks)), **options))
        self.decoder = codec.RNodeDecoder()
        bench.run(1.0)
        self.events()

    def events(self):
        return self.decoder.feed(self.desk.read())

    def ask(self, data: bytes):
        return self.decoder.feed(self.desk.ask(data))

    def start(self, settings=SETTINGS, **limits) -> None:
        values = codec.wanted(settings, **limits)
        found = self.ask(b"".join(codec.configuration(values)))
        echoes = {event.setting: event.value for event in found if isinstance(event, Echo)}
        assert list(codec.mismatches(values, echoes)) == []

    def packets(self) -> list[bytes]:
        return [event.data for event in self.events() if isinstance(event, Received)]


def pair(**options) -> tuple[Bench, Host, Host]:
    bench = Bench()
    hosts = Host(bench, **options), Host(bench)
    for host in hosts:
        host.start()
    return bench, *hosts


def test_it_says_when_it_has_booted_and_what_it_is():
    bench = Bench()
    desk = bench.add(RNode(Random(1), boot_s=2.0))
    desk.write(codec.DETECTION)
    bench.run(1.9)
    assert desk.read() == b""
    bench.run(0.2)
    assert desk.read() == bytes.fromhex("c055f8c0")
    assert codec.RNodeDecoder().feed(desk.ask(codec.DETECTION)) == [
        Detected(),
        Firmware(1, 86),
        Hardware(Command.PLATFORM, 0x80),
        Hardware(Command.MCU, 0x81),
    ]


def test_settings_are_echoed_clamped_and_asked_for():
    host = Host(Bench())
    assert host.ask(bytes.fromhex("c0 03 63 c0 c0 04 03 c0 c0 05 0c c0")) == [
        Echo(Command.TX_POWER, 22),
        Echo(Command.SPREADING_FACTOR, 5),
        Echo(Command.CODING_RATE, 8),
    ]
    host.ask(bytes.fromhex("c0 01 33 b0 6c 00 c0"))
    assert host.ask(bytes.fromhex("c0 01 00 00 00 00 c0")) == [Echo(Command.FREQUENCY, 867_200_000)]
    assert host.ask(bytes.fromhex("c0 04 ff c0")) == [Echo(Command.SPREADING_FACTOR, 5)]


def test_one_byte_settings_act_byte_by_byte_without_escapes():
    assert Host(Bench()).ask(bytes.fromhex("c0 04 07 09 c0")) == [
        Echo(Command.SPREADING_FACTOR, 7),
        Echo(Command.SPREADING_FACTOR, 9),
    ]
    assert Host(Bench()).ask(bytes.fromhex("c0 03 db dc c0")) == [Echo(Command.TX_POWER, 22)] * 2


def test_the_radio_starts_only_when_all_is_set():
    host = Host(Bench())
    assert Echo(Command.RADIO_STATE, 0) in host.ask(bytes.fromhex("c00601c0"))
    values = codec.wanted(SETTINGS)
    del values[Command.TX_POWER]
    assert Echo(Command.RADIO_STATE, 0) in host.ask(b"".join(codec.configuration(values)))


@pytest.mark.parametrize("size", [1, 100, 254, 255, 500])
def test_packets_cross_the_air(size):
    bench, a, b = pair()
    packet = (SPECIAL * 125)[:size]
    a.desk.write(codec.encode_packet(packet))
    bench.run(5)
    received = [event for event in b.events() if isinstance(event, Received)]
    assert received == [Received(packet, -80, 10.0)]
    assert a.packets() == []
    sent = a.desk.sent
    assert [len(one.payload) for _, one in sent] == ([size + 1] if size < 255 else [255, size - 253])
    took = sent[-1][0] + sent[-1][1].airtime - sent[0][0]
    assert took == pytest.approx(codec.packet_airtime(size, SETTINGS))


def test_508_bytes_make_a_third_frame():
    """R4."""
    bench, a, b = pair()
    a.desk.write(b"\xc0\x00" + bytes(508) + b"\xc0")
    bench.run(10)
    assert [len(one.payload) for _, one in a.desk.sent] == [255, 255, 1]
    assert b.packets() == [bytes(508)]


def test_too_long_packets_vanish_when_it_is_their_turn():
    bench, a, b = pair()
    a.desk.write(b"\xc0\x00" + bytes(509) + b"\xc0" + codec.encode_packet(b"next"))
    bench.run(10)
    assert b.packets() == [b"next"]
    assert not [event for event in a.events() if isinstance(event, DeviceError)]


def test_ready_is_said_only_when_asked():
    """R5."""
    bench, a, _ = pair(queue_packets=2)
    for _ in range(2):
        assert a.ask(codec.READY_QUERY)[-1] == Ready(True)
        a.desk.firmware.receive(codec.encode_packet(bytes(100)), bench.now)
    a.desk.firmware.receive(codec.READY_QUERY, bench.now)
    bench.settle()
    assert [event for event in a.events() if isinstance(event, Ready)] == [Ready(False)]
    bench.run(10)
    assert not [event for event in a.events() if isinstance(event, Ready)]
    assert a.ask(codec.READY_QUERY)[-1] == Ready(True)


def test_a_full_queue_drops_silently_and_tears_the_next_packet():
    bench, a, b = pair(queue_octets=250)
    first, torn, after = b"a" * 200, b"b" * 100, b"c" * 20
    a.desk.firmware.receive(codec.encode_packet(first) + codec.encode_packet(torn), bench.now)
    bench.run(10)
    a.desk.write(codec.encode_packet(after))
    bench.run(10)
    assert b.packets() == [first, torn[:50] + after]
    assert not [event for event in a.events() if isinstance(event, DeviceError)]


def test_the_whole_queue_goes_out_in_one_burst():
    bench, a, b = pair()
    a.desk.write(b"".join(codec.encode_packet(bytes((index,)) * 50) for index in range(5)))
    bench.run(10)
    assert len(b.packets()) == 5
    for (began, one), (then, _) in zip(a.desk.sent, a.desk.sent[1:], strict=False):
        assert then == pytest.approx(began + one.airtime)


def test_while_it_sends_it_reads_nothing_and_says_nothing():
    """The firmware's loop stands still: what comes meanwhile waits in its port, and stays in its order. First
    it tells what it has sent, then it answers."""
    bench, a, b = pair()
    a.desk.write(codec.encode_packet(bytes(500)))
    while not a.desk.sent:
        bench.run(0.01)
    a.events()
    a.desk.write(codec.encode_packet(b"next") + codec.READY_QUERY)
    bench.run(codec.packet_airtime(500, SETTINGS) - 0.05)
    assert a.events() == []
    bench.run(0.1)
    told, answer, *_ = a.events()
    assert isinstance(told, ChannelStats) and told.airtime_short > 0 and answer == Ready(True)
    bench.run(2)
    assert b.packets() == [bytes(500), b"next"]


def test_at_a_high_rate_it_listens_before_each_packet():
    """Above 14 kbit/s."""
    fast = RadioSettings(867_200_000, 500_000, 7, 5, 7)
    bench, a, b = pair()
    for host in (a, b):
        host.ask(codec.DETACH)
        host.start(fast)
    a.desk.write(codec.encode_packet(b"one") + codec.encode_packet(b"two"))
    bench.run(5)
    (first, one), (second, _) = a.desk.sent
    assert second - first - one.airtime >= 2 * 0.024
    assert b.packets() == [b"one", b"two"]


def test_a_radio_waits_for_the_other_to_finish():
    bench, a, b = pair()
    a.desk.write(codec.encode_packet(bytes(250)))
    while not a.desk.sent:
        bench.run(0.01)
    b.desk.write(codec.encode_packet(b"polite"))
    bench.run(5)
    assert (a.packets(), b.packets()) == ([b"polite"], [bytes(250)])
    (began, one), (then, _) = a.desk.sent[0], b.desk.sent[0]
    assert then >= began + one.airtime + 0.048


def test_packets_at_the_same_moment_are_lost():
    bench, a, b = pair()
    c = Host(bench)
    c.start()
    for host in (a, b):
        transmission = Transmission(host.desk.channel, b"\x00collides", 5, 18)
        bench.ether.transmit(host.desk, transmission, bench.now)
    bench.run(5)
    assert a.packets() == b.packets() == c.packets() == []


def foreign(bench: Bench, payload: bytes) -> None:
    """A LoRa frame of somebody else."""
    channel = Channel(867_200_000, 125_000, 8, 0x12)
    bench.ether.transmit(None, Transmission(channel, payload, 5, 18), bench.now)
    bench.run(2)


def test_halves_are_joined_by_sequence_or_dropped_never_mixed():
    """R9."""
    bench = Bench()
    host = Host(bench)
    host.start()
    foreign(bench, b"\x11" + b"a" * 254)
    foreign(bench, b"\x11" + b"A")
    assert host.packets() == [b"a" * 254 + b"A"]
    foreign(bench, b"\x11" + b"b" * 254)
    foreign(bench, b"\x21" + b"c" * 254)
    foreign(bench, b"\x11" + b"B")
    assert host.packets() == []
    foreign(bench, b"\x31" + b"d" * 254)
    foreign(bench, b"\x40whole")
    foreign(bench, b"\x31" + b"D")
    assert host.packets() == [b"whole"]


def test_it_hears_only_its_own_channel_and_only_when_on():
    bench, a, b = pair()
    for elsewhere in (
        RadioSettings(868_000_000, 125_000, 8, 5, 7),
        RadioSettings(867_200_000, 250_000, 8, 5, 7),
        RadioSettings(867_200_000, 125_000, 9, 5, 7),
    ):
        b.start(elsewhere)
        a.desk.write(codec.encode_packet(b"who?"))
        bench.run(2)
        assert b.packets() == []
    b.start()
    b.desk.write(codec.DETACH)
    a.desk.write(codec.encode_packet(b"who?"))
    bench.run(2)
    assert b.packets() == []


def test_statistics():
    """R8."""
    bench, a, _ = pair(battery=(2, 71))
    a.desk.write(codec.encode_packet(bytes(254)))
    bench.run(5)
    events = a.events()
    stats = [event for event in events if isinstance(event, ChannelStats)]
    assert len(stats) == 5, "once a second but while it sends, and when the queue has gone out"
    airtime = codec.packet_airtime(254, SETTINGS)
    assert stats[-1].airtime_short == pytest.approx(airtime / 15, abs=1e-4)
    assert stats[-1].load_short == stats[-1].airtime_short
    assert stats[-1].airtime_long == pytest.approx(airtime / 3600, abs=1e-4)
    assert stats[-1].noise_floor_dbm == -117
    assert Battery(2, 71) in events
    assert CsmaStats(1, 0, 15) in events
    assert PhysicalStats(2048, 488, 18, 37, 25, 49) in a.ask(b"\xc0\x04\x08\xc0")


def test_an_airtime_limit_holds_packets_back_and_drops_none():
    """R7: 10 % of an hour."""
    bench, a, b = pair()
    a.start(airtime_limit=0.001)
    sent = 0
    for _ in range(4):
        a.desk.write(codec.encode_packet(bytes(254)) * 4)
        sent += 4
        bench.run(60)
    on_air = sum(one.airtime for _, one in a.desk.sent)
    assert on_air < 0.001 * 3600 + 4 * codec.packet_airtime(254, SETTINGS)
    arrived = len(b.packets())
    assert 0 < arrived < sent
    bench.run(4 * 3600)
    assert arrived + len(b.packets()) == sent
    span = 0.0
    for began, _ in a.desk.sent:
        within = [one.airtime for at, one in a.desk.sent if began <= at < began + 3600]
        span = max(span, sum(within))
    assert span < 0.001 * 3600 + 16 * codec.packet_airtime(254, SETTINGS)


def test_errors_and_resets_are_told():
    """R6."""
    bench, a, b = pair()
    for code in (1, 2, 4, 5, 6):
        a.desk.firmware.fail(code)
    bench.settle()
    assert [event for event in a.events() if isinstance(event, DeviceError)] == [
        DeviceError(code) for code in (1, 2, 4, 5, 6)
    ]
    a.desk.write(codec.RESTART)
    bench.run(1)
    assert a.events() == [Restarted()]
    b.desk.write(codec.encode_packet(b"gone"))
    bench.run(2)
    assert a.packets() == []
    a.start()
    b.desk.write(codec.encode_packet(b"back"))
    bench.run(2)
    assert a.packets() == [b"back"]


def test_a_host_that_does_not_read_costs_bounded_memory():
    bench, a, _ = pair()
    a.desk.reads = False
    for _ in range(200):
        a.desk.firmware.hear(Heard(b"\x00" + bytes(254), -80, 10), bench.now)
    bench.settle()
    assert sum(map(len, a.desk.firmware._output)) <= 16384
    a.desk.reads = True
    bench.settle()
    assert 0 < len(a.packets()) < 200
