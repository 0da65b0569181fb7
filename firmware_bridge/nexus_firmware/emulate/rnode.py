"""The RNode firmware, 1.86, with its quirks (radio.md sections 2.3 to 2.7).

The serial parser works byte by byte: settings of one byte act with every byte and are not un-escaped, a
packet counts when its closing FEND comes. The queue drops silently what does not fit, and tears the packet
after it. A packet of exactly 508 bytes makes a third, empty LoRa frame. READY is said only when asked.
"""

import struct
from collections import deque
from random import Random

from nexus_firmware.emulate.air import Channel, Heard, Transmission
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.kiss import FEND, FESC, framed, unescaped

PACKET_MAX, FRAME_MAX = 508, 255
SYNC_WORD = 0x12
SPLIT = 0x01
DIFS_SLOTS, WINDOW_SLOTS = 2, 15
BAND_LIMITS = (0.07, 0.46, 0.85)
"""Airtime above which the next band of the contention window begins; the outer two are the firmware's."""
SHORT_S, LONG_S = 15.0, 3600.0
CHIP_MAX_DBM = 22
NOISE_FLOOR_DBM = -117
UNKNOWN = 0xFE
_WORD_COMMANDS = {0x01: 4, 0x02: 4, 0x0B: 2, 0x0C: 2}


class RNode(Firmware):
    """An ESP32 board. `queue_packets` and `queue_octets` bound its queue; `battery` is (state, percent).

    Until `boot_s` after power or reset it is deaf; then it says that it was reset.
    """

    kind = "rnode"

    def __init__(
        self,
        rng: Random,
        *,
        boot_s: float = 0.5,
        queue_packets: int = 200,
        queue_octets: int = 6144,
        battery: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(rng)
        self._battery = battery
        self._boot_s = boot_s
        self._queue_packets = queue_packets
        self._queue_octets = queue_octets
        self.boot(0.0)

    def boot(self, now: float) -> None:
        self.silence()
        self._now = now
        self._up_at: float | None = now + self._boot_s
        self._in_frame = False
        self._command = UNKNOWN
        self._escaped = False
        self._word = bytearray()
        self._frequency = self._bandwidth = 0
        self._power: int | None = None
        self._spreading_factor = 0
        self._coding_rate = 5
        self._on = False
        self._short_limit = self._long_limit = 0
        self._queue: deque[bytes] = deque()
        self._queued = bytearray()
        """Bytes of the packet that is coming in, or of torn ones before it."""
        self._flushing: deque[bytes] = deque()
        self._clear_since = now
        self._slots_left: int | None = None
        self._half: tuple[int, bytes] | None = None
        self._sent: deque[tuple[float, float]] = deque()
        """(end, airtime) of our transmissions of the last hour."""
        self._seen: deque[tuple[float, float]] = deque()
        """Of everybody's."""
        self._stats_at: float | None = None
        self.packets_in = self.packets_out = 0

    def fail(self, code: int) -> None:
        """Report an error, as a test wants it."""
        self.tell(framed(0x90, bytes((code,))))

    # --- the serial parser --------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        if self._up_at is not None:
            return
        for byte in data:
            self._take(byte, now)
            if self._up_at is not None:
                return
        self._schedule(now)

    def _take(self, byte: int, now: float) -> None:
        if byte == FEND:
            if self._in_frame and self._command == 0x00:
                self._in_frame = False
                self._close_packet()
            else:
                self._in_frame = True
            self._command = UNKNOWN
            self._escaped = False
            self._word.clear()
        elif not self._in_frame:
            return
        elif self._command == UNKNOWN:
            self._command = byte
        elif self._command == 0x00 or self._command in _WORD_COMMANDS:
            if byte == FESC:
                self._escaped = True
                return
            value = unescaped(byte) if self._escaped else byte
            self._escaped = False
            if self._command == 0x00:
                if len(self._queue) < self._queue_packets and self._octets() < self._queue_octets:
                    self._queued.append(value)
            else:
                self._word.append(value)
                if len(self._word) == _WORD_COMMANDS[self._command]:
                    self._set_word(self._command, int.from_bytes(self._word))
                    self._word.clear()
        else:
            self._act(self._command, byte, now)

    def _octets(self) -> int:
        return sum(map(len, self._queue)) + len(self._queued)

    def _close_packet(self) -> None:
        if len(self._queue) < self._queue_packets and self._octets() < self._queue_octets:
            self._queue.append(bytes(self._queued))
            self._queued.clear()

    def _set_word(self, command: int, value: int) -> None:
        width = _WORD_COMMANDS[command]
        if command == 0x01:
            self._frequency = value or self._frequency
            value = self._frequency
        elif command == 0x02:
            self._bandwidth = value or self._bandwidth
            value = self._bandwidth
        elif command == 0x0B:
            self._short_limit = value
        else:
            self._long_limit = value
        self.tell(framed(command, value.to_bytes(width)))
        self._tell_physical()

    def _act(self, command: int, byte: int, now: float) -> None:
        match command:
            case 0x03:
                if byte != 0xFF:
                    self._power = min(byte, CHIP_MAX_DBM)
                self._echo(command, 0xFF if self._power is None else self._power)
            case 0x04:
                if byte != 0xFF:
                    self._spreading_factor = min(max(byte, 5), 12)
                self._echo(command, self._spreading_factor)
            case 0x05:
                if byte != 0xFF:
                    self._coding_rate = min(max(byte, 5), 8)
                self._echo(command, self._coding_rate)
            case 0x06:
                self._switch(byte, now)
            case 0x07:
                self._echo(command, 0)
            case 0x08 if byte == 0x73:
                self._echo(command, 0x46)
            case 0x0F:
                room = len(self._queue) < self._queue_packets and self._octets() < self._queue_octets
                self._echo(command, int(room))
            case 0x21:
                self.tell(framed(command, self.packets_in.to_bytes(4)))
            case 0x22:
                self.tell(framed(command, self.packets_out.to_bytes(4)))
            case 0x40:
                self._echo(command, self.rng.randrange(256))
            case 0x47:
                self._echo(command, 0x3C)
            case 0x48:
                self._echo(command, 0x80)
            case 0x49:
                self._echo(command, 0x81)
            case 0x50:
                self.tell(framed(command, bytes((1, 86))))
            case 0x55 if byte == 0xF8:
                self.boot(now)

    def _echo(self, command: int, value: int) -> None:
        self.tell(framed(command, bytes((value,))))
        if command in (0x04, 0x05):
            self._tell_physical()

    def _switch(self, byte: int, now: float) -> None:
        ready = self._frequency and self._bandwidth and self._spreading_factor and self._power is not None
        if byte == 0x01 and ready:
            if not self._on:
                self._on = True
                self._clear_since = now
                self._stats_at = now + 1.0
        elif byte == 0x00:
            self._on = False
            self._stats_at = None
            self._half = None
            self._flushing.clear()
        self._echo(0x06, int(self._on))
        self._tell_physical()

    # --- the air ------------------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        return self._up_at is None

    @property
    def channel(self) -> Channel | None:
        if not self._on:
            return None
        return Channel(self._frequency, self._bandwidth, self._spreading_factor, SYNC_WORD)

    @property
    def _symbol_ms(self) -> float:
        return 1000 * (1 << self._spreading_factor) / self._bandwidth

    @property
    def _preamble(self) -> int:
        rate = self._spreading_factor * 1000 / self._symbol_ms * 4 / self._coding_rate
        target_ms = 6 if rate > 30_000 else 24
        symbols = int(target_ms / self._symbol_ms)
        if symbols * self._symbol_ms < target_ms - 1e-9:
            symbols += 1
        return max(symbols, 18)

    @property
    def _slot(self) -> float:
        return min(max(12 * self._symbol_ms, 24), 100) / 1000

    def _frames(self, packet: bytes) -> list[bytes]:
        """The LoRa frames of a packet: up to 254 bytes each behind a random sequence and the split bit."""
        header = self.rng.randrange(16) << 4
        if len(packet) < FRAME_MAX:
            return [bytes((header,)) + packet]
        header |= SPLIT
        frames = []
        current = bytearray((header,))
        for byte in packet:
            current.append(byte)
            if len(current) == FRAME_MAX:
                frames.append(bytes(current))
                current = bytearray((header,))
        if len(current) > 1 or len(packet) == PACKET_MAX:
            frames.append(bytes(current))
        return frames

    def hear(self, heard: Heard, now: float) -> None:
        if not self._on or not heard.payload:
            return
        header, body = heard.payload[0], heard.payload[1:]
        packet: bytes | None = None
        if not header & SPLIT:
            self._half = None
            packet = body
        elif self._half is not None and self._half[0] == header >> 4:
            packet = self._half[1] + body
            self._half = None
        else:
            self._half = (header >> 4, body)
        if packet is None:
            return
        self.packets_in += 1
        self.tell(framed(0x23, bytes((max(0, min(255, int(heard.rssi_dbm) + 157)),))))
        self.tell(framed(0x24, struct.pack("b", max(-128, min(127, int(heard.snr_db * 4))))))
        self.tell(framed(0x00, packet))

    def sense(self, until: float, now: float) -> None:
        super().sense(until, now)
        self._seen.append((until, until - now))
        if self._slots_left is not None:
            # The countdown pauses; slots gone by are not waited for again.
            counted = int((now - self._clear_since) / self._slot) - DIFS_SLOTS
            self._slots_left -= max(0, min(counted, self._slots_left))
        self._clear_since = self.busy_until

    def _schedule(self, now: float) -> None:
        if self._on and self._queue and self._slots_left is None and not self._flushing:
            load = self._airtime(self._sent, SHORT_S, now)
            band = 1 + sum(load > limit for limit in BAND_LIMITS)
            low = (band - 1) * WINDOW_SLOTS
            self._slots_left = self.rng.randrange(low, low + WINDOW_SLOTS)
            self._clear_since = max(self.busy_until, self._clear_since, now)
            self._tell_csma(band)

    def _may_send_at(self) -> float | None:
        if self._slots_left is None:
            return None
        return max(self._clear_since, self.busy_until) + (DIFS_SLOTS + self._slots_left) * self._slot

    def _airtime(self, spans: deque[tuple[float, float]], window: float, now: float) -> float:
        """Share of the last `window` seconds."""
        total = 0.0
        for ends, airtime in reversed(spans):
            if ends < now - window:
                break
            total += min(ends, now) - max(ends - airtime, now - window)
        return total / window

    def _locked(self, now: float) -> bool:
        """Whether a limit holds the queue back; a limit of 0 or from 100 % on is none."""
        short, long = self._short_limit / 10_000, self._long_limit / 10_000
        return (0 < short < 1 and self._airtime(self._sent, SHORT_S, now) >= short) or (
            0 < long < 1 and self._airtime(self._sent, LONG_S, now) >= long
        )

    def wake(self, now: float) -> None:
        self._now = now
        for spans in (self._sent, self._seen):
            while spans and spans[0][0] < now - LONG_S:
                spans.popleft()
        if self._up_at is not None:
            if now < self._up_at:
                return
            self._up_at = None
            self.tell(framed(0x55, b"\xf8"))
        if self._stats_at is not None and now >= self._stats_at:
            self._stats_at = now + 1.0
            self._tell_channel(now)
        self._schedule(now)
        due = self._may_send_at()
        if due is not None and now >= due and self._on and not self._locked(now):
            self._slots_left = None
            # The whole queue goes out in one burst; a packet too long is thrown away only here.
            while self._queue:
                packet = self._queue.popleft()
                if 0 < len(packet) <= PACKET_MAX:
                    self._flushing.extend(self._frames(packet))
                    self.packets_out += 1
        channel = self.channel
        if self._flushing and channel and now >= self.sending_until:
            transmission = Transmission(channel, self._flushing.popleft(), self._coding_rate, self._preamble)
            self.send(transmission, now)
            for spans in (self._sent, self._seen):
                spans.append((self.sending_until, transmission.airtime))
            self._clear_since = self.sending_until

    def next_deadline(self) -> float | None:
        if self._up_at is not None:
            return self._up_at
        times = [self._stats_at]
        if self._flushing:
            times.append(self.sending_until)
        else:
            due = self._may_send_at()
            # While a limit holds the queue back it is looked at again with the statistics.
            if due is not None and self._on and not self._locked(max(due, self._now)):
                times.append(due)
        return min((time for time in times if time is not None), default=None)

    # --- statistics ---------------------------------------------------------------------------------
    def _tell_channel(self, now: float) -> None:
        shares = [
            int(self._airtime(spans, window, now) * 10_000)
            for spans in (self._sent, self._seen)
            for window in (SHORT_S, LONG_S)
        ]
        noise = NOISE_FLOOR_DBM + 157
        self.tell(framed(0x25, struct.pack(">4H3B", *shares, noise, noise, 0xFF)))
        if self._battery:
            self.tell(framed(0x27, bytes(self._battery)))

    def _tell_physical(self) -> None:
        if self._on:
            symbol = self._symbol_ms
            self.tell(
                framed(
                    0x26,
                    struct.pack(
                        ">6H",
                        round(symbol * 1000),
                        round(1000 / symbol),
                        self._preamble,
                        round(self._preamble * symbol),
                        round(self._slot * 1000),
                        round(DIFS_SLOTS * self._slot * 1000),
                    ),
                )
            )

    def _tell_csma(self, band: int) -> None:
        low = (band - 1) * WINDOW_SLOTS
        self.tell(framed(0x28, bytes((band, low, low + WINDOW_SLOTS))))
