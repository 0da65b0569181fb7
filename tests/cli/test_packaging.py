"""The systemd units and udev rules under packaging/."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nexus_node.config.load import check_config
from nexus_node.runtime.registry import make_driver

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = ("systemd/nexus-node.service", "systemd/user/nexus-node.service")
RULES = PACKAGING / "udev" / "60-nexus-node.rules"
NEXUS = Path(sys.executable).with_name("nexus")


def has(program: str, verb: str) -> pytest.MarkDecorator:
    """Skip, with words, where that program or its verb is missing."""
    there = (
        shutil.which(program)
        and verb in subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    )
    return pytest.mark.skipif(not there, reason=f"`{program} {verb}` is not on this machine")


def unit_here(name: str, folder: Path) -> Path:
    """The unit with the paths of this machine, so that its programs can be found."""
    text = (PACKAGING / name).read_text()
    placed, count = re.subn(r"[\w%/-]+/\.venv/bin/nexus", str(NEXUS), text)
    assert count == 2
    unit = folder / "nexus-node.service"
    unit.write_text(placed)
    return unit


@has("systemd-analyze", "verify")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    unit = unit_here(name, tmp_path)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restrat=on-failure"))
    assert "Restrat" in subprocess.run([*command, str(unit)], capture_output=True, text=True).stderr


@has("systemd-analyze", "security")
def test_the_system_service_is_hardened(tmp_path: Path) -> None:
    """systemd's own measure of exposure: 0 is none, 10 all; 2 and below counts as well protected."""
    unit = unit_here(UNITS[0], tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_stops_and_comes_back_as_promised(name: str) -> None:
    settings = (PACKAGING / name).read_text().splitlines()
    for line in ("KillSignal=SIGTERM", "TimeoutStopSec=5", "Restart=on-failure", "NoNewPrivileges=yes"):
        assert line in settings


@has("udevadm", "verify")
def test_udev_takes_the_rules() -> None:
    done = subprocess.run(["udevadm", "verify", "--no-summary", str(RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_rules_are_well_formed_and_know_the_boards() -> None:
    """What udev(7) asks of a line, for machines whose udevadm cannot verify."""
    lines = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    token = r'[A-Z]+(\{\w+\})?(==|!=|\+=|=)"[^"]*"'
    assert [line for line in lines if not re.fullmatch(rf"{token}(, {token})*", line)] == []
    text = "\n".join(lines)
    assert set(re.findall(r'GOTO="(\w+)"', text)) == set(re.findall(r'LABEL="(\w+)"', text))
    boards = {
        (vendor, model)
        for vendor, models in re.findall(
            r'ID_VENDOR_ID\}=="(\w+)"(?:, ENV\{ID_MODEL_ID\}=="([\w|]+)")?', text
        )
        for model in models.split("|")
    }
    assert boards == {
        ("10c4", "ea60"),
        ("1a86", "7523"),
        ("1a86", "55d4"),
        ("303a", "1001"),
        ("239a", ""),
        ("0403", "6001"),
        ("0403", "6015"),
    }


def test_radios_are_for_the_groups_that_have_them() -> None:
    """As docs/pi.md says: serial ports are opened by `dialout`, and the service is in it."""
    unit = (PACKAGING / UNITS[0]).read_text().splitlines()
    assert "SupplementaryGroups=dialout plugdev" in unit
    assert "DeviceAllow=char-* rw" in unit
    assert 'GROUP="dialout", MODE="0660"' in RULES.read_text()


def test_the_settings_in_the_pages_are_taken() -> None:
    """Each `toml` block of docs/pi.md and docs/bridge.md is a carrier whose driver takes it."""
    pages = [(PACKAGING.parent / "docs" / name).read_text() for name in ("pi.md", "bridge.md")]
    blocks = [block for page in pages for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    drivers = set()
    for block in blocks:
        (carrier,) = check_config(tomllib.loads(block)).carriers
        make_driver(carrier)
        drivers.add(carrier.driver)
    assert drivers == {"rnode", "meshtastic", "meshcore", "meshcore_kiss", "uart_lora"}
