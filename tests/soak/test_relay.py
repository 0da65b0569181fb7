"""Random schedules of deaths around relays: nothing lost, nothing twice, no custody that is not on a disk
(N10, performance.md)."""

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.mesh import Nodes, address, befriend_relay, mesh, start
from tests.harness.nodes import RunningNode, introduce, wait_until
from tests.soak.conftest import Report
from tests.soak.counts import times
from tests.soak.traffic import Traffic, kill_after, rows_on_disk

NAMES = ("r0", "r1", "alice", "bob")
LINKS = [(one, relay) for one in ("alice", "bob") for relay in ("r0", "r1")]
STEPS = 6


@pytest.mark.parametrize("schedules", times(1, "SOAK_SCHEDULES", 50))
def test_n10_random_deaths_around_relays_lose_nothing(
    schedules: int, tmp_path: Path, rng: random.Random, report: Report
) -> None:
    """Alice's way to Bob leads over two relays; everyone comes, goes and is killed at random instants."""
    began = time.monotonic()
    done: Counter[str] = Counter()
    for number in range(schedules):
        (folder := tmp_path / str(number)).mkdir()
        with mesh(folder, NAMES, LINKS) as nodes:
            Schedule(nodes, rng, done).run()
    took = time.monotonic() - began
    figures = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    report(f"{schedules} schedules: {figures}; 0 lost, 0 twice, no false custody; {took:.0f} s")


class Schedule:
    """One run: deaths and returns at random, then everyone is there until all has arrived."""

    def __init__(self, nodes: Nodes, rng: random.Random, done: Counter[str]) -> None:
        self.nodes = nodes
        self.alice, self.bob = nodes["alice"], nodes["bob"]
        self.relays = [nodes["r0"], nodes["r1"]]
        self.rng = rng
        self.done = done
        self.traffic = Traffic(self.alice, self.bob, rng)
        start(nodes.values(), "--relay")
        introduce(self.alice, self.bob)
        self.keepers = {address(relay): relay for relay in self.relays}
        for relay in self.relays:
            befriend_relay(self.alice, relay)
            relay.request("contact.trust", name="alice", trust="verified")  # any number a day

    def run(self) -> None:
        for _ in range(STEPS):
            step = self.rng.choice((self.send, self.send, self.kill, self.leave, self.come_back))
            step()
            self.check()
        for node in self.nodes.values():
            self.come(node)
        self.traffic.settle()
        wait_until(
            lambda: all(relay.status()["relay"]["messages"] == 0 for relay in self.relays),
            60,
            "the relays to let go of what has arrived",
        )
        self.done["messages"] += len(self.traffic.texts)

    # --- steps ----------------------------------------------------------------------------------
    def send(self) -> None:
        """Alice sends; in half of the cases somebody is killed meanwhile."""
        self.come(self.alice)
        victims = [node for node in self.nodes.values() if node.running]
        if self.rng.random() < 0.5:
            self.traffic.send(self.rng.randint(1, 20))
            return
        with kill_after(self.rng.choice(victims), self.rng.uniform(0, 0.3)):
            self.traffic.send(self.rng.randint(5, 30))
        self.done["kills"] += 1

    def kill(self) -> None:
        victim = self.rng.choice(list(self.nodes.values()))
        self.done["kills"] += victim.running
        victim.kill9()

    def leave(self) -> None:
        node = self.rng.choice(list(self.nodes.values()))
        if node.running:
            assert node.terminate() == 0
            self.done["departures"] += 1

    def come_back(self) -> None:
        self.come(self.rng.choice(list(self.nodes.values())))
        time.sleep(self.rng.uniform(0, 1.0))

    def come(self, node: RunningNode) -> None:
        if not node.running:
            node.start("--relay")
            self.done["returns"] += 1

    # --- what must hold -------------------------------------------------------------------------
    def check(self) -> None:
        """What Alice calls delivered is in the inbox; what she calls relayed by somebody is there, or has
        been delivered."""
        self.traffic.check()
        claimed = self.claims()
        self.done["claims of custody checked"] += len(claimed)
        kept = {keeper: self.kept_by(relay) for keeper, relay in self.keepers.items()}
        arrived = set(self.traffic.arrived())
        false = [(message, by) for message, by in claimed if message not in kept[by] | arrived]
        assert not false, f"{len(false)} messages are called relayed and are on no disk"

    def claims(self) -> list[tuple[str, str]]:
        """(message id, relay) of every custody that Alice has been told of."""
        if not self.alice.running:
            return []
        return [
            (row["id"], fact["by"])
            for row in self.alice.outbox()
            for fact in row["facts"]
            if fact["state"] == "relayed"
        ]

    @staticmethod
    def kept_by(relay: RunningNode) -> set[str]:
        """The ids on a relay's disk, which stands still meanwhile."""
        if relay.running and relay.process is not None:
            relay.process.send_signal(signal.SIGSTOP)
        try:
            return {row[0] for row in rows_on_disk(relay.home, "SELECT lower(hex(id)) FROM custody")}
        finally:
            if relay.running and relay.process is not None:
                relay.process.send_signal(signal.SIGCONT)
