"""Pages of 128 hashes give the same root as the tree itself (N7, docs/protocol/object.md)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.crypto.merkle import leaf_hash, merkle_root, page_hashes, page_levels, page_root, pages_over

COUNTS = st.integers(1, 700) | st.sampled_from([127, 128, 129, 128**2 - 1, 128**2, 128**2 + 1])


@settings(deadline=None)
@given(COUNTS)
def test_n7_the_root_of_the_last_page_is_the_root_of_the_tree(count: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(count)]
    pages = {(level, number): page for level, number, page in pages_over(leaves)}
    if count == 1:
        assert pages == {} and page_levels(count) == 0
        return
    top = page_levels(count)
    assert page_root(pages[top, 0]) == merkle_root(leaves)
    for (level, number), page in pages.items():
        assert len(page) == 32 * page_hashes(count, level, number)
        if level < top:
            above = pages[level + 1, number // 128]
            assert page_root(page) == above[32 * (number % 128) :][:32]
    assert sum(page_hashes(count, 1, number) for number in range(count)) == count
    assert page_hashes(count, top, 1) == page_hashes(count, top + 1, 0) == page_hashes(count, 0, 0) == 0
