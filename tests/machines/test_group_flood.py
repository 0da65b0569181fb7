"""What members pass on for others, and what they do not; who is believed to have a message (N11)."""

from types import SimpleNamespace

import pytest

from nexus_node.base.errors import BadWire
from nexus_node.base.states import State
from nexus_node.crypto.envelope import SharedSecrets
from nexus_node.engine.group_flood import _nearness, _Passing, far_proof
from nexus_node.ports.driver import LinkProfile, Signal
from nexus_node.wire.groupfar import FarHave, encode_far_haves
from nexus_node.wire.groupitem import Sealed, encode_group_items
from nexus_node.wire.packet import Context, Packet

from .mesh import Mesh
from .test_groups import act, friends, say, state

NARROW = LinkProfile(mtu=255, bps=3125, half_duplex=True)


def line() -> Mesh:
    """Anna, Ben and Carl in a group and in a line of narrow links; Eve, who is in none, beside Ben."""
    mesh = friends("anna", "ben", "carl")
    for pair in (("anna", "ben"), ("anna", "carl"), ("ben", "carl")):
        mesh.part(*pair)
    mesh.wires.clear()
    extra = Mesh("eve", seed=1)
    mesh.hosts["eve"] = extra.hosts["eve"]
    for pair in (("anna", "ben"), ("ben", "carl"), ("ben", "eve")):
        mesh.join(*pair, NARROW)
    mesh.run(900)
    return mesh


def counter(mesh: Mesh, who: str, name: str) -> int:
    return mesh[who].core.counters[name]


def test_n11_it_crosses_each_link_once_and_its_sender_hears_of_all() -> None:
    mesh = line()
    message = say(mesh, "anna", "all the way")
    mesh.run(20)
    assert mesh["ben"].inbox() == mesh["carl"].inbox() == ["all the way"] and not mesh["eve"].inbox()
    assert counter(mesh, "anna", "group_passed") == 1 and counter(mesh, "ben", "group_passed") == 1
    mesh.run(200)
    assert mesh["anna"].core.groups.state_of(message) is State.DELIVERED
    assert not list(mesh["anna"].store.letters()), "no letter was needed"


def test_n11_those_it_came_from_do_not_keep_a_member_from_passing_it_on() -> None:
    passing = _Passing(12)
    sender_side = [passing.enough(bytes([number]) * 32, hops) for number, hops in enumerate((12, 13, 12, 14))]
    assert not any(sender_side), "they do not reach those beyond"
    assert not passing.enough(b"a" * 32, 11) and not passing.enough(b"a" * 32, 11)
    assert passing.enough(b"b" * 32, 10)


def test_n11_who_hears_the_sender_faintly_is_the_first_to_pass_it_on() -> None:
    medium = SimpleNamespace(links={})
    for number, level in enumerate((-120, -95, -70, None)):
        signal = None if level is None else Signal(level, None)
        medium.links[number] = SimpleNamespace(signal=signal)
    assert [_nearness(one, medium) for one in medium.links.values()] == [0.0, 0.5, 1.0, 0.0]


def test_n11_who_missed_it_asks_when_it_is_asked_who_has_it() -> None:
    mesh = line()
    deaf = mesh["carl"].core.groups
    hear, deaf.hear_far = deaf.hear_far, lambda *args: None
    dispatcher = mesh["carl"].core._dispatcher._takers
    kept, dispatcher[Context.GROUP_FAR] = dispatcher[Context.GROUP_FAR], lambda *args: None
    message = say(mesh, "anna", "all the way")
    mesh.run(10)
    assert not mesh["carl"].inbox()
    deaf.hear_far, dispatcher[Context.GROUP_FAR] = hear, kept
    mesh.run(200)
    assert mesh["carl"].inbox() == ["all the way"]
    assert counter(mesh, "carl", "group_wanted") == 1
    assert mesh["anna"].core.groups.state_of(message) is State.DELIVERED


def test_n11_what_no_member_can_have_said_is_not_passed_on() -> None:
    mesh = line()
    eve = mesh["eve"].identity.node_id
    for body in (bytes(60), bytes((3,)) + bytes(59)):
        item = Sealed(state(mesh, "ben").group, body)
        packet = Packet(Context.GROUP_FAR, encode_group_items([item]), hops=9)
        try:
            mesh["ben"].core.groups.hear_far(eve, packet, mesh.now)
        except BadWire:
            continue
    mesh.run(60)
    assert counter(mesh, "ben", "group_passed") == 0 and not mesh["carl"].inbox()


def test_n11_nobody_says_for_another_that_it_has_a_message() -> None:
    mesh = line()
    deaf = mesh["carl"].core._dispatcher._takers
    for context in (Context.GROUP_FAR, Context.GROUP_CHECK_FAR):
        deaf[context] = lambda *args: None
    message = say(mesh, "anna", "all the way")
    mesh.run(40)
    flood, ben = mesh["anna"].core.groups.flood, mesh["ben"].identity
    [(check_id, check)] = flood._asked.items()
    anna, carl = mesh["anna"].identity.node_id, mesh["carl"].identity
    place = state(mesh, "anna") and mesh["anna"].core.groups.get("friends").log.members_of(
        state(mesh, "anna").epoch
    ).index(carl.node_id)
    assert place in check.asked
    proof = far_proof(SharedSecrets(ben), anna, carl.address, check_id, 1)
    data = encode_far_haves(check_id, [FarHave(place, 1, proof), FarHave(200, 1, proof)])
    flood.take_have(ben.node_id, Packet(Context.GROUP_HAVE_FAR, data), mesh.now)
    assert counter(mesh, "anna", "forged_receipt") == 1
    assert mesh["anna"].core.groups.state_of(message) is not State.DELIVERED
    with pytest.raises(BadWire):
        flood.take_have(ben.node_id, Packet(Context.GROUP_HAVE_FAR, check_id), mesh.now)
    mesh.run(1200)
    assert mesh["carl"].inbox() == ["all the way"], "who does not answer gets a letter"


def test_n12_operations_are_passed_on_as_well() -> None:
    mesh = line()
    act(mesh, "anna", "rotate")
    mesh.run(120)
    epoch = state(mesh, "anna").epoch
    assert state(mesh, "carl").epoch == epoch and epoch in mesh["carl"].core.groups.get("friends").keys
    assert 1 <= counter(mesh, "ben", "group_passed") <= 4  # the operation, and the question that follows it
