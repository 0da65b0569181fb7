"""Frames to single neighbours that wait for the air, with what happens when one arrives."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Frame(NamedTuple):
    """A frame over an edge; `arrived` is called if the other end has received it."""

    edge: int
    size: int
    kind: str
    arrived: Callable[[], None]


class Outbox:
    """All nodes' queues."""

    def __init__(self, nodes: int) -> None:
        self.waiting = np.zeros(nodes, dtype=bool)
        self._queues: dict[int, deque[Frame]] = {}

    def put(self, node: int, frame: Frame, *, once: bool = False) -> None:
        """`once`: not if such a frame waits already."""
        queue = self._queues.setdefault(node, deque())
        if once and any((one.edge, one.size) == (frame.edge, frame.size) for one in queue):
            return
        queue.append(frame)
        self.waiting[node] = True

    def take(self, node: int) -> Frame:
        """The next one; there is one where it is `waiting`."""
        queue = self._queues[node]
        frame = queue.popleft()
        if not queue:
            del self._queues[node]
            self.waiting[node] = False
        return frame
