"""Many neighbours on one shared medium (N2, N3, N4, N6)."""

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from nexus_node.base.limits import HEARD_MAX
from nexus_node.crypto.identity import Identity
from nexus_node.engine.medium import LINKS_WANTED
from nexus_node.engine.neighbour import REQUEST_ITEM
from nexus_node.ports.driver import LinkProfile
from nexus_node.wire.announce import parse_announce_untrusted
from nexus_node.wire.frames import Hello, SealedFrame, parse_frame_untrusted
from nexus_node.wire.packet import Context, Packet
from nexus_node.wire.routing import parse_path_request_untrusted

from .world import Air, Host, introduce

LORA = LinkProfile(mtu=255, bps=1074, half_duplex=True, shared=True)
FOUND_S = 900.0


def air_of(count: int, *, seed: int = 0, path=None, **options) -> Air:
    hosts = [Host(1 + number, path and path / f"{number}.db") for number in range(count)]
    pairs = options.pop("deaf", ())
    deaf = [(hosts[a], hosts[b]) for a, b in pairs]
    return Air(hosts, LORA, random.Random(seed), deaf=deaf, **options)


def line(count: int) -> list[tuple[int, int]]:
    """Each hears only the one before and the one behind."""
    return [(a, b) for a, b in combinations(range(count), 2) if b - a > 1]


def links(host: Host) -> set[bytes]:
    return {one.link.peer for one in host.core.attachments.values() if one.link.up}


def kinds(air: Air, since: float) -> Counter[str]:
    """Bytes on the air since then, by kind of frame."""
    found: Counter[str] = Counter()
    for at, _, frame in air.sent:
        if at >= since:
            parsed = parse_frame_untrusted(frame)
            kind = type(parsed).__name__
            if isinstance(parsed, SealedFrame):
                kind = "broadcast" if parsed.broadcast else "sealed"
            found[kind] += len(frame)
    return found


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_n3_two_on_a_radio_channel_find_each_other_and_talk(loss: float) -> None:
    air = air_of(2, loss=loss)
    a, b = air.hosts
    introduce(a, b)
    now = air.run(0.0, 240.0)
    assert links(a) == {b.identity.node_id} and links(b) == {a.identity.node_id}
    message = a.send("b", "Over the air", now)
    now = air.run(now, now + 300)
    assert b.inbox() == ["Over the air"] and a.states()[message] == "delivered"


def test_n6_neighbours_on_one_medium_take_turns() -> None:
    """A text to one is not behind all that was said to another before."""
    air = air_of(3)
    a, b, c = air.hosts
    for name, host in (("b", b), ("c", c)):
        a.core.contacts.add(name, host.uri, 0)
    now = air.run(0.0, FOUND_S)
    assert len(links(a)) == 2
    for number in range(20):
        a.send("b", f"number {number} " + "x" * 100, now)
    a.send("c", "quick", now)
    while not c.inbox():
        now = air.run(now, now + 0.5)
    assert len(b.inbox()) < 5
    air.run(now, now + 120)
    assert len(b.inbox()) == 20


@pytest.mark.parametrize(
    "lost",
    [["Hello"], ["Opening"], ["Reply"], ["sealed"], ["Opening", "Reply", "sealed"], ["Reply"] * 2],
    ids=lambda lost: "-".join(lost),
)
def test_n3_each_packet_of_a_handshake_is_repeated_when_it_is_lost(lost: list[str]) -> None:
    left = list(lost)

    class Losing(Air):
        def hears(self, a: Host, b: Host) -> bool:
            frame = parse_frame_untrusted(self.sent[-1][2])
            kind = "sealed" if isinstance(frame, SealedFrame) else type(frame).__name__
            if kind in left:
                left.remove(kind)
                return False
            return super().hears(a, b)

    hosts = [Host(1), Host(2)]
    Losing(hosts, LORA, random.Random(0)).run(0.0, 100.0)
    assert not left
    assert links(hosts[0]) == {hosts[1].identity.node_id} and links(hosts[1]) == {hosts[0].identity.node_id}


def test_n3_a_link_that_came_up_at_one_end_only_ends() -> None:
    air = air_of(2)
    now = 0.0
    while not any(map(links, air.hosts)):
        now = air.run(now, now + 0.1)
    assert not all(map(links, air.hosts))
    air.loss = 1.0
    air.run(now, now + FOUND_S)
    assert not any(map(links, air.hosts))


def test_n4_a_line_of_six_delivers_over_five_hops_and_back() -> None:
    air = air_of(6, deaf=line(6), loss=0.1)
    a, f = air.hosts[0], air.hosts[5]
    introduce(a, f)
    now = air.run(0.0, FOUND_S)
    assert [len(links(host)) for host in air.hosts] == [1, 2, 2, 2, 2, 1]
    messages = [a.send("b", f"number {number}", now) for number in range(3)]
    f.send("a", "and back", now)
    now = air.run(now, now + 400)
    assert sorted(f.inbox()) == ["number 0", "number 1", "number 2"] and a.inbox() == ["and back"]
    assert {a.states()[message] for message in messages} == {"delivered"}


def test_n3_a_dense_cell_is_connected_with_few_links_each() -> None:
    count = 14
    air = air_of(count)
    now = air.run(0.0, 1.5 * FOUND_S)
    assert all(len(links(host)) >= LINKS_WANTED for host in air.hosts)
    assert sum(len(links(host)) for host in air.hosts) <= 2 * count * (LINKS_WANTED + 1)
    spent = air.bytes * 8 / LORA.bps / now
    assert spent < 0.6, "of the air, while all come up at once"
    air.run(now, 2 * 3600.0)
    assert {len(host.core.router.paths) for host in air.hosts} == {count - 1}, "paths to all the others"


def test_n5_an_idle_cell_keeps_its_protocol_within_a_tenth_of_the_air() -> None:
    air = air_of(12)
    now = air.run(0.0, FOUND_S)
    since, hours = now, 4
    now = air.run(now, now + hours * 3600)
    share = sum(kinds(air, since).values()) * 8 / LORA.bps / (now - since)
    assert share < 0.10
    assert all(len(host.core.router.paths) == 11 for host in air.hosts)
    assert all(len(links(host)) >= LINKS_WANTED for host in air.hosts), "announces show that all are there"


def test_n4_an_announce_is_sent_once_for_all_neighbours() -> None:
    """A hub that four others hear tells all of itself in one frame."""
    air = air_of(5, deaf=list(combinations(range(1, 5), 2)))
    hub = air.hosts[0]
    now = air.run(0.0, FOUND_S)
    assert len(links(hub)) == 4
    now = air.run(now, now + 6 * 3600)
    announces = sum(1 for at, who, frame in air.sent if who == 0 and at > FOUND_S and frame[0] & 0x08)
    # Each half hour its own, and those of four others; some share a frame.
    assert announces <= 12 * 5 + 5


def test_n3_frames_for_others_are_passed_by() -> None:
    air = air_of(3)
    a, b, c = air.hosts
    introduce(a, b)
    now = air.run(0.0, FOUND_S)
    cid = air.cids[2]
    (medium,) = c.core.media.values()
    sealed = [frame for at, _, frame in air.sent if isinstance(parse_frame_untrusted(frame), SealedFrame)]
    known = [parse_frame_untrusted(frame) for frame in sealed]
    mine = {one.link.index for one in c.core.attachments.values()}
    for frame, parsed in zip(sealed, known, strict=True):
        assert c.core.passes_by(cid, frame, None) == (not parsed.broadcast and parsed.index not in mine)
    others = next(
        frame for frame, one in zip(sealed, known, strict=True) if not one.broadcast and one.index not in mine
    )
    before, counters = medium.rx_bytes, c.core.counters.copy()
    assert c.core.passes_by(cid, others, None) and medium.rx_bytes == before + len(others)
    assert c.core.counters == counters
    for frame in (
        b"",
        others[:20],
        bytes([others[0] | 0x07]) + others[1:],
        Hello(1, a.identity.node_id).encode(),
    ):
        assert not c.core.passes_by(cid, frame, None)
    assert now == FOUND_S


def test_n3_the_two_ends_of_a_link_on_shared_air_do_not_start_new_keys_at_once() -> None:
    air = air_of(2)
    a, b = air.hosts
    introduce(a, b)
    now = air.run(0.0, 240.0)
    started = Counter[int]()
    for number, host in enumerate(air.hosts):
        for one in host.core.attachments.values():
            start = one.link._start_rekey

            def note(now: float, number: int = number, start=start) -> None:
                started[number] += 1
                start(now)

            one.link._start_rekey = note
    for _ in range(4):
        a.core.send("b", "to b", now=now)
        b.core.send("a", "to a", now=now)
        now = air.run(now, now + 3800.0)
    first = 0 if a.identity.node_id < b.identity.node_id else 1
    assert 3 <= started[first] <= 4 and not started[1 - first]


def told_by(host: Host, about: bytes) -> list[tuple[int, bytes]]:
    """What follows of announces of a node that neighbours pass on to this host: sequence, and who told."""
    heard, take = [], host.core.router.take

    def note(peer: bytes, packet: Packet, now: float) -> bool:
        if packet.context == Context.ANNOUNCE:
            announce = parse_announce_untrusted(packet.data)[1]
            if announce.node_id == about != peer:
                heard.append((announce.sequence, peer))
        return take(peer, packet, now)

    host.core.router.take = note
    return heard


def test_n5_of_many_who_could_tell_of_a_node_three_do_and_later_two() -> None:
    """Eight hear the hub and the listener, which do not hear each other."""
    air = air_of(10, deaf=[(0, 9)])
    heard = told_by(air.hosts[9], air.hosts[0].identity.node_id)
    air.run(0.0, FOUND_S + 12 * 3600)
    told = {sequence: len({peer for at, peer in heard if at == sequence}) for sequence, _ in heard}
    assert len(told) >= 8, "the listener hears of it all the time"
    assert max(told.values()) <= 3
    assert max(list(told.values())[2:]) <= 2, "who only tells that it is newer has told of it before"


def test_n5_questions_for_paths_take_a_small_share_of_the_air() -> None:
    """A node that looks for hundreds of strangers for hours: at most a quarter of its gossip."""
    air = air_of(4)
    asker, listener = air.hosts[:2]
    now = air.run(0.0, FOUND_S)
    asked, take = Counter[bytes](), listener.core.router.take

    def note(peer: bytes, packet: Packet, now: float) -> bool:
        if packet.context == Context.PATH_REQUEST and peer == asker.identity.node_id:
            asked[parse_path_request_untrusted(packet.data).destination] += 1
        return take(peer, packet, now)

    listener.core.router.take = note
    strangers = [Identity.from_seed(number.to_bytes(32, "big")).address for number in range(1000, 1200)]
    for address in strangers:
        asker.core.router.requests.want(address, now)
    hours = 3
    since, rate = now, LORA.bps * 0.02 / 4
    now = air.run(now, now + hours * 3600)
    bits = 8 * REQUEST_ITEM * sum(asked.values())
    assert set(asked) >= set(strangers), "all get their turn"
    assert bits <= rate * (now - since + 300)


def test_n3_a_node_that_starts_anew_is_found_again(tmp_path) -> None:
    air = air_of(2, path=tmp_path)
    a, b = air.hosts
    introduce(a, b)
    now = air.run(0.0, FOUND_S)
    air.restart(1, now)
    message = a.send("b", "are you there again?", now)
    now = air.run(now, now + FOUND_S)
    assert b.inbox() == ["are you there again?"] and a.states()[message] == "delivered"


def test_n4_a_neighbour_that_is_gone_is_noticed_by_who_sends_and_another_way_is_found() -> None:
    """A, B and C, D: two ways from A to D. B falls silent."""
    air = air_of(4, deaf=[(0, 3), (1, 2)])
    a, d = air.hosts[0], air.hosts[3]
    introduce(a, d)
    now = air.run(0.0, FOUND_S)
    first = a.send("b", "one", now)
    now = air.run(now, now + 120)
    assert a.states()[first] == "delivered"
    via = a.core.router.paths.best(d.identity.address).via
    silent = next(host for host in air.hosts if host.identity.node_id == via)
    air.deaf |= {frozenset((id(silent), id(other))) for other in air.hosts if other is not silent}
    second = a.send("b", "two", now)
    now = air.run(now, now + 600)
    assert d.inbox() == ["one", "two"] and a.states()[second] == "delivered"


def test_n3_who_was_out_of_reach_is_found_soon_after_it_is_back() -> None:
    """A has given up, B does not know of it. Neither waits for a HELLO of every half hour."""
    air = air_of(2)
    a, b = air.hosts
    introduce(a, b)
    now = air.run(0.0, 3 * 3600.0)
    away = {frozenset((id(a), id(b)))}
    air.deaf |= away
    message = a.send("b", "while you are away", now)
    now = air.run(now, now + 600)
    assert not links(a) and links(b)
    air.deaf -= away
    now = air.run(now, now + 300)
    assert b.inbox() == ["while you are away"] and a.states()[message] == "delivered"


def test_n5_what_waits_for_the_budget_of_a_slow_medium_does_not_when_it_is_quicker() -> None:
    air = air_of(2)
    core, cid = air.hosts[0].core, air.cids[0]
    now = air.run(0.0, FOUND_S)
    core.retune(cid, replace(LORA, bps=300))
    for number in range(20):
        core.router.requests.want(Identity.from_seed(number.to_bytes(32, "big")).address, now)
    now = air.run(now, now + 60)
    medium = core.media[cid]
    assert medium.asking and medium.quiet_until > now + 60
    core._now = now
    core.retune(cid, replace(LORA, bps=300_000))
    air.run(now, now + 10)
    assert not medium.asking


def test_n4_a_path_is_asked_for_when_it_is_wanted() -> None:
    """On a radio the question waits no longer than for its turn, though nothing else happens meanwhile."""
    air = air_of(2)
    a, c = air.hosts[0], Host(9)
    now = air.run(0.0, 3000.0)
    a.core.contacts.add("c", c.uri, 0)
    a.send("c", "where are you?", now)
    medium = a.core.media[air.cids[0]]
    assert medium.asking
    air.run(now, now + 10)
    assert not medium.asking


def test_n3_no_two_links_on_a_medium_have_one_index() -> None:
    class Repeating:
        drawn = [7, 7, 7, 8]

        def random_bytes(self, count: int) -> bytes:
            return self.drawn.pop(0).to_bytes(count, "little")

    air = air_of(1)
    medium = air.hosts[0].core.media[air.cids[0]]
    medium._rng = Repeating()
    peers = [Identity.from_seed(bytes([seed]) * 32).node_id for seed in (8, 9)]
    made = [medium._link_with(peer, dialed=False, now=0.0) for peer in peers]
    assert [one.link.index for one in made] == [7, 8] and not Repeating.drawn


def test_n3_two_neighbours_with_one_broadcast_index_are_both_heard() -> None:
    """One in 65,536 is, and one who has heard another's HELLO can choose its index."""
    air = air_of(3, deaf=[(1, 2)])
    a, b, c = air.hosts
    for host, cid in zip(air.hosts[1:], air.cids[1:], strict=True):
        host.core.media[cid]._sender._index = 7
    now = air.run(0.0, FOUND_S)
    assert len(links(a)) == 2
    air.run(now, now + 2 * 3600)
    paths = a.core.router.paths
    heard = [paths.known(one.identity.address).announce.sequence for one in (b, c)]
    assert heard == [one.core.router.announces.latest.sequence for one in (b, c)]
    assert not a.core.counters["bad_tag"]


def test_n3_who_has_lost_the_last_link_says_hello_at_once() -> None:
    """Nothing else is due then that would make it look whether a HELLO is."""
    air = air_of(2)
    a, b = air.hosts
    now = air.run(0.0, 4 * 3600.0)
    assert links(a)
    air.deaf |= {frozenset((id(a), id(b)))}
    while links(a):
        now = air.run(now, now + 1)
    air.run(now, now + 5)
    said = [parse_frame_untrusted(frame) for at, host, frame in air.sent if host == 0 and at > now - 1]
    assert any(isinstance(one, Hello) for one in said)


def test_n3_who_has_enough_links_opens_one_more_to_whom_it_writes() -> None:
    air = air_of(14)
    a = air.hosts[0]
    now = air.run(0.0, FOUND_S)
    far = next(host for host in air.hosts[1:] if host.identity.node_id not in links(a))
    introduce(a, far)
    message = a.send("b", "directly, please", now)
    now = air.run(now, now + 240)
    assert a.states()[message] == "delivered" and far.identity.node_id in links(a)


def test_n6_where_half_gets_lost_a_crowd_s_handshakes_leave_air_for_others() -> None:
    """Repeated at will they would take a fifth of it here, and all of it where there are more."""
    air = air_of(24, loss=0.5)
    since = air.run(0.0, FOUND_S)
    air.run(since, since + 1800)
    spent = kinds(air, since)
    assert (spent["Opening"] + spent["Reply"]) * 8 / LORA.bps < 0.15 * 1800
    assert min(len(links(host)) for host in air.hosts) >= LINKS_WANTED - 2


def test_m5_hellos_of_a_thousand_that_are_not_there_are_bounded() -> None:
    air = air_of(2)
    a, b = air.hosts
    introduce(a, b)
    now = air.run(0.0, FOUND_S)
    since = now
    for number in range(2 * HEARD_MAX):
        ghost = Identity.from_seed(number.to_bytes(32, "big"))
        a.core.deliver(air.cids[0], Hello(number % 65536, ghost.node_id).encode(), None, now)
    medium = a.core.media[air.cids[0]]
    assert medium.heard <= HEARD_MAX
    now = air.run(now, now + 3600)
    assert len(medium.links) <= LINKS_WANTED
    assert kinds(air, since)["Opening"] * 8 / LORA.bps < 0.10 * 3600, "nor do they use up the air"
    message = a.send("b", "still here", now)
    now = air.run(now, now + 120)
    assert a.states()[message] == "delivered"


def test_m5_openings_and_broadcasts_of_strangers_change_nothing() -> None:
    air = air_of(3)
    a, b, c = air.hosts
    now = air.run(0.0, FOUND_S)
    [frame] = [frame for _, who, frame in air.sent if who == 1 and frame[0] & 0x88 == 0x88][-1:]
    before = dict(a.core.counters)
    a.core.deliver(air.cids[0], frame, None, now)  # heard already
    assert a.core.counters["replay"] == before.get("replay", 0) + 1
    a.core.deliver(air.cids[0], frame[:-1] + bytes([frame[-1] ^ 1]), None, now)
    a.core.deliver(air.cids[0], frame[:1] + b"\0\0" + frame[3:], None, now)  # nobody's index
    a.core.deliver(air.cids[0], Hello(1, a.identity.node_id).encode(), None, now)
    assert a.core.counters["own_hello"] == 1
    assert links(a) == {b.identity.node_id, c.identity.node_id}


def test_a_hello_of_what_is_no_node_is_counted_and_no_more() -> None:
    """Damaged on a line or forged: it would end in a handshake that cannot be made."""
    host = Host(1)
    air = Air([host, Host(2)], LORA, random.Random(0))
    now = air.run(0.0, 1.0)
    (cid,) = host.core.media
    for node_id in (bytes(32), b"\xff" * 32, bytes([2]) + bytes(31)):
        host.core.deliver(cid, Hello(7, node_id).encode(), None, now)
    assert host.core.counters["bad_node_id"] == 3
    air.run(now, 900.0)
    assert len(links(host)) == 1


def test_n3_frames_are_filled_up_where_the_owner_wants_it() -> None:
    """One pads, the other does not; everything sealed by the first has a size that tells nothing."""
    air = air_of(2)
    a, b = air.hosts
    for host, pad in ((a, 100), (b, 0)):
        host.core.carrier_down(air.cids[air.hosts.index(host)], "set otherwise", 0.0)
        air.cids[air.hosts.index(host)] = host.core.carrier_up(
            replace(LORA, pad=pad), "radio", dialed=True, now=0.0
        )
    introduce(a, b)
    now = air.run(0.0, 240.0)
    texts = ["x", "of ordinary words " * 5, random.Random(1).randbytes(700).hex()]
    for text in texts:
        a.send("b", text, now)
        b.send("a", text, now)
    now = air.run(now, now + 600)
    assert sorted(b.inbox()) == sorted(a.inbox()) == sorted(texts)
    sizes: list[set[int]] = [set(), set()]
    for _, number, frame in air.sent:
        if isinstance(parse_frame_untrusted(frame), SealedFrame):
            sizes[number].add(len(frame))
    assert sizes[0] == {100, 200, 255}
    assert sizes[1] - sizes[0]


def test_a_receipt_tells_the_round_trip_of_a_shared_medium() -> None:
    """Else the first loss of a text costs a minute at these rates."""
    air = air_of(2)
    a, b = air.hosts
    introduce(a, b)
    now = air.run(0.0, 240.0)
    for host, other in ((a, "b"), (b, "a")):
        (link,) = [one.link for one in host.core.attachments.values() if one.link.up]
        host.send(other, "short", now)
        now = air.run(now, now + 60)
        assert link.rtt is not None and 0.2 < link.rtt < 5
        assert 3 * link.rtt < link.rto
