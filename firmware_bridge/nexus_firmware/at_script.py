"""Scripts of text commands with what must answer each: how a driver sets a module up and sends. Sans-IO."""

from enum import Enum

from nexus_firmware.at import Answer, Event, Failed, Sent, Step, Stopped, Trouble


class End(Enum):
    """How a script ended."""

    DONE = "done"
    BUSY = "busy"
    """The module was: the same again, a little later."""
    FAILED = "failed"
    SILENT = "silent"
    """No answer in time."""


class Script:
    """Runs steps one after the other. Packets and the like that come in between belong to somebody else."""

    def __init__(self, steps: tuple[Step, ...], now: float) -> None:
        self._steps = steps
        self._at = 0
        self._unwritten = True
        self._since = now
        self.end: End | None = None
        self.error: Failed | None = None
        self.answers: list[str] = []
        """Lines that came meanwhile."""
        self._check_end()

    def poll_send(self) -> bytes | None:
        """What to write now, once."""
        if self.end is not None or not self._unwritten:
            return None
        self._unwritten = False
        return self._steps[self._at].line or None

    @property
    def line(self) -> bytes:
        """What the step under way, or the one it ended with, has written."""
        return self._steps[min(self._at, len(self._steps) - 1)].line

    @property
    def deadline(self) -> float | None:
        """When to call `expire`."""
        return None if self.end is not None else self._since + self._steps[self._at].seconds

    def take(self, event: Event, now: float) -> None:
        """Note an event."""
        if self.end is not None:
            return
        match event:
            case Answer(text):
                self.answers.append(text)
            case Failed(trouble=Trouble.RECEIVING):
                return
            case Failed():
                self.error = event
                self.end = End.BUSY if event.trouble == Trouble.BUSY else End.FAILED
                return
            case Stopped() if self._steps[self._at].until is Sent:
                self.end = End.FAILED
                return
        if isinstance(event, self._steps[self._at].until):
            self._at += 1
            self._unwritten = True
            self._since = now
            self._check_end()

    def _check_end(self) -> None:
        if self._at == len(self._steps):
            self.end = End.DONE

    def expire(self, now: float) -> None:
        """Give up when the step's time is over."""
        if self.deadline is not None and now >= self.deadline:
            self.end = End.SILENT
