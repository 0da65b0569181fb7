"""N7: objects that change and objects that end: versions, forks in any order of arrival, and time to live."""

import random
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.limits import (
    FORK_BLOCK_S,
    FORK_KEPT_S,
    FORKS_MAX,
    FORKS_PER_OWNER,
    RECORD_HISTORY,
    RECORD_NAMES_MAX,
    RECORDS_BURST,
)
from nexus_node.crypto.identity import Identity
from nexus_node.ports.mutable import StoredRecord
from nexus_node.ports.store import Keep
from nexus_node.proto.mutable import Forks, Versions
from nexus_node.wire.dataobject import KIND_VERSION, describe
from nexus_node.wire.mutable import Fork, Record, RecordAnswer, RecordRequest, name_of
from nexus_node.wire.packet import Context, Packet

from .mesh import Mesh
from .world import DATAGRAM, NARROW, WALL

LIAR = Identity.from_seed(b"liar" * 8)
HONEST = Identity.from_seed(b"true" * 8)


def a_record(sequence: int, content: bytes = b"x", owner: Identity = LIAR, label: bytes = b"page") -> Record:
    header, _ = describe(KIND_VERSION, content)
    return Record.make(owner, label, sequence, header, 1_767_225_600, 0)


def deliver(mesh: Mesh, to: str, frm: str, context: Context, data: bytes) -> None:
    """As if that neighbour had sent it, over the link they have. Raises BadWire."""
    core = mesh[to].core
    core._now = mesh.now
    core._dispatcher._takers[context](mesh[frm].identity.node_id, Packet(context, data), mesh.now)


def knows_some(mesh: Mesh, who: str, record: Record) -> None:
    """That node has asked for it before."""
    stored = StoredRecord(record.name, record.sequence, record.owner, record.encode())
    mesh[who].store.put_record(stored)
    mesh[who].core.commit()


def hear(mesh: Mesh, who: str, frm: str, record: Record) -> None:
    deliver(mesh, who, frm, Context.RECORD, RecordAnswer(record, False).encode())


def blocked(mesh: Mesh, who: str, owner: Identity = LIAR) -> bool:
    return mesh[who].core.mutables.blocked_until_ms(owner.node_id, mesh.now) is not None


def line(*names: str, **options) -> Mesh:
    mesh = Mesh(*names, **options)
    mesh.line(*names)
    mesh.run(1)
    return mesh


def publish(mesh: Mesh, who: str, content: bytes, label: str = "page", **options) -> Record:
    record = mesh[who].core.mutables.publish(label, content, now=mesh.now, **options)
    mesh[who].core.commit()
    return record


def look(mesh: Mesh, who: str, name: bytes, seconds: float = 5.0) -> bytes | None:
    """Search, and the content of what was found."""
    core = mesh[who].core
    core.mutables.search(name, mesh.now)
    mesh.run(seconds)
    record = core.mutables.latest(name)
    if record is None or not core.mutables.has_content(record):
        return None
    return b"".join(core.objects.read(record.content.id))


# --- ephemeral --------------------------------------------------------------------------------------
def test_n7_an_object_put_while_the_node_runs_goes_when_its_time_is_over():
    mesh = Mesh("alice")
    core = mesh["alice"].core
    mesh.run(100)
    now_ms = core.wall.ms(mesh.now)
    kept = core.objects.put(b"for ever", now_ms=now_ms)
    short = core.objects.put(b"for a minute", now_ms=now_ms, ttl_s=60)
    long = core.objects.put(b"for an hour", now_ms=now_ms, ttl_s=3600)
    assert core.wake_at <= mesh.now + 60.001
    mesh.run(59)
    assert [one.id for one in core.objects.all()] == [kept.id, short.id, long.id]
    mesh.run(3)
    assert [one.id for one in core.objects.all()] == [kept.id, long.id]
    mesh.run(3600)
    assert [one.id for one in core.objects.all()] == [kept.id]


# --- versions ---------------------------------------------------------------------------------------
def test_n7_versions_rise_and_the_content_before_goes():
    mesh = Mesh("alice")
    first = publish(mesh, "alice", b"one")
    second = publish(mesh, "alice", b"two")
    assert second.sequence == first.sequence + 1 and second.authentic() and first.name == second.name
    stored = list(mesh["alice"].store.objects())
    assert [(one.id, one.kind, one.keep) for one in stored] == [(second.content.id, KIND_VERSION, Keep.OWNED)]
    publish(mesh, "alice", b"two", label="other")
    publish(mesh, "alice", b"three")  # what another name still has stays
    assert len(list(mesh["alice"].store.objects())) == 2


def test_n7_an_owner_who_lost_its_store_or_its_last_commit_does_not_fork_its_own(tmp_path: Path):
    mesh = Mesh("alice", folder=tmp_path)
    first = publish(mesh, "alice", b"one")
    mesh["alice"].core.mutables.publish("page", b"never committed", now=mesh.now)
    mesh.crash("alice")
    mesh.run(2)
    second = publish(mesh, "alice", b"two")
    assert second.sequence > first.sequence
    for file in tmp_path.glob("alice*"):
        file.unlink()
    mesh.crash("alice")
    mesh.run(2)
    assert publish(mesh, "alice", b"three").sequence > second.sequence


@pytest.mark.parametrize("label", ["", "a/b", "x" * 33, "ü" * 17, "two\nlines", "\x1b[1m"])
def test_n7_a_label_that_is_none_is_refused(label):
    with pytest.raises(InputError, match="1 to 32 bytes"):
        Mesh("alice")["alice"].core.mutables.publish(label, b"", now=0.0)


@pytest.mark.parametrize("size", [0, 5, 4097, 300_000])
def test_n7_the_latest_version_is_found_at_a_neighbour_and_handed_on_by_it(size):
    mesh = line("alice", "bob", "carol")
    old = publish(mesh, "alice", b"old")
    assert look(mesh, "bob", old.name) == b"old"
    content = random.Random(1).randbytes(size)
    new = publish(mesh, "alice", content)
    assert look(mesh, "carol", old.name) == b"old"  # that is what its only neighbour has
    assert look(mesh, "bob", old.name) == content
    assert look(mesh, "carol", old.name) == content
    for who in ("bob", "carol"):
        assert mesh[who].core.mutables.latest(old.name) == new
        (stored,) = [one for one in mesh[who].store.objects() if one.id == new.content.id]
        assert stored.keep == Keep.CACHED
        assert not mesh[who].core.mutables.waiting(old.name)


@pytest.mark.parametrize("profile", [DATAGRAM, NARROW])
def test_n7_it_is_found_over_links_that_lose(profile):
    mesh = Mesh("alice", "bob")
    mesh.join("alice", "bob", profile, loss=0.2)
    mesh.run(60)
    record = publish(mesh, "alice", b"news" * 200)
    assert look(mesh, "bob", record.name, 300) == b"news" * 200


def test_n7_what_nobody_has_is_answered_at_once_and_nothing_is_passed_on():
    mesh = line("alice", "bob", "carol")
    record = publish(mesh, "alice", b"news")
    assert look(mesh, "carol", record.name) is None
    assert not mesh["carol"].core.mutables.waiting(record.name)
    assert mesh["bob"].core.mutables.latest(record.name) is None


def test_n7_a_neighbour_that_goes_is_not_waited_for():
    mesh = line("alice", "bob")
    name = name_of(LIAR.node_id, b"page")
    mesh["alice"].core.mutables.search(name, mesh.now)
    assert mesh["alice"].core.mutables.waiting(name)
    mesh.part("alice", "bob")
    assert not mesh["alice"].core.mutables.waiting(name)


def test_n7_a_version_goes_with_its_time_and_is_not_fetched_after_it():
    mesh = line("alice", "bob", "carol")
    record = publish(mesh, "alice", b"brief", ttl_s=60)
    assert look(mesh, "bob", record.name) == b"brief"
    mesh.run(70)
    assert not list(mesh["alice"].store.objects()) and not list(mesh["bob"].store.objects())
    assert mesh["bob"].core.mutables.over(record, mesh.now)
    assert look(mesh, "carol", record.name) is None
    later = publish(mesh, "alice", b"brief")  # the same content, for good
    assert look(mesh, "bob", record.name) == b"brief" and later.sequence > record.sequence
    mesh.run(100)
    assert len(list(mesh["bob"].store.objects())) == 1


def test_n7_a_record_that_nobody_asked_for_or_signed_is_not_taken():
    mesh = line("alice", "bob")
    record = a_record(5)
    with pytest.raises(BadWire, match="unasked_record"):
        hear(mesh, "alice", "bob", record)
    knows_some(mesh, "alice", a_record(4))
    forged = Record(record.owner, record.label, 9, record.size, record.root, signature=bytes(64))
    with pytest.raises(BadWire, match="forged_record"):
        hear(mesh, "alice", "bob", forged)
    hear(mesh, "alice", "bob", record)
    hear(mesh, "alice", "bob", a_record(3))
    assert mesh["alice"].core.mutables.latest(record.name) == record
    with pytest.raises(BadWire, match="unasked_record"):
        deliver(mesh, "alice", "bob", Context.NO_RECORD, record.name)
    with pytest.raises(BadWire, match="forged_fork"):
        other = Record(record.owner, record.label, 5, 7, record.root, signature=bytes(64))
        deliver(mesh, "alice", "bob", Context.FORK, Fork.make(record, other).encode())
    assert not blocked(mesh, "alice")


def test_n7_content_is_sent_to_whoever_was_told_of_it_and_nobody_else():
    mesh = line("alice", "bob")
    record = publish(mesh, "alice", b"news")
    mutables = mesh["alice"].core.mutables
    bob = mesh["bob"].identity
    prefix = record.content.id[:8]
    assert mutables.served(prefix, bob.address) is None
    deliver(mesh, "alice", "bob", Context.RECORD_REQUEST, RecordRequest(record.name).encode())
    assert mutables.served(prefix, bob.address).object == record.content.id
    assert mutables.served(prefix, HONEST.address) is None


def test_n7_a_neighbour_that_asks_too_fast_is_cut_off():
    mesh = line("alice", "bob")
    request = RecordRequest(bytes(32)).encode()
    for _ in range(RECORDS_BURST):
        deliver(mesh, "alice", "bob", Context.RECORD_REQUEST, request)
    with pytest.raises(BadWire, match="records_too_fast"):
        deliver(mesh, "alice", "bob", Context.RECORD_REQUEST, request)


def test_n7_a_version_whose_half_went_to_make_room_begins_anew():
    mesh = Mesh("alice", "bob")
    mesh.join("alice", "bob")
    mesh.run(5)
    content = random.Random(2).randbytes(1_000_000)
    record = publish(mesh, "alice", content)
    mesh["bob"].core.mutables.search(record.name, mesh.now)
    (wire,) = mesh.wires.values()
    while mesh["bob"].store.have_chunks(record.content.id) < 100:
        assert wire.step(mesh.now)
    mesh["bob"].store.delete_object(record.content.id)
    mesh.run(20)
    assert mesh["bob"].core.counters["fetch_gone"] == 1
    assert look(mesh, "bob", record.name, 400) == content


# --- forks ------------------------------------------------------------------------------------------
def test_n7_a_fork_is_caught_in_any_order_of_arrival_also_of_a_version_superseded_since():
    records = [a_record(3), a_record(4, b"a"), a_record(4, b"b"), a_record(5), a_record(6)]
    for order in permutations(records):
        versions = Versions()
        forks = [taken.against for record in order if (taken := versions.take(record)).against is not None]
        assert len(forks) == 1 and forks[0].sequence == 4
        assert versions.latest == records[4]


def test_n7_equal_contents_are_no_fork_and_what_is_lower_is_no_news():
    header, _ = describe(KIND_VERSION, b"x")
    later = Record.make(LIAR, b"page", 5, header, 1_767_999_999, 7)
    versions = Versions([a_record(5)])
    for record in (later, a_record(5), a_record(4)):
        taken = versions.take(record)
        assert taken.against is None and not taken.latest
    assert versions.latest == a_record(5)


@pytest.mark.parametrize("through", ["records", "evidence"])
def test_n7_a_fork_blocks_its_owner_for_a_day_and_is_told_on_once(through, tmp_path):
    mesh = line("z", "a", "b", "c", "d", folder=tmp_path)
    one, other = a_record(4, b"one"), a_record(4, b"other")
    honest = publish(mesh, "d", b"honest")
    assert look(mesh, "c", honest.name) == b"honest"
    if through == "records":
        knows_some(mesh, "a", one)
        hear(mesh, "a", "z", a_record(5))
        hear(mesh, "a", "z", other)
    else:
        deliver(mesh, "a", "z", Context.FORK, Fork.make(one, other).encode())
    assert blocked(mesh, "a")
    mesh.run(5)
    for who in "zabcd" if through == "records" else "abcd":
        assert blocked(mesh, who), who
        assert not blocked(mesh, who, mesh["d"].identity)
        assert sum(event.event == "owner_forked" for event in mesh[who].events) == 1
        assert mesh[who].core.counters["forks_found"] == 1
    before = [wire.bytes for wire in mesh.wires.values()]
    mesh.run(30)
    for wire, bytes_before in zip(mesh.wires.values(), before, strict=True):
        assert wire.bytes - bytes_before < 200, "evidence goes round"
    knows_some(mesh, "b", one)
    hear(mesh, "b", "a", a_record(9))
    assert mesh["b"].core.mutables.latest(one.name) == one
    mesh.crash("b")
    assert blocked(mesh, "b"), "it is known after a restart"
    mesh.run(FORK_BLOCK_S)
    assert not blocked(mesh, "b") and len(mesh["b"].store.forks()) == 1
    mesh.join("a", "b")
    mesh.run(10)
    hear(mesh, "b", "a", a_record(9))
    assert mesh["b"].core.mutables.latest(one.name) == a_record(9)
    assert not blocked(mesh, "b"), "the same evidence blocks once"
    mesh.run(FORK_KEPT_S - FORK_BLOCK_S)
    for who in "abcd":
        assert not mesh[who].store.forks() and not blocked(mesh, who)


def test_n7_nothing_of_a_blocked_owner_is_given_or_fetched():
    mesh = line("a", "b")
    one, other = a_record(4, b"one"), a_record(4, b"other")
    knows_some(mesh, "a", one)
    hear(mesh, "a", "b", other)
    mesh.run(1)
    knows_some(mesh, "b", a_record(3))
    assert look(mesh, "b", one.name) is None
    assert mesh["b"].core.mutables.latest(one.name) == a_record(3)


def test_n7_an_identity_on_two_machines_is_told_so():
    mesh = line("a", "b")
    mine = publish(mesh, "a", b"mine")
    theirs = a_record(mine.sequence, b"theirs", mesh["a"].identity)
    hear(mesh, "a", "b", theirs)
    assert blocked(mesh, "a", mesh["a"].identity)
    with pytest.raises(InputError, match="one machine only"):
        publish(mesh, "a", b"more")


def test_n7_old_evidence_does_not_go_round_for_ever():
    mesh = line("a", "b")
    fork = Fork.make(a_record(4, b"one"), a_record(4, b"other"))
    for age_s, is_blocked, kept in ((FORK_BLOCK_S + 1, False, 1), (FORK_KEPT_S, False, 1)):
        aged = Fork(age_s, fork.first, fork.second)
        deliver(mesh, "a", "b", Context.FORK, aged.encode())
        assert blocked(mesh, "a") == is_blocked and len(mesh["a"].store.forks()) == kept
    mesh.part("a", "b")
    mesh.run(FORK_KEPT_S - FORK_BLOCK_S)
    assert not mesh["a"].store.forks()
    deliver(mesh, "a", "b", Context.FORK, Fork(2**32 - 1, fork.first, fork.second).encode())
    assert not mesh["a"].store.forks()


owners = [Identity.from_seed(bytes([number]) * 32) for number in (201, 202, 203)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_n7_all_who_hear_both_sides_block_the_owner_and_nobody_an_honest_one(data):
    """The first owner forks some versions, the others are honest; many nodes hear everything in any order,
    some of it twice, with evidence passed on in any order too."""
    count = data.draw(st.integers(2, RECORD_HISTORY))
    forked = data.draw(st.sets(st.integers(1, count), min_size=1))
    records = [a_record(number, b"%d" % number, owner) for owner in owners for number in range(1, count + 1)]
    records += [a_record(number, b"other", owners[0]) for number in forked]
    now_ms = int(WALL * 1000)
    nodes = [(dict[bytes, Versions](), Forks()) for _ in range(4)]
    post: list[tuple[int, Record | Fork]] = []
    for number in range(len(nodes)):
        heard = data.draw(st.lists(st.sampled_from(records), max_size=2 * len(records)))
        post += [(number, record) for record in heard]
    dice = data.draw(st.randoms(use_true_random=False))
    dice.shuffle(post)
    heard_of: list[set[Record]] = [set() for _ in nodes]
    while post:
        number, item = post.pop(dice.randrange(len(post)))
        names, forks = nodes[number]
        fork = item if isinstance(item, Fork) else None
        if isinstance(item, Record) and forks.blocked_until_ms(item.owner, now_ms) is None:
            heard_of[number].add(item)
            taken = names.setdefault(item.name, Versions()).take(item)
            if taken.against is not None:
                fork = Fork.make(taken.against, item)
        if fork is not None and forks.add(fork, now_ms) is not None:
            assert fork.authentic()
            post += [(other, fork) for other in range(len(nodes)) if other != number]
    caught = [forks.blocked_until_ms(owners[0].node_id, now_ms) is not None for _, forks in nodes]
    both = [
        any(
            len({one for one in heard if one.owner == owners[0].node_id and one.sequence == number}) > 1
            for number in forked
        )
        for heard in heard_of
    ]
    assert all(caught) if any(both) else not any(caught)
    for _, forks in nodes:
        assert all(forks.blocked_until_ms(one.node_id, now_ms) is None for one in owners[1:])
        assert len(forks) <= FORKS_PER_OWNER


def test_n7_memory_is_bounded_however_much_is_signed():
    versions = Versions()
    for sequence in random.Random(3).sample(range(10_000), 500):
        versions.take(a_record(sequence))
    assert len(versions._known) == RECORD_HISTORY
    assert min(versions._known) > 9000
    forks = Forks()
    root = bytes(32)
    for number in range(2 * FORKS_MAX):
        owner = Identity.from_seed(number.to_bytes(32)).node_id
        for sequence in range(2 * FORKS_PER_OWNER if number % 16 == 0 else 1):
            pair = [Record(owner, b"l", sequence, size, root) for size in (1, 2)]
            goes = forks.add(Fork.make(*pair), 1000 * number + sequence)
            assert goes is not None
            assert len(forks) <= FORKS_MAX
    assert forks.add(Fork.make(*(Record(owner, b"l", 77, size, root) for size in (1, 2))), 0) is None
    assert forks.blocked_until_ms(owner, 1000 * number) == 1000 * number + 1000 * FORK_BLOCK_S


def test_n7_names_of_others_are_bounded_and_ones_own_stay():
    mesh = line("a", "b")
    own = publish(mesh, "a", b"own")
    core = mesh["a"].core
    for number in range(RECORD_NAMES_MAX + 5):
        label = b"%d" % number
        record = Record(LIAR.node_id, label, 1, 0, bytes(32))
        core.mutables._keep(Versions(), record)
    names = {one.name for one in mesh["a"].store.latest_records()}
    assert len(names) == RECORD_NAMES_MAX + 1 and own.name in names
    assert name_of(LIAR.node_id, b"4") not in names and name_of(LIAR.node_id, b"5") in names
