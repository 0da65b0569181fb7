"""Boards in real time and in trio's virtual time: ptys, TCP, and an air across processes."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from nexus_firmware import rnode as codec
from nexus_firmware.emulate.air import Channel, Ether, Transmission
from nexus_firmware.emulate.board import Board
from nexus_firmware.emulate.faults import BadLine
from nexus_firmware.emulate.local_air import Begun, LocalAir, parse_begun_untrusted
from nexus_firmware.emulate.rnode import RNode
from nexus_firmware.emulate.serve import open_pty, serve_tcp
from nexus_firmware.radio import RadioSettings
from nexus_firmware.rnode_events import Detected, Received, Restarted
from nexus_node.base.errors import InputError

FAST = RadioSettings(868_100_000, 500_000, 7, 5, 7)


async def read_until(stream, decoder, kind, seconds=5.0):
    """The events up to and with the first of a kind."""
    events = []
    with trio.fail_after(seconds):
        while not any(isinstance(event, kind) for event in events):
            events += decoder.feed(await stream.receive_some(4096))
    return events


def start(stream):
    return stream.send_all(b"".join(codec.configuration(codec.wanted(FAST))))


def test_boards_run_in_virtual_time():
    """An hour of statistics in a moment, and a packet that takes exactly its time on air."""

    async def main():
        ether = Ether()
        boards = [Board(RNode(Random(number)), ether) for number in range(2)]
        async with trio.open_nursery() as nursery:
            ends = []
            for board in boards:
                device, host = trio.testing.memory_stream_pair()
                nursery.start_soon(board.run)
                nursery.start_soon(board.serve, device)
                ends.append(host)
            decoders = [codec.RNodeDecoder() for _ in boards]
            for host, decoder in zip(ends, decoders, strict=True):
                await read_until(host, decoder, Restarted)
                await start(host)
            await trio.sleep(3600)
            begin = trio.current_time()
            await ends[0].send_all(codec.encode_packet(bytes(500)))
            events = await read_until(ends[1], decoders[1], Received, seconds=9999)
            took = trio.current_time() - begin
            assert events[-1] == Received(bytes(500), -80, 10.0)
            airtime = codec.packet_airtime(500, FAST)
            assert airtime < took < airtime + 17 * 0.024 + 0.001
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_pty_is_a_serial_port_that_programs_open_and_close(tmp_path: Path):
    link = tmp_path / "ttyRADIO"

    async def main():
        board = Board(RNode(Random(1), boot_s=0.0), Ether())
        async with trio.open_nursery() as nursery, open_pty(link) as (stream, name):
            assert name == str(link)
            nursery.start_soon(board.run)
            nursery.start_soon(board.serve, stream)
            for _ in range(3):
                port = trio.lowlevel.FdStream(os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
                async with port:
                    await port.send_all(codec.DETECTION)
                    await read_until(port, codec.RNodeDecoder(), Detected)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert not link.is_symlink()


def test_every_byte_crosses_a_pty_unchanged():
    async def main():
        async with open_pty() as (device, name):
            port = trio.lowlevel.FdStream(os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
            async with port:
                everything = bytes(range(256)) * 8
                for sender, receiver in ((device, port), (port, device)):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(sender.send_all, everything)
                        got = b""
                        with trio.fail_after(5):
                            while len(got) < len(everything):
                                got += await receiver.receive_some(4096)
                    assert got == everything

    trio.run(main)


def test_a_file_in_the_place_of_the_link_stays(tmp_path: Path):
    taken = tmp_path / "precious"
    taken.write_text("mine")

    async def main():
        async with open_pty(taken):
            pass

    with pytest.raises(InputError, match="is there and is no link"):
        trio.run(main)
    assert taken.read_text() == "mine"


def test_the_port_of_another_emulator_is_not_taken_away(tmp_path: Path):
    """The same command typed twice; what one left behind that was killed is replaced."""
    link = tmp_path / "ttyRADIO"

    async def main():
        async with open_pty(link):
            device = os.readlink(link)
            with pytest.raises(InputError, match="is the port of another emulator; end that one"):
                async with open_pty(link):
                    pass
            assert os.readlink(link) == device
        link.symlink_to(device)  # left behind by one that was killed
        async with open_pty(link):
            pass
        assert not link.is_symlink()

    trio.run(main)


@pytest.mark.parametrize("newest_wins", [True, False])
def test_tcp_has_one_client(newest_wins):
    async def main():
        board = Board(RNode(Random(1), boot_s=0.0), Ether())
        where = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(board.run)
            nursery.start_soon(
                lambda: serve_tcp(board, "127.0.0.1", 0, where.append, newest_wins=newest_wins)
            )
            while not where:
                await trio.sleep(0.01)
            host, port = where[0].rsplit(":", 1)
            first = await trio.open_tcp_stream(host, int(port))
            await first.send_all(codec.DETECTION)
            await read_until(first, codec.RNodeDecoder(), Detected)
            second = await trio.open_tcp_stream(host, int(port))
            lives, closed = (second, first) if newest_wins else (first, second)
            with trio.fail_after(5):
                try:
                    while await closed.receive_some(4096):
                        pass
                except trio.BrokenResourceError:
                    pass
            await lives.send_all(codec.DETECTION)
            await read_until(lives, codec.RNodeDecoder(), Detected)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_on_a_bad_line_frames_are_lost_and_none_is_changed_unseen_for_long():
    """What A13 needs: damage of every kind, and the stream goes on."""

    async def main():
        dice = Random(3)
        board = Board(RNode(Random(1), boot_s=0.0), Ether(), lambda stream: BadLine(stream, 0.02, dice))
        async with trio.open_nursery() as nursery:
            device, host = trio.testing.memory_stream_pair()
            nursery.start_soon(board.run)
            nursery.start_soon(board.serve, device)
            decoder = codec.RNodeDecoder()
            answered = 0
            for _ in range(300):
                await host.send_all(codec.DETECTION)
                with trio.move_on_after(0.5):
                    await read_until(host, decoder, Detected)
                    answered += 1
            assert 150 < answered < 300
            assert decoder.dropped + decoder.skipped > 10
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_board_that_stops_reading_makes_its_host_wait():
    """What A10 needs: a pty takes some kilobytes, then the writer waits; all of it arrives later."""

    async def main():
        board = Board(RNode(Random(1), boot_s=0.0), Ether())
        async with trio.open_nursery() as nursery, open_pty() as (stream, name):
            nursery.start_soon(board.run)
            nursery.start_soon(board.serve, stream)
            port = trio.lowlevel.FdStream(os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
            async with port:
                board.stop_reading()
                with trio.move_on_after(0.3) as scope:
                    await port.send_all(bytes(100_000))
                assert scope.cancelled_caught
                board.read_on()
                await port.send_all(b"\xc0\xc0" + codec.DETECTION)
                await read_until(port, codec.RNodeDecoder(), Detected, seconds=10)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_transmissions_survive_the_way_between_processes():
    one = Transmission(Channel(869_525_000, 250_000, 11, 0x2B), bytes(range(255)), 8, 16)
    assert parse_begun_untrusted(Begun(12.5, one).encode()) == (12.5, one)


def test_names_that_lead_elsewhere_make_no_air():
    for name in ("", "..", "a/b", "x" * 33, "ümlaut"):
        with pytest.raises(InputError, match="cannot be made"):
            LocalAir(name, Ether())


class Process:
    """An emulator in a process of its own, and its port."""

    def __init__(self, tmp_path: Path, name: str, *options: str) -> None:
        self.link = tmp_path / name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nexus_firmware.emulate", "rnode", "--pty", str(self.link), *options],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.line = self.process.stderr.readline()

    def port(self):
        return trio.lowlevel.FdStream(os.open(self.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(5)
        self.process.stderr.close()
        return code


def test_radios_in_processes_of_their_own_hear_each_other_on_one_air(tmp_path: Path):
    air = f"test-{uuid.uuid4().hex[:12]}"
    a, b = (Process(tmp_path, name, "--air", air, "--boot", "0.1") for name in "ab")
    elsewhere = Process(tmp_path, "c", "--air", f"{air}-2", "--boot", "0.1")
    assert a.line == f"rnode serves {a.link} on the air {air}\n"

    async def main():
        async with a.port() as first, b.port() as second, elsewhere.port() as third:
            decoders = {port: codec.RNodeDecoder() for port in (first, second, third)}
            for port in decoders:
                await read_until(port, decoders[port], Restarted)
                await port.send_all(codec.DETECTION)
                await read_until(port, decoders[port], Detected)
                await start(port)
            await trio.sleep(0.2)
            for number in range(5):
                packet = bytes((number,)) * 400
                begin = trio.current_time()
                await first.send_all(codec.encode_packet(packet))
                events = await read_until(second, decoders[second], Received)
                assert [event.data for event in events if isinstance(event, Received)] == [packet]
                assert trio.current_time() - begin >= codec.packet_airtime(400, FAST)
            heard = []
            with trio.move_on_after(0.2):
                while True:
                    heard += decoders[third].feed(await third.receive_some(4096))
            assert not [event for event in heard if isinstance(event, Received)]

    trio.run(main)
    assert [one.end() for one in (a, b, elsewhere)] == [0, 0, 0]
    assert not a.link.is_symlink()


def test_a_radio_that_died_is_no_trouble_to_the_others(tmp_path: Path):
    air = f"test-{uuid.uuid4().hex[:12]}"
    a, b = (Process(tmp_path, name, "--air", air, "--boot", "0.1") for name in "ab")
    b.process.kill()
    b.process.wait()
    b.process.stderr.close()

    async def main():
        async with a.port() as port:
            decoder = codec.RNodeDecoder()
            await read_until(port, decoder, Restarted)
            await start(port)
            await port.send_all(codec.encode_packet(bytes(10)))
            await trio.sleep(1.0)
            await port.send_all(codec.DETECTION)
            await read_until(port, decoder, Detected)

    trio.run(main)
    assert a.end() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["rnode", "--air", "a/b"], "use up to 32 letters"),
        (["rnode", "--tcp", "localhost"], "is no HOST:PORT"),
        (["rnode", "--tcp", "192.0.2.1:1"], "name another port"),
        (["rnode", "--pty", "/nonexistent/port"], "name a path you may write"),
        (["toaster"], "No such command 'toaster'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options, words):
    done = subprocess.run(
        [sys.executable, "-m", "nexus_firmware.emulate", *options], capture_output=True, text=True, timeout=20
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
