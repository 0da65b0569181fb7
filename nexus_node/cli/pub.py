"""Verbs: publish, subscribe, unsubscribe, subscriptions, published (N8)."""

from collections.abc import Iterable

import click

from nexus_node.base.errors import InputError

from .app import App, Item, json_option, pass_app
from .text import clean


@click.command()
@click.argument("topic")
@click.argument("text", required=False)
@click.option(
    "--object", "object_id", metavar="ID", help="Point to an object that was put, instead of a text."
)
@click.option(
    "--ttl",
    "ttl_s",
    type=click.IntRange(1, 30 * 86_400),
    metavar="S",
    help="How long it lives: a week, if left out.",
)
@json_option
@pass_app
def publish(app: App, topic: str, text: str | None, object_id: str | None, ttl_s: int | None) -> None:
    """Publish TEXT on a topic.

    TOPIC is key:HEX, scope:geo/a/b, scope:topic/a/b or node:OWN-ADDRESS. Anybody can read it.
    """
    if (text is None) == (object_id is None):
        raise InputError("publish either a text or, with --object, an object")
    given = {"topic": topic, "text": text, "object": object_id, "ttl_s": ttl_s}
    _request(app, "publish", {key: value for key, value in given.items() if value is not None})


@click.command()
@click.argument("topic")
@click.option(
    "--mode",
    type=click.Choice(["push", "digest", "hint"]),
    default="push",
    show_default=True,
    help="At once and whole where links are fast, gathered for a minute, or announced before it is fetched.",
)
@json_option
@pass_app
def subscribe(app: App, topic: str, mode: str) -> None:
    """Hear what is published on a topic.

    TOPIC is key:HEX, prefix:HEX, node:ADDRESS, scope:geo/a/b or, with all below it, scope:geo/a/*.
    """
    _request(app, "subscribe", {"topic": topic, "mode": mode})


@click.command()
@click.argument("topic")
@json_option
@pass_app
def unsubscribe(app: App, topic: str) -> None:
    """End a subscription."""
    _request(app, "unsubscribe", {"topic": topic})


@click.command()
@json_option
@pass_app
def subscriptions(app: App) -> None:
    """List the subscriptions."""
    with app.node() as node:
        app.answer_each(node.stream("subscriptions"), _show_subscriptions)


@click.command()
@json_option
@pass_app
def published(app: App) -> None:
    """Show what was published where this node has subscribed.

    What it has published itself is among it.
    """
    with app.node() as node:
        app.answer_each(node.stream("published"), _show_published)


def _request(app: App, verb: str, args: Item) -> None:
    with app.node() as node:
        result = node.request(verb, args)
    show = _show_published if verb == "publish" else _show_subscriptions
    app.answer(result, lambda item: show([item]))


def _show_subscriptions(items: Iterable[Item]) -> None:
    from . import render

    render.table(("topic", "mode"), ((clean(item["topic"]), item.get("mode", "ended")) for item in items))


def _show_published(items: Iterable[Item]) -> None:
    from . import render

    for item in items:
        what = item["text"] if item["text"] is not None else f"object {item['refers']}"
        render.line(
            render.when(item["published_ms"]), clean(item["topic"]), clean(item["publisher"][:8]), clean(what)
        )
