"""Two link machines against each other: loss, reorder, duplication, restart, hostile frames (N3)."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import REKEY_AFTER_S, REKEY_OVERLAP_S
from nexus_node.crypto.identity import Identity
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.link import Link, LinkDown, LinkUp
from nexus_node.wire.frames import FrameKind, ItemKind, ItemPacker, Lost, Opening, sealed_header

WIDE = LinkProfile(mtu=1400, bps=100e6)
STREAM = LinkProfile(mtu=16384, bps=100e6, ordered=True)
RADIO = LinkProfile(mtu=255, bps=1200, half_duplex=True, shared=True)


class SeededRng:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


@dataclass
class Side:
    link: Link
    heard: list[bytes] = field(default_factory=list)
    events: list[LinkUp | LinkDown] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    to_send: list[bytes] = field(default_factory=list)

    def pull(self, now: float) -> list[bytes]:
        frames = []
        while (frame := self.link.poll_handshake()) is not None:
            frames.append(frame)
        if self.link.up:
            packer = ItemPacker(self.link.room)
            self.link.fill(packer)
            while self.to_send:
                packer.add(ItemKind.PACKET, self.to_send.pop(0))
            if packer.items or self.link.must_send:
                frames.append(self.link.seal(packer.items, now))
        return frames

    def take(self, frame: bytes, now: float) -> None:
        try:
            self.heard += [body for kind, body in self.link.receive(frame, now) if kind == ItemKind.PACKET]
            self.link.conclude(now)
        except BadWire as error:
            self.errors.append(error.code)
        while (event := self.link.poll_event()) is not None:
            self.events.append(event)


def identity(seed: int) -> Identity:
    return Identity.from_seed(bytes([seed]) * 32)


def make(
    seed: int, profile: LinkProfile, *, dialed: bool, known=None, now: float = 0.0, salt: int = 0
) -> Side:
    rng = SeededRng(seed * 1000 + salt)
    return Side(Link(identity(seed), profile, rng, dialed=dialed, known=known, now=now))


def talk(a: Side, b: Side, now: float, rounds: int = 12, lose=lambda: False, keep=None) -> None:
    for _ in range(rounds):
        for one, other in ((a, b), (b, a)):
            for frame in one.pull(now):
                if keep is not None:
                    keep.append(frame)
                if not lose():
                    other.take(frame, now)


def pair(profile: LinkProfile = WIDE, *, known: bool = False, both: bool = False) -> tuple[Side, Side]:
    a = make(1, profile, dialed=True, known=identity(2).node_id if known else None)
    b = make(2, profile, dialed=both, known=identity(1).node_id if known and both else None)
    return a, b


@pytest.mark.parametrize("profile", [WIDE, STREAM, RADIO])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_n3_handshake_and_frames_both_ways(profile: LinkProfile, known: bool, both: bool) -> None:
    a, b = pair(profile, known=known, both=both)
    talk(a, b, 0.0)
    assert a.events == [LinkUp(identity(2).node_id)]
    assert b.events == [LinkUp(identity(1).node_id)]
    a.to_send.append(b"to b")
    b.to_send.append(b"to a")
    talk(a, b, 1.0)
    assert (a.heard, b.heard) == ([b"to a"], [b"to b"])
    assert a.link.mtu == profile.mtu


def test_n3_handshake_sizes_and_frame_overhead() -> None:
    for known, sizes in ((False, [36, 103, 69]), (True, [102, 55])):
        a, b = pair(WIDE, known=known)
        frames: list[bytes] = []
        talk(a, b, 0.0, keep=frames)
        assert [len(frame) for frame in frames if not frame[0] & 0x80] == sizes
    a, b = pair(RADIO)
    talk(a, b, 0.0)
    a.to_send.append(b"x" * 20)
    [frame] = a.pull(0.0)
    assert len(frame) - 20 == 22  # shared media carry the receiver's index
    a, b = pair(WIDE)
    talk(a, b, 0.0)
    a.to_send.append(b"x" * 20)
    [frame] = a.pull(0.0)
    assert len(frame) - 20 == 20


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.5), both=st.booleans(), known=st.booleans())
def test_n3_handshake_survives_loss_reorder_and_duplication(
    seed: int, loss: float, both: bool, known: bool
) -> None:
    dice = random.Random(seed)
    a, b = pair(WIDE, known=known, both=both)
    now = 0.0
    flying: list[tuple[Side, bytes]] = []
    for _ in range(4000):
        for one, other in ((a, b), (b, a)):
            one.link.expire(now)
            for frame in one.pull(now):
                flying += [(other, frame)] * dice.choice((1, 1, 1, 2))
        dice.shuffle(flying)
        for other, frame in flying[: len(flying) // 2 + 1]:
            if dice.random() >= loss:
                other.take(frame, now)
        flying = flying[len(flying) // 2 + 1 :]
        if a.link.up and b.link.up and not flying:
            a.to_send.append(b"ping")
            for frame in a.pull(now):
                b.take(frame, now)
            if b.heard:
                break
        now += 0.5
    assert b.heard, "the link never carried anything"


def test_n3_simultaneous_open_agrees_on_one_session() -> None:
    for salt in range(20):
        a = make(1, WIDE, dialed=True, salt=salt)
        b = make(2, WIDE, dialed=True, salt=salt)
        crossing = [(b, a.pull(0.0)), (a, b.pull(0.0))]
        for side, frames in crossing:
            for frame in frames:
                side.take(frame, 0.0)
        talk(a, b, 0.1)
        a.to_send.append(b"1")
        b.to_send.append(b"2")
        talk(a, b, 0.2)
        assert (a.heard, b.heard) == ([b"2"], [b"1"])
        assert len(a.events) == len(b.events) == 1


def test_n3_replay_and_reorder_within_the_window() -> None:
    a, b = pair()
    talk(a, b, 0.0)
    frames = []
    for number in range(300):
        a.to_send.append(number.to_bytes(2, "big"))
        frames += a.pull(0.0)
    order = frames[:]
    random.Random(7).shuffle(order)
    for frame in order + order:
        b.take(frame, 0.0)
    assert sorted(b.heard) == [number.to_bytes(2, "big") for number in range(300)]
    assert b.errors == ["replay"] * 300


def test_n3_counter_survives_more_than_16_bits() -> None:
    a, b = pair()
    talk(a, b, 0.0)
    for _ in range(70_000):
        frame = a.link.seal([(ItemKind.PADDING, b"")], 0.0)
        if _ % 20_000 < 5:
            b.take(frame, 0.0)
    a.to_send.append(b"late")
    talk(a, b, 0.0)
    assert b.heard == [b"late"] and not b.errors


def test_n3_capture_replayed_whole_changes_nothing() -> None:
    a, b = pair()
    capture: list[bytes] = []
    talk(a, b, 0.0, keep=capture)
    a.to_send.append(b"once")
    talk(a, b, 0.0, keep=capture)
    before = list(b.events)
    for frame in capture * 3:
        b.take(frame, 1.0)
        b.pull(1.0)
    assert b.heard == [b"once"]
    assert b.events == before and b.link.up
    a.to_send.append(b"still here")
    for frame in a.pull(1.0):
        b.take(frame, 1.0)
    assert b.heard == [b"once", b"still here"]


@given(data=st.binary(max_size=200).filter(lambda data: data != Lost().encode()))  # that has a meaning
def test_n3_garbage_is_counted_and_harmless(data: bytes) -> None:
    a, b = pair()
    talk(a, b, 0.0)
    b.take(data, 0.0)
    b.take(sealed_header(0, None, 5) + data + bytes(16), 0.0)
    a.to_send.append(b"fine")
    talk(a, b, 0.0)
    assert b.heard == [b"fine"]
    assert all(event == LinkUp(identity(1).node_id) for event in b.events)


def test_n3_peer_restart_is_recovered_without_waiting_for_keepalive() -> None:
    a, b = pair(known=True)
    talk(a, b, 0.0)
    b2 = make(2, WIDE, dialed=False, now=10.0, salt=5)
    a.to_send.append(b"into the void")
    talk(a, b2, 10.0)
    assert [type(event) for event in a.events] == [LinkUp, LinkDown, LinkUp]
    a.to_send.append(b"again")
    talk(a, b2, 11.0)
    assert b2.heard == [b"again"]


def test_n3_restarted_initiator_replaces_the_link_only_once_it_proves_itself() -> None:
    a, b = pair(known=True)
    capture: list[bytes] = []
    talk(a, b, 0.0, keep=capture)
    a2 = make(1, WIDE, dialed=True, known=identity(2).node_id, now=5.0, salt=9)
    [opening] = a2.pull(5.0)
    b.take(opening, 5.0)
    a.to_send.append(b"old link still works")
    talk(a, b, 5.0, rounds=1)
    assert b.heard == [b"old link still works"]
    b.pull(5.0)
    b.take(opening, 5.1)  # the reply got lost; it repeats
    for frame in b.pull(5.1):
        a2.take(frame, 5.1)
    a2.to_send.append(b"new")
    talk(a2, b, 5.2)
    assert b.heard[-1] == b"new"
    assert [type(event) for event in b.events] == [LinkUp, LinkDown, LinkUp]


def test_n3_ik_to_the_wrong_node_falls_back_to_xx() -> None:
    a = make(1, WIDE, dialed=True, known=identity(3).node_id)
    b = make(2, WIDE, dialed=False)
    talk(a, b, 0.0)
    assert a.events == [LinkUp(identity(2).node_id)]
    assert b.errors == ["bad_handshake"]


def test_n3_forged_lost_does_not_drop_the_link() -> None:
    a, b = pair()
    talk(a, b, 0.0)
    for _ in range(100):
        a.take(Lost().encode(), 1.0)
    assert len(a.pull(1.0)) <= 2  # an attempt or two, not a hundred
    a.to_send.append(b"works")
    for frame in a.pull(1.0):
        b.take(frame, 1.0)
    assert b.heard == [b"works"]


def test_n3_rekey_by_time_loses_nothing_and_uses_new_keys() -> None:
    a, b = pair()
    talk(a, b, 0.0)
    for hour in range(1, 7):
        now = hour * (REKEY_AFTER_S + 1)
        a.link.last_heard = b.link.last_heard = now
        old = a.link.seal([(ItemKind.PACKET, b"sealed before")], now)
        a.link.expire(now)
        b.link.expire(now)
        talk(a, b, now)
        b.take(old, now + 1)
        a.to_send.append(b"after")
        b.to_send.append(b"after")
        talk(a, b, now + 2)
        assert b.heard == [b"sealed before", b"after"] and a.heard == [b"after"]
        assert a.link._session.epoch == b.link._session.epoch == hour % 4
        a.heard.clear()
        b.heard.clear()
    assert not a.errors and not b.errors


def test_n3_new_keys_are_told_again_to_a_peer_that_has_not_heard_of_them() -> None:
    """The frame that should have is lost, and nothing else goes for a long time."""
    a, b = pair()
    talk(a, b, 0.0)
    now = REKEY_AFTER_S + 1
    a.link.last_heard = b.link.last_heard = now
    a.link.expire(now)
    for source, sink in ((a, b), (b, a)):  # REKEY, and its reply
        for frame in source.pull(now):
            sink.take(frame, now)
    assert len(a.pull(now)) == 1, "and it is lost"
    assert (a.link._session.epoch, b.link._session.epoch) == (1, 0)
    now += 10 * REKEY_OVERLAP_S
    b.to_send.append(b"under the old keys")
    talk(a, b, now)
    assert a.heard == [b"under the old keys"] and not a.errors
    assert a.link._session.epoch == b.link._session.epoch == 1
    now += 10 * REKEY_OVERLAP_S
    b.to_send.append(b"under the new ones")
    talk(a, b, now)
    assert a.heard[1:] == [b"under the new ones"] and not a.errors


def test_n3_rekey_by_volume() -> None:
    slow = LinkProfile(mtu=1400, bps=9600)
    a, b = pair(slow)
    talk(a, b, 0.0)
    for _ in range(900):
        a.to_send.append(bytes(1300))
        talk(a, b, 1.0, rounds=1)
    talk(a, b, 1.0)
    assert a.link._session.epoch == 1
    assert len(b.heard) == 900


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_n3_rekey_survives_loss(seed: int) -> None:
    dice = random.Random(seed)
    a, b = pair()
    talk(a, b, 0.0)
    now = REKEY_AFTER_S + 1
    for _ in range(120):
        a.link.last_heard = b.link.last_heard = now
        a.link.expire(now)
        b.link.expire(now)
        a.to_send.append(b"a")
        b.to_send.append(b"b")
        talk(a, b, now, rounds=1, lose=lambda: dice.random() < 0.3)
        now += 1.0
    assert a.link._session.epoch == b.link._session.epoch != 0
    talk(a, b, now)
    a.heard.clear()
    b.heard.clear()
    a.to_send.append(b"end")
    b.to_send.append(b"end")
    talk(a, b, now)
    assert a.heard == b.heard == [b"end"]


@pytest.mark.parametrize("profile", [WIDE, STREAM])
def test_n3_one_of_two_asks_and_that_keeps_an_idle_link_alive(profile: LinkProfile) -> None:
    a, b = pair(profile)
    talk(a, b, 0.0)
    first, second = sorted((a, b), key=lambda side: identity(1 if side is a else 2).node_id)
    now, delay, woken = 0.0, 0.03, 0
    sent: dict[int, list[float]] = {id(first): [], id(second): []}
    under_way: list[tuple[float, Side, bytes]] = []
    while now < 999:
        now = min([one.link.next_deadline() for one in (a, b)] + [at for at, _, _ in under_way])
        for one in (a, b):
            if now >= one.link.next_deadline():
                one.link.expire(now)
                woken += 1
        due, under_way = (
            [one for one in under_way if one[0] <= now],
            [one for one in under_way if one[0] > now],
        )
        for _, to, frame in due:
            to.take(frame, now)
        for one, other in ((a, b), (b, a)):
            for frame in one.pull(now):
                sent[id(one)].append(now)
                under_way.append((now + delay, other, frame))
    assert a.link.up and b.link.up
    for side in (first, second):
        assert abs(len(sent[id(side)]) - 1000 // first.link.keepalive) <= 1, "a PING or a PONG a period"
        gaps = [later - sooner for sooner, later in pairwise([0.0, *sent[id(side)]])]
        assert max(gaps) < 30, "NAT mappings of both ends"
    assert woken <= 2 * 1000 / first.link.keepalive + 2


@pytest.mark.parametrize("delay", [0.02, 0.8, 1.5])
@pytest.mark.parametrize("speaker", [0, 1])
def test_n4_a_peer_that_is_slow_to_answer_is_not_taken_for_gone(delay: float, speaker: int) -> None:
    """It is asked at once when it is silent, from the first frame on."""
    sides, now, next_s = pair(WIDE), 0.0, 5.0
    under_way: list[tuple[float, Side, bytes]] = []
    while now < 120:
        now = min([next_s, *(one.link.next_deadline() for one in sides), *(at for at, _, _ in under_way)])
        if now >= next_s:
            sides[speaker].to_send.append(b"hi")
            next_s += 5
        arrived = [one for one in under_way if one[0] <= now]
        under_way = [one for one in under_way if one[0] > now]
        for _, to, frame in arrived:
            to.take(frame, now)
        for one, other in (sides, sides[::-1]):
            one.link.expire(now)
            under_way += [(now + delay, other, frame) for frame in one.pull(now)]
    assert [len(one.events) for one in sides] == [1, 1], "up, and never down"
    assert len(sides[1 - speaker].heard) >= 22


@pytest.mark.parametrize("swapped", [False, True])
def test_n3_silent_peer_is_noticed_and_dialed_again(swapped: bool) -> None:
    """The end that asks later than the other would notices as soon."""
    a, b = (make(2, WIDE, dialed=True), make(1, WIDE, dialed=False)) if swapped else pair()
    talk(a, b, 0.0)
    now = 0.0
    while a.link.up:
        deadline = a.link.next_deadline()
        assert deadline is not None and deadline > now
        now = deadline
        a.link.expire(now)
        a.pull(now)
    assert now == pytest.approx(3 * a.link.keepalive, abs=1.0)
    b2 = make(1 if swapped else 2, WIDE, dialed=False, now=now, salt=3)
    a.link.expire(a.link.next_deadline())
    talk(a, b2, now)
    assert a.link.up and b2.link.up


def test_n3_unanswered_accepted_connection_is_closed() -> None:
    b = make(2, STREAM, dialed=False)
    assert b.link.next_deadline() == b.link.timeout
    b.link.expire(b.link.timeout)
    assert b.link.closed == "no handshake was completed in time"


def test_n3_close_tells_the_peer_why() -> None:
    a, b = pair()
    talk(a, b, 0.0)
    a.link.close("stopping")
    talk(a, b, 0.0, rounds=1)
    assert b.events[-1] == LinkDown(identity(1).node_id, "the peer closed it: stopping")


def test_n3_a_node_does_not_link_with_itself() -> None:
    a = make(1, WIDE, dialed=True)
    b = make(1, WIDE, dialed=False, salt=4)
    talk(a, b, 0.0)
    assert a.link.closed == b.link.closed == "this address leads back to this node"
    assert not a.events and not b.events


def test_n3_forged_openings_do_not_end_our_own_trying() -> None:
    a, b = pair(WIDE)
    a.pull(0.0)
    forged = Opening(FrameKind.XX1, 7, b"", b"\x09" + bytes(31))  # lower than any honest ephemeral key
    a.take(forged.encode(), 0.1)
    a.pull(0.1)
    now = 0.1
    while now < 60 and not b.link.up:
        now = a.link.next_deadline()
        a.link.expire(now)
        talk(a, b, now)
    assert a.link.up and b.link.up and now < 60


def test_n3_who_only_sends_does_not_take_the_listener_for_gone() -> None:
    a, b = pair(STREAM)
    talk(a, b, 0.0)
    now, from_b = 0.0, 0
    while now < 600:
        now += 5
        a.link.expire(now)
        b.link.expire(now)
        a.link._items.clear()  # a's PING is stuck behind the rest: only what b sends of itself comes back
        a.to_send.append(b"part of something long")
        for frame in a.pull(now):
            b.take(frame, now)
        for frame in b.pull(now):
            from_b += 1
            a.take(frame, now)
    assert a.link.up and b.link.up
    assert 600 / b.link.keepalive / 3 < from_b <= 600 / b.link.keepalive + 1
