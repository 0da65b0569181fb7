"""What senders, relays and recipients say of mail for the absent, and traces, as bytes (N10, N4): both ways
over any values. The vectors of both are run in `test_vectors.py`."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address
from nexus_node.base.limits import MTU_MIN
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.crypto.identity import Identity
from nexus_node.proto.session import Session
from nexus_node.wire.announce import Announce, Serve
from nexus_node.wire.custody import (
    PREFIXES_MAX,
    TLV_CUSTODY,
    Custody,
    Delivered,
    Pending,
    Promise,
    custody_tlv,
    parse_custody_tlv_untrusted,
    parse_custody_untrusted,
    parse_delivered_untrusted,
    parse_pending_untrusted,
    parse_promise_untrusted,
)
from nexus_node.wire.frames import ItemKind, encode_items
from nexus_node.wire.packet import Context, Packet, parse_packet_untrusted
from nexus_node.wire.pathcost import PathCost
from nexus_node.wire.routing import parse_prefixes_untrusted
from nexus_node.wire.trace import Trace, TraceReply, parse_trace_reply_untrusted, parse_trace_untrusted

PREFIX = st.binary(min_size=8, max_size=8)
LISTS = st.lists(PREFIX, min_size=1, max_size=PREFIXES_MAX)
SIXTEEN = st.binary(min_size=16, max_size=16)
ADDRESSES = SIXTEEN.map(Address)
RELAY, OTHER = Identity.from_seed(bytes(32)), Identity.from_seed(bytes(31) + b"\x01")
MARK = receipt_mark(bytes(16))


# --- both ways --------------------------------------------------------------------------------------
@given(mark=SIXTEEN, relay=st.none() | ADDRESSES, others=st.lists(st.tuples(st.integers(2, 255), SIXTEEN)))
def test_n10_what_asks_for_custody_is_found_among_other_tlvs(
    mark: bytes, relay: Address | None, others: list[tuple[int, bytes]]
) -> None:
    tlvs = (*others[:6], custody_tlv(mark, relay))
    packet = parse_packet_untrusted(Packet(Context.MESSAGE, b"data", Address(bytes(16)), tlvs=tlvs).encode())
    assert parse_custody_tlv_untrusted(packet.tlvs) == (mark, relay)
    assert parse_custody_tlv_untrusted(packet.tlvs[:-1]) is None


@given(prefixes=LISTS, memory_only=st.booleans(), relay=ADDRESSES)
def test_n10_lists_of_messages_are_read_as_written(
    prefixes: list[bytes], memory_only: bool, relay: Address
) -> None:
    custody, pending = Custody(prefixes, memory_only), Pending(relay, prefixes)
    assert parse_custody_untrusted(custody.encode()) == custody
    assert parse_pending_untrusted(pending.encode()) == pending
    assert len(custody.encode()) == 1 + 8 * len(prefixes) and len(pending.encode()) == 16 + 8 * len(prefixes)


@given(pairs=st.lists(st.tuples(PREFIX, SIXTEEN), min_size=1, max_size=PREFIXES_MAX))
def test_n10_receipts_with_prefixes_are_read_as_written(pairs: list[tuple[bytes, bytes]]) -> None:
    entries = [Delivered(*pair) for pair in pairs]
    assert parse_delivered_untrusted(b"".join(one.encode() for one in entries)) == entries


@given(prefix=PREFIX, mark=SIXTEEN, memory_only=st.booleans())
def test_n10_a_promise_is_believed_for_its_message_only(
    prefix: bytes, mark: bytes, memory_only: bool
) -> None:
    promise = Promise.make(RELAY, prefix, mark, memory_only=memory_only)
    found = parse_promise_untrusted(promise.encode())
    assert found == promise and len(promise.encode()) == 105
    assert (found.relay, found.prefix, found.memory_only) == (RELAY.node_id, prefix, memory_only)
    assert found.authentic(mark)
    assert not found.authentic(bytes((mark[0] ^ 1,)) + mark[1:])


@given(hop=st.integers(1, 127), nonce=PREFIX, address=ADDRESSES, last=st.booleans())
def test_n4_traces_and_replies_are_read_as_written(
    hop: int, nonce: bytes, address: Address, last: bool
) -> None:
    trace, reply = Trace(hop, nonce), TraceReply(hop, nonce, address, last)
    assert parse_trace_untrusted(trace.encode()) == trace and len(trace.encode()) == 9
    assert parse_trace_reply_untrusted(reply.encode()) == reply and len(reply.encode()) == 25


def test_n2_the_smallest_frame_holds_an_announce_and_a_promise_on_a_shared_medium() -> None:
    announce = Announce.make(RELAY, 1, Serve.ANYONE, memory_only=False).encode(PathCost())
    promise = Promise.make(RELAY, b"prefix..", MARK, memory_only=False).encode()
    sizes = []
    for context, data in ((Context.ANNOUNCE, announce), (Context.PROMISE, promise)):
        items = encode_items([(ItemKind.PACKET, Packet(context, data).encode())])
        sizes.append(len(Session(bytes(32), bytes(32), b"", 0x1234, 0.0).seal(items)))
    assert sizes == [133, 130] and max(sizes) <= MTU_MIN


# --- lies -------------------------------------------------------------------------------------------
def test_m5_any_change_to_a_promise_makes_it_no_promise_of_that_relay() -> None:
    data = Promise.make(RELAY, b"prefix..", MARK, memory_only=False).encode()
    assert parse_promise_untrusted(data).authentic(MARK)
    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]
            assert not parse_promise_untrusted(changed).authentic(MARK)


def test_m5_a_promise_of_another_relay_names_that_relay() -> None:
    data = Promise.make(OTHER, b"prefix..", MARK, memory_only=False).encode()
    stolen = data[:9] + RELAY.node_id + data[41:]
    assert parse_promise_untrusted(data).relay == OTHER.node_id
    assert not parse_promise_untrusted(stolen).authentic(MARK)


@pytest.mark.parametrize(
    ("parse", "code", "sizes"),
    [
        (parse_custody_untrusted, "bad_prefixes", (0, 1, 8, 10, 1 + 129 * 8)),
        (parse_promise_untrusted, "bad_promise", (0, 104, 106)),
        (parse_pending_untrusted, "bad_prefixes", (0, 8, 16, 23, 25, 16 + 129 * 8)),
        (lambda data: parse_prefixes_untrusted(data, PREFIXES_MAX), "bad_prefixes", (0, 7, 129 * 8)),
        (parse_delivered_untrusted, "bad_delivered", (0, 23, 25, 129 * 24)),
        (parse_trace_untrusted, "bad_trace", (0, 8, 10)),
        (parse_trace_reply_untrusted, "bad_trace", (0, 24, 26)),
    ],
)
def test_m5_other_lengths_are_refused(
    parse: Callable[[bytes], Any], code: str, sizes: tuple[int, ...]
) -> None:
    for size in sizes:
        with pytest.raises(BadWire, match=f"^{code}$"):
            parse(bytes((1,)) * size)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31, 33, 255])
def test_m5_custody_is_asked_for_in_16_or_32_bytes(size: int) -> None:
    with pytest.raises(BadWire, match=r"^bad_custody$"):
        parse_custody_tlv_untrusted(((TLV_CUSTODY, bytes(size)),))


@pytest.mark.parametrize("hop", [0, 128, 255])
def test_m5_a_trace_of_no_hop_is_refused(hop: int) -> None:
    with pytest.raises(BadWire, match=r"^bad_trace$"):
        parse_trace_untrusted(bytes((hop,)) + bytes(8))


def test_nothing_secret_shows_in_a_representation() -> None:
    """A receipt is a proof, and worth nothing once it is in a log."""
    assert "receipt" not in repr(Delivered(b"prefix..", b"a receipt of 16 "))
    assert "signature" not in repr(Promise.make(RELAY, b"prefix..", MARK, memory_only=False))
