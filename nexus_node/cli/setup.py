"""Verbs: init, id (N1)."""

from pathlib import Path

import click

from nexus_node.base.errors import IdentityError, InputError
from nexus_node.config import NodeConfig, default_name, load_config, write_template
from nexus_node.config.load import check_config

from .app import App, Item, json_option, pass_app
from .home import CONFIG, IDENTITY, command, describe, make_home, read_identity, read_passphrase, write_new
from .text import clean


@click.command()
@click.option("--name", help="What your contact link suggests to others as your name.")
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Seal the private key under the passphrase on this file's first line.",
)
@click.option("--if-missing", is_flag=True, help="Keep an identity that is there already.")
@json_option
@pass_app
def init(app: App, name: str | None, passphrase_file: Path | None, if_missing: bool) -> None:
    """Make a home with a configuration and a new identity."""
    home = app.home
    is_there = (home / IDENTITY).exists()
    if is_there and not if_missing:
        raise _taken(home)
    passphrase = None if passphrase_file is None else read_passphrase(passphrase_file)
    make_home(home)
    config = _write_config(home, name)
    if is_there:
        app.note(f"{home} has an identity already; it was kept.")
    else:
        _write_identity(home, passphrase)
        app.note(f"A new identity is in {home / IDENTITY}, the configuration in {home / CONFIG}.")
        app.note(_protection(home, passphrase))
    app.answer(dict(describe(read_identity(home), config)), _show)


def _write_config(home: Path, name: str | None) -> NodeConfig:
    """Write a new configuration, or keep the one there."""
    path = home / CONFIG
    if not path.exists():
        made = check_config({"name": default_name() if name is None else name})
        write_new(path, write_template(made.name).encode(), 0o600)
        return made
    there = load_config(path)
    if name not in (None, there.name):
        raise InputError(
            f'{path} is there already and says name = "{there.name}"; change the name in that file'
        )
    return there


def _write_identity(home: Path, passphrase: bytes | None) -> None:
    from nexus_node.crypto.identity import Identity
    from nexus_node.crypto.keyfile import dump_identity
    from nexus_node.runtime.rng import OsRng

    rng = OsRng()
    try:
        write_new(home / IDENTITY, dump_identity(Identity.generate(rng), passphrase, rng), 0o600)
    except FileExistsError:
        raise _taken(home) from None


def _taken(home: Path) -> IdentityError:
    return IdentityError(
        f"{home / IDENTITY} is there already and is never overwritten; keep it with --if-missing, "
        "or choose another --home"
    )


def _protection(home: Path, passphrase: bytes | None) -> str:
    if passphrase is not None:
        return "The private key in it is sealed under your passphrase; without the passphrase it is lost."
    return (
        "No passphrase was chosen: the private key lies in it unencrypted, with mode 0600.\n"
        "To have one sealed instead, remove that file before anybody knows this identity, and run:\n"
        f"  {command(home)} init --passphrase-file FILE"
    )


@click.command("id")
@json_option
@pass_app
def id_(app: App) -> None:
    """Show this node's address and contact link."""
    app.answer(dict(describe(read_identity(app.home), load_config(app.home / CONFIG))), _show)


def _show(item: Item) -> None:
    for key in ("name", "address", "node_id", "uri"):
        click.echo(f"{key:<8}  {clean(item[key])}")
