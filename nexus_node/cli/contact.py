"""Verbs: contact add, list, show, remove, trust."""

from collections.abc import Iterable

import click

from .app import App, Item, json_option, pass_app
from .text import clean

TRUST = ("untrusted", "trusted", "verified")


@click.group()
def contact() -> None:
    """Manage the people this node knows by name."""


@contact.command()
@click.argument("name")
@click.argument("uri")
@json_option
@pass_app
def add(app: App, name: str, uri: str) -> None:
    """Add the person behind a contact link under a name of your choice."""
    _request(app, "contact.add", {"name": name, "uri": uri})


@contact.command("list")
@json_option
@pass_app
def list_(app: App) -> None:
    """List all contacts."""
    with app.node() as node:
        app.answer_each(node.stream("contact.list"), _show_list)


@contact.command()
@click.argument("name")
@click.option("--qr", is_flag=True, help="Show the contact link as a QR code as well.")
@json_option
@pass_app
def show(app: App, name: str, qr: bool) -> None:
    """Show a contact."""
    result = _request(app, "contact.show", {"name": name})
    if qr:
        from . import render

        render.qr(result["uri"], err=app.as_json)


@contact.command()
@click.argument("name")
@json_option
@pass_app
def remove(app: App, name: str) -> None:
    """Forget a contact; messages stay."""
    _request(app, "contact.remove", {"name": name})


@contact.command()
@click.argument("name")
@click.argument("trust", type=click.Choice(TRUST), required=False)
@json_option
@pass_app
def trust(app: App, name: str, trust: str | None) -> None:
    """Say how far a contact is trusted (verified: keys compared in person), or show it."""
    _request(app, "contact.trust", {"name": name} | ({} if trust is None else {"trust": trust}))


def _request(app: App, verb: str, args: dict[str, str]) -> Item:
    with app.node() as node:
        result = node.request(verb, args)
    app.answer(result, _show)
    return result


def _show(item: Item) -> None:
    from . import render

    rows = [(key, clean(str(item[key]))) for key in ("name", "trust", "address", "node_id", "uri")]
    if not item.get("end_to_end", True):
        rows = [("name", clean(item["name"])), ("uri", clean(item["uri"])), ("trust", "not end-to-end")]
    rows += [("relay", clean(address)) for address in item["relays"]]
    render.table(("", ""), rows)


def _trust(item: Item) -> str:
    return clean(item["trust"]) if item.get("end_to_end", True) else "not end-to-end"


def _where(item: Item) -> str:
    return clean(item["address"] if item.get("end_to_end", True) else item["uri"])


def _show_list(items: Iterable[Item]) -> None:
    from . import render

    render.table(
        ("name", "trust", "address"),
        ((clean(item["name"]), _trust(item), _where(item)) for item in items),
    )
