"""Files under hostile providers, relays, askers and full disks (N7, N10, N13, M5)."""

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from nexus_node.base.ids import Address
from nexus_node.base.limits import ASKERS_MAX, ASKS_MAX, CHUNK_SIZE, FETCHES_MAX, PROVIDERS_MAX
from nexus_node.crypto.envelope import receipt_mark
from nexus_node.crypto.filestream import file_receipt, open_file
from nexus_node.engine.attach import SealedFile, seal_attachment, whole_state
from nexus_node.engine.relay import RelayPolicy
from nexus_node.ports.driver import LinkProfile
from nexus_node.ports.store import Correspondent
from nexus_node.proto.hashtree import unit_of
from nexus_node.runtime import verbs
from nexus_node.wire.announce import Serve
from nexus_node.wire.custody import Delivered, custody_tlv
from nexus_node.wire.dataobject import KIND_FILE, ObjectHeader, describe
from nexus_node.wire.description import Description
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.packet import (
    Context,
    Packet,
    Priority,
    Reason,
    Refusal,
    parse_packet_untrusted,
    parse_refusal_untrusted,
)
from nexus_node.wire.pub import Reference, topic_of
from nexus_node.wire.transfer import Ask, Chunk, Offer, parse_ask_untrusted
from tests.fuzz.test_engine import Neighbour
from tests.unit.test_hashtree import pages_of

from .mesh import ANYONE, Mesh, MeshHost
from .world import STREAM, Host

KEY = bytes(range(32))
MIDDLING = LinkProfile(mtu=16384, bps=1e6, ordered=True)
"""Too narrow for a photo to be asked for at once."""


def photo(size: int = 400_000, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sealed(content: bytes, key: bytes = KEY, name: str = "photo.jpg") -> SealedFile:
    return seal_attachment(name, content, media_type="image/jpeg", key=key)


def friends(*names: str, **options) -> Mesh:
    mesh = Mesh(*names, **options)
    mesh.knows("alice", "bob")
    mesh.knows("bob", "alice")
    return mesh


def arrived(host: Host, object_id: bytes) -> bool:
    return any(one.arrived_ms is not None for one in host.store.expected(object_id))


def content(host: Host, description: Description) -> bytes:
    return b"".join(open_file(description.key, host.store.read_object(description.object)))


def whole(host: Host, message: bytes) -> str:
    return whole_state(host.store.parts(message)).value


@dataclass
class Mallory:
    """A neighbour with a proper link that says what it likes to a host with time of its own."""

    host: Host
    link: Neighbour

    @classmethod
    def beside(cls, host: Host, seed: int = 66, profile: LinkProfile = STREAM, now: float = 0.0) -> "Mallory":
        link = Neighbour(host, profile, seed=seed)
        link.now = now
        return cls(host, link)

    @property
    def address(self) -> Address:
        return self.link.identity.address

    def say(self, context: int, data: bytes, **options) -> None:
        self.link.say((ItemKind.PACKET, Packet(context, data, **options).encode()))
        self.host.drain()

    def hear(self, *contexts: int) -> list[Packet]:
        packets = [parse_packet_untrusted(body) for kind, body in self.link.hear() if kind == ItemKind.PACKET]
        return [packet for packet in packets if not contexts or packet.context in contexts]

    def refusals(self) -> list[Refusal]:
        return [parse_refusal_untrusted(packet.data) for packet in self.hear(Context.REFUSAL)]


def expecting(file: SealedFile, *, quota: int = 100_000_000) -> Host:
    """bob, who has read a message of alice's that describes the file; she is not there."""
    mesh = Mesh("alice", "bob")
    mesh.knows("alice", "bob")
    mesh.hosts["bob"] = MeshHost(2, "bob", quota=quota)
    mesh.join("alice", "bob")
    mesh.run(1)
    # The text and the description go; the file itself alice does not have.
    alice = mesh["alice"]
    alice.send("bob", "look", mesh.now, files=[file])
    alice.core._server.take_ask = lambda *_: None
    mesh.run(0.5)
    mesh.part("alice", "bob")
    bob = mesh["bob"]
    assert bob.inbox() == ["look"] and not arrived(bob, file.header.id)
    bob.core.fetcher._jobs.clear()
    bob.store.delete_object(file.header.id)
    bob.events.clear()
    return bob


def units_of(file: SealedFile) -> dict[int, bytes]:
    chunks = list(file.chunks)
    return dict(enumerate(chunks)) | pages_of(file.header, chunks)


def serve(
    mallory: Mallory,
    file: SealedFile,
    spoil: Callable[[int, bytes], bytes] = lambda unit, data: data,
    rounds: int = 10_000,
) -> int:
    """Answer what the host asks; the bytes sent."""
    units, sent = units_of(file), 0
    prefix = file.header.id[:8]
    for _ in range(rounds):
        asks = [parse_ask_untrusted(packet.data) for packet in mallory.hear(Context.ASK)]
        if not asks:
            return sent
        for ask in asks:
            for first, count in ask.runs:
                for unit in range(first, first + count):
                    data = spoil(unit, units[unit])
                    sent += len(data)
                    mallory.say(Context.CHUNK, Chunk(prefix, unit, data).encode(), priority=Priority.BULK)
    return sent


def events(host: Host, name: str) -> list[dict]:
    return [dict(event.fields) for event in host.events if event.event == name]


# --- providers ----------------------------------------------------------------------------------------
def test_m5_a_wrong_chunk_is_not_stored_and_who_sent_it_is_named_and_dropped():
    file = sealed(photo())
    bob = expecting(file)
    liar, honest = (Mallory.beside(bob, seed, MIDDLING) for seed in (66, 67))
    offer = Offer(file.header, 10_000).encode()
    honest.say(Context.OFFER_OBJECT, offer)
    liar.say(Context.OFFER_OBJECT, offer)
    lied = took = 0
    for _ in range(200):  # in turns, each what it is asked for
        lied += serve(liar, file, lambda unit, data: data[:-1] + bytes((data[-1] ^ 1,)), rounds=1)
        took += serve(honest, file, rounds=1)
        if arrived(bob, file.header.id):
            break
    assert lied > 0 and content(bob, file.description) == photo()
    assert events(bob, "provider_dropped") == [{"object": file.header.id.hex(), "by": liar.address.hex()}]
    assert bob.core.counters["wrong_chunk"] == 1
    assert took == file.header.size + 32 * 98  # each unit once: the lie has cost the honest one nothing


@pytest.mark.parametrize("unit", [0, 1, unit_of(1, 0), 97])
def test_m5_a_liar_costs_one_packet_and_the_honest_one_finishes(unit: int):
    file = sealed(photo())
    bob = expecting(file)
    liar = Mallory.beside(bob, 66)
    offer = Offer(file.header, 10_000).encode()
    liar.say(Context.OFFER_OBJECT, offer)
    serve(liar, file, lambda at, data: bytes(len(data)) if at == unit else data)
    assert bob.core.counters["wrong_chunk"] == 1
    assert events(bob, "provider_dropped") == [{"object": file.header.id.hex(), "by": liar.address.hex()}]
    had = bob.store.have_chunks(file.header.id)
    honest = Mallory.beside(bob, 67)
    honest.say(Context.OFFER_OBJECT, offer)
    sent = serve(honest, file)
    assert content(bob, file.description) == photo()
    # Whatever the liar sent before its lie counts.
    assert sent <= file.header.size - CHUNK_SIZE * had + 32 * 98 + CHUNK_SIZE


def test_m5_nobody_is_dropped_for_what_came_from_somebody_else():
    file = sealed(photo())
    bob = expecting(file)
    honest, forger = Mallory.beside(bob, 66), Mallory.beside(bob, 67)
    honest.say(Context.OFFER_OBJECT, Offer(file.header, 10_000).encode())
    prefix = file.header.id[:8]
    forger.say(Context.CHUNK, Chunk(prefix, unit_of(1, 0), bytes(32 * 98)).encode())
    assert bob.core.counters["wrong_chunk"] == 1 and events(bob, "provider_dropped") == []
    serve(honest, file)
    assert content(bob, file.description) == photo()


def test_m5_chunks_that_nobody_asked_for_leave_nothing_behind():
    file = sealed(photo())
    bob = expecting(file)
    flooder = Mallory.beside(bob)
    before = bob.store.usage()
    chunk = Chunk(b"whatever", 0, bytes(CHUNK_SIZE)).encode()
    expected = Chunk(file.header.id[:8], 0, bytes(CHUNK_SIZE)).encode()
    tracemalloc.start()
    for _ in range(2000):
        flooder.say(Context.CHUNK, chunk)
        flooder.say(Context.CHUNK, expected)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert bob.core.counters["chunks_not_wanted"] == 4000
    assert grown < 500_000
    assert bob.store.usage() == before
    assert list(bob.store.objects()) == []


def test_m5_an_object_that_nobody_described_is_refused_with_a_reason():
    file = sealed(photo())
    bob = expecting(file)
    relay = Mallory.beside(bob)
    for seed in range(50):
        other = describe(KIND_FILE, photo(9000, seed))[0]
        relay.say(Context.OFFER_OBJECT, Offer(other).encode())
    refusals = relay.refusals()
    assert [one.reason for one in refusals] == [Reason.NOT_EXPECTED] * 50
    assert {one.retry_s for one in refusals} == {5}
    assert bob.core.counters["files_not_expected"] == 50
    assert list(bob.store.objects()) == [] and bob.core.fetcher.under_way == 0


def test_m5_offers_of_providers_that_do_not_exist_keep_no_place():
    """64 fetches at a time: those that nobody can be asked for give way."""
    bob = Host(2)
    alice = Host(1)
    alice.core.contacts.add("bob", bob.uri, 0)
    mallory = Mallory.beside(bob)
    files = [sealed(photo(9000, seed), bytes([seed]) * 32) for seed in range(FETCHES_MAX + 16)]
    for at in range(0, len(files), 16):
        row = alice.core.send("bob", "look", files=files[at : at + 16], now=0.0)
        mallory.say(Context.MESSAGE, row.envelope)
    assert len(bob.inbox()) == 5
    nobody = Address(b"nobody at all...")
    for file in files[:FETCHES_MAX]:
        mallory.say(Context.OFFER_OBJECT, Offer(file.header, 0, nobody).encode())
    assert bob.core.fetcher.under_way <= FETCHES_MAX
    mallory.hear()
    late = files[-1]
    mallory.say(Context.OFFER_OBJECT, Offer(late.header).encode())
    serve(mallory, late)
    assert arrived(bob, late.header.id) and content(bob, late.description) == photo(9000, len(files) - 1)
    assert bob.core.fetcher.under_way <= FETCHES_MAX


def test_m5_a_liar_that_offers_again_is_not_asked_while_another_has_it():
    file = sealed(photo())
    bob = expecting(file)
    liar, honest = (Mallory.beside(bob, seed, MIDDLING) for seed in (66, 67))
    offer = Offer(file.header, 10_000).encode()
    liar.say(Context.OFFER_OBJECT, offer)
    serve(liar, file, lambda unit, data: bytes(len(data)))
    assert bob.core.counters["wrong_chunk"] == 1
    honest.say(Context.OFFER_OBJECT, offer)
    serve(honest, file, rounds=1)
    for _ in range(5):
        liar.say(Context.OFFER_OBJECT, offer)
        assert liar.hear(Context.ASK) == []
    serve(honest, file)
    assert content(bob, file.description) == photo() and bob.core.counters["wrong_chunk"] == 1


def test_m5_who_lied_and_is_the_only_one_may_try_again():
    """A node on the way may have done it, or a cosmic ray."""
    file = sealed(photo(50_000))
    bob = expecting(file)
    alone = Mallory.beside(bob)
    offer = Offer(file.header, 10_000).encode()
    alone.say(Context.OFFER_OBJECT, offer)
    serve(alone, file, lambda unit, data: bytes(len(data)))
    assert events(bob, "provider_dropped")
    alone.say(Context.OFFER_OBJECT, offer)
    serve(alone, file)
    assert content(bob, file.description) == photo(50_000)


def test_m5_endless_providers_of_one_object_are_bounded_and_push_out_none_that_serves():
    file = sealed(photo())
    bob = expecting(file)
    honest, mallory = (Mallory.beside(bob, seed, MIDDLING) for seed in (66, 67))
    honest.say(Context.OFFER_OBJECT, Offer(file.header, 10_000).encode())
    serve(honest, file, rounds=1)
    bob.core.router.requests.want(wanted := Address(b"somebody we want"), 0.0)
    for number in range(1000):
        provider = Address(number.to_bytes(16, "little"))
        mallory.say(Context.OFFER_OBJECT, Offer(file.header, 10_000, provider).encode())
        mallory.hear()
    (job,) = bob.core.fetcher._jobs.values()
    assert len(job.fetch.providers) == PROVIDERS_MAX and honest.address in job.fetch.providers
    assert wanted in bob.core.router.requests._wanted  # what this node wants goes before what others name
    serve(honest, file)
    assert content(bob, file.description) == photo()


# --- receipts -----------------------------------------------------------------------------------------
def test_m5_a_forged_receipt_for_a_file_proves_nothing():
    mesh = friends("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    file = sealed(photo(50_000))
    message = mesh["alice"].send("bob", "look", mesh.now, files=[file])
    mesh.run(10)
    assert whole(mesh["alice"], message) == "relayed"
    prefix = file.header.id[:8]
    mark = receipt_mark(file_receipt(KEY, file.header.id))
    forged = (bytes(16), mark, file_receipt(bytes(32), file.header.id), prefix * 2)
    for host in (mesh["relay"], mesh["alice"]):
        mallory = Mallory.beside(host, now=mesh.now)
        for receipt in forged:
            entry = Delivered(prefix, receipt).encode()
            mallory.say(Context.DELIVERED, entry, destination=mesh["alice"].identity.address)
            mallory.say(Context.RECEIPTS, receipt)
    assert mesh["relay"].core.counters["forged_receipt"] == len(forged)
    assert mesh["relay"].core.relay.usage[0] == 2 and mesh["relay"].store.get_object(file.header.id).complete
    assert whole(mesh["alice"], message) == "relayed"
    assert mesh["alice"].store.get_object(file.header.id).complete  # it still may have to be sent
    mesh.join("relay", "bob")
    mesh.run(30)
    assert whole(mesh["alice"], message) == "delivered"


def test_m5_a_description_of_somebody_elses_file_takes_its_receipt_from_nobody():
    """A relay sees the header of what it keeps, and may describe it in a message of its own first."""
    file = sealed(photo(50_000))
    bob, alice, thief = Host(2), Host(1), Host(3)
    for host in (alice, thief):
        host.core.contacts.add("bob", bob.uri, 0)
    false = SealedFile(
        Description(
            file.header.root, b"?" * 32, 50_000, 0, file.description.name, file.description.media_type
        ),
        file.header,
        file.chunks,
    )
    stolen = thief.core.send("bob", "mine", files=[false], now=0.0)
    row = alice.core.send("bob", "look", files=[file], now=0.0)
    mallory = Mallory.beside(bob)
    mallory.say(Context.MESSAGE, stolen.envelope)
    mallory.say(Context.MESSAGE, row.envelope)
    mallory.hear()
    mallory.say(Context.OFFER_OBJECT, Offer(file.header).encode())
    units = units_of(file)
    proofs: list[bytes] = []
    for _ in range(100):
        packets = mallory.hear()
        proofs += [packet.data[8:] for packet in packets if packet.context == Context.DELIVERED]
        asks = [parse_ask_untrusted(one.data) for one in packets if one.context == Context.ASK]
        for first, count in (run for ask in asks for run in ask.runs):
            for unit in range(first, first + count):
                mallory.say(Context.CHUNK, Chunk(file.header.id[:8], unit, units[unit]).encode())
        if not asks:
            break
    assert arrived(bob, file.header.id)
    assert file_receipt(KEY, file.header.id) in proofs


# --- askers -------------------------------------------------------------------------------------------
def offering() -> tuple[Mesh, SealedFile]:
    """alice offers bob a file; he is linked, and does not ask."""
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob")
    mesh.run(1)
    mesh["bob"].core._inbound.take_offer = lambda *_: None
    file = sealed(photo())
    mesh["alice"].send("bob", "look", mesh.now, files=[file])
    mesh.run(0.5)
    return mesh, file


def test_m5_whoever_is_not_the_recipient_is_sent_nothing():
    mesh, file = offering()
    alice = mesh["alice"]
    thief = Mallory.beside(alice, now=mesh.now)
    prefix = file.header.id[:8]
    for ask in (
        Ask(prefix, 0, [(0, 98), (unit_of(1, 0), 1)]),
        Ask(prefix, 0, [(0, 1)], thief.address),
        Ask(prefix, 0, [(0, 1)], mesh["alice"].identity.address),
        Ask(b"not here", 0, [(0, 1)]),
    ):
        thief.say(Context.ASK, ask.encode())
    assert alice.core.counters["unasked_object"] == 4
    assert thief.hear(Context.CHUNK) == []
    # In the recipient's name: that goes to the recipient, and to nobody else.
    thief.say(Context.ASK, Ask(prefix, 0, [(0, 98)], mesh["bob"].identity.address).encode())
    assert thief.hear(Context.CHUNK) == []
    assert alice.core.counters["unasked_object"] == 4


def test_m5_questions_without_end_are_bounded():
    mesh, file = offering()
    alice = mesh["alice"]
    mallory = Mallory.beside(alice, now=mesh.now)
    bob = mesh["bob"].identity.address
    dice = random.Random(1)
    tracemalloc.start()
    for _ in range(1000):
        runs = [(dice.randrange(2**32), dice.randrange(65536)) for _ in range(64)]
        mallory.say(Context.ASK, Ask(file.header.id[:8], dice.randrange(2**32), runs, bob).encode())
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    jobs = alice.core._server._jobs
    assert [len(job.runs) for job in jobs.values()] == [ASKS_MAX]
    assert grown < 500_000
    mesh.run(5)  # what is not there is passed over, and bob gets nothing wrong
    assert alice.core.counters["asked_not_here"] > 0
    assert mesh["bob"].core.counters["wrong_chunk"] == 0


def test_m5_a_relay_stands_a_recipient_that_proves_and_still_asks():
    """The receipt lets go of the object while its units are still asked for."""
    mesh = friends("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    file = sealed(photo())
    mallory_id = 66
    relay = mesh["relay"]
    mallory = Mallory.beside(relay, mallory_id, now=mesh.now)
    mesh["alice"].core.contacts._put(contact_of(mallory))
    mesh["alice"].send("mallory", "look", mesh.now, files=[file])
    mesh.run(10)
    prefix = file.header.id[:8]
    assert relay.store.held(prefix).promised
    ask = Ask(prefix, 0, [(unit_of(1, 0), 1), (0, 98)]).encode()
    proof = Delivered(prefix, file_receipt(KEY, file.header.id)).encode()
    mallory.link.say(
        (ItemKind.PACKET, Packet(Context.ASK, ask).encode()),
        (ItemKind.PACKET, Packet(Context.DELIVERED, proof, mesh["alice"].identity.address).encode()),
    )
    assert relay.store.get_object(file.header.id) is None
    mallory.hear()
    mallory.say(Context.ASK, ask)
    mallory.hear()
    mesh.run(10)
    assert relay.core.relay.usage[0] <= 1


def contact_of(mallory: Mallory):
    return Correspondent(mallory.link.identity.node_id, mallory.address, name="mallory")


# --- sizes and quotas ---------------------------------------------------------------------------------
def test_n10_a_file_larger_than_a_relays_quota_is_refused_and_the_sender_sees_why():
    policy = RelayPolicy(serve=Serve.ANYONE, interval_s=0.0, per_day=(10**6, 10**6), quota_bytes=100_000)
    mesh = friends("alice", "relay", "bob", relays=("relay",), policy=policy)
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    file = sealed(photo())
    mesh["alice"].send("bob", "look", mesh.now, files=[file])
    mesh.run(10)
    why = [str(event["why"]) for event in events(mesh["alice"], "message_refused")]
    assert why and all("has no room for it" in words for words in why)
    node = SimpleNamespace(core=mesh["alice"].core, now=lambda: mesh.now, name="alice")
    shown = verbs._outgoing(node, next(iter(mesh["alice"].store.outbox())))
    assert "has no room for it; trying again in" in shown["why"], "though its text is with the relay"
    assert mesh["relay"].core.counters["custody_full"] >= 1
    assert list(mesh["relay"].store.objects()) == [] and mesh["relay"].core.fetcher.under_way == 0
    assert mesh["relay"].core.relay.usage[0] == 1  # the text
    mesh.join("relay", "bob")
    mesh.run(1500)
    assert content(mesh["bob"], file.description) == photo()  # past the relay, on the path


def test_m5_an_offer_of_a_gigabyte_takes_no_memory_and_no_room():
    relay = MeshHost(5, "relay", ANYONE)
    mallory = Mallory.beside(relay)
    header = ObjectHeader(KIND_FILE, 2**30, bytes(32))
    tracemalloc.start()
    for number in range(200):
        header.root = number.to_bytes(32, "little")
        mallory.say(
            Context.OFFER_OBJECT,
            Offer(header).encode(),
            destination=Address(bytes(16)),
            tlvs=(custody_tlv(bytes(16), None),),
        )
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert {one.reason for one in mallory.refusals()} == {Reason.STORE_FULL}
    assert relay.core.relay.usage == (0, 0) and list(relay.store.objects()) == []
    assert grown < 1_000_000


def test_m5_an_offer_is_no_copy_to_carry():
    relay = MeshHost(5, "relay", ANYONE)
    mallory = Mallory.beside(relay)
    header = ObjectHeader(KIND_FILE, 200_000_000, bytes(32))
    mallory.say(
        Context.OFFER_OBJECT, Offer(header).encode(), destination=Address(bytes(16)), tlvs=((2, bytes(16)),)
    )
    assert relay.core.relay.usage == (0, 0)


def test_n10_what_a_relay_kept_of_a_file_goes_when_its_time_is_over():
    policy = RelayPolicy(serve=Serve.ANYONE, interval_s=0.0, per_day=(10**6, 10**6), ttl_s=3600)
    mesh = friends("alice", "relay", "bob", relays=("relay",), policy=policy)
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    mesh["alice"].send("bob", "look", mesh.now, files=[sealed(photo())])
    mesh.run(10)
    assert [one.complete for one in mesh["relay"].store.objects()] == [True]
    mesh.part("alice", "relay")
    mesh.run(3700)
    assert mesh["relay"].core.relay.usage == (0, 0)
    assert list(mesh["relay"].store.objects()) == []


def small_disk() -> tuple[Mesh, bytes, SealedFile]:
    """bob's disk holds one photo, and there is another object on it."""
    mesh = friends("alice", "bob")
    bob = mesh.hosts["bob"] = MeshHost(2, "bob", quota=500_000)
    bob.core.contacts.add("alice", mesh["alice"].uri, 0)
    mesh.join("alice", "bob", MIDDLING)
    mesh.run(1)
    other = bob.core.objects.put(photo(200_000, 9), now_ms=0)
    return mesh, other.id, sealed(photo())


def refused(mesh: Mesh) -> list[str]:
    return [str(event["why"]) for event in events(mesh["alice"], "message_refused")]


def test_n13_a_file_waits_for_room_at_its_recipient_and_then_comes():
    mesh, other, file = small_disk()
    bob = mesh["bob"]
    message = mesh["alice"].send("bob", "look", mesh.now, files=[file])
    mesh.run(120)
    assert bob.inbox() == ["look"] and not arrived(bob, file.header.id)
    assert whole(mesh["alice"], message) == "queued"
    assert refused(mesh) and "the recipient has no room for it" in refused(mesh)[-1]
    (wire,) = mesh.wires.values()
    before = wire.bytes
    mesh.run(3600)
    assert wire.bytes - before < 20_000  # it is offered, not sent in vain
    bob.store.delete_object(other)
    mesh.run(2 * 3600)
    assert content(bob, file.description) == photo()
    assert whole(mesh["alice"], message) == "delivered"


def test_n13_a_disk_that_fills_in_the_middle_is_told_and_what_is_there_is_kept():
    mesh, other, file = small_disk()
    bob = mesh["bob"]
    bob.store.delete_object(other)
    (wire,) = mesh.wires.values()
    message = mesh["alice"].send("bob", "look", mesh.now, files=[file])
    while bob.store.have_chunks(file.header.id) < 30:
        assert wire.step(mesh.now)
    other = bob.core.objects.put(photo(200_000, 9), now_ms=0).id
    mesh.run(120)
    assert events(bob, "fetch_stopped") and "the recipient has no room for it" in refused(mesh)[-1]
    had, before = bob.store.have_chunks(file.header.id), wire.bytes
    assert had >= 30
    bob.store.delete_object(other)
    mesh.run(2 * 3600)
    assert content(bob, file.description) == photo()
    assert whole(mesh["alice"], message) == "delivered"
    assert wire.bytes - before < 400_000 - CHUNK_SIZE * (had - 10)


def test_n13_two_messages_with_the_same_file_both_arrive():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob")
    mesh.run(1)
    first, second = sealed(photo(), b"1" * 32), sealed(photo(), b"2" * 32)
    messages = [mesh["alice"].send("bob", "look", mesh.now, files=[one]) for one in (first, second)]
    mesh.run(30)
    assert [whole(mesh["alice"], one) for one in messages] == ["delivered"] * 2
    assert content(mesh["bob"], first.description) == content(mesh["bob"], second.description) == photo()
    assert first.header.id != second.header.id  # nobody on the way can tell that they are equal


def test_n13_one_message_with_the_same_file_twice_arrives():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob")
    mesh.run(1)
    files = [sealed(photo(), b"1" * 32), sealed(photo(), b"2" * 32, "again.jpg")]
    message = mesh["alice"].send("bob", "look", mesh.now, files=files)
    mesh.run(30)
    assert whole(mesh["alice"], message) == "delivered"
    (row,) = mesh["bob"].store.inbox()
    assert [str(one.name) for one in mesh["bob"].core.files_of(row)] == ["photo.jpg", "again.jpg"]


def test_m5_askers_who_do_not_exist_of_what_is_public_take_no_memory():
    alice = Mesh("alice")["alice"]
    stored = alice.core.objects.put(photo(100_000), now_ms=0)
    reference = Reference(ObjectHeader(stored.kind, stored.size, stored.root), 0)
    alice.core.notifier.publish(topic_of("scope:geo/de"), reference, 0.0)
    mallory = Mallory.beside(alice)
    dice = random.Random(5)
    for _ in range(3 * ASKERS_MAX):
        mallory.say(Context.ASK, Ask(stored.id[:8], 0, [(0, 5)], Address(dice.randbytes(16))).encode())
    assert len(alice.core._server._jobs) <= ASKERS_MAX
    mallory.say(Context.ASK, Ask(stored.id[:8], 0, [(0, 5)]).encode())
    assert sum(packet.context == Context.CHUNK for packet in mallory.hear()) == 2  # five chunks, four a frame
