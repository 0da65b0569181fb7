"""MeshCore's KISS modem firmware: raw LoRa packets, one at a time, over standard KISS with SetHardware.

Sans-IO, after `docs/kiss_modem_protocol.md` of MeshCore 1.17 (radio.md section 4.1a).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from nexus_firmware.kiss import KissDecoder, KissFrame, encode_kiss
from nexus_firmware.radio import RadioSettings

BAUD = 115200
MTU = 255
"""Longer packets the modem drops without a word."""
FRAME_LIMIT = 511
DATA, SET_HARDWARE = 0x00, 0x06
TXDELAY, PERSISTENCE, SLOT_TIME, TXTAIL, FULL_DUPLEX = 0x01, 0x02, 0x03, 0x04, 0x05
"""Standard KISS parameters, a byte each: times in 10 ms, persistence in 1/256."""
_ANSWER = 0x80


class Sub(IntEnum):
    """SetHardware sub-commands to the modem; it answers with the same plus 0x80."""

    IDENTITY = 0x01
    RANDOM = 0x02
    SET_RADIO = 0x09
    SET_TX_POWER = 0x0A
    RADIO = 0x0B
    TX_POWER = 0x0C
    RSSI = 0x0D
    CHANNEL_BUSY = 0x0E
    AIRTIME = 0x0F
    NOISE_FLOOR = 0x10
    VERSION = 0x11
    STATS = 0x12
    BATTERY = 0x13
    MCU_TEMPERATURE = 0x14
    DEVICE_NAME = 0x16
    PING = 0x17
    REBOOT = 0x18
    SET_SIGNAL_REPORT = 0x19
    SIGNAL_REPORT = 0x1A


_OK, _ERROR, _TX_DONE, _RX_META = 0xF0, 0xF1, 0xF8, 0xF9
TX_BUSY, UNKNOWN_COMMAND = 0x07, 0x05
ERRORS = {
    0x01: "the request is too short",
    0x02: "a value is not possible",
    0x03: "this board cannot do it",
    0x04: "the authentication code is wrong",
    UNKNOWN_COMMAND: "this firmware does not know the command",
    0x06: "the encryption failed",
    TX_BUSY: "the modem is busy sending, or the host does not read",
}


@dataclass(frozen=True, slots=True)
class Received:
    """A packet off the air; dBm and dB are None where the modem reports none."""

    data: bytes
    rssi_dbm: int | None = None
    snr_db: float | None = None


@dataclass(frozen=True, slots=True)
class TxDone:
    """The packet has gone out, or could not."""

    ok: bool


@dataclass(frozen=True, slots=True)
class Done:
    """A setting was taken."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The modem refused something; `ERRORS` has words for the code."""

    code: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    RADIO is (Hz, Hz, spreading factor, coding rate), STATS packets (received, sent, errors). AIRTIME is in
    milliseconds, BATTERY in millivolts, MCU_TEMPERATURE in degrees Celsius; RSSI, NOISE_FLOOR and TX_POWER
    are in dBm.
    """

    to: Sub
    value: int | float | str | bytes | tuple[int, ...] | None


Event = Received | TxDone | Done | Failed | Answer

_READERS: dict[
    Sub, tuple[int | None, Callable[[bytes], int | float | str | bytes | tuple[int, ...] | None]]
] = {
    Sub.IDENTITY: (32, bytes),
    Sub.RANDOM: (None, bytes),
    Sub.RADIO: (10, lambda data: struct.unpack("<IIBB", data)),
    Sub.TX_POWER: (1, lambda data: data[0]),
    Sub.RSSI: (1, lambda data: int.from_bytes(data, signed=True)),
    Sub.CHANNEL_BUSY: (1, lambda data: data[0]),
    Sub.AIRTIME: (4, lambda data: int.from_bytes(data, "little")),
    Sub.NOISE_FLOOR: (2, lambda data: int.from_bytes(data, "little", signed=True)),
    Sub.VERSION: (2, lambda data: data[0]),
    Sub.STATS: (12, lambda data: struct.unpack("<III", data)),
    Sub.BATTERY: (2, lambda data: int.from_bytes(data, "little")),
    Sub.MCU_TEMPERATURE: (2, lambda data: int.from_bytes(data, "little", signed=True) / 10),
    Sub.DEVICE_NAME: (None, lambda data: data.decode("utf-8", "replace")),
    Sub.PING: (0, lambda data: None),
    Sub.SIGNAL_REPORT: (1, lambda data: data[0]),
}
"""By question: how many bytes the answer has, and what they mean."""


class MeshcoreDecoder:
    """Events out of the bytes a modem sends, in pieces of any size. Noise never raises.

    The modem says how a packet was heard in a frame after it, so a packet is held until the next frame, or
    until `release`, which the driver calls when nothing has come for some milliseconds. With
    `signal_reports` false, or after the modem said that they are off, nothing is held.
    """

    def __init__(self, *, signal_reports: bool = True) -> None:
        self._kiss = KissDecoder(FRAME_LIMIT)
        self._reports = signal_reports
        self._held: bytes | None = None
        self.skipped = 0
        """Frames that say nothing this codec knows, or not in the size they should have."""

    @property
    def dropped(self) -> int:
        """Damaged frames."""
        return self._kiss.dropped

    @property
    def holds(self) -> bool:
        """Whether a packet waits for its signal."""
        return self._held is not None

    def release(self) -> list[Event]:
        """Give out the packet that waits for its signal."""
        held, self._held = self._held, None
        return [] if held is None else [Received(held)]

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they come; return what they complete."""
        events: list[Event] = []
        for frame in self._kiss.feed(data):
            self._take(frame, events)
        return events

    def _take(self, frame: KissFrame, events: list[Event]) -> None:
        command, data = frame
        if command == SET_HARDWARE and data[:1] == bytes((_RX_META,)) and len(data) == 3:
            held, self._held = self._held, None
            if held is not None:
                snr, rssi = struct.unpack("bb", data[1:])
                events.append(Received(held, rssi, snr / 4))
            return
        events += self.release()
        if command == DATA and 0 < len(data) <= MTU:
            if self._reports:
                self._held = data
            else:
                events.append(Received(data))
            return
        event = self._answer(data) if command == SET_HARDWARE and data else None
        if event is None:
            self.skipped += 1
            return
        if isinstance(event, Answer) and event.to == Sub.SIGNAL_REPORT:
            self._reports = bool(event.value)
        events.append(event)

    def _answer(self, data: bytes) -> Event | None:
        code, body = data[0], data[1:]
        if code == _TX_DONE and len(body) == 1:
            return TxDone(body != b"\0")
        if code == _OK:
            return Done()
        if code == _ERROR and len(body) == 1:
            return Failed(body[0])
        try:
            sub = Sub(code ^ _ANSWER)
            size, read = _READERS[sub]
        except (ValueError, KeyError):
            return None
        return Answer(sub, read(body)) if size is None or len(body) == size else None


# --- to the modem -----------------------------------------------------------------------------------
def encode_packet(packet: bytes) -> bytes:
    """A packet for the air. Raises ValueError above `MTU` bytes, and for none."""
    if not 0 < len(packet) <= MTU:
        raise ValueError(f"a MeshCore modem takes packets of 1 to {MTU} bytes, not {len(packet)}")
    return encode_kiss(DATA, packet)


def ask(sub: Sub, data: bytes = b"") -> bytes:
    """A question; AIRTIME takes a length (one byte), RANDOM how many bytes."""
    return encode_kiss(SET_HARDWARE, bytes((sub,)) + data)


def set_radio(settings: RadioSettings) -> list[bytes]:
    """Frames that set the radio, a write each, each answered by `Done`."""
    numbers = (settings.frequency, settings.bandwidth, settings.spreading_factor, settings.coding_rate)
    return [
        ask(Sub.SET_RADIO, struct.pack("<IIBB", *numbers)),
        ask(Sub.SET_TX_POWER, bytes((settings.tx_power,))),
    ]


def set_signal_report(on: bool) -> bytes:
    """Whether to say how packets were heard; answered as SIGNAL_REPORT."""
    return ask(Sub.SET_SIGNAL_REPORT, bytes((on,)))


def set_parameter(which: int, value: int) -> bytes:
    """A standard KISS parameter such as `TXDELAY`; never answered."""
    return encode_kiss(which, bytes((value,)))


PROBE = ask(Sub.PING) + ask(Sub.VERSION) + ask(Sub.DEVICE_NAME)
"""What tells this firmware from others; an RNode takes none of it for anything."""


def packet_airtime(size: int, settings: RadioSettings) -> float:
    """Seconds on the air: 32 symbols of preamble up to SF8 since 1.17, else 16."""
    return settings.airtime(size, 32 if settings.spreading_factor <= 8 else 16)


class Outcome(Enum):
    """What became of the packet written last."""

    SENT = "sent"
    FAILED = "failed"
    BUSY = "busy"
    """Not taken: write it again later."""


class TransmitSlot:
    """The one packet the modem takes at a time, from the write to TxDone.

    The modem answers a packet that comes too early with TX_BUSY, a code that any question gets too when the
    host has not read for long; so after a busy answer the slot stays shut for `retry_s`.
    """

    CSMA_S = 5.0
    """Slots and key-up of the modem's channel access, generously."""

    def __init__(self, longest: float, retry_s: float = 0.2) -> None:
        """`longest` is the time on air of the largest packet: into a channel that stays busy for 1.5 times
        as long the modem sends all the same."""
        self._patience = self.CSMA_S + 2 * longest
        self._retry_s = retry_s
        self._pending = False
        self._not_before = 0.0
        self.deadline: float | None = None
        """When a TxDone is overdue; the modem should then be asked, or started over."""

    def free(self, now: float) -> bool:
        """Whether a packet may be written now."""
        return not self._pending and now >= self._not_before

    def wrote(self, airtime: float, now: float) -> None:
        """A packet was written that takes so many seconds on the air."""
        self._pending = True
        self.deadline = now + self._patience + 2 * airtime

    def take(self, event: Event, now: float) -> Outcome | None:
        """What an event means for the packet written last; None if nothing."""
        if not self._pending:
            return None
        if isinstance(event, TxDone):
            outcome = Outcome.SENT if event.ok else Outcome.FAILED
        elif isinstance(event, Failed) and event.code == TX_BUSY:
            outcome = Outcome.BUSY
            self._not_before = now + self._retry_s
        else:
            return None
        self._pending, self.deadline = False, None
        return outcome

    def reset(self) -> None:
        """The modem started over."""
        self._pending, self.deadline, self._not_before = False, None, 0.0
