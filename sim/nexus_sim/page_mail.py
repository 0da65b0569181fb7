"""The parts of a run's page about messages: between whom, when, how fast, and what did not arrive."""

from typing import Any

from nexus_sim.charts import Curve, curves, legend
from nexus_sim.maps import LINKS_MAX, Line, Spot, drawn_map, radio_lines
from nexus_sim.markup import Content, Markup, folded, table, tag
from nexus_sim.outcome import Outcome
from nexus_sim.page_words import ROWS_MAX, card, duration, percent

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_MARKS = [
    (at, duration(at))
    for at in (0.001, 0.01, 0.1, 1, 10, 60, 600, _HOUR_S, 4 * _HOUR_S, _DAY_S, 7 * _DAY_S, 30 * _DAY_S)
]
"""On an axis of latency."""


def site(outcome: Outcome, figures: dict[str, Any]) -> Markup:
    """The map."""
    radio = radio_lines(outcome.reach)
    lines = [*(Line(a, b, None) for a, b in outcome.wires), *radio]
    spots = [_spot(outcome, name, one) for name, one in figures["by_node"].items()]
    about = (
        f"{len(spots)} nodes, {len(outcome.wires)} pairs that a wire joined at some time, "
        f"{len(radio)} pairs in reach of each other's radio at the end."
    )
    key = (
        "Squares keep mail for others; hollow nodes are off at the end; a red rim says that something for a "
        "node has not arrived. Green lines are radio links, the fuller the stronger (from 10 and from 0 dB "
        "above the noise), dotted if they work one way only; dashed blue lines are wires, Wi-Fi or meetings."
    )
    parts = [tag("p", about, class_="soft"), drawn_map(outcome.places, spots, lines, about)]
    parts.append(tag("p", key, class_="soft"))
    if len(lines) > LINKS_MAX:
        parts.append(tag("p", f"Of {len(lines)} links the strongest {LINKS_MAX} are shown."))
    rows: list[list[Content]] = []
    for line in lines[:LINKS_MAX]:
        strength = "wire" if line.snr_db is None else line.snr_db
        rows.append([line.a, line.b, strength, "both ways" if line.both else "one way"])
    heads = ["from", "to", "SNR, dB", "works"]
    return card("map", "Map", *parts, folded("Links as a table", table(heads, rows, "Links")), class_="wide")


def _spot(outcome: Outcome, name: str, one: dict[str, Any]) -> Spot:
    classes, words = ["plain"], [name]
    if name in outcome.relays:
        classes = ["relay"]
        words.append("keeps mail for others")
    if name in outcome.off:
        classes.append("off")
        words.append("off at the end")
    if one["arrived"] < one["to_it"]:
        classes.append("missed")
    words.append(f"{one['sent']} messages sent")
    words.append(f"{one['arrived']} of {one['to_it']} for it arrived")
    words.append(f"{duration(one['airtime_s'])} on air")
    return Spot(name, "; ".join(words), " ".join(classes))


def delivery(outcome: Outcome) -> Markup:
    """Messages sent and arrived over time."""
    messages = outcome.record.messages.values()
    sent = sorted(one.sent_s for one in messages)
    arrived = sorted(one.received_s for one in messages if one.received_s is not None)
    end = outcome.virtual_s
    about = f"{len(sent)} messages were sent and {len(arrived)} arrived within {duration(end)}."
    lines = [
        Curve("sent", "sent", _climb(sent, end)),
        Curve("arrived", "arrived", _climb(arrived, end)),
    ]
    x = (0.0, end / _HOUR_S)
    words = "hours", "messages"
    rows: list[list[Content]] = []
    for tenth in range(1, 11):
        until = end * tenth / 10
        rows.append([duration(until), sum(at <= until for at in sent), sum(at <= until for at in arrived)])
    return card(
        "delivery",
        "Delivery",
        tag("p", about, class_="soft"),
        legend([("sent", "sent"), ("arrived", "arrived")]),
        curves("delivery", "Messages sent and arrived", about, lines, words, x=x, y_most=len(sent)),
        folded("As a table", table(["until", "sent", "arrived"], rows, "Messages sent and arrived")),
    )


def _climb(times: list[float], end: float) -> list[tuple[float, float]]:
    """A count that rises by one at each time, in hours."""
    steps = [(at / _HOUR_S, float(number)) for number, at in enumerate(times, 1)]
    return [(0.0, 0.0), *steps, (end / _HOUR_S, float(len(times)))]


def latency(outcome: Outcome) -> Markup:
    """How much of what was sent had arrived within which time."""
    messages = outcome.record.messages.values()
    delays = sorted(one.received_s - one.sent_s for one in messages if one.received_s is not None)
    if not delays:
        return card("latency", "Latency", tag("p", "Nothing has arrived."))
    reached = 100 * len(delays) / len(messages)
    low, high = max(delays[0], 1e-3) * 0.9, max(delays[-1], 1e-2) * 1.1
    points = [(low, 0.0)]
    points += [(delay, reached * number / len(delays)) for number, delay in enumerate(delays, 1)]
    points.append((high, reached))
    slowest = duration(delays[-1])
    about = f"Half of what arrived took at most {duration(delays[len(delays) // 2])}, the slowest {slowest}."
    words = "after (logarithmic)", "% of the messages sent"
    rows: list[list[Content]] = []
    for share in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0):
        rows.append([percent(share), duration(delays[min(len(delays) - 1, int(share * len(delays)))])])
    line = Curve("arrived", "arrived", points)
    return card(
        "latency",
        "Latency",
        tag("p", about, class_="soft"),
        curves("latency", "Latency", about, [line], words, x=(low, high), y_most=100.0, marks=_MARKS),
        folded("As a table", table(["of what arrived", "within"], rows, "Latency of what arrived")),
    )


def undelivered(outcome: Outcome, figures: dict[str, Any]) -> Markup:
    """What has not arrived, and why."""
    title, sent = "Not delivered", figures["messages_sent"]
    missing = [one for one in outcome.record.messages.values() if one.received_s is None]
    photos = _photos(outcome, figures)
    if not missing:
        all_here = "Everything that was sent has arrived." if photos is None else "All messages have arrived."
        return card("undelivered", title, tag("p", all_here), photos)
    reasons: list[list[Content]] = [
        [why or "no reason is known", times] for why, times in figures["undelivered"].items()
    ]
    rows: list[list[Content]] = [
        [duration(one.sent_s), one.sender, one.recipient, len(one.text), one.state.value, one.why]
        for one in missing[:ROWS_MAX]
    ]
    heads = ["sent at", "from", "to", "bytes", "state", "why"]
    words = f"{len(missing)} of {sent} messages had not arrived at the end. Why, as their senders explain it:"
    parts = [
        tag("p", words),
        table(["why", "messages"], reasons, "Why messages have not arrived"),
        folded("Each message", table(heads, rows, "Messages that have not arrived")),
    ]
    if len(missing) > ROWS_MAX:
        parts.append(tag("p", f"The first {ROWS_MAX} of {len(missing)}."))
    return card("undelivered", title, *parts, photos)


def _photos(outcome: Outcome, figures: dict[str, Any]) -> Markup | None:
    """Photos that have not arrived, and why: their texts have gone ahead."""
    missing = [one for one in outcome.record.photos.values() if one.photo_s is None]
    if not missing:
        return None
    reasons: list[list[Content]] = [[why, times] for why, times in figures["photos_undelivered"].items()]
    rows: list[list[Content]] = [
        [duration(one.sent_s), one.sender, one.recipient, one.state.value, one.photo_why]
        for one in missing[:ROWS_MAX]
    ]
    words = f"{len(missing)} of {figures['photos_sent']} photos had not arrived at the end. Why:"
    heads = ["sent at", "from", "to", "state", "why"]
    return tag(
        "div",
        tag("p", words),
        table(["why", "photos"], reasons, "Why photos have not arrived"),
        folded("Each photo", table(heads, rows, "Photos that have not arrived")),
    )
