"""What `nexus doctor` finds out about radios: ports, who may open them, what answers there, and the law.

No port is opened that the running node has, or waits for; one that another program holds refuses. What is
asked changes no setting (`nexus_firmware.probe`).
"""

import getpass
import glob
import grp
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nexus_node.config import CarrierConfig

from .finding import Finding, split_cure

ON_USB = ("/dev/ttyUSB*", "/dev/ttyACM*")
ON_BOARD = ("/dev/ttyAMA*", "/dev/serial[0-9]*")
"""Anything may hang on these, even a console: they are asked only when they are configured."""
GROUPS = ("dialout", "plugdev")
"""Who may open radios: Debian's serial ports belong to the first, the service names both."""
_KINDS = ("rnode", "meshcore_kiss", "meshcore", "meshtastic")
_WELL = ("up", "listening", "held")


@dataclass
class Port:
    """A serial port, by the name it is configured under if it is, else by the kernel's."""

    name: str
    carrier: CarrierConfig | None = None

    @property
    def kind(self) -> str | None:
        """What should answer there, in the words of the probe."""
        if self.carrier is None:
            return None
        if self.carrier.driver == "uart_lora":
            return str(self.carrier.table.get("dialect"))
        return self.carrier.driver if self.carrier.driver in _KINDS else None


def check_radios(
    carriers: Sequence[CarrierConfig], running: Sequence[Mapping[str, Any]] | None, *, ask: bool
) -> Iterator[Finding]:
    """`running` are the carriers of the node's status, None when no node runs; `ask` allows to ask ports."""
    ports = list(_ports(carriers))
    if ports:
        yield _check_groups(any(port.carrier for port in ports))
    # A running node may want what is configured at any moment, also what it does not show yet.
    free = [port for port in ports if (running is None or port.carrier is None) and _why_not(port) is None]
    answers = _ask_all([port for port in free if _may_ask(port)]) if ask else {}
    shown = []
    for port in ports:
        row = _held_by(port, running)
        shown.append(row)
        yield _of_node(_name(port), row) if row is not None else _why_not(port) or _judge(port, answers)
    for row in running or ():  # what was added by --carrier is in no file
        if row not in shown and row.get("driver") in (*_KINDS, "uart_lora"):
            yield _of_node(f"carrier {row.get('label')}", row)
    for carrier in carriers:
        yield from _check_far(carrier)
        yield from _check_law(carrier)


# --- ports ------------------------------------------------------------------------------------------
def _ports(carriers: Sequence[CarrierConfig]) -> Iterator[Port]:
    """The configured ones, and the others that are there; a port with two names once."""
    seen = set()
    for carrier in carriers:
        name = carrier.table.get("port")
        if isinstance(name, str) and "://" not in name:
            seen.add(os.path.realpath(name))
            yield Port(name, carrier)
    for pattern in (*ON_USB, *ON_BOARD):
        for name in sorted(glob.glob(pattern)):
            if os.path.realpath(name) not in seen:
                seen.add(os.path.realpath(name))
                yield Port(name)


def _held_by(port: Port, running: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any] | None:
    """The row of the running node's carrier on that port: it has it, or will."""
    if port.carrier is None or running is None:
        return None
    label = port.carrier.label or f"{port.carrier.driver}:{port.name}"
    return next((row for row in running if row.get("label") == label), None)


def _of_node(check: str, row: Mapping[str, Any]) -> Finding:
    state, why = str(row.get("state")), str(row.get("why") or "")
    words = f"the running node has it: {state}"
    if state in _WELL or not why:
        return Finding(check, True, f"{words}{f', {why}' if why else ''}")
    found, do = split_cure(why)
    return Finding(check, False, f"{words}, {found}", do)


def _name(port: Port) -> str:
    return f"port {port.name}"


def _why_not(port: Port) -> Finding | None:
    """What keeps this account from opening it, if anything does."""
    if not os.path.exists(port.name):
        return Finding(_name(port), False, "not there", "plug the radio in, or correct port in config.toml")
    if os.access(port.name, os.R_OK | os.W_OK):
        return None
    group = _group_of(port.name)
    return Finding(
        _name(port), port.carrier is None, f"belongs to group {group}, which you are not in", _join(group)
    )


def _group_of(port: str) -> str:
    number = os.stat(port).st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _join(group: str) -> str:
    try:
        listed = getpass.getuser() in grp.getgrnam(group).gr_mem
    except (KeyError, OSError):
        listed = False
    return (
        "log in again: you were added to it since"
        if listed
        else f"sudo usermod -aG {group} $USER, then log in again"
    )


def _check_groups(needed: bool) -> Finding:
    """Whether ports that are not plugged in yet will be usable; `needed` when one is configured."""
    if os.geteuid() == 0:
        return Finding("groups", True, "root may open every port")
    mine = {_group_name(number) for number in {*os.getgroups(), os.getegid()}}
    found = ", ".join(f"{'in' if name in mine else 'not in'} {name}" for name in GROUPS)
    ok = GROUPS[0] in mine or not needed
    return Finding("groups", ok, found, "" if ok else _join(GROUPS[0]))


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


# --- what answers -----------------------------------------------------------------------------------
def _may_ask(port: Port) -> bool:
    on_usb = any(name == port.name for pattern in ON_USB for name in glob.glob(pattern))
    return port.kind is not None or (port.carrier is None and on_usb)


def _ask_all(ports: Sequence[Port]) -> dict[str, Any]:
    """By port: the probe when it is done, or why the port could not be asked. All at the same time."""
    if not ports:
        return {}
    import trio

    from nexus_drivers.ask import ask_port
    from nexus_firmware.probe import KINDS
    from nexus_node.base.errors import CarrierLost

    answers: dict[str, Any] = {}

    async def ask(port: Port) -> None:
        # An E22 that works would send the other questions over the air.
        kinds = ("e22",) if port.kind == "e22" else KINDS
        try:
            answers[port.name] = await ask_port(port.name, kinds)
        except CarrierLost as error:
            answers[port.name] = str(error)

    async def ask_them() -> None:
        async with trio.open_nursery() as nursery:
            for port in ports:
                nursery.start_soon(ask, port)

    trio.run(ask_them)
    return answers


def _judge(port: Port, answers: Mapping[str, Any]) -> Finding:
    """What was found on a port that may be opened."""
    if port.name not in answers:
        return Finding(_name(port), True, "usable; not asked what is there")
    answer, wanted = answers[port.name], port.carrier is not None
    if isinstance(answer, str):
        found, do = split_cure(answer)
        busy = "is busy" in found
        return Finding(_name(port), busy and not wanted, found, do)
    finding = answer.finding
    if finding is None:
        return _silence(port, answer)
    words = " ".join(filter(None, (finding.words, finding.version)))
    if wanted and finding.kind != port.kind:
        return Finding(
            _name(port), False, f"{words} answers, not what is configured", _configure(finding.kind)
        )
    if finding.region == "UNSET":
        return Finding(_name(port), False, f"{words}, no region set", "set the region with Meshtastic's app")
    found = f"{words}{f', region {finding.region}' if finding.region else ''}"
    return Finding(_name(port), True, found, "" if wanted else _configure(finding.kind))


def _silence(port: Port, probe: Any) -> Finding:
    if port.kind == "e22":
        return Finding(
            _name(port),
            True,
            "usable; nothing tells an E22 in transparent mode, as it should be, from a dead line",
        )
    heard = f"{probe.heard} bytes came, but no firmware known here" if probe.heard else "nothing answers"
    left = "".join(f"; {one}" for one in probe.left_out)
    if port.carrier is None:
        return Finding(_name(port), True, f"usable; {heard}{left}")
    return Finding(
        _name(port),
        False,
        f"{heard}{left}",
        "look whether it is the right port, and unplug and replug the radio",
    )


def _configure(kind: str) -> str:
    known = f'driver = "{kind}"' if kind in _KINDS else f'driver = "uart_lora" and dialect = "{kind}"'
    return f"{known} in config.toml drives it"


# --- the law ----------------------------------------------------------------------------------------
def _check_far(carrier: CarrierConfig) -> Iterator[Finding]:
    """A radio on TCP has one client, and a new one may take the old one's place: it is not asked."""
    port, host = carrier.table.get("port"), carrier.table.get("host")
    far = (
        port if isinstance(port, str) and "://" in port else host if carrier.driver == "meshtastic" else None
    )
    if far is not None:
        yield Finding(f"port {far}", True, "on the network; not asked, since it serves one program at a time")


def _check_law(carrier: CarrierConfig) -> Iterator[Finding]:
    """Region against frequency, and the owner's `duty_cycle` against the law's."""
    rule = _rule_of(carrier)
    if rule is None:
        return
    region, law = rule
    frequency = int(carrier.table["frequency"])
    limit = f"{law.duty_cycle:.1%} of an hour" if law.duty_cycle < 1 else "no limit of airtime"
    found = (
        f"{frequency / 1e6:g} MHz is in {region} {law.name} ({law.low / 1e6:g}-{law.high / 1e6:g} MHz):"
        f" {limit}, {law.max_erp_dbm:g} dBm"
    )
    check = f"region of {carrier.label or carrier.driver}"
    if carrier.duty_cycle is not None and carrier.duty_cycle > law.duty_cycle:
        yield Finding(
            check,
            False,
            f"{found}; duty_cycle = {carrier.duty_cycle:g} is more",
            "remove duty_cycle, unless you have a licence that allows it",
        )
    elif "region" in carrier.table:
        yield Finding(check, True, found)
    else:
        yield Finding(
            check, True, f"{found}; the strictest that fits", f'write region = "{region}" if you are there'
        )


def _rule_of(carrier: CarrierConfig) -> tuple[str, Any] | None:
    """None where the device is set to a region by itself, and where the table cannot be used (`driver`)."""
    if "frequency" not in carrier.table or carrier.driver not in (*_KINDS, "uart_lora"):
        return None
    from importlib.metadata import entry_points

    from nexus_node.base.errors import ConfigError

    (entry,) = entry_points(group="nexus_node.drivers", name=carrier.driver)
    try:
        law: tuple[str, Any] | None = entry.load().from_config(carrier.table).law
    except (ConfigError, ImportError):
        return None
    return law
