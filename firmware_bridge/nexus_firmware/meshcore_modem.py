"""A board with MeshCore's KISS modem firmware as a modem: set, read back, and given one packet at a time.

Sans-IO, after radio.md section 4.1a.
"""

from enum import Enum
from math import inf

from nexus_firmware import meshcore_kiss
from nexus_firmware.meshcore_kiss import (
    ERRORS,
    UNKNOWN_COMMAND,
    Answer,
    Done,
    Event,
    Failed,
    MeshcoreDecoder,
    Outcome,
    Received,
    Sub,
    TransmitSlot,
    TxDone,
)
from nexus_firmware.modem import Modem
from nexus_firmware.radio import RadioSettings
from nexus_node.base.errors import CarrierLost

_ASK_EVERY_S, _TRIES = 0.7, 6
"""A board that resets when its port is opened is deaf for some seconds."""
_SIGNAL_GAP_S = 0.05
"""What says how a packet was heard comes within this behind it."""
_LOOK_EVERY_S = 20.0
"""The board says nothing of a restart, but has lost its settings then."""
_FAILURES_MAX = 5
_BUSY_S = 0.25
_KEY_UP = 1
"""In 10 ms, from having won the air to sending: half a second by default, which is for other radios."""
_QUESTIONS = meshcore_kiss.ask(Sub.RADIO) + meshcore_kiss.ask(Sub.TX_POWER)


class _Phase(Enum):
    SETTING = "setting"
    ON = "on"


class MeshcoreModem(Modem):
    """A TNC with the firmware's own channel access."""

    kind = "MeshCore KISS modem"
    mtu = meshcore_kiss.MTU

    def __init__(self, settings: RadioSettings) -> None:
        super().__init__()
        self.settings: RadioSettings = settings
        self._decoder = MeshcoreDecoder()
        self._slot = TransmitSlot(self.airtime(self.mtu))
        self._frame = b""
        self._phase = _Phase.SETTING
        self._tries = 0
        self._due = inf
        self._release_at = inf
        self._heard_from = False
        self._radio: object = None
        self._power: object = None
        self._failed = 0
        self._retry_at = inf

    # --- setting up -----------------------------------------------------------------------------
    def begin(self, now: float) -> None:
        self._tries = 0
        self._set(now)

    def _set(self, now: float) -> None:
        """Everything at once, and the questions that show what became of it."""
        self._phase, self.ready = _Phase.SETTING, False
        self._radio = self._power = None
        self._slot.reset()
        self._frame, self._retry_at = b"", inf
        if self._tries >= _TRIES:
            raise self._refused()
        self._tries += 1
        frames = meshcore_kiss.set_radio(self.settings)
        frames.append(meshcore_kiss.set_signal_report(True))
        frames.append(meshcore_kiss.set_parameter(meshcore_kiss.TXDELAY, _KEY_UP))
        self.write(b"\xc0" + b"".join(frames) + _QUESTIONS)
        self._due = now + _ASK_EVERY_S

    def _refused(self) -> CarrierLost:
        if not self._heard_from:
            return CarrierLost(
                "no MeshCore KISS modem answers on this port; check that it is the right one, and that the"
                " board has that firmware"
            )
        return CarrierLost(
            "the MeshCore KISS modem does not take the radio settings; choose what the board can"
        )

    @property
    def _is_set(self) -> bool:
        one = self.settings
        wanted = (one.frequency, one.bandwidth, one.spreading_factor, one.coding_rate)
        return self._radio == wanted and self._power == one.tx_power

    # --- in -------------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        for event in self._decoder.feed(data):
            self._take(event, now)
        self._release_at = now + _SIGNAL_GAP_S if self._decoder.holds else inf

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Received(data, rssi, snr):
                if self.ready:
                    self.hear(data, rssi, snr)
            case Answer(to=Sub.RADIO, value=value):
                self._heard_from, self._radio = True, value
                self._settled(now)
            case Answer(to=Sub.TX_POWER, value=value):
                self._heard_from, self._power = True, value
                self._settled(now)
            case Answer() | Done():
                self._heard_from = True
            case TxDone() | Failed():
                self._note_outcome(event, now)

    def _settled(self, now: float) -> None:
        """Both answers are there: are they right? Later they show whether the board has started over."""
        if self._radio is None or self._power is None:
            return
        if self._is_set:
            self._phase, self.ready, self._tries = _Phase.ON, True, 0
            self._due = now + _LOOK_EVERY_S
        elif self._phase is _Phase.ON:
            self._set(now)

    def _note_outcome(self, event: TxDone | Failed, now: float) -> None:
        outcome = self._slot.take(event, now)
        if outcome is Outcome.BUSY:
            self._retry_at = now + _BUSY_S
        elif outcome is not None:
            self._frame = b""
            self._failed = self._failed + 1 if outcome is Outcome.FAILED else 0
            if self._failed >= _FAILURES_MAX:
                raise CarrierLost("the MeshCore KISS modem cannot send; check its antenna and settings")
        elif isinstance(event, Failed) and self._phase is _Phase.SETTING and event.code != UNKNOWN_COMMAND:
            words = ERRORS.get(event.code, f"error {event.code}")
            if self._tries >= _TRIES:
                raise CarrierLost(f"the MeshCore KISS modem refuses a setting: {words}; choose another")

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        if now >= self._release_at:
            self._release_at = inf
            for event in self._decoder.release():
                self._take(event, now)
        if now >= self._retry_at:
            self._retry_at = inf
            self._put(now)
        if self._slot.deadline is not None and now >= self._slot.deadline:
            self._tries = 0
            self._set(now)
        elif now >= self._due:
            if self._phase is _Phase.SETTING or self._radio is None:
                self._set(now)
            else:
                self._heard_from = False
                self._radio = self._power = None
                self.write(_QUESTIONS)
                self._due = now + _ASK_EVERY_S

    def next_deadline(self) -> float:
        overdue = self._slot.deadline
        return min(self._due, self._release_at, self._retry_at, inf if overdue is None else overdue)

    # --- out ------------------------------------------------------------------------------------
    def room_at(self, now: float) -> float:
        return now if self.ready and not self._frame else inf

    def send(self, frame: bytes, now: float) -> None:
        self._frame = frame
        self._put(now)

    def _put(self, now: float) -> None:
        self._slot.wrote(self.airtime(len(self._frame)), now)
        self.write(meshcore_kiss.encode_packet(self._frame))

    def airtime(self, size: int) -> float:
        return meshcore_kiss.packet_airtime(size, self.settings)

    @property
    def trouble(self) -> str | None:
        return "the MeshCore KISS modem waits for the air to be free" if self._frame else None
