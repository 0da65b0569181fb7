"""Meshtastic firmware 2.8 behind its stream: framing, handshake, queue status, refusals.

After `StreamAPI.cpp`, `PhoneAPI.cpp`, `MeshService.cpp` and `SerialConsole.cpp` of meshtastic/firmware
7754068 (radio.md sections 1.1, 1.2, 1.3 and 1.7). On a serial port it prints its log as text until the
first message it understands. Not here: administration, modules, position, files.
"""

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any

from nexus_firmware.emulate.air import Channel, Heard
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.mesh_handshake import VERSION, answer
from nexus_firmware.emulate.mesh_node import DUTY_CYCLE, MeshNode, NodeSettings, Refused
from nexus_firmware.emulate.mesh_queue import QUEUE_SIZE
from nexus_firmware.meshtastic_pb import protobufs

START1, START2, PAYLOAD_MAX, HEADER_LEN = 0x94, 0xC3, 512, 4
CLIENT_GONE_S = 900.0
PACKETS_FOR_HOST, STATUSES_FOR_HOST = 32, 2
TEXT_LINES_MAX = 64
RECENT_IDS = 20
TEXT, TELEMETRY, TRACEROUTE = 1, 67, 70
SLOW_PORTS = {3: 10.0, 8: 10.0, 11: 10.0, TELEMETRY: 10.0}
"""Seconds between two packets of a host on a port: position, waypoint, alert, telemetry."""
TEXT_PAUSE_S, TRACEROUTE_PAUSE_S = 2.0, 30.0
RATE_LIMIT = 38
METRICS_S = 60.0


class Meshtastic(Firmware):
    """`minimal` leaves out of the handshake what a client can do without. `over_tcp`: no text, ever."""

    kind = "meshtastic"

    def __init__(
        self,
        rng: Random,
        settings: NodeSettings,
        *,
        boot_s: float = 0.5,
        minimal: bool = False,
        over_tcp: bool = False,
        says_rebooted: bool = True,
    ) -> None:
        super().__init__(rng)
        self.settings = settings
        self._boot_s = boot_s
        self._minimal = minimal
        self.over_tcp = over_tcp
        self._says_rebooted = says_rebooted
        self.node = MeshNode(settings, rng, self._deliver, self.send)
        self.boot(0.0)

    def boot(self, now: float) -> None:
        self.silence()
        known = self.node.nodes
        self.node = MeshNode(self.settings, self.rng, self._deliver, self.send)
        self.node.nodes = known
        self._now = now
        self._up_at: float | None = now + self._boot_s
        self._rx = bytearray()
        self._text: deque[bytes] = deque(maxlen=TEXT_LINES_MAX)
        self._protobufs = self.over_tcp
        self._queue_free = QUEUE_SIZE
        self._metrics_at = now + self._boot_s + METRICS_S
        self._packets: deque[Any] = deque()
        self._last: dict[int, float] = {}
        self._recent: deque[int] = deque(maxlen=RECENT_IDS)
        self._id = 0
        self._forget_client()

    def _forget_client(self) -> None:
        """Nothing but the asked-for is sent until a client asks for everything."""
        self._heard_at: float | None = None
        self._heartbeat = False
        self._handshake: Iterator[Any] | None = None
        self._live = False
        self._status: deque[Any] = deque(maxlen=STATUSES_FOR_HOST)
        self._notices: deque[Any] = deque(maxlen=STATUSES_FOR_HOST)

    def connected(self, now: float) -> None:
        self._rx.clear()
        self._forget_client()

    def reboot(self, now: float) -> None:
        """As a power cut does it."""
        self.boot(now)

    # --- from the host ------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        self._now = now
        if self._up_at is not None:
            return
        for byte in data:
            self._take(byte, now)
        self.wake(now)

    def _take(self, byte: int, now: float) -> None:
        self._rx.append(byte)
        size = len(self._rx)
        if (size == 1 and byte != START1) or (size == 2 and byte != START2):
            self._rx.clear()
        elif size >= HEADER_LEN:
            length = self._rx[2] << 8 | self._rx[3]
            if length > PAYLOAD_MAX:
                self._rx.clear()
            elif size == HEADER_LEN + length:
                payload = bytes(self._rx[HEADER_LEN:])
                self._rx.clear()
                self._message(payload, now)

    def _message(self, payload: bytes, now: float) -> None:
        message = protobufs().mesh.ToRadio()
        try:
            message.ParseFromString(payload)
        except protobufs().DecodeError:
            self._log("ERROR", "Error: ignore malformed toradio")
            return
        self._protobufs = True
        self._text.clear()
        self._heard_at = now
        match message.WhichOneof("payload_variant"):
            case "want_config_id":
                self._live = False
                self._handshake = answer(self.node, message.want_config_id, minimal=self._minimal)
            case "heartbeat" if message.heartbeat.nonce == 1:
                self.node.announce_at, self.node.asks = now, True
            case "heartbeat":
                self._heartbeat = True
            case "disconnect":
                self._forget_client()
            case "packet":
                self._packet(message.packet, now)

    def _packet(self, packet: Any, now: float) -> None:
        if packet.id:
            if packet.id in self._recent:
                return
            self._recent.append(packet.id)
        else:
            packet.id = self.node.new_id()
        if not packet.HasField("decoded"):
            self._tell_status(packet.id, 0)
            return
        port = packet.decoded.portnum
        since = now - self._last.get(port, float("-inf"))
        if port == TEXT and since < TEXT_PAUSE_S:
            self._tell_status(packet.id, 0)
            self.node.report(packet.id, RATE_LIMIT, packet.channel)
            return
        if since < SLOW_PORTS.get(port, 0.0):
            self._tell_status(packet.id, 0)
            return
        if port == TRACEROUTE and since < TRACEROUTE_PAUSE_S:
            self._tell_status(packet.id, 0)
            self._notify(packet.id, "TraceRoute can only be sent once every 30 seconds")
            return
        self._last[port] = now
        found = self.node.send(packet, now)
        if isinstance(found, Refused):
            if found.error == DUTY_CYCLE:
                minutes = found.silent_minutes
                self._notify(packet.id, f"Duty cycle limit exceeded. You can send again in {minutes} mins")
            self.node.report(packet.id, found.error, packet.channel)
            self._tell_status(packet.id, found.error)
        else:
            self._tell_status(packet.id, found)

    # --- to the host --------------------------------------------------------------------------------
    def _log(self, level: str, words: str) -> None:
        if not self._protobufs:
            self._text.append(f"{level:<5} | ??:??:?? {int(self._now)} {words}\r\n".encode())

    def _status_message(self, packet_id: int, error: int) -> Any:
        self._queue_free = self.node.queue.free
        return protobufs().mesh.QueueStatus(
            res=error, free=self._queue_free, maxlen=QUEUE_SIZE, mesh_packet_id=packet_id
        )

    def _tell_status(self, packet_id: int, error: int) -> None:
        self._status.append(self._status_message(packet_id, error))

    def _notify(self, packet_id: int, words: str) -> None:
        self._notices.append(
            protobufs().mesh.ClientNotification(reply_id=packet_id, level="WARNING", message=words)
        )

    def _deliver(self, packet: Any) -> None:
        if len(self._packets) >= PACKETS_FOR_HOST:
            if packet.decoded.portnum != TEXT:
                return
            self._packets.popleft()
        packet.rx_time = int(self._now)
        self._packets.append(packet)

    def output(self) -> bytes:
        piece = super().output()
        if piece or self._up_at is not None:
            return piece
        if not self._protobufs:
            return self._text.popleft() if self._text else b""
        if self._heartbeat:
            self._heartbeat = False
            return self._frame(queueStatus=self._status_message(0, 0))
        if self._handshake is not None:
            item = next(self._handshake, None)
            if item is not None:
                return self._frame(**item)
            self._handshake = None
            self._live = True
        if self._live:
            if self._status:
                return self._frame(queueStatus=self._status.popleft())
            if self._notices:
                return self._frame(clientNotification=self._notices.popleft())
            if self._packets:
                return self._frame(packet=self._packets.popleft())
        return b""

    def _frame(self, **fields: Any) -> bytes:
        self._id += 1
        payload: bytes = protobufs().mesh.FromRadio(id=self._id, **fields).SerializeToString()
        return bytes((START1, START2, len(payload) >> 8, len(payload) & 0xFF)) + payload

    # --- the air, and time --------------------------------------------------------------------------
    @property
    def up(self) -> bool:
        return self._up_at is None

    @property
    def channel(self) -> Channel | None:
        return None if self._up_at is not None else self.node.queue.channel

    def sense(self, until: float, now: float) -> None:
        super().sense(until, now)
        self.node.queue.sense(until, now)

    def hear(self, heard: Heard, now: float) -> None:
        self._now = now
        self._log("DEBUG", f"[RadioIf] Lora RX ({len(heard.payload)} bytes)")
        self.node.hear(heard, now)

    def wake(self, now: float) -> None:
        self._now = now
        if self._up_at is not None:
            if now < self._up_at:
                return
            self._up_at = None
            self.node.announce_at = now + self.rng.uniform(1.0, 3.0)
            if self._says_rebooted and not self.over_tcp:
                self.tell(self._frame(rebooted=True))
            self._log("INFO", f"//\\ E S H T /\\ S T / C   {VERSION}")
        if self._heard_at is not None and now - self._heard_at >= CLIENT_GONE_S:
            self._forget_client()
        if now >= self._metrics_at:
            self._metrics_at = now + METRICS_S
            self._deliver_metrics(now)
        self.node.wake(now)
        if self._queue_free == 0 and self.node.queue.free:
            self._tell_status(0, 0)

    def _deliver_metrics(self, now: float) -> None:
        """What the node tells its own host about its use of the air."""
        pb = protobufs()
        channel, sending = self.node.queue.utilisation(now)
        metrics = pb.telemetry.DeviceMetrics(
            channel_utilization=100 * channel, air_util_tx=100 * sending, uptime_seconds=int(now)
        )
        packet = pb.mesh.MeshPacket(to=0xFFFFFFFF, id=self.node.new_id())
        setattr(packet, "from", self.settings.number)
        packet.decoded.portnum = TELEMETRY
        packet.decoded.payload = pb.telemetry.Telemetry(device_metrics=metrics).SerializeToString()
        self._deliver(packet)

    def next_deadline(self) -> float | None:
        if self._up_at is not None:
            return self._up_at
        gone = None if self._heard_at is None else self._heard_at + CLIENT_GONE_S
        times = (self._metrics_at, gone, self.node.next_deadline())
        return min((time for time in times if time is not None), default=None)
