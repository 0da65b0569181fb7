"""What every store must do: a suite to run against your own (`check_store`, or one of `CHECKS` at a time).

A check takes `make_store`, which returns a new empty store with that quota in bytes, and raises
`AssertionError` with words when the store does something else than the port says.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nexus_node.base.errors import InputError, LocalError, StoreFull
from nexus_node.base.ids import Address, MessageId, NodeId, ObjectId
from nexus_node.base.limits import CHUNK_SIZE, CORRESPONDENTS_MAX, MIB
from nexus_node.base.states import State
from nexus_node.ports.store import Correspondent, Fact, Incoming, Outgoing, Store, StoredObject
from nexus_node.store.check_custody import CUSTODY_CHECKS
from nexus_node.store.check_groups import GROUP_CHECKS
from nexus_node.store.check_mutable import MUTABLE_CHECKS
from nexus_node.store.check_objects import OBJECT_CHECKS, an_object
from nexus_node.store.check_pub import PUB_CHECKS
from nexus_node.store.expect import expect, expect_raises

MakeStore = Callable[[int], Store]

BOB, CAROL = NodeId(b"bob".ljust(32, b".")), NodeId(b"carol".ljust(32, b"."))


def check_store(make_store: MakeStore) -> None:
    """Run every check."""
    for check in CHECKS:
        check(make_store)


def an_outgoing(number: int, to: NodeId = BOB, *, size: int = 10, expires_ms: int = 10**6) -> Outgoing:
    """Make an outbox row whose every field follows from `number`."""
    name = b"%d" % number
    return Outgoing(
        id=MessageId(name.rjust(32, b"m")),
        to=to,
        object=ObjectId(name.rjust(32, b"o")),
        created_ms=1000 + number,
        expires_ms=expires_ms,
        size=30,
        envelope=name.rjust(14, b"e"),
        body=name.rjust(size, b"b"),
        delivered_mark=name.rjust(16, b"d"),
        read_mark=name.rjust(16, b"r"),
        min_bandwidth=number,
    )


def an_incoming(number: int, sender: NodeId = BOB, *, size: int = 10) -> Incoming:
    """Make an inbox row whose every field follows from `number`."""
    name = b"%d" % number
    return Incoming(
        id=MessageId(name.rjust(32, b"m")),
        sender=sender,
        sent_ms=number,
        received_ms=number + 1,
        body=name.rjust(size, b"b"),
        delivered=name.rjust(16, b"d"),
        read=name.rjust(16, b"r"),
    )


def _content(store: Store, header: StoredObject) -> bytes:
    return b"".join(store.read_object(header.id))


def check_commit_and_dirty(make_store: MakeStore) -> None:
    """A write makes the store dirty, a commit clean."""
    store = make_store(MIB)
    expect(store.dirty, False, "dirty when new")
    store.set_meta("key", b"value")
    expect(store.dirty, True, "dirty after a write")
    store.commit()
    expect(store.dirty, False, "dirty after a commit")
    store.get_meta("key")
    expect(store.dirty, False, "dirty after a read")
    store.commit()
    store.close()


def check_atomic(make_store: MakeStore) -> None:
    """An exception undoes what its block wrote, counters too, and nothing else."""
    store = make_store(MIB)
    store.add_outgoing(an_outgoing(1))
    store.set_meta("key", b"before")
    usage = store.usage()
    with store.atomic():
        store.add_outgoing(an_outgoing(2))
        kept = store.usage()
        try:
            with store.atomic():
                store.set_meta("key", b"inside")
                store.add_facts(an_outgoing(1), Fact(State.SENT, 5))
                store.put_object(*an_object(1, bytes(3 * CHUNK_SIZE)))
                raise ValueError
        except ValueError:
            pass
        expect(store.usage(), kept, "usage after an inner block was undone")
        expect(store.get_meta("key"), b"before", "meta after an inner block was undone")
    expect([row.seq for row in store.outbox()], [1, 2], "the outbox after an inner block was undone")

    def outer() -> None:
        with store.atomic():
            with store.atomic():
                store.add_incoming(an_incoming(1))
            store.add_outgoing(an_outgoing(3))
            raise ValueError

    expect_raises(ValueError, outer, "an exception in atomic()")
    expect(store.usage(), kept, "usage after an outer block was undone")
    expect(kept[1] > usage[1], True, "usage grows with an outbox row")
    expect(store.incoming(an_incoming(1).id), None, "a row of an undone block")
    expect(store.count_states()[State.QUEUED], 2, "queued after blocks were undone")
    expect(store.count_states()[State.SENT], 0, "sent after blocks were undone")
    expect(len(store.facts(an_outgoing(1).id)), 1, "facts after blocks were undone")
    expect(store.get_object(an_object(1, b"")[0].id), None, "an object of an undone block")
    store.commit()
    expect([row.seq for row in store.outbox()], [1, 2], "the outbox after the commit")

    def commit_inside() -> None:
        with store.atomic():
            store.commit()

    expect_raises(LocalError, commit_inside, "a commit inside atomic()")
    store.close()


def check_meta(make_store: MakeStore) -> None:
    """Small facts are kept by key, the last value counts."""
    store = make_store(MIB)
    expect(store.get_meta("key"), None, "an unknown key")
    store.set_meta("key", b"one")
    store.set_meta("key", b"")
    expect(store.get_meta("key"), b"", "the last value")
    store.close()


def check_objects(make_store: MakeStore) -> None:
    """Objects come back as they were put, of any size, oldest first; they can be deleted (N7)."""
    store = make_store(MIB)
    contents = [b"", b"x", bytes(CHUNK_SIZE), bytes(CHUNK_SIZE) + b"x", b"abc" * CHUNK_SIZE]
    made = [an_object(number, content) for number, content in enumerate(contents)]
    for header, chunks in made:
        expect(store.put_object(header, chunks), True, "putting a new object")
        expect(store.put_object(header, chunks), False, "putting it again")
    for (header, _), content in zip(made, contents, strict=True):
        expect(store.get_object(header.id), header, "an object's header")
        expect(_content(store, header), content, "an object's content")
    expect(list(store.objects()), [header for header, _ in made], "all objects, oldest first")
    expect(store.usage()[0], len(made), "how many objects usage() counts")
    for header, _ in made:
        expect(store.delete_object(header.id), True, "deleting an object")
        expect(store.delete_object(header.id), False, "deleting it again")
        expect(store.get_object(header.id), None, "a deleted object")
        expect_raises(KeyError, partial(_content, store, header), "reading it")
    expect(store.usage()[:2], (0, 0), "usage when all is deleted")
    header, chunks = an_object(9, bytes(10))
    expect_raises(LocalError, lambda: store.put_object(header, [*chunks, b"more"]), "a wrong size")
    store.close()


def check_chunks_are_shared(make_store: MakeStore) -> None:
    """Equal chunks count once against the quota and stay until the last object with them goes (N7)."""
    store = make_store(MIB)
    first, chunks = an_object(1, b"a" * CHUNK_SIZE + b"b" * CHUNK_SIZE + b"a" * CHUNK_SIZE + b"end")
    store.put_object(first, chunks)
    expect(store.usage()[1], 2 * CHUNK_SIZE + 3, "bytes of an object that repeats a chunk")
    second, chunks = an_object(2, b"b" * CHUNK_SIZE + b"c")
    store.put_object(second, chunks)
    expect(store.usage()[1], 2 * CHUNK_SIZE + 4, "bytes when another object shares a chunk")
    store.delete_object(first.id)
    expect(store.usage()[1], CHUNK_SIZE + 1, "bytes when the first is deleted")
    expect(_content(store, second), b"b" * CHUNK_SIZE + b"c", "the content of the second")
    store.delete_object(second.id)
    expect(store.usage()[1], 0, "bytes when both are deleted")
    store.close()


def check_outbox(make_store: MakeStore) -> None:
    """Rows come back as they were added, in order, by id, by recipient and by mark."""
    store = make_store(MIB)
    rows = []
    for number in range(250):
        row = an_outgoing(number, CAROL if number % 3 else BOB, expires_ms=10**6 - number)
        rows.append(replace(row, seq=store.add_outgoing(row)))
    expect([row.seq for row in rows], sorted({row.seq for row in rows}), "seq rises")
    expect(list(store.outbox()), rows, "the outbox")
    expect(list(store.outbox(since_seq=rows[99].seq, limit=120)), rows[100:220], "a part of the outbox")
    expect(list(store.outbox(limit=0)), [], "no row of the outbox")
    expect(store.outgoing(rows[7].id), rows[7], "a row by id")
    expect(store.outgoing(MessageId(bytes(32))), None, "an unknown id")
    to_bob = [row for row in rows if row.to == BOB]
    expect(store.pending(BOB, limit=5), to_bob[:5], "the first to Bob")
    expect(store.pending(BOB, since_seq=to_bob[4].seq, limit=999), to_bob[5:], "the rest to Bob")
    expect(store.find_by_mark(rows[3].delivered_mark), (rows[3], State.DELIVERED), "by delivered mark")
    expect(store.find_by_mark(rows[3].read_mark), (rows[3], State.READ), "by read mark")
    expect(store.find_by_mark(bytes(16)), None, "by an unknown mark")
    expect_raises(LocalError, lambda: store.add_outgoing(rows[3]), "adding a row twice")
    expect(store.usage()[1], sum(len(row.body) + row.size for row in rows), "bytes of the outbox")
    expect(store.expired(10**6 - 248), [rows[249], rows[248]], "rows whose time is over")
    expect(store.next_expiry_ms(), 10**6 - 249, "the next expiry")
    iterator = store.outbox()
    next(iterator)
    store.set_meta("key", b"value")
    store.commit()
    expect(len(list(iterator)), 249, "rows left after a commit in the middle of an iteration")
    store.close()


def check_recipients(make_store: MakeStore) -> None:
    """Rows that are not final are found by whom they are for, by what relays keep, and by prefix (N10)."""
    store = make_store(MIB)
    expect(store.recipients(), [], "recipients of an empty outbox")
    objects = [ObjectId(b"%08d" % number + bytes(24)) for number in range(5)]
    rows = []
    for number, object_id in enumerate(objects):
        row = replace(an_outgoing(number, CAROL if number == 4 else BOB), object=object_id)
        rows.append(replace(row, seq=store.add_outgoing(row)))
    one, two = "1" * 32, "2" * 32
    store.add_facts(rows[0], Fact(State.RELAYED, 10, one))
    store.add_facts(rows[1], Fact(State.SENT, 10, "tcp:a"), Fact(State.RELAYED, 11, two))
    store.add_facts(rows[1], Fact(State.RELAYED, 12, one), Fact(State.SENT, 13, "tcp:b"))
    store.add_facts(rows[2], Fact(State.SENT, 10, one))
    expect(sorted(store.recipients()), [BOB, CAROL], "recipients, each once")
    expect(store.pending(BOB, limit=9), rows[:4], "what is pending, kept by relays or not")
    expect(store.pending(BOB, limit=9, not_by=one), rows[2:4], "what the first relay does not keep")
    expect(store.pending(BOB, limit=9, not_by=two), [rows[0], *rows[2:4]], "what the second does not keep")
    expect(store.pending(BOB, limit=9, not_by="3" * 32), rows[:4], "what another relay does not keep")
    expect(store.pending(BOB, limit=1, not_by=one), rows[2:3], "the first of it")
    expect(store.pending(BOB, since_seq=rows[2].seq, limit=9, not_by=one), rows[3:4], "the rest of it")
    expect(store.pending(BOB, limit=9, bps=2, not_by=one), rows[2:3], "what a narrow link may carry of it")
    expect(store.open_outgoing(objects[1][:8]), rows[1], "a row by the prefix of its object")
    expect(store.open_outgoing(b"no such "), None, "an unknown prefix")
    sealed = replace(rows[1], object=ObjectId(b"resealed" + bytes(24)))
    store.reseal(sealed)
    expect(store.open_outgoing(objects[1][:8]), None, "a prefix of before another sealing")
    expect(store.open_outgoing(b"resealed"), sealed, "the prefix since")
    store.add_facts(rows[4], Fact(State.DELIVERED, 14, "carol"))
    expect(store.open_outgoing(objects[4][:8]), None, "the prefix of a final message")
    expect(store.recipients(), [BOB], "recipients once all for Carol is final")
    store.close()


def check_facts(make_store: MakeStore) -> None:
    """A state never goes backwards, facts are recorded once, and a final one lets the envelope go (N9)."""
    store = make_store(MIB)
    row = an_outgoing(1)
    row.seq = store.add_outgoing(row)
    facts = [Fact(State.QUEUED, row.created_ms)]
    expect(store.facts(row.id), facts, "facts of a new message")
    for fact, moved, recorded in (
        (Fact(State.QUEUED, 5), False, False),
        (Fact(State.SENT, 10, "tcp:a"), True, True),
        (Fact(State.SENT, 11, "tcp:a"), False, False),
        (Fact(State.SENT, 12, "udp:b"), False, True),
        (Fact(State.HELD, 13, "min_bandwidth"), False, True),
        (Fact(State.RELAYED, 14, "carol"), True, True),
        (Fact(State.EXPIRED, 15, "30 days"), True, True),
        (Fact(State.DELIVERED, 16, "bob"), True, True),
        (Fact(State.FAILED, 17, "late"), False, True),
        (Fact(State.READ, 18, "bob"), True, True),
        (Fact(State.DELIVERED, 19, "bob"), False, False),
    ):
        stored = store.outgoing(row.id)
        expect(stored, row, f"the row before {fact}")
        expect(row.envelope == b"", fact.at_ms > 15, f"envelope gone before {fact}")
        expect(store.usage()[1], len(row.body) + (0 if fact.at_ms > 15 else row.size), "bytes of it")
        found = store.find_by_mark(row.delivered_mark)
        expect(found, (row, State.DELIVERED) if fact.at_ms < 17 else None, f"by its mark before {fact}")
        expect(store.add_facts(row, fact), [fact] if moved else [], f"whether {fact} moved the state")
        facts += [fact] if recorded else []
        expect(store.facts(row.id), facts, f"facts after {fact}")
    stored = store.outgoing(row.id)
    expect(stored, row, "the row that was brought up to date")
    expect(stored and stored.state, State.READ, "the state")
    expect(store.usage()[:2], (0, len(row.body)), "usage without the envelope")
    expect(store.pending(BOB, limit=9), [], "what a final message leaves pending")
    expect((store.expired(10**9), store.next_expiry_ms()), ([], None), "expiry of a final message")
    expect(store.find_by_mark(row.delivered_mark), None, "a receipt that comes again")
    expect(store.find_by_mark(row.read_mark), (stored, State.READ), "the other one that comes again")
    counted = {state: count for state, count in store.count_states().items() if count}
    expect(counted, {State.READ: 1}, "how many rows in each state")
    expect(store.facts(MessageId(bytes(32))), [], "facts of an unknown message")
    expect_raises(LocalError, lambda: store.add_facts(an_outgoing(9), facts[1]), "a fact about nothing")
    store.close()


def check_retire(make_store: MakeStore) -> None:
    """A retired row keeps its state and its facts, is pending no more and never expires."""
    store = make_store(MIB)
    row, other = an_outgoing(1), an_outgoing(2)
    for one in (row, other):
        store.add_outgoing(one)
    store.add_facts(row, Fact(State.SENT, 10, "radio"))
    before = store.usage()[1]
    store.retire(row)
    store.retire(row)
    expect(store.usage()[1], before - row.size, "bytes, once the row is retired")
    expect([one.id for one in store.pending(BOB, limit=10)], [other.id], "rows pending beside a retired one")
    expect([one.id for one in store.expired(10**9)], [other.id], "rows over beside a retired one")
    store.add_facts(row, Fact(State.SENT, 11, "its far end"))
    expect([fact.by for fact in store.facts(row.id)], ["", "radio", "its far end"], "facts of a retired row")
    stored = store.outgoing(row.id)
    expect(stored is not None and stored.state, State.SENT, "the state of a retired row")


def check_facts_together(make_store: MakeStore) -> None:
    """Several facts are recorded in turn; a row that is out of date does no harm."""
    store = make_store(MIB)
    row, sent, delivered = an_outgoing(1), Fact(State.SENT, 10, "tcp:a"), Fact(State.DELIVERED, 11, "bob")
    row.seq = store.add_outgoing(row)
    older = replace(row)
    expect(store.add_facts(row, sent, delivered), [sent, delivered], "facts that move the state")
    expect(row.state, State.DELIVERED, "the state after both")
    late = [Fact(State.SENT, 12, "udp:b"), Fact(State.DELIVERED, 13, "bob"), Fact(State.READ, 14, "bob")]
    expect(store.add_facts(older, *late), [late[2]], "facts about a row that has moved on")
    expect(older, store.outgoing(row.id), "the row out of date, afterwards")
    expect(store.facts(row.id)[1:], [sent, delivered, late[0], late[2]], "all that is recorded")
    expect(store.usage()[1], len(row.body), "usage without the envelope")
    store.close()


def check_reseal(make_store: MakeStore) -> None:
    """A new sealing replaces the envelope, its size and the marks, and nothing else."""
    store = make_store(MIB)
    row = replace(an_outgoing(1), seq=store.add_outgoing(an_outgoing(1)))
    other = an_outgoing(2)
    new = replace(
        row,
        object=other.object,
        size=99,
        envelope=b"new",
        delivered_mark=other.delivered_mark,
        read_mark=other.read_mark,
    )
    store.reseal(replace(new, body=b"not looked at", expires_ms=1))
    expect(store.outgoing(row.id), new, "the row")
    expect(store.usage()[1], len(row.body) + 99, "usage with the new envelope")
    expect(store.find_by_mark(row.delivered_mark), None, "the old mark")
    expect(store.find_by_mark(other.read_mark), (new, State.READ), "the new mark")
    expect_raises(LocalError, lambda: store.reseal(other), "sealing nothing again")
    expect_raises(StoreFull, lambda: store.reseal(replace(new, size=2 * MIB)), "a sealing beyond the quota")
    expect(store.usage()[1], len(row.body) + 99, "usage after it was refused")
    store.add_facts(new, Fact(State.DELIVERED, 5, "bob"))
    expect_raises(LocalError, lambda: store.reseal(new), "sealing a message again that has arrived")
    store.close()


def check_inbox(make_store: MakeStore) -> None:
    """A message is stored once however often it comes; rows come back in order (N10)."""
    store = make_store(MIB)
    for number in range(250):
        row = an_incoming(number, CAROL if number % 3 else BOB)
        expect(store.add_incoming(row), True, "a new message")
    rows = list(store.inbox())
    expect([row.sent_ms for row in rows], list(range(250)), "the inbox in order")
    expect(rows[5], replace(an_incoming(5, CAROL), seq=rows[5].seq), "an inbox row")
    usage = store.usage()
    expect(store.add_incoming(replace(an_incoming(5), body=b"forged")), False, "the same id again")
    expect(store.usage(), usage, "usage after a duplicate")
    expect(store.incoming(rows[5].id), rows[5], "a row by id")
    expect(list(store.inbox(since_seq=rows[9].seq, limit=150)), rows[10:160], "a part of the inbox")
    from_bob = [row for row in rows if row.sender == BOB]
    expect(list(store.inbox(sender=BOB)), from_bob, "the inbox by sender")
    expect(list(store.inbox(sender=BOB, since_seq=from_bob[2].seq, limit=2)), from_bob[3:5], "a part of it")
    expect(store.mark_read(rows[0].id, 77), True, "reading for the first time")
    expect(store.mark_read(rows[0].id, 78), False, "reading again")
    expect(store.mark_read(MessageId(bytes(32)), 78), False, "reading an unknown message")
    expect(store.incoming(rows[0].id), replace(rows[0], read_ms=77), "a row that was read")
    expect(store.receipt_of(rows[0].id), (rows[0].sender, rows[0].delivered), "the receipt of a row")
    expect(store.receipt_of(MessageId(bytes(32))), None, "the receipt of an unknown message")
    for row, times in zip(from_bob[1:5], (1, 2, 0, 1), strict=True):
        store.mark_read(row.id, 80, tell=times)
    to_tell = [(row.seq, row.read) for row in from_bob]
    expect(store.to_tell(BOB, limit=9), [to_tell[1], to_tell[2], to_tell[4]], "what Bob is to be told")
    expect(store.to_tell(BOB, limit=1), [to_tell[1]], "the first of it")
    expect(store.to_tell(CAROL, limit=9), [], "what Carol is to be told")
    for row in from_bob[:3]:
        store.told(row.seq)
    expect(store.to_tell(BOB, limit=9), [to_tell[2], to_tell[4]], "what Bob is to be told again")
    store.close()


def check_inbox_by_id(make_store: MakeStore) -> None:
    """Inbox rows are found by the first 8 bytes of their id, and by the id they were sealed under before."""
    store = make_store(MIB)
    lowest, highest = MessageId(b"prefix-1" + bytes(24)), MessageId(b"prefix-2" + b"\xff" * 24)
    first = MessageId(b"before-1" + bytes(24))
    store.add_incoming(replace(an_incoming(1), id=lowest, first=first))
    store.add_incoming(replace(an_incoming(2, CAROL), id=highest))
    row = store.incoming(lowest)
    expect(row and (row.first, row.shown_id), (first, first), "the id from before")
    expect(store.incoming(first), row, "a row by the id from before")
    unsealed = store.incoming(highest)
    expect(unsealed and (unsealed.first, unsealed.shown_id), (None, highest), "a row that had no other id")
    for number, (sender, message_id) in enumerate(((BOB, lowest), (CAROL, highest)), 1):
        found = sender, an_incoming(number).delivered
        expect(store.incoming_called(message_id[:8]), found, "sender and receipt by prefix")
    for prefix in (b"prefix-0", b"prefix-3", first[:8], bytes(8), b"\xff" * 8):
        expect(store.incoming_called(prefix), None, f"the prefix {prefix!r}")
    claimed = MessageId(b"claimed!" + bytes(24))
    store.add_incoming(replace(an_incoming(3, CAROL), id=claimed, first=lowest))
    expect(store.incoming(lowest), row, "a row by its id, which another claims to have had before")
    expect(store.incoming_before(BOB, lowest), True, "a message of Bob's by its id")
    expect(store.incoming_before(BOB, first), True, "the same by its id from before")
    expect(store.incoming_before(CAROL, first), False, "the same, were it Carol's")
    expect(store.incoming_before(BOB, highest), False, "Carol's, were it Bob's")
    store.close()
    full = make_store(10)
    full.add_incoming(replace(an_incoming(1, CAROL), first=lowest))
    fresh = replace(an_incoming(2), id=lowest)
    expect_raises(StoreFull, lambda: full.add_incoming(fresh), "a message whose id another claims, when full")
    full.close()


def check_correspondents(make_store: MakeStore) -> None:
    """Contacts have names of their own and stay; strangers go, the longest unseen first."""
    store = make_store(MIB)
    bob = Correspondent(BOB, Address(BOB[:16]), "bob", "trusted", True, 5)
    store.put_correspondent(bob)
    expect(store.correspondent(BOB), bob, "a correspondent by node id")
    expect(store.contact("bob"), bob, "a contact by name")
    expect((store.correspondent(CAROL), store.contact("carol")), (None, None), "unknown ones")
    carol = Correspondent(CAROL, Address(CAROL[:16]), "bob")
    expect_raises(InputError, lambda: store.put_correspondent(carol), "a name that is taken")
    expect(store.correspondent(CAROL), None, "a correspondent whose name was taken")
    carol = replace(carol, name="alice", relays=(NodeId(bytes(32)),))
    store.put_correspondent(carol)
    for relays in ((CAROL,), (CAROL, BOB, NodeId(b"\xff" * 32), NodeId(bytes(32))), ()):
        bob = replace(bob, relays=relays)
        store.put_correspondent(bob)
        expect(store.contact("bob"), bob, f"a contact with {len(relays)} relays, in order")
        expect(store.correspondents(), [carol, bob], "all contacts, with their relays")
    bob = replace(bob, name="zoe", seen_ms=6)
    store.put_correspondent(bob)
    strangers = [
        Correspondent(NodeId(number.to_bytes(32)), Address(number.to_bytes(16)), seen_ms=number)
        for number in range(1, CORRESPONDENTS_MAX + 3)
    ]
    for stranger in strangers:
        store.put_correspondent(stranger)
    expect(store.correspondents(), [carol, bob, *reversed(strangers[2:])], "contacts, then strangers")
    expect(store.neighbour("tcp:a"), None, "an unknown neighbour")
    store.remember_neighbour("tcp:a", BOB)
    store.remember_neighbour("tcp:a", CAROL)
    expect(store.neighbour("tcp:a"), CAROL, "the last neighbour behind a label")
    store.close()


def check_quota(make_store: MakeStore) -> None:
    """Beyond the quota nothing is stored, and the error says so in words; what is there stays (S2, N7)."""
    store = make_store(3 * CHUNK_SIZE)
    small, chunks = an_object(1, bytes(CHUNK_SIZE))
    store.put_object(small, chunks)
    store.add_incoming(an_incoming(1, size=CHUNK_SIZE))
    usage = store.usage()
    expect(usage, (1, 2 * CHUNK_SIZE, 3 * CHUNK_SIZE), "usage")
    big, big_chunks = an_object(2, bytes(range(256)) * 64 + b"x" * CHUNK_SIZE)
    for action, what in (
        (lambda: store.put_object(big, big_chunks), "a large object"),
        (lambda: store.put_object(*an_object(3, b"abc" * CHUNK_SIZE)), "three chunks"),
        (lambda: store.add_incoming(an_incoming(2, size=CHUNK_SIZE + 1)), "an inbox row"),
        (lambda: store.add_outgoing(an_outgoing(2, size=CHUNK_SIZE + 1)), "an outbox row"),
    ):
        expect_raises(StoreFull, action, f"{what} beyond the quota")
        expect(store.usage(), usage, f"usage after refusing {what}")
    store.add_outgoing(an_outgoing(3, size=CHUNK_SIZE - 30))
    expect_raises(StoreFull, lambda: store.put_object(*an_object(4, b"x")), "one byte beyond the quota")
    expect(store.put_object(small, chunks), False, "an object that is there, when full")
    expect(store.add_incoming(an_incoming(1, size=CHUNK_SIZE)), False, "a duplicate, when full")
    store.delete_object(small.id)
    expect(store.put_object(*an_object(4, b"x")), True, "an object after making room")
    expect([header.id for header in store.objects()], [an_object(4, b"")[0].id], "the objects left")
    store.close()


CHECKS: tuple[Callable[[MakeStore], None], ...] = (
    check_commit_and_dirty,
    check_atomic,
    check_meta,
    check_objects,
    check_chunks_are_shared,
    check_outbox,
    check_recipients,
    check_facts,
    check_facts_together,
    check_retire,
    check_reseal,
    check_inbox,
    check_inbox_by_id,
    check_correspondents,
    check_quota,
    *OBJECT_CHECKS,
    *CUSTODY_CHECKS,
    *GROUP_CHECKS,
    *PUB_CHECKS,
    *MUTABLE_CHECKS,
)
