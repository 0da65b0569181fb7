"""Compose and seal: a text becomes an immutable object that only its recipient can open (N9)."""

from collections.abc import Iterable
from dataclasses import dataclass

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, MessageId, NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.envelope import (
    KIND_INTRODUCTION,
    Opened,
    Sealed,
    SharedSecrets,
    open_envelope,
    seal_introduction,
    seal_known,
)
from nexus_node.crypto.identity import Identity
from nexus_node.ports.store import Correspondent
from nexus_node.wire.dataobject import KIND_MESSAGE, ObjectHeader, describe
from nexus_node.wire.message import (
    CONTENT_TEXT,
    Payload,
    message_data,
    parse_message_data_untrusted,
    parse_payload_untrusted,
    seal_context,
)
from nexus_node.wire.text import compress_text, parse_text_untrusted


@dataclass(frozen=True, slots=True)
class Composed:
    """A sealed message: its object, and the receipts that will prove what became of it."""

    header: ObjectHeader
    chunks: list[bytes]
    data: bytes
    """What a MESSAGE packet to the recipient carries."""
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message opened by its recipient. `sent_ms` is the sender's claim, 0 if it had no clock."""

    id: MessageId
    opened: Opened
    sent_ms: int
    text: str


class Composer:
    """Seals and opens messages for one identity."""

    def __init__(self, identity: Identity, rng: Rng) -> None:
        self._identity = identity
        self._rng = rng
        self._secrets = SharedSecrets(identity)

    def seal_text(self, to: Correspondent, text: bytes, sent_ms: int, *, compress: bool) -> Composed:
        """`sent_ms` 0 when the clock is not to be trusted; `compress` where air is dear (N13)."""
        codec, body = compress_text(text) if compress else (0, text)
        seconds, millis = divmod(sent_ms, 1000)
        payload = Payload(CONTENT_TEXT, codec, millis, body).encode()
        context = seal_context(to.address, seconds)
        if to.knows_us:
            sealed = seal_known(self._identity, self._secrets, to.node_id, payload, context, self._rng)
        else:
            sealed = seal_introduction(self._identity, to.node_id, payload, context, self._rng)
        data = message_data(seconds, sealed.envelope)
        header, chunks = describe(KIND_MESSAGE, to.address + data)
        return Composed(header, chunks, data, sealed)

    def identify(self, data: bytes) -> MessageId:
        """The id of a message to us, from its packet's data."""
        return MessageId(describe(KIND_MESSAGE, self._identity.address + data)[0].id)

    def open(self, message_id: MessageId, data: bytes, candidates: Iterable[NodeId]) -> ReadMessage:
        """Open a message to us. Raises BadWire: "unknown_sender", "bad_envelope", or a payload's code."""
        seconds, envelope = parse_message_data_untrusted(data)
        context = seal_context(self._identity.address, seconds)
        opened = open_envelope(self._identity, self._secrets, envelope, context, candidates)
        payload = parse_payload_untrusted(opened.payload)
        if payload.content != CONTENT_TEXT:
            raise BadWire("unknown_content")
        text = parse_text_untrusted(payload.codec, payload.body)
        return ReadMessage(message_id, opened, seconds * 1000 + payload.millis, text)


def destination_of(content: bytes) -> tuple[Address, bytes]:
    """Split a stored message object's content into destination and packet data."""
    return Address(content[:16]), content[16:]


def is_introduction(data: bytes) -> bool:
    """Whether the envelope in a MESSAGE packet's data introduces its sender."""
    return parse_message_data_untrusted(data)[1][0] == KIND_INTRODUCTION
