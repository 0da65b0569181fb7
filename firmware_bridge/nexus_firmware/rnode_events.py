"""What RNode firmware says, as typed events (RNode_Firmware 1.86, radio.md section 2.1)."""

from dataclasses import dataclass
from enum import IntEnum


class Command(IntEnum):
    """What this codec says or hears; anything else the firmware sends is skipped."""

    DATA = 0x00
    FREQUENCY = 0x01
    BANDWIDTH = 0x02
    TX_POWER = 0x03
    SPREADING_FACTOR = 0x04
    CODING_RATE = 0x05
    RADIO_STATE = 0x06
    DETECT = 0x08
    LEAVE = 0x0A
    SHORT_AIRTIME_LIMIT = 0x0B
    LONG_AIRTIME_LIMIT = 0x0C
    READY = 0x0F
    RECEIVED = 0x21
    TRANSMITTED = 0x22
    RSSI = 0x23
    SNR = 0x24
    CHANNEL = 0x25
    PHYSICAL = 0x26
    BATTERY = 0x27
    CSMA = 0x28
    TEMPERATURE = 0x29
    FRAME_BUFFER = 0x41
    BOARD = 0x47
    PLATFORM = 0x48
    MCU = 0x49
    FIRMWARE = 0x50
    RESET = 0x55
    ERROR = 0x90


DEVICE_ERRORS = {
    0x01: "the radio chip does not start",
    0x02: "a transmission failed",
    0x03: "its settings memory is locked",
    0x04: "its queue is full",
    0x05: "its memory runs low",
    0x06: "the modem timed out",
}
PLATFORMS = {0x90: "AVR", 0x80: "ESP32", 0x70: "nRF52"}


# --- what the device says ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Received:
    """A packet off the air, with the signal the device reported just before it (dBm, dB)."""

    data: bytes
    rssi_dbm: int | None
    snr_db: float | None


@dataclass(frozen=True, slots=True)
class Echo:
    """A setting as the device has it now: Hz, dBm, the bare number, or hundredths of a percent."""

    setting: Command
    value: int


@dataclass(frozen=True, slots=True)
class Detected:
    """It is an RNode."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """Its firmware's version."""

    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """`what` is BOARD, PLATFORM or MCU."""

    what: Command
    value: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The answer to `READY_QUERY`: whether the queue has room. Current firmware never says it unasked."""

    room: bool


@dataclass(frozen=True, slots=True)
class DeviceError:
    """Something went wrong in the device; `DEVICE_ERRORS` has words for most codes."""

    code: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The device has booted: its settings are gone."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """About once a second: shares of the last 15 s and of the last hour (0 to 1), levels in dBm.

    `airtime` is our own sending, `load` everybody's.
    """

    airtime_short: float
    airtime_long: float
    load_short: float
    load_long: float
    rssi_dbm: int
    noise_floor_dbm: int
    interference_dbm: int | None


@dataclass(frozen=True, slots=True)
class PhysicalStats:
    """What the settings amount to, in the device's own reckoning."""

    symbol_us: int
    symbol_rate: int
    preamble_symbols: int
    preamble_ms: int
    slot_ms: int
    difs_ms: int


@dataclass(frozen=True, slots=True)
class CsmaStats:
    """Band of the contention window, which grows with the load, and its bounds in slots."""

    band: int
    window_min: int
    window_max: int


@dataclass(frozen=True, slots=True)
class Battery:
    """State (0 unknown, 1 discharging, 2 charging, 3 charged) and percent."""

    state: int
    percent: int


@dataclass(frozen=True, slots=True)
class Temperature:
    """Of the processor, in degrees Celsius."""

    celsius: int


@dataclass(frozen=True, slots=True)
class Counter:
    """`what` is RECEIVED or TRANSMITTED: packets since the start."""

    what: Command
    packets: int


Event = (
    Received
    | Echo
    | Detected
    | Firmware
    | Hardware
    | Ready
    | DeviceError
    | Restarted
    | ChannelStats
    | PhysicalStats
    | CsmaStats
    | Battery
    | Temperature
    | Counter
)
