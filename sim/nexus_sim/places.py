"""Where the nodes of a scenario stand, and how they move."""

import math
import random

from nexus_node.base.errors import ConfigError, InputError
from nexus_sim.scenario import Mobility, Place, Places, Scenario
from nexus_sim.traces import read_places


def places_of(scenario: Scenario, dice: random.Random) -> dict[str, Place]:
    """All nodes of a scenario by name, in order. Raises ConfigError."""
    found = {one.name: one for one in scenario.nodes}
    if len(found) < len(scenario.nodes):
        raise ConfigError("two [[node]] have the same name; names must differ")
    for rule in scenario.places:
        for one in _file(scenario, rule) if rule.kind == "file" else _by_rule(rule, dice):
            if one.name in found:
                raise ConfigError(f'there are two nodes "{one.name}"; give each [[places]] its own prefix')
            found[one.name] = one
    if scenario.contacts is not None:
        for meeting in scenario.contacts.meetings:
            for name in (meeting.a, meeting.b):
                found.setdefault(name, Place(name))
    return found


def _file(scenario: Scenario, rule: Places) -> list[Place]:
    try:
        return [Place(*one) for one in read_places(scenario.folder / rule.file)]
    except InputError as error:
        raise ConfigError(f"file in [places]: {error}") from error


def _by_rule(rule: Places, dice: random.Random) -> list[Place]:
    side = rule.side_m
    if rule.kind == "line":
        spots = [(rule.spacing_m * number, 0.0) for number in range(rule.count)]
    elif rule.kind == "grid":
        across = math.ceil(math.sqrt(rule.count))
        spots = [
            (rule.spacing_m * (number % across), rule.spacing_m * (number // across))
            for number in range(rule.count)
        ]
    elif rule.kind == "random":
        spots = [(dice.uniform(0, side), dice.uniform(0, side)) for _ in range(rule.count)]
    else:
        middles = [(dice.uniform(0, side), dice.uniform(0, side)) for _ in range(rule.clusters)]
        spots = [
            (dice.gauss(x, rule.spread_m), dice.gauss(y, rule.spread_m))
            for x, y in (middles[number % rule.clusters] for number in range(rule.count))
        ]
    return [Place(f"{rule.prefix}{number}", rule.x + x, rule.y + y) for number, (x, y) in enumerate(spots, 1)]


class Walk:
    """One node's random waypoint walk within a square around where everybody began."""

    def __init__(
        self, place: Place, box: tuple[float, float, float, float], rule: Mobility, dice: random.Random
    ) -> None:
        """`box`: least and greatest x, least and greatest y."""
        self.x, self.y = place.x, place.y
        self._box = box
        self._rule = rule
        self._dice = dice
        self._rest_until = 0.0
        self._aim()

    def _aim(self) -> None:
        left, right, low, high = self._box
        self._goal = self._dice.uniform(left, right), self._dice.uniform(low, high)
        self._speed = self._dice.uniform(*self._rule.speed_mps)

    def step(self, now: float) -> bool:
        """Walk on for one step; whether it has moved."""
        if now < self._rest_until:
            return False
        ahead = math.dist((self.x, self.y), self._goal)
        stride = self._speed * self._rule.step_s
        if ahead <= stride:
            self.x, self.y = self._goal
            self._rest_until = now + self._dice.uniform(*self._rule.pause_s)
            self._aim()
        else:
            self.x += (self._goal[0] - self.x) * stride / ahead
            self.y += (self._goal[1] - self.y) * stride / ahead
        return True


def box_of(places: dict[str, Place]) -> tuple[float, float, float, float]:
    """The rectangle that all places lie in."""
    xs, ys = [one.x for one in places.values()], [one.y for one in places.values()]
    return min(xs), max(xs), min(ys), max(ys)
