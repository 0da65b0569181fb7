"""The air between the radios of real nodes: packets end on the virtual clock, and a driver that listens
before it talks (radio.md section 5.5)."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, ClassVar, Never, Self

import trio

from nexus_node.base.errors import ConfigError
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile, Signal
from nexus_sim.channel import Channel, Outcome, Transmission
from nexus_sim.clock import alarms, sleep_until
from nexus_sim.modem import Modem
from nexus_sim.reception import Fate, Listening

_SLOT_SYMBOLS, _SLOT_S = 2.5, 0.0076
"""A turn of contention: channel activity detection, and the radio's turnaround (Meshtastic firmware)."""
_WINDOW_MIN, _WINDOW_MAX = 3, 7
"""Powers of two: slots to wait before the first packet, and after having found the medium busy often."""
_TURNAROUND_S = 0.002


@dataclass(frozen=True, slots=True)
class OnAir:
    """One packet that has ended, with what became of it at everybody in reach: for traces."""

    begin: float
    end: float
    sender: int
    frame: bytes
    outcomes: list[Outcome]


class Air:
    """Ends packets on the virtual clock, and hands them to whoever received them."""

    def __init__(self, channel: Channel, *, heard: Callable[[OnAir], None] = lambda packet: None) -> None:
        """`heard` is told of every packet at its end."""
        self.channel = channel
        self.fates: Counter[Fate] = Counter()
        """What became of packets at all receivers in reach."""
        self.frames = self.bytes = 0
        self.airtime_s = 0.0
        self._heard = heard
        self._carriers: dict[int, Carrier] = {}
        self._ends: list[tuple[float, int, Transmission, trio.Event]] = []
        self._count = 0
        self._ending = trio.lowlevel.ParkingLot()
        """Where `run` waits for the next packet to end."""

    def join(self, node: int, carrier: Carrier) -> None:
        """A radio is on from now."""
        self._carriers[node] = carrier

    def leave(self, node: int) -> None:
        """It is off."""
        self._carriers.pop(node, None)

    def send(self, packet: Transmission) -> trio.Event:
        """Put a packet on the air; the event comes with its end, whatever becomes of its sender."""
        end = self.channel.begin(packet, trio.current_time())
        ended = trio.Event()
        self._count += 1
        heappush(self._ends, (end, self._count, packet, ended))
        alarms().at(end, self._ending.unpark_all)
        return ended

    async def run(self) -> Never:
        """End what is on the air, until cancelled."""
        while True:
            await self._ending.park()
            while self._ends and self._ends[0][0] <= trio.current_time():
                end, _, packet, ended = heappop(self._ends)
                self._finish(packet, end)
                ended.set()

    def _finish(self, packet: Transmission, end: float) -> None:
        frame = packet.data
        if not isinstance(frame, bytes):
            return
        outcomes = self.channel.finish(packet, end)
        self.frames += 1
        self.bytes += len(frame)
        self.airtime_s += packet.airtime_s
        self._heard(OnAir(end - packet.airtime_s, end, packet.sender, frame, outcomes))
        for receiver, fate, rssi_dbm, snr_db in outcomes:
            carrier = self._carriers.get(receiver)
            if fate is Fate.RECEIVED and carrier is not None:
                carrier.deliver(frame, Signal(rssi_dbm, snr_db))
            self.fates[fate] += 1


class SimRadio:
    """A LoRa radio in the simulated air."""

    scheme: ClassVar[str] = "simradio"
    label = "radio"

    def __init__(
        self,
        air: Air,
        node: int,
        modem: Modem,
        *,
        tx_dbm: float,
        mtu: int,
        duty_cycle: float | None,
        dice: random.Random,
        pulled: Callable[[int, bytes], None] = lambda node, frame: None,
    ) -> None:
        """`pulled` is told of every frame at the instant in which the node gave it."""
        self._air = air
        self._node = node
        self._modem = modem
        self._tx_dbm = tx_dbm
        self._duty_cycle = duty_cycle
        self._dice = dice
        self._pulled = pulled
        self._slot_s = _SLOT_SYMBOLS * modem.symbol_s + _SLOT_S
        self.profile = LinkProfile(
            mtu=mtu,
            bps=8 * mtu / modem.airtime(mtu),
            half_duplex=True,
            shared=True,
            duty_cycle=duty_cycle,
            airtime=modem.airtime,
        )

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        raise ConfigError("a simulated radio cannot be configured: the simulator makes it")

    async def run(self, port: DriverPort) -> None:
        air, node = self._air, self._node
        async with port.attach(self.profile, self.label, dialed=True) as carrier:
            air.join(node, carrier)
            ready_at = trio.current_time()
            air.channel.tune(node, self._modem, ready_at)
            try:
                while True:
                    frame = await carrier.next_frame()
                    self._pulled(node, frame)
                    airtime_s = self._modem.airtime(len(frame))
                    await self._wait_for_duty(airtime_s)
                    await self._wait_for_air(ready_at)
                    packet = Transmission(node, self._modem, self._tx_dbm, airtime_s, frame)
                    await air.send(packet).wait()
                    carrier.billed(airtime_s)
                    ready_at = trio.current_time() + _TURNAROUND_S
            finally:
                air.leave(node)
                air.channel.tune(node, Listening.OFF, trio.current_time())

    async def _wait_for_duty(self, airtime_s: float) -> None:
        """Until the hour has room for one packet more."""
        if self._duty_cycle is not None:
            now = trio.current_time()
            free_at = self._air.channel.duty(self._node).free_at(self._modem.frequency, airtime_s, now)
            if free_at > now:
                await sleep_until(free_at)

    async def _wait_for_air(self, ready_at: float) -> None:
        """Listen before talking: a random number of turns, more of them the oftener the medium is in use.
        What is being received is in use until its end: in that time nothing needs to be looked at."""
        channel, window = self._air.channel, _WINDOW_MIN
        at = max(ready_at, trio.current_time())
        in_use_until = 0.0
        while True:
            at += self._slot_s * (1 + self._dice.randrange(2**window))
            if at >= in_use_until:
                await sleep_until(at)
                in_use_until = channel.receiving_until(self._node, at)
                if at >= in_use_until and not channel.busy(self._node, at):
                    return
            window = min(window + 1, _WINDOW_MAX)
