"""The Meshtastic codec: framing that loses nothing it need not, events, handshake, credits (M2 to M8)."""

import subprocess
import sys
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_firmware import meshtastic as codec
from nexus_firmware import meshtastic_pb
from nexus_firmware.meshtastic import MeshtasticDecoder
from nexus_firmware.meshtastic_events import (
    BROADCAST,
    ROUTING_ERRORS,
    Ack,
    AckKind,
    AirUse,
    ChannelInfo,
    ConfigComplete,
    MyNode,
    Notification,
    Packet,
    QueueStatus,
    Rebooted,
    Remedy,
    remedy,
)
from nexus_firmware.meshtastic_pb import protobufs
from nexus_firmware.meshtastic_presets import PRESETS, REGIONS, radio_settings
from nexus_firmware.meshtastic_session import Credits, Handshake
from nexus_firmware.meshtastic_stream import PAYLOAD_MAX, WAKE, FrameFinder, encode_frame
from nexus_node.base.errors import InputError


def said(**fields) -> bytes:
    """What a device writes."""
    return encode_frame(protobufs().mesh.FromRadio(**fields).SerializeToString())


def mesh_packet(payload=b"x", port=256, sender=2, **fields):
    packet = protobufs().mesh.MeshPacket(**fields)
    setattr(packet, "from", sender)
    packet.decoded.portnum = port
    packet.decoded.payload = payload
    return packet


def routing(error=0, sender=2, request_id=7):
    packet = mesh_packet(protobufs().mesh.Routing(error_reason=error).SerializeToString(), 5, sender)
    packet.decoded.request_id = request_id
    return said(packet=packet)


GOOD = [said(config_complete_id=number + 1000) for number in range(3)]
FOUND = [ConfigComplete(number + 1000) for number in range(3)]


# --- framing ----------------------------------------------------------------------------------------
def test_golden_frames():
    assert codec.want_config(0x12345678).hex() == "94c30006" + "18f8acd19101"
    assert codec.heartbeat().hex() == "94c30002" + "3a00"
    assert codec.heartbeat(announce=True).hex() == "94c30004" + "3a020801"
    assert codec.disconnect().hex() == "94c30002" + "2001"
    packet = codec.encode_packet(b"hi", packet_id=0x01020304, channel=1, want_ack=True)
    # packet { to, channel, decoded { portnum 256, payload }, id, hop_limit 3, want_ack }
    assert (
        packet.hex()
        == "94c3"
        + "001b"
        + "0a19"
        + "15ffffffff"
        + "1801"
        + "2207"
        + "088002"
        + "12026869"
        + ("35" + "04030201" + "4803" + "5001")
    )


def test_frames_have_a_limit():
    assert len(encode_frame(bytes(PAYLOAD_MAX))) == 516
    with pytest.raises(ValueError, match="up to 512"):
        encode_frame(bytes(PAYLOAD_MAX + 1))


@pytest.mark.parametrize(
    "damage",
    [
        b"\x94",
        b"\x94\x94",
        b"\x94\xc3",
        b"\x94\xc3\x94\xc3",
        b"\x94\xc3\x02\x01",
        b"\x94\xc3\xff\xff",
        b"\x94\xc3\x00\x05junk!",
        b"INFO | booting\r\n\x94 \xc3\r\n",
        WAKE,
        bytes(range(256)),
    ],
    ids=lambda damage: damage[:8].hex(),
)
def test_no_good_frame_is_lost_to_damage_before_or_between(damage):
    """M4, better than the stock client, which loses one after a lone 0x94 and one after a cut frame."""
    decoder = MeshtasticDecoder()
    stream = damage + damage.join(GOOD)
    events = decoder.feed(stream) + decoder.give_up()
    assert events == FOUND
    assert decoder.noise > 0


@pytest.mark.parametrize("cut", range(1, 60))
def test_no_good_frame_is_lost_behind_one_cut_short(cut):
    frame = said(
        packet=mesh_packet(bytes(range(30)), to=BROADCAST, id=99, rx_snr=5.5, rx_rssi=-90, hop_start=3)
    )
    decoder = MeshtasticDecoder()
    events = decoder.feed(frame[: min(cut, len(frame) - 1)] + b"".join(GOOD)) + decoder.give_up()
    assert events == FOUND


def test_frames_behind_a_cut_one_wait_only_until_it_is_given_up():
    decoder = MeshtasticDecoder()
    assert decoder.feed(b"\x94\xc3\x01\x00" + GOOD[0]) == []
    assert decoder.waiting
    assert decoder.give_up() == FOUND[:1]
    assert not decoder.waiting
    assert decoder.damaged == 1
    assert decoder.feed(GOOD[1]) == FOUND[1:2]


def test_an_empty_payload_is_a_frame_that_says_nothing():
    decoder = MeshtasticDecoder()
    assert decoder.feed(b"\x94\xc3\x00\x00" + GOOD[0]) == FOUND[:1]
    assert decoder.skipped == 1


@given(st.lists(st.binary(max_size=PAYLOAD_MAX), max_size=4), st.lists(st.integers(0, 9999), max_size=6))
def test_payloads_come_back_in_any_pieces(payloads, cuts):
    stream = b"".join(map(encode_frame, payloads))
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    finder = FrameFinder(lambda payload: payload)
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert [one for piece in pieces for one in finder.feed(piece)] == payloads
    assert finder.noise == finder.damaged == 0


def test_an_unfinished_frame_is_all_that_is_kept():
    finder = FrameFinder(lambda payload: payload)
    for _ in range(1000):
        finder.feed(b"\x94\xc3\x02\x00")
        assert len(finder._rest) <= PAYLOAD_MAX + 4


# --- the package ------------------------------------------------------------------------------------
def test_the_protobufs_come_without_the_package():
    """No thread, `random` left alone, and whoever wants the package itself still gets it."""
    code = """
import random, sys, threading
random.seed(5); state = random.getstate()
from nexus_firmware.meshtastic_pb import protobufs
assert "google.protobuf" not in sys.modules, "lazily"
mesh = protobufs().mesh
assert protobufs() is protobufs()
assert threading.active_count() == 1
assert random.getstate() == state
assert "meshtastic" not in sys.modules
import meshtastic
assert meshtastic.mesh_pb2 is mesh
assert hasattr(meshtastic, "publishingThread")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(meshtastic_pb.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "meshtastic", raising=False)
    with pytest.raises(InputError, match=r"pip install 'nexus-node\[radio\]'"):
        meshtastic_pb.protobufs.__wrapped__()


# --- events -----------------------------------------------------------------------------------------
def decoded(*frames, own=1):
    decoder = MeshtasticDecoder()
    decoder.feed(said(my_info=protobufs().mesh.MyNodeInfo(my_node_num=own)))
    return decoder.feed(b"".join(frames))


def test_small_events():
    mesh = protobufs().mesh
    assert decoded(
        said(my_info=mesh.MyNodeInfo(my_node_num=5)),
        said(rebooted=True),
        said(config_complete_id=9),
        said(queueStatus=mesh.QueueStatus(res=32, free=0, maxlen=16, mesh_packet_id=7)),
        said(clientNotification=mesh.ClientNotification(reply_id=7, message="wait")),
    ) == [MyNode(5), Rebooted(), ConfigComplete(9), QueueStatus(0, 16, 32, 7), Notification("wait", 7)]


def test_channels():
    channel = protobufs().channel.Channel(index=2, role="SECONDARY")
    channel.settings.name, channel.settings.psk = "nexus", b"\x01"
    assert decoded(said(channel=channel)) == [ChannelInfo(2, "nexus", b"\x01", 2)]


def test_packets():
    """M12: whatever the port, the driver chooses."""
    packet = mesh_packet(
        b"hello", sender=3, to=1, channel=1, id=7, rx_snr=-4.25, rx_rssi=-101, hop_start=3, hop_limit=1
    )
    assert decoded(said(packet=packet)) == [Packet(3, 1, 1, 256, b"hello", 7, 0, -101, -4.25, 2, False)]
    old = mesh_packet(b"x", port=1, sender=3, pki_encrypted=True)
    assert decoded(said(packet=old)) == [Packet(3, 0, 0, 1, b"x", 0, 0, None, None, None, True)]


def test_packets_this_node_cannot_read_are_skipped():
    packet = protobufs().mesh.MeshPacket(encrypted=b"secret")
    decoder = MeshtasticDecoder()
    assert decoder.feed(said(packet=packet)) == []
    assert decoder.skipped == 1


def test_acknowledgements_say_what_they_prove():
    """M6: an implicit one comes from the own node."""
    assert decoded(routing(sender=1), routing(sender=2), routing(5, sender=1), routing(6, sender=2)) == [
        Ack(7, AckKind.IMPLICIT, 0, 1),
        Ack(7, AckKind.EXPLICIT, 0, 2),
        Ack(7, AckKind.REFUSED, 5, 1),
        Ack(7, AckKind.REFUSED, 6, 2),
    ]


def test_every_routing_error_has_a_remedy():
    """M6."""
    errors = {value for name, value in protobufs().mesh.Routing.Error.items() if value}
    assert errors == set(ROUTING_ERRORS)
    classes = {one: remedy(one)[1] for one in errors}
    assert classes[5] == classes[3] == Remedy.RETRY
    assert classes[9] == classes[38] == Remedy.BACK_OFF
    assert {classes[one] for one in (6, 7, 34, 35, 39)} == {Remedy.PERMANENT}
    assert remedy(200) == ("error 200", Remedy.RETRY)


def test_the_devices_own_reckoning():
    metrics = protobufs().telemetry.DeviceMetrics(channel_utilization=12.5, air_util_tx=2.5)
    payload = protobufs().telemetry.Telemetry(device_metrics=metrics).SerializeToString()
    assert decoded(said(packet=mesh_packet(payload, port=67, sender=1))) == [AirUse(0.125, 0.025)]
    (other,) = decoded(said(packet=mesh_packet(payload, port=67, sender=2)))
    assert isinstance(other, Packet)


@pytest.mark.parametrize("port", [5, 67])
def test_nonsense_within_a_packet_is_skipped(port):
    packet = mesh_packet(b"\xff\xff", port=port, sender=1)
    packet.decoded.request_id = 7
    assert decoded(said(packet=packet)) == []


# --- session ----------------------------------------------------------------------------------------
def test_a_handshake_takes_items_in_any_order_and_ignores_an_older_one():
    """M3."""
    events = [MyNode(5), ChannelInfo(0, "", b"\x01", 1), ConfigComplete(8)]
    for seed in range(6):
        Random(seed).shuffle(events)
        handshake = Handshake(8)
        handshake.take(ConfigComplete(7))
        assert not handshake.complete
        for event in events:
            handshake.take(event)
        assert handshake.complete
        assert handshake.my_number == 5
        assert list(handshake.channels) == [0]
    silent = Handshake(8)
    silent.take(ConfigComplete(8))
    assert not silent.complete


def test_nothing_is_sent_without_room():
    """M5: what the device said last, less what it has not answered; two places stay free."""
    room = Credits()
    assert room.room == 0
    room.take(QueueStatus(16, 16, 0, 0))
    assert room.room == 14
    for packet_id in range(1, 15):
        assert room.room > 0
        room.sent(packet_id, 10.0)
    assert room.room == 0
    room.take(QueueStatus(15, 16, 0, 1))
    assert room.room == 0
    for packet_id in range(2, 15):
        room.take(QueueStatus(16 - packet_id, 16, 0, packet_id))
    assert room.room == 0
    room.take(QueueStatus(6, 16, 0, 0))
    assert room.room == 4
    room.reset()
    assert room.room == 0


def test_a_lost_status_is_asked_for():
    """M5: within 5 s; the answer counts what was written before the question."""
    room = Credits()
    room.take(QueueStatus(16, 16, 0, 0))
    assert room.next_deadline() is None
    room.sent(1, 10.0)
    room.sent(2, 11.0)
    assert room.next_deadline() == 15.0
    assert not room.heartbeat_due(14.9)
    assert room.heartbeat_due(15.0)
    room.asked(15.0)
    assert not room.heartbeat_due(15.0)
    room.sent(3, 15.5)
    room.take(QueueStatus(14, 16, 0, 0))
    assert room.room == 14 - 2 - 1
    assert room.next_deadline() == 20.5
    room.take(QueueStatus(13, 16, 0, 3))
    assert room.next_deadline() is None
    # Unasked ones say nothing about what is still on its way.
    room.sent(4, 30.0)
    room.take(QueueStatus(1, 16, 0, 0))
    assert room.room == 0
    assert room.next_deadline() == 35.0


# --- sizes ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 20, 127, 128, 165, 166, 200, 219, 231])
def test_air_sizes_are_the_protobuf_s(size):
    data = protobufs().mesh.Data(portnum=256, payload=bytes(size), bitfield=0)
    encoded = len(data.SerializeToString())
    assert codec.air_size(size) == 16 + encoded
    assert codec.air_size(size, pki=True) == 28 + encoded
    assert codec.air_size(size, signs=True) == 16 + encoded + (66 if size <= 165 else 0)


def test_what_fits():
    assert codec.air_size(codec.BROADCAST_MTU) == 255
    assert codec.air_size(codec.UNICAST_MTU, pki=True) == 255
    for to, limit in ((BROADCAST, 231), (5, 219)):
        codec.encode_packet(bytes(limit), packet_id=1, to=to)
        with pytest.raises(ValueError, match=f"up to {limit}"):
            codec.encode_packet(bytes(limit + 1), packet_id=1, to=to)


@pytest.mark.parametrize(
    ("preset", "small", "large", "signed", "pki"),
    [
        ("SHORT_TURBO", 24, 76, 48, 29),
        ("SHORT_FAST", 48, 153, 96, 58),
        ("MEDIUM_FAST", 160, 488, 314, 191),
        ("LONG_TURBO", 378, 1230, 771, 443),
        ("LONG_FAST", 559, 1624, 1051, 641),
        ("LONG_MODERATE", 1774, 5837, 3740, 2167),
        ("LONG_SLOW", 3285, 10625, 6693, 3809),
        ("NARROW_SLOW", 411, 1271, 804, 484),
    ],
)
def test_airtimes(preset, small, large, signed, pki):
    """radio.md section 5.2; M14."""
    settings = radio_settings("US", preset)

    def milliseconds(size, **options):
        return 1000 * codec.packet_airtime(size, settings, **options)

    assert milliseconds(20) == pytest.approx(small, abs=0.6)
    assert milliseconds(160) == pytest.approx(large, abs=0.6)
    assert milliseconds(20, signs=True) == pytest.approx(signed, abs=0.6)
    assert milliseconds(20, pki=True) == pytest.approx(pki, abs=0.6)


def test_frequencies():
    """LongFast in the US is slot 20 of 104; EU_868 has one slot."""
    assert radio_settings("US", "LONG_FAST").frequency == 906_875_000
    assert radio_settings("US", "LONG_FAST", slot=20).frequency == 906_875_000
    assert radio_settings("EU_868", "LONG_FAST").frequency == 869_525_000
    assert radio_settings("US", "LONG_FAST", "nexus").frequency != 906_875_000
    assert radio_settings("EU_868", "LONG_FAST").tx_power == 27
    for name, region in REGIONS.items():
        for preset, modem in PRESETS.items():
            if modem.bandwidth > region.end - region.start:
                with pytest.raises(ValueError, match="wider than the region EU_868"):
                    radio_settings(name, preset)
            else:
                frequency = radio_settings(name, preset).frequency
                assert region.start + modem.bandwidth / 2 <= frequency <= region.end - modem.bandwidth / 2


def test_settings_carry_the_firmware_s_names():
    """Enumerations of the protobufs, so that what a device says can be looked up."""
    lora = protobufs().config.Config.LoRaConfig
    assert set(REGIONS) <= set(lora.RegionCode.keys())
    assert set(PRESETS) - {"LITE_FAST", "LITE_SLOW", "NARROW_FAST", "NARROW_SLOW"} <= set(
        lora.ModemPreset.keys()
    ) | {"MEDIUM_TURBO"}
