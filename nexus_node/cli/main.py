"""The `nexus` program: its verbs, each loaded only when it is used (`--help` must stay fast on a Pi)."""

import io
import sys
from importlib import import_module
from typing import Any

import click

from nexus_node import __version__

from .app import App
from .errors import exit_codes

VERBS = {
    "init": ("setup", "Make a home with a configuration and a new identity."),
    "run": ("run", "Run the node in the foreground."),
    "id": ("setup", "Show this node's address and contact link."),
    "contact": ("contact", "Manage the people this node knows by name."),
    "send": ("message", "Send TEXT to a contact or a group."),
    "group": ("group", "Talk in groups, and say who is in them."),
    "inbox": ("message", "Show received messages."),
    "outbox": ("message", "Show sent messages and how far each has come."),
    "cancel": ("message", "Send nothing more of a message."),
    "decline": ("message", "Turn down a file that somebody has sent and that is not here yet."),
    "put": ("object", "Store a file as an object, or as a new version of one that may change (--name)."),
    "get": ("object", "Write an object's content to a file."),
    "objects": ("object", "List the stored objects."),
    "remove": ("object", "Let go of an object that was put."),
    "publish": ("pub", "Publish TEXT on a topic."),
    "subscribe": ("pub", "Hear what is published on a topic."),
    "unsubscribe": ("pub", "End a subscription."),
    "subscriptions": ("pub", "List the subscriptions."),
    "published": ("pub", "Show what was published where this node has subscribed."),
    "paths": ("paths", "Show the paths to all known nodes, or to one of them."),
    "trace": ("paths", "Show the nodes on the way to ADDRESS, and how far away they are."),
    "status": ("status", "Show what the node is doing."),
    "events": ("status", "Show what happens in the node."),
    "doctor": ("doctor", "Look for what keeps this node from working."),
}
"""Verb: its module and the line `--help` shows."""


class LazyGroup(click.Group):
    """A group that knows its verbs' names and help lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"nexus_node.cli.{VERBS[cmd_name][0]}")
        # The verb `id` must not hide Python's `id` in its module.
        command: click.Command = getattr(module, "id_" if cmd_name == "id" else cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with exit_codes():
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--home",
    metavar="DIR",
    envvar="NEXUS_HOME",
    type=click.Path(file_okay=False),
    help="Where the node keeps everything.  [env var: NEXUS_HOME; default: the user's data directory]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object a line; also after the verb.")
@click.version_option(__version__, prog_name="nexus")
@click.pass_context
def cli(ctx: click.Context, home: str | None, as_json: bool) -> None:
    """A mesh store-and-forward node and its end-to-end encrypted messenger.

    Begin with `nexus init` and `nexus run`. Exit codes: 0 ok, 1 failed, 2 usage, 3 no running node, 4 not
    reached in time.
    """
    ctx.obj = App(home, as_json)


def main() -> None:
    """Entry point of the `nexus` program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a letter shows its escape rather than a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="nexus")
