"""Bytes on the air of mail that goes through other nodes, and of a mesh that has nothing to say.

Engines in virtual time, joined by half-duplex links that take as long as radio takes.
"""

from itertools import pairwise

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from bench.wirebytes import LENGTHS, RADIO, TEXT
from nexus_node.crypto.identity import Identity
from nexus_node.engine.core import NodeCore
from nexus_node.engine.peers import Attachment
from nexus_node.engine.relay import NO_RELAY, RelayPolicy
from nexus_node.ports.driver import LinkProfile
from nexus_node.runtime.rng import OsRng
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.announce import Serve
from nexus_node.wire.frames import ITEM_HEAD, ItemKind, ItemPacker
from nexus_node.wire.packet import Context, parse_packet_untrusted
from nexus_node.wire.uri import make_uri

MUST = {20: 700, 160: 850, 1000: 1700}
AIM = {20: 400, 160: 550, 1000: 1100}
DESTINATIONS = 50
IDLE_S = 6 * 3600.0
GOSSIP_MUST = 0.02
_IDLE_LINK = LinkProfile(mtu=255, bps=1000, half_duplex=True)
_WIDE = LinkProfile(mtu=4096, bps=100e6, ordered=True)
_WALL = 1_767_225_600.0
_SETTLE_S, _AWAY_S = 600.0, 60.0
_SEARCH = (Context.PATH_REQUEST, Context.PATH_LOST)


class _Core(NodeCore):
    """An engine that notes what is in its frames."""

    filled: ItemPacker | None = None

    def _fill(self, attachment: Attachment, peer, packer: ItemPacker) -> None:
        super()._fill(attachment, peer, packer)
        self.filled = packer


class _Air:
    """A half-duplex link between two engines: one frame at a time, either end in turn."""

    def __init__(self, ends: tuple[_Core, _Core], profile: LinkProfile, now: float) -> None:
        self.ends = ends
        self._profile = profile
        self.arrives = float("inf")
        self._flying: tuple[int, bytes] | None = None
        self._turn = 0
        self.bytes = {"mail": 0, "paths": 0, "announces": 0, "links": 0}
        self.frames: list[tuple[float, int, int, list[str]]] = []
        """Of mail: (when, side, bytes, kinds)."""
        names = [core.identity.address.hex() for core in ends]
        self._cids = [
            core.carrier_up(profile, names[1 - side], dialed=side == 0 or not profile.ordered, now=now)
            for side, core in enumerate(ends)
        ]

    def step(self, now: float) -> bool:
        """Let what has arrived be taken in and the next frame go; whether anything moved."""
        moved = False
        if self._flying is not None:
            if now < self.arrives:
                return False
            moved = True
            side, frame = self._flying
            self._flying, self.arrives = None, float("inf")
            self.ends[1 - side].deliver(self._cids[1 - side], frame, None, now)
        for side in (self._turn, 1 - self._turn):
            core = self.ends[side]
            core.filled = None
            frame = core.next_frame(self._cids[side], now)
            if frame is not None:
                self._note(side, frame, core.filled, now)
                self._flying, self._turn = (side, frame), 1 - side
                self.arrives = now + 8 * len(frame) / self._profile.bps
                return True
        return moved

    def _note(self, side: int, frame: bytes, packer: ItemPacker | None, now: float) -> None:
        """Count a frame: what is not gossip bears the frame around it."""
        items = packer.items if packer is not None else []
        gossip = {"announces": 0, "paths": 0}
        kinds = []
        for kind, body in items:
            context = parse_packet_untrusted(body).context if kind == ItemKind.PACKET else None
            if context == Context.ANNOUNCE:
                gossip["announces"] += ITEM_HEAD + len(body)
            elif context in _SEARCH:
                gossip["paths"] += ITEM_HEAD + len(body)
            elif context is not None:
                kinds.append(Context(context).name)
            elif kind in (ItemKind.FRAGMENT, ItemKind.FRAGMENT_ACK):
                kinds.append(ItemKind(kind).name)
        rest = len(frame)
        if kinds:
            for name, size in gossip.items():
                self.bytes[name] += size
                rest -= size
            self.bytes["mail"] += rest
            self.frames.append((now, side, rest, kinds))
        else:
            bearer = "announces" if gossip["announces"] else "paths" if gossip["paths"] else "links"
            self.bytes[bearer] += rest


class _Net:
    """Engines, the links between them, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cores: list[_Core] = []
        self.airs: list[_Air] = []

    def node(self, relay: RelayPolicy = NO_RELAY) -> _Core:
        core = _Core(Identity.generate(OsRng()), MemoryStore(10**8), OsRng(), now=self.now, relay=relay)
        core.wall.offset_s = _WALL
        self.cores.append(core)
        return core

    def join(self, one: _Core, other: _Core, profile: LinkProfile) -> _Air:
        air = _Air((one, other), profile, self.now)
        self.airs.append(air)
        return air

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            for core in self.cores:
                if self.now >= core.wake_at:
                    core.expire(self.now)
                core.poll_events()
            while sum(air.step(self.now) for air in self.airs):
                pass
            wake = min(min(core.wake_at for core in self.cores), min(air.arrives for air in self.airs))
            self.now = min(until, max(self.now + 0.001, wake))

    def spent(self) -> dict[str, int]:
        """Bytes on all links since this was asked last, by what they were for."""
        total = dict.fromkeys(("mail", "paths", "announces", "links"), 0)
        for air in self.airs:
            for name, size in air.bytes.items():
                total[name] += size
                air.bytes[name] = 0
        return total


def _know(one: _Core, name: str, other: _Core) -> None:
    """A contact met before, so that envelopes to it are the short ones."""
    one.contacts.add(name, make_uri(other.identity.node_id), int(_WALL * 1000))
    one.contacts.met(other.identity.node_id, int(_WALL * 1000))


def _check_delivered(core: _Core) -> None:
    if any(row.state != "delivered" for row in core.store.outbox()):
        raise RuntimeError("a message was not delivered")


def absent_bytes(length: int) -> Figures:
    """A text to somebody away, from the sender's frame to its receipt: through one relay, on two links."""
    net = _Net()
    sender, recipient = net.node(), net.node()
    relay = net.node(RelayPolicy(serve=Serve.ANYONE))
    _know(sender, "recipient", recipient)
    _know(recipient, "sender", sender)
    _know(sender, "relay", relay)
    sender.contacts.trust("relay", "trusted")
    first = net.join(sender, relay, RADIO)
    net.run(_SETTLE_S)
    net.spent()
    sender.send("recipient", TEXT[:length], now=net.now)
    net.run(_AWAY_S)
    second = net.join(relay, recipient, RADIO)
    net.run(_SETTLE_S)
    _check_delivered(sender)
    if relay.relay.usage[0]:
        raise RuntimeError("the relay still keeps the message")
    frames = sorted(first.frames + second.frames)
    steps = [("+".join(kinds), size) for _, _, size, kinds in frames]
    return Figures(length=length, **net.spent(), frames=len(frames), steps=steps)


def path_bytes(length: int, hops: int = 3) -> Figures:
    """A text to somebody `hops` links away along a path that is there, with its receipt."""
    net = _Net()
    nodes = [net.node() for _ in range(hops + 1)]
    _know(nodes[0], "recipient", nodes[-1])
    _know(nodes[-1], "sender", nodes[0])
    for one, other in pairwise(nodes):
        net.join(one, other, RADIO)
    net.run(_SETTLE_S)
    net.spent()
    begun = net.now
    nodes[0].send("recipient", TEXT[:length], now=net.now)
    net.run(_SETTLE_S)
    _check_delivered(nodes[0])
    frames = sorted(frame for air in net.airs for frame in air.frames)
    steps = [("+".join(kinds), size) for _, _, size, kinds in frames]
    spent = net.spent()
    seconds = frames[-1][0] + 8 * frames[-1][2] / RADIO.bps - begun
    return Figures(length=length, hops=hops, **spent, frames=len(frames), s=round(seconds, 1), steps=steps)


def idle_share(destinations: int = DESTINATIONS, seconds: float = IDLE_S) -> Figures:
    """What an idle link carries when that many destinations are behind one of its ends."""
    net = _Net()
    hub, far = net.node(), net.node()
    for _ in range(destinations):
        net.join(hub, net.node(), _WIDE)
    air = net.join(hub, far, _IDLE_LINK)
    net.run(2 * 3600.0)
    air.bytes = dict.fromkeys(air.bytes, 0)
    net.run(seconds)
    capacity = _IDLE_LINK.bps / 8 * seconds
    known = sum(one.best is not None for _, one in far.router.paths.all())
    shares = {f"{name}_percent": round(100 * size / capacity, 3) for name, size in air.bytes.items()}
    total = sum(air.bytes.values())
    return Figures(
        known=known, **shares, percent=round(100 * total / capacity, 3), per_s=round(total / seconds, 2)
    )


# --- the report -------------------------------------------------------------------------------------
def run(peer: Peer | None) -> Section:
    """Through a relay to somebody absent, along a path, and the idle link."""
    theirs = _lxmf(peer) if peer is not None else {}
    columns = ("characters", "mail", "frames", "must", "", "aim", "", "paths sought", "announces", "links")
    absent = Table([*columns, "LXMF, upload and fetch"])
    for length in LENGTHS:
        one = emit("meshbytes: absent", absent_bytes(length))
        mail = one["mail"]
        bars = (MUST[length], verdict(mail <= MUST[length]), AIM[length], verdict(mail <= AIM[length]))
        rest = (one["paths"], one["announces"], one["links"], theirs.get(length, "not installed"))
        absent.add(length, mail, one["frames"], *bars, *rest)
    path = Table(["characters", "links", "mail", "of it each link", "frames", "s", "paths sought, announces"])
    for length in LENGTHS:
        one = emit("meshbytes: path", path_bytes(length))
        other = one["paths"] + one["announces"]
        each = round(one["mail"] / one["hops"])
        path.add(length, one["hops"], one["mail"], each, one["frames"], one["s"], other)
    idle = emit("meshbytes: idle", idle_share())
    share = Table(
        ["destinations", "bytes/s", "announces", "paths", "keep-alive, keys", "in all", "at most", ""]
    )
    share.add(
        idle["known"],
        idle["per_s"],
        *(f"{idle[f'{name}_percent']} %" for name in ("announces", "paths", "links")),
        f"{idle['percent']} %",
        f"{100 * GOSSIP_MUST:g} %",
        verdict(idle["percent"] <= 100 * GOSSIP_MUST),
    )
    words = (
        "Counted between engines in virtual time on half-duplex links of 1,200 bps, MTU 255. The first table "
        "is a text to somebody away, over a relay: all frames of both links from the sender's text to its "
        f"receipt there, the recipient coming back {_AWAY_S:.0f} s later. Looking for a path to somebody "
        "absent, announces and handshakes stand beside it. The second is a text along a path of live links. "
        f"The third is a link of 1 kbps that nobody uses, for {IDLE_S / 3600:.0f} hours, as a share of what "
        "it could carry."
    )
    return Section("Bytes through a mesh", words, [absent, path, share])


def _lxmf(peer: Peer) -> dict[int, int]:
    """Bytes of a message to a propagation node and from there, each on a new link."""
    lines = peer.run("bench_wire.py", "pn")
    sums = dict.fromkeys(LENGTHS, 0)
    for line in lines:
        what = line["what"]
        for length in LENGTHS:
            if f"LXMF propagated {length} chars" in what and ("cold link" in what or "fetches 1" in what):
                sums[length] += line["bytes"]
    return sums
