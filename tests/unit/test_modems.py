"""Modems by the bytes of their firmware: what they are told, and what they make of odd answers."""

from math import inf

import pytest

from nexus_firmware import e22, meshtastic
from nexus_firmware import meshcore_companion as companion
from nexus_firmware.at_dialects import RAK3172, RN2483, RYLR998
from nexus_firmware.at_modem import AtModem
from nexus_firmware.cobs import encode_frame
from nexus_firmware.companion_modem import CompanionModem
from nexus_firmware.e22 import E22Settings
from nexus_firmware.e22_modem import E22Modem
from nexus_firmware.kiss import KissDecoder, encode_kiss
from nexus_firmware.meshcore_modem import MeshcoreModem
from nexus_firmware.meshtastic_modem import PREFIX, MeshtasticModem
from nexus_firmware.meshtastic_pb import protobufs
from nexus_firmware.meshtastic_stream import encode_frame as meshtastic_frame
from nexus_firmware.modem import Heard, Modem
from nexus_firmware.radio import RadioSettings
from nexus_node.base.errors import CarrierLost

SET = RadioSettings(869_525_000, 125_000, 8, 5, 14)


def written(modem: Modem) -> bytes:
    out = b""
    while (piece := modem.poll_write()) is not None:
        out += piece
    return out


def until(modem: Modem, at: float) -> None:
    """Let time pass."""
    for _ in range(10_000):
        due = modem.next_deadline()
        if due > at:
            return
        modem.expire(due)
    raise AssertionError("its deadlines do not end")


# --- modules with text commands ---------------------------------------------------------------------
def at_up(dialect=RAK3172) -> AtModem:
    modem = AtModem(dialect, SET)
    modem.begin(0.0)
    assert written(modem) == b"\r\n"
    modem.receive(b"AT_ERROR\r\n", 0.1)  # to the empty line
    until(modem, 0.5)
    for step in dialect.configuration(SET):
        assert written(modem) == step.line
        modem.receive(b"123\r\n" if step.until.__name__ == "Answer" else OKS[dialect.name], 0.5)
    for step, line in dialect.questions(SET).items():
        assert written(modem) == step.line and not modem.ready
        modem.receive(line.encode() + b"\r\n", 0.5)
        if dialect is RAK3172:
            modem.receive(b"OK\r\n", 0.5)
    assert modem.ready and modem.room_at(0.5) == 0.5
    return modem


OKS = {"rak3172": b"OK\r\n", "rylr998": b"+OK\r\n", "rn2483": b"ok\r\n"}


@pytest.mark.parametrize("dialect", [RAK3172, RYLR998, RN2483], ids=lambda one: one.name)
def test_modules_are_set_up_and_asked(dialect):
    at_up(dialect)


def test_a_setting_that_was_spoilt_on_its_way_is_found_and_set_again():
    modem = AtModem(RAK3172, SET)
    modem.begin(0.0)
    for attempt in range(4):
        until(modem, attempt + 0.5)
        written(modem)
        for _ in RAK3172.configuration(SET):
            modem.receive(b"OK\r\n", attempt + 0.6)
        written(modem)
        modem.receive(b"AT+P2P=868525000:8:125:0:8:14\r\n", attempt + 0.6)
        if attempt == 3:
            with pytest.raises(CarrierLost, match="does not keep AT"):
                modem.receive(b"OK\r\n", attempt + 0.6)
        else:
            modem.receive(b"OK\r\n", attempt + 0.6)
            assert not modem.ready


def test_a_busy_module_is_tried_again_and_a_silent_one_set_up_again():
    modem = at_up()
    modem.send(b"hello", 1.0)
    assert written(modem) == b"AT+PRECV=0\r\n" and modem.room_at(1.0) == inf
    modem.receive(b"OK\r\n", 1.0)
    assert written(modem) == b"AT+PSEND=68656C6C6F\r\n"
    modem.receive(b"AT_BUSY_ERROR\r\n", 1.0)
    assert written(modem) == b"" and modem.room_at(1.0) == inf and "busy" in (modem.trouble or "")
    until(modem, 1.3)
    assert written(modem) == b"AT+PRECV=0\r\n"
    modem.receive(b"OK\r\n", 1.4)
    modem.receive(b"OK\r\n", 1.4)
    modem.receive(b"+EVT:RXP2P:-80:9:AB\r\n", 1.5)  # heard just before
    modem.receive(b"+EVT:TXP2P DONE\r\n", 1.6)
    assert written(modem).endswith(b"AT+PRECV=65534\r\n")
    modem.receive(b"OK\r\n", 1.6)
    assert modem.room_at(1.6) == 1.6 and modem.heard.popleft() == Heard(b"\xab", -80, 9.0)
    modem.send(b"x", 2.0)
    until(modem, 9.0)
    assert not modem.ready and b"AT+NWM=0" in written(modem)


def test_a_module_that_restarts_or_hangs_is_noticed():
    modem = at_up()
    modem.receive(b"RAKwireless RAK3172-E Example\r\nCurrent Work Mode: LoRa P2P.\r\n", 5.0)
    assert not modem.ready
    until(modem, 5.5)
    assert written(modem) == b"AT+NWM=0\r\n"  # once, though the banner has two lines
    modem = at_up()
    until(modem, 40.0)
    assert b"AT\r\n" in written(modem)
    with pytest.raises(CarrierLost, match="no rak3172 answers as it should"):
        until(modem, 100.0)


def test_the_receiver_of_an_rn2483_is_started_again_after_each_packet():
    modem = at_up(RN2483)
    modem.receive(b"radio_rx  68656C6C6F\r\n", 1.0)
    assert modem.heard.popleft().data == b"hello" and written(modem) == b"radio rx 0\r\n"
    modem.receive(b"ok\r\n", 1.0)
    modem.receive(b"radio_err\r\n", 2.0)
    assert written(modem) == b"radio rx 0\r\n"


# --- E22 --------------------------------------------------------------------------------------------
WANTED = E22Settings(channel=18, software_mode=True)
FACTORY = bytes.fromhex("00000062001703")


def test_an_e22_is_set_once_and_kept_and_brought_back_to_sending():
    """E1: golden bytes; what is right already is not written again."""
    modem = E22Modem(WANTED, 850_125_000)
    modem.begin(0.0)
    assert written(modem).hex() == "c0c1c2c30202"
    until(modem, 0.2)
    assert written(modem).hex() == "c10007"
    modem.receive(b"\xc1\x00\x07" + FACTORY, 0.3)
    assert written(modem) == b"\xc0\x00\x07" + WANTED.encode()
    modem.receive(b"\xc1\x00\x07" + WANTED.encode(), 0.4)
    assert written(modem).hex() == "c0c1c2c30200" and not modem.ready
    until(modem, 0.6)
    assert modem.ready and modem.note is None
    again = E22Modem(WANTED, 850_125_000)
    again.begin(0.0)
    until(again, 0.2)
    again.receive(b"\xc1\x00\x07" + WANTED.encode(), 0.3)
    assert written(again).endswith(e22.switch_mode("transparent"))


def test_an_e22_that_tells_nothing_is_used_and_its_owner_told():
    modem = E22Modem(WANTED, 850_125_000)
    modem.begin(0.0)
    until(modem, 5.0)
    assert modem.ready and "by hand it must be set to channel 18, 2400 bit/s" in (modem.note or "")


def test_an_e22_with_its_pins_in_configuration_mode_is_named():
    modem = E22Modem(WANTED, 850_125_000)
    modem.begin(0.0)
    until(modem, 5.0)
    modem.receive(b"\xff\xff\xff", 6.0)
    with pytest.raises(CarrierLost, match="M0 and M1 low"):
        modem.receive(b"\xff\xff\xff", 7.0)


def test_an_e22_that_refuses_a_register_is_named():
    modem = E22Modem(WANTED, 850_125_000)
    modem.begin(0.0)
    until(modem, 0.2)
    modem.receive(b"\xc1\x00\x07" + FACTORY, 0.3)
    taken = bytearray(WANTED.encode())
    taken[5] = 23
    with pytest.raises(CarrierLost, match="does not take frequency as configured"):
        modem.receive(b"\xc1\x00\x07" + bytes(taken), 0.4)


def test_frames_of_an_e22_go_one_at_a_time_and_come_with_their_level():
    """E2, with a full packet split at every offset; E3."""
    modem = E22Modem(WANTED, 850_125_000)
    modem.begin(0.0)
    until(modem, 5.0)
    written(modem)
    modem.send(bytes(WANTED.mtu), 6.0)
    frame = encode_frame(bytes(WANTED.mtu), 240)
    assert written(modem) == frame
    least = 6.0 + WANTED.airtime(len(frame))
    assert least < modem.room_at(6.0) < least * 1.3
    for at in range(1, len(frame)):
        modem.receive(frame[:at], 7.0)
        modem.receive(frame[at:] + b"\xb0", 7.1)
        assert modem.heard.popleft() == Heard(bytes(WANTED.mtu), -80, None)
    modem.receive(frame, 8.0)  # a module that appends nothing
    assert not modem.heard
    until(modem, 8.1)
    assert modem.heard.popleft() == Heard(bytes(WANTED.mtu), None, None)


# --- MeshCore ---------------------------------------------------------------------------------------
RADIO = (
    bytes.fromhex("8b") + (869_525_000).to_bytes(4, "little") + (125_000).to_bytes(4, "little") + b"\x08\x05"
)


def meshcore_up() -> MeshcoreModem:
    modem = MeshcoreModem(SET)
    modem.begin(0.0)
    frames = KissDecoder(600).feed(written(modem))
    assert [frame.data[0] for frame in frames if frame.command == 6] == [0x09, 0x0A, 0x19, 0x0B, 0x0C]
    modem.receive(encode_kiss(6, b"\xf0") * 2 + encode_kiss(6, RADIO) + encode_kiss(6, b"\x8c\x0e"), 0.1)
    assert modem.ready
    return modem


def test_k3_one_packet_at_a_time_and_busy_is_tried_again():
    modem = meshcore_up()
    modem.send(b"hello", 1.0)
    assert written(modem) == encode_kiss(0, b"hello") and modem.room_at(1.0) == inf
    modem.receive(encode_kiss(6, b"\xf1\x07"), 1.1)
    assert written(modem) == b"" and modem.room_at(1.1) == inf
    until(modem, 1.5)
    assert written(modem) == encode_kiss(0, b"hello")
    modem.receive(encode_kiss(6, b"\xf8\x01"), 2.0)
    assert modem.room_at(2.0) == 2.0


def test_k4_the_signal_comes_behind_its_packet_or_not_at_all():
    modem = meshcore_up()
    modem.receive(encode_kiss(0, b"one") + encode_kiss(6, b"\xf9\xf6\xb0"), 1.0)
    assert modem.heard.popleft() == Heard(b"one", -80, -2.5)
    modem.receive(encode_kiss(0, b"two"), 2.0)
    assert not modem.heard
    until(modem, 2.1)
    assert modem.heard.popleft() == Heard(b"two", None, None)


def test_a_modem_that_cannot_send_or_is_none_is_named():
    modem = meshcore_up()
    with pytest.raises(CarrierLost, match="cannot send; check its antenna"):
        for n in range(5):
            modem.send(b"x", float(n))
            modem.receive(encode_kiss(6, b"\xf8\x00"), float(n))
    modem = MeshcoreModem(SET)
    modem.begin(0.0)
    with pytest.raises(CarrierLost, match="no MeshCore KISS modem answers"):
        until(modem, 20.0)


def test_a_modem_that_has_lost_its_settings_is_set_again():
    modem = meshcore_up()
    until(modem, 20.2)
    assert len(written(modem)) > 0
    modem.receive(encode_kiss(6, b"\x8b" + bytes(10)) + encode_kiss(6, b"\x8c\x00"), 20.3)
    assert not modem.ready and encode_kiss(6, b"\x0a\x0e") in written(modem)


# --- MeshCore companion -----------------------------------------------------------------------------
def told(*frames: bytes) -> bytes:
    return b"".join(b">" + len(one).to_bytes(2, "little") + one for one in frames)


SELF = bytes((5, 1, 20, 22)) + bytes(44) + (869_618).to_bytes(4, "little") + (62_500).to_bytes(4, "little")
SELF += b"\x08\x08" + b"Board"


def companion_up(channel: int | str = "nexus", protocol: int = 11) -> CompanionModem:
    modem = CompanionModem(channel, lambda: 0)
    modem.begin(0.0)
    assert written(modem) == companion.APP_START
    modem.receive(told(SELF), 0.1)
    assert written(modem) == companion.DEVICE_QUERY
    modem.receive(told(bytes((13, protocol))), 0.1)
    for index, name in enumerate(("Public", "nexus")):
        assert written(modem) == companion.get_channel(index) and not modem.ready
        modem.receive(told(bytes((18, index)) + name.encode().ljust(32, b"\0") + bytes(16)), 0.2)
    for _ in range(6):
        modem.receive(told(b"\x01\x02"), 0.2)
    assert modem.ready and written(modem).endswith(companion.SYNC_NEXT)
    modem.receive(told(b"\x0a"), 0.3)
    return modem


def test_a_companion_is_asked_how_it_is_set():
    modem = companion_up()
    assert modem.settings == RadioSettings(869_618_000, 62_500, 8, 8, 20)
    # 181 bytes on the air: 1,623 ms, and 16 symbols of preamble more since firmware 1.17.
    assert modem.airtime(160) == pytest.approx(1.6886, abs=0.001)
    with pytest.raises(CarrierLost, match=r"no channel secret, but 0 .Public., 1 .nexus."):
        companion_up("secret")
    with pytest.raises(CarrierLost, match="firmware without datagrams"):
        companion_up(protocol=10)


def test_c4_datagrams_go_one_at_a_time_and_no_two_are_equal():
    modem = companion_up()
    modem.send(b"same", 1.0)
    first = written(modem)
    assert (
        first == companion.frame_of(b"\x3e\x01\xff\x4e\xff" + b"\x00\x01same") and modem.room_at(1.0) == inf
    )
    modem.receive(told(b"\x00"), 1.1)
    assert modem.room_at(1.1) == pytest.approx(1.0 + 4 * modem.airtime(4))
    modem.send(b"same", 9.0)
    second = written(modem)
    assert second != first
    modem.receive(told(b"\x01\x03"), 9.1)  # its queue is full
    assert modem.trouble == "the MeshCore device's queue is full" and modem.room_at(9.1) == inf
    until(modem, 11.2)
    assert written(modem) == second
    with pytest.raises(ValueError, match="holds 1 to 163 bytes, not 164"):
        companion.send_data(1, bytes(164))


def test_c3_what_waits_is_fetched_until_there_is_no_more():
    modem = companion_up()

    def datagram(channel: int, kind: int) -> bytes:
        return told(bytes((27, 0xF6, 0, 0, channel, 0)) + kind.to_bytes(2, "little") + b"\x04\x01\x02hi")

    modem.receive(told(b"\x83"), 1.0)
    assert written(modem) == companion.SYNC_NEXT
    modem.receive(datagram(1, 0xFF4E), 1.0)
    assert modem.heard.popleft() == Heard(b"hi", None, -2.5) and written(modem) == companion.SYNC_NEXT
    for channel, kind in ((0, 0xFF4E), (1, 0xFFFF)):
        modem.receive(datagram(channel, kind), 1.1)
        assert not modem.heard and written(modem) == companion.SYNC_NEXT
    modem.receive(told(b"\x11text"), 1.1)
    assert written(modem) == companion.SYNC_NEXT
    modem.receive(told(b"\x0a"), 1.2)
    assert written(modem) == b""


def test_a_companion_that_does_not_answer_is_named_and_filled_up_before():
    modem = CompanionModem(1, lambda: 0)
    modem.begin(0.0)
    with pytest.raises(CarrierLost, match="no MeshCore companion device answers"):
        until(modem, 60.0)
    assert len(written(modem)) > 65_535


# --- Meshtastic -------------------------------------------------------------------------------------
class Device:
    """What a device says."""

    def __init__(self, modem: MeshtasticModem) -> None:
        self.modem = modem
        self.mesh = protobufs().mesh

    def say(self, now: float, **fields) -> None:
        self.modem.receive(meshtastic_frame(self.mesh.FromRadio(**fields).SerializeToString()), now)

    def shake(
        self, now: float, *, nonce: int = 77, region: int = 3, channels: tuple[str, ...] = ("", "nexus")
    ):
        pb = protobufs()
        self.say(now, my_info=self.mesh.MyNodeInfo(my_node_num=5))
        lora = pb.config.Config.LoRaConfig(region=region, use_preset=True, hop_limit=3, tx_enabled=True)
        self.say(now, config=pb.config.Config(lora=lora))
        for index, name in enumerate(("", "nexus")):
            settings = pb.channel.ChannelSettings(name=name, psk=b"k" * 16)
            role = 2 if index else 1
            self.say(now, channel=pb.channel.Channel(index=index, settings=settings, role=role))
        self.say(now, config_complete_id=nonce)

    def room(self, now: float, free: int, packet: int = 0, error: int = 0) -> None:
        self.say(
            now,
            queueStatus=self.mesh.QueueStatus(free=free, maxlen=16, mesh_packet_id=packet, res=error),
        )


def meshtastic_up(channel: int | str = "nexus") -> tuple[MeshtasticModem, Device]:
    modem = MeshtasticModem(channel, 256, None, lambda: 77)
    device = Device(modem)
    modem.begin(0.0)
    device.shake(0.1)
    assert modem.ready and modem.room_at(0.1) == inf  # it has not said what room there is
    assert written(modem).endswith(meshtastic.heartbeat())
    device.room(0.2, 16)
    assert modem.room_at(0.2) == 0.2
    return modem, device


def test_m3_the_end_of_an_old_handshake_counts_for_nothing():
    modem = MeshtasticModem(0, 256, None, lambda: 77)
    device = Device(modem)
    modem.begin(0.0)
    device.shake(0.1, nonce=76)
    assert not modem.ready
    device.say(0.2, config_complete_id=77)
    assert modem.ready
    modem = MeshtasticModem(0, 256, None, lambda: 77)
    modem.begin(0.0)
    with pytest.raises(CarrierLost, match="no Meshtastic device answers"):
        until(modem, 31.0)
    assert written(modem).count(meshtastic.want_config(77)) == 3


def test_what_the_device_is_set_to():
    modem, _ = meshtastic_up()
    assert modem.region == "EU_868" and modem.settings is not None
    assert (modem.settings.bandwidth, modem.settings.spreading_factor) == (250_000, 11)
    assert modem.airtime(217) == pytest.approx(2.0746, abs=0.001)
    with pytest.raises(CarrierLost, match=r"has no channel secret; it has 0 .default., 1 .nexus."):
        meshtastic_up("secret")
    unset = MeshtasticModem(0, 256, None, lambda: 77)
    unset.begin(0.0)
    with pytest.raises(CarrierLost, match="has no region set; set it with its app"):
        Device(unset).shake(0.1, region=0)


@pytest.mark.parametrize(
    "spoilt", [{"bandwidth": 0}, {"coding_rate": 40}, {"override_frequency": float("nan")}]
)
def test_settings_that_no_radio_has_are_reckoned_as_the_default(spoilt):
    """A byte was spoilt, or firmware has what is not known here: no reason to end."""
    modem = MeshtasticModem(0, 256, None, lambda: 77)
    device = Device(modem)
    modem.begin(0.0)
    device.say(0.1, my_info=device.mesh.MyNodeInfo(my_node_num=5))
    lora = {"region": 3, "bandwidth": 250, "spread_factor": 11, "coding_rate": 5, "tx_enabled": True} | spoilt
    config = protobufs().config.Config
    device.say(0.1, config=config(lora=config.LoRaConfig(**lora)))
    device.say(0.2, config_complete_id=77)
    assert modem.ready and modem.settings is not None
    assert (modem.settings.bandwidth, modem.settings.spreading_factor) == (250_000, 11)
    assert modem.airtime(100) > 0


def test_m5_never_more_than_there_is_room_and_a_lost_status_is_asked_for():
    modem, device = meshtastic_up()
    device.room(0.3, 3)
    modem.send(b"hello", 1.0)
    assert written(modem) == meshtastic.encode_packet(PREFIX + b"hello", packet_id=77, channel=1)
    assert modem.room_at(1.0) == inf  # two places are left to the device
    until(modem, 6.1)
    assert written(modem) == meshtastic.heartbeat()
    device.room(6.2, 3)
    assert modem.room_at(6.2) == 6.2
    modem.send(b"hello", 7.0)
    device.room(7.1, 16, 77)
    assert modem.room_at(7.1) == pytest.approx(7.0 + 4 * modem.airtime(5))
    written(modem)
    until(modem, 20.0)
    with pytest.raises(CarrierLost, match="has fallen silent"):
        until(modem, 400.0)


def test_m9_a_heartbeat_every_five_minutes_and_30_s_without_an_answer_are_the_end():
    """The device itself would forget a client after a quarter of an hour, and say nothing."""
    modem, device = meshtastic_up()
    written(modem)
    for beat in range(1, 5):
        until(modem, 300 * beat - 1.0)
        assert not written(modem)
        until(modem, 300 * beat + 1.0)
        assert written(modem) == meshtastic.heartbeat()
        device.room(300 * beat + 1.0, 16)
    until(modem, 1502.0)
    assert written(modem) == meshtastic.heartbeat()
    until(modem, 1525.0)
    with pytest.raises(CarrierLost, match="has fallen silent"):
        until(modem, 1532.0)


def test_m8_the_duty_cycle_of_the_device_makes_a_pause():
    modem, device = meshtastic_up()
    modem.send(b"x", 1.0)
    device.room(1.1, 14, 77, error=9)
    assert modem.room_at(1.1) >= 61.0 and "duty cycle of this hour is used up" in (modem.trouble or "")
    note = device.mesh.ClientNotification(message="Duty cycle limit exceeded. You can send again in 7 mins")
    device.say(1.2, clientNotification=note)
    assert modem.room_at(1.2) >= 1.2 + 420


def test_m11_m12_reboots_and_what_is_not_ours():
    modem, device = meshtastic_up()

    def packet(port=256, channel=1, to=0xFFFFFFFF, payload=PREFIX + b"hi"):
        one = device.mesh.MeshPacket(to=to, channel=channel, id=9, rx_rssi=-80, rx_snr=5.0)
        setattr(one, "from", 6)
        one.decoded.portnum, one.decoded.payload = port, payload
        device.say(2.0, packet=one)

    packet()
    assert modem.heard.popleft() == Heard(b"hi", -80, 5.0)
    packet(port=1)
    packet(channel=0)
    packet(to=5)
    packet(payload=b"something else")
    packet(payload=PREFIX)
    assert not modem.heard and modem.foreign == 4
    device.say(3.0, rebooted=True)
    assert not modem.ready and meshtastic.want_config(77) in written(modem)
