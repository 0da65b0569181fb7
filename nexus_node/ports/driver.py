"""The driver port: a driver is one coroutine that attaches carriers and moves frames.

A driver never decides what to send: it asks its carrier for the next frame when the medium is free
(links pull, nobody pushes). See docs/drivers.md.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol, Self

from nexus_node.base.duty import AirBudget
from nexus_node.base.ids import NodeId

HELD = "held"
"""The state of a driver whose carrier is attached but may not send for now; `why` says until when."""


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """What a carrier can do.

    `mtu` is the largest frame in bytes; `bps` bits per second. `shared` media let several
    neighbours hear each frame; `ordered` ones deliver in order and lose nothing while they live.
    `duty_cycle` is the fraction of time that may be spent sending, `airtime(n)` the seconds that
    n bytes take.
    """

    mtu: int
    bps: float
    half_duplex: bool = False
    shared: bool = False
    ordered: bool = False
    duty_cycle: float | None = None
    cost_per_byte: int = 0
    airtime: Callable[[int], float] | None = None
    pad: int = 0
    """Sealed frames are filled up to a multiple of so many bytes, or to the MTU; 0 leaves them (N3)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """How well a frame was heard; `snr_db` is None where the radio does not say."""

    rssi_dbm: float
    snr_db: float | None


class Carrier(Protocol):
    """An attached medium or connection, as its driver sees it."""

    async def next_frame(self) -> bytes:
        """Wait until something may go *now*, and return it.

        Raises `CarrierClosed` when the node has given this carrier up; the driver then closes it.
        What is returned counts as sent: it is transmitted at once or lost.
        """
        ...

    async def wait_closed(self) -> None:
        """Wait until the node gives this carrier up, and raise `CarrierClosed` then.

        For a driver that waits for its medium, and not in `next_frame`, and would be late otherwise.
        """
        ...

    def next_frame_nowait(self) -> bytes | None:
        """Return a further frame if one may go now, else None: for filling one write with several."""
        ...

    def deliver(self, frame: bytes, signal: Signal | None = None) -> None:
        """Hand up a received frame. Never raises because of what the frame holds."""
        ...

    def retune(self, profile: LinkProfile) -> None:
        """Say that what the carrier can do has changed."""
        ...

    def billed(self, seconds: float) -> None:
        """Say how much airtime the last frame really took."""
        ...

    def stalled(self, stalled: bool) -> None:
        """Say that the far end acknowledges nothing, though it should have for long; or does again. While it
        is so, the node sends by other ways, if there are any (N4). For carriers that are ordered."""
        ...


@dataclass(frozen=True, slots=True)
class ForeignText:
    """A text that a bridging radio heard. `sender` stands for a node of that mesh (`base.foreign`),
    `sender_name` is what it calls itself; `direct` if it was to this radio alone."""

    sender: NodeId
    sender_name: str
    packet_id: int
    text: bytes
    direct: bool


@dataclass(frozen=True, slots=True)
class TextPart:
    """What a bridging radio is to send to somebody of its mesh. `token` numbers the packet, 1 to 2^32 - 1."""

    to: NodeId
    text: bytes
    token: int


class TextFate(Enum):
    """What a radio says of a packet it was given."""

    TAKEN = "taken"
    """It will send it."""
    REPEATED = "repeated"
    """It has heard somebody repeat it, which says nothing of the recipient."""
    ACKNOWLEDGED = "acknowledged"
    """The recipient's radio says that it has it."""
    RETRY = "retry"
    REFUSED = "refused"
    """Sending it again changes nothing."""


class TextPort(Protocol):
    """What the node gives the driver of a bridging radio (docs/bridge.md)."""

    def next_text(self) -> TextPart | None:
        """What may go now, durable by then; the same until `took`."""
        ...

    async def wait(self) -> None:
        """Wait until `next_text` may say something else."""
        ...

    def took(self, part: TextPart) -> None:
        """The radio was given that part."""
        ...

    def fate(self, token: int, fate: TextFate, words: str = "") -> None:
        """What became of the packet of that number, and for a failure why."""
        ...

    def deliver(self, text: ForeignText) -> None:
        """Hand up a text. Never raises because of what it holds."""
        ...


class DriverPort(Protocol):
    """What the node gives a driver."""

    def attach(
        self, profile: LinkProfile, label: str, *, dialed: bool
    ) -> AbstractAsyncContextManager[Carrier]:
        """Attach a carrier for as long as the context lasts.

        `label` names the far end or medium for people and remembers who was met there, such as
        `tcp:192.0.2.7:4001`. `dialed` is true on the side that should open the handshake.
        Leaving the context, by any exception, detaches the carrier.
        """
        ...

    def knock(self, source: bytes, frame: bytes) -> bytes | bool:
        """Judge a frame from an unattached datagram source, keeping no state about it (N3).

        Returns bytes to send back to that source, True to attach a carrier for it and deliver this
        frame there, or False to drop it.
        """
        ...

    def bridge(self) -> AbstractContextManager[TextPort]:
        """Take part in the bridge of texts for as long as the context lasts."""
        ...

    def count(self, what: str) -> None:
        """Count something refused or dropped before it reached a carrier, by name, for `status`."""
        ...

    def report(self, state: str, why: str | None = None) -> None:
        """Set what `status` shows for this driver: `listening`, `connecting`, `waiting`, and why.

        `HELD` is shown for the carrier that is attached, and so is the `why` of `up`; others stand beside it.
        """
        ...

    def airtime(self, band: str, duty_cycle: float) -> AirBudget:
        """What this driver's radio may still send in a sub-band, over the last hour and over restarts.

        `band` names the sub-band, `duty_cycle` is what the law allows there; the owner's own counts instead
        if it is set. What goes out is to be noted there before it goes.
        """
        ...


class Driver(Protocol):
    """A link driver, registered under the entry-point group `nexus_node.drivers`."""

    scheme: ClassVar[str]
    """The name used in configuration, such as `tcp`."""

    @classmethod
    def from_config(cls, table: Mapping[str, Any]) -> Self:
        """Make a driver from its `[[carrier]]` table without the keys the node itself takes
        (`driver`, `label`, `bps`, `mtu`, `duty_cycle`).

        Raises `ConfigError` that names the key, the value and the cure.
        """
        ...

    @property
    def label(self) -> str:
        """What to call this driver in `status` when the owner gave no label."""
        ...

    async def run(self, port: DriverPort) -> None:
        """Work until cancelled. Returning, or raising, makes the supervisor start it again after a pause.

        `CarrierLost` is the ordinary way to say that the medium went away.
        """
        ...
