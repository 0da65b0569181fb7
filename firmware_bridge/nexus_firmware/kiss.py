"""KISS framing: FEND, command, data with FEND and FESC escaped, FEND (Chepponis and Karn 1987)."""

from typing import NamedTuple

_FEND, _FESC = b"\xc0", b"\xdb"
_ESCAPED_FEND, _ESCAPED_FESC = b"\xdb\xdc", b"\xdb\xdd"


class KissFrame(NamedTuple):
    """One frame: its command byte and its data, without escapes."""

    command: int
    data: bytes


def encode_kiss(command: int, data: bytes = b"") -> bytes:
    """One frame as it goes to the device."""
    body = bytes((command,)) + data
    return _FEND + body.replace(_FESC, _ESCAPED_FESC).replace(_FEND, _ESCAPED_FEND) + _FEND


class KissDecoder:
    """Frames out of a byte stream that may start anywhere, break off, or be noise.

    A FEND always ends a frame and may begin the next, so one damaged frame never costs another.
    `limit` is the longest data of a frame in bytes; no more than about twice that is kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._longest = 2 * (limit + 1)
        self._body: bytearray | None = None  # None: skipping to the next FEND
        self.dropped = 0
        """Frames thrown away: too long, or with an escape that means nothing."""

    def feed(self, data: bytes) -> list[KissFrame]:
        """Take bytes as they come in any pieces; return the frames they complete. Never raises."""
        *ended, rest = data.split(_FEND)
        frames = []
        for piece in ended:
            self._take(piece)
            body, self._body = self._body, bytearray()
            if body:
                frame = self._decode(bytes(body))
                if frame is None:
                    self.dropped += 1
                else:
                    frames.append(frame)
        self._take(rest)
        return frames

    def _take(self, piece: bytes) -> None:
        if self._body is None:
            return
        self._body += piece
        if len(self._body) > self._longest:
            self._body = None
            self.dropped += 1

    def _decode(self, body: bytes) -> KissFrame | None:
        escapes = body.count(_ESCAPED_FEND) + body.count(_ESCAPED_FESC)
        if escapes != body.count(_FESC) or len(body) - escapes > self._limit + 1:
            return None
        plain = body.replace(_ESCAPED_FEND, _FEND).replace(_ESCAPED_FESC, _FESC)
        return KissFrame(plain[0], plain[1:])
