"""What a linked neighbour, even a contact, may try: refused by name, and the link stays up (N9, S1)."""

import time
import zlib
from collections.abc import Iterator

import pytest

from nexus_node.base.limits import PACKET_MAX, TEXT_MAX
from nexus_node.crypto.envelope import SharedSecrets, seal_introduction, seal_known
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.noise import KeyPair
from nexus_node.runtime.rng import OsRng
from nexus_node.wire.custody import custody_tlv
from nexus_node.wire.fragments import INDEX_MAX, Fragment
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.message import Payload, message_data, seal_context
from nexus_node.wire.packet import Context, Packet, Refusal
from nexus_node.wire.text import dictionary
from nexus_node.wire.uri import make_uri, parse_uri_untrusted
from tests.harness.nodes import RunningNode, wait_until

from .attacker import Neighbour, counters, listener, rss_mb

RNG = OsRng()


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with listener(tmp_path_factory.mktemp("hostile"), "tcp") as node:
        yield node


class Mallory(Neighbour):
    """Bob's contact, and hostile."""

    def __init__(self, node: RunningNode) -> None:
        super().__init__(node)
        name = f"mallory{self.identity.address.hex()[:8]}"
        node.request("contact.add", name=name, uri=make_uri(self.identity.node_id))
        self.name = name
        self.bob = parse_uri_untrusted(node.uri).node_id
        self.address = bytes.fromhex(node.request("id")["address"])

    def message(self, payload: bytes, seconds: int | None = None) -> bytes:
        """A MESSAGE packet with that payload, properly sealed."""
        seconds = int(time.time()) if seconds is None else seconds
        context = seal_context(self.address, seconds)
        sealed = seal_known(self.identity, SharedSecrets(self.identity), self.bob, payload, context, RNG)
        return Packet(Context.MESSAGE, message_data(seconds, sealed.envelope)).encode()


def _bomb(size: int) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=dictionary(1))
    return deflater.compress(bytes(size)) + deflater.flush()


BOMB = _bomb(60_000_000)
PAYLOADS = {
    "a decompression bomb": (Payload(0, 1, 0, BOMB).encode(), "text_too_long"),
    "64 KB and one byte": (Payload(0, 0, 0, b"x" * (TEXT_MAX + 1)).encode(), "text_too_long"),
    "64 KB and one byte, compressed": (Payload(0, 1, 0, _bomb(TEXT_MAX + 1)).encode(), "text_too_long"),
    "a text that is not UTF-8": (Payload(0, 0, 0, b"\xed\xa0\x80").encode(), "bad_text"),
    "a damaged stream": (Payload(0, 1, 0, b"\x07\xff").encode(), "bad_text"),
    "an unknown codec": (Payload(0, 15, 0, b"x").encode(), "unknown_codec"),
    "an unknown kind of content": (Payload(15, 0, 0, b"x").encode(), "unknown_content"),
    "1000 milliseconds": (Payload(0, 0, 1000, b"x").encode(), "bad_payload"),
    "no payload": (b"", "bad_payload"),
}


@pytest.mark.parametrize("what", PAYLOADS)
def test_hostile_contents_in_a_proper_envelope(bob: RunningNode, what: str) -> None:
    payload, counter = PAYLOADS[what]
    assert len(payload) < PACKET_MAX - 200
    mallory = Mallory(bob)
    inbox, before, rss = bob.inbox(), counters(bob).get(counter, 0), rss_mb(bob)
    for _ in range(10):
        mallory.say_packet(mallory.message(payload))
    wait_until(lambda: counters(bob).get(counter, 0) >= before + 10, 10, counter)
    assert rss_mb(bob) - rss < 20
    assert bob.inbox() == inbox
    _still_works(bob, mallory)


def test_s1_a_message_claiming_another_sender(bob: RunningNode) -> None:
    """Neither form of envelope can be made in the name of a key one does not hold."""
    alice = Identity.generate(RNG)
    bob.request("contact.add", name="alice", uri=make_uri(alice.node_id))
    mallory = Mallory(bob)
    inbox = bob.inbox()
    forger = Identity.from_seed(mallory.identity.seed)
    forger.static = KeyPair(forger.static.secret, alice.static.public)
    seconds = int(time.time())
    context = seal_context(mallory.address, seconds)
    payload = Payload(0, 0, 0, b"I am alice").encode()
    known = seal_known(forger, SharedSecrets(forger), mallory.bob, payload, context, RNG)
    introduction = seal_introduction(forger, mallory.bob, payload, context, RNG)
    # The recipient's own name as the sender, too.
    forger.static = KeyPair(forger.static.secret, bytes(32))
    nobody = seal_introduction(forger, mallory.bob, payload, context, RNG)
    for sealed in (known, introduction, nobody):
        mallory.say_packet(Packet(Context.MESSAGE, message_data(seconds, sealed.envelope)).encode())
    _counted(bob, "unknown_sender")
    _counted(bob, "bad_envelope", 2)
    assert bob.inbox() == inbox
    _still_works(bob, mallory)
    bob.request("contact.remove", name="alice")


def test_an_envelope_sealed_for_another_time_or_recipient(bob: RunningNode) -> None:
    """Destination and time stand outside, and nobody on the way may alter them."""
    mallory = Mallory(bob)
    inbox, before = bob.inbox(), counters(bob).get("unknown_sender", 0)
    packet = bytearray(mallory.message(Payload(0, 0, 0, b"when").encode()))
    packet[3] ^= 1  # the lowest byte of the time
    mallory.say_packet(bytes(packet))
    wait_until(lambda: counters(bob).get("unknown_sender", 0) > before, 10, "unknown_sender")
    assert bob.inbox() == inbox
    _still_works(bob, mallory)


def test_a_forged_receipt_proves_nothing(bob: RunningNode) -> None:
    mallory = Mallory(bob)
    away = Identity.generate(RNG)
    bob.request("contact.add", name="away", uri=make_uri(away.node_id))
    message = bob.send("away", "are you there?")
    receipts = [RNG.random_bytes(16) for _ in range(60)] + [bytes.fromhex(message)[:16], bytes(16)]
    for receipt in receipts:
        mallory.say_packet(Packet(Context.RECEIPTS, receipt).encode())
    mallory.say_packet(Packet(Context.RECEIPTS, b"".join(receipts) + b"x").encode())
    refusal = Refusal(3, bytes.fromhex(message)[:8])
    mallory.say_packet(Packet(Context.REFUSAL, refusal.encode()).encode())
    _counted(bob, "unknown_receipt", len(receipts))
    _counted(bob, "bad_receipts")
    _counted(bob, "unknown_refusal")
    row = next(row for row in bob.outbox() if row["id"] == message)
    assert row["state"] == "queued"
    bob.request("contact.remove", name="away")
    _still_works(bob, mallory)


def test_packets_for_others_and_broken_ones(bob: RunningNode) -> None:
    mallory = Mallory(bob)
    inbox = bob.inbox()
    data = mallory.message(Payload(0, 0, 0, b"x").encode())[3:]
    cases = {
        "no_path": Packet(Context.MESSAGE, data, destination=bytes(16)).encode(),
        "not_for_us": Packet(
            Context.MESSAGE, data, destination=bytes(16), tlvs=(custody_tlv(bytes(16), None),)
        ).encode(),
        "bad_packet": b"\x10",
        "packet_version": b"\xd0\x20\x01",
        "bad_tlv": b"\x30\x20\x01\xff\x01",
        "unknown_context": Packet(200, b"x").encode(),
        "bad_message": Packet(Context.MESSAGE, b"abc").encode(),
        "bad_refusal": Packet(Context.REFUSAL, b"abc").encode(),
        "bad_receipts": Packet(Context.RECEIPTS, b"abc").encode(),
    }
    before = counters(bob)
    for packet in cases.values():
        mallory.say_packet(packet)
    for counter in cases:
        wait_until(lambda name=counter: counters(bob).get(name, 0) > before.get(name, 0), 10, counter)
    assert bob.inbox() == inbox
    _still_works(bob, mallory)


def test_broken_items_fragments_and_frames_of_a_link(bob: RunningNode) -> None:
    """Lengths that lie, wherever there are lengths inside a link."""
    mallory = Mallory(bob)
    rss = rss_mb(bob)
    before = counters(bob)
    session = mallory.link._session
    assert session is not None
    mallory.say_raw(b"\x01\xff\xff")  # an item of 64 KB, and nothing of it
    mallory.say((ItemKind.FRAGMENT, b"\0"))
    mallory.say((ItemKind.FRAGMENT_ACK, b"\0"))
    mallory.say((ItemKind.FRAGMENT, Fragment(1, INDEX_MAX, b"x").encode()))
    mallory.say((ItemKind.FRAGMENT, Fragment(2, 3, b"x").encode()))
    mallory.say((ItemKind.FRAGMENT, Fragment(2, 3, b"y").encode()))
    mallory.say((ItemKind.REKEY_REPLY, bytes(48)), (99, b"later versions"))
    mallory.say((ItemKind.REKEY, bytes(48)))
    mallory.say((99, b"later versions"))
    for number in range(256):  # packets that are never finished
        for index in range(16):
            mallory.say((ItemKind.FRAGMENT, Fragment(number, index, bytes(4_000)).encode()))
    for counter in (
        "bad_items",
        "bad_fragment",
        "bad_fragment_ack",
        "packet_too_large",
        "bad_handshake",
        "unknown_item",
    ):
        wait_until(lambda name=counter: counters(bob).get(name, 0) > before.get(name, 0), 10, counter)
    _still_works(bob, mallory)
    assert rss_mb(bob) - rss < 20, "at most TRANSFERS_IN partial packets are kept"


def _counted(node: RunningNode, counter: str, least: int = 1) -> None:
    wait_until(lambda: counters(node).get(counter, 0) >= least, 10, counter)


def _still_works(node: RunningNode, mallory: Mallory) -> None:
    """The same link takes a proper message, once."""
    text = f"fine {mallory.name} {time.monotonic_ns()}"
    packet = mallory.message(Payload(0, 0, 0, text.encode()).encode())
    mallory.say_packet(packet)
    mallory.say_packet(packet)
    wait_until(lambda: any(row["text"] == text for row in node.inbox()), 10, "a proper message")
    assert [row["from"] for row in node.inbox() if row["text"] == text] == [mallory.name]
    mallory.socket.close()
