"""Emulated firmware on one air in virtual time, the test being each one's host."""

import math

from nexus_firmware.emulate.air import Channel, Ether, Heard, Transmission
from nexus_firmware.emulate.firmware import Firmware

STEPS_MAX = 200_000


class Desk:
    """One firmware with an antenna, and a port that the test reads and writes."""

    def __init__(self, bench: "Bench", firmware: Firmware) -> None:
        self.bench = bench
        self.firmware = firmware
        self.reads = True
        """False: the host does not read, so the port takes nothing."""
        self.said = bytearray()
        self.sent: list[tuple[float, Transmission]] = []

    @property
    def channel(self) -> Channel | None:
        return self.firmware.channel

    def sense(self, until: float, now: float) -> None:
        self.firmware.sense(until, now)

    def hear(self, heard: Heard, now: float) -> None:
        self.firmware.hear(heard, now)

    def write(self, data: bytes) -> None:
        """The host writes, at the bench's present."""
        self.firmware.receive(data, self.bench.now)
        self.bench.settle()

    def read(self) -> bytes:
        """What the device has said since the last time."""
        said, self.said = bytes(self.said), bytearray()
        return said

    def ask(self, data: bytes, seconds: float = 0.1) -> bytes:
        """What it says to this within so long, apart from what it said before."""
        self.read()
        self.write(data)
        self.bench.run(seconds)
        return self.read()


class Bench:
    def __init__(self, **ether) -> None:
        self.now = 100.0
        self.ether = Ether(**ether)
        self.desks: list[Desk] = []

    def add(self, firmware: Firmware) -> Desk:
        desk = Desk(self, firmware)
        self.desks.append(desk)
        self.ether.join(desk)
        firmware.boot(self.now)
        self.settle()
        return desk

    def settle(self) -> None:
        """Everything that is due now."""
        self.ether.advance(self.now)
        for desk in self.desks:
            desk.firmware.wake(self.now)
        for desk in self.desks:
            while transmission := desk.firmware.transmit():
                desk.sent.append((self.now, transmission))
                self.ether.transmit(desk, transmission, self.now)
        for desk in self.desks:
            while desk.reads and (piece := desk.firmware.output()):
                desk.said += piece

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(STEPS_MAX):
            times = [self.ether.next_deadline(), *(desk.firmware.next_deadline() for desk in self.desks)]
            at = min((time for time in times if time is not None), default=math.inf)
            if at > end:
                self.now = end
                self.settle()
                return
            self.now = max(self.now, at)
            self.settle()
        raise AssertionError(f"a firmware never comes to rest at {self.now}")
