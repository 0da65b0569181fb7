"""Databases of earlier versions brought forward, with what it holds (docs/adr/0002-store.md)."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from nexus_node.base.ids import MessageId, NodeId, ObjectId
from nexus_node.base.states import State
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.merkle import leaf_hash, pages_over
from nexus_node.engine.compose import is_sound
from nexus_node.ports.mutable import StoredFork, StoredRecord
from nexus_node.ports.store import Expected
from nexus_node.store.check_custody import a_held
from nexus_node.store.check_groups import a_group
from nexus_node.store.files import make_database
from nexus_node.store.migrations import VERSION, migrate, version_of
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.dataobject import KIND_BLOB, KIND_MESSAGE, describe
from nexus_node.wire.pub import Mode, Topic, TopicKind

BOB = Identity.from_seed(bytes([2]) * 32)
QUOTA = 10**7


def add_message(connection: sqlite3.Connection, seq: int, state: State, envelope: bytes) -> MessageId:
    """What version 1 stored of one message going out."""
    header, chunks = describe(KIND_MESSAGE, BOB.address + envelope)
    code = {State.QUEUED: 10, State.SENT: 30, State.DELIVERED: 70}[state]
    marks = bytes([seq]) * 16, bytes([seq + 100]) * 16
    row = (seq, header.id, BOB.node_id, header.id, 1000, 10**15, header.size, 0, code, int(code < 50), *marks)
    connection.execute(f"INSERT INTO outbox VALUES ({', '.join('?' * 13)})", (*row, b"own copy"))
    if code < 50:
        hashes = [blake3(chunk).digest() for chunk in chunks]
        content = chunks[0] if len(chunks) == 1 else b"".join(hashes)
        stored = (header.id, KIND_MESSAGE, header.size, header.root, 1000, None, 0, content)
        connection.execute(
            "INSERT INTO objects (id, kind, size, root, created_ms, expires_ms, min_bandwidth, content) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            stored,
        )
        for digest, chunk in zip(hashes, chunks, strict=True) if len(chunks) > 1 else ():
            connection.execute("INSERT INTO chunks (hash, refs, content) VALUES (?, 1, ?)", (digest, chunk))
    for at_ms, (fact, by) in enumerate(((30, "tcp:there"), (70, BOB.address.hex())), 2000):
        if fact <= code:
            connection.execute(
                "INSERT INTO facts (message, state, evidence, at_ms) VALUES (?, ?, ?, ?)",
                (seq, fact, by, at_ms),
            )
    return MessageId(header.id)


def test_version_1_keeps_its_messages_facts_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    make_database(path, lambda connection: migrate(connection, 1))
    connection = sqlite3.connect(path, isolation_level=None)
    queued = add_message(connection, 1, State.QUEUED, b"time" + b"q" * 50)
    sent = add_message(connection, 2, State.SENT, b"time" + b"s" * 50)
    delivered = add_message(connection, 3, State.DELIVERED, b"time" + b"d" * 50)
    large = add_message(connection, 4, State.QUEUED, b"time" + bytes(range(256)) * 40)
    blob, _ = describe(KIND_BLOB, b"a file")
    connection.execute(
        "INSERT INTO objects (id, kind, size, root, created_ms, min_bandwidth, content) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (blob.id, KIND_BLOB, 6, blob.root, 1000, 0, b"a file"),
    )
    connection.execute(
        "INSERT INTO inbox (id, sender, sent_ms, received_ms, delivered, read, body) "
        "VALUES (?, ?, 1, 2, ?, ?, ?)",
        (bytes(32), BOB.node_id, bytes(16), bytes(16), b"text"),
    )
    connection.close()

    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and version_of(store._connection) == VERSION
    rows = {row.id: row for row in store.outbox()}
    assert [rows[one].state for one in (queued, sent, delivered, large)] == [
        State.QUEUED,
        State.SENT,
        State.DELIVERED,
        State.QUEUED,
    ]
    assert is_sound(rows[queued]) and is_sound(rows[sent]) and rows[delivered].envelope == b""
    assert not is_sound(rows[large]), "its text is sealed again when it is sent"
    assert [(fact.state, fact.by, fact.at_ms) for fact in store.facts(delivered)[1:]] == [
        (State.SENT, "tcp:there", 2000),
        (State.DELIVERED, BOB.address.hex(), 2001),
    ]
    assert [one.id for one in store.objects()] == [blob.id]
    assert store._connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    assert [row.sender for row in store.inbox()] == [NodeId(BOB.node_id)]
    assert {row.id for row in store.pending(BOB.node_id, limit=9)} == {queued, sent, large}
    store.close()


def test_version_4_keeps_its_objects_under_the_leaf_hashes_of_their_chunks(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    make_database(path, lambda connection: migrate(connection, 4))
    connection = sqlite3.connect(path, isolation_level=None)
    contents = [
        bytes(range(256)) * 16 * 130 + b"end",
        b"a" * 4096 + b"b",
        b"small",
        b"c" * 4096 + b"lost",
        b"",
    ]
    for seq, content in enumerate(contents):
        header, chunks = describe(KIND_BLOB, content)
        hashes = [blake3(chunk).digest() for chunk in chunks]
        stored = content if len(chunks) == 1 else b"".join(hashes)
        connection.execute(
            "INSERT INTO objects (id, kind, size, root, created_ms, min_bandwidth, content) "
            "VALUES (?, 1, ?, ?, ?, 7, ?)",
            (header.id, len(content), header.root, seq, stored),
        )
        for digest, chunk in zip(hashes, chunks, strict=True) if len(chunks) > 1 else ():
            sound = chunk if chunk != b"lost" else b"LOST"
            connection.execute(
                "INSERT INTO chunks (hash, refs, content) VALUES (?, 1, ?) "
                "ON CONFLICT DO UPDATE SET refs = refs + 1",
                (digest, sound),
            )
    connection.close()

    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and version_of(store._connection) == VERSION
    kept = [contents[number] for number in (0, 1, 2, 4)]  # of one a chunk was not what its hash says
    assert [b"".join(store.read_object(header.id)) for header in store.objects()] == kept
    assert all(header.complete and header.min_bandwidth == 7 for header in store.objects())
    assert store.usage()[:2] == (4, 4096 + 3 + 4096 + 1 + 5)
    header, chunks = describe(KIND_BLOB, contents[0])
    pages = sorted(pages_over(map(leaf_hash, chunks)), reverse=True)
    assert sorted(store.pages(header.id), reverse=True) == pages
    store.close()


def test_version_3_keeps_the_mail_of_others_and_its_totals(tmp_path: Path) -> None:
    """Versions 4 and 6 rebuild that table."""
    path = tmp_path / "nexus.db"
    make_database(path, lambda connection: migrate(connection, 3))
    connection = sqlite3.connect(path, isolation_level=None)
    mail = [a_held(number, rank=number, promised=number > 1, size=100 * number + 1) for number in range(4)]
    for one in mail:
        row = (one.prefix, one.id, one.destination, one.mark, one.giver, one.rank, one.promised)
        row = (*row, one.received_ms, one.expires_ms, len(one.data), one.data)
        connection.execute(
            "INSERT INTO custody (prefix, id, destination, mark, giver, rank, promised, received_ms, "
            "expires_ms, size, data, level) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0.5)",
            row,
        )
    connection.close()

    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and version_of(store._connection) == VERSION
    kept = store.held_for(mail[0].destination, limit=9)
    assert kept == [replace(one, seq=seq) for seq, one in enumerate(mail, 1)]
    size = sum(len(one.data) for one in mail)
    assert store.custody_usage() == (4, size)
    assert store.given_since(mail[0].giver, 0) == (4, size)
    assert store.promise(mail[0].prefix) and store.release(mail[3].prefix)
    assert store.custody_usage() == (3, size - len(mail[3].data))
    store.close()


def test_version_6_keeps_what_files_it_expects_and_takes_groups_and_subscriptions(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    make_database(path, lambda connection: migrate(connection, 6))
    expected = Expected(ObjectId(b"o" * 32), MessageId(b"m" * 32), BOB.node_id, 7, b"r" * 16, 5)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "INSERT INTO expected (object, message, sender, min_bandwidth, receipt, arrived_ms) "
        "VALUES (?, ?, ?, 7, ?, 5)",
        (expected.object, expected.message, expected.sender, expected.receipt),
    )
    connection.close()
    topic = Topic(TopicKind.KEY, b"\x01")
    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and store.expected(expected.object) == [expected]
    store.end_expected(expected, "declined", b"s" * 16)
    store.put_group(a_group())
    store.put_subscription(topic, Mode.HINT)
    store.close()
    store = SqliteStore.open(path, QUOTA)
    assert [one.ended for one in store.expected(expected.object)] == ["declined"]
    assert [group.name for group in store.groups()] == ["friends"]
    assert store.subscriptions() == [(topic, Mode.HINT)]
    store.close()


def test_version_7_takes_records_of_mutable_objects(tmp_path: Path) -> None:
    path = tmp_path / "nexus.db"
    make_database(path, lambda connection: migrate(connection, 7))
    record = StoredRecord(b"n" * 32, 2**64 - 1, BOB.node_id, b"signed")
    fork = StoredFork(b"n" * 32, 1, BOB.node_id, 5, b"evidence")
    store = SqliteStore.open(path, QUOTA)
    assert store.recovered is None and store.put_record(record) and store.put_fork(fork)
    store.close()
    store = SqliteStore.open(path, QUOTA)
    assert (store.records(record.name), store.forks(), store.usage()[1]) == ([record], [fork], 14)
    store.close()
