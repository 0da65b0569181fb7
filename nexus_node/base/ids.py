"""The identifiers that cross every floor, as distinct types of `bytes`."""

from typing import NewType

NodeId = NewType("NodeId", bytes)
"""32 bytes: an Ed25519 public key (N1)."""

Address = NewType("Address", bytes)
"""16 bytes: BLAKE2b-512 of the node id, truncated (N1)."""

ObjectId = NewType("ObjectId", bytes)
"""32 bytes: BLAKE3 of an object's header (docs/protocol/object.md)."""

MessageId = NewType("MessageId", bytes)
"""32 bytes: the object id of the envelope a message was first sealed in."""

ADDRESS_SIZE = 16
NODE_ID_SIZE = 32
OBJECT_ID_SIZE = 32
