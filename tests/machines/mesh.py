"""Many engines joined by wires, in virtual time: lines, rings, relays, people who come and go."""

import random
from itertools import pairwise
from pathlib import Path

from nexus_node.engine.core import NodeCore
from nexus_node.engine.relay import NO_RELAY, RelayPolicy
from nexus_node.ports.driver import LinkProfile
from nexus_node.store.memory import MemoryStore
from nexus_node.wire.announce import Serve

from .world import STREAM, Host, Wire

ANYONE = RelayPolicy(serve=Serve.ANYONE, interval_s=0.0, per_day=(10**6, 10**6))


class MeshHost(Host):
    """A host that may be a relay."""

    def __init__(
        self, seed: int, name: str, relay: RelayPolicy = NO_RELAY, path: Path | None = None, **options
    ) -> None:
        self.name = name
        self.relay = relay
        super().__init__(seed, path, **options)

    def start(self, now: float) -> None:
        mail = MemoryStore(10**8) if self.relay.memory_only else None
        self.core = NodeCore(self.identity, self.store, self._rng, now=now, relay=self.relay, mail=mail)
        self.core.wall.offset_s = self.wall


class Mesh:
    """Hosts by name and the wires between them."""

    def __init__(
        self,
        *names: str,
        relays: tuple[str, ...] = (),
        seed: int = 0,
        policy: RelayPolicy = ANYONE,
        folder: Path | None = None,
    ) -> None:
        """With a `folder` the stores are on disk, and so survive `crash`."""
        self.dice = random.Random(seed)
        self.now = 0.0
        self.hosts = {
            name: MeshHost(
                number, name, policy if name in relays else NO_RELAY, folder and folder / f"{name}.db"
            )
            for number, name in enumerate(names, 1 + 50 * seed % 200)
        }
        self.wires: dict[frozenset[str], Wire] = {}

    def __getitem__(self, name: str) -> MeshHost:
        return self.hosts[name]

    def join(self, a: str, b: str, profile: LinkProfile = STREAM, **options) -> None:
        """Plug a wire between two hosts in."""
        wire = self.wires.get(frozenset((a, b)))
        if wire is None:
            wire = Wire(self[a], self[b], profile, self.dice, **options)
            self.wires[frozenset((a, b))] = wire
        wire.plug(self.now)

    def part(self, a: str, b: str) -> None:
        self.wires[frozenset((a, b))].cut(self.now)

    def wires_of(self, name: str) -> list[Wire]:
        return [wire for ends, wire in self.wires.items() if name in ends]

    def leave(self, name: str) -> None:
        """That host is gone; its neighbours notice."""
        for wire in self.wires_of(name):
            wire.cut(self.now, crashed=self[name])

    def crash(self, name: str) -> None:
        """kill -9, and start again with what the disk has; wires are to be plugged in again."""
        self.leave(name)
        self[name].crash(self.now)

    def knows(self, who: str, *others: str, trust: str | None = None) -> None:
        """`who` has these as contacts."""
        for other in others:
            self[who].core.contacts.add(other, self[other].uri, 0)
            if trust is not None:
                self[who].core.contacts.trust(other, trust)
                self[who].core.planner.relays_changed(self.now)
        self[who].core.commit()

    def send(self, who: str, to: str, text: str, **options) -> bytes:
        return self[who].send(to, text, self.now, **options)

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        until = self.now + seconds
        while True:
            while sum(wire.step(self.now) for wire in self.wires.values()):
                pass
            for host in self.hosts.values():
                if self.now >= host.core.wake_at:
                    host.core.expire(self.now)
                host.drain()
            wake = min(host.core.wake_at for host in self.hosts.values())
            if wake >= until:
                self.now = until
                return
            self.now = max(self.now + 0.001, wake)

    def line(self, *names: str, profile: LinkProfile = STREAM) -> None:
        for a, b in pairwise(names):
            self.join(a, b, profile)
