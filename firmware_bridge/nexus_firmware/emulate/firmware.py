"""What every emulated firmware is to the boards that carry it: a machine without clock, radio or port."""

from abc import ABC, abstractmethod
from collections import deque
from random import Random

from nexus_firmware.emulate.air import Channel, Heard, Transmission

OUTPUT_MAX = 16384
"""Bytes for a host that does not read; beyond, a serial driver drops what is newest."""


class Firmware(ABC):
    """A machine: what comes in is `receive`, `hear`, `sense` and `wake`, with the time in seconds.

    What goes out is fetched: `output` whenever the host's port takes more, `transmit` after every call that
    came in. It is called again at `next_deadline` at the latest.
    """

    kind: str
    """What the command line calls it."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._output: deque[bytes] = deque()
        self._output_size = 0
        self._transmissions: deque[Transmission] = deque()
        self.line_low = False
        """Whether it holds the line low that says it is busy: of those here an E22 has one, AUX."""
        self.busy_until = 0.0
        """While somebody else's packet is in the air."""
        self.sending_until = 0.0
        """While its own is."""

    # --- from the world -----------------------------------------------------------------------------
    @abstractmethod
    def boot(self, now: float) -> None:
        """Power is there."""

    @abstractmethod
    def receive(self, data: bytes, now: float) -> None:
        """Bytes came from the host."""

    @abstractmethod
    def hear(self, heard: Heard, now: float) -> None:
        """A packet came off the air."""

    def sense(self, until: float, now: float) -> None:
        """Somebody's packet has begun."""
        self.busy_until = max(self.busy_until, until)

    def wake(self, now: float) -> None:
        """Do what is due."""
        return

    def next_deadline(self) -> float | None:
        """When `wake` has something to do."""
        return None

    @property
    def up(self) -> bool:
        """Whether it has booted."""
        return True

    def connected(self, now: float) -> None:
        """A client has come by TCP. A serial port does not tell."""
        return

    # --- to the world -------------------------------------------------------------------------------
    @property
    @abstractmethod
    def channel(self) -> Channel | None:
        """What its radio listens to; None while it does not."""

    def output(self) -> bytes:
        """The next bytes for the host, or none."""
        if not self._output:
            return b""
        piece = self._output.popleft()
        self._output_size -= len(piece)
        return piece

    def transmit(self) -> Transmission | None:
        """A packet that goes out now."""
        return self._transmissions.popleft() if self._transmissions else None

    # --- for the machines themselves ----------------------------------------------------------------
    def tell(self, data: bytes) -> None:
        """Queue whole frames or lines for the host; they are dropped when it has not read for long."""
        if self._output_size + len(data) <= OUTPUT_MAX:
            self._output.append(data)
            self._output_size += len(data)

    def send(self, transmission: Transmission, now: float) -> float:
        """Start transmitting; returns when it ends. Not while another goes out."""
        self._transmissions.append(transmission)
        self.sending_until = now + transmission.airtime
        return self.sending_until

    def silence(self) -> None:
        """Forget what was to go out: the board starts over."""
        self._output.clear()
        self._output_size = 0
        self._transmissions.clear()
        self.busy_until = self.sending_until = 0.0
