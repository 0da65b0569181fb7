"""Our code against the golden vectors, which `tests/vectors/make_*.py` make without it. Those of announces,
routing and reconciliation are run in `test_wire_routing.py` and `test_wire_reconcile.py`."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import MTU_MIN, RECEIPTS_PER_PACKET
from nexus_node.crypto.envelope import (
    KIND_KNOWN,
    SharedSecrets,
    open_envelope,
    receipt_mark,
    seal_introduction,
    seal_known,
)
from nexus_node.crypto.identity import Identity, agreement_key_of, node_id_of_static, sign_bit, static_key_of
from nexus_node.engine.compose import Composer
from nexus_node.ports.driver import LinkProfile
from nexus_node.ports.store import Correspondent
from nexus_node.proto.broadcast import BroadcastReceiver, BroadcastSender
from nexus_node.proto.exchange import LARGEST_HANDSHAKE
from nexus_node.proto.fragment import OutgoingTransfer, Reassembly, ReassemblyBudget
from nexus_node.proto.handshake import opener_of
from nexus_node.proto.link import Link, LinkUp
from nexus_node.proto.session import Session, _OpenKey
from nexus_node.wire.custody import (
    PREFIXES_MAX,
    TLV_COPY,
    Acquaintance,
    Custody,
    Delivered,
    Pending,
    Promise,
    custody_tlv,
    parse_acquaintance_untrusted,
    parse_copy_tlv_untrusted,
    parse_custody_tlv_untrusted,
    parse_custody_untrusted,
    parse_delivered_untrusted,
    parse_pending_untrusted,
    parse_promise_untrusted,
)
from nexus_node.wire.dataobject import KIND_MESSAGE, ObjectHeader, describe, parse_object_header_untrusted
from nexus_node.wire.fragments import (
    Fragment,
    FragmentAck,
    parse_fragment_ack_untrusted,
    parse_fragment_untrusted,
)
from nexus_node.wire.frames import (
    BroadcastShare,
    Capabilities,
    Hello,
    ItemPacker,
    Opening,
    SealedFrame,
    encode_items,
    parse_capabilities_untrusted,
    parse_frame_untrusted,
    parse_items_untrusted,
)
from nexus_node.wire.message import Payload, message_data, parse_payload_untrusted, seal_context
from nexus_node.wire.packet import (
    Context,
    Packet,
    Priority,
    Refusal,
    parse_packet_untrusted,
    parse_receipts_untrusted,
    parse_refusal_untrusted,
)
from nexus_node.wire.routing import parse_prefixes_untrusted
from nexus_node.wire.text import dictionary, parse_text_untrusted
from nexus_node.wire.trace import Trace, TraceReply, parse_trace_reply_untrusted, parse_trace_untrusted
from nexus_node.wire.uri import make_uri, parse_uri_untrusted

VECTORS = Path(__file__).parents[1] / "vectors"
Vector = dict[str, Any]


def page_of(name: str) -> list[Vector]:
    found: list[Vector] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return found


def vectors(page: str, *starts: str) -> Any:
    """Parametrises a test by the vectors of a page whose ids begin so, but for those to be refused."""
    chosen = [one for one in page_of(page) if one["id"].startswith(starts or "") and "-bad-" not in one["id"]]
    assert chosen, f"no vector of {page} begins with {starts}"
    return pytest.mark.parametrize("vector", chosen, ids=[one["id"] for one in chosen])


def raw(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


def identity(vector: Vector, name: str = "seed") -> Identity:
    return Identity.from_seed(raw(vector, name))


class FixedRng:
    """The ephemeral secrets and the link index of a vector; nought where a byte of jitter is asked for."""

    def __init__(self, *secrets: bytes, index: int = 0) -> None:
        self._secrets = list(secrets)
        self._index = index

    def random_bytes(self, count: int, /) -> bytes:
        if self._secrets and count == len(self._secrets[0]):
            return self._secrets.pop(0)
        return self._index.to_bytes(count, "little") if count == 2 else bytes(count)


# --- all --------------------------------------------------------------------------------------------
SCRIPTS = sorted(VECTORS.glob("make_*.py"))


def test_the_committed_vectors_are_what_the_scripts_make(tmp_path: Path) -> None:
    for script in SCRIPTS:
        subprocess.run([sys.executable, script, tmp_path], check=True, timeout=60)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in VECTORS.glob("*.json")}


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_the_scripts_import_nothing_of_ours(script: Path) -> None:
    imports = re.findall(r"^\s*(?:import|from) .*", script.read_text("utf-8"), re.M)
    assert imports and not [line for line in imports if "nexus" in line or "nacl" in line]


def test_ids_are_unique() -> None:
    ids = [one["id"] for path in VECTORS.glob("*.json") for one in page_of(path.stem)]
    assert len(ids) == len(set(ids)) > 200


def test_the_pages_cite_vectors_that_exist_and_name_every_family() -> None:
    text = "".join(path.read_text("utf-8") for path in (VECTORS.parents[1] / "docs/protocol").glob("*.md"))
    for page in REFUSERS:
        assert f"tests/vectors/{page}.json" in text
        for one in page_of(page):
            family = one["id"].split("-bad-")[0] + "-bad-" if "-bad-" in one["id"] else one["id"]
            family = family.rstrip("0123456789")
            assert f"`{family}" in text, f"{one['id']} is cited nowhere"


def test_the_index_explains_every_code_that_is_counted() -> None:
    index = (VECTORS.parents[1] / "docs/protocol/README.md").read_text("utf-8")
    sources = [
        *(VECTORS.parents[1] / "nexus_node").rglob("*.py"),
        *(VECTORS.parents[1] / "drivers").rglob("*.py"),
    ]
    pattern = re.compile(
        r'''(?:BadWire\(|counters\[|\.count\(|Reason\.[A-Z_]+: |_send_back\(.*)"([a-z_]+)"'''
    )
    codes = {
        code
        for path in sources
        if path.parent.name != "client"
        for code in pattern.findall(path.read_text("utf-8"))
    }
    assert len(codes) > 30
    assert not {code for code in codes if f"`{code}`" not in index}


def refuse_link_frame(vector: Vector) -> None:
    if "frame" in vector:
        parse_frame_untrusted(raw(vector, "frame"))
    elif "plaintext" in vector:
        list(parse_items_untrusted(raw(vector, "plaintext")))
    else:
        parse_capabilities_untrusted(raw(vector, "capabilities"), MTU_MIN)


def refuse_identity(vector: Vector) -> None:
    if "uri" in vector:
        parse_uri_untrusted(vector["uri"])
    elif "static_key" in vector:
        node_id_of_static(raw(vector, "static_key"))
    else:
        agreement_key_of(NodeId(raw(vector, "node_id")))


def refuse_packet(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    if packet.context == Context.RECEIPTS:
        parse_receipts_untrusted(packet.data, RECEIPTS_PER_PACKET)
    else:
        parse_refusal_untrusted(packet.data)


def refuse_fragment(vector: Vector) -> None:
    if "fragment" in vector:
        parse_fragment_untrusted(raw(vector, "fragment"))
    else:
        parse_fragment_ack_untrusted(raw(vector, "ack"))


def refuse_message(vector: Vector) -> None:
    if "payload" in vector:
        parse_payload_untrusted(raw(vector, "payload"))
        return
    bob = identity(vector, "recipient_seed")
    candidates = [NodeId(bytes.fromhex(one)) for one in vector["candidates"]]
    open_envelope(bob, SharedSecrets(bob), raw(vector, "envelope"), raw(vector, "context"), candidates)


def refuse_custody(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    readers: dict[int, Callable[[bytes], object]] = {
        Context.MESSAGE: lambda _: (
            parse_custody_tlv_untrusted(packet.tlvs) or parse_copy_tlv_untrusted(packet.tlvs)
        ),
        Context.CUSTODY: parse_custody_untrusted,
        Context.PROMISE: parse_promise_untrusted,
        Context.PENDING: parse_pending_untrusted,
        Context.WANT: lambda data: parse_prefixes_untrusted(data, PREFIXES_MAX),
        Context.DELIVERED: parse_delivered_untrusted,
        Context.ACQUAINTANCE: parse_acquaintance_untrusted,
        Context.TRACE: parse_trace_untrusted,
        Context.TRACE_REPLY: parse_trace_reply_untrusted,
    }
    readers[packet.context](packet.data)


REFUSERS: dict[str, Callable[[Vector], object]] = {
    "identity": refuse_identity,
    "packet": refuse_packet,
    "link": refuse_link_frame,
    "fragment": refuse_fragment,
    "object": lambda vector: parse_object_header_untrusted(raw(vector, "header")),
    "message": refuse_message,
    "text": lambda vector: parse_text_untrusted(vector["codec"], raw(vector, "data")),
    "custody": refuse_custody,
    "trace": refuse_custody,
}
BAD = [(page, one) for page in REFUSERS for one in page_of(page) if "-bad-" in one["id"]]


@pytest.mark.parametrize(("page", "vector"), BAD, ids=[one["id"] for _, one in BAD])
def test_what_must_be_refused_is_refused_with_its_code(page: str, vector: Vector) -> None:
    with pytest.raises(BadWire) as caught:
        REFUSERS[page](vector)
    assert caught.value.code == vector["refused"]


# --- identity ---------------------------------------------------------------------------------------
@vectors("identity", "identity-1", "identity-2", "identity-3")
def test_n1_identity(vector: Vector) -> None:
    me = identity(vector)
    assert me.node_id == raw(vector, "node_id") and me.address == raw(vector, "address")
    assert me.agreement_public == agreement_key_of(me.node_id) == raw(vector, "agreement_key")
    assert sign_bit(me.node_id) == vector["sign_bit"]
    assert static_key_of(me.node_id) == me.static.public == raw(vector, "static_key")
    assert node_id_of_static(raw(vector, "static_key")) == me.node_id
    assert me.vault_key() == raw(vector, "vault_key")
    assert make_uri(me.node_id) == vector["uri"] and parse_uri_untrusted(vector["uri"]).node_id == me.node_id


@vectors("identity", "identity-uri")
def test_n1_contact_links(vector: Vector) -> None:
    contact = parse_uri_untrusted(vector["uri"])
    assert (contact.node_id, contact.name) == (raw(vector, "node_id"), vector["name"])
    relays = [NodeId(bytes.fromhex(one)) for one in vector.get("relays", [])]
    assert list(contact.relays) == relays
    if vector["name"]:
        assert make_uri(contact.node_id, vector["name"], relays) == vector["uri"]


# --- packets ----------------------------------------------------------------------------------------
@vectors("packet")
def test_n2_packets(vector: Vector) -> None:
    encoded = raw(vector, "packet")
    packet = parse_packet_untrusted(encoded)
    assert packet.encode() == encoded
    if "receipts" in vector:
        receipts = parse_receipts_untrusted(packet.data, RECEIPTS_PER_PACKET)
        assert [one.hex() for one in receipts] == vector["receipts"]
        made = Packet(Context.RECEIPTS, b"".join(receipts), priority=Priority.INTERACTIVE)
    elif "reason" in vector:
        refusal = parse_refusal_untrusted(packet.data)
        assert refusal == Refusal(vector["reason"], raw(vector, "object_prefix"), vector["retry_s"])
        made = Packet(Context.REFUSAL, refusal.encode(), priority=Priority.INTERACTIVE)
    else:
        made = Packet(
            vector["context"],
            raw(vector, "data"),
            Address(raw(vector, "destination")) or None,
            vector["hops"],
            Priority(vector["priority"]),
            tuple((kind, bytes.fromhex(value)) for kind, value in vector["tlvs"]),
        )
    assert packet == made and made.encode() == encoded


# --- links ------------------------------------------------------------------------------------------
def two_links(vector: Vector, *, known: bool, rekey: Vector | None = None) -> tuple[Link, Link]:
    """Initiator and responder of a handshake vector, with its ephemerals and indices."""
    sides = []
    for role, dialed in (("initiator", True), ("responder", False)):
        secrets = [raw(one, f"{role}_ephemeral") for one in (vector, rekey) if one is not None]
        rng = FixedRng(*secrets, index=vector[f"{role}_index"])
        profile = LinkProfile(mtu=vector[f"{role}_mtu"], bps=1e6)
        peer = identity(vector, "responder_seed").node_id if known and dialed else None
        me = identity(vector, f"{role}_seed")
        sides.append(Link(me, profile, rng, dialed=dialed, known=peer, now=0.0))
    return sides[0], sides[1]


def next_sealed(link: Link, now: float = 0.0) -> bytes:
    packer = ItemPacker(link.room)
    link.fill(packer)
    assert packer.items or link.must_send
    return link.seal(packer.items, now)


@vectors("link", "link-xx-1")
def test_n3_first_contact_byte_by_byte(vector: Vector) -> None:
    alice, bob = two_links(vector, known=False)
    assert alice.poll_handshake() == raw(vector, "xx1")
    alice.receive(raw(vector, "retry"), 0.0)
    assert alice.poll_handshake() == raw(vector, "xx1_with_cookie")
    bob.receive(raw(vector, "xx1_with_cookie"), 0.0)
    assert bob.poll_handshake() == raw(vector, "xx2")
    alice.receive(raw(vector, "xx2"), 0.0)
    assert alice.poll_handshake() == raw(vector, "xx3")
    bob.receive(raw(vector, "xx3"), 0.0)
    check_established(vector, alice, bob)


@vectors("link", "link-ik-1")
def test_n3_known_peer_byte_by_byte(vector: Vector) -> None:
    alice, bob = two_links(vector, known=True)
    assert alice.poll_handshake() == raw(vector, "ik1")
    alice.receive(raw(vector, "retry"), 0.0)
    assert alice.poll_handshake() == raw(vector, "ik1_with_cookie")
    bob.receive(raw(vector, "ik1_with_cookie"), 0.0)
    assert bob.poll_handshake() == raw(vector, "ik2") and not bob.up
    alice.receive(raw(vector, "ik2"), 0.0)
    assert next_sealed(alice) == raw(vector, "confirm")
    bob.receive(raw(vector, "confirm"), 0.0)
    check_established(vector, alice, bob)


def check_established(vector: Vector, alice: Link, bob: Link) -> None:
    assert alice.poll_event() == LinkUp(identity(vector, "responder_seed").node_id)
    assert bob.poll_event() == LinkUp(identity(vector, "initiator_seed").node_id)
    assert alice.mtu == bob.mtu == vector["mtu"]
    assert alice._session is not None and alice._session.binding == raw(vector, "binding")
    # Frames made by hand from the vector's keys open on either side.
    for link, key in ((bob, "initiator_key"), (alice, "responder_key")):
        session = Session(raw(vector, key), bytes(32), b"", None, 0.0)
        session._counter = 1  # 0 may have been the confirmation
        assert link.receive(session.seal(encode_items([(1, b"packet")])), 0.0) == [(1, b"packet")]


@vectors("link", "link-rekey")
def test_n3_rekey_byte_by_byte(vector: Vector) -> None:
    [start] = [one for one in page_of("link") if one["id"] == vector["link"]]
    alice, bob = two_links(start, known=False, rekey=vector)
    for frame in ("xx1", "xx3"):
        bob.receive(raw(start, frame), 0.0)
    alice.receive(raw(start, "xx2"), 0.0)
    alice.last_heard = 3599.0  # a link that was silent would ping in the same frame
    alice.expire(3600.0)
    assert next_sealed(alice, 3600.0) == raw(vector, "rekey_frame")
    bob.receive(raw(vector, "rekey_frame"), 3600.0)
    assert next_sealed(bob, 3600.0) == raw(vector, "reply_frame")
    alice.receive(raw(vector, "reply_frame"), 3600.0)
    assert next_sealed(alice, 3600.0) == raw(vector, "first_frame")
    assert bob.receive(raw(vector, "first_frame"), 3600.0) == []
    for link, key in ((alice, "initiator_key"), (bob, "responder_key")):
        assert link._session is not None and link._session.epoch == 1
        made = Session(raw(vector, key), bytes(32), b"", None, 0.0)
        made.epoch, made._counter = 1, link._session._counter
        assert link.seal([], 3600.0) == made.seal(b"")


@vectors("link", "link-shared-1")
def test_n3_neighbours_on_a_shared_medium_byte_by_byte(vector: Vector) -> None:
    sides = []
    for role, dialed in (("initiator", True), ("responder", False)):
        index, epoch, secret = vector[f"{role}_share"]
        share = BroadcastShare(index, epoch, bytes.fromhex(secret))
        mtu = vector[f"{role}_mtu"]
        sides.append(
            Link(
                identity(vector, f"{role}_seed"),
                LinkProfile(mtu=mtu, bps=1e6, shared=True),
                FixedRng(raw(vector, f"{role}_ephemeral"), index=vector[f"{role}_index"]),
                dialed=dialed,
                known=identity(vector, "responder_seed").node_id if dialed else None,
                offer=lambda now, mtu=mtu, share=share: Capabilities(mtu, share),
                now=0.0,
            )
        )
    alice, bob = sides
    hello = parse_frame_untrusted(raw(vector, "hello"))
    node_id = identity(vector, "responder_seed").node_id
    assert hello == Hello(vector["responder_share"][0], node_id)
    assert hello.encode() == raw(vector, "hello")
    ik1 = alice.poll_handshake()
    assert ik1 == raw(vector, "ik1") and len(ik1) == LARGEST_HANDSHAKE
    opened = parse_frame_untrusted(ik1)
    assert isinstance(opened, Opening)
    rng = FixedRng(bytes(32))
    assert opener_of(identity(vector, "responder_seed"), opened.noise, rng) == alice._identity.node_id
    bob.receive(ik1, 0.0)
    assert bob.poll_handshake() == raw(vector, "ik2")
    alice.receive(raw(vector, "ik2"), 0.0)
    assert alice.must_send and alice.seal([], 0.0) == raw(vector, "confirm")
    bob.receive(raw(vector, "confirm"), 0.0)
    check_established(vector, alice, bob)
    assert alice.broadcasts is not None and alice.broadcasts.index == vector["responder_share"][0]
    assert bob.broadcasts is not None and bob.broadcasts.index == vector["initiator_share"][0]


@vectors("link", "link-broadcast")
def test_n3_broadcasts(vector: Vector) -> None:
    sender = BroadcastSender(FixedRng(raw(vector, "secret"), index=vector["index"]), 0.0)
    share = sender.share(0.0)
    assert (share.index, share.epoch, share.secret) == (vector["index"], 0, raw(vector, "secret"))
    for _ in range(vector["epoch"]):
        sender._counter = 1 << 15
        sender._turn(0.0)
    sender._counter = vector["counter"]
    assert sender.seal(raw(vector, "plaintext"), 0.0) == raw(vector, "frame")
    frame = parse_frame_untrusted(raw(vector, "frame"))
    assert isinstance(frame, SealedFrame) and frame.broadcast and frame.index == vector["index"]
    receiver = BroadcastReceiver(share)
    assert receiver.open(frame) == raw(vector, "plaintext")
    with pytest.raises(BadWire, match="replay"):
        receiver.open(frame)


@vectors("link", "link-sealed")
def test_n3_sealed_frames(vector: Vector) -> None:
    key, plaintext = raw(vector, "key"), raw(vector, "plaintext")
    sender = Session(key, bytes(32), b"", vector["index"], 0.0)
    sender.epoch, sender._counter = vector["epoch"], vector["counter"]
    assert sender.seal(plaintext) == raw(vector, "frame")
    frame = parse_frame_untrusted(raw(vector, "frame"))
    assert isinstance(frame, SealedFrame) and frame.index == vector["index"]
    receiver = Session(bytes(32), key, b"", None, 0.0)
    receiver._open = {vector["epoch"]: _OpenKey(key)}
    receiver._open[vector["epoch"]].next = vector["counter"]
    assert receiver.open(frame, 0.0) == plaintext
    with pytest.raises(BadWire, match="replay"):
        receiver.open(frame, 0.0)


@vectors("link", "link-items")
def test_n3_items(vector: Vector) -> None:
    pairs = [(kind, bytes.fromhex(body)) for kind, body in vector["items"]]
    assert list(parse_items_untrusted(raw(vector, "plaintext"))) == pairs
    if "only_read" not in vector:
        assert encode_items(pairs) == raw(vector, "plaintext")


@vectors("link", "link-counter")
def test_n3_counter_from_its_low_bits(vector: Vector) -> None:
    key = _OpenKey(bytes(32))
    key.next = vector["next"]
    assert key.full_counter(vector["low"]) == vector["counter"]


def test_n3_a_cookie_is_in_the_opening() -> None:
    [vector] = [one for one in page_of("link") if one["id"] == "link-xx-1"]
    frame = parse_frame_untrusted(raw(vector, "xx1_with_cookie"))
    assert isinstance(frame, Opening) and frame.cookie == raw(vector, "cookie")


# --- fragments --------------------------------------------------------------------------------------
def test_n2_a_packet_cut_up_and_put_together() -> None:
    [vector] = [one for one in page_of("fragment") if "fragments" in one]
    packet = raw(vector, "packet")
    room = vector["mtu"] - 3 - 16 - 1
    transfer = OutgoingTransfer(vector["transfer"], packet, room, ordered=False)
    sent = []
    while not transfer.waiting:
        sent.append(transfer.next_fragment().encode().hex())
    assert sent == vector["fragments"]
    reassembly = Reassembly(ReassemblyBudget())
    results = [
        reassembly.take(parse_fragment_untrusted(bytes.fromhex(one)), ordered=False) for one in sent[::-1]
    ]
    assert results[-1] == (packet, FragmentAck(vector["transfer"], len(sent)))
    assert all(result[0] is None for result in results[:-1])


@vectors("fragment", "fragment-2", "fragment-3", "fragment-4", "fragment-5")
def test_n2_fragments(vector: Vector) -> None:
    fragment = Fragment(
        vector["transfer"], vector["index"], raw(vector, "data"), vector["last"], vector["ack_wanted"]
    )
    assert fragment.encode() == raw(vector, "fragment")
    assert parse_fragment_untrusted(raw(vector, "fragment")) == fragment


@vectors("fragment", "fragment-ack")
def test_n2_acknowledgements(vector: Vector) -> None:
    bitmap = sum(1 << index - vector["base"] - 1 for index in vector["arrived_past_base"])
    ack = FragmentAck(vector["transfer"], vector["base"], bitmap)
    assert ack.encode() == raw(vector, "ack")
    assert parse_fragment_ack_untrusted(raw(vector, "ack")) == ack


# --- objects ----------------------------------------------------------------------------------------
@vectors("object")
def test_n7_objects(vector: Vector) -> None:
    content = bytes(index % 251 for index in range(vector["size"]))
    header, chunks = describe(vector["kind"], content)
    assert len(chunks) == vector["chunks"] and header.root == raw(vector, "root")
    assert header.encode() == raw(vector, "header") and header.id == raw(vector, "object_id")
    parsed = parse_object_header_untrusted(raw(vector, "header"))
    assert parsed == ObjectHeader(vector["kind"], vector["size"], raw(vector, "root"))


# --- messages ---------------------------------------------------------------------------------------
@vectors("message", "message-payload")
def test_n9_payloads(vector: Vector) -> None:
    payload = Payload(vector["content"], vector["codec"], vector["millis"], raw(vector, "body"))
    assert payload.encode() == raw(vector, "payload")
    assert parse_payload_untrusted(raw(vector, "payload")) == payload


@vectors("message", "message-k", "message-x")
def test_n9_envelopes_are_made_and_opened(vector: Vector) -> None:
    alice, bob = identity(vector, "sender_seed"), identity(vector, "recipient_seed")
    payload, context = raw(vector, "payload"), raw(vector, "context")
    assert seal_context(bob.address, vector["seconds"]) == context
    rng = FixedRng(raw(vector, "ephemeral"))
    kind = raw(vector, "envelope")[0]
    if kind == KIND_KNOWN:
        secrets = SharedSecrets(alice)
        assert secrets.with_node(bob.node_id) == raw(vector, "static_static")
        sealed = seal_known(alice, secrets, bob.node_id, payload, context, rng)
    else:
        sealed = seal_introduction(alice, bob.node_id, payload, context, rng)
    assert sealed.envelope == raw(vector, "envelope")
    assert (sealed.delivered, sealed.read) == (raw(vector, "delivered"), raw(vector, "read"))
    assert receipt_mark(sealed.delivered) == raw(vector, "delivered_mark")
    assert receipt_mark(sealed.read) == raw(vector, "read_mark")
    assert message_data(vector["seconds"], sealed.envelope) == raw(vector, "data")
    # The whole way up, as a recipient goes it.
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.MESSAGE and packet.destination is None
    composer = Composer(bob, FixedRng())
    message_id = composer.identify(packet.data)
    assert message_id == raw(vector, "message_id")
    message = composer.open(message_id, packet.data, [alice.node_id])
    assert message.text == vector["text"] and message.opened.sender == alice.node_id
    assert message.sent_ms == 1000 * vector["seconds"] + parse_payload_untrusted(payload).millis
    assert (message.opened.delivered, message.opened.read) == (sealed.delivered, sealed.read)


@vectors("message", "message-k-1", "message-x-1")
def test_n9_composing_makes_the_vector(vector: Vector) -> None:
    bob = identity(vector, "recipient_seed")
    knows = raw(vector, "envelope")[0] == KIND_KNOWN
    to = Correspondent(bob.node_id, bob.address, knows_us=knows)
    sent_ms = 1000 * vector["seconds"] + parse_payload_untrusted(raw(vector, "payload")).millis
    composer = Composer(identity(vector, "sender_seed"), FixedRng(raw(vector, "ephemeral")))
    composed = composer.seal_text(to, vector["text"].encode(), sent_ms, compress=False)
    assert composed.data == raw(vector, "data")
    assert composed.header.kind == KIND_MESSAGE and composed.header.id == raw(vector, "message_id")
    assert Packet(Context.MESSAGE, composed.data).encode() == raw(vector, "packet")


@vectors("message", "message-k-1")
def test_issue_2_bytes_of_a_short_text_and_its_receipt(vector: Vector) -> None:
    sizes = {name: len(raw(vector, name)) for name in ("payload", "envelope", "data", "packet", "frame")}
    assert sizes == {"payload": 23, "envelope": 73, "data": 77, "packet": 80, "frame": 100}
    assert len(raw(vector, "receipt_packet")) == 19 and len(raw(vector, "receipt_frame")) == 39
    assert len(raw(vector, "frame")) + len(raw(vector, "receipt_frame")) - len(vector["text"]) <= 120


# --- texts ------------------------------------------------------------------------------------------
@vectors("text")
def test_n9_texts_decode(vector: Vector) -> None:
    if "dictionary_size" in vector:
        preset = dictionary(vector["codec"])
        assert len(preset) == vector["dictionary_size"]
        assert blake2b(preset, digest_size=32).hexdigest() == vector["dictionary_blake2b_256"]
    assert parse_text_untrusted(vector["codec"], raw(vector, "data")) == vector["text"]


# --- custody ----------------------------------------------------------------------------------------
def packet_of(vector: Vector, data: bytes) -> bytes:
    """A packet of that data as the vector's: priority interactive, its context and destination."""
    context = parse_packet_untrusted(raw(vector, "packet")).context
    destination = Address(bytes.fromhex(vector.get("destination") or "")) or None
    return Packet(context, data, destination, priority=Priority.INTERACTIVE).encode()


def prefixes(vector: Vector) -> list[bytes]:
    return [bytes.fromhex(one) for one in vector["prefixes"]]


@vectors("custody", "custody-asked")
def test_n10_asking_for_custody(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.MESSAGE and packet.destination == raw(vector, "destination")
    assert packet.data == raw(vector, "data")
    relay = Address(bytes.fromhex(vector["relay"] or "")) or None
    mark = receipt_mark(raw(vector, "receipt"))
    assert parse_custody_tlv_untrusted(packet.tlvs) == (mark, relay)
    assert mark == raw(vector, "mark") and packet.tlvs[-1] == custody_tlv(mark, relay)
    assert packet.encode() == raw(vector, "packet")


@vectors("custody", "custody-kept")
def test_n10_a_neighbour_keeps_messages(vector: Vector) -> None:
    custody = Custody(prefixes(vector), vector["memory_only"])
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.CUSTODY and parse_custody_untrusted(packet.data) == custody
    assert "only_read" in vector or packet_of(vector, custody.encode()) == raw(vector, "packet")


@vectors("custody", "custody-promise")
def test_n10_a_relay_promises(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    promise = parse_promise_untrusted(packet.data)
    assert packet.context == Context.PROMISE
    assert (promise.prefix, promise.relay) == (raw(vector, "prefix"), raw(vector, "relay"))
    assert promise.memory_only == vector["memory_only"]
    assert promise.authentic(raw(vector, "mark")) == vector["authentic"]
    assert packet_of(vector, promise.encode()) == raw(vector, "packet")
    if vector["authentic"]:
        relay, mark = identity(vector, "relay_seed"), raw(vector, "mark")
        made = Promise.make(relay, promise.prefix, mark, memory_only=promise.memory_only)
        assert made == promise


@vectors("custody", "custody-pending")
def test_n10_a_relay_tells_what_it_has(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    pending = Pending(Address(raw(vector, "relay")), prefixes(vector))
    assert packet.context == Context.PENDING and parse_pending_untrusted(packet.data) == pending
    assert packet_of(vector, pending.encode()) == raw(vector, "packet")


@vectors("custody", "custody-want")
def test_n10_a_recipient_fetches(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert packet.context == Context.WANT
    assert parse_prefixes_untrusted(packet.data, PREFIXES_MAX) == prefixes(vector)
    assert packet_of(vector, b"".join(prefixes(vector))) == raw(vector, "packet")


@vectors("custody", "custody-delivered")
def test_n10_receipts_on_their_way_back(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    entries = [Delivered(bytes.fromhex(one), bytes.fromhex(receipt)) for one, receipt in vector["entries"]]
    assert packet.context == Context.DELIVERED and parse_delivered_untrusted(packet.data) == entries
    assert packet_of(vector, b"".join(one.encode() for one in entries)) == raw(vector, "packet")


@vectors("custody", "custody-copy")
def test_n10_a_copy_to_carry(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    mark = receipt_mark(raw(vector, "receipt"))
    assert parse_copy_tlv_untrusted(packet.tlvs) == mark and parse_custody_tlv_untrusted(packet.tlvs) is None
    made = Packet(
        Context.MESSAGE,
        raw(vector, "data"),
        Address(raw(vector, "destination")),
        priority=Priority.BULK,
        tlvs=((TLV_COPY, mark),),
    )
    assert packet == made and made.encode() == raw(vector, "packet")


@vectors("custody", "custody-offer", "custody-take")
def test_n10_copies_are_offered_and_asked_for(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    assert parse_prefixes_untrusted(packet.data, PREFIXES_MAX) == prefixes(vector)
    asks = vector["id"] == "custody-take"
    context, priority = (Context.TAKE, Priority.INTERACTIVE) if asks else (Context.OFFER, Priority.STANDARD)
    made = Packet(context, b"".join(prefixes(vector)), priority=priority)
    assert made.encode() == raw(vector, "packet")


@vectors("custody", "custody-acquaintance")
def test_n10_who_carries_says_whom_it_has_met(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    theirs = parse_acquaintance_untrusted(packet.data)
    met = [Address(bytes.fromhex(one)) for one in vector["met"]]
    assert theirs == Acquaintance.make(vector["busy"], met) and theirs.busy == vector["busy"]
    assert all(theirs.knows(one) for one in met)
    made = Packet(Context.ACQUAINTANCE, theirs.encode(), priority=Priority.INTERACTIVE)
    assert made.encode() == raw(vector, "packet")


@vectors("trace", "trace-asked")
def test_n4_traces(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    trace = Trace(vector["hop"], raw(vector, "nonce"))
    assert packet.context == Context.TRACE and parse_trace_untrusted(packet.data) == trace
    assert packet_of(vector, trace.encode()) == raw(vector, "packet")


@vectors("trace", "trace-reply")
def test_n4_replies_to_traces(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    address = Address(raw(vector, "address"))
    reply = TraceReply(vector["hop"], raw(vector, "nonce"), address, vector["last"])
    assert packet.context == Context.TRACE_REPLY and parse_trace_reply_untrusted(packet.data) == reply
    assert packet_of(vector, reply.encode()) == raw(vector, "packet")


@vectors("message", "message-k-1")
def test_n10_bytes_of_a_short_text_through_a_relay(vector: Vector) -> None:
    """The table of docs/protocol/custody.md: the frames for a text of 20 bytes to an absent recipient."""
    alice, bob, carol = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
    data, prefix, mark = raw(vector, "data"), raw(vector, "message_id")[:8], raw(vector, "delivered_mark")
    entry = Delivered(prefix, raw(vector, "delivered")).encode()
    pending = Pending(carol.address, [prefix]).encode()
    promise = Promise.make(carol, prefix, mark, memory_only=False).encode()

    def frame(packet: Packet) -> int:
        sealed = Session(bytes(32), bytes(32), b"", None, 0.0).seal(encode_items([(1, packet.encode())]))
        return len(sealed)

    asked, asked_far = (
        frame(Packet(Context.MESSAGE, data, bob.address, tlvs=(custody_tlv(mark, relay),)))
        for relay in (None, carol.address)
    )
    back = frame(Packet(Context.DELIVERED, entry, alice.address))
    frames = [
        asked,
        frame(Packet(Context.CUSTODY, Custody([prefix]).encode())),
        frame(Packet(Context.PENDING, pending)),
        frame(Packet(Context.WANT, prefix)),
        frame(Packet(Context.MESSAGE, data)),
        back,
        back,
    ]
    assert frames == [135, 32, 47, 31, 100, 63, 63] and sum(frames) == 471
    assert asked_far == 151 and frame(Packet(Context.PROMISE, promise)) == 128
    assert frame(Packet(Context.DELIVERED, entry)) == 47
    assert frame(Packet(Context.MESSAGE, data, bob.address)) == 116
