"""Immutable objects: content in chunks under a Merkle root, named by the hash of a header (N7).

See docs/protocol/object.md.
"""

from dataclasses import dataclass
from struct import Struct

from blake3 import blake3

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE, OBJECT_MAX
from nexus_node.crypto.merkle import leaf_hash, merkle_root

VERSION = 1
_HEADER = Struct("<BBQ32s")
HEADER_SIZE = _HEADER.size

KIND_BLOB = 1
"""A file that a person put."""
KIND_MESSAGE = 2
"""A sealed message: destination address 16 | time u32, seconds since 1970 | envelope."""

KIND_FILE = 3
"""A file attached to messages, sealed with a key that stands in their descriptions of it."""
KIND_GROUP_MESSAGE = 4
"""A message of a group: group id 16 | message (docs/protocol/group.md)."""
KIND_VERSION = 5
"""The content of one version of a mutable object (docs/protocol/mutable.md)."""


@dataclass(slots=True)
class ObjectHeader:
    """version u8 = 1 | kind u8 | size u64 | root 32: 42 bytes, little-endian.

    Objects of unknown kinds are stored and passed on like any other.
    """

    kind: int
    size: int
    root: bytes

    def encode(self) -> bytes:
        return _HEADER.pack(VERSION, self.kind, self.size, self.root)

    @property
    def id(self) -> ObjectId:
        """BLAKE3 of the encoded header; computed at each use."""
        return ObjectId(blake3(self.encode()).digest())


def parse_object_header_untrusted(data: bytes) -> ObjectHeader:
    """Raises BadWire("bad_object"), BadWire("object_version"), or BadWire("object_too_large")."""
    if len(data) != HEADER_SIZE:
        raise BadWire("bad_object")
    version, kind, size, root = _HEADER.unpack(data)
    if version != VERSION:
        raise BadWire("object_version")
    if size > OBJECT_MAX:
        raise BadWire("object_too_large")
    return ObjectHeader(kind, size, root)


def chunks_of(content: bytes) -> list[bytes]:
    """Split into chunks of `limits.CHUNK_SIZE`, the last one shorter; empty content is one empty chunk."""
    if len(content) <= CHUNK_SIZE:
        return [content]
    return [content[at : at + CHUNK_SIZE] for at in range(0, len(content), CHUNK_SIZE)]


def describe(kind: int, content: bytes) -> tuple[ObjectHeader, list[bytes]]:
    """Return the header and the chunks of an object with that content."""
    chunks = chunks_of(content)
    return ObjectHeader(kind, len(content), merkle_root([leaf_hash(chunk) for chunk in chunks])), chunks
