"""Descriptions of attached files: what goes ahead inside the message (N13, docs/protocol/message.md)."""

import unicodedata
from dataclasses import dataclass, field
from struct import Struct
from typing import Self

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import ATTACHMENT_MAX, ATTACHMENTS_MAX
from nexus_node.crypto.filestream import sealed_size
from nexus_node.wire.dataobject import KIND_FILE, ObjectHeader

NAME_BYTES_MAX = 128
TYPE_BYTES_MAX = 64
PREVIEW_BYTES_MAX = 1024

_FIXED = Struct("<32s32sII")
_NAMELESS = "file"
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
"""Windows opens a device for these, whatever follows their first dot."""


class AttachmentName(str):
    """The name of a file as others may call it: no path, nothing invisible, not too long."""

    __slots__ = ()

    @classmethod
    def from_untrusted(cls, name: str) -> Self:
        """What is left of a name that anybody may have chosen; "file" when that is nothing."""
        last = name.replace("\\", "/").rsplit("/", 1)[-1]
        seen = "".join(one for one in last if _is_shown(one) and one not in '<>:"|?*').strip(" .")
        if seen.split(".")[0].rstrip(" ").upper() in _DEVICES:
            seen = "_" + seen
        short = seen.encode()[:NAME_BYTES_MAX].decode(errors="ignore")
        return cls(short.strip(" .") or _NAMELESS)


def _is_shown(one: str) -> bool:
    """Not for what only moves the others about: controls, directions, lines and paragraphs."""
    category = unicodedata.category(one)
    return category[0] != "C" and category not in ("Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Description:
    """root 32 | key 32 | size u32 | min_bandwidth u32 | name, type (each length u8, UTF-8) | preview (length
    u16): a file that is attached, and the key that opens its object, which is of kind 3 (file)."""

    root: bytes
    key: bytes = field(repr=False)
    size: int
    min_bandwidth: int
    name: AttachmentName
    media_type: str = ""
    preview: bytes = field(default=b"", repr=False)

    @property
    def header(self) -> ObjectHeader:
        """Of the object that is to come."""
        return ObjectHeader(KIND_FILE, sealed_size(self.size), self.root)

    @property
    def object(self) -> ObjectId:
        return self.header.id

    def encode(self) -> bytes:
        name, kind = self.name.encode(), self.media_type.encode()
        fixed = _FIXED.pack(self.root, self.key, self.size, min(self.min_bandwidth, 0xFFFFFFFF))
        texts = bytes((len(name),)) + name + bytes((len(kind),)) + kind
        return fixed + texts + len(self.preview).to_bytes(2, "little") + self.preview


def encode_descriptions(descriptions: list[Description]) -> bytes:
    """count u8, then each."""
    return bytes((len(descriptions),)) + b"".join(one.encode() for one in descriptions)


def parse_descriptions_untrusted(data: bytes) -> tuple[list[Description], bytes]:
    """The descriptions that `data` begins with, and what follows. Raises BadWire("bad_description")."""
    if not data or data[0] > ATTACHMENTS_MAX:
        raise BadWire("bad_description")
    found, at = [], 1
    for _ in range(data[0]):
        one, at = _parse_one(data, at)
        found.append(one)
    return found, data[at:]


def _parse_one(data: bytes, at: int) -> tuple[Description, int]:
    if at + _FIXED.size > len(data):
        raise BadWire("bad_description")
    root, key, size, min_bandwidth = _FIXED.unpack_from(data, at)
    name, at = _counted(data, at + _FIXED.size, 1, NAME_BYTES_MAX)
    kind, at = _counted(data, at, 1, TYPE_BYTES_MAX)
    preview, at = _counted(data, at, 2, PREVIEW_BYTES_MAX)
    if size > ATTACHMENT_MAX:
        raise BadWire("bad_description")
    shown = AttachmentName.from_untrusted(name.decode(errors="replace"))
    media_type = "".join(one for one in kind.decode(errors="replace") if "!" <= one <= "~")
    return Description(root, key, size, min_bandwidth, shown, media_type, preview), at


def _counted(data: bytes, at: int, width: int, most: int) -> tuple[bytes, int]:
    """Bytes behind their count of `width` bytes, and where they end."""
    start = at + width
    size = int.from_bytes(data[at:start], "little")
    if start > len(data) or size > most or start + size > len(data):
        raise BadWire("bad_description")
    return data[start : start + size], start + size
