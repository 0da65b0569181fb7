"""Somebody with a Meshtastic device and no node of ours: a blocking client on the device's TCP port."""

import random
import socket
import time
from types import TracebackType
from typing import Self

from nexus_firmware import meshtastic
from nexus_firmware.meshtastic import TEXT_PORT, MeshtasticDecoder
from nexus_firmware.meshtastic_events import BROADCAST, Ack, AckKind, ConfigComplete, Event, MyNode, Packet

_NONCE = 4711


class MeshUser:
    """`texts` are those heard: (sender, to, text)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._decoder = MeshtasticDecoder()
        self.number = 0
        self.texts: list[tuple[int, int, str]] = []
        self.acks: list[Ack] = []
        self._ready = False
        self._socket.sendall(meshtastic.want_config(_NONCE))
        self.until(lambda: self._ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def say(self, text: str, to: int = BROADCAST, number: int | None = None) -> int:
        """Send a text; the packet's number. The device takes one in two seconds."""
        number = number or random.getrandbits(32)
        packet = meshtastic.encode_packet(
            text.encode(), packet_id=number, port=TEXT_PORT, to=to, want_ack=to != BROADCAST
        )
        self._socket.sendall(packet)
        return number

    def tell(self, text: str, to: int, seconds: float = 90) -> None:
        """Say it to one node until its device acknowledges it: at first neither knows the other's key."""
        end = time.monotonic() + seconds
        while True:
            number = self.say(text, to)
            while not (found := [ack.kind for ack in self.acks if ack.packet_id == number]):
                assert time.monotonic() < end, f"no answer to {text!r}; heard {self.acks}"
                self.listen(0.1)
            if AckKind.EXPLICIT in found:
                return
            self._socket.sendall(meshtastic.heartbeat(announce=True))
            self.listen(2.5)

    def listen(self, seconds: float) -> None:
        """Take what comes within that time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(4096)
            except TimeoutError:
                return
            assert data, "the device closed the connection"
            for event in self._decoder.feed(data):
                self._take(event)

    def until(self, true, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not within {seconds} s; heard {self.texts}"
            self.listen(0.05)

    def _take(self, event: Event) -> None:
        match event:
            case MyNode(number):
                self.number = number
            case ConfigComplete(nonce) if nonce == _NONCE:
                self._ready = True
            case Packet() if event.port == TEXT_PORT:
                self.texts.append((event.sender, event.to, event.payload.decode()))
            case Ack():
                self.acks.append(event)
