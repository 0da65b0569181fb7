"""Packets as short as a dwell time of 0.4 s leaves them: real nodes over boards, 20 bytes at a time (N2)."""

import random
from statistics import median

import pytest
import trio

from nexus_node.base.errors import ConfigError
from nexus_node.base.limits import MTU_MIN
from nexus_node.base.states import State
from nexus_sim.clock import virtual_run
from nexus_sim.world import open_world

from .bench import Bench, on
from .delivery import Recorder, a_text
from .radios import RADIOS

DWELL = {"frequency": 915_000_000, "bandwidth": 250_000, "region": "US915", "dwell": True}


def text_over(
    kind: str, spreading_factor: int, loss: float, seed: int
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds until a text of 160 bytes is known to be delivered, and all that went on the air."""

    async def main() -> tuple[float, list[tuple[float, float]]]:
        radio = RADIOS[kind]
        async with open_world(["alice", "bob"], seed) as world, trio.open_nursery() as nursery:
            dice = world.dice("loss")
            ether = Recorder(lost=lambda: dice.random() < loss)
            bench = Bench(nursery, ether)
            for name in world.nodes:
                line = bench.add(radio.make(random.Random(f"{seed} {name}")))
                driver = on(line, radio.new(**DWELL, spreading_factor=spreading_factor))
                world.nodes[name].drivers.append(driver)
                await world.start(name)
            alice, bob = world.nodes["alice"], world.nodes["bob"]
            alice.send(bob, "hello")
            with trio.fail_after(1800):
                while alice.outbox() != [State.DELIVERED]:
                    await trio.sleep(0.1)
            await trio.sleep(120)
            begin = trio.current_time()
            text = a_text(160, seed)
            alice.send(bob, text)
            with trio.fail_after(600):
                while alice.outbox()[-1] is not State.DELIVERED:
                    await trio.sleep(0.1)
            assert bob.inbox() == ["hello", text]
            nursery.cancel_scope.cancel()
        return trio.current_time() - begin, ether.sent

    random.seed(seed)  # what drivers draw from
    return virtual_run(main, seed)


@pytest.mark.parametrize(
    ("kind", "spreading_factor"), [("rnode", 10), ("meshcore_kiss", 11), ("rak3172", 10)]
)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_text_crosses_in_packets_within_the_dwell_time(
    kind: str, spreading_factor: int, loss: float
) -> None:
    radio = RADIOS[kind].new(**DWELL, spreading_factor=spreading_factor)
    modem = radio.make_modem(1.0)
    assert modem.airtime(MTU_MIN) > 0.4, "no link's frame fits one packet"
    took, sent = text_over(kind, spreading_factor, loss, 1)
    print(f"{kind} SF{spreading_factor} {loss:.0%}: {took:.1f} s")
    assert max(airtime for _, airtime in sent) <= 0.4
    assert took < 120


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "spreading_factor", "loss", "told_s"),
    [
        ("meshcore_kiss", 11, 0.0, (9.0, 11.6)),
        ("meshcore_kiss", 11, 0.1, (11.0, 25.4)),
        ("rnode", 10, 0.0, (2.5, 4.4)),
        ("rnode", 10, 0.1, (4.7, 106.9)),
    ],
)
def test_how_long_a_text_takes_is_as_docs_radio_tells(
    kind: str, spreading_factor: int, loss: float, told_s: tuple[float, float]
) -> None:
    """Median and worst of 20 seeds."""
    took = [text_over(kind, spreading_factor, loss, seed)[0] for seed in range(20)]
    print(f"{kind} SF{spreading_factor} {loss:.0%}: median {median(took):.1f} s, worst {max(took):.1f} s")
    assert (median(took), max(took)) == pytest.approx(told_s, abs=0.06)


def test_the_key_dwell() -> None:
    radio = RADIOS["rnode"]
    assert radio.new(**DWELL).law[1].max_airtime == 0.4
    assert radio.new(**(DWELL | {"dwell": False})).law[1].max_airtime is None
    assert radio.new(**(DWELL | {"bandwidth": 500_000})).law[1].max_airtime is None
    with pytest.raises(ConfigError, match="dwell = 1 must be true or false"):
        radio.new(**(DWELL | {"dwell": 1}))
