"""Verbs: put, get, objects, remove (N7)."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from nexus_node.base.errors import InputError

from .app import BPS, App, Item, json_option, pass_app
from .text import clean


@click.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option(
    "--min-bandwidth",
    type=BPS,
    metavar="BPS",
    help="Send it only over links this fast (bit/s).",
)
@click.option(
    "--ttl", "ttl_s", type=click.IntRange(1, 10**10), metavar="S", help="Forget it after so many seconds."
)
@click.option("--name", metavar="LABEL", help="Make it the new version of your mutable object of that name.")
@json_option
@pass_app
def put(app: App, path: Path, min_bandwidth: int | None, ttl_s: int | None, name: str | None) -> None:
    """Store a file as an object, or as a new version of one that may change (--name)."""
    given = {"min_bandwidth": min_bandwidth, "ttl_s": ttl_s, "name": name}
    args = {key: value for key, value in given.items() if value is not None}
    with app.node() as node:
        result = node.request("put", {"path": str(path.absolute()), **args})
    app.answer(result, _show)


@click.command()
@click.argument("object_id", metavar="OBJECT")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="PATH"
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 10**10),
    metavar="S",
    help="How long to wait for the content of OWNER/LABEL (60 s).",
)
@click.option("--force", is_flag=True, help="Replace PATH if it is there already.")
@json_option
@pass_app
def get(app: App, object_id: str, output: Path, timeout_s: float | None, force: bool) -> None:
    """Write an object's content to a file.

    OBJECT is an id, or OWNER/LABEL: the latest version of somebody's mutable object, here or from neighbours;
    OWNER is a contact's name, or a node id.
    """
    args: dict[str, str | float] = {"name" if "/" in object_id else "object": object_id}
    if timeout_s is not None:
        args["timeout_s"] = timeout_s
    output = output.absolute()
    if os.path.lexists(output) and not force:
        raise InputError(f"{output} is there already; choose another name, or replace it with --force")
    with app.node() as node:
        if not force:
            result = node.request("get", {**args, "path": str(output)})
        else:
            # The node itself never overwrites; the new content takes the name in one step.
            with tempfile.TemporaryDirectory(prefix=".nexus-", dir=output.parent) as beside:
                result = node.request("get", {**args, "path": str(Path(beside, "content"))})
                os.replace(Path(beside, "content"), output)
    app.answer(result, _show)


@click.command()
@json_option
@pass_app
def objects(app: App) -> None:
    """List the stored objects."""
    with app.node() as node:
        app.answer_each(node.stream("objects"), _show_all)


@click.command()
@click.argument("object_id", metavar="OBJECT")
@json_option
@pass_app
def remove(app: App, object_id: str) -> None:
    """Let go of an object that was put.

    Its room is free at once. Who has fetched it keeps what it has.
    """
    with app.node() as node:
        app.answer(node.request("object.remove", {"object": object_id}), _show_removed)


def _show_removed(item: Item) -> None:
    from . import render

    render.line("removed", item["object"])


def _show(item: Item) -> None:
    _show_all([item])


def _show_all(items: Iterable[Item]) -> None:
    from . import render

    render.table(
        ("object", "kind", "size", "", "version"),
        (
            (
                item["object"],
                clean(item.get("kind", "")),
                render.size(item["size"]),
                render.progress(_bytes_here(item), item["size"], item.get("eta_s")),
                f"{item['sequence']} of {clean(item['name'])}" if "name" in item else "",
            )
            for item in items
        ),
    )


def _bytes_here(item: Item) -> int:
    return int(item["size"] * item["chunks_have"] // max(1, item["chunks_total"]))
