"""Verbs: status, events."""

from collections.abc import Iterable

import click

from .app import App, Item, json_option, pass_app
from .text import clean


@click.command()
@json_option
@pass_app
def status(app: App) -> None:
    """Show what the node is doing."""
    with app.node() as node:
        app.answer(node.request("status"), _show_status)


def _show_status(result: Item) -> None:
    from . import render

    queue, store, routing = result["queue"], result["store"], result["routing"]
    room = f"{render.size(store['bytes'])} of {render.size(store['quota_bytes'])}"
    counters = (f"{clean(name)} {number}" for name, number in sorted(result["counters"].items()) if number)
    render.table(
        ("", ""),
        [
            ("address", result["address"]),
            ("node", f"version {clean(result['version'])}, up {render.duration(result['uptime_s'])}"),
            ("queue", f"{queue['queued']} queued, {queue['held']} held"),
            ("store", f"{store['objects']} objects, {room}"),
            ("relay", _relay(result["relay"])),
            ("routing", f"{routing['destinations']} destinations known, {routing['wanted']} looked for"),
            ("counters", ", ".join(counters) or "-"),
        ],
    )
    if result["carriers"]:
        render.line("")
    render.table(
        ("carrier", "driver", "state", "rate", "mtu", "in", "out", "airtime", "why"),
        (
            (
                clean(carrier["label"]),
                clean(carrier["driver"]),
                render.state(carrier["state"]),
                render.rate(carrier["bps"]),
                render.number(carrier["mtu"]),
                render.size(carrier["rx_bytes"]),
                render.size(carrier["tx_bytes"]),
                _airtime(carrier),
                clean(carrier["why"] or ""),
            )
            for carrier in result["carriers"]
        ),
    )
    if result["links"]:
        render.line("")
    render.table(
        ("link", "trust", "carrier", "state", "rate", "round trip", "queued", "gossip", "rssi", "snr", ""),
        (
            (
                clean(link["name"] or link["peer"]),
                clean(link["trust"] or "-"),
                clean(link["carrier"]),
                render.state(link["state"]),
                render.rate(link["bps"]),
                render.number(link["rtt_ms"], " ms"),
                render.size(link["queued_bytes"]),
                render.rate(link["gossip_bps"]),
                render.number(link["rssi_dbm"], " dBm"),
                render.number(link["snr_db"], " dB"),
                _short(link) or (render.state("paused") if link["paused"] else _dearer(link)),
            )
            for link in result["links"]
        ),
        whole=True,
    )


def _short(link: Item) -> str:
    """How long files wait for airtime, if they do."""
    from . import render

    return f"files wait for airtime, {render.duration(link['bulk_in_s'])}" if link["bulk_in_s"] else ""


def _dearer(link: Item) -> str:
    """How much its queue adds to what a link costs, if that is much."""
    times = link["cost_times"] or 1.0
    return f"{times:.1f} times as dear by its queue" if times >= 1.5 else ""


def _relay(relay: Item) -> str:
    from . import render

    if not relay["enabled"]:
        return "off"
    room = f"{render.size(relay['bytes'])} of {render.size(relay['quota_bytes'])}"
    place = "in memory only" if relay["memory_only"] else "on disk"
    return f"keeps {relay['messages']} messages, {room}, {place}; serves {clean(relay['serve'])}"


def _airtime(carrier: Item) -> str:
    used, limit = carrier["airtime_used_s"], carrier["airtime_limit_s"]
    return "-" if limit is None else f"{used or 0:.1f} of {limit:.1f} s"


@click.command()
@click.option("--follow", is_flag=True, help="Go on with new events as they happen.")
@json_option
@pass_app
def events(app: App, follow: bool) -> None:
    """Show what happens in the node."""
    with app.node() as node:
        app.answer_each(node.stream("events", {"follow": follow}), _show_events)


def _show_events(items: Iterable[Item]) -> None:
    from . import render

    for item in items:
        at = [render.when(item["at_ms"])] if "at_ms" in item else []
        rest = (f"{clean(key)}={clean(str(item[key]))}" for key in item if key not in ("event", "at_ms"))
        render.line(*at, f"{clean(item['event']):<20}", *rest)
