"""The emulated Meshtastic: handshake, acknowledgements, refusals, credits, several hops (M2 to M11)."""

from random import Random

import pytest

from nexus_firmware import meshtastic as codec
from nexus_firmware.emulate.mesh_node import NodeSettings
from nexus_firmware.emulate.mesh_packet import AirPacket, MeshChannel
from nexus_firmware.emulate.meshtastic import Meshtastic
from nexus_firmware.meshtastic import MeshtasticDecoder
from nexus_firmware.meshtastic_events import (
    BROADCAST,
    Ack,
    AckKind,
    AirUse,
    ChannelInfo,
    ConfigComplete,
    KnownNode,
    LoraConfig,
    Metadata,
    MyNode,
    Notification,
    Packet,
    QueueStatus,
    Rebooted,
)
from nexus_firmware.meshtastic_pb import protobufs
from nexus_firmware.meshtastic_presets import radio_settings
from nexus_firmware.meshtastic_session import Handshake
from nexus_firmware.meshtastic_stream import encode_frame

from .bench import Bench

A, B, C = 0x0A0A0A0A, 0x0B0B0B0B, 0x0C0C0C0C
PRIVATE = MeshChannel("nexus", bytes(range(32)))
FAST = {"preset": "SHORT_FAST", "channels": (MeshChannel(""), PRIVATE)}
MINUTE = 60


class Host:
    def __init__(self, bench: Bench, number: int, *, minimal=False, over_tcp=False, **settings) -> None:
        self.bench = bench
        self.number = number
        self._ids = iter(range(number, number + 100_000))
        settings = NodeSettings(number, **(FAST | settings))
        self.desk = bench.add(Meshtastic(Random(number), settings, minimal=minimal, over_tcp=over_tcp))
        self.decoder = MeshtasticDecoder()

    def events(self):
        return self.decoder.feed(self.desk.read())

    def start(self):
        self.desk.write(codec.want_config(7))
        return self.events()

    def packets(self, port=codec.PRIVATE_PORT):
        return [event for event in self.events() if isinstance(event, Packet) and event.port == port]

    def send(self, payload: bytes, **options) -> int:
        packet_id = next(self._ids)
        options = {"channel": 1, "packet_id": packet_id} | options
        self.desk.write(codec.encode_packet(payload, **options))
        return packet_id

    def send_raw(self, payload: bytes, *, to=BROADCAST, port=256, channel=1, **fields) -> int:
        """What the codec would refuse to write."""
        mesh = protobufs().mesh
        packet_id = next(self._ids)
        packet = mesh.MeshPacket(
            to=to, channel=channel, id=packet_id, decoded=mesh.Data(portnum=port, payload=payload), **fields
        )
        self.desk.write(encode_frame(mesh.ToRadio(packet=packet).SerializeToString()))
        return packet_id


def mesh(*numbers, seconds=30, **settings):
    """Nodes that know each other, with their hosts there."""
    bench = Bench()
    hosts = [Host(bench, number, **settings) for number in numbers]
    bench.run(1)
    for host in hosts:
        host.start()
    bench.run(seconds)
    for host in hosts:
        host.events()
    return bench, *hosts


def line(*, role="CLIENT"):
    """A and C hear only B."""
    bench = Bench()
    a = Host(bench, A, deaf_to=frozenset({0x0C}))
    b = Host(bench, B, role=role)
    c = Host(bench, C, deaf_to=frozenset({0x0A}))
    bench.run(1)
    for host in (a, b, c):
        host.start()
    bench.run(MINUTE)
    for host in (a, b, c):
        host.events()
    return bench, a, b, c


# --- the stream -------------------------------------------------------------------------------------
def test_it_prints_its_log_until_it_understands_something():
    """M4."""
    bench = Bench()
    host = Host(bench, A)
    bench.run(1)
    said = host.desk.read()
    assert b"E S H T" in said
    assert host.decoder.feed(said) == [Rebooted()]
    host.desk.write(b"\x94\xc3\x00\x02\xff\xff")
    assert b"malformed" in host.desk.read()
    events = host.start()
    assert isinstance(events[0], MyNode)
    noise = host.decoder.noise
    bench.run(MINUTE)
    host.events()
    assert host.decoder.noise == noise


def test_the_full_handshake_has_the_firmware_s_order():
    _, a, _ = mesh(A, B)
    events = a.start()
    kinds = [type(event) for event in events]
    assert kinds == [MyNode, KnownNode, Metadata, *[ChannelInfo] * 8, LoraConfig, KnownNode, ConfigComplete]
    assert events[0] == MyNode(A)
    assert (events[1].number, events[1].user_id) == (A, "!0a0a0a0a")
    assert len(events[1].public_key) == 32
    assert events[4] == ChannelInfo(1, "nexus", bytes(range(32)), 2)
    lora = events[11]
    assert (lora.region, lora.preset, lora.hop_limit) == ("EU_868", "SHORT_FAST", 3)
    assert events[12].number == B
    assert events[-1] == ConfigComplete(7)
    handshake = Handshake(7)
    for event in events:
        handshake.take(event)
    assert handshake.complete
    assert (handshake.my_number, handshake.firmware) == (A, "2.8.0.emulated")
    assert set(handshake.nodes) == {A, B}


def test_the_minimal_handshake_and_the_partial_ones():
    bench = Bench()
    host = Host(bench, A, minimal=True)
    bench.run(1)
    host.events()
    assert [type(event) for event in host.start()] == [MyNode, KnownNode, ConfigComplete]
    _, full = mesh(A)
    full.desk.write(codec.want_config(codec.NODES_ONLY_NONCE))
    assert [type(event) for event in full.events()] == [MyNode, KnownNode, ConfigComplete]
    full.desk.write(codec.want_config(codec.CONFIG_ONLY_NONCE))
    assert KnownNode not in [type(event) for event in full.events()]


def test_nothing_live_comes_before_a_handshake():
    bench, a, b = mesh(A, B)
    b.desk.write(codec.disconnect())
    a.send(b"early")
    bench.run(10)
    assert b.packets() == []
    b.desk.write(codec.want_config(9))
    events = b.events()
    assert events.index(ConfigComplete(9)) < [type(event) for event in events].index(Packet)


def test_heartbeats():
    bench, a, b = mesh(A, B)
    a.desk.write(codec.heartbeat())
    assert a.events() == [QueueStatus(16, 16, 0, 0)]
    a.desk.write(codec.heartbeat(announce=True))
    assert a.events() == []
    bench.run(5)
    assert [packet.sender for packet in b.packets(port=4)] == [A]


def test_a_nodeinfo_that_a_client_asks_for_is_answered_with_theirs():
    """However long they have known the one that asks: it may have missed theirs."""
    bench, a, b = mesh(A, B)
    for _ in range(2):
        bench.run(10)
        for one in (a, b):
            one.events()
        a.desk.write(codec.heartbeat(announce=True))
        bench.run(5)
        assert [packet.sender for packet in a.packets(port=4)] == [B]


def test_a_client_silent_for_a_quarter_of_an_hour_is_forgotten():
    bench, a, b = mesh(A, B)
    bench.run(14 * MINUTE)
    a.desk.write(codec.heartbeat())
    bench.run(14 * MINUTE)
    b.desk.write(codec.heartbeat())
    b.send(b"still there")
    bench.run(5)
    assert [packet.payload for packet in a.packets()] == [b"still there"]
    bench.run(2 * MINUTE)
    a.events()
    b.send(b"gone")
    bench.run(5)
    assert a.events() == []
    assert ConfigComplete(7) in a.start()


def test_a_reboot_is_told_and_forgets_the_client():
    """M11."""
    bench, a, b = mesh(A, B)
    a.desk.firmware.reboot(bench.now)
    bench.run(1)
    assert a.events() == [Rebooted()]
    b.send(b"x")
    bench.run(5)
    assert a.packets() == []
    assert ConfigComplete(7) in a.start()


def test_a_tcp_device_prints_nothing_and_a_new_client_starts_anew():
    bench = Bench()
    host = Host(bench, A, over_tcp=True)
    bench.run(1)
    assert host.desk.read() == b""
    assert ConfigComplete(7) in host.start()
    host.desk.firmware.receive(b"\x94\xc3\x00", bench.now)
    host.desk.firmware.connected(bench.now)
    bench.run(2 * MINUTE)
    assert host.desk.read() == b""
    assert ConfigComplete(7) in host.start()


# --- packets ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 165, 166, 219, 231])
def test_broadcasts_arrive_exactly(size):
    """M2, and M14: firmware 2.8 signs what leaves room for it."""
    bench, a, b = mesh(A, B)
    payload = bytes(range(25, 256))[:size]
    a.desk.sent.clear()
    packet_id = a.send(payload)
    assert a.events() == [QueueStatus(15, 16, 0, packet_id)]
    bench.run(10)
    (packet,) = b.packets()
    assert packet == Packet(A, BROADCAST, 1, 256, payload, packet_id, 0, -80, 10.0, 0, False)
    transmission = a.desk.sent[0][1]
    assert len(transmission.payload) == codec.air_size(size, signs=True)
    settings = radio_settings("EU_868", "SHORT_FAST")
    assert transmission.airtime == pytest.approx(codec.packet_airtime(size, settings, signs=True))
    assert (len(transmission.payload) > size + 80) == (size <= 165)


def test_232_bytes_are_too_large():
    """M2: the device refuses, the codec before it."""
    bench, a, b = mesh(A, B)
    packet_id = a.send_raw(bytes(232))
    assert a.events() == [QueueStatus(16, 16, 7, packet_id), Ack(packet_id, AckKind.REFUSED, 7, A)]
    with pytest.raises(ValueError, match="up to 231"):
        a.send(bytes(232))
    bench.run(5)
    assert b.packets() == []


def test_a_packet_to_one_node_is_encrypted_to_it_and_acknowledged_by_it():
    """M14: 219 bytes fit."""
    bench, a, b = mesh(A, B)
    packet_id = a.send(bytes(219), to=B, want_ack=True, hop_limit=0)
    bench.run(20)
    (packet,) = b.packets()
    assert (packet.payload, packet.pki, packet.to) == (bytes(219), True, B)
    assert a.events() == [QueueStatus(15, 16, 0, packet_id), Ack(packet_id, AckKind.EXPLICIT, 0, B)]
    too_large = a.send_raw(bytes(220), to=B)
    assert Ack(too_large, AckKind.REFUSED, 7, A) in a.events()
    with pytest.raises(ValueError, match="up to 219"):
        a.send(bytes(220), to=B)


def test_packets_to_unknown_nodes_are_refused():
    _, a, _ = mesh(A, B)
    packet_id = a.send(b"x", to=0x01020304)
    assert Ack(packet_id, AckKind.REFUSED, 39, A) in a.events()
    packet_id = a.send_raw(b"x", channel=6)
    assert Ack(packet_id, AckKind.REFUSED, 6, A) in a.events()
    packet_id = a.send_raw(b"x", pki_encrypted=True)
    assert Ack(packet_id, AckKind.REFUSED, 34, A) in a.events()


def test_without_pki_a_packet_to_one_node_goes_under_the_channel_key():
    bench, a, b = mesh(A, B, pki=False)
    packet_id = a.send(bytes(200), to=B, want_ack=True)
    bench.run(20)
    assert [(packet.payload, packet.pki) for packet in b.packets()] == [(bytes(200), False)]
    assert Ack(packet_id, AckKind.EXPLICIT, 0, B) in a.events()


def test_an_implicit_acknowledgement_is_not_a_delivery():
    """M6: B relays, C never sees it."""
    bench, a, b, c = line()
    packet_id = a.send(b"to all", want_ack=True, hop_limit=3)
    bench.run(MINUTE)
    acks = [event for event in a.events() if isinstance(event, Ack)]
    assert acks == [Ack(packet_id, AckKind.IMPLICIT, 0, A)]
    assert [packet.hops_away for packet in b.packets()] == [0]
    assert [packet.hops_away for packet in c.packets()] == [1]


def test_over_two_hops_both_acknowledgements_come():
    bench, a, b, c = line()
    packet_id = a.send(b"to c", to=C, want_ack=True)
    bench.run(2 * MINUTE)
    acks = [event for event in a.events() if isinstance(event, Ack)]
    assert acks == [Ack(packet_id, AckKind.IMPLICIT, 0, A), Ack(packet_id, AckKind.EXPLICIT, 0, C)]
    assert [packet.payload for packet in c.packets()] == [b"to c"]
    assert b.packets() == []


def test_alone_it_gives_up_after_three_transmissions():
    bench, a = mesh(A)
    a.desk.sent.clear()
    packet_id = a.send(b"anybody?", want_ack=True)
    bench.run(2 * MINUTE)
    assert Ack(packet_id, AckKind.REFUSED, 5, A) in a.events()
    assert len(a.desk.sent) == 3


def test_hop_limits_end_the_way():
    bench, a, b, c = line()
    a.send(b"near", hop_limit=0)
    bench.run(MINUTE)
    assert [packet.payload for packet in b.packets()] == [b"near"]
    assert c.packets() == []


@pytest.mark.parametrize(("channel", "arrives"), [(0, False), (1, True)])
def test_routers_relay_no_private_ports_they_can_read(channel, arrives):
    """radio.md section 1.3: on the default channel a router reads the port and drops it."""
    bench = Bench()
    a = Host(bench, A, deaf_to=frozenset({0x0C}))
    Host(bench, B, role="ROUTER", channels=(MeshChannel(""),))
    c = Host(bench, C, deaf_to=frozenset({0x0A}))
    bench.run(1)
    a.start()
    c.start()
    bench.run(MINUTE)
    c.events()
    a.send(b"x", channel=channel)
    bench.run(MINUTE)
    assert [packet.payload for packet in c.packets()] == ([b"x"] if arrives else [])


def test_channels_match_by_name_and_key_not_by_index():
    bench = Bench()
    a = Host(bench, A)
    b = Host(bench, B, channels=(MeshChannel(""), MeshChannel("other", bytes(16)), PRIVATE))
    c = Host(bench, C, channels=(MeshChannel(""), MeshChannel("nexus", bytes(32))))
    bench.run(1)
    for host in (a, b, c):
        host.start()
    bench.run(30)
    b.events()
    c.events()
    a.send(b"secret")
    bench.run(10)
    assert [packet.channel for packet in b.packets()] == [2]
    assert c.packets() == []


def test_a_wanted_acknowledgement_of_the_unreadable_is_a_refusal():
    bench = Bench()
    a = Host(bench, A, pki=False)
    b = Host(bench, B, pki=False, channels=(MeshChannel(""),))
    bench.run(1)
    a.start()
    b.start()
    bench.run(30)
    a.events()
    packet_id = a.send(b"x", to=B, want_ack=True)
    bench.run(20)
    assert Ack(packet_id, AckKind.REFUSED, 6, B) in a.events()


# --- limits -----------------------------------------------------------------------------------------
def test_every_packet_gets_its_queue_status_and_the_17th_no_place():
    """M5."""
    _, a = mesh(A)
    statuses = []
    for _ in range(20):
        packet_id = a.send(bytes(200))
        (status,) = a.events()
        assert status.packet_id == packet_id
        statuses.append(status)
    # One may be on the air already.
    free = [status.free for status in statuses]
    assert free[:1] in ([15], [16])
    assert free == sorted(free, reverse=True)
    taken = [status for status in statuses if status.error == 0]
    assert 16 <= len(taken) <= 17
    assert statuses[len(taken) :] == [QueueStatus(0, 16, 32, one.packet_id) for one in statuses[len(taken) :]]


def test_queue_statuses_get_lost_when_many_packets_come_at_once():
    """M5: two wait for the host."""
    bench, a = mesh(A)
    a.desk.reads = False
    last = [a.send(bytes(200)) for _ in range(18)][-2:]
    a.desk.reads = True
    bench.settle()
    statuses = a.events()
    assert [status.packet_id for status in statuses] == last
    assert statuses[1].free == 0
    bench.run(3)
    unasked = [event for event in a.events() if isinstance(event, QueueStatus)]
    assert unasked[0] == QueueStatus(1, 16, 0, 0)


def test_texts_come_at_most_every_two_seconds_and_positions_every_ten():
    bench, a, b = mesh(A, B)
    first = a.send(b"one", port=codec.TEXT_PORT, channel=0)
    second = a.send(b"two", port=codec.TEXT_PORT, channel=0)
    acks = [event for event in a.events() if isinstance(event, Ack)]
    assert acks == [Ack(second, AckKind.REFUSED, 38, A)]
    bench.run(2.1)
    a.send(b"three", port=codec.TEXT_PORT, channel=0)
    for _ in range(2):
        a.send_raw(b"", port=3, channel=0)
    assert not [event for event in a.events() if isinstance(event, Ack)]
    bench.run(20)
    got = b.events()
    texts = [event.payload for event in got if isinstance(event, Packet) and event.port == 1]
    assert texts == [b"one", b"three"]
    assert len([event for event in got if isinstance(event, Packet) and event.port == 3]) == 1
    assert first != second


def test_an_id_seen_before_is_ignored():
    """M7: a repetition needs a new one."""
    bench, a, b = mesh(A, B)
    for _ in range(2):
        a.send(b"same", packet_id=4711)
    assert len(a.events()) == 1
    bench.run(10)
    assert len(b.packets()) == 1


def test_the_duty_cycle_of_the_region_is_kept():
    """M8: 10 % in EU_868, then refusals with words."""
    bench, a = mesh(A, preset="LONG_SLOW", signs=False)
    refused = None
    for _ in range(200):
        packet_id = a.send(bytes(231))
        bench.run(20)
        events = a.events()
        refused = next((event for event in events if isinstance(event, Ack)), None)
        if refused:
            break
    assert refused == Ack(packet_id, AckKind.REFUSED, 9, A)
    (words,) = [event for event in events if isinstance(event, Notification)]
    assert words.reply_id == packet_id
    assert "You can send again in" in words.text
    on_air = sum(one.airtime for at, one in a.desk.sent if at > bench.now - 3600)
    assert 360 < on_air < 360 + 2 * a.desk.sent[-1][1].airtime
    minutes = int(words.text.split(" in ")[1].split()[0])
    bench.run(MINUTE * (minutes + 1))
    a.send(b"again")
    assert not [event for event in a.events() if isinstance(event, Ack)]


def test_regions_without_a_duty_cycle_have_none():
    bench, a = mesh(A, preset="LONG_SLOW", region="ANZ", signs=False)
    for _ in range(60):
        a.send(bytes(231))
        bench.run(20)
    assert not [event for event in a.events() if isinstance(event, Ack)]


def test_packets_for_a_host_that_is_away_are_dropped_the_newest_first():
    bench, a, b = mesh(A, B)
    b.desk.reads = False
    for number in range(40):
        a.send(bytes((number,)))
        bench.run(3)
    b.desk.reads = True
    bench.settle()
    kept = [packet.payload[0] for packet in b.packets()]
    assert kept == list(range(len(kept)))
    assert 25 <= len(kept) <= 33


def test_it_tells_its_host_how_much_air_is_used():
    bench, a = mesh(A)
    for _ in range(10):
        a.send(bytes(231))
        bench.run(5)
    bench.run(MINUTE)
    use = [event for event in a.events() if isinstance(event, AirUse)]
    on_air = sum(one.airtime for _, one in a.desk.sent)
    assert use
    assert use[-1].sending == pytest.approx(on_air / 3600, rel=1e-4)
    assert 0 < use[0].channel < 1


def test_air_packets_are_as_the_firmware_lays_them_out():
    """16 bytes in clear, little-endian; the hop counts share a byte with the flags."""
    packet = AirPacket(0xFFFFFFFF, 0x01020304, 0x11223344, 3, 5, True, 0x77, 0x04, b"data")
    assert (
        packet.encode().hex() == "ffffffff" + "04030201" + "44332211" + "ab" + "77" + "00" + "04" + "64617461"
    )
    assert AirPacket.decode(packet.encode()) == packet
    assert AirPacket.decode(b"short") is None


def test_the_default_channel_has_its_known_hash():
    """LongFast under the default key is channel 8 on the air."""
    assert MeshChannel("LongFast").hash == 8
    assert MeshChannel("", b"\x02").key[-1] == 0x02
    assert MeshChannel("x", b"\x00").key == b""
