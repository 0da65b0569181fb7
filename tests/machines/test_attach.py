"""N13, N7, N9: attached files: described at once, held for a wide enough link, fetched, proved."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from nexus_node.base.limits import FILE_PART_S, MESSAGE_TTL_S
from nexus_node.crypto.filestream import open_file
from nexus_node.engine.attach import seal_attachment, whole_facts, whole_state
from nexus_node.ports.driver import LinkProfile
from nexus_node.ports.store import Outgoing
from nexus_node.wire.frames import ItemKind
from nexus_node.wire.packet import Context, parse_packet_untrusted

from .mesh import Mesh
from .world import DATAGRAM, NARROW, STREAM, Wire

WIFI = LinkProfile(mtu=4096, bps=5e6, ordered=True)
SLOW = LinkProfile(mtu=255, bps=1200, half_duplex=True)


def photo(size: int = 400_000, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def send(mesh: Mesh, content: bytes, *, media_type: str = "image/jpeg", **options) -> bytes:
    file = seal_attachment("photo.jpg", content, media_type=media_type, key=bytes(range(32)), **options)
    return mesh["alice"].send("bob", "look", mesh.now, files=[file])


def whole(mesh: Mesh, message: bytes) -> str:
    return whole_state(mesh["alice"].store.parts(message)).value


def told(mesh: Mesh, message: bytes) -> list[str]:
    """The states the message came to, as its sender was told."""
    return [
        str(event.fields["state"])
        for event in mesh["alice"].events
        if event.event == "message_state" and event.fields["id"] == message.hex()
    ]


def received(mesh: Mesh) -> bytes | None:
    """The file as bob has it, opened; None while it is not here."""
    core = mesh["bob"].core
    (row,) = mesh["bob"].store.inbox()
    (file,) = core.files_of(row)
    (expected,) = core.store.expected(file.object)
    if expected.arrived_ms is None:
        return None
    return b"".join(open_file(file.key, core.store.read_object(file.object)))


def friends(*names: str, **options) -> Mesh:
    mesh = Mesh(*names, **options)
    mesh.knows("alice", "bob")
    mesh.knows("bob", "alice")
    return mesh


@pytest.mark.parametrize("profile", [STREAM, DATAGRAM, WIFI])
@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 400_000, 3_000_000])
def test_n7_a_file_arrives_as_it_was(profile, size):
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", profile)
    mesh.run(1)
    message = send(mesh, photo(size))
    mesh.run(30)
    assert mesh["bob"].inbox() == ["look"]
    assert received(mesh) == photo(size)
    assert whole(mesh, message) == "delivered"
    assert told(mesh, message) == ["queued", "sent", "delivered"]
    assert [stored.size for stored in mesh["alice"].store.objects()] == []  # it need not be kept any more


def test_n13_a_photo_waits_for_a_wider_link_and_its_description_does_not():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", SLOW)
    mesh.run(5)
    message = send(mesh, photo())
    mesh.run(600)
    assert mesh["bob"].inbox() == ["look"]
    (row,) = mesh["bob"].store.inbox()
    (file,) = mesh["bob"].core.files_of(row)
    assert (file.name, file.size, file.media_type) == ("photo.jpg", 400_000, "image/jpeg")
    assert received(mesh) is None
    assert whole(mesh, message) == "held"
    (slow,) = mesh.wires.values()
    before = slow.bytes
    mesh.run(1800)
    mesh.part("alice", "bob")
    assert slow.bytes - before < 3000  # what keeps the link alive, and nothing of the photo
    mesh.wires.clear()
    mesh.join("alice", "bob", WIFI)
    mesh.run(5)
    assert received(mesh) == photo()
    assert told(mesh, message) == ["queued", "held", "sent", "delivered"]


def test_n13_a_file_that_may_go_anywhere_goes_over_a_slow_link():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", SLOW)
    mesh.run(5)
    message = send(mesh, photo(10_000), media_type="application/pdf")
    mesh.run(100)
    assert received(mesh) == photo(10_000)
    assert whole(mesh, message) == "delivered"


@pytest.mark.parametrize("loss", [0.05, 0.2])
@pytest.mark.parametrize("profile", [DATAGRAM, NARROW])
def test_n7_a_file_arrives_in_spite_of_loss(profile, loss):
    for seed in range(4):
        mesh = friends("alice", "bob", seed=seed)
        mesh.join("alice", "bob", profile, loss=loss, repeat=0.05)
        mesh.run(60)
        message = send(mesh, photo(60_000), min_bandwidth=0)
        mesh.run(3000)
        assert received(mesh) == photo(60_000)
        assert whole(mesh, message) == "delivered"


def test_n7_a_file_crosses_other_nodes():
    mesh = friends("alice", "m", "n", "bob")
    mesh.join("alice", "m", WIFI)
    mesh.join("m", "n", DATAGRAM)
    mesh.join("n", "bob", WIFI)
    mesh.run(10)
    message = send(mesh, photo())
    mesh.run(60)
    assert received(mesh) == photo()
    assert whole(mesh, message) == "delivered"


def test_n13_a_file_is_held_for_a_path_with_a_narrow_link_in_it():
    mesh = friends("alice", "m", "bob")
    mesh.join("alice", "m", WIFI)
    mesh.join("m", "bob", SLOW)
    mesh.run(60)
    message = send(mesh, photo())
    mesh.run(300)
    assert mesh["bob"].inbox() == ["look"]
    assert whole(mesh, message) == "held"
    slow = mesh.wires[frozenset(("m", "bob"))]
    chunks = [frame for frame in slow.frames if len(frame) > 250]
    assert not chunks
    mesh.part("m", "bob")
    del mesh.wires[frozenset(("m", "bob"))]
    mesh.join("m", "bob", WIFI)
    mesh.run(120)
    assert received(mesh) == photo()
    assert whole(mesh, message) == "delivered"


def flapping(mesh: Mesh, a: str, b: str, times: int, *, up_s: float, down_s: float) -> Wire:
    """A wide link that comes and goes beside the slow one; it is in at the end."""
    wire = Wire(mesh[a], mesh[b], WIFI, mesh.dice)
    mesh.wires[frozenset((a, b, "wide"))] = wire
    for _ in range(times):
        wire.plug(mesh.now)
        mesh.run(up_s)
        wire.cut(mesh.now)
        mesh.run(down_s)
    return wire


def overheard(wire: Wire) -> set[int]:
    """What packets cross a wire from now on, by their contexts."""
    said: set[int] = set()
    for host in wire.hosts:
        pull = host.core.next_frame

        def next_frame(cid: int, now: float, host=host, pull=pull) -> bytes | None:
            frame = pull(cid, now)
            if frame is not None and cid in wire.cids:
                packets = (body for kind, body in host.core.latest if kind == ItemKind.PACKET)
                said.update(parse_packet_untrusted(body).context for body in packets)
            return frame

        host.core.next_frame = next_frame
    return said


@pytest.mark.parametrize("names", [("alice", "bob"), ("alice", "m", "bob")])
def test_n13_a_wide_link_that_flaps_starts_no_photo_on_the_slow_one(names):
    mesh = friends(*names)
    mesh.line("alice", *names[1:-1], profile=WIFI)
    mesh.join(*names[-2:], SLOW)
    mesh.run(30)
    flapping(mesh, *names[-2:], 1, up_s=0.02, down_s=10.0)
    message = send(mesh, photo())
    mesh.run(60)
    assert whole(mesh, message) == "held"
    said = overheard(mesh.wires[frozenset(names[-2:])])
    wire = flapping(mesh, *names[-2:], 100, up_s=0.4, down_s=2.0)
    assert whole(mesh, message) == "held"
    rows = mesh["alice"].store.parts(message)
    assert mesh["bob"].store.get_object(rows[1].object) is None  # not even begun
    assert not said & {Context.OFFER_OBJECT, Context.ASK, Context.CHUNK}
    wire.plug(mesh.now)
    mesh.run(8)
    assert received(mesh) == photo()
    assert told(mesh, message) == ["queued", "held", "sent", "delivered"]


def test_n13_a_link_that_comes_and_goes_slowly_is_used_each_time():
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", SLOW)
    mesh.run(5)
    flapping(mesh, "alice", "bob", 1, up_s=0.5, down_s=1)
    content = photo(3_000_000)
    message = send(mesh, content)
    rows = mesh["alice"].store.parts(message)
    flapping(mesh, "alice", "bob", 20, up_s=0.5, down_s=1)
    assert mesh["bob"].store.get_object(rows[1].object) is None
    flapping(mesh, "alice", "bob", 1, up_s=6, down_s=20)
    assert received(mesh) == content


def test_n13_a_photo_is_held_again_when_the_way_beyond_the_first_link_narrows():
    mesh = friends("alice", "m", "bob")
    mesh.join("alice", "m", WIFI)
    mesh.join("m", "bob", SLOW)
    mesh.run(30)
    wide = flapping(mesh, "m", "bob", 0, up_s=0, down_s=0)
    wide.plug(mesh.now)
    mesh.run(30)
    wide.cut(mesh.now)
    mesh.run(30)
    message = send(mesh, photo())
    mesh.run(30)
    assert whole(mesh, message) == "held"
    (way,) = mesh["alice"].core.delivery.ways_to(mesh["bob"].identity.node_id)
    assert 1200 <= way.bps < 1300


def test_n10_a_relay_keeps_a_file_for_who_is_away():
    mesh = friends("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "relay", trust="trusted")
    mesh.knows("relay", "alice", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    message = send(mesh, photo())
    mesh.run(30)
    assert whole(mesh, message) == "relayed"
    mesh.part("alice", "relay")
    mesh.join("relay", "bob")
    mesh.run(30)
    assert received(mesh) == photo()
    assert mesh["relay"].core.relay.usage == (0, 0)
    assert list(mesh["relay"].store.objects()) == []
    mesh.join("alice", "relay")
    mesh.run(30)
    assert whole(mesh, message) == "delivered"


def test_n13_a_relay_hands_a_file_over_only_on_a_wide_enough_link():
    mesh = friends("alice", "relay", "bob", relays=("relay",))
    mesh.knows("alice", "relay", trust="trusted")
    mesh.knows("relay", "alice", trust="trusted")
    mesh.join("alice", "relay")
    mesh.run(2)
    send(mesh, photo())
    mesh.run(30)
    mesh.part("alice", "relay")
    mesh.join("relay", "bob", SLOW)
    mesh.run(900)
    assert mesh["bob"].inbox() == ["look"]
    assert received(mesh) is None
    assert mesh.wires[frozenset(("relay", "bob"))].bytes < 4000
    mesh.part("relay", "bob")
    del mesh.wires[frozenset(("relay", "bob"))]
    mesh.join("relay", "bob", WIFI)
    mesh.run(30)
    assert received(mesh) == photo()


def test_n7_a_transfer_goes_on_after_restarts_with_what_is_there(tmp_path: Path):
    mesh = friends("alice", "bob", folder=tmp_path)
    content = photo(5_000_000)
    message = send(mesh, content, min_bandwidth=0)
    crossed, dice = 0, random.Random(3)
    for turn in range(40):
        mesh.join("alice", "bob", WIFI)
        wire = mesh.wires[frozenset(("alice", "bob"))]
        before = wire.bytes
        for _ in range(dice.randrange(4, 20)):
            wire.step(mesh.now)
        mesh.now += 0.5
        crossed += wire.bytes - before
        if whole(mesh, message) == "delivered":
            break
        mesh.crash(("alice", "bob")[turn % 2])
    assert received(mesh) == content
    assert mesh["bob"].inbox() == ["look"]
    assert turn >= 5
    print(turn, crossed / len(content))


@pytest.mark.parametrize("comes_back", [True, False])
def test_n7_what_is_here_of_a_file_that_never_came_goes_and_what_came_stays(comes_back):
    mesh = friends("alice", "bob")
    mesh.join("alice", "bob", WIFI)
    mesh.run(1)
    message = send(mesh, photo(5_000_000), min_bandwidth=0)
    (wire,) = mesh.wires.values()
    (_, row) = mesh["alice"].store.parts(message)
    while mesh["bob"].store.have_chunks(row.object) < 100:
        assert wire.step(mesh.now)
    mesh.part("alice", "bob")
    mesh.run(MESSAGE_TTL_S - 3600)
    assert mesh["bob"].store.have_chunks(row.object) >= 100
    if comes_back:
        mesh.join("alice", "bob", WIFI)
        mesh.run(10)
        mesh.part("alice", "bob")
    mesh.run(FILE_PART_S)
    assert whole(mesh, message) == ("delivered" if comes_back else "expired")
    assert list(mesh["alice"].store.objects()) == []
    if comes_back:
        assert received(mesh) == photo(5_000_000)
    else:
        assert list(mesh["bob"].store.objects()) == [] and mesh["bob"].store.usage()[1] < 1000


def test_n9_a_message_is_as_far_as_what_is_behind():
    def row(state: str) -> Outgoing:
        return Outgoing(b"", b"", b"", 0, 0, 0, b"", b"", b"", b"", state=state)

    from nexus_node.base.states import State

    cases = {
        (State.QUEUED, State.QUEUED): State.QUEUED,
        (State.DELIVERED, State.HELD): State.HELD,
        (State.READ, State.DELIVERED): State.READ,
        (State.DELIVERED, State.DELIVERED): State.DELIVERED,
        (State.READ, State.FAILED): State.FAILED,
        (State.SENT, State.DELIVERED): State.SENT,
    }
    for (text, file), expected in cases.items():
        assert whole_state([row(text), row(file)]) is expected
    assert whole_facts([[], []]) == []


def test_s2_relays_see_no_name_and_no_content_of_a_file():
    mesh = friends("alice", "m", "bob")
    mesh.join("alice", "m", STREAM)
    mesh.join("m", "bob", STREAM)
    mesh.run(5)
    seen: list[bytes] = []
    forward = mesh["m"].core.forwarder.pass_on

    def watch(peer, packet, now, **options):
        seen.append(packet.data)
        forward(peer, packet, now, **options)

    mesh["m"].core.forwarder.pass_on = watch
    send(mesh, b"secret words " * 4000)
    mesh.run(10)
    assert received(mesh) == b"secret words " * 4000
    assert len(seen) > 5
    assert not any(b"secret" in data or b"photo" in data or b"image" in data for data in seen)


@pytest.mark.parametrize("names", [("alice", "bob"), ("alice", "one", "bob")])
def test_n13_both_ends_know_how_long_it_still_takes(names):
    mesh = friends(*names)
    for one, other in pairwise(names):
        _Paced(mesh, one, other, WIFI)
    mesh.run(1)
    content = photo(6_000_000)
    message = send(mesh, content)
    (_, row) = mesh["alice"].store.parts(message)
    told = []
    while (whole(mesh, message)) != "delivered":
        mesh.run(0.25)
        ours = mesh["alice"].core.delivery.fetched.get(row.id)
        total = -(-row_size(mesh, row) // 4096)
        told.append(
            (
                mesh.now,
                ours.left_s(total, mesh.now) if ours is not None else None,
                mesh["bob"].core.fetcher.left_s(row.object, mesh.now),
            )
        )
    late = [one for one in told if one[0] - 1 > 3 and one[0] < mesh.now - 1]
    assert len(late) > 10
    for now, ours, theirs in late:
        for left_s in (ours, theirs):
            assert left_s is not None
            assert abs(left_s - (mesh.now - now)) < 0.25 * (mesh.now - now) + 0.75


def test_n6_two_who_ask_over_one_link_come_on_alike():
    """The one who asked first is not served first to the end."""
    mesh = Mesh("alice", "m", "bob", "carol")
    _Paced(mesh, "alice", "m", WIFI)
    for name in ("bob", "carol"):
        mesh.join("m", name, WIFI)
        mesh.knows("alice", name)
        mesh.knows(name, "alice")
    mesh.run(10)
    sent = {}
    for name in ("bob", "carol"):
        file = seal_attachment("a.bin", photo(3_000_000), key=name.encode().ljust(32), min_bandwidth=0)
        sent[name] = file.header.id
        mesh["alice"].send(name, "look", mesh.now, files=[file])
        mesh.run(0.5)
    ahead = mesh["bob"].store.have_chunks(sent["bob"])
    mesh.run(4)
    came = [mesh[name].store.have_chunks(sent[name]) for name in ("bob", "carol")]
    assert min(came) > 100 and not any(mesh[name].store.get_object(sent[name]).complete for name in sent)
    assert abs(came[0] - ahead - came[1]) < 0.2 * came[1]


def row_size(mesh: Mesh, row: Outgoing) -> int:
    stored = mesh["alice"].store.get_object(row.object)
    return stored.size if stored is not None else 1


class _Paced(Wire):
    """A wire on which a frame takes its time."""

    def __init__(self, mesh: Mesh, a: str, b: str, profile: LinkProfile) -> None:
        super().__init__(mesh[a], mesh[b], profile, mesh.dice)
        mesh.wires[frozenset((a, b))] = self
        self.plug(mesh.now)
        for side, host in enumerate(self.hosts):
            cid = self.cids[side]
            host.core.next_frame = self._paced(host.core, cid, profile)

    def _paced(self, core, mine, profile):
        pull, free = core.next_frame, [0.0]

        def next_frame(cid, now):
            if cid != mine:
                return pull(cid, now)
            if now < free[0]:
                core._arm(free[0])
                core.ready.add(cid)
                return None
            frame = pull(cid, now)
            if frame is not None:
                free[0] = now + 8 * len(frame) / profile.bps
                core._arm(free[0])
            return frame

        return next_frame
