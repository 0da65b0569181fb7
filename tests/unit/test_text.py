"""Text codecs: round trips, bounds, and the dictionaries that are wire law (N9)."""

import re
import tracemalloc
import zlib
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import TEXT_MAX
from nexus_node.wire.text import DICTIONARIES, compress_text, dictionary, parse_text_untrusted

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = {
    language: (ROOT / f"tests/corpus/messages/{language}.txt").read_text("utf-8").splitlines()
    for language in DICTIONARIES.values()
}
SENTENCE = b"We are all safe and will come down in the morning."


def code_of(codec, data, **options):
    with pytest.raises(BadWire) as caught:
        parse_text_untrusted(codec, data, **options)
    return caught.value.code


def deflate(codec, text):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=dictionary(codec))
    return compressor.compress(text) + compressor.flush()


@given(st.text(max_size=400) | st.sampled_from([m for each in MESSAGES.values() for m in each]))
def test_round_trip_never_grows(text):
    codec, data = compress_text(text.encode())
    assert parse_text_untrusted(codec, data) == text
    assert len(data) <= len(text.encode())


def test_the_longest_text_round_trips():
    text = "ж" * (TEXT_MAX // 2)
    codec, data = compress_text(text.encode())
    assert codec != 0
    assert parse_text_untrusted(codec, data) == text


def test_incompressible_text_goes_as_it_is():
    assert compress_text(b"") == (0, b"")
    assert compress_text(b"\x01\x02\x03") == (0, b"\x01\x02\x03")


@pytest.mark.parametrize("codec", DICTIONARIES)
def test_a_dictionary_is_wire_law(codec):
    """Its BLAKE2b stands in docs/protocol/text.md; another dictionary needs another id."""
    page = (ROOT / "docs/protocol/text.md").read_text("utf-8")
    row = re.search(rf"^\| {codec} \| (\w+) \| (\d+) \| ([0-9a-f]{{64}}) \|$", page, re.MULTILINE)
    assert row is not None
    content = dictionary(codec)
    assert row.groups() == (
        DICTIONARIES[codec],
        str(len(content)),
        blake2b(content, digest_size=32).hexdigest(),
    )
    assert len(content) <= 32768


@pytest.mark.parametrize(
    ("language", "most"),
    [
        ("en", 0.48),
        ("es", 0.56),
        ("de", 0.54),
        ("fr", 0.54),
        ("pt", 0.58),
        ("it", 0.57),
        ("zh", 0.61),
        ("ru", 0.43),
        ("uk", 0.45),
        ("ar", 0.43),
    ],
)
def test_n9_held_out_messages_shrink(language, most):
    """The figures of docs/protocol/text.md, over all messages of a language."""
    texts = [message.encode() for message in MESSAGES[language]]
    packed = sum(len(compress_text(text)[1]) for text in texts)
    assert packed / sum(map(len, texts)) <= most


@pytest.mark.parametrize(("codec", "language"), DICTIONARIES.items())
def test_held_out_messages_are_not_in_the_dictionary(codec, language):
    """Else the figures would mean nothing: no run of 25 characters in common."""
    known = dictionary(codec).decode()
    for message in MESSAGES[language]:
        assert not any(message[at : at + 25] in known for at in range(len(message) - 24))


def test_unknown_codecs_are_refused():
    for codec in (-1, max(DICTIONARIES) + 1, 255):
        assert code_of(codec, SENTENCE) == "unknown_codec"


def test_cut_padded_and_damaged_streams_are_refused():
    codec, data = compress_text(SENTENCE)
    assert codec == 1
    for end in range(len(data)):
        assert code_of(codec, data[:end]) == "bad_text"
    assert code_of(codec, data + b"\x00") == "bad_text"
    assert code_of(codec, data + data) == "bad_text"
    assert code_of(codec, b"\xff" + data[1:]) == "bad_text"


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"ok \x80"])
def test_what_is_not_utf8_is_refused(text):
    assert code_of(0, text) == "bad_text"
    assert code_of(1, deflate(1, text)) == "bad_text"


def test_the_limit_is_exact():
    for size in (0, 1, 99, 100):
        text = b"a" * size
        assert parse_text_untrusted(0, text, limit=100) == text.decode()
        assert parse_text_untrusted(1, deflate(1, text), limit=100) == text.decode()
    assert code_of(0, b"a" * 101, limit=100) == "text_too_long"
    assert code_of(1, deflate(1, b"a" * 101), limit=100) == "text_too_long"
    assert code_of(0, b"a" * (TEXT_MAX + 1)) == "text_too_long"


def test_a_bomb_costs_no_more_than_the_longest_text():
    bomb = deflate(1, bytes(60_000_000))
    assert len(bomb) < 65_000
    tracemalloc.start()
    try:
        assert code_of(1, bomb) == "text_too_long"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * TEXT_MAX


@given(st.integers(-1, 20), st.binary(max_size=300))
def test_any_bytes_parse_or_raise_bad_wire(codec, data):
    try:
        text = parse_text_untrusted(codec, data, limit=500)
    except BadWire as error:
        assert error.code in {"unknown_codec", "bad_text", "text_too_long"}
    else:
        assert len(text.encode()) <= 500
