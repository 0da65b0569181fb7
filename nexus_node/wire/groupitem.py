"""What members tell each other about a group, inside envelopes (N11, docs/protocol/group.md)."""

from dataclasses import dataclass, field
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import OBJECT_ID_SIZE, MessageId
from nexus_node.base.limits import KIB
from nexus_node.crypto.groupkey import SECRET_SIZE
from nexus_node.wire.group import ID_SIZE, GroupId, OperationId
from nexus_node.wire.routing import PREFIX_SIZE

EPOCH_SIZE = 8
"""Of the id of the operation that began an epoch: how a letter names it."""
TOKEN_SIZE = 16
_LENGTH = Struct("<H")
_ENTRY = Struct("<I")
_LAST = 0x80
"""Of an item's kind: nothing follows it, so it has no length."""
LACK_MAX = 4 * KIB
"""Bytes of the epochs in one *lack*; the rest are named in another."""
LACK_NONE_BEFORE, LACK_NONE_AFTER = (255, 0), (255, 1)
"""Entries of a *lack* with a place that no member has: of epochs with a lower, or a higher, number than this
one's nothing is wanted but what is named."""
LETTER_MAX = 16 * KIB
"""Operations put into one letter; the rest goes in another."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Kind 1. Operations of a group, as `Operation.encode` made them; parents need not be among them."""

    group: GroupId
    operations: tuple[bytes, ...]

    def encode(self) -> bytes:
        return self.group + b"".join(_LENGTH.pack(len(one)) + one for one in self.operations)


@dataclass(frozen=True, slots=True)
class Key:
    """Kind 2. The secret of the epoch that the operation of that name began."""

    epoch: bytes
    secret: bytes = field(repr=False)

    def encode(self) -> bytes:
        return self.epoch + self.secret


@dataclass(frozen=True, slots=True)
class Sealed:
    """Kind 3. A message of the group, sealed once for all."""

    group: GroupId
    message: bytes

    def encode(self) -> bytes:
        return self.group + self.message


@dataclass(frozen=True, slots=True)
class Ask:
    """Kind 4. "I have all up to these heads; please send what comes after them, and these epochs' keys." """

    group: GroupId
    heads: tuple[OperationId, ...]
    epochs: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        return self.group + bytes((len(self.heads),)) + b"".join(self.heads) + b"".join(self.epochs)


@dataclass(frozen=True, slots=True)
class Join:
    """Kind 5. "Your group link invited me", and what proves that its sender has the link."""

    group: GroupId
    token: bytes = field(repr=False)

    def encode(self) -> bytes:
        return self.group + self.token


@dataclass(frozen=True, slots=True)
class HaveFile:
    """Kind 6. "All of the file with that prefix is here, which a message of yours has described." """

    group: GroupId
    message: MessageId
    prefix: bytes

    def encode(self) -> bytes:
        return self.group + self.message + self.prefix


@dataclass(frozen=True, slots=True)
class Lack:
    """Kind 7. "Please send the messages that are not here." Of each epoch, (place, number): that message of
    the sender at that place; the highest number of a place, and all after it, have not come, as nothing has
    of places and epochs that are not named; but see `LACK_NONE_BEFORE`."""

    group: GroupId
    epochs: tuple[tuple[bytes, tuple[tuple[int, int], ...]], ...]

    def encode(self) -> bytes:
        parts: list[bytes] = [self.group]
        for epoch, entries in self.epochs:
            parts += [epoch, _LENGTH.pack(len(entries))]
            parts += [_ENTRY.pack(place | number << 8) for place, number in entries]
        return b"".join(parts)


GroupItem = Operations | Key | Sealed | Ask | Join | HaveFile | Lack
_KINDS: dict[type[GroupItem], int] = {
    Operations: 1,
    Key: 2,
    Sealed: 3,
    Ask: 4,
    Join: 5,
    HaveFile: 6,
    Lack: 7,
}


def encode_group_items(items: list[GroupItem]) -> bytes:
    """Each as kind u8, length u16, body; the last has bit 7 of its kind set and no length."""
    *before, last = items
    parts = [bytes((_KINDS[type(one)],)) + _LENGTH.pack(len(one.encode())) + one.encode() for one in before]
    return b"".join(parts) + bytes((_KINDS[type(last)] | _LAST,)) + last.encode()


def parse_group_items_untrusted(data: bytes) -> list[GroupItem]:
    """The items of one letter; kinds of later versions are left out. Raises BadWire("bad_group_items")."""
    items: list[GroupItem] = []
    at = 0
    while at < len(data):
        kind, at = data[at], at + 1
        end = len(data)
        if not kind & _LAST:
            if at + _LENGTH.size > len(data):
                raise BadWire("bad_group_items")
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            at += _LENGTH.size
        if end > len(data):
            raise BadWire("bad_group_items")
        item = _parse(kind & ~_LAST, data[at:end])
        if item is not None:
            items.append(item)
        at = end
        if kind & _LAST:
            return items
    raise BadWire("bad_group_items")


def _parse(kind: int, body: bytes) -> GroupItem | None:
    if kind == _KINDS[Key]:
        if len(body) != EPOCH_SIZE + SECRET_SIZE:
            raise BadWire("bad_group_items")
        return Key(body[:EPOCH_SIZE], body[EPOCH_SIZE:])
    if kind not in _KINDS.values():
        return None
    if len(body) < ID_SIZE:
        raise BadWire("bad_group_items")
    group, rest = GroupId(body[:ID_SIZE]), body[ID_SIZE:]
    if kind == _KINDS[Operations]:
        return Operations(group, _operations(rest))
    if kind == _KINDS[Sealed]:
        return Sealed(group, rest)
    if kind == _KINDS[Join]:
        if len(rest) != TOKEN_SIZE:
            raise BadWire("bad_group_items")
        return Join(group, rest)
    if kind == _KINDS[HaveFile]:
        if len(rest) != OBJECT_ID_SIZE + PREFIX_SIZE:
            raise BadWire("bad_group_items")
        return HaveFile(group, MessageId(rest[:OBJECT_ID_SIZE]), rest[OBJECT_ID_SIZE:])
    if kind == _KINDS[Lack]:
        return Lack(group, _epochs(rest))
    heads_end = 1 + ID_SIZE * rest[0] if rest else 1
    if not rest or len(rest) < heads_end or (len(rest) - heads_end) % EPOCH_SIZE:
        raise BadWire("bad_group_items")
    heads = tuple(OperationId(rest[at : at + ID_SIZE]) for at in range(1, heads_end, ID_SIZE))
    epochs = tuple(rest[at : at + EPOCH_SIZE] for at in range(heads_end, len(rest), EPOCH_SIZE))
    return Ask(group, heads, epochs)


def _epochs(data: bytes) -> tuple[tuple[bytes, tuple[tuple[int, int], ...]], ...]:
    found, at = [], 0
    while at < len(data):
        start = at + EPOCH_SIZE + _LENGTH.size
        end = start
        if start <= len(data):
            end += _ENTRY.size * _LENGTH.unpack_from(data, at + EPOCH_SIZE)[0]
        if end > len(data):
            raise BadWire("bad_group_items")
        entries = tuple((one & 0xFF, one >> 8) for (one,) in _ENTRY.iter_unpack(data[start:end]))
        found.append((data[at : at + EPOCH_SIZE], entries))
        at = end
    return tuple(found)


def _operations(data: bytes) -> tuple[bytes, ...]:
    found, at = [], 0
    while at < len(data):
        start = at + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else len(data) + 1
        if end > len(data):
            raise BadWire("bad_group_items")
        found.append(data[start:end])
        at = end
    return tuple(found)
