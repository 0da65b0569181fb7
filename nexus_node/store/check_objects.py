"""What every store must do with objects that are here in part (`check.py` has what whole ones ask for)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nexus_node.base.errors import LocalError, StoreFull
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import CHUNK_SIZE, MIB
from nexus_node.crypto.merkle import FAN_OUT, leaf_hash, merkle_root, page_hashes, page_root, pages_over
from nexus_node.ports.store import Keep, Store, StoredObject
from nexus_node.store.expect import expect, expect_raises

MakeStore = Callable[[int], Store]


def an_object(number: int, content: bytes) -> tuple[StoredObject, list[bytes]]:
    """Make an object's header and chunks; the id follows from `number`."""
    chunks = [content[at : at + CHUNK_SIZE] for at in range(0, len(content), CHUNK_SIZE)] or [b""]
    header = StoredObject(
        id=ObjectId((b"%d" % number).rjust(32, b"o")),
        kind=1,
        size=len(content),
        root=merkle_root([leaf_hash(chunk) for chunk in chunks]),
        created_ms=number,
        expires_ms=None if number % 2 else 10**6,
        min_bandwidth=number,
        chunks_total=len(chunks),
        chunks_have=len(chunks),
    )
    return header, chunks


def pages_of(chunks: list[bytes]) -> list[tuple[int, int, bytes]]:
    """The pages of the hash tree over these chunks, the highest level first."""
    return sorted(pages_over(map(leaf_hash, chunks)), key=lambda page: (-page[0], page[1]))


def _different(count: int, *, last: int = CHUNK_SIZE) -> bytes:
    """So many chunks no two of which are equal."""
    return b"".join(b"%08d" % number * (CHUNK_SIZE // 8) for number in range(count))[
        : last - CHUNK_SIZE or None
    ]


def check_partial(make_store: MakeStore) -> None:
    """An object comes page by page and chunk by chunk, in any order, and is then as if put whole (N7)."""
    store = make_store(4 * MIB)
    header, chunks = an_object(1, _different(FAN_OUT + 3, last=100))
    pages = pages_of(chunks)
    expect([page[:2] for page in pages], [(2, 0), (1, 0), (1, 1)], "the pages of 131 chunks")
    expect(page_root(pages[0][2]), header.root, "the root of the only page of level 2")
    expect(store.begin_object(header), True, "beginning an object")
    expect(store.begin_object(header), False, "beginning it again")
    begun = replace(header, chunks_have=0)
    expect((store.get_object(header.id), list(store.objects())), (begun, [begun]), "an object begun")
    expect((begun.complete, header.complete), (False, True), "whether it is complete")
    expect(store.usage()[:2], (1, 0), "usage of an object begun")
    expect(store.missing(header.id, limit=9), [], "what is missing while no leaf is known")
    expect_raises(LocalError, lambda: store.add_chunk(header.id, 0, chunks[0]), "a chunk without its page")
    for level, number, hashes in pages[:2]:
        store.add_page(header.id, level, number, hashes)
        store.add_page(header.id, level, number, hashes)
    expect(list(store.pages(header.id)), pages[:2], "the pages that are here")
    expect(store.page(header.id, 1, 0), pages[1][2], "one of them")
    expect(store.page(header.id, 1, 1), None, "one that is not here")
    expect(store.missing(header.id, limit=999), list(range(FAN_OUT)), "what is missing under one page")
    for number in range(FAN_OUT - 1, -1, -2):
        expect(store.add_chunk(header.id, number, chunks[number]), False, "whether a chunk completes it")
    expect(store.add_chunk(header.id, 1, chunks[1]), False, "a chunk that is here")
    expect(store.have_chunks(header.id), FAN_OUT // 2, "how many chunks are here")
    expect(store.usage()[1], FAN_OUT // 2 * CHUNK_SIZE, "bytes of an object that is here in part")
    expect(store.missing(header.id, since=3, limit=2), [4, 6], "a part of what is missing")
    expect(store.read_chunk(header.id, 1), chunks[1], "a chunk of a partial object")
    for number in (0, FAN_OUT, FAN_OUT + 3, -1):
        expect_raises(KeyError, partial(store.read_chunk, header.id, number), f"reading chunk {number}")
    expect_raises(KeyError, lambda: list(store.read_object(header.id)), "reading all of a partial object")
    store.commit()
    store.add_page(header.id, *pages[2])
    left = store.missing(header.id, limit=999)
    expect(left, [*range(0, FAN_OUT, 2), FAN_OUT, FAN_OUT + 1, FAN_OUT + 2], "what is missing")
    done = [store.add_chunk(header.id, number, chunks[number]) for number in left]
    expect(done, [False] * (len(left) - 1) + [True], "the last chunk completes it")
    expect(store.get_object(header.id), header, "the header when it is complete")
    expect(list(store.read_object(header.id)), chunks, "the content")
    expect(list(store.pages(header.id)), pages, "the pages of a complete object")
    expect(store.missing(header.id, limit=9), [], "what is missing of a complete object")
    expect(store.usage()[:2], (1, header.size), "usage when it is complete")
    expect(store.put_object(header, chunks), False, "putting it")
    expect(store.delete_object(header.id), True, "deleting it")
    expect(store.usage()[:2], (0, 0), "usage when it is deleted")
    expect(store.have_chunks(header.id), 0, "chunks of an object that is not here")
    for action in (
        lambda: store.missing(header.id, limit=1),
        lambda: store.page(header.id, 1, 0),
        lambda: store.add_page(header.id, *pages[0]),
        lambda: store.add_chunk(header.id, 0, chunks[0]),
        lambda: store.read_chunk(header.id, 0),
    ):
        expect_raises(KeyError, action, "using an object that is not here")
    store.close()


def check_partial_put(make_store: MakeStore) -> None:
    """Putting completes what is here in part; one that was put has its pages (N7)."""
    store = make_store(4 * MIB)
    header, chunks = an_object(1, _different(FAN_OUT + 1))
    pages = pages_of(chunks)
    store.begin_object(header)
    for page in pages[:2]:
        store.add_page(header.id, *page)
    store.add_chunk(header.id, 5, chunks[5])
    expect(store.put_object(header, iter(chunks)), True, "putting an object that is here in part")
    expect(store.get_object(header.id), header, "its header then")
    expect(list(store.read_object(header.id)), chunks, "its content then")
    expect(list(store.pages(header.id)), pages, "its pages then")
    expect(store.usage()[:2], (1, header.size), "usage then")
    other, _ = an_object(2, _different(FAN_OUT + 1, last=9))
    store.begin_object(other)
    usage = store.usage()
    expect_raises(LocalError, lambda: store.put_object(other, chunks), "a wrong content")
    wrong = replace(header, id=other.id)
    expect_raises(LocalError, lambda: store.put_object(wrong, chunks[::-1]), "a content with another root")
    expect(store.usage(), usage, "usage after it was refused")
    expect(store.get_object(other.id), replace(other, chunks_have=0), "the object that was to be put")
    store.close()


def check_partial_small(make_store: MakeStore) -> None:
    """An object of one chunk has no pages, an empty one is complete at once."""
    store = make_store(MIB)
    empty, _ = an_object(1, b"")
    expect(store.begin_object(empty), True, "beginning an empty object")
    expect(store.get_object(empty.id), empty, "an empty object begun")
    expect(list(store.read_object(empty.id)), [b""], "its content")
    for number, put in ((2, False), (3, True)):
        small, chunks = an_object(number, b"x" * number)
        expect(store.begin_object(small), True, "beginning a small object")
        expect(store.get_object(small.id), replace(small, chunks_have=0), "a small object begun")
        expect(store.missing(small.id, limit=9), [0], "what is missing of it")
        expect(store.missing(small.id, since=1, limit=9), [], "what is missing after that")
        expect_raises(KeyError, partial(store.read_object, small.id), "reading it")
        expect_raises(KeyError, partial(store.read_chunk, small.id, 0), "reading its chunk")
        expect_raises(LocalError, partial(store.add_page, small.id, 1, 0, bytes(32)), "a page of it")
        expect_raises(LocalError, partial(store.add_chunk, small.id, 1, b"x"), "a second chunk")
        expect_raises(LocalError, partial(store.add_chunk, small.id, 0, b"x"), "a chunk too short")
        whole = store.put_object(small, chunks) if put else store.add_chunk(small.id, 0, chunks[0])
        expect(whole, True, "its chunk completes it")
        expect(store.add_chunk(small.id, 0, chunks[0]), False, "its chunk again")
        expect(store.get_object(small.id), small, "a small object complete")
        expect(store.read_chunk(small.id, 0), chunks[0], "its chunk")
    expect(store.usage()[:2], (3, 5), "usage")
    for number in (1, 2, 3):
        store.delete_object(an_object(number, b"")[0].id)
    expect(store.usage()[:2], (0, 0), "usage when all is deleted")
    store.close()


def check_partial_shared(make_store: MakeStore) -> None:
    """A chunk is here for all objects that name it, from whichever it came, and counts once (N7)."""
    store = make_store(MIB)
    a, b, c = (letter * CHUNK_SIZE for letter in (b"a", b"b", b"c"))
    whole, whole_chunks = an_object(1, a + b)
    first, chunks = an_object(2, b + c + c + a + b"end")
    second, _ = an_object(3, c + c + b"end")
    store.put_object(whole, whole_chunks)
    for header, content in ((first, chunks), (second, [c, c, b"end"])):
        store.begin_object(header)
        store.add_page(header.id, *pages_of(content)[0])
    expect(store.missing(first.id, limit=9), [1, 2, 4], "what is missing when others have a part")
    expect(store.have_chunks(first.id), 2, "how many chunks are here at once")
    expect(store.read_chunk(first.id, 3), a, "a chunk that another object brought")
    store.delete_object(whole.id)
    expect(store.usage()[1], 2 * CHUNK_SIZE, "bytes that a partial object keeps")
    expect(store.add_chunk(first.id, 1, c), False, "a chunk that is there twice")
    expect(store.missing(first.id, limit=9), [4], "what is missing then")
    expect(store.missing(second.id, limit=9), [2], "what the other lacks then")
    expect(store.add_chunk(second.id, 2, b"end"), True, "the end of the other")
    expect(store.get_object(first.id), first, "the one that is complete by it as well")
    expect(list(store.read_object(first.id)), chunks, "its content")
    expect(store.usage()[1], first.size - CHUNK_SIZE, "bytes of both")
    store.delete_object(first.id)
    expect(store.usage()[1], second.size - CHUNK_SIZE, "bytes of the second")
    expect(list(store.read_object(second.id)), [c, c, b"end"], "the content of the second")
    store.delete_object(second.id)
    expect(store.usage()[:2], (0, 0), "usage when all is deleted")
    third, _ = an_object(4, a + c)
    store.begin_object(third)
    store.add_page(third.id, *pages_of([a, c])[0])
    expect(store.have_chunks(third.id), 0, "chunks of what was deleted")
    store.close()


def check_partial_undone(make_store: MakeStore) -> None:
    """What an undone block did to objects is undone (N9)."""
    store = make_store(MIB)
    header, chunks = an_object(1, _different(4))
    store.begin_object(header)
    store.add_page(header.id, *pages_of(chunks)[0])
    store.add_chunk(header.id, 0, chunks[0])
    before = store.usage(), store.missing(header.id, limit=9), list(store.objects())
    for end in (ValueError, None):
        try:
            with store.atomic():
                store.add_chunk(header.id, 1, chunks[1])
                store.put_object(*an_object(2, _different(3)))
                store.put_object(header, chunks)
                store.delete_object(header.id)
                expect(store.usage()[:2], (1, 3 * CHUNK_SIZE), "usage inside")
                store.begin_object(header)
                if end:
                    raise end
        except ValueError:
            now = store.usage(), store.missing(header.id, limit=9), list(store.objects())
            expect(now, before, "objects after a block was undone")
            expect(store.read_chunk(header.id, 0), chunks[0], "a chunk from before")
            expect_raises(KeyError, lambda: store.read_chunk(header.id, 1), "a chunk of the undone block")
    expect(store.have_chunks(header.id), 0, "the object that was begun anew")
    expect(list(store.read_object(an_object(2, b"")[0].id)), an_object(2, _different(3))[1], "the other")
    store.close()


def check_partial_quota(make_store: MakeStore) -> None:
    """Chunks count as they come, to the byte; one that is here costs nothing (N7)."""
    store = make_store(3 * CHUNK_SIZE)
    header, chunks = an_object(1, _different(4, last=10))
    store.begin_object(header)
    store.add_page(header.id, *pages_of(chunks)[0])
    for number in (0, 1, 3):
        store.add_chunk(header.id, number, chunks[number])
    usage = store.usage()
    expect(usage[1], 2 * CHUNK_SIZE + 10, "bytes of three chunks")
    expect_raises(StoreFull, lambda: store.add_chunk(header.id, 2, chunks[2]), "a chunk beyond the quota")
    expect((store.usage(), store.missing(header.id, limit=9)), (usage, [2]), "what is there then")
    expect(store.add_chunk(header.id, 0, chunks[0]), False, "a chunk that is here, when full")
    small, content = an_object(2, bytes(CHUNK_SIZE - 9))
    store.begin_object(small)
    expect_raises(StoreFull, lambda: store.add_chunk(small.id, 0, content[0]), "one byte beyond the quota")
    store.close()


def check_pages_fit(make_store: MakeStore) -> None:
    """Pages that an object of that size cannot have are refused."""
    store = make_store(MIB)
    header, _ = an_object(1, b"x")
    total = FAN_OUT**2 + 1
    header = replace(header, size=CHUNK_SIZE * total, chunks_total=total, chunks_have=0)
    store.begin_object(header)
    sizes = {(1, 0): 128, (1, 127): 128, (1, 128): 1, (2, 0): 128, (2, 1): 1, (3, 0): 2}
    for (level, number), size in sizes.items():
        expect(page_hashes(total, level, number), size, f"hashes of page {number} of level {level}")
        for wrong in (bytes(32 * size - 1), bytes(32 * size + 32), b""):
            expect_raises(
                LocalError,
                partial(store.add_page, header.id, level, number, wrong),
                f"a page of {len(wrong)} bytes",
            )
        store.add_page(header.id, level, number, bytes(32 * size))
    for level, number in ((0, 0), (1, 129), (2, 2), (3, 1), (4, 0), (1, -1)):
        expect_raises(
            LocalError,
            partial(store.add_page, header.id, level, number, bytes(32)),
            f"page {number} of level {level}",
        )
    expect({page[:2] for page in store.pages(header.id)}, set(sizes), "the pages that were taken")
    store.close()


def check_eviction(make_store: MakeStore) -> None:
    """What is cached makes room, the longest unread first; what is kept for others has its own (N7)."""
    store = make_store(4 * CHUNK_SIZE + 100)
    made = []
    for number, keep in enumerate((Keep.FOR_OTHERS, Keep.CACHED, Keep.CACHED, Keep.OWNED)):
        header, chunks = an_object(number, b"%d" % number * CHUNK_SIZE + b"end")
        made.append(replace(header, keep=keep))
        store.put_object(made[-1], chunks)
    expect(list(store.objects()), made, "objects with what they are kept for")
    store.put_object(*an_object(9, b"9" * CHUNK_SIZE))
    list(store.read_object(made[1].id))
    store.put_object(*an_object(10, b"x" * CHUNK_SIZE))
    expect([one.id in map(_id, store.objects()) for one in made], [True, True, False, True], "unread first")
    store.put_object(made[1], [])
    usage = store.usage()
    expect(usage[1], 4 * CHUNK_SIZE, "what is in use")  # the last chunk of all is one and counts as others'
    expect_raises(StoreFull, lambda: store.put_object(*an_object(12, _different(3))), "nothing may go")
    expect(store.usage(), usage, "usage then")
    store.close()


def check_cached_later(make_store: MakeStore) -> None:
    """An owned object that is cached from some time on goes when room is needed; others stay."""
    store = make_store(64 * CHUNK_SIZE)
    content = [bytes([number]) * CHUNK_SIZE for number in range(80)]
    first, second = (an_object(at, b"".join(content[20 * at : 20 * at + 20])) for at in (1, 3))
    for header, chunks in (first, second):
        store.put_object(header, chunks)
    expect((store.has_room(24 * CHUNK_SIZE), store.has_room(24 * CHUNK_SIZE + 1)), (True, False), "room")
    store.cache_object(first[0].id)
    expect((store.has_room(44 * CHUNK_SIZE), store.has_room(44 * CHUNK_SIZE + 1)), (True, False), "room then")
    store.cache_object(ObjectId(b"none".ljust(32)))
    third = an_object(5, b"".join(bytes([200 + at]) * CHUNK_SIZE for at in range(40)))
    store.put_object(*third)
    expect({one.id for one in store.objects()}, {second[0].id, third[0].id}, "what is left")
    store.put_object(*second)
    store.cache_object(third[0].id)
    store.put_object(*third)
    kept = store.get_object(third[0].id)
    expect(kept is not None and kept.keep, Keep.OWNED, "what is put again is owned again")
    store.close()


def check_expiry(make_store: MakeStore) -> None:
    """Objects go when their time is over, owned ones too."""
    store = make_store(MIB)
    expect(store.next_object_expiry_ms(), None, "the next expiry of nothing")
    for number, expires_ms in enumerate((50, None, 40, 60)):
        header, chunks = an_object(number, b"%d" % number * 5000)
        store.put_object(replace(header, expires_ms=expires_ms), chunks)
    expect(store.next_object_expiry_ms(), 40, "the next expiry")
    expect(store.expire_objects(50), 2, "how many expire")
    expect([one.expires_ms for one in store.objects()], [None, 60], "what is left")
    expect((store.usage()[:2], store.next_object_expiry_ms()), ((2, 10_000), 60), "usage and next expiry")
    for expires_ms, then in ((20, 60), (80, 80), (70, 80), (None, None), (90, None)):
        store.put_object(replace(header, expires_ms=expires_ms), chunks)  # the same again: the longer counts
        expect([one.expires_ms for one in store.objects()], [None, then], f"after one until {expires_ms}")
    store.close()


def _id(header: StoredObject) -> ObjectId:
    return header.id


OBJECT_CHECKS: tuple[Callable[[MakeStore], None], ...] = (
    check_partial,
    check_partial_put,
    check_partial_small,
    check_partial_shared,
    check_partial_undone,
    check_partial_quota,
    check_pages_fit,
    check_eviction,
    check_cached_later,
    check_expiry,
)
