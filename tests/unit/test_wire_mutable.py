"""Records of mutable objects, and what proves a fork, as bytes (N7): against the golden vectors."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nexus_node.base.errors import BadWire
from nexus_node.crypto.identity import Identity
from nexus_node.wire.dataobject import parse_object_header_untrusted
from nexus_node.wire.mutable import (
    Fork,
    Record,
    RecordAnswer,
    RecordRequest,
    forked,
    name_of,
    parse_fork_untrusted,
    parse_no_record_untrusted,
    parse_record_answer_untrusted,
    parse_record_request_untrusted,
    parse_record_untrusted,
)
from nexus_node.wire.packet import Context, Packet, Priority, parse_packet_untrusted

ROOT = Path(__file__).parents[2]
Vector = dict[str, Any]
VECTORS: list[Vector] = json.loads((ROOT / "tests/vectors/mutable.json").read_text("utf-8"))
PARSERS = {
    Context.RECORD: parse_record_answer_untrusted,
    Context.FORK: parse_fork_untrusted,
    Context.RECORD_REQUEST: parse_record_request_untrusted,
    Context.NO_RECORD: parse_no_record_untrusted,
}


def vectors(start: str, without: str = "-bad-signed") -> Any:
    chosen = [one for one in VECTORS if one["id"].startswith(start) and without not in one["id"]]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=[one["id"] for one in chosen])


def raw(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def test_the_committed_vectors_are_what_the_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tests/vectors/make_mutable.py", tmp_path], check=True, timeout=60)
    assert (tmp_path / "mutable.json").read_bytes() == (ROOT / "tests/vectors/mutable.json").read_bytes()


def test_the_page_cites_every_vector() -> None:
    page = (ROOT / "docs/protocol/mutable.md").read_text("utf-8")
    for one in VECTORS:
        family = one["id"].split("-bad-")[0] + "-bad-" if "-bad-" in one["id"] else one["id"]
        assert f"`{re.sub('[0-9]+$', '', family)}" in page, f"{one['id']} is cited nowhere"


@vectors("mutable-record")
def test_n7_records(vector: Vector) -> None:
    owner, label = Identity.from_seed(raw(vector, "owner_seed")), raw(vector, "label")
    content = parse_object_header_untrusted(raw(vector, "header"))
    record = Record.make(owner, label, vector["sequence"], content, vector["time"], vector["expires"])
    assert record.encode() == raw(vector, "record") and record.authentic()
    assert parse_record_untrusted(raw(vector, "record")) == record
    assert record.name == name_of(owner.node_id, label) == raw(vector, "name")
    assert record.content == content and record.content.id == raw(vector, "object_id")
    assert record.digest == raw(vector, "digest")
    packet = parse_packet_untrusted(raw(vector, "packet"))
    answer = RecordAnswer(record, vector["has_content"])
    assert packet.context == Context.RECORD and parse_record_answer_untrusted(packet.data) == answer
    made = Packet(Context.RECORD, answer.encode(), priority=Priority.INTERACTIVE)
    assert made.encode() == raw(vector, "packet")


@vectors("mutable-request")
def test_n7_requests(vector: Vector) -> None:
    request = RecordRequest(raw(vector, "name"), raw(vector, "digest"))
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.RECORD_REQUEST
    assert parse_record_request_untrusted(packet.data) == request and request.encode() == packet.data


@vectors("mutable-none")
def test_n7_no_record(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.NO_RECORD
    assert parse_no_record_untrusted(packet.data) == raw(vector, "name")


@vectors("mutable-fork")
def test_n7_forks(vector: Vector) -> None:
    one, other = (parse_record_untrusted(bytes.fromhex(record)) for record in vector["records"])
    fork = Fork.make(other, one, vector["age"])
    assert forked(one, other) and fork.authentic() and fork == Fork.make(one, other, vector["age"])
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.FORK and parse_fork_untrusted(packet.data) == fork
    assert Packet(Context.FORK, fork.encode()).encode() == raw(vector, "packet")
    assert (fork.sequence, fork.owner) == (
        vector["sequence"],
        Identity.from_seed(raw(vector, "owner_seed")).node_id,
    )


@vectors("mutable-bad")
def test_n7_what_is_to_be_refused(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    with pytest.raises(BadWire) as refused:
        PARSERS[Context(packet.context)](packet.data)
    assert refused.value.code == vector["refused"]


@vectors("mutable-bad-signed", without="nothing is")
def test_n7_what_no_owner_has_signed(vector: Vector) -> None:
    assert not parse_record_untrusted(raw(vector, "record")).authentic()
