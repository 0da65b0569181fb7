"""Whole engines without trio: messages, receipts, crashes, hostile peers (N9, N10, M5)."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import InputError, StoreFull, UnknownContact
from nexus_node.base.ids import NodeId
from nexus_node.base.limits import MESSAGE_TTL_S, PENDING_CONNECTIONS, TEXT_MAX
from nexus_node.base.states import State
from nexus_node.engine.forward import object_prefix
from nexus_node.wire.custody import custody_tlv
from nexus_node.wire.frames import ItemKind, Opening, Retry, parse_frame_untrusted
from nexus_node.wire.packet import Context, Packet, Reason, Refusal

from .world import DATAGRAM, NARROW, STREAM, Host, Wire, introduce


def pair(profile=DATAGRAM, *, loss=0.0, repeat=0.0, seed=0, **options) -> tuple[Host, Host, Wire]:
    a, b = Host(1, **options), Host(2, **options)
    introduce(a, b)
    return a, b, Wire(a, b, profile, random.Random(seed), loss=loss, repeat=repeat)


@pytest.mark.parametrize("profile", [DATAGRAM, STREAM, NARROW])
def test_n9_a_text_arrives_and_its_receipt_comes_back(profile) -> None:
    a, b, wire = pair(profile)
    wire.plug(0.0)
    message = a.send("b", "hello", 0.0)
    assert a.states() == {message: "queued"}
    wire.settle(0.0, 10.0)
    assert b.inbox() == ["hello"]
    assert a.states() == {message: "delivered"}
    facts = a.store.facts(message)
    assert [fact.state for fact in facts] == [State.QUEUED, State.SENT, State.DELIVERED]
    assert facts[1].by.startswith("wire:") and facts[2].by == b.identity.address.hex()
    states = [event.fields["state"] for event in a.events if event.event == "message_state"]
    assert states == ["queued", "sent", "delivered"]
    assert a.store.usage()[0] == 0, "the envelope is not kept once it has arrived"


def test_n3_an_idle_link_that_loses_three_frames_of_ten_stays_up() -> None:
    """Of three hours; with one question in each period it went down every five minutes."""
    downs = 0
    for seed in range(3):
        a, b, wire = pair(loss=0.3, seed=seed)
        wire.plug(0.0)
        wire.settle(0.0, 3600.0)
        downs += sum(event.event == "link_down" for host in (a, b) for event in host.events)
    assert downs <= 12


@pytest.mark.parametrize("profile", [DATAGRAM, STREAM, NARROW])
def test_n9_64_kb_both_ways_and_many_at_once(profile) -> None:
    a, b, wire = pair(profile)
    wire.plug(0.0)
    dice = random.Random(5)
    big = "".join(dice.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(TEXT_MAX))
    texts = [f"text {number}" for number in range(300)]
    a.send("b", big, 0.0)
    b.send("a", big[::-1], 0.0)
    for text in texts:
        a.send("b", text, 0.0)
    wire.settle(0.0, 4000.0)
    assert sorted(b.inbox()) == sorted([big, *texts])
    assert a.inbox() == [big[::-1]]
    assert set(a.states().values()) == {"delivered"}
    assert not a.core.counters["repeats"] and not b.core.counters["duplicates"]


def test_n9_small_texts_overtake_a_large_one() -> None:
    a, b, wire = pair(NARROW)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    dice = random.Random(1)
    a.send("b", "".join(chr(dice.randrange(33, 127)) for _ in range(20_000)), 2.0)
    for _ in range(5):
        b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 2.0), None, 2.0)
    a.send("b", "short", 2.0)
    for _ in range(2):
        b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 2.0), None, 2.0)
    assert b.inbox() == ["short"]


def test_n9_frame_bytes_of_a_short_text() -> None:
    a, _, wire = pair(DATAGRAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    wire.bytes = 0
    wire.frames.clear()
    a.send("b", "We are at the bridge", 1.0)
    wire.settle(1.0, 2.0)
    message, receipt = wire.frames
    assert len(message) - 20 <= 120 and wire.bytes - 20 <= 120, "with the receipt, under the issue's 120"
    assert len(receipt) == 3 + 16 + 1 + 3 + 16


@pytest.mark.parametrize("profile", [DATAGRAM, STREAM])
def test_s2_messages_wait_for_an_absent_peer(profile) -> None:
    a, b, wire = pair(profile)
    sent = [a.send("b", f"{number}", 0.0) for number in range(150)]
    day = 24 * 3600.0
    a.core.expire(day)
    wire.plug(day)
    wire.settle(day, day + 20)
    assert b.inbox() == [str(number) for number in range(150)], "in the order sent"
    assert a.states() == dict.fromkeys(sent, "delivered")


def test_s2_what_is_not_delivered_in_30_days_expires_and_says_so() -> None:
    a, b, wire = pair()
    message = a.send("b", "late", 0.0)
    a.core.expire(MESSAGE_TTL_S - 10)
    assert a.states() == {message: "queued"}
    assert a.core.wake_at <= MESSAGE_TTL_S + 1
    a.core.expire(MESSAGE_TTL_S + 1)
    assert a.states() == {message: "expired"}
    wire.plug(MESSAGE_TTL_S + 2)
    wire.settle(MESSAGE_TTL_S + 2, MESSAGE_TTL_S + 10)
    assert b.inbox() == []


def test_n9_a_clock_that_was_never_set_neither_lies_nor_expires_anything() -> None:
    a, b, wire = pair()
    a.wall = a.core.wall.offset_s = 0.0
    message = a.send("b", "from 1970", 5.0)
    a.core.set_wall(1_800_000_000.0)  # the network told the time
    row = a.store.outgoing(message)
    assert row.created_ms == 1_800_000_005_000 and row.expires_ms == row.created_ms + MESSAGE_TTL_S * 1000
    a.core.expire(6.0)
    wire.plug(6.0)
    wire.settle(6.0, 10.0)
    [row] = b.store.inbox()
    assert row.sent_ms == 0 and b.core.text_of(row) == "from 1970"


def test_n13_held_until_a_link_is_wide_enough() -> None:
    a, b, wire = pair(NARROW)
    wire.plug(0.0)
    message = a.send("b", "only where it is fast", 0.0, min_bandwidth=10_000)
    plain = a.send("b", "anywhere", 0.0)
    wire.settle(0.0, 20.0)
    assert a.states() == {message: "held", plain: "delivered"}
    assert a.store.facts(message)[-1].by == "needs 10000 bps"
    fast = Wire(a, b, DATAGRAM, random.Random(0))
    fast.plug(20.0)
    fast.settle(20.0, 25.0)
    assert a.states()[message] == "delivered"
    assert b.inbox() == ["anywhere", "only where it is fast"]


def test_a_second_link_neither_repeats_nor_loses_what_is_under_way() -> None:
    a, b, wire = pair(DATAGRAM)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    sent = [a.send("b", f"{number}", 1.0) for number in range(50)]
    frames = [a.core.next_frame(wire.cids[0], 1.0)]
    slow = Wire(a, b, NARROW, random.Random(0))
    slow.plug(1.0)
    slow.settle(1.0, 1.5)
    frames += iter(lambda: a.core.next_frame(wire.cids[0], 1.5), None)
    for frame in frames:
        b.core.deliver(wire.cids[1], frame, None, 1.5)
    wire.settle(1.5, 3.0)
    assert a.states() == dict.fromkeys(sent, "delivered")
    assert b.core.counters["duplicates"] == 0
    a.send("b", "over the fast one", 3.0)
    frame = a.core.next_frame(wire.cids[0], 3.0)
    wire.cut(3.0)  # with that frame lost
    assert frame is not None
    slow.settle(3.0, 10.0)
    assert b.inbox()[-1] == "over the fast one"


def test_n9_read_receipts_only_where_wished() -> None:
    for wished in (False, True):
        a, b, wire = pair(read_receipts=wished)
        wire.plug(0.0)
        message = a.send("b", "seen?", 0.0)
        wire.settle(0.0, 2.0)
        b.core.mark_read(list(b.store.inbox()), 3.0)
        wire.settle(3.0, 5.0)
        assert a.states() == {message: "read" if wished else "delivered"}


@pytest.mark.parametrize("crash", [False, True])
def test_n9_read_receipts_wait_for_a_link_and_are_told_twice(tmp_path: Path, crash: bool) -> None:
    a, b = Host(1), Host(2, tmp_path / "b.db", read_receipts=True)
    introduce(a, b)
    wire = Wire(a, b, STREAM, random.Random(0))
    wire.plug(0.0)
    messages = [a.send("b", f"seen? {number}", 0.0) for number in range(3)]
    wire.settle(0.0, 2.0)
    b.core.mark_read(list(b.store.inbox(limit=1)), 2.0)
    assert b.core.next_frame(wire.cids[1], 2.0) is not None  # and it is lost with the link
    wire.cut(2.0)
    b.core.mark_read(list(b.store.inbox(limit=2)), 3.0)
    b.core.commit()
    if crash:
        b.crash(4.0)
    assert set(a.states().values()) == {"delivered"}
    for now, left in ((5.0, 1), (15.0, 0)):
        wire.plug(now)
        wire.settle(now, now + 5.0)
        assert a.states() == dict(zip(messages, ["read", "read", "delivered"], strict=True))
        assert len(b.store.to_tell(a.identity.node_id, limit=9)) == left
        wire.cut(now + 6.0)
    wire.plug(25.0)
    wire.settle(25.0, 30.0)
    assert a.core.counters["unknown_receipt"] == 0 and len(a.store.facts(messages[0])) == 4


def test_n9_read_receipts_are_not_told_once_the_owner_says_no() -> None:
    a, b, wire = pair(read_receipts=True)
    wire.plug(0.0)
    message = a.send("b", "seen?", 0.0)
    wire.settle(0.0, 2.0)
    wire.cut(2.0)
    b.core.mark_read(list(b.store.inbox()), 3.0)
    b._read_receipts = False
    b.start(4.0)
    wire.plug(4.0)
    wire.settle(4.0, 8.0)
    assert a.states() == {message: "delivered"}


def test_n9_recipient_that_lost_our_key_gets_an_introduction() -> None:
    a, b, wire = pair()
    wire.plug(0.0)
    a.send("b", "first", 0.0)
    wire.settle(0.0, 2.0)
    wire.cut(2.0)
    message = a.send("b", "second", 2.0)  # sealed for a recipient that knows us
    b.store = MemoryStoreOf(b)
    b.start(3.0)
    b.core.contacts.candidates = lambda first: []  # not even the link's peer is tried
    wire.plug(3.0)
    wire.settle(3.0, 6.0)
    assert b.inbox() == ["second"]
    assert a.states()[message] == "delivered"
    assert a.core.counters["resealed"] == 1


def MemoryStoreOf(host: Host):
    return host._open()


def test_n9_store_full_at_the_recipient_holds_the_message_back_and_says_why() -> None:
    a, b = Host(1), Host(2, quota=3000)
    introduce(a, b)
    wire = Wire(a, b, DATAGRAM, random.Random(0))
    wire.plug(0.0)
    texts = [f"{number:03} " + "x" * 400 for number in range(12)]
    dice = random.Random(2)
    texts = ["".join(dice.choice("0123456789abcdef") for _ in range(400)) for _ in texts]
    for text in texts:
        a.send("b", text, 0.0)
    now = wire.settle(0.0, 5.0)
    got = len(b.inbox())
    assert 0 < got < 12
    assert b.core.counters["refused_store_full"] >= 1
    assert any(event.event == "message_refused" for event in a.events)
    b.store._quota = 100_000
    wire.settle(now, 200.0)
    assert sorted(b.inbox()) == sorted(texts)


def test_quota_refuses_to_send_with_words() -> None:
    a, b = Host(1, quota=2000), Host(2)
    introduce(a, b)
    with pytest.raises(StoreFull, match="quota"):
        for _ in range(20):
            a.send("b", "y" * 300, 0.0)
    before = a.states()
    assert len(before) < 20
    wire = Wire(a, b, DATAGRAM, random.Random(0))
    wire.plug(1.0)
    wire.settle(1.0, 5.0)
    assert set(a.states().values()) == {"delivered"}


def test_people_mistakes_have_words() -> None:
    a, b, _ = pair()
    with pytest.raises(UnknownContact, match="'bob'"):
        a.send("bob", "hi", 0.0)
    with pytest.raises(InputError, match="empty"):
        a.send("b", "", 0.0)
    with pytest.raises(InputError, match=str(TEXT_MAX)):
        a.send("b", "x" * (TEXT_MAX + 1), 0.0)
    with pytest.raises(InputError, match="own"):
        a.core.contacts.add("me", a.uri, 0)
    with pytest.raises(InputError, match="already"):
        a.core.contacts.add("b", Host(3).uri, 0)
    with pytest.raises(InputError, match="'b'"):
        a.core.contacts.add("c", b.uri, 0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.4), repeat=st.floats(0, 0.4))
def test_m5_exactly_once_under_loss_repetition_and_reorder(seed: int, loss: float, repeat: float) -> None:
    a, b, wire = pair(loss=loss, repeat=repeat, seed=seed)
    wire.plug(0.0)
    texts = [f"{number} " * (number % 40 + 1) * (40 if number % 10 == 0 else 1) for number in range(40)]
    for text in texts:
        a.send("b", text, 0.0)
    back = [b.send("a", f"back {number}", 0.0) for number in range(10)]
    wire.settle(0.0, 3000.0)
    assert sorted(b.inbox()) == sorted(texts)
    assert len(a.inbox()) == len(back)
    assert set(a.states().values()) == {"delivered"} == set(b.states().values())


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_m5_crashes_lose_nothing_and_show_nothing_twice(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dice = random.Random(seed)
    folder = tmp_path_factory.mktemp("hosts")
    a, b = Host(1, Path(folder, "a.db")), Host(2, Path(folder, "b.db"))
    introduce(a, b)
    profile = dice.choice((DATAGRAM, STREAM))
    lossy = {} if profile.ordered else {"loss": 0.1, "repeat": 0.1}
    wire = Wire(a, b, profile, dice, **lossy)
    promised: dict[bytes, str] = {}
    now = 0.0
    for turn in range(60):
        now += dice.random()
        wire.plug(now)
        for host, name in ((a, "b"), (b, "a")):
            if dice.random() < 0.5:
                text = f"{turn} {name} " + "x" * dice.choice((1, 50, 5000))
                promised[host.send(name, text, now)] = text
            if dice.random() < 0.3:  # accepted by nobody: no promise was made
                host.core.send(name, f"unpromised {turn}", now=now)
        for _ in range(dice.randrange(4)):
            wire.step(now)
        if dice.random() < 0.3:
            victim = dice.choice((a, b))
            wire.cut(now, crashed=victim)
            victim.crash(now)
        delivered = {row.id for host in (a, b) for row in host.store.outbox() if row.state == State.DELIVERED}
        in_inboxes = {row.id for host in (a, b) for row in host.store.inbox()}
        assert delivered <= in_inboxes, "delivered without being in the inbox"
    wire.loss = wire.repeat = 0.0
    wire.plug(now)
    wire.settle(now, now + 2000)
    for host in (a, b):
        texts = host.inbox()
        assert len(texts) == len(set(texts)), "shown twice"
    everything = {row.id: host.core.text_of(row) for host in (a, b) for row in host.store.inbox()}
    assert promised.items() <= everything.items()
    assert all(state == "delivered" for host in (a, b) for state in host.states().values())


# --- hostile peers ------------------------------------------------------------------------------
def test_forged_receipt_is_counted_and_believed_by_nobody() -> None:
    a, b, wire = pair()
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    b.core.contacts.candidates = lambda first: []
    message = a.send("b", "x", 1.0)
    forged = Packet(Context.RECEIPTS, bytes(16) + message[:16]).encode()
    b.core.attachments[wire.cids[1]].link.queue(ItemKind.PACKET, forged)
    wire.step(1.0)
    wire.step(1.0)
    assert a.states()[message] != "delivered"
    assert a.core.counters["unknown_receipt"] == 2


def test_message_claiming_another_sender_is_refused() -> None:
    a, b, _ = pair()
    mallory = Host(9)
    mallory.core.contacts.add("b", b.uri, 0)
    evil = Wire(mallory, b, DATAGRAM, random.Random(0))
    evil.plug(0.0)
    evil.settle(0.0, 1.0)
    to = mallory.core.contacts.get("b")
    composed = mallory.core.outbox._composer.seal_text(to, b"I am a", 0, compress=False)
    # Mallory's short envelope, were it taken for Alice's: only Alice's key would open it.
    b.core.contacts.candidates = lambda first: [a.identity.node_id]
    packet = Packet(Context.MESSAGE, composed.data).encode()
    mallory.core.attachments[evil.cids[0]].link.queue(ItemKind.PACKET, packet)
    mallory.core.ready.add(evil.cids[0])
    evil.step(1.0)
    evil.step(1.0)
    assert b.inbox() == []
    assert b.core.counters["unknown_sender"] + b.core.counters["bad_envelope"] == 1


@pytest.mark.parametrize(
    ("tlvs", "reason", "counter"),
    [((), Reason.NO_PATH, "no_path"), ((custody_tlv(bytes(16), None),), Reason.NOT_HERE, "not_for_us")],
    ids=["on its way", "into custody"],
)
def test_packet_for_somebody_else_is_refused_with_the_reason(tlvs, reason: Reason, counter: str) -> None:
    a, b, wire = pair()
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    packet = Packet(Context.MESSAGE, bytes(80), Host(3).identity.address, tlvs=tlvs)
    heard, take_refusal = [], a.core.delivery.take_refusal

    def listening(peer: NodeId, refusal: Refusal, now: float) -> bool:
        heard.append((peer, refusal))
        return take_refusal(peer, refusal, now)

    a.core.delivery.take_refusal = listening
    a.core.attachments[wire.cids[0]].link.queue(ItemKind.PACKET, packet.encode())
    a.core.ready.add(wire.cids[0])
    wire.settle(1.0, 2.0)
    assert heard == [(b.identity.node_id, Refusal(reason, object_prefix(packet)))]
    assert b.core.counters[counter] == 1 and b.inbox() == []


@settings(deadline=None, max_examples=200)
@given(kind=st.integers(0, 127), body=st.binary(max_size=300))
def test_anything_inside_an_authenticated_link_is_survived(kind: int, body: bytes) -> None:
    a, b, wire = pair()
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    a.core.attachments[wire.cids[0]].link._items.append((kind, body))
    a.core.ready.add(wire.cids[0])
    wire.step(1.0)
    wire.settle(1.0, 2.0)
    wire.plug(3.0)
    a.send("b", "still fine", 3.0)
    wire.settle(3.0, 100.0)
    assert "still fine" in b.inbox()


def test_n3_strangers_leave_no_state_before_a_cookie() -> None:
    b = Host(2)
    a = Host(1)
    cid = a.core.carrier_up(DATAGRAM, "x", dialed=True, now=0.0)
    opening = a.core.next_frame(cid, 0.0)
    reply = b.core.knock(b"source", opening, 0.0)
    assert isinstance(reply, bytes) and len(reply) < len(opening), "no amplification"
    assert not b.core.attachments
    retry = parse_frame_untrusted(reply)
    assert isinstance(retry, Retry)
    a.core.deliver(cid, reply, None, 0.1)
    again = a.core.next_frame(cid, 0.1)
    assert isinstance(parse_frame_untrusted(again), Opening)
    assert b.core.knock(b"elsewhere", again, 0.1) is not True
    assert b.core.knock(b"source", again, 0.1) is True
    assert b.core.knock(b"source", b"\xff" * 30, 0.1) is False
    assert not b.core.attachments and not b.core.ready


def test_unfinished_handshakes_are_bounded_and_the_oldest_goes() -> None:
    b = Host(2)
    cids = [
        b.core.carrier_up(STREAM, f"tcp:{n}", dialed=False, now=0.0) for n in range(PENDING_CONNECTIONS + 50)
    ]
    closed = [cid for cid in cids if b.core.attachments[cid].link.closed]
    assert closed == cids[:50]
    assert b.core.counters["unfinished_handshakes_dropped"] == 50


def test_links_of_strangers_are_bounded_and_the_longest_silent_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes keys without end keeps no contact out."""
    monkeypatch.setattr("nexus_node.engine.carriers.STRANGER_LINKS", 3)
    b = Host(2)
    strangers = [Host(seed) for seed in range(3, 9)]
    contact = Host(9)
    b.core.contacts.add("contact", contact.uri, 0)
    for now, host in enumerate((contact, *strangers), 1):
        wire = Wire(host, b, STREAM, random.Random(1))
        wire.plug(float(now))
        wire.settle(float(now), now + 0.5)
    up = {one.link.peer for one in b.core.attachments.values() if one.link.closed is None}
    assert up == {host.identity.node_id for host in (contact, *strangers[3:])}
    assert b.core.counters["strangers_dropped"] == 3


def test_strangers_for_whom_there_is_no_room_do_not_push_each_other_out_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is let go of dials again: then the newest goes, so that links last."""
    monkeypatch.setattr("nexus_node.engine.carriers.STRANGER_LINKS", 3)
    b = Host(2)
    strangers = [Host(seed) for seed in range(3, 9)]
    for number, host in enumerate(strangers):
        now = 1 + number / 100
        wire = Wire(host, b, STREAM, random.Random(1))
        wire.plug(now)
        wire.settle(now, now + 0.005)
    up = {one.link.peer for one in b.core.attachments.values() if one.link.closed is None}
    assert up == {host.identity.node_id for host in strangers[1:4]}
    assert b.core.counters["strangers_dropped"] == 3
