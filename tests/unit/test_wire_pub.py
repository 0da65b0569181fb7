"""docs/protocol/pub.md (N8): every golden vector, topics as people write them, and bounds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.crypto.identity import Identity
from nexus_node.proto.pubsub import OWN, Entry, Wanted, topics_of
from nexus_node.wire.dataobject import describe, parse_object_header_untrusted
from nexus_node.wire.packet import Context, Packet, Priority, parse_packet_untrusted
from nexus_node.wire.pub import (
    HOPS_MAX,
    KIND_PUBLISHED,
    PUBLISHED_TEXT_MAX,
    SCOPE_MAX,
    Mode,
    Published,
    Reference,
    Subscription,
    Topic,
    TopicKind,
    parse_hints_untrusted,
    parse_published_untrusted,
    parse_subscriptions_untrusted,
    topic_of,
)

ROOT = Path(__file__).parents[2]
Vector = dict[str, Any]
VECTORS: list[Vector] = json.loads((ROOT / "tests/vectors/pub.json").read_text("utf-8"))
BAD = [one for one in VECTORS if "-bad-" in one["id"]]
ALICE = Identity.from_seed(bytes([1]) * 32)


def vectors(start: str) -> Any:
    chosen = [one for one in VECTORS if one["id"].startswith(start)]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=[one["id"] for one in chosen])


def raw(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def read(encoded: bytes) -> Topic:
    """A topic, in the only place where it stands last."""
    (one,) = parse_subscriptions_untrusted(bytes(8) + encoded)
    return one.topic


def test_the_page_cites_every_vector() -> None:
    page = (ROOT / "docs/protocol/pub.md").read_text("utf-8")
    for one in VECTORS:
        family = one["id"].split("-bad-")[0] + "-bad-" if "-bad-" in one["id"] else one["id"]
        assert f"`{re.sub('[0-9]+$', '', family)}" in page, f"{one['id']} is cited nowhere"


@vectors("pub-topic")
def test_n8_topics(vector: Vector) -> None:
    topic = topic_of(vector["written"])
    assert topic.encode() == raw(vector, "topic")
    assert read(raw(vector, "topic")) == topic
    assert str(topic) == vector["written"]


@vectors("pub-published")
def test_n8_published_objects(vector: Vector) -> None:
    what: str | Reference = vector["text"]
    if vector["reference"] is not None:
        header = parse_object_header_untrusted(raw(vector, "reference"))
        what = Reference(header, vector["min_bandwidth"])
    identity = Identity.from_seed(raw(vector, "seed"))
    topic = read(raw(vector, "topic"))
    made = Published.make(identity, vector["time"], vector["ttl_s"], topic, what)
    assert made.encode() == raw(vector, "content")
    found = parse_published_untrusted(raw(vector, "content"))
    assert found == made and found.authentic()
    header, chunks = describe(KIND_PUBLISHED, made.encode())
    assert header.encode() == raw(vector, "header") and header.id == raw(vector, "object_id")
    assert len(chunks) == 1
    assert Packet(Context.PUBLISHED, made.encode()).encode() == raw(vector, "packet")
    hint = header.id[:16]
    assert Packet(Context.HINT, hint).encode() == raw(vector, "hint_packet")
    pull = Packet(Context.PULL, hint, priority=Priority.INTERACTIVE)
    assert pull.encode() == raw(vector, "pull_packet")
    for name in ("hint_packet", "pull_packet"):
        assert parse_hints_untrusted(parse_packet_untrusted(raw(vector, name)).data) == [hint]


@vectors("pub-subscribe")
def test_n8_subscriptions(vector: Vector) -> None:
    wanted = [
        Subscription(
            read(raw(one, "topic")), Mode(one["mode"]), one["hops"], one["lifetime_min"], one["back_s"]
        )
        for one in vector["wanted"]
    ]
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert parse_subscriptions_untrusted(packet.data) == wanted
    data = b"".join(one.encode() for one in wanted)
    assert Packet(Context.SUBSCRIBE, data).encode() == raw(vector, "packet")


def refuse(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    if packet.context == Context.SUBSCRIBE:
        parse_subscriptions_untrusted(packet.data)
    elif packet.context in (Context.HINT, Context.PULL):
        parse_hints_untrusted(packet.data)
    elif not parse_published_untrusted(packet.data).authentic():
        raise BadWire("forged_published")


@pytest.mark.parametrize("vector", BAD, ids=[one["id"] for one in BAD])
def test_m5_what_must_be_refused_is_refused_with_its_code(vector: Vector) -> None:
    with pytest.raises(BadWire) as caught:
        refuse(vector)
    assert caught.value.code == vector["refused"]


def test_the_longest_is_one_chunk() -> None:
    topic = Topic(TopicKind.SCOPE, b"geo/".ljust(SCOPE_MAX, b"a"))
    longest = Published.make(ALICE, 0, 1, topic, "x" * PUBLISHED_TEXT_MAX)
    assert len(longest.encode()) <= CHUNK_SIZE
    assert parse_published_untrusted(longest.encode()) == longest


NO_TOPICS = (
    "",
    "news",
    "key:",
    "key:0",
    "key:xy",
    "key:" + "00" * 33,
    "prefix:",
    "node:01",
    "scope:sea/a",
    "scope:geo",
    "scope:geo/a/",
    "scope:geo//a",
    "scope:geo/*/*",
    "scope:geo/" + "a" * 100,
    "scope_prefix:00",
    "topic:a",
)


@pytest.mark.parametrize("text", NO_TOPICS)
def test_what_is_no_topic_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError) as caught:
        topic_of(text)
    assert repr(text) in str(caught.value)


@given(st.binary(min_size=1, max_size=32))
def test_every_prefix_of_a_key_takes_it_in(key: bytes) -> None:
    found = set(topics_of(Topic(TopicKind.KEY, key), ALICE.node_id))
    assert {Topic(TopicKind.PREFIX, key[:size]) for size in range(1, len(key) + 1)} < found
    assert len(found) == len(key) + 2


TOPIC = topic_of("key:01")
WHO = [Identity.from_seed(bytes([number]) * 32).node_id for number in range(2, 6)]


@given(
    st.lists(st.tuples(st.sampled_from([OWN, *WHO]), st.sampled_from(Mode), st.integers(0, 7)), max_size=8)
)
def test_n8_a_neighbour_is_asked_for_what_others_want_one_hop_less(puts) -> None:
    wanted, model = Wanted(), {}
    for who, mode, hops in puts:
        assert wanted.put(who, TOPIC, Entry(mode, hops))
        model[who] = mode, HOPS_MAX if who is OWN else hops
    for peer in WHO:
        others = [one for who, one in model.items() if who != peer and one[1] > 0]
        asked = wanted.asked(TOPIC, peer)
        if not others:
            assert asked is None
        else:
            assert asked == (min(mode for mode, _ in others), max(hops for _, hops in others) - 1)
    assert wanted.takers(TOPIC, ALICE.node_id) == {who: mode for who, (mode, _) in model.items()}
    for who in model:
        assert wanted.drop(who, TOPIC) and not wanted.drop(who, TOPIC)
    assert wanted.topics() == []


def test_n8_subscriptions_end_when_nobody_renews_them() -> None:
    wanted = Wanted()
    wanted.put(WHO[0], TOPIC, Entry(Mode.PUSH, 3, 100.0))
    wanted.put(OWN, TOPIC, Entry(Mode.PUSH, 0))
    assert wanted.expire(99.0) == []
    wanted.put(WHO[0], TOPIC, Entry(Mode.PUSH, 3, 200.0))
    assert wanted.expire(199.0) == []
    assert wanted.expire(200.0) == [TOPIC]
    assert list(wanted.takers(TOPIC, ALICE.node_id)) == [OWN]
