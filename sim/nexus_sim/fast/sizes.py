"""How large frames are: asked of the code that makes them, so that the model has no figures of its own."""

from nexus_node.base.ids import ADDRESS_SIZE
from nexus_node.crypto.envelope import INTRODUCTION_OVERHEAD
from nexus_node.engine import medium, neighbour
from nexus_node.wire.custody import Delivered
from nexus_node.wire.fragments import FRAGMENT_HEAD, FragmentAck
from nexus_node.wire.frames import ITEM_HEAD, TAG_SIZE, sealed_header
from nexus_node.wire.message import Payload, message_data
from nexus_node.wire.packet import HEADER_SIZE, RECEIPT_SIZE
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_node.wire.text import compress_text

SEALED = len(sealed_header(0, 0, 0)) + TAG_SIZE
"""A sealed frame on a shared medium without items; the last item needs no length."""
SAVED = 2
HELLO, OPENING = medium._HELLO_SIZE, medium._OPENING_SIZE
REPLY = 76
"""IK2 with a broadcast share (docs/protocol/link.md)."""
ANNOUNCE_ITEM = neighbour.ANNOUNCE_ITEM
REQUEST_ITEM = neighbour.REQUEST_ITEM
GREETING = SEALED + REQUEST_ITEM - SAVED
PING = SEALED + ITEM_HEAD + 1 - SAVED
"""And its answer."""
ACK = SEALED + ITEM_HEAD + len(FragmentAck(0, 1).encode()) - SAVED
RECEIPT = SEALED + ITEM_HEAD + HEADER_SIZE + RECEIPT_SIZE - SAVED
DELIVERED = HEADER_SIZE + ADDRESS_SIZE + len(Delivered(b"\0" * PREFIX_SIZE, b"\0" * RECEIPT_SIZE).encode())
"""The packet that brings a receipt back over hops."""


def message_packet(text: bytes) -> int:
    """Bytes of the packet of a first text to somebody over hops; to a neighbour less an address."""
    codec, body = compress_text(text)
    envelope = INTRODUCTION_OVERHEAD + len(Payload(0, codec, 0, body).encode())
    return HEADER_SIZE + ADDRESS_SIZE + len(message_data(0, b"")) + envelope


def whole(packet: int) -> int:
    """The frame of a packet that goes to its destination itself, in one piece."""
    return SEALED + packet - ADDRESS_SIZE + ITEM_HEAD - SAVED


def fragments(packet: int, room: int) -> list[int]:
    """The frames of a packet that crosses a hop in acknowledged fragments; `room` for items in a frame."""
    step = room - 1 - FRAGMENT_HEAD
    parts = [min(step, packet - at) for at in range(0, packet, step)]
    return [SEALED + ITEM_HEAD + FRAGMENT_HEAD + part - SAVED for part in parts]
