"""Group operations: what admins and members sign, and what a group's state follows from (N11, N12).

Layouts and sizes: docs/protocol/group.md. What they come to is for `proto/group.py` to say.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import NewType

from nexus_node.base.errors import BadWire
from nexus_node.base.foreign import is_foreign
from nexus_node.base.ids import ADDRESS_SIZE, NODE_ID_SIZE, Address, NodeId
from nexus_node.base.limits import GROUP_SUBJECTS_MAX, NAME_MAX
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity, agreement_key_of, verify

OperationId = NewType("OperationId", bytes)
"""16 bytes: BLAKE2b of the group id and all of the operation but its signature."""

GroupId = NewType("GroupId", bytes)
"""16 bytes: the id of the operation that created the group."""

ID_SIZE = 16
AUTHOR_SIZE = 8
"""Of an author's address, as an operation names it."""
COMMITMENT_SIZE = 16
PARENTS_MAX = 7
EXPIRES_MAX = 2**32 - 1
"""The last second that an expiry can name."""
CERTIFICATE_MAX = 140
"""The largest certificate (N12): a promotion has one parent."""

_LABEL = b"NexusGroup/0"
_HEAD = Struct("<BII8s")
_CREATE = Struct("<32sB16s16s")
_PROMOTE = Struct("<32sBI")
_SIGNED_MESSAGES = 0x01


class Kind(IntEnum):
    """What an operation does."""

    CREATE = 0
    ADD = 1
    REMOVE = 2
    ROTATE = 3
    PROMOTE = 4
    DEMOTE = 5
    LEAVE = 6

    @property
    def begins_epoch(self) -> bool:
        """Whether it comes with a new key."""
        return self <= Kind.ROTATE


class Permissions(IntEnum):
    """What a co-admin may do; each includes those before it (N12)."""

    ROTATION = 1
    MEMBERS = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a group, signed by its author.

    `author` is the start of the author's address; who that is follows from the operations before it.
    `parents` are the newest operations that the author knew, `time` its clock in seconds since 1970, 0
    without one. `commitment` is the hash of the key of the epoch that begins.
    """

    kind: Kind
    sequence: int
    time: int
    author: bytes
    parents: tuple[OperationId, ...] = ()
    commitment: bytes = b""
    added: tuple[NodeId, ...] = ()
    """Of CREATE the creator, of ADD the new members, of PROMOTE the new co-admin."""
    removed: tuple[Address, ...] = ()
    """Of REMOVE former members, of DEMOTE the former co-admin."""
    permissions: int = 0
    expires: int = 0
    """Of PROMOTE: what its subject signs later than that does not count. Seconds since 1970, 0 for never."""
    signed_messages: bool = False
    salt: bytes = b""
    name: bytes = b""
    signature: bytes = b""

    def body(self) -> bytes:
        """All of it but the signature."""
        head = _HEAD.pack(self.kind | len(self.parents) << 4, self.sequence, self.time, self.author)
        return head + b"".join(self.parents) + self._rest()

    def _rest(self) -> bytes:
        if self.kind == Kind.CREATE:
            flags = _SIGNED_MESSAGES if self.signed_messages else 0
            return _CREATE.pack(self.added[0], flags, self.salt, self.commitment) + self.name
        if self.kind == Kind.PROMOTE:
            return _PROMOTE.pack(self.added[0], self.permissions, self.expires)
        return self.commitment + b"".join(self.added) + b"".join(self.removed)

    def encode(self) -> bytes:
        return self.body() + self.signature

    def id_in(self, group: bytes) -> OperationId:
        """Its id in that group; of a CREATE, which has no group yet, the group's id."""
        prefix = b"" if self.kind == Kind.CREATE else group
        hashed = blake2b(prefix + self.body(), digest_size=ID_SIZE, person=b"nexus group op")
        return OperationId(hashed.digest())

    def sign(self, identity: Identity, group: bytes) -> "Operation":
        """The same, signed for that group."""
        return replace(self, signature=identity.sign(self._signed(group)))

    def authentic(self, author: NodeId, group: bytes) -> bool:
        """Whether that node signed it for that group."""
        return verify(author, self._signed(group), self.signature)

    def _signed(self, group: bytes) -> bytes:
        return _LABEL + (b"" if self.kind == Kind.CREATE else group) + self.body()


def author_tag(author: Address) -> bytes:
    """How an operation names its author."""
    return author[:AUTHOR_SIZE]


def parse_operation_untrusted(data: bytes) -> Operation:
    """Raises BadWire("bad_group_operation"). The signature is for `authentic` to check."""
    if len(data) < _HEAD.size + SIGNATURE_SIZE:
        raise BadWire("bad_group_operation")
    head, sequence, time, author = _HEAD.unpack_from(data)
    count, at = head >> 4, _HEAD.size
    rest = data[at + count * ID_SIZE : -SIGNATURE_SIZE]
    if (
        head & 0x0F > Kind.LEAVE
        or count > PARENTS_MAX
        or len(data) < at + count * ID_SIZE + SIGNATURE_SIZE
        or (count == 0) != (head & 0x0F == Kind.CREATE)
        or (head & 0x0F == Kind.PROMOTE and count != 1)
    ):
        raise BadWire("bad_group_operation")
    parents = tuple(OperationId(one) for one in _split(data[at : at + count * ID_SIZE], ID_SIZE))
    if len(set(parents)) != count:
        raise BadWire("bad_group_operation")
    operation = Operation(
        Kind(head & 0x0F), sequence, time, author, parents, signature=data[-SIGNATURE_SIZE:]
    )
    operation = _filled(operation, rest)
    if not all(map(is_node, operation.added)):
        raise BadWire("bad_group_operation")
    return operation


def is_node(one: NodeId) -> bool:
    """Whether there can be a node with that id: what goes to all members is sealed for each of them."""
    try:
        agreement_key_of(one)
    except BadWire:
        return False
    return not is_foreign(one)


def _filled(operation: Operation, rest: bytes) -> Operation:
    kind = operation.kind
    if kind == Kind.CREATE:
        return _created(operation, rest)
    if kind == Kind.PROMOTE:
        if len(rest) != _PROMOTE.size:
            raise BadWire("bad_group_operation")
        subject, permissions, expires = _PROMOTE.unpack(rest)
        if not Permissions.ROTATION <= permissions <= Permissions.FULL:
            raise BadWire("bad_group_operation")
        return replace(operation, added=(NodeId(subject),), permissions=permissions, expires=expires)
    commitment = b""
    if kind.begins_epoch:
        commitment, rest = rest[:COMMITMENT_SIZE], rest[COMMITMENT_SIZE:]
        if len(commitment) != COMMITMENT_SIZE:
            raise BadWire("bad_group_operation")
    least, most = _SUBJECTS[kind]
    size = NODE_ID_SIZE if kind == Kind.ADD else ADDRESS_SIZE
    subjects = _split(rest, size)
    if len(rest) % size or not least <= len(subjects) <= most or len(set(subjects)) != len(subjects):
        raise BadWire("bad_group_operation")
    if kind == Kind.ADD:
        return replace(operation, commitment=commitment, added=tuple(map(NodeId, subjects)))
    return replace(operation, commitment=commitment, removed=tuple(map(Address, subjects)))


def _created(operation: Operation, rest: bytes) -> Operation:
    if not _CREATE.size < len(rest) <= _CREATE.size + NAME_MAX:
        raise BadWire("bad_group_operation")
    creator, flags, salt, commitment = _CREATE.unpack_from(rest)
    if flags & ~_SIGNED_MESSAGES or operation.sequence:
        raise BadWire("bad_group_operation")
    if author_tag(address_of(NodeId(creator))) != operation.author:
        raise BadWire("bad_group_operation")
    return replace(
        operation,
        added=(NodeId(creator),),
        signed_messages=bool(flags),
        salt=salt,
        commitment=commitment,
        name=rest[_CREATE.size :],
    )


_SUBJECTS = {
    Kind.ADD: (1, GROUP_SUBJECTS_MAX),
    Kind.REMOVE: (1, GROUP_SUBJECTS_MAX),
    Kind.ROTATE: (0, 0),
    Kind.DEMOTE: (1, 1),
    Kind.LEAVE: (0, 0),
}
"""How few and how many an operation names."""


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
