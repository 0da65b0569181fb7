"""The runtime's side of the driver port."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace

import trio

from nexus_node.base.errors import CarrierClosed, NexusError, RemoteError
from nexus_node.config.model import CarrierConfig
from nexus_node.ports.driver import Driver, LinkProfile, Signal
from nexus_node.runtime.airtime import KeptAirBudget
from nexus_node.runtime.pump import CarrierBell, Pump
from nexus_node.runtime.texts import NodeTexts

_DETACHED = "the carrier was detached"


class NodeCarrier:
    """A `Carrier`: pulls from the engine when the medium is free, at the owner's pace if one is set."""

    def __init__(self, pump: Pump, cid: int, bell: CarrierBell, config: CarrierConfig) -> None:
        self._pump = pump
        self._cid = cid
        self._bell = bell
        self._config = config
        self._paced_bps = config.bps
        self._free_at = 0.0

    async def next_frame(self) -> bytes:
        while True:
            if self._paced_bps is not None:
                await trio.sleep_until(self._free_at)
            frame = self.next_frame_nowait()
            if frame is not None:
                return frame
            await self._bell.wait()

    async def wait_closed(self) -> None:
        await self._bell.closed.wait()
        raise CarrierClosed(self._pump.core.closed(self._cid) or _DETACHED)

    def next_frame_nowait(self) -> bytes | None:
        now = self._pump.now()
        if self._paced_bps is not None and now < self._free_at:
            return None
        frame = self._pump.core.next_frame(self._cid, now)
        if frame is not None and self._paced_bps is not None:
            self._free_at = now + len(frame) * 8 / self._paced_bps
        self._pump.after()
        return frame

    def deliver(self, frame: bytes, signal: Signal | None = None) -> None:
        core = self._pump.core
        if not core.passes_by(self._cid, frame, signal):
            core.deliver(self._cid, frame, signal, self._pump.now())
            self._pump.after()

    def retune(self, profile: LinkProfile) -> None:
        self._pump.core.retune(self._cid, _overridden(profile, self._config))
        self._pump.after()

    def billed(self, seconds: float) -> None:
        self._pump.core.billed(self._cid, seconds)

    def stalled(self, stalled: bool) -> None:
        self._pump.core.stalled(self._cid, stalled, self._pump.now())
        self._pump.after()


def _overridden(profile: LinkProfile, config: CarrierConfig) -> LinkProfile:
    """What the owner set, over what the driver knows."""
    return replace(
        profile,
        bps=config.bps or profile.bps,
        mtu=min(config.mtu or profile.mtu, profile.mtu),
        duty_cycle=config.duty_cycle or profile.duty_cycle,
        pad=config.pad or profile.pad,
    )


class Slot:
    """One configured driver: its state for `status`, and the port it works through."""

    def __init__(self, pump: Pump, driver: Driver, config: CarrierConfig) -> None:
        self._pump = pump
        self.driver = driver
        self.config = config
        self.label = config.label or driver.label
        self.state = "starting"
        self.why: str | None = None
        self.cids: set[int] = set()
        """Carriers now attached."""
        self.budget: KeptAirBudget | None = None
        """Airtime of its radio in the sub-band it is in, if it has one."""

    def airtime(self, band: str, duty_cycle: float) -> KeptAirBudget:
        core = self._pump.core
        share = self.config.duty_cycle or duty_cycle
        key = f"{self.driver.label} {band}"
        if self.budget is None or self.budget.key != key:
            self.budget = KeptAirBudget(share, key, core.store, core.wall, self._pump.now())
        return self.budget

    def report(self, state: str, why: str | None = None) -> None:
        self.state, self.why = state, why

    def count(self, what: str) -> None:
        self._pump.core.counters[what] += 1

    def bridge(self) -> AbstractContextManager[NodeTexts]:
        return NodeTexts(self._pump, self.label).open()

    def knock(self, source: bytes, frame: bytes) -> bytes | bool:
        return self._pump.core.knock(source, frame, self._pump.now())

    @asynccontextmanager
    async def attach(self, profile: LinkProfile, label: str, *, dialed: bool) -> AsyncIterator[NodeCarrier]:
        core = self._pump.core
        profile = _overridden(profile, self.config)
        cid = core.carrier_up(profile, label, dialed=dialed, now=self._pump.now(), air=self.budget)
        self.cids.add(cid)
        scope = trio.CancelScope()
        carrier = NodeCarrier(self._pump, cid, self._pump.attached(cid, scope), self.config)
        self._pump.after()
        why = _DETACHED
        try:
            with scope:
                yield carrier
            if scope.cancelled_caught:
                raise CarrierClosed(core.closed(cid) or why)
        except (NexusError, OSError) as error:
            why = str(error) or type(error).__name__
            if isinstance(error, RemoteError):
                core.counters[error.code] += 1
            raise
        finally:
            self.cids.discard(cid)
            core.carrier_down(cid, why, self._pump.now())
            self._pump.detached(cid)
            self._pump.after()
