"""Frames: what crosses one link, and the items inside a sealed one (N3, docs/protocol/link.md)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.wire.tlv import encode_tlvs, parse_tlvs_untrusted

COOKIE_SIZE = 16
TAG_SIZE = 16
SEALED = 0x80
_HAS_INDEX = 0x10
_BROADCAST = 0x08
_EPOCH_SHIFT = 5
_EPOCH_MASK = 0x03
_RESERVED = 0x07

_EPHEMERAL_SIZE = 32
"""The least an opening's Noise message holds; a cookie in reply is then never larger than the opening."""

_INDEX = Struct("<H")
_TWO_INDICES = Struct("<HH")


class FrameKind(IntEnum):
    """First byte of a frame that is not sealed. The high nibble is the link version, 0."""

    XX1 = 0x01
    XX2 = 0x02
    XX3 = 0x03
    IK1 = 0x04
    IK2 = 0x05
    RETRY = 0x06
    LOST = 0x07
    HELLO = 0x08


@dataclass(frozen=True, slots=True)
class Opening:
    """XX1 or IK1: kind, sender index u16, cookie length u8 (0 or 16), cookie, Noise message."""

    kind: FrameKind
    sender: int
    cookie: bytes
    noise: bytes

    def encode(self) -> bytes:
        return (
            bytes((self.kind,))
            + _INDEX.pack(self.sender)
            + bytes((len(self.cookie),))
            + self.cookie
            + self.noise
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """XX2 or IK2: kind, sender index u16, receiver index u16, Noise message."""

    kind: FrameKind
    sender: int
    receiver: int
    noise: bytes

    def encode(self) -> bytes:
        return bytes((self.kind,)) + _TWO_INDICES.pack(self.sender, self.receiver) + self.noise


@dataclass(frozen=True, slots=True)
class Final:
    """XX3: kind, receiver index u16, Noise message."""

    receiver: int
    noise: bytes

    def encode(self) -> bytes:
        return bytes((FrameKind.XX3,)) + _INDEX.pack(self.receiver) + self.noise


@dataclass(frozen=True, slots=True)
class Retry:
    """RETRY: kind, receiver index u16, cookie 16: open again with this cookie, you are not known here."""

    receiver: int
    cookie: bytes

    def encode(self) -> bytes:
        return bytes((FrameKind.RETRY,)) + _INDEX.pack(self.receiver) + self.cookie


@dataclass(frozen=True, slots=True)
class Lost:
    """LOST: one byte. The sender holds no keys for what it heard; unauthenticated, so only a hint."""

    def encode(self) -> bytes:
        return bytes((FrameKind.LOST,))


@dataclass(frozen=True, slots=True)
class Hello:
    """HELLO: kind, broadcast index u16, node id 32, on shared media only: that node is here, and another
    index says that it has started anew. Unauthenticated, so only a hint."""

    index: int
    node_id: NodeId

    def encode(self) -> bytes:
        return bytes((FrameKind.HELLO,)) + _INDEX.pack(self.index) + self.node_id


@dataclass(slots=True)
class SealedFrame:
    """A sealed frame's header and what it protects.

    Byte 0: 1 | epoch 2 bits | index present 1 bit | broadcast 1 bit | 000. Then, on shared media only, an
    index u16: the receiver's, or the sender's of a broadcast; the counter's low 16 bits, the ciphertext and
    its 16-byte tag.
    """

    epoch: int
    index: int | None
    broadcast: bool
    counter_low: int
    header: bytes
    ciphertext: bytes


Handshaking = Opening | Reply | Final | Retry | Lost | Hello


def sealed_header(epoch: int, index: int | None, counter: int, *, broadcast: bool = False) -> bytes:
    """The header of a sealed frame: 3 bytes, or 5 with an index."""
    first = SEALED | epoch << _EPOCH_SHIFT
    if index is None:
        return bytes((first, counter & 0xFF, counter >> 8 & 0xFF))
    first |= _HAS_INDEX | (_BROADCAST if broadcast else 0)
    return bytes((first,)) + _TWO_INDICES.pack(index, counter & 0xFFFF)


def parse_frame_untrusted(data: bytes) -> Handshaking | SealedFrame:
    """Raises BadWire("bad_frame")."""
    if not data:
        raise BadWire("bad_frame")
    first = data[0]
    if first & SEALED:
        size = 5 if first & _HAS_INDEX else 3
        if first & _RESERVED or len(data) < size + TAG_SIZE:
            raise BadWire("bad_frame")
        broadcast = bool(first & _BROADCAST)
        if broadcast and size == 3:
            raise BadWire("bad_frame")
        header = data[:size]
        index = header[1] | header[2] << 8 if size == 5 else None
        epoch = first >> _EPOCH_SHIFT & _EPOCH_MASK
        return SealedFrame(epoch, index, broadcast, header[-2] | header[-1] << 8, header, data[size:])
    return _parse_handshaking(data)


def index_of(data: bytes) -> int | None:
    """The receiver's index in a sealed frame for one link on a shared medium; None for all other frames, and
    for what is none."""
    marks = SEALED | _HAS_INDEX | _BROADCAST | _RESERVED
    if len(data) < 5 + TAG_SIZE or data[0] & marks != SEALED | _HAS_INDEX:
        return None
    return data[1] | data[2] << 8


def _parse_handshaking(data: bytes) -> Handshaking:
    first, size = data[0], len(data)
    if first in (FrameKind.XX1, FrameKind.IK1) and size >= 4 and data[3] in (0, COOKIE_SIZE):
        body = 4 + data[3]
        if size >= body + _EPHEMERAL_SIZE:
            return Opening(FrameKind(first), data[1] | data[2] << 8, data[4:body], data[body:])
    elif first in (FrameKind.XX2, FrameKind.IK2) and size > 5:
        sender, receiver = _TWO_INDICES.unpack_from(data, 1)
        return Reply(FrameKind(first), sender, receiver, data[5:])
    elif first == FrameKind.XX3 and size > 3:
        return Final(data[1] | data[2] << 8, data[3:])
    elif first == FrameKind.RETRY and size == 3 + COOKIE_SIZE:
        return Retry(data[1] | data[2] << 8, data[3:])
    elif first == FrameKind.LOST and size == 1:
        return Lost()
    elif first == FrameKind.HELLO and size == 3 + NODE_ID_SIZE:
        return Hello(data[1] | data[2] << 8, NodeId(data[3:]))
    raise BadWire("bad_frame")


class ItemKind(IntEnum):
    """What stands inside a sealed frame. Unknown kinds are skipped."""

    PADDING = 0
    PACKET = 1
    FRAGMENT = 2
    FRAGMENT_ACK = 3
    PING = 4
    PONG = 5
    REKEY = 6
    REKEY_REPLY = 7
    CLOSE = 8


_LAST = 0x80
ITEM_HEAD = 3
"""kind u8 and length u16; the last item of a frame needs the kind only."""

Item = tuple[int, bytes]


def encode_items(items: list[Item]) -> bytes:
    """The plaintext of a sealed frame: items with lengths, the last one reaching to the end."""
    if not items:
        return b""
    parts = [bytes((kind, len(body) & 0xFF, len(body) >> 8)) + body for kind, body in items[:-1]]
    kind, body = items[-1]
    parts.append(bytes((kind | _LAST,)) + body)
    return b"".join(parts)


def pad_items(items: list[Item], head: int, step: int, most: int) -> list[Item]:
    """The same items, with padding that makes the whole frame a multiple of `step` bytes, or `most` (N3).

    `head` is what the frame has besides. The items must leave `ITEM_HEAD` bytes of `most`.
    """
    size = head + len(encode_items(items))
    wanted = min(-(-(size + ITEM_HEAD) // step) * step, most)
    if size == min(-(-size // step) * step, most):
        return items
    if not items:
        return [(ItemKind.PADDING, bytes(wanted - size - 1))]
    # In front: the last item's length is what is left.
    return [(ItemKind.PADDING, bytes(wanted - size - ITEM_HEAD)), *items]


class ItemPacker:
    """Gathers items for one sealed frame of `room` bytes."""

    def __init__(self, room: int) -> None:
        self.items: list[Item] = []
        self._room = self._left = room + ITEM_HEAD - 1
        """The last item saves its length field."""

    @property
    def used(self) -> int:
        """Bytes that the items so far take."""
        return self._room - self._left

    @property
    def left(self) -> int:
        """Bytes the next item's body may have; negative when full."""
        return self._left - ITEM_HEAD

    def add(self, kind: int, body: bytes) -> None:
        """`body` must be at most `left` bytes."""
        self.items.append((kind, body))
        self._left -= ITEM_HEAD + len(body)


def parse_items_untrusted(data: bytes) -> Iterator[Item]:
    """Yield (kind, body). Raises BadWire("bad_items") where the lengths do not fit."""
    at, end = 0, len(data)
    while at < end:
        kind = data[at]
        if kind & _LAST:
            yield kind & ~_LAST, data[at + 1 :]
            return
        if at + ITEM_HEAD > end:
            raise BadWire("bad_items")
        stop = at + ITEM_HEAD + (data[at + 1] | data[at + 2] << 8)
        if stop > end:
            raise BadWire("bad_items")
        yield kind, data[at + ITEM_HEAD : stop]
        at = stop


_TLV_BROADCAST = 1
_BROADCAST_KEY = Struct("<HB16s")


@dataclass(frozen=True, slots=True)
class BroadcastShare:
    """What neighbours on a shared medium need to open a node's broadcasts: index u16, epoch u8, secret 16."""

    index: int
    epoch: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Payload of the encrypted handshake messages: the largest frame the sender takes, u16; then TLVs, of
    which 1 holds the `BroadcastShare` on shared media."""

    mtu: int
    broadcast: BroadcastShare | None = None

    def encode(self) -> bytes:
        share = self.broadcast
        if share is None:
            return _INDEX.pack(self.mtu)
        value = _BROADCAST_KEY.pack(share.index, share.epoch, share.secret)
        return _INDEX.pack(self.mtu) + encode_tlvs(((_TLV_BROADCAST, value),))


def parse_capabilities_untrusted(data: bytes, smallest_mtu: int) -> Capabilities:
    """Other TLVs are left for later versions. Raises BadWire("bad_capabilities")."""
    if len(data) < _INDEX.size or (mtu := data[0] | data[1] << 8) < smallest_mtu:
        raise BadWire("bad_capabilities")
    try:
        tlvs = parse_tlvs_untrusted(data[_INDEX.size :])
    except BadWire:
        raise BadWire("bad_capabilities") from None
    for kind, value in tlvs:
        if kind == _TLV_BROADCAST:
            if len(value) != _BROADCAST_KEY.size:
                raise BadWire("bad_capabilities")
            return Capabilities(mtu, BroadcastShare(*_BROADCAST_KEY.unpack(value)))
    return Capabilities(mtu)
