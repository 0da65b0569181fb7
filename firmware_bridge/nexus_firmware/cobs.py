"""Frames on a byte pipe that has no boundaries: COBS between zero bytes, with a checksum.

For modules in transparent mode, such as the Ebyte E22 (radio.md section 3.2). COBS (Cheshire and Baker 1999)
keeps zero out of a frame at a cost of one byte in 254. Each frame begins and ends with a zero: after damage
the next is whole again, and the byte a module appends to each packet (its RSSI) cannot be taken for a frame.
"""

import binascii
from dataclasses import dataclass

OVERHEAD = 5
"""Zero, COBS code, 2 of checksum, zero."""
_CRC_SIZE = 2
_SPAN = 254
"""Bytes behind one COBS code."""


@dataclass(frozen=True, slots=True)
class Received:
    """A frame, and the byte behind it where the module appends one."""

    data: bytes
    rssi_byte: int | None = None


def stuffed(data: bytes) -> bytes:
    """`data` without zeros, in COBS."""
    out = bytearray()
    pieces = data.split(b"\0")
    for number, piece in enumerate(pieces, 1):
        start = 0
        while len(piece) - start >= _SPAN:
            out.append(0xFF)
            out += piece[start : start + _SPAN]
            start += _SPAN
        # The end needs no code of its own behind a full span.
        if start < len(piece) or not start or number < len(pieces):
            out.append(len(piece) - start + 1)
            out += piece[start:]
    return bytes(out)


def unstuffed(data: bytes) -> bytes | None:
    """What was stuffed; None for what is no COBS."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        end = at + code
        if not code or end > len(data):
            return None
        out += data[at + 1 : end]
        at = end
        if code < 0xFF and at < len(data):
            out.append(0)
    return bytes(out)


def encode_frame(payload: bytes, limit: int) -> bytes:
    """A frame of at most `limit` bytes, zeros included. Raises ValueError for a payload that makes it longer,
    and for none."""
    checksum = binascii.crc_hqx(payload, 0xFFFF).to_bytes(_CRC_SIZE)
    frame = b"\0" + stuffed(payload + checksum) + b"\0"
    if not payload or len(frame) > limit:
        raise ValueError(
            f"a frame of {limit} bytes holds payloads of 1 to {limit - OVERHEAD}, not {len(payload)}"
        )
    return frame


class CobsDecoder:
    """Frames out of a stream in pieces of any size. Noise never raises; no more than `limit` bytes are kept.

    With `rssi_follows` the byte behind a frame is its RSSI. The frame is then held until that byte is there,
    or until `release`, which the driver calls when nothing has come for some milliseconds. A value of zero,
    which may as well be the next frame's beginning, counts as none.
    """

    def __init__(self, limit: int, *, rssi_follows: bool = False) -> None:
        self._limit = limit
        self._rssi_follows = rssi_follows
        self._piece: bytearray | None = None  # None: skipping to the next zero
        self._held: bytes | None = None
        self.dropped = 0
        """Pieces between zeros that were no frame."""

    @property
    def holds(self) -> bool:
        """Whether a frame waits for its RSSI."""
        return self._held is not None

    def release(self) -> list[Received]:
        """Give out the frame that waits for its RSSI."""
        held, self._held = self._held, None
        return [] if held is None else [Received(held)]

    def feed(self, data: bytes) -> list[Received]:
        """Take bytes as they come; return the frames they complete."""
        found: list[Received] = []
        at = 0
        while at < len(data):
            if self._held is not None:
                rssi = data[at]
                found.append(Received(self._held, rssi or None))
                self._held = None
                self._piece = None if rssi else bytearray()
                at += 1
                continue
            end = data.find(0, at)
            self._take(data[at : end if end >= 0 else len(data)])
            if end < 0:
                break
            self._close(found)
            at = end + 1
        return found

    def _take(self, piece: bytes) -> None:
        if self._piece is None:
            return
        self._piece += piece
        if len(self._piece) > self._limit:
            self._piece = None
            self.dropped += 1

    def _close(self, found: list[Received]) -> None:
        """A zero: what came since the last one is a frame, or is not."""
        piece, self._piece = self._piece, bytearray()
        if not piece:
            return
        plain = unstuffed(bytes(piece))
        if plain is None or len(plain) <= _CRC_SIZE or binascii.crc_hqx(plain, 0xFFFF):
            self.dropped += 1
        elif self._rssi_follows:
            self._held = plain[:-_CRC_SIZE]
        else:
            found.append(Received(plain[:-_CRC_SIZE]))
