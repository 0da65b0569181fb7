"""The RNode firmware, 1.86, with its quirks (radio.md sections 2.1 to 2.7).

The serial parser works byte by byte: settings of one byte act with every byte and are not un-escaped, a
packet counts when its closing FEND comes. The queue drops silently what does not fit, and tears the packet
after it. A packet of exactly 508 bytes makes a third, empty LoRa frame. READY is said only when asked.
Channel statistics come once a second, and when the queue has gone out. While it sends, it does nothing else:
what the host writes waits in the port's buffer, and no statistics are told.
"""

import struct
from collections import deque
from random import Random

from nexus_firmware.emulate.air import Channel, Heard
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.kiss import FEND, FESC, framed, unescaped
from nexus_firmware.emulate.rnode_radio import DIFS_SLOTS, PACKET_MAX, WINDOW_SLOTS, RNodeRadio

CHIP_MAX_DBM = 22
NOISE_FLOOR_DBM = -117
STATS_S = 1.0
PORT_BUFFER = 6144
ONE_BY_ONE_BPS = 14_000
"""Above, it listens again before each packet of its queue."""
UNKNOWN = 0xFE
_WORD_COMMANDS = {0x01: 4, 0x02: 4, 0x0B: 2, 0x0C: 2}
"""Frequency, bandwidth, airtime limits: how many bytes each takes."""


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
        self._radio = RNodeRadio(self.rng, now)
        self._queue: deque[bytes] = deque()
        self._queued = bytearray()
        """Bytes of the packet that is coming in, or of torn ones before it."""
        self._flushing: deque[bytes] = deque()
        self._in_burst = False
        self._burst_began = now
        self._unread = bytearray()
        """What the host wrote while it sent."""
        self._stats_at: float | None = None

    def fail(self, code: int) -> None:
        """Report an error, as a test wants it."""
        self.tell(framed(0x90, bytes((code,))))

    # --- the serial parser --------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        if self._in_burst:
            self._unread += data[: PORT_BUFFER - len(self._unread)]
            return
        for byte in data:
            if self._up_at is not None:
                return
            self._take(byte, now)
        self._contend(now)

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
            self._take_value(unescaped(byte) if self._escaped else byte)
            self._escaped = False
        else:
            self._act(self._command, byte, now)

    def _take_value(self, value: int) -> None:
        if self._command == 0x00:
            if self._has_room:
                self._queued.append(value)
            return
        self._word.append(value)
        if len(self._word) == _WORD_COMMANDS[self._command]:
            self._set_word(self._command, int.from_bytes(self._word))
            self._word.clear()

    @property
    def _has_room(self) -> bool:
        octets = sum(map(len, self._queue)) + len(self._queued)
        return len(self._queue) < self._queue_packets and octets < self._queue_octets

    def _close_packet(self) -> None:
        if self._has_room:
            self._queue.append(bytes(self._queued))
            self._queued.clear()

    # --- commands -----------------------------------------------------------------------------------
    def _set_word(self, command: int, value: int) -> None:
        radio = self._radio
        if command == 0x01:
            value = radio.frequency = value or radio.frequency
        elif command == 0x02:
            value = radio.bandwidth = value or radio.bandwidth
        elif command == 0x0B:
            radio.short_limit = value
        else:
            radio.long_limit = value
        self.tell(framed(command, value.to_bytes(_WORD_COMMANDS[command])))
        self._tell_physical()

    def _act(self, command: int, byte: int, now: float) -> None:
        radio = self._radio
        match command:
            case 0x03:
                if byte != 0xFF:
                    radio.power = min(byte, CHIP_MAX_DBM)
                self._echo(command, 0xFF if radio.power is None else radio.power)
            case 0x04:
                if byte != 0xFF:
                    radio.spreading_factor = min(max(byte, 5), 12)
                self._echo(command, radio.spreading_factor)
                self._tell_physical()
            case 0x05:
                if byte != 0xFF:
                    radio.coding_rate = min(max(byte, 5), 8)
                self._echo(command, radio.coding_rate)
                self._tell_physical()
            case 0x06:
                self._switch(byte, now)
            case 0x07:
                self._echo(command, 0)
            case 0x08 if byte == 0x73:
                self._echo(command, 0x46)
            case 0x0F:
                self._echo(command, int(self._has_room))
            case 0x21 | 0x22:
                # It has counters of packets received and sent, and never counts.
                self.tell(framed(command, bytes(4)))
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

    def _switch(self, byte: int, now: float) -> None:
        radio = self._radio
        if byte == 0x01 and radio.complete and not radio.on:
            radio.start(now)
            self._stats_at = now + STATS_S
        elif byte == 0x00:
            radio.stop()
            self._stats_at = None
        self._echo(0x06, int(radio.on))
        self._tell_physical()

    # --- the air ------------------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        return self._up_at is None

    @property
    def channel(self) -> Channel | None:
        return self._radio.channel if self._radio.on else None

    def hear(self, heard: Heard, now: float) -> None:
        if not self._radio.on or not heard.payload:
            return
        packet = self._radio.join(heard.payload)
        if packet is None:
            return
        self.tell(framed(0x23, bytes((max(0, min(255, int(heard.rssi_dbm) + 157)),))))
        self.tell(framed(0x24, struct.pack("b", max(-128, min(127, int(heard.snr_db * 4))))))
        self.tell(framed(0x00, packet))

    def sense(self, until: float, now: float) -> None:
        super().sense(until, now)
        self._radio.sense(until, now)

    def _contend(self, now: float) -> None:
        if self._radio.on and self._queue:
            band = self._radio.contend(now)
            if band is not None:
                low = (band - 1) * WINDOW_SLOTS
                self.tell(framed(0x28, bytes((band, low, low + WINDOW_SLOTS))))

    def wake(self, now: float) -> None:
        self._now = now
        radio = self._radio
        radio.forget(now)
        if self._up_at is not None:
            if now < self._up_at:
                return
            self._up_at = None
            self.tell(framed(0x55, b"\xf8"))
        if self._in_burst:
            self._send_on(now)
        if self._in_burst:
            return
        if self._stats_at is not None and now >= self._stats_at:
            self._stats_at = now + STATS_S
            self._tell_channel(now)
        self._contend(now)
        due = radio.may_send_at
        if due is not None and now >= due and radio.on and not radio.locked(now):
            radio.won()
            self._flush(now)
            self._send_on(now)

    def _flush(self, now: float) -> None:
        """The whole queue goes out in one burst, or a packet where the rate is high; one too long is thrown
        away only here."""
        self._in_burst = True
        self._burst_began = now
        while self._queue:
            packet = self._queue.popleft()
            if 0 < len(packet) <= PACKET_MAX:
                self._flushing.extend(self._radio.split(packet))
            if self._radio.bits_per_second > ONE_BY_ONE_BPS:
                break

    def _send_on(self, now: float) -> None:
        if now < self.sending_until:
            return
        if self._flushing:
            transmission = self._radio.transmission(self._flushing.popleft())
            self.send(transmission, now)
            self._radio.sent(self.sending_until, transmission.airtime)
            return
        self._in_burst = False
        if self._stats_at is not None:
            self._stats_at += now - self._burst_began
        self._tell_channel(now)
        unread, self._unread = bytes(self._unread), bytearray()
        self.receive(unread, now)

    def next_deadline(self) -> float | None:
        if self._up_at is not None:
            return self._up_at
        if self._in_burst:
            return self.sending_until
        times = [self._stats_at]
        due = self._radio.may_send_at
        if due is not None and self._radio.on and not self._radio.locked(max(due, self._now)):
            # While a limit holds the queue back it is looked at again with the statistics.
            times.append(due)
        return min((time for time in times if time is not None), default=None)

    # --- statistics ---------------------------------------------------------------------------------
    def _tell_channel(self, now: float) -> None:
        noise = NOISE_FLOOR_DBM + 157
        self.tell(framed(0x25, struct.pack(">4H3B", *self._radio.shares(now), noise, noise, 0xFF)))
        if self._battery:
            self.tell(framed(0x27, bytes(self._battery)))

    def _tell_physical(self) -> None:
        radio = self._radio
        if radio.on:
            numbers = (
                round(radio.symbol_ms * 1000),
                round(1000 / radio.symbol_ms),
                radio.preamble,
                round(radio.preamble * radio.symbol_ms),
                round(radio.slot * 1000),
                round(DIFS_SLOTS * radio.slot * 1000),
            )
            self.tell(framed(0x26, struct.pack(">6H", *(one & 0xFFFF for one in numbers))))
