"""What modules with text commands have in common: lines in, lines out, one thing at a time on the air."""

from abc import abstractmethod
from random import Random

from nexus_firmware.emulate.air import Channel, Transmission
from nexus_firmware.emulate.firmware import Firmware

LINE_MAX = 600
PRIVATE_SYNC_WORD = 0x12


class LineModule(Firmware):
    """Handles a line at a time; while it boots it is deaf."""

    boot_s = 0.3
    preamble = 8

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._ready_at: float | None = 0.0
        self.boot(0.0)

    def boot(self, now: float) -> None:
        self.silence()
        self._now = now
        self._input = bytearray()
        self._sending = False
        self.frequency, self.bandwidth, self.spreading_factor, self.coding_rate = 868_000_000, 125_000, 7, 5
        self.power, self.sync_word = 14, PRIVATE_SYNC_WORD
        self._ready_at = now + self.boot_s
        self.reset(now)

    @property
    def up(self) -> bool:
        return self._ready_at is None

    def reset(self, now: float) -> None:
        """What the module's own settings are after power."""
        return

    def greet(self) -> None:
        """What it says when it has booted."""
        return

    @abstractmethod
    def command(self, line: str, now: float) -> None:
        """A line without its end."""

    @abstractmethod
    def sent(self, now: float) -> None:
        """A transmission is over."""

    def timers(self, now: float) -> None:
        """Do what the module's own timers say."""
        return

    def timer(self) -> float | None:
        """When `timers` has something to do."""
        return None

    def listening(self) -> bool:
        """Whether its receiver is on."""
        return True

    def say(self, text: str) -> None:
        self.tell(text.encode("latin-1") + b"\r\n")

    def put_on_air(self, payload: bytes, now: float) -> None:
        self._sending = True
        self.send(Transmission(self._tuned(), payload, self.coding_rate, self.preamble), now)

    @property
    def sending(self) -> bool:
        return self._sending

    def _tuned(self) -> Channel:
        return Channel(self.frequency, self.bandwidth, self.spreading_factor, self.sync_word)

    @property
    def channel(self) -> Channel | None:
        return self._tuned() if self.up and self.listening() else None

    def receive(self, data: bytes, now: float) -> None:
        self._now = now
        if not self.up:
            return
        for byte in data:
            if byte == 0x0A:
                line = self._input.decode("latin-1")
                self._input.clear()
                self.command(line.removesuffix("\r"), now)
                if not self.up:
                    return
            elif len(self._input) < LINE_MAX:
                self._input.append(byte)

    def wake(self, now: float) -> None:
        self._now = now
        if self._ready_at is not None:
            if now < self._ready_at:
                return
            self._ready_at = None
            self.greet()
        if self._sending and now >= self.sending_until:
            self._sending = False
            self.sent(now)
        self.timers(now)

    def next_deadline(self) -> float | None:
        if self._ready_at is not None:
            return self._ready_at
        times = [self.timer(), self.sending_until if self._sending else None]
        return min((time for time in times if time is not None), default=None)
