"""N7: the units of an object, each checked as it comes."""

import random

import pytest

from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.merkle import FAN_OUT, leaf_hash, merkle_root
from nexus_node.proto.hashtree import HashTree, split_unit, unit_of
from nexus_node.wire.dataobject import KIND_BLOB, ObjectHeader, describe


def pages_of(header: ObjectHeader, chunks: list[bytes]) -> dict[int, bytes]:
    """All pages of an object, by unit."""
    level, hashes, pages = 1, [leaf_hash(chunk) for chunk in chunks], {}
    while len(hashes) > 1:
        blocks = [hashes[at : at + FAN_OUT] for at in range(0, len(hashes), FAN_OUT)]
        pages |= {unit_of(level, number): b"".join(block) for number, block in enumerate(blocks)}
        hashes = [merkle_root(block) for block in blocks]
        level += 1
    return pages


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300, 128 * 128 + 1])
def test_n7_every_unit_is_checked_by_what_came_before(count):
    content = random.Random(count).randbytes(CHUNK_SIZE) + bytes(CHUNK_SIZE * (count - 1) - 7 * (count > 1))
    header, chunks = describe(KIND_BLOB, content)
    tree, pages = HashTree(header), pages_of(header, chunks)
    while wanted := list(tree.missing_pages()):
        for level, number in wanted:
            unit = unit_of(level, number)
            assert tree.size_of(unit) == len(pages[unit])
            assert tree.checks(unit, pages[unit])
            assert not tree.checks(unit, pages[unit][:-1] + b"?")
            tree.add_page(level, number, pages[unit])
    for number in {*range(min(200, len(chunks))), len(chunks) - 1}:
        chunk = chunks[number]
        assert tree.size_of(number) == len(chunk)
        assert tree.checks(number, chunk)
        assert not tree.checks(number, chunk[:-1] + bytes([chunk[-1] ^ 1]))
    assert tree.size_of(len(chunks)) is None
    assert tree.size_of(unit_of(tree.top + 1, 0)) is None


def test_a_unit_is_its_level_and_number():
    assert split_unit(unit_of(3, 5)) == (3, 5)
