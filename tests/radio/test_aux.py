"""The AUX pin of an E22: while it is low nothing is written (E3). The emulated module holds it; it is read on
an input of the port, by RFC 2217 as a pty has none, and from the file of a GPIO."""

import os
import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from nexus_drivers.probe import ProbePort, meet, running
from nexus_firmware.cobs import OVERHEAD
from nexus_firmware.e22 import E22Settings
from nexus_firmware.e22_modem import E22Modem
from nexus_firmware.emulate.air import Channel, Transmission
from nexus_firmware.emulate.board import Board
from nexus_firmware.emulate.e22 import SYNC_WORD
from nexus_node.base.errors import CarrierLost

from .bench import Bench, Process, on
from .delivery import Recorder
from .radios import RADIOS
from .test_faults import in_virtual_time, meet_slowly

SLOW = E22Settings(channel=18, software_mode=True)
FULL = bytes(SLOW.mtu)


class Wire:
    """The pin of a board in this process; `stuck` makes it low for good."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.stuck = False

    def busy(self, stream: trio.abc.Stream) -> bool:
        return self.stuck or self._board.firmware.line_low


def ready(aux: str | None = "CTS") -> E22Modem:
    modem = E22Modem(SLOW, 850_125_000, aux=aux)
    modem.begin(0.0)
    while not modem.ready:
        modem.expire(modem.next_deadline())
    while modem.poll_write() is not None:
        pass
    return modem


def test_e3_aux_low_delays_the_next_write_and_high_ends_the_wait() -> None:
    modem = ready()
    now = 10.0
    modem.send(FULL, now)
    written = now + 10 * len(FULL) / 9600
    assert written < modem.room_at(now) < written + 0.1, "the module has it; AUX says the rest"
    now = modem.room_at(now)
    for _ in range(500):  # longer than the frame takes on the air
        modem.take_aux(True, now)
        assert now < modem.room_at(now) <= now + 0.011
        now = modem.room_at(now)
    modem.take_aux(False, now)
    assert modem.room_at(now) == pytest.approx(now + 0.002)
    modem.take_aux(False, now + 0.002)
    assert modem.room_at(now + 0.002) == now + 0.002


def test_e3_without_aux_the_airtime_and_a_tenth_pass() -> None:
    modem = ready(aux=None)
    modem.send(FULL, 10.0)
    on_air = SLOW.airtime(len(FULL) + OVERHEAD)
    assert 10.0 + 1.1 * on_air < modem.room_at(10.0) < 10.6 + 1.1 * on_air


@dataclass
class Found:
    """What happened to frames of an E22 that always had one to send."""

    sent: list[tuple[float, float]] = field(default_factory=list)
    """When each went on the air, and for how long."""
    written_while_low: int = 0
    arrived: list[bytes] = field(default_factory=list)


FRAMES = [random.Random(n).randbytes(len(FULL)) for n in range(20)]


def drive(*, wired: bool, strangers: bool = False) -> Found:
    found = Found()

    async def main() -> None:
        radio = RADIOS["e22"]
        keys = {"aux": "cts"} if wired else {}
        async with trio.open_nursery() as nursery:
            ether = Recorder()
            bench = Bench(nursery, ether)
            lines = [bench.add(radio.make(random.Random(n))) for n in (1, 2)]
            drivers = [on(line, radio.new(**keys)) for line in lines]
            for line, driver in zip(lines, drivers, strict=True):
                if wired:
                    driver.aux = Wire(line.board)
            firmware = lines[0].board.firmware
            take = firmware.receive

            def receive(data: bytes, now: float) -> None:
                found.written_while_low += firmware.line_low
                take(data, now)

            here, there = ProbePort(), ProbePort()
            async with running(drivers[0], here), running(drivers[1], there):
                a, b = await meet_slowly(here, there)
                await trio.sleep(30)
                before = len(b.received)
                ether.sent.clear()
                firmware.receive = receive
                a.send(*FRAMES)
                if strangers:
                    channel = Channel(868_125_000, 500_000, 11, SYNC_WORD)
                    for _ in range(8):
                        await trio.sleep(1.7)
                        packet = Transmission(channel, bytes(200), 5, 8)
                        ether.transmit(None, packet, trio.current_time())
                await trio.sleep(60)
                found.sent = [one for one in ether.sent if one[1] > SLOW.airtime(len(FULL)) - 0.01]
                found.arrived = b.received[before:]
            nursery.cancel_scope.cancel()

    in_virtual_time(main)
    return found


def test_e3_frames_follow_each_other_sooner_with_aux() -> None:
    """As soon as the module is through, rather than after a guess of how long that takes."""

    def pauses(found: Found) -> list[float]:
        assert found.arrived == FRAMES and len(found.sent) == len(FRAMES)
        return [late - early - airtime for (early, airtime), (late, _) in pairwise(found.sent)]

    guessed, told = drive(wired=False), drive(wired=True)
    assert guessed.written_while_low == told.written_while_low == 0
    through_port = 10 * (len(FULL) + OVERHEAD) / 9600
    assert max(pauses(told)) < through_port + 0.08 < min(pauses(guessed))


def test_e3_a_module_that_waits_for_strangers_is_given_nothing_meanwhile() -> None:
    """It listens before it talks, so that no airtime says when it is through. Only AUX does."""
    assert drive(wired=False, strangers=True).written_while_low > 0
    told = drive(wired=True, strangers=True)
    assert told.written_while_low == 0
    # What a stranger's packet overlaps is lost on the air; the pin has no part in that.
    assert len(told.sent) >= len(FRAMES) and set(told.arrived) <= set(FRAMES)


def test_e3_a_pin_that_stays_low_is_said_in_status() -> None:
    async def main() -> None:
        radio = RADIOS["e22"]
        async with trio.open_nursery() as nursery:
            line = Bench(nursery).add(radio.make(random.Random(1)))
            driver = on(line, radio.new(aux="cts"))
            wire = driver.aux = Wire(line.board)
            port = ProbePort()
            async with running(driver, port):
                await trio.sleep(10)
                (carrier,) = port.carriers
                before, wire.stuck = carrier.pulled, True
                carrier.send(b"waits", b"and this")
                await trio.sleep(60)
                assert carrier.pulled == before + len(b"waits"), (
                    "the one that it had asked for when the pin fell"
                )
                state, why = port.reports[-1]
                assert state == "held" and why is not None and "AUX pin (CTS)" in why
                wire.stuck = False
                await trio.sleep(5)
                assert carrier.pulled == before + len(b"waitsand this") and port.reports[-1] == ("up", None)
            nursery.cancel_scope.cancel()

    in_virtual_time(main)


@pytest.mark.parametrize("wired", ["cts", "file"])
def test_e3_the_pin_of_modules_in_processes_of_their_own(wired: str, tmp_path: Path) -> None:
    """Bytes exact both ways, and the pin is seen low: by pyserial's port over RFC 2217, and in a file."""
    seen: list[bool] = []

    async def main() -> None:
        radio = RADIOS["e22"]
        air = f"aux-{os.getpid()}"
        processes, drivers = [], []
        for name in "ab":
            pin = tmp_path / f"{name}.value"
            aux = "cts" if wired == "cts" else str(pin)
            options = ("--rfc2217", "127.0.0.1:0") if wired == "cts" else ("--aux", aux)
            one = Process(None if wired == "cts" else tmp_path / name, "e22", air, *options)
            processes.append(one)
            keys = radio.fast | {"air_rate": 4800, "port": one.where, "aux": aux}
            drivers.append(radio.driver.from_config(keys))
        try:
            real = drivers[0].aux.busy
            object.__setattr__(drivers[0].aux, "busy", lambda stream: seen.append(real(stream)) or seen[-1])
            here, there = ProbePort(), ProbePort()
            async with running(drivers[0], here), running(drivers[1], there):
                a, b = await meet(here, there)
                frames = [random.Random(n).randbytes(a.profile.mtu) for n in range(2)]
                for sender, receiver in ((a, b), (b, a)):
                    before = len(receiver.received)
                    sender.send(*frames)
                    with trio.fail_after(20):
                        while len(receiver.received) < before + len(frames):
                            await trio.sleep(0.02)
                    assert receiver.received[before:] == frames
        finally:
            for one in processes:
                one.end()

    trio.run(main)
    assert True in seen and False in seen


def test_a_pin_that_nobody_can_read_is_said_with_its_cure(tmp_path: Path) -> None:
    """A pty has no inputs; a GPIO must have been exported."""

    async def why(port: Path, aux: str) -> str:
        driver = RADIOS["e22"].driver.from_config(RADIOS["e22"].fast | {"port": str(port), "aux": aux})
        probe = ProbePort()
        with pytest.raises(CarrierLost) as lost, trio.fail_after(20):
            await driver.run(probe)
        return str(lost.value)

    async def main() -> None:
        process = Process(tmp_path / "e22", "e22", f"aux-{os.getpid()}")
        strange = tmp_path / "strange"
        strange.write_text("perhaps")
        try:
            assert "has no CTS; leave aux out, or use a GPIO" in await why(tmp_path / "e22", "cts")
            assert "export that GPIO as an input" in await why(tmp_path / "e22", str(tmp_path / "none"))
            assert "reads neither 0 nor 1" in await why(tmp_path / "e22", str(strange))
        finally:
            process.end()

    trio.run(main)
