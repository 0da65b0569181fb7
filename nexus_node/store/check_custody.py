"""What every store must do with the mail of others: the part of the suite for the custody port.

As `nexus_node.store.check`, of which it is a part; apart for a store that keeps others' mail only.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import Address, NodeId, ObjectId
from nexus_node.base.limits import MIB
from nexus_node.ports.custody import Admission, CustodyStore, Held, Receipt, Slip
from nexus_node.store.expect import expect, expect_raises

MakeCustodyStore = Callable[[int], CustodyStore]

BOB, CAROL = Address(b"bob".ljust(16, b".")), Address(b"carol".ljust(16, b"."))
GIVER, OTHER = NodeId(b"giver".ljust(32, b".")), NodeId(b"other".ljust(32, b"."))
HOUR_MS, DAY_MS = 3_600_000, 24 * 3_600_000
NOW_MS = 500_000 * HOUR_MS
STRANGER, CONTACT, TRUSTED, VERIFIED = range(4)


def a_prefix(number: int) -> bytes:
    return b"%08d" % number


def a_held(
    number: int,
    destination: Address = BOB,
    *,
    size: int = 100,
    giver: NodeId = GIVER,
    rank: int = CONTACT,
    promised: bool = True,
    received_ms: int | None = None,
    expires_ms: int = NOW_MS + DAY_MS,
) -> Held:
    """Make a message whose every other field follows from `number`."""
    name = b"%d" % number
    return Held(
        id=ObjectId(a_prefix(number).ljust(32, b"i")),
        destination=destination,
        data=name.rjust(size, b"d"),
        mark=name.rjust(16, b"m"),
        giver=giver,
        rank=rank,
        promised=promised,
        received_ms=NOW_MS + number if received_ms is None else received_ms,
        expires_ms=expires_ms,
    )


def a_slip(number: int, destination: Address = BOB) -> Slip:
    """Make a slip whose every other field follows from `number`."""
    return Slip(destination, a_prefix(number), (b"%d" % number).rjust(16, b"r"), NOW_MS + number)


def numbers(store: CustodyStore) -> list[int]:
    """Which messages are held."""
    return sorted(int(prefix) for prefix, _ in store.prefixes())


def check_custody(make_store: MakeCustodyStore) -> None:
    """Messages come back as they were taken, each once, in order, until they are released (N10)."""
    store = make_store(MIB)
    expect((store.waiting(), store.prefixes(), store.custody_usage()), ({}, [], (0, 0)), "an empty store")
    rows = [a_held(number, CAROL if number % 3 else BOB, size=50 + number) for number in range(60)]
    rows[7] = replace(rows[7], data=bytes(65_000), size=0)
    for row in rows:
        expect(store.hold(row, MIB), Admission(True), "a new message")
        row.seq = store.held_for(row.destination, limit=99)[-1].seq
    expect(store.dirty, True, "dirty after taking a message")
    store.commit()
    expect([row.seq for row in rows], sorted({row.seq for row in rows}), "seq rises")
    for row in rows:
        expect(store.held(row.prefix), row, "a message by its prefix")
    expect(store.held(bytes(8)), None, "an unknown prefix")
    to_carol = [row for row in rows if row.destination == CAROL]
    expect(store.held_for(CAROL, limit=7), to_carol[:7], "the first to Carol")
    expect(store.held_for(CAROL, since_seq=to_carol[6].seq, limit=99), to_carol[7:], "the rest to Carol")
    bob, carol = (
        (len(mail), sum(len(row.data) for row in mail))
        for mail in ([row for row in rows if row.destination == BOB], to_carol)
    )
    expect(store.waiting(), {BOB: bob, CAROL: carol}, "what waits")
    expect(
        (store.waiting(CAROL), store.waiting(Address(bytes(16)))), ({CAROL: carol}, {}), "what waits for one"
    )
    expect(store.custody_usage(), (60, bob[1] + carol[1]), "usage")
    prefixes = [(row.prefix, row.received_ms // 1000) for row in rows]
    expect(sorted(store.prefixes()), prefixes, "all prefixes")

    again = a_held(5, CAROL, size=1)
    again.id = ObjectId(again.prefix.ljust(32, b"x"))
    expect(store.hold(again, MIB), Admission(False), "another message of the same prefix")
    expect(store.held(again.prefix), rows[5], "the first of that prefix")
    expect(store.release(rows[5].prefix), True, "releasing a message")
    expect(store.release(rows[5].prefix), False, "releasing it again")
    expect(store.held(rows[5].prefix), None, "a released message")
    expect(store.custody_usage(), (59, bob[1] + carol[1] - len(rows[5].data)), "usage after a release")
    store.release(rows[59].prefix)
    expect(store.hold(rows[59], MIB).taken, True, "a message that was released before")
    seq = store.held_for(CAROL, limit=99)[-1].seq
    expect(seq > rows[59].seq, True, "the seq of a message after the last one was released")
    store.close()


def check_custody_order(make_store: MakeCustodyStore) -> None:
    """Prefixes are told by time of receipt, also when a clock was set back."""
    store = make_store(MIB)
    for number, received_ms in ((1, 5000), (2, 3999), (3, 4000)):
        store.hold(a_held(number, received_ms=received_ms), MIB)
    expect(store.prefixes(), [(a_prefix(2), 3), (a_prefix(3), 4), (a_prefix(1), 5)], "prefixes by time")
    store.close()


def check_custody_eviction(make_store: MakeCustodyStore) -> None:
    """What goes to make room, in the order of N7; trusted mail never goes for strangers'."""
    store = make_store(MIB)
    quota = 1000
    for number, (rank, promised) in enumerate(
        (
            (TRUSTED, False),
            (STRANGER, True),
            (CONTACT, True),
            (CONTACT, False),
            (STRANGER, False),
            (CONTACT, False),
            (TRUSTED, True),
            (STRANGER, True),
            (VERIFIED, False),
        )
    ):
        store.hold(a_held(number, rank=rank, promised=promised), quota)
    store.hold(a_held(9, rank=VERIFIED, expires_ms=NOW_MS + 9), quota)
    expect(store.custody_usage(), (10, quota), "usage when full")

    expect(store.hold(a_held(10, rank=STRANGER), quota), Admission(True), "room by what has expired")
    expect(store.held(a_prefix(9)), None, "what has expired")
    expect(store.hold(a_held(11, rank=CONTACT), quota).evicted, [a_prefix(4)], "the lowest rank carried")
    expect(store.hold(a_held(12, rank=CONTACT), quota).evicted, [a_prefix(3)], "the oldest of a rank carried")
    full = (numbers(store), store.custody_usage())
    for promised in (True, False):
        refused = a_held(13, rank=STRANGER, promised=promised)
        expect_raises(StoreFull, partial(store.hold, refused, quota), "a stranger's, when full")
    big = a_held(13, rank=TRUSTED, size=801)
    expect_raises(StoreFull, lambda: store.hold(big, quota), "a large message, when some may not go")
    expect_raises(StoreFull, lambda: store.hold(a_held(13, size=1001), quota), "one beyond the quota")
    expect((numbers(store), store.custody_usage()), full, "what is held after refusals")
    expect(store.hold(a_held(4, rank=STRANGER), 2 * quota).taken, True, "what went, when there is room again")
    store.release(a_prefix(4))

    # Left: promised of strangers 1, 7, 10, of contacts 2, 11, 12, of trusted 6; carried of 5, 0 and 8.
    admission = store.hold(a_held(13, rank=TRUSTED, promised=False, size=200), quota)
    expect(admission, Admission(True, [a_prefix(5), a_prefix(0)]), "room for a copy merely carried")
    carried = a_held(14, rank=VERIFIED, promised=False, size=301)
    expect_raises(StoreFull, lambda: store.hold(carried, quota), "a copy that would cost a promise")
    admission = store.hold(a_held(14, rank=TRUSTED, size=601), quota)
    went = [a_prefix(number) for number in (13, 1, 7, 10, 2, 11)]
    expect(admission, Admission(True, went, broken=5), "room for trusted mail")
    expect(numbers(store), [6, 8, 12, 14], "what is left")
    expect_raises(StoreFull, lambda: store.hold(a_held(15, rank=TRUSTED, size=200), quota), "as trusted mail")
    expect(store.promise(a_prefix(8)), True, "promising what was carried")
    expect(store.promise(a_prefix(15)), False, "promising what is not here")
    expect_raises(
        StoreFull, lambda: store.hold(a_held(15, rank=VERIFIED, size=999), quota), "what is promised"
    )
    expect((store.held(a_prefix(8)) or a_held(8)).promised, True, "a promised message")
    expect(store.custody_usage(), (4, 901), "usage at the end")
    store.close()


def check_custody_atomic(make_store: MakeCustodyStore) -> None:
    """What is undone leaves no trace in the totals either."""
    store = make_store(MIB)
    store.hold(a_held(1, promised=False), MIB)
    store.put_slip(a_slip(1))
    before = (numbers(store), store.custody_usage(), store.given_since(GIVER, 0))

    def undone() -> None:
        with store.atomic():
            store.hold(a_held(2), MIB)
            store.promise(a_prefix(1))
            store.add_receipt(a_prefix(1), bytes(16), NOW_MS)
            store.drop_slip(BOB, a_slip(1).receipt)
            raise ValueError

    expect_raises(ValueError, undone, "an exception in atomic()")
    expect((numbers(store), store.custody_usage(), store.given_since(GIVER, 0)), before, "after undoing")
    expect((store.held(a_prefix(1)) or a_held(1)).promised, False, "a promise undone")
    expect(store.receipt(a_prefix(1)), None, "a receipt undone")
    expect(store.slips_for(BOB, 9), [a_slip(1)], "a slip whose deletion was undone")
    store.close()


def check_custody_receipts(make_store: MakeCustodyStore) -> None:
    """A receipt lets the message go, which is not taken again (N10)."""
    store = make_store(MIB)
    store.hold(a_held(1), MIB)
    for number in (1, 2, 3):
        expect(store.add_receipt(a_prefix(number), bytes((number,)) * 16, NOW_MS + number), True, "a receipt")
    expect(store.add_receipt(a_prefix(1), bytes(16), NOW_MS), False, "a receipt again")
    expect((store.held(a_prefix(1)), store.custody_usage()), (None, (0, 0)), "the message it is for")
    for number in (1, 2):
        expect(store.hold(a_held(number), MIB), Admission(False), "a message that was delivered")
    expect(
        (store.receipt(a_prefix(1)), store.receipt(a_prefix(4))), (b"\1" * 16, None), "a receipt by prefix"
    )
    latest = [Receipt(a_prefix(number), bytes((number,)) * 16, NOW_MS + number) for number in (3, 2)]
    expect(store.receipts(2), latest, "the latest receipts")
    store.close()


def check_custody_slips(make_store: MakeCustodyStore) -> None:
    """Receipts for absent senders wait until they are dropped."""
    store = make_store(MIB)
    slips = [a_slip(number, CAROL if number % 3 else BOB) for number in range(9)]
    for slip in slips:
        expect(store.put_slip(slip), True, "a new slip")
        expect(store.put_slip(slip), False, "it again")
    mine = [slip for slip in slips if slip.destination == CAROL]
    expect(store.slips_for(CAROL, 99), mine, "slips for Carol")
    expect(store.slips_for(CAROL, 2), mine[:2], "the first of them")
    expect(store.tried_slip(CAROL, mine[0].receipt), True, "a try")
    expect(store.tried_slip(CAROL, mine[0].receipt), True, "another try")
    expect(store.tried_slip(BOB, mine[0].receipt), False, "a try for somebody else")
    mine[0].tries = 2
    expect(store.slips_for(CAROL, 1), mine[:1], "a slip that was tried")
    forged = Slip(CAROL, mine[0].prefix, bytes(16), NOW_MS)
    expect(store.put_slip(forged), True, "another receipt for the same message")
    expect(store.drop_slip(BOB, forged.receipt), False, "dropping what is not there")
    expect(store.drop_slip(CAROL, forged.receipt), True, "dropping a slip")
    expect(store.slips_for(CAROL, 99), mine, "slips after one was dropped")
    store.close()


def check_custody_given(make_store: MakeCustodyStore) -> None:
    """What each neighbour gave is counted for a day, gone or not (S3)."""
    store = make_store(MIB)
    for number in range(6):
        received_ms = NOW_MS + number * HOUR_MS
        store.hold(a_held(number, giver=OTHER if number == 2 else GIVER, received_ms=received_ms), MIB)
    store.hold(a_held(5, received_ms=NOW_MS), MIB)  # not taken, so not counted
    store.add_receipt(a_prefix(3), bytes(16), NOW_MS)
    store.release(a_prefix(4))
    expect(store.given_since(GIVER, NOW_MS), (5, 500), "all that was given")
    expect(store.given_since(OTHER, NOW_MS), (1, 100), "what another gave")
    expect(store.given_since(GIVER, NOW_MS + 3 * HOUR_MS + 9), (3, 300), "what was given since an hour")
    expect(store.given_since(GIVER, NOW_MS + 6 * HOUR_MS), (0, 0), "what was given since then")
    store.hold(a_held(9, giver=OTHER, received_ms=NOW_MS + DAY_MS + 4 * HOUR_MS), MIB)
    expect(store.given_since(GIVER, NOW_MS), (2, 200), "what is known a day later")
    store.close()


def check_custody_expiry(make_store: MakeCustodyStore) -> None:
    """What is over its time goes, and nothing before (S2)."""
    store = make_store(MIB)
    expect((store.next_custody_expiry_ms(), store.expire_custody(NOW_MS)), (None, (0, 0, 0)), "when empty")
    for number in range(5):
        store.hold(a_held(number, expires_ms=NOW_MS + 10 * number), MIB)
    store.add_receipt(a_prefix(9), bytes(16), NOW_MS + 5)
    store.put_slip(a_slip(7))
    expect(store.next_custody_expiry_ms(), NOW_MS, "the next expiry")
    store.commit()
    expect(store.expire_custody(NOW_MS - 1), (0, 0, 0), "before the first expiry")
    expect(store.dirty, False, "dirty when nothing was over")
    expect(store.expire_custody(NOW_MS), (1, 0, 0), "one message whose time is over")
    expect(store.next_custody_expiry_ms(), NOW_MS + 5, "the expiry of a receipt")
    expect(store.expire_custody(NOW_MS + 5), (0, 1, 0), "a receipt whose time is over")
    expect(store.next_custody_expiry_ms(), NOW_MS + 7, "the expiry of a slip")
    expect(store.expire_custody(NOW_MS + 20), (2, 0, 1), "two messages and a slip")
    expect((numbers(store), store.custody_usage()), ([3, 4], (2, 200)), "what is left")
    expect((store.receipt(a_prefix(9)), store.slips_for(BOB, 9)), (None, []), "what is left of receipts")
    for number in range(1500):
        store.add_receipt(a_prefix(number + 10), bytes(16), NOW_MS + 100 + number)
    expect(store.expire_custody(NOW_MS + DAY_MS), (2, 1000, 0), "as many as go at a time")
    expect(store.next_custody_expiry_ms(), NOW_MS + 1100, "the expiry of those left")
    expect(store.expire_custody(NOW_MS + DAY_MS), (0, 500, 0), "the others")
    store.close()


def check_custody_redate(make_store: MakeCustodyStore) -> None:
    """A clock that is set lets nothing go before its time that was taken by the clock before (S2)."""
    store = make_store(MIB)
    never_ms = NOW_MS + 1000 * DAY_MS
    expiries = (NOW_MS + DAY_MS, NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS, never_ms)
    for number, expires_ms in enumerate(expiries):
        store.hold(a_held(number, expires_ms=expires_ms), MIB)
    store.add_receipt(a_prefix(9), bytes(16), never_ms)
    store.put_slip(replace(a_slip(8), expires_ms=never_ms))
    first = store.held_for(BOB, limit=1)[0].seq

    def found() -> list[int]:
        return [held.expires_ms - NOW_MS for held in store.held_for(BOB, limit=9)]

    def set_by(days: int, now_ms: int, since_seq: int | None) -> None:
        store.redate_custody(days * DAY_MS, now_ms, 10 * DAY_MS, since_seq=since_seq, never_ms=never_ms)

    set_by(10, NOW_MS + 2 * DAY_MS, since_seq=first)
    expect(found(), [days * DAY_MS for days in (1, 11, 12, 12)], "expiries after a step forward")
    expect(store.expire_custody(NOW_MS + 12 * DAY_MS), (4, 1, 1), "what was without a clock, with the rest")

    store.hold(a_held(5, expires_ms=NOW_MS + 30 * DAY_MS), MIB)
    store.hold(a_held(6, expires_ms=NOW_MS + 30 * DAY_MS, received_ms=NOW_MS + 20 * DAY_MS), MIB)
    before = store.held_for(BOB, limit=1)[0].seq
    set_by(-20, NOW_MS, since_seq=before)
    expect(found(), [30 * DAY_MS, 10 * DAY_MS], "expiries after a step back")
    expect(store.given_since(GIVER, NOW_MS + 15 * DAY_MS), (0, 0), "what was given in days to come")
    store.commit()
    set_by(1, NOW_MS + DAY_MS, since_seq=None)
    expect((found(), store.dirty), ([30 * DAY_MS, 10 * DAY_MS], False), "a run that has taken nothing")
    store.close()


CUSTODY_CHECKS: tuple[Callable[[MakeCustodyStore], None], ...] = (
    check_custody,
    check_custody_order,
    check_custody_eviction,
    check_custody_atomic,
    check_custody_receipts,
    check_custody_slips,
    check_custody_given,
    check_custody_expiry,
    check_custody_redate,
)
