"""What a driver keeps about a Meshtastic device: the handshake, and room in its queue. Sans-IO."""

from nexus_firmware.meshtastic_events import (
    ChannelInfo,
    ConfigComplete,
    Event,
    KnownNode,
    LoraConfig,
    Metadata,
    MyNode,
    QueueStatus,
)


class Handshake:
    """Gathers the answer to one `want_config`; items may come in any order, and optional ones not at all."""

    def __init__(self, nonce: int) -> None:
        self.nonce = nonce
        self.my_number: int | None = None
        self.firmware: str | None = None
        self.lora: LoraConfig | None = None
        self.channels: dict[int, ChannelInfo] = {}
        self.nodes: dict[int, KnownNode] = {}
        self._ended = False

    NODES_MAX = 1024
    """A device knows 80 to 250 nodes."""

    @property
    def complete(self) -> bool:
        """Whether the device has said who it is, and that this is all."""
        return self._ended and self.my_number is not None

    def take(self, event: Event) -> None:
        """Note an event. The end of another handshake, from before a reconnect, counts for nothing."""
        match event:
            case MyNode(number):
                self.my_number = number
            case Metadata(firmware):
                self.firmware = firmware
            case LoraConfig():
                self.lora = event
            case ChannelInfo():
                self.channels[event.index] = event
            case KnownNode() if len(self.nodes) < self.NODES_MAX or event.number in self.nodes:
                self.nodes[event.number] = event
            case ConfigComplete(self.nonce):
                self._ended = True


class Credits:
    """Room in the device's transmit queue: what it said last, less what it was given since.

    It answers each packet with a `QueueStatus`; when one is missing for `patience` seconds a heartbeat gets
    another. `reserve` slots stay free for the device's own traffic. The device's queue takes 16.
    """

    def __init__(self, reserve: int = 2, patience: float = 5.0) -> None:
        self._reserve = reserve
        self._patience = patience
        self._free: int | None = None
        self._unanswered: dict[int, float] = {}
        """When each packet went that has no status yet."""
        self._asked_at: float | None = None

    @property
    def room(self) -> int:
        """How many packets may be written now; 0 until the device has said something."""
        return max((self._free or 0) - self._reserve - len(self._unanswered), 0)

    def sent(self, packet_id: int, now: float) -> None:
        """A packet was written."""
        self._unanswered[packet_id] = now

    def take(self, status: QueueStatus) -> None:
        """The device said how much room it has."""
        self._free = status.free
        if status.packet_id:
            self._unanswered.pop(status.packet_id, None)
        elif self._asked_at is not None:
            # The answer to a heartbeat counts what was written before it.
            self._unanswered = {one: at for one, at in self._unanswered.items() if at > self._asked_at}
            self._asked_at = None

    def asked(self, now: float) -> None:
        """A heartbeat was written."""
        self._asked_at = now

    def heartbeat_due(self, now: float) -> bool:
        """Whether a status is overdue, and not asked for already."""
        due = self.next_deadline()
        return due is not None and now >= due

    def next_deadline(self) -> float | None:
        """When to ask with a heartbeat if nothing comes."""
        if self._asked_at is not None:
            return self._asked_at + self._patience
        if self._unanswered:
            return min(self._unanswered.values()) + self._patience
        return None

    def reset(self) -> None:
        """The device rebooted, or is another: nothing is known."""
        self._free = None
        self._unanswered.clear()
        self._asked_at = None
