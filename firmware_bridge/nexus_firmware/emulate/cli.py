"""The command line of the emulators."""

import base64
import binascii
import functools
import os
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
from nexus_firmware.emulate.companion import Companion
from nexus_firmware.emulate.e22 import E22, FACTORY, Mode
from nexus_firmware.emulate.faults import BadLine
from nexus_firmware.emulate.firmware import Firmware
from nexus_firmware.emulate.local_air import LocalAir
from nexus_firmware.emulate.mesh_node import NodeSettings
from nexus_firmware.emulate.mesh_packet import MeshChannel
from nexus_firmware.emulate.meshcore import MeshcoreModem
from nexus_firmware.emulate.meshtastic import Meshtastic
from nexus_firmware.emulate.rak import Rak3172
from nexus_firmware.emulate.rfc2217 import serve_rfc2217
from nexus_firmware.emulate.rn2483 import Rn2483
from nexus_firmware.emulate.rnode import RNode
from nexus_firmware.emulate.rylr import Rylr998
from nexus_firmware.emulate.serve import serve_pty, serve_tcp
from nexus_firmware.meshtastic_presets import PRESETS, REGIONS
from nexus_firmware.radio import BANDWIDTH_MIN
from nexus_node.base.errors import InputError

TCP_PORTS = {"rnode": 7633, "meshtastic": 4403, "companion": 5000}
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
    rfc2217: str | None
    aux: Path | None
    air: str
    loss: float
    damage: float
    seed: int | None

    def run(self, make: Callable[[random.Random], Firmware]) -> None:
        """Serve the board until a signal ends it. Raises `ClickException` in one sentence."""
        dice = random.Random(self.seed)
        wrong = ""
        try:
            firmware = make(dice)
            endpoint = self._endpoint(firmware.kind)
            port = _host_and_port("--rfc2217", self.rfc2217, 4000) if self.rfc2217 is not None else None
            if isinstance(firmware, Meshtastic) and endpoint is not None:
                firmware.over_tcp = True
            air = LocalAir(self.air, Ether(lost=lambda: dice.random() < self.loss))
            board = Board(firmware, air, lambda stream: BadLine(stream, self.damage, dice))
            trio.run(self._serve, board, air, endpoint, port)
        except* InputError as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            wrong = str(first)
        if wrong:
            raise click.ClickException(wrong)

    def _endpoint(self, kind: str) -> tuple[str, int] | None:
        if self.tcp is None:
            return None
        if kind not in TCP_PORTS:
            raise InputError(f"{kind} firmware has no TCP; leave --tcp out and use --pty PATH")
        return _host_and_port("--tcp", self.tcp, TCP_PORTS[kind])

    async def _serve(
        self, board: Board, air: LocalAir, endpoint: tuple[str, int] | None, port: tuple[str, int] | None
    ) -> None:
        kind = board.firmware.kind

        def announce(where: str) -> None:
            click.echo(f"{kind} serves {where} on the air {self.air}", err=True)

        async def end_at_signal(scope: trio.CancelScope) -> None:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                await anext(signals)
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_at_signal, nursery.cancel_scope)
            await nursery.start(air.run)
            if self.aux is not None:
                nursery.start_soon(self._show_aux, board, self.aux)
            nursery.start_soon(board.run)
            if endpoint is not None:
                serve = functools.partial(serve_tcp, newest_wins=kind == "meshtastic")
                nursery.start_soon(serve, board, *endpoint, announce)
            if port is not None:
                serve = functools.partial(
                    serve_tcp, newest_wins=False, serve=functools.partial(serve_rfc2217, board)
                )
                nursery.start_soon(serve, board, *port, lambda where: announce(f"rfc2217://{where}"))
            if self.pty is not None or (endpoint is None and port is None):
                nursery.start_soon(serve_pty, board, self.pty, announce)

    async def _show_aux(self, board: Board, path: Path) -> None:
        try:
            file = path.open("wb", buffering=0)
        except OSError as error:
            raise InputError(
                f"--aux {path} cannot be written ({error.strerror}); name a path you may write"
            ) from error

        async def look() -> None:
            os.pwrite(file.fileno(), b"0\n" if board.firmware.line_low else b"1\n", 0)

        with file:
            await look()  # who reads it never finds it empty, as a GPIO never is
            await board.after_each_step(look)


def _host_and_port(option: str, text: str, example: int) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    if not colon or not host or not digits.isascii() or not digits.isdecimal() or int(digits) > 65535:
        raise InputError(f"{option} {text} is no HOST:PORT; write for example {option} 127.0.0.1:{example}")
    return host.strip("[]"), int(digits)


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
        "--rfc2217",
        metavar="HOST:PORT",
        help="Serve a serial port over TCP, with modem lines; an E22 holds CTS set while it is busy.",
    )
    @click.option(
        "--aux",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Keep FILE at 0 while its AUX pin is low, else at 1, as a GPIO reads; only an E22's ever is.",
    )
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
    @click.option(
        "--damage",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        metavar="P",
        help="Share of bytes on its port that are lost, doubled or changed.",
    )
    @click.option("--seed", type=int, metavar="N", help="What its chance comes from.")
    @functools.wraps(make)
    def run(
        pty: Path | None,
        tcp: str | None,
        rfc2217: str | None,
        aux: Path | None,
        air: str,
        loss: float,
        damage: float,
        seed: int | None,
        **options: Any,
    ) -> None:
        _Bench(pty, tcp, rfc2217, aux, air, loss, damage, seed).run(make(**options))

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


@_kind
@click.option(
    "--radio",
    default="869618000,62500,8,8",
    show_default=True,
    metavar="HZ,HZ,SF,CR",
    help="Frequency, bandwidth, spreading factor and coding rate.",
)
def companion(radio: str) -> Callable[[random.Random], Firmware]:
    """A board with MeshCore's companion firmware 1.17, and a channel 1 called nexus."""
    numbers = [int(one) if one.isdecimal() else 0 for one in radio.split(",")]
    if (
        len(numbers) != 4
        or not 5 <= numbers[2] <= 12
        or not 5 <= numbers[3] <= 8
        or numbers[1] < BANDWIDTH_MIN
    ):
        raise InputError(f"--radio {radio} is none; write for example 869618000,62500,8,8")
    frequency, bandwidth, factor, rate = numbers
    return lambda dice: Companion(dice, radio=(frequency, bandwidth, factor, rate))


def _channel(text: str) -> MeshChannel:
    name, equals, key = text.partition("=")
    try:
        psk = base64.b64decode(key, validate=True)
    except binascii.Error:
        psk = b"bad"
    if not name or not equals or len(name.encode()) > 11 or len(psk) not in (0, 1, 16, 32):
        raise InputError(
            f"--channel {text} is none; write NAME=KEY: a name of up to 11 bytes, a key of 16 or 32 in base64"
        )
    return MeshChannel(name, psk)


@_kind
@click.option("--node", metavar="HEX", help="Its node number, such as a1b2c3d4.  [default: by chance]")
@click.option("--name", default="Emulated node", show_default=True, metavar="NAME", help="Its long name.")
@click.option("--short", default="EMU", show_default=True, metavar="NAME", help="Its short name.")
@click.option("--region", type=click.Choice(list(REGIONS)), default="EU_868", show_default=True)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="LONG_FAST", show_default=True)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="NAME=KEY",
    help="A secondary channel and its key in base64; may be given up to 7 times.",
)
@click.option(
    "--role", type=click.Choice(["CLIENT", "CLIENT_MUTE", "ROUTER"]), default="CLIENT", show_default=True
)
@click.option(
    "--deaf-to",
    multiple=True,
    metavar="HEX",
    help="A node number it does not hear, so that others must relay.",
)
@click.option("--minimal", is_flag=True, help="A handshake of only what a client cannot do without.")
def meshtastic(
    node: str | None,
    name: str,
    short: str,
    region: str,
    preset: str,
    channels: tuple[str, ...],
    role: str,
    deaf_to: tuple[str, ...],
    minimal: bool,
) -> Callable[[random.Random], Firmware]:
    """A board with Meshtastic firmware 2.8; needs the Python package meshtastic."""

    def number(text: str) -> int:
        try:
            value = int(text.removeprefix("!"), 16)
        except ValueError:
            value = 0
        if not 4 <= value < 0xFFFFFFFF:
            raise InputError(f"{text} is no node number; write up to 8 hex digits such as a1b2c3d4")
        return value

    def make(dice: random.Random) -> Firmware:
        if len(channels) > 7:
            raise InputError(
                f"{len(channels)} --channel are more than the 7 a node has besides its primary one"
            )
        settings = NodeSettings(
            number(node) if node else dice.randrange(4, 0xFFFFFFFF),
            name,
            short,
            region,
            preset,
            (MeshChannel(""), *map(_channel, channels)),
            role,
            deaf_to=frozenset(number(one) & 0xFF for one in deaf_to),
        )
        try:
            return Meshtastic(dice, settings, minimal=minimal)
        except ValueError as error:
            raise InputError(f"{error}; choose another --preset or --region") from error

    return make


@_kind
@click.option(
    "--mode",
    type=click.Choice(["transparent", "configuration"]),
    default="transparent",
    show_default=True,
    help="What its mode pins say; its registers allow to change that by command.",
)
@click.option("--band", type=click.Choice(["900", "400"]), default="900", show_default=True)
@click.option("--channel", type=click.IntRange(0, 83), default=18, show_default=True, metavar="N")
@click.option("--rssi", is_flag=True, help="Appends the RSSI byte to each packet.")
@click.option("--old-rssi", is_flag=True, help="That byte counts half dB, as on older modules.")
def e22(
    mode: str, band: str, channel: int, rssi: bool, old_rssi: bool
) -> Callable[[random.Random], Firmware]:
    """An Ebyte E22 module at 2400 bit/s."""
    registers = bytearray(FACTORY)
    registers[0:2] = b"\xff\xff"
    registers[4] = 0x30
    registers[5] = channel
    registers[6] = 0x80 if rssi else 0x00
    return lambda dice: E22(
        dice, band=band, mode=Mode[mode.upper()], registers=bytes(registers), rssi_halves=old_rssi
    )


@_kind
def rylr998() -> Callable[[random.Random], Firmware]:
    """A REYAX RYLR998 module."""
    return Rylr998


@_kind
@click.option("--lorawan", is_flag=True, help="Starts in LoRaWAN mode, as from the factory.")
def rak3172(lorawan: bool) -> Callable[[random.Random], Firmware]:
    """A RAK3172 module with RUI3 firmware."""
    return lambda dice: Rak3172(dice, lorawan=lorawan)


@_kind
def rn2483() -> Callable[[random.Random], Firmware]:
    """A Microchip RN2483 module, such as on the LoStik."""
    return Rn2483


def main() -> None:
    """Entry point."""
    cli(prog_name="python -m nexus_firmware.emulate")
