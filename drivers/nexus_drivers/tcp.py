"""The `tcp` driver: frames on TCP connections, accepted (`listen`) or made and made again (`connect`)."""

import errno
import math
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import trio

from nexus_drivers.options import Endpoint, Options
from nexus_drivers.sockets import Backoff, bind_failure, endpoint_of, plain_host, words
from nexus_drivers.stream import move_frames, until_lost
from nexus_node.base import limits
from nexus_node.base.errors import CarrierLost, ConfigError, RemoteError
from nexus_node.ports.driver import Carrier, DriverPort, LinkProfile

PROFILE = LinkProfile(mtu=limits.MTU_STREAM, bps=100e6, ordered=True)
UNSENT_MAX = 16 * limits.KIB
"""What the system may take that it cannot send yet: a text is behind no more than that, and one write."""
STALLED_S, LOOK_S = 1.2, 0.25
"""A far system that has acknowledged nothing for so long, and for four round trips and three timeouts, is
taken for gone until it does; how often to look while something waits for it."""
_INFO = struct.Struct("@3xBB3xI12xI28xI8xI")
"""Of `struct tcp_info` (tcp(7)): tcpi_probes, tcpi_backoff, tcpi_rto in us, tcpi_unacked, tcpi_last_ack_recv
in ms, tcpi_rtt in us."""
UNANSWERED_MS = 10_000
"""A far system that acknowledges nothing, or takes nothing, for so long is gone: the link would notice after
three keep-alives. Less would end the connection to a node that waits for a slow card."""
CONNECT_TIMEOUT_S = 15.0
RETRY_FIRST_S, RETRY_LAST_S = 0.2, 30.0
STEADY_S = 2.0
"""A connection that lived this long was a good one: the next attempt comes after the shortest pause."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EXHAUSTED_PAUSE_S = 1.0


class TcpDriver:
    """One listening address, or one far end to stay connected to."""

    scheme: ClassVar[str] = "tcp"

    def __init__(self, endpoint: Endpoint, *, dials: bool) -> None:
        self._endpoint = endpoint
        self._dials = dials
        self._open = 0

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Keys: `listen = "host:port"` or `connect = "host:port"`, exactly one."""
        options = Options(cls.scheme, table, ("listen", "connect"))
        listen = options.endpoint("listen", any_port=True)
        connect = options.endpoint("connect")
        if listen and connect:
            raise options.wrong("listen", f'stands beside connect = "{connect}"; make two carriers of them')
        if endpoint := listen or connect:
            return cls(endpoint, dials=connect is not None)
        raise ConfigError('tcp: listen and connect are both missing; write one of them as "host:port"')

    @property
    def label(self) -> str:
        return f"tcp:{self._endpoint}"

    async def run(self, port: DriverPort) -> None:
        await (self._connect(port) if self._dials else self._listen(port))

    # --- listening ------------------------------------------------------------------------------
    async def _listen(self, port: DriverPort) -> None:
        try:
            listeners = await trio.open_tcp_listeners(self._endpoint.port, host=self._endpoint.host)
        except OSError as error:
            raise bind_failure(self._endpoint, error) from error
        port.report("listening", ", ".join(str(endpoint_of(it.socket.getsockname())) for it in listeners))
        self._open = 0
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, port, nursery)

    async def _accept(self, listener: trio.SocketListener, port: DriverPort, nursery: trio.Nursery) -> None:
        where = str(endpoint_of(listener.socket.getsockname()))
        full = False
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno in EXHAUSTED:
                        port.report("waiting", f"{where} takes no connections for a moment: {words(error)}")
                        await trio.sleep(EXHAUSTED_PAUSE_S)
                        port.report("listening", where)
                    continue  # any other error is that one connection's own (accept(2))
                if self._open >= limits.TCP_CONNECTIONS:
                    if not full:
                        port.report("listening", f"{where}, turning away: {self._open} connections are open")
                    full = True
                    port.count("connections_turned_away")
                    await stream.aclose()
                    continue
                if full:
                    full = False
                    port.report("listening", where)
                self._open += 1
                nursery.start_soon(self._serve, stream, _accepted_label(stream), port)

    async def _serve(self, stream: trio.SocketStream, label: str, port: DriverPort) -> None:
        try:
            _set_up(stream)
            async with stream, port.attach(PROFILE, label, dialed=False) as carrier:
                await _carry(stream, carrier)
        except (CarrierLost, RemoteError):
            pass  # the node saw why as the attach context ended
        finally:
            self._open -= 1

    # --- connecting -----------------------------------------------------------------------------
    async def _connect(self, port: DriverPort) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_LAST_S)
        why: str | None = None
        while True:
            port.report("connecting", why)
            connected_at = math.inf
            try:
                async with await self._dial() as stream:
                    connected_at = trio.current_time()
                    async with port.attach(PROFILE, self.label, dialed=True) as carrier:
                        await _carry(stream, carrier)
            except (CarrierLost, RemoteError) as error:
                why = str(error)
            if trio.current_time() - connected_at > STEADY_S:
                backoff.reset()
            port.report("waiting", why)
            await trio.sleep(backoff.pause())

    async def _dial(self) -> trio.SocketStream:
        far = self._endpoint
        try:
            with trio.fail_after(CONNECT_TIMEOUT_S):
                stream = await trio.open_tcp_stream(far.host, far.port)
        except trio.TooSlowError:
            raise CarrierLost(f"{far} did not answer within {CONNECT_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise CarrierLost(f"{far} cannot be reached: {words(error)}") from error
        if stream.socket.getsockname() == stream.socket.getpeername():
            # On one host a retry can meet its own source port; keeping it would block the listener.
            await stream.aclose()
            raise CarrierLost(f"{far} cannot be reached: nothing listens there")
        _set_up(stream)
        return stream


async def _carry(stream: trio.SocketStream, carrier: Carrier) -> NoReturn:
    """Raises as `move_frames`."""
    watch = _Watch(stream, carrier)
    await until_lost(partial(move_frames, stream, carrier, PROFILE.mtu, watch.writing), watch.run)


class _Watch:
    """Tells the node while the far system acknowledges nothing: one that is there does at once, even for a
    node that is busy and reads nothing. The connection may still recover, so it stays."""

    def __init__(self, stream: trio.SocketStream, carrier: Carrier) -> None:
        self._stream = stream
        self._carrier = carrier
        self._writing = False
        self._written = trio.Event()

    def writing(self, writing: bool) -> None:
        """Whether something is being written."""
        self._writing = writing
        self._written.set()

    async def run(self) -> None:
        """Until cancelled, or as long as the system tells."""
        stalled = False
        while True:
            await self._written.wait()
            self._written = trio.Event()
            since = trio.current_time()
            waits = True
            while waits or self._writing:
                await trio.sleep(LOOK_S)
                told = _acknowledged(self._stream)
                if told is None:
                    return
                waits = told.waits
                quiet_s = min(told.quiet_s, trio.current_time() - since)
                if stalled != (waits and quiet_s >= told.patience_s):
                    stalled = not stalled
                    self._carrier.stalled(stalled)


class _Acknowledged(NamedTuple):
    """Whether something waits to be acknowledged, or more than one question whether there is room; the
    seconds since anything was; and how many to wait: a few segments may get lost in a row."""

    waits: bool
    quiet_s: float
    patience_s: float


def _acknowledged(stream: trio.SocketStream) -> _Acknowledged | None:
    """None where the system does not tell."""
    try:
        info = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        probes, backoff, timeout_us, unacknowledged, last_ms, round_trip_us = _INFO.unpack(info)
    except (AttributeError, OSError, struct.error):
        return None
    patience_s = max(STALLED_S, 4 * round_trip_us / 1e6, 3 * (timeout_us >> backoff) / 1e6)
    return _Acknowledged(unacknowledged > 0 or probes > 1, last_ms / 1000, patience_s)


def _set_up(stream: trio.SocketStream) -> None:
    """A short queue, and an end when nobody is there any more, where the system can."""
    for name, value in (("TCP_NOTSENT_LOWAT", UNSENT_MAX), ("TCP_USER_TIMEOUT", UNANSWERED_MS)):
        if (option := getattr(socket, name, None)) is not None:
            with suppress(OSError):
                stream.setsockopt(socket.IPPROTO_TCP, option, value)


def _accepted_label(stream: trio.SocketStream) -> str:
    """The far host alone: its port differs each time, and the label is what remembers who was met."""
    try:
        return f"tcp:{plain_host(stream.socket.getpeername()[0])}"
    except OSError:
        return "tcp:gone"
