"""MeshCore's KISS modem firmware 1.17 (`examples/kiss_modem`), with its queues (radio.md section 4.1a).

One packet waits for the air; the next is answered TX_BUSY. Two frames wait for the host, behind what its
serial port holds: beyond, questions are answered TX_BUSY, TxDone waits, and packets off the air stay in
the radio chip, which keeps the last. What needs the board's private key is answered "not available".
"""

import hashlib
import struct
from collections import deque
from enum import Enum
from random import Random

from nexus_firmware.emulate.air import Channel, Heard, Transmission
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.kiss import FEND, FESC, TFEND, TFESC, framed

SYNC_WORD = 0x12
PACKET_MAX, FRAME_MAX = 255, 512
FRAMES_FOR_HOST = 2
NOISE_FLOOR_DBM = -117
VERSION = 1
NAME = b"Emulated KISS modem"
BAD_LENGTH, BAD_VALUE, NOT_AVAILABLE, UNKNOWN, BUSY = 0x01, 0x02, 0x03, 0x05, 0x07


class _State(Enum):
    IDLE = 0
    WAIT_CLEAR = 1
    SLOT = 2
    DELAY = 3
    SENDING = 4
    TELL_DONE = 5


class MeshcoreModem(Firmware):
    """A board with a serial port that holds `port_octets` for a host that does not read."""

    kind = "meshcore"

    def __init__(self, rng: Random, *, boot_s: float = 0.2, port_octets: int = 256) -> None:
        super().__init__(rng)
        self._boot_s = boot_s
        self._port_octets = port_octets
        self._identity = rng.randbytes(32)
        self.boot(0.0)

    def boot(self, now: float) -> None:
        self.silence()
        self._now = now
        self._up_at: float | None = now + self._boot_s
        self._rx: bytearray | None = None
        self._escaped = False
        self._port = bytearray()
        self._frames: deque[bytearray] = deque()
        self._busy_owed = False
        self._done_owed: int | None = None
        self._pending: bytes | None = None
        self._state = _State.IDLE
        self._timer = now
        self._tx_delay, self._persistence, self._slot, self._full_duplex = 50, 63, 10, False
        self._config = (0, 0, 0, 0)
        """What GetRadio says: zeros until somebody sets it, though the radio has its default."""
        self._power = 0
        self._radio = (869_618_000, 62_500, 8, 8)
        self._report = True
        self._chip: Heard | None = None
        self._counts = [0, 0, 0]

    # --- from the host ------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        self._now = now
        if self._up_at is not None:
            return
        for byte in data:
            self._take(byte)
        self.wake(now)

    def _take(self, byte: int) -> None:
        if byte == FEND:
            if self._rx:
                self._frame(bytes(self._rx))
            self._rx = bytearray()
            self._escaped = False
        elif self._rx is None:
            return
        elif byte == FESC:
            self._escaped = True
        elif self._escaped and byte not in (TFEND, TFESC):
            self._escaped = False
        else:
            if self._escaped:
                byte = FEND if byte == TFEND else FESC
                self._escaped = False
            if len(self._rx) < FRAME_MAX:
                self._rx.append(byte)
            else:
                self._rx = None

    def _frame(self, frame: bytes) -> None:
        kind, data = frame[0], frame[1:]
        if kind >> 4:
            return
        match kind:
            case 0x00 if self._pending is not None:
                self._error(BUSY)
            case 0x00 if 0 < len(data) <= PACKET_MAX:
                self._pending = data
            case 0x01 if data:
                self._tx_delay = data[0]
            case 0x02 if data:
                self._persistence = data[0]
            case 0x03 if data:
                self._slot = data[0]
            case 0x05 if data:
                self._full_duplex = data[0] != 0
            case 0x06 if data:
                self._hardware(data[0], data[1:])

    def _hardware(self, command: int, data: bytes) -> None:
        match command:
            case 0x01:
                self._say(0x81, self._identity)
            case 0x02 if not data:
                self._error(BAD_LENGTH)
            case 0x02 if not 1 <= data[0] <= 64:
                self._error(BAD_VALUE)
            case 0x02:
                self._say(0x82, self.rng.randbytes(data[0]))
            case 0x03 | 0x04 | 0x05 | 0x06 | 0x07:
                self._error(NOT_AVAILABLE)
            case 0x08:
                self._say(0x88, hashlib.sha256(data).digest()) if data else self._error(BAD_LENGTH)
            case 0x09 if len(data) < 10:
                self._error(BAD_LENGTH)
            case 0x09:
                frequency, bandwidth, spreading_factor, coding_rate = struct.unpack_from("<IIBB", data)
                self._config = self._radio = (frequency, bandwidth, spreading_factor, coding_rate)
                self._say(0xF0)
            case 0x0A if data:
                self._power = data[0]
                self._say(0xF0)
            case 0x0B:
                self._say(0x8B, struct.pack("<IIBB", *self._config))
            case 0x0C:
                self._say(0x8C, bytes((self._power,)))
            case 0x0D:
                self._say(0x8D, struct.pack("b", NOISE_FLOOR_DBM))
            case 0x0E:
                self._say(0x8E, bytes((self.busy_until > self._now,)))
            case 0x0F if data:
                airtime = int(1000 * self._transmission(bytes(data[0])).airtime)
                self._say(0x8F, airtime.to_bytes(4, "little"))
            case 0x10:
                self._say(0x90, struct.pack("<h", NOISE_FLOOR_DBM))
            case 0x11:
                self._say(0x91, bytes((VERSION, 0)))
            case 0x12:
                self._say(0x92, struct.pack("<III", *self._counts))
            case 0x13:
                self._say(0x93, (4100).to_bytes(2, "little"))
            case 0x14:
                self._say(0x94, (253).to_bytes(2, "little"))
            case 0x15 if data:
                self._say(0x95)
            case 0x16:
                self._say(0x96, NAME)
            case 0x17:
                self._say(0x97)
            case 0x18:
                self._say(0xF0)
                self._restart()
            case 0x19 if data:
                self._report = data[0] != 0
                self._say(0x9A, bytes((self._report,)))
            case 0x1A:
                self._say(0x9A, bytes((self._report,)))
            case 0x0A | 0x0F | 0x15 | 0x19:
                self._error(BAD_LENGTH)
            case _:
                self._error(UNKNOWN)

    def _restart(self) -> None:
        """The answer still goes out; what was set is gone."""
        port, frames = self._port, self._frames
        self.boot(self._now)
        self._port, self._frames = port, frames

    # --- to the host --------------------------------------------------------------------------------
    def _flush(self) -> None:
        """Frames into the serial port, as far as it has room."""
        while self._frames and len(self._port) < self._port_octets:
            room = self._port_octets - len(self._port)
            frame = self._frames[0]
            self._port += frame[:room]
            del frame[:room]
            if frame:
                return
            self._frames.popleft()

    def _queue(self, frame: bytes) -> bool:
        self._flush()
        if len(self._frames) >= FRAMES_FOR_HOST:
            return False
        self._frames.append(bytearray(frame))
        self._flush()
        return True

    def _say(self, code: int, data: bytes = b"") -> None:
        if not self._queue(framed(0x06, bytes((code,)) + data)):
            self._busy_owed = True

    def _error(self, code: int) -> None:
        self._say(0xF1, bytes((code,)))

    def output(self) -> bytes:
        piece, self._port = bytes(self._port), bytearray()
        self._flush()
        self._settle()
        return piece

    def _settle(self) -> None:
        """What waited for room on the way to the host."""
        if self._done_owed is not None and self._queue(framed(0x06, bytes((0xF8, self._done_owed)))):
            self._done_owed = None
            self._pending = None
            self._state = _State.IDLE
        if self._busy_owed and self._queue(framed(0x06, bytes((0xF1, BUSY)))):
            self._busy_owed = False
        backed_up = self._frames or self._busy_owed or self._done_owed is not None
        if self._chip is not None and not backed_up and self._state != _State.SENDING:
            heard, self._chip = self._chip, None
            self._counts[0] += 1
            if self._queue(framed(0x00, heard.payload)) and self._report:
                meta = struct.pack("bb", int(heard.snr_db * 4), max(-128, int(heard.rssi_dbm)))
                self._say(0xF9, meta)

    # --- the air ------------------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        return self._up_at is None

    @property
    def channel(self) -> Channel | None:
        return None if self._up_at is not None else Channel(*self._radio[:3], SYNC_WORD)

    def _transmission(self, packet: bytes) -> Transmission:
        frequency, bandwidth, spreading_factor, coding_rate = self._radio
        channel = Channel(frequency, bandwidth, spreading_factor, SYNC_WORD)
        return Transmission(channel, packet, coding_rate, 32 if spreading_factor <= 8 else 16)

    def hear(self, heard: Heard, now: float) -> None:
        self._now = now
        self._chip = heard
        self._settle()

    def wake(self, now: float) -> None:
        self._now = now
        if self._up_at is not None:
            if now < self._up_at:
                return
            self._up_at = None
        while self._advance(now):
            pass
        self._settle()

    def _advance(self, now: float) -> bool:
        """One step of the transmitter; False when it has to wait."""
        before = self._state
        match self._state:
            case _State.IDLE if self._pending is not None:
                self._state = _State.DELAY if self._full_duplex else _State.WAIT_CLEAR
            case _State.WAIT_CLEAR if now >= min(self.busy_until, self._forced_at()):
                lucky = self.busy_until > now or self.rng.randrange(256) <= self._persistence
                self._state = _State.DELAY if lucky else _State.SLOT
            case _State.SLOT if now >= self._timer + self._slot / 100:
                self._state = _State.WAIT_CLEAR
            case _State.DELAY if now >= self._timer + self._tx_delay / 100:
                if self._pending is not None:
                    self.send(self._transmission(self._pending), now)
                self._state = _State.SENDING
            case _State.SENDING if now >= self.sending_until:
                self._counts[1] += 1
                self._done_owed = 1
                self._state = _State.TELL_DONE
        if self._state == before:
            return False
        self._timer = now
        return True

    def _forced_at(self) -> float:
        """When it sends into a channel that does not fall silent."""
        return self._timer + 1.5 * self._transmission(bytes(PACKET_MAX)).airtime

    def next_deadline(self) -> float | None:
        if self._up_at is not None:
            return self._up_at
        match self._state:
            case _State.WAIT_CLEAR:
                return min(self.busy_until, self._forced_at())
            case _State.SLOT:
                return self._timer + self._slot / 100
            case _State.DELAY:
                return self._timer + self._tx_delay / 100
            case _State.SENDING:
                return self.sending_until
        return None
