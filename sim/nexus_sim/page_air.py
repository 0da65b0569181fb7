"""The parts of a run's page about the air: what it was used for, by whom and when, and what was lost."""

from typing import Any

from nexus_sim.charts import Stack, bars, columns
from nexus_sim.markup import Content, Markup, folded, table, tag
from nexus_sim.outcome import Outcome
from nexus_sim.page_words import card, duration, kind_legend, kind_stack, percent
from nexus_sim.traffic import KINDS, STEPS

_BARS_MAX = 30
_SILENT = "Nothing was on the air."
_FATES = {
    "received": "received",
    "collided": "lost in a collision",
    "half_duplex": "missed: the receiver was sending itself",
    "busy": "missed: the receiver was following another packet",
    "interfered": "lost to another spreading factor",
    "not_tuned": "missed: the receiver was off",
    "too_weak": "too weak to be received, but noticed by a listening radio",
}


def kinds(figures: dict[str, Any]) -> Markup:
    """Airtime by kind of traffic."""
    title = "Airtime by kind of traffic"
    seconds, frames = figures["airtime_by_kind_s"], figures["frames_by_kind"]
    total = sum(seconds.values())
    if not total:
        return card("kinds", title, tag("p", _SILENT))
    ranked = sorted((kind for kind in seconds if seconds[kind]), key=lambda kind: -seconds[kind])
    stacks = []
    rows: list[list[Content]] = []
    for kind in ranked:
        share = seconds[kind] / total
        note = f"{duration(seconds[kind])}, {percent(round(share, 3))}"
        stacks.append(kind_stack(kind.replace("_", " "), {kind: seconds[kind]}, note))
        rows.append([KINDS[kind], seconds[kind], percent(round(share, 4)), frames[kind]])
    about = "As the sender of each packet knows it. A packet that holds several is shared out by their bytes."
    heads = ["kind", "seconds on air", "share", "packets that hold some"]
    return card(
        "kinds",
        title,
        tag("p", about, class_="soft"),
        bars("kinds", title, about, stacks),
        folded("As a table", table(heads, rows, title)),
    )


def over_time(outcome: Outcome) -> Markup:
    """Airtime over the run."""
    title, traffic = "Airtime over time", outcome.traffic
    steps: list[dict[str, float]] = [{} for _ in range(STEPS)]
    for (step, kind), seconds in traffic.over_time.items():
        steps[step][kind] = seconds
    used = {kind for one in steps for kind in one}
    if not used:
        return card("over-time", title, tag("p", _SILENT))
    stacks = []
    rows: list[list[Content]] = []
    for number, one in enumerate(steps):
        begin = duration(number * traffic.step_s)
        per_minute = {kind: 60 * seconds / traffic.step_s for kind, seconds in one.items()}
        stacks.append(kind_stack(f"from {begin}: {sum(per_minute.values()):.2f} s a minute", per_minute))
        rows.append([begin, round(sum(one.values()), 2)])
    about = "Of all nodes together; nodes that do not hear each other can be on air at once."
    words = "hours", "seconds on air in each minute"
    return card(
        "over-time",
        title,
        tag("p", about, class_="soft"),
        kind_legend(used),
        columns("over-time", title, about, stacks, words, x_most=outcome.virtual_s / 3600),
        folded("As a table", table(["from", "seconds on air"], rows, title)),
    )


def by_node(figures: dict[str, Any]) -> Markup:
    """Airtime of each node, the busiest first; and all there is by node, as a table."""
    nodes = figures["by_node"]
    ranked = sorted(nodes, key=lambda name: -nodes[name]["airtime_s"])
    busy = [name for name in ranked if nodes[name]["airtime_s"]]
    parts = []
    if busy:
        about = "Behind each bar: time on air, and the fullest hour as a share of what the duty cycle allows."
        stacks = []
        for name in busy[:_BARS_MAX]:
            one = nodes[name]
            note = f"{duration(one['airtime_s'])}, {percent(one['duty'])}"
            stacks.append(kind_stack(name, one["airtime_by_kind_s"], note))
        used = (kind for name in busy for kind in nodes[name]["airtime_by_kind_s"])
        parts = [
            tag("p", about, class_="soft"),
            kind_legend(used),
            bars("nodes", "Airtime by node", about, stacks),
        ]
        if len(busy) > _BARS_MAX:
            parts.append(tag("p", f"The busiest {_BARS_MAX} of {len(busy)}; the table has all."))
    rows: list[list[Content]] = []
    more = 2 if any("battery_left" in one for one in nodes.values()) else 0
    for name in ranked:
        one = nodes[name]
        losses = [one["lost"].get("collided", 0), one["lost"].get("half_duplex", 0)]
        mail = [one["sent"], one["to_it"], one["arrived"]]
        battery = [percent(one["battery_left"]), one["battery_days"]] if "battery_left" in one else ["", ""]
        rows.append([name, one["airtime_s"], percent(one["duty"]), *losses, *mail, *battery[:more]])
    heads = ["node", "seconds on air", "of its duty cycle", "collisions", "missed while sending"]
    heads += ["messages sent", "for it", "arrived", "battery left", "days a full one lasts"][: 3 + more]
    return card("nodes", "Nodes", *parts, folded("Nodes as a table", table(heads, rows, "Nodes")))


def receptions(figures: dict[str, Any]) -> Markup:
    """What became of packets at everybody in reach."""
    title, fates = "Collisions and losses", figures["fates"]
    total = sum(fates.values())
    if not total:
        return card("receptions", title, tag("p", _SILENT))
    stacks = []
    rows: list[list[Content]] = []
    for fate, words in _FATES.items():
        times = fates[fate]
        if times:
            note = f"{times}, {percent(round(times / total, 3))}"
            looks = "got" if fate == "received" else "lost"
            stacks.append(Stack(fate.replace("_", " "), [(looks, times)], note))
            rows.append([words, times, percent(round(times / total, 4))])
    about = f"{figures['frames']} packets were noticed {total} times by the radios in reach of their senders."
    return card(
        "receptions",
        title,
        tag("p", about, class_="soft"),
        bars("receptions", "What became of packets at receivers", about, stacks),
        folded("As a table", table(["what became of it", "times", "share"], rows, "Packets at receivers")),
    )
