"""Compose and seal: a text becomes an immutable object that only its recipient can open (N9)."""

from collections.abc import Iterable
from dataclasses import dataclass

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import OBJECT_ID_SIZE, MessageId, NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.address import address_of
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
from nexus_node.ports.store import Correspondent, Outgoing
from nexus_node.wire.dataobject import KIND_MESSAGE, ObjectHeader, describe
from nexus_node.wire.description import Description, encode_descriptions, parse_descriptions_untrusted
from nexus_node.wire.message import (
    CONTENT_FILES,
    CONTENT_GROUP,
    CONTENT_TEXT,
    CONTENT_TEXT_AGAIN,
    Payload,
    message_data,
    parse_message_data_untrusted,
    parse_payload_untrusted,
    seal_context,
)
from nexus_node.wire.text import compress_text, parse_text_untrusted
from nexus_node.wire.transfer import parse_offer_untrusted


@dataclass(slots=True)
class Composed:
    """A sealed message: its object, and the receipts that will prove what became of it."""

    header: ObjectHeader
    data: bytes
    """What a MESSAGE packet to the recipient carries."""
    sealed: Sealed


@dataclass(slots=True)
class ReadMessage:
    """A message opened by its recipient. `sent_ms` is the sender's claim, 0 if it had no clock."""

    id: MessageId
    first: MessageId | None
    """The id it had when it was sealed before, as its sender says."""
    opened: Opened
    sent_ms: int
    text: str
    files: list[Description]
    group: bytes | None = None
    """The items of a letter about a group, which has no text."""


class Composer:
    """Seals and opens messages for one identity."""

    def __init__(self, identity: Identity, rng: Rng) -> None:
        self._identity = identity
        self._rng = rng
        self._secrets = SharedSecrets(identity)

    def seal_text(
        self,
        to: Correspondent,
        text: bytes,
        sent_ms: int,
        *,
        compress: bool,
        again: MessageId | None = None,
        files: list[Description] | None = None,
    ) -> Composed:
        """`sent_ms` 0 when the clock is not to be trusted; `compress` where air is dear (N13); `again` is the
        id of a message that was sealed before, so that its reader sees it once."""
        codec, body = compress_text(text) if compress else (0, text)
        content = (CONTENT_TEXT if again is None else CONTENT_TEXT_AGAIN) | (CONTENT_FILES if files else 0)
        head = (again or b"") + (encode_descriptions(files) if files else b"")
        return self._seal(to, content, codec, head + body, sent_ms)

    def seal_group(self, to: Correspondent, items: bytes, sent_ms: int) -> Composed:
        """A letter about a group: it does no harm when it is read twice."""
        return self._seal(to, CONTENT_GROUP, 0, items, sent_ms)

    def _seal(self, to: Correspondent, content: int, codec: int, body: bytes, sent_ms: int) -> Composed:
        seconds, millis = divmod(sent_ms, 1000)
        payload = Payload(content, codec, millis, body).encode()
        context = seal_context(to.address, seconds)
        if to.knows_us:
            sealed = seal_known(self._identity, self._secrets, to.node_id, payload, context, self._rng)
        else:
            sealed = seal_introduction(self._identity, to.node_id, payload, context, self._rng)
        data = message_data(seconds, sealed.envelope)
        return Composed(describe(KIND_MESSAGE, to.address + data)[0], data, sealed)

    def identify(self, data: bytes) -> MessageId:
        """The id of a message to us, from its packet's data."""
        return MessageId(describe(KIND_MESSAGE, self._identity.address + data)[0].id)

    def open(self, message_id: MessageId, data: bytes, candidates: Iterable[NodeId]) -> ReadMessage:
        """Open a message to us. Raises BadWire: "unknown_sender", "bad_envelope", or a payload's code."""
        seconds, envelope = parse_message_data_untrusted(data)
        context = seal_context(self._identity.address, seconds)
        opened = open_envelope(self._identity, self._secrets, envelope, context, candidates)
        payload = parse_payload_untrusted(opened.payload)
        sent_ms = seconds * 1000 + payload.millis
        if payload.content == CONTENT_GROUP:
            return ReadMessage(message_id, None, opened, sent_ms, "", [], payload.body)
        first, body = None, payload.body
        files: list[Description] = []
        kind = payload.content & ~CONTENT_FILES
        if kind == CONTENT_TEXT_AGAIN and len(body) >= OBJECT_ID_SIZE:
            first, body = MessageId(body[:OBJECT_ID_SIZE]), body[OBJECT_ID_SIZE:]
        elif kind != CONTENT_TEXT:
            raise BadWire("unknown_content")
        if payload.content & CONTENT_FILES:
            files, body = parse_descriptions_untrusted(body)
        text = parse_text_untrusted(payload.codec, body)
        return ReadMessage(message_id, first, opened, sent_ms, text, files)


def is_sound(row: Outgoing) -> bool:
    """Whether the row's envelope still is the object that it names, or the offer of it."""
    if row.is_file:
        try:
            return parse_offer_untrusted(row.envelope).header.id == row.object
        except BadWire:
            return False
    return describe(KIND_MESSAGE, address_of(row.to) + row.envelope)[0].id == row.object


def is_introduction(data: bytes) -> bool:
    """Whether the envelope in a MESSAGE packet's data introduces its sender."""
    return parse_message_data_untrusted(data)[1][0] == KIND_INTRODUCTION
