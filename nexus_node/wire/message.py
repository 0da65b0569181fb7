"""What stands inside an envelope, and what stands before it (N9, docs/protocol/message.md)."""

from dataclasses import dataclass
from struct import Struct

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address

CONTENT_TEXT = 0
CONTENT_TEXT_AGAIN = 1
"""A text that was sealed before: the message id it had then, 32 bytes, and the text."""
CONTENT_FILES = 4
"""This bit beside one of these: descriptions of attached files stand before the text."""
CONTENT_GROUP = 8
"""A letter about a group, no text (docs/protocol/group.md)."""
CONTENT_TEXT_SETTLED = 8
"""In a message of a group: a text, and that all members have the secret of its epoch."""
_HEAD = Struct("<BH")
_TIME = Struct("<I")
TIME_SIZE = 4


@dataclass(slots=True)
class Payload:
    """The plaintext of an envelope: content u4 (high) and codec u4 (low), milliseconds u16, body.

    `millis` is the part of the sending time below the second that stands outside.
    """

    content: int
    codec: int
    millis: int
    body: bytes

    def encode(self) -> bytes:
        return _HEAD.pack(self.content << 4 | self.codec, self.millis) + self.body


def parse_payload_untrusted(data: bytes) -> Payload:
    """Raises BadWire("bad_payload")."""
    if len(data) < _HEAD.size:
        raise BadWire("bad_payload")
    kinds, millis = _HEAD.unpack_from(data)
    if millis > 999:
        raise BadWire("bad_payload")
    return Payload(kinds >> 4, kinds & 0x0F, millis, data[_HEAD.size :])


def seal_context(destination: Address, seconds: int) -> bytes:
    """What an envelope is bound to: destination 16, time u32 (seconds since 1970, 0 if not known)."""
    return destination + _TIME.pack(seconds)


def message_data(seconds: int, envelope: bytes) -> bytes:
    """Data of a MESSAGE packet: time u32, envelope."""
    return _TIME.pack(seconds) + envelope


def parse_message_data_untrusted(data: bytes) -> tuple[int, bytes]:
    """(seconds, envelope). Raises BadWire("bad_message")."""
    if len(data) <= TIME_SIZE:
        raise BadWire("bad_message")
    return _TIME.unpack_from(data)[0], data[TIME_SIZE:]
