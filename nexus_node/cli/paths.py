"""Verbs: paths, trace (N4)."""

from collections.abc import Iterable, Iterator
from math import inf

import click

from .app import App, Item, json_option, pass_app
from .errors import NOT_IN_TIME, Failure
from .text import clean


@click.command()
@click.argument("address", required=False)
@json_option
@pass_app
def paths(app: App, address: str | None) -> None:
    """Show the paths to all known nodes, or to one of them.

    ADDRESS is an address of 32 hex digits or the name of a contact.
    """
    with app.node() as node:
        args = {} if address is None else {"address": address}
        app.answer_each(node.stream("paths", args), _show_paths)


def _show_paths(items: Iterable[Item]) -> None:
    from . import render

    rows = list(items)
    names = {row["destination"]: row["name"] for row in rows if row["name"] is not None}
    render.table(
        ("destination", "next hop", "carrier", "hops", "rate", "mtu", "latency", "cost", "age", ""),
        (
            (
                _who(row["destination"], row["name"]),
                _who(row["next_hop"], names.get(row["next_hop"])),
                clean(row["carrier"] or "-"),
                render.number(row["hops"]),
                render.rate(row["bps"]),
                render.number(row["mtu"]),
                render.number(row["latency_ms"], " ms"),
                render.number(row["cost"]),
                "-" if row["age_s"] is None else render.duration(row["age_s"]),
                render.state(", ".join(word for word in ("best", "stale") if row[word])),
            )
            for row in rows
        ),
        whole=True,
    )


@click.command()
@click.argument("address")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How long to wait for answers.",
)
@json_option
@pass_app
def trace(app: App, address: str, timeout_s: float) -> None:
    """Show the nodes on the way to ADDRESS, and how far away they are.

    ADDRESS is an address of 32 hex digits or the name of a contact. Every node on the way answers for
    itself; the exit code is 4 if the last one does not.
    """
    if not timeout_s < inf:
        raise click.UsageError("--timeout is a number of seconds")
    heard: list[Item] = []

    def hops() -> Iterator[Item]:
        for hop in node.stream("trace", {"to": address, "timeout_s": timeout_s}):
            heard.append(hop)
            yield hop

    with app.node() as node:
        app.answer_each(hops(), _show_trace)
    if any(hop["last"] for hop in heard):
        return
    words = "nobody on the way answered"
    if heard:
        farthest = max(heard, key=lambda hop: int(hop["hop"]))
        words = f"silent after hop {farthest['hop']}, {_who(farthest['address'], farthest['name'])}"
    raise Failure(
        f"{address} did not answer within {timeout_s:g} s, {words}; for other ways see: nexus paths",
        NOT_IN_TIME,
    )


def _show_trace(hops: Iterable[Item]) -> None:
    from . import render

    for hop in hops:  # each as soon as it is there, so the widths are given: an address has 32 digits
        render.line(
            f"{hop['hop']:>3}", f"{_who(hop['address'], hop['name']):<32}", f"{hop['rtt_ms']:>9.1f} ms"
        )


def _who(address: str | None, name: str | None) -> str:
    return clean(name or address or "-")
