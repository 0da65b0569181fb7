"""Acceptance tests of radio.md section 9 with the drivers themselves: A13, R5, R9, K6, K7."""

import random
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from nexus_drivers.probe import ProbePort, running
from nexus_firmware.emulate.air import Channel, Ether, Transmission
from nexus_firmware.emulate.faults import BadLine
from nexus_firmware.emulate.meshcore import MeshcoreModem
from nexus_node.base.errors import BadWire
from nexus_node.proto.session import Session
from nexus_node.wire.frames import SealedFrame, parse_frame_untrusted

from .bench import Bench, MemoryLine, on
from .delivery import Recorder
from .radios import RADIOS
from .test_faults import in_virtual_time, meet_slowly, pair

FRAMES = 500


class Lossy(BadLine):
    """Loses bytes while `bad` says so, and does nothing else to them."""

    def __init__(self, stream: trio.abc.Stream, rng: random.Random, bad: list[bool]) -> None:
        super().__init__(stream, 0.02, rng)
        self._bad = bad

    def _spoil(self, data: bytes) -> bytes:
        return bytes(byte for byte in data if not self._bad[0] or self._rng.random() >= self._damage)


def sessions() -> tuple[Session, Session]:
    keys = bytes(32), bytes((1,)) * 32
    return Session(keys[0], keys[1], b"", 7, 0.0), Session(keys[1], keys[0], b"", 7, 0.0)


def opened(session: Session, frame: bytes) -> bytes | None:
    """What the link makes of a frame."""
    try:
        parsed = parse_frame_untrusted(frame)
        return session.open(parsed, 0.0) if isinstance(parsed, SealedFrame) else None
    except BadWire:
        return None


@pytest.mark.parametrize(
    "kind",
    [
        "meshcore_kiss",
        "e22",
        *(pytest.param(one, marks=pytest.mark.soak) for one in ("rnode", "meshtastic", "rylr998")),
    ],
)
def test_a13_500_frames_each_way_with_every_fiftieth_byte_lost(kind: str) -> None:
    """Short sealed frames, so that some do come through. Not one that was changed opens."""

    async def main() -> None:
        radio = RADIOS[kind]
        async with trio.open_nursery() as nursery:
            bench, bad, dice = Bench(nursery), [False], random.Random(5)
            lines = [
                bench.add(radio.make(random.Random(n)), lambda stream: Lossy(stream, dice, bad))
                for n in (1, 2)
            ]
            ports = [ProbePort(), ProbePort()]
            async with (
                running(on(lines[0], radio.new()), ports[0]),
                running(on(lines[1], radio.new()), ports[1]),
            ):
                await meet_slowly(*ports)
                bad[0] = True
                ends = sessions()
                sent: list[set[bytes]] = [set(), set()]
                got: list[list[bytes]] = [[], []]
                for number in range(FRAMES):
                    for side in (0, 1):
                        frame = ends[side].seal(b"%d from %d" % (number, side))
                        sent[side].add(frame)
                        for carrier in ports[side].carriers:
                            carrier.send(frame)
                        await trio.sleep(2)
                        with trio.move_on_after(20):
                            while any(carrier.offered for carrier in ports[side].carriers):
                                await trio.sleep(0.5)
                    for side in (0, 1):
                        for carrier in ports[side].carriers:
                            got[side] += carrier.received
                            carrier.received.clear()
                await trio.sleep(60)
                bad[0] = False
                through = 0
                for side in (0, 1):
                    here, there = ends[side], sent[1 - side]
                    got[side] += [one for carrier in ports[side].carriers for one in carrier.received]
                    for frame in got[side]:
                        text = opened(here, frame)
                        assert text is None or frame in there
                        through += text is not None
                assert through, "nothing came through at all"
                await meet_slowly(*ports)
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


def test_r9_halves_of_others_are_never_mixed_with_ours() -> None:
    """Frames of 255 to 500 bytes, each two LoRa packets, with split packets of strangers in between. Where a
    stranger's has the same of sixteen numbers the firmware cannot know; the link's seal does."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            ether = Ether()
            bench = Bench(nursery, ether)
            near, far = pair(bench, "rnode")
            here, there = ProbePort(), ProbePort()
            radio = RADIOS["rnode"]
            async with running(on(near, radio.new()), here), running(on(far, radio.new()), there):
                a, b = await meet_slowly(here, there)
                dice, sent = random.Random(9), []
                ours, theirs = sessions()
                channel = Channel(869_525_000, 125_000, 8, 0x12)
                for size in range(255, 501, 7):
                    seal = len(ours.seal(b""))
                    sent.append(ours.seal(dice.randbytes(size - seal)))
                    a.send(sent[-1])
                    await trio.sleep(dice.uniform(0, 1.5))
                    head = bytes((dice.randrange(16) << 4 | dice.randrange(2),))
                    packet = Transmission(channel, head + dice.randbytes(dice.randrange(1, 255)), 5, 18)
                    ether.transmit(None, packet, trio.current_time())
                    for board in bench.boards:
                        board.ring()
                    await trio.sleep(dice.uniform(0, 3))
                await trio.sleep(60)
                whole = [frame for frame in b.received if frame in sent]
                assert len(sent) / 4 < len(whole) < len(sent), "the strangers disturbed nobody, or all"
                for frame in b.received:
                    assert (opened(theirs, frame) is not None) == (frame in sent)
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


def test_r5_a_crowd_never_overfills_the_queues_of_its_boards() -> None:
    """Four who always have something to send: no board holds more than 4 packets or 3,000 bytes, though each
    waits for all others; and the air is used."""

    async def main() -> None:
        radio, most = RADIOS["rnode"], [0, 0]
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            ether = Recorder()
            bench = Bench(nursery, ether)
            ports = []
            for number in range(4):
                line = bench.add(radio.make(random.Random(number)))
                firmware = line.board.firmware

                def receive(data: bytes, now: float, firmware=firmware, take=firmware.receive) -> None:
                    take(data, now)
                    waiting = [*firmware._queue, *firmware._flushing]
                    unread = bytes(firmware._unread)
                    packets = len(firmware._queue) + (len(firmware._flushing) + 1) // 2
                    packets += unread.count(b"\xc0\x00")
                    most[:] = max(most[0], packets), max(most[1], len(unread) + sum(map(len, waiting)))

                firmware.receive = receive
                driver = on(line, radio.new(frequency=915_000_000, region="US915"))
                ports.append(ProbePort())
                await stack.enter_async_context(running(driver, ports[-1]))
            await trio.sleep(10)
            dice = random.Random(5)
            for port in ports:
                (carrier,) = port.carriers
                carrier.send_from(iter(lambda: dice.randbytes(dice.choice((20, 160, 500))), None))
            begin = trio.current_time()
            await trio.sleep(300)
            assert most[0] <= 4 and most[1] <= 3000
            assert sum(airtime for at, airtime in ether.sent if at >= begin) > 0.6 * 300
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


class Slow(BadLine):
    """The host's end reads nothing while `bad` says so: the board's frames pile up in it."""

    def __init__(self, stream: trio.abc.Stream, stuck: list[trio.Event]) -> None:
        super().__init__(stream, 0.0, random.Random(0))
        self._stuck = stuck

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stuck[0].wait()
        await super().send_all(data)


def test_k6_a_driver_whose_port_was_stuck_goes_on_where_it_was() -> None:
    """The modem keeps two frames for a host that does not read, and says that it is busy; nothing is lost
    that the driver was told has gone, and it goes on by itself."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            stuck = [trio.Event()]
            stuck[0].set()
            lines: list[MemoryLine] = [
                bench.add(MeshcoreModem(random.Random(1)), lambda stream: Slow(stream, stuck)),
                bench.add(MeshcoreModem(random.Random(2))),
            ]
            radio = RADIOS["meshcore_kiss"]
            here, there = ProbePort(), ProbePort()
            async with running(on(lines[0], radio.new()), here), running(on(lines[1], radio.new()), there):
                await meet_slowly(here, there)
                for turn in range(5):
                    (a,), (b,) = here.carriers, there.carriers
                    stuck[0] = trio.Event()
                    frames = [b"%d of turn %d" % (number, turn) for number in range(10)]
                    a.send(*frames[:5])
                    b.send(*frames[5:])
                    await trio.sleep(30)
                    stuck[0].set()
                    await trio.sleep(30)
                    a, b = await meet_slowly(here, there)
                    await trio.sleep(10)  # what they said to meet is through
                    before = len(b.received)
                    a.send(b"after turn %d" % turn)
                    await trio.sleep(60)
                    assert b.received[before:] == [b"after turn %d" % turn]
                    assert set(a.received) | set(b.received) <= {
                        *(b"%d of turn %d" % (number, one) for number in range(10) for one in range(5)),
                        *(b"after turn %d" % one for one in range(5)),
                    }
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


@pytest.mark.parametrize("size", [1, 20, 160, 255])
def test_k7_the_driver_reckons_the_airtime_that_the_modem_keeps(size: int) -> None:
    """It never asks: its own formula and what goes on the air are the same to the millisecond."""

    async def main() -> None:
        took: list[float] = []

        class Watched(Ether):
            def transmit(self, station: object, transmission: Transmission, now: float) -> None:
                if len(transmission.payload) == size:
                    took.append(transmission.airtime)
                super().transmit(station, transmission, now)  # type: ignore[arg-type]

        async with trio.open_nursery() as nursery:
            bench = Bench(nursery, Watched())
            near, far = pair(bench, "meshcore_kiss")
            radio = RADIOS["meshcore_kiss"]
            here, there = ProbePort(), ProbePort()
            async with running(on(near, radio.new()), here), running(on(far, radio.new()), there):
                a, _ = await meet_slowly(here, there)
                took.clear()
                a.send(bytes(size))
                await trio.sleep(10)
                assert a.profile.airtime is not None
                assert took and took[0] == pytest.approx(a.profile.airtime(size), abs=0.001)
            nursery.cancel_scope.cancel()

    in_virtual_time(main)
