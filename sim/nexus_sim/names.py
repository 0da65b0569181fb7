"""Names of nodes in a scenario: those that there are, and patterns such as "n*"."""

import difflib
from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from nexus_node.base.errors import ConfigError
from nexus_node.base.limits import GROUP_MEMBERS_MAX
from nexus_sim.scenario import Scenario


def resolve(names: Iterable[str], known: Collection[str], where: str) -> tuple[str, ...]:
    """The nodes that these names and patterns stand for, each once. Raises ConfigError with a cure."""
    found: dict[str, None] = {}
    for name in names:
        if name in known:
            found[name] = None
            continue
        if not set("*?[") & set(name):
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
            cure = f'did you mean "{near[0]}"?' if near else "see [places] and [[node]]"
            raise ConfigError(f'there is no node "{name}"{where}; {cure}')
        matching = [one for one in known if fnmatchcase(one, name)]
        if not matching:
            raise ConfigError(
                f'no node is like "{name}"{where}; they are called {", ".join(list(known)[:3])} ...'
            )
        found.update(dict.fromkeys(matching))
    return tuple(found)


def resolved(scenario: Scenario, known: Collection[str]) -> Scenario:
    """The scenario with all patterns replaced by the nodes they stand for. Raises ConfigError."""

    def nodes(names: Iterable[str], where: str) -> tuple[str, ...]:
        return resolve(names, known, f" in {where}")

    radio, mobility = scenario.radio, scenario.mobility
    if radio is not None:
        radio = replace(radio, nodes=nodes(radio.nodes, "[radio]"))
    if mobility is not None:
        mobility = replace(mobility, nodes=nodes(mobility.nodes, "[mobility]"))
    changed = replace(
        scenario,
        radio=radio,
        mobility=mobility,
        relays=replace(scenario.relays, nodes=nodes(scenario.relays.nodes, "[relays]")),
        wires=tuple(replace(one, between=nodes(one.between, "[[wire]]")) for one in scenario.wires),
        texts=tuple(
            replace(
                one, senders=nodes(one.senders, "[[texts]]"), recipients=nodes(one.recipients, "[[texts]]")
            )
            for one in scenario.texts
        ),
        outages=tuple(replace(one, nodes=nodes(one.nodes, "[[outage]]")) for one in scenario.outages),
        batteries=tuple(replace(one, nodes=nodes(one.nodes, "[[battery]]")) for one in scenario.batteries),
        partitions=tuple(
            replace(one, groups=tuple(nodes(group, "[[partition]]") for group in one.groups))
            for one in scenario.partitions
        ),
        clocks=tuple(replace(one, nodes=nodes(one.nodes, "[[clock]]")) for one in scenario.clocks),
    )
    for wire in changed.wires:
        if len(wire.between) < 2:
            raise ConfigError(f'between in [[wire]] is one node only, "{wire.between[0]}"; name another')
    for partition in changed.partitions:
        _once((name for group in partition.groups for name in group), "two groups of a [[partition]]")
    _once((name for battery in changed.batteries for name in battery.nodes), "two [[battery]]")
    _once((name for clocks in changed.clocks for name in clocks.nodes), "two [[clock]]")
    _check_counts(changed, known)
    return changed


def _check_counts(scenario: Scenario, known: Collection[str]) -> None:
    """Whether there are nodes enough, and not too many, for what they are to do. Raises ConfigError."""
    if scenario.relays.count > len(known):
        raise ConfigError(
            f"count in [relays] is {scenario.relays.count}, but there are {len(known)} nodes; make it less"
        )
    radio, mobility = scenario.radio, scenario.mobility
    if radio is not None and radio.nodes and mobility is not None:
        without = [name for name in mobility.nodes if name not in radio.nodes]
        if without:
            raise ConfigError(
                f'"{without[0]}" in [mobility] has no radio, and only radios move; add it to nodes in [radio]'
            )
    for texts in scenario.texts:
        senders, recipients = set(texts.senders or known), set(texts.recipients or known)
        members = senders | recipients
        if len(members) < 2:
            raise ConfigError("nobody in [[texts]] has anybody to write to; name other senders or recipients")
        if texts.group and len(members) > GROUP_MEMBERS_MAX:
            raise ConfigError(
                f"group in [[texts]] has {len(members)} members, but a group has at most "
                f"{GROUP_MEMBERS_MAX}; name fewer senders and recipients"
            )


def _once(names: Iterable[str], where: str) -> None:
    """Raises ConfigError if a name comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f'"{name}" is in {where}; leave it in one')
        seen.add(name)
