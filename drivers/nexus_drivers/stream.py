"""A carrier on any byte stream: what drivers over TCP and serial lines share."""

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import trio

from nexus_drivers.framing import FrameSplitter, join_frames
from nexus_node.base.errors import CarrierLost, RemoteError
from nexus_node.base.limits import KIB
from nexus_node.ports.driver import Carrier

_T = TypeVar("_T")

BLOCK = 64 * KIB
"""Bytes asked for in one read."""
_WRITE = 16 * KIB
"""Bytes gathered for one write: few system calls, and still a short queue."""


async def until_lost(*directions: Callable[[], Awaitable[object]]) -> NoReturn:
    """Run the directions of a carrier until one is lost, end the others, and raise why.

    A direction ends by raising `CarrierLost` (`CarrierClosed` comes out of `next_frame`) or
    `RemoteError`; raised inside the attach context it tells the node what happened.
    """
    reasons: list[CarrierLost | RemoteError] = []

    async def run(direction: Callable[[], Awaitable[object]]) -> None:
        try:
            await direction()
        except (CarrierLost, RemoteError) as error:
            reasons.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for direction in directions:
            nursery.start_soon(run, direction)
    raise reasons[0]


async def move_frames(
    stream: trio.abc.Stream, carrier: Carrier, mtu: int, writing: Callable[[bool], None] = lambda _: None
) -> NoReturn:
    """Move frames both ways until the stream or the carrier ends; raises as `until_lost`. `writing` is told
    when a write begins and when it ends.

    A far end that does not read makes the write wait, and nothing is pulled meanwhile: that is the
    backpressure. A dead far end is noticed by the system or the link's keep-alive, not here.
    """

    async def receive() -> None:
        splitter = FrameSplitter(mtu)
        while block := await _guard(stream.receive_some(BLOCK)):
            for frame in splitter.parse_frames_untrusted(bytes(block)):
                carrier.deliver(frame)
                await trio.lowlevel.checkpoint()  # the answer to one frame goes while the next is taken in
        raise CarrierLost("the far end closed the connection")

    async def transmit() -> None:
        while True:
            frames = [await carrier.next_frame()]
            size = len(frames[0])
            while size < _WRITE and (frame := carrier.next_frame_nowait()) is not None:
                frames.append(frame)
                size += len(frame)
            writing(True)
            await _guard(stream.send_all(join_frames(frames)))
            writing(False)

    await until_lost(receive, transmit)


async def _guard(operation: Awaitable[_T]) -> _T:
    try:
        return await operation
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        why = cause.strerror if isinstance(cause, OSError) else str(error)
        raise CarrierLost(f"the connection broke: {why}") from error
