"""What a Meshtastic device says, as typed events (radio.md sections 1.2, 1.5 and 1.7)."""

from dataclasses import dataclass
from enum import Enum

BROADCAST = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class MyNode:
    """The number of the device's own node."""

    number: int


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node the device knows; `public_key` is empty where it has none, `hops_away` None where not known."""

    number: int
    user_id: str
    long_name: str
    short_name: str
    public_key: bytes
    hops_away: int | None


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel of the device; role 0 is disabled, 1 primary, 2 secondary. An empty key is none."""

    index: int
    name: str
    psk: bytes
    role: int


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """How its radio is set; `region` and `preset` are the firmware's names, `slot` 0 the default one."""

    region: str
    preset: str
    use_preset: bool
    bandwidth_khz: int
    spreading_factor: int
    coding_rate: int
    slot: int
    hop_limit: int
    tx_power: int
    tx_enabled: bool
    override_duty_cycle: bool
    frequency_mhz: float


@dataclass(frozen=True, slots=True)
class Metadata:
    """Its firmware's version as text."""

    firmware: str


@dataclass(frozen=True, slots=True)
class ConfigComplete:
    """The answer to the `want_config` of that nonce has ended."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The device has booted: ask for everything again."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Room in the device's transmit queue; `packet_id` is 0 when unasked, `error` when that was taken."""

    free: int
    size: int
    error: int
    packet_id: int


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet from the mesh that this node could read; `channel` is an index."""

    sender: int
    to: int
    channel: int
    port: int
    payload: bytes
    id: int
    request_id: int
    rssi_dbm: int | None
    snr_db: float | None
    hops_away: int | None
    pki: bool


class AckKind(Enum):
    """What an acknowledgement proves."""

    IMPLICIT = "relayed"
    """Somebody was heard repeating the packet. It is not delivered."""
    EXPLICIT = "delivered"
    """The destination's radio has it."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of the packet with that id; `error` is a Routing.Error, 0 but for REFUSED."""

    packet_id: int
    kind: AckKind
    error: int
    sender: int


@dataclass(frozen=True, slots=True)
class Notification:
    """Words for people; `reply_id` is the packet they are about, or 0."""

    text: str
    reply_id: int


@dataclass(frozen=True, slots=True)
class AirUse:
    """The device's own reckoning: share of the channel in use, and of an hour spent sending (0 to 1)."""

    channel: float
    sending: float


Event = (
    MyNode
    | KnownNode
    | ChannelInfo
    | LoraConfig
    | Metadata
    | ConfigComplete
    | Rebooted
    | QueueStatus
    | Packet
    | Ack
    | Notification
    | AirUse
)


class Remedy(Enum):
    """What a sender does about a packet that was refused."""

    RETRY = "retry"
    """When the other side is heard again, with a new packet id."""
    BACK_OFF = "back off"
    """Send nothing for a while: the air is used up, or it came too fast."""
    PERMANENT = "permanent"
    """Sending it again changes nothing: settings, keys or the packet are wrong."""


ROUTING_ERRORS = {
    1: ("no route to the destination", Remedy.RETRY),
    2: ("the next hop refused it", Remedy.RETRY),
    3: ("timed out on the way", Remedy.RETRY),
    4: ("the device has no radio for it", Remedy.PERMANENT),
    5: ("sent three times and nobody was heard repeating or acknowledging it", Remedy.RETRY),
    6: ("no channel fits; set the same channel and key on both sides", Remedy.PERMANENT),
    7: ("too large for one packet", Remedy.PERMANENT),
    8: ("no application answered there", Remedy.RETRY),
    9: ("the duty cycle of this hour is used up", Remedy.BACK_OFF),
    32: ("the destination does not understand it", Remedy.PERMANENT),
    33: ("not allowed; it must come over the admin channel", Remedy.PERMANENT),
    34: ("it cannot be encrypted to that node", Remedy.PERMANENT),
    35: ("the destination does not know this node's key", Remedy.PERMANENT),
    36: ("the admin session has expired", Remedy.PERMANENT),
    37: ("this node's key is not authorised to administer", Remedy.PERMANENT),
    38: ("sent too fast for that port", Remedy.BACK_OFF),
    39: ("the destination's key is not known here", Remedy.PERMANENT),
}
"""By Routing.Error of mesh.proto: words, and what to do."""


def remedy(error: int) -> tuple[str, Remedy]:
    """Words and remedy; errors of later firmware may pass, so they are tried again."""
    return ROUTING_ERRORS.get(error, (f"error {error}", Remedy.RETRY))
