"""kill -9 and SIGTERM at random instants: nothing lost, nothing twice (N9, performance.md)."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness.nodes import RunningNode, pair, tcp_carriers, tcp_pair, udp_carriers
from tests.soak.conftest import Report
from tests.soak.counts import times
from tests.soak.traffic import Traffic, kill_after

IN_FLIGHT = 64
ROUNDS_PER_PAIR = 25
"""Then new homes: after a crash the whole database is checked, so a growing one makes a round longer."""


@dataclass
class Topology:
    """Carriers of alice and bob, and which of them finds the other at once when it starts."""

    carriers: tuple[list[str], list[str]]
    quick: set[str] = field(default_factory=lambda: {"alice", "bob"})


def tcp_alice_listens() -> Topology:
    return Topology(tcp_carriers(), {"bob"})


def tcp_bob_listens() -> Topology:
    return Topology(tcp_carriers()[::-1], {"alice"})


def tcp_both_ways() -> Topology:
    (one,), (to_one,) = tcp_carriers()
    (other,), (to_other,) = tcp_carriers()
    return Topology(([one, to_other], [other, to_one]))


def udp_both_ways() -> Topology:
    return Topology(udp_carriers())


TOPOLOGIES: dict[str, list[Callable[[], Topology]]] = {
    "tcp": [tcp_alice_listens, tcp_bob_listens, tcp_both_ways],
    "udp": [udp_both_ways],
}


@dataclass
class Victims:
    """Whom to kill. The deaths of a node that waits to be found make its neighbour's back-off longer, so
    after each of them it is the other's turn, which begins anew."""

    nodes: tuple[RunningNode, RunningNode]
    quick: set[str]
    rng: random.Random
    waited: bool = False

    def next(self) -> RunningNode:
        victim = self.rng.choice(self.nodes)
        if victim.name not in self.quick and self.waited:
            victim = next(node for node in self.nodes if node is not victim)
        self.waited = victim.name not in self.quick
        return victim


@contextmanager
def prepared(folder: Path, number: int, topology: Topology) -> Iterator[tuple[RunningNode, RunningNode]]:
    (where := folder / str(number)).mkdir()
    with pair(where, topology.carriers) as nodes:
        yield nodes


@pytest.mark.parametrize("rounds", times(3, "SOAK_KILLS", 250))
@pytest.mark.parametrize("carrier", ["tcp", "udp"])
def test_n9_kill_9_at_random_instants_loses_nothing(
    carrier: str, rounds: int, tmp_path: Path, rng: random.Random, report: Report
) -> None:
    began = time.monotonic()
    answered = cut_short = in_flight = number = done = 0
    while done < rounds:
        topology = TOPOLOGIES[carrier][number % len(TOPOLOGIES[carrier])]()
        with prepared(tmp_path, number, topology) as (alice, bob):
            traffic = Traffic(alice, bob, rng)
            victims = Victims((alice, bob), topology.quick, rng)
            takes_s = traffic.time(IN_FLIGHT)
            for _ in range(min(ROUNDS_PER_PAIR, rounds - done)):
                victim = victims.next()
                before = len(traffic.texts)
                with kill_after(victim, rng.uniform(0, takes_s)):
                    traffic.send(IN_FLIGHT)
                traffic.check()
                cut_short += len(traffic.texts) - before < IN_FLIGHT
                in_flight += traffic.in_flight()
                victim.start()
                if rng.random() < 0.8:  # or the next ones are sent while there is no link
                    victim.wait_link()
                done += 1
            traffic.settle()
            answered += len(traffic.texts)
        number += 1
    # Three kills may all have come too early or too late.
    assert in_flight > 0 or done < ROUNDS_PER_PAIR, "no kill came while messages were in flight"
    report(
        f"{done} kills, {answered} messages answered for, {in_flight / done:.0f} in flight at a kill, "
        f"{cut_short} kills in the middle of sending; 0 lost, 0 twice; {time.monotonic() - began:.0f} s"
    )


@pytest.mark.parametrize("loads", times(1, "SOAK_LOADS", 10))
def test_n9_kills_under_load_both_ways(
    loads: int, tmp_path: Path, rng: random.Random, report: Report
) -> None:
    """300 messages at a time (100 in short), in both directions at once, with a kill about every 50."""
    size = 100 if loads == 1 else 300
    began = time.monotonic()
    kills = answered = 0
    for number in range(loads):
        topology = rng.choice(TOPOLOGIES["tcp"] + TOPOLOGIES["udp"])()
        with prepared(tmp_path, number, topology) as (alice, bob):
            there, back = Traffic(alice, bob, rng), Traffic(bob, alice, rng)
            victims = Victims((alice, bob), topology.quick, rng)
            takes_s = there.time(25) + back.time(25)
            while len(there.texts) + len(back.texts) < size:
                victim = victims.next()
                with kill_after(victim, rng.uniform(0, takes_s)), ThreadPoolExecutor() as at_once:
                    list(at_once.map(Traffic.send, (there, back), (25, 25)))
                there.check()
                back.check()
                victim.start()
                kills += 1
            there.settle()
            back.settle()
            answered += len(there.texts) + len(back.texts)
    took = time.monotonic() - began
    report(f"{loads} loads, {answered} messages, {kills} kills; 0 lost, 0 twice; {took:.0f} s")


def test_sigterm_under_load_ends_in_two_seconds_and_loses_nothing(tmp_path: Path, rng: random.Random) -> None:
    with tcp_pair(tmp_path) as (alice, bob):
        traffic = Traffic(alice, bob, rng)
        for node in (bob, alice):
            traffic.send(IN_FLIGHT)
            began = time.monotonic()
            assert node.terminate() == 0
            assert time.monotonic() - began < 2.0
            traffic.check()
            node.start()
        traffic.settle()
