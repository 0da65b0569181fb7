"""Verbs: send, inbox, outbox, cancel, decline (N9)."""

import sys
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Any

import click

from nexus_node.base.errors import InputError
from nexus_node.base.limits import TEXT_MAX
from nexus_node.base.states import State
from nexus_node.client.errors import ControlError
from nexus_node.client.sync import ControlClient

from .app import BPS, App, Item, json_option, pass_app
from .errors import FAILED, NOT_IN_TIME, Failure
from .text import clean


@click.command()
@click.argument("to")
@click.argument("text")
@click.option(
    "--file",
    "files",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Attach a file; may be given several times.",
)
@click.option(
    "--min-bandwidth",
    type=BPS,
    metavar="BPS",
    help="Wait for a link this fast (bit/s): the files, or without files the text.",
)
@click.option(
    "--wait",
    "wait_for",
    type=click.Choice([state.value for state in State]),
    help="Return once the message has come this far.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="S", help="With --wait: give up waiting."
)
@json_option
@pass_app
def send(
    app: App,
    to: str,
    text: str,
    files: tuple[Path, ...],
    min_bandwidth: int | None,
    wait_for: str | None,
    timeout_s: float | None,
) -> None:
    """Send TEXT to a contact or a group.

    A TEXT of - is read from standard input. Returns once the message is on disk, files and all: from then
    on it arrives or is reported as failed or expired. The text goes at once; a file waits until there is
    a link fast enough for it: 10 kbit/s for an image, 100 kbit/s for anything above 1 MB.
    """
    if timeout_s is not None and wait_for is None:
        raise click.UsageError("--timeout goes with --wait: say which state to wait for")
    if timeout_s is not None and not timeout_s < inf:
        raise click.UsageError("--timeout is a number of seconds; leave it out to wait for ever")
    args: dict[str, Any] = {"to": to, "text": read_text(text)}
    if min_bandwidth is not None:
        args["min_bandwidth"] = min_bandwidth
    if files:
        args["files"] = [str(path.absolute()) for path in files]
    with app.node() as node:
        result = node.request("send.files" if files else "send", args)
        if wait_for is None:
            app.answer(result, _show_sent)
            return
        reached, late = _wait(node, result, State(wait_for), timeout_s)
    app.answer(reached, _show_sent)
    if late is not None:
        raise Failure(late, NOT_IN_TIME)
    if not _is_reached(State(reached["state"]), State(wait_for)):
        why = reached.get("why")
        raise Failure(f"the message {reached['state']}" + (f": {why}" if why else ""), FAILED)


def _wait(node: ControlClient, sent: Item, state: State, timeout_s: float | None) -> tuple[Item, str | None]:
    """Where the message is in the end, and if that took too long, the words for it."""
    args = {"id": sent["id"], "state": state.value}
    try:
        return node.request("wait", args if timeout_s is None else args | {"timeout_s": timeout_s}), None
    except ControlError as error:
        if error.code != "timeout":
            raise
        return sent | {"state": error.details.get("state", sent["state"])}, str(error)


def _is_reached(state: State, wanted: State) -> bool:
    return state.rank >= wanted.rank and (wanted.gave_up or not state.gave_up)


def read_text(text: str) -> str:
    """The message text, from standard input if it is `-`. Raises `InputError` if it cannot be sent."""
    try:
        if text == "-":
            data = sys.stdin.buffer.read(TEXT_MAX + 1)
            text = data.decode("utf-8") if len(data) <= TEXT_MAX else ""
        else:
            data = text.encode("utf-8")
    except UnicodeError as error:
        raise InputError(
            "the text is not UTF-8; convert it first, or store it as a file with: nexus put"
        ) from error
    if len(data) > TEXT_MAX:
        raise InputError(
            f"the text is longer than {TEXT_MAX} bytes; shorten it, or store it as a file with: nexus put"
        )
    return text


def _show_sent(result: Item) -> None:
    from . import render

    render.line(render.state(result["state"]), result["id"])


@click.command()
@click.option("--follow", is_flag=True, help="Go on with new messages as they come.")
@click.option("--since", metavar="ID", help="Only messages after this one.")
@click.option("--from", "sender", metavar="NAME", help="Only messages from this contact.")
@json_option
@pass_app
def inbox(app: App, follow: bool, since: str | None, sender: str | None) -> None:
    """Show received messages."""
    args: dict[str, Any] = {"follow": follow}
    if since is not None:
        args["since"] = since
    if sender is not None:
        args["from"] = sender
    with app.node() as node:
        app.answer_each(node.stream("inbox", args), _show_inbox)


def _show_inbox(items: Iterable[Item]) -> None:
    from . import render

    for item in items:
        render.message(item)


@click.command()
@json_option
@pass_app
def outbox(app: App) -> None:
    """Show sent messages and how far each has come."""
    with app.node() as node:
        app.answer_each(node.stream("outbox"), _show_outbox)


def _show_outbox(items: Iterable[Item]) -> None:
    from . import render

    render.table(
        ("when", "to", "state", "id", ""),
        (
            (
                render.when(item["facts"][0]["at_ms"]) if item["facts"] else "",
                clean(item["to"]),
                render.state(item["state"]),
                item["id"][:16],
                outbox_reason(item),
            )
            for item in items
        ),
    )


@click.command()
@click.argument("message_id", metavar="MESSAGE")
@json_option
@pass_app
def cancel(app: App, message_id: str) -> None:
    """Send nothing more of a message.

    MESSAGE is an id as nexus outbox shows it, or how it begins. What has left may arrive all the same; who
    is fetching a file of it is told, and forgets the part it has.
    """
    with app.node() as node:
        app.answer(node.request("message.cancel", {"id": message_id}), _show_sent)


@click.command()
@click.argument("object_id", metavar="OBJECT")
@json_option
@pass_app
def decline(app: App, object_id: str) -> None:
    """Turn down a file that somebody has sent and that is not here yet.

    OBJECT is how nexus inbox calls it. What is here of it is deleted, and its sender told.
    """
    with app.node() as node:
        app.answer(node.request("file.decline", {"object": object_id}), _show_declined)


def _show_declined(result: Item) -> None:
    from . import render

    render.line(render.state(result["state"]), result["object"])


def outbox_reason(item: Item) -> str:
    """Why a message has not come further."""
    from . import render

    held, facts = item["held"], item["facts"]
    if held is not None:
        why = f"needs {render.rate(held['needs_bps'])}, the best link has {render.rate(held['best_bps'])}"
    elif item["state"] in (State.FAILED, State.EXPIRED):
        why = clean(facts[-1]["by"]) if facts else ""
    else:
        why = clean(item["why"] or "")
    progress = render.progress(item["bytes_done"], item["bytes_total"], item.get("eta_s"))
    return " ".join(part for part in (progress, why) if part)
