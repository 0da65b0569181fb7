"""Mutable objects: signed records of their versions, and what proves that an owner forked one (N7,
docs/protocol/mutable.md)."""

from dataclasses import dataclass
from struct import Struct

from blake3 import blake3

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import LABEL_MAX, OBJECT_MAX
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity, verify
from nexus_node.wire.dataobject import KIND_VERSION, ObjectHeader

_SIGNED = b"NexusMutable/0"
_BODY = Struct("<32sQIIQ32sB")
_AGE = Struct("<I")
RECORD_MIN = _BODY.size + 1 + SIGNATURE_SIZE
"""Bytes of the smallest record: 154."""
NAME_SIZE = 32
DIGEST_SIZE = 8
_HAS_CONTENT = 0x01


def name_of(owner: NodeId, label: bytes) -> bytes:
    """What a mutable object is called on the wire, 32 bytes."""
    return blake3(owner + label).digest()


@dataclass(frozen=True, slots=True)
class Record:
    """owner 32 | sequence u64 | time u32 | expires u32 | size u64 | root 32 | label length u8 | label |
    signature 64: one version of a mutable object.

    Times are seconds since 1970, 0 for none. Size and root are those of its content, an object of kind 5.
    """

    owner: NodeId
    label: bytes
    sequence: int
    size: int
    root: bytes
    time_s: int = 0
    expires_s: int = 0
    signature: bytes = b""

    @classmethod
    def make(
        cls,
        identity: Identity,
        label: bytes,
        sequence: int,
        content: ObjectHeader,
        time_s: int,
        expires_s: int,
    ) -> "Record":
        """A version of one's own, signed."""
        fields = (identity.node_id, label, sequence, content.size, content.root, time_s, expires_s)
        return cls(*fields, identity.sign(_SIGNED + cls(*fields)._body()))

    @property
    def name(self) -> bytes:
        return name_of(self.owner, self.label)

    @property
    def content(self) -> ObjectHeader:
        """The object that is this version."""
        return ObjectHeader(KIND_VERSION, self.size, self.root)

    @property
    def digest(self) -> bytes:
        """8 bytes that tell it from other records."""
        return blake3(self._body()).digest()[:DIGEST_SIZE]

    def authentic(self) -> bool:
        """Whether its owner has signed it."""
        return verify(self.owner, _SIGNED + self._body(), self.signature)

    def _body(self) -> bytes:
        return (
            _BODY.pack(
                self.owner,
                self.sequence,
                self.time_s,
                self.expires_s,
                self.size,
                self.root,
                len(self.label),
            )
            + self.label
        )

    def encode(self) -> bytes:
        return self._body() + self.signature


def parse_record_untrusted(data: bytes) -> Record:
    """What the record says; its signature is not checked here.

    Raises BadWire("bad_record") or BadWire("object_too_large").
    """
    if len(data) < RECORD_MIN:
        raise BadWire("bad_record")
    owner, sequence, time_s, expires_s, size, root, length = _BODY.unpack_from(data)
    if not 1 <= length <= LABEL_MAX or len(data) != _BODY.size + length + SIGNATURE_SIZE:
        raise BadWire("bad_record")
    if size > OBJECT_MAX:
        raise BadWire("object_too_large")
    label = data[_BODY.size : _BODY.size + length]
    return Record(NodeId(owner), label, sequence, size, root, time_s, expires_s, data[-SIGNATURE_SIZE:])


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """Data of a RECORD packet: flags u8 | record. Flag 1: all of its content is here, for who asks."""

    record: Record
    has_content: bool

    def encode(self) -> bytes:
        return bytes((_HAS_CONTENT if self.has_content else 0,)) + self.record.encode()


def parse_record_answer_untrusted(data: bytes) -> RecordAnswer:
    """Raises BadWire as `parse_record_untrusted`. Flags that this version does not know say nothing to it."""
    record = parse_record_untrusted(data[1:])
    return RecordAnswer(record, bool(data[0] & _HAS_CONTENT))


@dataclass(frozen=True, slots=True)
class Fork:
    """Data of a FORK packet: age u32 | record | record, the one that is lower as bytes first.

    Two versions with one sequence: whoever checks both signatures knows what their owner did. `age_s` is how
    long ago it was found out.
    """

    age_s: int
    first: Record
    second: Record

    @classmethod
    def make(cls, one: Record, other: Record, age_s: int = 0) -> "Fork":
        first, second = sorted((one, other), key=Record.encode)
        return cls(age_s, first, second)

    @property
    def owner(self) -> NodeId:
        return self.first.owner

    @property
    def name(self) -> bytes:
        return self.first.name

    @property
    def sequence(self) -> int:
        return self.first.sequence

    def authentic(self) -> bool:
        """Whether the owner has signed both."""
        return self.first.authentic() and self.second.authentic()

    def encode(self) -> bytes:
        return _AGE.pack(self.age_s) + self.first.encode() + self.second.encode()


def forked(one: Record, other: Record) -> bool:
    """Whether two records cannot both be honest: one version of one name, with two contents."""
    same = (one.owner, one.label, one.sequence) == (other.owner, other.label, other.sequence)
    return same and (one.size, one.root) != (other.size, other.root)


def parse_fork_untrusted(data: bytes) -> Fork:
    """What it says; the signatures are not checked here.

    Raises BadWire("bad_fork"), or what a record is refused with.
    """
    if len(data) < _AGE.size + 2 * RECORD_MIN:
        raise BadWire("bad_fork")
    (age_s,) = _AGE.unpack_from(data)
    end = _AGE.size + RECORD_MIN - 1 + data[_AGE.size + _BODY.size - 1]
    first, second = parse_record_untrusted(data[_AGE.size : end]), parse_record_untrusted(data[end:])
    if not forked(first, second) or first.encode() > second.encode():
        raise BadWire("bad_fork")
    return Fork(age_s, first, second)


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """Data of a RECORD_REQUEST packet: name 32 | digest 8: which version have you, unless it is the one
    with that digest? Zeros for a digest when the asker has none, or not all of its content."""

    name: bytes
    digest: bytes = bytes(DIGEST_SIZE)

    def encode(self) -> bytes:
        return self.name + self.digest


def parse_record_request_untrusted(data: bytes) -> RecordRequest:
    """Raises BadWire("bad_record_request")."""
    if len(data) != NAME_SIZE + DIGEST_SIZE:
        raise BadWire("bad_record_request")
    return RecordRequest(data[:NAME_SIZE], data[NAME_SIZE:])


def parse_no_record_untrusted(data: bytes) -> bytes:
    """The name of which a neighbour has nothing else. Raises BadWire("bad_no_record")."""
    if len(data) != NAME_SIZE:
        raise BadWire("bad_no_record")
    return data
