"""Frames for radios whose packets are shorter than the least a link needs (N2): cut up, and what is missing
asked for. Sans-IO; docs/radio.md has the bytes.

A region's dwell time leaves slow settings 20 bytes and a little more in one packet. All hear all: who misses
parts of a frame asks for them, and others who miss the same wait to hear the repetition.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from nexus_node.base.errors import BadWire, LocalError

SHORTEST = 20
"""Bytes that a packet must hold for a radio to be of use."""
_HEAD = 3
_PARTS_MAX = 16
_FRAME_MAX = 255
_ASK = 0x80
_KEPT = 8
"""Frames that are kept for those who miss parts of them, and frames that are put together at a time."""
_DONE = 32
_ASKS_MAX = 4


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of frame `number` of who calls itself `sender`; part `last` is the last."""

    sender: int
    number: int
    index: int
    last: int
    data: bytes

    def encode(self) -> bytes:
        return bytes((self.sender, self.number, self.index << 4 | self.last)) + self.data


@dataclass(frozen=True, slots=True)
class AskParts:
    """What somebody misses of that frame: bit i for part i."""

    sender: int
    number: int
    missing: int

    def encode(self) -> bytes:
        return bytes((self.sender, _ASK | self.number)) + self.missing.to_bytes(2, "little")


def parse_short_frame_untrusted(data: bytes) -> Part | AskParts:
    """Read a packet; raises `BadWire`."""
    if len(data) < _HEAD + 1:
        raise BadWire("short_frame_size")
    sender, number, spot = data[:_HEAD]
    if number & _ASK:
        missing = int.from_bytes(data[2:4], "little")
        if len(data) != 4 or not missing:
            raise BadWire("short_frame_ask")
        return AskParts(sender, number & ~_ASK, missing)
    if spot >> 4 > spot & 15:
        raise BadWire("short_frame_index")
    return Part(sender, number, spot >> 4, spot & 15, data[_HEAD:])


@dataclass
class _Coming:
    """A frame of which parts have come."""

    last: int
    parts: dict[int, bytes] = field(default_factory=dict)
    ask_at: float = inf
    asks: int = 0

    @property
    def missing(self) -> int:
        return sum(1 << index for index in range(self.last + 1) if index not in self.parts)


class ShortFrames:
    """`size` is what a packet holds, `packet_s` about what one takes with all that goes before it, and `draw`
    gives chance from 0 to 1."""

    def __init__(self, size: int, packet_s: float, draw: Callable[[], float]) -> None:
        if size < SHORTEST:
            raise LocalError(f"packets of {size} bytes are shorter than {SHORTEST}")
        self._step = size - _HEAD
        self.mtu = min(_FRAME_MAX, _PARTS_MAX * self._step)
        self._packet_s = packet_s
        self._draw = draw
        self._sender = self._new_sender()
        self._number = 0
        self._out: deque[bytes] = deque()
        self._kept: dict[int, list[bytes]] = {}
        self._repeats: dict[int, int] = {}
        self._coming: dict[tuple[int, int], _Coming] = {}
        self._done: deque[tuple[int, int]] = deque(maxlen=_DONE)

    def _new_sender(self) -> int:
        """What tells senders apart; by chance, and another when somebody else has the same."""
        return int(self._draw() * 256) % 256

    def packet_sizes(self, size: int) -> list[int]:
        """Of the packets that a frame of so many bytes becomes."""
        whole, rest = divmod(size, self._step)
        return [_HEAD + self._step] * whole + ([_HEAD + rest] if rest else [])

    # --- out ------------------------------------------------------------------------------------
    def give(self, frame: bytes) -> None:
        """A frame to send, of up to `mtu` bytes."""
        if not 0 < len(frame) <= self.mtu:
            raise LocalError(f"a frame of {len(frame)} bytes does not fit {_PARTS_MAX} packets")
        cut = [frame[at : at + self._step] for at in range(0, len(frame), self._step)]
        number, last = self._number, len(cut) - 1
        self._number = (number + 1) % _ASK
        parts = [Part(self._sender, number, index, last, data).encode() for index, data in enumerate(cut)]
        self._kept[number] = parts
        self._repeats[number] = 0
        if len(self._kept) > _KEPT:
            oldest = next(iter(self._kept))
            del self._kept[oldest], self._repeats[oldest]
        self._out.extend(parts)

    def next_packet(self) -> bytes | None:
        """What to send now."""
        return self._out.popleft() if self._out else None

    @property
    def has_packets(self) -> bool:
        return bool(self._out)

    # --- in -------------------------------------------------------------------------------------
    def take(self, packet: bytes, now: float) -> bytes | None:
        """A packet was heard; the frame that it completes. Raises `BadWire` for what is none of ours."""
        found = parse_short_frame_untrusted(packet)
        if isinstance(found, AskParts):
            self._asked(found, now)
            return None
        return self._take_part(found, now)

    def _asked(self, ask: AskParts, now: float) -> None:
        if ask.sender != self._sender:
            other = self._coming.get((ask.sender, ask.number))
            if other is not None and not other.missing & ~ask.missing:
                other.ask_at = self._later(now, ask.missing.bit_count())
            return
        parts = self._kept.get(ask.number, [])
        for index, part in enumerate(parts):
            allowed = self._repeats[ask.number] < _ASKS_MAX * len(parts)
            if ask.missing >> index & 1 and allowed and part not in self._out:
                self._repeats[ask.number] += 1
                self._out.append(part)

    def _take_part(self, part: Part, now: float) -> bytes | None:
        if part.sender == self._sender:
            self._sender = self._new_sender()
            self._kept.clear()
        key = part.sender, part.number
        coming = self._coming.get(key)
        if coming is None or coming.last != part.last:
            if key in self._done:
                return None
            self._coming.pop(key, None)
            if len(self._coming) >= _KEPT:
                del self._coming[next(iter(self._coming))]
            coming = self._coming[key] = _Coming(part.last)
        coming.parts.setdefault(part.index, part.data)
        if coming.missing:
            coming.ask_at = self._later(now, part.last - part.index)
            return None
        del self._coming[key]
        self._done.append(key)
        frame = b"".join(coming.parts[index] for index in range(part.last + 1))
        return frame if len(frame) <= self.mtu else None

    def _later(self, now: float, packets: int) -> float:
        """When so many more packets should have come, and one by chance."""
        return now + (packets + 1 + self._draw()) * self._packet_s

    # --- time -----------------------------------------------------------------------------------
    def next_deadline(self) -> float:
        return min((one.ask_at for one in self._coming.values()), default=inf)

    def expire(self, now: float) -> None:
        """AskParts for what is missing; what nobody repeats is forgotten."""
        for key, coming in list(self._coming.items()):
            if now < coming.ask_at:
                continue
            if coming.asks == _ASKS_MAX:
                del self._coming[key]
                continue
            coming.asks += 1
            self._out.appendleft(AskParts(*key, coming.missing).encode())
            coming.ask_at = self._later(now, 1 + coming.missing.bit_count())
