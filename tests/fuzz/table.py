"""Every parser of outside bytes: how to call it, what valid input looks like, how its values are encoded."""

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from nexus_drivers.framing import FrameSplitter, join_frames
from nexus_drivers.lan import Beacon, parse_beacon_untrusted
from nexus_node.base.limits import KIB, MTU_MIN, OBJECT_MAX, RECEIPTS_PER_PACKET, TEXT_MAX
from nexus_node.client.codec import encode_line, parse_line_untrusted
from nexus_node.wire.dataobject import ObjectHeader, parse_object_header_untrusted
from nexus_node.wire.fragments import (
    BITMAP_MAX,
    INDEX_MAX,
    Fragment,
    FragmentAck,
    parse_fragment_ack_untrusted,
    parse_fragment_untrusted,
)
from nexus_node.wire.frames import (
    Capabilities,
    Final,
    FrameKind,
    Lost,
    Opening,
    Reply,
    Retry,
    SealedFrame,
    encode_items,
    parse_capabilities_untrusted,
    parse_frame_untrusted,
    parse_items_untrusted,
    sealed_header,
)
from nexus_node.wire.message import (
    Payload,
    message_data,
    parse_message_data_untrusted,
    parse_payload_untrusted,
)
from nexus_node.wire.packet import (
    Packet,
    Priority,
    Refusal,
    parse_packet_untrusted,
    parse_receipts_untrusted,
    parse_refusal_untrusted,
)
from nexus_node.wire.text import DICTIONARIES, compress_text, dictionary, parse_text_untrusted
from nexus_node.wire.tlv import encode_tlvs, parse_tlvs_untrusted
from nexus_node.wire.uri import SCHEME, ContactUri, make_uri, parse_uri_untrusted

STREAM_LIMIT = 16 * KIB


@dataclass(frozen=True)
class Target:
    """A parser under test. What `encode` makes of a value must parse to an equal one."""

    parse: Callable[[bytes], Any]
    valid: SearchStrategy[bytes]
    encode: Callable[[Any], bytes]
    memory: Callable[[int], int] = lambda size: 64 * size + 64 * KIB
    """Most bytes it may hold for an input of that size."""


_u8, _u16, _u32 = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1)
_data = st.binary(max_size=64)
_tlvs = st.lists(st.tuples(_u8, st.binary(max_size=20)), max_size=4).map(tuple)


def _filled(seed: int, size: int) -> bytes:
    return blake2b(seed.to_bytes(8, "little")).digest()[:size]


_hash32 = st.integers(0, 2**32).map(lambda seed: _filled(seed, 32))

# --- frames -----------------------------------------------------------------------------------------
_sealed = st.builds(
    lambda epoch, index, counter, body: sealed_header(epoch, index, counter) + body + bytes(16),
    st.integers(0, 3),
    st.none() | _u16,
    _u16,
    _data,
)
_handshaking = st.one_of(
    st.builds(
        lambda kind, sender, cookie, noise: Opening(kind, sender, bytes(cookie), noise).encode(),
        st.sampled_from([FrameKind.XX1, FrameKind.IK1]),
        _u16,
        st.sampled_from([0, 16]),
        st.binary(min_size=32, max_size=98),
    ),
    st.builds(
        lambda kind, sender, receiver, noise: Reply(kind, sender, receiver, noise).encode(),
        st.sampled_from([FrameKind.XX2, FrameKind.IK2]),
        _u16,
        _u16,
        st.binary(min_size=1, max_size=98),
    ),
    st.builds(lambda receiver, noise: Final(receiver, noise + b"x").encode(), _u16, _data),
    st.builds(lambda receiver, cookie: Retry(receiver, cookie[:16]).encode(), _u16, _hash32),
    st.just(Lost().encode()),
)


def _encode_frame(frame: Any) -> bytes:
    return frame.header + frame.ciphertext if isinstance(frame, SealedFrame) else frame.encode()


# --- texts ------------------------------------------------------------------------------------------
def _parse_text(data: bytes) -> str:
    return parse_text_untrusted(data[0] if data else 0, data[1:])


def _encode_text(text: str) -> bytes:
    codec, data = compress_text(text.encode())
    return bytes((codec,)) + data


def _deflated(codec: int, text: bytes, level: int) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, zdict=dictionary(codec))
    return bytes((codec,)) + deflater.compress(text) + deflater.flush()


_texts = st.one_of(
    st.text(min_size=1, max_size=40).map(_encode_text),
    st.builds(
        _deflated,
        st.sampled_from(sorted(DICTIONARIES)),
        st.builds(lambda unit, times: unit * times, _data, st.sampled_from([1, 2, 5000])),
        st.sampled_from([0, 6]),
    ),
)


# --- contact links ----------------------------------------------------------------------------------
def _checked_link(body: bytes) -> bytes:
    checksum = blake2b(body, digest_size=4, person=b"nexus uri").digest()
    return SCHEME.encode() + base64.b32encode(body + checksum).rstrip(b"=").lower()


_links = st.one_of(
    st.builds(
        lambda node_id, name: make_uri(node_id, name).encode(),
        _hash32,
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    ),
    # Right checksums over anything get past the first gate.
    st.builds(lambda node_id, tlvs: _checked_link(b"\x01" + node_id + encode_tlvs(tlvs)), _hash32, _tlvs),
    st.binary(max_size=60).map(_checked_link),
)


def _parse_link(data: bytes) -> tuple[bytes, str | None]:
    link: ContactUri = parse_uri_untrusted(data.decode("utf-8", "replace"))
    return link.node_id, link.name


# --- control lines ----------------------------------------------------------------------------------
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_lines = st.builds(
    lambda number, verb, args, ascii_only: json.dumps(
        {"id": number, "verb": verb, "args": args}, ensure_ascii=ascii_only
    ).encode("utf-8", "surrogatepass"),
    st.integers(),
    st.sampled_from(["send", "wait", "inbox", "nonsense"]),
    _json,
    st.booleans(),
)

TABLE: dict[str, Target] = {
    "nexus_node.wire.frames.parse_frame_untrusted": Target(
        parse_frame_untrusted, _sealed | _handshaking, _encode_frame
    ),
    "nexus_node.wire.frames.parse_items_untrusted": Target(
        lambda data: list(parse_items_untrusted(data)),
        st.lists(st.tuples(st.integers(0, 127), _data), max_size=5).map(encode_items),
        encode_items,
    ),
    "nexus_node.wire.frames.parse_capabilities_untrusted": Target(
        lambda data: parse_capabilities_untrusted(data, MTU_MIN),
        st.builds(lambda mtu, tlvs: Capabilities(mtu).encode() + encode_tlvs(tlvs), _u16, _tlvs),
        Capabilities.encode,
    ),
    "nexus_node.wire.fragments.parse_fragment_untrusted": Target(
        parse_fragment_untrusted,
        st.builds(
            lambda *fields: Fragment(*fields).encode(),
            _u8,
            st.integers(0, INDEX_MAX),
            st.binary(min_size=1, max_size=64),
            st.booleans(),
            st.booleans(),
        ),
        Fragment.encode,
    ),
    "nexus_node.wire.fragments.parse_fragment_ack_untrusted": Target(
        parse_fragment_ack_untrusted,
        st.builds(
            lambda *fields: FragmentAck(*fields).encode(),
            _u8,
            _u16,
            st.integers(0, 2 ** (8 * BITMAP_MAX) - 1),
        ),
        FragmentAck.encode,
    ),
    "nexus_node.wire.tlv.parse_tlvs_untrusted": Target(
        parse_tlvs_untrusted, _tlvs.map(encode_tlvs), encode_tlvs
    ),
    "nexus_node.wire.packet.parse_packet_untrusted": Target(
        parse_packet_untrusted,
        st.builds(
            lambda context, data, to, hops, priority, tlvs: Packet(
                context, data, to, hops, priority, tlvs
            ).encode(),
            _u8,
            _data,
            st.none() | _hash32.map(lambda value: value[:16]),
            _u8,
            st.sampled_from(Priority),
            _tlvs,
        ),
        Packet.encode,
    ),
    "nexus_node.wire.packet.parse_refusal_untrusted": Target(
        parse_refusal_untrusted,
        st.builds(lambda reason, of: Refusal(reason, of[:8]).encode(), _u8, _hash32),
        Refusal.encode,
    ),
    "nexus_node.wire.packet.parse_receipts_untrusted": Target(
        lambda data: parse_receipts_untrusted(data, RECEIPTS_PER_PACKET),
        st.lists(_hash32.map(lambda value: value[:16]), max_size=RECEIPTS_PER_PACKET + 1).map(b"".join),
        b"".join,
    ),
    "nexus_node.wire.message.parse_payload_untrusted": Target(
        parse_payload_untrusted,
        st.builds(
            lambda *fields: Payload(*fields).encode(),
            st.integers(0, 15),
            st.integers(0, 15),
            st.integers(0, 1100),
            _data,
        ),
        Payload.encode,
    ),
    "nexus_node.wire.message.parse_message_data_untrusted": Target(
        parse_message_data_untrusted,
        st.builds(message_data, _u32, _data),
        lambda value: message_data(*value),
    ),
    "nexus_node.wire.text.parse_text_untrusted": Target(
        _parse_text,
        _texts,
        lambda text: _encode_text(text),
        # zlib's window, the output up to its limit twice over (with the string made of it), a dictionary.
        lambda size: 8 * size + 8 * TEXT_MAX,
    ),
    "nexus_node.wire.dataobject.parse_object_header_untrusted": Target(
        parse_object_header_untrusted,
        st.builds(
            lambda kind, size, root: ObjectHeader(kind, size, root).encode(),
            _u8,
            st.integers(0, OBJECT_MAX) | st.integers(0, 2**64 - 1),
            _hash32,
        ),
        ObjectHeader.encode,
    ),
    "nexus_node.wire.uri.parse_uri_untrusted": Target(
        _parse_link, _links, lambda value: make_uri(*value).encode()
    ),
    "nexus_node.client.codec.parse_line_untrusted": Target(
        parse_line_untrusted, _lines, lambda value: encode_line(value)[:-1]
    ),
    "nexus_drivers.framing.FrameSplitter.parse_frames_untrusted": Target(
        lambda data: list(FrameSplitter(STREAM_LIMIT).parse_frames_untrusted(data)),
        st.lists(st.binary(min_size=1, max_size=64), max_size=5).map(join_frames),
        join_frames,
    ),
    "nexus_drivers.lan.parse_beacon_untrusted": Target(
        parse_beacon_untrusted,
        st.builds(lambda instance, port: Beacon(instance[:8], port).encode(), _hash32, _u16),
        Beacon.encode,
    ),
}
"""By module and qualified name, as `test_every_parser_is_in_the_table` finds them."""
