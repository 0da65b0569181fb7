"""Files attached to messages of groups: fetched from their author or any other member (N11, N13)."""

import random
from pathlib import Path

import pytest

from nexus_node.base.errors import BadWire
from nexus_node.base.states import State
from nexus_node.crypto.filestream import open_file
from nexus_node.engine.attach import SealedFile, seal_attachment
from nexus_node.ports.driver import LinkProfile

from .mesh import Mesh
from .test_groups import act, friends

SLOW = LinkProfile(mtu=255, bps=3125, half_duplex=True)
CONTENT = random.Random(7).randbytes(60_000)


def photo(min_bandwidth: int | None = None) -> SealedFile:
    key = random.Random(1).randbytes(32)
    return seal_attachment("p.jpg", CONTENT, media_type="image/jpeg", key=key, min_bandwidth=min_bandwidth)


def say(mesh: Mesh, who: str, text: str, *files: SealedFile) -> bytes:
    core = mesh[who].core
    core._now = mesh.now
    message = core.groups.send("friends", text, mesh.now, files=files)
    core.commit()
    return message


def opened(mesh: Mesh, who: str) -> bytes | None:
    """The content of the one file in that inbox; None while it is not all there."""
    core = mesh[who].core
    (row,) = mesh[who].store.inbox()
    (file,) = core.files_of(row)
    stored = mesh[who].store.get_object(file.object)
    if stored is None or not stored.complete:
        return None
    return b"".join(open_file(file.key, mesh[who].store.read_object(file.object)))


def test_n13_a_photo_to_a_group_comes_to_each_and_its_sender_knows() -> None:
    mesh = friends("anna", "ben", "carl", "dora")
    message = say(mesh, "ben", "look", photo())
    assert mesh["ben"].core.groups.state_of(message) is State.QUEUED
    mesh.run(30)
    for name in ("anna", "carl", "dora"):
        assert mesh[name].inbox() == ["look"] and opened(mesh, name) == CONTENT
        told = [one.fields["object"] for one in mesh[name].events if one.event == "file_received"]
        assert told == [photo().header.id.hex()]
    assert mesh["ben"].core.groups.state_of(message) is State.DELIVERED
    told = [one.fields for one in mesh["ben"].events if one.event == "message_state"]
    states = [one["state"] for one in told if one["id"] == message.hex()]
    assert states[-1] == "delivered" and states.count("delivered") == 1


def test_n13_it_is_not_tried_over_a_link_that_is_too_narrow_and_comes_by_itself_when_there_is_another() -> (
    None
):
    mesh = friends("anna", "ben", "carl")
    for a, b in (("anna", "ben"), ("anna", "carl"), ("ben", "carl")):
        mesh.part(a, b)
    mesh.wires.clear()
    mesh.join("anna", "ben", SLOW)
    mesh.run(60)
    message = say(mesh, "anna", "look", photo())
    mesh.run(600)
    assert mesh["ben"].inbox() == ["look"] and opened(mesh, "ben") is None
    assert mesh["anna"].core.groups.state_of(message) is not State.DELIVERED
    assert sum(wire.bytes for wire in mesh.wires.values()) < 10_000, "not one chunk of it"
    mesh.part("anna", "ben")
    mesh.wires.clear()
    mesh.join("anna", "ben")
    mesh.run(10)
    assert opened(mesh, "ben") == CONTENT


def test_n11_who_was_away_gets_it_from_another_member_when_its_author_has_gone(tmp_path: Path) -> None:
    mesh = friends("anna", "ben", "carl", folder=tmp_path)
    for name in ("anna", "ben"):
        mesh.part(name, "carl")
    say(mesh, "anna", "look", photo())
    mesh.run(30)
    assert opened(mesh, "ben") == CONTENT
    mesh.wires.pop(frozenset(("anna", "carl")))
    mesh.join("anna", "carl", SLOW)
    mesh.run(120)
    assert mesh["carl"].inbox() == ["look"] and opened(mesh, "carl") is None
    mesh.leave("anna")
    mesh.crash("carl")
    mesh.join("ben", "carl")
    mesh.run(300)
    assert opened(mesh, "carl") == CONTENT


def test_n11_nobody_but_members_gets_a_file() -> None:
    mesh = friends("anna", "ben", "carl")
    act(mesh, "anna", "remove", "carl")
    mesh.run(5)
    say(mesh, "anna", "look", photo())
    mesh.run(30)
    assert opened(mesh, "ben") == CONTENT and not mesh["carl"].inbox()
    prefix = photo().header.id[:8]
    assert mesh["anna"].core.groups.files.served(prefix, mesh["ben"].identity.address) is not None
    assert mesh["anna"].core.groups.files.served(prefix, mesh["carl"].identity.address) is None


def test_n11_a_member_that_says_it_has_the_file_of_another_group_is_not_believed() -> None:
    from nexus_node.wire.groupitem import HaveFile, encode_group_items

    mesh = friends("anna", "ben", "carl")
    message = say(mesh, "anna", "look", photo(10**9))
    mesh.run(5)
    groups = mesh["anna"].core.groups
    before = groups._counters["group_unknown"]
    stranger = mesh["carl"].identity.node_id
    groups.take(stranger, encode_group_items([HaveFile(bytes(16), message, photo().header.id[:8])]), mesh.now)
    assert groups._counters["group_unknown"] == before + 1
    with pytest.raises(BadWire):
        groups.take(stranger, b"\x86" + bytes(20), mesh.now)
