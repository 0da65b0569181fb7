"""An air across processes of one user: a directory of Unix datagram sockets, one a process. trio.

A process tells all others of a transmission when it begins, and when that was, since they may be late to
look; each works out with its own `Ether` who hears it, and when.
"""

import math
import os
import re
import socket
import stat
import struct
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import trio

from nexus_firmware.airtime import MAX_PAYLOAD
from nexus_firmware.emulate.air import Channel, Ether, Station, Transmission
from nexus_firmware.radio import BANDWIDTH_MIN
from nexus_node.base.errors import BadWire, InputError

_HEADER = struct.Struct("<4sdIIBBHH")
_MAGIC = b"NXA1"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
LATE_MAX_S = 30.0
"""A process that looks only then has missed the packet."""
_PATH_MAX = 100
"""Bytes in the address of a Unix socket, a little less than Linux takes."""


class Begun(NamedTuple):
    """A transmission, and when it began on the monotonic clock, which the processes of a machine share."""

    at: float
    transmission: Transmission

    def encode(self) -> bytes:
        """As a datagram."""
        one = self.transmission
        channel = one.channel
        header = _HEADER.pack(
            _MAGIC,
            self.at,
            channel.frequency,
            channel.bandwidth,
            channel.spreading_factor,
            one.coding_rate,
            channel.sync_word,
            one.preamble,
        )
        return header + one.payload


def parse_begun_untrusted(data: bytes) -> Begun:
    """Raises `BadWire("bad_transmission")` for what no radio sends."""
    if not _HEADER.size <= len(data) <= _HEADER.size + MAX_PAYLOAD:
        raise BadWire("bad_transmission")
    magic, at, frequency, bandwidth, *modem, sync_word, preamble = _HEADER.unpack_from(data)
    spreading_factor, coding_rate = modem
    fits = 5 <= spreading_factor <= 12 and 5 <= coding_rate <= 8 and bandwidth >= BANDWIDTH_MIN and preamble
    if magic != _MAGIC or not fits or not math.isfinite(at):
        raise BadWire("bad_transmission")
    channel = Channel(frequency, bandwidth, spreading_factor, sync_word)
    return Begun(at, Transmission(channel, data[_HEADER.size :], coding_rate, preamble))


def air_directory(name: str) -> Path:
    """Where the processes of an air meet, made if need be. Raises `InputError`."""
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise InputError(f'the air "{name}" cannot be made; use up to 32 letters, digits, "-", "_" and "."')
    home = Path(tempfile.gettempdir()) / f"nexus-air-{os.getuid()}"
    directory = home / name
    try:
        for path in (home, directory):
            path.mkdir(mode=0o700, exist_ok=True)
        state = home.lstat()
    except OSError as error:
        raise InputError(
            f"cannot make {directory} ({error.strerror}); set TMPDIR to a place that can"
        ) from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise InputError(f"{home} belongs to somebody else or is open to others; remove it, or set TMPDIR")
    return directory


class LocalAir:
    """An `Air` shared by every process that opened the same name; `ether` is this process's part."""

    def __init__(self, name: str, ether: Ether) -> None:
        self._directory = air_directory(name)
        self._path = self._directory / f"{os.getpid()}-{id(self):x}"
        if len(os.fsencode(self._path)) > _PATH_MAX:
            raise InputError(f"the path {self._path} is too long for a socket; set TMPDIR to a shorter one")
        self._ether = ether
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.bad_datagrams = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hear the other processes, until cancelled."""
        with self._socket:
            self._socket.bind(os.fspath(self._path))
            try:
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(self._socket)
                    self._take(self._socket.recv(_HEADER.size + MAX_PAYLOAD + 1))
            finally:
                self._path.unlink(missing_ok=True)

    def _take(self, data: bytes) -> None:
        try:
            begun = parse_begun_untrusted(data)
        except BadWire:
            self.bad_datagrams += 1
            return
        ago = time.monotonic() - begun.at
        if 0 <= ago <= LATE_MAX_S:
            self._ether.transmit(None, begun.transmission, trio.current_time() - ago)

    def join(self, station: Station) -> None:
        self._ether.join(station)

    def leave(self, station: Station) -> None:
        self._ether.leave(station)

    def transmit(self, station: Station, transmission: Transmission, now: float) -> None:
        self._ether.transmit(station, transmission, now)
        datagram = Begun(time.monotonic(), transmission).encode()
        for path in self._directory.iterdir():
            if path != self._path:
                self._tell(path, datagram)

    def _tell(self, path: Path, datagram: bytes) -> None:
        """A process that does not keep up misses the packet; one that died left a socket, which goes."""
        try:
            self._socket.sendto(datagram, os.fspath(path))
        except BlockingIOError:
            return
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)

    def advance(self, now: float) -> None:
        self._ether.advance(now)

    def next_deadline(self) -> float | None:
        return self._ether.next_deadline()
