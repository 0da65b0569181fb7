"""A TCP proxy between two nodes that does something at the very instant bytes come back for bytes sent."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.harness.nodes import free_port

CONNECT_S = 10.0


class Tripwire:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target`, byte for byte, in threads of its own.

    Armed by `arm`, it waits for bytes to the receiver of a message and then for the first ones back.
    These it hands, before they go on, to the trip: a function of the one that sends them on.
    """

    def __init__(self, target: int, *, receiver_dials: bool, port: int | None = None) -> None:
        self.port = port or free_port()
        self._target = target
        self._receiver_dials = receiver_dials
        self._lock = threading.Lock()
        self._passed: Callable[[], None] = lambda: None
        self._trip: Callable[[Callable[[], None]], None] | None = None
        self._message_seen = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        self._listener.close()

    def arm(
        self, trip: Callable[[Callable[[], None]], None], passed: Callable[[], None] = lambda: None
    ) -> None:
        """The next answer sets off `trip`; `passed` is called once the message's first bytes are through."""
        with self._lock:
            self._trip, self._passed, self._message_seen = trip, passed, False

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near:
            deadline = time.monotonic() + CONNECT_S
            while True:
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        return
                    time.sleep(0.02)
            with far:
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(
                    target=self._pump, args=(far, near, not self._receiver_dials), daemon=True
                )
                back.start()
                self._pump(near, far, self._receiver_dials)
                back.join()

    def _pump(self, source: socket.socket, drain: socket.socket, from_receiver: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if from_receiver:
                    self._back(data, drain)
                else:
                    self._onward(data, drain)
        for end in (source, drain):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _onward(self, data: bytes, drain: socket.socket) -> None:
        with self._lock:  # before it is sent: the answer may be faster than this thread
            first = self._trip is not None and not self._message_seen
            self._message_seen = self._message_seen or first
            passed = self._passed
        drain.sendall(data)
        if first:
            passed()

    def _back(self, data: bytes, drain: socket.socket) -> None:
        with self._lock:
            trip = None
            if self._message_seen:
                trip, self._trip, self._message_seen = self._trip, None, False
        if trip is None:
            drain.sendall(data)
            return
        trip(lambda: drain.sendall(data))
