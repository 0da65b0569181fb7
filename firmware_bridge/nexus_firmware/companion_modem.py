"""A MeshCore companion device as a modem: datagrams on a channel of its owner, one command at a time.

Sans-IO, after radio.md section 4.1b.
"""

from collections import deque
from collections.abc import Callable
from math import inf

from nexus_firmware import meshcore_companion as companion
from nexus_firmware.meshcore_companion import (
    ChannelData,
    ChannelInfo,
    CompanionDecoder,
    DeviceInfo,
    Event,
    Failed,
    NoMore,
    Ok,
    Other,
    SelfInfo,
    Waiting,
)
from nexus_firmware.modem import Modem
from nexus_node.base.errors import CarrierLost

OLDEST_PROTOCOL = 11
"""The first with group datagrams, of firmware 1.15."""
_ANSWER_S, _TRIES, _SILENT_MAX = 3.0, 5, 3
_FILLER = bytes(16_384)
"""A length that was spoilt makes the device wait for up to 65,535 bytes: four of these end that."""
_NUMBER_SIZE = 2
"""Of a number before each frame: the network drops what it has seen, and a handshake may be repeated."""
_HALF_FRAME_S = 1.0
_LOOK_EVERY_S = 60.0
_FULL_S = 2.0
_PACE = 4.0
"""Airtimes from one datagram to the next: repeaters send each again, and the firmware itself rests for as
long as it has sent."""


class CompanionModem(Modem):
    """`channel` is an index or a name; `draw` gives random bits."""

    kind = "MeshCore device"
    mtu = companion.DATA_MAX - _NUMBER_SIZE
    listens_first = False
    """It does, but without a random wait: two that begin at once go on colliding."""

    def __init__(self, channel: int | str, draw: Callable[[], int]) -> None:
        super().__init__()
        self._channel = channel
        self._index: int | None = None
        self._names: dict[int, str] = {}
        self._decoder = CompanionDecoder()
        self._commands: deque[tuple[bytes, Callable[[Event, float], bool]]] = deque()
        """Commands to be said, each with what takes its answer: False for an event that is none."""
        self._asked: Callable[[Event, float], bool] | None = None
        self._starts = self._silent = 0
        self._answer_by = inf
        self._again_at = inf
        self._look_at = inf
        self._half_until = inf
        self._next_at = 0.0
        self._number = draw() % 65536
        self._frame = b""
        self._sending = False
        self._fetching = False
        self._why: str | None = None

    # --- commands -------------------------------------------------------------------------------
    def begin(self, now: float) -> None:
        self._starts = 0
        self._start(now)

    def _start(self, now: float) -> None:
        self._starts += 1
        if self._starts > _TRIES:
            raise CarrierLost(
                "no MeshCore companion device answers on this port; check that it is the right one, and its"
                " firmware"
            )
        if self._starts > 1:
            self.write(_FILLER)
        self.ready = False
        self._index = None
        self._names.clear()
        self._commands.clear()
        self._asked = None
        self._again_at = self._look_at = inf
        self._sending = self._fetching = False
        self._commands += [
            (companion.APP_START, self._on_self),
            (companion.DEVICE_QUERY, self._on_device),
            *((companion.get_channel(index), self._on_channel) for index in range(companion.CHANNELS)),
        ]
        self._say_next(now)

    def _say_next(self, now: float) -> None:
        if self._asked is None and self._commands:
            line, self._asked = self._commands.popleft()
            self.write(line)
            self._answer_by = now + _ANSWER_S

    def _unanswered(self, now: float) -> None:
        """A datagram may have gone out: not twice. Else the device may be in the middle of something."""
        self._silent += 1
        if self._asked == self._on_sent and self._silent < _SILENT_MAX:
            self._sending = False
            self._done(now)
        else:
            self._start(now)

    def _done(self, now: float) -> None:
        self._asked = None
        self._answer_by = inf
        self._say_next(now)

    # --- answers --------------------------------------------------------------------------------
    def _on_self(self, event: Event, now: float) -> bool:
        if not isinstance(event, SelfInfo):
            return False
        self.settings = event.settings
        return True

    def _on_device(self, event: Event, now: float) -> bool:
        if not isinstance(event, DeviceInfo):
            return False
        if event.version < OLDEST_PROTOCOL:
            raise CarrierLost("the MeshCore device has firmware without datagrams; bring it to 1.15 or newer")
        self._look_at = now + _LOOK_EVERY_S
        return True

    def _on_channel(self, event: Event, now: float) -> bool:
        match event:
            case ChannelInfo(index, name):
                if name:
                    self._names[index] = name
            case Failed():
                pass
            case _:
                return False
        if not any(taker == self._on_channel for _, taker in self._commands):
            self._choose_channel()
            self._fetch()
        return True

    def _choose_channel(self) -> None:
        found = [index for index, name in self._names.items() if self._channel in (index, name)]
        if not found:
            names = ", ".join(f"{index} ({name})" for index, name in sorted(self._names.items())) or "none"
            raise CarrierLost(
                f"the MeshCore device has no channel {self._channel}, but {names}; add it with its app"
            )
        self._index = found[0]
        self.ready = True
        self._starts = self._silent = 0

    def _fetch(self) -> None:
        """What came while nobody listened, and what comes."""
        if not self._fetching:
            self._fetching = True
            self._commands.append((companion.SYNC_NEXT, self._on_fetched))

    def _on_fetched(self, event: Event, now: float) -> bool:
        match event:
            case NoMore() | Failed():
                self._fetching = False
            case ChannelData() | Other():
                self._commands.appendleft((companion.SYNC_NEXT, self._on_fetched))
            case _:
                return False
        return True

    def _on_sent(self, event: Event, now: float) -> bool:
        match event:
            case Ok():
                self._sending, self._why, self._silent = False, None, 0
            case Failed(companion.TABLE_FULL):
                self._why = "the MeshCore device's queue is full"
                self._again_at = now + _FULL_S
            case Failed(code):
                self._sending = False
                self._why = f"the MeshCore device refuses datagrams: {companion.ERRORS.get(code, code)}"
            case _:
                return False
        return True

    # --- in -------------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        self._take_all(self._decoder.feed(data), now)
        self._half_until = now + _HALF_FRAME_S if self._decoder.waiting else inf

    def _take_all(self, events: list[Event], now: float) -> None:
        for event in events:
            match event:
                case Waiting():
                    if self.ready:
                        self._fetch()
                case ChannelData(channel, data_type, data, snr):
                    if self.ready and channel == self._index and data_type == companion.DATA_TYPE:
                        self.hear(data[_NUMBER_SIZE:], None, snr)
            if self._asked is not None and self._asked(event, now):
                self._done(now)
        self._say_next(now)

    # --- time -----------------------------------------------------------------------------------
    def expire(self, now: float) -> None:
        if now >= self._half_until:
            self._half_until = inf
            self._take_all(self._decoder.give_up(), now)
        if now >= self._answer_by:
            self._unanswered(now)
        if now >= self._again_at:
            self._again_at = inf
            self._commands.append((self._frame, self._on_sent))
            self._say_next(now)
        if now >= self._look_at:
            self._look_at = inf
            self._commands.append((companion.DEVICE_QUERY, self._on_device))
            self._say_next(now)

    def next_deadline(self) -> float:
        return min(self._answer_by, self._again_at, self._look_at, self._half_until)

    # --- out ------------------------------------------------------------------------------------
    def room_at(self, now: float) -> float:
        return max(now, self._next_at) if self.ready and not self._sending else inf

    def send(self, frame: bytes, now: float) -> None:
        if self._index is None:
            return
        self._sending = True
        self._number = (self._number + 1) % 65536
        self._frame = companion.send_data(self._index, self._number.to_bytes(_NUMBER_SIZE) + frame)
        self._next_at = now + _PACE * self.airtime(len(frame))
        self._commands.append((self._frame, self._on_sent))
        self._say_next(now)

    def airtime(self, size: int) -> float:
        return (
            companion.datagram_airtime(size + _NUMBER_SIZE, self.settings)
            if self.settings is not None
            else 0.0
        )

    @property
    def trouble(self) -> str | None:
        return self._why
