"""Frames on a byte stream (TCP, serial): a 2-byte little-endian length, then the frame. Sans-IO."""

from collections.abc import Iterable, Iterator

from nexus_node.base.errors import BadWire, LocalError

LENGTH_SIZE = 2
_LARGEST = 0xFFFF


def join_frames(frames: Iterable[bytes]) -> bytes:
    """The stream bytes of several frames, for one write.

    Raises `LocalError` for a frame the length field cannot say.
    """
    parts: list[bytes] = []
    for frame in frames:
        if not 0 < len(frame) <= _LARGEST:
            raise LocalError(f"a frame of {len(frame)} bytes cannot go on a stream")
        parts.append(len(frame).to_bytes(LENGTH_SIZE, "little"))
        parts.append(frame)
    return b"".join(parts)


class FrameSplitter:
    """Cuts a stream, fed in slices of any size, back into frames.

    Keeps at most one unfinished frame: `limit` + 2 bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._need = LENGTH_SIZE
        """How long `_rest` must be before looking at it is worth while."""

    def parse_frames_untrusted(self, data: bytes) -> Iterator[bytes]:
        """Yield every frame that `data` completes; the caller must take them all.

        Raises `BadWire("bad_length")` after the frames before it, when a length is 0 or above the
        limit: the stream has no other mark to find frames by, so it must be closed.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
        start, end = 0, len(data)
        need = LENGTH_SIZE
        while end - start >= LENGTH_SIZE:
            length = data[start] | data[start + 1] << 8
            if not 0 < length <= self._limit:
                raise BadWire("bad_length")
            need = LENGTH_SIZE + length
            if end - start < need:
                break
            yield data[start + LENGTH_SIZE : start + need]
            start += need
            need = LENGTH_SIZE
        self._rest = bytearray(data[start:])
        self._need = need
