"""Verbs: group create, add, accept, remove, leave, rotate, promote, demote, show, list (N11, N12)."""

from collections.abc import Iterable

import click

from .app import App, Item, json_option, pass_app
from .text import clean

PERMISSIONS = ("full", "members", "rotation")


@click.group()
def group() -> None:
    """Talk in groups, and say who is in them."""


@group.command()
@click.argument("name")
@click.option(
    "--signed", is_flag=True, help="Sign each message: 64 bytes more, and nobody can write for another."
)
@json_option
@pass_app
def create(app: App, name: str, signed: bool) -> None:
    """Make a new group, of which you are the admin."""
    _request(app, "create", name=name, signed=signed)


@group.command()
@click.argument("name")
@click.argument("contact")
@json_option
@pass_app
def add(app: App, name: str, contact: str) -> None:
    """Make a contact a member; it reads what is written from now on."""
    _request(app, "add", name=name, contact=contact)


@group.command()
@click.argument("name")
@json_option
@pass_app
def accept(app: App, name: str) -> None:
    """Accept the invitation of somebody who is not among your contacts."""
    _request(app, "accept", name=name)


@group.command()
@click.argument("name")
@click.argument("contact")
@json_option
@pass_app
def remove(app: App, name: str, contact: str) -> None:
    """Remove a member, by the contact's name or its address; it reads nothing written from now on."""
    _request(app, "remove", name=name, contact=contact)


@group.command()
@click.argument("name")
@click.option("--ttl", type=click.IntRange(min=1), metavar="S", help="Good for so many seconds; else a week.")
@click.option("--renew", is_flag=True, help="Make another: the last one is good for nothing any more.")
@click.option("--qr", is_flag=True, help="Show the link as a QR code as well.")
@json_option
@pass_app
def invite(app: App, name: str, ttl: int | None, renew: bool, qr: bool) -> None:
    """Show a link with which anybody who has it can join."""
    args: Item = {"name": name, "renew": renew} | ({} if ttl is None else {"ttl_s": ttl})
    with app.node() as node:
        result = node.request("group.invite", args)
    app.answer(result, lambda item: click.echo(item["uri"]))
    if qr:
        from . import render

        render.qr(result["uri"], err=app.as_json)


@group.command()
@click.argument("uri")
@json_option
@pass_app
def join(app: App, uri: str) -> None:
    """Ask whoever made a group link to be added."""
    with app.node() as node:
        result = node.request("group.join", {"uri": uri})
    app.answer(result, lambda item: click.echo(f"asked to join {clean(item['name'])}; see: nexus group list"))


@group.command()
@click.argument("name")
@json_option
@pass_app
def leave(app: App, name: str) -> None:
    """Leave a group, or decline an invitation; messages stay."""
    _request(app, "leave", name=name)


@group.command()
@click.argument("name")
@json_option
@pass_app
def rotate(app: App, name: str) -> None:
    """Give the members a new key, if the old one may be in wrong hands."""
    _request(app, "rotate", name=name)


@group.command()
@click.argument("name")
@click.argument("contact")
@click.option(
    "--permissions",
    type=click.Choice(PERMISSIONS),
    required=True,
    help="Rotation: new keys. Members: that, and who is in the group. Full: that, and who is co-admin.",
)
@click.option("--expires", type=click.IntRange(min=1), metavar="S", help="After so many seconds it is over.")
@json_option
@pass_app
def promote(app: App, name: str, contact: str, permissions: str, expires: int | None) -> None:
    """Make a member a co-admin; a group has three at most."""
    args = {"permissions": permissions} | ({} if expires is None else {"expires_s": expires})
    _request(app, "promote", name=name, contact=contact, **args)


@group.command()
@click.argument("name")
@click.argument("contact")
@json_option
@pass_app
def demote(app: App, name: str, contact: str) -> None:
    """Make a co-admin a plain member again."""
    _request(app, "demote", name=name, contact=contact)


@group.command()
@click.argument("name")
@json_option
@pass_app
def show(app: App, name: str) -> None:
    """Show who is in a group, and who may do what."""
    _request(app, "show", name=name)


@group.command("list")
@json_option
@pass_app
def list_(app: App) -> None:
    """List all groups."""
    with app.node() as node:
        app.answer_each(node.stream("group.list"), _show_list)


def _request(app: App, verb: str, **args: object) -> None:
    with app.node() as node:
        result = node.request(f"group.{verb}", args)
    app.answer(result, _show)


def _show(item: Item) -> None:
    from . import render

    rows = [
        ("name", clean(item["name"])),
        ("group id", item["group_id"]),
        ("you are", _STANDINGS.get(item["standing"], item["standing"])),
        ("admin", clean(item["admin"]) + ("" if item["admin"] in item["admins"] else " (has left)")),
    ]
    rows += [("co-admin", f"{clean(one)} ({item['permissions'][one]})") for one in item["co_admins"]]
    rows += [("member", clean(one)) for one in item["members"]]
    rows += [("epoch", str(item["epoch"])), ("admin sequence", str(item["admin_sequence"]))]
    rows += [("messages", "signed" if item["signed"] else "not signed")]
    if item["members"] and not item["admins"]:
        rows.append(("no admin", "nobody can change the key or the members any more; make a new group"))
    if item["closed"]:
        rows.append(("waiting", "somebody was removed: nothing is sent until an admin has changed the key"))
    elif not item["key"] and item["standing"] == "member":
        rows.append(("waiting", "the present key is not here yet; it has been asked for"))
    rows += [("no effect", f"{one['operation']}: {clean(one['why'])}") for one in item["discarded"]]
    render.table(("", ""), rows)


_STANDINGS = {"member": "a member", "invited": "invited", "left": "no member any more"}


def _show_list(items: Iterable[Item]) -> None:
    from . import render

    render.table(
        ("name", "you are", "members", "admin", "epoch"),
        (
            (
                clean(item["name"]),
                _STANDINGS.get(item["standing"]) or item["standing"],
                str(len(item["members"])),
                clean(item["admin"]),
                str(item["epoch"]),
            )
            for item in items
        ),
    )
