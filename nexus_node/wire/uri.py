"""Contact links: a node id that people can pass on (N1, docs/protocol/identity.md).

`nexus:` and base32 (RFC 4648, without padding) of version u8, node id 32, TLVs, checksum 4. Written in
lower case, read in either; upper case suits the alphanumeric mode of QR codes.
"""

import base64
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.base.limits import NAME_MAX, RELAYS_MAX, URI_MAX
from nexus_node.wire.tlv import Tlvs, encode_tlvs, parse_tlvs_untrusted

SCHEME = "nexus:"
TLV_NAME = 1
TLV_RELAY = 2

_VERSION = 1
_CHECKSUM_SIZE = 4
_PERSON = b"nexus uri"
_DIGITS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567")


class BadUri(BadWire):
    """A contact link that cannot be used; the text says why and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__("bad_uri")
        self.args = (sentence,)


@dataclass(frozen=True, slots=True)
class ContactUri:
    """What a contact link says. `name` is the owner's suggestion; `tlvs` are all, known or not.

    `relays` keep the owner's mail while they are away (N10), the preferred first: at most 4, each once.
    """

    node_id: NodeId
    name: str | None = None
    tlvs: Tlvs = ()
    relays: tuple[NodeId, ...] = ()


def make_uri(node_id: NodeId, name: str | None = None, relays: Sequence[NodeId] = ()) -> str:
    """The contact link of a node, with the relays that keep its mail, the preferred first.

    Raises InputError when `name` is longer than 64 bytes of UTF-8 or there are more than 4 relays.
    """
    if len(relays) > RELAYS_MAX:
        raise InputError(
            f"a contact link has room for {RELAYS_MAX} relays, not {len(relays)}; leave some out"
        )
    tlvs: Tlvs = tuple((TLV_RELAY, relay) for relay in relays)
    if name:
        value = name.encode("utf-8", "replace")
        if len(value) > NAME_MAX:
            raise InputError(f"the name has {len(value)} bytes in UTF-8; shorten it to {NAME_MAX}")
        tlvs = ((TLV_NAME, value), *tlvs)
    body = bytes((_VERSION,)) + node_id + encode_tlvs(tlvs)
    return encode_link(SCHEME, body, _PERSON)


def parse_uri_untrusted(text: str) -> ContactUri:
    """The content of a contact link, in any case and with any white space around or inside.

    Whether a node id is a usable key is for `agreement_key_of` to say. Raises BadUri.
    """
    body = decode_link(SCHEME, text, _PERSON)
    # Every version keeps the checksum, so that a typing error is never taken for a newer version.
    if body[:1] != bytes((_VERSION,)):
        raise BadUri("the link is of another version than this program knows; update Nexus Node")
    node_id = NodeId(body[1 : 1 + NODE_ID_SIZE])
    if len(node_id) != NODE_ID_SIZE:
        raise BadUri("the link holds no complete node id; ask for it again")
    try:
        tlvs = parse_tlvs_untrusted(body[1 + NODE_ID_SIZE :])
    except BadWire:
        raise BadUri("the link is put together wrongly; ask for one made by a current Nexus Node") from None
    names = [value for kind, value in tlvs if kind == TLV_NAME]
    relays = dict.fromkeys(
        NodeId(value) for kind, value in tlvs if kind == TLV_RELAY and len(value) == NODE_ID_SIZE
    )
    return ContactUri(node_id, clean_name(names[0]) if names else None, tlvs, tuple(relays)[:RELAYS_MAX])


def encode_link(scheme: str, body: bytes, person: bytes) -> str:
    """A link of any kind: scheme, base32 of `body` and its checksum."""
    return scheme + _base32(body + _checksum(body, person)).lower()


def decode_link(scheme: str, text: str, person: bytes) -> bytes:
    """The body of a link of that scheme, whose checksum is right. Raises BadUri."""
    if len(text) > URI_MAX:
        raise BadUri(f"that is too long to be a {scheme} link; copy the link alone")
    link = "".join(text.split())
    if link[: len(scheme)].lower() != scheme:
        raise BadUri(f"that is not a {scheme} link; it must begin with {scheme}")
    data = _decode(link[len(scheme) :])
    body, checksum = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
    if _checksum(body, person) != checksum:
        raise BadUri("the link's checksum does not match: a character was mistyped or lost; ask for it again")
    return body


def clean_name(value: bytes) -> str | None:
    """A name from outside, fit to be shown: at most 64 bytes of UTF-8 on one line; None if nothing is left.

    Controls, private and unassigned characters and those that turn the direction of text (all Unicode
    categories C*) go, any white space becomes one space.
    """
    text = " ".join(value.decode("utf-8", "ignore").split())
    visible = "".join(c for c in text if not unicodedata.category(c).startswith("C"))
    composed = unicodedata.normalize("NFC", visible).encode()
    return " ".join(composed[:NAME_MAX].decode("utf-8", "ignore").split()) or None


def _decode(digits: str) -> bytes:
    for digit in digits:
        if digit not in _DIGITS:
            raise BadUri(f"the character {digit!a} cannot be in a nexus: link; compare it with the original")
    digits = digits.upper()
    try:
        data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except ValueError:
        data = b""
    # The last character may have bits to spare, which must be zero: one node id, one link.
    if _base32(data) != digits:
        raise BadUri("the link's end is missing or mistyped; ask for it again")
    return data


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def _checksum(body: bytes, person: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECKSUM_SIZE, person=person).digest()
