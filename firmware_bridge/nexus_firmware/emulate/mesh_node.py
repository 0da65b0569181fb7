"""A Meshtastic node on the mesh: channels and keys, flooding, acknowledgements.

After `Router.cpp`, `FloodingRouter.cpp` and `ReliableRouter.cpp` of meshtastic/firmware 7754068 (radio.md
sections 1.3 to 1.6). Packets to one node are flooded too: next hops are not learnt.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from nexus_firmware.emulate.air import Heard, Transmission
from nexus_firmware.emulate.mesh_packet import (
    BROADCAST,
    PKI_OVERHEAD,
    AirPacket,
    MeshChannel,
    decrypt_from,
    encrypt_to,
    public_key,
)
from nexus_firmware.emulate.mesh_queue import MeshQueue
from nexus_firmware.meshtastic_pb import protobufs
from nexus_firmware.meshtastic_presets import PRESETS, REGIONS, radio_settings

AIR_MAX, HEADER_SIZE, SIGNATURE_SIZE = 255, 16, 64
SEEN_MAX = 256
MEET_PAUSE_S = 5.0
NODEINFO, ROUTING = 4, 5
NO_PKI_PORTS = {3, NODEINFO, ROUTING, 70}
CORE_PORTS = {1, 3, 4, 5, 6, 7, 8, 11, 12, 35, 65, 67, 70}
"""What a router still relays when it can read the port."""
MAX_RETRANSMIT, NO_CHANNEL, TOO_LARGE, DUTY_CYCLE = 5, 6, 7, 9
PKI_FAILED, PKI_UNKNOWN_KEY, PKI_NO_KEY = 34, 35, 39
QUEUE_FULL = 32
"""What `QueueStatus.res` says then (ERRNO_UNKNOWN)."""


@dataclass(frozen=True)
class NodeSettings:
    """What its owner chose. `deaf_to` are last bytes of node numbers it does not hear: for several hops where
    everybody is on one air."""

    number: int
    long_name: str = "Emulated node"
    short_name: str = "EMU"
    region: str = "EU_868"
    preset: str = "LONG_FAST"
    channels: tuple[MeshChannel, ...] = (MeshChannel(""),)
    role: str = "CLIENT"
    hop_limit: int = 3
    signs: bool = True
    pki: bool = True
    deaf_to: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Refused:
    """Why a packet of the host did not go: a Routing.Error, and how long the duty cycle forbids it."""

    error: int
    silent_minutes: int = 0


class MeshNode:
    """`deliver` takes a MeshPacket that the host should see."""

    def __init__(
        self,
        settings: NodeSettings,
        rng: Random,
        deliver: Callable[[Any], None],
        transmit: Callable[[Transmission, float], float],
    ) -> None:
        self.settings = settings
        self._rng = rng
        self._deliver = deliver
        radio = radio_settings(settings.region, settings.preset, settings.channels[0].name)
        self.queue = MeshQueue(radio, rng, transmit)
        default = PRESETS[settings.preset].channel_name
        self.channels = tuple(one if one.name else replace(one, name=default) for one in settings.channels)
        self._private = rng.randbytes(32)
        self.public_key = public_key(self._private) if settings.pki else b""
        self.nodes: dict[int, Any] = {}
        """User protobufs of the nodes heard, by number."""
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.announce_at: float | None = None
        self._announced_at = float("-inf")
        self.asks = False
        """Whether its next NodeInfo asks all who hear it for theirs, as a client may make it do."""

    def new_id(self) -> int:
        return self._rng.getrandbits(32) | 1

    def user(self) -> Any:
        number = self.settings.number
        return protobufs().mesh.User(
            id=f"!{number:08x}",
            long_name=self.settings.long_name,
            short_name=self.settings.short_name,
            hw_model="PORTDUINO",
            role=self.settings.role,
            public_key=self.public_key,
        )

    # --- from the host ------------------------------------------------------------------------------
    def send(self, packet: Any, now: float) -> Refused | int:
        """Take a MeshPacket of the host; `Refused`, or what `QueueStatus.res` says."""
        if packet.to == self.settings.number:
            return 0
        duty = REGIONS[self.settings.region].duty_cycle
        if duty < 1 and self.queue.utilisation(now)[1] > duty:
            return Refused(DUTY_CYCLE, self.queue.silent_minutes(now, duty))
        hop_limit = packet.hop_limit
        if packet.want_ack and not hop_limit:
            hop_limit = self.settings.hop_limit
        encrypted = self._encrypt(packet)
        if isinstance(encrypted, int):
            return Refused(encrypted)
        channel_hash, body = encrypted
        on_air = AirPacket(
            to=packet.to,
            sender=self.settings.number,
            id=packet.id,
            hop_limit=min(hop_limit, 7),
            hop_start=min(hop_limit, 7),
            # Nobody is to acknowledge a broadcast; that somebody relayed it does.
            want_ack=packet.want_ack and packet.to != BROADCAST,
            channel_hash=channel_hash,
            relay_node=self.settings.number & 0xFF,
            body=body,
        )
        if self.queue.free <= 0:
            return QUEUE_FULL
        if packet.want_ack:
            self.queue.await_ack(on_air, packet.channel)
        self._note(on_air)
        self.queue.put(on_air, now)
        return 0

    def _encrypt(self, packet: Any) -> tuple[int, bytes] | int:
        """(channel hash, body), or a Routing.Error."""
        data = packet.decoded
        data.bitfield = data.want_response << 1
        encoded: bytes = data.SerializeToString()
        if self.settings.signs and packet.to == BROADCAST and not packet.pki_encrypted:
            # A signature's field, which the package's protobufs do not know yet, and its size; not its worth.
            signed = encoded + b"\x52\x40" + self._rng.randbytes(SIGNATURE_SIZE)
            if HEADER_SIZE + len(signed) <= AIR_MAX:
                encoded = signed
        if HEADER_SIZE + len(encoded) > AIR_MAX:
            return TOO_LARGE
        number = self.settings.number
        if self.settings.pki and packet.to != BROADCAST and data.portnum not in NO_PKI_PORTS:
            if HEADER_SIZE + len(encoded) + PKI_OVERHEAD > AIR_MAX:
                return TOO_LARGE
            known = self.nodes.get(packet.to)
            if known is None or not known.public_key:
                return PKI_NO_KEY
            extra = self._rng.randbytes(4)
            return 0, encrypt_to(self._private, known.public_key, number, packet.id, extra, encoded)
        if packet.pki_encrypted:
            return PKI_FAILED
        if packet.channel >= len(self.channels):
            return NO_CHANNEL
        channel = self.channels[packet.channel]
        return channel.hash, channel.crypt(number, packet.id, encoded)

    # --- from the air -------------------------------------------------------------------------------
    def hear(self, heard: Heard, now: float) -> None:
        packet = AirPacket.decode(heard.payload)
        if packet is None or packet.relay_node in self.settings.deaf_to:
            return
        if packet.sender == self.settings.number:
            # Somebody relays a packet of ours: the implicit acknowledgement.
            channel = self.queue.acknowledged(packet.id)
            if channel is not None:
                self.report(packet.id, 0, channel)
            return
        first = self._note(packet)
        if not first:
            self.queue.drop(packet.sender, packet.id, relays_only=True)
            if packet.hop_start != packet.hop_limit:
                return
            # Its sender repeats it: the acknowledgement was lost, or nobody relayed it.
        index, data = self._decrypt(packet)
        to_us = packet.to == self.settings.number
        if first and data is not None and (to_us or packet.to == BROADCAST):
            self._take(packet, index, data, heard, now)
        if not to_us:
            self._relay(packet, data, heard, now)
        elif packet.want_ack and (data is None or not data.request_id):
            self._acknowledge(packet, index, data, now)

    def _decrypt(self, packet: AirPacket) -> tuple[int, Any | None]:
        """(channel index, Data)."""
        if packet.channel_hash == 0 and packet.to == self.settings.number and self.settings.pki:
            known = self.nodes.get(packet.sender)
            if known is not None and known.public_key:
                plain = decrypt_from(self._private, known.public_key, packet.sender, packet.id, packet.body)
                if plain is not None:
                    return 0, _data(plain)
        for index, channel in enumerate(self.channels):
            if channel.hash == packet.channel_hash:
                data = _data(channel.crypt(packet.sender, packet.id, packet.body))
                if data is not None:
                    return index, data
        return 0, None

    def _take(self, packet: AirPacket, channel: int, data: Any, heard: Heard, now: float) -> None:
        if data.portnum == NODEINFO:
            self._meet(packet.sender, data.payload, now)
            if data.want_response and self.announce_at is None and now - self._announced_at > MEET_PAUSE_S:
                self.announce_at = now + self._rng.uniform(0.5, 2.0)
        if data.portnum == ROUTING and data.request_id:
            self.queue.acknowledged(data.request_id)
        shown = protobufs().mesh.MeshPacket(
            to=packet.to,
            channel=channel,
            id=packet.id,
            hop_limit=packet.hop_limit,
            hop_start=packet.hop_start,
            want_ack=packet.want_ack,
            rx_snr=heard.snr_db,
            rx_rssi=int(heard.rssi_dbm),
            relay_node=packet.relay_node,
            pki_encrypted=packet.channel_hash == 0,
            decoded=data,
        )
        setattr(shown, "from", packet.sender)
        self._deliver(shown)

    def _meet(self, number: int, payload: bytes, now: float) -> None:
        user = protobufs().mesh.User()
        try:
            user.ParseFromString(payload)
        except protobufs().DecodeError:
            return
        new = number not in self.nodes
        self.nodes[number] = user
        if new and now - self._announced_at > MEET_PAUSE_S:
            # It will want our key too.
            self.announce_at = now + self._rng.uniform(0.5, 2.0)

    def _acknowledge(self, packet: AirPacket, channel: int, data: Any | None, now: float) -> None:
        """The explicit acknowledgement; or a refusal of what cannot be read, on the primary channel."""
        error = 0
        if data is None:
            known = self.nodes.get(packet.sender)
            keyless = packet.channel_hash == 0 and (known is None or not known.public_key)
            error = PKI_UNKNOWN_KEY if keyless else NO_CHANNEL
        used = max(packet.hop_start - packet.hop_limit, 0)
        answer = protobufs().mesh.MeshPacket(
            to=packet.sender,
            channel=channel,
            id=self.new_id(),
            hop_limit=max(used, min(used + 2, self.settings.hop_limit)),
        )
        self._fill_routing(answer, packet.id, error)
        self.send(answer, now)

    def _relay(self, packet: AirPacket, data: Any | None, heard: Heard, now: float) -> None:
        if packet.hop_limit == 0 or self.settings.role == "CLIENT_MUTE":
            return
        router = self.settings.role == "ROUTER"
        if router and data is not None and data.portnum not in CORE_PORTS:
            return
        if self.queue.free > 0 and not self.queue.holds(packet.sender, packet.id):
            relayed = packet.relayed_by(self.settings.number)
            self.queue.put_relay(relayed, now, heard.snr_db, router=router)

    def _note(self, packet: AirPacket) -> bool:
        """Remember a packet; False when it was known."""
        key = (packet.sender, packet.id)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return True

    # --- to the host --------------------------------------------------------------------------------
    def report(self, packet_id: int, error: int, channel: int) -> None:
        """Tell the host what became of its packet: a Routing packet from and to this node."""
        number = self.settings.number
        packet = protobufs().mesh.MeshPacket(to=number, channel=channel, id=self.new_id(), priority="ACK")
        setattr(packet, "from", number)
        self._fill_routing(packet, packet_id, error)
        self._deliver(packet)

    def _fill_routing(self, packet: Any, request_id: int, error: int) -> None:
        packet.decoded.portnum = ROUTING
        packet.decoded.request_id = request_id
        packet.decoded.payload = protobufs().mesh.Routing(error_reason=error).SerializeToString()

    # --- time ---------------------------------------------------------------------------------------
    def wake(self, now: float) -> None:
        if self.announce_at is not None and now >= self.announce_at:
            self._announce(now)
        for packet_id, channel in self.queue.wake(now):
            self.report(packet_id, MAX_RETRANSMIT, channel)

    def _announce(self, now: float) -> None:
        """Broadcast NodeInfo."""
        self.announce_at = None
        self._announced_at = now
        packet = protobufs().mesh.MeshPacket(
            to=BROADCAST, id=self.new_id(), hop_limit=self.settings.hop_limit
        )
        packet.decoded.portnum = NODEINFO
        packet.decoded.payload = self.user().SerializeToString()
        packet.decoded.want_response, self.asks = self.asks, False
        self.send(packet, now)

    def next_deadline(self) -> float | None:
        times = (self.announce_at, self.queue.next_deadline())
        return min((time for time in times if time is not None), default=None)


def _data(plain: bytes) -> Any | None:
    data = protobufs().mesh.Data()
    try:
        data.ParseFromString(plain)
    except protobufs().DecodeError:
        return None
    return data if data.portnum else None
