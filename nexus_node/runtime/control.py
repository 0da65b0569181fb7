"""The control server: newline JSON over a Unix socket that only the owner may open (docs/control.md)."""

import errno
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import trio

from nexus_node.base.errors import BadWire, InputError, NexusError, StoreError, StoreFull, UnknownContact
from nexus_node.base.limits import CONTROL_CLIENTS, CONTROL_REQUESTS
from nexus_node.client.codec import LineBuffer, encode_line, parse_line_untrusted
from nexus_node.client.path import SOCKET_NAME, control_path
from nexus_node.runtime.arguments import Json, UsageError
from nexus_node.runtime.node import Node
from nexus_node.runtime.verbs import IMMEDIATE, STREAMS, WAITING, WaitTimeout
from nexus_node.wire.uri import BadUri

log = logging.getLogger(__name__)

_WORDS_MAX = 1000
"""Characters of an error: it may quote a value as long as the request, which escapes to more than a line."""
_LAST_WORDS_S = 1.0
"""For a client that does not read, when the store has failed and all waits for the node to start over."""
_CODES: tuple[tuple[type[NexusError], str], ...] = (
    (UsageError, "usage"),
    (WaitTimeout, "timeout"),
    (UnknownContact, "unknown_contact"),
    (BadUri, "bad_uri"),
    (StoreFull, "store_full"),
    (InputError, "input"),
)


@asynccontextmanager
async def open_control(home: Path) -> AsyncIterator[trio.SocketListener]:
    """The listening socket in `home`, mode 0600. The home must be locked: a left-over socket is replaced."""
    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    path = home / SOCKET_NAME
    with listener:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with control_path(home) as address:
                await listener.bind(address)
        finally:
            os.umask(before)
        listener.listen(CONTROL_CLIENTS)
        try:
            yield trio.SocketListener(listener)
        finally:
            path.unlink(missing_ok=True)


async def serve_control(node: Node, listener: trio.SocketListener) -> None:
    """Serve clients until cancelled; one more than allowed waits, not yet accepted, until another leaves."""
    places = trio.Semaphore(CONTROL_CLIENTS)
    async with trio.open_nursery() as nursery:
        while True:
            await places.acquire()
            client = _Client(node, await _accept(listener))
            nursery.start_soon(client.run, places)


async def _accept(listener: trio.SocketListener) -> trio.SocketStream:
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            log.warning("control socket: %s", error.strerror)
            await trio.sleep(0.1)


class _Client:
    """One connection; its requests may overlap, and answers carry their ids."""

    def __init__(self, node: Node, stream: trio.SocketStream) -> None:
        self._node = node
        self._stream = stream
        self._sending = trio.Lock()
        self._tasks: dict[int, trio.CancelScope] = {}

    async def run(self, places: trio.Semaphore) -> None:
        try:
            async with self._stream, trio.open_nursery() as nursery:
                await self._read(nursery)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            places.release()

    async def _read(self, nursery: trio.Nursery) -> None:
        lines = LineBuffer()
        async for block in self._stream:
            try:
                requests = lines.feed(bytes(block))
            except BadWire as error:
                self._node.core.counters[error.code] += 1
                await self._send(encode_line(_error(None, UsageError("the request line is too long"))))
                return
            answers = [self._take(line, nursery) for line in requests if line.strip()]
            self._node.pump.after()
            await self._send(b"".join(answer for answer in answers if answer))

    def _take(self, line: bytes, nursery: trio.Nursery) -> bytes | None:
        """Begin a request; its answer, if it has one already."""
        try:
            request = parse_line_untrusted(line)
        except BadWire as error:
            self._node.core.counters[error.code] += 1
            return encode_line(_error(None, UsageError("the request is not one JSON object")))
        number, verb, args = request.get("id"), request.get("verb"), request.get("args", {})
        if not isinstance(number, int) or not isinstance(verb, str) or not isinstance(args, dict):
            return encode_line(_error(None, UsageError("a request has an integer id, a verb and args")))
        try:
            if verb in IMMEDIATE:
                return encode_line({"id": number, "result": IMMEDIATE[verb](self._node, args)})
        except (NexusError, UnicodeError) as error:
            return encode_line(_error(number, error))
        if verb == "cancel":
            for scope in [scope for other, scope in self._tasks.items() if other == args.get("id")]:
                scope.cancel()
            return encode_line({"id": number, "result": {}})
        if verb not in WAITING and verb not in STREAMS:
            return encode_line(_error(number, UsageError(f"there is no verb {verb!r}")))
        if number in self._tasks:
            return encode_line(_error(number, UsageError(f"a request with id {number} is under way")))
        if len(self._tasks) >= CONTROL_REQUESTS:
            words = f"{CONTROL_REQUESTS} requests are under way on this connection; wait for some to end"
            return encode_line(_error(number, UsageError(words)))
        scope = self._tasks[number] = trio.CancelScope()
        nursery.start_soon(self._run_task, number, verb, args, scope)
        return None

    async def _run_task(self, number: int, verb: str, args: Json, scope: trio.CancelScope) -> None:
        with scope:
            try:
                if verb in WAITING:
                    answer = {"id": number, "result": await WAITING[verb](self._node, args)}
                else:
                    async with aclosing(STREAMS[verb](self._node, args)) as items:
                        async for item in items:
                            await self._send(encode_line({"id": number, "item": item}))
                    answer = {"id": number, "end": True}
            except StoreError as error:
                if not isinstance(error, StoreFull):
                    raise
                answer = _error(number, error)
            except NexusError as error:
                answer = _error(number, error)
            await self._send(encode_line(answer))
        self._tasks.pop(number, None)

    async def _send(self, data: bytes) -> None:
        with trio.CancelScope(shield=True):  # if the store fails meanwhile, who asked is told
            await self._sending.acquire()
        try:
            try:
                self._node.core.commit()  # durable before visible: whatever the answer tells
            except StoreError as error:
                gone = trio.BrokenResourceError, trio.ClosedResourceError
                with suppress(*gone), trio.move_on_after(_LAST_WORDS_S, shield=True):
                    await self._stream.send_all(_instead(data, error))
                raise
            await self._stream.send_all(data)
        finally:
            self._sending.release()


def _instead(answers: bytes, error: StoreError) -> bytes:
    """What is said instead of answers that cannot be made good: nothing that they tell was stored."""
    numbers = dict.fromkeys(json.loads(line)["id"] for line in answers.splitlines())
    return b"".join(encode_line(_error(number, error)) for number in numbers)


def _error(number: int | None, error: NexusError | UnicodeError) -> Json:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "failed")
    details = {"state": error.state.value} if isinstance(error, WaitTimeout) else {}
    return {"id": number, "error": {"code": code, "message": str(error)[:_WORDS_MAX]} | details}
