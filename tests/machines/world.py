"""Nodes without trio: engines on real stores, joined by channels that lose and repeat; and crashes."""

import random
from pathlib import Path

from nexus_node.base.errors import CarrierClosed
from nexus_node.crypto.identity import Identity
from nexus_node.engine.core import NodeCore
from nexus_node.engine.events import Event
from nexus_node.ports.driver import LinkProfile
from nexus_node.store.memory import MemoryStore
from nexus_node.store.sqlite import SqliteStore
from nexus_node.wire.uri import make_uri

WALL = 1_767_225_600.0
QUOTA = 100_000_000
DATAGRAM = LinkProfile(mtu=1400, bps=100e6)
STREAM = LinkProfile(mtu=16384, bps=100e6, ordered=True)
NARROW = LinkProfile(mtu=255, bps=1200, half_duplex=True)


class SeededRng:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class Host:
    """One node that can crash: what was not committed is gone, and a new engine starts on what was."""

    def __init__(
        self, seed: int, path: Path | None = None, *, read_receipts: bool = False, quota: int = QUOTA
    ) -> None:
        self.identity = Identity.from_seed(bytes([seed]) * 32)
        self.uri = make_uri(self.identity.node_id)
        self._path = path
        self._quota = quota
        self._read_receipts = read_receipts
        self._rng = SeededRng(seed)
        self.events: list[Event] = []
        self.wall = WALL
        self.store = self._open()
        self.start(0.0)

    def _open(self):
        return MemoryStore(self._quota) if self._path is None else SqliteStore.open(self._path, self._quota)

    def start(self, now: float) -> None:
        self.core = NodeCore(self.identity, self.store, self._rng, now=now, read_receipts=self._read_receipts)
        self.core.wall.offset_s = self.wall

    def crash(self, now: float) -> None:
        """As a kill -9: the process is gone, the file stays as the last commit left it."""
        self.store._db._connection.close() if hasattr(self.store, "_db") else self.store._connection.close()
        self.store = self._open()
        self.start(now)

    def send(self, name: str, text: str, now: float, **options) -> bytes:
        row = self.core.send(name, text, now=now, **options)
        self.core.commit()
        return row.id

    def drain(self) -> None:
        self.events += self.core.poll_events()

    def inbox(self) -> list[str]:
        return [self.core.text_of(row) for row in self.store.inbox()]

    def states(self) -> dict[bytes, str]:
        return {row.id: row.state.value for row in self.store.outbox()}


class Wire:
    """A channel between two hosts."""

    def __init__(
        self, a: Host, b: Host, profile: LinkProfile, dice: random.Random, *, loss=0.0, repeat=0.0
    ) -> None:
        self.hosts = (a, b)
        self.profile = profile
        self.loss, self.repeat = loss, repeat
        self.dice = dice
        self.flying: list[tuple[int, bytes]] = []
        self.cids: list[int | None] = [None, None]
        self.bytes = 0
        self.frames: list[bytes] = []

    def plug(self, now: float) -> None:
        for side, host in enumerate(self.hosts):
            if self.cids[side] is None:
                other = self.hosts[1 - side]
                label = f"wire:{other.identity.address.hex()}"
                dialed = side == 0 or not self.profile.ordered
                self.cids[side] = host.core.carrier_up(self.profile, label, dialed=dialed, now=now)

    def cut(self, now: float, *, crashed: Host | None = None) -> None:
        for side, host in enumerate(self.hosts):
            cid = self.cids[side]
            if cid is not None and host is not crashed:
                host.core.carrier_down(cid, "cut", now)
            self.cids[side] = None
        self.flying.clear()

    def step(self, now: float) -> bool:
        """Move what is under way; whether anything moved."""
        moved = False
        for host in self.hosts:
            if now >= host.core.wake_at:
                host.core.expire(now)
        for side, host in enumerate(self.hosts):
            cid = self.cids[side]
            if cid is None or not rung(host.core, cid):
                continue
            while True:
                try:
                    frame = host.core.next_frame(cid, now)
                except CarrierClosed:
                    self.cut(now)
                    return True
                if frame is None:
                    break
                self.bytes += len(frame)
                self.frames.append(frame)
                copies = 0 if self.dice.random() < self.loss else 1 + (self.dice.random() < self.repeat)
                self.flying += [(1 - side, frame)] * copies
        if self.loss or self.repeat:
            self.dice.shuffle(self.flying)
        batch, self.flying = self.flying, []
        for side, frame in batch:
            cid = self.cids[side]
            if cid is not None:
                self.hosts[side].core.deliver(cid, frame, None, now)
                moved = True
        for host in self.hosts:
            host.drain()
        return moved

    def settle(self, now: float, until: float) -> float:
        """Run until nothing moves and nothing is due before `until`; the time then."""
        while now < until:
            while self.step(now):
                pass
            wake = min(host.core.wake_at for host in self.hosts)
            if wake >= until:
                break
            now = max(now + 0.001, wake)
        return now


class Air:
    """A radio channel: each frame takes its time, and is heard or lost by each who can hear its sender."""

    def __init__(
        self, hosts: list[Host], profile: LinkProfile, dice: random.Random, *, loss=0.0, deaf=(), gap=0.0
    ) -> None:
        """`deaf`: pairs of hosts that do not hear each other; `gap`: seconds between two frames."""
        self.hosts = hosts
        self.profile = profile
        self.dice = dice
        self.loss = loss
        self.deaf = {frozenset(map(id, pair)) for pair in deaf}
        self.gap = gap
        self.cids = [host.core.carrier_up(profile, "radio", dialed=True, now=0.0) for host in hosts]
        self.free_at = 0.0
        self.bytes = 0
        self.sent: list[tuple[float, int, bytes]] = []
        """(when, which host, frame) of all that was on the air."""

    def hears(self, a: Host, b: Host) -> bool:
        return frozenset((id(a), id(b))) not in self.deaf

    def run(self, now: float, until: float) -> float:
        """Let that much time pass; the time then."""
        while now < until:
            for host in self.hosts:
                if now >= host.core.wake_at:
                    host.core.expire(now)
                host.drain()
            if now >= self.free_at and self._send(now):
                continue
            wake = min(host.core.wake_at for host in self.hosts)
            if self.free_at > now:
                wake = min(wake, self.free_at)
            now = max(now + 0.001, min(wake, until))
        return until

    def _send(self, now: float) -> bool:
        """One frame of the first, in random order, that has one."""
        order = list(range(len(self.hosts)))
        self.dice.shuffle(order)
        for number in order:
            core, cid = self.hosts[number].core, self.cids[number]
            if not rung(core, cid):
                continue
            frame = core.next_frame(cid, now)
            if frame is None:
                continue
            core.ready.add(cid)  # drivers ask again after each frame
            assert len(frame) <= self.profile.mtu
            self.bytes += len(frame)
            self.sent.append((now, number, frame))
            self.free_at = now + len(frame) * 8 / self.profile.bps + self.gap
            for other, host in enumerate(self.hosts):
                if (
                    other != number
                    and self.hears(host, self.hosts[number])
                    and self.dice.random() >= self.loss
                ):
                    host.core.deliver(self.cids[other], frame, None, self.free_at)
                    host.drain()
            return True
        return False

    def restart(self, number: int, now: float) -> None:
        """kill -9, and start again with what the disk has."""
        self.hosts[number].crash(now)
        self.cids[number] = self.hosts[number].core.carrier_up(self.profile, "radio", dialed=True, now=now)


def rung(core: NodeCore, cid: int) -> bool:
    """Whether the engine has asked for that carrier to be pulled since it last was: else no driver would."""
    ready = cid in core.ready
    core.ready.discard(cid)
    return ready


def introduce(a: Host, b: Host) -> None:
    a.core.contacts.add("b", b.uri, 0)
    b.core.contacts.add("a", a.uri, 0)
    a.core.commit()
    b.core.commit()
