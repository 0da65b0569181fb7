"""LoRa modules with text commands: their lines into events.

Sans-IO, for every dialect of `at_dialects` (radio.md sections 3.3 to 3.5).
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from nexus_firmware.radio import RadioSettings

LINE_MAX = 640
"""Bytes in a line: 255 in hexadecimal, and what stands around it."""
COUNTED_MAX = 255
"""Bytes of data in a line that says how many."""


# --- what the module says ---------------------------------------------------------------------------
class Trouble(Enum):
    """What a module's error is about."""

    BUSY = "busy"
    """Not now: it sends, or receives."""
    SENDING = "sending"
    """The transmission failed."""
    RECEIVING = "receiving"
    """Something was heard that could not be read; comes unasked."""
    REFUSED = "refused"
    """The command or a value in it."""


@dataclass(frozen=True, slots=True)
class Ok:
    """The command is done, or begun."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A line that answers a question, or any other line."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An error, in the module's own code and in words."""

    code: str
    words: str
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Sent:
    """The packet has gone out."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The radio stopped: a transmission failed, or the receiver's time is over and it must be started."""


@dataclass(frozen=True, slots=True)
class Received:
    """A packet off the air; dBm and dB are None where the module does not say."""

    data: bytes
    rssi_dbm: int | None
    snr_db: float | None


@dataclass(frozen=True, slots=True)
class Restarted:
    """The module has booted: what was not kept is gone. Or, on the RN2483, the answer to `sys get ver`."""

    text: str


Event = Ok | Answer | Failed | Sent | Stopped | Received | Restarted


# --- dialects ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Step:
    """A command, or none, and the event that ends its step, within so many seconds."""

    line: bytes
    until: type[Event]
    seconds: float = 2.0


@dataclass(frozen=True)
class Dialect:
    """How one family of modules speaks.

    `received` matches the line of a packet, with groups `data` and, where the module says so, `rssi` and
    `snr`. Where `counted` it matches up to the data with a group `length` of at most 3 digits, and the data
    may hold anything. `decode` makes bytes of it, or raises ValueError for what is not ours. `mtu` is in
    bytes of ours, `airtime` takes as many.
    """

    name: str
    baud: int
    mtu: int
    fixed: Mapping[str, Event]
    received: re.Pattern[str]
    decode: Callable[[str], bytes]
    failure: Callable[[str], Failed | None]
    configuration: Callable[[RadioSettings], tuple[Step, ...]]
    listening: tuple[Step, ...]
    transmission: Callable[[bytes, float], tuple[Step, ...]]
    """Steps that send a packet of the given time on air; the receiver is on again afterwards."""
    airtime: Callable[[int, RadioSettings], float]
    questions: Callable[[RadioSettings], Mapping[Step, str]]
    """What to ask to see that the settings are as they should be, and the lines to be answered."""
    listens_once: bool = False
    """The receiver stops after each packet: `listening` again."""
    restarted: re.Pattern[str] = re.compile(r"(?!)")
    counted: bool = False
    question: bytes = b"AT\r\n"
    version: bytes = b""
    """What to write to learn the version."""


def base64_text(data: bytes) -> str:
    """For modules whose data is text of its own."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64_text(text: str) -> bytes:
    """Raises ValueError for what is no such text."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("no base64") from error
    if base64_text(data) != text:
        raise ValueError("bits left over")
    return data


class AtDecoder:
    """Events out of a module's lines, in pieces of any size. Noise never raises."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._line: bytearray | None = bytearray()  # None: skipping to the end of a line too long
        self.foreign = 0
        """Packets that are not in this node's encoding: other people's."""
        self.dropped = 0
        """Lines too long."""

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they come; return what they complete."""
        events: list[Event] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._take(piece + b"\n")
            self._close(events)
        self._take(rest)
        return events

    def _take(self, piece: bytes) -> None:
        if self._line is None:
            return
        self._line += piece
        if len(self._line) > LINE_MAX:
            self._line = None
            self.dropped += 1

    def _close(self, events: list[Event]) -> None:
        """A line has ended, or the data of a packet has an end of line in it."""
        if self._line is None:
            self._line = bytearray()
        # latin-1 gives every byte a character.
        while size := self._consume(self._line.decode("latin-1"), events):
            del self._line[:size]

    def _consume(self, text: str, events: list[Event]) -> int:
        """Take what stands first; how much that was, 0 if more must come."""
        if self._dialect.counted and (start := self._dialect.received.match(text)) is not None:
            length = int(start["length"])
            end = start.end() + length
            if length <= COUNTED_MAX and "\n" not in text[end:]:
                return 0
            tail = _TAIL.match(text, end) if length <= COUNTED_MAX else None
            if tail is not None:
                self._add_packet(text[start.end() : end], tail["rssi"], tail["snr"], events)
                return tail.end()
        end = text.find("\n") + 1
        if line := text[:end].strip():
            self._add(line, events)
        return end

    def _add(self, line: str, events: list[Event]) -> None:
        dialect = self._dialect
        fixed = dialect.fixed.get(line)
        if fixed is not None:
            events.append(fixed)
        elif not dialect.counted and (packet := dialect.received.match(line)) is not None:
            groups = packet.groupdict()
            self._add_packet(groups["data"], groups.get("rssi"), groups.get("snr"), events)
        elif (failure := dialect.failure(line)) is not None:
            events.append(failure)
        elif dialect.restarted.match(line):
            events.append(Restarted(line))
        else:
            events.append(Answer(line))

    def _add_packet(self, text: str, rssi: str | None, snr: str | None, events: list[Event]) -> None:
        try:
            data = self._dialect.decode(text)
        except ValueError:
            self.foreign += 1
            return
        events.append(Received(data, int(rssi) if rssi else None, float(snr) if snr else None))


_TAIL = re.compile(r",(?P<rssi>-?\d{1,4}),(?P<snr>-?\d{1,3})\r?\n", re.ASCII)
