"""Small faults of a peer or a channel must cost no more than themselves (N3, N9)."""

import random
import tracemalloc

import pytest

from nexus_node.base.errors import BadWire
from nexus_node.crypto.noise import Handshake, KeyPair
from nexus_node.engine.peers import Attachment
from nexus_node.proto.exchange import LARGEST_HANDSHAKE
from nexus_node.proto.fragment import Reassembly, ReassemblyBudget
from nexus_node.proto.handshake import PROLOGUE
from nexus_node.wire.fragments import Fragment
from nexus_node.wire.frames import (
    BroadcastShare,
    Capabilities,
    Final,
    FrameKind,
    ItemKind,
    ItemPacker,
    Opening,
    Reply,
    encode_items,
    parse_frame_untrusted,
)
from nexus_node.wire.packet import Context, Packet, Reason, Refusal

from .test_core import pair
from .test_link import STREAM, WIDE, SeededRng, identity, make, talk
from .test_link import pair as links
from .world import DATAGRAM
from .world import STREAM as CORE_STREAM

RNG = SeededRng(77)


def stranger(pattern, **more):
    return Handshake(pattern, initiator=True, prologue=PROLOGUE, rng=RNG, s=identity(9).static, **more)


def answered(link):
    """XX1 to a waiting link; the handshake after XX2, and the link's index."""
    noise = stranger("XX")
    link.receive(Opening(FrameKind.XX1, 5, b"", noise.write()).encode(), 0.0)
    reply = parse_frame_untrusted(link.poll_handshake())
    noise.read(reply.noise)
    return noise, reply.sender


def test_xx3_with_bad_capabilities_twice_raises_only_bad_wire() -> None:
    link = make(2, WIDE, dialed=False).link
    noise, index = answered(link)
    final = Final(index, noise.write(b"\x01\x00")).encode()
    for _ in range(2):
        with pytest.raises(BadWire):
            link.receive(final, 0.0)


def test_xx2_with_bad_capabilities_twice_raises_only_bad_wire() -> None:
    link = make(1, WIDE, dialed=True).link
    opening = parse_frame_untrusted(link.poll_handshake())
    noise = Handshake("XX", initiator=False, prologue=PROLOGUE, rng=RNG, s=identity(9).static)
    noise.read(opening.noise)
    reply = Reply(FrameKind.XX2, 1, opening.sender, noise.write(b"\x01\x00")).encode()
    for _ in range(2):
        with pytest.raises(BadWire):
            link.receive(reply, 0.0)


def impure():
    p = 2**255 - 19
    me = identity(9)
    u = int.from_bytes(me.agreement_public, "little")
    return KeyPair(me.static.secret, pow(u, -1, p).to_bytes(32, "little"))


def test_ik1_from_a_key_outside_the_subgroup_leaves_no_half_answer() -> None:
    link = make(2, WIDE, dialed=False).link
    noise = Handshake(
        "IK", initiator=True, prologue=PROLOGUE, rng=RNG, s=impure(), rs=identity(2).static.public
    )
    with pytest.raises(BadWire):
        link.receive(Opening(FrameKind.IK1, 5, b"", noise.write(Capabilities(1400).encode())).encode(), 0.0)
    index = link._exchange.index
    assert not link._exchange.under_way
    with pytest.raises(BadWire):
        link.receive(Final(index, bytes(66)).encode(), 0.0)


def test_strangers_cannot_fill_memory_with_unread_replies() -> None:
    link = make(2, STREAM, dialed=False).link
    opening = Opening(FrameKind.XX1, 5, b"", stranger("XX").write()).encode()
    for _ in range(5000):
        link.receive(opening, 0.0)
    assert len(link._exchange.frames) < 100


def test_neighbours_cannot_fill_memory_with_unread_pongs() -> None:
    a, b = links(STREAM)
    talk(a, b, 0.0)
    for _ in range(50):
        b.link.receive(a.link.seal([(ItemKind.PING, b"x")] * 4000, 0.0), 0.0)
    assert len(b.link._items) < 10_000


def test_one_bad_item_does_not_cost_the_others_of_its_frame() -> None:
    a, b, wire = pair(DATAGRAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    a.send("b", "fine", 1.0)
    link = a.core.attachments[wire.cids[0]].link
    packer = ItemPacker(link.room)
    packer.add(ItemKind.PACKET, Packet(Context.RECEIPTS, bytes(16)).encode())  # a receipt nobody awaits
    a.core.delivery.fill(a.core.attachments[wire.cids[0]], packer, 1.0, paused=False)
    b.core.deliver(wire.cids[1], link.seal(packer.items, 1.0), None, 1.0)
    assert b.inbox() == ["fine"]


def test_a_repeated_rekey_reply_does_not_cost_the_packets_beside_it() -> None:
    a, b = links()
    talk(a, b, 0.0)
    a.link.last_heard = b.link.last_heard = 3601.0
    a.link.expire(3601.0)
    [frame] = a.pull(3601.0)
    b.take(frame, 3601.0)
    [reply] = b.pull(3601.0)
    a.take(reply, 3601.0)
    b.link._items.append((ItemKind.REKEY_REPLY, b.link._rekeying.message))  # it answers a repeated REKEY
    b.to_send.append(b"hello")
    for frame in b.pull(3602.0):
        a.take(frame, 3602.0)
    assert a.heard == [b"hello"]


def test_an_unanswered_transfer_on_an_ordered_carrier_is_sent_again() -> None:
    a, b, wire = pair(CORE_STREAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    text = "".join(random.Random(3).choices("abcdefghij", k=60_000))
    message = a.send("b", text, 1.0)
    frames = list(iter(lambda: a.core.next_frame(wire.cids[0], 1.0), None))
    assert len(frames) > 3
    for frame in frames[:-1]:  # the last one held an item that b could not take
        b.core.deliver(wire.cids[1], frame, None, 1.0)
    wire.settle(1.0, 70.0)
    assert b.inbox() == [text]
    assert a.states() == {message: "delivered"}


def test_retry_after_copes_with_many_tries() -> None:
    attachment = Attachment(
        1, DATAGRAM, "x", make(1, WIDE, dialed=True).link, ReassemblyBudget(), dialed=True
    )
    assert attachment.retry_after(5000) == 60.0


def test_refusing_an_introduction_as_unknown_does_not_loop() -> None:
    a, b, wire = pair(DATAGRAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    message = a.send("b", "hello", 1.0)
    for _ in range(200):
        frame = a.core.next_frame(wire.cids[0], 1.0)
        if frame is None:
            break
        row = a.store.outgoing(message)
        a.core.delivery.take_refusal(b.identity.node_id, Refusal(Reason.UNKNOWN_SENDER, row.object[:8]), 1.0)
    assert a.core.counters["resealed"] < 3


def test_packets_beside_a_close_are_taken() -> None:
    a, b, wire = pair(DATAGRAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    a.send("b", "bye", 1.0)
    a.core.close_links()
    b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 1.0), None, 1.0)
    assert b.inbox() == ["bye"]


def test_a_reflected_opening_is_not_answered() -> None:
    a = make(1, WIDE, dialed=True)
    [opening] = a.pull(0.0)
    a.take(opening, 0.0)
    assert a.link._exchange._attempt is not None


def test_the_largest_frame_in_the_clear() -> None:
    share = BroadcastShare(5, 0, bytes(16))
    for capabilities, cookie, size in ((Capabilities(1400), 16, 118), (Capabilities(255, share), 0, 123)):
        noise = stranger("IK", rs=identity(2).static.public).write(capabilities.encode())
        assert len(Opening(FrameKind.IK1, 5, bytes(cookie), noise).encode()) == size <= LARGEST_HANDSHAKE


def test_a_fragment_bomb_is_bounded() -> None:
    """Partial packets of one-byte fragments: what one stranger's link may make us keep."""
    reassembly = Reassembly(ReassemblyBudget())
    tracemalloc.start()
    for number in range(64):
        for index in range(1, 2048):
            reassembly.take(Fragment(number, index, bytes([index % 256])), ordered=True)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 20e6, f"{size / 1e6:.0f} MB"


def test_an_unknown_receipt_does_not_cost_the_others_of_its_packet() -> None:
    a, b, wire = pair(DATAGRAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    message = a.send("b", "fine", 1.0)
    b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 1.0), None, 1.0)
    [receipt] = b.core._receipts._waiting[a.identity.node_id]
    link = b.core.attachments[wire.cids[1]].link
    packet = Packet(Context.RECEIPTS, bytes(16) + receipt).encode()
    a.core.deliver(wire.cids[0], link.seal([(ItemKind.PACKET, packet)], 1.0), None, 1.0)
    assert a.states() == {message: "delivered"}


def test_a_frame_refused_for_its_items_has_no_effect() -> None:
    a, b = links()
    talk(a, b, 0.0)
    frame = a.link._session.seal(encode_items([(ItemKind.PING, b"x"), (1, b"")])[:-1] + b"\x01\xff")
    with pytest.raises(BadWire, match="bad_items"):
        b.link.receive(frame, 0.0)
    assert not b.link._items


def test_a_clock_past_2106_does_not_break_sending() -> None:
    a, _, _ = pair(DATAGRAM)
    a.core.wall.offset_s = 2.0**32 + 10
    a.send("b", "from the future", 1.0)
