"""The blocking end of the control protocol, on the standard library alone."""

import shlex
import socket
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Self

from nexus_node.base.errors import BadWire

from .codec import BAD_ANSWER, LineBuffer, answer_error, encode_request, parse_line_untrusted
from .errors import ControlError, NodeNotRunning
from .path import control_path

_QUEUE_STEP_S = 0.05
"""How often to try again while the node's queue of new connections is full."""


class ControlClient:
    """A connection to the node whose home is `home`; a context manager.

    Raises `NodeNotRunning` when none answers. `timeout_s` bounds the wait for each line of an answer.
    """

    def __init__(self, home: Path, *, timeout_s: float | None = None) -> None:
        self._home = home
        self._timeout_s = timeout_s
        self._connection = _Connection(home, timeout_s)
        self._ids = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def request(self, verb: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask for one thing and return its result. Raises `ControlError` with the node's words."""
        request_id = next(self._ids)
        self._connection.send(request_id, verb, args)
        answer = self._connection.read(request_id)
        result = answer.get("result")
        if not isinstance(result, dict):
            raise ControlError("bad_answer", BAD_ANSWER)
        return result

    def stream(self, verb: str, args: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Ask for many things and yield each as it comes, over a connection that ends with the iterator."""
        connection = _Connection(self._home, self._timeout_s)
        try:
            connection.send(1, verb, args)
            while not (answer := connection.read(1)).get("end"):
                item = answer.get("item")
                if not isinstance(item, dict):
                    raise ControlError("bad_answer", BAD_ANSWER)
                yield item
        finally:
            connection.close()


class _Connection:
    def __init__(self, home: Path, timeout_s: float | None) -> None:
        self._home = home
        self._lines: list[bytes] = []
        self._buffer = LineBuffer()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            with control_path(home) as path:
                self._connect(path, timeout_s)
        except OSError as error:
            self._socket.close()
            raise not_running(home, error) from error

    def _connect(self, path: str, timeout_s: float | None) -> None:
        deadline = time.monotonic() + (timeout_s or 0)
        while True:
            try:
                return self._socket.connect(path)
            except BlockingIOError:  # the queue is full, and with a time-out the kernel does not wait for us
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_QUEUE_STEP_S)

    def close(self) -> None:
        self._socket.close()

    def send(self, request_id: int, verb: str, args: Mapping[str, Any] | None) -> None:
        line = encode_request(request_id, verb, args)
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise stopped(self._home) from error

    def read(self, request_id: int) -> dict[str, Any]:
        """The next answer to that request. Raises `ControlError` if it is an error."""
        try:
            while True:
                while not self._lines:
                    self._lines = self._buffer.feed(self._receive())[::-1]
                answer = parse_line_untrusted(self._lines.pop())
                # An error without an id is about the whole connection.
                if answer.get("id") == request_id or (answer.get("id") is None and "error" in answer):
                    break
        except BadWire as error:
            raise ControlError("bad_answer", BAD_ANSWER) from error
        if (failure := answer_error(answer)) is not None:
            raise failure
        return answer

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(65536)
        except TimeoutError as error:
            raise ControlError("timeout", f"the node in {self._home} does not answer") from error
        except OSError as error:
            raise stopped(self._home) from error
        if not data:
            raise stopped(self._home)
        return data


def not_running(home: Path, error: OSError) -> NodeNotRunning:
    """Why connecting to `home`'s control socket failed, with the cure."""
    command = f"nexus --home {shlex.quote(str(home))}"
    if isinstance(error, PermissionError):
        return NodeNotRunning(
            f"the control socket in {home} belongs to another user; become the user who runs the node"
        )
    if not home.is_dir():
        return NodeNotRunning(
            f"there is no node in {home} yet; make one with: {command} init, and start it with: {command} run"
        )
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return NodeNotRunning(f"no node is running in {home}; start it with: {command} run")
    return NodeNotRunning(
        f"the node in {home} cannot be reached ({error.strerror or error}); restart it with: {command} run"
    )


def stopped(home: Path) -> NodeNotRunning:
    """The node went away in the middle of a request."""
    return NodeNotRunning(
        f"the node in {home} stopped before it had answered; start it with: "
        f"nexus --home {shlex.quote(str(home))} run, then look whether the request was carried out"
    )
