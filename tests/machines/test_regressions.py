"""Defects that a review proved, each at its smallest, so that none comes back (N9, N13, M5)."""

import random
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from nexus_node.base.errors import StoreFull
from nexus_node.base.limits import REASSEMBLY_BYTES, TRANSFERS_DONE, TRANSFERS_IN
from nexus_node.base.states import State
from nexus_node.engine.wallclock import NEVER_MS
from nexus_node.ports.driver import LinkProfile
from nexus_node.store.check import an_outgoing
from nexus_node.wire.fragments import Fragment
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.packet import Context, Packet, Reason, Refusal
from nexus_node.wire.pub import Mode, topic_of
from nexus_node.wire.routing import PREFIX_SIZE

from .test_core import pair
from .world import DATAGRAM, NARROW, STREAM, Host, Wire

DAY = 86_400.0
RADIO = LinkProfile(mtu=255, bps=2500, half_duplex=True, shared=True)


def joined(profile=DATAGRAM, **options) -> tuple[Host, Host, Wire]:
    """Two hosts with a link, at 1 s."""
    a, b, wire = pair(profile, **options)
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    return a, b, wire


def text(size: int, seed: int = 0) -> str:
    """A text that compression cannot make fit a frame."""
    return random.Random(seed).randbytes(size // 2).hex()


def attachments(wire: Wire):
    return [host.core.attachments[cid] for host, cid in zip(wire.hosts, wire.cids, strict=True)]


# --- the window ---------------------------------------------------------------------------------
def test_n9_100_texts_of_12_kb_arrive_at_once_and_nothing_twice() -> None:
    a, b, wire = joined()
    for attachment in attachments(wire):
        attachment.link.rtt = 0.02
    texts = [text(12_000, seed) for seed in range(100)]
    for one in texts:
        a.send("b", one, 1.0)
    wire.bytes = 0
    wire.settle(1.0, 6.0)
    assert sorted(b.inbox()) == sorted(texts)
    assert set(a.states().values()) == {"delivered"}
    assert a.core.counters["repeats"] == b.core.counters["duplicates"] == 0
    assert wire.bytes < 1.1 * 100 * 12_000
    assert attachments(wire)[0].unacknowledged == 0


def test_n9_large_texts_under_loss_do_not_stall() -> None:
    a, b, wire = joined(seed=3)
    wire.loss = 0.05
    dice = random.Random(4)
    texts = [text(dice.randrange(2000, 12_000), seed) for seed in range(60)]
    for one in texts:
        a.send("b", one, 1.0)
    wire.settle(1.0, 21.0)
    assert sorted(b.inbox()) == sorted(texts)
    assert set(a.states().values()) == {"delivered"}


# --- a commit that fails ------------------------------------------------------------------------
def full_disk_once(host: Host) -> None:
    """Have the next commit of that host's store fail as on a full disk: nothing since the last is kept."""
    store = host.store
    commit = store.commit

    def failing() -> None:
        store.commit = commit
        store._execute("ROLLBACK")
        store._journal.clear()
        store._counters = store._committed.copy()
        raise StoreFull("the disk is full")

    store.commit = failing


def star(path: Path | None = None) -> tuple[Host, list[Host], list[Wire]]:
    """A host with three neighbours, and the wires from each of them to it, up at 1 s."""
    hub = Host(9, path)
    hosts = [Host(seed) for seed in (1, 2, 3)]
    wires = []
    for host in hosts:
        host.core.contacts.add("hub", hub.uri, 0)
        hub.core.contacts.add(f"host {len(wires)}", host.uri, 0)
        host.core.commit()
        hub.core.commit()
        wires.append(Wire(host, hub, STREAM, random.Random(0)))
        wires[-1].plug(0.0)
        wires[-1].settle(0.0, 1.0)
    return hub, hosts, wires


def start_again(hub: Host, wires: list[Wire], now: float) -> None:
    """A new engine on the same store, as the service makes one, with all its links."""
    for wire in wires:
        wire.cut(now, crashed=hub)
    hub.start(now)
    for wire in wires:
        wire.plug(now)
        wire.settle(now, now + 5)


@pytest.mark.parametrize("by", ["frame", "event"])
def test_m5_after_a_failed_commit_nothing_leaves_until_a_new_engine_starts(by: str) -> None:
    hub, hosts, wires = star()
    promised = [host.send("hub", f"from {number}", 1.0) for number, host in enumerate(hosts)]
    durable = hub.send("host 2", "was durable before", 1.0)
    for host, wire in zip(hosts, wires, strict=True):
        hub.core.deliver(wire.cids[1], host.core.next_frame(wire.cids[0], 1.0), None, 1.0)
    full_disk_once(hub)
    with pytest.raises(StoreFull):
        if by == "frame":
            hub.core.next_frame(wires[0].cids[1], 1.0)
        else:
            hub.core.poll_events()
    for wire in wires:
        with pytest.raises(StoreFull):
            hub.core.next_frame(wire.cids[1], 1.1)
    assert hub.core.has_events
    with pytest.raises(StoreFull):
        hub.core.poll_events()
    start_again(hub, wires, 2.0)
    assert sorted(hub.inbox()) == ["from 0", "from 1", "from 2"]
    assert [host.states()[message] for host, message in zip(hosts, promised, strict=True)] == [
        "delivered"
    ] * 3
    assert hosts[2].inbox() == ["was durable before"] and hub.states() == {durable: "delivered"}


def test_m5_a_commit_that_failed_for_an_event_stops_the_frames_as_well() -> None:
    """Here no receipt waits, so that nothing but the failure itself can hold the frames back."""
    hub, hosts, wires = star()
    message = hub.send("host 0", "x", 1.0)
    frame = hub.core.next_frame(wires[0].cids[1], 1.0)
    hub.send("host 1", "committed, not yet sent", 1.0)
    hub.drain()
    hosts[0].core.deliver(wires[0].cids[0], frame, None, 1.0)
    hub.core.deliver(wires[0].cids[1], hosts[0].core.next_frame(wires[0].cids[0], 1.0), None, 1.0)
    full_disk_once(hub)
    with pytest.raises(StoreFull):
        hub.core.poll_events()
    with pytest.raises(StoreFull):
        hub.core.next_frame(wires[1].cids[1], 1.1)
    start_again(hub, wires, 2.0)
    assert hub.states()[message] == "delivered" and hosts[0].inbox() == ["x"]
    assert hosts[1].inbox() == ["committed, not yet sent"]


@pytest.mark.parametrize("room", range(2, 14, 3))
def test_m5_a_disk_that_fills_up_while_texts_come_in_loses_none(tmp_path: Path, room: int) -> None:
    """By a refusal or by a failed commit, as it falls; the sender learns of no more than was stored."""
    hub, hosts, wires = star(tmp_path / "hub.db")
    texts = [text(700, seed) for seed in range(90)]
    for number, one in enumerate(texts):
        hosts[number % 3].send("hub", one, 1.0)
    pages = hub.store._read("PRAGMA page_count")[0][0]
    hub.store._execute(f"PRAGMA max_page_count = {pages + room}")
    with suppress(StoreFull):
        while any(wire.step(1.0) for wire in wires):
            pass
    delivered = [row.id for host in hosts for row in host.store.outbox() if row.state == State.DELIVERED]
    assert len(delivered) < len(texts)
    with suppress(StoreFull):
        hub.store.commit()  # as its close does
    assert set(delivered) <= {row.id for row in hub.store.inbox()}, "delivered without being in the inbox"
    hub.store._execute(f"PRAGMA max_page_count = {pages + 100_000}")
    start_again(hub, wires, 2.0)
    assert sorted(hub.inbox()) == sorted(texts)
    assert {state for host in hosts for state in host.states().values()} == {"delivered"}


# --- clocks -------------------------------------------------------------------------------------
@pytest.mark.parametrize("days", [31, -31])
def test_s2_a_recipient_whose_clock_is_a_month_wrong_gets_its_texts(days: int) -> None:
    a, b, wire = pair()
    b.wall = b.core.wall.offset_s = b.wall + days * DAY
    wire.plug(0.0)
    message = a.send("b", "hello", 0.0)
    wire.settle(0.0, 10.0)
    assert b.inbox() == ["hello"] and a.states() == {message: "delivered"}


@pytest.mark.parametrize("days", [31, -31])
def test_s2_a_clock_set_by_a_month_does_not_expire_what_waits(days: int) -> None:
    a, b, wire = pair()
    message = a.send("b", "hello", 0.0)
    a.core.set_wall(a.wall + days * DAY)
    a.core.commit()
    row = a.store.outgoing(message)
    assert row.created_ms == int((a.wall + days * DAY) * 1000)
    assert row.expires_ms - row.created_ms == 30 * DAY * 1000
    a.core.expire(1.0)
    assert a.states() == {message: "queued"}
    wire.plug(29 * DAY)
    wire.settle(29 * DAY, 29 * DAY + 10)
    assert b.inbox() == ["hello"] and a.states() == {message: "delivered"}


def test_s2_after_a_clock_was_set_the_month_still_ends() -> None:
    a, _, _ = pair()
    message = a.send("b", "hello", 0.0)
    a.core.set_wall(a.wall + 31 * DAY)
    a.core.expire(30 * DAY - 1)
    assert a.states() == {message: "queued"}
    assert a.core.wake_at <= 30 * DAY + 1
    a.core.expire(30 * DAY + 1)
    assert a.states() == {message: "expired"}


# --- answers that get lost ----------------------------------------------------------------------
def test_n9_a_lost_refusal_of_a_fragmented_text_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, wire = pair(DATAGRAM)
    b.store._quota = 30_000
    wire.plug(0.0)
    wire.settle(0.0, 1.0)
    refuse, lost = b.core.forwarder.refuse, []

    def lossy(*refusal) -> None:
        if not lost:
            lost.append(refusal)
        else:
            refuse(*refusal)

    monkeypatch.setattr(b.core.forwarder, "refuse", lossy)
    message = a.send("b", text(60_000), 1.0)
    now = wire.settle(1.0, 5.0)
    assert len(lost) == 1
    b.store._quota = 10**9
    wire.settle(now, 3600.0)
    assert b.inbox() == [text(60_000)] and a.states() == {message: "delivered"}


def test_n9_a_lost_receipt_is_repeated_though_64_transfers_came_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, wire = joined()
    attachments(wire)[0].link.rtt = 0.02
    with monkeypatch.context() as patch:
        patch.setattr(b.core._receipts, "add", lambda peer, receipt: None)
        first = a.send("b", text(6000), 1.0)
        while wire.step(1.0):
            pass
    a.core.expire(1.06)
    assert len(b.inbox()) == 1 and a.states() == {first: "sent"}
    for seed in range(TRANSFERS_DONE + 2):
        a.send("b", text(3000, seed), 1.0)
        while wire.step(1.0):
            pass
    wire.settle(1.0, 200.0)
    assert set(a.states().values()) == {"delivered"}
    assert len(b.inbox()) == 1 + TRANSFERS_DONE + 2
    assert a.core.counters["repeats"] < 10


@pytest.mark.parametrize("texts", [1, 4])
def test_n9_a_slow_ordered_channel_with_a_deep_buffer_is_not_given_a_text_twice(texts: int) -> None:
    """What a socket took at once comes out at the far end at the channel's pace."""
    slow = LinkProfile(mtu=1500, bps=9600, ordered=True)
    a, b, wire = joined(slow)
    dice = random.Random(0)
    for _ in range(texts):
        a.send("b", "".join(map(chr, dice.choices(range(1, 128), k=65_536))), 1.0)
    now, count = 1.0, 0
    buffer: deque[bytes] = deque()
    while len(b.inbox()) < texts:
        if now >= a.core.wake_at:
            a.core.expire(now)
        while (fresh := a.core.next_frame(wire.cids[0], now)) is not None:
            buffer.append(fresh)
            count += len(fresh)
        frame = buffer.popleft()
        now += len(frame) * 8 / slow.bps
        b.core.deliver(wire.cids[1], frame, None, now)
        while (back := b.core.next_frame(wire.cids[1], now)) is not None:
            a.core.deliver(wire.cids[0], back, None, now)
    assert now > 40.0 * texts
    assert count < texts * 60_000 and a.core.counters["repeats"] == 0
    assert set(a.states().values()) == {"delivered"}


# --- damage in our own store --------------------------------------------------------------------
def damage_envelope(host: Host, message: bytes) -> None:
    """As a flipped bit does that SQLite cannot see."""
    host.store._write("UPDATE outbox SET envelope = zeroblob(length(envelope)) WHERE id = ?", (message,))


@pytest.mark.parametrize("profile", [STREAM, DATAGRAM])
def test_n9_a_lost_envelope_is_sealed_again_and_blocks_nothing(profile) -> None:
    a, b, wire = pair(profile)
    lost, damaged, sound = (a.send("b", one, 0.0) for one in ("lost", "damaged", "sound"))
    for message in (lost, damaged):
        damage_envelope(a, message)
    a.store._write("UPDATE outbox SET body = zeroblob(length(body)) WHERE id = ?", (damaged,))
    a.store.commit()
    a.start(0.5)
    wire.plug(0.5)
    wire.settle(0.5, 10.0)
    assert sorted(b.inbox()) == ["lost", "sound"]
    assert a.states() == {lost: "delivered", damaged: "failed", sound: "delivered"}
    assert "damaged" in a.store.facts(damaged)[-1].by
    assert a.core.counters["envelopes_lost"] == 2 and a.core.counters["resealed"] == 1


def test_n9_many_lost_envelopes_with_no_room_to_seal_them_again() -> None:
    a, b, wire = pair()
    lost = [a.send("b", f"lost {number}", 0.0) for number in range(5)]
    sound = a.send("b", "sound", 0.0)
    for message in lost:
        damage_envelope(a, message)
    a.store.commit()
    a.start(0.5)
    a.store._quota = a.store.usage()[1] // 2
    wire.plug(0.5)
    now = wire.settle(0.5, 10.0)
    assert b.inbox().count("sound") == 1 and a.states()[sound] == "delivered"
    a.store._quota = 10**9
    wire.settle(now, now + 2 * 3600)
    assert sorted(b.inbox()) == sorted(["sound", *(f"lost {number}" for number in range(5))])
    assert set(a.states().values()) == {"delivered"}


def unknown_sender(a: Host, b: Host, wire: Wire, message: bytes, now: float) -> None:
    """Bob says that he does not know the key of that message's sender."""
    prefix = a.store.outgoing(message).object[:PREFIX_SIZE]
    packet = Packet(Context.REFUSAL, Refusal(Reason.UNKNOWN_SENDER, prefix).encode()).encode()
    frame = attachments(wire)[1].link.seal([(ItemKind.PACKET, packet)], now)
    a.core.deliver(wire.cids[0], frame, None, now)


@pytest.mark.parametrize("profile", [STREAM, DATAGRAM])
@pytest.mark.parametrize("size", [20, 40_000])
def test_n9_an_unknown_sender_with_a_full_store_tries_again_later(size: int, profile) -> None:
    a, b, wire = joined(profile)
    message = a.send("b", text(size), 1.0)
    while a.core.next_frame(wire.cids[0], 1.0) is not None:
        pass
    a.store._quota = a.store.usage()[1] // 2
    unknown_sender(a, b, wire, message, 1.1)
    now = wire.settle(1.1, 50.0)
    assert b.inbox() == []
    a.store._quota = 10**9
    wire.settle(now, 3 * 3600.0)
    assert b.inbox() == [text(size)] and a.states() == {message: "delivered"}


# --- floods -------------------------------------------------------------------------------------
def test_n3_a_flood_of_fragments_that_ask_for_answers_is_cheap() -> None:
    """Four times as many take four times as long, not sixteen; the first time and when they are repeated."""

    def cost(count: int) -> float:
        _, b, wire = joined(STREAM)
        link = attachments(wire)[0].link
        items = [
            (ItemKind.FRAGMENT, Fragment(1, index, b"x", ack_wanted=True).encode())
            for index in range(1, count + 1)
        ]
        frames = [link.seal(items, 1.0), link.seal(items, 1.0)]
        began = time.process_time()
        for frame in frames:
            b.core.deliver(wire.cids[1], frame, None, 1.0)
        took = time.process_time() - began
        assert sum(b.core.counters.values()) == 0
        return took

    assert min(cost(2000) for _ in range(3)) < 8 * min(cost(500) for _ in range(3))


def test_n3_partial_packets_of_all_links_together_are_bounded() -> None:
    """As many neighbours as it takes to pass the node's budget, each with all that one may leave."""
    b = Host(99)
    dice = random.Random(0)
    piece = bytes(15_000)
    wires = []
    for seed in range(1, 22):
        wires.append(Wire(Host(seed), b, STREAM, dice))
        wires[-1].plug(0.0)
        wires[-1].settle(0.0, 1.0)
        link = attachments(wires[-1])[0].link
        for number in range(TRANSFERS_IN):
            for index in range(1, 5):
                frame = link.seal([(ItemKind.FRAGMENT, Fragment(number, index, piece).encode())], 1.0)
                b.core.deliver(wires[-1].cids[1], frame, None, 1.0)
    kept = [partial.size for wire in wires for partial in attachments(wire)[1].reassembly._partial.values()]
    assert 0.9 * REASSEMBLY_BYTES < sum(kept) <= REASSEMBLY_BYTES
    wires[0].hosts[0].core.contacts.add("b", b.uri, 0)
    wires[0].hosts[0].send("b", text(60_000), 2.0)
    wires[0].settle(2.0, 3.0)
    assert b.inbox() == [text(60_000)], "an honest one among them"
    for wire in wires:
        wire.cut(4.0)
    assert b.core._reassembly._left == REASSEMBLY_BYTES, "links that go give back what they held"


# --- held and refused ---------------------------------------------------------------------------
def test_n13_10000_held_messages_cost_a_link_little_and_are_told_once() -> None:
    a, b, wire = pair(NARROW)
    for number in range(10_000):
        row = an_outgoing(number, b.identity.node_id, expires_ms=NEVER_MS)
        a.store.add_outgoing(replace(row, min_bandwidth=10**6))
    a.core.commit()
    plain = a.send("b", "goes at once", 0.0)
    began = time.process_time()
    wire.plug(0.0)
    now = wire.settle(0.0, 20.0)
    assert time.process_time() - began < 1.0
    assert a.states()[plain] == "delivered"

    def told() -> list[object]:
        return [event.fields["id"] for event in a.events if event.fields.get("state") == "held"]

    assert len(told()) == len(set(told())) == 10_000
    facts = a.store._read("SELECT sum(length(facts)) FROM outbox")
    began = time.process_time()
    for bps in (1300, 1200, 2400):
        a.core.retune(wire.cids[0], replace(NARROW, bps=bps))
        now = wire.settle(now + 1, now + 5)
    assert time.process_time() - began < 0.5
    assert len(told()) == 10_000
    assert a.store._read("SELECT sum(length(facts)) FROM outbox") == facts


def test_n13_a_link_that_becomes_wide_enough_lets_the_held_go() -> None:
    a, b, wire = joined(NARROW)
    message = a.send("b", "held", 1.0, min_bandwidth=5000)
    now = wire.settle(1.0, 5.0)
    assert a.states() == {message: "held"}
    a.core.retune(wire.cids[0], replace(NARROW, bps=9600))
    wire.settle(now, now + 5)
    assert b.inbox() == ["held"] and a.states() == {message: "delivered"}


@pytest.mark.parametrize("profile", [NARROW, DATAGRAM, STREAM])
@pytest.mark.parametrize("size", [400, 60_000])
def test_n9_a_full_recipient_is_asked_less_and_less(profile, size: int) -> None:
    a, b, wire = pair(profile)
    b.store._quota = 100
    wire.plug(0.0)
    now = wire.settle(0.0, 5.0)
    message = a.send("b", text(size), now)
    now = wire.settle(now, DAY / 4)
    assert 9 <= b.core.counters["refused_store_full"] <= 13, "after 1, 2, 4 .. 64 minutes, then every 64"
    b.store._quota = 10**9
    wire.settle(now, now + 3900)
    assert b.inbox() == [text(size)] and a.states() == {message: "delivered"}


# --- retune -------------------------------------------------------------------------------------
def test_retune_keeps_receipts_and_refusals_that_wait() -> None:
    a, b, wire = joined()
    good = a.send("b", "good", 1.0)
    bad = a.send("b", "not for him", 1.0)
    frames = list(iter(lambda: a.core.next_frame(wire.cids[0], 1.0), None))
    for frame in frames:
        b.core.deliver(wire.cids[1], frame, None, 1.0)
    b.core._receipts._waiting[a.identity.node_id].popitem()
    b.core.forwarder.refuse(a.identity.node_id, bad[:PREFIX_SIZE], Reason.NOT_HERE)
    for bps in (1e6, 1e7):
        b.core.retune(wire.cids[1], replace(DATAGRAM, bps=bps))
    a.core.deliver(wire.cids[0], b.core.next_frame(wire.cids[1], 1.0), None, 1.0)
    assert a.states() == {good: "delivered", bad: "failed"}


@pytest.mark.parametrize("profile", [DATAGRAM, STREAM])
def test_retune_in_the_middle_of_a_text_holds_to_the_new_mtu_and_loses_nothing(profile) -> None:
    a, b, wire = joined(profile)
    message = a.send("b", text(40_000), 1.0)
    for _ in range(2):
        b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 1.0), None, 1.0)
    a.core.retune(wire.cids[0], replace(profile, mtu=200))
    assert attachments(wire)[0].link.mtu == 200
    wire.frames.clear()
    wire.settle(1.0, 60.0)
    assert max(map(len, wire.frames)) <= 200
    assert b.inbox() == [text(40_000)] and a.states() == {message: "delivered"}
    a.core.retune(wire.cids[0], replace(profile, mtu=60_000))
    assert attachments(wire)[0].link.mtu == profile.mtu, "what the peer takes still bounds it"


# --- order and facts ----------------------------------------------------------------------------
@pytest.mark.parametrize("profile", [NARROW, DATAGRAM, STREAM])
def test_n9_sent_is_said_once_all_of_a_text_has_gone(profile) -> None:
    a, b, wire = joined(profile)
    message = a.send("b", text(50_000), 1.0)
    said: list[str] = []
    now = 1.0
    while a.states()[message] != "delivered":
        now += 0.01
        frame = a.core.next_frame(wire.cids[0], now)
        now += 0.05
        a.core.expire(now)
        [mailbox] = a.core.delivery._mailboxes[b.identity.node_id]
        transfer = mailbox.flights[message].transfer
        said.append(a.states()[message])
        assert (said[-1] == "sent") == (transfer.waiting or "sent" in said[:-1])
        if frame is not None:
            b.core.deliver(wire.cids[1], frame, None, now)
        while (back := b.core.next_frame(wire.cids[1], now)) is not None:
            a.core.deliver(wire.cids[0], back, None, now)
    assert said.count("queued") >= 50_000 // (3 * profile.mtu), "frame after frame"
    assert b.inbox() == [text(50_000)]


@pytest.mark.parametrize("end", ["receipt", "time", "cut", "expiry"])
def test_n9_sent_waits_briefly_to_be_written_with_what_follows(end: str) -> None:
    a, b, wire = joined()
    message = a.send("b", "hello", 1.0)
    a.drain()
    frame = a.core.next_frame(wire.cids[0], 1.0)
    a.core.expire(1.04)
    assert not a.store.dirty and not a.core.has_events and a.states() == {message: "queued"}
    if end == "receipt":
        b.core.deliver(wire.cids[1], frame, None, 1.04)
        a.core.deliver(wire.cids[0], b.core.next_frame(wire.cids[1], 1.04), None, 1.04)
    elif end == "time":
        assert a.core.wake_at <= 1.05
        a.core.expire(1.05)
    elif end == "cut":
        wire.cut(1.04)
    else:
        a.core.delivery.expire_messages(31 * DAY)
    then = {"receipt": ["delivered"], "expiry": ["expired"]}.get(end, [])
    a.events.clear()
    a.drain()
    states = [event.fields["state"] for event in a.events if event.event == "message_state"]
    assert states == ["sent", *then]
    assert [fact.state for fact in a.store.facts(message)] == ["queued", *states]
    assert a.store.facts(message)[1].at_ms == int((a.wall + 1.0) * 1000), "when it was sent, not when written"
    a.core.expire(1.2)
    assert not a.core.has_events


@pytest.mark.parametrize("profile", [NARROW, DATAGRAM, STREAM])
def test_n6_a_small_text_overtakes_20_large_ones(profile) -> None:
    a, b, wire = joined(profile)
    for seed in range(20):
        a.send("b", text(30_000, seed), 1.0)
    for _ in range(3):
        b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 1.0), None, 1.0)
    a.send("b", "small", 1.0)
    for _ in range(2):
        b.core.deliver(wire.cids[1], a.core.next_frame(wire.cids[0], 1.0), None, 1.0)
    assert "small" in b.inbox() and len(b.inbox()) < 4
    wire.settle(1.0, 20_000.0)
    assert set(a.states().values()) == {"delivered"} and len(b.inbox()) == 21


# --- wake-ups -----------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", [DATAGRAM, STREAM, NARROW, RADIO])
def test_a_node_whose_medium_takes_nothing_for_a_minute_sleeps(profile: LinkProfile) -> None:
    """N3: a link that has something to say is woken once, not until its radio has had its turn."""
    a, b, wire = joined(profile)
    now = wire.settle(1.0, 120.0)
    assert b.core.router.link_to(a.identity.node_id) is not None
    cids = list(wire.cids)
    a.send("b", "waits for the air", now)
    for host, cid in zip(wire.hosts, cids, strict=True):
        host.core.notifier.subscribe(topic_of("scope:topic/news"), Mode.PUSH, now)
        until, woken = now + 60.0, 0
        at = max(now, host.core.wake_at)
        while at < until:
            host.core.expire(at)
            woken += 1
            assert woken < 200
            at = max(at + 0.01, host.core.wake_at)
        assert host.core.next_frame(cid, until) is not None
