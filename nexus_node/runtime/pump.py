"""Keeps the engine going: rings carriers, runs its timer, commits, and hands its events out."""

from collections import deque
from collections.abc import Callable

import trio

from nexus_node.base.limits import EVENTS_BUFFERED, EVENTS_RECENT
from nexus_node.base.states import State
from nexus_node.engine.core import NodeCore
from nexus_node.engine.events import Event

_TIMER_STEP_S = 0.001
_LAZY_S = 0.25
"""How long writes may wait for a commit that nobody waits for, such as chunks of a file on its way here."""
GIVEN_UP_S = 5.0
"""How long a driver may take to close a carrier that was given up, before it is made to."""


class Bell:
    """Wakes one waiting task; a ring while nobody waits is kept."""

    def __init__(self) -> None:
        self._rung = False
        self._event: trio.Event | None = None

    def ring(self) -> None:
        self._rung = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if not self._rung:
            self._event = trio.Event()
            await self._event.wait()
            self._event = None
        self._rung = False

    def answered(self) -> bool:
        """Whether it had been rung, which is over with this."""
        rung, self._rung = self._rung, False
        return rung


class CarrierBell(Bell):
    """A carrier's, with an event for when the node has given it up."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = trio.Event()


class Timer:
    """One task's sleep, which others may cut short. The simulator has a quicker one."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    @property
    def at(self) -> float:
        """When the task wakes, or woke last."""
        return self._scope.deadline

    def bring_forward(self, at: float) -> None:
        """Wake the task then, which is sooner; nothing happens while it does not sleep."""
        self._scope.deadline = at

    async def sleep(self, until: float) -> None:
        with trio.CancelScope(deadline=until) as self._scope:
            await trio.sleep_forever()


class _Watch:
    """Somebody waiting for a message to come to a state."""

    def __init__(self, wanted: State) -> None:
        self.bell = Bell()
        self.state = wanted
        self.by = ""
        self._wanted = wanted

    def take(self, state: State, by: str) -> None:
        if state.settles(self._wanted):
            self.state, self.by = state, by
            self.bell.ring()


class Pump:
    """One engine's surroundings. Call `after` after every call into the engine."""

    def __init__(self, core: NodeCore, wall: Callable[[], float], timer: Timer | None = None) -> None:
        """`wall` gives seconds since 1970."""
        self.core = core
        self._time = trio.lowlevel.current_clock().current_time
        self._wall = wall
        self._bells: dict[int, CarrierBell] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        """Around each driver's use of a carrier."""
        self._timer = timer or Timer()
        """For the time at which the engine wants to be called."""
        self._rest_until = 0.0
        self._flush = Bell()
        self._urgent = Bell()
        self.recent: deque[Event] = deque(maxlen=EVENTS_RECENT)
        """What `nexus events` shows of the time before it was called."""
        self._followers: dict[int, trio.MemorySendChannel[Event]] = {}
        self._next_follower = 0
        self._watches: dict[str, list[_Watch]] = {}

    def now(self) -> float:
        """Monotonic seconds; keeps the engine's wall clock true on the way."""
        now = self._time()
        self.core.set_wall(self._wall() - now)
        return now

    def attached(self, cid: int, scope: trio.CancelScope) -> CarrierBell:
        """The bell of a new carrier, which rings when it may have something to send.

        `scope` ends its use: a driver may be stuck in a write and never ask for a further frame.
        """
        self._scopes[cid] = scope
        bell = self._bells[cid] = CarrierBell()
        return bell

    def detached(self, cid: int) -> None:
        del self._bells[cid], self._scopes[cid]

    def after(self) -> None:
        """Pass on what the engine wants: frames pulled, its timer set, commits made."""
        core = self.core
        while core.ready:
            cid = core.ready.pop()
            bell = self._bells.get(cid)
            if bell is None:
                continue
            bell.ring()
            if core.closed(cid) is not None:
                bell.closed.set()
                scope = self._scopes[cid]
                scope.deadline = min(scope.deadline, trio.current_time() + GIVEN_UP_S)
        wake_at = core.wake_at
        if wake_at < self._timer.at:
            self._timer.bring_forward(max(wake_at, self._rest_until))
        dirty = core.dirty
        if core.has_events or (dirty and core.promised):
            self._urgent.ring()
            self._flush.ring()
        elif dirty:
            self._flush.ring()

    async def run(self) -> None:
        """Timer and flush, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_timer)
            nursery.start_soon(self._run_flush)

    async def _run_timer(self) -> None:
        while True:
            now = self.now()
            if now >= self.core.wake_at:
                self.core.expire(now)
                self.after()
            self._rest_until = now + _TIMER_STEP_S
            await self._timer.sleep(max(self.core.wake_at, self._rest_until))

    async def _run_flush(self) -> None:
        while True:
            await self._flush.wait()
            if not self._urgent.answered():
                with trio.move_on_after(_LAZY_S):
                    await self._urgent.wait()
            await trio.lowlevel.checkpoint()  # whatever else is runnable joins this commit
            self.core.commit()
            if events := self.core.poll_events():
                self._publish(events)

    def _publish(self, events: list[Event]) -> None:
        self.recent += events
        if self._watches:
            for event in events:
                if event.event == "message_state":
                    for watch in self._watches.get(str(event.fields["id"]), ()):
                        watch.take(State(str(event.fields["state"])), str(event.fields["by"]))
        for number, channel in list(self._followers.items()):
            try:
                for event in events:
                    channel.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self._followers.pop(number).close()

    async def reach(self, message_id: str, wanted: State) -> tuple[State, str]:
        """Wait until that message has durably come to `wanted`, or has ended: its state, and by whom."""
        watch = _Watch(wanted)
        watches = self._watches.setdefault(message_id, [])
        watches.append(watch)
        try:
            await watch.bell.wait()
        finally:
            watches.remove(watch)
            if not watches:
                self._watches.pop(message_id, None)
        return watch.state, watch.by

    def follow(self) -> trio.MemoryReceiveChannel[Event]:
        """Events from now on. The channel ends if its reader falls behind by `limits.EVENTS_BUFFERED`."""
        send, receive = trio.open_memory_channel[Event](EVENTS_BUFFERED)
        self._followers[self._next_follower] = send
        self._next_follower += 1
        return receive
