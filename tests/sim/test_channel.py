"""The shared medium: each rule by example, and all of them against a plain reading of the rules."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import LocalError
from nexus_sim.channel import Channel, Sensing, Transmission
from nexus_sim.duty import EU868
from nexus_sim.links import Links, Plane
from nexus_sim.modem import Modem
from nexus_sim.propagation import SuburbanMacro, snr_sensitivity
from nexus_sim.reception import GOURSAUD, Fate, Listening, Rules

SF9 = Modem(868.1e6, 9, 125_000, 5)
SYMBOL = 512 / 125_000
FLOOR = snr_sensitivity(SF9)
R = 99
"""The receiver; senders are 1, 2, 3 ..."""

Packet = tuple[int, float, float, float]
"""Sender, begin, seconds, RSSI at the receiver."""


def channel_of(
    rules: Rules | None = None,
    sensing: Sensing | None = None,
    listening: Modem | Listening = Listening.ALL,
    senders: int = 5,
) -> tuple[Channel, Links]:
    """A receiver and senders it hears without loss."""
    links = Links(300)
    channel = Channel(links, rules=rules, sensing=sensing)
    for sender in range(1, senders + 1):
        channel.add(sender, SF9)
        links.set(sender, R, 0)
    channel.add(R, listening)
    links.set(R, 1, 0)
    return channel, links


def fates(
    packets: Sequence[Packet],
    rules: Rules | None = None,
    modems: Sequence[Modem] = (SF9,) * 9,
    listening: Modem | Listening = Listening.ALL,
) -> list[Fate]:
    """What the receiver makes of packets, in their order."""
    channel, _ = channel_of(rules, listening=listening, senders=len(packets))
    sent = [
        (begin, Transmission(sender, modem, rssi, lasts))
        for (sender, begin, lasts, rssi), modem in zip(packets, modems, strict=False)
    ]
    ends = {packet: channel.begin(packet, begin) for begin, packet in sorted(sent, key=lambda one: one[0])}
    return [
        next(one.fate for one in channel.finish(packet, ends[packet]) if one.receiver == R)
        for _, packet in sent
    ]


OK, LOST = Fate.RECEIVED, Fate.COLLIDED


# --- collisions ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (0, [LOST, LOST]),
        (5.9, [LOST, LOST]),
        (-5.9, [LOST, LOST]),
        (6, [LOST, OK]),
        (-6, [OK, LOST]),
        (30, [LOST, OK]),
        (-30, [OK, LOST]),
    ],
)
def test_capture_leaves_the_packet_that_is_six_decibels_stronger(
    difference: float, expected: list[Fate]
) -> None:
    both = [(1, 0.0, 1.0, -80.0), (2, 0.5, 1.0, -80.0 + difference)]
    assert fates(both) == expected
    assert fates(both, Rules(capture=False)) == [LOST, LOST]
    if abs(difference) == 6:
        assert fates(both, Rules(capture_db=6.1)) == [LOST, LOST]


def test_a_packet_may_lose_its_first_preamble_symbols_and_the_older_its_last() -> None:
    spare = 3 * SYMBOL  # of 8 preamble symbols the last 5 count
    first = (1, 0.0, 1.0, -80.0)
    for rssi in (-110, -80, -50):
        assert fates([first, (2, 1.0 - 0.99 * spare, 1.0, rssi)]) == [OK, OK]
    assert fates([first, (2, 1.0 - 1.01 * spare, 1.0, -80)]) == [LOST, LOST]
    longer = replace(SF9, preamble=16)
    assert fates([first, (2, 1.0 - 10.9 * SYMBOL, 1.0, -80)], modems=[SF9, longer]) == [OK, OK]
    assert fates([first, (2, 1.0 - 0.5 * spare, 1.0, -80)], Rules(capture=False)) == [LOST, LOST]
    even = replace(SF9, bandwidth=2**17)  # symbols of 1/256 s: to the very instant
    assert fates([first, (2, 1 - 3 / 256, 1.0, -80)], modems=[even, even]) == [OK, OK]
    shortest = replace(SF9, preamble=4)
    assert fates([first, (2, 0.999, 1.0, -80)], modems=[SF9, shortest]) == [LOST, LOST]


def test_packets_that_touch_do_not_overlap_in_whichever_order_they_are_told() -> None:
    assert fates([(1, 0.0, 1.0, -80), (2, 1.0, 1.0, -80)], Rules(capture=False)) == [OK, OK]
    channel, _ = channel_of(Rules(capture=False))
    one, other = (Transmission(sender, SF9, -80, 1.0) for sender in (1, 2))
    channel.begin(one, 0)
    channel.begin(other, 1)  # before the first is finished
    assert [channel.finish(packet, 2)[0].fate for packet in (one, other)] == [OK, OK]


def test_what_has_collided_stays_collided() -> None:
    """The fault of LoRaSim r218: a later packet that did no harm wiped the mark out."""
    packets = [(1, 0.0, 3.0, -80), (2, 0.5, 1.0, -80), (3, 2.0, 1.0, -120)]
    assert fates(packets) == [LOST, LOST, LOST]


def test_the_lost_still_harm_others() -> None:
    assert fates([(1, 0.0, 3.0, -80), (2, 1.0, 1.0, -60), (3, 2.5, 1.0, -80)]) == [LOST, OK, LOST]


@pytest.mark.parametrize("bandwidth", [125_000, 250_000, 500_000])
def test_frequencies_far_enough_apart_do_not_collide(bandwidth: int) -> None:
    near = {125_000: 30_000, 250_000: 60_000, 500_000: 120_000}[bandwidth]
    both = [(1, 0.0, 1.0, -80), (2, 0.5, 1.0, -80)]
    modem = replace(SF9, bandwidth=bandwidth)
    for apart, expected in ((near, LOST), (near + 1, OK), (-near, LOST), (-near - 1, OK)):
        other = replace(modem, frequency=SF9.frequency + apart)
        assert fates(both, modems=[modem, other]) == [expected] * 2
    wide = replace(SF9, bandwidth=500_000, frequency=SF9.frequency + 120_000)
    assert fates(both, modems=[SF9, wide]) == [LOST, LOST]


# --- spreading factors --------------------------------------------------------------------------
def test_spreading_factors_are_orthogonal_unless_isolation_is_given() -> None:
    both = [(1, 0.0, 1.0, -100.0), (2, 0.0, 1.0, -70.0)]
    modems = [replace(SF9, spreading_factor=7), SF9]
    assert fates(both, modems=modems) == [OK, OK]
    # SF7 bears SF9 up to 18 dB stronger, over the whole packet.
    assert fates(both, Rules(isolation=GOURSAUD), modems) == [Fate.INTERFERED, OK]
    assert fates([both[0], (2, 0.0, 1.0, -82.1)], Rules(isolation=GOURSAUD), modems) == [OK, OK]
    assert fates([both[0], (2, 0.0, 1.0, -81.9)], Rules(isolation=GOURSAUD), modems) == [Fate.INTERFERED, OK]
    # A tenth of the time is 10 dB less energy; two at once are 3 dB more.
    assert fates([both[0], (2, 0.9, 1.0, -72.1)], Rules(isolation=GOURSAUD), modems) == [OK, OK]
    assert fates([both[0], (2, 0.9, 1.0, -71.9)], Rules(isolation=GOURSAUD), modems)[0] is Fate.INTERFERED
    two = [both[0], (2, 0.0, 1.0, -84.5), (3, 0.0, 1.0, -84.5)]
    apart = replace(SF9, frequency=SF9.frequency + 200_000)
    assert fates(two, Rules(isolation=GOURSAUD), [*modems, SF9])[0] is Fate.INTERFERED
    assert fates(two, Rules(isolation=GOURSAUD), [*modems, apart])[0] is OK


def test_of_several_reasons_the_last_in_order_is_told() -> None:
    modems = [SF9, SF9, replace(SF9, spreading_factor=12)]
    packets = [(1, 0.0, 1.0, -80.0), (2, 0.5, 1.0, -80.0), (3, 0.0, 1.5, -20.0)]
    assert fates(packets, Rules(isolation=GOURSAUD), modems) == [LOST, LOST, OK]
    assert fates(packets, Rules(max_concurrent=1), modems[2:] * 3)[1:] == [LOST, Fate.BUSY]


def test_goursauds_matrix_has_its_corners() -> None:
    assert GOURSAUD[7] == {8: -16, 9: -18, 10: -19, 11: -19, 12: -20}
    assert GOURSAUD[10] == {7: -30, 8: -30, 9: -30, 11: -26, 12: -28}
    assert set(GOURSAUD[12].values()) == {-36}


# --- the receiver -------------------------------------------------------------------------------
def test_a_receiver_follows_so_many_packets_and_no_more() -> None:
    modems = [replace(SF9, frequency=SF9.frequency + 200e3 * number) for number in range(4)]
    packets = [(number + 1, 0.1 * number, 0.35, -80.0) for number in range(4)]
    assert fates(packets, Rules(max_concurrent=4), modems) == [OK] * 4
    assert fates(packets, Rules(max_concurrent=2), modems) == [OK, OK, Fate.BUSY, Fate.BUSY]
    assert fates(packets, Rules(max_concurrent=3), modems) == [OK, OK, OK, Fate.BUSY]
    late = [*packets[:3], (4, 0.35, 0.35, -80.0)]  # begins when the first has ended
    assert fates(late, Rules(max_concurrent=3), modems) == [OK] * 4
    # What is not followed is still on air.
    assert fates([(1, 0, 1, -80), (2, 0.5, 1, -80)], Rules(max_concurrent=1)) == [LOST, LOST]


def test_half_duplex_in_both_orders() -> None:
    for own_begin, own_lasts, fate in (
        (0.5, 0.1, Fate.HALF_DUPLEX),
        (0.0, 1.0, Fate.HALF_DUPLEX),
        (1.9, 1.0, Fate.HALF_DUPLEX),
        (0.0, 0.2, OK),
        (2.0, 1.0, OK),
    ):
        channel, _ = channel_of()
        own, theirs = Transmission(R, SF9, -80, own_lasts), Transmission(1, SF9, -80, 1.8)
        for packet, begin in sorted([(own, own_begin), (theirs, 0.2)], key=lambda one: one[1]):
            channel.begin(packet, begin)
        assert channel.finish(theirs, 2.0)[0].fate is fate
        assert not any(one.receiver == R for one in channel.finish(own, 5))


def test_one_radio_sends_one_packet_at_a_time() -> None:
    channel, _ = channel_of()
    packet = Transmission(1, SF9, -80, 1.0)
    assert channel.begin(packet, 0) == 1
    with pytest.raises(LocalError, match="node 1 is sending"):
        channel.begin(Transmission(1, SF9, -80, 1.0), 0.5)
    with pytest.raises(LocalError):
        channel.finish(packet, 0.9)
    channel.finish(packet, 1)
    with pytest.raises(LocalError):
        channel.finish(packet, 1)
    channel.begin(packet, 1)


def test_a_radio_hears_what_it_is_tuned_to() -> None:
    one = [(1, 0.0, 1.0, -80.0)]
    for listening, fate in (
        (replace(SF9, coding_rate=8, preamble=12), OK),  # the header tells the coding rate
        (replace(SF9, spreading_factor=10), Fate.NOT_TUNED),
        (replace(SF9, bandwidth=250_000), Fate.NOT_TUNED),
        (replace(SF9, frequency=868.3e6), Fate.NOT_TUNED),
        (Listening.OFF, Fate.NOT_TUNED),
        (Listening.ALL, OK),
    ):
        assert fates(one, listening=listening) == [fate]


def test_turning_a_radio_loses_what_it_was_receiving() -> None:
    channel, _ = channel_of()
    packet, later = Transmission(1, SF9, -80, 1.0), Transmission(2, SF9, -80, 1.0)
    channel.begin(packet, 0)
    channel.tune(R, Listening.OFF, 0.5)
    channel.tune(R, SF9, 0.6)
    channel.begin(later, 1.0)
    assert channel.finish(packet, 1)[0].fate is Fate.NOT_TUNED
    assert channel.finish(later, 2)[0].fate is OK


def test_who_is_out_of_reach_hears_nothing_and_who_is_too_weak_only_senses() -> None:
    channel, links = channel_of(listening=SF9)
    packet = Transmission(1, SF9, 0, 1.0)
    for now, (more, told) in enumerate([(-0.1, OK), (0.1, Fate.TOO_WEAK), (2.9, Fate.TOO_WEAK)]):
        links.set(1, R, -FLOOR + more)
        channel.begin(packet, now)
        assert channel.busy(R, now + 0.5)
        assert channel.receiving(R, now + 0.5) == (told is OK)
        assert [one.fate for one in channel.finish(packet, now + 1)] == [told]
    links.set(1, R, -FLOOR + 3.1)
    channel.begin(packet, 5)
    assert not channel.busy(R, 5.5)
    assert channel.finish(packet, 6) == []


# --- carrier sense ------------------------------------------------------------------------------
def test_detection_sees_what_was_there_all_the_while_it_listened() -> None:
    channel, _ = channel_of(listening=SF9)
    assert channel.cad_time(R) == pytest.approx(2 * SYMBOL)
    channel.begin(Transmission(1, SF9, -80, 1.0), 0)
    for at, busy in ((1.9 * SYMBOL, False), (2.1 * SYMBOL, True), (0.999, True), (1.0, False)):
        assert channel.busy(R, at) == busy
    for at, receiving in ((5.9 * SYMBOL, False), (6.1 * SYMBOL, True), (1.0, False)):
        assert channel.receiving(R, at) == receiving
    assert channel.busy(1, 0.5) and not channel.busy(1, 1.0)  # its own packet
    channel.begin(Transmission(2, replace(SF9, spreading_factor=8), -80, 1.0), 2)
    assert not channel.busy(R, 2.5)
    assert channel.cad_time(1) > 0
    channel.tune(R, Listening.OFF, 2.5)
    assert channel.cad_time(R) == 0 and not channel.busy(R, 2.6)


def test_detection_misses_with_its_probability_whatever_others_ask() -> None:
    def asked(miss: float, others: bool) -> list[bool]:
        channel, links = channel_of(sensing=Sensing(cad_miss=miss), listening=SF9)
        links.set(1, 2, 0)
        channel.begin(Transmission(1, SF9, -80, 1.0), 0)
        return [channel.busy(R, 0.5) for _ in range(2000) if not others or channel.busy(2, 0.5) in (0, 1)]

    seen = asked(0.05, others=False)
    assert seen == asked(0.05, others=True)
    # 2,000 draws at 5 %: 100 misses, with a standard deviation of 9.7.
    assert 61 < seen.count(False) < 139
    assert all(asked(0.0, others=False)) and not any(asked(1.0, others=False))


# --- all rules at once --------------------------------------------------------------------------
TIMES = st.integers(0, 400).map(lambda value: value * SYMBOL / 2)
PACKET = st.tuples(
    TIMES,
    st.integers(1, 80).map(lambda value: value * SYMBOL / 2),
    st.sampled_from([-100.0, -97.0, -94.0, -91.0, -70.0]),
    st.sampled_from(
        [SF9, replace(SF9, preamble=12), replace(SF9, spreading_factor=8), replace(SF9, frequency=869e6)]
    ),
)
OWN = st.lists(st.tuples(TIMES, st.integers(1, 40).map(lambda value: value * SYMBOL / 2)), max_size=3)


def plain_reading(
    packets: list[tuple[float, float, float, Modem]], own: list[tuple[float, float]], rules: Rules
) -> list[Fate]:
    """The rules as they stand in docs/simulator.md, each pair looked at on its own."""
    found = []
    followed: list[bool] = []
    for number, (begin, lasts, _, modem) in enumerate(packets):
        end = begin + lasts
        before = [
            other
            for other in range(number)
            if followed[other]
            and sum(packets[other][:2]) > begin
            and not any(packets[other][0] <= at <= begin for at, _ in own)
        ]
        sending_at_begin = any(at <= begin < at + length for at, length in own)
        room = not rules.max_concurrent or len(before) < rules.max_concurrent
        followed.append(room and not sending_at_begin)
        reasons = [Fate.RECEIVED] if room or sending_at_begin else [Fate.BUSY]
        if any(at < end and begin < at + length for at, length in own):
            reasons.append(Fate.HALF_DUPLEX)
        for other, (their_begin, their_lasts, _, theirs) in enumerate(packets):
            same = modem.spreading_factor == theirs.spreading_factor and modem.frequency == theirs.frequency
            apart = their_begin + their_lasts <= begin or end <= their_begin
            if other == number or apart or not same:
                continue
            old, new = sorted((number, other))
            newer = packets[new][3]
            spare = (newer.preamble - 5) * 2**newer.spreading_factor / 125_000
            saved = packets[new][0] + spare >= sum(packets[old][:2])
            stronger = packets[number][2] - packets[other][2] >= rules.capture_db
            if not rules.capture or (not saved and not stronger):
                reasons.append(Fate.COLLIDED)
        found.append(max(reasons))
    return found


@settings(max_examples=400, deadline=None)
@given(st.lists(PACKET, max_size=9), OWN, st.booleans(), st.sampled_from([0, 1, 2]))
def test_every_schedule_is_decided_as_a_plain_reading_of_the_rules_does(
    packets: list[tuple[float, float, float, Modem]],
    own: list[tuple[float, float]],
    capture: bool,
    most: int,
) -> None:
    rules = Rules(capture=capture, max_concurrent=most)
    packets.sort(key=lambda one: one[0])
    own_apart: list[tuple[float, float]] = []
    for at, length in sorted(own):
        if not own_apart or at >= sum(own_apart[-1]):
            own_apart.append((at, length))
    channel, _ = channel_of(rules, senders=len(packets) + 1)
    # In one instant the receiver's own packets are told first.
    schedule = [(at, -1, Transmission(R, SF9, 0, length)) for at, length in own_apart]
    schedule += [
        (begin, number, Transmission(number + 1, modem, rssi, lasts))
        for number, (begin, lasts, rssi, modem) in enumerate(packets)
    ]
    for at, _, packet in sorted(schedule, key=lambda one: one[:2]):
        channel.begin(packet, at)
    found = [channel.finish(packet, 1e9) for _, number, packet in schedule if number >= 0]
    assert [one[0].fate for one in found] == plain_reading(packets, own_apart, rules)


# --- many nodes ---------------------------------------------------------------------------------
def crowd(nodes: int, seed: int) -> tuple[Channel, Links, Modem]:
    """Nodes on a square, each with about ten others in reach."""
    modem = Modem(869.525e6, 9, 125_000, 5)
    model = SuburbanMacro(modem.frequency)
    links = Links(14 - snr_sensitivity(modem))
    side = (nodes * 3.1416 * model.range_m(links.max_loss_db) ** 2 / 10) ** 0.5
    plane, rng = Plane(links, model), random.Random(seed)
    channel = Channel(links, rules=Rules(max_concurrent=1), bands=EU868, seed=seed)
    for node in range(nodes):
        plane.place(node, rng.uniform(0, side), rng.uniform(0, side))
        channel.add(node, modem)
    return channel, links, modem


def play(channel: Channel, modem: Modem, nodes: int, packets: int, seed: int) -> list[tuple[int, ...]]:
    """Packets at random times; returns everything that came of them."""
    rng = random.Random(seed)
    log: list[tuple[int, ...]] = []
    now = 0.0
    on_air: list[tuple[float, int, Transmission]] = []
    for number in range(packets):
        now += rng.expovariate(nodes / 20)
        while on_air and on_air[0][0] <= now:
            end, _, packet = on_air.pop(0)
            log += [(packet.sender, one.receiver, one.fate) for one in channel.finish(packet, end)]
        sender = rng.randrange(nodes)
        if not channel.busy(sender, now):
            packet = Transmission(sender, modem, 14, modem.airtime(40))
            on_air.append((channel.begin(packet, now), number, packet))
    return log


def test_the_same_seed_gives_the_same_outcomes() -> None:
    logs = []
    for seed in (1, 1, 2):
        channel, _, modem = crowd(100, seed)
        logs.append(play(channel, modem, 100, 2000, seed))
    assert logs[0] == logs[1] != logs[2]
    assert {fate for _, _, fate in logs[0]} >= {Fate.RECEIVED, Fate.COLLIDED, Fate.HALF_DUPLEX}
    for packet in range(len(logs[0]) - 1):
        if logs[0][packet][0] == logs[0][packet + 1][0]:
            assert logs[0][packet][1] != logs[0][packet + 1][1]


def test_a_thousand_nodes_cost_what_their_neighbours_cost() -> None:
    """Some 25 microseconds a packet with ten in reach; the bound only shows that it is not all thousand."""
    channel, links, modem = crowd(1000, 1)
    assert 7 < sum(len(links.of(node)) for node in range(1000)) / 1000 < 11
    begin = time.perf_counter()
    log = play(channel, modem, 1000, 5000, 1)
    assert (time.perf_counter() - begin) / 5000 < 0.001
    assert len(log) > 20_000
