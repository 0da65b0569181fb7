"""An Ebyte E22 as a modem: its registers set where it allows that, its pipe paced by the time on air.

Sans-IO (radio.md section 3.2). Its mode pins are not within reach of a serial port. Newer modules change the
mode by command; where that is off, or the module is older, it must have been set by hand. Its AUX pin, where
the owner has wired it, paces frames in place of the reckoned airtime.
"""

from enum import Enum
from math import inf

from nexus_firmware import e22
from nexus_firmware.cobs import OVERHEAD, CobsDecoder, Received, encode_frame
from nexus_firmware.e22 import E22Settings, RegisterDecoder, Registers
from nexus_firmware.modem import Modem
from nexus_firmware.radio import RadioSettings
from nexus_node.base.errors import CarrierLost

_SWITCH_S, _ANSWER_S, _TRIES = 0.1, 0.6, 3
_RSSI_GAP_S = 0.05
"""The byte that follows a packet comes within this."""
_SLOWER = 1.1
"""Times the reckoned airtime before the next frame where nothing says when one is through."""
_AUX_LOOK_S, _AUX_RISE_S = 0.01, 0.002
"""How often AUX is looked at while it is low; and what must pass when it has risen."""
_AUX_PATIENCE_S = 30.0
"""More than any frame takes."""
_GAP_S = 0.05
_WRONG_FORMAT = b"\xff\xff\xff"
_NAMES = {
    "channel": "frequency",
    "air_rate": "air_rate",
    "sub_packet": "sub-packet size",
    "uart_baud": "UART rate",
    "address": "address",
    "network": "network id",
    "power": "tx_power",
}


class _Phase(Enum):
    SWITCHING = "switching"
    READING = "reading"
    WRITING = "writing"
    LEAVING = "leaving"
    TRANSPARENT = "transparent"


class E22Modem(Modem):
    """`wanted` must have `software_mode`, or the module cannot be brought back to sending. `base` is the
    frequency of its channel 0; `halves` is for older modules, whose RSSI byte counts half dB; `aux` is how
    people call the place where AUX is wired, if it is, and what it says comes by `take_aux`."""

    kind = "E22"

    def __init__(
        self, wanted: E22Settings, base: int, *, halves: bool = False, aux: str | None = None
    ) -> None:
        super().__init__()
        self.mtu = wanted.mtu
        self.settings: RadioSettings = wanted.radio(base)
        self._wanted = wanted
        self._halves = halves
        self._aux = aux
        self._low_since: float | None = None
        self._low_for = 0.0
        self._registers = RegisterDecoder()
        self._cobs = CobsDecoder(wanted.sub_packet, rssi_follows=True)
        self._phase = _Phase.SWITCHING
        self._due = inf
        self._tries = 0
        self._free_at = 0.0
        self._silent = False
        self._wrong = 0

    # --- setting up -----------------------------------------------------------------------------
    def begin(self, now: float) -> None:
        self._tries = 0
        self._switch(now)

    def _switch(self, now: float) -> None:
        self._phase = _Phase.SWITCHING
        self.write(e22.switch_mode("configuration"))
        self._due = now + _SWITCH_S

    def _read(self, now: float) -> None:
        self._phase = _Phase.READING
        self.write(e22.read_registers(0, len(self._wanted.encode())))
        self._due = now + _ANSWER_S

    def _take_registers(self, found: Registers, now: float) -> None:
        wanted = self._wanted.encode()
        if found.address or len(found.data) != len(wanted):
            return
        if found.data == wanted:
            self._phase = _Phase.LEAVING
            self.write(e22.switch_mode("transparent"))
            self._due = now + _SWITCH_S
        elif self._phase is _Phase.READING:
            # Kept over a loss of power, of which nothing would tell; the next time they are right already.
            self._phase = _Phase.WRITING
            self.write(e22.write_registers(0, wanted, keep=True))
            self._due = now + _ANSWER_S
        else:
            has = E22Settings.decode(found.data)
            name = next(
                (words for key, words in _NAMES.items() if getattr(has, key) != getattr(self._wanted, key)),
                "another register",
            )
            raise CarrierLost(f"the E22 does not take {name} as configured; choose a value it has")

    def receive(self, data: bytes, now: float) -> None:
        if self._phase in (_Phase.READING, _Phase.WRITING):
            for answer in self._registers.feed(data):
                if isinstance(answer, Registers) and self._phase in (_Phase.READING, _Phase.WRITING):
                    self._take_registers(answer, now)
            return
        if self._phase is not _Phase.TRANSPARENT:
            return
        if data.strip(b"\xff") == b"" and _WRONG_FORMAT in data:
            self._refused()
        self._hear(self._cobs.feed(data))
        self._due = now + _RSSI_GAP_S if self._cobs.holds else inf

    def _refused(self) -> None:
        """What comes in configuration mode for a frame; twice is no chance."""
        self._wrong += 1
        if self._wrong > 1:
            raise CarrierLost("the E22 is in configuration mode; set its pins (jumpers) M0 and M1 low")

    def _hear(self, found: list[Received]) -> None:
        for one in found:
            byte = one.rssi_byte
            level = e22.rssi_dbm(byte, halves=self._halves) if byte is not None else None
            self.hear(one.data, level)

    def expire(self, now: float) -> None:
        if now < self._due:
            return
        self._due = inf
        match self._phase:
            case _Phase.SWITCHING:
                self._read(now)
            case _Phase.READING | _Phase.WRITING if self._tries < _TRIES:
                self._tries += 1
                self._switch(now)
            case _Phase.READING | _Phase.WRITING:
                # A module that is transparent for good: what was written went over the air.
                self._silent = True
                self._begin_transparent(now)
            case _Phase.LEAVING:
                self._begin_transparent(now)
            case _Phase.TRANSPARENT:
                self._hear(self._cobs.release())

    def _begin_transparent(self, now: float) -> None:
        self._phase = _Phase.TRANSPARENT
        self.ready = True
        self._free_at = now + _GAP_S

    def next_deadline(self) -> float:
        return self._due

    # --- out ------------------------------------------------------------------------------------
    def room_at(self, now: float) -> float:
        return max(now, self._free_at) if self.ready else inf

    def take_aux(self, low: bool, now: float) -> None:
        """What the AUX pin says. While it is low nothing may be written (E3)."""
        if low:
            self._low_since = now if self._low_since is None else self._low_since
            self._low_for = now - self._low_since
            self._free_at = max(self._free_at, now + _AUX_LOOK_S)
        elif self._low_since is not None:
            self._low_since, self._low_for = None, 0.0
            self._free_at = max(self._free_at, now + _AUX_RISE_S)

    def send(self, frame: bytes, now: float) -> None:
        data = encode_frame(frame, self._wanted.sub_packet)
        self.write(data)
        through_port = 10 * len(data) / self._wanted.uart_baud
        # By then AUX has fallen: the module has the bytes, and has seen that no more come.
        tells = 0.0 if self._aux is not None else _SLOWER * self._wanted.airtime(len(data))
        self._free_at = now + through_port + tells + _GAP_S

    def airtime(self, size: int) -> float:
        return self._wanted.airtime(size + OVERHEAD)

    @property
    def trouble(self) -> str | None:
        if self._low_for < _AUX_PATIENCE_S:
            return None
        return f"the E22 says by its AUX pin ({self._aux}) that it is busy; if it stays so, look at that wire"

    @property
    def note(self) -> str | None:
        if not self._silent:
            return None
        one = self._wanted
        return (
            f"the E22 does not tell its registers; by hand it must be set to channel {one.channel},"
            f" {one.air_rate} bit/s and {one.sub_packet} bytes a packet"
        )
