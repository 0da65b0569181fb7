"""What two neighbours say to find out which items each lacks (docs/protocol/reconcile.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from nexus_node.base.errors import BadWire

ITEM_SIZE = 8
SALT_SIZE = 8
FINGERPRINT_SIZE = 4
"""Of a range; that of all items has 8 bytes."""

Place = tuple[int, bytes]
"""(time u32 in seconds, item id): where an item stands, and where a range begins or ends."""
BEGIN: Place = (0, bytes(ITEM_SIZE))
END: Place = (1 << 32, bytes(ITEM_SIZE))

_ANSWER, _LAST, _OPENING, _SKETCH, _WANTS, _RANGES = 0x20, 0x10, 0x08, 0x04, 0x02, 0x01
_FINGERPRINT, _SHORT = Struct("<Q"), Struct("<I")


@dataclass(frozen=True, slots=True)
class Summary:
    """All items of one side: how many, and the sum of their hashes modulo 2^64."""

    count: int
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Range:
    """Items from `lower` to before `upper`: a fingerprint of 4 bytes, or the short ids (u32) of all."""

    lower: Place
    upper: Place
    says: bytes | tuple[int, ...]

    @property
    def listed(self) -> bool:
        """Whether it says the short ids."""
        return isinstance(self.says, tuple)


@dataclass(frozen=True, slots=True)
class Question:
    """What the initiator sends. `opening` is the salt and what the initiator has, and only in the first one;
    `sketch` asks for syndromes (first u8, count u8; (0, 0) in an opening leaves the number to the responder);
    `wants` are short ids whose items it asks for; `tells` items it has and thinks the responder has not.
    `last`: nothing is left to ask unless the answer brings it up.
    """

    session: int
    step: int
    last: bool = False
    opening: tuple[bytes, Summary] | None = None
    sketch: tuple[int, int] | None = None
    ranges: tuple[Range, ...] = ()
    wants: tuple[int, ...] = ()
    tells: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        kind = _LAST * self.last | _RANGES * bool(self.ranges) | _WANTS * bool(self.wants)
        kind |= _SKETCH * (self.sketch is not None)
        if self.opening is not None:
            salt, summary = self.opening
            return bytes((kind | _OPENING,)) + salt + _encode_summary(summary)
        out = bytearray((kind, self.session, self.step))
        if self.sketch is not None:
            out += bytes(self.sketch)
        if self.ranges:
            out += _encode_ranges(self.ranges)
        if self.wants:
            out += _varint(len(self.wants)) + _encode_shorts(self.wants)
        return bytes(out) + b"".join(self.tells)


@dataclass(frozen=True, slots=True)
class Extras:
    """The answer to one list: bit i of `lacking` says that the responder lacks its i-th item; `items` are
    what it has besides. From `cut` on, if not None, it has said nothing: not of items listed either."""

    lacking: int
    items: tuple[bytes, ...] = ()
    cut: Place | None = None

    def encode(self) -> bytes:
        tail = b"" if self.cut is None else _encode_place(BEGIN, self.cut)
        head = _encode_bitmap(self.lacking) + _varint(len(self.items) << 1 | (self.cut is not None))
        return head + b"".join(self.items) + tail


@dataclass(frozen=True, slots=True)
class Answer:
    """What the responder sends: to an opening its summary if that differs, and the syndromes asked for; of
    the fingerprints asked about, bit i of `differing` for the i-th; of the lists as many as it had room
    for; of the items wanted those it has (`gives`). Syndromes and `gives` exclude each other.
    """

    session: int
    step: int
    summary: Summary | None = None
    syndromes: tuple[int, ...] | None = None
    differing: int = 0
    extras: tuple[Extras, ...] = ()
    gives: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        kind = _ANSWER | _OPENING * (self.summary is not None) | _SKETCH * (self.syndromes is not None)
        with_ranges = bool(self.differing or self.extras)
        out = bytearray((kind | _RANGES * with_ranges, self.session, self.step))
        if self.summary is not None:
            out += _encode_summary(self.summary)
        if with_ranges:
            out += _encode_bitmap(self.differing) + _varint(len(self.extras))
            out += b"".join(extras.encode() for extras in self.extras)
        return bytes(out) + _encode_shorts(self.syndromes or ()) + b"".join(self.gives)


def parse_reconcile_untrusted(data: bytes) -> Question | Answer:
    """Either side's message. Raises BadWire("bad_reconcile")."""
    reader = _Reader(data)
    kind = reader.byte()
    if kind & ~0x3F:
        raise BadWire("bad_reconcile")
    return _answer(reader, kind) if kind & _ANSWER else _question(reader, kind)


def _question(reader: "_Reader", kind: int) -> Question:
    last = bool(kind & _LAST)
    if kind & _OPENING:
        if kind & (_RANGES | _WANTS):
            raise BadWire("bad_reconcile")
        salt, summary = reader.take(SALT_SIZE), reader.summary()
        if reader.left:
            raise BadWire("bad_reconcile")
        return Question(salt[0], 0, last, (salt, summary), (0, 0) if kind & _SKETCH else None)
    session, step = reader.byte(), reader.byte()
    sketch = (reader.byte(), reader.byte()) if kind & _SKETCH else None
    ranges = reader.ranges() if kind & _RANGES else ()
    wants = reader.shorts(reader.varint()) if kind & _WANTS else ()
    return Question(session, step, last, None, sketch, ranges, wants, reader.items(reader.left_of(ITEM_SIZE)))


def _answer(reader: "_Reader", kind: int) -> Answer:
    if kind & (_LAST | _WANTS):
        raise BadWire("bad_reconcile")
    session, step = reader.byte(), reader.byte()
    summary = reader.summary() if kind & _OPENING else None
    differing, extras = 0, []
    if kind & _RANGES:
        differing = reader.bitmap()
        for _ in range(reader.varint()):
            lacking, count = reader.bitmap(), reader.varint()
            items = reader.items(count >> 1)
            extras.append(Extras(lacking, items, reader.place(BEGIN) if count & 1 else None))
    if kind & _SKETCH:
        syndromes = reader.shorts(reader.left_of(_SHORT.size))
        return Answer(session, step, summary, syndromes, differing, tuple(extras))
    return Answer(
        session, step, summary, None, differing, tuple(extras), reader.items(reader.left_of(ITEM_SIZE))
    )


# --- parts --------------------------------------------------------------------------------------------
def _varint(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, bit 7 set on all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def _encode_bitmap(bits: int) -> bytes:
    size = (bits.bit_length() + 7) // 8
    return _varint(size) + bits.to_bytes(size, "little")


def _encode_summary(summary: Summary) -> bytes:
    return _FINGERPRINT.pack(summary.fingerprint) + _varint(summary.count)


def _encode_shorts(shorts: Sequence[int]) -> bytes:
    return b"".join(map(_SHORT.pack, shorts))


def _encode_place(before: Place, place: Place) -> bytes:
    prefix = place[1].rstrip(b"\0")
    delta = place[0] - before[0] << 1
    return _varint(delta | 1) + bytes((len(prefix),)) + prefix if prefix else _varint(delta)


def _encode_ranges(ranges: Sequence[Range]) -> bytes:
    """Runs of neighbouring ranges that say the same kind of thing."""
    runs: list[list[Range]] = []
    for one in ranges:
        joins = runs and runs[-1][-1].upper == one.lower and runs[-1][-1].listed == one.listed
        runs[-1].append(one) if joins else runs.append([one])
    out = bytearray(_varint(len(runs)))
    at = BEGIN
    for run in runs:
        listed = run[0].listed
        out += _encode_place(at, run[0].lower) + _varint(len(run) << 1 | listed)
        at = run[0].lower
        for one in run:
            out += _encode_place(at, one.upper)
            at = one.upper
            out += (
                one.says if isinstance(one.says, bytes) else _varint(len(one.says)) + _encode_shorts(one.says)
            )
    return bytes(out)


class _Reader:
    """Reads from the front; whatever is not there is BadWire."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def left_of(self, size: int) -> int:
        """How many parts of that size fill what is left."""
        if self.left % size:
            raise BadWire("bad_reconcile")
        return self.left // size

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise BadWire("bad_reconcile")
        self._at += size
        return self._data[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise BadWire("bad_reconcile")

    def bitmap(self) -> int:
        return int.from_bytes(self.take(self.varint()), "little")

    def summary(self) -> Summary:
        (fingerprint,) = _FINGERPRINT.unpack(self.take(_FINGERPRINT.size))
        return Summary(self.varint(), fingerprint)

    def shorts(self, count: int) -> tuple[int, ...]:
        return tuple(one for (one,) in _SHORT.iter_unpack(self.take(count * _SHORT.size)))

    def items(self, count: int) -> tuple[bytes, ...]:
        data = self.take(count * ITEM_SIZE)
        return tuple(data[at : at + ITEM_SIZE] for at in range(0, len(data), ITEM_SIZE))

    def place(self, before: Place) -> Place:
        delta = self.varint()
        time, prefix = before[0] + (delta >> 1), b""
        if delta & 1:
            prefix = self.take(self.byte())
            if not prefix or not prefix[-1] or len(prefix) > ITEM_SIZE:
                raise BadWire("bad_reconcile")
        place = (time, prefix.ljust(ITEM_SIZE, b"\0"))
        if not before <= place <= END:
            raise BadWire("bad_reconcile")
        return place

    def ranges(self) -> tuple[Range, ...]:
        ranges: list[Range] = []
        at = BEGIN
        for _ in range(self.varint()):
            at = self.place(at)
            head = self.varint()
            for _ in range(head >> 1):
                lower, at = at, self.place(at)
                if lower == at:
                    raise BadWire("bad_reconcile")
                listed = head & 1
                says = self.shorts(self.varint()) if listed else self.take(FINGERPRINT_SIZE)
                ranges.append(Range(lower, at, says))
        return tuple(ranges)
