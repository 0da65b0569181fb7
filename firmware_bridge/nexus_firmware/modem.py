"""What every radio behind a port is to its driver: a machine without port or clock.

Bytes and the time go in; bytes for the port and packets off the air come out. See `nexus_drivers.radio` for
who drives it.
"""

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

from nexus_firmware.radio import RadioSettings
from nexus_node.base.errors import CarrierLost

HEARD_MAX = 256
"""Packets that wait to be taken; the newest are lost beyond, as on the air."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet off the air; dBm and dB where the radio says so."""

    data: bytes
    rssi_dbm: float | None = None
    snr_db: float | None = None


class Modem(ABC):
    """One radio, from the opening of its port to the end.

    Whoever drives it calls `begin` once, then `receive` and `expire`, and writes what `poll_write` gives
    after each. Both raise `CarrierLost`, in a sentence with the cure, when the radio cannot be used as it is.
    """

    kind: str
    """What the firmware is called, for people."""
    mtu: int
    """Largest frame in bytes."""
    settings: RadioSettings | None = None
    """How the radio is set, once that is known."""
    listens_first: bool = True
    """Whether the radio waits for the air to be free by itself."""
    farewell: bytes = b""
    """What to write before the port is let go."""

    def __init__(self) -> None:
        self.heard: deque[Heard] = deque()
        self.foreign = 0
        """Packets that were heard and are not ours, since the driver has counted them."""
        self.ready = False
        """Whether the radio is set up."""
        self._out: deque[bytes] = deque()

    # --- what the driver asks -------------------------------------------------------------------
    @abstractmethod
    def begin(self, now: float) -> None:
        """The port is open."""

    @abstractmethod
    def receive(self, data: bytes, now: float) -> None:
        """Bytes came from the radio."""

    @abstractmethod
    def expire(self, now: float) -> None:
        """Do what is due."""

    @abstractmethod
    def next_deadline(self) -> float:
        """When `expire` wants to be called; infinite if never."""

    @abstractmethod
    def room_at(self, now: float) -> float:
        """When the radio takes a largest frame: `now` if it does at once, infinite if only it can tell."""

    @abstractmethod
    def send(self, frame: bytes, now: float) -> None:
        """Give it a frame, when it takes one."""

    @abstractmethod
    def airtime(self, size: int) -> float:
        """Seconds on the air of a frame of so many bytes; `settings` must be known."""

    @property
    def trouble(self) -> str | None:
        """Why it does not send for now, in words for people."""
        return None

    @property
    def note(self) -> str | None:
        """What its owner should know of it though it works, in words."""
        return None

    def poll_write(self) -> bytes | None:
        """What to write next."""
        return self._out.popleft() if self._out else None

    # --- for the machines themselves ------------------------------------------------------------
    def write(self, data: bytes) -> None:
        """Queue bytes for the port."""
        self._out.append(data)

    def hear(self, data: bytes, rssi_dbm: float | None = None, snr_db: float | None = None) -> None:
        """A packet came off the air."""
        if 0 < len(data) <= self.mtu and len(self.heard) < HEARD_MAX:
            self.heard.append(Heard(data, rssi_dbm, snr_db))


def longest_frame(modem: Modem, seconds: float, least: int) -> int:
    """The largest frame of up to `modem.mtu` bytes that takes no more time on the air than that.

    Raises `CarrierLost` when even one of `least` bytes takes more.
    """
    size = modem.mtu
    while size >= least and modem.airtime(size) > seconds:
        size -= 1
    if size < least:
        raise CarrierLost(
            f"a packet of {least} bytes takes {modem.airtime(least):.1f} s on the air, more than the"
            f" {seconds:.1f} s that are allowed; choose a lower spreading factor or another sub-band"
        )
    return size
