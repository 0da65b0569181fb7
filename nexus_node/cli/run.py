"""Verb: run."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nexus_node.base.errors import ConfigError, IdentityError
from nexus_node.client.path import SOCKET_NAME
from nexus_node.config import load_config, parse_carrier_option
from nexus_node.crypto.keyfile_format import public_part

from .app import App, pass_app
from .errors import bad_option
from .home import CONFIG, describe, read_identity, read_passphrase

if TYPE_CHECKING:
    from nexus_node.crypto.identity import Identity


@click.command()
@click.option(
    "--carrier",
    "carriers",
    multiple=True,
    metavar="'DRIVER key=value ...'",
    help="A carrier besides the configured ones; repeatable.",
)
@click.option("--relay", is_flag=True, help="Keep mail for others, as `enabled = true` in [relay] does.")
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Open a sealed identity with the passphrase on this file's first line.",
)
@click.option("--show-contact", is_flag=True, help="Show how to reach this node once it is ready.")
@click.pass_context
@pass_app
def run(
    app: App,
    ctx: click.Context,
    carriers: tuple[str, ...],
    relay: bool,
    passphrase_file: Path | None,
    show_contact: bool,
) -> None:
    """Run the node in the foreground.

    Says `ready` on standard error once it takes requests. SIGTERM or Ctrl-C end it.
    """
    home = app.home
    try:
        added = tuple(parse_carrier_option(carrier) for carrier in carriers)
    except ConfigError as error:
        raise bad_option(error) from error
    identity_file = read_identity(home)
    config = load_config(home / CONFIG)
    config = replace(
        config,
        carriers=config.carriers + added,
        relay=replace(config.relay, enabled=config.relay.enabled or relay),
    )
    identity = _open_identity(identity_file, passphrase_file)

    def on_ready() -> None:
        if not config.carriers:
            app.note(f"No carrier is configured, so nobody can reach this node; add one in {home / CONFIG}.")
        if show_contact:
            _show_contact(home, describe(identity_file, config)["uri"])
        click.echo("ready", err=True)

    from nexus_node.runtime.service import run_node

    ctx.exit(run_node(home, config, identity, on_ready))


def _open_identity(identity_file: bytes, passphrase_file: Path | None) -> "Identity":
    from nexus_node.crypto.keyfile import load_identity

    _, is_sealed = public_part(identity_file)
    if not is_sealed:
        return load_identity(identity_file, None)
    if passphrase_file is not None:
        return load_identity(identity_file, read_passphrase(passphrase_file))
    if not sys.stdin.isatty():
        raise IdentityError(
            "the identity is sealed, and no terminal is here to ask its passphrase on; give --passphrase-file"
        )
    asked: str = click.prompt("Passphrase", hide_input=True, err=True)
    return load_identity(identity_file, asked.encode("utf-8", "surrogateescape"))


def _show_contact(home: Path, uri: str) -> None:
    from . import render

    click.echo(f"contact link    {uri}")
    render.qr(uri)
    click.echo(f"control socket  {home / SOCKET_NAME}")
