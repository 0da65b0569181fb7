"""A whole engine under hostile frames: nothing but BadWire counters comes of them, and nothing grows (M5).

The parsers are fuzzed alone in test_parsers; here the state machines behind them meet sequences: handshakes
with wrong payloads, keys that are no node's, repeats, items in any order over a proper link.
"""

import random
from collections.abc import Callable
from copy import copy
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_node.base import limits
from nexus_node.base.errors import BadWire, CarrierClosed, LocalError
from nexus_node.base.ids import Address
from nexus_node.crypto.filestream import file_receipt
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.noise import Handshake, KeyPair
from nexus_node.engine.attach import seal_attachment
from nexus_node.engine.relay import RelayPolicy
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.handshake import PROLOGUE
from nexus_node.proto.link import Link
from nexus_node.proto.session import Session
from nexus_node.wire.announce import Serve
from nexus_node.wire.custody import Delivered
from nexus_node.wire.dataobject import KIND_VERSION, ObjectHeader, describe
from nexus_node.wire.fragments import Fragment, FragmentAck
from nexus_node.wire.frames import (
    BroadcastShare,
    Capabilities,
    Final,
    FrameKind,
    Hello,
    ItemKind,
    ItemPacker,
    Opening,
    Reply,
    encode_items,
    parse_frame_untrusted,
)
from nexus_node.wire.mutable import Fork, Record, RecordAnswer, RecordRequest
from nexus_node.wire.packet import Context, Packet, Refusal
from nexus_node.wire.pub import (
    HINT_SIZE,
    KIND_PUBLISHED,
    Mode,
    Published,
    Reference,
    Subscription,
    topic_of,
)
from nexus_node.wire.tlv import Tlvs
from nexus_node.wire.transfer import Ask, Chunk, Offer
from tests.machines.mesh import MeshHost
from tests.machines.world import DATAGRAM, STREAM, WALL, Host, SeededRng
from tests.unit.test_hashtree import pages_of

from .mutate import mutate

SHARED = LinkProfile(mtu=255, bps=10_000, half_duplex=True, shared=True)
PROFILES = [STREAM, DATAGRAM, SHARED]
STEPS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2**32 - 1)), min_size=1, max_size=25)


def no_nodes_key(rng: SeededRng) -> KeyPair:
    """A key pair that agrees on secrets as any does, though its public half is no node id's view.

    (u, v) + (0, 0) is (1/u, ...) on a Montgomery curve, and scalars, being even, cannot tell.
    """
    pair = KeyPair.generate(rng)
    p = 2**255 - 19
    u = pow(int.from_bytes(pair.public, "little"), -1, p)
    return KeyPair(pair.secret, u.to_bytes(32, "little"))


class Stranger:
    """Speaks the handshake by hand, and everything around it wrongly."""

    def __init__(self, host: Host, profile: LinkProfile, *, dialed: bool) -> None:
        self.host, self.profile = host, profile
        self.rng = SeededRng(7)
        self.now = 1.0
        self.sent: list[bytes] = [b"\x07"]
        self.index = 0
        self.noise: Handshake | None = None
        self.session: Session | None = None
        self.cid = host.core.carrier_up(profile, "stranger", dialed=dialed, now=self.now)
        self.opening: Opening | None = None

    def static(self, dice: random.Random) -> KeyPair:
        """A proper node's key, or one that belongs to no node id."""
        if dice.random() < 0.6:
            return Identity.from_seed(dice.randbytes(32)).static
        return no_nodes_key(self.rng)

    def capabilities(self, dice: random.Random) -> bytes:
        share = BroadcastShare(dice.randrange(3), dice.randrange(256), bytes(16))
        good = Capabilities(1400).encode(), Capabilities(255, share).encode()
        return dice.choice([*good, b"", b"\0\0", dice.randbytes(5)])

    def say(self, frame: bytes) -> None:
        self.sent.append(frame)
        self.host.core.deliver(self.cid, frame, None, self.now)

    def hear(self) -> None:
        """Take what the node sends, and go on with the handshake as far as it is one."""
        while True:
            try:
                frame = self.host.core.next_frame(self.cid, self.now)
            except CarrierClosed:
                self.host.core.carrier_down(self.cid, "closed", self.now)
                self.cid = self.host.core.carrier_up(self.profile, "stranger", dialed=False, now=self.now)
                self.session = self.noise = None
                return
            if frame is None:
                return
            assert len(frame) <= self.profile.mtu
            parsed = parse_frame_untrusted(frame)
            if isinstance(parsed, Opening):
                self.opening = parsed
            if isinstance(parsed, Reply) and self.noise is not None:
                self.index = parsed.sender
                try:
                    self.noise.read(parsed.noise)
                except (BadWire, LocalError):  # not the reply to the last opening, or one more
                    continue

    def act(self, step: int, seed: int) -> None:
        dice = random.Random(seed)
        s = self.static(dice)
        theirs = self.host.identity.static.public
        match step:
            case 0:
                self.say(mutate(dice.choice(self.sent), seed))
            case 1:
                self.say(dice.choice(self.sent))
            case 2:
                self.noise = Handshake("XX", initiator=True, prologue=PROLOGUE, rng=self.rng, s=s)
                self.say(Opening(FrameKind.XX1, dice.randrange(65536), b"", self.noise.write()).encode())
            case 3:
                self.noise = Handshake("IK", initiator=True, prologue=PROLOGUE, rng=self.rng, s=s, rs=theirs)
                message = self.noise.write(self.capabilities(dice))
                self.say(Opening(FrameKind.IK1, dice.randrange(65536), b"", message).encode())
            case 4 | 5 if self.noise is not None:
                noise = copy(self.noise)  # so that there can be several last messages
                try:
                    message = noise.write(self.capabilities(dice))
                except LocalError:  # it is not our turn
                    return
                self.say(Final(self.index, message).encode())
                if step == 5:
                    self.noise = noise
            case 6 if self.opening is not None:
                answer = self.opening
                pattern = "XX" if answer.kind == FrameKind.XX1 else "IK"
                noise = Handshake(pattern, initiator=False, prologue=PROLOGUE, rng=self.rng, s=s)
                try:
                    noise.read(answer.noise)
                except BadWire:
                    return
                kind = FrameKind.XX2 if pattern == "XX" else FrameKind.IK2
                self.say(Reply(kind, 1, answer.sender, noise.write(self.capabilities(dice))).encode())
            case 7 if self.noise is not None and self.noise.finished:
                send, receive = self.noise.split()
                index = self.index if self.profile.shared else None
                self.session = Session(send, receive, self.noise.hash, index, self.now)
                self.say(self.session.seal(b""))
            case 8 | 9 if self.session is not None:
                self.say(self.session.seal(mutate(hostile_items(dice), seed)[:200]))
            case 11 if self.profile.shared:
                who = self.host.identity if seed % 9 == 0 else Identity.from_seed(dice.randbytes(32))
                self.say(Hello(dice.randrange(4), who.node_id).encode())
            case 10:
                self.now += dice.choice([0.1, 2.0, 20.0, 4000.0])
                self.host.core.expire(self.now)
            case _:
                self.hear()


def hostile_items(dice: random.Random) -> bytes:
    """Items as only somebody with keys can send them."""
    items = []
    for _ in range(dice.randrange(1, 6)):
        number, index = dice.randrange(256), dice.choice([0, 0, 1, 5, 0x3FFF])
        blob = dice.randbytes(dice.randrange(80))
        bodies = {
            ItemKind.PING: b"x",
            ItemKind.REKEY: blob,
            ItemKind.REKEY_REPLY: blob,
            ItemKind.CLOSE: blob,
            ItemKind.FRAGMENT: Fragment(
                number % 3, index, blob + b"x", dice.random() < 0.3, dice.random() < 0.5
            ).encode(),
            ItemKind.FRAGMENT_ACK: FragmentAck(number % 3, index, dice.getrandbits(40)).encode(),
            ItemKind.PACKET: Packet(dice.choice([*Context, 9]), blob).encode(),
            99: blob,
        }
        kind = dice.choice([*bodies])
        weights = [Packet(Context.REFUSAL, Refusal(dice.randrange(7), bytes(8)).encode()).encode()]
        items.append((kind, dice.choice([bodies[kind]] * 4 + (weights if kind == ItemKind.PACKET else []))))
    return encode_items(items)


def check_sequence(profile: LinkProfile, dialed: bool, steps: list[tuple[int, int]]) -> None:
    host = Host(1)
    stranger = Stranger(host, profile, dialed=dialed)
    for step, seed in steps:
        stranger.act(step, seed)
        host.drain()
    assert not host.inbox()
    host.store.close()


@pytest.mark.parametrize("dialed", [False, True])
@pytest.mark.parametrize("profile", PROFILES, ids=["stream", "datagram", "shared"])
def test_engine_stands_sequences_of_a_stranger(profile: LinkProfile, dialed: bool) -> None:
    _sequences(profile, dialed, 60)


@pytest.mark.fuzz
@pytest.mark.parametrize("dialed", [False, True])
@pytest.mark.parametrize("profile", PROFILES, ids=["stream", "datagram", "shared"])
def test_engine_stands_many_sequences_of_a_stranger(profile: LinkProfile, dialed: bool) -> None:
    _sequences(profile, dialed, 2_000)


def _sequences(profile: LinkProfile, dialed: bool, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def run(steps: list[tuple[int, int]]) -> None:
        check_sequence(profile, dialed, steps)

    run()


@pytest.mark.parametrize("profile", PROFILES[:2], ids=["stream", "datagram"])
@pytest.mark.parametrize("what", ["capabilities", "key"])
def test_a_last_handshake_message_that_is_refused_can_come_again(profile: LinkProfile, what: str) -> None:
    """A stranger must not bring the handshake into a state where its next message is our bug."""
    host = Host(1)
    stranger = Stranger(host, profile, dialed=False)
    good = Identity.from_seed(bytes(32)).static
    static = no_nodes_key(SeededRng(3)) if what == "key" else good
    stranger.noise = Handshake("XX", initiator=True, prologue=PROLOGUE, rng=stranger.rng, s=static)
    stranger.say(Opening(FrameKind.XX1, 1, b"", stranger.noise.write()).encode())
    stranger.hear()
    payload = b"" if what == "capabilities" else Capabilities(1400).encode()
    final = Final(stranger.index, stranger.noise.write(payload)).encode()
    for _ in range(3):
        stranger.say(final)
    assert host.core.counters["bad_capabilities" if what == "capabilities" else "bad_node_id"] == 3


def test_an_opening_with_a_key_of_no_node_does_not_end_our_own_trying() -> None:
    """A forged opening from a configured peer's address: the node goes on dialing it (N3)."""
    host = Host(1)
    stranger = Stranger(host, DATAGRAM, dialed=True)
    for seed in range(40):  # of two crossing openings the one with the lower key leads
        key = KeyPair.generate(SeededRng(seed))
        noise = Handshake(
            "IK",
            initiator=True,
            prologue=PROLOGUE,
            s=no_nodes_key(SeededRng(seed + 100)),
            rs=host.identity.static.public,
            e=key,
        )
        stranger.say(Opening(FrameKind.IK1, 1, b"", noise.write(Capabilities(1400).encode())).encode())
    assert host.core.counters["bad_node_id"] > 5
    stranger.hear()
    stranger.opening = None
    host.core.expire(100.0)
    stranger.now = 100.0
    stranger.hear()
    assert stranger.opening is not None


# --- a neighbour with a proper link -----------------------------------------------------------------
class Neighbour:
    """Our own link machine in hostile hands: proper keys, any items."""

    def __init__(self, host: Host, profile: LinkProfile, seed: int = 66) -> None:
        self.host = host
        self.identity = Identity.from_seed(bytes([seed]) * 32)
        self.now = 0.0
        self.cid = host.core.carrier_up(profile, "neighbour", dialed=False, now=0.0)
        self.link = Link(self.identity, profile, SeededRng(seed), dialed=True, known=None, now=0.0)
        for _ in range(4):
            while (frame := self.link.poll_handshake()) is not None:
                host.core.deliver(self.cid, frame, None, self.now)
            self.hear()
        assert self.link.up and host.core.attachments[self.cid].link.up

    def hear(self) -> list[tuple[int, bytes]]:
        """Everything the node wants to send now: the items that are not the link's own."""
        items = []
        while (frame := self.host.core.next_frame(self.cid, self.now)) is not None:
            items += self.link.receive(frame, self.now)
        return items

    def say(self, *items: tuple[int, bytes]) -> None:
        """Items in as many frames as they need."""
        packer = ItemPacker(self.link.room)
        for kind, body in items:
            if len(body) > packer.left:
                self._flush(packer)
                packer = ItemPacker(self.link.room)
            packer.add(kind, body)
        self._flush(packer)

    def _flush(self, packer: ItemPacker) -> None:
        self.host.core.deliver(self.cid, self.link.seal(packer.items, self.now), None, self.now)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30))
def test_engine_stands_any_items_of_a_neighbour(seeds: list[int]) -> None:
    host = Host(1)
    neighbour = Neighbour(host, DATAGRAM)
    for seed in seeds:
        dice = random.Random(seed)
        body = mutate(hostile_items(dice), seed)[:1000]
        host.core.deliver(neighbour.cid, neighbour.link.seal([(ItemKind.PADDING, b"")], 0.0), None, 0.0)
        session = neighbour.link._session
        assert session is not None
        host.core.deliver(neighbour.cid, session.seal(body), None, 0.0)
        host.drain()
    host.store.close()


Draw = Callable[[random.Random], tuple[int, bytes]]


def _say_all(host: Host, neighbour: Neighbour, item: Draw, seeds: list[int]) -> None:
    """One item for each seed, some of them damaged; the node has its turn between most, and time passes."""
    for seed in seeds:
        dice = random.Random(seed)
        kind, body = item(dice)
        neighbour.say((kind, mutate(body, seed) if dice.random() < 0.2 else body))
        if dice.random() < 0.7:
            neighbour.hear()
        if dice.random() < 0.1:
            neighbour.now += dice.choice([0.1, 3.0, 70.0])
            host.core.expire(neighbour.now)
        host.drain()


class Transfers:
    """A node that expects a file of a neighbour's message, offers that neighbour one and keeps one for it."""

    def __init__(self) -> None:
        policy = RelayPolicy(serve=Serve.ANYONE, interval_s=0.0, per_day=(10**6, 10**6), quota_bytes=10**6)
        self.host = MeshHost(1, "host", policy)
        self.neighbour = Neighbour(self.host, STREAM)
        self.files = [
            seal_attachment("x", bytes([n]) * 30_000, media_type="", key=bytes([n]) * 32) for n in range(3)
        ]
        expected, outgoing, kept = self.files
        host, core = self.host, self.host.core
        other = Host(9)
        other.core.contacts.add("host", host.uri, 0)
        row = other.core.send("host", "look", files=[expected], now=0.0)
        self.neighbour.say((ItemKind.PACKET, Packet(Context.MESSAGE, row.envelope).encode()))
        self.neighbour.say(self.packet(Context.OFFER_OBJECT, Offer(expected.header).encode()))
        core.contacts._put(_contact_of(self.neighbour))
        core.send("mallory", "look", files=[outgoing], now=0.0)
        to = self.neighbour.identity.address
        offer = Offer(kept.header).encode()
        self.neighbour.say(self.packet(Context.OFFER_OBJECT, offer, to, ((1, bytes(16)),)))
        self.neighbour.hear()
        host.drain()
        assert core.fetcher.under_way == 2 and core.delivery.served(outgoing.header.id[:8], to)

    @staticmethod
    def packet(context: int, data: bytes, to: Address | None = None, tlvs: Tlvs = ()) -> tuple[int, bytes]:
        return ItemKind.PACKET, Packet(context, data, to, tlvs=tlvs).encode()

    def item(self, dice: random.Random) -> tuple[int, bytes]:
        """One item about these files, or others, right in some ways and wrong in others."""
        file = dice.choice(self.files)
        header = file.header
        if dice.random() < 0.1:
            header = ObjectHeader(3, dice.choice([0, 1, 4096, 2**30]), dice.randbytes(32))
        prefix = header.id[:8] if dice.random() < 0.9 else dice.randbytes(8)
        us, them = self.host.identity.address, self.neighbour.identity.address
        somebody = dice.choice([None, us, them, Address(dice.randbytes(16))])
        to = dice.choice([None, None, None, us, somebody])
        units = [*range(9), 1 << 28, (1 << 28) + 1, 2 << 28, 0xFFFFFFFF]
        tlvs: Tlvs = dice.choice(
            [(), (), (), ((3, dice.randbytes(4)),), ((1, bytes(16)),), ((2, bytes(16)),)]
        )
        first = dice.choice(units)
        pages = pages_of(file.header, list(file.chunks))
        right = pages.get(first, file.chunks[first] if first < len(file.chunks) else b"?")
        match dice.randrange(8):
            case 0:
                offer = Offer(header, dice.choice([0, 10_000, 2**32 - 1]), somebody).encode()
                return self.packet(Context.OFFER_OBJECT, offer, to, tlvs)
            case 1 | 2:
                runs = [(dice.choice(units), dice.choice([0, 1, 3, 65535])) for _ in range(dice.randrange(5))]
                ask = Ask(prefix, dice.randrange(2**32), runs, somebody).encode()
                return self.packet(Context.ASK, ask, to, tlvs)
            case 3 | 4:
                return self.packet(Context.CHUNK, Chunk(prefix, first, right).encode(), to, tlvs)
            case 5:
                junk = dice.choice([right[:-1], right + b"x", dice.randbytes(4096), right + right]) or b"x"
                return self.packet(Context.CHUNK, Chunk(prefix, first, junk).encode(), to, tlvs)
            case 6:
                refusal = Refusal(dice.randrange(12), prefix, dice.choice([0, 5])).encode()
                return self.packet(Context.REFUSAL, refusal)
            case _:
                proof = file_receipt(dice.choice([file.description.key, bytes(32)]), header.id)
                return self.packet(Context.DELIVERED, Delivered(prefix, proof).encode(), to)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_engine_stands_anything_about_files(seeds: list[int]) -> None:
    _anything_about_files(seeds)


@pytest.mark.fuzz
def test_engine_stands_much_more_about_files() -> None:
    dice = random.Random(1)
    for _ in range(500):
        _anything_about_files([dice.getrandbits(32) for _ in range(200)])


def _anything_about_files(seeds: list[int]) -> None:
    transfers = Transfers()
    host = transfers.host
    _say_all(host, transfers.neighbour, transfers.item, seeds)
    for one in transfers.files:  # whatever is said to be here is what it is called
        stored = host.store.get_object(one.header.id)
        if stored is not None and stored.complete:
            assert b"".join(host.store.read_object(stored.id)) == b"".join(one.chunks)
    assert host.core.fetcher.under_way <= limits.FETCHES_MAX
    assert all(len(job.runs) <= limits.ASKS_MAX for job in host.core._server._jobs.values())
    assert host.core.relay.usage[1] <= 10**6
    host.store.close()


@pytest.mark.parametrize("flood", ["pings", "openings", "fragment acknowledgements"])
def test_a_neighbour_that_does_not_read_makes_nothing_grow(flood: str) -> None:
    """What we would answer is bounded when the answers cannot leave (M5)."""
    host = Host(1)
    neighbour = Neighbour(host, STREAM)
    link = host.core.attachments[neighbour.cid].link
    opening = Opening(FrameKind.XX1, 1, b"", bytes(range(32))).encode()
    for round_ in range(40):
        if flood == "pings":
            neighbour.say(*[(ItemKind.PING, b"x")] * 1000)
        elif flood == "openings":
            for _ in range(1000):
                host.core.deliver(neighbour.cid, opening, None, 0.0)
        else:
            # Each asks at once, and none is the last of its packet.
            asks = [Fragment(n % 256, round_, b"x", ack_wanted=True).encode() for n in range(1000)]
            neighbour.say(*[(ItemKind.FRAGMENT, ask) for ask in asks])
    assert len(link._items) <= limits.LINK_ITEMS
    assert len(link._exchange.frames) <= limits.HANDSHAKE_FRAMES
    if flood == "pings":
        assert any(kind == ItemKind.PONG for kind, _ in link._items), "it is still answered"


def test_receipts_for_a_neighbour_that_does_not_read_are_bounded() -> None:
    host = Host(1)
    neighbour = Neighbour(host, STREAM)
    peer = neighbour.identity.node_id
    for number in range(limits.RECEIPTS_WAITING + 100):
        host.core._receipts.add(peer, number.to_bytes(16, "little"))
    receipts = host.core._receipts._waiting[peer]
    assert len(receipts) == limits.RECEIPTS_WAITING and (100).to_bytes(16, "little") in receipts


def test_partial_packets_of_a_neighbour_are_bounded_in_parts_and_bytes() -> None:
    """One-byte fragments cost 170 bytes each: their number is bounded, not only their bytes (M5)."""
    host = Host(1)
    neighbour = Neighbour(host, STREAM)
    for index in range(limits.FRAGMENTS_MAX + 50):
        neighbour.say((ItemKind.FRAGMENT, Fragment(1, index, b"x").encode()))
    assert host.core.counters["packet_too_large"] >= 1
    for index in range(20):
        neighbour.say((ItemKind.FRAGMENT, Fragment(2, index, bytes(16_000)).encode()))
    assert host.core.counters["packet_too_large"] >= 2
    for number in range(200):
        neighbour.say((ItemKind.FRAGMENT, Fragment(number, 0, bytes(16_000)).encode()))
    partial = host.core.attachments[neighbour.cid].reassembly._partial
    assert len(partial) <= limits.TRANSFERS_IN


def test_a_refused_item_does_not_take_the_others_of_its_frame_along() -> None:
    """A frame carries many messages; one that cannot be read is refused alone."""
    host = Host(1)
    neighbour = Neighbour(host, STREAM)
    neighbour.say(
        (ItemKind.PACKET, Packet(Context.MESSAGE, bytes(60)).encode()),
        (ItemKind.PACKET, Packet(Context.RECEIPTS, bytes(16)).encode()),
        (ItemKind.PACKET, Packet(250, b"").encode()),
    )
    assert {"bad_envelope", "unknown_receipt", "unknown_context"} <= set(host.core.counters)


def test_a_contact_that_asks_for_introductions_without_end_is_given_one() -> None:
    """An introduction carries our key: who refuses it for not knowing us is told no more."""
    host = Host(1)
    neighbour = Neighbour(host, STREAM)
    host.core.contacts._put(_contact_of(neighbour))
    host.send("mallory", "hello", 0.0)
    for _ in range(10):
        packets = [body for kind, body in neighbour.hear() if kind == ItemKind.PACKET]
        for packet in packets:
            refusal = Refusal(2, host.core.store.outgoing(_only(host)).object[:8])
            assert packet[0]
            neighbour.say((ItemKind.PACKET, Packet(Context.REFUSAL, refusal.encode()).encode()))
    assert host.core.counters["resealed"] == 1
    assert list(host.states().values()) == ["failed"]


def _contact_of(neighbour: Neighbour):
    from nexus_node.crypto.address import address_of
    from nexus_node.ports.store import Correspondent

    node_id = neighbour.identity.node_id
    return Correspondent(node_id, address_of(node_id), name="mallory", knows_us=True)


def _only(host: Host) -> bytes:
    return next(iter(host.states()))


class Publications:
    """A node that subscribes, publishes and keeps versions, beside a neighbour that does so wrongly."""

    def __init__(self) -> None:
        self.host = MeshHost(1, "host", RelayPolicy(serve=Serve.ANYONE))
        self.neighbour = Neighbour(self.host, STREAM)
        self.topics = [topic_of(text) for text in ("scope:topic/a", "scope:topic/a/*", "key:0102")]
        core, own = self.host.core, self.neighbour.identity
        core.notifier.subscribe(self.topics[1], Mode.PUSH, 0.0)
        core.notifier.publish(self.topics[0], "ours", 0.0)
        core.mutables.publish("ours", b"x" * 5000, now=0.0)
        contents = [describe(KIND_VERSION, bytes([n]) * 5000)[0] for n in range(3)]
        self.records = [Record.make(own, b"page", n // 2, contents[n % 3], 0, 0) for n in range(6)]
        core.mutables.search(self.records[0].name, 0.0)
        reference = Reference(contents[0])
        self.published = [
            Published.make(own, int(WALL), 3600, topic, what)
            for topic in (self.topics[0], self.topics[2])
            for what in ("theirs", reference)
        ]
        self.neighbour.hear()
        self.host.drain()

    def item(self, dice: random.Random) -> tuple[int, bytes]:
        """One item about these, right in some ways and wrong in others."""
        one = dice.choice(self.published)
        record, other = dice.choice(self.records), dice.choice(self.records)
        if dice.random() < 0.2:
            one = replace(one, publisher=self.host.identity.node_id)
            record = replace(record, sequence=dice.choice([0, 2**32, 2**64 - 1]))
        key = describe(KIND_PUBLISHED, one.encode())[0].id[:HINT_SIZE]
        keys = b"".join(dice.choice([key, dice.randbytes(HINT_SIZE)]) for _ in range(dice.randrange(65)))
        match dice.randrange(8):
            case 0:
                topic, mode = dice.choice(self.topics), dice.choice([*Mode])
                asked = Subscription(topic, mode, dice.randrange(8), dice.choice([0, 1, 65535]))
                return Transfers.packet(Context.SUBSCRIBE, asked.encode())
            case 1:
                return Transfers.packet(Context.HINT, keys)
            case 2:
                return Transfers.packet(Context.PULL, keys)
            case 3:
                return Transfers.packet(Context.PUBLISHED, one.encode())
            case 4:
                answer = RecordAnswer(record, dice.random() < 0.5)
                return Transfers.packet(Context.RECORD, answer.encode())
            case 5:
                age_s = dice.choice([0, 3600, 2**32 - 1])
                return Transfers.packet(Context.FORK, Fork.make(record, other, age_s).encode())
            case 6:
                request = RecordRequest(dice.choice([record.name, dice.randbytes(32)]), dice.randbytes(8))
                return Transfers.packet(Context.RECORD_REQUEST, request.encode())
            case _:
                return Transfers.packet(Context.NO_RECORD, dice.choice([record.name, dice.randbytes(32)]))


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_engine_stands_anything_about_what_is_published(seeds: list[int]) -> None:
    _anything_published(seeds)


@pytest.mark.fuzz
def test_engine_stands_much_more_about_what_is_published() -> None:
    dice = random.Random(2)
    for _ in range(500):
        _anything_published([dice.getrandbits(32) for _ in range(200)])


def _anything_published(seeds: list[int]) -> None:
    publications = Publications()
    host, neighbour = publications.host, publications.neighbour
    _say_all(host, neighbour, publications.item, seeds)
    core = host.core
    assert all(one.authentic() for _, one in core.notifier.published())
    latest = core.mutables.latest(publications.records[0].name)
    assert latest is None or latest.authentic()
    assert core.mutables.blocked_until_ms(host.identity.node_id, neighbour.now) is None
