"""What happens when, without trio: for models that are not real nodes."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class Agenda:
    """Calls to make at times, in seconds from 0; those of one instant in the order they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call when the time has come."""
        heappush(self._due, (when, next(self._order), call))

    def run(self, until: float) -> None:
        """Let everything happen that is due before `until`."""
        while self._due and self._due[0][0] < until:
            self.now, _, call = heappop(self._due)
            call()
        self.now = until
