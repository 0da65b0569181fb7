"""Serial ports on real ptys: words for what goes wrong, no half frames, and the end (A5, A7, A9, A10)."""

import errno
import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from nexus_drivers import serial_port
from nexus_drivers.line import Line, read_line
from nexus_drivers.options import Options
from nexus_drivers.serial_port import open_serial
from nexus_node.base.errors import CarrierLost, ConfigError


@pytest.fixture
def pty() -> Iterator[tuple[int, str]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    yield master, os.ttyname(slave)
    for one in (master, slave):
        try:
            os.close(one)
        except OSError as error:
            assert error.errno == errno.EBADF


def read_all(master: int) -> bytes:
    got = b""
    try:
        while data := os.read(master, 65536):
            got += data
    except BlockingIOError:
        pass
    return got


def test_bytes_cross_both_ways_and_the_port_may_be_opened_again(pty):
    master, name = pty

    async def main():
        for _ in range(3):
            async with await open_serial(name, 115200) as stream:
                everything = bytes(range(256))
                await stream.send_all(everything)
                assert read_all(master) == everything
                os.write(master, everything)
                got = b""
                while len(got) < 256:
                    got += await stream.receive_some(100)
                assert got == everything

    trio.run(main)


def test_a_port_that_is_in_use_or_not_there_or_not_allowed_is_said_so(pty, tmp_path, monkeypatch):
    _, name = pty

    async def main():
        async with await open_serial(name, 115200):
            with pytest.raises(CarrierLost, match="another program has it open; end that one"):
                await open_serial(name, 115200)
        with pytest.raises(CarrierLost, match="is not there; plug the radio in"):
            await open_serial(str(tmp_path / "none"), 115200)
        plain = tmp_path / "file"
        plain.write_text("x")
        with pytest.raises(CarrierLost, match="cannot be opened"):
            await open_serial(str(plain), 115200)
        refused = OSError(errno.EACCES, "denied")
        monkeypatch.setattr(serial_port.serial, "Serial", lambda *_, **__: (_ for _ in ()).throw(refused))
        with pytest.raises(CarrierLost, match="add it to the group dialout"):
            await open_serial(name, 115200)
        monkeypatch.setattr(serial_port, "serial", None)
        with pytest.raises(CarrierLost, match="pip install 'nexus-node"):
            await open_serial(name, 115200)

    trio.run(main)


def test_the_far_end_hanging_up_ends_reads_and_writes():
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)

    async def main():
        async with await open_serial(name, 115200) as stream, trio.open_nursery() as nursery:

            async def reader():
                assert await stream.receive_some() == b""

            nursery.start_soon(reader)
            await trio.sleep(0.05)
            with trio.fail_after(1):
                os.close(master)
                await trio.sleep(0.05)
                with pytest.raises(trio.BrokenResourceError):
                    await stream.send_all(b"hello")

    trio.run(main)


def test_a_write_waits_for_a_reader_and_leaves_no_half_frame_when_cancelled(pty, monkeypatch):
    """A7, A10: what has begun is finished if the port takes it, or nothing is begun."""
    master, name = pty

    async def main():
        async with await open_serial(name, 115200) as stream:
            with trio.move_on_after(0.2) as scope:
                await stream.send_all(bytes(100_000))
            assert scope.cancelled_caught
            begun = 0
            empty = 0
            while empty < 4:  # a pty hands on what it holds a little later
                piece = len(read_all(master))
                begun, empty = begun + piece, 0 if piece else empty + 1
                await trio.sleep(0.05)
            assert 0 < begun < 100_000
            frame = bytes(range(250)) * 200
            monkeypatch.setattr(serial_port, "_FINISH_S", 10.0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, frame)
                got = b""
                while len(got) < 12_000:  # some of it is written, in several pieces
                    await trio.lowlevel.wait_readable(master)
                    got += read_all(master)
                nursery.cancel_scope.cancel()

                async def take():
                    nonlocal got
                    while len(got) < len(frame):
                        got += read_all(master)
                        await trio.sleep(0.005)
                    assert got == frame

                with trio.CancelScope(shield=True):
                    await take()
            with trio.move_on_after(0) as scope:
                await stream.send_all(frame)
            assert scope.cancelled_caught and read_all(master) == b""

    trio.run(main)


def test_where_there_is_no_descriptor_one_thread_reads():
    async def main():
        async with await open_serial("loop://", 115200) as stream:
            for size in (1, 100, 5000):
                data = bytes(range(256)) * (size // 256 + 1)
                got = b""
                with trio.fail_after(5):
                    await stream.send_all(data)
                    while len(got) < len(data):
                        got += await stream.receive_some()
                assert got == data
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.receive_some)
                await trio.sleep(0.05)
                nursery.cancel_scope.cancel()
            # A cancelled read has taken nothing.
            await stream.send_all(b"later")
            got = b""
            with trio.fail_after(2):
                while len(got) < 5:
                    got += await stream.receive_some()
            assert got == b"later"

    trio.run(main)


def test_the_key_port():
    def read(port, tcp_port=7633):
        return read_line(Options("rnode", {"port": port}, ("port",)), 115200, tcp_port)

    assert read("/dev/ttyUSB0") == Line("/dev/ttyUSB0", 115200)
    assert read("tcp://10.0.0.7").far == ("10.0.0.7", 7633)
    assert read("tcp://radio.lan:99/").far == ("radio.lan", 99)
    assert read("tcp://[fe80::1]").far == ("fe80::1", 7633)
    for bad in ("tcp://", "tcp://a:b", "tcp://a:99999"):
        with pytest.raises(ConfigError, match="port"):
            read(bad)
    with pytest.raises(ConfigError, match="which this firmware does not have"):
        read("tcp://a", None)
    with pytest.raises(ConfigError, match="port is missing; write port = "):
        read_line(Options("rnode", {}, ("port",)), 115200)


def test_a_line_that_appears_is_found(tmp_path: Path):
    path = tmp_path / "tty"
    reports = []

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Line(str(path), 9600).wait_there, lambda *said: reports.append(said))
            await trio.sleep(0.05)
            path.touch()

    trio.run(main)
    assert reports == [("waiting", f"{path} is not there; plug the radio in, or name another port")]
