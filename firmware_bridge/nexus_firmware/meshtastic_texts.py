"""Plain texts of a Meshtastic device: those heard, and what became of those given to it. Sans-IO.

After radio.md sections 1.3 and 1.5: one text in 2 s, else it is refused; a packet to one node is sent up to
three times by the device until that node itself acknowledges it. One that was merely repeated is not there.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from nexus_firmware.meshtastic_events import BROADCAST, Ack, AckKind, Packet, QueueStatus, Remedy, remedy

PAUSE_S = 2.2
_UNSAID_S = 15.0
"""A device that lives and has not refused a text for so long has it: its answer was lost on the line."""
_WAITING_MAX = 64
_KEY_UNKNOWN = (35, 39)
"""Routing.Errors that pass when the nodes have announced themselves to each other."""


@dataclass(frozen=True, slots=True)
class TextHeard:
    """A text; `direct` if it was to this node alone."""

    sender: int
    packet_id: int
    payload: bytes
    direct: bool


class Outcome(Enum):
    """What the device says of a text it was given."""

    TAKEN = "taken"
    REPEATED = "repeated"
    ACKNOWLEDGED = "acknowledged"
    RETRY = "retry"
    REFUSED = "refused"


class Texts:
    """The text side of one device, beside its frames."""

    def __init__(self) -> None:
        self.heard: deque[TextHeard] = deque(maxlen=_WAITING_MAX)
        self.outcomes: deque[tuple[int, Outcome, str]] = deque()
        """(packet id, outcome, words)."""
        self._out: dict[int, float | None] = {}
        """Packets given to the device, and until when it may say that it has them; None once it has."""
        self.next_at = 0.0
        """When the next text may go."""

    def take_packet(self, packet: Packet, my_number: int | None) -> None:
        """A packet on the port of texts."""
        if packet.payload and packet.sender != my_number and packet.to in (BROADCAST, my_number):
            self.heard.append(TextHeard(packet.sender, packet.id, packet.payload, packet.to == my_number))

    def sent(self, packet_id: int, now: float) -> None:
        """A text was given to the device."""
        self._out[packet_id] = now + _UNSAID_S
        while len(self._out) > _WAITING_MAX:
            del self._out[next(iter(self._out))]
        self.next_at = now + PAUSE_S

    def take_status(self, status: QueueStatus) -> None:
        """It said whether it takes a packet."""
        if status.packet_id in self._out:
            if status.error:
                self._fail(status.packet_id, status.error)
            else:
                self._taken(status.packet_id)

    def take_ack(self, ack: Ack) -> bool:
        """What became of a packet; False if it is no text of ours."""
        if ack.packet_id not in self._out:
            return False
        match ack.kind:
            case AckKind.REFUSED:
                self._fail(ack.packet_id, ack.error)
            case AckKind.IMPLICIT:
                self._taken(ack.packet_id)
                self.outcomes.append((ack.packet_id, Outcome.REPEATED, ""))
            case AckKind.EXPLICIT:
                self._taken(ack.packet_id)
                del self._out[ack.packet_id]
                self.outcomes.append((ack.packet_id, Outcome.ACKNOWLEDGED, ""))
        return True

    def _taken(self, packet_id: int) -> None:
        if self._out[packet_id] is not None:
            self._out[packet_id] = None
            self.outcomes.append((packet_id, Outcome.TAKEN, ""))

    def _fail(self, packet_id: int, error: int) -> None:
        del self._out[packet_id]
        words, what = remedy(error)
        permanent = what is Remedy.PERMANENT and error not in _KEY_UNKNOWN
        outcome = Outcome.REFUSED if permanent else Outcome.RETRY
        self.outcomes.append((packet_id, outcome, words))

    def expire(self, now: float) -> None:
        """Believe that it has what it has not refused."""
        for packet_id, until in list(self._out.items()):
            if until is not None and now >= until:
                self._taken(packet_id)

    def next_deadline(self) -> float | None:
        return min((until for until in self._out.values() if until is not None), default=None)
