"""Offers, questions, chunks and descriptions of files as bytes (N7, N13): against the golden vectors, and
both ways over any values; what becomes of names that strangers chose; how far a message with files is."""

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.ids import Address, MessageId, NodeId, ObjectId
from nexus_node.base.limits import ATTACHMENT_MAX, CHUNK_SIZE
from nexus_node.base.states import State
from nexus_node.crypto.envelope import KIND_KNOWN, receipt_mark
from nexus_node.crypto.filestream import (
    file_declined,
    file_receipt,
    file_withdrawn,
    open_file,
    seal_file,
    sealed_size,
)
from nexus_node.crypto.identity import Identity
from nexus_node.engine.attach import default_bandwidth, seal_attachment, whole_facts, whole_state
from nexus_node.engine.compose import Composer
from nexus_node.ports.store import Correspondent, Fact, Outgoing
from nexus_node.proto.fetch import Fetch
from nexus_node.proto.hashtree import HashTree, split_unit, unit_of
from nexus_node.wire.custody import Delivered, custody_tlv
from nexus_node.wire.dataobject import KIND_FILE, describe, parse_object_header_untrusted
from nexus_node.wire.description import (
    NAME_BYTES_MAX,
    PREVIEW_BYTES_MAX,
    AttachmentName,
    Description,
    encode_descriptions,
    parse_descriptions_untrusted,
)
from nexus_node.wire.packet import Context, Packet, Priority, parse_packet_untrusted
from nexus_node.wire.transfer import (
    RUNS_MAX,
    Ask,
    Chunk,
    Offer,
    bandwidth_tlv,
    parse_ask_untrusted,
    parse_bandwidth_tlv_untrusted,
    parse_chunk_untrusted,
    parse_offer_untrusted,
)

U32 = st.integers(0, 2**32 - 1)
SIXTEEN = st.binary(min_size=16, max_size=16).map(Address)
THIRTY_TWO = st.binary(min_size=32, max_size=32)
ROOT = Path(__file__).parents[2]
Vector = dict[str, Any]
VECTORS: list[Vector] = json.loads((ROOT / "tests/vectors/transfer.json").read_text("utf-8"))
BAD = [one for one in VECTORS if "-bad-" in one["id"]]


class FixedRng:
    """The ephemeral secret of a vector."""

    def __init__(self, secret: bytes = b"") -> None:
        self._secret = secret

    def random_bytes(self, count: int, /) -> bytes:
        assert count == len(self._secret)
        return self._secret


def vectors(start: str) -> Any:
    chosen = [one for one in VECTORS if one["id"].startswith(start)]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=[one["id"] for one in chosen])


def raw(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def content_of(size: int) -> bytes:
    return bytes(index % 251 for index in range(size))


def address(vector: Vector, name: str) -> Address | None:
    return Address(bytes.fromhex(vector[name] or "")) or None


# --- all --------------------------------------------------------------------------------------------
def test_the_committed_vectors_are_what_the_script_makes(tmp_path: Path) -> None:
    script = ROOT / "tests/vectors/make_transfer.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=60)
    assert (tmp_path / "transfer.json").read_bytes() == (ROOT / "tests/vectors/transfer.json").read_bytes()


def test_the_page_cites_every_vector() -> None:
    page = (ROOT / "docs/protocol/transfer.md").read_text("utf-8")
    for one in VECTORS:
        family = one["id"].split("-bad-")[0] + "-bad-" if "-bad-" in one["id"] else one["id"]
        assert f"`{re.sub('[0-9]+$', '', family)}" in page, f"{one['id']} is cited nowhere"


# --- hash trees -------------------------------------------------------------------------------------
@vectors("transfer-pages")
def test_n7_pages_of_hashes(vector: Vector) -> None:
    header = parse_object_header_untrusted(raw(vector, "header"))
    ours, chunks = describe(KIND_FILE, content_of(vector["size"]))
    assert ours == header and header.id == raw(vector, "object_id")
    tree = HashTree(header)
    assert tree.chunks == vector["chunks"] == len(chunks)
    wanted = {unit_of(level, number) for level, number in tree.missing_pages()}
    for page in reversed(vector["pages"]):  # from the top
        unit, hashes = page["unit"], bytes.fromhex(page["hashes"])
        assert split_unit(unit) == (page["level"], page["number"])
        assert unit in wanted and tree.size_of(unit) == len(hashes) and tree.checks(unit, hashes)
        tree.add_page(page["level"], page["number"], hashes)
        wanted |= {unit_of(level, number) for level, number in tree.missing_pages()}
    assert not list(tree.missing_pages())
    assert len(wanted) == len(vector["pages"])
    assert tree.size_of(len(chunks) - 1) == vector["last_chunk"]
    assert all(tree.checks(number, chunk) for number, chunk in enumerate(chunks))


# --- packets ----------------------------------------------------------------------------------------
@vectors("transfer-offer")
def test_n7_offers(vector: Vector) -> None:
    header = parse_object_header_untrusted(raw(vector, "header"))
    offer = Offer(header, vector["min_bandwidth"], address(vector, "provider"))
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.OFFER_OBJECT and parse_offer_untrusted(packet.data) == offer
    tlvs = ()
    if vector["mark"]:
        far = Identity.from_seed(bytes([4]) * 32).address if offer.provider else None
        tlvs = (custody_tlv(raw(vector, "mark"), far),)
    made = Packet(Context.OFFER_OBJECT, offer.encode(), address(vector, "destination"), tlvs=tlvs)
    assert made.encode() == raw(vector, "packet")


@vectors("transfer-ask")
def test_n7_questions(vector: Vector) -> None:
    runs = [(unit, count) for unit, count in vector["runs"]]
    ask = Ask(raw(vector, "prefix"), vector["have"], runs, address(vector, "asker"))
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.ASK and parse_ask_untrusted(packet.data) == ask
    to = address(vector, "destination")
    made = Packet(Context.ASK, ask.encode(), to, priority=Priority.INTERACTIVE)
    assert made.encode() == raw(vector, "packet")


@vectors("transfer-chunk")
def test_n7_chunks(vector: Vector) -> None:
    chunk = Chunk(raw(vector, "prefix"), vector["first"], raw(vector, "units"))
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.CHUNK and parse_chunk_untrusted(packet.data) == chunk
    assert parse_bandwidth_tlv_untrusted(packet.tlvs) == vector["min_bandwidth"]
    made = Packet(
        Context.CHUNK,
        chunk.encode(),
        address(vector, "destination"),
        priority=Priority.BULK,
        tlvs=bandwidth_tlv(vector["min_bandwidth"]),
    )
    assert made.encode() == raw(vector, "packet")


@vectors("transfer-bandwidth")
def test_n13_what_a_link_must_do_to_carry_a_packet(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert parse_bandwidth_tlv_untrusted(packet.tlvs) == vector["min_bandwidth"]
    assert packet.tlvs[-1:] == bandwidth_tlv(vector["min_bandwidth"])
    assert packet.encode() == raw(vector, "packet")


# --- files ------------------------------------------------------------------------------------------
@vectors("transfer-file")
def test_s1_sealed_files(vector: Vector) -> None:
    key, content = raw(vector, "key"), content_of(vector["size"])
    segments = list(seal_file(key, content))
    sealed = b"".join(segments)
    assert [segment[-16:].hex() for segment in segments] == vector["tags"]
    assert len(segments) == vector["segments"]
    assert len(sealed) == sealed_size(len(content)) == vector["sealed_size"]
    assert blake3(sealed).hexdigest() == vector["sealed_blake3"]
    header = parse_object_header_untrusted(raw(vector, "header"))
    assert describe(KIND_FILE, sealed)[0] == header and header.id == raw(vector, "object_id")
    assert b"".join(open_file(key, [sealed])) == content
    assert file_receipt(key, header.id) == raw(vector, "receipt")
    assert receipt_mark(raw(vector, "receipt")) == raw(vector, "mark")


@vectors("transfer-description")
def test_n13_descriptions(vector: Vector) -> None:
    files, rest = parse_descriptions_untrusted(raw(vector, "descriptions"))
    assert rest == raw(vector, "rest")
    for one, told in zip(files, vector["files"], strict=True):
        assert (one.root, one.key, one.preview) == tuple(
            raw(told, name) for name in ("root", "key", "preview")
        )
        assert (one.size, one.min_bandwidth) == (told["size"], told["min_bandwidth"])
        assert (one.name, one.media_type) == (told["name"], told["media_type"])
    assert "only_read" in vector or encode_descriptions(files) + rest == raw(vector, "descriptions")
    # Whatever it was read from, it is written so that it is read the same way.
    assert parse_descriptions_untrusted(encode_descriptions(files)) == (files, b"")


@vectors("transfer-message")
def test_n13_a_message_with_a_file(vector: Vector) -> None:
    """The whole way: sealed as the vector is, opened as a recipient opens it, the file's receipt made."""
    alice, bob = (Identity.from_seed(raw(vector, who)) for who in ("sender_seed", "recipient_seed"))
    content = content_of(vector["file_size"])
    file = seal_attachment(vector["name"], content, media_type=vector["media_type"], key=raw(vector, "key"))
    assert file.header.encode() == raw(vector, "header")
    assert file.description.min_bandwidth == vector["min_bandwidth"]
    data = raw(vector, "data")
    knows = data[4] == KIND_KNOWN
    to = Correspondent(bob.node_id, bob.address, knows_us=knows)
    first = MessageId(bytes.fromhex(vector["first"] or "")) or None
    composed = Composer(alice, FixedRng(raw(vector, "ephemeral"))).seal_text(
        to,
        vector["text"].encode(),
        vector["sent_ms"],
        compress=False,
        again=first,
        files=[file.description],
    )
    assert composed.data == data and composed.header.id == raw(vector, "message_id")
    assert Packet(Context.MESSAGE, data).encode() == raw(vector, "packet")
    message = Composer(bob, FixedRng()).open(composed.header.id, data, [alice.node_id])
    assert (message.text, message.first, message.sent_ms) == (vector["text"], first, vector["sent_ms"])
    assert message.files == [file.description]
    (one,) = message.files
    assert one.object == raw(vector, "object_id")
    offer = Offer(one.header, one.min_bandwidth).encode()
    assert Packet(Context.OFFER_OBJECT, offer).encode() == raw(vector, "offer_packet")
    proof = file_receipt(one.key, one.object)
    assert proof == raw(vector, "receipt") and receipt_mark(proof) == raw(vector, "mark")
    sent = Packet(Context.RECEIPTS, proof, priority=Priority.INTERACTIVE).encode()
    assert sent == raw(vector, "receipt_packet")
    shown = message.first or message.id
    assert file_declined(one.key, one.object, shown) == raw(vector, "declined")
    entry = Delivered(one.object[:8], file_withdrawn(one.key, one.object, shown)).encode()
    gone = Packet(Context.WITHDRAWN, entry, priority=Priority.INTERACTIVE).encode()
    assert gone == raw(vector, "withdrawn_packet")


# --- both ways --------------------------------------------------------------------------------------
@given(U32, st.lists(st.tuples(U32, st.integers(0, 0xFFFF)), max_size=RUNS_MAX), st.none() | SIXTEEN)
def test_n7_questions_are_read_as_written(have: int, runs: list[Any], asker: Address | None) -> None:
    ask = Ask(b"prefix..", have, runs, asker)
    assert parse_ask_untrusted(ask.encode()) == ask
    assert len(ask.encode()) == 13 + (16 if asker else 0) + 6 * len(runs)


@given(st.integers(0, 2**30), THIRTY_TWO, U32, st.none() | SIXTEEN)
def test_n7_offers_are_read_as_written(size: int, root: bytes, bps: int, provider: Address | None) -> None:
    header = describe(KIND_FILE, b"")[0]
    header.size, header.root = size, root
    offer = Offer(header, bps, provider)
    assert parse_offer_untrusted(offer.encode()) == offer
    assert len(offer.encode()) == 46 + (16 if provider else 0)


NAMES = st.text(max_size=200)


@given(THIRTY_TWO, THIRTY_TWO, st.integers(0, ATTACHMENT_MAX), U32, NAMES, st.binary(max_size=1024))
def test_n13_descriptions_are_read_as_written(
    root: bytes, key: bytes, size: int, bps: int, name: str, preview: bytes
) -> None:
    one = Description(root, key, size, bps, AttachmentName.from_untrusted(name), "image/png", preview)
    encoded = encode_descriptions([one, one]) + b"text"
    assert parse_descriptions_untrusted(encoded) == ([one, one], b"text")


def test_s2_a_key_and_a_preview_do_not_show_in_a_representation() -> None:
    one = Description(bytes(32), b"k" * 32, 1, 0, AttachmentName("x"), "", b"p" * 8)
    assert "kkk" not in repr(one) and "ppp" not in repr(one)


def test_n13_more_than_the_field_holds_is_the_most_it_holds() -> None:
    header = describe(KIND_FILE, b"")[0]
    assert parse_offer_untrusted(Offer(header, 2**40).encode()).min_bandwidth == 2**32 - 1
    assert parse_bandwidth_tlv_untrusted(bandwidth_tlv(2**40)) == 2**32 - 1


# --- names ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("/etc/passwd", "passwd"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("a\\b\\c.exe", "c.exe"),
        ("mixed/a\\b", "b"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("   ", "file"),
        ("dir/", "file"),
        (".bashrc", "bashrc"),
        ("trailing. . ", "trailing"),
        ("new\nline\r\0.txt", "newline.txt"),
        ("\x1b[31mred", "[31mred"),
        ("gpj.\u202eexe", "gpj.exe"),  # would be shown backwards
        ("a\u2066b\u2069c\u200bd\ufeffe", "abcde"),
        ('<>:"|?*', "file"),
        ("stream:hidden", "streamhidden"),
        ("two\u2028lines\u2029more", "twolinesmore"),
        ("Übersicht, 概要.pdf", "Übersicht, 概要.pdf"),
        ("x" * 300, "x" * NAME_BYTES_MAX),
        ("é" * 100, "é" * 64),
        ("x" + "é" * 100, "x" + "é" * 63),  # no half of a letter
    ],
)
def test_m5_a_name_that_a_stranger_chose_leads_nowhere(chosen: str, shown: str) -> None:
    assert AttachmentName.from_untrusted(chosen) == shown


@pytest.mark.parametrize("name", ["CON", "nul", "com1.txt", "LPT9", "Aux.tar.gz", "PRN.", "con .txt"])
def test_m5_no_file_is_called_as_windows_calls_a_device(name: str) -> None:
    shown = AttachmentName.from_untrusted(name)
    assert shown != name.rstrip(". ") and shown.startswith("_")
    assert AttachmentName.from_untrusted(shown) == shown


@given(st.text(max_size=300))
def test_m5_whatever_the_name_it_is_one_and_stays_it(name: str) -> None:
    shown = AttachmentName.from_untrusted(name)
    assert shown and not set(shown) & set('/\\<>:"|?*\0')
    assert len(shown.encode()) <= NAME_BYTES_MAX
    assert not any(unicodedata.category(one).startswith("C") for one in shown)
    assert shown == shown.strip(" .") and Path(shown).name == shown and shown not in (".", "..")
    assert AttachmentName.from_untrusted(shown) == shown


# --- how far a message with files has come ------------------------------------------------------------
STATES = st.sampled_from([*State])


def row(state: State) -> Outgoing:
    object_id = ObjectId(bytes(32))
    return Outgoing(
        MessageId(bytes(32)), NodeId(bytes(32)), object_id, 0, 0, 0, b"", b"", b"", b"", state=state
    )


def rises(last: State) -> st.SearchStrategy[list[State]]:
    """The states of one row, rising as facts do."""
    return st.sets(STATES.filter(lambda state: state is not State.QUEUED)).map(
        lambda some: [last, *sorted(some, key=lambda state: state.rank)]
    )


HISTORIES = st.lists(rises(State.QUEUED), min_size=1, max_size=5)


@given(HISTORIES, st.randoms())
def test_n9_a_message_with_files_never_goes_backwards(histories: list[list[State]], dice: Any) -> None:
    at = [0] * len(histories)
    before = whole_state([row(history[0]) for history in histories])
    assert before is State.QUEUED
    while movable := [index for index, history in enumerate(histories) if at[index] + 1 < len(history)]:
        at[dice.choice(movable)] += 1
        after = whole_state([row(history[n]) for history, n in zip(histories, at, strict=True)])
        assert after.rank >= before.rank
        before = after


@given(HISTORIES, st.randoms())
def test_n9_the_facts_told_of_the_whole_rise_and_end_where_it_is(
    histories: list[list[State]], dice: Any
) -> None:
    facts, clock = [], 0
    for history in histories:
        clock = 0
        rows = []
        for state in history:
            clock += dice.randrange(3)
            rows.append(Fact(state, clock, "x"))
        facts.append(rows)
    told = whole_facts(facts)
    ranks = [fact.state.rank for fact in told]
    assert ranks == sorted(set(ranks)) and told[0].state is State.QUEUED
    assert [fact.at_ms for fact in told] == sorted(fact.at_ms for fact in told)
    assert told[-1].state is whole_state([row(history[-1]) for history in histories])


@given(STATES, st.lists(STATES, min_size=1, max_size=4))
def test_n9_a_message_is_no_farther_than_any_part_of_it(text: State, files: list[State]) -> None:
    whole = whole_state([row(text), *map(row, files)])
    assert whole.rank <= text.rank
    for one in files:
        assert whole.rank <= one.rank or (one is State.DELIVERED and whole is State.READ)


# --- what is attached ---------------------------------------------------------------------------------
def test_n13_what_files_wait_for_unless_said_otherwise() -> None:
    assert default_bandwidth(10_000, "application/pdf") == 0
    assert default_bandwidth(10_000, "image/png") == 10_000
    assert default_bandwidth(1_000_000, "image/png") == 10_000
    assert default_bandwidth(1_000_001, "image/png") == 100_000
    assert default_bandwidth(1_000_001, "") == 100_000
    assert (
        seal_attachment(
            "x", b"x", media_type="image/png", key=bytes(32), min_bandwidth=0
        ).description.min_bandwidth
        == 0
    )


def test_s6_a_file_that_is_too_large_is_refused_with_words() -> None:
    with pytest.raises(InputError, match=r"photo.jpg has 50000001 bytes.*up to 50000000.*nexus put"):
        seal_attachment("photo.jpg", bytes(ATTACHMENT_MAX + 1), key=bytes(32))


def test_a_description_on_the_wire_is_bounded() -> None:
    """Sixteen of the largest fit a message; the preview of each is a thumbnail's thumbnail."""
    longest = Description(
        bytes(32), bytes(32), 1, 0, AttachmentName("n" * NAME_BYTES_MAX), "t" * 64, bytes(PREVIEW_BYTES_MAX)
    )
    assert len(longest.encode()) == 72 + 1 + 128 + 1 + 64 + 2 + 1024
    with pytest.raises(BadWire, match="bad_description"):
        parse_descriptions_untrusted(encode_descriptions([longest] * 17))


# --- what must be refused ------------------------------------------------------------------------------
def refuse_transfer(vector: Vector) -> None:
    """Read one vector that is to be refused."""
    if "descriptions" in vector:
        parse_descriptions_untrusted(raw(vector, "descriptions"))
    elif "sealed" in vector:
        list(open_file(raw(vector, "key"), [raw(vector, "sealed")]))
    elif "page" in vector:
        take_unit(vector)
    else:
        packet = parse_packet_untrusted(raw(vector, "packet"))
        parse_bandwidth_tlv_untrusted(packet.tlvs)
        readers: dict[int, Any] = {
            Context.OFFER_OBJECT: parse_offer_untrusted,
            Context.ASK: parse_ask_untrusted,
            Context.CHUNK: parse_chunk_untrusted,
        }
        readers[packet.context](packet.data)


def take_unit(vector: Vector) -> None:
    """As somebody takes it who has asked for all that there is."""
    fetch = Fetch(parse_object_header_untrusted(raw(vector, "header")), (), ())
    provider = Address(bytes(16))
    fetch.offered(provider, 1e9)
    assert fetch.ask(provider, 0.0) == [(unit_of(1, 0), 1)]
    chunk = parse_chunk_untrusted(parse_packet_untrusted(raw(vector, "packet")).data)
    if chunk.first != unit_of(1, 0):
        assert fetch.take(unit_of(1, 0), raw(vector, "page"), 0.0)
        assert fetch.ask(provider, 0.0) == [(0, 2)]
    fetch.take(chunk.first, chunk.data, 0.0)


@pytest.mark.parametrize("vector", BAD, ids=[one["id"] for one in BAD])
def test_m5_what_must_be_refused_is_refused_with_its_code(vector: Vector) -> None:
    with pytest.raises(BadWire) as caught:
        refuse_transfer(vector)
    assert caught.value.code == vector["refused"]


@given(st.binary(min_size=1, max_size=3 * CHUNK_SIZE), U32)
def test_m5_any_units_that_nobody_can_check_are_refused_or_passed_over(data: bytes, first: int) -> None:
    header, _ = describe(KIND_FILE, content_of(3 * CHUNK_SIZE - 9))
    fetch = Fetch(header, (), ())
    fetch.offered(Address(bytes(16)), 1e9)
    fetch.ask(Address(bytes(16)), 0.0)
    try:
        assert fetch.take(first, data, 0.0) == []
    except BadWire as error:
        assert error.code in ("bad_chunk", "wrong_chunk")
    assert fetch.have == 0 and not fetch.complete
