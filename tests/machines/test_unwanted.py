"""Files that are declined by their recipient, or withdrawn by their sender: both ends are told (N7, S6)."""

import pytest

from nexus_node.base.errors import InputError
from nexus_node.crypto.filestream import file_declined, file_withdrawn
from nexus_node.ports.driver import LinkProfile
from nexus_node.wire.custody import Delivered
from nexus_node.wire.packet import Context, Refusal

from .mesh import Mesh
from .test_attach import SLOW, WIFI, friends, photo, received, send, told, whole

THIN = LinkProfile(mtu=1400, bps=1e6)


def file_of(mesh: Mesh, message: bytes):
    """Its row with the sender, and what it was called in the message."""
    row = mesh["alice"].store.parts(message)[1]
    return row, mesh["alice"].core.outbox.description_of(row)


def why(mesh: Mesh, message: bytes) -> str:
    return mesh["alice"].store.facts(file_of(mesh, message)[0].id)[-1].by


def decline(mesh: Mesh, message: bytes) -> None:
    mesh["bob"].core.unwanted.decline(file_of(mesh, message)[0].object[:8], mesh.now)
    mesh["bob"].core.commit()


def begun(mesh: Mesh, message: bytes, chunks: int = 20) -> None:
    """Let some of the file arrive, and not all of it."""
    row, _ = file_of(mesh, message)
    for _ in range(10_000):
        for wire in mesh.wires.values():
            wire.step(mesh.now)
        stored = mesh["bob"].store.get_object(row.object)
        if stored is not None and stored.chunks_have >= chunks:
            assert not stored.complete
            return
        if not any(wire.flying for wire in mesh.wires.values()):
            mesh.now = max(mesh.now + 0.001, min(host.core.wake_at for host in mesh.hosts.values()))
    raise AssertionError("nothing came")


def check_declined(mesh: Mesh, message: bytes) -> None:
    row, _ = file_of(mesh, message)
    assert (whole(mesh, message), why(mesh, message)) == ("failed", "declined by the recipient")
    assert told(mesh, message)[-1] == "failed"
    assert mesh["alice"].store.parts(message)[0].state.value == "delivered"  # the text was read
    for host in mesh.hosts.values():
        assert host.store.get_object(row.object) is None
        assert host.store.usage()[1] < 10_000
    assert "file_declined" in [event.event for event in mesh["bob"].events]
    assert received(mesh) is None


@pytest.mark.parametrize("profile", [WIFI, THIN])
def test_a_file_is_declined_while_it_comes(profile):
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", profile)
    mesh.run(5)
    message = send(mesh, photo(2_000_000), min_bandwidth=0)
    begun(mesh, message)
    decline(mesh, message)
    mesh.run(10)
    check_declined(mesh, message)
    (wire,) = mesh.wires.values()
    before = wire.bytes
    mesh.run(300)
    assert wire.bytes - before < 5_000  # nothing more of it


def test_a_file_is_declined_before_it_comes():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", SLOW)
    mesh.run(5)
    message = send(mesh, photo())
    mesh.run(60)
    assert whole(mesh, message) == "held"
    decline(mesh, message)
    mesh.run(20)
    check_declined(mesh, message)


def test_a_sender_that_is_away_hears_of_it_when_it_offers_the_file():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", SLOW)
    mesh.run(5)
    message = send(mesh, photo())
    mesh.run(60)
    mesh.part("alice", "bob")
    mesh.run(5)
    decline(mesh, message)
    mesh.run(60)
    assert whole(mesh, message) == "held"
    mesh.wires.clear()
    mesh.join("alice", "bob", WIFI)
    mesh.run(10)
    check_declined(mesh, message)


def test_the_sender_behind_other_nodes_hears_of_it():
    mesh = friends("alice", "m", "n", "bob")
    mesh.line("alice", "m", "n", "bob", profile=THIN)
    mesh.run(10)
    message = send(mesh, photo(2_000_000), min_bandwidth=0)
    begun(mesh, message)
    decline(mesh, message)
    mesh.run(20)
    check_declined(mesh, message)


@pytest.mark.parametrize("at_home", [True, False])
def test_a_relay_lets_a_declined_file_go_and_tells_its_sender(at_home):
    mesh = friends("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "relay", trust="trusted")
    mesh.knows("relay", "alice", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = send(mesh, photo())
    mesh.run(30)
    assert whole(mesh, message) == "relayed"
    if not at_home:
        mesh.part("alice", "relay")
    mesh.join("relay", "bob", SLOW)
    mesh.run(60)
    assert mesh["bob"].inbox() == ["look"]
    decline(mesh, message)
    mesh.run(30)
    mesh.part("relay", "bob")
    mesh.wires.pop(frozenset(("relay", "bob")))
    mesh.join("relay", "bob", WIFI)  # now it is offered
    mesh.run(30)
    assert mesh["relay"].core.relay.usage == (0, 0)
    if not at_home:
        mesh.join("alice", "relay")
        mesh.run(30)
    check_declined(mesh, message)


def test_a_file_that_is_here_cannot_be_declined():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", WIFI)
    mesh.run(5)
    message = send(mesh, photo())
    mesh.run(10)
    with pytest.raises(InputError, match="here already"):
        decline(mesh, message)
    with pytest.raises(InputError, match="no file"):
        mesh["bob"].core.unwanted.decline(bytes(8), mesh.now)
    assert received(mesh) == photo()


def test_nobody_else_declines_or_withdraws():
    mesh = friends("alice", "m", "bob")
    mesh.line("alice", "m", "bob", profile=SLOW)
    mesh.run(120)
    message = send(mesh, photo())
    mesh.run(60)
    assert whole(mesh, message) == "held"
    row, _ = file_of(mesh, message)
    prefix, m = row.object[:8], mesh["m"].core
    for make in (file_declined, file_withdrawn):
        entry = Delivered(prefix, make(bytes(32), row.object, message)).encode()
        for name, context in (("alice", Context.DELIVERED), ("bob", Context.WITHDRAWN)):
            m.forwarder.tell(mesh[name].identity.node_id, context, entry)
    m.forwarder.tell(mesh["alice"].identity.node_id, Context.REFUSAL, Refusal(10, prefix).encode())
    mesh.run(20)
    assert mesh["bob"].core.counters["unknown_withdrawal"] == 2
    assert whole(mesh, message) == "held"
    assert not mesh["bob"].store.expected(row.object)[0].ended


# --- withdrawn ----------------------------------------------------------------------------------------
def cancel(mesh: Mesh, message: bytes) -> None:
    mesh["alice"].core.cancel(message, mesh.now)
    mesh["alice"].core.commit()


@pytest.mark.parametrize("between", [(), ("m", "n")])
def test_what_its_sender_withdraws_goes_from_the_recipients_disk(between):
    mesh = friends("alice", *between, "bob")
    mesh.line("alice", *between, "bob", profile=THIN)
    mesh.run(10)
    message = send(mesh, photo(2_000_000), min_bandwidth=0)
    begun(mesh, message)
    cancel(mesh, message)
    assert (whole(mesh, message), why(mesh, message)) == ("failed", "cancelled here")
    mesh.run(20)
    row, _ = file_of(mesh, message)
    assert mesh["bob"].store.expected(row.object)[0].ended == "withdrawn"
    assert mesh["bob"].store.get_object(row.object) is None
    assert mesh["alice"].store.get_object(row.object) is None
    assert "file_withdrawn" in [event.event for event in mesh["bob"].events]
    with pytest.raises(InputError, match="nothing left"):
        cancel(mesh, message)


def test_a_relay_lets_go_of_a_file_that_is_withdrawn():
    mesh = friends("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = send(mesh, photo())
    mesh.run(30)
    assert mesh["relay"].core.relay.usage[0] == 2
    cancel(mesh, message)
    mesh.run(5)
    assert mesh["relay"].core.relay.usage[0] == 1  # the text has left
    assert mesh["relay"].store.get_object(file_of(mesh, message)[0].object) is None


def test_a_text_that_waits_is_cancelled_and_never_leaves():
    mesh = friends("alice", "bob")
    message = mesh.send("alice", "bob", "do not send that")
    cancel(mesh, message)
    mesh.join("alice", "bob", WIFI)
    mesh.run(20)
    assert mesh["bob"].inbox() == []
    assert mesh["alice"].states() == {message: "failed"}
