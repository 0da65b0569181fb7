"""An RNode as a modem: detected, set up, checked, and never given more than its queue can hold.

Sans-IO, after radio.md sections 2.2 and 2.4.
"""

from enum import Enum
from math import inf

from nexus_firmware import rnode
from nexus_firmware.kiss import encode_kiss
from nexus_firmware.modem import Modem
from nexus_firmware.radio import RadioSettings
from nexus_firmware.rnode_events import (
    DEVICE_ERRORS,
    ChannelStats,
    Command,
    Detected,
    DeviceError,
    Echo,
    Event,
    Firmware,
    Hardware,
    Ready,
    Received,
    Restarted,
)
from nexus_firmware.rnode_queue import QueueAccount
from nexus_node.base.errors import CarrierLost

_ASK_EVERY_S, _ASK_FOR_S = 0.5, 6.0
"""Boards that reset when their port is opened are deaf for some seconds."""
_SET_EVERY_S, _SET_TRIES = 1.0, 3
_READY_S, _READY_TRIES, _ASK_AGAIN_S = 0.5, 3, 5.0
_ALIVE_S, _ANSWER_S = 15.0, 5.0
"""With the radio on most boards report once a second; one that is silent for so long is asked."""
_IS_IT_ON = encode_kiss(Command.RADIO_STATE, b"\xff")
_LOOK_S = 60.0
_HOW_IS_IT_SET = b"".join(
    (
        encode_kiss(Command.FREQUENCY, bytes(4)),
        encode_kiss(Command.BANDWIDTH, bytes(4)),
        encode_kiss(Command.TX_POWER, b"\xff"),
        encode_kiss(Command.SPREADING_FACTOR, b"\xff"),
        encode_kiss(Command.CODING_RATE, b"\xff"),
    )
)
"""Asked now and then: a spoilt byte of a packet may set it to something else, and then it hears nobody."""
_LOAD_MAX = 0.9
_PATIENCE = 3
"""How many times the longest wait for the air it may take."""
_AVR = 0x90
_NAMES = {
    Command.FREQUENCY: "frequency",
    Command.BANDWIDTH: "bandwidth",
    Command.TX_POWER: "tx_power",
    Command.SPREADING_FACTOR: "spreading_factor",
    Command.CODING_RATE: "coding_rate",
    Command.RADIO_STATE: "radio state",
    Command.SHORT_AIRTIME_LIMIT: "airtime limit of 15 s",
    Command.LONG_AIRTIME_LIMIT: "airtime limit of an hour",
}


class _Phase(Enum):
    ASKING = "asking"
    SETTING = "setting"
    ON = "on"


class RNodeModem(Modem):
    """`airtime_limit` is the share of an hour at which the device holds packets back by itself."""

    kind = "RNode"
    mtu = rnode.MTU
    farewell = b"\xc0" + rnode.DETACH

    def __init__(self, settings: RadioSettings, airtime_limit: float | None = None) -> None:
        super().__init__()
        self.settings: RadioSettings = settings
        self._limit = airtime_limit
        self._decoder = rnode.RNodeDecoder()
        self._queue = QueueAccount(
            packets=3,
            octets=1500,
            longest=rnode.packet_airtime(rnode.FRAME_MAX, settings),
            wait=rnode.longest_wait(settings),
            patience=_PATIENCE * rnode.longest_wait(settings, bands=4),
            one_by_one=settings.bits_per_second > rnode.ONE_BY_ONE_BPS,
        )
        self._start(0.0)

    def _start(self, now: float) -> None:
        self._phase = _Phase.ASKING
        self.ready = False
        self._asked = False
        self._detected = False
        self._version: tuple[int, int] | None = None
        self._platform: int | None = None
        self._echoes: dict[Command, int] = {}
        self._tries = 0
        self._due = now
        self._until = now + _ASK_FOR_S
        self._error: str | None = None
        self._answers_ready = True
        self._ready_asked = 0
        """How often it was asked since it last answered."""
        self._full = False
        self._why_full = "the RNode's queue is full"
        self._has_answered = False
        self._locked = False
        self._alive = self._look_at = inf
        self._doubted = False

    # --- in -------------------------------------------------------------------------------------
    def begin(self, now: float) -> None:
        self._queue.forget()
        self._start(now)
        self.expire(now)

    def receive(self, data: bytes, now: float) -> None:
        for event in self._decoder.feed(data):
            self._take(event, now)
        if self._phase is _Phase.ON:
            self._alive, self._doubted = now + _ALIVE_S, False

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Received(packet, rssi, snr):
                if self.ready:
                    self.hear(packet, rssi, snr)
            case Restarted():
                self._queue.forget()
                self._start(now)
                self.expire(now)
            case Detected():
                self._detected = True
                self._set_up(now)
            case Firmware(major, minor):
                self._version = (major, minor)
                self._set_up(now)
            case Hardware(Command.PLATFORM, value):
                self._platform = value
                self._set_up(now)
            case Echo(Command.RADIO_STATE, 0) if self._phase is _Phase.ON:
                self._start(now)
                self.expire(now)
            case Echo(setting, value):
                self._echoes[setting] = value
                if self._phase is _Phase.ON and any(rnode.mismatches(self._wanted, self._echoes)):
                    self._start(now)
                    self.expire(now)
                self._check(now)
            case Ready(room):
                self._queue.answered(now)
                if self._phase is _Phase.ON:
                    self._note_room(room, now)
            case DeviceError(code):
                self._failed(code)
            case ChannelStats():
                self._note_air(event, now)

    def _failed(self, code: int) -> None:
        words = DEVICE_ERRORS.get(code, f"error {code:02x}")
        self._error = f"the RNode reports that {words}"
        if code == 0x01:
            raise CarrierLost(f"{self._error}; check the board, its antenna and the frequency")
        if code in (0x04, 0x05):
            self._full = True
            self._due = min(self._due, self._until)

    def _note_room(self, room: bool, now: float) -> None:
        self._has_answered = self._answers_ready = True
        self._full, self._why_full = not room, "the RNode's queue is full"
        self._ready_asked = 0
        self._due = now + _READY_S if self._full else inf
        if room and self._queue.unread:
            self._ask_ready(now)

    def _note_air(self, stats: ChannelStats, now: float) -> None:
        """While a limit holds its queue back it takes nothing more; others' packets make it wait longer."""
        limit = self._echoes.get(Command.LONG_AIRTIME_LIMIT, 0)
        self._locked = 0 < limit <= round(10_000 * stats.airtime_long)
        others = stats.load_short - stats.airtime_short if stats.load_short < 1 else _LOAD_MAX
        waits = self._locked or stats.interference_dbm is not None
        self._queue.told(stats.airtime_short, 1.0 if waits else min(max(others, 0.0), _LOAD_MAX), now)
        if self._phase is not _Phase.ON or not self._queue.stuck:
            return
        self._queue.forget()
        if self._answers_ready:  # else nothing shows what it has read, and it may well hold nothing
            self.write(rnode.RESTART)
            self._start(now)
            self._error = "the RNode sends nothing of what it was given, and is started anew"

    # --- setting up -----------------------------------------------------------------------------
    def _set_up(self, now: float) -> None:
        if self._phase is not _Phase.ASKING or not self._detected:
            return
        if self._version is None or self._platform is None:
            return
        if self._version < rnode.OLDEST_FIRMWARE:
            version, oldest = (".".join(map(str, one)) for one in (self._version, rnode.OLDEST_FIRMWARE))
            raise CarrierLost(
                f"the RNode has firmware {version}, which is too old; bring it to {oldest} or newer with"
                " rnodeconf --update"
            )
        self._phase = _Phase.SETTING
        self._tries = 0
        self._due = now
        self.expire(now)

    @property
    def _wanted(self) -> dict[Command, int]:
        limit = None if self._platform == _AVR else self._limit
        return rnode.wanted(self.settings, limit)

    def _check(self, now: float) -> None:
        if self._phase is _Phase.SETTING and not list(rnode.mismatches(self._wanted, self._echoes)):
            self._phase = _Phase.ON
            self._queue.switched_on(now)
            self.ready = True
            self._due = inf
            self._alive, self._look_at = now + _ALIVE_S, now + _LOOK_S

    def _refused(self) -> CarrierLost:
        which, wanted, has = next(rnode.mismatches(self._wanted, self._echoes))
        name = _NAMES.get(which, which.name.lower())
        if has is None:
            return CarrierLost(f"the RNode did not confirm {name} = {wanted}; reset it, or try another cable")
        return CarrierLost(f"the RNode has {name} = {has}, not {wanted}; set {name} to what the board can do")

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        if now >= self._silent_by:
            self._doubt(now)
        if now >= self._look_at:
            self.write(_HOW_IS_IT_SET)
            self._look_at = now + _LOOK_S
        if now < self._due:
            return
        match self._phase:
            case _Phase.ASKING if now >= self._until:
                raise CarrierLost(
                    "no RNode answers on this port; check that it is the right one, and that the board has"
                    " RNode firmware"
                )
            case _Phase.ASKING:
                # The first FEND ends what a program before us may have left half said.
                self.write(b"\xc0" + rnode.DETECTION)
                self._due = now + _ASK_EVERY_S
            case _Phase.SETTING if self._tries >= _SET_TRIES:
                raise self._refused()
            case _Phase.SETTING:
                self._tries += 1
                for frame in rnode.configuration(self._wanted):
                    self.write(frame)
                self._due = now + _SET_EVERY_S
            case _Phase.ON:
                self._ask_ready(now)

    def _doubt(self, now: float) -> None:
        if self._doubted:
            raise CarrierLost("the RNode has fallen silent; reset it if it does not come back by itself")
        self.write(_IS_IT_ON)
        self._alive, self._doubted = now + _ANSWER_S, True

    def _ask_ready(self, now: float) -> None:
        """Whether the queue has room; old firmware does not say, and is trusted to send in time."""
        if self._ready_asked >= _READY_TRIES and not self._has_answered:
            self._answers_ready, self._full, self._ready_asked = False, False, 0
            self._due = inf
            return
        if self._ready_asked and self._has_answered:
            # It used to answer, so it does not read now: nothing more until it does.
            self._full, self._why_full = True, "the RNode does not take what it is sent"
            self._due = now + _ASK_AGAIN_S
        else:
            self._due = now + _READY_S + self._queue.airtime
        self._ready_asked += 1
        self.write(rnode.READY_QUERY)
        self._queue.asked()

    @property
    def _silent_by(self) -> float:
        """It says nothing while it sends."""
        return self._alive + self._queue.airtime

    def next_deadline(self) -> float:
        return min(self._due, self._silent_by, self._look_at)

    # --- out ------------------------------------------------------------------------------------
    def room_at(self, now: float) -> float:
        if not self.ready or self._locked or self._full:
            return inf
        if self._queue.room(self.mtu, now):
            return now
        return self._queue.next_room(now) or inf

    def send(self, frame: bytes, now: float) -> None:
        self._queue.took(len(frame), self.airtime(len(frame)), now)
        self.write(rnode.encode_packet(frame))
        if self._answers_ready and not self._ready_asked:
            self._ask_ready(now)

    def airtime(self, size: int) -> float:
        return rnode.packet_airtime(size, self.settings)

    @property
    def trouble(self) -> str | None:
        if self._locked:
            return "the RNode itself holds packets back: the airtime of this hour is used up"
        if self._full:
            return self._why_full
        if self.ready and self._queue.waits:
            return "the RNode waits for the air to be free"
        return self._error if not self.ready else None
