"""MeshCore's companion firmware 1.17: its frames, its channels, and what goes on channels as on the air.

After `MyMesh.cpp` of `examples/companion_radio`, `Utils.cpp` and `Dispatcher.cpp` (radio.md sections 4.1b
and 4.2). Here is what a host needs for datagrams and texts on channels; no contacts, adverts or repeaters.
"""

import hashlib
import hmac
from collections import deque
from random import Random

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from nexus_firmware.emulate.air import Channel, Heard, Transmission
from nexus_firmware.emulate.firmware import Firmware

SYNC_WORD = 0x12
FRAME_MAX, DATA_MAX = 176, 163
OFFLINE_QUEUE, SEND_QUEUE = 16, 16
PROTOCOL = 11
PUBLIC = bytes.fromhex("8b3387e9c5cdea6ac9e5edbaa115cd72")
GROUP_TEXT_FLOOD, GROUP_DATA_FLOOD = 0x15, 0x19
"""Version 1, payload types 5 and 6, route by flood."""
NAME, TEXT_MAX, CHANNELS_MAX = "Emulated", 133, 8
BUSY_RETRY_S = 0.2
NOT_FOUND, TABLE_FULL, BAD_VALUE, UNKNOWN = 2, 3, 6, 1


class Companion(Firmware):
    """A board with channels beside the public one; `radio` is Hz, Hz, spreading factor, coding rate."""

    kind = "companion"

    def __init__(
        self,
        rng: Random,
        *,
        channels: tuple[tuple[str, bytes], ...] = (("nexus", b"a channel's key."),),
        radio: tuple[int, int, int, int] = (869_618_000, 62_500, 8, 8),
        boot_s: float = 0.3,
    ) -> None:
        super().__init__(rng)
        self._channels = [("Public", PUBLIC), *channels]
        self._radio = radio
        self._boot_s = boot_s
        self._key = rng.randbytes(32)
        self._seen: deque[bytes] = deque(maxlen=128)
        self.boot(0.0)

    def boot(self, now: float) -> None:
        self.silence()
        self._up_at: float | None = now + self._boot_s
        self._rx = bytearray()
        self._offline: deque[bytes] = deque(maxlen=OFFLINE_QUEUE)
        self._queue: deque[bytes] = deque()
        self._next_at = 0.0

    @property
    def up(self) -> bool:
        return self._up_at is None

    # --- the host -----------------------------------------------------------------------------------
    def receive(self, data: bytes, now: float) -> None:
        if self._up_at is not None:
            return
        for byte in data:
            self._rx.append(byte)
            if self._rx[0] != 0x3C:
                self._rx.clear()
            elif len(self._rx) >= 3:
                size = self._rx[1] | self._rx[2] << 8
                if not size:
                    self._rx.clear()
                elif len(self._rx) == 3 + size:
                    frame = bytes(self._rx[3 : 3 + min(size, FRAME_MAX)])
                    self._rx.clear()
                    self._command(frame)
        self.wake(now)

    def _say(self, frame: bytes) -> None:
        self.tell(b">" + bytes((len(frame) & 255, len(frame) >> 8)) + frame)

    def _command(self, frame: bytes) -> None:
        match frame[0]:
            case 1:
                frequency, bandwidth, factor, rate = self._radio
                numbers = (frequency // 1000).to_bytes(4, "little") + bandwidth.to_bytes(4, "little")
                head = bytes((5, 1, 20, 22)) + self._key + bytes(12)
                self._say(head + numbers + bytes((factor, rate)) + NAME.encode())
            case 22:
                self._say(
                    bytes((13, PROTOCOL, 50, 8)) + bytes(4) + b"14 Aug 2026".ljust(12, b"\0") + bytes(62)
                )
            case 31 if len(frame) > 1 and frame[1] < len(self._channels):
                name, key = self._channels[frame[1]]
                self._say(bytes((18, frame[1])) + name.encode().ljust(32, b"\0") + key)
            case 31:
                self._say(bytes((1, NOT_FOUND)))
            case 32 if len(frame) == 50 and frame[1] <= min(len(self._channels), CHANNELS_MAX - 1):
                name = frame[2:34].split(b"\0")[0].decode(errors="replace")
                self._channels[frame[1] : frame[1] + 1] = [(name, frame[34:50])]
                self._say(b"\0")
            case 32:
                self._say(bytes((1, NOT_FOUND)))
            case 3:
                self._send_text(frame)
            case 10:
                self._say(self._offline.popleft() if self._offline else b"\x0a")
            case 62:
                self._send(frame)
            case _:
                self._say(bytes((1, UNKNOWN)))

    def _send(self, frame: bytes) -> None:
        kind, data = int.from_bytes(frame[3:5], "little"), frame[5:]
        if len(frame) < 5 or frame[2] != 0xFF or not kind or len(data) > DATA_MAX:
            self._say(bytes((1, BAD_VALUE)))
        elif frame[1] >= len(self._channels):
            self._say(bytes((1, NOT_FOUND)))
        elif len(self._queue) >= SEND_QUEUE:
            self._say(bytes((1, TABLE_FULL)))
        else:
            self._seal(GROUP_DATA_FLOOD, frame[1], frame[3:5] + bytes((len(data),)) + data)

    def _send_text(self, frame: bytes) -> None:
        """On a channel: it goes with the time, a kind, and who writes."""
        text = frame[7:]
        if len(frame) < 8 or frame[1] or len(text) > TEXT_MAX:
            self._say(bytes((1, BAD_VALUE)))
        elif frame[2] >= len(self._channels):
            self._say(bytes((1, NOT_FOUND)))
        elif len(self._queue) >= SEND_QUEUE:
            self._say(bytes((1, TABLE_FULL)))
        else:
            self._seal(GROUP_TEXT_FLOOD, frame[2], frame[3:7] + b"\0" + f"{NAME}: ".encode() + text)

    def _seal(self, header: int, channel: int, plain: bytes) -> None:
        key = self._channels[channel][1]
        cipher = _aes(key).encryptor().update(plain + bytes(-len(plain) % 16))
        self._queue.append(bytes((header, 0)) + _hash(key) + _mac(key, cipher) + cipher)
        self._say(b"\0")

    # --- the air ------------------------------------------------------------------------------------
    @property
    def channel(self) -> Channel | None:
        frequency, bandwidth, factor, _ = self._radio
        return Channel(frequency, bandwidth, factor, SYNC_WORD) if self.up else None

    def hear(self, heard: Heard, now: float) -> None:
        packet = heard.payload
        if len(packet) < 2 or packet[0] not in (GROUP_TEXT_FLOOD, GROUP_DATA_FLOOD) or packet in self._seen:
            return
        self._seen.append(packet)
        body = packet[2 + (packet[1] & 63) :]
        for index, (_, key) in enumerate(self._channels):
            cipher = body[3:]
            if body[:1] != _hash(key) or body[1:3] != _mac(key, cipher) or len(cipher) % 16:
                continue
            plain = _aes(key).decryptor().update(cipher)
            head = bytes((int(heard.snr_db * 4) & 255, 0, 0, index, packet[1]))
            if packet[0] == GROUP_TEXT_FLOOD:
                # The kind and the time are told the other way round; zeros that filled a block are none.
                self._offline.append(b"\x11" + head + b"\0" + plain[:4] + plain[5:].rstrip(b"\0"))
            else:
                self._offline.append(b"\x1b" + head + plain[: 3 + plain[2]])
            self._say(b"\x83")
            return

    def wake(self, now: float) -> None:
        if self._up_at is not None:
            if now < self._up_at:
                return
            self._up_at = None
        channel = self.channel
        if self._queue and channel is not None and now >= max(self._next_at, self.sending_until):
            if now < self.busy_until:
                self._next_at = now + BUSY_RETRY_S * (0.5 + self.rng.random())
                return
            factor, rate = self._radio[2:]
            data = self._queue.popleft()
            self._seen.append(data)
            packet = Transmission(channel, data, rate, 32 if factor <= 8 else 16)
            # An airtime budget of one: silence for as long as it has sent.
            self._next_at = self.send(packet, now) + packet.airtime

    def next_deadline(self) -> float | None:
        if self._up_at is not None:
            return self._up_at
        return max(self._next_at, self.sending_until) if self._queue else None


def _aes(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # what the firmware does


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:1]


def _mac(key: bytes, cipher: bytes) -> bytes:
    return hmac.new(key.ljust(32, b"\0"), cipher, hashlib.sha256).digest()[:2]
