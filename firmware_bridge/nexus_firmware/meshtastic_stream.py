"""Meshtastic's framing on serial lines and TCP: 0x94 0xC3, a 2-byte length, a protobuf; text in between.

There is no checksum (radio.md section 1.1). So a frame counts when its payload makes sense; else the search
goes on one byte after its beginning, and a damaged frame costs none that follow it.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

START = b"\x94\xc3"
HEADER_SIZE = 4
PAYLOAD_MAX = 512
WAKE = b"\xc3" * 32
"""Written first: ends whatever half frame the device is in, and wakes it."""
SERIAL_BAUD, TCP_PORT = 115200, 4403


def encode_frame(payload: bytes) -> bytes:
    """One frame. Raises ValueError for a payload above `PAYLOAD_MAX` bytes."""
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"a Meshtastic frame holds up to {PAYLOAD_MAX} bytes, not {len(payload)}")
    return START + len(payload).to_bytes(2) + payload


class FrameFinder(Generic[T]):
    """Frames out of a byte stream with text and damage in it; keeps at most one that is unfinished.

    `read` makes something of a payload, or None of one that makes no sense.
    """

    def __init__(self, read: Callable[[bytes], T | None]) -> None:
        self._read = read
        self._rest = bytearray()
        self.noise = 0
        """Bytes that belong to no frame: the device's log, or damage."""
        self.damaged = 0
        """Frames that made no sense."""

    @property
    def waiting(self) -> bool:
        """Whether a frame has begun and is not whole."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[T]:
        """Take bytes as they come; return the frames they complete. Never raises."""
        self._rest += data
        found: list[T] = []
        at = 0
        while (start := self._rest.find(START[0], at)) >= 0:
            self.noise += start - at
            at = start
            end = self._frame_end(start)
            if end is None:
                break
            one = self._read(bytes(self._rest[start + HEADER_SIZE : end])) if end > start else None
            if one is not None:
                found.append(one)
                at = end
            else:
                self.damaged += end > start
                self.noise += 1
                at = start + 1
        else:
            self.noise += len(self._rest) - at
            at = len(self._rest)
        del self._rest[:at]
        return found

    def _frame_end(self, start: int) -> int | None:
        """Where the frame that begins at `start` ends: `start` if none does, None if more must come first."""
        if start + 1 < len(self._rest) and self._rest[start + 1] != START[1]:
            return start
        header = self._rest[start : start + HEADER_SIZE]
        if len(header) < HEADER_SIZE:
            # Most lengths above the limit show in their first byte.
            return start if header[2:3] > b"\x02" else None
        length = int.from_bytes(header[2:])
        if length > PAYLOAD_MAX:
            return start
        end = start + HEADER_SIZE + length
        return end if end <= len(self._rest) else None

    def give_up(self) -> list[T]:
        """Nothing came for a while: the frame that has begun will not be finished. What is behind it?"""
        found: list[T] = []
        while self._rest:
            rest, self._rest = bytes(self._rest[1:]), bytearray()
            self.damaged += 1
            self.noise += 1
            found += self.feed(rest)
        return found
