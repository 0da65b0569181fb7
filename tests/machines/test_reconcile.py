"""Two neighbours find out what each lacks, whatever the channel does (N10)."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.limits import RECONCILE_ITEMS, SKETCH_CAPACITY
from nexus_node.proto.itemset import ItemSet
from nexus_node.proto.reconcile import ROOM_MIN, Initiator
from nexus_node.proto.reconcile_responder import Responder
from nexus_node.proto.sketch import decode, syndromes
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

Items = dict[bytes, int]
NOW = 1_767_225_600
SALT = bytes(range(1, 9))


class Pair:
    """Both ends, and what each was told and sent."""

    def __init__(self, alice: Items, bob: Items, *, narrow: bool, room: int, salt: bytes = SALT) -> None:
        self.alice, self.bob, self.room = alice, bob, room
        self.initiator = Initiator(alice, salt=salt, narrow=narrow, room=room)
        self.responder = Responder(bob, salt=salt, room=room)
        self.bob_lacks: list[bytes] = []
        self.alice_lacks: list[bytes] = []
        self.told_bob: tuple[list[bytes], list[bytes]] = ([], [])
        self.bytes = self.rounds = 0
        self.done = self.responder_done = False

    def ask(self, message: bytes) -> bytes:
        question = parse_reconcile_untrusted(message)
        assert isinstance(question, Question)
        reply = self.responder.take(question)
        assert reply.message is not None and max(len(message), len(reply.message)) <= self.room
        self.told_bob[0].extend(reply.we_lack)
        self.told_bob[1].extend(reply.they_lack)
        self.responder_done = reply.done
        self.bytes += len(message) + len(reply.message)
        self.rounds += 1
        return reply.message

    def answer(self, message: bytes) -> bytes | None:
        answer = parse_reconcile_untrusted(message)
        assert isinstance(answer, Answer)
        reply = self.initiator.take(answer)
        self.bob_lacks += reply.they_lack
        self.alice_lacks += reply.we_lack
        self.done = self.done or reply.done
        return reply.message

    def run(self) -> "Pair":
        message: bytes | None = self.initiator.open()
        while message is not None:
            message = self.answer(self.ask(message))
        return self

    def check(self) -> None:
        """Both know exactly what either lacks, and were told each item once."""
        assert self.done and self.responder_done and self.initiator.exact
        assert (
            sorted(self.bob_lacks) == sorted(self.told_bob[0]) == sorted(self.alice.keys() - self.bob.keys())
        )
        assert sorted(self.alice_lacks) == sorted(self.told_bob[1])
        assert sorted(self.alice_lacks) == sorted(self.bob.keys() - self.alice.keys())


def stores(count: int, differing: int, *, recent: bool = False, seed: int = 1) -> tuple[Items, Items]:
    """`count` items of the last 30 days in all; those that differ are held by one or the other in turn."""
    dice = random.Random(seed)
    items = sorted((NOW - dice.randrange(30 * 86400), dice.randbytes(8)) for _ in range(count))
    alone = items[count - differing :] if recent else dice.sample(items, differing)
    sides: tuple[Items, Items] = ({}, {})
    for index, side in enumerate(sides):
        side.update((item, time) for time, item in items if (time, item) not in alone)
        side.update((item, time) for time, item in alone[index::2])
    return sides


_times = st.sampled_from(
    (
        lambda dice: NOW,
        lambda dice: NOW + dice.randrange(3),
        lambda dice: dice.randrange(2**32),
        lambda dice: 0,
    )
)


@st.composite
def _sides(draw: st.DrawFn) -> tuple[Items, Items]:
    """Random sets; ids may share long beginnings, and times be equal."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    time: Callable[[random.Random], int] = draw(_times)
    tail = draw(st.sampled_from((8, 8, 2)))
    both, alice, bob = (
        {bytes(8 - tail) + dice.randbytes(tail): time(dice) for _ in range(draw(st.integers(0, most)))}
        for most in (600, 80, 80)
    )
    return alice | both, bob | both


@settings(deadline=None, max_examples=80)
@given(_sides(), st.booleans(), st.sampled_from((ROOM_MIN, 120, 200, 1400, 4096)))
def test_n10_both_ends_learn_exactly_the_difference(
    sides: tuple[Items, Items], narrow: bool, room: int
) -> None:
    shared = {item: min(sides[0][item], sides[1][item]) for item in sides[0].keys() & sides[1].keys()}
    pair = Pair(sides[0] | shared, sides[1] | shared, narrow=narrow, room=room).run()
    pair.check()
    differing = len(pair.bob_lacks) + len(pair.alice_lacks)
    assert pair.rounds <= 12 + 8 * differing


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("room", [ROOM_MIN, 1400])
@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        ({}, {}),
        (stores(300, 0)[0], {}),
        ({}, stores(300, 0)[0]),
        (stores(500, 500)[0], stores(500, 500)[1]),
        (stores(1, 1)[0], stores(1, 1)[1]),
        (stores(400, 0)[0], stores(400, 0)[0]),
    ],
    ids=["both empty", "empty responder", "empty initiator", "all different", "one item", "equal"],
)
def test_n10_extremes(alice: Items, bob: Items, room: int, narrow: bool) -> None:
    pair = Pair(alice, bob, narrow=narrow, room=room).run()
    pair.check()
    differing = len(alice.keys() ^ bob.keys())
    assert pair.bytes <= 64 + 24 * differing
    if not differing:
        assert pair.bytes <= 22 and pair.rounds == 1


@settings(deadline=None, max_examples=60)
@given(_sides(), st.booleans(), st.floats(0.05, 0.5), st.integers(0, 2**32))
def test_n10_loss_and_duplication_change_nothing(
    sides: tuple[Items, Items], narrow: bool, loss: float, seed: int
) -> None:
    """The initiator repeats; either side hears old messages again; the responder's answers are the same."""
    dice = random.Random(seed)
    shared = {item: sides[0][item] for item in sides[0].keys() & sides[1].keys()}
    pair = Pair(sides[0] | shared, sides[1] | shared, narrow=narrow, room=200)
    message: bytes | None = pair.initiator.open()
    heard: dict[bytes, bytes] = {}
    while message is not None:
        assert pair.rounds < 5000
        if dice.random() < loss:
            continue
        question = dice.choice([message, *heard]) if dice.random() < loss else message
        answer = pair.ask(question)
        assert heard.setdefault(question, answer) == answer
        if dice.random() < loss:
            continue
        answer = dice.choice(list(heard.values())) if dice.random() < loss else answer
        following = pair.answer(answer)
        if following is not None or pair.done:
            message = following
    pair.responder_done = True  # an old question may have been the last it heard
    pair.check()


# --- what it costs ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("differing", "recent", "narrow", "room", "bytes_most", "rounds_most"),
    [
        (10, False, False, 1400, 2500, 7),
        (10, False, False, 200, 2700, 15),
        (10, True, False, 1400, 700, 5),
        (0, False, False, 1400, 22, 1),
        (10, False, True, 200, 200, 2),
        (40, False, True, 200, 700, 6),
    ],
)
def test_n10_bytes_and_rounds_in_ten_thousand(
    differing: int, recent: bool, narrow: bool, room: int, bytes_most: int, rounds_most: int
) -> None:
    """performance.md: 2.9 to 4.0 KB, 0.5 to 0.7 KB when recent; a sketch of 48 to 96 bytes, and the items."""
    for seed in range(3):
        pair = Pair(*stores(10_000, differing, recent=recent, seed=seed), narrow=narrow, room=room).run()
        pair.check()
        assert pair.bytes <= bytes_most and pair.rounds <= rounds_most


def test_many_differences_on_a_narrow_link_fall_back_to_ranges() -> None:
    pair = Pair(*stores(2000, 2 * SKETCH_CAPACITY), narrow=True, room=200).run()
    pair.check()
    assert pair.rounds > 20


def test_an_answer_takes_time_and_room_of_the_question_not_of_the_store() -> None:
    items, _ = stores(5000, 0)
    responder = Responder(items, salt=SALT, room=200)
    reply = responder.take(Question(SALT[0], 1, ranges=(Range(BEGIN, END, ()),)))
    assert reply.message is not None and len(reply.message) <= 200 and 20 <= len(reply.they_lack) <= 25
    assert (
        reply.they_lack
        == [item for _, item in sorted((time, item) for item, time in items.items())][: len(reply.they_lack)]
    )


# --- lies, garbage, collisions ------------------------------------------------------------------------
def test_messages_of_another_reconciliation_are_ignored() -> None:
    alice, bob = stores(50, 6)
    pair = Pair(alice, bob, narrow=False, room=200)
    other = Initiator(alice, salt=bytes(8), narrow=False, room=200)
    assert pair.responder.take(other._question).message is None
    same_session = Initiator(alice, salt=SALT[:1] + bytes(7), narrow=False, room=200)
    assert pair.responder.take(same_session._question).message is None
    assert pair.initiator.take(Answer(SALT[0] ^ 1, 0)).done is False
    assert pair.initiator.take(Answer(SALT[0], 1)).done is False
    pair.run().check()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(SALT[0], 1, differing=1 << 16),
        Answer(SALT[0], 1, extras=(Extras(0), Extras(0))),
        Answer(SALT[0], 1, extras=(Extras(1 << 32),)),
        Answer(SALT[0], 1, extras=(Extras(0, (), (5, bytes(8))),)),
        Answer(SALT[0], 1, extras=(Extras(0, (b"12345678",), END),)),
        Answer(SALT[0], 1, gives=(b"12345678",)),
    ],
)
def test_answers_that_do_not_fit_the_question_are_refused(answer: Answer) -> None:
    initiator = Initiator(stores(20, 0)[0], salt=SALT, narrow=False, room=200)
    reply = initiator.take(Answer(SALT[0], 0, Summary(3, 3)))
    assert reply.message is not None
    with pytest.raises(BadWire, match="bad_reconcile"):
        initiator.take(answer)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_liar_to_whom_everything_differs_gets_no_more_than_all_there_is(narrow: bool) -> None:
    alice, _ = stores(1000, 0)
    initiator = Initiator(alice, salt=SALT, narrow=narrow, room=1400)
    sketch = tuple(range(1, 13)) if narrow else None
    reply = initiator.take(Answer(SALT[0], 0, Summary(1000, 1), sketch))
    told: list[bytes] = []
    for _ in range(100):
        if reply.message is None:
            break
        question = parse_reconcile_untrusted(reply.message)
        assert isinstance(question, Question)
        fingerprints = sum(not one.listed for one in question.ranges)
        lists = (len(one.says) for one in question.ranges if one.listed)
        answer = Answer(
            question.session,
            question.step,
            syndromes=tuple(range(question.sketch[1])) if question.sketch else None,
            differing=(1 << fingerprints) - 1,
            extras=tuple(Extras((1 << count) - 1) for count in lists),
        )
        reply = initiator.take(answer)
        told += reply.they_lack
    assert reply.done and not initiator.exact
    assert sorted(told) == sorted(alice)


def test_a_liar_with_endless_items_is_cut_off() -> None:
    initiator = Initiator({}, salt=SALT, narrow=False, room=4096)
    reply = initiator.take(Answer(SALT[0], 0, Summary(3, 3)))
    learned = 0
    with pytest.raises(BadWire, match="bad_reconcile"):
        for step in range(1, 1000):
            items = tuple(step.to_bytes(4, "big") + n.to_bytes(4, "big") for n in range(500))
            cut = (step, bytes(8))
            reply = initiator.take(Answer(SALT[0], step % 256, extras=(Extras(0, items, cut),)))
            learned += len(reply.we_lack)
    assert RECONCILE_ITEMS - 500 <= learned <= RECONCILE_ITEMS


def test_ten_thousand_pieces_of_garbage_raise_badwire_or_nothing() -> None:
    """Mutated messages of a real exchange, to both ends; what they then ask still fits."""
    dice = random.Random(3)
    alice, bob = stores(100, 30)
    seen: list[bytes] = []
    for narrow in (False, True):
        pair = Pair(alice, bob, narrow=narrow, room=200)
        message: bytes | None = pair.initiator.open()
        while message is not None:
            seen += [message, pair.ask(message)]
            message = pair.answer(seen[-1])
    taken = 0
    initiator = Initiator(alice, salt=SALT, narrow=False, room=200)
    responder = Responder(bob, salt=SALT, room=200)
    fresh = True
    for round_ in range(10_000):
        if fresh:
            initiator = Initiator(alice, salt=SALT, narrow=round_ % 8 == 0, room=200)
        fresh = round_ % 50 == 49
        data = bytearray(dice.choice(seen))
        for _ in range(dice.randrange(4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        data[1] = SALT[0] if data[0] & 8 == 0 or data[0] & 32 else data[1]
        try:
            parsed = parse_reconcile_untrusted(bytes(data[: dice.randrange(1, 400)]))
            if isinstance(parsed, Answer):
                step = initiator._question.step
                reply = initiator.take(replace(parsed, session=SALT[0], step=step))
            else:
                reply = responder.take(parsed)
        except BadWire as error:
            assert error.code == "bad_reconcile"
            fresh = True
        else:
            taken += 1
            assert len(reply.message or b"") <= 200
    assert taken > 1000


def colliding() -> tuple[bytes, bytes]:
    """Two items with the same short id under SALT."""
    items = ItemSet({}, SALT)
    by_short: dict[int, bytes] = {}
    dice = random.Random(5)
    while True:
        one = dice.randbytes(8)
        other = by_short.setdefault(items.short(one), one)
        if other != one:
            return one, other


def test_colliding_short_ids_are_noticed_and_another_salt_finds_them() -> None:
    one, other = colliding()
    both, _ = stores(100, 0)
    for narrow in (False, True):
        pair = Pair(both | {one: NOW}, both | {other: NOW}, narrow=narrow, room=1400).run()
        assert pair.done and not pair.initiator.exact
        pair = Pair(both | {one: NOW}, both | {other: NOW}, narrow=narrow, room=1400, salt=bytes(8)).run()
        pair.check()


def test_what_a_sketch_gets_wrong_the_ranges_put_right() -> None:
    """Of two of Alice's items with one short id Bob lacks the older; the sketch accuses the other."""
    one, other = colliding()
    both, _ = stores(100, 0)
    both[other] = NOW
    pair = Pair(both | {one: NOW - 20 * 86400}, both, narrow=True, room=1400).run()
    assert pair.initiator.exact is False and pair.bob_lacks[0] == other
    assert one in pair.bob_lacks and pair.told_bob == ([one], [])
    pair = Pair(both, both | {one: NOW - 20 * 86400}, narrow=True, room=1400).run()
    assert pair.told_bob[1] and one in pair.alice_lacks and not set(pair.alice_lacks) - {one}


def test_times_that_disagree_cost_bytes_but_nothing_held_is_said_to_be_lacking() -> None:
    alice, bob = stores(200, 10)
    shifted = {item: time + 5000 for item, time in bob.items()}
    pair = Pair(alice, shifted, narrow=False, room=1400).run()
    assert set(pair.alice_lacks) == bob.keys() - alice.keys()
    assert set(pair.bob_lacks) >= alice.keys() - bob.keys()
    assert set(pair.told_bob[0]) == alice.keys() - bob.keys()


def test_too_much_or_too_little_room_is_our_own_mistake() -> None:
    with pytest.raises(LocalError):
        Initiator({}, salt=SALT, narrow=False, room=ROOM_MIN - 1)
    with pytest.raises(LocalError):
        Responder({n.to_bytes(8, "big"): 0 for n in range(RECONCILE_ITEMS + 1)}, salt=SALT, room=200)


# --- the sketch ---------------------------------------------------------------------------------------
def test_a_sketch_is_that_of_libminisketch() -> None:
    """Serialised by bitcoin-core/minisketch (tests/pyminisketch.py, 32 bits, capacity 4)."""
    sums = syndromes([1, 2, 3, 0xDEADBEEF], 4)
    assert b"".join(one.to_bytes(4, "little") for one in sums).hex() == "efbeadde7305cb84c6f30caab56b512d"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 12, 20, SKETCH_CAPACITY])
def test_a_sketch_gives_away_as_many_as_it_has_syndromes(count: int) -> None:
    dice = random.Random(count)
    values = set(dice.sample(range(1, 2**32), count))
    assert decode(syndromes(values, count)) == values
    assert decode(syndromes(values, count + 3)) == values


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(1, 2**32 - 1), max_size=40), st.sets(st.integers(1, 2**32 - 1), max_size=12))
def test_sketches_of_two_sets_add_up_to_that_of_the_difference(both: set[int], alone: set[int]) -> None:
    mine, others = syndromes(both, 12), syndromes(both ^ alone, 12)
    assert decode([one ^ other for one, other in zip(mine, others, strict=True)]) == alone


def test_more_than_it_can_hold_is_noticed() -> None:
    dice = random.Random(1)
    wrong = sum(
        decode(syndromes(dice.sample(range(1, 2**32), count), 8)) is not None
        for count in (9, 10, 12, 16, 30, 100)
        for _ in range(10)
    )
    assert wrong == 0  # one in 8! would not be


def test_sums_of_no_set_are_refused() -> None:
    dice = random.Random(2)
    assert all(decode([dice.randrange(2**32) for _ in range(10)]) is None for _ in range(20))
    assert decode([0] * 5) == set()
    assert decode([]) == set()
    assert decode([0, 1]) is None
