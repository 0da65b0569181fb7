"""The radio of an RNode: its settings, the split of packets, channel access, and how much it has sent.

After radio.md sections 2.3 and 2.5.
"""

from collections import deque
from random import Random

from nexus_firmware.emulate.air import Channel, Transmission

FRAME_MAX, PACKET_MAX = 255, 508
SYNC_WORD = 0x12
SPLIT = 0x01
DIFS_SLOTS, WINDOW_SLOTS = 2, 15
BAND_LIMITS = (0.07, 0.46, 0.85)
"""Airtime above which the next band of the contention window begins; the outer two are the firmware's."""
SHORT_S, LONG_S = 15.0, 3600.0
BIN_S = SHORT_S / 2
"""Own airtime is counted in such bins, a packet when it is out; the last two are the short share."""


class RNodeRadio:
    """Hz, dBm; limits in hundredths of a percent of 15 s and of an hour, 0 for none."""

    def __init__(self, rng: Random, now: float) -> None:
        self._rng = rng
        self.frequency = self.bandwidth = self.spreading_factor = 0
        self.power: int | None = None
        self.coding_rate = 5
        self.on = False
        self.short_limit = self.long_limit = 0
        self._half: tuple[int, bytes] | None = None
        self._sent: deque[tuple[float, float]] = deque()
        """(end, airtime) of our transmissions of the last hour."""
        self._seen: deque[tuple[float, float]] = deque()
        """Of everybody's."""
        self._clear_since = now
        self._slots_left: int | None = None

    @property
    def complete(self) -> bool:
        """Whether all is set that it needs to start."""
        return bool(self.frequency and self.bandwidth and self.spreading_factor and self.power is not None)

    @property
    def channel(self) -> Channel:
        return Channel(self.frequency, self.bandwidth, self.spreading_factor, SYNC_WORD)

    @property
    def symbol_ms(self) -> float:
        return 1000 * (1 << self.spreading_factor) / self.bandwidth

    @property
    def bits_per_second(self) -> float:
        return self.spreading_factor * 1000 / self.symbol_ms * 4 / self.coding_rate

    @property
    def preamble(self) -> int:
        target_ms = 6 if self.bits_per_second > 30_000 else 24
        symbols = int(target_ms / self.symbol_ms)
        if symbols * self.symbol_ms < target_ms - 1e-9:
            symbols += 1
        return max(symbols, 18)

    @property
    def slot(self) -> float:
        """Seconds."""
        return min(max(12 * self.symbol_ms, 24), 100) / 1000

    def stop(self) -> None:
        self.on = False
        self._half = None

    def start(self, now: float) -> None:
        self.on = True
        self._clear_since = now

    # --- packets and frames -------------------------------------------------------------------------
    def split(self, packet: bytes) -> list[bytes]:
        """The LoRa frames of a packet: up to 254 bytes each behind a random sequence and the split bit."""
        header = self._rng.randrange(16) << 4
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

    def join(self, frame: bytes) -> bytes | None:
        """The packet that a frame completes."""
        header, body = frame[0], frame[1:]
        half, self._half = self._half, None
        if not header & SPLIT:
            return body
        if half is not None and half[0] == header >> 4:
            return half[1] + body
        self._half = (header >> 4, body)
        return None

    def transmission(self, frame: bytes) -> Transmission:
        return Transmission(self.channel, frame, self.coding_rate, self.preamble)

    # --- channel access -----------------------------------------------------------------------------
    def contend(self, now: float) -> int | None:
        """Draw a number of slots to wait, unless one runs; the band it was drawn from."""
        if self._slots_left is not None:
            return None
        band = 1 + sum(self._own_share(now) > limit for limit in BAND_LIMITS)
        low = (band - 1) * WINDOW_SLOTS
        self._slots_left = self._rng.randrange(low, low + WINDOW_SLOTS)
        self._clear_since = max(self._clear_since, now)
        return band

    def won(self) -> None:
        """The wait is over."""
        self._slots_left = None

    @property
    def may_send_at(self) -> float | None:
        """When the wait is over if nobody sends meanwhile."""
        if self._slots_left is None:
            return None
        return self._clear_since + (DIFS_SLOTS + self._slots_left) * self.slot

    def sense(self, until: float, now: float) -> None:
        """Somebody sends: the countdown pauses, and slots gone by are not waited for again."""
        self._seen.append((until, until - now))
        if self._slots_left is not None:
            counted = int((now - self._clear_since) / self.slot) - DIFS_SLOTS
            self._slots_left -= max(0, min(counted, self._slots_left))
        self._clear_since = max(self._clear_since, until)

    # --- what was sent ------------------------------------------------------------------------------
    def sent(self, ends: float, airtime: float) -> None:
        for spans in (self._sent, self._seen):
            spans.append((ends, airtime))
        self._clear_since = max(self._clear_since, ends)

    def forget(self, now: float) -> None:
        """What is more than an hour ago."""
        for spans in (self._sent, self._seen):
            while spans and spans[0][0] < now - LONG_S:
                spans.popleft()

    def locked(self, now: float) -> bool:
        """Whether a limit holds the queue back; from 100 % on it is none."""
        short, long = self.short_limit / 10_000, self.long_limit / 10_000
        return (0 < short < 1 and self._own_share(now) >= short) or (
            0 < long < 1 and self._share(self._sent, LONG_S, now) >= long
        )

    def shares(self, now: float) -> list[int]:
        """Own airtime, short and long, then everybody's, in hundredths of a percent."""
        own = self._own_share(now)
        others = self._share(self._seen, SHORT_S, now) - self._share(self._sent, SHORT_S, now)
        shares = (
            own,
            self._share(self._sent, LONG_S, now),
            min(own + others, 1.0),
            self._share(self._seen, LONG_S, now),
        )
        return [int(one * 10_000 + 1e-6) for one in shares]

    def _own_share(self, now: float) -> float:
        begin = (now // BIN_S - 1) * BIN_S
        return sum(airtime for ends, airtime in self._sent if begin <= ends <= now) / SHORT_S

    @staticmethod
    def _share(spans: deque[tuple[float, float]], window: float, now: float) -> float:
        total = 0.0
        for ends, airtime in reversed(spans):
            if ends < now - window:
                break
            total += min(ends, now) - max(ends - airtime, now - window)
        return total / window
