"""A node to talk to: a real Unix socket server that speaks the control protocol and answers from a table."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

from nexus_node.client.path import control_path


class Refusal(Exception):
    """What a handler raises to answer with an error."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **details}


class FakeNode:
    """Verb: a result (dict), items (list), or a function of the args that gives either."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.verbs: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.raw: bytes | None = None
        """Sent instead of any answer, and then the connection ends."""
        self.wake = threading.Event()
        """A stream with a last item `...` goes on once this is set."""
        self._listener = socket.socket(socket.AF_UNIX)
        with control_path(home) as path:
            self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.wake.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    request = json.loads(line)
                    if self.raw is not None:
                        connection.sendall(self.raw)
                        return
                    self._answer(connection, request)
            except (BrokenPipeError, ConnectionResetError):
                return

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        def say(**answer: Any) -> None:
            connection.sendall(json.dumps({"id": request["id"], **answer}).encode() + b"\n")

        verb, args = request["verb"], request["args"]
        self.asked.append((verb, args))
        answer = self.verbs[verb]
        try:
            if callable(answer):
                answer = answer(args)
        except Refusal as refusal:
            say(error=refusal.error)
            return
        if isinstance(answer, dict):
            say(result=answer)
            return
        for item in answer:
            if item is ...:
                self.wake.wait(20)
            else:
                say(item=item)
        say(end=True)


Nexus = Callable[..., Result]
