"""Packets in fragments over a channel that loses, repeats and reorders (N9)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import PACKET_MAX, TRANSFERS_IN
from nexus_node.proto.fragment import OutgoingTransfer, Reassembly, ReassemblyBudget
from nexus_node.wire.fragments import (
    Fragment,
    FragmentAck,
    parse_fragment_ack_untrusted,
    parse_fragment_untrusted,
)


@settings(deadline=None, max_examples=80)
@given(
    size=st.integers(1, 20_000),
    step=st.integers(20, 1400),
    loss=st.floats(0, 0.4),
    seed=st.integers(0, 2**32),
)
def test_packet_arrives_whole_whatever_the_channel_does(size: int, step: int, loss: float, seed: int) -> None:
    dice = random.Random(seed)
    packet = dice.randbytes(size)
    transfer = OutgoingTransfer(9, packet, step, ordered=False)
    reassembly = Reassembly(ReassemblyBudget())
    arrived, sent = [], 0
    for _ in range(3000):
        burst = []
        while not transfer.waiting and len(burst) < 20:
            burst.append(transfer.next_fragment().encode())
            sent += len(burst[-1])
        if loss:
            dice.shuffle(burst)
        acks = []
        for data in burst:
            for _ in range(dice.choice((1, 1, 2)) if loss else 1):
                if dice.random() < loss:
                    continue
                done, ack = reassembly.take(parse_fragment_untrusted(data), ordered=False)
                arrived += [done] if done is not None else []
                acks += [ack.encode()] if ack is not None else []
        for data in acks:
            if dice.random() >= loss:
                transfer.acknowledged(parse_fragment_ack_untrusted(data))
        if transfer.finished:
            break
        if not acks:
            transfer.timed_out()
    assert arrived == [packet]
    assert transfer.finished and transfer.bytes_acknowledged == size
    if loss == 0:
        assert sent <= size + 3 * (size // (step - 3) + 1)  # nothing was repeated


def test_ordered_carriers_are_spared_acknowledgements() -> None:
    packet = bytes(range(256)) * 40
    transfer = OutgoingTransfer(0, packet, 500, ordered=True)
    reassembly = Reassembly(ReassemblyBudget())
    results = []
    while not transfer.waiting:
        fragment = transfer.next_fragment()
        assert not fragment.ack_wanted
        results.append(reassembly.take(fragment, ordered=True))
    assert results[-1] == (packet, None)
    assert all(result == (None, None) for result in results[:-1])
    assert transfer.finished


def test_a_completed_transfer_is_acknowledged_again_and_not_delivered_again() -> None:
    reassembly = Reassembly(ReassemblyBudget())
    assert reassembly.take(Fragment(3, 0, b"ab", last=True), ordered=False) == (b"ab", FragmentAck(3, 1))
    assert reassembly.take(Fragment(3, 0, b"ab", last=True), ordered=False) == (None, FragmentAck(3, 1))
    assert reassembly.is_done(3) and not reassembly.is_done(4)


def test_memory_is_bounded_against_a_hostile_neighbour() -> None:
    reassembly = Reassembly(ReassemblyBudget())
    for number in range(256):
        reassembly.take(Fragment(number, 5, bytes(1000)), ordered=False)
    assert len(reassembly._partial) == TRANSFERS_IN
    with pytest.raises(BadWire, match="packet_too_large"):
        for index in range(0x3FFF):
            reassembly.take(Fragment(1, index, bytes(1400)), ordered=False)
    assert 1400 * index <= PACKET_MAX


def test_a_contradicting_fragment_begins_a_new_packet() -> None:
    reassembly = Reassembly(ReassemblyBudget())
    for stale, fresh in (
        (Fragment(2, 1, b"old", last=True), Fragment(2, 2, b"c", last=True)),
        (Fragment(2, 1, b"old"), Fragment(2, 1, b"b")),
        (Fragment(2, 7, b"old"), Fragment(2, 2, b"c", last=True)),
        (Fragment(2, 1, b"old", last=True), Fragment(2, 2, b"c", last=True)),
    ):
        reassembly.clear()
        reassembly.take(stale, ordered=True)
        reassembly.take(fresh, ordered=True)
        parts = [Fragment(2, 0, b"a"), Fragment(2, 1, b"b"), Fragment(2, 2, b"c", last=True)]
        done = [reassembly.take(part, ordered=True)[0] for part in parts if part.index != fresh.index]
        assert done[-1] == b"abc"


def test_all_links_together_have_one_budget_and_the_oldest_goes() -> None:
    budget = ReassemblyBudget(10_000)
    links = [Reassembly(budget) for _ in range(20)]
    for link in links:
        link.take(Fragment(0, 1, bytes(850), last=True), ordered=True)
    alive = [link for link in links if link._partial]
    assert alive == links[-10:]
    for link in alive:
        assert link.take(Fragment(0, 0, b"x"), ordered=True)[0] is not None
    assert budget._left == 10_000
