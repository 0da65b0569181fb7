"""Groups on a radio channel: one broadcast for all in range, asked for once, letters for the rest (N11)."""

import gc
import random

import pytest

from nexus_node.base.states import State
from nexus_node.ports.driver import LinkProfile
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.group import Permissions
from nexus_node.wire.packet import Context

from .world import Air, Host

SF8 = LinkProfile(mtu=255, bps=3125, half_duplex=True, shared=True)
"""LoRa at spreading factor 8, 125 kHz, coding rate 4/5."""
TEXT = "The bridge at the mill is closed, come over the dam and bring the long ropes and two lamps with you."

COUNTED = {Context.MESSAGE, Context.RECEIPTS, Context.GROUP, Context.GROUP_CHECK, Context.GROUP_HAVE}
COUNTED |= {-ItemKind.FRAGMENT, -ItemKind.FRAGMENT_ACK}


class Camp:
    """People within range of one another, all contacts, in one group that the first has made."""

    def __init__(self, count: int, *, loss: float = 0.0, seed: int = 1, settle: float = 900) -> None:
        self.hosts = [Host(number) for number in range(1, count + 1)]
        for host in self.hosts:
            for number, other in enumerate(self.hosts):
                if other is not host:
                    host.core.contacts.add(f"m{number}", other.uri, 0)
            host.core.commit()
        self.air = Air(self.hosts, SF8, random.Random(seed), loss=loss)
        self.now = 0.0
        self.spent = 0
        self.packets: list[bytes] = []
        for host in self.hosts:
            self.meter(host)
        self.run(300)
        self.hosts[0].core.groups.create("camp", self.now)
        for number in range(1, count):
            self.hosts[0].core.groups.add("camp", f"m{number}", self.now)
        self.run(settle)

    def run(self, seconds: float) -> None:
        self.now = self.air.run(self.now, self.now + seconds)

    def meter(self, host: Host) -> None:
        """Count the frames that carry messages, what answers them, and what groups say on the air."""
        pull = host.core.next_frame

        def next_frame(cid: int, now: float) -> bytes | None:
            host.core.latest = []
            frame = pull(cid, now)
            kinds = {body[2] if kind == ItemKind.PACKET else -kind for kind, body in host.core.latest}
            if frame is not None and kinds & COUNTED:
                self.spent += len(frame)
                self.packets += [body for kind, body in host.core.latest if kind == ItemKind.PACKET]
            return frame

        host.core.next_frame = next_frame

    def say(self, who: int, text: str) -> bytes:
        core = self.hosts[who].core
        core._now = self.now
        message = core.groups.send("camp", text, self.now)
        core.commit()
        return message

    def have(self, text: str) -> int:
        return sum(text in host.inbox() for host in self.hosts)


@pytest.mark.soak  # 40 s: hours of twenty nodes
def test_n11_one_broadcast_reaches_a_group_of_20_within_range() -> None:
    camp = Camp(20, settle=3600)  # until each has heard the next HELLO of those it had no link with
    views = [host.core.groups.get("camp").state for host in camp.hosts]
    assert all(view == views[0] for view in views) and len(views[0].members) == 20
    media = [medium for host in camp.hosts for medium in host.core.media.values()]
    links = min(sum(one.link.up for one in medium.links.values()) for medium in media)
    assert links == 19, "members in range have links, so that each opens the others' broadcasts"
    camp.spent = 0
    message = camp.say(7, TEXT)
    camp.run(20)
    assert camp.have(TEXT) == 19
    assert camp.hosts[7].core.counters["group_broadcasts"] == 1
    alone = camp.spent
    camp.run(120)
    assert camp.hosts[7].core.groups.state_of(message) is State.DELIVERED
    assert camp.hosts[7].core.counters["group_broadcasts"] == 1
    known, camp.spent = camp.spent, 0
    camp.hosts[7].core.groups.air.message = lambda *args: set()
    camp.say(7, TEXT[::-1])
    camp.run(300)
    assert camp.have(TEXT[::-1]) == 19
    print(f"100 characters to 19: {alone} bytes, {known} until it is known; by letters {camp.spent}")
    assert alone < 200 and known < camp.spent / 3


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_n11_what_a_broadcast_did_not_bring_comes_again_or_by_letter(loss: float) -> None:
    camp = Camp(8, loss=loss)
    messages = [camp.say(who, f"{TEXT} {who}") for who in (2, 5, 2)]
    camp.run(3600)
    for who, message in zip((2, 5, 2), messages, strict=True):
        assert camp.hosts[who].core.groups.state_of(message) is State.DELIVERED
    assert camp.have(f"{TEXT} 2") == camp.have(f"{TEXT} 5") == 7
    for host in camp.hosts:
        assert len(host.inbox()) == len({row.id for row in host.store.inbox()})


def test_n11_a_rotation_costs_each_member_its_key_and_all_one_operation() -> None:
    camp = Camp(12, settle=3600)
    camp.spent, camp.packets = 0, []
    camp.hosts[0].core._now = camp.now
    camp.hosts[0].core.groups.rotate("camp", camp.now)
    camp.run(120)
    epoch = camp.hosts[0].core.groups.get("camp").state.epoch
    assert all(epoch in host.core.groups.get("camp").keys for host in camp.hosts)
    letters = {packet for packet in camp.packets if packet[2] == Context.MESSAGE}
    told = [packet for packet in camp.packets if packet[2] == Context.GROUP]
    assert len(letters) >= 10 and {len(packet) for packet in letters} == {101} and len(told) == 1
    payload = 11 * 101 + len(told[0])  # one or the other letter may have gone in fragments
    print(f"a rotation for 12: {payload} bytes of payload, {camp.spent} of frames with receipts and repeats")
    assert 49 * 101 + len(told[0]) <= 5500, "of 50 members"
    assert camp.spent / 11 < 250


def test_n11_a_broadcast_that_nobody_confirmed_before_a_crash_is_not_lost() -> None:
    camp = Camp(4)
    camp.air.loss = 1.0
    message = camp.say(1, TEXT)
    camp.run(15)
    camp.air.loss = 0.0
    host = camp.hosts[1]
    camp.air.cids[1] = None
    host.core.carrier_down(next(iter(host.core.media)), "off", camp.now)
    host.start(camp.now)
    camp.air.cids[1] = host.core.carrier_up(SF8, "radio", dialed=True, now=camp.now)
    camp.run(600)
    assert camp.have(TEXT) == 3 and host.core.groups.state_of(message) is State.DELIVERED


def test_n11_what_waits_for_a_radio_that_is_taken_away_goes_in_letters() -> None:
    camp = Camp(4)
    host = camp.hosts[1]
    message = camp.say(1, TEXT)
    air = host.core.groups.air
    assert air.under_way == [message] and len(air._queues) == 1
    host.core.carrier_down(next(iter(host.core.media)), "unplugged", camp.now)
    camp.air.cids[1] = host.core.carrier_up(SF8, "another radio", dialed=True, now=camp.now)
    camp.run(600)
    assert camp.have(TEXT) == 3 and host.core.groups.state_of(message) is State.DELIVERED
    gc.collect()
    assert not air.under_way and not air._queues, "nothing of the old one is left"


def test_n11_who_was_out_of_range_has_from_others_what_somebody_said_who_has_gone() -> None:
    camp = Camp(6, settle=3600)
    away, gone = camp.hosts[3], camp.hosts[1]
    camp.air.deaf = {frozenset((id(away), id(one))) for one in camp.hosts}
    camp.run(4000)
    for number in range(5):
        camp.say(1, f"{number} {TEXT}")
        camp.run(120)
    camp.air.deaf |= {frozenset((id(gone), id(one))) for one in camp.hosts}
    camp.run(600)
    assert not away.inbox()
    camp.air.deaf = {pair for pair in camp.air.deaf if id(gone) in pair}
    camp.run(1800)  # until it has heard somebody's HELLO
    assert sorted(away.inbox()) == [f"{number} {TEXT}" for number in range(5)]


def test_n12_who_misses_an_operation_on_the_air_asks_for_it() -> None:
    camp = Camp(4)
    deaf = camp.hosts[3].core.groups
    hear, deaf.hear = deaf.hear, lambda *args: None
    camp.hosts[0].core._now = camp.now
    camp.hosts[0].core.groups.promote("camp", "m1", Permissions.FULL, camp.now)
    camp.hosts[0].core.groups.rotate("camp", camp.now)
    camp.run(20)
    deaf.hear = hear
    camp.run(200)
    states = [host.core.groups.get("camp").state for host in camp.hosts]
    assert all(one == states[0] for one in states) and len(states[0].co_admins) == 1
    assert states[0].epoch in camp.hosts[3].core.groups.get("camp").keys
