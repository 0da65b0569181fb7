"""Emulated boards for drivers: in virtual time on streams in memory, or on ports of their own."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
import trio.testing

from nexus_drivers.radio import RadioDriver
from nexus_firmware.emulate.air import Ether
from nexus_firmware.emulate.board import Board
from nexus_firmware.emulate.firmware import Firmware
from nexus_node.base.errors import CarrierLost


class Bench:
    """Boards on one air, and lines to them. `line(number)` is given to a driver in place of its own."""

    def __init__(self, nursery: trio.Nursery, ether: Ether | None = None) -> None:
        self.nursery = nursery
        self.ether = ether or Ether()
        self.boards: list[Board] = []

    def add(self, firmware: Firmware, bad_line: Callable[..., trio.abc.Stream] = lambda s: s) -> "MemoryLine":
        board = Board(firmware, self.ether, bad_line)
        self.boards.append(board)
        self.nursery.start_soon(board.run)
        return MemoryLine(self, board)


class MemoryLine:
    """As `nexus_drivers.line.Line`, to a board in this process. `unplug` hangs up."""

    far = None

    def __init__(self, bench: Bench, board: Board) -> None:
        self._bench = bench
        self.board = board
        self.there = True
        self.opened = 0
        self._scope: trio.CancelScope | None = None
        self._far: trio.abc.Stream | None = None

    def __str__(self) -> str:
        return f"/dev/radio{self._bench.boards.index(self.board)}"

    async def wait_there(self, report: Callable[[str, str], None]) -> None:
        if not self.there:
            report("waiting", f"{self} is not there; plug the radio in, or name another port")
        while not self.there:
            await trio.sleep(1)

    async def open(self) -> trio.abc.Stream:
        if not self.there:
            raise CarrierLost(f"{self} is not there; plug the radio in, or name another port")
        self.opened += 1
        host, device = trio.testing.memory_stream_pair()
        self._far = device
        self._bench.nursery.start_soon(self._serve, device)
        return host

    async def _serve(self, device: trio.abc.Stream) -> None:
        with trio.CancelScope() as self._scope:
            await self.board.serve(device)
        await trio.aclose_forcefully(device)

    def unplug(self) -> None:
        self.there = False
        if self._scope is not None:
            self._scope.cancel()

    def plug_in(self) -> None:
        self.there = True


def on(line: object, driver: RadioDriver) -> RadioDriver:
    """That driver at that line."""
    driver.line = line  # type: ignore[assignment]
    return driver


class Process:
    """An emulator in a process of its own, with a pty under `link`."""

    def __init__(self, link: Path | None, kind: str, air: str, *options: str) -> None:
        self.link = link
        self.command = [sys.executable, "-m", "nexus_firmware.emulate", kind, "--air", air, *options]
        self.command += ["--pty", str(link)] if link is not None else []
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "serves" in line, line
        self.where = line.split()[2]

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(5)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def two_radios(folder: Path, kind: str, *options: str) -> Iterator[tuple[Process, Process]]:
    """Two emulators on an air of their own."""
    air = f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    radios: list[Process] = []
    try:
        for name in ("a", "b"):
            radios.append(Process(folder / name, kind, air, *options))
        yield radios[0], radios[1]
    finally:
        for one in radios:
            if one.process.poll() is None:
                one.end()
