"""`nexus doctor` and radios: what answers on a port, who has it, the law (issue "Radios", point 6)."""

import json
import os
from pathlib import Path

import pytest

from nexus_firmware.probe import Finding, Probe
from nexus_node.cli import doctor_radio
from nexus_node.cli.doctor_radio import check_radios
from nexus_node.config import CarrierConfig
from tests.harness.nodes import RunningNode, wait_until
from tests.radio.bench import Process

from .shell import Json, nexus
from .test_radio import SET, carrier


def doctor(home: Path, *options: str) -> dict[str, Json]:
    done = nexus(home, "doctor", "--json", *options)
    rows = {row["check"]: row for row in map(json.loads, done.out.splitlines())}
    assert all(row["ok"] or row["do"] for row in rows.values())
    assert done.code == (0 if all(row["ok"] for row in rows.values()) else 1)
    return rows


def toml(settings: str) -> str:
    """A `[[carrier]]` out of what `--carrier` takes."""
    driver, *pairs = settings.split()
    lines = [f'driver = "{driver}"']
    for key, _, value in (pair.partition("=") for pair in pairs):
        lines.append(f"{key} = {value}" if value.isdigit() else f'{key} = "{value}"')
    return "\n[[carrier]]\n" + "\n".join(lines) + "\n"


def test_configured_ports_are_asked_what_is_there(tmp_path: Path) -> None:
    """Each with another: what is configured, another firmware, nothing."""
    air = f"test-{os.getpid()}"
    links = {name: tmp_path / name for name in ("rnode", "other", "mesh", "e22", "gone")}
    radios = [
        Process(links["rnode"], "rnode", air),
        Process(links["other"], "meshcore", air),
        Process(links["mesh"], "meshtastic", air, "--region", "US"),
        Process(links["e22"], "e22", air, "--mode", "transparent"),
    ]
    silent, far = os.openpty()
    os.set_blocking(silent, False)
    try:
        home = tmp_path / "home"
        nexus(home, "init")
        config = home / "config.toml"
        config.write_text(
            config.read_text()
            + toml(f"rnode port={links['rnode']} {SET}")
            + toml(f"rnode port={links['other']} frequency=868100000 duty_cycle=1")
            + toml(f"meshtastic port={links['mesh']}")
            + toml(f"uart_lora port={links['e22']} dialect=e22 frequency=915125000 region=US915")
            + toml(f"rnode port={links['gone']} frequency=869525000 region=US915")
            + toml(f"uart_lora port={os.ttyname(far)} dialect=rylr998 frequency=915000000")
            + toml("meshtastic host=192.0.2.7")
        )
        rows = doctor(home)
        assert rows[f"port {links['rnode']}"] | {"check": ""} == {
            "check": "",
            "ok": True,
            "found": "RNode on ESP32 1.86",
            "do": "",
        }
        other = rows[f"port {links['other']}"]
        assert not other["ok"]
        assert other["found"].startswith("MeshCore KISS modem (")
        assert other["do"] == 'driver = "meshcore_kiss" in config.toml drives it'
        assert rows[f"port {links['mesh']}"]["found"] == "Meshtastic 2.8.0.emulated, region US"
        assert rows[f"port {links['e22']}"]["ok"]
        assert rows[f"port {links['gone']}"]["found"] == "not there"
        dead = rows[f"port {os.ttyname(far)}"]
        assert (dead["ok"], dead["found"]) == (False, "nothing answers")
        assert "not asked" in rows["port 192.0.2.7"]["found"]
        # The law: what is written is in a band, more than it allows is not, another region's is refused.
        assert not rows["driver rnode"]["ok"]
        assert "US915" in rows["driver rnode"]["found"]
        assert not rows["region of rnode"]["ok"]
        assert "868.1 MHz is in EU868 M" in rows["region of rnode"]["found"]
        # Nothing is written to a port without leave.
        assert "not asked" in doctor(home, "--no-probe")[f"port {links['rnode']}"]["found"]
    finally:
        for radio in radios:
            radio.end()
        os.close(silent)
        os.close(far)


def test_the_port_of_a_running_node_is_left_alone(tmp_path: Path) -> None:
    """Neither the node's own doctor nor another home's disturbs it; both say who has the port."""
    link = tmp_path / "ttyRADIO"
    radio = Process(link, "rnode", f"test-{os.getpid()}")
    try:
        with RunningNode(tmp_path / "alice") as alice:
            config = alice.home / "config.toml"
            config.write_text(config.read_text() + toml(f"rnode port={link} {SET}"))
            alice.start()
            wait_until(lambda: carrier(alice)["state"] == "listening", 10, "the radio set up")
            row = doctor(alice.home)[f"port {link}"]
            assert (row["ok"], row["found"]) == (
                True,
                "the running node has it: listening, nobody has answered yet",
            )
            nexus(tmp_path / "other", "init")
            (tmp_path / "other" / "config.toml").write_text(config.read_text())
            row = doctor(tmp_path / "other")[f"port {link}"]
            assert not row["ok"]
            assert "another program has it open" in row["found"]
            assert carrier(alice)["state"] == "listening"
            assert "went away" not in alice.words()
            radio.kill()
            wait_until(lambda: carrier(alice)["state"] == "waiting", 5, "the loss in status")
            row = doctor(alice.home)[f"port {link}"]
            assert not row["ok"]
            assert "the running node has it: waiting" in row["found"]
            radio.start()
    finally:
        radio.end()


def test_a_radio_added_on_the_command_line_is_told_of_as_well(tmp_path: Path) -> None:
    link = tmp_path / "ttyRADIO"
    with RunningNode(tmp_path / "alice", [f"rnode port={link} {SET}"]) as alice:
        alice.start()
        row = doctor(alice.home)[f"carrier rnode:{link}"]
        assert (row["ok"], row["do"]) == (False, "plug the radio in, or name another port")
        assert row["found"] == f"the running node has it: waiting, {link} is not there"


def test_a_port_nobody_configured_is_named_with_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "ttyUSB0"
    alias = tmp_path / "by-id"
    alias.symlink_to(link)
    monkeypatch.setattr(doctor_radio, "ON_USB", (str(tmp_path / "ttyUSB*"),))
    monkeypatch.setattr(doctor_radio, "ON_BOARD", ())
    radio = Process(link, "rylr998", f"test-{os.getpid()}")
    try:
        rows = {one.check: one for one in check_radios((), None, ask=True)}
        found = rows[f"port {link}"]
        assert (found.ok, found.found) == (True, "REYAX RYLR RYLR998_REYAX_V1.2.2")
        assert found.do == 'driver = "uart_lora" and dialect = "rylr998" in config.toml drives it'
        # By another name it is the same port, and asked once.
        table = {"port": str(alias), "dialect": "rylr998", "frequency": 915_000_000}
        checks = [one.check for one in check_radios((CarrierConfig("uart_lora", table),), None, ask=False)]
        assert [check for check in checks if check.startswith("port")] == [f"port {alias}"]
    finally:
        radio.end()


def test_a_meshtastic_device_without_a_region_does_not_send() -> None:
    probe = Probe(0.0)
    probe.finding = Finding("meshtastic", "Meshtastic", "2.8.0", 115200, region="UNSET")
    port = doctor_radio.Port("/dev/x", CarrierConfig("meshtastic"))
    row = doctor_radio._judge(port, {"/dev/x": probe})
    assert (row.ok, row.do) == (False, "set the region with Meshtastic's app")


def test_groups_and_permissions_have_their_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    monkeypatch.setattr(doctor_radio, "ON_USB", ())
    monkeypatch.setattr(doctor_radio, "ON_BOARD", ())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", list)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    table = {"port": str(port), "frequency": 869_525_000}
    rows = {one.check: one for one in check_radios((CarrierConfig("rnode", table),), None, ask=True)}
    assert not rows["groups"].ok
    assert rows["groups"].found == "not in dialout, not in plugdev"
    assert rows["groups"].do == "sudo usermod -aG dialout $USER, then log in again"
    assert not rows[f"port {port}"].ok
    assert "which you are not in" in rows[f"port {port}"].found
