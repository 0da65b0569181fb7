"""Verb: doctor. Each check is one function that yields findings; none needs a running node."""

import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from nexus_node.base.errors import ConfigError, IdentityError
from nexus_node.base.limits import DISK_RESERVE
from nexus_node.client.errors import ControlError, NodeNotRunning
from nexus_node.client.path import SOCKET_NAME
from nexus_node.client.sync import ControlClient
from nexus_node.config import NodeConfig, load_config
from nexus_node.crypto.keyfile_format import public_part

from .app import App, Item, json_option, pass_app
from .doctor_radio import check_radios
from .errors import FAILED
from .finding import Finding, split_cure
from .home import CONFIG, IDENTITY, command, read_identity
from .text import clean

DRIVERS = "nexus_node.drivers"
DATABASE = "nexus.db"
NODE_TIMEOUT_S = 5.0
EARLIEST_YEAR = 2025
"""Before this software was written, so a clock that says so has lost the time."""
CLOCK_SLACK_S = 60.0


@click.command()
@click.option("--no-probe", is_flag=True, help="Write nothing to serial ports to find out what is there.")
@json_option
@click.pass_context
@pass_app
def doctor(app: App, ctx: click.Context, no_probe: bool) -> None:
    """Look for what keeps this node from working.

    Serial ports that no node uses are asked which radio is there, which takes some 8 seconds and changes
    no setting.
    """
    findings = list(examine(app.home, ask=not no_probe))
    app.answer_each(
        ({"check": each.check, "ok": each.ok, "found": each.found, "do": each.do} for each in findings), _show
    )
    if not all(each.ok for each in findings):
        ctx.exit(FAILED)


def _show(items: Iterable[Item]) -> None:
    from . import render

    render.table(
        ("check", "", "found", "do"),
        (
            (item["check"], render.verdict(item["ok"]), clean(item["found"]), clean(item["do"]))
            for item in items
        ),
    )


def examine(home: Path, *, ask: bool) -> Iterator[Finding]:
    """Every finding about a home and the machine it is on; `ask` allows to write to serial ports."""
    yield _check_python()
    yield _check_home(home)
    yield _check_identity(home)
    try:
        config = load_config(home / CONFIG)
        yield Finding("config", True, f"{len(config.carriers)} carriers")
    except ConfigError as error:
        config = NodeConfig()
        yield Finding("config", False, *split_cure(str(error)))
    yield from _check_drivers(config)
    node, carriers = _check_node(home)
    yield node
    yield _check_disk(home, config)
    yield _check_clock(home)
    yield from check_radios(config.carriers, carriers, ask=ask)


def _check_python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "python",
        sys.version_info >= (3, 11),
        found,
        "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer",
    )


def _check_home(home: Path) -> Finding:
    if not home.is_dir():
        return Finding("home", False, f"{home} does not exist", f"{command(home)} init")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            "home", False, f"{home} cannot be written", "check whose it is, and whether the disk is read-only"
        )
    return _check_mode("home", home, 0o700)


def _check_identity(home: Path) -> Finding:
    try:
        _, is_sealed = public_part(read_identity(home))
    except IdentityError as error:
        return Finding("identity", False, *split_cure(str(error)))
    return _check_mode("identity", home / IDENTITY, 0o600, ", sealed" if is_sealed else ", no passphrase")


def _check_mode(check: str, path: Path, mode: int, more: str = "") -> Finding:
    """Whether only the owner gets at a file or folder."""
    is_mode = stat.S_IMODE(path.stat().st_mode)
    do = f"chmod {mode:o} {path}" if is_mode & 0o077 else ""
    return Finding(check, not do, f"{path}, mode {is_mode:04o}{more}", do)


def _check_drivers(config: NodeConfig) -> Iterator[Finding]:
    """Whether each driver loads, which matters only if it is configured, and takes its configuration."""
    wanted = {carrier.driver for carrier in config.carriers}
    installed = {entry.name: entry for entry in entry_points(group=DRIVERS)}
    for name in sorted(wanted | set(installed)):
        if name not in installed:
            yield Finding(
                f"driver {name}", False, "not installed", f"use one of: {', '.join(sorted(installed))}"
            )
            continue
        try:
            driver = installed[name].load()
            for carrier in config.carriers:
                if carrier.driver == name:
                    driver.from_config(carrier.table)
        except ConfigError as error:
            yield Finding(f"driver {name}", False, *split_cure(str(error)))
        except (ImportError, AttributeError) as error:
            yield Finding(f"driver {name}", name not in wanted, str(error), "pip install 'nexus-node[radio]'")
        else:
            yield Finding(f"driver {name}", True, "loads")


def _check_node(home: Path) -> tuple[Finding, list[dict[str, Any]] | None]:
    """Whether a node runs on that home, and its carriers if one does or may."""
    if not (home / SOCKET_NAME).exists():
        return Finding("node", True, "not running", f"{command(home)} run"), None
    try:
        with ControlClient(home, timeout_s=NODE_TIMEOUT_S) as node:
            carriers = node.request("status").get("carriers", [])
    except NodeNotRunning as error:
        # A socket without anybody behind it is what a killed node leaves.
        stale = isinstance(error.__cause__, ConnectionRefusedError)
        found = "not running; its last run was cut off" if stale else str(error)
        return Finding("node", False, found, f"{command(home)} run"), None
    except ControlError as error:
        return Finding("node", False, str(error), "stop the node and start it again"), []
    return Finding("node", True, "running"), carriers


def _check_disk(home: Path, config: NodeConfig) -> Finding:
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free // 10**6} MB free, the store may take {config.store.quota_mb} MB"
    return Finding(
        "disk",
        free > DISK_RESERVE,
        found,
        "" if free > DISK_RESERVE else "make room: nothing more is taken in",
    )


def _check_clock(home: Path) -> Finding:
    """Whether it can be right: not before this software, nor before what the node has written."""
    now = time.time()
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    ok = time.gmtime(now).tm_year >= EARLIEST_YEAR
    for name in (IDENTITY, DATABASE):
        try:
            written = (home / name).stat().st_mtime
        except OSError:
            continue
        if written > now + CLOCK_SLACK_S:
            ok = False
            found += f", but {name} was written {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(written))}"
    return Finding(
        "clock", ok, found, "" if ok else "set the clock, or let it be set: sudo timedatectl set-ntp true"
    )
