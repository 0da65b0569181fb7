"""A module with text commands as a modem: set up, listening, and silent only while it sends.

Sans-IO, for every dialect of `at_dialects`. These modules do not listen before they talk.
"""

from enum import Enum
from math import inf

from nexus_firmware.at import (
    AtDecoder,
    Dialect,
    Event,
    Failed,
    Ok,
    Received,
    Restarted,
    Step,
    Stopped,
    Trouble,
)
from nexus_firmware.at_script import End, Script
from nexus_firmware.modem import Modem
from nexus_firmware.radio import RadioSettings
from nexus_node.base.errors import CarrierLost

_SETUP_TRIES, _SEND_TRIES = 4, 20
_BUSY_S = 0.25
_QUIET_S = 30.0
"""A module that has said nothing for so long is asked whether it is there."""


class _Task(Enum):
    """What the script under way is for."""

    SETTING_UP = "setting up"
    CHECKING = "checking"
    SENDING = "sending"
    LISTENING = "listening"
    ASKING = "asking"


class AtModem(Modem):
    """Raises ValueError for settings the module does not have."""

    listens_first = False

    def __init__(self, dialect: Dialect, settings: RadioSettings) -> None:
        super().__init__()
        self.kind = dialect.name
        self.mtu = dialect.mtu
        self.settings: RadioSettings = settings
        self._dialect = dialect
        self._configuration = dialect.configuration(settings)
        self._questions = dialect.questions(settings)
        self._decoder = AtDecoder(dialect)
        self._script: Script | None = None
        self._task = _Task.SETTING_UP
        self._steps: tuple[Step, ...] = ()
        self._tries = 0
        self._again_at = inf
        self._quiet_at = inf
        self._stopped = False
        self._refusal: str | None = None

    # --- in -------------------------------------------------------------------------------------
    def begin(self, now: float) -> None:
        self._tries = 0
        # Ends the line that a program before us may have left half written; what that is answered is nothing.
        self.write(b"\r\n")
        self._set_up(now)

    def receive(self, data: bytes, now: float) -> None:
        self._quiet_at = now + _QUIET_S
        for event in self._decoder.feed(data):
            self._take(event, now)
        self._advance(now)

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Received(packet, rssi, snr):
                if self.ready:
                    self.hear(packet, rssi, snr)
                self._stopped |= self._dialect.listens_once
            case Restarted() if self._task is not _Task.ASKING or self._script is None:
                self._set_up(now)
            case Stopped() if self._script is None:
                self._stopped = True
            case Failed(trouble=Trouble.REFUSED) if self._script is None:
                return  # of a line that noise made
            case _ if self._script is not None:
                self._script.take(event, now)

    def expire(self, now: float) -> None:
        if self._script is not None:
            self._script.expire(now)
        elif now >= self._again_at:
            self._run(self._task, self._steps, now)
        elif now >= self._quiet_at:
            until = Restarted if self._dialect.question == self._dialect.version else Ok
            self._run(_Task.ASKING, (Step(self._dialect.question, until),), now)
        self._advance(now)

    def next_deadline(self) -> float:
        if self._script is not None:
            return self._script.deadline or inf
        return min(self._again_at, self._quiet_at)

    # --- scripts --------------------------------------------------------------------------------
    def _set_up(self, now: float) -> None:
        """In a moment, when the answers to what was said before have come and are not taken for others."""
        self.ready = False
        if self._script is not None or self._task is not _Task.SETTING_UP or self._again_at == inf:
            self._tries += 1
        if self._tries > _SETUP_TRIES:
            raise CarrierLost(
                self._refusal
                or f"no {self.kind} answers as it should on this port; check port, dialect and wiring"
            )
        self._script = None
        self._task, self._steps = _Task.SETTING_UP, self._configuration
        self._again_at = now + _BUSY_S

    def _run(self, task: _Task, steps: tuple[Step, ...], now: float) -> None:
        self._task, self._steps = task, steps
        self._again_at = inf
        self._script = Script(steps, now)
        self._advance(now)

    def _advance(self, now: float) -> None:
        """Write what the script says next; when it has ended, go on."""
        if self._script is not None:
            if (line := self._script.poll_send()) is not None:
                self.write(line)
            if self._script.end is None:
                return
            script, self._script = self._script, None
            self._ended(script, now)
        if self._script is None and self.ready and self._stopped and self._again_at == inf:
            self._stopped = False
            if self._dialect.listening:
                self._run(_Task.LISTENING, self._dialect.listening, now)

    def _ended(self, script: Script, now: float) -> None:
        end = script.end
        self._quiet_at = now + _QUIET_S
        match self._task:
            case _Task.SETTING_UP if end is End.DONE:
                self._run(_Task.CHECKING, tuple(self._questions), now)
            case _Task.CHECKING if end is End.DONE and self._is_set(script):
                self.ready, self._tries, self._stopped, self._refusal = True, 0, False, None
            case _Task.SETTING_UP if end is End.FAILED and script.error is not None:
                # A line that was spoilt on its way is refused as well.
                line, words = script.line.decode("ascii", "replace").strip(), script.error.words
                self._refusal = f"the {self.kind} refuses {line}: {words}; correct the settings"
                self._set_up(now)
            case _Task.SETTING_UP if end is End.BUSY:
                self._tries += 1
                self._again_at = now + _BUSY_S
            case _Task.SENDING if end is End.DONE:
                self._tries = 0
            case _Task.SENDING if end is End.BUSY and self._tries < _SEND_TRIES:
                self._tries += 1
                self._again_at = now + _BUSY_S
            case _Task.SENDING if end is not End.SILENT:
                self._tries = 0
                self._stopped = True
            case _Task.LISTENING if end in (End.DONE, End.BUSY):
                pass  # busy: it listens already
            case _Task.ASKING if end is End.DONE:
                pass
            case _Task.SETTING_UP | _Task.CHECKING:
                self._set_up(now)
            case _:
                self._tries = 0
                self._set_up(now)

    def _is_set(self, script: Script) -> bool:
        """Whether all it told is as it should be; a line that was spoilt may have set something else."""
        told = {line.lower() for line in script.answers}
        wrong = [line for line in self._questions.values() if line.lower() not in told]
        if wrong:
            self._refusal = f"the {self.kind} does not keep {wrong[0]}; correct the settings"
        return not wrong

    # --- out ------------------------------------------------------------------------------------
    def room_at(self, now: float) -> float:
        return now if self.ready and self._script is None and self._again_at == inf else inf

    def send(self, frame: bytes, now: float) -> None:
        self._tries = 0
        self._run(_Task.SENDING, self._dialect.transmission(frame, self.airtime(len(frame))), now)

    def airtime(self, size: int) -> float:
        return self._dialect.airtime(size, self.settings)

    @property
    def trouble(self) -> str | None:
        if self._task is _Task.SENDING and self._tries:
            return f"the {self.kind} says that it is busy"
        return None if self.ready else f"the {self.kind} is being set up"
