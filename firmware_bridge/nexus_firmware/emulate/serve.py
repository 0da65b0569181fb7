"""Ports of emulated boards: a pty as a serial port, or TCP. trio."""

import os
import socket
import sys
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from hashlib import blake2b
from pathlib import Path

import trio

from nexus_firmware.emulate.board import Board
from nexus_node.base.errors import InputError


@asynccontextmanager
async def open_pty(link: Path | None = None) -> AsyncIterator[tuple[trio.abc.Stream, str]]:
    """A raw pty: the device's end as a stream, and the name under which programs open the other end.

    `link` becomes a symbolic link to it, for as long as it lives. One descriptor of the far end stays
    open, so that programs may come and go without the device seeing a hang-up. Raises `InputError` when
    `link` cannot be made, or is another emulator's.
    """
    master, slave = os.openpty()
    stream = trio.lowlevel.FdStream(master)
    claim = ExitStack()
    try:
        tty.setraw(slave)
        name = os.ttyname(slave)
        if link is not None:
            claim.enter_context(_claimed(link))
            _make_link(link, name)
        try:
            yield stream, str(link or name)
        finally:
            if link is not None and link.is_symlink() and os.readlink(link) == name:
                link.unlink()
    finally:
        claim.close()
        os.close(slave)
        await trio.aclose_forcefully(stream)


def _make_link(link: Path, name: str) -> None:
    if link.exists() and not link.is_symlink():
        raise InputError(f"{link} is there and is no link; name another path for the pty, or remove it")
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        fresh.symlink_to(name)
        fresh.replace(link)
    except OSError as error:
        raise InputError(
            f"cannot make the link {link} ({error.strerror}); name a path you may write"
        ) from error


@contextmanager
def _claimed(link: Path) -> Iterator[None]:
    """No other emulator makes that link meanwhile: the kernel keeps the claim as long as this process lives,
    and only that, so that a link left behind is replaced. On other systems nothing is claimed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        if sys.platform == "linux":
            path = os.fsencode(link.parent.resolve() / link.name)
            try:
                claim.bind(b"\0nexus-pty-" + blake2b(path, digest_size=16).hexdigest().encode())
            except OSError as error:
                raise InputError(
                    f"{link} is the port of another emulator; end that one, or name another path"
                ) from error
        yield


async def serve_pty(board: Board, link: Path | None, announce: Callable[[str], None]) -> None:
    """Give the board a serial port; `announce` gets its name, once the board has booted."""
    async with open_pty(link) as (stream, name), trio.open_nursery() as nursery:
        nursery.start_soon(board.serve, stream)
        await board.wait_up(True)
        announce(name)


async def serve_tcp(
    board: Board,
    host: str,
    port: int,
    announce: Callable[[str], None],
    *,
    newest_wins: bool,
    serve: Callable[[trio.SocketStream], Awaitable[None]] | None = None,
) -> None:
    """Give the board a TCP port for one client at a time, once it has booted; a reboot ends a connection.

    A second client takes the place of the first where `newest_wins`, else it is closed at once. `serve` is
    the board on a connection, `board.serve` unless given. Raises `InputError` when the port cannot be had.
    """
    serve = serve or board.serve
    current: list[trio.abc.Stream] = []

    async def accept(stream: trio.SocketStream) -> None:
        if current and not newest_wins:
            await stream.aclose()
            return
        for old in current:
            await trio.aclose_forcefully(old)
        current[:] = [stream]
        board.firmware.connected(trio.current_time())
        board.ring()
        try:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(hang_up, nursery.cancel_scope)
                await serve(stream)
                nursery.cancel_scope.cancel()
        finally:
            if current == [stream]:
                current.clear()

    async def hang_up(scope: trio.CancelScope) -> None:
        await board.wait_up(False)
        scope.cancel()

    await board.wait_up(True)
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot listen on {host}:{port} ({reason}); name another port") from error
    bound = listeners[0].socket.getsockname()
    announce(f"{bound[0]}:{bound[1]}")
    await trio.serve_listeners(accept, listeners)
