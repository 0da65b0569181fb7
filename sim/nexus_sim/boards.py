"""Emulated boards in the simulated air: firmware, our drivers, places and hidden terminals (radio.md S7)."""

from heapq import heappop, heappush
from itertools import count

from nexus_firmware.emulate.air import Channel as Tuned
from nexus_firmware.emulate.air import Heard, Station
from nexus_firmware.emulate.air import Transmission as Packet
from nexus_sim.channel import Channel, Transmission
from nexus_sim.modem import Modem
from nexus_sim.reception import Fate, Listening


class BoardAir:
    """An `emulate.air.Air` on a `Channel`: who hears a board is a matter of its links.

    Boards get the numbers 1, 2, 3 in the order in which they join. `tx_dbm` is the power of all.
    """

    def __init__(self, channel: Channel, tx_dbm: float = 14.0) -> None:
        self.channel = channel
        self.fates: dict[Fate, int] = dict.fromkeys(Fate, 0)
        """What became of packets at all receivers in reach."""
        self._tx_dbm = tx_dbm
        self._stations: dict[int, Station] = {}
        self._tuned: dict[int, Tuned | None] = {}
        self._modems: dict[tuple[Tuned, int, int], Modem] = {}
        self._ends: list[tuple[float, int, Transmission, Packet]] = []
        self._numbers = count(1)
        self._order = count()

    # --- what a board asks ----------------------------------------------------------------------
    def join(self, station: Station) -> None:
        number = next(self._numbers)
        self._stations[number] = station
        self._tuned[number] = None
        self.channel.add(number, Listening.OFF)

    def leave(self, station: Station) -> None:
        self._stations = {number: one for number, one in self._stations.items() if one is not station}

    def transmit(self, station: Station, transmission: Packet, now: float) -> None:
        self.advance(now)
        self._tune(now)
        number = next(number for number, one in self._stations.items() if one is station)
        modem = self._modem(transmission.channel, transmission.coding_rate, transmission.preamble)
        packet = Transmission(number, modem, self._tx_dbm, transmission.airtime, transmission.payload)
        end = self.channel.begin(packet, now)
        heappush(self._ends, (end, next(self._order), packet, transmission))
        for other, board in self._stations.items():
            if other != number and self.channel.busy(other, now + self.channel.cad_time(other)):
                board.sense(end, now)

    def advance(self, now: float) -> None:
        self._tune(now)
        while self._ends and self._ends[0][0] <= now:
            end, _, packet, transmission = heappop(self._ends)
            for receiver, fate, rssi_dbm, snr_db in self.channel.finish(packet, end):
                self.fates[fate] += 1
                board = self._stations.get(receiver)
                if board is not None and fate is Fate.RECEIVED and board.channel == transmission.channel:
                    board.hear(Heard(transmission.payload, rssi_dbm, snr_db), end)

    def next_deadline(self) -> float | None:
        return self._ends[0][0] if self._ends else None

    # --- how the boards are set -----------------------------------------------------------------
    def _tune(self, now: float) -> None:
        """Follow what the boards are tuned to."""
        for number, board in self._stations.items():
            wanted = board.channel
            if wanted != self._tuned[number]:
                self._tuned[number] = wanted
                listening = self._modem(wanted, 5, 8) if wanted is not None else Listening.OFF
                self.channel.tune(number, listening, now)

    def _modem(self, tuned: Tuned, coding_rate: int, preamble: int) -> Modem:
        key = tuned, coding_rate, preamble
        if key not in self._modems:
            self._modems[key] = Modem(
                tuned.frequency, tuned.spreading_factor, tuned.bandwidth, coding_rate, preamble
            )
        return self._modems[key]
