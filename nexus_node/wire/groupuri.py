"""Group links: what lets somebody join who is no contact of an admin's (N11, docs/protocol/group.md).

`nexus-group:` and base32 as in contact links, of version u8, node id 32 of who invites, group id 16, token
16, TLVs, checksum 4.
"""

from dataclasses import dataclass, field

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.wire.group import ID_SIZE, GroupId
from nexus_node.wire.groupitem import TOKEN_SIZE
from nexus_node.wire.tlv import encode_tlvs, parse_tlvs_untrusted
from nexus_node.wire.uri import TLV_NAME, BadUri, clean_name, decode_link, encode_link

GROUP_SCHEME = "nexus-group:"
_PERSON = b"nexus grp uri"
_VERSION = 1
_FIXED = 1 + NODE_ID_SIZE + ID_SIZE + TOKEN_SIZE


@dataclass(frozen=True, slots=True)
class GroupUri:
    """What a group link says. `name` is the inviter's suggestion."""

    inviter: NodeId
    group: GroupId
    token: bytes = field(repr=False)
    name: str | None = None


def make_group_uri(link: GroupUri) -> str:
    """The text of a group link."""
    tlvs = encode_tlvs(((TLV_NAME, link.name.encode()),)) if link.name else b""
    body = bytes((_VERSION,)) + link.inviter + link.group + link.token + tlvs
    return encode_link(GROUP_SCHEME, body, _PERSON)


def parse_group_uri_untrusted(text: str) -> GroupUri:
    """The content of a group link, in any case and with any white space. Raises BadUri."""
    body = decode_link(GROUP_SCHEME, text, _PERSON)
    if body[:1] != bytes((_VERSION,)):
        raise BadUri("the link is of another version than this program knows; update Nexus Node")
    if len(body) < _FIXED:
        raise BadUri("the link is not complete; ask for it again")
    try:
        tlvs = parse_tlvs_untrusted(body[_FIXED:])
    except BadWire:
        raise BadUri("the link is put together wrongly; ask for one made by a current Nexus Node") from None
    names = [value for kind, value in tlvs if kind == TLV_NAME]
    at = 1 + NODE_ID_SIZE
    return GroupUri(
        NodeId(body[1:at]),
        GroupId(body[at : at + ID_SIZE]),
        body[at + ID_SIZE : _FIXED],
        clean_name(names[0]) if names else None,
    )
