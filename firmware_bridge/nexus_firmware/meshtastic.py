"""A Meshtastic device over its stream: events, what to write, the handshake, credits and sizes.

Sans-IO. After firmware 2.7 and 2.8 (radio.md section 1). Needs the `meshtastic` package, for its protobufs.
"""

from typing import Any

from nexus_firmware.meshtastic_events import (
    BROADCAST,
    Ack,
    AckKind,
    AirUse,
    ChannelInfo,
    ConfigComplete,
    Event,
    KnownNode,
    LoraConfig,
    Metadata,
    MyNode,
    Notification,
    Packet,
    QueueStatus,
    Rebooted,
)
from nexus_firmware.meshtastic_pb import protobufs
from nexus_firmware.meshtastic_presets import PREAMBLE
from nexus_firmware.meshtastic_stream import FrameFinder, encode_frame
from nexus_firmware.radio import RadioSettings

TEXT_PORT, ROUTING_PORT, TELEMETRY_PORT, PRIVATE_PORT = 1, 5, 67, 256
PORTS_FREE = range(256, 512)
"""Ports for private use, but for 257 (ATAK)."""
BROADCAST_MTU, UNICAST_MTU = 231, 219
"""What fits: a channel-encrypted packet, and one encrypted to a node's key (12 bytes more)."""
HEADER, PKI_EXTRA, SIGNATURE_EXTRA, AIR_MAX = 16, 12, 66, 255
CONFIG_ONLY_NONCE, NODES_ONLY_NONCE = 69420, 69421
"""A `want_config` with these is answered in part."""
HEARTBEAT_S = 300.0
"""A serial client that is silent for 15 minutes is thought gone."""


class MeshtasticDecoder:
    """Events out of the bytes a device sends, in pieces of any size. Noise never raises."""

    def __init__(self) -> None:
        self._frames: FrameFinder[Any] = FrameFinder(self._read)
        self._my_number: int | None = None
        self.skipped = 0
        """Messages that say nothing this codec knows, and packets this node could not read."""

    @property
    def noise(self) -> int:
        """Bytes between frames: the device's log, or damage."""
        return self._frames.noise

    @property
    def damaged(self) -> int:
        return self._frames.damaged

    @property
    def waiting(self) -> bool:
        """Whether a frame has begun and is not whole; after a second of silence call `give_up`."""
        return self._frames.waiting

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they come; return what they complete."""
        return self._events(self._frames.feed(data))

    def give_up(self) -> list[Event]:
        """Look for frames behind one that was cut off."""
        return self._events(self._frames.give_up())

    def _read(self, payload: bytes) -> Any:
        message = protobufs().mesh.FromRadio()
        try:
            message.ParseFromString(payload)
        except protobufs().DecodeError:
            return None
        # Of bytes that are no FromRadio but parse, fields nobody knows are what is left.
        return message if message.WhichOneof("payload_variant") or not payload else None

    def _events(self, messages: list[Any]) -> list[Event]:
        events = []
        for message in messages:
            event = self._event(message)
            if event is None:
                self.skipped += 1
            else:
                events.append(event)
        return events

    def _event(self, message: Any) -> Event | None:
        kind = message.WhichOneof("payload_variant")
        match kind:
            case "packet":
                return self._packet(message.packet)
            case "my_info":
                self._my_number = message.my_info.my_node_num
                return MyNode(message.my_info.my_node_num)
            case "node_info":
                return _known_node(message.node_info)
            case "channel":
                one = message.channel
                return ChannelInfo(one.index, one.settings.name, one.settings.psk, one.role)
            case "config" if message.config.HasField("lora"):
                return _lora_config(message.config.lora)
            case "metadata":
                return Metadata(message.metadata.firmware_version)
            case "config_complete_id":
                return ConfigComplete(message.config_complete_id)
            case "rebooted":
                return Rebooted()
            case "queueStatus":
                status = message.queueStatus
                return QueueStatus(status.free, status.maxlen, status.res, status.mesh_packet_id)
            case "clientNotification":
                one = message.clientNotification
                return Notification(one.message, one.reply_id)
        return None

    def _packet(self, packet: Any) -> Event | None:
        if not packet.HasField("decoded"):
            return None
        sender = getattr(packet, "from")
        data = packet.decoded
        if data.portnum == ROUTING_PORT and data.request_id:
            return self._ack(sender, data)
        if data.portnum == TELEMETRY_PORT and sender == self._my_number:
            return _air_use(data.payload)
        signal = packet.rx_rssi or packet.rx_snr
        # A start of 0 is what firmware before 2.3 sends, and says nothing.
        hops = packet.hop_start - packet.hop_limit if packet.hop_start else -1
        return Packet(
            sender=sender,
            to=packet.to,
            channel=packet.channel,
            port=data.portnum,
            payload=data.payload,
            id=packet.id,
            request_id=data.request_id,
            rssi_dbm=packet.rx_rssi if signal else None,
            snr_db=packet.rx_snr if signal else None,
            hops_away=hops if hops >= 0 else None,
            pki=packet.pki_encrypted,
        )

    def _ack(self, sender: int, data: Any) -> Ack | None:
        routing = protobufs().mesh.Routing()
        try:
            routing.ParseFromString(data.payload)
        except protobufs().DecodeError:
            return None
        error = routing.error_reason
        if error:
            kind = AckKind.REFUSED
        else:
            kind = AckKind.IMPLICIT if sender == self._my_number else AckKind.EXPLICIT
        return Ack(data.request_id, kind, error, sender)


def _known_node(info: Any) -> KnownNode:
    user = info.user
    hops = info.hops_away if info.HasField("hops_away") else None
    return KnownNode(info.num, user.id, user.long_name, user.short_name, user.public_key, hops)


def _lora_config(lora: Any) -> LoraConfig:
    def name(field: str) -> str:
        value = getattr(lora, field)
        known = lora.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(value)
        return known.name if known else str(value)

    return LoraConfig(
        region=name("region"),
        preset=name("modem_preset"),
        use_preset=lora.use_preset,
        bandwidth_khz=lora.bandwidth,
        spreading_factor=lora.spread_factor,
        coding_rate=lora.coding_rate,
        slot=lora.channel_num,
        hop_limit=lora.hop_limit,
        tx_power=lora.tx_power,
        tx_enabled=lora.tx_enabled,
        override_duty_cycle=lora.override_duty_cycle,
        frequency_mhz=lora.override_frequency,
    )


def _air_use(payload: bytes) -> AirUse | None:
    telemetry = protobufs().telemetry.Telemetry()
    try:
        telemetry.ParseFromString(payload)
    except protobufs().DecodeError:
        return None
    if not telemetry.HasField("device_metrics"):
        return None
    metrics = telemetry.device_metrics
    return AirUse(metrics.channel_utilization / 100, metrics.air_util_tx / 100)


# --- to the device ----------------------------------------------------------------------------------
def _frame(**fields: Any) -> bytes:
    return encode_frame(protobufs().mesh.ToRadio(**fields).SerializeToString())


def want_config(nonce: int) -> bytes:
    """Ask for everything; `ConfigComplete` with the nonce ends the answer. Never 0."""
    return _frame(want_config_id=nonce)


def heartbeat(*, announce: bool = False) -> bytes:
    """I am here; answered with a `QueueStatus`. Or let the device broadcast its NodeInfo, unanswered."""
    return _frame(heartbeat=protobufs().mesh.Heartbeat(nonce=int(announce)))


def disconnect() -> bytes:
    """The device forgets this client."""
    return _frame(disconnect=True)


def encode_packet(
    payload: bytes,
    *,
    packet_id: int,
    port: int = PRIVATE_PORT,
    to: int = BROADCAST,
    channel: int = 0,
    want_ack: bool = False,
    hop_limit: int = 3,
) -> bytes:
    """A packet for the mesh. The device ignores an id it has seen, so a repetition needs a new one.

    Raises ValueError for a payload that the device would refuse as too large.
    """
    limit = BROADCAST_MTU if to == BROADCAST else UNICAST_MTU
    if len(payload) > limit:
        raise ValueError(f"such a Meshtastic packet holds up to {limit} bytes, not {len(payload)}")
    mesh = protobufs().mesh
    packet = mesh.MeshPacket(
        to=to,
        channel=channel,
        id=packet_id,
        want_ack=want_ack,
        hop_limit=hop_limit,
        decoded=mesh.Data(portnum=port, payload=payload),
    )
    return _frame(packet=packet)


# --- what it costs ----------------------------------------------------------------------------------
def air_size(size: int, *, pki: bool = False, signs: bool = False) -> int:
    """Bytes on the air of `size` bytes on a private port.

    `signs`: firmware from 2.8 on signs its broadcasts where the signature fits.
    """
    data = 5 + (size + 2 + (size > 127) if size else 0)
    if pki:
        return HEADER + data + PKI_EXTRA
    signed = signs and HEADER + data + SIGNATURE_EXTRA <= AIR_MAX
    return HEADER + data + (SIGNATURE_EXTRA if signed else 0)


def packet_airtime(size: int, settings: RadioSettings, *, pki: bool = False, signs: bool = False) -> float:
    """Seconds of one transmission by this node. Relays repeat it; with `want_ack` so does the node, twice."""
    return settings.airtime(air_size(size, pki=pki, signs=signs), PREAMBLE)
