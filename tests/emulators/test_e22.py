"""The emulated E22: registers by mode, packets out of a byte pipe (E1, E2, E4, E5)."""

from random import Random

import pytest

from nexus_firmware import e22 as codec
from nexus_firmware.cobs import CobsDecoder, Received, encode_frame
from nexus_firmware.e22 import E22Settings, RegisterDecoder, Registers, WrongFormat
from nexus_firmware.emulate.e22 import E22, Mode

from .bench import Bench

SETTINGS = E22Settings(18)


class Host:
    def __init__(self, bench: Bench, settings: E22Settings | None = None, **options) -> None:
        self.bench = bench
        self.desk = bench.add(E22(Random(len(bench.desks)), **options))
        if settings is not None:
            assert self.ask(codec.write_registers(0, settings.encode())) == [Registers(0, settings.encode())]
            self.desk.firmware.set_mode(Mode.TRANSPARENT)
        self.decoder = CobsDecoder(240, rssi_follows=settings is not None and settings.append_rssi)

    def ask(self, command: bytes):
        return RegisterDecoder().feed(self.desk.ask(command))

    def frames(self):
        return self.decoder.feed(self.desk.read()) + self.decoder.release()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("c0 05 01 09", "c1 05 01 09"),
        ("c0 00 04 12 34 00 61", "c1 00 04 12 34 00 61"),
        ("c2 05 01 09", "c1 05 01 09"),
        ("cf cf c0 05 01 09", "cf cf c1 05 01 09"),
        ("c1 80 07", "c1 80 07 00 22 0b 16 00 00 00"),
        ("c0 05", "ff ff ff"),
        ("41 54", "ff ff ff"),
        ("c0 20 01 00", "ff ff ff"),
        ("c1 07 02", "c1 07 02 00 00"),
    ],
)
def test_golden_vectors(command, answer):
    """E1."""
    host = Host(Bench())
    assert host.desk.ask(bytes.fromhex(command)) == bytes.fromhex(answer)


def test_what_is_written_is_read_and_only_what_is_kept_stays():
    host = Host(Bench())
    host.ask(bytes.fromhex("c0050109"))
    host.ask(bytes.fromhex("c2050111"))
    assert host.ask(codec.read_registers(5, 1)) == [Registers(5, b"\x11")]
    host.desk.firmware.boot(host.bench.now)
    assert host.ask(codec.read_registers(5, 1)) == [Registers(5, b"\x09")]
    assert host.ask(codec.write_registers(7, b"\x12\x34")) == [Registers(7, b"\x12\x34")]
    assert host.ask(codec.read_registers(0, 9))[0].data[7:] == b"\0\0"


def test_several_commands_in_one_write():
    host = Host(Bench())
    assert host.ask(bytes.fromhex("c0050109c10501c20601a0")) == [
        Registers(5, b"\x09"),
        Registers(5, b"\x09"),
        Registers(6, b"\xa0"),
    ]
    assert host.ask(b"\xc0\x05\x01\x09\x00") == [Registers(5, b"\x09"), WrongFormat()]


def test_out_of_configuration_mode_commands_are_data():
    bench = Bench()
    a, b = Host(bench, SETTINGS), Host(bench, SETTINGS)
    assert a.desk.ask(codec.read_registers(5, 1), 2.0) == b""
    assert b.desk.read()[:3] == codec.read_registers(5, 1)


@pytest.mark.parametrize("size", [1, 100, 235])
@pytest.mark.parametrize("append", [True, False])
def test_a_frame_is_one_packet(size, append):
    """E2."""
    bench = Bench()
    settings = E22Settings(18, append_rssi=append)
    a, b = Host(bench, settings), Host(bench, settings)
    payload = bytes(range(256))[:size]
    a.desk.write(encode_frame(payload, 240))
    bench.run(3)
    assert b.frames() == [Received(payload, 176 if append else None)]
    assert [len(one.payload) for _, one in a.desk.sent] == [4 + size + 5]
    assert a.desk.sent[0][1].airtime == pytest.approx(settings.airtime(size + 5))


def test_older_modules_count_half_decibels():
    bench = Bench()
    a, b = Host(bench, SETTINGS), Host(bench, SETTINGS, rssi_halves=True)
    a.desk.write(encode_frame(b"x", 240))
    bench.run(3)
    (frame,) = b.frames()
    assert codec.rssi_dbm(frame.rssi_byte, halves=True) == -80


def test_long_writes_are_cut_into_sub_packets():
    bench = Bench()
    a, b = Host(bench, E22Settings(18, append_rssi=False)), Host(bench, E22Settings(18, append_rssi=False))
    data = bytes(range(256)) * 2
    a.desk.write(data)
    bench.run(10)
    assert b.desk.read() == data
    assert [len(one.payload) - 4 for _, one in a.desk.sent] == [240, 240, 32]


def test_a_lost_sub_packet_costs_exactly_its_frame():
    """E4."""
    bench = Bench()
    a, b = Host(bench, SETTINGS), Host(bench, SETTINGS)
    bench.ether.lost = lambda: len(a.desk.sent) == 2
    for number in range(4):
        a.desk.write(encode_frame(bytes((number,)) * 50, 240))
        bench.run(3)
    assert [frame.data[0] for frame in b.frames()] == [0, 2, 3]


def test_too_much_at_once_is_lost():
    """A module holds about 1000 bytes."""
    bench = Bench()
    a, b = Host(bench, E22Settings(18, append_rssi=False)), Host(bench, E22Settings(18, append_rssi=False))
    for _ in range(3):
        a.desk.write(bytes(1000))
    bench.run(60)
    # A sub-packet on the air is out of the buffer.
    assert len(b.desk.read()) == 1000 + 240


def test_who_has_another_channel_network_or_rate_hears_nothing():
    bench = Bench()
    a = Host(bench, SETTINGS)
    others = [
        Host(bench, one) for one in (E22Settings(19), E22Settings(18, network=1), E22Settings(18, 4800))
    ]
    a.desk.write(encode_frame(b"x", 240))
    bench.run(3)
    assert [host.desk.read() for host in others] == [b""] * 3


def test_ambient_rssi():
    """E5."""
    bench = Bench()
    a, b = Host(bench, SETTINGS), Host(bench, SETTINGS)
    assert b.ask(codec.AMBIENT_RSSI) == [Registers(0, bytes((256 - 117, 0xFF)))]
    a.desk.write(encode_frame(b"x", 240))
    bench.run(3)
    b.frames()
    assert b.ask(codec.AMBIENT_RSSI) == [Registers(0, bytes((256 - 117, 176)))]


def test_the_mode_changes_by_command_where_the_registers_allow():
    bench = Bench()
    host = Host(bench, E22Settings(18, software_mode=True))
    host.desk.write(codec.switch_mode("configuration"))
    assert host.ask(codec.read_registers(5, 1)) == [Registers(5, b"\x12")]
    host.desk.write(codec.switch_mode("transparent"))
    assert host.desk.firmware.mode == Mode.TRANSPARENT
    strict = Host(bench, SETTINGS)
    strict.desk.write(codec.switch_mode("configuration"))
    assert strict.desk.firmware.mode == Mode.TRANSPARENT
