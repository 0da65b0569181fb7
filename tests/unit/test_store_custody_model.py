"""Others' mail against a model in plain lists, over random histories with crashes (M5, N7, N10)."""

import tempfile
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nexus_node.base.errors import StoreFull
from nexus_node.base.limits import MIB
from nexus_node.ports.custody import Admission, Held, Slip
from nexus_node.store.check_custody import BOB, CAROL, a_held, a_prefix, a_slip
from nexus_node.store.sqlite import SqliteStore

QUOTA = 500
NUMBERS = st.integers(0, 11)
ADDRESSES = st.sampled_from([BOB, CAROL])
TIMES = st.integers(0, 3)
WRITES = st.one_of(
    *[
        st.tuples(
            st.just("hold"),
            NUMBERS,
            ADDRESSES,
            st.sampled_from([60, 100, 250]),
            st.integers(0, 3),
            st.booleans(),
            TIMES,
        )
    ]
    * 4,
    st.tuples(st.just("release"), NUMBERS),
    st.tuples(st.just("promise"), NUMBERS),
    st.tuples(st.just("receipt"), NUMBERS, TIMES),
    st.tuples(st.just("slip"), NUMBERS, ADDRESSES, TIMES),
    st.tuples(st.just("drop"), NUMBERS, ADDRESSES),
    st.tuples(st.just("expire"), NUMBERS),
)


@dataclass
class Model:
    now: int = 0
    held: list[Held] = field(default_factory=list)
    receipts: dict[bytes, int] = field(default_factory=dict)
    slips: list[Slip] = field(default_factory=list)
    given: int = 0

    def write(self, name: str, number: int, *rest) -> object:
        prefix = a_prefix(number)
        mine = [held for held in self.held if held.prefix == prefix]
        if name == "hold":
            return self._hold(self.made(number, *rest))
        if name == "release":
            self.held = [held for held in self.held if held not in mine]
            return bool(mine)
        if name == "promise":
            for held in mine:
                held.promised = True
            return bool(mine)
        if name == "receipt":
            if prefix in self.receipts:
                return False
            self.receipts[prefix] = self.now + rest[0]
            self.held = [held for held in self.held if held not in mine]
            return True
        if name == "expire":
            return self.expire()
        slip = replace(a_slip(number, rest[0]), expires_ms=self.now + rest[-1] if name == "slip" else 0)
        known = [(one.destination, one.receipt) for one in self.slips]
        if name == "slip":
            if (slip.destination, slip.receipt) not in known:
                self.slips.append(slip)
            return len(self.slips) > len(known)
        self.slips = [one for one in self.slips if (one.destination, one.receipt) != (rest[0], slip.receipt)]
        return len(self.slips) < len(known)

    def made(self, number: int, destination, size: int, rank: int, promised: bool, lives: int) -> Held:
        return a_held(
            number,
            destination,
            size=size,
            rank=rank,
            promised=promised,
            received_ms=self.now,
            expires_ms=self.now + lives,
        )

    def _hold(self, new: Held) -> Admission:
        if new.prefix in self.receipts or new.prefix in [held.prefix for held in self.held]:
            return Admission(False)
        if self.used + len(new.data) > QUOTA:
            self.expire()
        below = [held for held in self.held if not held.promised and held.rank <= new.rank]
        below += [held for held in self.held if new.promised and held.promised and held.rank < new.rank]
        below.sort(key=lambda held: (held.promised, held.rank))
        if self.used - sum(len(held.data) for held in below) + len(new.data) > QUOTA:
            raise StoreFull
        evicted = []
        while self.used + len(new.data) > QUOTA:
            evicted.append(below.pop(0))
            self.held.remove(evicted[-1])
        self.held.append(new)
        self.given += 1
        return Admission(True, [held.prefix for held in evicted], sum(held.promised for held in evicted))

    @property
    def used(self) -> int:
        return sum(len(held.data) for held in self.held)

    def expire(self) -> tuple[int, int, int]:
        before = len(self.held), len(self.receipts), len(self.slips)
        self.held = [held for held in self.held if held.expires_ms > self.now]
        self.receipts = {prefix: at for prefix, at in self.receipts.items() if at > self.now}
        self.slips = [slip for slip in self.slips if slip.expires_ms > self.now]
        return before[0] - len(self.held), before[1] - len(self.receipts), before[2] - len(self.slips)


def write_to(store: SqliteStore, model: Model, name: str, number: int, *rest) -> object:
    slip = a_slip(number, rest[0]) if name in ("slip", "drop") else None
    if name == "hold":
        return store.hold(model.made(number, *rest), QUOTA)
    if name == "release":
        return store.release(a_prefix(number))
    if name == "promise":
        return store.promise(a_prefix(number))
    if name == "receipt":
        return store.add_receipt(a_prefix(number), bytes(16), model.now + rest[0])
    if name == "slip":
        return store.put_slip(replace(slip, expires_ms=model.now + rest[1]))
    if name == "drop":
        return store.drop_slip(rest[0], slip.receipt)
    return store.expire_custody(model.now)


class Undo(Exception):
    pass


class CustodyMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "store.db"
        self.store = SqliteStore.open(self.path, MIB)
        self.model, self.committed = Model(), Model()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.directory.cleanup()

    def both(self, write) -> None:
        try:
            wanted = self.model.write(*write)
        except StoreFull:
            wanted = StoreFull
        try:
            found = write_to(self.store, self.model, *write)
        except StoreFull:
            found = StoreFull
        assert found == wanted, write

    @rule(writes=st.lists(WRITES, min_size=1, max_size=6), later=st.integers(0, 1))
    def write(self, writes, later: int) -> None:
        for write in writes:
            self.both(write)
        self.model.now += later

    @rule(kept=st.lists(WRITES, max_size=2), undone=st.lists(WRITES, min_size=1, max_size=4))
    def undo(self, kept, undone) -> None:
        for write in kept:
            self.both(write)
        before = deepcopy(self.model)
        with suppress(Undo), self.store.atomic():
            for write in undone:
                self.both(write)
            raise Undo
        self.model = before

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
        self.store = SqliteStore.open(self.path, MIB)
        assert self.store.recovered is None

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "store"):
            return
        store, model = self.store, self.model
        found = [*store.held_for(BOB, limit=99), *store.held_for(CAROL, limit=99)]
        found.sort(key=lambda held: held.seq)
        assert [replace(held, seq=0) for held in found] == model.held
        assert store.custody_usage() == (len(model.held), model.used)
        assert sum(count for count, _ in store.waiting().values()) == len(model.held)
        assert {one.prefix: one.expires_ms for one in store.receipts(99)} == model.receipts
        for destination in (BOB, CAROL):
            mine = [slip for slip in model.slips if slip.destination == destination]
            assert store.slips_for(destination, 99) == mine
        times = [*(held.expires_ms for held in model.held), *model.receipts.values()]
        times += [slip.expires_ms for slip in model.slips]
        assert store.next_custody_expiry_ms() == min(times, default=None)
        assert store.given_since(a_held(0).giver, 0)[0] == model.given
        assert store.usage() == (0, 0, MIB)


TestCustodyMachine = CustodyMachine.TestCase
TestCustodyMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
