"""Every parser of outside bytes: how to call it, what valid input looks like, how its values are encoded."""

import base64
import itertools
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from nexus_drivers.framing import FrameSplitter, join_frames
from nexus_drivers.lan import Beacon, parse_beacon_untrusted
from nexus_drivers.short_frames import AskParts, Part, parse_short_frame_untrusted
from nexus_firmware.emulate.air import Channel, Transmission
from nexus_firmware.emulate.local_air import Begun, parse_begun_untrusted
from nexus_node.base.limits import KIB, MTU_MIN, OBJECT_MAX, RECEIPTS_PER_PACKET, RELAYS_MAX, TEXT_MAX
from nexus_node.client.codec import encode_line, parse_line_untrusted
from nexus_node.crypto.address import address_of
from nexus_node.wire.announce import Announce, Serve, parse_announce_untrusted
from nexus_node.wire.custody import (
    PREFIXES_MAX,
    TLV_COPY,
    TLV_CUSTODY,
    Acquaintance,
    Custody,
    Delivered,
    Pending,
    Promise,
    custody_tlv,
    parse_acquaintance_untrusted,
    parse_copy_tlv_untrusted,
    parse_custody_tlv_untrusted,
    parse_custody_untrusted,
    parse_delivered_untrusted,
    parse_pending_untrusted,
    parse_promise_untrusted,
)
from nexus_node.wire.dataobject import ObjectHeader, parse_object_header_untrusted
from nexus_node.wire.description import (
    AttachmentName,
    Description,
    encode_descriptions,
    parse_descriptions_untrusted,
)
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
from nexus_node.wire.group import Kind, Operation, Permissions, author_tag, parse_operation_untrusted
from nexus_node.wire.groupfar import (
    FarCheck,
    FarHave,
    encode_far_haves,
    parse_far_check_untrusted,
    parse_far_haves_untrusted,
)
from nexus_node.wire.groupitem import (
    Ask as GroupAsk,
)
from nexus_node.wire.groupitem import (
    HaveFile,
    Join,
    Key,
    Lack,
    Operations,
    Sealed,
    encode_group_items,
    parse_group_items_untrusted,
)
from nexus_node.wire.groupuri import (
    GROUP_SCHEME,
    GroupUri,
    make_group_uri,
    parse_group_uri_untrusted,
)
from nexus_node.wire.message import (
    Payload,
    message_data,
    parse_message_data_untrusted,
    parse_payload_untrusted,
)
from nexus_node.wire.mutable import (
    Fork,
    Record,
    RecordAnswer,
    RecordRequest,
    parse_fork_untrusted,
    parse_no_record_untrusted,
    parse_record_answer_untrusted,
    parse_record_request_untrusted,
    parse_record_untrusted,
)
from nexus_node.wire.packet import (
    Packet,
    Priority,
    Refusal,
    parse_packet_untrusted,
    parse_receipts_untrusted,
    parse_refusal_untrusted,
)
from nexus_node.wire.pathcost import PathCost, parse_path_cost_untrusted
from nexus_node.wire.pub import (
    Mode,
    Published,
    Reference,
    Subscription,
    Topic,
    TopicKind,
    parse_hints_untrusted,
    parse_published_untrusted,
    parse_subscriptions_untrusted,
)
from nexus_node.wire.reconcile import (
    BEGIN,
    END,
    Answer,
    Extras,
    Question,
    Range,
    Summary,
    parse_reconcile_untrusted,
)
from nexus_node.wire.routing import (
    PATHS_LOST_MAX,
    PathRequest,
    Pressure,
    TooBig,
    parse_path_request_untrusted,
    parse_paths_lost_untrusted,
    parse_prefixes_untrusted,
    parse_pressure_untrusted,
    parse_too_big_untrusted,
)
from nexus_node.wire.text import DICTIONARIES, compress_text, dictionary, parse_text_untrusted
from nexus_node.wire.tlv import encode_tlvs, parse_tlvs_untrusted
from nexus_node.wire.trace import Trace, TraceReply, parse_trace_reply_untrusted, parse_trace_untrusted
from nexus_node.wire.transfer import (
    RUNS_MAX,
    TLV_MIN_BANDWIDTH,
    Ask,
    Chunk,
    Offer,
    bandwidth_tlv,
    parse_ask_untrusted,
    parse_bandwidth_tlv_untrusted,
    parse_chunk_untrusted,
    parse_offer_untrusted,
)
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
        lambda node_id, name, relays: make_uri(node_id, name, relays).encode(),
        _hash32,
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.lists(_hash32, max_size=RELAYS_MAX),
    ),
    # Right checksums over anything get past the first gate.
    st.builds(lambda node_id, tlvs: _checked_link(b"\x01" + node_id + encode_tlvs(tlvs)), _hash32, _tlvs),
    st.binary(max_size=60).map(_checked_link),
)


def _parse_link(data: bytes) -> tuple[bytes, str | None, tuple[bytes, ...]]:
    link: ContactUri = parse_uri_untrusted(data.decode("utf-8", "replace"))
    return link.node_id, link.name, link.relays


# --- paths ------------------------------------------------------------------------------------------
_costs = st.builds(PathCost, _u16, _u16, _u8, _u8, _u8)
_announces = st.builds(
    lambda node_id, sequence, serve, memory_only, tlvs, flags, half: Announce(
        node_id, sequence, Serve(serve), memory_only, tlvs, flags & 0xF8, 2 * half
    ),
    _hash32,
    _u32,
    st.integers(0, 3),
    st.booleans(),
    _tlvs,
    _u8,
    _hash32,
)

# --- custody ----------------------------------------------------------------------------------------
_prefix = _hash32.map(lambda value: value[:8])
_sixteen = _hash32.map(lambda value: value[:16])
_prefixes = st.lists(_prefix, max_size=PREFIXES_MAX + 1)


def _encode_delivered(entries: list[Delivered]) -> bytes:
    return b"".join(one.encode() for one in entries)


# --- objects on their way, and what is said of files ------------------------------------------------------
_headers = st.builds(ObjectHeader, _u8, st.integers(0, OBJECT_MAX), _hash32)
_addresses = st.none() | _sixteen
_runs = st.lists(st.tuples(_u32, _u16), max_size=RUNS_MAX + 1)
_descriptions = st.builds(
    lambda root, key, size, bps, name, kind, preview: Description(
        root, key, size, bps, AttachmentName(name), kind, preview
    ),
    _hash32,
    _hash32,
    st.integers(0, 50_000_001),
    _u32,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=34),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=17),
    st.binary(max_size=40),
)

# --- publish and subscribe ------------------------------------------------------------------------------
_topics = st.one_of(
    st.builds(Topic, st.sampled_from([TopicKind.KEY, TopicKind.PREFIX]), st.binary(max_size=33)),
    _sixteen.map(lambda address: Topic(TopicKind.NODE, address)),
    st.builds(
        lambda kind, parts: Topic(kind, "/".join(parts).encode("utf-8", "replace")),
        st.sampled_from([TopicKind.SCOPE, TopicKind.SCOPE_PREFIX]),
        st.tuples(st.sampled_from(["geo", "topic", "sea"]), st.text(max_size=8), st.text(max_size=8)),
    ),
)
_subscriptions = st.builds(Subscription, _topics, st.sampled_from(Mode), _u8, _u16, _u32)
_publications = st.builds(
    lambda publisher, time, ttl, topic, what, half: Published(publisher, time, ttl, topic, what, 2 * half),
    _hash32,
    _u32,
    st.integers(0, 2_600_000),
    _topics,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.builds(Reference, _headers, _u32),
    _hash32,
)

# --- reconciliation -----------------------------------------------------------------------------------
_shorts = st.lists(_u32, max_size=4).map(tuple)
_items = st.lists(st.binary(min_size=8, max_size=8), max_size=4).map(tuple)
_places = st.tuples(_u32, st.binary(max_size=8).map(lambda prefix: prefix.ljust(8, b"\0")))
_summaries = st.builds(Summary, _u32, st.integers(0, 2**64 - 1))
_ranges = st.builds(
    lambda places, whole, says: tuple(
        Range(*pair, say)
        for pair, say in zip(itertools.pairwise(sorted({*places, *whole})), says, strict=False)
    ),
    st.lists(_places, max_size=6),
    st.sampled_from(((), (BEGIN, END))),
    st.lists(st.binary(min_size=4, max_size=4) | _shorts, max_size=6),
)
_bitmaps = st.integers(0, 2**40)
_extras = st.lists(st.builds(Extras, _bitmaps, _items, st.none() | _places), max_size=3).map(tuple)
_reconciling = st.one_of(
    st.builds(
        lambda salt, last, summary, sketch: Question(salt[0], 0, last, (salt[:8], summary), sketch),
        _hash32,
        st.booleans(),
        _summaries,
        st.sampled_from((None, (0, 0))),
    ),
    st.builds(
        lambda session, step, last, *parts: Question(session, step, last, None, *parts),
        _u8,
        _u8,
        st.booleans(),
        st.none() | st.tuples(_u8, _u8),
        _ranges,
        _shorts,
        _items,
    ),
    st.builds(Answer, _u8, _u8, st.none() | _summaries, _shorts, _bitmaps, _extras),
    st.builds(Answer, _u8, _u8, st.none() | _summaries, st.none(), _bitmaps, _extras, _items),
)

# --- groups -------------------------------------------------------------------------------------------
_ids = st.lists(_sixteen, min_size=1, max_size=3, unique=True).map(tuple)
_created = st.builds(
    lambda creator, time, signed, salt, name, half: Operation(
        Kind.CREATE,
        0,
        time,
        author_tag(address_of(creator)),
        (),
        salt,
        (creator,),
        signed_messages=signed,
        salt=salt,
        name=name,
        signature=2 * half,
    ),
    _hash32,
    _u32,
    st.booleans(),
    _sixteen,
    st.binary(min_size=1, max_size=66),
    _hash32,
)
_promotions = st.builds(
    lambda sequence, time, author, parents, who, permissions, expires, half: Operation(
        Kind.PROMOTE,
        sequence,
        time,
        author,
        parents[:1],
        added=(who,),
        permissions=permissions,
        expires=expires,
        signature=2 * half,
    ),
    _u32,
    _u32,
    _prefix,
    _ids,
    _hash32,
    st.sampled_from(Permissions),
    _u32,
    _hash32,
)
_changes = st.builds(
    lambda kind, sequence, time, author, parents, nodes, half: Operation(
        kind,
        sequence,
        time,
        author,
        parents,
        bytes(16) if kind.begins_epoch else b"",
        tuple(nodes) if kind == Kind.ADD else (),
        tuple(node[:16] for node in nodes) if kind in (Kind.REMOVE, Kind.DEMOTE) else (),
        signature=2 * half,
    ),
    st.sampled_from([Kind.ADD, Kind.REMOVE, Kind.ROTATE, Kind.DEMOTE, Kind.LEAVE]),
    _u32,
    _u32,
    _prefix,
    _ids,
    st.lists(_hash32, min_size=1, max_size=3, unique=True),
    _hash32,
)
_lacking = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**24 - 1)), max_size=3).map(tuple)
_group_items = st.lists(
    st.one_of(
        st.builds(Operations, _sixteen, st.lists(_data, max_size=3).map(tuple)),
        st.builds(Key, _prefix, _hash32),
        st.builds(Sealed, _sixteen, _data),
        st.builds(GroupAsk, _sixteen, _ids, st.lists(_prefix, max_size=3).map(tuple)),
        st.builds(Join, _sixteen, _sixteen),
        st.builds(HaveFile, _sixteen, _hash32, _prefix),
        st.builds(Lack, _sixteen, st.lists(st.tuples(_prefix, _lacking), max_size=3).map(tuple)),
    ),
    min_size=1,
    max_size=4,
)


def _checked_group_link(body: bytes) -> bytes:
    checksum = blake2b(body, digest_size=4, person=b"nexus grp uri").digest()
    return GROUP_SCHEME.encode() + base64.b32encode(body + checksum).rstrip(b"=").lower()


_group_links = st.one_of(
    st.builds(
        lambda inviter, group, token, name: make_group_uri(GroupUri(inviter, group, token, name)).encode(),
        _hash32,
        _sixteen,
        _sixteen,
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    ),
    st.binary(max_size=90).map(_checked_group_link),
    st.builds(
        lambda fixed, tlvs: _checked_group_link(b"\x01" + 2 * fixed + encode_tlvs(tlvs)), _hash32, _tlvs
    ),
)


def _parse_group_link(data: bytes) -> tuple[bytes, bytes, bytes, str | None]:
    link = parse_group_uri_untrusted(data.decode("utf-8", "replace"))
    return link.inviter, link.group, link.token, link.name


# --- mutable objects ------------------------------------------------------------------------------------
_record = st.builds(
    lambda owner, label, sequence, size, root, time_s, expires_s, half: Record(
        owner, label, sequence, size, root, time_s, expires_s, 2 * half
    ),
    _hash32,
    st.binary(min_size=1, max_size=33),
    st.integers(0, 2**64 - 1),
    st.integers(0, OBJECT_MAX + 1),
    _hash32,
    _u32,
    _u32,
    _hash32,
)
_fork = st.builds(
    lambda record, root, age_s: Fork.make(record, replace(record, root=root), age_s), _record, _hash32, _u32
)

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
    "nexus_node.wire.pathcost.parse_path_cost_untrusted": Target(
        parse_path_cost_untrusted, _costs.map(PathCost.encode), PathCost.encode
    ),
    "nexus_node.wire.announce.parse_announce_untrusted": Target(
        parse_announce_untrusted,
        st.builds(Announce.encode, _announces, _costs),
        lambda value: value[1].encode(value[0]),
    ),
    "nexus_node.wire.routing.parse_path_request_untrusted": Target(
        parse_path_request_untrusted,
        st.builds(
            lambda number, destination, sequence, *rank: PathRequest(
                number, destination[:16], sequence, rank
            ).encode(),
            _u32,
            _hash32,
            _u32,
            _u16,
            _u8,
        ),
        PathRequest.encode,
    ),
    "nexus_node.wire.routing.parse_paths_lost_untrusted": Target(
        parse_paths_lost_untrusted,
        st.lists(_hash32.map(lambda value: value[:16]), max_size=PATHS_LOST_MAX + 1).map(b"".join),
        b"".join,
    ),
    "nexus_node.wire.routing.parse_too_big_untrusted": Target(
        parse_too_big_untrusted,
        st.builds(lambda of, limit: TooBig(of[:8], limit).encode(), _hash32, _u32),
        TooBig.encode,
    ),
    "nexus_node.wire.routing.parse_pressure_untrusted": Target(
        parse_pressure_untrusted,
        st.builds(lambda level, pause: Pressure(level, pause).encode(), _u8, _u16),
        Pressure.encode,
    ),
    "nexus_node.wire.routing.parse_prefixes_untrusted": Target(
        lambda data: parse_prefixes_untrusted(data, 64),
        st.lists(_hash32.map(lambda value: value[:8]), max_size=65).map(b"".join),
        b"".join,
    ),
    "nexus_node.wire.custody.parse_custody_tlv_untrusted": Target(
        lambda data: parse_custody_tlv_untrusted(((200, b"later"), (TLV_CUSTODY, data))),
        st.builds(lambda mark, relay: mark + relay, _sixteen, _sixteen | st.just(b"")),
        lambda value: custody_tlv(*value)[1],
    ),
    "nexus_node.wire.custody.parse_copy_tlv_untrusted": Target(
        lambda data: parse_copy_tlv_untrusted(((200, b"later"), (TLV_COPY, data))),
        _sixteen,
        lambda mark: mark,
    ),
    "nexus_node.wire.custody.parse_custody_untrusted": Target(
        parse_custody_untrusted,
        st.builds(lambda *fields: Custody(*fields).encode(), _prefixes, st.booleans()),
        Custody.encode,
    ),
    "nexus_node.wire.custody.parse_promise_untrusted": Target(
        parse_promise_untrusted,
        st.builds(
            lambda prefix, relay, memory_only, half: Promise(prefix, relay, memory_only, 2 * half).encode(),
            _prefix,
            _hash32,
            st.booleans(),
            _hash32,
        ),
        Promise.encode,
    ),
    "nexus_node.wire.custody.parse_pending_untrusted": Target(
        parse_pending_untrusted,
        st.builds(lambda *fields: Pending(*fields).encode(), _sixteen, _prefixes),
        Pending.encode,
    ),
    "nexus_node.wire.custody.parse_acquaintance_untrusted": Target(
        parse_acquaintance_untrusted,
        st.builds(lambda busy, met: Acquaintance.make(busy, met).encode(), _u16, st.lists(_sixteen)),
        Acquaintance.encode,
    ),
    "nexus_node.wire.custody.parse_delivered_untrusted": Target(
        parse_delivered_untrusted,
        st.lists(st.builds(Delivered, _prefix, _sixteen), max_size=PREFIXES_MAX + 1).map(_encode_delivered),
        lambda value: _encode_delivered(value),
    ),
    "nexus_node.wire.trace.parse_trace_untrusted": Target(
        parse_trace_untrusted,
        st.builds(lambda *fields: Trace(*fields).encode(), st.integers(1, 127), _prefix),
        Trace.encode,
    ),
    "nexus_node.wire.trace.parse_trace_reply_untrusted": Target(
        parse_trace_reply_untrusted,
        st.builds(
            lambda *fields: TraceReply(*fields).encode(),
            st.integers(0, 127),
            _prefix,
            _sixteen,
            st.booleans(),
        ),
        TraceReply.encode,
    ),
    "nexus_node.wire.reconcile.parse_reconcile_untrusted": Target(
        parse_reconcile_untrusted,
        _reconciling.map(lambda message: message.encode()),
        lambda value: value.encode(),
    ),
    "nexus_node.wire.pub.parse_subscriptions_untrusted": Target(
        parse_subscriptions_untrusted,
        st.lists(_subscriptions, max_size=4).map(lambda all_: b"".join(one.encode() for one in all_)),
        lambda value: b"".join(one.encode() for one in value),
    ),
    "nexus_node.wire.pub.parse_hints_untrusted": Target(
        parse_hints_untrusted, st.lists(_sixteen, max_size=65).map(b"".join), b"".join
    ),
    "nexus_node.wire.pub.parse_published_untrusted": Target(
        parse_published_untrusted, _publications.map(Published.encode), Published.encode
    ),
    "nexus_node.wire.transfer.parse_offer_untrusted": Target(
        parse_offer_untrusted,
        st.builds(lambda *fields: Offer(*fields).encode(), _headers, _u32, _addresses),
        Offer.encode,
    ),
    "nexus_node.wire.transfer.parse_ask_untrusted": Target(
        parse_ask_untrusted,
        st.builds(lambda *fields: Ask(*fields).encode(), _prefix, _u32, _runs, _addresses),
        Ask.encode,
    ),
    "nexus_node.wire.transfer.parse_chunk_untrusted": Target(
        parse_chunk_untrusted,
        st.builds(lambda *fields: Chunk(*fields).encode(), _prefix, _u32, _data),
        Chunk.encode,
    ),
    "nexus_node.wire.transfer.parse_bandwidth_tlv_untrusted": Target(
        lambda data: parse_bandwidth_tlv_untrusted(((200, b"later"), (TLV_MIN_BANDWIDTH, data))),
        _u32.map(lambda bps: bps.to_bytes(4, "little")),
        lambda bps: bandwidth_tlv(bps)[0][1] if bps else bytes(4),
    ),
    "nexus_node.wire.description.parse_descriptions_untrusted": Target(
        parse_descriptions_untrusted,
        st.builds(
            lambda files, text: encode_descriptions(files) + text,
            st.lists(_descriptions, max_size=3),
            _data,
        ),
        lambda value: encode_descriptions(value[0]) + value[1],
    ),
    "nexus_node.wire.mutable.parse_record_untrusted": Target(
        parse_record_untrusted, _record.map(Record.encode), Record.encode
    ),
    "nexus_node.wire.mutable.parse_record_answer_untrusted": Target(
        parse_record_answer_untrusted,
        st.builds(lambda *fields: RecordAnswer(*fields).encode(), _record, st.booleans()),
        RecordAnswer.encode,
    ),
    "nexus_node.wire.mutable.parse_fork_untrusted": Target(
        parse_fork_untrusted, _fork.map(Fork.encode), Fork.encode
    ),
    "nexus_node.wire.mutable.parse_record_request_untrusted": Target(
        parse_record_request_untrusted,
        st.builds(lambda *fields: RecordRequest(*fields).encode(), _hash32, _prefix),
        RecordRequest.encode,
    ),
    "nexus_node.wire.mutable.parse_no_record_untrusted": Target(
        parse_no_record_untrusted, _hash32, lambda name: name
    ),
    "nexus_node.wire.group.parse_operation_untrusted": Target(
        parse_operation_untrusted,
        st.one_of(_created, _promotions, _changes).map(Operation.encode),
        Operation.encode,
    ),
    "nexus_node.wire.groupitem.parse_group_items_untrusted": Target(
        parse_group_items_untrusted,
        _group_items.map(encode_group_items),
        lambda items: encode_group_items(items) if items else b"\x80",
    ),
    "nexus_node.wire.groupfar.parse_far_check_untrusted": Target(
        parse_far_check_untrusted,
        st.builds(
            lambda *fields: FarCheck(*fields).encode(),
            st.integers(0, 255),
            _prefix,
            st.frozensets(st.integers(0, 127)),
            st.lists(_prefix, min_size=1, max_size=16).map(tuple),
        ),
        FarCheck.encode,
    ),
    "nexus_node.wire.groupfar.parse_far_haves_untrusted": Target(
        parse_far_haves_untrusted,
        st.builds(
            encode_far_haves,
            st.binary(min_size=4, max_size=4),
            st.lists(
                st.builds(FarHave, st.integers(0, 255), st.integers(0, 65535), _prefix),
                min_size=1,
                max_size=9,
            ),
        ),
        lambda found: encode_far_haves(*found),
    ),
    "nexus_node.wire.groupuri.parse_group_uri_untrusted": Target(
        _parse_group_link, _group_links, lambda value: make_group_uri(GroupUri(*value)).encode()
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
    "nexus_firmware.emulate.local_air.parse_begun_untrusted": Target(
        parse_begun_untrusted,
        st.builds(
            lambda at, frequency, modem, payload, word: Begun(
                at, Transmission(Channel(frequency, *modem, word & 255), payload, 5 + word % 4, 1 + word)
            ).encode(),
            st.floats(),
            _u32,
            st.sampled_from([(125_000, 7), (62_500, 12), (500_000, 5)]),
            _data,
            st.integers(0, 0xFFFE),
        ),
        Begun.encode,
    ),
    "nexus_drivers.lan.parse_beacon_untrusted": Target(
        parse_beacon_untrusted,
        st.builds(lambda instance, port: Beacon(instance[:8], port).encode(), _hash32, _u16),
        Beacon.encode,
    ),
    "nexus_drivers.short_frames.parse_short_frame_untrusted": Target(
        parse_short_frame_untrusted,
        st.one_of(
            st.builds(
                lambda sender, number, index, last, data: Part(
                    sender, number, min(index, last), last, data or b"x"
                ).encode(),
                st.integers(0, 255),
                st.integers(0, 127),
                st.integers(0, 15),
                st.integers(0, 15),
                _data,
            ),
            st.builds(
                lambda sender, number, missing: AskParts(sender, number, missing).encode(),
                st.integers(0, 255),
                st.integers(0, 127),
                st.integers(1, 0xFFFF),
            ),
        ),
        lambda value: value.encode(),
    ),
}
"""By module and qualified name, as `test_every_parser_is_in_the_table` finds them."""
