"""Bytes to values and back: frames, items, packets, fragments, TLVs and messages (N2, N3, N9)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import ADDRESS_SIZE, Address
from nexus_node.base.limits import MTU_MIN, RECEIPTS_PER_PACKET
from nexus_node.wire.fragments import (
    BITMAP_MAX,
    FRAGMENT_HEAD,
    INDEX_MAX,
    Fragment,
    FragmentAck,
    parse_fragment_ack_untrusted,
    parse_fragment_untrusted,
)
from nexus_node.wire.frames import (
    COOKIE_SIZE,
    ITEM_HEAD,
    TAG_SIZE,
    BroadcastShare,
    Capabilities,
    Final,
    FrameKind,
    ItemKind,
    ItemPacker,
    Lost,
    Opening,
    Reply,
    Retry,
    SealedFrame,
    encode_items,
    pad_items,
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
    seal_context,
)
from nexus_node.wire.packet import (
    MAX_HOPS,
    RECEIPT_SIZE,
    Packet,
    Priority,
    Refusal,
    parse_packet_untrusted,
    parse_receipts_untrusted,
    parse_refusal_untrusted,
)
from nexus_node.wire.tlv import encode_tlvs, parse_tlvs_untrusted

U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
SOME = st.binary(min_size=1, max_size=200)
OPENINGS = st.binary(min_size=32, max_size=200)
"""An opening's Noise message begins with an ephemeral key."""
COOKIES = st.sampled_from([b"", bytes(range(COOKIE_SIZE))])
ADDRESSES = st.binary(min_size=ADDRESS_SIZE, max_size=ADDRESS_SIZE).map(Address)
TLVS = st.lists(st.tuples(U8, st.binary(max_size=30)), max_size=7).map(tuple)
ITEMS = st.lists(st.tuples(st.integers(0, 0x7F), st.binary(max_size=70)), max_size=8)


# --- frames -----------------------------------------------------------------------------------------
HANDSHAKES = st.one_of(
    st.builds(Opening, st.sampled_from([FrameKind.XX1, FrameKind.IK1]), U16, COOKIES, OPENINGS),
    st.builds(Reply, st.sampled_from([FrameKind.XX2, FrameKind.IK2]), U16, U16, SOME),
    st.builds(Final, U16, SOME),
    st.builds(Retry, U16, st.binary(min_size=COOKIE_SIZE, max_size=COOKIE_SIZE)),
    st.just(Lost()),
)


@given(HANDSHAKES)
def test_n3_handshake_frames_come_back_as_they_were(frame: Opening | Reply | Final | Retry | Lost) -> None:
    encoded = frame.encode()
    assert encoded[0] < 0x80, "the top bit is for sealed frames"
    assert parse_frame_untrusted(encoded) == frame


@given(HANDSHAKES.filter(lambda frame: not isinstance(frame, Lost)), st.data())
def test_n3_a_handshake_frame_cut_short_is_never_taken_for_a_whole_one(
    frame: Opening | Reply | Final | Retry, data: st.DataObject
) -> None:
    encoded = frame.encode()
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    try:
        parsed = parse_frame_untrusted(cut)
    except BadWire as error:
        assert error.code == "bad_frame"
    else:
        assert not isinstance(parsed, SealedFrame | Lost | Retry) and parsed.encode() == cut


@given(
    st.integers(0, 3), st.none() | U16, st.integers(0, 2**64 - 1), st.binary(min_size=TAG_SIZE, max_size=99)
)
def test_n3_sealed_frames(epoch: int, index: int | None, counter: int, ciphertext: bytes) -> None:
    header = sealed_header(epoch, index, counter)
    assert len(header) == (3 if index is None else 5)
    frame = parse_frame_untrusted(header + ciphertext)
    assert frame == SealedFrame(epoch, index, False, counter & 0xFFFF, header, ciphertext)


@given(st.binary(max_size=150))
def test_n3_a_frame_that_parses_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        frame = parse_frame_untrusted(data)
    except BadWire as error:
        assert error.code == "bad_frame"
        return
    again = frame.header + frame.ciphertext if isinstance(frame, SealedFrame) else frame.encode()
    assert again == data


@pytest.mark.parametrize("first", [0x00, 0x08, 0x0F, 0x10, 0x11, 0x7F])
def test_n3_unknown_kinds_and_link_versions_are_refused(first: int) -> None:
    with pytest.raises(BadWire, match="bad_frame"):
        parse_frame_untrusted(bytes((first,)) + bytes(120))


@pytest.mark.parametrize("bit", [0x01, 0x02, 0x04, 0x08])
def test_n3_reserved_bits_of_a_sealed_frame_are_refused(bit: int) -> None:
    with pytest.raises(BadWire, match="bad_frame"):
        parse_frame_untrusted(bytes((0x80 | bit,)) + bytes(40))


# --- items ------------------------------------------------------------------------------------------
@given(ITEMS)
def test_n3_items_come_back_as_they_were(items: list[tuple[int, bytes]]) -> None:
    encoded = encode_items(items)
    assert list(parse_items_untrusted(encoded)) == items
    assert len(encoded) == sum(3 + len(body) for _, body in items) - (2 if items else 0)


@given(ITEMS.filter(lambda items: len(items) > 1), st.data())
def test_n3_items_cut_short_are_refused_or_lose_only_their_tail(
    items: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    encoded = encode_items(items)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    got: list[tuple[int, bytes]] = []
    try:
        got.extend(parse_items_untrusted(cut))
    except BadWire as error:
        assert error.code == "bad_items"
    whole = got if got == items[: len(got)] else got[:-1]
    assert whole == items[: len(whole)]


@given(st.integers(30, 2000), st.data())
def test_n3_a_packer_fills_a_frame_to_the_byte_and_never_beyond(room: int, data: st.DataObject) -> None:
    packer = ItemPacker(room)
    assert packer.left == room - 1
    while packer.left >= 0 and len(packer.items) < 20:
        most = packer.left
        size = data.draw(st.one_of(st.integers(0, most), st.just(most)))
        packer.add(ItemKind.PACKET, bytes(size))
        assert len(encode_items(packer.items)) <= room
        if size == most:
            assert len(encode_items(packer.items)) == room and packer.left < 0


# --- capabilities -----------------------------------------------------------------------------------
@given(st.integers(MTU_MIN, 0xFFFF), TLVS)
def test_n2_capabilities_leave_room_for_later_versions(mtu: int, tlvs: tuple[tuple[int, bytes], ...]) -> None:
    assert parse_capabilities_untrusted(Capabilities(mtu).encode(), MTU_MIN) == Capabilities(mtu)
    later = Capabilities(mtu).encode() + encode_tlvs(tuple(one for one in tlvs if one[0] != 1))
    assert parse_capabilities_untrusted(later, MTU_MIN) == Capabilities(mtu)


@given(st.integers(MTU_MIN, 0xFFFF), U16, st.integers(0, 255), st.binary(min_size=16, max_size=16), TLVS)
def test_n3_a_broadcast_share_is_found_among_other_capabilities(
    mtu: int, index: int, epoch: int, secret: bytes, tlvs: tuple[tuple[int, bytes], ...]
) -> None:
    ours = Capabilities(mtu, BroadcastShare(index, epoch, secret))
    assert secret.hex() not in repr(ours) and str(secret) not in repr(ours)
    assert parse_capabilities_untrusted(ours.encode() + encode_tlvs(tlvs), MTU_MIN) == ours


@pytest.mark.parametrize("data", [b"", b"\xff", Capabilities(MTU_MIN - 1).encode()])
def test_n2_capabilities_too_small_are_refused(data: bytes) -> None:
    with pytest.raises(BadWire, match="bad_capabilities"):
        parse_capabilities_untrusted(data, MTU_MIN)


# --- packets ----------------------------------------------------------------------------------------
PACKETS = st.builds(
    Packet,
    U8,
    st.binary(max_size=100),
    st.none() | ADDRESSES,
    st.integers(0, 0xFF),
    st.sampled_from(Priority),
    TLVS,
)


@given(PACKETS)
def test_n2_packets_come_back_as_they_were(packet: Packet) -> None:
    assert parse_packet_untrusted(packet.encode()) == packet


@given(PACKETS)
def test_n2_packet_sizes(packet: Packet) -> None:
    size = 3 + len(packet.data)
    if packet.destination is not None:
        size += 16
    if packet.tlvs:
        size += 1 + len(encode_tlvs(packet.tlvs))
    assert len(packet.encode()) == size


@given(ADDRESSES)
def test_n2_a_packet_holds_the_destination_and_nothing_of_its_source(destination: Address) -> None:
    plain = Packet(9, b"data", destination)
    assert plain.hops == MAX_HOPS and plain.priority is Priority.STANDARD
    assert plain.encode() == bytes((0x08, MAX_HOPS)) + destination + b"\x09data"


@given(PACKETS, st.integers(1, 3))
def test_n2_packets_of_a_later_version_are_refused(packet: Packet, version: int) -> None:
    encoded = packet.encode()
    with pytest.raises(BadWire, match="packet_version"):
        parse_packet_untrusted(bytes((encoded[0] | version << 6,)) + encoded[1:])


@given(PACKETS, st.integers(1, 3))
def test_n2_reserved_flags_are_ignored(packet: Packet, bits: int) -> None:
    encoded = packet.encode()
    assert parse_packet_untrusted(bytes((encoded[0] | bits,)) + encoded[1:]) == packet


@given(TLVS)
def test_n2_tlvs_come_back_in_order_known_or_not(tlvs: tuple[tuple[int, bytes], ...]) -> None:
    assert parse_tlvs_untrusted(encode_tlvs(tlvs)) == tlvs


@given(st.binary(max_size=80))
def test_n2_tlvs_fill_their_block_exactly(data: bytes) -> None:
    try:
        tlvs = parse_tlvs_untrusted(data)
    except BadWire as error:
        assert error.code == "bad_tlv"
    else:
        assert encode_tlvs(tlvs) == data


@given(
    st.lists(
        st.binary(min_size=RECEIPT_SIZE, max_size=RECEIPT_SIZE), min_size=1, max_size=RECEIPTS_PER_PACKET
    )
)
def test_n9_receipts(receipts: list[bytes]) -> None:
    assert parse_receipts_untrusted(b"".join(receipts), RECEIPTS_PER_PACKET) == receipts
    with pytest.raises(BadWire, match="bad_receipts"):
        parse_receipts_untrusted(b"".join(receipts), len(receipts) - 1)


@given(U8, st.binary(min_size=8, max_size=8))
def test_n9_refusals_keep_reasons_they_do_not_know(reason: int, prefix: bytes) -> None:
    assert parse_refusal_untrusted(Refusal(reason, prefix).encode()) == Refusal(reason, prefix)


# --- fragments --------------------------------------------------------------------------------------
@given(U8, st.integers(0, INDEX_MAX), SOME, st.booleans(), st.booleans())
def test_n2_fragments(transfer: int, index: int, data: bytes, last: bool, ask: bool) -> None:
    fragment = Fragment(transfer, index, data, last, ask)
    assert len(fragment.encode()) == FRAGMENT_HEAD + len(data)
    assert parse_fragment_untrusted(fragment.encode()) == fragment


@given(U8, U16, st.integers(0, 2 ** (8 * BITMAP_MAX) - 1))
def test_n2_acknowledgements(transfer: int, base: int, bitmap: int) -> None:
    ack = FragmentAck(transfer, base, bitmap)
    assert parse_fragment_ack_untrusted(ack.encode()) == ack
    assert not bitmap or ack.encode()[-1], "the bitmap is written as short as it can be"


@given(st.integers(0, 2**400))
def test_n2_an_acknowledgement_says_what_fits(bitmap: int) -> None:
    parsed = parse_fragment_ack_untrusted(FragmentAck(0, 0, bitmap).encode())
    assert parsed.bitmap == bitmap % 2 ** (8 * BITMAP_MAX)


# --- messages ---------------------------------------------------------------------------------------
@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 999), st.binary(max_size=100))
def test_n9_payloads(content: int, codec: int, millis: int, body: bytes) -> None:
    payload = Payload(content, codec, millis, body)
    assert len(payload.encode()) == 3 + len(body)
    assert parse_payload_untrusted(payload.encode()) == payload


@given(st.integers(1000, 0xFFFF))
def test_n9_a_second_has_a_thousand_milliseconds(millis: int) -> None:
    with pytest.raises(BadWire, match="bad_payload"):
        parse_payload_untrusted(Payload(0, 0, millis, b"text").encode())


@given(ADDRESSES, U32, SOME)
def test_n9_message_data_and_context(destination: Address, seconds: int, envelope: bytes) -> None:
    data = message_data(seconds, envelope)
    assert parse_message_data_untrusted(data) == (seconds, envelope)
    context = seal_context(destination, seconds)
    assert context + envelope == destination + data, "the object's content is the context and the envelope"


# --- anything ---------------------------------------------------------------------------------------
PARSERS: dict[str, Callable[[bytes], object]] = {
    "frame": parse_frame_untrusted,
    "items": lambda data: list(parse_items_untrusted(data)),
    "capabilities": lambda data: parse_capabilities_untrusted(data, MTU_MIN),
    "packet": parse_packet_untrusted,
    "tlvs": parse_tlvs_untrusted,
    "receipts": lambda data: parse_receipts_untrusted(data, RECEIPTS_PER_PACKET),
    "refusal": parse_refusal_untrusted,
    "fragment": parse_fragment_untrusted,
    "acknowledgement": parse_fragment_ack_untrusted,
    "payload": parse_payload_untrusted,
    "message": parse_message_data_untrusted,
}
ANYTHING = st.one_of(
    st.binary(max_size=300),
    HANDSHAKES.map(lambda frame: frame.encode()),
    PACKETS.map(Packet.encode),
    ITEMS.map(encode_items),
).flatmap(lambda data: st.integers(0, len(data)).map(lambda size: data[:size]))


@pytest.mark.parametrize("name", PARSERS)
@given(data=ANYTHING)
def test_parsers_raise_nothing_but_bad_wire(name: str, data: bytes) -> None:
    try:
        PARSERS[name](data)
    except BadWire as error:
        assert error.code.isidentifier()


@given(
    st.lists(st.tuples(st.integers(1, 8), st.binary(max_size=60)), max_size=4),
    st.integers(1, 300),
    st.integers(0, 40),
)
def test_n3_padded_items_are_the_same_and_of_even_size(
    items: list[tuple[int, bytes]], step: int, head: int
) -> None:
    plain = head + len(encode_items(items))
    most = plain + ITEM_HEAD + 50
    padded = pad_items(items, head, step, most)
    size = head + len(encode_items(padded))
    assert plain <= size <= most
    assert size % step == 0 or size == most
    found = list(parse_items_untrusted(encode_items(padded)))
    assert [item for item in found if item[0] != ItemKind.PADDING] == items
