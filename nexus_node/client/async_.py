"""The trio end of the control protocol: many requests outstanding on one connection."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self

import trio

from nexus_node.base.errors import BadWire, NexusError

from .codec import BAD_ANSWER, LineBuffer, answer_error, encode_request, parse_line_untrusted
from .errors import ControlError
from .path import control_path
from .sync import not_running, stopped


class AsyncControlClient(trio.abc.AsyncResource):
    """A connection to a node, which any number of tasks may use at once."""

    def __init__(self, home: Path, stream: trio.SocketStream) -> None:
        self._home = home
        self._stream = stream
        self._sending = trio.Lock()
        self._ids = count(1)
        self._pending: dict[str, _Pending] = {}
        self._lost: NexusError | None = None

    @classmethod
    async def connect(cls, home: Path, nursery: trio.Nursery) -> Self:
        """Connect to the node whose home is `home`; a task in `nursery` reads its answers until `aclose`.

        Raises `NodeNotRunning` when none answers.
        """
        client = cls(home, await _connect(home))
        nursery.start_soon(client._read_answers)
        return client

    async def aclose(self) -> None:
        """Let go of the connection; whoever still waits for an answer gets `NodeNotRunning`."""
        await self._stream.aclose()

    async def request(self, verb: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask for one thing and return its result. Raises `ControlError` with the node's words."""
        request_id = next(self._ids)
        line = encode_request(request_id, verb, args)
        if self._lost is not None:
            raise self._lost
        pending = self._pending[str(request_id)] = _Pending()
        try:
            try:
                async with self._sending:
                    await self._stream.send_all(line)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise stopped(self._home) from error
            await pending.done.wait()
        finally:
            del self._pending[str(request_id)]
        if isinstance(pending.answer, NexusError):
            raise pending.answer
        return pending.answer

    @asynccontextmanager
    async def stream(
        self, verb: str, args: Mapping[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Ask for many things; the context gives an iterator over them.

        A stream has its own connection, so a slow reader holds up nothing but the stream itself.
        """
        async with await _connect(self._home) as stream:
            await stream.send_all(encode_request(1, verb, args))
            yield self._items(stream)

    async def _items(self, stream: trio.SocketStream) -> AsyncIterator[dict[str, Any]]:
        async for answer in _answers(self._home, stream):
            if (error := answer_error(answer)) is not None:
                raise error
            if answer.get("end"):
                return
            if not isinstance(answer.get("item"), dict):
                raise ControlError("bad_answer", BAD_ANSWER)
            yield answer["item"]

    async def _read_answers(self) -> None:
        """Hand each answer to whoever waits for it; when the connection ends, tell all of them."""
        try:
            async for answer in _answers(self._home, self._stream):
                outcome: dict[str, Any] | NexusError | None = answer_error(answer) or answer.get("result")
                if answer.get("id") is None and isinstance(outcome, NexusError):
                    raise outcome
                if not isinstance(outcome, (dict, NexusError)):
                    outcome = ControlError("bad_answer", BAD_ANSWER)
                if (pending := self._pending.get(str(answer.get("id")))) is not None:
                    pending.settle(outcome)
        except NexusError as error:
            self._lost = error
            for pending in self._pending.values():
                pending.settle(error)


class _Pending:
    """A request's place for its answer."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.answer: dict[str, Any] | NexusError = {}

    def settle(self, answer: dict[str, Any] | NexusError) -> None:
        self.answer = answer
        self.done.set()


async def _connect(home: Path) -> trio.SocketStream:
    connection = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        with control_path(home) as path:
            await connection.connect(path)
    except OSError as error:
        connection.close()
        raise not_running(home, error) from error
    return trio.SocketStream(connection)


async def _answers(home: Path, stream: trio.SocketStream) -> AsyncIterator[dict[str, Any]]:
    """The answers as they come. Raises `NodeNotRunning` when the connection ends."""
    buffer = LineBuffer()
    try:
        while data := await stream.receive_some():
            for line in buffer.feed(data):
                yield parse_line_untrusted(line)
    except BadWire as error:
        raise ControlError("bad_answer", BAD_ANSWER) from error
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise stopped(home) from error
    raise stopped(home)
