"""Bytes that cross a link: handshakes, frames, and texts with their receipts, between two engines."""

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from nexus_drivers import tcp, udp
from nexus_node.base.limits import REKEY_AFTER_S
from nexus_node.crypto.identity import Identity
from nexus_node.engine.core import NodeCore
from nexus_node.ports.driver import LinkProfile
from nexus_node.proto.link import Link
from nexus_node.runtime.rng import OsRng
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.frames import (
    COOKIE_SIZE,
    FrameKind,
    ItemKind,
    Lost,
    Opening,
    Reply,
    Retry,
    SealedFrame,
    parse_frame_untrusted,
)
from nexus_node.wire.uri import make_uri

RADIO = LinkProfile(mtu=255, bps=1200, half_duplex=True)
SHARED = LinkProfile(mtu=255, bps=1200, half_duplex=True, shared=True)
LENGTHS = (20, 160, 1000)
MUST = {20: 240, 160: 320, 1000: 900}
BEYOND_TEXT = 120
"""What 20 characters to a known neighbour may cost beyond the text in this release."""
TEXT = (
    "Reached the lake in the rain, all four of us well. The footbridge by the mill is under water, so "
    "do not send the horses that way; the old road over the pass is open as far as the chapel. We have "
    "food for three days and one good battery, the second does not hold its charge any more. Anna "
    "twisted her ankle on the rocks, nothing is broken but she cannot carry her pack tomorrow. Could "
    "somebody meet us at the lower barn with a mule, around noon? If the fog stays we will wait there "
    "until four and then walk on along the river. The weather station on the ridge sends again, its "
    "cable had come loose and we fixed it with wire. Please tell my mother that I got her letter and "
    "will call on Sunday. The people at the dairy ask for salt, lamp oil and a new rope of forty "
    "metres; they pay in cheese, as always. On the east side we saw fresh tracks of a bear with two "
    "cubs, so keep the dogs on the lead. We listen on the hour and half past, for five minutes each, to "
    "save the battery. Good night to everybody from the hut at the lake, and thanks."
)
_WALL = 1_767_225_600.0
_ANNOUNCED_S = 0.4


class _Pair:
    """Two engines and the size of every frame between them."""

    def __init__(self, profile: LinkProfile) -> None:
        self.cores = [
            NodeCore(Identity.generate(OsRng()), MemoryStore(10**9), OsRng(), now=0.0) for _ in range(2)
        ]
        self._profile = profile
        self._cids: list[int] = []
        self._sizes: list[tuple[str, int]] = []
        for core in self.cores:
            core.wall.offset_s = _WALL
        self.cores[0].contacts.add("b", make_uri(self.cores[1].identity.node_id), int(_WALL * 1000))

    def taken(self) -> list[tuple[str, int]]:
        """(kind, bytes) of each frame since this was asked last."""
        sizes, self._sizes = self._sizes, []
        return sizes

    def connect(self, *, met_before: bool = False) -> None:
        if met_before:
            self.cores[0].store.remember_neighbour("link", self.cores[1].identity.node_id)
        self._cids = [
            core.carrier_up(self._profile, "link", dialed=core is self.cores[0], now=0.0)
            for core in self.cores
        ]
        self.settle(0.0)

    def announce(self) -> None:
        """Let both say who they are, as they do soon after a link comes up: no part of what is counted."""
        self.cores[1].expire(_ANNOUNCED_S)
        self.settle(_ANNOUNCED_S)
        self.taken()

    def send(self, text: str) -> None:
        self.cores[0].send("b", text, now=0.5)

    def meet(self) -> None:
        """The same on a shared medium, where that takes a while."""
        self.connect()
        now = 0.0
        while not all(links := [list(core.attachments.values()) for core in self.cores]) or not all(
            one.link.up for some in links for one in some
        ):
            now += 0.5
            self.cores[1].expire(now)
            self.settle(now)

    @property
    def link(self) -> Link:
        """The first one's."""
        (one,) = self.cores[0].attachments.values()
        return one.link

    def sealed(self, kind: ItemKind, body: bytes) -> int:
        """The size of a frame of that link with that item."""
        return len(self.link.seal([(kind, body)], 1.0))

    def settle(self, now: float) -> None:
        """Do what is due to the first one, and move frames until there are none."""
        self.cores[0].expire(now)
        self.move(now)

    def move(self, now: float) -> None:
        moving = True
        while moving:
            moving = False
            for side, core in enumerate(self.cores):
                while (frame := core.next_frame(self._cids[side], now)) is not None:
                    parsed = parse_frame_untrusted(frame)
                    kind = parsed.kind.name if isinstance(parsed, Opening | Reply) else type(parsed).__name__
                    if isinstance(parsed, SealedFrame) and parsed.broadcast:
                        kind = "broadcast"
                    self._sizes.append((kind, len(frame)))
                    self.cores[1 - side].deliver(self._cids[1 - side], frame, None, now)
                    moving = True

    def all_delivered(self) -> bool:
        return all(row.state == "delivered" for row in self.cores[0].store.outbox())


def text_bytes(profile: LinkProfile, length: int, *, introduced: bool) -> Figures:
    """A text's frames and its receipt's; not `introduced`: composed before the two ever had a link."""
    pair = _Pair(profile)
    if introduced:
        pair.connect()
        pair.announce()
        pair.send(TEXT[:length])
        pair.settle(1.0)
    else:
        pair.send(TEXT[:length])
        pair.connect()
    if not pair.all_delivered():
        raise RuntimeError("a text was not delivered")
    sizes = [size for kind, size in pair.taken() if kind == "SealedFrame"]
    return Figures(length=length, text=sum(sizes[:-1]), receipt=sizes[-1], frames=len(sizes))


def link_bytes() -> list[tuple[str, int | str, int | str]]:
    """(what, bytes on a link of two, bytes on a shared medium) of what a link itself sends."""
    own, shared = _link_bytes(), _shared_bytes()
    return [(what, own.get(what, "-"), shared.get(what, "-")) for what in dict.fromkeys([*shared, *own])]


_KNOWN, _FIRST = "handshake once known, ", "first sealed frame"
_PING, _BEYOND = "keep-alive, ping or pong", "a sealed frame beyond its one item"


def _link_bytes() -> dict[str, int]:
    first = _Pair(RADIO)
    first.connect()
    sizes = {
        f"handshake at first contact, {kind}": size for kind, size in first.taken() if kind != "SealedFrame"
    }
    known = _Pair(RADIO)
    known.connect(met_before=True)
    sizes |= {_KNOWN + (kind if kind != "SealedFrame" else _FIRST): size for kind, size in known.taken()}
    opening = Opening(FrameKind.IK1, 0, bytes(COOKIE_SIZE), b"")
    sizes["cookie asked of a stranger (datagrams only), RETRY"] = len(Retry(0, bytes(COOKIE_SIZE)).encode())
    sizes["the cookie in the opening that follows"] = len(opening.cookie)
    sizes["LOST, of a node that has no keys for what it heard"] = len(Lost().encode())
    first.announce()
    ping = sizes[_PING] = first.sealed(ItemKind.PING, b"x")
    now = 0.0
    while now < REKEY_AFTER_S - 20.0:  # a link that is silent for long would be given up
        now += 20.0
        first.settle(now)
    first.taken()
    first.link.expire(REKEY_AFTER_S)  # and not the node, which would announce itself anew
    first.move(REKEY_AFTER_S)
    sizes["new keys, three frames"] = sum(size for _, size in first.taken() if size != ping)
    sizes[_BEYOND] = ping - 1
    return sizes


def _shared_bytes() -> dict[str, int]:
    """Where the air is shared nodes say who they are, and what is for one of them bears its index."""
    pair = _Pair(SHARED)
    pair.meet()
    found: dict[str, int] = {}
    for kind, size in pair.taken():
        found.setdefault(kind, size)
    ping = pair.sealed(ItemKind.PING, b"x")
    return {
        "HELLO": found["Hello"],
        _KNOWN + "IK1": found["IK1"],
        _KNOWN + "IK2": found["IK2"],
        _KNOWN + _FIRST: found["SealedFrame"],
        _PING: ping,
        _BEYOND: ping - 1,
    }


# --- the report -------------------------------------------------------------------------------------
def run(peer: Peer | None) -> Section:
    """Links, then texts to a known neighbour and to a stranger."""
    links = Table(["frame", "bytes, two ends", "bytes, shared medium"])
    for frame, own, shared in link_bytes():
        emit("bytes", Figures(frame=frame, bytes=own, shared=shared))
        links.add(frame, own, shared)
    words = (
        "Counted between two engines; TCP adds 2 bytes a frame, UDP and IP their own headers. The first "
        "table is what links need. The second is a text to a neighbour whose key is known, with its "
        f"receipt: the bar for air holds on the slow link, where texts are compressed, and {LENGTHS[0]} "
        f"characters may cost at most {BEYOND_TEXT} bytes beyond the text anywhere. The third is texts "
        "written before the two had ever met: they carry the sender's key. Ours and LXMF's texts are "
        "the beginnings of different English prose."
    )
    return Section("Bytes", words, [links, _known_table(peer), _stranger_table()])


def _known_table(peer: Peer | None) -> Table:
    lxmf = _lxmf(peer) if peer is not None else {}
    columns = ("characters", "link", "text", "receipt", "sum", "beyond the text", "at most", "")
    table = Table([*columns, "LXMF opportunistic", "LXMF direct, link up"])
    for length in LENGTHS:
        for name, profile in _LINKS:
            one = emit(f"bytes: {name}", text_bytes(profile, length, introduced=True))
            total = one["text"] + one["receipt"]
            bars = [MUST[length]] if profile is RADIO else []
            bars += [length + BEYOND_TEXT] if length == LENGTHS[0] else []
            bar = (min(bars), verdict(total <= min(bars))) if bars else ("-", "-")
            theirs = (lxmf.get((method, length), "not installed") for method in ("opp", "direct"))
            table.add(length, name, one["text"], one["receipt"], total, total - length, *bar, *theirs)
    return table


def _stranger_table() -> Table:
    table = Table(["characters", "link", "text", "receipt", "sum"])
    for length in LENGTHS:
        one = emit("bytes: introduction", text_bytes(RADIO, length, introduced=False))
        table.add(length, _LINKS[0][0], one["text"], one["receipt"], one["text"] + one["receipt"])
    return table


_LINKS = (("1,200 bps, MTU 255", RADIO), ("UDP", udp.PROFILE), ("TCP", tcp.PROFILE))


def _lxmf(peer: Peer) -> dict[tuple[str, int], int]:
    """Bytes by method and length: opportunistic cold, direct on a link that is up."""
    lines = peer.run("bench_wire.py", last=lambda one: "direct 1000 chars, next" in one["what"])
    return {
        (method, length): line["bytes"]
        for line in lines
        for method, kind in (("opp", "first message"), ("direct", "next message"))
        for length in LENGTHS
        if f"LXMF {method} {length} chars, {kind}" in line["what"]
    }
