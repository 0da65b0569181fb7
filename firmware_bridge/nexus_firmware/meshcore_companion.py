"""MeshCore's companion firmware: group datagrams flooded through an existing MeshCore network.

Sans-IO, after `docs/companion_protocol.md` of MeshCore 1.17 (radio.md section 4.1b). Frames are `<` to the
device and `>` from it, a 2-byte little-endian length, and at most 176 bytes; there is no checksum.
"""

from dataclasses import dataclass

from nexus_firmware.meshcore_kiss import packet_airtime
from nexus_firmware.radio import RadioSettings

BAUD, TCP_PORT = 115200, 5000
FRAME_MAX = 176
DATA_MAX = 163
"""Bytes in one group datagram."""
DATA_TYPE = 0xFF4E
"""Of those for development, which nobody has to register: the second byte is our N."""
CHANNELS = 8
FLOOD = 0xFF
NOT_FOUND, TABLE_FULL = 2, 3
ERRORS = {
    1: "this firmware does not know the command",
    NOT_FOUND: "there is no such channel",
    TABLE_FULL: "its queue is full",
    4: "not in this state",
    5: "its memory cannot be read or written",
    6: "a value is not possible",
}
_BLOCK, _HEAD = 16, 5
"""A datagram is padded to blocks; route, path length, channel and authentication stand before it."""


@dataclass(frozen=True, slots=True)
class SelfInfo:
    """How the device is set, and what it is called."""

    settings: RadioSettings
    name: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """The version of the protocol its firmware speaks."""

    version: int


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel; one without a name is not set."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ChannelData:
    """A datagram off a channel; dB."""

    channel: int
    data_type: int
    data: bytes
    snr_db: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something waits to be fetched with `sync_next`."""


@dataclass(frozen=True, slots=True)
class NoMore:
    """Nothing more waits."""


@dataclass(frozen=True, slots=True)
class Other:
    """What `sync_next` gave that is not for us: somebody's text."""


@dataclass(frozen=True, slots=True)
class Ok:
    """The command is done."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The command was refused; `ERRORS` has words for the code."""

    code: int


Event = SelfInfo | DeviceInfo | ChannelInfo | ChannelData | Waiting | NoMore | Other | Ok | Failed
_TEXTS = (7, 8, 16, 17)


class CompanionDecoder:
    """Events out of the bytes a device sends, in pieces of any size. Noise never raises.

    A frame that cannot be one is given up byte by byte, so it costs none behind it but what it swallowed.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self.skipped = 0
        """Frames that say nothing this codec knows."""

    @property
    def waiting(self) -> bool:
        """Whether a frame has begun and is not whole; after a second of silence call `give_up`."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they come; return what they complete."""
        self._rest += data
        events: list[Event] = []
        while (start := self._rest.find(b">")) >= 0:
            del self._rest[:start]
            if len(self._rest) < 3:
                return events
            size = int.from_bytes(self._rest[1:3], "little")
            if not 0 < size <= FRAME_MAX:
                del self._rest[:1]
                continue
            if len(self._rest) < 3 + size:
                return events
            event = _decode(bytes(self._rest[3 : 3 + size]))
            if event is None:
                self.skipped += 1
            else:
                events.append(event)
            del self._rest[: 3 + size]
        self._rest.clear()
        return events

    def give_up(self) -> list[Event]:
        """Look for frames behind one that was cut off."""
        del self._rest[:1]
        return self.feed(b"")


def _decode(frame: bytes) -> Event | None:
    kind, size = frame[0], len(frame)
    match kind:
        case 0x00:
            return Ok()
        case 0x01:
            return Failed(frame[1] if size > 1 else 0)
        case 0x05 if size >= 58:
            kilohertz, hertz = (int.from_bytes(frame[at : at + 4], "little") for at in (48, 52))
            settings = RadioSettings(kilohertz * 1000, hertz, frame[56], frame[57], frame[2])
            if not settings.possible:
                return None  # spoilt on its way
            return SelfInfo(settings, frame[58:].decode("utf-8", "replace").rstrip("\0"))
        case 0x0A:
            return NoMore()
        case 0x0D if size > 1:
            return DeviceInfo(frame[1])
        case 0x12 if size >= 34:
            return ChannelInfo(frame[1], frame[2:34].partition(b"\0")[0].decode("utf-8", "replace"))
        case 0x1B if size >= 9 and size >= 9 + frame[8]:
            snr = int.from_bytes(frame[1:2], signed=True) / 4
            return ChannelData(frame[4], int.from_bytes(frame[6:8], "little"), frame[9 : 9 + frame[8]], snr)
        case 0x83:
            return Waiting()
        case _ if kind in _TEXTS:
            return Other()
    return None


# --- to the device ----------------------------------------------------------------------------------
def frame_of(command: bytes) -> bytes:
    """A command as it goes to the device."""
    return b"<" + len(command).to_bytes(2, "little") + command


APP_START = frame_of(b"\x01" + bytes(7) + b"nexus")
DEVICE_QUERY = frame_of(b"\x16\x03")
SYNC_NEXT = frame_of(b"\x0a")


def get_channel(index: int) -> bytes:
    """Ask for a channel; answered with `ChannelInfo`, or `Failed(NOT_FOUND)`."""
    return frame_of(bytes((0x1F, index)))


def send_data(channel: int, data: bytes) -> bytes:
    """Flood a datagram on a channel. Raises ValueError above `DATA_MAX` bytes, and for none."""
    if not 0 < len(data) <= DATA_MAX:
        raise ValueError(f"a MeshCore datagram holds 1 to {DATA_MAX} bytes, not {len(data)}")
    return frame_of(bytes((0x3E, channel, FLOOD)) + DATA_TYPE.to_bytes(2, "little") + data)


def datagram_airtime(size: int, settings: RadioSettings) -> float:
    """Seconds on the air of this device's own transmission; repeaters send it again."""
    blocks = -(-(size + 3) // _BLOCK)
    return packet_airtime(_HEAD + blocks * _BLOCK, settings)
