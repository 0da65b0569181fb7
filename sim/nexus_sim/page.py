"""The page of a run: one HTML file that needs nothing beside it and asks nobody for anything."""

from pathlib import Path
from typing import Any

from nexus_sim import page_air, page_mail
from nexus_sim.markup import Content, Markup, folded, table, tag
from nexus_sim.outcome import Outcome
from nexus_sim.page_words import ROWS_MAX, card, duration, percent

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WIDTH = "width=device-width, initial-scale=1"


def page(outcome: Outcome, figures: dict[str, Any], command: str) -> str:
    """The whole file. `figures` are those of the run's JSON, `command` repeats the run."""
    name = outcome.scenario.name
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content=_WIDTH),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{name}: {figures['delivered']} of {figures['messages_sent']} messages arrived"),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    cards = [
        page_mail.site(outcome, figures),
        page_mail.delivery(outcome),
        page_mail.latency(outcome),
        page_air.kinds(figures),
        page_air.over_time(outcome),
        page_air.by_node(figures),
        page_air.receptions(figures),
        page_mail.undelivered(outcome, figures),
        _counters(figures),
    ]
    hashed = f"Hash of all events: {figures['log_hash']}. All figures are in run.json beside this page."
    main = tag(
        "main",
        tag("h1", name),
        tag("p", outcome.scenario.about or None, class_="soft"),
        _tiles(figures),
        _breaches(figures["breaches"]),
        tag("div", cards, class_="cards"),
        tag("footer", tag("p", "The same run again: ", tag("code", command)), tag("p", hashed)),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", main), lang="en") + "\n"


def _tiles(figures: dict[str, Any]) -> Markup:
    """The first look."""
    latency = figures["latency_s"]
    shown = {
        "messages sent": str(figures["messages_sent"]),
        "arrived": f"{figures['delivered']} ({percent(figures['delivery_ratio'])})",
        "half of them within": duration(latency["p50"]),
        "nine in ten within": duration(latency["p90"]),
        "nodes": str(figures["nodes"]),
        "virtual time": duration(figures["virtual_s"]),
        "packets on air": str(figures["frames"]),
        "time on air, all nodes": duration(figures["airtime_s"]),
        "busiest node, of its duty cycle": percent(figures["highest_duty"]),
        "duty cycle broken": f"{figures['duty_violations']} times",
    }
    if figures["photos_sent"]:
        shown["photos arrived"] = f"{figures['photos_arrived']} of {figures['photos_sent']}"
    boxes = [tag("div", tag("dt", name), tag("dd", value)) for name, value in shown.items()]
    if figures["breaches"]:
        boxes.append(
            tag("div", tag("dt", "must not happen"), tag("dd", len(figures["breaches"])), class_="bad")
        )
    return tag("dl", boxes, class_="tiles")


def _breaches(found: list[str]) -> Markup | None:
    """What must never happen and did."""
    if not found:
        return None
    items = [tag("li", one) for one in found[:ROWS_MAX]]
    return card("breaches", "What must not happen, and did", tag("ul", items), class_="bad")


def _counters(figures: dict[str, Any]) -> Markup:
    """What nodes refused or did again."""
    rows: list[list[Content]] = [
        [name.replace("_", " "), times] for name, times in figures["counters"].items()
    ]
    rows += [[f"turned away meanwhile: {why}", times] for why, times in figures["refused_meanwhile"].items()]
    words = "What nodes counted while they were on, added up; most of it is in order."
    shown = folded("As a table", table(["what", "times"], rows, "Counters"))
    return card("counters", "Counters", tag("p", words, class_="soft"), shown)
