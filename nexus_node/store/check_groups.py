"""What every store must do with groups: the part of the suite for `nexus_node.ports.groups`.

As `nexus_node.store.check`, of which it is a part.
"""

from collections.abc import Callable
from dataclasses import replace

from nexus_node.base.errors import InputError, LocalError, StoreFull
from nexus_node.base.ids import MessageId, NodeId, ObjectId
from nexus_node.base.limits import MIB
from nexus_node.base.states import State
from nexus_node.ports.groups import (
    HeldMessage,
    Letter,
    SentMessage,
    Standing,
    StoredEpoch,
    StoredGroup,
)
from nexus_node.ports.store import Fact, Incoming, Outgoing, Store
from nexus_node.store.expect import expect, expect_raises
from nexus_node.wire.group import GroupId, OperationId

MakeStore = Callable[[int], Store]

ONE, OTHER = GroupId(b"one".ljust(16, b".")), GroupId(b"other".ljust(16, b"."))
BOB = NodeId(b"bob".ljust(32, b"."))


def a_group(group_id: GroupId = ONE, name: str = "friends") -> StoredGroup:
    """Make a group."""
    return StoredGroup(group_id, name, Standing.MEMBER, BOB, 1000)


def an_id(number: int) -> OperationId:
    """Make the id of an operation."""
    return OperationId((b"%d" % number).rjust(16, b"o"))


def a_message_id(number: int) -> MessageId:
    """Make the id of a message."""
    return MessageId((b"%d" % number).rjust(32, b"m"))


def check_groups(make_store: MakeStore) -> None:
    """A group is kept by its id, and has its name alone."""
    store = make_store(MIB)
    expect((store.groups(), store.group(ONE)), ([], None), "no groups")
    store.put_group(a_group())
    store.put_group(a_group(OTHER, "all"))
    expect([one.name for one in store.groups()], ["all", "friends"], "groups by name")
    changed = replace(a_group(), name="comrades", standing=Standing.LEFT)
    store.put_group(changed)
    expect(store.group(ONE), changed, "a group that has changed")
    taken = replace(a_group(), name="all")
    expect_raises(InputError, lambda: store.put_group(taken), "a name that another group has")
    store.put_group(replace(changed, name="friends"))
    expect(store.group(OTHER), a_group(OTHER, "all"), "the other group")
    store.commit()
    store.close()


def check_group_operations(make_store: MakeStore) -> None:
    """Operations are kept once, in order, and count against the quota."""
    store = make_store(1000)
    store.put_group(a_group())
    store.put_group(a_group(OTHER, "all"))
    before = store.usage()[1]
    expect(store.add_operation(ONE, an_id(2), b"x" * 100), True, "an operation")
    expect(store.add_operation(ONE, an_id(1), b"y" * 200), True, "another")
    expect(store.add_operation(ONE, an_id(2), b"x" * 100), False, "the first again")
    expect(store.add_operation(OTHER, an_id(2), b"z"), True, "the same id in another group")
    expect(store.operations(ONE), [b"x" * 100, b"y" * 200], "in the order they came")
    expect(store.usage()[1] - before, 301, "bytes counted")
    expect_raises(StoreFull, lambda: store.add_operation(ONE, an_id(3), bytes(800)), "beyond the quota")
    store.drop_operation(ONE, an_id(2))
    store.drop_operation(ONE, an_id(9))
    expect(store.operations(ONE), [b"y" * 200], "what is left")
    store.drop_group(ONE)
    expect((store.operations(ONE), store.group(ONE)), ([], None), "a group that was forgotten")
    expect(store.operations(OTHER), [b"z"], "the other group's")
    expect(store.usage()[1] - before, 1, "bytes counted in the end")
    store.commit()
    store.close()


def check_group_keys(make_store: MakeStore) -> None:
    """Epochs and chains are replaced by what is newer; `since_ms` stays."""
    store = make_store(MIB)
    store.put_group(a_group())
    store.put_group(a_group(OTHER, "all"))
    first = StoredEpoch(an_id(2), b"hh", b"sealed", 5)
    store.put_epoch(ONE, first)
    store.put_epoch(ONE, StoredEpoch(an_id(1), b"gg", b"sealed too", 6))
    store.put_epoch(ONE, StoredEpoch(an_id(2), b"hh", b"without secret", 7))
    store.put_epoch(OTHER, StoredEpoch(an_id(2), b"ii", b"of another", 8))
    kept = StoredEpoch(an_id(2), b"hh", b"without secret", 5)
    expect(store.epochs(ONE), [kept, StoredEpoch(an_id(1), b"gg", b"sealed too", 6)], "epochs")
    for place, body in ((3, b"c"), (1, b"a"), (3, b"later")):
        store.put_chain(ONE, an_id(2), place, body)
    store.put_chain(OTHER, an_id(2), 3, b"of another")
    expect(store.chains(ONE, an_id(2)), [(1, b"a"), (3, b"later")], "chains")
    expect(store.chains(ONE, an_id(1)), [], "chains of the other epoch")
    try:
        with store.atomic():
            store.put_chain(ONE, an_id(2), 1, b"undone")
            raise ValueError
    except ValueError:
        pass
    expect(store.chains(ONE, an_id(2))[0], (1, b"a"), "a chain after its change was undone")
    store.drop_epoch(ONE, an_id(2))
    left = [one.id for one in store.epochs(ONE)]
    expect((left, store.chains(ONE, an_id(2))), ([an_id(1)], []), "what is left of the keys")
    store.drop_group(ONE)
    expect((store.epochs(ONE), store.chains(ONE, an_id(2))), ([], []), "keys of a group forgotten")
    expect(store.chains(OTHER, an_id(2)), [(3, b"of another")], "the other's")
    store.commit()
    store.close()


def check_group_waiting(make_store: MakeStore) -> None:
    """What waits for a key is bounded, the oldest goes."""
    store = make_store(MIB)
    store.put_group(a_group())
    store.put_group(a_group(OTHER, "all"))
    before = store.usage()[1]
    held = [HeldMessage(a_message_id(number), b"%d" % number, number) for number in range(5)]
    gone = [store.hold_group_message(ONE, one, most=3) for one in (*held, held[4])]
    expect(gone, [[], [], [], [held[0].id], [held[1].id], []], "which went")
    store.hold_group_message(OTHER, HeldMessage(a_message_id(9), b"9", 9), most=3)
    expect(store.held_group_messages(ONE), held[2:], "what waits")
    expect(store.usage()[1] - before, 4, "bytes counted")
    store.drop_group_message(a_message_id(3))
    store.drop_group_message(a_message_id(3))
    expect(store.held_group_messages(ONE), [held[2], held[4]], "what still waits")
    expect(store.usage()[1] - before, 3, "bytes counted in the end")
    store.commit()
    store.close()


def check_group_kept(make_store: MakeStore) -> None:
    """What is kept for members that were away is bounded in bytes, the oldest goes, and in time."""
    store = make_store(MIB)
    store.put_group(a_group())
    store.put_group(a_group(OTHER, "all"))
    before = store.usage()[1]
    kept = [HeldMessage(a_message_id(number), b"abc", number) for number in range(5)]
    for one in (*kept, kept[4]):
        store.keep_group_message(ONE, one, most=10)
    store.keep_group_message(OTHER, HeldMessage(a_message_id(9), b"9", 9), most=10)
    store.hold_group_message(ONE, kept[2], most=1)
    store.drop_group_message(kept[2].id)
    expect(store.kept_group_messages(ONE), kept[2:], "what is kept")
    expect(store.usage()[1] - before, 10, "bytes counted")
    store.drop_kept_group_messages(ONE, 4)
    expect(store.kept_group_messages(ONE), kept[4:], "what is kept later")
    store.drop_group(ONE)
    expect(store.usage()[1] - before, 1, "bytes counted in the end")
    store.commit()
    store.close()


def check_group_messages(make_store: MakeStore) -> None:
    """Which inbox rows are a group's, and how far a message sent has come to each member."""
    store = make_store(MIB)
    store.put_group(a_group())
    for number in (1, 2):
        store.add_incoming(Incoming(a_message_id(number), BOB, 0, number, b"body", b"", b""))
    store.mark_group(a_message_id(2), ONE)
    store.mark_group(a_message_id(2), ONE)
    found = [store.group_of(a_message_id(number)) for number in (1, 2, 3)]
    expect(found, [None, ONE, None], "whose messages these are")
    sent = SentMessage(a_message_id(7), ONE, an_id(1), 70, b"sealed", b"text")
    sent.seq = store.add_sent(sent)
    store.expect_delivery(ONE, sent.id, [0, 2], 70)
    store.expect_delivery(ONE, an_id(1), [1], 71)
    expect(store.sent(a_message_id(7)), sent, "a message sent")
    expect(store.sent(a_message_id(8)), None, "one that was not")
    other = SentMessage(a_message_id(8), ONE, an_id(1), 80, b"", b"more")
    other.seq = store.add_sent(other)
    expect(list(store.all_sent()), [sent, other], "all that were sent")
    expect(list(store.all_sent(since_seq=sent.seq, limit=5)), [other], "those after the first")
    steps = [
        store.set_delivery(a_message_id(7), 2, state, at_ms)
        for state, at_ms in ((State.SENT, 71), (State.DELIVERED, 72), (State.SENT, 73), (State.DELIVERED, 74))
    ]
    expect(steps, [True, True, False, False], "states that rise")
    expect(store.set_delivery(a_message_id(7), 1, State.SENT, 75), False, "a member it is not for")
    expected = [(0, State.QUEUED, 70), (2, State.DELIVERED, 72)]
    expect(store.deliveries(a_message_id(7)), expected, "how far it has come")
    expect(store.deliveries(an_id(1)), [(1, State.QUEUED, 71)], "how far a key has come")
    store.commit()
    store.close()


def check_group_letters(make_store: MakeStore) -> None:
    """An outbox row that is a letter goes, once final, with all that it counted."""
    store = make_store(MIB)
    store.put_group(a_group())
    before = (store.usage(), store.count_states())
    row = Outgoing(
        a_message_id(1), BOB, ObjectId(b"o" * 32), 1, 10**6, 30, b"e" * 14, b"body", b"d" * 16, b"r" * 16
    )
    row.seq = store.add_outgoing(row)
    letter = Letter(row.id, ONE, a_message_id(7), 3)
    store.add_letter(letter)
    store.add_letter(Letter(a_message_id(2), ONE))
    expect(store.letter(row.id), letter, "a letter")
    expect(store.letter(a_message_id(3)), None, "no letter")
    expect(store.letters(), [letter, Letter(a_message_id(2), ONE)], "all letters")
    expect_raises(LocalError, lambda: store.drop_letter(row.id), "letting go of one under way")
    store.add_facts(row, Fact(State.DELIVERED, 5, "bob"))
    store.drop_letter(row.id)
    store.drop_letter(row.id)
    expect((store.outgoing(row.id), store.letter(row.id)), (None, None), "a letter let go")
    expect((store.usage(), store.count_states()), before, "what it counted")
    store.commit()
    store.close()


GROUP_CHECKS: tuple[Callable[[MakeStore], None], ...] = (
    check_groups,
    check_group_operations,
    check_group_keys,
    check_group_waiting,
    check_group_kept,
    check_group_messages,
    check_group_letters,
)
