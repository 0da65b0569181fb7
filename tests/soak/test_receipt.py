"""kill -9 at the very instant of a receipt: what is called delivered is in the inbox (performance.md)."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.nodes import free_port, pair, wait_until
from tests.soak.conftest import Report
from tests.soak.counts import times
from tests.soak.proxy import Tripwire
from tests.soak.traffic import Traffic

TRIP_S = 10.0


@pytest.mark.parametrize("rounds", times(5, "SOAK_RECEIPTS", 100))
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
    hits: Counter[str] = Counter()
    with Tripwire(target, receiver_dials=side == "receiver") as wire:
        listens, dials = [f"tcp listen=127.0.0.1:{target}"], [f"tcp connect=127.0.0.1:{wire.port}"]
        carriers = (listens, dials) if side == "receiver" else (dials, listens)
        with pair(tmp_path, carriers) as (alice, bob):
            victim = bob if side == "receiver" else alice
            traffic = Traffic(alice, bob, rng)
            for number in range(rounds):
                moment = ("before", "after", "before", "after", "making")[number % 5]
                count = 1 if rng.random() < 0.5 else rng.randint(2, 16)
                delay_s = rng.uniform(0, 0.003)

                def trip(send_on: Callable[[], None], moment: str = moment, delay_s: float = delay_s) -> None:
                    if moment == "after":
                        with suppress(OSError):
                            send_on()
                        if side == "sender":
                            time.sleep(delay_s)  # it reads, writes and shows the receipt in this time
                    victim.process.kill()

                def passed(moment: str = moment, delay_s: float = delay_s) -> None:
                    if moment == "making":
                        time.sleep(delay_s)
                        victim.process.kill()

                wire.arm(trip, passed)
                traffic.send(count)
                wait_until(lambda: not victim.running, TRIP_S, f"the {side}'s death")
                victim.kill9()
                if moment == "after" and side == "receiver":
                    # Only that receipt can tell alice, for bob is dead.
                    wait_until(lambda: any_delivered(traffic), TRIP_S, "what the receipt brought")
                before = len(traffic.shown)
                traffic.check()
                if side == "receiver" and moment != "making" and count == 1:
                    assert list(traffic.texts)[-1] in traffic.arrived(), "a receipt left before its message was stored"
                hits[moment, "delivered" if len(traffic.shown) > before else "not yet"] += 1
                victim.start()
                traffic.settle()
            answered = len(traffic.texts)
    report(
        f"{rounds} kills at a receipt, {answered} messages; 0 lost, 0 twice; "
        f"{dict(sorted((' '.join(key), count) for key, count in hits.items()))}; {time.monotonic() - began:.0f} s"
    )


def any_delivered(traffic: Traffic) -> bool:
    before = len(traffic.shown)
    traffic.sent_states()
    return len(traffic.shown) > before
