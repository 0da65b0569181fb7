"""A bad line between an emulated board and its host: bytes lost, doubled or changed. trio."""

from random import Random

import trio


class BadLine(trio.abc.Stream):
    """The same stream with about `damage` of its bytes, in both directions, lost, doubled or changed."""

    def __init__(self, stream: trio.abc.Stream, damage: float, rng: Random) -> None:
        self._stream = stream
        self._damage = damage
        self._rng = rng

    def _spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self._rng.random() >= self._damage:
                out.append(byte)
                continue
            match self._rng.randrange(3):
                case 0:
                    pass
                case 1:
                    out += bytes((byte, byte))
                case _:
                    out.append(byte ^ 1 << self._rng.randrange(8))
        return bytes(out)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if spoilt := self._spoil(bytes(data)):
            await self._stream.send_all(spoilt)
        else:
            await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        while data := await self._stream.receive_some(max_bytes):
            if spoilt := self._spoil(bytes(data)):
                return spoilt
        return b""

    async def aclose(self) -> None:
        await self._stream.aclose()
