"""The command line of the emulators."""

import functools
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import trio

from nexus_firmware.emulate.air import Ether
from nexus_firmware.emulate.board import Board
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.local_air import LocalAir
from nexus_firmware.emulate.meshcore import MeshcoreModem
from nexus_firmware.emulate.rnode import RNode
from nexus_firmware.emulate.serve import serve_pty, serve_tcp
from nexus_node.base.errors import InputError

TCP_PORTS = {"rnode": 7633, "meshtastic": 4403}
"""The kinds whose firmware listens on TCP, and where."""


@click.group(subcommand_metavar="KIND ...", context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A radio, emulated: programs open its port, and radios on the same air hear each other.

    Each KIND takes -h. Ends at SIGTERM or Ctrl-C.
    """


@dataclass(frozen=True)
class _Bench:
    """Where a board is served, and on which air."""

    pty: Path | None
    tcp: str | None
    air: str
    loss: float
    seed: int | None

    def run(self, make: Callable[[random.Random], Firmware]) -> None:
        """Serve the board until a signal ends it. Raises `ClickException` in one sentence."""
        dice = random.Random(self.seed)
        wrong = ""
        try:
            firmware = make(dice)
            endpoint = self._endpoint(firmware.kind)
            air = LocalAir(self.air, Ether(lost=lambda: dice.random() < self.loss))
            trio.run(self._serve, firmware, air, endpoint)
        except* InputError as group:
            wrong = str(group.exceptions[0])
        if wrong:
            raise click.ClickException(wrong)

    def _endpoint(self, kind: str) -> tuple[str, int] | None:
        if self.tcp is None:
            return None
        if kind not in TCP_PORTS:
            raise InputError(f"{kind} firmware has no TCP; leave --tcp out and use --pty PATH")
        host, colon, digits = self.tcp.rpartition(":")
        if not colon or not host or not digits.isascii() or not digits.isdecimal() or int(digits) > 65535:
            raise InputError(
                f"--tcp {self.tcp} is no HOST:PORT; write for example --tcp 127.0.0.1:{TCP_PORTS[kind]}"
            )
        return host.strip("[]"), int(digits)

    async def _serve(self, firmware: Firmware, air: LocalAir, endpoint: tuple[str, int] | None) -> None:
        board = Board(firmware, air)

        def announce(where: str) -> None:
            click.echo(f"{firmware.kind} serves {where} on the air {self.air}", err=True)

        async def end_at_signal(scope: trio.CancelScope) -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                await anext(signals)
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_at_signal, nursery.cancel_scope)
            await nursery.start(air.run)
            nursery.start_soon(board.run)
            if endpoint is not None:
                newest_wins = firmware.kind == "meshtastic"
                serve = functools.partial(serve_tcp, newest_wins=newest_wins)
                nursery.start_soon(serve, board, *endpoint, announce)
            if self.pty is not None or endpoint is None:
                nursery.start_soon(serve_pty, board, self.pty, announce)


def _kind(make: Callable[..., Callable[[random.Random], Firmware]]) -> click.Command:
    """The command of a kind: its own options, and those every kind has."""

    @click.option(
        "--pty",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Make PATH a link to its serial port, which otherwise has only the name the system gives it.",
    )
    @click.option("--tcp", metavar="HOST:PORT", help="Serve on TCP, where the firmware does; 0: any port.")
    @click.option(
        "--air",
        default="default",
        show_default=True,
        metavar="NAME",
        help="The air it is on, with all radios this user runs there.",
    )
    @click.option(
        "--loss",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        metavar="P",
        help="Share of packets it does not hear.",
    )
    @click.option("--seed", type=int, metavar="N", help="What its chance comes from.")
    @functools.wraps(make)
    def run(
        pty: Path | None, tcp: str | None, air: str, loss: float, seed: int | None, **options: Any
    ) -> None:
        _Bench(pty, tcp, air, loss, seed).run(make(**options))

    return cli.command()(run)


@_kind
@click.option("--boot", default=0.5, show_default=True, metavar="S", help="Seconds until it is there.")
def rnode(boot: float) -> Callable[[random.Random], Firmware]:
    """A board with RNode firmware 1.86."""
    return lambda dice: RNode(dice, boot_s=boot)


@_kind
def meshcore() -> Callable[[random.Random], Firmware]:
    """A board with MeshCore's KISS modem firmware 1.17."""
    return MeshcoreModem


def main() -> None:
    """Entry point."""
    cli(prog_name="python -m nexus_firmware.emulate")
