"""How long a text and its receipt take between two real nodes over two emulated boards, in virtual time.

python -m tests.radio.delivery [KIND]
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import trio

from nexus_firmware.emulate.air import Ether, Station, Transmission
from nexus_node.base.states import State
from nexus_sim.clock import virtual_run
from nexus_sim.world import open_world

from .bench import Bench, on
from .radios import RADIOS

ROOT = Path(__file__).parents[2]


class Recorder(Ether):
    """An air that notes when what went on it, and for how long."""

    def __init__(self, lost: Callable[[], bool] = lambda: False) -> None:
        super().__init__(lost=lost)
        self.sent: list[tuple[float, float]] = []

    def transmit(self, station: Station | None, transmission: Transmission, now: float) -> None:
        self.sent.append((now, transmission.airtime))
        super().transmit(station, transmission, now)


PATIENCE_S = 300.0
WORDS = [word for word in (ROOT / "README.md").read_text("ascii", "ignore").split() if word.isalpha()]


def a_text(size: int, seed: int) -> str:
    """So many bytes of words as they come in a README, in no order."""
    dice, words = random.Random(seed), WORDS
    text = ""
    while len(text) < size:
        text += dice.choice(words) + " "
    return text[:size]


def seconds(kind: str, size: int, loss: float, seed: int) -> tuple[float, float]:
    """From `send` to `delivered` at the sender of a text of that many bytes, once a link is up; and the time
    on air meanwhile of both together."""

    async def main() -> tuple[float, float]:
        radio = RADIOS[kind]
        async with open_world(["alice", "bob"], seed) as world, trio.open_nursery() as nursery:
            dice = world.dice("loss")
            losing = [False]
            ether = Recorder(lost=lambda: losing[0] and dice.random() < loss)
            bench = Bench(nursery, ether)
            for name in world.nodes:
                board = radio.make(random.Random(f"{seed} {name}"))
                world.nodes[name].drivers.append(on(bench.add(board), radio.new()))
                await world.start(name)
            alice, bob = world.nodes["alice"], world.nodes["bob"]
            # They meet, exchange announces and a first message, and fall silent.
            alice.send(bob, "hello")
            await trio.sleep(600)
            assert alice.outbox() == [State.DELIVERED]
            losing[0] = True
            ether.sent.clear()
            begin = trio.current_time()
            text = a_text(size, seed)
            alice.send(bob, text)
            with trio.move_on_after(PATIENCE_S):
                while alice.outbox()[-1] is not State.DELIVERED:
                    await trio.sleep(0.01)
            took = trio.current_time() - begin
            assert took >= PATIENCE_S or bob.inbox()[-1] == text
            nursery.cancel_scope.cancel()
        return took, sum(one for _, one in ether.sent)

    return virtual_run(main, seed)


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "rnode"
    for size in (1024, 160):
        for loss in (0.0, 0.1):
            runs = [seconds(kind, size, loss, seed) for seed in range(20)]
            took = sorted(one for one, _ in runs)
            print(
                f"{kind} {size} B loss {loss:.0%}: median {median(took):.2f} s, worst {took[-1]:.2f} s,"
                f" on air {median(air for _, air in runs):.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
