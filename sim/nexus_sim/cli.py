"""The `nexus-sim` program."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from nexus_node import __version__
from nexus_node.base.errors import ConfigError, InputError
from nexus_sim.clock import virtual_run
from nexus_sim.contacts import replay
from nexus_sim.flooding import figures, flood
from nexus_sim.play import play
from nexus_sim.radio import simulate
from nexus_sim.report import run_figures, write_report
from nexus_sim.scenario_file import read_scenario
from nexus_sim.settings import read_flood, read_radio
from nexus_sim.shipped import find, shipped
from nexus_sim.traced import TraceFile
from nexus_sim.traces import read_trace

_BREACHES_SHOWN = 20
F = TypeVar("F", bound=Callable[..., Any])


@click.group(subcommand_metavar="VERB ...", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nexus-sim")
def cli() -> None:
    """Real nodes in virtual time: the same seed, the same run. Exit codes: 0 ok, 1 failed, 2 usage."""


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")


@cli.command()
@click.argument("scenario", metavar="SCENARIO.toml")
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Instead of the scenario's.")
@click.option("--short", is_flag=True, help="Its short form, for a look.")
@click.option("--report", metavar="DIR", type=click.Path(path_type=Path), help="A page and its figures.")
@click.option(
    "--trace", metavar="FILE", type=click.Path(path_type=Path), help="Every frame on air and wires."
)
@_JSON
def run(
    scenario: str, seed: int | None, short: bool, report: Path | None, trace: Path | None, as_json: bool
) -> None:
    """Play a scenario with real nodes: a file, or one that `nexus-sim list` names.

    Exit code 1 when something that must hold did not: what, and how to see it again, is on standard error.
    """
    path = find(scenario)
    with _usage():
        read = read_scenario(path, short=short)
    chosen = read.seed if seed is None else seed
    begin, cpu_begin = time.perf_counter(), time.process_time()
    with ExitStack() as stack:
        try:
            if report is not None:
                report.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"{report} cannot be made a folder: {error.strerror}") from error
        try:
            traced = stack.enter_context(TraceFile(trace)) if trace is not None else None
        except OSError as error:
            raise click.UsageError(f"{trace} cannot be written: {error.strerror}") from error
        with _usage(path):
            if traced is None:
                main = play(read, chosen)
            else:
                main = play(read, chosen, heard=traced.heard, carried=traced.carried)
        again = f"nexus-sim run {shlex.quote(scenario)}{' --short' if short else ''} --seed {chosen}"
        stack.enter_context(_repeatable(again))
        outcome = virtual_run(main, chosen)
    result = run_figures(outcome, time.perf_counter() - begin, time.process_time() - cpu_begin)
    if report is not None:
        try:
            write_report(report, outcome, result, again)
        except OSError as error:
            raise click.ClickException(f"{report} cannot be written: {error.strerror}") from error
    _answer(result if as_json else _without(result, "by_node"), begin, as_json)
    _look_at(outcome.record.breaches, again)


@cli.command("list")
@_JSON
def list_verb(as_json: bool) -> None:
    """The scenarios that ship, one a line."""
    for name, one in shipped():
        if as_json:
            click.echo(json.dumps({"name": name, "title": one.name, "about": one.about}))
        else:
            click.echo(f"{name:<24}{one.about}")


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
@_JSON
def contacts(
    contacts: Path, messages: Path, ttl: float, bytes_per_s: float, seed: int, direct: bool, as_json: bool
) -> None:
    """Replay a contact trace with one real node per person.

    CONTACTS.csv has the columns start,end,a,b (seconds), MESSAGES.csv id,t,src,dst,size (seconds, bytes).
    Exit code 1 as `nexus-sim run` has it.
    """
    with _usage():
        trace = read_trace(contacts, messages)
    begin = time.perf_counter()
    files = shlex.join((str(contacts), str(messages)))
    again = f"nexus-sim contacts {files} --ttl {ttl:.15g} --bytes-per-s {bytes_per_s:.15g} --seed {seed}"
    again += " --direct" * direct
    with _repeatable(again):
        outcome = virtual_run(
            lambda: replay(trace, ttl_s=ttl, bytes_per_s=bytes_per_s, seed=seed, carry=not direct), seed
        )
    result = {
        **outcome.figures(),
        "messages": len(trace.messages),
        "nodes": len(trace.people),
        "contacts": len(trace.contacts),
        "seed": seed,
    }
    _answer(result, begin, as_json)
    _look_at(outcome.breaches, again)


def _seeds(default: int) -> Callable[[F], F]:
    return click.option(
        "--seeds",
        metavar="N",
        default=default,
        type=click.IntRange(1, 100_000),
        help=f"How many runs, each with a seed of its own.  [default: {default}]",
    )


@cli.command()
@click.argument("setting", metavar="SETTING.toml", type=_FILE)
@_seeds(5)
@_JSON
def radio(setting: Path, seeds: int, as_json: bool) -> None:
    """Senders around one receiver: how many of their packets it gets (docs/simulator.md)."""
    with _usage():
        checked = read_radio(setting)
    begin = time.perf_counter()
    _answer(simulate(checked, seeds).figures(), begin, as_json)


@cli.command("flood")
@click.argument("setting", metavar="SETTING.toml", type=_FILE)
@_seeds(20)
@_JSON
def flood_verb(setting: Path, seeds: int, as_json: bool) -> None:
    """A model of Meshtastic's flooding: how many nodes a message reaches (docs/simulator.md)."""
    with _usage():
        checked = read_flood(setting)
    begin = time.perf_counter()
    runs = [flood(checked, seed) for seed in range(checked.seed, checked.seed + seeds)]
    _answer(figures(runs), begin, as_json)


@cli.command("fast")
@click.argument("scenario", metavar="SCENARIO.toml")
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Instead of the scenario's.")
@click.option("--nodes", metavar="N", type=click.IntRange(2, 10**10), help="So many, as dense.")
@click.option("--duration", metavar="S", type=click.FloatRange(1), help="Instead of the scenario's.")
@click.option("--per-hour", metavar="N", type=click.FloatRange(0), help="Texts of each sender, likewise.")
@click.option("--backbone", metavar="N", type=click.IntRange(1, 50), help="Join clusters by N wires each.")
@click.option("--met", is_flag=True, help="Begin with links made.")
@click.option("--closed", is_flag=True, help="Only what the budgets allow, by formula: for any number.")
@click.option(
    "--neighbours",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    help="With --closed: others in reach.  [default: 8]",
)
@click.option(
    "--island",
    metavar="N",
    type=click.IntRange(0),
    help="With --closed: nodes on one air.  [default: 0, for all]",
)
@click.option("--beside", is_flag=True, help="Play it with real nodes too.")
@_JSON
def fast_verb(scenario: str, seed: int | None, beside: bool, as_json: bool, **changes: Any) -> None:
    """A model of channel and routing, for more nodes than can be real ones (docs/scale.md).

    Takes a scenario of `nexus-sim run`: a file, or one that `nexus-sim list` names.
    """
    try:
        from nexus_sim.fast import verb  # noqa: PLC0415 - numpy, which nothing else needs
    except ModuleNotFoundError as error:
        raise click.ClickException(
            "nexus-sim fast needs numpy; get it with: pip install 'nexus-node[sim]'"
        ) from error
    path = find(scenario)
    begin = time.perf_counter()
    with _usage():
        result = verb.play(read_scenario(path), seed, beside=beside, curves=as_json, **changes)
    _answer(result, begin, as_json)
    given = {**changes, "seed": seed, "beside": beside}
    options = [f"--{key.replace('_', '-')}" for key, value in given.items() if value is True]
    for key, value in given.items():
        if value is not None and not isinstance(value, bool):
            options += [f"--{key.replace('_', '-')}", f"{value:.15g}"]
    _look_at(result.get("breaches", []), shlex.join(["nexus-sim", "fast", scenario, *options]))


@contextmanager
def _usage(path: Path | None = None) -> Iterator[None]:
    """A file that cannot be used is a usage error; `path` is the file, if the error does not name it."""
    try:
        yield
    except (InputError, ConfigError) as error:
        raise click.UsageError(str(error) if path is None else f"{path}: {error}") from error


@contextmanager
def _repeatable(again: str) -> Iterator[None]:
    """A run that does not come to its end says how to see that again."""
    ended = False
    try:
        yield
        ended = True
    finally:
        if not ended:
            click.echo(f"the run broke off; repeat it with: {again}", err=True)


def _look_at(breaches: list[str], again: str) -> None:
    """Fails, if there is something that must not be: what, and how to see it again."""
    if breaches:
        for breach in breaches[:_BREACHES_SHOWN]:
            click.echo(f"must not happen: {breach}", err=True)
        click.echo(f"repeat it with: {again}", err=True)
        raise SystemExit(1)


def _without(figures: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key != name}


def _answer(figures: dict[str, Any], begin: float, as_json: bool) -> None:
    result = {**figures, "wall_s": round(time.perf_counter() - begin, 3)}
    if as_json:
        click.echo(json.dumps(result))
        return
    width = max(map(len, result)) + 2
    for name, value in result.items():
        words = " ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
        click.echo(f"{name:<{width}}{'-' if words in (None, '') else words}")


def main() -> None:
    """Entry point of the `nexus-sim` program."""
    cli(prog_name="nexus-sim")
