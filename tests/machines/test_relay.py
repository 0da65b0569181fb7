"""What a relay keeps, for whom, how much, and what nobody can make it do (N10, N15, S2, S3)."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import CUSTODY_GIVEN, SENDERS_TIMED
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.engine.relay import RelayPolicy
from nexus_node.wire.announce import Serve
from nexus_node.wire.custody import Custody, Delivered, Pending, Promise
from nexus_node.wire.dataobject import KIND_MESSAGE, describe
from nexus_node.wire.packet import Context, Packet
from nexus_node.wire.uri import make_uri

from .mesh import ANYONE, Mesh
from .world import DATAGRAM, WALL

S3 = RelayPolicy(serve=Serve.ANYONE)
"""The numbers of S3 as they stand."""
DAY_S = 24 * 3600.0


def waiting_at_a_relay(policy: RelayPolicy, *, trust: str | None) -> Mesh:
    """Alice, linked to a relay that trusts her that far; Bob is away, and unknown to it."""
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), policy=policy)
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    if trust is not None:
        mesh.knows("relay", "alice", trust=trust)
    mesh.join("alice", "relay")
    mesh.run(2)
    return mesh


def kept(mesh: Mesh) -> int:
    return mesh["relay"].core.relay.usage[0]


def why(mesh: Mesh, message: bytes) -> str:
    """What Alice is told of a message that is not delivered."""
    return mesh["alice"].core.planner.why(mesh["alice"].store.outgoing(message))


# --- whose mail ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("serve", "giver", "recipient", "reason"),
    [
        (Serve.NOBODY, "verified", "verified", "no relay that would keep it"),
        (Serve.CONTACTS, None, None, "does not keep mail for these people"),
        (Serve.CONTACTS, "untrusted", None, None),
        (Serve.CONTACTS, None, "untrusted", None),
        (Serve.TRUSTED, "untrusted", "untrusted", "does not keep mail for these people"),
        (Serve.TRUSTED, "trusted", None, None),
        (Serve.TRUSTED, None, "verified", None),
        (Serve.ANYONE, None, None, None),
    ],
)
def test_n15_whose_mail_a_relay_keeps_is_its_owners_choice(
    serve: Serve, giver: str | None, recipient: str | None, reason: str | None
) -> None:
    mesh = waiting_at_a_relay(RelayPolicy(serve=serve), trust=giver)
    if recipient is not None:
        mesh.knows("relay", "bob", trust=recipient)
    message = mesh.send("alice", "bob", "Keep this, please")
    mesh.run(2)
    core = mesh["alice"].core
    assert kept(mesh) == (reason is None)
    assert (mesh["alice"].states()[message] == "relayed") == (reason is None)
    if reason is not None:
        row = mesh["alice"].store.outgoing(message)
        why = (
            core.delivery.refusals[message][0] if message in core.delivery.refusals else core.planner.why(row)
        )
        assert reason in why


def test_n10_in_the_place_of_a_relay_that_turns_the_mail_away_another_is_asked() -> None:
    mesh = Mesh("alice", "bob", "picky", "one", "two", relays=("picky", "one", "two"))
    mesh["picky"].relay = RelayPolicy(serve=Serve.CONTACTS)
    mesh["picky"].crash(0.0)
    relays = tuple(mesh[name].identity.node_id for name in ("picky", "one", "two"))
    mesh["alice"].core.contacts.add("bob", make_uri(mesh["bob"].identity.node_id, None, relays), 0)
    for name in ("picky", "one", "two"):
        mesh.join("alice", name)
    mesh.run(2)
    message = mesh.send("alice", "bob", "two of three")
    mesh.run(5)
    assert [mesh[name].core.relay.usage[0] for name in ("picky", "one", "two")] == [0, 1, 1]
    assert mesh["picky"].core.counters["custody_not_served"] == 1, "and not asked again"
    assert mesh["alice"].states()[message] == "relayed"


# --- how much -----------------------------------------------------------------------------------
def test_s3_a_stranger_leaves_one_message_in_ten_seconds_and_twenty_a_day() -> None:
    mesh = waiting_at_a_relay(S3, trust=None)
    for number in range(30):
        mesh.send("alice", "bob", f"number {number}")
    began, times = mesh.now, []
    while mesh.now < began + 3 * 3600:
        mesh.run(1)
        times += [mesh.now] * (kept(mesh) - len(times))
    assert len(times) == 20, "and no more today"
    assert min(b - a for a, b in pairwise(times)) >= 9
    refused = [event.fields["why"] for event in mesh["alice"].events if event.event == "message_refused"]
    assert all("takes no more from this node for now" in why for why in refused)
    assert any("trying again in 10 s" in why for why in refused), "the seconds that are left"
    assert "trying again in 3600 s" in refused[-1], "the hour"
    mesh.run(1.2 * DAY_S)
    assert kept(mesh) == 30, "the day after it takes the rest"
    assert mesh["relay"].core.counters["custody_too_much"] > 0


@pytest.mark.parametrize(("trust", "a_day"), [("untrusted", 20), ("trusted", 200), ("verified", 250)])
def test_s3_how_many_a_day_depends_on_trust(trust: str, a_day: int) -> None:
    mesh = waiting_at_a_relay(S3, trust=trust)
    for number in range(250):
        mesh.send("alice", "bob", f"number {number}")
    mesh.run(60)
    assert kept(mesh) == a_day, "nobody known has to wait between two messages"


def test_m5_a_million_messages_of_strangers_are_bounded_and_honest_mail_is_kept() -> None:
    """A thousandth of them: `test_m5_custody_of_a_million_junk_messages` has them all."""
    flood(1_000, quota=64_000)


@pytest.mark.fuzz
def test_m5_custody_of_a_million_junk_messages() -> None:
    flood(1_000_000, quota=2_000_000)


def flood(count: int, quota: int) -> None:
    """Every junk message comes from another stranger, as keys are cheap."""
    dice = random.Random(7)
    policy = RelayPolicy(serve=Serve.ANYONE, quota_bytes=quota)
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), policy=policy)
    mesh["relay"].core.wall.offset_s = WALL
    relay, counters = mesh["relay"].core.relay, mesh["relay"].core.counters
    mesh.knows("relay", "alice", trust="trusted")
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    for number in range(count):
        stranger = NodeId(dice.randbytes(32))
        packet = Packet(Context.MESSAGE, dice.randbytes(400), Address(dice.randbytes(16)))
        relay.take(stranger, packet, dice.randbytes(16), remote=False, now=mesh.now)
        if number % 1000 == 999:
            mesh["relay"].core.commit()
    assert relay.usage[1] <= quota
    taken, full = counters["custody_taken"], counters["custody_full"]
    assert taken + full == count and full > count // 2, "refused, and counted"
    assert len(relay._last) <= SENDERS_TIMED
    ((given,),) = mesh["relay"].store._read("SELECT count(*) FROM given")
    assert given <= CUSTODY_GIVEN + 1024
    mesh.join("alice", "relay")
    mesh.run(2)
    messages = [mesh.send("alice", "bob", f"honest {number}") for number in range(20)]
    mesh.run(5)
    assert {mesh["alice"].states()[one] for one in messages} == {"relayed"}, "trusted mail makes room"
    assert counters["custody_evicted"] > 0
    mesh.join("bob", "relay")
    mesh.run(10)
    assert len(mesh["bob"].inbox()) == 20


# --- what nobody can do -------------------------------------------------------------------------
def test_m5_a_made_up_receipt_frees_nothing_and_convinces_nobody() -> None:
    mesh = Mesh("alice", "relay", "bob", "mallory", relays=("relay", "mallory"))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.join("mallory", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "for Bob alone")
    mesh.run(5)
    assert mesh["mallory"].core.relay.usage[0] == 1, "who carries a copy knows its mark"
    relay, mallory = mesh["relay"], mesh["mallory"]
    (held,) = mallory.store.held_for(mesh["bob"].identity.address, limit=9)
    for lie in (bytes(16), held.mark, mallory.core._rng.random_bytes(16)):
        assert receipt_mark(lie) != held.mark
        entry = Delivered(held.prefix, lie).encode()
        mallory.core.forwarder.tell(relay.identity.node_id, Context.DELIVERED, entry)
    mesh.run(2)
    assert relay.core.counters["forged_receipt"] == 3
    assert kept(mesh) == 1 and mesh["alice"].states()[message] == "relayed"
    mesh.leave("mallory")
    mesh.join("bob", "relay")
    mesh.run(10)
    assert mesh["bob"].inbox() == ["for Bob alone"] and mesh["alice"].states()[message] == "delivered"


def test_m5_nobody_claims_custody_in_the_place_of_the_relay_that_was_asked() -> None:
    """Neither the node on the way, who knows the mark, nor a neighbour that was asked nothing."""
    mesh = Mesh("alice", "hop", "relay", "bob", "mallory", relays=("relay",))
    alice, hop, relay = mesh["alice"], mesh["hop"], mesh["relay"]
    alice.core.contacts.add("bob", make_uri(mesh["bob"].identity.node_id, None, (relay.identity.node_id,)), 0)
    mesh.line("alice", "hop", "relay")
    mesh.join("alice", "mallory")
    mesh.run(5)
    relay.core.relay._promise = lambda *_, **__: None  # it is slow to say so
    message = mesh.send("alice", "bob", "by way of hop")
    mesh.run(1)
    mark = alice.store.outgoing(message).delivered_mark
    real = Promise.make(relay.identity, message[:8], mark, memory_only=False)
    lies = [
        Promise.make(hop.identity, message[:8], mark, memory_only=False),
        Promise.make(relay.identity, message[:8], bytes(16), memory_only=False),
        replace(real, relay=relay.identity.node_id, signature=bytes(64)),
        replace(real, flags=1),
    ]
    for lie in lies:
        hop.core.forwarder.tell(alice.identity.node_id, Context.PROMISE, lie.encode())
    mallory = mesh["mallory"].core.forwarder
    mallory.tell(alice.identity.node_id, Context.CUSTODY, Custody([message[:8]]).encode())
    mesh.run(1)
    assert mesh["alice"].states()[message] == "sent"
    assert (alice.core.counters["forged_promise"], alice.core.counters["unasked_custody"]) == (3, 2)
    hop.core.forwarder.tell(alice.identity.node_id, Context.PROMISE, real.encode())
    mesh.run(1)
    assert mesh["alice"].states()[message] == "relayed"


@pytest.mark.parametrize("other", [True, False])
def test_m5_a_relay_that_claims_custody_and_drops_loses_nothing(other: bool) -> None:
    """Another relay has the message too, or else its sender still has it."""
    mesh = Mesh("alice", "liar", "relay", "bob", relays=("liar", "relay") if other else ("liar",))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "liar", "relay", trust="trusted")
    mesh.join("alice", "liar")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "still there")
    mesh.run(2)
    assert mesh["alice"].states()[message] == "relayed"
    mesh["liar"].store.release(message[:8])
    if other:
        mesh.leave("alice")
    mesh.join("relay" if other else "alice", "bob")
    mesh.join("liar", "bob")
    mesh.run(30)
    assert mesh["bob"].inbox() == ["still there"]


def test_m5_what_a_relay_keeps_only_goes_to_where_it_is_addressed() -> None:
    mesh = Mesh("alice", "relay", "bob", "mallory", relays=("relay",))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.join("mallory", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "for Bob alone")
    mesh.run(2)
    mesh["mallory"].core.forwarder.tell(mesh["relay"].identity.node_id, Context.WANT, message[:8])
    mesh.run(2)
    assert mesh["relay"].core.counters["wanted_not_here"] == 1
    assert mesh["mallory"].core.counters["messages_forwarded"] == 0 and mesh["mallory"].inbox() == []


def test_m5_a_relay_that_offers_what_it_does_not_have_delays_a_message_by_seconds() -> None:
    mesh = Mesh("alice", "relay", "bob", "liar", relays=("relay",))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "patience")
    mesh.run(2)
    mesh.join("liar", "bob")
    mesh.run(1)
    offer = Pending(mesh["liar"].identity.address, [message[:8]]).encode()
    mesh["liar"].core.forwarder.tell(mesh["bob"].identity.node_id, Context.PENDING, offer)
    mesh.run(0.1)
    mesh.join("bob", "relay")
    mesh.run(20)
    assert mesh["bob"].inbox() == ["patience"]


# --- copies -------------------------------------------------------------------------------------
def test_n10_a_copy_is_asked_of_one_neighbour_at_a_time() -> None:
    """Two who have the same mail meet a third at once: it gets each message once."""
    mesh = Mesh("alice", "one", "two", "three", "bob", relays=("one", "two", "three"))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "one", "two", trust="trusted")
    mesh.join("alice", "one")
    mesh.join("alice", "two")
    mesh.run(2)
    for number in range(50):
        mesh.send("alice", "bob", f"text {number}")
    mesh.run(5)
    mesh.leave("alice")
    mesh.join("one", "three")
    mesh.join("two", "three")
    mesh.run(5)
    assert mesh["three"].core.relay.usage[0] == 50
    assert mesh["three"].core.counters["copies_known"] == 0
    given = [mesh[name].core.counters["copies_given"] for name in ("one", "two")]
    assert sum(given) == 50


def test_n10_a_copy_that_does_not_come_is_asked_of_another() -> None:
    """The first neighbour is asked, and gone before it answers."""
    mesh = Mesh("alice", "one", "two", "three", "bob", relays=("one", "two", "three"))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "one", "two", trust="trusted")
    mesh.join("alice", "one")
    mesh.join("alice", "two")
    mesh.run(2)
    message = mesh.send("alice", "bob", "once")
    mesh.run(5)
    mesh.leave("alice")
    mesh.join("one", "three")
    mesh.join("two", "three")
    three = mesh["three"].core
    mesh.run(2)
    three.relay._store.release(message[:8])  # as if it had not come
    three.courier._asked.clear()
    for name in ("one", "two"):
        three.courier.take_offer(mesh[name].identity.node_id, [message[:8]], mesh.now)
    assert three.courier._asked[message[:8]].others == [mesh["two"].identity.node_id]
    mesh.part("one", "three")
    mesh.run(1)
    assert three.relay.usage[0] == 1


def test_n10_a_receipt_calls_every_copy_back_at_once() -> None:
    """From relay to relay, also where the message itself is not."""
    mesh = Mesh("alice", "one", "two", "three", "bob", relays=("one", "two", "three"))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "one", trust="trusted")
    mesh.join("alice", "one")
    mesh.line("one", "two", "three")
    mesh.run(2)
    mesh.send("alice", "bob", "once")
    mesh.run(5)
    mesh.leave("alice")
    assert [mesh[name].core.relay.usage[0] for name in ("one", "two", "three")] == [1, 1, 1]
    mesh["two"].store.release(next(iter(mesh["two"].core.courier._items())))  # it had to make room
    mesh.join("bob", "three")
    mesh.run(3)
    assert mesh["bob"].inbox() == ["once"]
    assert [mesh[name].core.relay.usage[0] for name in ("one", "two", "three")] == [0, 0, 0]


def test_s3_strangers_are_asked_for_no_more_copies_than_they_may_leave() -> None:
    """Nothing crosses the link to be refused behind it; the rest comes as time allows."""
    mesh = Mesh("alice", "one", "two", "bob", relays=("one", "two"), policy=S3)
    mesh.knows("one", "alice", trust="verified")
    mesh.knows("alice", "bob")
    mesh.knows("alice", "one", trust="trusted")
    mesh.join("alice", "one")
    mesh.run(2)
    for number in range(5):
        mesh.send("alice", "bob", f"text {number}")
    mesh.run(2)
    mesh.join("one", "two")
    held = []
    for _ in range(5):
        mesh.run(9.9)
        held.append(mesh["two"].core.relay.usage[0])
    assert held == [1, 2, 3, 4, 5]
    assert mesh["one"].core.counters["copies_given"] == 5
    assert mesh["two"].core.counters["custody_too_much"] == 0


@pytest.mark.parametrize("victim", ["one", "two"])
def test_n10_relays_that_are_killed_while_they_compare_go_on_afterwards(victim: str, tmp_path) -> None:
    """On a bad link, where comparing and copying takes minutes."""
    mesh = Mesh("alice", "one", "two", "bob", relays=("one", "two"), folder=tmp_path)
    mesh.knows("alice", "bob")
    mesh.knows("alice", "one", trust="trusted")
    for one, other in (("one", "two"), ("two", "one")):
        mesh.knows(one, other, trust="trusted")
    mesh.join("alice", "one")
    mesh.run(2)
    for number in range(300):
        mesh.send("alice", "bob", f"text {number}")
    mesh.run(5)
    mesh.leave("alice")
    mesh.join("one", "two", DATAGRAM, loss=0.2)
    copied, killed_at = 0, []
    began = mesh.now
    while copied < 300:
        mesh.run(0.5)
        before, copied = copied, mesh["two"].core.relay.usage[0]
        if before < copied < 300 and len(killed_at) < 3:
            mesh.crash(victim)
            mesh.join("one", "two")
            killed_at.append(copied)
        assert mesh.now < began + 600
    assert killed_at, "it was killed in the middle"
    mesh.leave("one")
    mesh.join("two", "bob")
    mesh.run(30)
    assert len(mesh["bob"].inbox()) == 300


def test_s2_of_relays_those_with_a_disk_are_asked_first() -> None:
    """Of four the two; without a disk anywhere, memory is better than nothing."""
    names = ("m0", "d0", "m1", "d1")
    for without in (False, True):
        mesh = Mesh("alice", "bob", *names, relays=names)
        mesh.knows("alice", "bob")
        mesh.knows("alice", *names, trust="trusted")
        for name in names:
            if without or name[0] == "m":
                host = mesh[name]
                host.relay = RelayPolicy(serve=Serve.ANYONE, memory_only=True)
                host.crash(0.0)
            mesh.join("alice", name)
        mesh.run(5)
        mesh.send("alice", "bob", "where it lasts")
        mesh.run(2)
        kept_by = [name for name in names if mesh[name].core.relay.usage[0]]
        assert len(kept_by) == 2 if without else kept_by == ["d0", "d1"]


def test_s2_a_relay_farther_away_says_in_its_promise_that_it_has_no_disk() -> None:
    policy = RelayPolicy(serve=Serve.ANYONE, memory_only=True)
    mesh = Mesh("alice", "hop", "relay", "bob", relays=("relay",), policy=policy)
    link = make_uri(mesh["bob"].identity.node_id, None, (mesh["relay"].identity.node_id,))
    mesh["alice"].core.contacts.add("bob", link, 0)
    mesh.line("alice", "hop", "relay")
    mesh.run(5)
    message = mesh.send("alice", "bob", "by way of hop")
    mesh.run(5)
    assert why(mesh, message).endswith("in memory only")


def test_s2_a_relay_that_is_memory_only_says_so_and_has_nothing_after_a_restart(tmp_path) -> None:
    policy = RelayPolicy(serve=Serve.ANYONE, memory_only=True)
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), policy=policy, folder=tmp_path)
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "not on your disk")
    mesh.run(2)
    relay = mesh["relay"].identity.node_id
    ((_, _, announce),) = [one for one in mesh["alice"].core.router.neighbours() if one[0] == relay]
    assert announce is not None and announce.memory_only
    assert kept(mesh) == 1
    assert why(mesh, message) == "the recipient is away; given to 1 relay, in memory only"
    assert mesh["relay"].store.custody_usage() == (0, 0), "its own database has nothing of it"
    mesh.crash("relay")
    assert kept(mesh) == 0


# --- clocks -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("behind_days", "restarts"),
    [(40, 0), (-40, 0), (56 * 365, 0), (56 * 365, 2)],
    ids=["late", "early", "not set", "not set, and restarted"],
)
def test_s2_a_relay_whose_clock_is_set_keeps_what_it_took_before(
    behind_days: int, restarts: int, tmp_path
) -> None:
    """A Pi has no clock battery: it may take mail before the network tells it the time."""
    mesh = Mesh("alice", "relay", "bob", relays=("relay",), folder=tmp_path)
    relay = mesh["relay"]
    relay.wall = relay.core.wall.offset_s = max(0.0, WALL - behind_days * DAY_S)
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = mesh.send("alice", "bob", "patience")
    mesh.run(2)
    assert mesh["alice"].states()[message] == "relayed" and kept(mesh) == 1
    mesh.leave("alice")
    for _ in range(restarts):
        mesh.crash("relay")
    relay.core.set_wall(WALL)
    relay.core.commit()
    mesh.run(29 * DAY_S)
    assert kept(mesh) == 1
    mesh.run(2 * DAY_S)
    assert kept(mesh) == 0, "and its time ends"


def test_s2_a_relay_keeps_mail_of_a_sender_whose_clock_is_months_late() -> None:
    mesh = waiting_at_a_relay(ANYONE, trust=None)
    mesh["alice"].core.set_wall(WALL - 90 * DAY_S)
    message = mesh.send("alice", "bob", "what day is it?")
    mesh.run(2)
    assert mesh["alice"].states()[message] == "relayed" and kept(mesh) == 1
    mesh.leave("alice")
    mesh.run(29 * DAY_S)
    mesh.join("relay", "bob")
    mesh.run(20)
    assert mesh["bob"].inbox() == ["what day is it?"]


def test_m5_a_relay_does_not_claim_what_its_owner_lets_it_keep_no_more() -> None:
    mesh = waiting_at_a_relay(RelayPolicy(serve=Serve.ANYONE, ttl_s=3600), trust="trusted")
    mesh.part("alice", "relay")
    old = mesh.send("alice", "bob", "two hours ago")
    mesh.run(7200)
    mesh.join("alice", "relay")
    new = mesh.send("alice", "bob", "now")
    mesh.run(5)
    assert mesh["alice"].states() == {old: "sent", new: "relayed"}
    assert "keeps nothing that was sent so long ago" in mesh["alice"].core.delivery.refusals[old][0]
    assert (kept(mesh), mesh["relay"].core.counters["custody_too_old"]) == (1, 1)


def test_the_name_of_a_message_is_that_of_its_object() -> None:
    """What the relay calls a message is what its sender calls it, so that answers find it."""
    mesh = waiting_at_a_relay(ANYONE, trust=None)
    message = mesh.send("alice", "bob", "one name")
    mesh.run(2)
    (held,) = mesh["relay"].store.held_for(mesh["bob"].identity.address, limit=2)
    assert describe(KIND_MESSAGE, held.destination + held.data)[0].id == held.id == message
