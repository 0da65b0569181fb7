"""An RNode brought up and kept within its queue (R3 to R8), by bytes as the firmware sends them."""

from math import inf

import pytest

from nexus_firmware import rnode
from nexus_firmware.kiss import KissDecoder, encode_kiss
from nexus_firmware.modem import Heard, longest_frame
from nexus_firmware.radio import RadioSettings
from nexus_firmware.rnode_events import Command
from nexus_firmware.rnode_modem import RNodeModem
from nexus_node.base.errors import CarrierLost

SET = RadioSettings(867_200_000, 125_000, 8, 5, 7)


def written(modem: RNodeModem) -> bytes:
    out = b""
    while (piece := modem.poll_write()) is not None:
        out += piece
    return out


def said(command: int, data: bytes) -> bytes:
    return encode_kiss(command, data)


HERE = said(0x08, b"\x46") + said(0x50, b"\x01\x56") + said(0x48, b"\x80") + said(0x49, b"\x81")
ECHOES = {
    Command.FREQUENCY: (867_200_000).to_bytes(4),
    Command.BANDWIDTH: (125_000).to_bytes(4),
    Command.TX_POWER: b"\x07",
    Command.SPREADING_FACTOR: b"\x08",
    Command.CODING_RATE: b"\x05",
    Command.LONG_AIRTIME_LIMIT: (100).to_bytes(2),
    Command.RADIO_STATE: b"\x01",
}


def up(limit: float | None = 0.01) -> RNodeModem:
    modem = RNodeModem(SET, limit)
    modem.begin(0.0)
    modem.receive(HERE, 0.1)
    for command, value in ECHOES.items():
        modem.receive(said(command, value), 0.2)
    written(modem)
    assert modem.ready
    return modem


def test_what_is_asked_and_set_and_in_which_order():
    """R3: detection at once, then the settings with the radio's start last."""
    modem = RNodeModem(SET, 0.01)
    modem.begin(0.0)
    assert written(modem) == b"\xc0" + rnode.DETECTION
    modem.receive(HERE, 0.1)
    frames = KissDecoder(600).feed(written(modem))
    assert [(frame.command, frame.data) for frame in frames] == [
        (int(command), value) for command, value in ECHOES.items()
    ]
    assert not modem.ready and modem.room_at(0.1) == inf
    for command, value in ECHOES.items():
        modem.receive(said(command, value), 0.2)
    assert modem.ready and modem.room_at(0.2) == 0.2


def test_a_device_that_was_set_to_something_else_is_set_up_anew():
    """A spoilt byte in a packet on its way to the device is a command; its own word of that may get lost."""
    modem = up()
    modem.receive(channel(own=0, load=0), 59.0)  # it is alive
    modem.expire(60.5)
    asked = {frame.command: frame.data for frame in KissDecoder(600).feed(written(modem))}
    assert asked[Command.SPREADING_FACTOR] == b"\xff" and asked[Command.FREQUENCY] == bytes(4)
    for command, value in ECHOES.items():
        modem.receive(said(command, value), 60.6)
    assert modem.ready
    modem.receive(said(Command.SPREADING_FACTOR, b"\x0c"), 61.0)
    assert not modem.ready and rnode.DETECTION in written(modem)
    modem.receive(HERE, 61.1)
    for command, value in ECHOES.items():
        modem.receive(said(command, value), 61.2)
    assert modem.ready and modem.room_at(61.2) == 61.2


def test_a_frequency_near_enough_is_taken():
    modem = RNodeModem(SET, 0.01)
    modem.begin(0.0)
    modem.receive(HERE, 0.1)
    for command, value in {**ECHOES, Command.FREQUENCY: (867_199_950).to_bytes(4)}.items():
        modem.receive(said(command, value), 0.2)
    assert modem.ready


def run(modem: RNodeModem, until: float) -> None:
    while modem.next_deadline() <= until:
        modem.expire(modem.next_deadline())


@pytest.mark.parametrize(
    ("command", "value", "words"),
    [
        (Command.TX_POWER, b"\x11", "tx_power = 17, not 7; set tx_power to what the board can do"),
        (Command.SPREADING_FACTOR, b"\x07", "spreading_factor = 7, not 8"),
        (Command.FREQUENCY, (433_000_000).to_bytes(4), "frequency = 433000000, not 867200000"),
        (Command.RADIO_STATE, b"\x00", "radio state = 0, not 1"),
        (Command.CODING_RATE, None, "did not confirm coding_rate = 5"),
    ],
)
def test_an_echo_that_differs_is_named(command, value, words):
    modem = RNodeModem(SET, 0.01)
    modem.begin(0.0)
    modem.receive(HERE, 0.1)
    for each, echo in {**ECHOES, command: value}.items():
        if echo is not None:
            modem.receive(said(each, echo), 0.2)
    assert not modem.ready
    with pytest.raises(CarrierLost, match=words):
        run(modem, 10.0)


def test_no_rnode_and_an_old_one():
    modem = RNodeModem(SET)
    modem.begin(0.0)
    with pytest.raises(CarrierLost, match="no RNode answers on this port"):
        run(modem, 7.0)
    assert written(modem).count(rnode.DETECTION) >= 10
    modem.begin(0.0)
    with pytest.raises(CarrierLost, match=r"firmware 1\.51, which is too old; bring it to 1\.52"):
        modem.receive(HERE.replace(b"\x01\x56", b"\x01\x33"), 0.1)


def test_no_more_than_the_queue_holds():
    """R5: three packets or 1,500 bytes, and none while the device says that it is full."""
    modem = up()
    for _ in range(3):
        assert modem.room_at(1.0) == 1.0
        modem.send(bytes(500), 1.0)
    sending = 3 * modem.airtime(500)
    told = pytest.approx(3.2 + sending)
    assert modem.room_at(1.0) == told, "by then it tells how much it sends, if it ever does"
    assert modem.room_at(7.6) == 7.6
    for _ in range(3):
        modem.send(bytes(500), 7.6)
    assert modem.room_at(7.6) == pytest.approx(7.6 + rnode.longest_wait(SET) + modem.airtime(500))
    assert written(modem).count(rnode.READY_QUERY) == 1
    modem.receive(said(0x0F, b"\x00"), 3.3)
    assert modem.room_at(100.0) == inf
    assert modem.trouble == "the RNode's queue is full"
    modem.expire(modem.next_deadline())
    assert written(modem) == rnode.READY_QUERY
    modem.receive(said(0x0F, b"\x01"), 4.0)
    assert modem.room_at(100.0) == 100.0 and modem.trouble is None


def test_firmware_that_never_says_ready_is_paced_by_time():
    """It is asked three times, and again once it has answered."""
    modem = up()
    modem.send(bytes(500), 1.0)
    assert written(modem).endswith(rnode.READY_QUERY)
    for _ in range(3):
        modem.expire(modem.next_deadline())
    assert written(modem).count(rnode.READY_QUERY) == 2
    modem.send(bytes(500), 6.0)
    assert rnode.READY_QUERY not in written(modem)
    assert modem.room_at(6.0) == 6.0
    modem.receive(READY, 7.0)
    assert rnode.READY_QUERY in written(modem)


def test_a_device_that_stops_reading_gets_nothing_more():
    """A10: it has answered before, so silence is no old firmware; while it sends it may be silent."""
    modem = up()
    modem.send(bytes(500), 1.0)
    modem.receive(said(0x0F, b"\x01"), 1.1)
    modem.send(bytes(500), 2.0)
    written(modem)
    sending = 2 * modem.airtime(500)
    run(modem, 2.4 + sending)
    assert modem.trouble is None
    run(modem, 2.6 + sending)
    assert modem.room_at(8.0) == inf and modem.trouble == "the RNode does not take what it is sent"
    modem.receive(said(0x0F, b"\x01"), 30.0)
    assert modem.room_at(30.0) == 30.0 and modem.trouble is None


def channel(own: int, load: int, own_hour: int = 0, interference: int = 0xFF) -> bytes:
    numbers = (own, own_hour, load, load)
    return said(0x25, b"".join(n.to_bytes(2) for n in numbers) + bytes((50, 40, interference)))


READY = said(0x0F, b"\x01")


def test_what_waits_for_the_air_is_counted_until_the_device_has_sent_it():
    """R5: by how much it says to have sent, and not by how long that takes alone. When it has sent, it has
    sent all it had read, as its answers show."""
    modem = up()
    modem.receive(channel(own=0, load=5000), 1.0)
    for _ in range(3):
        modem.send(bytes(500), 1.0)
    assert written(modem).count(rnode.READY_QUERY) == 1
    modem.receive(READY, 1.1)
    assert written(modem) == rnode.READY_QUERY, "the other two came after the question"
    for second in range(2, 12):
        modem.receive(channel(own=0, load=9500), second)
        assert modem.room_at(second) == inf and modem.trouble == "the RNode waits for the air to be free"
    own = round(modem.airtime(500) / 15 * 10_000)
    modem.receive(channel(own, load=5000 + own), 12.0)
    assert modem.room_at(12.0) == 12.0 and modem.trouble is not None
    modem.receive(READY, 12.1)
    modem.receive(channel(3 * own, load=5000), 13.0)
    assert modem.trouble is None


def test_what_the_device_has_lost_is_not_waited_for_for_ever():
    """A spoilt byte on the line: it never sends, though the air is free, for three times the longest wait.
    When the next packet goes out, so would the others have."""
    modem = up()
    modem.receive(channel(own=0, load=0), 1.0)
    for _ in range(3):
        modem.send(bytes(500), 1.0)
    modem.receive(READY + READY, 1.1)
    for second in range(2, 6):
        modem.receive(channel(own=0, load=0), second)
        assert modem.room_at(second) == inf
    modem.receive(channel(own=0, load=0), 6.0)
    assert modem.room_at(6.0) == 6.0
    modem.send(bytes(500), 6.0)
    assert modem.room_at(7.0) == inf
    modem.receive(READY, 6.1)
    modem.receive(channel(own=round(modem.airtime(500) / 15 * 10_000), load=5000), 9.0)
    assert modem.trouble is None


def test_a_board_that_does_not_send_is_started_anew():
    """A limit that another program has set, say. Interference, and packets of others, it waits for."""
    modem = up()
    modem.receive(channel(own=0, load=0), 1.0)
    for _ in range(3):
        modem.send(bytes(500), 1.0)
    for second in range(2, 60):
        modem.receive(channel(own=0, load=0, interference=90), second)
        assert modem.room_at(second) == inf
    for second in range(60, 80):
        modem.receive(channel(own=0, load=0), second)
    assert modem.room_at(80.0) == 80.0 and modem.ready, "it is given another packet first"
    modem.send(bytes(500), 80.0)
    modem.receive(READY + READY, 80.1)
    written(modem)
    for second in range(81, 85):
        modem.receive(channel(own=0, load=0), second)
        assert modem.ready and modem.room_at(second) == inf
    modem.receive(channel(own=0, load=0), 85.0)
    assert written(modem) == rnode.RESTART
    assert not modem.ready and modem.trouble is not None
    assert modem.trouble.startswith("the RNode sends nothing of what it was given")


def test_firmware_that_never_says_ready_is_not_started_anew_for_it():
    """Nothing shows what it has read, so much of what it is taken to hold may be out."""
    modem = up()
    modem.receive(channel(own=0, load=0), 1.0)
    modem.send(bytes(500), 1.0)
    for _ in range(3):
        modem.expire(modem.next_deadline())
    for second in range(2, 60):
        modem.receive(channel(own=0, load=0), second)
        while modem.room_at(second) == second:
            modem.send(bytes(20), second)
    assert modem.ready and rnode.RESTART not in written(modem)


@pytest.mark.parametrize("room", [b"\0", b"\1"])
def test_a_ready_answer_that_comes_as_it_is_set_up_anew_stops_nothing(room: bytes):
    modem = up()
    modem.send(bytes(500), 1.0)
    modem.receive(said(Command.SPREADING_FACTOR, b"\x0c"), 1.1)
    modem.receive(said(0x0F, room), 1.2)
    assert not modem.ready and modem.next_deadline() < 2.0
    modem.receive(HERE, 1.3)
    for command, value in ECHOES.items():
        modem.receive(said(command, value), 1.4)
    assert modem.ready and modem.room_at(1.4) == 1.4


def test_what_its_own_limit_holds_back_is_not_lost():
    """R5, R7."""
    modem = up()
    for _ in range(3):
        modem.send(bytes(500), 1.0)
    for second in range(2, 60):
        modem.receive(channel(own=0, load=0, own_hour=100), second)
    modem.receive(channel(own=0, load=0, own_hour=99), 60.0)
    assert modem.room_at(60.0) == inf


def test_while_it_sends_it_may_be_silent():
    """The firmware does nothing else meanwhile; at SF12 that is twenty seconds for a packet of 500 bytes."""
    modem = up()
    modem.receive(channel(own=0, load=0), 1.0)
    sending = 0.0
    for _ in range(3):
        modem.send(bytes(500), 1.0)
        sending += modem.airtime(500)
    modem.receive(READY + READY, 1.1)
    written(modem)
    run(modem, 15.9 + sending)
    assert not written(modem)
    run(modem, 16.2 + sending)
    assert written(modem) == said(0x06, b"\xff"), "is it still on?"


def test_the_devices_own_limit_is_respected_and_said():
    """R7."""
    modem = up()
    modem.receive(channel(own=0, load=0, own_hour=100), 1.0)
    assert modem.room_at(1.0) == inf
    assert modem.trouble is not None and "itself holds packets back" in modem.trouble
    modem.receive(channel(own=0, load=0, own_hour=99), 2.0)
    assert modem.room_at(2.0) == 2.0


def test_a_restart_told_or_silent_is_set_up_again():
    """R6, A11."""
    modem = up()
    modem.send(bytes(500), 1.0)
    written(modem)
    modem.receive(said(0x55, b"\xf8"), 2.0)
    assert not modem.ready and written(modem).endswith(rnode.DETECTION)
    modem = up()
    run(modem, 16.0)  # silent for long: is it still on?
    assert written(modem) == said(0x06, b"\xff")
    modem.receive(said(0x06, b"\x00"), 16.0)
    assert not modem.ready and written(modem).endswith(rnode.DETECTION)


def test_a_board_that_hangs_is_noticed():
    modem = up()
    with pytest.raises(CarrierLost, match="has fallen silent"):
        run(modem, 30.0)


def test_errors_of_the_device():
    modem = up()
    modem.receive(said(0x90, b"\x02"), 1.0)
    assert modem.ready
    modem.receive(said(0x90, b"\x04"), 1.0)
    assert modem.room_at(1.0) == inf
    with pytest.raises(CarrierLost, match="the radio chip does not start; check the board"):
        modem.receive(said(0x90, b"\x01"), 1.0)


def test_packets_heard_come_with_their_signal_and_only_once_set_up():
    modem = RNodeModem(SET, 0.01)
    modem.begin(0.0)
    modem.receive(said(0x00, b"too early"), 0.0)
    assert not modem.heard
    modem = up()
    modem.receive(said(0x23, bytes((77,))) + said(0x24, b"\xf0") + said(0x00, b"\xc0\xdb"), 1.0)
    assert modem.heard.popleft() == Heard(b"\xc0\xdb", -80, -4.0)
    for _ in range(1000):
        modem.receive(said(0x00, b"flood"), 1.0)
    assert len(modem.heard) <= 256


def test_a_frame_as_long_as_the_law_allows():
    modem = up()
    assert longest_frame(modem, 36.0, 136) == 500
    size = longest_frame(modem, 1.0, 136)
    assert modem.airtime(size) <= 1.0 < modem.airtime(size + 1)
    with pytest.raises(CarrierLost, match="choose a lower spreading factor or another sub-band"):
        longest_frame(modem, 0.1, 136)
