"""A Meshtastic device as a modem: our packets as broadcasts on a private port (N17).

Sans-IO, after radio.md section 1. The device is set by its owner; this asks what it is set to. Broadcasts,
because the nodes encrypt end to end themselves: no keys to exchange, and every gateway hears them.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from math import inf

from nexus_firmware import meshtastic
from nexus_firmware.meshtastic import HEARTBEAT_S, TEXT_PORT, MeshtasticDecoder
from nexus_firmware.meshtastic_events import (
    BROADCAST,
    Ack,
    ChannelInfo,
    Event,
    Notification,
    Packet,
    QueueStatus,
    Rebooted,
    Remedy,
    remedy,
)
from nexus_firmware.meshtastic_presets import REGIONS, radio_settings
from nexus_firmware.meshtastic_session import Credits, Handshake
from nexus_firmware.meshtastic_stream import WAKE
from nexus_firmware.meshtastic_texts import Texts
from nexus_firmware.modem import Modem
from nexus_firmware.radio import RadioSettings
from nexus_node.base.errors import CarrierLost, LocalError

PREFIX = b"N\x00"
"""Before each of our frames: the port is everybody's. The second byte is a version."""
PAYLOAD_MAX = meshtastic.UNICAST_MTU
"""What every kind of Meshtastic packet holds."""
_HANDSHAKE_S, _TRIES = 10.0, 3
_HALF_FRAME_S = 1.0
_SILENT_S = 30.0
"""After a heartbeat."""
_PACE, _PACE_ALONE = 4.0, 2.0
"""Airtimes from one packet to the next, where others relay it and where they do not: the firmware's own
traffic keeps to a quarter of the channel as well."""
_BACK_OFF_S = 60.0
_HOPS = 3
DUTY_CYCLE = 9
"""The Routing.Error for it."""
_CUSTOM_HZ = {31: 31_250, 62: 62_500, 200: 203_125, 400: 406_250, 800: 812_500, 1600: 1_625_000}
"""Bandwidths the firmware rounds in its settings."""
_MINUTES = re.compile(r"again in (\d{1,4}) min")


class MeshtasticModem(Modem):
    """`channel` is an index or a name; `hops` None is the device's own limit; `draw` gives 32 random bits."""

    kind = "Meshtastic device"
    mtu = PAYLOAD_MAX - len(PREFIX)

    def __init__(self, channel: int | str, port: int, hops: int | None, draw: Callable[[], int]) -> None:
        super().__init__()
        self.region: str | None = None
        """What the firmware calls it; None where the device does not tell."""
        self._channel = channel
        self._index = 0
        self._port = port
        self._asked_hops = hops
        self._hops = _HOPS
        self._draw = draw
        self._decoder = MeshtasticDecoder()
        self._handshake = Handshake(0)
        self._credits = Credits()
        self._tries = 0
        self._handshake_until = inf
        self._half_until = inf
        self._beat_at = inf
        self._silent_at = inf
        self._next_at = 0.0
        self._why: str | None = None
        self._signs = False
        self.farewell = meshtastic.disconnect()
        self.texts: Texts | None = None
        """Plain texts, if somebody wants them."""

    # --- handshake ------------------------------------------------------------------------------
    def begin(self, now: float) -> None:
        self._tries = 0
        self._ask(now)

    def _ask(self, now: float) -> None:
        if self._tries >= _TRIES:
            raise CarrierLost(
                "no Meshtastic device answers on this port; check that it is the right one, and that no app"
                " is connected to it"
            )
        self._tries += 1
        self.ready = False
        self._credits.reset()
        self._handshake = Handshake(self._draw() or 1)
        self.write(WAKE + meshtastic.want_config(self._handshake.nonce))
        self._handshake_until = now + _HANDSHAKE_S
        self._beat_at = self._silent_at = inf

    def _complete(self, now: float) -> None:
        shaken = self._handshake
        self._index = self._find_channel(shaken.channels)
        self._find_settings()
        firmware = re.match(r"(\d+)\.(\d+)", shaken.firmware or "")
        self._signs = firmware is None or (int(firmware[1]), int(firmware[2])) >= (2, 8)
        self.ready = True
        self._tries = 0
        self._handshake_until = inf
        self._beat(now)  # its answer says what room there is

    def _find_channel(self, channels: dict[int, ChannelInfo]) -> int:
        wanted = self._channel
        used = {index: one for index, one in channels.items() if one.role}
        if not used:  # it has not told
            if isinstance(wanted, str):
                raise CarrierLost("the Meshtastic device tells no channels; write channel as a number")
            return wanted
        found = [index for index, one in used.items() if wanted in (index, one.name)]
        if not found:
            names = ", ".join(f"{index} ({one.name or 'default'})" for index, one in sorted(used.items()))
            raise CarrierLost(f"the Meshtastic device has no channel {wanted}; it has {names}")
        return found[0]

    def _find_settings(self) -> None:
        lora = self._handshake.lora
        if lora is None:
            self.region = None
            self.settings = radio_settings("EU_868", "LONG_FAST")
            return
        if lora.region == "UNSET":
            raise CarrierLost("the Meshtastic device has no region set; set it with its app")
        if not lora.tx_enabled:
            raise CarrierLost("the Meshtastic device is set not to send; switch that on with its app")
        self.region = lora.region
        self._hops = lora.hop_limit or _HOPS
        primary = self._handshake.channels.get(0)
        settings: RadioSettings | None
        try:
            if lora.use_preset:
                name = primary.name if primary is not None else ""
                settings = radio_settings(lora.region, lora.preset, name, lora.slot, lora.tx_power)
            else:
                settings = RadioSettings(
                    REGIONS[lora.region].start,
                    _CUSTOM_HZ.get(lora.bandwidth_khz, lora.bandwidth_khz * 1000),
                    lora.spreading_factor,
                    lora.coding_rate,
                    lora.tx_power,
                )
        except (KeyError, ValueError):
            settings = None
        if settings is None or not settings.possible:
            settings = radio_settings("EU_868", "LONG_FAST")
        if 0 < lora.frequency_mhz < inf:
            settings = replace(settings, frequency=round(lora.frequency_mhz * 1e6))
        self.settings = settings

    # --- in -------------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        self._half_until = inf
        self._silent_at = inf
        self._take_all(self._decoder.feed(data), now)
        if self._decoder.waiting:
            self._half_until = now + _HALF_FRAME_S

    def _take_all(self, events: list[Event], now: float) -> None:
        for event in events:
            self._take(event, now)

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Rebooted():
                self._tries = 0
                self._ask(now)
            case QueueStatus():
                self._credits.take(event)
                if self.texts is not None:
                    self.texts.take_status(event)
                self._note_error(event.error, now)
            case Ack():
                # What is wrong with a text is wrong with it alone, unless there is no air left.
                if self.texts is None or not self.texts.take_ack(event) or event.error == DUTY_CYCLE:
                    self._note_error(event.error, now)
            case Notification(text):
                minutes = _MINUTES.search(text)
                if minutes is not None:
                    self._hold(int(minutes[1]) * 60, f"the Meshtastic device says: {text}", now)
            case Packet():
                self._take_packet(event)
            case _ if not self.ready:
                self._handshake.take(event)
                if self._handshake.complete:
                    self._complete(now)

    def _take_packet(self, packet: Packet) -> None:
        if self.texts is not None and packet.port == TEXT_PORT:
            self.texts.take_packet(packet, self._handshake.my_number)
            return
        ours = packet.port == self._port and packet.channel == self._index and packet.to == BROADCAST
        if not ours or not packet.payload.startswith(PREFIX):
            self.foreign += 1
        elif self.ready:
            self.hear(packet.payload[len(PREFIX) :], packet.rssi_dbm, packet.snr_db)

    def _note_error(self, error: int, now: float) -> None:
        if not error:
            return
        words, what = remedy(error)
        if what is Remedy.BACK_OFF:
            self._hold(_BACK_OFF_S, f"the Meshtastic device holds packets back: {words}", now)
        elif what is Remedy.PERMANENT:
            self._why = f"the Meshtastic device refuses packets: {words}"

    def _hold(self, seconds: float, why: str, now: float) -> None:
        self._next_at, self._why = max(self._next_at, now + seconds), why

    # --- time -----------------------------------------------------------------------------------
    def _beat(self, now: float) -> None:
        self.write(meshtastic.heartbeat())
        self._credits.asked(now)
        self._beat_at = now + HEARTBEAT_S
        self._silent_at = now + _SILENT_S

    def expire(self, now: float) -> None:
        if now >= self._half_until:
            self._half_until = inf
            self._take_all(self._decoder.give_up(), now)
        if now >= self._handshake_until:
            self._ask(now)
        if now >= self._silent_at:
            raise CarrierLost("the Meshtastic device has fallen silent; reset it if it does not come back")
        if self.ready and (now >= self._beat_at or self._credits.heartbeat_due(now)):
            silent_at = self._silent_at
            self._beat(now)
            self._silent_at = min(silent_at, self._silent_at)
        if self.texts is not None:
            self.texts.expire(now)

    def next_deadline(self) -> float:
        credits = self._credits.next_deadline() if self.ready else None
        texts = self.texts.next_deadline() if self.texts is not None else None
        beat = min(one for one in (self._beat_at, credits, texts) if one is not None)
        return min(self._half_until, self._handshake_until, self._silent_at, beat)

    # --- out ------------------------------------------------------------------------------------
    def room_at(self, now: float) -> float:
        if not self.ready or not self._credits.room:
            return inf
        return max(now, self._next_at)

    def send(self, frame: bytes, now: float) -> None:
        self._why = None
        number = self._draw() or 1
        hops = self._hops if self._asked_hops is None else self._asked_hops
        packet = meshtastic.encode_packet(
            PREFIX + frame, packet_id=number, port=self._port, channel=self._index, hop_limit=hops
        )
        self.write(packet)
        self._credits.sent(number, now)
        self._next_at = now + (_PACE if hops else _PACE_ALONE) * self.airtime(len(frame))

    def send_text(self, to: int, text: bytes, packet_id: int, now: float) -> None:
        """Give it a text for one node, when it takes one."""
        if self.texts is None:
            raise LocalError("texts were not asked for")
        self._why = None
        hops = self._hops if self._asked_hops is None else self._asked_hops
        self.write(
            meshtastic.encode_packet(
                text, packet_id=packet_id, port=TEXT_PORT, to=to, want_ack=True, hop_limit=hops
            )
        )
        self._credits.sent(packet_id, now)
        self.texts.sent(packet_id, now)
        self._next_at = now + (_PACE if hops else _PACE_ALONE) * self.text_airtime(len(text))

    def text_airtime(self, size: int) -> float:
        """Seconds on the air of one transmission of a text of so many bytes."""
        if self.settings is None:
            return 0.0
        return meshtastic.packet_airtime(size, self.settings, pki=True)

    def name_of(self, number: int) -> str:
        """What a node of the mesh calls itself, if the device knows."""
        known = self._handshake.nodes.get(number)
        return known.long_name if known is not None else ""

    def airtime(self, size: int) -> float:
        if self.settings is None:
            return 0.0
        return meshtastic.packet_airtime(size + len(PREFIX), self.settings, signs=self._signs)

    @property
    def trouble(self) -> str | None:
        if self._why is not None:
            return self._why
        return None if self._credits.room else "the Meshtastic device's queue is full"

    @property
    def note(self) -> str | None:
        if self.region is not None:
            return None
        return "the Meshtastic device does not tell its settings: reckoned as LongFast within 10 % airtime"
