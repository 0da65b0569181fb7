"""What is under way, and what waits: who is not to be starved, or sent too early (N6)."""

from collections import Counter
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from nexus_node.base.errors import StoreFull
from nexus_node.base.states import State
from nexus_node.crypto.groupkey import COUNTER_MAX
from nexus_node.engine.forward import Forwarder
from nexus_node.engine.group_catchup import _wanted
from nexus_node.engine.group_room import Room
from nexus_node.engine.mailbox import Mailbox, Way
from nexus_node.engine.neighbour import Neighbour
from nexus_node.engine.peers import Attachment
from nexus_node.engine.schedule import Step, order
from nexus_node.wire.packet import Priority

from .mesh import Mesh
from .world import DATAGRAM


class Packer:
    def __init__(self, left: int) -> None:
        self.left, self.used = left, 0

    def add(self, kind: int, body: bytes) -> None:
        self.left -= len(body) + 2


class RadioLink:
    """As much of an attachment as decides what is under way."""

    retry_after, answered, lost = Attachment.retry_after, Attachment.answered, Attachment.lost

    def __init__(self, bps: float = 1000.0) -> None:
        self.cid, self.medium, self.acknowledges = 1, None, True
        self.profile = SimpleNamespace(ordered=False, bps=bps)
        self.link = SimpleNamespace(
            room=200, mtu=220, rtt=0.2, rto=1.0, peer=b"p" * 32, measured=lambda rtt: None
        )
        self.unacknowledged, self.window, self.transfers = 0, 4096, 0

    @property
    def window_open(self) -> bool:
        return self.unacknowledged < self.window

    def number_transfer(self) -> int:
        self.transfers += 1
        return self.transfers % 256


def test_n6_bulk_gets_a_place_however_much_is_urgent_on_a_shared_medium() -> None:
    """There every packet goes as a transfer, of which only so many may be under way."""
    link = RadioLink()
    link.window = 10**9
    forwarder = Forwarder(
        SimpleNamespace(), counters=Counter(), arm=lambda at: None, wake=lambda _: None, dead=lambda _: None
    )
    transit = forwarder._transit(link)
    for number in range(20):
        forwarder.enqueue(link, bytes((66 + number,)) * 150, Priority.BULK, b"d" * 16)
    fills = {
        Step.TRANSIT_URGENT: lambda packer, now: forwarder.fill(link, packer, (Priority.INTERACTIVE,)),
        Step.TRANSIT_LARGE: lambda packer, now: forwarder.fill_large(link, packer, now, bulk=False),
        Step.BULK: lambda packer, now: forwarder.fill(link, packer, (Priority.BULK,)),
        Step.BULK_LARGE: lambda packer, now: forwarder.fill_large(link, packer, now, bulk=True),
    }
    arrived: Counter[Priority] = Counter()
    for frame in range(400):
        while len(transit.queues[Priority.INTERACTIVE]) < 10:
            forwarder.enqueue(
                link,
                b"%08d" % (frame * 100 + len(transit.here)) + b"u" * 142,
                Priority.INTERACTIVE,
                b"d" * 16,
            )
        packer = Packer(200)
        for step in order(frame, paused=False, short=False):
            if step in fills:
                fills[step](packer, float(frame))
        for one in [one for one in transit.transfers if one.transfer.waiting and frame >= one.went + 4]:
            forwarder._end(transit, one)
            arrived[one.priority] += 1
    assert arrived[Priority.BULK] == 20
    assert arrived[Priority.INTERACTIVE] > 300


def a_mailbox(link: RadioLink, *rows: SimpleNamespace) -> Mailbox:
    mailbox = Mailbox(b"o" * 16, b"t" * 32, Way(link), lambda at: None)
    mailbox.backlog = mailbox.holding = False
    mailbox._packet = lambda row: b"p" * row.size
    mailbox.ready.extend(rows)
    return mailbox


def a_row(number: int, size: int) -> SimpleNamespace:
    name = b"%032d" % number
    return SimpleNamespace(id=name, object=name, size=size, state=State.QUEUED)


def test_n6_what_is_put_off_for_the_air_leaves_the_window_to_texts() -> None:
    link = RadioLink()
    mailbox = a_mailbox(link, *(a_row(number, 190) for number in range(40)))
    while list(mailbox.fill_messages(Packer(200), 0.0, lambda *_: False)):
        pass
    assert not link.window_open
    for flight in mailbox.late(1e6):
        mailbox.put_off(flight, 1e6 + 3000)
    assert link.unacknowledged == 0 and link.window_open


def test_n9_what_was_refused_for_now_waits_though_later_texts_arrive(monkeypatch) -> None:
    """A receipt shows that an earlier text is lost, but not one that was turned away."""
    mesh = Mesh("alice", "bob")
    mesh.knows("alice", "bob")
    mesh.join("alice", "bob", DATAGRAM)
    mesh.run(5)
    for one in mesh["alice"].core.attachments.values():
        one.link.rtt = 0.1
    inbound = mesh["bob"].core._inbound
    keep = inbound._keep

    def full(message, ms):
        if "refused" in str(message.text):
            raise StoreFull("the store is full")
        return keep(message, ms)

    monkeypatch.setattr(inbound, "_keep", full)
    mesh.send("alice", "bob", "refused")
    mesh.run(0.5)
    for number in range(20):
        mesh.send("alice", "bob", f"text {number}")
        mesh.run(0.3)
    assert len(mesh["bob"].inbox()) == 20
    assert mesh["bob"].core.counters["refused_store_full"] == 1


def test_n4_news_put_off_for_a_wire_goes_when_the_neighbour_is_on_the_air_now() -> None:
    def link(medium: SimpleNamespace | None) -> SimpleNamespace:
        one = RadioLink(1e6)
        one.medium = medium
        return one

    never = float("inf")
    medium = SimpleNamespace(tell_at=never, gossip=SimpleNamespace(rate=1.0), owing={}, quiet_until=never)
    neighbour = Neighbour(b"p" * 32, link(None), 0.0, {})
    neighbour.owe(b"a" * 16, by=10.0)
    neighbour.use(link(medium), 1.0)
    assert medium.tell_at <= 1.0 >= medium.quiet_until and neighbour.peer in medium.owing
    neighbour.told(1.5)
    neighbour.owe(b"b" * 16, by=50.0)
    neighbour.use(link(None), 2.0)
    assert neighbour.has_news(2.0)


def test_n12_a_chain_that_has_come_to_its_end_can_be_named() -> None:
    """A member that lets its numbers run out crashes nobody."""
    epoch = b"e" * 32
    chain = SimpleNamespace(counter=COUNTER_MAX + 1, skipped={})
    room = SimpleNamespace(
        keys={epoch: SimpleNamespace(chains={3: chain})},
        state=SimpleNamespace(epoch=epoch),
        group=SimpleNamespace(id=b"g" * 16),
        log=MagicMock(**{"__contains__.return_value": True, "epoch_number.return_value": 1}),
    )
    lack, more = Room.lack(room)
    (named,) = lack.epochs
    assert named[1] == ((3, COUNTER_MAX),) and lack.encode() and not more


def test_n11_what_a_node_has_nothing_of_is_asked_for_on_one_of_the_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of every other epoch nothing has come here, not even its key."""
    monkeypatch.setattr("nexus_node.engine.group_room.LACK_MAX", 60)
    epochs = {bytes([number]) * 16: number for number in range(1, 42)}
    chain = SimpleNamespace(counter=1, skipped={})
    room = SimpleNamespace(
        keys={one: SimpleNamespace(chains={3: chain}) for one, number in epochs.items() if number % 2},
        state=SimpleNamespace(epoch=max(epochs)),
        group=SimpleNamespace(id=b"g" * 16),
        log=MagicMock(
            **{
                "__contains__.return_value": True,
                "epoch_number": epochs.__getitem__,
                "epoch_called": lambda name: next(one for one in epochs if one.startswith(name)),
            }
        ),
    )
    asked: set[int] = set()
    page, more = 0, True
    while more:
        lack, more = Room.lack(room, page)
        first, last = _wanted(room, lack)
        asked |= {number for number in epochs.values() if first <= number <= last}
        page += 1
    assert page > 3 and asked == set(epochs.values())
