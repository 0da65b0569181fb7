"""Ebyte E22 modules (Waveshare's UART LoRa HAT): registers, and what transparent mode costs.

Sans-IO, after the manuals cited in radio.md section 3.2. A module takes register commands only in
configuration mode (M1 high, M0 low), at 9600 baud 8N1. In transparent mode bytes go out as radio packets of a
sub-packet each, and frames need delimiting of their own: `cobs`.
"""

import re
from dataclasses import dataclass

from nexus_firmware.cobs import OVERHEAD
from nexus_firmware.radio import RadioSettings

CONFIGURATION_BAUD = 9600
UART_BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
AIR_RATES = (300, 1200, 2400, 4800, 9600, 19200, 38400, 62500)
"""Bits per second by code. Editions of 2024 make codes 0 and 1 mean 2400 as well: read back and compare."""
SUB_PACKETS = (240, 128, 64, 32)
POWERS_22_DBM, POWERS_30_DBM = (22, 17, 13, 10), (30, 27, 24, 21)
"""By code, for modules of that highest power."""
BROADCAST_ADDRESS = 0xFFFF
BANDS = {900: (850_125_000, 80), 400: (410_125_000, 83)}
"""By kind of module: the frequency of channel 0 in Hz, and the last channel; a channel is 1 MHz wide."""
AMBIENT_RSSI = bytes.fromhex("c0c1c2c30002")
"""Asks, in transparent mode, for the level now and of the last packet; answered as registers 0 and 1."""
PRODUCT_ADDRESS, PRODUCT_SIZE = 0x80, 7
MODES = ("transparent", "wor", "configuration", "sleep")

_APPEND_RSSI, _FIXED, _RELAY, _LISTEN_FIRST = 0x80, 0x40, 0x20, 0x10
_AMBIENT, _SOFTWARE_MODE = 0x20, 0x10
_MODULATION = ((12, 125), (11, 250), (11, 500), (10, 500), (9, 500), (7, 500), (6, 500), (5, 500))
"""Spreading factor and bandwidth in kHz by code. The manuals give rates only; of the settings an SX1262 has,
these come nearest at a coding rate of 4/5."""
_HEADER = 4
"""Bytes the module adds to each packet, reckoned generously: the manuals do not say."""


@dataclass(frozen=True, slots=True)
class E22Settings:
    """What registers 00 to 06 hold. `channel` is in MHz above the band's first, `power` a code (0: most)."""

    channel: int
    air_rate: int = 2400
    sub_packet: int = 240
    uart_baud: int = 9600
    address: int = BROADCAST_ADDRESS
    network: int = 0
    power: int = 0
    append_rssi: bool = True
    ambient_rssi: bool = True
    listen_first: bool = True
    software_mode: bool = False

    def encode(self) -> bytes:
        """Registers 00 to 06. Raises ValueError for a value the module does not have."""
        for name, value, known in (
            ("air rate", self.air_rate, AIR_RATES),
            ("sub-packet", self.sub_packet, SUB_PACKETS),
            ("baud rate", self.uart_baud, UART_BAUDS),
            ("power code", self.power, range(4)),
        ):
            if value not in known:
                raise ValueError(f"an E22 has no {name} {value}; it has {', '.join(map(str, known))}")
        reg0 = UART_BAUDS.index(self.uart_baud) << 5 | AIR_RATES.index(self.air_rate)
        reg1 = SUB_PACKETS.index(self.sub_packet) << 6 | self.power
        reg1 |= (_AMBIENT if self.ambient_rssi else 0) | (_SOFTWARE_MODE if self.software_mode else 0)
        reg3 = (_APPEND_RSSI if self.append_rssi else 0) | (_LISTEN_FIRST if self.listen_first else 0)
        return self.address.to_bytes(2) + bytes((self.network, reg0, reg1, self.channel, reg3))

    @classmethod
    def decode(cls, registers: bytes) -> "E22Settings":
        """From registers 00 to 06."""
        network, reg0, reg1, channel, reg3 = registers[2:7]
        return cls(
            channel=channel,
            air_rate=AIR_RATES[reg0 & 7],
            sub_packet=SUB_PACKETS[reg1 >> 6],
            uart_baud=UART_BAUDS[reg0 >> 5],
            address=int.from_bytes(registers[:2]),
            network=network,
            power=reg1 & 3,
            append_rssi=bool(reg3 & _APPEND_RSSI),
            ambient_rssi=bool(reg1 & _AMBIENT),
            listen_first=bool(reg3 & _LISTEN_FIRST),
            software_mode=bool(reg1 & _SOFTWARE_MODE),
        )

    @property
    def mtu(self) -> int:
        """Payload of a frame that is one radio packet: what is lost then is one frame, not parts of two."""
        return self.sub_packet - OVERHEAD

    def airtime(self, size: int) -> float:
        """Seconds on the air of `size` bytes given to the module at once: an estimate, see `_MODULATION`."""
        radio = self.radio(0)
        whole, rest = divmod(size, self.sub_packet)
        parts = [self.sub_packet] * whole + ([rest] if rest else [])
        return sum(radio.airtime(part + _HEADER, 8) for part in parts)

    def radio(self, base: int) -> RadioSettings:
        """What the module is tuned to, with channel 0 at `base` Hz."""
        spreading_factor, kilohertz = _MODULATION[AIR_RATES.index(self.air_rate)]
        return RadioSettings(base + self.channel * 1_000_000, kilohertz * 1000, spreading_factor, 5)


def channel_of(frequency: int) -> int:
    """The channel of a frequency in Hz. Raises ValueError where no module has one."""
    for base, last in BANDS.values():
        channel, rest = divmod(frequency - base, 1_000_000)
        if not rest and 0 <= channel <= last:
            return channel
    near = min(
        (abs(frequency - base - n * 1_000_000), base + n * 1_000_000)
        for base, last in BANDS.values()
        for n in range(last + 1)
    )[1]
    raise ValueError(f"an E22 has no channel at {frequency / 1e6:g} MHz; the nearest is {near / 1e6:g} MHz")


# --- registers --------------------------------------------------------------------------------------
def write_registers(address: int, data: bytes, *, keep: bool = False) -> bytes:
    """Set registers from `address` on; `keep` writes them to flash, which wears."""
    return bytes((0xC0 if keep else 0xC2, address, len(data))) + data


def read_registers(address: int, count: int) -> bytes:
    """Ask for `count` registers from `address` on."""
    return bytes((0xC1, address, count))


def switch_mode(mode: str) -> bytes:
    """Change the mode without the pins, where `software_mode` is set; not every module can.

    Raises ValueError for a mode that is none of `MODES`.
    """
    if mode not in MODES:
        raise ValueError(f"an E22 has no mode {mode}; it has {', '.join(MODES)}")
    return bytes.fromhex("c0c1c2c302") + bytes((MODES.index(mode),))


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers from `address` on, as they are now."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class WrongFormat:
    """The module did not understand."""


class RegisterDecoder:
    """Answers to register commands, in pieces of any size. Noise never raises."""

    LONGEST = 16
    """Registers in one answer; there are 9, and 7 about the product."""
    _ADDRESS_MAX = PRODUCT_ADDRESS + PRODUCT_SIZE - 1

    def __init__(self) -> None:
        self._rest = bytearray()
        self.noise = 0
        """Bytes that belong to no answer."""

    def feed(self, data: bytes) -> list[Registers | WrongFormat]:
        """Take bytes as they come; return the answers they complete."""
        self._rest += data
        found: list[Registers | WrongFormat] = []
        at = 0
        while (start := _ANSWER_START.search(self._rest, at)) is not None:
            self.noise += start.start() - at
            at = start.start()
            end = self._answer_end(at)
            if end is None:
                break
            if end == at:
                self.noise += 1
                at += 1
                continue
            answer = bytes(self._rest[at:end])
            found.append(Registers(answer[1], answer[3:]) if answer[0] == 0xC1 else WrongFormat())
            at = end
        else:
            self.noise += len(self._rest) - at
            at = len(self._rest)
        del self._rest[:at]
        return found

    def _answer_end(self, at: int) -> int | None:
        """Where the answer that begins at `at` ends: `at` if none does, None if more must come first."""
        head = self._rest[at : at + 3]
        if head[0] == 0xFF:
            end = at + 3 if head == b"\xff" * len(head) else at
        elif len(head) > 1 and head[1] > self._ADDRESS_MAX:
            end = at
        elif len(head) < 3:
            end = at + 3
        else:
            end = at + 3 + head[2] if 0 < head[2] <= self.LONGEST else at
        return end if end <= len(self._rest) else None


_ANSWER_START = re.compile(rb"[\xc1\xff]")


def rssi_dbm(byte: int, *, halves: bool) -> float:
    """Level that an appended byte says: 256 less the byte, or on older modules (`halves`) half the byte."""
    return -byte / 2 if halves else byte - 256
