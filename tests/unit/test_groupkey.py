"""Messages sealed once for a group, and the ratchets under an epoch's secret (N11)."""

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import GROUP_AHEAD_MAX
from nexus_node.crypto.groupkey import (
    OVERHEAD,
    EpochKeys,
    OpenedGroupMessage,
    hint_of,
    open_group_message,
    seal_group_message,
)
from nexus_node.crypto.identity import SIGNATURE_SIZE, Identity
from nexus_node.wire.message import Payload

PEOPLE = [Identity.from_seed(bytes([seed]) * 32) for seed in range(1, 6)]
MEMBERS = tuple(sorted(one.node_id for one in PEOPLE))
SECRET = bytes(range(32))
CONTEXT = b"a group and an epoch"


def seal(
    keys: EpochKeys, who: Identity, payload: bytes, *, signed: bool = False, context: bytes = CONTEXT
) -> bytes:
    message, place, chain = seal_group_message(
        keys, MEMBERS, who, payload, context=context, seconds=1_767_225_600, signed=signed
    )
    keys.chains[place] = chain
    return message


def read(
    keys: EpochKeys, message: bytes, *, signed: bool = False, context: bytes = CONTEXT
) -> OpenedGroupMessage:
    opened = open_group_message(keys, MEMBERS, message, context=context, signed=signed)
    keys.chains[opened.place] = opened.chain
    return opened


@pytest.mark.parametrize("signed", [False, True])
def test_n11_a_message_says_who_wrote_it_and_costs_30_or_94_bytes(signed: bool) -> None:
    sender, reader = EpochKeys.of(SECRET), EpochKeys.of(SECRET)
    text = b"x" * 100
    payload = Payload(0, 0, 7, text).encode()
    message = seal(sender, PEOPLE[0], payload, signed=signed)
    opened = read(reader, message, signed=signed)
    assert (opened.sender, opened.payload, opened.seconds) == (PEOPLE[0].node_id, payload, 1_767_225_600)
    assert len(message) - len(text) == (94 if signed else 30)
    assert len(message) - len(payload) == OVERHEAD + signed * SIGNATURE_SIZE


@pytest.mark.parametrize("signed", [False, True])
def test_n11_any_changed_byte_makes_it_unreadable(signed: bool) -> None:
    message = seal(EpochKeys.of(SECRET), PEOPLE[0], b"payload", signed=signed)
    for at in range(len(message)):
        changed = bytearray(message)
        changed[at] ^= 0x10
        with pytest.raises(BadWire):
            read(EpochKeys.of(SECRET), bytes(changed), signed=signed)
    for other in (b"another group", b""):
        with pytest.raises(BadWire, match="bad_group_message"):
            read(EpochKeys.of(SECRET), message, signed=signed, context=other)
    with pytest.raises(BadWire, match="bad_group_message"):
        read(EpochKeys.of(SECRET), message, signed=not signed)
    with pytest.raises(BadWire, match="bad_group_message"):
        read(EpochKeys.of(bytes(32)), message, signed=signed)
    assert read(EpochKeys.of(SECRET), message, signed=signed).payload == b"payload"


def test_n11_in_a_signed_group_a_member_cannot_write_in_anothers_name() -> None:
    """Whoever has the secret can follow everybody's chain, but not sign."""
    mallory, victim = PEOPLE[1], PEOPLE[0]

    class Masked:
        node_id = victim.node_id
        sign = staticmethod(mallory.sign)

    for signed in (False, True):
        forged, _, _ = seal_group_message(
            EpochKeys.of(SECRET), MEMBERS, Masked, b"I owe you", context=CONTEXT, seconds=0, signed=signed
        )
        if signed:
            with pytest.raises(BadWire, match="bad_group_message"):
                read(EpochKeys.of(SECRET), forged, signed=True)
        else:  # as docs/protocol/group.md says of unsigned groups
            assert read(EpochKeys.of(SECRET), forged).sender == victim.node_id


def test_n11_nothing_of_the_sender_shows_and_nothing_repeats() -> None:
    keys = {who: EpochKeys.of(SECRET) for who in PEOPLE}
    messages = [seal(keys[who], who, b"the same") for who in PEOPLE for _ in range(40)]
    assert len({message[:7] for message in messages}) == 1, "kind, time and epoch are the same for all"
    masked = [message[7:11] for message in messages]
    assert len(set(masked)) > 195
    assert all(len({one[at] for one in masked}) > 80 for at in range(4)), "no byte of it tells a sender"
    assert hint_of(messages[0]) == EpochKeys.of(SECRET).hint


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_n11_any_order_and_each_once(order: list[int], again: set[int]) -> None:
    sender, reader = EpochKeys.of(SECRET), EpochKeys.of(SECRET)
    messages = [seal(sender, PEOPLE[0], bytes([number])) for number in range(12)]
    assert [read(reader, messages[number]).payload[0] for number in order] == order
    for number in again:
        with pytest.raises(BadWire, match="group_repeat"):
            read(reader, messages[number])


def test_n11_a_captured_device_does_not_open_what_was_read() -> None:
    """Once its secret is gone: with all that is left of the epoch."""
    sender, reader = EpochKeys.of(SECRET), EpochKeys.of(SECRET)
    messages = [seal(sender, PEOPLE[0], bytes([number])) for number in range(8)]
    for number in (0, 1, 2, 4, 6):
        read(reader, messages[number])
    reader.forget_secret(MEMBERS)
    kept = pickle.dumps(reader)
    assert SECRET not in kept
    for number in (0, 1, 2, 4, 6):
        captured = pickle.loads(kept)
        with pytest.raises(BadWire, match="group_repeat"):
            read(captured, messages[number])
    for number in (3, 5, 7):
        assert read(reader, messages[number]).payload == bytes([number]), "what is still to come does open"
    assert read(reader, seal(EpochKeys.of(SECRET), PEOPLE[2], b"others too")).sender == PEOPLE[2].node_id


def test_n11_the_senders_own_device_does_not_open_what_it_sent() -> None:
    sender = EpochKeys.of(SECRET)
    message = seal(sender, PEOPLE[0], b"gone")
    sender.forget_secret(MEMBERS)
    with pytest.raises(BadWire, match="group_repeat"):
        read(sender, message)


def test_n11_a_liar_about_numbers_costs_a_bounded_number_of_hashes() -> None:
    sender, reader = EpochKeys.of(SECRET), EpochKeys.of(SECRET)
    place = MEMBERS.index(PEOPLE[0].node_id)
    chain = sender.chain(place, MEMBERS)
    chain.counter = GROUP_AHEAD_MAX + 1
    sender.chains[place] = chain
    with pytest.raises(BadWire, match="group_ahead"):
        read(reader, seal(sender, PEOPLE[0], b"far"))
    dice = random.Random(1)
    for _ in range(200):
        with pytest.raises(BadWire):
            read(reader, bytes([3]) + dice.randbytes(60))
    assert not reader.chains
