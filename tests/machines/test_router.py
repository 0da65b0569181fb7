"""Networks of routers: paths without configuration, never a loop, found again when links go (N4, N5)."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.limits import (
    ANNOUNCES_BURST,
    DESTINATIONS_MAX,
    PATH_REQUESTS_BURST,
    PATH_REQUESTS_SEEN,
    PATHS_WANTED,
)
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto import paths
from nexus_node.proto.link import Link
from nexus_node.proto.paths import ANNOUNCE_EVERY_S, GONE_AFTER_S
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.announce import Announce, Serve, parse_announce_untrusted
from nexus_node.wire.packet import Context, Packet, parse_packet_untrusted
from nexus_node.wire.pathcost import UNREACHABLE, Hop, PathCost
from nexus_node.wire.routing import PathRequest, parse_paths_lost_untrusted

from .routers import FRAME_OVERHEAD, IP, RADIO, TCP, Net, identity
from .world import SeededRng

SEEDS = st.integers(0, 2**32 - 1)
FAST = Hop(8, 0.5, 1e9, 1400)


def chaos(net: Net, dice: random.Random, *, restarts: bool) -> None:
    """One thing that happens to networks."""
    a, b = sorted(dice.choice(sorted(net.edges, key=sorted)))
    match dice.randrange(6 if restarts else 5):
        case 0:
            net.cut(a, b, apart=dice.choice((0.0, 0.1, 5.0)))
        case 1:
            net.up(a, b)
        case 2 | 3:
            net.retune(a, b, net.speed(3))
        case 4:
            for node in net.nodes:
                node.router.requests.want(identity(dice.randrange(len(net.nodes))).address, net.now)
        case 5:
            net.restart(dice.randrange(len(net.nodes)), forget=dice.random() < 0.3)


def storm(seed: int, *, count: int, steps: int, restarts: bool) -> Net:
    dice = random.Random(seed)
    net = Net(count, seed)
    net.after = net.no_loops
    net.random_graph(0.3, delay=dice.choice((0.001, 0.01, 0.2)), loss=dice.choice((0.0, 0.1, 0.4)), low=4)
    for _ in range(steps):
        net.run(dice.choice((0.0, 0.02, 0.3, 2.0)))
        chaos(net, dice, restarts=restarts)
    net.run(3)
    return net


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_n4_never_a_loop_whatever_is_lost_late_or_dearer(seed: int) -> None:
    storm(seed, count=random.Random(seed).randrange(3, 9), steps=25, restarts=False)


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_n4_never_a_loop_though_nodes_forget(seed: int) -> None:
    storm(seed, count=random.Random(seed).randrange(3, 8), steps=25, restarts=True)


@pytest.mark.parametrize("seed", range(5))
def test_n4_never_a_loop_though_tables_are_full(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Destinations are pushed out and come back all the time; what was told of them is not forgotten."""
    monkeypatch.setattr(paths, "DESTINATIONS_MAX", 4)
    net = storm(seed, count=8, steps=20, restarts=False)
    assert sum(node.counters["destinations_full"] for node in net.nodes) > 10


@given(seed=SEEDS, count=st.integers(2, 12))
@settings(max_examples=15, deadline=None)
def test_n4_every_pair_finds_a_path(seed: int, count: int) -> None:
    net = Net(count, seed)
    net.after = net.no_loops
    net.random_graph(0.2)
    net.run(2)
    for a, b in itertools.permutations(range(count), 2):
        assert net.way(a, b) is not None


# --- links go -----------------------------------------------------------------------------------
def use_all(net: Net) -> None:
    for node in net.nodes:
        for goal in range(len(net.nodes)):
            if goal != node.number:
                node.router.route(identity(goal).address, net.now)


def recovery(net: Net, most: float) -> float:
    """Seconds until every pair that links join has a way again."""
    start = net.now
    while any(net.way(a, b) is None for a, b in net.connected()):
        assert net.now < start + most, [pair for pair in net.connected() if net.way(*pair) is None]
        net.run(0.02)
    return net.now - start


@given(seed=SEEDS, count=st.integers(3, 12))
@settings(max_examples=25, deadline=None)
def test_n4_paths_in_use_are_found_again_within_two_seconds(seed: int, count: int) -> None:
    net = Net(count, seed)
    net.random_graph(0.25)
    net.after = net.no_loops
    net.run(2 + net.dice.random())
    for _ in range(3):
        use_all(net)
        net.cut(*net.dice.choice(sorted(sorted(pair) for pair in net.edges)))
        net.run(0.001)
        recovery(net, 2.0)
        net.run(net.dice.choice((0.0, 0.3, 10.0)))


@pytest.mark.parametrize("count", [4, 7, 12])
def test_n4_a_ring_survives_any_node(count: int) -> None:
    for gone in range(count):
        net = Net(count, gone)
        for number in range(count):
            net.join(number, (number + 1) % count)
        net.after = net.no_loops
        net.run(5)
        use_all(net)
        net.kill(gone)
        net.run(0.001)
        recovery(net, 2.0)


@given(seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_n4_a_node_that_moves_is_reachable_again_at_once(seed: int) -> None:
    net = Net(7, seed)
    net.after = net.no_loops
    for number in range(5):
        net.join(number, number + 1, net.speed())
    net.join(6, net.dice.randrange(6))
    net.run(5)
    for _ in range(4):
        use_all(net)
        (old,) = net.nodes[6].links
        new = net.dice.choice([number for number in range(6) if number != old])
        net.cut(old, 6)
        net.join(new, 6)
        net.run(0.001)
        recovery(net, 2.0)
        net.run(net.dice.random())


@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_n4_lost_packets_are_made_good_within_two_minutes(seed: int) -> None:
    """Nothing about paths is acknowledged: whoever needs one asks again, and who gets a packet that cannot go
    on says so."""
    net = Net(6, seed)
    net.random_graph(0.3, loss=0.1)
    net.run(2)
    for _ in range(3):
        net.cut(*net.dice.choice(sorted(sorted(pair) for pair in net.edges)))
        for _ in range(600):
            for a, b in net.connected():
                send_along(net, a, b)
            if all(net.way(a, b) for a, b in net.connected()):
                break
            net.run(0.2)
        assert all(net.way(a, b) for a, b in net.connected())


def send_along(net: Net, start: int, goal: int) -> None:
    """Follow the next hops as a message does; where it cannot go on, the neighbour before hears of it."""
    address, before, at = identity(goal).address, None, start
    while at != goal:
        router = net.nodes[at].router
        route = router.route(address, net.now)
        if route is None:
            router.requests.want(address, net.now)
            if before is not None:
                router.no_path(identity(before).node_id, address)
            return
        after = net.number_of[route.link.peer]
        if not net.alive(at, after):
            return
        before, at = at, after


# --- nodes forget -------------------------------------------------------------------------------
def line(*profiles: LinkProfile, seed: int = 0) -> Net:
    net = Net(len(profiles) + 1, seed)
    for number, profile in enumerate(profiles):
        net.join(number, number + 1, profile)
    return net


def packets(net: Net, context: Context, *, sender: int | None = None) -> list[Packet]:
    found = (parse_packet_untrusted(body) for a, _, body in net.seen if sender in (None, a))
    return [packet for packet in found if packet.context == context]


def sequences(net: Net, number: int) -> list[int]:
    """Those a node has given out, in order."""
    found = [parse_announce_untrusted(one.data)[1] for one in packets(net, Context.ANNOUNCE, sender=number)]
    return [one.sequence for one in found if one.node_id == identity(number).node_id]


def test_n4_sequences_rise_over_restarts() -> None:
    net = line(IP)
    net.nodes[0].store = MemoryStore(10**6)
    for _ in range(20):
        net.restart(0)
        net.run(ANNOUNCE_EVERY_S * net.dice.randrange(1, 4))
    seen = sequences(net, 0)
    assert seen == sorted(seen) and len(set(seen)) > 20


def test_n4_a_sequence_is_reserved_on_disk_before_it_is_used() -> None:
    net = line(IP)
    for _ in range(600):
        net.cut(0, 1)
        net.up(0, 1)
        net.seen.clear()
        net.run(0.6)
        reserved = int.from_bytes(net.nodes[0].store.facts["announce_sequence"], "little")
        assert reserved >= max(sequences(net, 0))
    assert max(sequences(net, 0)) > 2 * 256


def test_n4_a_node_that_lost_its_memory_recovers_by_itself() -> None:
    net = line(IP, IP, IP)
    net.run(4 * ANNOUNCE_EVERY_S)
    net.restart(0, forget=True)
    net.run(3)
    assert net.way(3, 0) is not None and net.way(0, 3) is not None
    assert sequences(net, 0)[-1] > 5


def test_n4_it_recovers_though_its_neighbours_have_lost_theirs_too() -> None:
    net = line(IP, IP, IP, IP)
    net.run(6 * ANNOUNCE_EVERY_S)
    for number in (0, 1, 2):
        net.restart(number, forget=True)
    net.run(5)
    assert net.way(4, 0) is not None and net.way(4, 1) is not None


def test_m5_its_own_announce_sent_back_to_a_node_moves_nothing() -> None:
    net = line(IP)
    net.run(5)
    own = next(one for one in reversed(packets(net, Context.ANNOUNCE, sender=0)))
    before = sequences(net, 0)
    for _ in range(50):
        net.hand(0, 1, own)
        net.run(0.1)
    last = Announce.make(identity(0), 2**32 - 1, Serve.NOBODY, memory_only=False)
    net.hand(0, 1, Packet(Context.ANNOUNCE, last.encode(PathCost())))
    net.run(5)
    assert sequences(net, 0) == before


@pytest.mark.parametrize(
    ("sequence", "after"), [(0xFFFF0000, 0xFFFF0001), (0xFFFF0001, None), (2**32 - 1, None)]
)
def test_m5_a_sequence_at_its_end_stops_no_node(sequence: int, after: int | None) -> None:
    """Only who has stolen the key can sign such a one."""
    net = line(IP)
    net.run(5)
    net.seen.clear()
    stolen = Announce.make(identity(0), sequence, Serve.NOBODY, memory_only=False)
    net.hand(0, 1, Packet(Context.ANNOUNCE, stolen.encode(PathCost())))
    net.run(5)
    assert sequences(net, 0) == ([after] if after is not None else [])


# --- time and loss ------------------------------------------------------------------------------
def test_n4_a_destination_gone_is_told() -> None:
    net = line(IP, IP, IP)
    net.run(5)
    net.seen.clear()
    net.cut(2, 3)
    net.run(0.05)
    gone = identity(3).address
    assert all(node.router.route(gone, net.now) is None for node in net.nodes[:3])
    for sender in (1, 2):
        (lost,) = packets(net, Context.PATH_LOST, sender=sender)[:1]
        assert parse_paths_lost_untrusted(lost.data) == [gone]


def test_n4_announces_every_half_hour_keep_paths_alive_and_silence_ends_them() -> None:
    net = line(IP, IP)
    net.run(5)
    net.seen.clear()
    net.run(10 * ANNOUNCE_EVERY_S)
    assert len(sequences(net, 0)) == 10
    assert net.way(2, 0) is not None
    net.nodes[0].router.expire = lambda now: None  # it says nothing any more, though its link stays
    net.run(GONE_AFTER_S + ANNOUNCE_EVERY_S)
    assert net.nodes[2].router.paths.known(identity(0).address) is None
    net.no_loops()


def test_n4_a_new_node_and_a_changed_cost_are_announced_at_once() -> None:
    net = line(IP, IP)
    net.run(5)
    net.seen.clear()
    net.retune(0, 1, LinkProfile(mtu=1400, bps=IP.bps * 0.95))  # dearer by less than a quarter
    net.run(2)
    assert not net.seen
    net.retune(0, 1, LinkProfile(mtu=1400, bps=IP.bps / 4))
    net.run(2)
    told = [parse_announce_untrusted(one.data) for one in packets(net, Context.ANNOUNCE, sender=1)]
    assert {announce.node_id for _, announce in told} == {identity(0).node_id}


def test_n4_a_neighbour_that_comes_has_nobody_announce_anew() -> None:
    net = Net(6)
    for number in range(4):
        net.join(number, number + 1)
    net.run(5)
    before = {number: max(sequences(net, number)) for number in range(5)}
    net.seen.clear()
    net.join(4, 5)  # a newcomer at the end, and a second way round at the beginning
    net.join(0, 4)
    net.run(5)
    assert {number: max([before[number], *sequences(net, number)]) for number in range(5)} == before
    assert all(net.way(a, b) for a in range(6) for b in range(6) if a != b)
    assert net.way(1, 4) == [1, 0, 4] and net.way(0, 5) == [0, 4, 5]
    net.no_loops()


def test_n5_announces_in_their_time_share_frames_on_a_wire_and_those_that_mend_do_not_wait() -> None:
    leaves = 40
    net = Net(leaves + 2)  # 0 in the middle; the last behind leaf 1
    for number in range(1, leaves + 1):
        net.join(0, number)
    net.join(1, leaves + 1)
    net.run(2 * ANNOUNCE_EVERY_S)
    frames, told = net.frames[0, leaves], len(packets(net, Context.ANNOUNCE, sender=0))
    net.run(4 * ANNOUNCE_EVERY_S)
    told = (len(packets(net, Context.ANNOUNCE, sender=0)) - told) / leaves / 4
    frames = (net.frames[0, leaves] - frames) / 4
    assert told >= leaves  # each about all others and the middle itself
    assert frames < told / 2
    far = identity(leaves + 1).address
    net.cut(1, leaves + 1)
    net.run(0.1)
    assert net.nodes[leaves].router.paths.best(far) is None
    net.up(1, leaves + 1)
    net.run(1.5)
    assert net.way(leaves, leaves + 1) is not None


def test_n4_a_slow_link_to_the_neighbour_itself_gives_way_to_two_fast_ones() -> None:
    net = line(IP, IP)
    net.join(0, 2, RADIO)
    assert net.way(0, 2) == [0, 2]  # before any announce
    net.run(10)
    assert net.way(0, 2) == [0, 1, 2]
    route = net.nodes[0].router.route(identity(2).address, net.now)
    assert route.link is net.nodes[0].links[1] and route.path.via == identity(1).node_id
    net.cut(0, 1)
    net.run(0.1)
    route = net.nodes[0].router.route(identity(2).address, net.now)
    assert route.link is net.nodes[0].links[2] and route.path is None


# --- what relays leave alone --------------------------------------------------------------------
STRANGER = identity(99)
"""A node behind node 0, which says what the test says."""


def knowing(net: Net) -> list[int]:
    return [one.number for one in net.nodes if one.router.paths.best(STRANGER.address) is not None]


def strange(sequence: int = 1, cost: PathCost = PathCost(), **fields) -> Packet:  # noqa: B008
    announce = Announce.make(STRANGER, sequence, Serve.NOBODY, memory_only=False)
    return Packet(Context.ANNOUNCE, announce.encode(cost), **fields)


def test_n4_unknown_tlvs_and_flags_pass_through_relays_byte_for_byte() -> None:
    net = line(IP, IP, IP)
    net.run(5)
    extensions, tlvs = ((200, b"later"), (0, b""), (200, b"x")), ((9, b"\xff" * 100), (9, b""))
    bare = Announce(STRANGER.node_id, 7, Serve.TRUSTED, True, extensions, 0xF8)
    data = bare.encode(PathCost()) + STRANGER.sign(bare._signed())
    net.seen.clear()
    assert net.hand(1, 0, Packet(Context.ANNOUNCE, data, hops=9, tlvs=tlvs)) is None
    net.run(5)
    assert knowing(net) == [1, 2, 3]
    for sender in (1, 2):
        (relayed,) = packets(net, Context.ANNOUNCE, sender=sender)
        assert relayed.data[7:] == data[7:] and relayed.tlvs == tlvs and relayed.hops == 9 - sender


@pytest.mark.parametrize(("hops", "reach"), [(0, 1), (1, 1), (2, 2), (3, 3), (32, 4), (255, 4)])
def test_m5_hop_limits_of_packets(hops: int, reach: int) -> None:
    net = line(IP, IP, IP, IP)
    net.run(5)
    assert net.hand(1, 0, strange(hops=hops)) is None
    net.run(3)
    assert knowing(net) == list(range(1, reach + 1))


@pytest.mark.parametrize(("hops", "reach"), [(28, 4), (29, 3), (31, 1), (32, 0), (255, 0)])
def test_m5_hop_limits_of_paths(hops: int, reach: int) -> None:
    net = line(IP, IP, IP, IP)
    net.run(5)
    net.hand(1, 0, strange(cost=PathCost(hops=hops)))
    net.run(3)
    assert knowing(net) == list(range(1, reach + 1))


def test_m5_an_announce_too_large_for_a_radio_holds_up_nothing() -> None:
    small = LinkProfile(mtu=150, bps=100_000)
    net = line(IP, small)
    net.run(5)
    assert net.hand(1, 0, strange(tlvs=((9, b"x" * 60),))) is None
    net.run(5)
    assert net.nodes[1].counters["announces_too_large"] == 1
    assert net.hand(1, 0, strange(2)) is None
    net.run(5)
    assert knowing(net) == [1, 2] and net.way(2, 0) is not None


# --- lies and floods ----------------------------------------------------------------------------
@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_m5_a_liar_about_costs_makes_no_loop_among_the_others(seed: int) -> None:
    """It says all costs are nothing, or unbelievable, of all announces it has heard."""
    net = Net(7, seed)
    net.random_graph(0.4)
    net.run(2)
    net.after = net.no_loops
    liar = net.dice.randrange(7)
    net.nodes[liar].next_hop = lambda goal: None
    for _ in range(40):
        announces = [packet for packet in packets(net, Context.ANNOUNCE) if packet.data]
        said = net.dice.choice(announces).data
        cost = net.dice.choice(
            (PathCost(), UNREACHABLE, PathCost(50, 0, 200, 0, 40), PathCost(900, 9, 9, 9, 9))
        )
        data = net.dice.choice((cost.encode() + said[7:], said))
        for other in list(net.nodes[liar].links):
            net.hand(other, liar, Packet(Context.ANNOUNCE, data, hops=net.dice.randrange(256)))
        net.run(net.dice.random() * 0.3)
        if net.dice.random() < 0.2:
            net.cut(*net.dice.choice(sorted(sorted(pair) for pair in net.edges)))


def test_m5_floods_of_path_requests_are_bounded() -> None:
    net = line(IP, IP, IP)
    net.run(5)
    net.seen.clear()
    before, refused = sequences(net, 3), 0
    for number in range(20_000):
        goal = identity(3).address if number % 2 else identity(number + 10**6).address
        request = PathRequest(number, goal, 2**32 - 1 if number % 3 else 0)
        refused += net.hand(1, 0, Packet(Context.PATH_REQUEST, request.encode())) == "path_requests_too_fast"
        if number % 2000 == 0:
            net.run(1)
    assert refused > 19_000
    router = net.nodes[1].router
    assert (
        len(router.requests._seen) <= PATH_REQUESTS_SEEN
        and len(router.requests._passed) <= PATH_REQUESTS_SEEN
    )
    assert len(router._by_address[identity(0).address].asked) <= PATHS_WANTED
    net.run(30)
    assert len(packets(net, Context.PATH_REQUEST, sender=1)) <= PATH_REQUESTS_BURST + 10 * 10
    assert not net.nodes[2].counters["path_requests_too_fast"]  # an honest relay is not blamed for it
    assert len(sequences(net, 3)) - len(before) <= 10 + 5
    assert net.way(0, 3) is not None


def test_n4_what_is_wanted_is_asked_for_less_and_less_often_and_what_only_broke_is_given_up() -> None:
    net = line(IP, IP, IP)
    net.run(5)
    router, gone = net.nodes[0].router, identity(3).address
    router.route(gone, net.now)
    net.cut(2, 3)
    net.seen.clear()
    net.run(900)
    assert gone not in router.requests._wanted
    assert 5 <= len(packets(net, Context.PATH_REQUEST, sender=0)) <= 16
    router.requests.want(gone, net.now)
    net.seen.clear()
    net.run(3600)
    assert 19 <= len(packets(net, Context.PATH_REQUEST, sender=0)) <= 29
    net.up(2, 3)
    net.run(301)
    assert gone not in router.requests._wanted and net.way(0, 3) is not None


def test_m5_what_strangers_ask_for_does_not_displace_what_this_node_wants() -> None:
    net = line(IP)
    router = net.nodes[0].router
    router.requests.want(STRANGER.address, 0.0)
    for number in range(3 * PATHS_WANTED):
        router.requests.want(identity(1000 + number).address, 0.0, most_s=60)
    assert len(router.requests._wanted) == PATHS_WANTED and STRANGER.address in router.requests._wanted


def test_m5_floods_of_announces_are_bounded_and_do_not_reach_the_next() -> None:
    net = line(IP, IP)
    net.run(5)
    codes = [net.hand(1, 0, strange(number + 1)) for number in range(ANNOUNCES_BURST + 500)]
    assert codes.count("announces_too_fast") >= 400
    net.seen.clear()
    net.run(5)
    assert len(packets(net, Context.ANNOUNCE, sender=1)) < 10
    assert net.way(2, 0) is not None


def test_m5_queues_for_a_slow_neighbour_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(Announce, "authentic", lambda _: True)
    net = line(IP, RADIO)
    net.run(5)
    slow = net.nodes[1].router._by_address[identity(2).address]
    for number in range(3 * DESTINATIONS_MAX):
        made = Announce(number.to_bytes(32, "little"), 1, signature=bytes(64))
        net.nodes[1].router._by_address[identity(0).address].intake.take(-1, net.now)
        net.hand(1, 0, Packet(Context.ANNOUNCE, made.encode(PathCost())))
        net.nodes[1].router.no_path(identity(2).node_id, identity(number + 10**6).address)
    assert len(slow.news) <= DESTINATIONS_MAX and len(slow.lost) <= DESTINATIONS_MAX
    assert len(slow.behind) <= DESTINATIONS_MAX


# --- budget -------------------------------------------------------------------------------------
class Crowd:
    """So many nodes behind node 2, which announce themselves every half hour."""

    def __init__(self, net: Net, count: int) -> None:
        self.net, self.numbers, self.sequence = net, range(200, 200 + count), 0
        self.addresses = [identity(number).address for number in self.numbers]

    def announce(self) -> None:
        self.sequence += 1
        for number in self.numbers:
            made = Announce.make(identity(number), self.sequence, Serve.NOBODY, memory_only=False)
            self.net.hand(1, 2, Packet(Context.ANNOUNCE, made.encode(PathCost().after(FAST))))
        self.net.run(0)

    def run(self, seconds: float, every: float = ANNOUNCE_EVERY_S) -> None:
        until = self.net.now + seconds
        while self.net.now < until:
            self.announce()
            self.net.run(every)


def keepalive_bps(profile: LinkProfile) -> float:
    """What the link itself sends one way when nothing else goes: PING and PONG, 22 bytes each, a round."""
    link = Link(identity(0), profile, SeededRng(1), dialed=True, known=None, now=0.0)
    return 8 * FRAME_OVERHEAD * 2 / link.keepalive


def test_n5_gossip_on_an_idle_radio_stays_below_two_percent_and_keeps_fifty_paths_alive() -> None:
    net = line(RADIO, IP)
    edge, crowd = net.edges[frozenset((0, 1))], Crowd(net, 48)  # with nodes 1 and 2 that makes 50
    crowd.run(2 * 3600)
    far, start = net.nodes[0].router.paths, dict(edge.bytes)
    for _ in range(6 * 30):
        if net.now % ANNOUNCE_EVERY_S < 120:
            crowd.announce()
        net.run(120)
        best = [far.best(address) for address in crowd.addresses]
        assert not any(path is None or path.stale(net.now) for path in best)
    used = [8 * (edge.bytes[number] - start[number]) / (6 * 3600) / RADIO.bps for number in (0, 1)]
    assert used[1] > 0.01 and sum(used) + keepalive_bps(RADIO) / RADIO.bps < 0.02, used


def test_n5_a_wide_link_carries_three_percent_of_gossip_at_most() -> None:
    profile = LinkProfile(mtu=1400, bps=20_000)
    net = line(profile, IP)
    net.run(60)
    edge, crowd = net.edges[frozenset((0, 1))], Crowd(net, 20)
    start = edge.bytes[1]
    crowd.run(1800, every=10)
    share = 8 * (edge.bytes[1] - start) / 1800 / profile.bps
    # An announce of 114 bytes is alone in its frame, which makes 22 more; and a burst of 300 s goes first.
    assert 0.02 < share < 0.03 * 136 / 114 * (1 + 300 / 1800), share


def test_n5_a_radio_that_comes_up_answers_what_is_wanted_at_once_on_credit() -> None:
    net = line(IP, IP)
    crowd = Crowd(net, 50)
    crowd.announce()
    net.run(5)
    net.cut(0, 1)
    net.run(1)
    net.nodes[0].router.requests.want(crowd.addresses[-1], net.now)
    net.join(0, 1, RADIO)
    for wait in (6, 300, 6):  # at link-up; then, once the burst is spent, on credit
        unknown = [one for one in crowd.addresses if net.nodes[0].router.route(one, net.now) is None]
        if wait == 6:
            net.nodes[0].router.requests.want(unknown[-1], net.now)
        net.run(wait)
        assert (net.nodes[0].router.route(unknown[-1], net.now) is not None) == (wait == 6)


def test_n4_a_large_table_crosses_a_new_link_within_a_minute() -> None:
    net = Net(2)
    for number in range(1000, 5000):
        sender = net.nodes[1].router
        made = Announce.make(identity(number), 1, Serve.NOBODY, memory_only=False)
        sender.paths.heard(made, PathCost(), identity(999).node_id, FAST, 0.0)
    net.join(0, 1, TCP)
    net.run(60)
    assert len(net.nodes[0].router.paths) == 4001 and not net.nodes[0].counters
