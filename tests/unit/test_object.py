"""Immutable objects: chunks, Merkle root, header, id (N7)."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import CHUNK_SIZE, OBJECT_MAX
from nexus_node.crypto.merkle import leaf_hash, merkle_root
from nexus_node.wire.dataobject import (
    HEADER_SIZE,
    KIND_BLOB,
    KIND_MESSAGE,
    ObjectHeader,
    chunks_of,
    describe,
    parse_object_header_untrusted,
)

sizes = st.integers(0, 9 * CHUNK_SIZE) | st.sampled_from(
    [n * CHUNK_SIZE + d for n in range(1, 9) for d in (-1, 0, 1)]
)
headers = st.builds(
    ObjectHeader, st.integers(0, 255), st.integers(0, OBJECT_MAX), st.binary(min_size=32, max_size=32)
)


def rfc6962_root(chunks):
    """The definition of RFC 6962 section 2.1, word by word."""
    if len(chunks) == 1:
        return blake3(b"\x00" + chunks[0]).digest()
    k = 1
    while k * 2 < len(chunks):
        k *= 2
    return blake3(b"\x01" + rfc6962_root(chunks[:k]) + rfc6962_root(chunks[k:])).digest()


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70))
def test_n7_root_is_that_of_rfc6962(chunks):
    assert merkle_root([leaf_hash(chunk) for chunk in chunks]) == rfc6962_root(chunks)


@given(sizes)
def test_n7_chunks_join_to_the_content(size):
    content = bytes(at * 7 & 0xFF for at in range(size))
    chunks = chunks_of(content)
    assert b"".join(chunks) == content
    assert all(len(chunk) == CHUNK_SIZE for chunk in chunks[:-1])
    assert len(chunks) == max(1, -(-size // CHUNK_SIZE))
    header, described = describe(KIND_BLOB, content)
    assert (header.size, described) == (size, chunks)
    assert header.root == rfc6962_root(chunks)


def test_n7_known_layout():
    """Empty content, written out by hand."""
    header, chunks = describe(KIND_MESSAGE, b"")
    expected = bytes([1, 2]) + bytes(8) + blake3(b"\x00").digest()
    assert chunks == [b""]
    assert header.encode() == expected
    assert header.id == blake3(expected).digest()
    assert describe(KIND_BLOB, b"x" * 258)[0].encode()[2:10] == bytes([2, 1, 0, 0, 0, 0, 0, 0])


@given(st.binary(max_size=3 * CHUNK_SIZE), st.data())
def test_n7_another_content_or_kind_has_another_id(content, data):
    header, _ = describe(KIND_BLOB, content)
    assert describe(KIND_MESSAGE, content)[0].id != header.id
    assert describe(KIND_BLOB, content + b"\x00")[0].id != header.id
    if content:
        at = data.draw(st.integers(0, len(content) - 1))
        flipped = content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]
        assert describe(KIND_BLOB, flipped)[0].id != header.id


def test_n7_a_node_cannot_pass_for_a_chunk():
    """Without the prefixes these two objects would have one root."""
    left, right = leaf_hash(b"a" * CHUNK_SIZE), leaf_hash(b"b")
    assert merkle_root([leaf_hash(left + right)]) != merkle_root([left, right])


@given(headers)
def test_header_round_trip(header):
    data = header.encode()
    assert len(data) == HEADER_SIZE == 42
    assert parse_object_header_untrusted(data) == header


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_object"),
        (bytes(41), "bad_object"),
        (bytes(43), "bad_object"),
        (bytes(42), "object_version"),
        (b"\x02" + bytes(41), "object_version"),
        (ObjectHeader(1, OBJECT_MAX + 1, bytes(32)).encode(), "object_too_large"),
        (ObjectHeader(1, 2**64 - 1, bytes(32)).encode(), "object_too_large"),
    ],
)
def test_bad_headers_are_named(data, code):
    with pytest.raises(BadWire) as caught:
        parse_object_header_untrusted(data)
    assert caught.value.code == code


@given(st.binary(max_size=60) | st.binary(min_size=41, max_size=41).map(b"\x01".__add__))
def test_any_bytes_parse_or_raise_bad_wire(data):
    try:
        header = parse_object_header_untrusted(data)
    except BadWire:
        return
    assert header.encode() == data
