"""Every modem with an emulated board behind a line that spoils, loses, repeats and invents bytes: it goes on,
or says `CarrierLost`, and raises nothing else, for that would end the node."""

import random

import pytest

from nexus_node.base.errors import CarrierLost
from tests.emulators.bench import Bench
from tests.radio.radios import RADIOS


def spoilt(data: bytearray, dice: random.Random) -> bytes:
    for _ in range(dice.choice((0, 0, 1, 3))):
        if not data:
            break
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                del data[at]
            case 2:
                data[at:at] = dice.randbytes(dice.randrange(1, 9))
            case 3:
                data[at:] = data[at:] * 2
    if dice.random() < 0.05:
        data += dice.randbytes(40)
    return bytes(data)


def run(kind: str, seed: int) -> None:
    """Some minutes of a session."""
    dice, bench = random.Random(f"{kind} {seed}"), Bench()
    desk = bench.add(RADIOS[kind].make(random.Random(seed)))
    modem = RADIOS[kind].new().make_modem(0.1)
    now = 1.0
    bench.run(now)
    try:
        modem.begin(now)
        for _ in range(60):
            now += dice.choice((0.01, 0.1, 0.5, 3.0))
            bench.run(0.2)
            while (data := modem.poll_write()) is not None:
                desk.write(data)
            modem.receive(spoilt(bytearray(desk.read()), dice), now)
            while modem.next_deadline() <= now:
                modem.expire(now)
            assert len(modem.heard) <= 256 and (modem.trouble is None or modem.trouble)
            if modem.ready and modem.room_at(now) <= now:
                modem.send(dice.randbytes(dice.randrange(1, min(modem.mtu, 200) + 1)), now)
                assert modem.airtime(modem.mtu) > 0
    except CarrierLost as lost:
        assert str(lost)


@pytest.mark.parametrize("kind", RADIOS)
def test_a_modem_stands_a_bad_line(kind: str) -> None:
    for seed in range(40):
        run(kind, seed)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", RADIOS)
def test_a_modem_stands_2_000_bad_lines(kind: str) -> None:
    for seed in range(2000):
        run(kind, seed)
