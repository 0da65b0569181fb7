"""kill -9 at the very instant of a receipt: what is called delivered is in the inbox (performance.md)."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.nodes import RunningNode, free_port, pair, wait_until
from tests.soak.conftest import Report
from tests.soak.counts import times
from tests.soak.proxy import Tripwire
from tests.soak.traffic import Traffic

TRIP_S = 10.0
ANNOUNCED_S = 0.6
"""After a link has come up both ends announce themselves: that must not be taken for an answer."""


@pytest.mark.parametrize("rounds", times(3, "SOAK_RECEIPTS", 100))
@pytest.mark.parametrize("side", ["receiver", "sender"])
def test_n9_kill_9_at_the_receipt_loses_nothing(
    side: str, rounds: int, tmp_path: Path, rng: random.Random, report: Report
) -> None:
    """One side is killed when the receipt is on its way: held back (`before`), sent on (`after`), or a
    moment after the message went by, when its receipt is just being made (`making`).

    The one to be killed dials, so that it is back without waiting.
    """
    began = time.monotonic()
    target = free_port()
    hits: Counter[tuple[str, str]] = Counter()
    with Tripwire(target, receiver_dials=side == "receiver") as wire:
        listens, dials = [f"tcp listen=127.0.0.1:{target}"], [f"tcp connect=127.0.0.1:{wire.port}"]
        carriers = (listens, dials) if side == "receiver" else (dials, listens)
        with pair(tmp_path, carriers) as (alice, bob):
            victim = bob if side == "receiver" else alice
            traffic = Traffic(alice, bob, rng)
            for number in range(rounds):
                moment = ("before", "after", "making", "before", "after")[number % 5]
                count = 1 if rng.random() < 0.5 else rng.randint(2, 16)
                delay_s = rng.uniform(0, 0.006)
                before = len(traffic.shown)
                time.sleep(ANNOUNCED_S)
                wire.arm(*killing(victim, moment, delay_s))
                traffic.send(count)
                wait_until(lambda: not victim.running, TRIP_S, f"the {side}'s death")
                victim.kill9()
                if moment == "after" and side == "receiver":
                    # Only that receipt can tell alice, for bob is dead.
                    wait_until(lambda: any_delivered(traffic), TRIP_S, "what the receipt brought")
                traffic.check()
                if side == "receiver" and moment != "making" and count == 1:
                    assert list(traffic.texts)[-1] in traffic.arrived(), (
                        "a receipt left before its message was stored"
                    )
                hits[moment, "delivered" if len(traffic.shown) > before else "not yet"] += 1
                victim.start()
                victim.wait_link()  # else the next answer would be one to a handshake
                traffic.settle()
            answered = len(traffic.texts)
    shares = ", ".join(f"{moment} and {shown} {count}" for (moment, shown), count in sorted(hits.items()))
    took = time.monotonic() - began
    report(f"{rounds} kills at a receipt, {answered} messages; 0 lost, 0 twice; {shares}; {took:.0f} s")


def killing(
    victim: RunningNode, moment: str, delay_s: float
) -> tuple[Callable[[Callable[[], None]], None], Callable[[], None]]:
    """What to do when the receipt comes by, and when the message has gone by."""
    process = victim.process
    assert process is not None

    def trip(send_on: Callable[[], None]) -> None:
        if moment == "before":
            process.kill()
            return
        with suppress(OSError):
            send_on()
        if moment == "after":
            if victim.name == "alice":
                time.sleep(delay_s)  # in this time she reads, stores and shows the receipt
            process.kill()

    def passed() -> None:
        if moment == "making":
            time.sleep(delay_s)
            process.kill()

    return trip, passed


def any_delivered(traffic: Traffic) -> bool:
    before = len(traffic.shown)
    traffic.sent_states()
    return len(traffic.shown) > before
