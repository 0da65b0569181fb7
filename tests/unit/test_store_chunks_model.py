"""Objects in part against a model in sets, over random histories: usage to the byte, packs, crashes (N7)."""

import tempfile
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nexus_node.base.errors import LocalError, StoreFull
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import hashes_in, leaf_hash
from nexus_node.store import packs
from nexus_node.store.check_objects import an_object, pages_of
from nexus_node.store.sqlite import SqliteStore

QUOTA = 7 * CHUNK_SIZE + 5
LETTERS = ("ab", "ba", "aacd", "dcb", "efgh", "abcdefgh", "hg" * 65, "e", "x")


def chunks_of(letters: str) -> list[bytes]:
    chunks = [letter.encode() * CHUNK_SIZE for letter in letters]
    return [*chunks[:-1], chunks[-1][:3]] if letters in ("dcb", "x", "abcdefgh") else chunks


MADE = [an_object(number, b"".join(chunks_of(letters))) for number, letters in enumerate(LETTERS)]
PAGES = [pages_of(chunks) if len(chunks) > 1 else [] for _, chunks in MADE]
LEAVES = [[leaf_hash(chunk) for chunk in chunks] for _, chunks in MADE]
SIZES = {leaf: len(chunk) for _, chunks in MADE for chunk in chunks for leaf in [leaf_hash(chunk)]}
NUMBERS = st.integers(0, len(MADE) - 1)
WRITES = st.one_of(
    st.tuples(st.just("begin"), NUMBERS, st.just(0)),
    st.tuples(st.just("page"), NUMBERS, st.integers(0, 2)),
    st.tuples(st.just("chunk"), NUMBERS, st.integers(0, 7) | st.integers(126, 129)),
    st.tuples(st.just("put"), NUMBERS, st.just(0)),
    st.tuples(st.just("delete"), NUMBERS, st.just(0)),
)


@dataclass
class Model:
    pages: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    """Which pages are here, by number of the object, in the order they came."""
    small: set[int] = field(default_factory=set)
    """Objects of one chunk that are here."""
    chunks: set[bytes] = field(default_factory=set)
    """Leaf hashes of the chunks that are here."""

    def leaves(self, number: int) -> dict[int, bytes]:
        """The leaves that are known, by number of the chunk."""
        known = [at for level, at in self.pages[number] if level == 1]
        return {at: leaf for at, leaf in enumerate(LEAVES[number]) if at // 128 in known}

    def missing(self, number: int) -> list[int]:
        if len(LEAVES[number]) == 1:
            return [] if number in self.small else [0]
        return [at for at, leaf in self.leaves(number).items() if leaf not in self.chunks]

    def have(self, number: int) -> int:
        if len(LEAVES[number]) == 1:
            return int(number in self.small)
        return len(self.leaves(number)) - len(self.missing(number))

    @property
    def named(self) -> set[bytes]:
        return {leaf for number in self.pages for leaf in self.leaves(number).values()}

    @property
    def used(self) -> int:
        return sum(SIZES[leaf] for leaf in self.chunks) + sum(MADE[number][0].size for number in self.small)

    def write(self, name: str, number: int, at: int) -> object:
        """Do what the store should; `StoreFull` leaves the model half changed, for the caller to put back."""
        whole, result, used = len(LEAVES[number]), None, self.used
        if name == "begin":
            result = number not in self.pages
            self.pages.setdefault(number, set())
        elif name == "put":
            result = number not in self.pages or self.have(number) < whole
            self.pages.setdefault(number, set())
            self.pages[number] |= {page[:2] for page in PAGES[number]}
            if whole == 1:
                self.small.add(number)
            else:
                self.chunks.update(LEAVES[number])
        elif name == "delete":
            result = self.pages.pop(number, None) is not None
            self.small.discard(number)
            self.chunks &= self.named
        elif number not in self.pages:
            return KeyError
        elif name == "page":
            if at < len(PAGES[number]):
                self.pages[number].add(PAGES[number][at][:2])
        else:
            if at >= whole or (whole > 1 and at not in self.leaves(number)):
                # A whole object says so before it looks for anything.
                return False if at < whole and self.have(number) == whole else LocalError
            before = self.have(number)
            if whole == 1:
                self.small.add(number)
            else:
                self.chunks.add(LEAVES[number][at])
            result = before < whole == self.have(number)
        if self.used > max(QUOTA, used):
            raise StoreFull
        return result


def write_to(store: SqliteStore, name: str, number: int, at: int) -> object:
    header, chunks = MADE[number]
    if name == "begin":
        return store.begin_object(header)
    if name == "put":
        return store.put_object(header, iter(chunks))
    if name == "delete":
        return store.delete_object(header.id)
    if name == "page":
        page = PAGES[number][at] if at < len(PAGES[number]) else None
        return store.add_page(header.id, *page) if page else store.missing(header.id, limit=0) or None
    return store.add_chunk(header.id, at, chunks[at] if at < len(chunks) else b"")


class Undo(Exception):
    pass


class ChunkMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "store.db"
        self.pack_bytes, packs.PACK_BYTES = packs.PACK_BYTES, 4 * packs.cost(CHUNK_SIZE)
        self.store = SqliteStore.open(self.path, QUOTA)
        self.model, self.committed, self.written = Model(), Model(), set[bytes]()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            packs.PACK_BYTES = self.pack_bytes
            self.store.close()
            self.directory.cleanup()

    def both(self, write: tuple[str, int, int]) -> None:
        before = deepcopy(self.model)
        wanted: object
        try:
            wanted = self.model.write(*write)
            self.written |= self.model.chunks
        except StoreFull:
            self.written |= self.model.chunks
            self.model = before
            wanted = StoreFull
        found: object
        try:
            found = write_to(self.store, *write)
        except (StoreFull, KeyError, LocalError) as error:
            found = type(error)
        assert found == wanted, write

    @rule(write=WRITES)
    def write(self, write) -> None:
        self.both(write)

    @rule(number=NUMBERS)
    def fetch(self, number: int) -> None:
        """All that a transfer does, so that histories get far."""
        self.both(("begin", number, 0))
        for at in range(len(PAGES[number])):
            self.both(("page", number, at))
        for at in self.store.missing(MADE[number][0].id, limit=99):
            self.both(("chunk", number, at))

    @rule(
        before=st.lists(WRITES, max_size=2),
        inside=st.lists(WRITES, max_size=4),
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
            self.store._packs.close()
        else:
            self.store.close()
            self.committed = deepcopy(self.model)
        self.store = SqliteStore.open(self.path, QUOTA)
        assert self.store.recovered is None and not self.store.dirty
        self.model = deepcopy(self.committed)
        # What an undone block wrote, or a crash, or what was deleted but stands in a pack still, is here
        # again if a page names it.
        found = {leaf for leaf, entry in self.store._leaves.items() if entry & (1 << 43) - 1}
        assert self.committed.chunks <= found <= self.written & self.committed.named
        self.model.chunks = found
        self.committed = deepcopy(self.model)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "store"):
            return
        store, model = self.store, self.model
        assert store.usage() == (len(model.pages), model.used, QUOTA)
        assert store._counters == store._count()
        assert list(store.objects()) == [
            replace(MADE[number][0], chunks_have=model.have(number)) for number in model.pages
        ]
        for number, known in model.pages.items():
            header, chunks = MADE[number]
            missing = model.missing(number)
            assert store.missing(header.id, limit=999) == missing
            assert store.missing(header.id, since=2, limit=2) == [at for at in missing if at >= 2][:2]
            assert {page[:2] for page in store.pages(header.id)} == known
            assert all(page in PAGES[number] for page in store.pages(header.id))
            here = [0] if number in model.small else [at for at in model.leaves(number) if at not in missing]
            for at in here[:9]:
                assert store.read_chunk(header.id, at) == chunks[at]
            if model.have(number) == len(chunks):
                assert list(store.read_object(header.id)) == chunks
        leaves: dict[bytes, int] = {}
        for number in model.pages:
            for _, _, page in (one for one in store.pages(MADE[number][0].id) if one[0] == 1):
                for leaf in hashes_in(page):
                    leaves[leaf] = leaves.get(leaf, 0) + 1
        assert {leaf: entry >> 56 for leaf, entry in store._leaves.items()} == leaves


TestChunkMachine = ChunkMachine.TestCase
TestChunkMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
