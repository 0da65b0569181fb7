"""What must hold is looked for in every run: bugs planted in the node are caught, and only they."""

from math import inf
from typing import Any

import pytest

from nexus_node.engine.mailbox import Way
from nexus_node.engine.relay import Relay
from nexus_sim.clock import virtual_run
from nexus_sim.outcome import Outcome
from nexus_sim.play import play
from tests.sim.test_scenario import scenario

NARROW = """
name = "Needs more than LoRa has"
duration_s = 1800
settle_s = 600
[places]
kind = "line"
count = 3
spacing_m = 800
[radio]
[[texts]]
per_hour = 10
min_bandwidth = 50000
"""
ABSENT = """
name = "The recipient is away"
duration_s = 600
settle_s = 60
[places]
count = 3
[[wire]]
between = ["n1", "n2"]
[[wire]]
between = ["n2", "n3"]
[relays]
nodes = ["n2"]
[[outage]]
nodes = ["n3"]
at_s = 31
for_s = 400
[[texts]]
senders = ["n1"]
recipients = ["n3"]
per_hour = 60
start_s = 60
end_s = 300
"""


def run(text: str) -> Outcome:
    return virtual_run(play(scenario(text), 0), 0)


def test_n13_a_scheduler_that_ignores_min_bandwidth_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = run(NARROW)
    assert sound.record.breaches == [] and len(sound.record.messages) > 5
    monkeypatch.setattr(Way, "bps", property(lambda way: inf))
    planted = run(NARROW)
    assert planted.record.breaches
    assert all("needs 50000 bps and was sent at" in breach for breach in planted.record.breaches)


def test_m5_custody_that_acknowledges_before_storing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = run(ABSENT)
    assert sound.record.breaches == []
    assert all(message.received_s is not None for message in sound.record.messages.values())
    hold, expire, late = Relay._hold, Relay.expire, []

    def hold_later(relay: Relay, *args: Any, **options: Any) -> None:
        late.append((relay, args, options))

    def expire_and_hold(relay: Relay, now: float) -> None:
        for one in [one for one in late if one[0] is relay]:
            late.remove(one)
            hold(relay, *one[1], **one[2])
        expire(relay, now)

    monkeypatch.setattr(Relay, "_hold", hold_later)
    monkeypatch.setattr(Relay, "expire", expire_and_hold)
    planted = run(ABSENT)
    assert planted.record.breaches
    assert any(
        breach.startswith("n2 has taken custody of") and "does not have it" in breach
        for breach in planted.record.breaches
    )
