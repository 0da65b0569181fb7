"""The path table alone: what is believed, what is chosen, what is kept, what is forgotten (N4)."""

import time

import pytest

from nexus_node.base.limits import DESTINATIONS_MAX, PATHS_PER_DESTINATION
from nexus_node.crypto.address import address_of
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.paths import ANNOUNCE_EVERY_S, GONE_AFTER_S, STALE_AFTER_S, PathTable, Policy
from nexus_node.wire.announce import Announce, Serve
from nexus_node.wire.pathcost import UNREACHABLE, Hop, PathCost

from .routers import identity

ME, GOAL, B, C, D, LIAR = (identity(number) for number in range(6))
WIDE = Hop(80, 0.5, 100e6, 1400)


def announce(number: int, sequence: int = 1) -> Announce:
    return Announce.make(identity(number), sequence, Serve.NOBODY, memory_only=False)


def away(*hops: Hop) -> PathCost:
    cost = PathCost()
    for hop in hops:
        cost = cost.after(hop)
    return cost


def hear(table: PathTable, via, cost: PathCost, *, sequence: int = 1, now: float = 0.0, hop=WIDE):
    return table.heard(announce(1, sequence), cost, via.node_id, hop, now)


def best(table: PathTable):
    path = table.best(GOAL.address)
    return path.via if path is not None else None


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (Policy.CHEAPEST, B),
        (Policy.FASTEST, C),
        (Policy.RELIABLE, D),
        (Policy.BALANCED, C),
        (Policy.LARGEST_MTU, LIAR),
    ],
)
def test_n4_policies_score_decoded_values(policy: Policy, chosen) -> None:
    table = PathTable(ME.node_id, policy=policy)
    hear(table, B, away(Hop(10, 3000, 50e6, 500), Hop(10, 0, 50e6, 500)))  # cheap
    hear(table, C, away(Hop(500, 5, 40e6, 500), Hop(500, 5, 40e6, 500)))  # fast
    hear(table, D, away(Hop(90_000, 200, 1e6, 500)))  # few hops
    hear(table, LIAR, away(Hop(90_000, 900, 1e4, 1400), Hop(9, 9, 1e4, 1400)))  # large frames
    assert best(table) == chosen.node_id


def test_n4_no_flapping_for_costs_within_a_fifth() -> None:
    table = PathTable(ME.node_id, policy=Policy.CHEAPEST)
    near, hop = away(Hop(10_000, 0, 1e6, 1400)), Hop(10_000, 0, 1e6, 1400)
    hear(table, B, near, hop=hop)
    hear(table, C, near, hop=hop)
    table.changed.clear()
    for cost in (8100, 10_000, 11_500, 9000, 8200, 10_900):  # of 18,100 to 21,500: none a fifth below
        table.recost(C.node_id, Hop(cost, 0, 1e6, 1400), 1.0)
        assert best(table) == B.node_id and not table.changed
    table.recost(C.node_id, Hop(3000, 0, 1e6, 1400), 1.0)
    assert best(table) == C.node_id and table.changed == {GOAL.address}


def test_n4_several_paths_are_kept_and_the_next_takes_over_at_once() -> None:
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE))
    hear(table, C, away(WIDE, WIDE))
    hear(table, D, away(WIDE, WIDE, WIDE))
    table.tell(GOAL.address, 0.0)  # two links away: C is as near, D farther, so neither is believed
    table.neighbour_down(B.node_id, 1.0)
    assert best(table) is None and table.starved == {GOAL.address}
    hear(table, C, away(WIDE, WIDE), sequence=2)
    hear(table, D, away(WIDE, WIDE, WIDE), sequence=2)
    assert best(table) == C.node_id
    table.lost_by(C.node_id, [GOAL.address], 2.0)
    assert best(table) == D.node_id


def test_n4_a_table_full_of_paths_gives_up_the_worst() -> None:
    table = PathTable(ME.node_id)
    for number in range(10, 10 + 3 * PATHS_PER_DESTINATION):
        hear(table, identity(number), away(*[WIDE] * (30 - number)))
    kept = table.known(GOAL.address).paths
    assert len(kept) == PATHS_PER_DESTINATION
    assert {path.reported.hops for path in kept.values()} == {9, 10, 11, 12}


def test_n4_stale_after_six_intervals_gone_after_eight() -> None:
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE))
    table.tell(GOAL.address, 0.0)
    table.changed.clear()
    table.to_tell.clear()
    hear(table, B, away(WIDE), now=STALE_AFTER_S - 1)  # the same sequence again: no sign of life
    path = table.best(GOAL.address)
    assert not path.stale(STALE_AFTER_S - 1) and path.stale(STALE_AFTER_S)
    table.expire(GONE_AFTER_S - 1)
    assert best(table) == B.node_id
    table.expire(GONE_AFTER_S)
    assert best(table) is None and len(table) == 0
    assert table.to_tell == {GOAL.address} and table.changed == {GOAL.address}


def test_n4_a_fresh_path_is_preferred_to_a_stale_one() -> None:
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE))
    hear(table, C, away(WIDE, WIDE, WIDE), sequence=2, now=ANNOUNCE_EVERY_S)
    table.expire(STALE_AFTER_S - 1)
    assert best(table) == B.node_id
    table.expire(STALE_AFTER_S)
    assert best(table) == C.node_id


def test_n4_what_was_told_outlives_the_destination() -> None:
    """Else a neighbour whose path leads through here could be believed: a loop."""
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE), now=0.0)
    table.tell(GOAL.address, GONE_AFTER_S - 1)
    table.expire(GONE_AFTER_S)
    assert len(table) == 0
    hear(table, C, away(WIDE, WIDE, WIDE), now=GONE_AFTER_S + 1)
    assert best(table) is None
    assert table.bound(GOAL.address) == (1, away(WIDE, WIDE).rank)


def test_n4_a_dearer_path_is_kept_until_a_new_sequence_tells() -> None:
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE))
    table.tell(GOAL.address, 0.0)
    dear = away(WIDE, WIDE, WIDE, WIDE)
    assert hear(table, B, dear) is None
    assert best(table) == B.node_id and table.known(GOAL.address).dearer
    assert table.starved == {GOAL.address}
    hear(table, B, dear, sequence=2)
    assert table.best(GOAL.address).reported == dear and not table.known(GOAL.address).dearer


def test_n4_of_two_it_can_believe_it_takes_the_cheaper() -> None:
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE))
    hear(table, C, away(WIDE), hop=Hop(100, 0.5, 1e8, 1400))
    assert best(table) == B.node_id
    table.tell(GOAL.address, 0.0)
    hear(table, B, away(*[WIDE] * 9))
    assert best(table) == C.node_id and not table.known(GOAL.address).dearer


# --- lies ---------------------------------------------------------------------------------------
def test_m5_forged_and_old_announces_are_refused() -> None:
    table = PathTable(ME.node_id)
    good = announce(1, 5)
    unsigned = Announce(GOAL.node_id, 6, signature=good.signature)
    other = Announce.make(GOAL, 5, Serve.ANYONE, memory_only=True)
    heard = lambda one: table.heard(one, PathCost(), B.node_id, WIDE, 0.0)  # noqa: E731
    assert heard(unsigned) == "announce_forged"
    assert heard(good) is None
    assert heard(other) == "announce_forged"  # one sequence has one content
    assert heard(announce(1, 4)) == "announce_rolled_back"
    assert heard(unsigned) == "announce_forged"
    assert heard(announce(0, 9)) == "own_announce"
    assert table.best(GOAL.address).announce == good and len(table) == 1


@pytest.mark.parametrize("hops", [32, 33, 255])
def test_m5_a_path_of_too_many_hops_is_none(hops: int) -> None:
    table = PathTable(ME.node_id)
    assert hear(table, B, PathCost(hops=hops)) == "announce_too_far"
    assert len(table) == 0
    hear(table, B, PathCost(hops=31))
    assert table.best(GOAL.address).cost.hops == 32
    assert hear(table, B, PathCost(hops=hops), sequence=2) == "announce_too_far"
    assert table.known(GOAL.address).announce.sequence == 2  # signed, so there is one
    assert table.best(GOAL.address).announce.sequence == 1


def test_m5_any_cost_is_survived() -> None:
    for codes in ((0xFFFF, 0xFFFF, 255, 31, 255), (16_001, 0, 0, 0, 0)):
        for policy in Policy:
            table = PathTable(ME.node_id, policy=policy)
            hear(table, B, PathCost(*codes))
            hear(table, C, away(WIDE))
            assert table.tell(GOAL.address, 0.0).cost.encode()
    assert UNREACHABLE.after(WIDE).rank == UNREACHABLE.rank


def test_m5_a_liar_draws_traffic_until_a_new_sequence_but_keeps_no_other_path_out() -> None:
    table = PathTable(ME.node_id)
    hear(table, B, away(WIDE))
    hear(table, LIAR, PathCost())
    assert best(table) == LIAR.node_id
    table.tell(GOAL.address, 0.0)
    table.lost_by(LIAR.node_id, [GOAL.address], 1.0)
    assert best(table) is None  # nearer than told is only the destination itself
    assert table.bound(GOAL.address) == (1, PathCost().after(WIDE).rank)
    hear(table, B, away(WIDE), sequence=2, now=2.0)
    assert best(table) == B.node_id


def fake(number: int) -> Announce:
    return announce(1_000_000 + number)


def test_m5_100_000_destinations_of_one_neighbour_push_out_nobody_elses(monkeypatch) -> None:
    monkeypatch.setattr(Announce, "authentic", lambda _: True)
    table = PathTable(ME.node_id)
    contacts = {identity(number).address for number in range(100, 110)}
    table.pinned = contacts.__contains__
    for number in range(100, 110):  # contacts that the liar was the first to speak of
        table.heard(announce(number), PathCost(), LIAR.node_id, WIDE, 0.0)
    for number in range(200, 300):
        table.heard(announce(number), PathCost(), B.node_id, WIDE, 0.0)
    start, refused = time.perf_counter(), 0
    for number in range(100_000):
        made = Announce(number.to_bytes(32, "little"), 1)
        refused += table.heard(made, PathCost(), LIAR.node_id, WIDE, 1.0) == "destinations_full"
    assert time.perf_counter() - start < 20
    assert len(table) == DESTINATIONS_MAX and refused == 100_000 - (DESTINATIONS_MAX - 110)
    for number in range(300, 400):  # there is still room for the honest
        assert table.heard(announce(number), PathCost(), B.node_id, WIDE, 2.0) is None
    assert len(table) == DESTINATIONS_MAX
    for number in (*range(100, 110), *range(200, 400)):
        assert table.best(identity(number).address) is not None


def test_m5_two_neighbours_with_endless_destinations_stay_bounded_in_time_and_memory(monkeypatch) -> None:
    monkeypatch.setattr(Announce, "authentic", lambda _: True)
    table = PathTable(ME.node_id)
    start = time.perf_counter()
    for number in range(20_000):
        via = (B, LIAR, LIAR)[number % 3]
        made = Announce(number.to_bytes(32, "little"), 1)
        table.heard(made, PathCost(), via.node_id, WIDE, 0.0)
        table.tell(address_of(made.node_id), 0.0)
    assert time.perf_counter() - start < 10
    assert len(table) == DESTINATIONS_MAX and len(table._bounds) <= DESTINATIONS_MAX
    assert all(abs(len(share) - DESTINATIONS_MAX // 2) <= 2 for share in table._shares.values())


def test_what_is_in_use_stays_longest(monkeypatch) -> None:
    monkeypatch.setattr(Announce, "authentic", lambda _: True)
    table = PathTable(ME.node_id)
    made = [Announce(number.to_bytes(32, "little"), 1) for number in range(DESTINATIONS_MAX)]
    for one in made:
        table.heard(one, PathCost(), LIAR.node_id, WIDE, 0.0)
    table.use(address_of(made[0].node_id), 1.0)
    hear(table, B, PathCost())
    assert table.known(address_of(made[0].node_id)) is not None
    assert table.known(address_of(made[1].node_id)) is None


# --- budget -------------------------------------------------------------------------------------
def test_n5_a_token_bucket_pays_back_its_credit() -> None:
    bucket = TokenBucket(2.0, 10.0, 0.0)
    assert bucket.take(10, 0.0) and not bucket.take(1, 0.0)
    assert bucket.take(10, 0.0, credit=10) and not bucket.take(1, 0.0, credit=10)
    assert bucket.ready_at(4, 0.0) == 7.0 and bucket.ready_at(4, 0.0, credit=10) == 2.0
    assert not bucket.has(4, 6.9) and bucket.has(4, 7.0)
    assert bucket.has(10, 1000.0) and bucket.take(50, 1000.0)  # more than the burst, once full
    assert bucket.ready_at(10, 1000.0) == 1025.0 and bucket.ready_at(4, 1021.9999999999999) > 1022.0
