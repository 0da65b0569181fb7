"""Group operations, letters and messages as bytes, against the golden vectors (N11, N12)."""

import json
from pathlib import Path
from typing import Any

import pytest

from nexus_node.base.errors import BadWire
from nexus_node.crypto.address import address_of
from nexus_node.crypto.envelope import SharedSecrets
from nexus_node.crypto.groupkey import (
    Chain,
    EpochKeys,
    commitment_of,
    open_group_message,
    seal_group_message,
)
from nexus_node.crypto.identity import Identity
from nexus_node.engine.group_air import have_proof
from nexus_node.engine.group_flood import far_proof
from nexus_node.proto.group import GroupLog
from nexus_node.wire.group import Kind, Operation, parse_operation_untrusted
from nexus_node.wire.groupfar import (
    FarCheck,
    encode_far_haves,
    parse_far_check_untrusted,
    parse_far_haves_untrusted,
)
from nexus_node.wire.groupitem import (
    Ask,
    HaveFile,
    Join,
    Key,
    Lack,
    Operations,
    Sealed,
    encode_group_items,
    parse_group_items_untrusted,
)
from nexus_node.wire.groupuri import GroupUri, make_group_uri, parse_group_uri_untrusted
from nexus_node.wire.packet import Context, Packet, parse_packet_untrusted

Vector = dict[str, Any]
PAGE: list[Vector] = json.loads((Path(__file__).parents[1] / "vectors" / "group.json").read_text("utf-8"))


def vectors(family: str) -> pytest.MarkDecorator:
    chosen = [one for one in PAGE if one["id"].startswith(family)]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=[one["id"] for one in chosen])


def raw(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def operation_of(text: str) -> Operation:
    return parse_operation_untrusted(bytes.fromhex(text))


@vectors("group-operation")
def test_n11_operations(vector: Vector) -> None:
    operation, group = operation_of(vector["operation"]), raw(vector, "group")
    author = Identity.from_seed(raw(vector, "author_seed"))
    assert operation.kind.name.lower() == vector["id"].split("-")[2]
    assert (operation.sequence, operation.time) == (vector["sequence"], vector["time"])
    assert [one.hex() for one in operation.parents] == vector["parents"]
    assert (operation.permissions, operation.expires) == (vector["permissions"], vector["expires"])
    if vector["subject"] is not None:
        subject = raw(vector, "subject")
        assert operation.added == (subject,) or operation.removed == (address_of(subject),)
    assert operation.id_in(group) == raw(vector, "operation_id")
    assert operation.authentic(author.node_id, group)
    assert operation.kind == Kind.CREATE or not operation.authentic(author.node_id, bytes(16))
    assert operation.sign(author, group).encode() == raw(vector, "operation")


@vectors("group-fold")
def test_n12_folds(vector: Vector) -> None:
    """The script folds in another way: sets of ancestors, and the page's rules one by one."""
    create, *rest = map(operation_of, vector["operations"])
    log = GroupLog(create)
    for operation in reversed(rest):
        log.add(operation)
    state = log.state
    assert state.group == raw(vector, "group")
    assert sorted(one.hex() for one in state.members) == vector["members"]
    assert [one.node_id.hex() for one in state.co_admins] == vector["co_admins"]
    assert [int(one.permissions) for one in state.co_admins] == vector["permissions"]
    assert state.admin_sequence == vector["admin_sequence"]
    assert state.epoch.hex() == vector["epoch"]


@vectors("group-keys")
def test_n11_keys(vector: Vector) -> None:
    secret = raw(vector, "secret")
    keys = EpochKeys.of(secret)
    assert commitment_of(secret) == raw(vector, "commitment")
    assert (keys.hint, keys.header_key) == (raw(vector, "hint"), raw(vector, "header_key"))
    chain: Chain = keys.chain(0, (raw(vector, "sender"),))
    for chain_key, message_key in zip(vector["chain_keys"], vector["message_keys"], strict=True):
        assert chain.key.hex() == chain_key
        key, chain = chain.take(chain.counter)
        assert key.hex() == message_key


@vectors("group-message")
def test_n11_messages(vector: Vector) -> None:
    sender = Identity.from_seed(raw(vector, "sender_seed"))
    members = tuple(bytes.fromhex(one) for one in vector["members"])
    context = raw(vector, "group") + raw(vector, "epoch")
    keys = EpochKeys.of(raw(vector, "secret"))
    opened = open_group_message(
        keys, members, raw(vector, "message"), context=context, signed=vector["signed"]
    )
    assert (opened.sender, opened.payload) == (sender.node_id, raw(vector, "payload"))
    assert opened.chain.counter == vector["counter"] + 1
    for _ in range(vector["counter"] + 1):
        message, place, keys.chains[place] = seal_group_message(
            keys,
            members,
            sender,
            raw(vector, "payload"),
            context=context,
            seconds=vector["seconds"],
            signed=vector["signed"],
        )
    assert message == raw(vector, "message")


@vectors("group-items")
def test_n11_letters(vector: Vector) -> None:
    group = raw(vector, "group")
    items = parse_group_items_untrusted(raw(vector, "items"))
    assert items == [
        Key(raw(vector, "epoch"), raw(vector, "secret")),
        Operations(group, (raw(vector, "operation"),)),
        Ask(group, (raw(vector, "head"),), (raw(vector, "asked"),)),
        Sealed(group, raw(vector, "message")),
        HaveFile(group, raw(vector, "described"), raw(vector, "file")),
        Lack(
            group, ((raw(vector, "epoch"), tuple(map(tuple, vector["lacking"]))), (raw(vector, "asked"), ()))
        ),
        Join(group, raw(vector, "token")),
    ]
    assert parse_group_items_untrusted(encode_group_items(items)) == items
    assert len(encode_group_items(items[:1])) == 41


@vectors("group-air")
def test_n11_on_the_air(vector: Vector) -> None:
    asker = Identity.from_seed(raw(vector, "asker_seed"))
    answerer = Identity.from_seed(raw(vector, "answerer_seed"))
    item = Sealed(raw(vector, "group"), raw(vector, "message"))
    broadcast = Packet(Context.GROUP, encode_group_items([item])).encode()
    assert broadcast == raw(vector, "broadcast")
    prefixes = b"".join(bytes.fromhex(one) for one in vector["prefixes"])
    assert Packet(Context.GROUP_CHECK, prefixes).encode() == raw(vector, "check")
    have = parse_packet_untrusted(raw(vector, "have"))
    proofs = {
        have_proof(SharedSecrets(me), other, answerer.address, prefixes)
        for me, other in ((asker, answerer.node_id), (answerer, asker.node_id))
    }
    assert proofs == {have.data[:16]} and have.data[16:] == prefixes


@vectors("group-far")
def test_n11_over_several_hops(vector: Vector) -> None:
    asker = Identity.from_seed(raw(vector, "asker_seed"))
    answerer = Identity.from_seed(raw(vector, "answerer_seed"))
    item = Sealed(raw(vector, "group"), raw(vector, "message"))
    passed = Packet(Context.GROUP_FAR, encode_group_items([item]), hops=16)
    assert passed.encode() == raw(vector, "passed")
    prefixes = tuple(bytes.fromhex(one) for one in vector["prefixes"])
    check = FarCheck(vector["round"], raw(vector, "epoch"), frozenset(vector["asked"]), prefixes)
    packet = parse_packet_untrusted(raw(vector, "check"))
    assert packet.context == Context.GROUP_CHECK_FAR and parse_far_check_untrusted(packet.data) == check
    assert packet.data == check.encode()
    packet = parse_packet_untrusted(raw(vector, "have"))
    check_id, (have,) = parse_far_haves_untrusted(packet.data)
    assert packet.context == Context.GROUP_HAVE_FAR and check_id == check.id
    assert (have.place, have.bits) == (vector["place"], vector["bits"])
    proofs = {
        far_proof(SharedSecrets(me), other, answerer.address, check.id, have.bits)
        for me, other in ((asker, answerer.node_id), (answerer, asker.node_id))
    }
    assert proofs == {have.proof} and encode_far_haves(check.id, [have]) == packet.data
    assert Packet(Context.GROUP_WANT, prefixes[0]).encode() == raw(vector, "want")


@vectors("group-link")
def test_n11_links(vector: Vector) -> None:
    link = GroupUri(raw(vector, "inviter"), raw(vector, "group"), raw(vector, "token"), vector["name"])
    assert make_group_uri(link) == vector["uri"]
    assert parse_group_uri_untrusted(f" {vector['uri'].upper()}\n") == link


def refuse_group(vector: Vector) -> None:
    if "items" in vector:
        parse_group_items_untrusted(raw(vector, "items"))
        return
    operation = operation_of(vector["operation"])
    if "known" in vector:
        create, *rest = map(operation_of, vector["known"])
        log = GroupLog(create)
        for one in rest:
            log.add(one)
        log.add(operation)


@vectors("group-bad")
def test_n12_what_must_be_refused(vector: Vector) -> None:
    with pytest.raises(BadWire) as caught:
        refuse_group(vector)
    assert caught.value.code == vector["refused"]


def test_the_page_cites_every_family_of_vectors() -> None:
    text = (Path(__file__).parents[2] / "docs/protocol/group.md").read_text("utf-8")
    for one in PAGE:
        family = "group-bad-" if "-bad-" in one["id"] else one["id"].rstrip("0123456789")
        assert f"`{family}" in text, f"{one['id']} is cited nowhere"
