"""N8: what is published reaches every subscriber, once, over lines, rings, slow and lossy links, and late."""

import random
from itertools import combinations
from pathlib import Path

import pytest

from nexus_node.base.errors import InputError
from nexus_node.base.limits import PUBLISHED_BURST, SUBSCRIPTIONS_PER_NEIGHBOUR
from nexus_node.crypto.identity import Identity
from nexus_node.engine import publications
from nexus_node.ports.driver import LinkProfile
from nexus_node.ports.store import Keep
from nexus_node.wire.dataobject import ObjectHeader
from nexus_node.wire.packet import Context, Packet
from nexus_node.wire.pub import Mode, Published, Reference, Topic, TopicKind, topic_of

from .mesh import Mesh
from .world import DATAGRAM, NARROW, STREAM, WALL

WIFI = LinkProfile(mtu=4096, bps=5e6, ordered=True)
SLOW = LinkProfile(mtu=255, bps=1200, half_duplex=True)
NEWS = "scope:topic/news"


def publish(mesh: Mesh, who: str, text: str | Reference, topic: str = NEWS, **options) -> bytes:
    object_id, _ = mesh[who].core.notifier.publish(topic_of(topic), text, mesh.now, **options)
    mesh[who].core.commit()
    return object_id


def subscribe(mesh: Mesh, who: str, topic: str = NEWS, mode: Mode = Mode.PUSH) -> None:
    mesh[who].core.notifier.subscribe(topic_of(topic), mode, mesh.now)
    mesh[who].core.commit()


def heard(mesh: Mesh, who: str) -> list[str]:
    """The texts that node's owner was told of, in turn."""
    return [str(event.fields["text"]) for event in mesh[who].events if event.event == "published"]


def count(mesh: Mesh, name: str) -> int:
    return sum(host.core.counters[name] for host in mesh.hosts.values())


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("profile", [STREAM, DATAGRAM, WIFI, SLOW])
def test_n8_what_is_published_reaches_a_subscriber_over_a_line(profile, mode):
    mesh = Mesh("a", "b", "c", "d")
    mesh.line("a", "b", "c", "d", profile=profile)
    subscribe(mesh, "d", mode=mode)
    mesh.run(600)
    publish(mesh, "a", "one")
    mesh.run(1200)
    assert heard(mesh, "d") == ["one"]
    assert heard(mesh, "a") == heard(mesh, "b") == heard(mesh, "c") == []
    assert count(mesh, "invalid_hints") == 0


def test_n8_push_arrives_at_once_and_a_digest_within_a_minute():
    for mode, at_once in ((Mode.PUSH, True), (Mode.HINT, True), (Mode.DIGEST, False)):
        mesh = Mesh("a", "b")
        mesh.join("a", "b")
        subscribe(mesh, "b", mode=mode)
        mesh.run(1)
        publish(mesh, "a", "one")
        publish(mesh, "a", "two")
        mesh.run(1)
        assert (heard(mesh, "b") == ["one", "two"]) is at_once
        mesh.run(60)
        assert heard(mesh, "b") == ["one", "two"]


@pytest.mark.parametrize(
    ("subscribed", "published", "taken"),
    [
        ("key:01ff", "key:01ff", True),
        ("key:01ff", "key:01ff00", False),
        ("prefix:01", "key:01ff", True),
        ("prefix:01ff", "key:01ff", True),
        ("prefix:02", "key:01ff", False),
        ("scope:geo/de/berlin", "scope:geo/de/berlin", True),
        ("scope:geo/de", "scope:geo/de/berlin", False),
        ("scope:geo/de/*", "scope:geo/de/berlin/mitte", True),
        ("scope:geo/de/*", "scope:geo/de", True),
        ("scope:geo/d/*", "scope:geo/de", False),
        ("scope:topic/de/*", "scope:geo/de/berlin", False),
        ("scope:geo/*", "scope:geo/fr", True),
        ("node", "key:01ff", True),
        ("node", "scope:geo/fr", True),
    ],
)
def test_n8_topics(subscribed, published, taken):
    mesh = Mesh("a", "b", "c")
    mesh.line("a", "b", "c")
    node = f"node:{mesh['a'].identity.address.hex()}"
    subscribe(mesh, "c", node if subscribed == "node" else subscribed)
    mesh.run(2)
    publish(mesh, "a", "text", published)
    mesh.run(2)
    assert heard(mesh, "c") == ["text"] * taken
    assert len(mesh["b"].core.notifier._publications.known) == taken  # what nobody wants goes nowhere


def test_n8_in_a_full_mesh_it_comes_once_and_not_over_each_link_again():
    names = tuple("abcdef")
    mesh = Mesh(*names)
    for one, other in combinations(names, 2):
        mesh.join(one, other)
    for name in names[1:]:
        subscribe(mesh, name)
    mesh.run(10)
    for number in range(20):
        publish(mesh, "a", f"{number}")
        mesh.run(1)
    for name in names[1:]:
        assert heard(mesh, name) == [f"{number}" for number in range(20)]
    assert count(mesh, "invalid_hints") == 0
    assert count(mesh, "published_again") <= 20 * 15  # at most once a link


def test_n8_a_subscription_that_has_ended_leaves_nothing_behind_in_a_ring():
    names = tuple("abcdef")
    mesh = Mesh(*names)
    mesh.line(*names, "a")
    subscribe(mesh, "a")
    mesh.run(10)
    assert all(mesh[name].core.notifier._wanted.topics() for name in names)
    mesh["a"].core.notifier.unsubscribe(topic_of(NEWS))
    mesh.run(10)
    assert [mesh[name].core.notifier._wanted.topics() for name in names] == [[]] * 6
    publish(mesh, "d", "late")
    mesh.run(10)
    assert heard(mesh, "a") == []


def test_n8_a_subscription_goes_eight_nodes_far():
    names = tuple("abcdefghijk")
    mesh = Mesh(*names)
    mesh.line(*names)
    subscribe(mesh, "a")
    mesh.run(10)
    assert [name for name in names if mesh[name].core.notifier._wanted.topics()] == list("abcdefghi")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_n8_nothing_is_lost_on_links_that_lose(loss, mode):
    for seed in range(3):
        mesh = Mesh("a", "b", "c", seed=seed)
        mesh.join("a", "b", DATAGRAM, loss=loss, repeat=0.1)
        mesh.join("b", "c", NARROW, loss=loss, repeat=0.1)
        subscribe(mesh, "c", mode=mode)
        mesh.run(600)
        texts = {f"{seed} {number}" for number in range(10)}
        for text in sorted(texts):
            publish(mesh, "a", text)
            mesh.run(60)
        mesh.run(6000)
        assert sorted(heard(mesh, "c")) == sorted(texts)


@pytest.mark.parametrize("restarts", [False, True])
def test_n8_who_was_away_within_the_time_to_live_lacks_nothing(tmp_path: Path, restarts: bool):
    mesh = Mesh("a", "b", "c", folder=tmp_path)
    mesh.line("a", "b", "c")
    subscribe(mesh, "c")
    mesh.run(10)
    publish(mesh, "a", "before")
    mesh.run(10)
    mesh.part("b", "c")
    sent = ["before"]
    for turn in range(6):
        sent.append(f"turn {turn}")
        publish(mesh, "a", sent[-1])
        mesh.run(14400)
        if restarts and turn == 2:
            mesh.crash("b")
            mesh.join("a", "b")
    if not restarts:
        mesh.leave("a")  # what b holds is enough
    mesh.join("b", "c")
    mesh.run(10)
    assert sorted(heard(mesh, "c")) == sorted(sent)
    mesh.crash("c")
    mesh.join("b", "c")
    mesh.run(10)
    assert sorted(heard(mesh, "c")) == sorted(sent)  # and nothing twice


def test_n8_what_is_over_is_gone_and_not_handed_on():
    mesh = Mesh("a", "b", "c")
    mesh.join("a", "b")
    subscribe(mesh, "b")
    mesh.run(2)
    publish(mesh, "a", "short", ttl_s=3600)
    publish(mesh, "a", "long", ttl_s=7200)
    mesh.run(4000)
    assert heard(mesh, "b") == ["short", "long"]
    subscribe(mesh, "c")
    mesh.join("b", "c")
    mesh.run(10)
    assert heard(mesh, "c") == ["long"]
    assert [len(list(mesh[name].store.objects())) for name in "abc"] == [1, 1, 1]
    mesh.run(4000)
    assert [len(list(mesh[name].store.objects())) for name in "abc"] == [0, 0, 0]


def test_n8_a_late_subscriber_is_told_what_is_there():
    mesh = Mesh("a", "b")
    mesh.join("a", "b")
    mesh.run(1)
    publish(mesh, "a", "early")
    mesh.run(1)
    subscribe(mesh, "b")
    mesh.run(1)
    assert heard(mesh, "b") == ["early"]


def hints_on(mesh: Mesh, a: str, b: str, text_count: int) -> list[int]:
    """The sizes of the frames on that wire from `a`, while it published so many."""
    wire = mesh.wires[frozenset((a, b))]
    before = len(wire.frames)
    for number in range(text_count):
        publish(mesh, a, f"{number} " + "x" * 400)
    mesh.run(0.001)
    return [len(frame) for frame in wire.frames[before:]]


def test_n8_a_hint_on_a_slow_link_takes_at_most_48_bytes_of_air():
    mesh = Mesh("a", "b")
    mesh.join("a", "b", SLOW)
    subscribe(mesh, "b")
    mesh.run(300)
    sizes = hints_on(mesh, "a", "b", 1)
    assert sizes[0] == 39  # the hint: 3 + 16 + 1 + 3 + 16
    assert max(sizes[:1]) <= 48
    mesh.run(60)
    assert len(heard(mesh, "b")) == 1


def test_n8_a_digest_takes_at_most_50_bytes_an_item():
    for items in (1, 2, 10):
        mesh = Mesh("a", "b")
        mesh.join("a", "b", SLOW)
        subscribe(mesh, "b", mode=Mode.DIGEST)
        mesh.run(300)
        wire = mesh.wires[frozenset(("a", "b"))]
        before = len(wire.frames)
        for number in range(items):
            publish(mesh, "a", f"{number}")
        mesh.run(59.9)
        assert [len(frame) for frame in wire.frames[before:] if len(frame) > 30] == []  # pings are shorter
        mesh.run(0.2)
        sizes = [len(frame) for frame in wire.frames[before:] if len(frame) > 30]
        assert sizes[0] == 23 + 16 * items
        assert sizes[0] / items <= 50


def test_n5_under_10_kbps_nothing_is_pushed_and_hints_have_two_percent():
    mesh = Mesh("a", "b")
    mesh.join("a", "b", SLOW)
    subscribe(mesh, "b")
    mesh.run(300)
    sent: list[int] = []
    take = mesh["b"].core._dispatcher._takers
    for context in (Context.HINT, Context.PUBLISHED):
        whole = take[context]
        take[context] = lambda peer, packet, now, whole=whole: (
            sent.append(packet.context),
            whole(peer, packet, now),
        )
    for number in range(5):
        publish(mesh, "a", f"{number}")
    mesh.run(120)
    assert sent[0] == Context.HINT
    assert len(heard(mesh, "b")) == 5
    budget = mesh["a"].core.notifier.neighbours.get(mesh["b"].identity.node_id).budget
    assert budget is not None and budget.rate == pytest.approx(3.0)


def told_how(mesh: Mesh, who: str) -> list[Context]:
    """Of each thing that this node is told from now on, whether by a hint or whole."""
    said: list[Context] = []
    take = mesh[who].core._dispatcher._takers
    for context in (Context.HINT, Context.PUBLISHED):
        whole = take[context]
        take[context] = lambda peer, packet, now, whole=whole: (
            said.append(packet.context),
            whole(peer, packet, now),
        )
    return said


def test_n8_whole_goes_what_costs_no_more_than_hint_question_and_answer():
    """To who lacks all that it is told of, everything; to who has part of it already, what is small."""
    mesh = Mesh("a", "b")
    mesh.join("a", "b", WIFI)
    subscribe(mesh, "b")
    mesh.run(1)
    said = told_how(mesh, "b")
    for text in ("x", "x" * 3000):
        publish(mesh, "a", text)
        mesh.run(1)
    assert said == [Context.PUBLISHED] * 2
    said.clear()
    neighbour = mesh["a"].core.notifier.neighbours.get(mesh["b"].identity.node_id)
    whole, hinted = [Context.PUBLISHED], [Context.HINT, Context.PUBLISHED]
    for worth, size, expected in (
        (0.5, 1, hinted),
        (0.8, 100, whole),
        (0.8, 300, hinted),
        (0.9, 300, whole),
        (0.9, 800, hinted),
    ):
        neighbour.worth = worth
        publish(mesh, "a", "y" * size)
        mesh.run(1)
        assert said == expected, (worth, size)
        said.clear()
    assert len(heard(mesh, "b")) == 7


def test_n8_a_hundred_publishers_and_a_thousand_subscriptions_are_bounded():
    mesh = Mesh("hub", "sub")
    mesh.join("hub", "sub")
    for number in range(1000):
        subscribe(mesh, "sub", f"key:{number:04x}")
    mesh.run(30)
    hub = mesh["hub"].core.notifier
    sub = mesh["sub"].core.notifier
    assert len(hub._wanted.of(mesh["sub"].identity.node_id)) == 1000
    before = sum(wire.bytes for wire in mesh.wires.values())
    dice = random.Random(7)
    for number in range(100):
        publisher = Identity.from_seed(number.to_bytes(32, "big"))
        for turn in range(5):
            topic = Topic(TopicKind.KEY, dice.randrange(1000).to_bytes(2, "big"))
            one = Published.make(publisher, int(WALL + mesh.now), 3600, topic, f"{number} {turn}")
            hub._keep(one, mesh.now, int((WALL + mesh.now + 3600) * 1000), Keep.OWNED)
    mesh.run(30)
    assert len(heard(mesh, "sub")) == 500
    assert len(sub._publications.known) == 500
    carried = sum(wire.bytes for wire in mesh.wires.values()) - before
    assert carried / 500 < 350
    for number in range(1000, SUBSCRIPTIONS_PER_NEIGHBOUR):
        subscribe(mesh, "sub", f"key:{number:04x}")
    with pytest.raises(InputError, match="1024 subscriptions at most"):
        subscribe(mesh, "sub", "key:ffff")


def test_n8_a_publisher_that_floods_is_slowed_down_and_nothing_of_others_is_late():
    mesh = Mesh("a", "b", "c", "d")
    mesh.join("a", "b")
    mesh.join("d", "b")
    mesh.join("b", "c")
    subscribe(mesh, "c")
    mesh.run(2)
    for number in range(PUBLISHED_BURST + 20):
        publish(mesh, "a", f"flood {number}")
    publish(mesh, "d", "other")
    mesh.run(2)
    assert "other" in heard(mesh, "c")
    assert len(heard(mesh, "c")) == PUBLISHED_BURST + 1
    mesh.run(400)
    assert len(heard(mesh, "c")) == PUBLISHED_BURST + 20 + 1  # late, but not lost


def forge(mesh: Mesh, peer: str, to: str, data: bytes) -> None:
    """Hand over a PUBLISHED packet as if that neighbour had sent it."""
    core = mesh[to].core
    link = core.router.link_to(mesh[peer].identity.node_id)
    core._received(link, [(1, Packet(Context.PUBLISHED, data).encode())], mesh.now)


def test_n8_what_does_not_verify_counts_against_the_neighbour_and_its_hints_are_passed_over():
    mesh = Mesh("a", "b", "c")
    mesh.line("a", "b", "c")
    subscribe(mesh, "c")
    mesh.run(2)
    good = Published.make(mesh["a"].identity, int(WALL), 3600, topic_of(NEWS), "good").encode()
    for number in range(20):
        forged = bytearray(good)
        forged[-1 - number] ^= 1
        forge(mesh, "b", "c", bytes(forged))
    foreign = Published.make(mesh["a"].identity, int(WALL), 3600, topic_of("key:99"), "else").encode()
    forge(mesh, "b", "c", foreign)
    theirs = Topic(TopicKind.NODE, mesh["b"].identity.address)
    subscribe(mesh, "c", str(theirs), Mode.HINT)
    forge(mesh, "b", "c", Published.make(mesh["a"].identity, int(WALL), 3600, theirs, "lie").encode())
    mesh.run(1)
    counters = mesh["c"].core.counters
    assert counters["forged_published"] == 20
    assert counters["published_unasked"] == 2
    assert counters["invalid_hints"] == 22
    assert heard(mesh, "c") == []
    subscribe(mesh, "c", mode=Mode.HINT)
    mesh.run(1)
    publish(mesh, "b", "hinted")
    mesh.run(1)
    assert heard(mesh, "c") == []
    assert counters["hints_passed_over"] == 1
    mesh.run(200)
    publish(mesh, "b", "forgiven")
    mesh.run(1)
    assert "forgiven" in heard(mesh, "c")


def test_n8_what_was_published_in_the_future_or_is_over_is_not_taken():
    mesh = Mesh("a", "b")
    mesh.join("a", "b")
    subscribe(mesh, "b")
    mesh.run(1)
    for time in (int(WALL) + 2 * 86400, int(WALL) - 7200):
        forge(mesh, "a", "b", Published.make(mesh["a"].identity, time, 3600, topic_of(NEWS), "x").encode())
    mesh.run(1)
    assert heard(mesh, "b") == []
    assert mesh["b"].core.counters["published_expired"] == 2


def test_n8_subscriptions_survive_a_restart(tmp_path: Path):
    mesh = Mesh("a", "b", folder=tmp_path)
    mesh.join("a", "b")
    subscribe(mesh, "b", mode=Mode.HINT)
    mesh.run(1)
    mesh.crash("b")
    assert mesh["b"].core.notifier.subscriptions() == [(topic_of(NEWS), Mode.HINT)]
    mesh.join("a", "b")
    mesh.run(1)
    publish(mesh, "a", "after")
    mesh.run(1)
    assert heard(mesh, "b") == ["after"]


def test_n8_a_publisher_needs_a_clock_that_is_set_and_a_topic_of_its_own():
    mesh = Mesh("a", "b")
    for topic, words in (
        ("prefix:01", "takes in many topics"),
        ("scope:geo/de/*", "takes in many topics"),
        (f"node:{mesh['b'].identity.address.hex()}", "only that node itself"),
    ):
        with pytest.raises(InputError, match=words):
            publish(mesh, "a", "x", topic)
    with pytest.raises(InputError, match="3800 can be published"):
        publish(mesh, "a", "x" * 3801)
    with pytest.raises(InputError, match="is not subscribed"):
        mesh["a"].core.notifier.unsubscribe(topic_of(NEWS))
    mesh["a"].core.wall.offset_s = 0.0
    with pytest.raises(InputError, match="clock is not set"):
        publish(mesh, "a", "x")


def put(mesh: Mesh, who: str, content: bytes, **options) -> Reference:
    """Put an object, to be pointed to."""
    stored = mesh[who].core.objects.put(content, now_ms=0, **options)
    return Reference(ObjectHeader(stored.kind, stored.size, stored.root), stored.min_bandwidth)


def test_n8_an_object_that_is_pointed_to_is_fetched_by_who_has_subscribed_and_nobody_else():
    mesh = Mesh("a", "b", "c")
    mesh.join("a", "b", WIFI)
    mesh.join("b", "c", SLOW)
    subscribe(mesh, "c")
    mesh.run(300)
    content = random.Random(1).randbytes(100_000)
    refers = put(mesh, "a", content, min_bandwidth=10_000)
    publish(mesh, "a", refers)
    mesh.run(300)
    assert [event.fields["refers"] for event in mesh["c"].events if event.event == "published"] == [
        refers.header.id.hex()
    ]
    stored = mesh["c"].store.get_object(refers.header.id)
    assert stored is None or stored.chunks_have == 0  # the way is too slow for it
    mesh.part("b", "c")
    del mesh.wires[frozenset(("b", "c"))]
    mesh.join("b", "c", WIFI)
    mesh.run(700)
    assert b"".join(mesh["c"].store.read_object(refers.header.id)) == content
    assert "object_arrived" in [event.event for event in mesh["c"].events]
    assert mesh["b"].store.get_object(refers.header.id) is None


def test_n8_pointing_to_what_somebody_else_has_makes_it_not_public():
    mesh = Mesh("a", "b")
    mesh.join("a", "b")
    subscribe(mesh, "a")
    mesh.run(1)
    secret = put(mesh, "a", b"my own" * 2000)
    publish(mesh, "b", secret)
    mesh.run(1)
    assert mesh["a"].core.notifier.served(secret.header.id[:8], mesh["b"].identity.address) is None
    publish(mesh, "a", secret)
    assert mesh["a"].core.notifier.served(secret.header.id[:8], mesh["b"].identity.address) is not None


@pytest.mark.parametrize("mode", [Mode.HINT, Mode.DIGEST])
def test_n8_more_than_can_be_asked_for_at_a_time_comes_all_the_same(mode):
    mesh = Mesh("a", "b")
    hub = mesh["a"].core.notifier
    for number in range(2000):
        publisher = Identity.from_seed((number % 50).to_bytes(32, "big"))
        one = Published.make(publisher, int(WALL), 86_400, topic_of(NEWS), f"{number}")
        hub._keep(one, mesh.now, int((WALL + 86_400) * 1000), Keep.OWNED)
    mesh.join("a", "b")
    subscribe(mesh, "b", mode=mode)
    mesh.run(3000)
    assert len(heard(mesh, "b")) == 2000


def test_n5_neighbours_on_one_medium_share_its_two_percent():
    mesh = Mesh("a", "b", "c", "d")
    core = mesh["a"].core
    air = LinkProfile(mtu=255, bps=1200, half_duplex=True, shared=True)
    medium = core.media[core.carrier_up(air, "air", dialed=False, now=0.0)]
    links = [medium._link_with(mesh[name].identity.node_id, dialed=True, now=0.0) for name in "bcd"]
    budgets = [core.notifier.neighbours.budget_of(link, 0.0) for link in links]
    assert budgets[0] is budgets[1] is budgets[2]
    assert budgets[0].rate == pytest.approx(3.0)


def test_n8_what_others_publish_pushes_out_nothing_of_this_node_s_own(monkeypatch):
    monkeypatch.setattr(publications, "PUBLICATIONS_MAX", 20)
    mesh = Mesh("a", "b")
    mesh.join("a", "b")
    subscribe(mesh, "b")
    mesh.run(1)
    publish(mesh, "b", "mine", NEWS)
    for number in range(30):
        publish(mesh, "a", f"theirs {number}")
        mesh.run(0.1)
    texts = [one.what for _, one in mesh["b"].core.notifier.published()]
    assert len(texts) == 20
    assert texts[0] == "mine"
    assert texts[1:] == [f"theirs {number}" for number in range(11, 30)]
    for number in range(25):
        publish(mesh, "b", f"own {number}")
        mesh.run(10)
    texts = [one.what for _, one in mesh["b"].core.notifier.published()]
    assert texts == [f"own {number}" for number in range(5, 25)]  # nothing else is left to go
