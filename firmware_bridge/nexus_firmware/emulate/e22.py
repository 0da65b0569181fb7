"""The Ebyte E22: registers in configuration mode, a pipe without boundaries in transparent mode.

After the manuals cited in radio.md section 3.2. The mode is set with `set_mode`, as the pins M0 and M1 would,
or where register 1 allows by the command of newer modules. The AUX pin is low from the first byte of a packet
to its end on the air; a pty has no place for it, so it is shown in a file or on a port that has.
"""

from collections import deque
from enum import IntEnum
from random import Random

from nexus_firmware.emulate.air import Channel, Heard, Transmission
from nexus_firmware.emulate.firmware import Firmware

BASES = {"900": 850_125_000, "400": 410_125_000}
SYNC_WORD = 0xE2
MODULATION = {
    0: (12, 125_000),
    1: (11, 250_000),
    2: (11, 500_000),
    3: (10, 500_000),
    4: (9, 500_000),
    5: (7, 500_000),
    6: (6, 500_000),
    7: (5, 500_000),
}
"""By air-rate code; the manuals give bit rates only, these come nearest."""
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
SUB_PACKETS = (240, 128, 64, 32)
BUFFER_MAX = 1000
COMMAND_GAP_S = 0.05
FACTORY = bytes.fromhex("000000620017030000")
"""Address 0000, network 00, 9600 8N1 and 2.4k, 240 bytes and 22 dBm, channel 23, REG3, no key."""
PRODUCT = bytes.fromhex("00220b16000000")
WRONG = b"\xff\xff\xff"


class Mode(IntEnum):
    """By the pins M1 and M0."""

    TRANSPARENT = 0
    WOR = 1
    CONFIGURATION = 2
    SLEEP = 3


class E22(Firmware):
    """A module of a band, "900" or "400". `rssi_halves`: an older one, whose RSSI byte counts half dB."""

    kind = "e22"

    def __init__(
        self,
        rng: Random,
        *,
        band: str = "900",
        mode: Mode = Mode.CONFIGURATION,
        registers: bytes = FACTORY,
        rssi_halves: bool = False,
    ) -> None:
        super().__init__(rng)
        self._base = BASES[band]
        self._start_mode = mode
        self._flash = bytearray(registers)
        self._rssi_halves = rssi_halves
        self.boot(0.0)

    def boot(self, now: float) -> None:
        self.silence()
        self._registers = bytearray(self._flash)
        self._command = bytearray()
        self._uart = bytearray()
        self._last_byte = now
        self._packets: deque[bytes] = deque()
        self._last_rssi = 0xFF
        self.mode = self._start_mode
        self._look_at_aux(now)

    def set_mode(self, mode: Mode) -> None:
        """What the pins say. Leaving sleep mode loads what was kept."""
        if self.mode == Mode.SLEEP and mode != Mode.SLEEP:
            self._registers = bytearray(self._flash)
        self.mode = mode
        self._command.clear()

    # --- the UART -----------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        self._last_byte = now
        if self.mode == Mode.CONFIGURATION:
            self._command += data
            self._commands(now)
        elif self.mode in (Mode.TRANSPARENT, Mode.WOR):
            if self._special(data):
                return
            held = len(self._uart) + sum(map(len, self._packets))
            self._uart += data[: max(BUFFER_MAX - held, 0)]
            size = self._sub_packet
            while len(self._uart) >= size:
                self._packets.append(bytes(self._uart[:size]))
                del self._uart[:size]
            self._look_at_aux(now)

    def _look_at_aux(self, now: float) -> None:
        self.line_low = bool(self._uart or self._packets) or now < self.sending_until

    def _special(self, data: bytes) -> bool:
        """Commands within the pipe: ambient RSSI (register 1 bit 5), and the mode (bit 4)."""
        if data == b"\xc0\xc1\xc2\xc3\x00\x02" and self._registers[4] & 0x20:
            self.tell(bytes((0xC1, 0x00, 0x02, self._level(-117), self._last_rssi)))
            return True
        if data[:5] == b"\xc0\xc1\xc2\xc3\x02" and len(data) == 6 and self._registers[4] & 0x10:
            if data[5] in list(Mode):
                self.set_mode(Mode(data[5]))
            return True
        return False

    def _commands(self, now: float) -> None:
        while self._command:
            if self._mode_command():
                continue
            prefix = b"\xcf\xcf" if self._command[:2] == b"\xcf\xcf" else b""
            body = self._command[len(prefix) :]
            if prefix[: len(self._command)] == self._command or not body:
                return
            if body[0] not in (0xC0, 0xC1, 0xC2):
                self._command.clear()
                self.tell(WRONG)
                return
            size = 3 if body[0] == 0xC1 or len(body) < 3 else 3 + body[2]
            if len(body) < max(size, 3):
                return
            self._command = self._command[len(prefix) + size :]
            self.tell(self._answer(prefix, bytes(body[:size])))

    def _mode_command(self) -> bool:
        if self._command[:5] != b"\xc0\xc1\xc2\xc3\x02" or not self._registers[4] & 0x10:
            return False
        if len(self._command) < 6:
            return False
        mode = self._command[5]
        del self._command[:6]
        if mode in list(Mode):
            self.set_mode(Mode(mode))
        return True

    def _answer(self, prefix: bytes, command: bytes) -> bytes:
        kind, address, count = command[:3]
        end = address + count
        if kind == 0xC1:
            if address >= 0x80:
                data = PRODUCT[address - 0x80 : end - 0x80]
            else:
                # The key is write-only.
                data = bytes(self._registers[address : min(end, 7)]) + bytes(
                    max(0, min(end, 9) - max(address, 7))
                )
            if not count or len(data) != count:
                return WRONG
            return prefix + bytes((0xC1, address, count)) + data
        if not count or end > 9:
            return WRONG
        data = command[3:]
        self._registers[address:end] = data
        if kind == 0xC0:
            self._flash[address:end] = data
        return prefix + bytes((0xC1, address, count)) + data

    @property
    def _sub_packet(self) -> int:
        return SUB_PACKETS[self._registers[4] >> 6]

    @property
    def _gap(self) -> float:
        """Three characters of silence end a packet."""
        return 30 / BAUDS[self._registers[3] >> 5]

    # --- the air ------------------------------------------------------------------------------------
    @property
    def channel(self) -> Channel | None:
        if self.mode != Mode.TRANSPARENT:
            return None
        spreading_factor, bandwidth = MODULATION[self._registers[3] & 7]
        return Channel(self._base + self._registers[5] * 1_000_000, bandwidth, spreading_factor, SYNC_WORD)

    def _header(self) -> bytes:
        """Address, network and something of the key: what the module itself compares."""
        return bytes(self._registers[:3]) + bytes(((self._registers[7] * 31 + self._registers[8]) & 0xFF,))

    def hear(self, heard: Heard, now: float) -> None:
        header, data = heard.payload[:4], heard.payload[4:]
        own = self._header()
        anyone = b"\xff\xff"
        same = header[:2] == own[:2] or anyone in (header[:2], own[:2])
        if self.mode != Mode.TRANSPARENT or not data or not same or header[2:] != own[2:]:
            return
        self._last_rssi = self._level(heard.rssi_dbm)
        self.tell(data)
        if self._registers[6] & 0x80:
            self.tell(bytes((self._last_rssi,)))

    def _level(self, dbm: float) -> int:
        return min(255, int(-2 * dbm)) if self._rssi_halves else max(0, 256 + int(dbm))

    def wake(self, now: float) -> None:
        if self._command and now >= self._last_byte + COMMAND_GAP_S:
            self._command.clear()
            self.tell(WRONG)
        if self._uart and now >= self._last_byte + self._gap:
            self._packets.append(bytes(self._uart))
            self._uart.clear()
        channel = self.channel
        if self._packets and channel is not None and now >= self.sending_until:
            if self._registers[6] & 0x10 and now < self.busy_until:
                return
            payload = self._header() + self._packets.popleft()
            self.send(Transmission(channel, payload, 5, 8), now)
        self._look_at_aux(now)

    def next_deadline(self) -> float | None:
        times = []
        if self._command:
            times.append(self._last_byte + COMMAND_GAP_S)
        if self._uart:
            times.append(self._last_byte + self._gap)
        if self._packets and self.channel is not None:
            waits = self.busy_until if self._registers[6] & 0x10 else 0.0
            times.append(max(self.sending_until, waits))
        if self.line_low and not self._uart and not self._packets:
            times.append(self.sending_until)
        return min(times, default=None)
