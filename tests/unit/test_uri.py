"""Contact links: round trips, typing errors, names from outside (N1)."""

import base64
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.ids import NodeId
from nexus_node.wire.uri import SCHEME, BadUri, ContactUri, clean_name, make_uri, parse_uri_untrusted

NODE_ID = NodeId(bytes(range(32)))
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def encoded(body: bytes) -> str:
    """A link around any body, its checksum right; made here anew from the description."""
    checksum = blake2b(body, digest_size=4, person=b"nexus uri").digest()
    return "nexus:" + base64.b32encode(body + checksum).decode().rstrip("=").lower()


def test_n1_layout() -> None:
    assert make_uri(NODE_ID) == encoded(b"\x01" + NODE_ID)
    assert make_uri(NODE_ID, "Ann") == encoded(b"\x01" + NODE_ID + b"\x01\x03Ann")
    assert len(make_uri(NODE_ID)) == 66
    relays = [NodeId(bytes([n]) * 32) for n in (9, 8)]
    body = b"\x01" + NODE_ID + b"\x01\x03Ann" + b"\x02\x20" + b"\x09" * 32 + b"\x02\x20" + b"\x08" * 32
    assert make_uri(NODE_ID, "Ann", relays) == encoded(body)
    assert len(make_uri(NODE_ID, "x" * 64, relays * 2)) == 389


@given(
    node_id=st.binary(min_size=32, max_size=32).map(NodeId),
    name=st.none() | st.text("abcdefg ñé中文", min_size=1, max_size=20).map(str.strip),
    relays=st.lists(st.binary(min_size=32, max_size=32).map(NodeId), max_size=4, unique=True),
)
def test_n1_round_trip(node_id: NodeId, name: str | None, relays: list[NodeId]) -> None:
    uri = make_uri(node_id, name, relays)
    assert uri == uri.lower()
    for text in (uri, uri.upper(), f"  {uri}\n", f"{uri[:20]}\r\n {uri[20:]}"):
        parsed = parse_uri_untrusted(text)
        assert parsed.node_id == node_id
        assert parsed.name == (" ".join(name.split()) or None if name else None)
        assert list(parsed.relays) == relays


def test_n1_unknown_tlvs_are_kept() -> None:
    parsed = parse_uri_untrusted(encoded(b"\x01" + NODE_ID + b"\x09\x02hi" + b"\x01\x02Al"))
    assert parsed == ContactUri(NODE_ID, "Al", ((9, b"hi"), (1, b"Al")))


def relay_tlv(value: bytes) -> bytes:
    return bytes((2, len(value))) + value


def test_n10_relays_keep_their_order_and_malformed_ones_do_not_count() -> None:
    good = [NodeId(bytes([n]) * 32) for n in (5, 3, 4, 1, 2)]
    values = [b"", good[0], good[0][:31], good[1], good[0], good[2] + b"\0", *good[2:]]
    parsed = parse_uri_untrusted(encoded(b"\x01" + NODE_ID + b"".join(map(relay_tlv, values))))
    assert parsed.relays == tuple(good[:4])
    assert [value for _, value in parsed.tlvs] == values


def test_n10_more_relays_than_a_link_holds_are_refused_with_words() -> None:
    with pytest.raises(InputError, match="room for 4 relays, not 5"):
        make_uri(NODE_ID, None, [NODE_ID] * 5)


@pytest.mark.parametrize("name", [None, "Ann"])
def test_n1_any_single_wrong_character_is_detected(name: str | None) -> None:
    uri = make_uri(NODE_ID, name)
    for at in range(len(uri)):
        for other in set(ALPHABET + "0189:-= =") - {uri[at], " "}:
            with pytest.raises(BadUri):
                parse_uri_untrusted(uri[:at] + other + uri[at + 1 :])


def test_n1_any_lost_doubled_or_swapped_character_is_detected() -> None:
    uri = make_uri(NODE_ID, "Ann")
    for at in range(len(uri)):
        changed = {
            uri[:at] + uri[at + 1 :],
            uri[:at] + uri[at] + uri[at:],
            uri[:at] + uri[at + 1 : at + 2] + uri[at] + uri[at + 2 :],
            uri[:at],
        } - {uri}
        for text in changed:
            with pytest.raises(BadUri):
                parse_uri_untrusted(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a nexus: link"),
        ("https://example.org/", "not a nexus: link"),
        (make_uri(NODE_ID)[:-1] + "1", "'1' cannot be"),
        (make_uri(NODE_ID)[:-1] + "\u0131", r"'\\u0131' cannot be"),
        (make_uri(NODE_ID).replace("nexus:ae", "nexus:ea"), "checksum does not match"),
        (make_uri(NODE_ID)[:-1], "end is missing"),
        ("nexus:", "checksum does not match"),
        (encoded(b"\x02" + NODE_ID), "another version"),
        (encoded(b""), "another version"),
        (encoded(b"\x01" + NODE_ID[:31]), "no complete node id"),
        (encoded(b"\x01" + NODE_ID + b"\x01"), "put together wrongly"),
        (encoded(b"\x01" + NODE_ID + b"\x01\x05Ann"), "put together wrongly"),
        (make_uri(NODE_ID) + " " * 2000, "too long"),
    ],
)
def test_n1_errors_name_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(BadUri, match=words) as caught:
        parse_uri_untrusted(text)
    assert caught.value.code == "bad_uri"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"Ann", "Ann"),
        (b"  Ann\n\tB. ", "Ann B."),
        ("\u202egnp.exe\u202c".encode(), "gnp.exe"),
        ("a\u200b\u2066b\ufeff\x1b[31m\x00".encode(), "ab[31m"),
        ("line\u2028two".encode(), "line two"),
        ("e\u0301".encode(), "\u00e9"),
        (b"ok\xff\xfe", "ok"),
        (b"\xff", None),
        (b"", None),
        (b"\x00\n", None),
        ("ü".encode() * 40, "ü" * 32),
    ],
)
def test_n1_names_from_outside_are_cleaned(value: bytes, name: str | None) -> None:
    assert clean_name(value) == name
    tlv = bytes((1, len(value))) + value
    assert parse_uri_untrusted(encoded(b"\x01" + NODE_ID + tlv)).name == name


@given(
    st.binary(max_size=300)
    | st.text(st.characters() | st.sampled_from("e\u0301 \u200d\u202e\n\u0344"), max_size=80).map(
        lambda text: text.encode("utf-8", "replace")
    )
)
def test_clean_names_are_short_visible_and_stay_as_they_are(value: bytes) -> None:
    name = clean_name(value)
    if name is not None:
        assert 0 < len(name.encode()) <= 64
        assert name.isprintable()
        assert clean_name(name.encode()) == name


def test_too_long_a_name_is_refused_with_words() -> None:
    assert parse_uri_untrusted(make_uri(NODE_ID, "x" * 64)).name == "x" * 64
    with pytest.raises(InputError, match="66 bytes"):
        make_uri(NODE_ID, "ü" * 33)


@given(text=st.text(max_size=100) | st.text(ALPHABET, max_size=100).map(SCHEME.__add__))
def test_anything_at_all_is_a_bad_uri(text: str) -> None:
    with pytest.raises(BadUri):
        parse_uri_untrusted(text)


@given(body=st.binary(max_size=120), version=st.sampled_from((b"", b"\x01")))
def test_any_body_parses_or_is_bad_wire(body: bytes, version: bytes) -> None:
    text = encoded(version + body)
    try:
        parsed = parse_uri_untrusted(text)
    except BadWire as error:
        assert isinstance(error, BadUri)
    else:
        assert text == encoded(
            b"\x01" + parsed.node_id + b"".join(bytes((k, len(v))) + v for k, v in parsed.tlvs)
        )
