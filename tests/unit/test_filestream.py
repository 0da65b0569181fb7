"""S1: files sealed in segments, as age does it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt

from nexus_node.base.errors import BadWire
from nexus_node.crypto.filestream import (
    SEGMENT,
    TAG_SIZE,
    file_declined,
    file_receipt,
    file_withdrawn,
    open_file,
    seal_file,
    sealed_size,
)

KEY = bytes(range(32))
SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT]


def content_of(size: int) -> bytes:
    return bytes(at * 31 & 0xFF for at in range(size))


@pytest.mark.parametrize("size", SIZES)
def test_s1_a_file_comes_back_whatever_it_is_cut_into(size):
    content = content_of(size)
    sealed = b"".join(seal_file(KEY, content))
    assert len(sealed) == sealed_size(size)
    for step in (1000, 4096, SEGMENT + TAG_SIZE, 10**6):
        parts = [sealed[at : at + step] for at in range(0, len(sealed), step)]
        assert b"".join(open_file(KEY, parts)) == content


def test_s1_the_segments_are_those_of_age():
    """C2SP age, Payload: 11 bytes of counter, big-endian, and 1 in the last segment's nonce."""
    content = content_of(SEGMENT + 5)
    first, last = seal_file(KEY, content)
    assert first == crypto_aead_chacha20poly1305_ietf_encrypt(content[:SEGMENT], None, bytes(12), KEY)
    nonce = (1).to_bytes(11, "big") + b"\x01"
    assert last == crypto_aead_chacha20poly1305_ietf_encrypt(content[SEGMENT:], None, nonce, KEY)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[: SEGMENT + TAG_SIZE],
        lambda sealed: sealed + b"x",
        lambda sealed: sealed[SEGMENT + TAG_SIZE :] + sealed[: SEGMENT + TAG_SIZE],
        lambda sealed: b"?" + sealed[1:],
        lambda sealed: b"",
    ],
)
def test_s1_what_was_cut_moved_or_changed_does_not_open(spoil):
    sealed = b"".join(seal_file(KEY, content_of(2 * SEGMENT + 9)))
    with pytest.raises(BadWire, match="bad_file"):
        list(open_file(KEY, [spoil(sealed)]))


@given(st.binary(max_size=300))
def test_s1_another_key_opens_nothing(content):
    with pytest.raises(BadWire, match="bad_file"):
        list(open_file(bytes(32), seal_file(KEY, content)))


def test_a_receipt_is_of_one_key_and_one_object():
    receipts = {file_receipt(key, name) for key in (KEY, bytes(32)) for name in (b"a" * 32, b"b" * 32)}
    for make in (file_declined, file_withdrawn):
        receipts |= {
            make(key, b"a" * 32, name) for key in (KEY, bytes(32)) for name in (b"a" * 32, b"b" * 32)
        }
    assert len(receipts) == 12
    assert {len(receipt) for receipt in receipts} == {16}
