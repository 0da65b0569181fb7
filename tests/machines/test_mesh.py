"""Messages over many nodes: paths, relays, carriers (N4, N10, M5)."""

from pathlib import Path

import pytest

from nexus_node.base.states import State
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_node.wire.packet import Context, Packet, Priority, Reason, Refusal
from nexus_node.wire.uri import make_uri

from .mesh import Mesh
from .world import DATAGRAM, NARROW, STREAM


def states_of(host, message: bytes) -> list[str]:
    return [fact.state.value for fact in host.store.facts(message)]


@pytest.mark.parametrize("profile", [DATAGRAM, STREAM, NARROW])
def test_n4_a_line_of_six_delivers_both_ways(profile) -> None:
    mesh = Mesh(*"abcdef")
    mesh.knows("a", "f")
    mesh.knows("f", "a")
    mesh.line(*"abcdef", profile=profile)
    mesh.run(60)
    there, back = mesh.send("a", "f", "there"), mesh.send("f", "a", "back")
    mesh.run(60)
    assert mesh["f"].inbox() == ["there"] and mesh["a"].inbox() == ["back"]
    assert mesh["a"].states()[there] == mesh["f"].states()[back] == "delivered"


def test_n4_a_text_of_64_kb_crosses_hops_in_fragments() -> None:
    mesh = Mesh(*"abc")
    mesh.knows("a", "c")
    mesh.join("a", "b", DATAGRAM, loss=0.1)
    mesh.join("b", "c", DATAGRAM, loss=0.1)
    mesh.run(10)
    message = mesh.send("a", "c", "x" * 65_000)
    mesh.run(120)
    assert mesh["c"].inbox() == ["x" * 65_000]
    assert mesh["a"].states()[message] == "delivered"


def test_n13_a_narrow_link_beyond_the_first_holds_what_needs_more() -> None:
    mesh = Mesh(*"abcd")
    mesh.knows("a", "d")
    mesh.join("a", "b")
    mesh.join("b", "d", NARROW)
    mesh.run(60)
    wide = mesh["a"].send("d", "wide", mesh.now, min_bandwidth=10_000)
    small = mesh.send("a", "d", "small")
    mesh.run(60)
    assert mesh["a"].states() == {wide: "held", small: "delivered"}
    mesh.join("a", "c")
    mesh.join("c", "d")
    mesh.run(60)
    assert mesh["a"].states() == {wide: "delivered", small: "delivered"}
    mesh.part("c", "d")
    mesh.run(60)
    again = mesh["a"].send("d", "wide again", mesh.now, min_bandwidth=10_000)
    mesh.run(60)
    assert mesh["a"].states()[again] == "held" and "wide again" not in mesh["d"].inbox()


def test_n10_a_relay_keeps_a_message_until_its_recipient_comes(tmp_path: Path) -> None:
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), folder=tmp_path)
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "for later")
    mesh.run(2)
    assert states_of(mesh["alice"], message) == ["queued", "sent", "relayed"]
    assert mesh["alice"].store.facts(message)[-1].by == mesh["relay"].identity.address.hex()
    mesh.leave("alice")  # for good
    mesh.crash("relay")
    mesh.run(10)
    mesh.crash("relay")
    mesh.join("relay", "bob")
    mesh.run(10)
    assert mesh["bob"].inbox() == ["for later"]
    assert mesh["relay"].core.relay.usage == (0, 0)
    mesh.join("alice", "relay")
    mesh.run(10)
    assert mesh["alice"].states()[message] == "delivered", "the receipt waited for her"


def test_n10_of_two_relays_either_may_vanish_and_the_reader_sees_it_once() -> None:
    for gone in ("one", "two", None):
        mesh = Mesh("alice", "one", "two", "bob", relays=("one", "two"))
        mesh.knows("alice", "bob")
        mesh.knows("alice", "one", "two", trust="trusted")
        mesh.join("alice", "one")
        mesh.join("alice", "two")
        mesh.run(2)
        message = mesh.send("alice", "bob", "twice kept")
        mesh.run(2)
        assert states_of(mesh["alice"], message).count("relayed") == 2
        mesh.leave("alice")
        for relay in ("one", "two"):
            if relay != gone:
                mesh.join(relay, "bob")
        mesh.run(30)
        assert mesh["bob"].inbox() == ["twice kept"]
        for relay in ("one", "two"):
            assert mesh[relay].core.relay.usage[0] == (relay == gone)


def test_n10_a_message_waits_thirty_days_and_through_restarts_of_everyone(tmp_path: Path) -> None:
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), folder=tmp_path)
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    mesh.send("alice", "bob", "patience")
    mesh.run(2)
    for _ in range(29):
        for name in ("alice", "relay", "bob"):
            mesh.crash(name)
        mesh.join("alice", "relay")
        mesh.run(5)
        mesh.part("alice", "relay")
        mesh.run(24 * 3600)
    mesh.leave("alice")
    mesh.join("relay", "bob")
    mesh.run(10)
    assert mesh["bob"].inbox() == ["patience"]


def test_n10_a_relay_several_hops_away_promises_with_its_signature() -> None:
    mesh = Mesh("alice", "hop", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "bob")
    relay = mesh["relay"].identity.node_id
    core = mesh["alice"].core
    core.contacts.add("bob", make_uri(mesh["bob"].identity.node_id, None, (relay,)), 0)
    mesh.line("alice", "hop", "relay")
    mesh.run(5)
    message = mesh.send("alice", "bob", "by way of hop")
    mesh.run(5)
    assert mesh["alice"].states()[message] == "relayed"
    assert mesh["alice"].store.facts(message)[-1].by == mesh["relay"].identity.address.hex()
    mesh.leave("alice")
    mesh.join("hop", "bob")
    mesh.run(20)
    assert mesh["bob"].inbox() == ["by way of hop"]
    assert mesh["relay"].core.relay.usage == (0, 0)


def test_s3_a_relay_refuses_with_the_reason_and_when_to_try_again() -> None:
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), policy=RelayPolicy(serve=Serve.ANYONE))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    for number in range(3):
        mesh.send("alice", "bob", f"text {number}")
    mesh.run(5)
    assert sorted(mesh["alice"].states().values()) == ["relayed", "sent", "sent"]
    refused = [event for event in mesh["alice"].events if event.event == "message_refused"]
    assert refused and "no more from this node for now" in refused[0].fields["why"]
    mesh.run(60)
    assert set(mesh["alice"].states().values()) == {"relayed"}


def test_n4_a_node_that_moves_keeps_getting_mail() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh.knows("a", "d")
    mesh.line("a", "b", "c")
    mesh.join("c", "d")
    mesh.run(5)
    mesh.send("a", "d", "one")
    mesh.run(5)
    mesh.part("c", "d")
    mesh.join("b", "d")
    mesh.run(3)
    mesh.send("a", "d", "two")
    mesh.run(5)
    mesh.part("b", "d")
    mesh.join("a", "d")
    mesh.run(3)
    mesh.send("a", "d", "three")
    mesh.run(5)
    assert mesh["d"].inbox() == ["one", "two", "three"]
    assert set(mesh["a"].states().values()) == {"delivered"}


@pytest.mark.parametrize("victim", list("bcdef"))
def test_n4_a_ring_survives_the_loss_of_any_node(victim: str) -> None:
    mesh = Mesh(*"abcdef")
    target = "d" if victim != "d" else "e"
    mesh.knows("a", target)
    mesh.line(*"abcdefa")
    mesh.run(5)
    for number in range(40):
        mesh.send("a", target, f"text {number}")
        if number == 20:
            mesh.leave(victim)
        mesh.run(0.05)
    mesh.run(20)
    assert sorted(mesh[target].inbox()) == sorted(f"text {number}" for number in range(40))
    assert set(mesh["a"].states().values()) == {State.DELIVERED.value}


def test_n4_a_break_farther_on_costs_moments_though_the_next_hop_stays() -> None:
    mesh = Mesh(*"abcde")
    mesh.knows("a", "d")
    mesh.line(*"abcd")
    mesh.line(*"bed")
    mesh.run(5)
    for number in range(60):
        mesh.send("a", "d", f"text {number}")
        if number == 20:
            mesh.crash("c")
        if number == 40:
            mesh.line("b", "c", "d")
            mesh.crash("e")
        mesh.run(0.02)
    mesh.run(5)
    assert len(mesh["d"].inbox()) == 60
    assert set(mesh["a"].states().values()) == {"delivered"}


@pytest.mark.parametrize("victim", ["b", "c"])
def test_n4_where_nothing_shows_that_a_node_is_gone_another_path_takes_over_in_two_seconds(
    victim: str,
) -> None:
    """Datagrams to a computer that is off vanish without a word."""
    mesh = Mesh(*"abcdefg")
    mesh.knows("a", "d")
    mesh.line(*"abcdefga", profile=DATAGRAM)
    mesh.run(60)
    assert mesh["d"].inbox() == [] and len(mesh.wires_of(victim)) == 2
    for wire in mesh.wires_of(victim):
        wire.loss = 1.0
    mesh.send("a", "d", "the other way round")
    mesh.run(2)
    assert mesh["d"].inbox() == ["the other way round"]


@pytest.mark.parametrize("victim", ["b", "c"])
def test_n4_a_connection_to_a_host_that_acknowledges_nothing_is_left_alone_until_it_does(victim: str) -> None:
    """Its driver tells. Meanwhile another path serves; then both ends tell each other anew what they know."""
    mesh = Mesh(*"abcdef")
    mesh.knows("a", "d")
    mesh.knows("d", "a")
    mesh.knows("a", victim)
    mesh.line(*"abcdefa")
    mesh.run(10)
    ends = [
        (host, cid)
        for wire in mesh.wires_of(victim)
        for host, cid in zip(wire.hosts, wire.cids, strict=True)
        if host is not mesh[victim]
    ]

    def stall(stalled: bool) -> None:
        for wire in mesh.wires_of(victim):
            wire.loss = 1.0 if stalled else 0.0
        for host, cid in ends:
            host.core.stalled(cid, stalled, mesh.now)

    for text in ("the other way round", "and again"):
        stall(True)
        stall(True)
        assert {host.core.attachments[cid].state for host, cid in ends} == {"stalled"}
        mesh.send("a", "d", text)
        mesh.send("a", victim, f"{text}, later")
        mesh.run(2)
        assert mesh["d"].inbox()[-1] == text
        assert f"{text}, later" not in mesh[victim].inbox()
        stall(False)
        mesh.run(3)
        assert {host.core.attachments[cid].state for host, cid in ends} == {"up"}
        assert mesh[victim].inbox()[-1] == f"{text}, later"
    mesh.send("d", "a", "by the shortest way")
    mesh.run(2)
    assert mesh["a"].inbox()[-1] == "by the shortest way"
    stall(True)
    mesh.leave(victim)
    mesh.send("a", "d", "after its end")
    mesh.run(2)
    assert mesh["d"].inbox()[-1] == "after its end"


def test_n4_a_link_that_loses_one_frame_of_ten_is_not_given_up() -> None:
    mesh = Mesh("a", "b")
    mesh.knows("a", "b")
    mesh.join("a", "b", DATAGRAM, loss=0.1)
    mesh.run(10)
    session = next(iter(mesh["a"].core.attachments.values())).link._session
    for number in range(500):
        mesh.send("a", "b", f"text {number}")
        mesh.run(2)
    assert len(mesh["b"].inbox()) == 500
    assert next(iter(mesh["a"].core.attachments.values())).link._session is session


def test_n4_a_refusal_on_the_way_costs_moments() -> None:
    mesh = Mesh(*"abc")
    mesh.knows("a", "c")
    mesh.line(*"abc")
    mesh.run(5)
    message = mesh.send("a", "c", "soon")
    a, b = mesh["a"], mesh["b"]
    [cid] = a.core.attachments
    assert a.core.next_frame(cid, mesh.now) is not None  # and it is lost
    assert a.core.delivery.take_refusal(b.identity.node_id, Refusal(Reason.NO_PATH, message[:8]), mesh.now)
    mesh.run(3)
    assert mesh["c"].inbox() == ["soon"]


@pytest.mark.parametrize(("hops", "ends_at"), [(3, "d"), (2, "c"), (1, "b"), (0, "b")])
def test_m5_a_packet_goes_as_many_hops_as_it_has_left(hops: int, ends_at: str) -> None:
    mesh = Mesh(*"abcd")
    mesh.line(*"abcd")
    mesh.run(5)
    to_b = mesh["a"].core.router.link_to(mesh["b"].identity.node_id)
    packet = Packet(Context.MESSAGE, bytes(80), mesh["d"].identity.address, hops)
    mesh["a"].core.forwarder.enqueue(to_b, packet.encode(), Priority.STANDARD)
    mesh.run(1)
    exhausted = [name for name in "abcd" if mesh[name].core.counters["hops_exhausted"]]
    assert exhausted == ([] if ends_at == "d" else [ends_at])
    forwarded = [name for name in "abcd" if mesh[name].core.counters["messages_forwarded"]]
    assert forwarded == list("abcd"[1 : "abcd".index(ends_at)])


def test_trace_names_every_hop() -> None:
    mesh = Mesh(*"abcd")
    mesh.line(*"abcd")
    mesh.run(5)
    name = mesh["a"].core.tracer.begin(mesh["d"].identity.address, mesh.now)
    mesh["a"].core.ready.update(mesh["a"].core.attachments)
    mesh.run(2)
    hops = [event.fields for event in mesh["a"].events if event.event == "trace_hop"]
    assert [(hop["hop"], hop["address"], hop["last"]) for hop in hops] == [
        (number, mesh[name_].identity.address.hex(), name_ == "d") for number, name_ in enumerate("bcd", 1)
    ]
    assert all(hop["trace"] == name for hop in hops)


def test_n10_mail_crosses_a_partition_in_somebodys_pocket() -> None:
    mesh = Mesh("alice", "walker", "jogger", "bob", relays=("walker", "jogger"))
    mesh.knows("alice", "bob")
    mesh.knows("bob", "alice")
    mesh.join("alice", "walker")
    mesh.run(2)
    message = mesh.send("alice", "bob", "by hand")
    mesh.run(2)
    mesh.part("alice", "walker")
    mesh.join("walker", "jogger")
    mesh.run(5)
    assert mesh["jogger"].core.relay.usage[0] == 1, "they met, and one copied from the other"
    mesh.part("walker", "jogger")
    mesh.join("jogger", "bob")
    mesh.run(10)
    assert mesh["bob"].inbox() == ["by hand"]
    assert mesh["jogger"].core.relay.usage[0] == 0
    mesh.part("jogger", "bob")
    mesh.join("jogger", "walker")
    mesh.run(10)
    assert mesh["walker"].core.relay.usage[0] == 0, "the receipt calls the other copy back"
    mesh.join("jogger", "alice")
    mesh.run(10)
    assert mesh["alice"].states()[message] == "delivered"


def test_n10_relays_that_meet_copy_only_what_the_other_lacks() -> None:
    mesh = Mesh("alice", "one", "two", "bob", relays=("one", "two"))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "one", "two", trust="trusted")
    mesh.join("alice", "one")
    mesh.run(2)
    for number in range(30):
        mesh.send("alice", "bob", f"text {number}")
    mesh.run(5)
    mesh.join("one", "two")
    mesh.run(10)
    assert mesh["two"].core.relay.usage[0] == 30
    for _ in range(3):
        mesh.part("one", "two")
        mesh.join("one", "two")
        mesh.run(10)
    assert mesh["one"].core.counters["copies_given"] == 30
    mesh.leave("one")
    mesh.join("two", "bob")
    mesh.run(10)
    assert sorted(mesh["bob"].inbox()) == sorted(f"text {number}" for number in range(30))


def test_n10_a_refusal_beyond_a_relay_finds_the_sender_and_ends() -> None:
    """Bob has lost what he knew of Alice, and cannot open the short envelope that the relay hands him."""
    mesh = Mesh("alice", "hop", "relay", "bob", relays=("relay",))
    relay, bob = mesh["relay"], mesh["bob"]
    mesh["alice"].core.contacts.add("bob", make_uri(bob.identity.node_id, None, (relay.identity.node_id,)), 0)
    mesh["alice"].core.contacts.met(bob.identity.node_id, 0)  # from now on short envelopes
    mesh.line("alice", "hop", "relay")
    mesh.run(5)
    message = mesh.send("alice", "bob", "who is this?")
    mesh.run(5)
    assert mesh["alice"].states()[message] == "relayed"
    mesh.join("hop", "bob")
    mesh.run(30)
    assert bob.core.counters["unknown_sender"] >= 1 and mesh["alice"].core.counters["resealed"] == 1
    assert bob.inbox() == ["who is this?"], "sealed twice, read once"
    assert [row.shown_id for row in bob.store.inbox()] == [message]
    assert mesh["alice"].states()[message] == "delivered"
    before = sum(wire.bytes for wire in mesh.wires.values())
    mesh.run(60)
    assert sum(wire.bytes for wire in mesh.wires.values()) - before < 2000, "nothing goes round"
    assert relay.core.relay.usage == (0, 0)


def test_a_sender_without_a_way_says_why() -> None:
    mesh = Mesh("alice", "bob")
    mesh.knows("alice", "bob")
    message = mesh.send("alice", "bob", "nobody there")
    mesh.run(5)
    assert "no way to the recipient" in why(mesh, message)


def why(mesh: Mesh, message: bytes) -> str:
    row = mesh["alice"].store.outgoing(message)
    assert row is not None
    return mesh["alice"].core.planner.why(row)


def beside_a_relay() -> Mesh:
    """Alice has a link to a relay; Bob is away."""
    mesh = Mesh("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    return mesh


def test_n13_a_text_that_needs_bandwidth_is_not_left_with_a_relay_that_would_not_know() -> None:
    mesh = beside_a_relay()
    wide = mesh["alice"].send("bob", "wide", mesh.now, min_bandwidth=10_000)
    small = mesh.send("alice", "bob", "small")
    mesh.run(5)
    assert mesh["alice"].states() == {wide: "queued", small: "relayed"}
    assert why(mesh, wide) == "the recipient is away; no relay is given a text that needs 10000 bps"
    mesh.join("relay", "bob", NARROW)
    mesh.run(60)
    assert mesh["bob"].inbox() == ["small"] and mesh["alice"].states()[wide] == "held"
    mesh.join("alice", "bob")
    mesh.run(60)
    assert mesh["bob"].inbox() == ["small", "wide"] and mesh["alice"].states()[wide] == "delivered"


def test_n13_what_is_sealed_again_goes_no_other_way_than_before() -> None:
    mesh = beside_a_relay()
    wide = mesh["alice"].send("bob", "wide", mesh.now, min_bandwidth=10_000)
    row, delivery = mesh["alice"].store.outgoing(wide), mesh["alice"].core.delivery
    (mailbox,) = delivery._mailboxes[row.to]
    delivery._seal_again(mailbox, row, mesh.now)
    small = mesh.send("alice", "bob", "small")
    mesh.run(5)
    assert mesh["alice"].core.counters["resealed"] == 1
    assert mesh["alice"].states() == {wide: "queued", small: "relayed"}


def test_n13_a_node_on_the_way_does_not_pass_a_text_on_over_a_link_that_is_too_narrow() -> None:
    mesh = Mesh("alice", "b", "bob")
    mesh.knows("alice", "bob")
    mesh.join("alice", "b")
    mesh.join("b", "bob")
    mesh.run(60)
    # The link changes, and nobody has told the sender yet.
    mesh["b"].core.retune(mesh.wires[frozenset(("b", "bob"))].cids[0], NARROW)
    message = mesh["alice"].send("bob", "wide", mesh.now, min_bandwidth=10_000)
    mesh.run(1)
    assert mesh["b"].core.counters["too_narrow"] == 1
    assert mesh["bob"].inbox() == [] and mesh["alice"].states()[message] == "sent"


def test_n6_a_burst_through_a_relay_to_a_slow_link_loses_nothing() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.knows("a", "c")
    mesh.join("a", "b", STREAM)
    mesh.join("b", "c", DATAGRAM)
    mesh.run(5)
    for number in range(600):
        mesh.send("a", "c", f"text {number} " + "x" * 500)
    mesh.run(60)
    assert len(set(mesh["c"].inbox())) == 600
    assert set(mesh["a"].states().values()) == {"delivered"}
