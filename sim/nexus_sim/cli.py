"""The `nexus-sim` program."""

import json
import time
from pathlib import Path
from typing import Any

import click

from nexus_node import __version__
from nexus_node.base.errors import InputError
from nexus_sim.clock import virtual_run
from nexus_sim.contacts import replay
from nexus_sim.traces import read_trace


@click.group(subcommand_metavar="VERB ...", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nexus-sim")
def cli() -> None:
    """Real nodes in virtual time: the same seed, the same run. Exit codes: 0 ok, 1 failed, 2 usage."""


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@cli.command()
@click.argument("contacts", metavar="CONTACTS.csv", type=_FILE)
@click.argument("messages", metavar="MESSAGES.csv", type=_FILE)
@click.option(
    "--ttl",
    metavar="S",
    required=True,
    type=click.FloatRange(0, 3e9, min_open=True),
    help="Seconds within which a message must arrive.",
)
@click.option(
    "--bytes-per-s",
    metavar="N",
    default=250_000.0,
    type=click.FloatRange(0, 1e12),
    help="What each direction of a contact carries; 0 for no limit.  [default: 250000]",
)
@click.option("--seed", metavar="N", default=0, help="What all chance comes from.  [default: 0]")
@click.option("--direct", is_flag=True, help="Nobody carries for others.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def contacts(
    contacts: Path, messages: Path, ttl: float, bytes_per_s: float, seed: int, direct: bool, as_json: bool
) -> None:
    """Replay a contact trace with one real node per person.

    CONTACTS.csv has the columns start,end,a,b (seconds), MESSAGES.csv id,t,src,dst,size (seconds, bytes).
    """
    try:
        trace = read_trace(contacts, messages)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    begin = time.perf_counter()
    outcome = virtual_run(
        lambda: replay(trace, ttl_s=ttl, bytes_per_s=bytes_per_s, seed=seed, carry=not direct), seed
    )
    result = {
        **outcome.figures(),
        "messages": len(trace.messages),
        "nodes": len(trace.people),
        "contacts": len(trace.contacts),
        "seed": seed,
        "wall_s": round(time.perf_counter() - begin, 3),
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        words = " ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
        click.echo(f"{name:<16}{'-' if words in (None, '') else words}")


def main() -> None:
    """Entry point of the `nexus-sim` program."""
    cli(prog_name="nexus-sim")
