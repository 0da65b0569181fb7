"""How fast something comes, and when it may be expected to be whole (N13)."""

from collections import deque

_WINDOW_S, _SAMPLES_MIN = 30.0, 6
"""The rate is that of so long, or where little comes of so many steps."""
_APART_S = 0.5
_SILENT_S, _SILENT_SPANS = 10.0, 4
"""Without news for so long, and for so many times the usual, nobody knows any more."""


class Pace:
    """Counts of what is there, as they grow."""

    __slots__ = ("_samples", "done")

    def __init__(self) -> None:
        self.done = 0
        """The latest."""
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, done: int, now: float) -> None:
        """So much is there by now."""
        self.done = done
        samples = self._samples
        if samples and (done <= samples[-1][1] or now - samples[-1][0] < _APART_S):
            return
        samples.append((now, done))
        while len(samples) > _SAMPLES_MIN and samples[0][0] < now - _WINDOW_S:
            samples.popleft()

    def left_s(self, total: int, now: float) -> float | None:
        """Seconds until all of `total` is there, at the rate of late; None when that cannot be said."""
        samples = self._samples
        if len(samples) < 2:
            return None
        (since, before), (latest, _) = samples[0], samples[-1]
        usual = (latest - since) / (len(samples) - 1)
        if now - latest > max(_SILENT_S, _SILENT_SPANS * usual):
            return None
        took = max(latest - since, now - since - usual)  # a step that is not late yet says nothing
        return (total - self.done) * took / (samples[-1][1] - before)
