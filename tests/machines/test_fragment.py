"""Packets in fragments over a channel that loses, repeats and reorders (N9)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import PACKET_MAX, TRANSFERS_IN
from nexus_node.proto.fragment import OutgoingTransfer, Reassembly
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
    reassembly = Reassembly()
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
    reassembly = Reassembly()
    results = []
    while not transfer.waiting:
        fragment = transfer.next_fragment()
        assert not fragment.ack_wanted
        results.append(reassembly.take(fragment, ordered=True))
    assert results[-1] == (packet, None)
    assert all(result == (None, None) for result in results[:-1])
    assert transfer.finished


def test_a_completed_transfer_is_acknowledged_again_and_not_delivered_again() -> None:
    reassembly = Reassembly()
    assert reassembly.take(Fragment(3, 0, b"ab", last=True), ordered=False) == (b"ab", FragmentAck(3, 1))
    assert reassembly.take(Fragment(3, 0, b"ab", last=True), ordered=False) == (None, FragmentAck(3, 1))
    assert reassembly.is_done(3) and not reassembly.is_done(4)


def test_memory_is_bounded_against_a_hostile_neighbour() -> None:
    reassembly = Reassembly()
    for number in range(256):
        reassembly.take(Fragment(number, 5, bytes(1000)), ordered=False)
    assert len(reassembly._partial) == TRANSFERS_IN
    with pytest.raises(BadWire, match="packet_too_large"):
        for index in range(0x3FFF):
            reassembly.take(Fragment(1, index, bytes(1400)), ordered=False)
    assert 1400 * index <= PACKET_MAX
    reassembly.take(Fragment(2, 9, b"x", last=True), ordered=False)
    with pytest.raises(BadWire, match="fragment_conflict"):
        reassembly.take(Fragment(2, 10, b"x"), ordered=False)
    reassembly.take(Fragment(2, 9, b"x"), ordered=False)
    with pytest.raises(BadWire, match="fragment_conflict"):
        reassembly.take(Fragment(2, 9, b"y"), ordered=False)
