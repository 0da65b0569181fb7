"""A Meshtastic node's queue for the air: channel access, repetitions until acknowledged, the duty cycle.

After `RadioInterface.cpp`, `NextHopRouter.cpp` and `airtime.cpp` of meshtastic/firmware 7754068 (radio.md
sections 1.5, 1.7 and 5.5).
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from nexus_firmware.emulate.air import Channel, Transmission
from nexus_firmware.emulate.mesh_packet import AirPacket
from nexus_firmware.meshtastic_presets import PREAMBLE, SYNC_WORD
from nexus_firmware.radio import RadioSettings

QUEUE_SIZE = 16
TRIES = 3
CW_MIN, CW_MAX = 3, 8
MINUTE_S, HOUR_S = 60.0, 3600.0


@dataclass(eq=False)
class _Waiting:
    packet: AirPacket
    not_before: float
    relay: bool


@dataclass
class _Unacknowledged:
    packet: AirPacket
    channel: int
    tries_left: int
    again_at: float | None = None
    """None while it waits for the air."""


def _spent(spans: deque[tuple[float, float]], window: float, now: float) -> float:
    """Share of the last `window` seconds; spans are (end, length)."""
    return sum(min(length, window) for ends, length in spans if ends > now - window) / window


class MeshQueue:
    """`transmit` puts a packet on the air and says when it ends."""

    def __init__(
        self, radio: RadioSettings, rng: Random, transmit: Callable[[Transmission, float], float]
    ) -> None:
        self._radio = radio
        self._rng = rng
        self._transmit = transmit
        self._waiting: deque[_Waiting] = deque()
        self._unacknowledged: dict[int, _Unacknowledged] = {}
        self._sent: deque[tuple[float, float]] = deque()
        self._busy: deque[tuple[float, float]] = deque()
        self._idle_at = 0.0

    @property
    def channel(self) -> Channel:
        radio = self._radio
        return Channel(radio.frequency, radio.bandwidth, radio.spreading_factor, SYNC_WORD)

    @property
    def free(self) -> int:
        return QUEUE_SIZE - len(self._waiting)

    @property
    def _slot(self) -> float:
        return 2.5 * (1 << self._radio.spreading_factor) / self._radio.bandwidth + 0.0076

    # --- what waits ---------------------------------------------------------------------------------
    def put(self, packet: AirPacket, now: float) -> None:
        """Queue a packet of this node."""
        self._waiting.append(_Waiting(packet, now + self._own_delay(), relay=False))

    def put_relay(self, packet: AirPacket, now: float, snr_db: float, *, router: bool) -> None:
        """Queue somebody's packet: the worse it was heard, the sooner; routers before others."""
        window = round(CW_MIN + (CW_MAX - CW_MIN) * (min(max(snr_db, -20), 10) + 20) / 30)
        slots = self._rng.randrange(2 * window if router else 1 << window)
        offset = 0 if router else 2 * CW_MAX
        self._waiting.append(_Waiting(packet, now + (offset + slots) * self._slot, relay=True))

    def drop(self, sender: int, packet_id: int, *, relays_only: bool = False) -> None:
        """It need not go any more."""
        self._waiting = deque(
            one
            for one in self._waiting
            if (one.packet.sender, one.packet.id) != (sender, packet_id) or (relays_only and not one.relay)
        )

    def holds(self, sender: int, packet_id: int) -> bool:
        return any((one.packet.sender, one.packet.id) == (sender, packet_id) for one in self._waiting)

    def await_ack(self, packet: AirPacket, channel: int) -> None:
        """Repeat it until `acknowledged`."""
        self._unacknowledged[packet.id] = _Unacknowledged(packet, channel, TRIES - 1)

    def acknowledged(self, packet_id: int) -> int | None:
        """The channel of a packet that waited for this, None if none did."""
        waiting = self._unacknowledged.pop(packet_id, None)
        if waiting is None:
            return None
        self.drop(waiting.packet.sender, packet_id)
        return waiting.channel

    # --- time ---------------------------------------------------------------------------------------
    def utilisation(self, now: float) -> tuple[float, float]:
        """Shares of the last minute that the channel was busy, and of the last hour spent sending."""
        return _spent(self._busy, MINUTE_S, now), _spent(self._sent, HOUR_S, now)

    def silent_minutes(self, now: float, duty: float) -> int:
        """Until enough of what was sent is an hour ago."""
        over = (_spent(self._sent, HOUR_S, now) - duty) * HOUR_S
        for ends, length in self._sent:
            if ends > now - HOUR_S:
                over -= length
                if over <= 0:
                    return max(1, round((ends + HOUR_S - now) / 60))
        return 60

    def sense(self, until: float, now: float) -> None:
        self._idle_at = max(self._idle_at, until)
        self._busy.append((until, until - now))

    def _own_delay(self) -> float:
        return self._rng.randrange(1 << CW_MIN) * self._slot

    def wake(self, now: float) -> list[tuple[int, int]]:
        """Send and repeat what is due; (id, channel) of packets that were sent in vain."""
        for spans in (self._sent, self._busy):
            while spans and spans[0][0] < now - HOUR_S:
                spans.popleft()
        failed = [
            (packet_id, waiting.channel)
            for packet_id, waiting in list(self._unacknowledged.items())
            if waiting.again_at is not None and now >= waiting.again_at and not self._repeat(waiting, now)
        ]
        for packet_id, _ in failed:
            del self._unacknowledged[packet_id]
        if now >= self._idle_at:
            due = next((one for one in self._waiting if one.not_before <= now), None)
            if due is not None:
                self._waiting.remove(due)
                self._send(due.packet, now)
        return failed

    def _repeat(self, waiting: _Unacknowledged, now: float) -> bool:
        if waiting.tries_left <= 0:
            return False
        if self.free > 0:
            waiting.tries_left -= 1
            waiting.again_at = None
            self.put(waiting.packet, now)
        else:
            waiting.again_at = now + 1.0
        return True

    def _send(self, packet: AirPacket, now: float) -> None:
        transmission = Transmission(self.channel, packet.encode(), self._radio.coding_rate, PREAMBLE)
        self._idle_at = self._transmit(transmission, now)
        for spans in (self._sent, self._busy):
            spans.append((self._idle_at, transmission.airtime))
        for one in self._waiting:
            one.not_before = max(one.not_before, self._idle_at + self._own_delay())
        waiting = self._unacknowledged.get(packet.id)
        if waiting is not None and waiting.packet.sender == packet.sender:
            slots = (1 << CW_MIN) + 2 * CW_MAX + (1 << (CW_MAX + CW_MIN) // 2)
            waiting.again_at = self._idle_at + 2 * transmission.airtime + slots * self._slot + 4.5

    def _times(self) -> Iterator[float]:
        for one in self._waiting:
            yield max(one.not_before, self._idle_at)
        for waiting in self._unacknowledged.values():
            if waiting.again_at is not None:
                yield waiting.again_at

    def next_deadline(self) -> float | None:
        return min(self._times(), default=None)
