"""What must hold is looked for in every run: bugs planted in the node are caught, and only they."""

import inspect
import sys
import textwrap
from math import inf
from typing import Any

import pytest

from nexus_node.base.states import State
from nexus_node.engine import attach, forward
from nexus_node.engine.events import Event
from nexus_node.engine.fetching import Fetcher
from nexus_node.engine.inbound import Inbound
from nexus_node.engine.mailbox import Way
from nexus_node.engine.relay import Relay
from nexus_node.engine.serving import Server
from nexus_node.store.memory import MemoryStore
from nexus_sim.air import SimRadio
from nexus_sim.clock import virtual_run
from nexus_sim.outcome import Outcome
from nexus_sim.play import play
from nexus_sim.record import Record
from nexus_sim.scenario_file import read_scenario
from nexus_sim.shipped import find
from nexus_sim.stores import SimStore
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


SLOW_WIRE = """
name = "A wire that is slower than needed"
duration_s = 1200
settle_s = 600
[places]
count = 2
[[wire]]
between = ["n1", "n2"]
bps = 5000
[[texts]]
per_hour = 30
"""


def run(text: str) -> Outcome:
    return virtual_run(play(scenario(text), 0), 0)


def plant(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, sound: str, planted: str) -> None:
    """Put other words into a method."""
    source = textwrap.dedent(inspect.getsource(vars(owner)[name]))
    assert source.count(sound) == 1
    names = dict(vars(sys.modules[owner.__module__]))
    exec(source.replace(sound, planted), names)
    monkeypatch.setattr(owner, name, names[name])


def plant_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held or kept off any link: neither texts nor parts of files, at no node."""
    monkeypatch.setattr(Way, "bps", property(lambda way: inf))
    plant(monkeypatch, Fetcher, "_ask_one", "< job.min_bandwidth", "< 0")
    plant(monkeypatch, Server, "feed", "route.bps < job.served.min_bandwidth", "False")
    monkeypatch.setattr(forward, "parse_bandwidth_tlv_untrusted", lambda tlvs: 0)


def test_n13_a_scheduler_that_ignores_min_bandwidth_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = run(NARROW)
    assert sound.record.breaches == [] and len(sound.record.messages) > 5
    monkeypatch.setattr(Way, "bps", property(lambda way: inf))
    planted = run(NARROW)
    assert planted.record.breaches
    assert all("needs 50000 bps and was sent at" in breach for breach in planted.record.breaches)


def test_n13_a_text_that_needs_bandwidth_and_is_left_with_a_relay_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = run(ABSENT + "min_bandwidth = 50000")
    assert sound.record.breaches == [] and len(sound.record.messages) > 2
    assert all(one.state is State.DELIVERED for one in sound.record.messages.values())
    monkeypatch.setattr(Way, "carries", lambda way, row: row.min_bandwidth <= way.bps)
    breaches = run(ABSENT + "min_bandwidth = 50000").record.breaches
    assert breaches and all("needs 50000 bps and was left with a relay" in one for one in breaches)


@pytest.mark.parametrize("what", ["min_bandwidth = 50000", "photo = [3000, 6000]"])
def test_n13_a_wire_may_be_too_slow_as_well(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = run(SLOW_WIRE + what)
    assert sound.record.breaches == [] and len(sound.record.messages) > 5
    plant_wide(monkeypatch)
    breaches = run(SLOW_WIRE + what).record.breaches
    assert [one for one in breaches if "bps and was sent at 5000" in one]
    assert "photo" not in what or [one for one in breaches if "sent parts of it at 5000" in one]


def test_n13_parts_of_a_file_that_cross_a_radio_behind_a_bridge_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None of the photos gets there: they are too large. But they were tried."""
    plant_wide(monkeypatch)
    outcome = virtual_run(play(read_scenario(find("bridge"), short=True), 0), 0)
    assert [one for one in outcome.record.breaches if ", and bridge sent parts of it at 2820" in one]


def test_m5_custody_that_acknowledges_before_a_commit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, Relay, "_promise", "self.promised = True\n", "pass\n")
    breaches = run(ABSENT).record.breaches
    assert breaches and all(one.startswith("n2 acknowledges ") for one in breaches)


def test_n10_what_a_reader_was_shown_and_a_power_cut_takes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipient's store commits nothing: it loses all at its outage."""
    base = ABSENT.replace("at_s = 31", "at_s = 350").replace("for_s = 400", "for_s = 60")
    assert run(base).record.breaches == []
    monkeypatch.setattr(MemoryStore, "commit", lambda self: None)
    breaches = run(base).record.breaches
    assert [one for one in breaches if one.startswith("n3 was shown message ") and one.endswith("no more")]


def test_n6_a_radio_that_does_not_wait_for_its_hour_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = (
        "duration_s = 1800\n[places]\ncount = 2\nside_m = 100\n[[texts]]\nper_hour = 200\nsize = [100, 160]\n"
    )
    text = f'name = "t"\n{busy}[radio]\nfrequency = 868300000\nspreading_factor = 10\n'  # of 1 %
    assert run(text).record.breaches == []
    monkeypatch.setattr(SimRadio, "_wait_for_duty", _at_once)
    planted = run(text)
    assert planted.duty_violations > 10
    assert [one.partition(" times ")[0].rstrip("0123456789") for one in planted.record.breaches] == [
        "n1 was on air too long ",
        "n2 was on air too long ",
    ]


async def _at_once(radio: SimRadio, airtime_s: float) -> None:
    pass


@pytest.mark.parametrize(
    ("events", "breach"),
    [
        ("b received", None),
        ("a sent, b received, a delivered", None),
        ("b received, b received", "b was shown message {} twice, at 1.000 s"),
        ("c received", "c was shown a message that nobody sent to it, at 0.000 s"),
        ("a delivered", "message {} is called delivered before it has arrived, at 0.000 s"),
        ("a delivered, b received", "message {} is called delivered before it has arrived, at 0.000 s"),
        ("a delivered, at once b received", None),
        ("a relayed, a sent", "message {} went back from relayed to sent, at 1.000 s"),
        ("b received, a delivered, a failed", "message {} went back from delivered to failed, at 2.000 s"),
        ("a sent, a expired", None),
        ("a sent, a expired, b received, a delivered", None),
    ],
)
def test_what_nodes_say_of_a_message_is_held_against_what_was(events: str, breach: str | None) -> None:
    record, message_id = Record(), "ab" * 32
    record.expect("a", "b", "good morning", 0.0, 0)
    record.accepted(message_id)
    now = -1.0
    for told in events.split(", "):
        *at_once, who, what = told.split()
        now += not at_once
        event = Event("message_received", 0, {"id": message_id})
        if what != "received":
            event = Event("message_state", 0, {"id": message_id, "state": what, "by": ""})
        record.told(who, event, now)
    assert record.breaches == ([breach.format(message_id)] if breach is not None else [])


def test_a_message_that_is_gone_without_a_reason_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ABSENT.replace("for_s = 400", "for_s = 0")  # they stay undelivered
    assert run(text).record.breaches == []
    monkeypatch.setattr(SimStore, "outgoing", lambda store, message_id: None)
    breaches = run(text).record.breaches
    assert breaches and all(one.endswith("is gone without a reason") for one in breaches)


def test_a_text_that_lies_open_in_a_store_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Inbound._keep

    def keep_open(inbound: Inbound, message: Any, wall_ms: int) -> None:
        keep(inbound, message, wall_ms)
        inbound._store._write("UPDATE inbox SET body = ?", (message.text.encode(),))  # type: ignore[attr-defined]

    monkeypatch.setattr(Inbound, "_keep", keep_open)
    assert run(ABSENT).record.breaches == ["n3 stores a text or photo unsealed, in its inbox"]


def test_a_photo_that_lies_open_in_packs_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SLOW_WIRE.replace("bps = 5000", "bps = 50000") + "photo = [6000, 9000]"
    assert run(text).record.breaches == []
    monkeypatch.setattr(attach, "seal_file", lambda key, content: [content])
    breaches = run(text).record.breaches
    assert {f"{name} stores a text or photo unsealed, in its packs" for name in ("n1", "n2")} <= set(breaches)


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
