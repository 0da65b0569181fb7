"""The same kind of place with more nodes: as dense, and as many to a cluster."""

import random
from dataclasses import replace

from nexus_node.base.errors import ConfigError
from nexus_sim.scenario import Places, Scenario, WireSetting

NODES_MAX = 200_000
BACKBONE_BPS, BACKBONE_DELAY_S = 1e7, 0.02


def larger(scenario: Scenario, nodes: int) -> Scenario:
    """A scenario with so many nodes in the place of those in [places]. Raises ConfigError."""
    rule = _rule(scenario)
    if rule is None or rule.kind == "file" or scenario.nodes:
        raise ConfigError("--nodes needs one [places] with a rule, and no [[node]]")
    if nodes > NODES_MAX:
        raise ConfigError(f"--nodes is {nodes} and the fast model takes {NODES_MAX}; beyond, use --closed")
    factor = nodes / rule.count
    clusters = max(1, round(rule.clusters * factor))
    places = replace(rule, count=nodes, side_m=rule.side_m * factor**0.5, clusters=clusters)
    return replace(scenario, places=(places,))


def _rule(scenario: Scenario) -> Places | None:
    """Its only group of places."""
    return scenario.places[0] if len(scenario.places) == 1 else None


def backbone(scenario: Scenario, degree: int, seed: int) -> Scenario:
    """One node of each cluster gets IP links: to the one before, so that all are joined, and by chance to
    others, until each has about so many. Raises ConfigError."""
    rule = _rule(scenario)
    if rule is None or rule.kind != "clusters":
        raise ConfigError(
            '--backbone needs one [places] with kind = "clusters": the first node of each gets wires'
        )
    dice = random.Random(f"{seed} backbone")
    count = rule.clusters
    pairs = {(a, a + 1) for a in range(count - 1)}
    wanted = min(count * degree // 2, count * (count - 1) // 2)
    while len(pairs) < wanted:
        a, b = sorted((dice.randrange(count), dice.randrange(count)))
        if a != b:
            pairs.add((a, b))
    wires = tuple(
        WireSetting((f"{rule.prefix}{a + 1}", f"{rule.prefix}{b + 1}"), BACKBONE_BPS, BACKBONE_DELAY_S)
        for a, b in sorted(pairs)
    )
    return replace(scenario, wires=(*scenario.wires, *wires))
