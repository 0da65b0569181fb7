"""RNode firmware over serial or TCP: KISS commands, events, and the sequence that brings the radio up.

Sans-IO. After RNode_Firmware 1.86; 1.52 is the oldest that works (radio.md section 2).
"""

import struct
from collections.abc import Iterator

from nexus_firmware.airtime import MAX_PAYLOAD, symbol_time
from nexus_firmware.kiss import KissDecoder, KissFrame, encode_kiss
from nexus_firmware.radio import RadioSettings
from nexus_firmware.rnode_events import (
    Battery,
    ChannelStats,
    Command,
    Counter,
    CsmaStats,
    Detected,
    DeviceError,
    Echo,
    Event,
    Firmware,
    Hardware,
    PhysicalStats,
    Ready,
    Received,
    Restarted,
    Temperature,
)

BAUD, TCP_PORT = 115200, 7633
MTU = 500
"""Largest packet to send. The firmware takes 508, but then sends a third, empty LoRa frame."""
FRAME_LIMIT = 508
FRAME_MAX = MAX_PAYLOAD - 1
"""Bytes of a packet in one LoRa frame, behind a header byte."""
ONE_BY_ONE_BPS = 14_000
"""Above, it listens again before each packet of its queue."""
OLDEST_FIRMWARE = (1, 52)
FREQUENCY_TOLERANCE_HZ = 100
"""The synthesiser's steps make the echo differ from what was asked by no more than this."""


class RNodeDecoder:
    """Events out of the bytes an RNode sends, in pieces of any size. Noise never raises."""

    def __init__(self) -> None:
        self._kiss = KissDecoder(FRAME_LIMIT)
        self._rssi: int | None = None
        self._snr: float | None = None
        self.skipped = 0
        """Frames that say nothing this codec knows, or not in the size they should have."""

    @property
    def dropped(self) -> int:
        """Damaged frames."""
        return self._kiss.dropped

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they come; return what they complete."""
        events = []
        for frame in self._kiss.feed(data):
            if self._note_signal(frame):
                continue
            event = self._decode(frame)
            if event is None:
                self.skipped += 1
            else:
                events.append(event)
        return events

    def _note_signal(self, frame: KissFrame) -> bool:
        """RSSI and SNR come in frames of their own before the packet they belong to."""
        match frame.command, len(frame.data):
            case Command.RSSI, 1:
                self._rssi = frame.data[0] - 157
            case Command.SNR, 1:
                self._snr = int.from_bytes(frame.data, signed=True) / 4
            case _:
                return False
        return True

    def _decode(self, frame: KissFrame) -> Event | None:
        data = frame.data
        match frame.command, len(data):
            case Command.DATA, size if size:
                signal, self._rssi, self._snr = (self._rssi, self._snr), None, None
                return Received(data, *signal)
            case (Command.FREQUENCY | Command.BANDWIDTH) as which, 4:
                return Echo(Command(which), int.from_bytes(data))
            case (
                Command.TX_POWER | Command.SPREADING_FACTOR | Command.CODING_RATE | Command.RADIO_STATE
            ) as which, 1:
                return Echo(Command(which), data[0])
            case (Command.SHORT_AIRTIME_LIMIT | Command.LONG_AIRTIME_LIMIT) as which, 2:
                return Echo(Command(which), int.from_bytes(data))
            case Command.READY, 1:
                return Ready(data != b"\0")
            case Command.CHANNEL, 11:
                return _channel(data)
            case Command.ERROR, 1:
                return DeviceError(data[0])
            case Command.RESET, 1 if data == b"\xf8":
                self._rssi = self._snr = None
                return Restarted()
            case Command.DETECT, 1 if data == b"\x46":
                return Detected()
            case Command.FIRMWARE, 2:
                return Firmware(*data)
            case (Command.BOARD | Command.PLATFORM | Command.MCU) as which, 1:
                return Hardware(Command(which), data[0])
            case Command.PHYSICAL, 12:
                return PhysicalStats(*struct.unpack(">6H", data))
            case Command.CSMA, 3:
                return CsmaStats(*data)
            case Command.BATTERY, 2:
                return Battery(*data)
            case Command.TEMPERATURE, 1:
                return Temperature(data[0] - 120)
            case (Command.RECEIVED | Command.TRANSMITTED) as which, 4:
                return Counter(Command(which), int.from_bytes(data))
        return None


def _channel(data: bytes) -> ChannelStats:
    *shares, rssi, noise, interference = struct.unpack(">4H3B", data)
    short, long, load_short, load_long = (share / 10_000 for share in shares)
    heard = None if interference == 0xFF else interference - 157
    return ChannelStats(short, long, load_short, load_long, rssi - 157, noise - 157, heard)


DETECTION = b"\xc0\x08\x73\xc0\x50\x00\xc0\x48\x00\xc0\x49\x00\xc0"
"""Asks whether this is an RNode, and for its firmware, platform and processor: to be written at once."""
READY_QUERY = encode_kiss(Command.READY, b"\x01")
RESTART = encode_kiss(Command.RESET, b"\xf8")
DETACH = b"".join(
    encode_kiss(command, data)
    for command, data in (
        (Command.FRAME_BUFFER, b"\0"),
        (Command.RADIO_STATE, b"\0"),
        (Command.LEAVE, b"\xff"),
    )
)
"""What to write before letting go of it: the radio stops."""
_WIDTHS = {
    Command.FREQUENCY: 4,
    Command.BANDWIDTH: 4,
    Command.SHORT_AIRTIME_LIMIT: 2,
    Command.LONG_AIRTIME_LIMIT: 2,
}


def wanted(
    settings: RadioSettings, airtime_limit: float | None = None, short_airtime_limit: float | None = None
) -> dict[Command, int]:
    """What to set, in that order, the radio's start last. `mismatches` compares the echoes with it.

    The limits are shares of an hour and of 15 s (0 to 1) at which the device holds packets back; AVR
    boards have none and do not echo them.
    """
    values = {
        Command.FREQUENCY: settings.frequency,
        Command.BANDWIDTH: settings.bandwidth,
        Command.TX_POWER: settings.tx_power,
        Command.SPREADING_FACTOR: settings.spreading_factor,
        Command.CODING_RATE: settings.coding_rate,
    }
    if short_airtime_limit is not None:
        values[Command.SHORT_AIRTIME_LIMIT] = round(short_airtime_limit * 10_000)
    if airtime_limit is not None:
        values[Command.LONG_AIRTIME_LIMIT] = round(airtime_limit * 10_000)
    return {**values, Command.RADIO_STATE: 1}


def configuration(values: dict[Command, int]) -> list[bytes]:
    """The frames that set what `wanted` says, a write each."""
    return [
        encode_kiss(command, value.to_bytes(_WIDTHS.get(command, 1))) for command, value in values.items()
    ]


def mismatches(
    values: dict[Command, int], echoes: dict[Command, int]
) -> Iterator[tuple[Command, int, int | None]]:
    """What the device has not as asked: (which, wanted, has), where `has` None means that no echo came."""
    for command, value in values.items():
        has = echoes.get(command)
        near = FREQUENCY_TOLERANCE_HZ if command == Command.FREQUENCY else 0
        if has is None or abs(has - value) > near:
            yield command, value, has


def encode_packet(packet: bytes) -> bytes:
    """A packet for the air. Raises ValueError above `MTU` bytes, and for none."""
    if not 0 < len(packet) <= MTU:
        raise ValueError(f"an RNode takes packets of 1 to {MTU} bytes, not {len(packet)}")
    return encode_kiss(Command.DATA, packet)


def preamble_symbols(settings: RadioSettings) -> int:
    """18 symbols, or as many as fill 24 ms (6 ms above 30 kbit/s) where that is more."""
    shortest = 0.006 if settings.bits_per_second > 30_000 else 0.024
    symbol = symbol_time(settings.spreading_factor, settings.bandwidth)
    return max(18, -(-round(shortest * 1e9) // round(symbol * 1e9)))


def longest_wait(settings: RadioSettings, bands: int = 1) -> float:
    """Seconds a packet can wait on a free air: 2 slots, and 15 for each band of the contention window; there
    are 4, of which the first serves who sends little."""
    slot = min(max(12 * symbol_time(settings.spreading_factor, settings.bandwidth), 0.024), 0.1)
    return (2 + 15 * bands) * slot


def packet_airtime(size: int, settings: RadioSettings) -> float:
    """Seconds a packet is on the air: one LoRa frame up to 254 bytes, else two, each with a header byte."""
    preamble = preamble_symbols(settings)
    first = min(size, FRAME_MAX)
    parts = [first + 1] if size == first else [first + 1, size - first + 1]
    return sum(settings.airtime(part, preamble) for part in parts)
