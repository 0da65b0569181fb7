"""The SQLite store against a model in plain dictionaries, over random histories (M5, N7, N9, N10)."""

import tempfile
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nexus_node.base.errors import StoreFull
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.base.states import State
from nexus_node.ports.store import Fact, Incoming, Outgoing, StoredObject
from nexus_node.store.check import BOB, CAROL, an_incoming, an_object, an_outgoing
from nexus_node.store.outbox import OutboxTable
from nexus_node.store.sqlite import SqliteStore

QUOTA = 6 * CHUNK_SIZE
NUMBERS = st.integers(0, 5)
SIZES = st.sampled_from([1, 100, CHUNK_SIZE])
CONTENTS = st.lists(st.sampled_from(b"ab"), max_size=4).map(
    lambda letters: b"".join(bytes([letter]) * CHUNK_SIZE for letter in letters) + b"end"
)
WRITES = st.one_of(
    st.tuples(st.just("put"), NUMBERS, CONTENTS),
    st.tuples(st.just("delete"), NUMBERS),
    st.tuples(st.just("outgoing"), NUMBERS, st.sampled_from([BOB, CAROL]), SIZES),
    st.tuples(st.just("fact"), NUMBERS, st.sampled_from(State), st.sampled_from(["", "a"])),
    st.tuples(st.just("incoming"), NUMBERS, st.sampled_from([BOB, CAROL]), SIZES),
    st.tuples(st.just("read"), NUMBERS),
    st.tuples(st.just("meta"), NUMBERS),
)


@dataclass
class Model:
    objects: dict[bytes, tuple[StoredObject, list[bytes]]] = field(default_factory=dict)
    outbox: dict[bytes, Outgoing] = field(default_factory=dict)
    facts: dict[bytes, list[Fact]] = field(default_factory=dict)
    inbox: dict[bytes, Incoming] = field(default_factory=dict)
    meta: dict[str, bytes] = field(default_factory=dict)

    @property
    def used(self) -> int:
        long = {chunk for _, chunks in self.objects.values() if len(chunks) > 1 for chunk in chunks}
        short = [chunks[0] for _, chunks in self.objects.values() if len(chunks) == 1]
        bodies = [row.body for row in (*self.outbox.values(), *self.inbox.values())]
        envelopes = sum(row.size for row in self.outbox.values() if not row.state.final)
        return sum(map(len, (*long, *short, *bodies))) + envelopes

    def write(self, name: str, number: int, *rest) -> object:
        """Do what the store should; `StoreFull` leaves the model half changed, for the caller to put back."""
        row_id = an_outgoing(number).id
        result: object = None
        if name == "put":
            header, chunks = an_object(number, rest[0])
            result = header.id not in self.objects
            self.objects.setdefault(header.id, (header, chunks))
        elif name == "delete":
            result = self.objects.pop(an_object(number, b"")[0].id, None) is not None
        elif name == "outgoing":
            if row_id not in self.outbox:
                result = len(self.outbox) + 1
                self.outbox[row_id] = replace(an_outgoing(number, rest[0], size=rest[1]), seq=result)
                self.facts[row_id] = [Fact(State.QUEUED, self.outbox[row_id].created_ms)]
        elif name == "fact":
            if row_id in self.outbox:
                result = self._fact(row_id, *rest)
        elif name == "incoming":
            result = row_id not in self.inbox
            seq = len(self.inbox) + 1
            self.inbox.setdefault(row_id, replace(an_incoming(number, rest[0], size=rest[1]), seq=seq))
        elif name == "read":
            known = self.inbox.get(row_id)
            result = known is not None and known.read_ms is None
            if known is not None and result:
                self.inbox[row_id] = replace(known, read_ms=number)
        else:
            self.meta["key"] = b"%d" % number
        if self.used > QUOTA:
            raise StoreFull
        return result

    def _fact(self, row_id: bytes, state: State, by: str) -> bool:
        facts, row = self.facts[row_id], self.outbox[row_id]
        if (state, by) not in [(fact.state, fact.by) for fact in facts]:
            facts.append(Fact(state, 9, by))
        if state.rank <= row.state.rank:
            return False
        self.outbox[row_id] = replace(row, state=state, envelope=b"" if state.final else row.envelope)
        return True


def write_to(store: SqliteStore, name: str, number: int, *rest) -> object:
    row = an_outgoing(number)
    if name == "put":
        return store.put_object(*an_object(number, rest[0]))
    if name == "delete":
        return store.delete_object(an_object(number, b"")[0].id)
    if name == "outgoing":
        return (
            None if store.outgoing(row.id) else store.add_outgoing(an_outgoing(number, rest[0], size=rest[1]))
        )
    if name == "fact":
        return bool(store.add_facts(row, Fact(rest[0], 9, rest[1]))) if store.outgoing(row.id) else None
    if name == "incoming":
        return store.add_incoming(an_incoming(number, rest[0], size=rest[1]))
    if name == "read":
        return store.mark_read(row.id, number)
    return store.set_meta("key", b"%d" % number)


class Undo(Exception):
    pass


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.few_unnamed = patch.object(OutboxTable, "_unnamed_most", 2)
        self.few_unnamed.start()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "store.db"
        self.store = SqliteStore.open(self.path, QUOTA)
        self.model, self.committed = Model(), Model()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.directory.cleanup()
            self.few_unnamed.stop()

    def both(self, write) -> None:
        before = deepcopy(self.model)
        try:
            wanted = self.model.write(*write)
        except StoreFull:
            self.model = before
            wanted = StoreFull
        try:
            found = write_to(self.store, *write)
        except StoreFull:
            found = StoreFull
        assert found == wanted, write

    @rule(write=WRITES)
    def write(self, write) -> None:
        self.both(write)

    @rule(
        before=st.lists(WRITES, max_size=2),
        inside=st.lists(WRITES, max_size=3),
        undo_inside=st.booleans(),
        undo_all=st.booleans(),
    )
    def atomic(self, before, inside, undo_inside: bool, undo_all: bool) -> None:
        outer = deepcopy(self.model)
        with suppress(Undo), self.store.atomic():
            for write in before:
                self.both(write)
            inner = deepcopy(self.model)
            with suppress(Undo), self.store.atomic():
                for write in inside:
                    self.both(write)
                if undo_inside:
                    self.model = inner
                    raise Undo
            if undo_all:
                self.model = outer
                raise Undo

    @rule()
    def commit(self) -> None:
        self.store.commit()
        self.committed = deepcopy(self.model)

    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        if crash:
            self.store._connection.close()
            self.model = deepcopy(self.committed)
        else:
            self.store.close()
            self.committed = deepcopy(self.model)
        self.store = SqliteStore.open(self.path, QUOTA)
        assert self.store.recovered is None

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "store"):
            return
        store, model = self.store, self.model
        assert store._counters == store._count()
        assert store.usage() == (len(model.objects), model.used, QUOTA)
        assert list(store.objects()) == [header for header, _ in model.objects.values()]
        for header, chunks in model.objects.values():
            assert list(store.read_object(header.id)) == chunks
        assert list(store.outbox()) == list(model.outbox.values())
        assert list(store.inbox()) == list(model.inbox.values())
        for row in model.outbox.values():
            assert store.facts(row.id) == model.facts[row.id]
            assert store.find_by_mark(row.read_mark) == (row, State.READ)
        pending = [row for row in model.outbox.values() if not row.state.final]
        assert store.pending(BOB, limit=99) == [row for row in pending if row.to == BOB]
        assert store.next_expiry_ms() == min((row.expires_ms for row in pending), default=None)
        assert store.get_meta("key") == model.meta.get("key")


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
