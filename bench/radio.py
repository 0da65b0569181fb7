"""Texts over radios between two real nodes in virtual time: over emulated boards, and at 1,200 bps (issue 5).

The boards are those of `tests/radio`; a text is of ordinary words, a link is up before it is sent.
"""

from collections.abc import Callable
from statistics import median

import trio

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from nexus_drivers.memory import MemoryMedium
from nexus_node.base.states import State
from nexus_sim.clock import virtual_run
from nexus_sim.world import open_world
from tests.radio.delivery import PATIENCE_S, a_text, seconds

SEEDS = 20
BARS: dict[tuple[str, int, float], float] = {
    ("rnode", 1024, 0.0): 4.5,
    ("rnode", 1024, 0.1): 7.0,
    ("rnode", 160, 0.0): 1.2,
    ("rnode", 160, 0.1): 2.2,
    ("meshtastic", 160, 0.0): 4.0,
}
"""Seconds to the receipt, of the median, by board, bytes and share of LoRa packets lost."""
NARROW_BPS, NARROW_MTU, NARROW_LOSS, NARROW_SEEDS, NARROW_SIZE = 1200, 255, 0.1, 16, 1000
NARROW_P90_S, NARROW_WORST_S = 20.0, 40.0
_SETTLE_S = 600.0


def measure(kind: str, size: int, loss: float) -> Figures:
    """Over two emulated boards."""
    runs = [seconds(kind, size, loss, seed) for seed in range(SEEDS)]
    took = sorted(one for one, _ in runs)
    return Figures(
        board=kind,
        bytes=size,
        loss=loss,
        delivered=sum(one < PATIENCE_S for one in took),
        median_s=round(median(took), 2),
        worst_s=round(took[-1], 2),
        on_air_s=round(median(air for _, air in runs), 2),
    )


def narrow(seed: int) -> tuple[float, float]:
    """Seconds until a text is in the inbox, and until its receipt is back, on a half-duplex carrier."""

    async def main() -> tuple[float, float]:
        async with open_world(["alice", "bob"], seed) as world:
            medium = MemoryMedium(
                mtu=NARROW_MTU, bps=NARROW_BPS, loss=NARROW_LOSS, shared=True, rng=world.dice("loss")
            )
            world.join(medium, "alice", "bob")
            alice, bob = [await world.start(name) for name in ("alice", "bob")]
            alice.send(bob, "hello")
            await _until(lambda: alice.outbox() == [State.DELIVERED])
            await trio.sleep(_SETTLE_S)
            begin = trio.current_time()
            text = a_text(NARROW_SIZE, seed)
            alice.send(bob, text)
            await _until(lambda: len(bob.inbox()) == 2)
            arrived = trio.current_time() - begin
            if bob.inbox()[-1:] != [text]:
                return float("inf"), float("inf")
            await _until(lambda: alice.outbox()[-1] is State.DELIVERED)
            return arrived, trio.current_time() - begin

    return virtual_run(main, seed)


async def _until(true: Callable[[], bool]) -> None:
    with trio.move_on_after(PATIENCE_S):
        while not true():
            await trio.sleep(0.01)


def measure_narrow() -> Figures:
    runs = [narrow(seed) for seed in range(NARROW_SEEDS)]
    arrived = sorted(one for one, _ in runs)
    known = sorted(one for _, one in runs)
    return Figures(
        arrived=sum(one < PATIENCE_S for one in arrived),
        of=NARROW_SEEDS,
        median_s=round(median(arrived), 2),
        p90_s=round(_p90(arrived), 2),
        worst_s=round(arrived[-1], 2),
        receipt_p90_s=round(_p90(known), 2),
        receipt_worst_s=round(known[-1], 2),
    )


def _p90(ordered: list[float]) -> float:
    return ordered[-(-9 * len(ordered) // 10) - 1]


def run(peer: Peer | None) -> Section:
    """About a minute."""
    boards = Table(["board", "bytes", "loss", "median, s", "must", "", "worst, s", "on air, s"])
    for (kind, size, loss), must in BARS.items():
        one = emit("radio", measure(kind, size, loss))
        holds = one["median_s"] <= must and one["delivered"] == SEEDS
        row = one["median_s"], must, verdict(holds), one["worst_s"], one["on_air_s"]
        boards.add(kind, size, f"{loss:.0%}", *row)
    one = emit("radio: 1,200 bps", measure_narrow())
    holds = one["arrived"] == one["of"] and one["p90_s"] <= NARROW_P90_S and one["worst_s"] <= NARROW_WORST_S
    slow = Table(
        ["1,200 bps", "arrived", "median, s", "p90, s", "worst, s", "to the receipt: p90, worst", ""]
    )
    slow.add(
        "ours",
        f"{one['arrived']} of {one['of']}",
        one["median_s"],
        one["p90_s"],
        one["worst_s"],
        f"{one['receipt_p90_s']}, {one['receipt_worst_s']}",
        verdict(holds),
    )
    slow.add("LXMF", "15 of 16", "-", 78, 137, "-", "-")
    words = (
        f"Two real nodes in virtual time, {SEEDS} seeds: seconds from `send` to the recipient's receipt, "
        "over RNodes at SF8 and 125 kHz and Meshtastic devices with LongFast; loss is of LoRa packets. "
        f"Below, a text of {NARROW_SIZE} characters at {NARROW_BPS:,} bps half duplex, {NARROW_LOSS:.0%} of "
        f"frames lost, {NARROW_SEEDS} seeds: until it is in the inbox; must: all, p90 {NARROW_P90_S:g} s, "
        f"worst {NARROW_WORST_S:g} s. LXMF was measured before this project began, on the same carrier."
    )
    return Section("Texts over radios", words, [boards, slow])
