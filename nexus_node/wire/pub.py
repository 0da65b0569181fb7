"""Publish and subscribe: topics, subscriptions, hints, what was published (N8, docs/protocol/pub.md)."""

from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.ids import ADDRESS_SIZE, Address, NodeId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.address import address_of
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity, verify
from nexus_node.wire.dataobject import (
    HEADER_SIZE,
    ObjectHeader,
    describe,
    parse_object_header_untrusted,
)

KIND_PUBLISHED = 8
"""The object kind of what was published."""
HINT_SIZE = 16
"""A hint is so much of the 32 bytes of an object's id: alone in a frame it then takes 39 to 41 bytes (N8)."""
HINTS_MAX = 64
SUBSCRIPTIONS_MAX = 64
"""Of one packet."""
KEY_MAX, SCOPE_MAX = 32, 100
PUBLISHED_TEXT_MAX = 3800
"""With it and the longest topic a published object is one chunk."""
PUBLISHED_TTL_MAX_S = 30 * 24 * 3600

_LABEL = b"NexusPublished/0"
_SCOPES = ("geo", "topic")
_HEAD = Struct("<32sIIB")
_REFERENCE = Struct("<I")
_SUBSCRIPTION = Struct("<BBHI")
_TEXT, _OBJECT = 0, 1


class TopicKind(IntEnum):
    """What a topic's value is."""

    KEY = 1
    """1 to 32 bytes."""
    PREFIX = 2
    """The first bytes of keys."""
    NODE = 3
    """An address: all that this node publishes."""
    SCOPE = 4
    """UTF-8: `geo/..` or `topic/..`."""
    SCOPE_PREFIX = 5
    """A scope, and all below it."""


class Topic(NamedTuple):
    """kind u8 | size u8 | value."""

    kind: TopicKind
    value: bytes

    def encode(self) -> bytes:
        return bytes((self.kind, len(self.value))) + self.value

    def __str__(self) -> str:
        if self.kind in (TopicKind.SCOPE, TopicKind.SCOPE_PREFIX):
            return f"scope:{self.value.decode()}" + ("/*" if self.kind is TopicKind.SCOPE_PREFIX else "")
        return f"{self.kind.name.lower()}:{self.value.hex()}"


def topic_of(text: str) -> Topic:
    """What a person wrote. Raises InputError."""
    name, colon, value = text.partition(":")
    kinds = {one.name.lower(): one for one in TopicKind}
    kind = kinds.get(name)
    if not colon or kind is None:
        raise InputError(
            f"{text!r} is no topic; write key:HEX, prefix:HEX, node:ADDRESS, scope:geo/a/b or scope:topic/a/b"
        )
    if kind is TopicKind.SCOPE:
        if value.endswith("/*"):
            kind, value = TopicKind.SCOPE_PREFIX, value[:-2]
        topic = Topic(kind, value.encode("utf-8", "replace"))
        if not _is_sound(topic):
            raise InputError(
                f"{text!r} is no scope; begin with geo/ or topic/, with names between the strokes, "
                f"in at most {SCOPE_MAX} bytes"
            )
        return topic
    try:
        topic = Topic(kind, bytes.fromhex(value))
    except ValueError:
        topic = Topic(kind, b"")
    if not _is_sound(topic):
        digits = "32" if kind is TopicKind.NODE else "2 to 64"
        raise InputError(f"the topic {text!r} needs {digits} hex digits after {name}:")
    return topic


def _is_sound(topic: Topic) -> bool:
    if topic.kind is TopicKind.NODE:
        return len(topic.value) == ADDRESS_SIZE
    if topic.kind in (TopicKind.KEY, TopicKind.PREFIX):
        return 1 <= len(topic.value) <= KEY_MAX
    try:
        parts = topic.value.decode().split("/")
    except UnicodeDecodeError:
        return False
    if len(topic.value) > SCOPE_MAX or parts[0] not in _SCOPES or not all(parts):
        return False
    return (len(parts) > 1 or topic.kind is TopicKind.SCOPE_PREFIX) and all(
        part.isprintable() and part != "*" for part in parts
    )


def _topic_at(data: bytes, at: int) -> tuple[Topic, int]:
    """The topic that begins there, and where it ends. Raises BadWire("bad_topic")."""
    end = at + 2 + (data[at + 1] if at + 2 <= len(data) else 0)
    if at + 2 > len(data) or end > len(data):
        raise BadWire("bad_topic")
    try:
        topic = Topic(TopicKind(data[at]), data[at + 2 : end])
    except ValueError:
        raise BadWire("bad_topic") from None
    if not _is_sound(topic):
        raise BadWire("bad_topic")
    return topic, end


# --- what neighbours want ---------------------------------------------------------------------------
class Mode(IntEnum):
    """How a subscriber wants to hear; the lower, the sooner."""

    PUSH = 0
    """The whole object, where the link is wide and that costs less."""
    DIGEST = 1
    """Hints, gathered for a minute."""
    HINT = 2
    """Hints, at once."""


ALL = 0xFFFFFFFF
"""Of `Subscription.back_s`: everything that is there."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """mode u8 | hops u8 | lifetime u16, minutes | back u32, seconds | topic: 10 bytes and the topic's value.

    "Tell me what is published there, and what came to you in the last `back_s`." A lifetime of 0 ends it.
    `hops` is how many more nodes may pass it on, 0 to 7.
    """

    topic: Topic
    mode: Mode
    hops: int
    lifetime_min: int
    back_s: int = ALL

    def encode(self) -> bytes:
        head = _SUBSCRIPTION.pack(self.mode, self.hops, self.lifetime_min, min(self.back_s, ALL))
        return head + self.topic.encode()


HOPS_MAX = 8
"""How many nodes a subscription reaches in a row."""


def parse_subscriptions_untrusted(data: bytes) -> list[Subscription]:
    """Data of a SUBSCRIBE packet: 1 to 64. Raises BadWire("bad_subscription") or BadWire("bad_topic")."""
    found: list[Subscription] = []
    at = 0
    while at < len(data):
        if len(found) == SUBSCRIPTIONS_MAX or at + _SUBSCRIPTION.size > len(data):
            raise BadWire("bad_subscription")
        mode, hops, lifetime, back = _SUBSCRIPTION.unpack_from(data, at)
        topic, at = _topic_at(data, at + _SUBSCRIPTION.size)
        if mode > Mode.HINT or hops >= HOPS_MAX:
            raise BadWire("bad_subscription")
        found.append(Subscription(topic, Mode(mode), hops, lifetime, back))
    if not found:
        raise BadWire("bad_subscription")
    return found


def parse_hints_untrusted(data: bytes) -> list[bytes]:
    """Data of a HINT or PULL packet: 1 to 64 times the first 16 bytes of an object's id. Raises
    BadWire("bad_hint")."""
    if not data or len(data) % HINT_SIZE or len(data) > HINTS_MAX * HINT_SIZE:
        raise BadWire("bad_hint")
    return [data[at : at + HINT_SIZE] for at in range(0, len(data), HINT_SIZE)]


# --- what was published -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Reference:
    """An object that is pointed to: min_bandwidth u32 | its header 42."""

    header: ObjectHeader
    min_bandwidth: int = 0

    def encode(self) -> bytes:
        return _REFERENCE.pack(min(self.min_bandwidth, 0xFFFFFFFF)) + self.header.encode()


@dataclass(frozen=True, slots=True)
class Published:
    """publisher's node id 32 | time u32, seconds since 1970 | time to live u32, seconds | what u8 | topic |
    text, or reference | signature 64.

    The signature covers "NexusPublished/0" and all before it. It is the content of an object of
    kind 8, of one chunk.
    """

    publisher: NodeId
    time: int
    ttl_s: int
    topic: Topic
    what: str | Reference
    signature: bytes = field(default=b"", repr=False)

    @classmethod
    def make(
        cls, identity: Identity, time: int, ttl_s: int, topic: Topic, what: str | Reference
    ) -> "Published":
        """What a node publishes, signed."""
        bare = cls(identity.node_id, time, ttl_s, topic, what)
        return cls(identity.node_id, time, ttl_s, topic, what, identity.sign(_LABEL + bare._body()))

    def authentic(self) -> bool:
        """Whether the publisher has signed it, and may publish there: on a node's topic only that node."""
        if self.topic.kind is TopicKind.NODE and self.topic.value != address_of(self.publisher):
            return False
        return verify(self.publisher, _LABEL + self._body(), self.signature)

    def encode(self) -> bytes:
        return self._body() + self.signature

    @property
    def address(self) -> Address:
        return address_of(self.publisher)

    def _body(self) -> bytes:
        is_text = isinstance(self.what, str)
        head = _HEAD.pack(self.publisher, self.time, self.ttl_s, _TEXT if is_text else _OBJECT)
        return head + self.topic.encode() + self.what.encode()


def parse_published_untrusted(data: bytes) -> Published:
    """Data of a PUBLISHED packet, and content of its object; the signature is not checked here.

    Raises BadWire("bad_published"), BadWire("bad_topic"), or what a header is refused with.
    """
    if not _HEAD.size + SIGNATURE_SIZE <= len(data) <= CHUNK_SIZE:
        raise BadWire("bad_published")
    publisher, time, ttl_s, what = _HEAD.unpack_from(data)
    body, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    topic, at = _topic_at(body, _HEAD.size)
    if topic.kind in (TopicKind.PREFIX, TopicKind.SCOPE_PREFIX) or not 0 < ttl_s <= PUBLISHED_TTL_MAX_S:
        raise BadWire("bad_published")
    return Published(NodeId(publisher), time, ttl_s, topic, _what(what, body[at:]), signature)


def _what(kind: int, data: bytes) -> str | Reference:
    if kind == _OBJECT and len(data) == _REFERENCE.size + HEADER_SIZE:
        header = parse_object_header_untrusted(data[_REFERENCE.size :])
        return Reference(header, _REFERENCE.unpack_from(data)[0])
    if kind != _TEXT or len(data) > PUBLISHED_TEXT_MAX:
        raise BadWire("bad_published")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadWire("bad_published") from None


def object_of(data: bytes) -> ObjectHeader:
    """The header of the object with that content."""
    return describe(KIND_PUBLISHED, data)[0]
