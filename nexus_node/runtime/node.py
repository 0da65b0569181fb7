"""One running node: the engine, its pump, and its supervised drivers."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from nexus_node.base.duty import AirBudget
from nexus_node.base.ids import NodeId
from nexus_node.base.rng import Rng
from nexus_node.config.model import CarrierConfig
from nexus_node.crypto.identity import Identity
from nexus_node.engine.attach import SealedFile
from nexus_node.engine.core import NodeCore
from nexus_node.engine.relay import NO_RELAY, RelayPolicy
from nexus_node.ports.driver import HELD, Driver
from nexus_node.ports.store import Store
from nexus_node.proto.paths import Policy
from nexus_node.runtime.carrier import Slot
from nexus_node.runtime.pump import Pump, Timer
from nexus_node.runtime.supervise import supervise
from nexus_node.store.memory import MemoryStore

LEAVE_S = 0.3
"""How long a stopping node lets its last frames go."""


class Node:
    """What `open_node` yields."""

    def __init__(
        self,
        core: NodeCore,
        pump: Pump,
        name: str,
        relays: Sequence[NodeId],
        slots: list[Slot],
        recovered: str | None,
        files: Path | None,
    ) -> None:
        self.core = core
        self.pump = pump
        self.name = name
        self.relays = relays
        """Those that keep this node's mail while it is away (N10)."""
        self.recovered = recovered
        """What was saved from a damaged store at this start, in words."""
        self.files = files
        """The folder that attached files are written to, opened, once their message was looked at."""
        self.writing = trio.Lock()
        """Held while one is written there: several may look at its message at a time."""
        self.started = pump.now()
        self._slots = slots

    def now(self) -> float:
        return self.pump.now()

    def wall_ms(self) -> int:
        return self.core.wall.ms(self.now())

    def send(
        self, name: str, text: str, *, min_bandwidth: int = 0, files: Sequence[SealedFile] = ()
    ) -> bytes:
        """Send a text, and files with it, durable on return; its id. For programs that embed a node."""
        row = self.core.send(name, text, min_bandwidth=min_bandwidth, files=files, now=self.now())
        self.core.commit()
        self.pump.after()
        return row.id

    async def leave(self) -> None:
        """Tell the neighbours, and wait until the frames are out or `LEAVE_S` are over."""
        self.core.close_links()
        self.pump.after()
        with trio.move_on_after(LEAVE_S):
            while any(one.link.must_send for one in self.core.attachments.values()):
                await trio.sleep(0.01)

    def carriers(self) -> list[dict[str, Any]]:
        """For `status`: each driver, with what is attached through it."""
        rows = []
        for slot in self._slots:
            own = {"label": slot.label, "driver": slot.driver.scheme, "state": slot.state, "why": slot.why}
            found = (self.core.carrier(cid) for cid in sorted(slot.cids))
            attached = [one for one in found if one is not None]
            if len(attached) != 1 or attached[0].label != slot.label:
                rows.append(own | _figures(None))
            for one in attached:
                row = own | {"label": one.label}
                if slot.state != HELD:
                    note = slot.why if slot.state == "up" else None
                    row |= {"state": one.state, "why": one.why or note}
                rows.append(row | _figures(one))
            if slot.budget is not None:
                rows[-1] |= _airtime(slot.budget, self.now())
        return rows


def _airtime(budget: AirBudget, now: float) -> dict[str, Any]:
    """Of the last hour, where the law or the owner bounds it."""
    limit = budget.limit_s
    return {
        "airtime_used_s": round(budget.used(now), 3),
        "airtime_limit_s": round(limit, 3) if limit is not None else None,
    }


def _figures(attachment: Any) -> dict[str, Any]:
    profile = attachment.profile if attachment is not None else None
    return {
        "bps": profile.bps if profile else None,
        "mtu": profile.mtu if profile else None,
        "airtime_used_s": round(attachment.airtime_s, 3) if attachment is not None else 0,
        "airtime_limit_s": profile.duty_cycle * 3600 if profile and profile.duty_cycle else None,
        "rx_bytes": attachment.rx_bytes if attachment is not None else 0,
        "tx_bytes": attachment.tx_bytes if attachment is not None else 0,
    }


@asynccontextmanager
async def open_node(
    identity: Identity,
    store: Store,
    rng: Rng,
    drivers: Sequence[tuple[Driver, CarrierConfig]],
    *,
    name: str = "node",
    read_receipts: bool = False,
    relay: RelayPolicy = NO_RELAY,
    path_policy: Policy = Policy.BALANCED,
    relays: Sequence[NodeId] = (),
    wall: Callable[[], float] = time.time,
    timer: Timer | None = None,
    recovered: str | None = None,
    files: Path | None = None,
) -> AsyncIterator[Node]:
    """Run a node inside the context. The caller closes the store.

    `relay` is what this node keeps for others: with `memory_only`, in a store of its own that ends with the
    context (S2). `relays` keep this node's own mail; they stand in its contact link.
    The simulator gives its own drivers, store, rng, wall clock and timer; everything else is what people run.
    A failing store ends the context with its StoreError.
    """
    core = NodeCore(
        identity,
        store,
        rng,
        now=trio.current_time(),
        read_receipts=read_receipts,
        relay=relay,
        mail=MemoryStore(relay.quota_bytes) if relay.memory_only else None,
        path_policy=path_policy,
        name=name,
    )
    pump = Pump(core, wall, timer)
    pump.now()
    slots = [Slot(pump, driver, config) for driver, config in drivers]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        for slot in slots:
            nursery.start_soon(supervise, slot)
        yield Node(core, pump, name, relays, slots, recovered, files)
        nursery.cancel_scope.cancel()
