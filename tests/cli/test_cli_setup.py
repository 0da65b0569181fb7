"""init, id, run up to the node, doctor: the verbs that need no running node (N1)."""

import json
import os
import socket
import stat
import time
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_node import FakeNode, Nexus

from nexus_node.base.errors import IdentityError
from nexus_node.base.ids import NodeId
from nexus_node.cli.main import VERBS, cli
from nexus_node.config import NodeConfig, RelayConfig, load_config
from nexus_node.crypto.keyfile import load_identity
from nexus_node.runtime import service
from nexus_node.wire.uri import make_uri, parse_uri_untrusted


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_n1_init_makes_an_identity_only_its_owner_can_read(nexus: Nexus, home: Path) -> None:
    home.rmdir()
    result = nexus("init", "--name", "alice", "--json")
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    identity = load_identity((home / "identity.json").read_bytes(), None)
    assert made == {
        "name": "alice",
        "address": identity.address.hex(),
        "node_id": identity.node_id.hex(),
        "uri": made["uri"],
    }
    assert parse_uri_untrusted(made["uri"]).node_id == identity.node_id
    assert (mode(home), mode(home / "identity.json"), mode(home / "config.toml")) == (0o700, 0o600, 0o600)
    assert sorted(path.name for path in home.iterdir()) == ["config.toml", "identity.json"]
    assert load_config(home / "config.toml").name == "alice"
    assert "unencrypted" in result.stderr
    assert json.loads(nexus("id", "--json").stdout) == made


def test_n1_init_never_overwrites_an_identity(nexus: Nexus, home: Path) -> None:
    nexus("init", "--name", "alice")
    before = (home / "identity.json").read_bytes()
    refused = nexus("init", "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--if-missing" in refused.stderr
    kept = nexus("init", "--if-missing", "--json")
    assert kept.exit_code == 0
    assert kept.stdout == nexus("id", "--json").stdout
    assert (home / "identity.json").read_bytes() == before
    renamed = nexus("init", "--if-missing", "--name", "bob")
    assert renamed.exit_code == 1
    assert "alice" in renamed.stderr


def test_n1_init_seals_the_key_under_a_passphrase(nexus: Nexus, home: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    result = nexus("init", "--passphrase-file", str(tmp_path / "secret"), "--json")
    assert result.exit_code == 0
    assert "sealed" in result.stderr
    sealed = (home / "identity.json").read_bytes()
    assert load_identity(sealed, b"correct horse").node_id.hex() == json.loads(result.stdout)["node_id"]
    with pytest.raises(IdentityError):
        load_identity(sealed, b"wrong")
    assert nexus("id").exit_code == 0
    # No terminal to ask on, and then the wrong passphrase.
    assert "--passphrase-file" in nexus("run").stderr
    (tmp_path / "secret").write_text("wrong")
    wrong = nexus("run", "--passphrase-file", str(tmp_path / "secret"))
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 1)
    assert "passphrase" in wrong.stderr


def test_init_refuses_an_empty_passphrase_and_leaves_nothing(
    nexus: Nexus, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("\n")
    assert nexus("init", "--passphrase-file", str(tmp_path / "secret")).exit_code == 1
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 65, "\x1b[2J"])
def test_init_refuses_names_that_cannot_be_shown(nexus: Nexus, home: Path, name) -> None:
    result = nexus("init", "--name", name)
    assert result.exit_code == 1
    assert result.stderr.startswith("nexus: name is")
    assert list(home.iterdir()) == []


def test_init_keeps_a_configuration_that_is_there(nexus: Nexus, home: Path) -> None:
    (home / "config.toml").write_text('name = "carol"\n')
    assert json.loads(nexus("init", "--json").stdout)["name"] == "carol"
    assert (home / "config.toml").read_text() == 'name = "carol"\n'


def test_init_says_why_it_cannot_write(nexus: Nexus, home: Path) -> None:
    home.rmdir()
    home.write_text("a file where the home should be")
    result = nexus("init")
    assert result.exit_code == 2
    assert str(home) in result.stderr


def test_n10_the_configured_relays_stand_in_the_contact_link(
    nexus: Nexus, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nexus("init", "--name", "alice")
    relays = (NodeId(bytes([8]) * 32), NodeId(bytes([9]) * 32))
    links = ", ".join(f'"{make_uri(relay, "roof")}"' for relay in relays)
    (home / "config.toml").write_text(f'name = "alice"\nrelays = [{links}]\n')

    def be_ready(home, config, identity, on_ready) -> int:
        on_ready()
        return 0

    monkeypatch.setattr(service, "run_node", be_ready)
    shown = json.loads(nexus("id", "--json").stdout)["uri"]
    parsed = parse_uri_untrusted(shown)
    assert (parsed.name, parsed.relays) == ("alice", relays)
    assert json.loads(nexus("init", "--if-missing", "--json").stdout)["uri"] == shown
    assert f"contact link    {shown}\n" in nexus("run", "--show-contact").stdout


@pytest.mark.parametrize(
    ("written", "args", "enabled"),
    [("false", [], False), ("false", ["--relay"], True), ("true", [], True), ("true", ["--relay"], True)],
)
def test_n10_run_relay_is_enabled_for_this_run(
    nexus: Nexus, home: Path, monkeypatch: pytest.MonkeyPatch, written, args, enabled
) -> None:
    nexus("init")
    text = f'name = "x"\n[relay]\nenabled = {written}\nserve = "anyone"\n'
    (home / "config.toml").write_text(text)
    given: list[NodeConfig] = []

    def take(home, config, identity, on_ready) -> int:
        given.append(config)
        return 0

    monkeypatch.setattr(service, "run_node", take)
    assert nexus("run", *args).exit_code == 0
    assert given == [NodeConfig(name="x", relay=RelayConfig(enabled=enabled, serve="anyone"))]
    assert (home / "config.toml").read_text() == text


@pytest.mark.parametrize("verb", ["id", "run"])
def test_without_an_identity(nexus: Nexus, home: Path, verb) -> None:
    result = nexus(verb)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"nexus --home {home} init" in result.stderr


def test_damaged_identity_is_refused_with_words(nexus: Nexus, home: Path) -> None:
    nexus("init")
    (home / "identity.json").write_bytes(b'{"version": 1')
    for verb in ("id", "run"):
        result = nexus(verb)
        assert (result.exit_code, result.stderr) == (
            1,
            f"nexus: {home / 'identity.json'}: the identity file is damaged; restore it from your backup\n",
        )


def test_config_typo_stops_run_and_names_the_nearest_key(nexus: Nexus, home: Path) -> None:
    nexus("init")
    (home / "config.toml").write_text('nane = "x"\n')
    result = nexus("run")
    assert result.exit_code == 1
    assert 'did you mean "name"?' in result.stderr


def test_default_home_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXUS_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert CliRunner().invoke(cli, ["init"]).exit_code == 0
    assert (tmp_path / "data" / "nexus-node" / "identity.json").exists()
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "other"))
    assert CliRunner().invoke(cli, ["init"]).exit_code == 0
    assert (tmp_path / "other" / "identity.json").exists()


def test_help_lines_are_the_verbs_own() -> None:
    for verb, (module, line) in VERBS.items():
        command = getattr(import_module(f"nexus_node.cli.{module}"), "id_" if verb == "id" else verb)
        assert command.get_short_help_str(200).rstrip(".") == line.rstrip("."), verb


def findings(nexus: Nexus) -> tuple[int, dict[str, dict[str, object]]]:
    result = nexus("doctor", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(set(each) == {"check", "ok", "found", "do"} for each in found)
    assert all(each["ok"] or each["do"] for each in found)
    assert result.exit_code == (0 if all(each["ok"] for each in found) else 1)
    return result.exit_code, {str(each["check"]): each for each in found}


def test_doctor_is_content_with_a_new_home(nexus: Nexus) -> None:
    nexus("init")
    exit_code, found = findings(nexus)
    assert exit_code == 0, found
    assert {"python", "home", "identity", "config", "driver tcp", "node", "disk", "clock"} <= set(found)
    assert "running" in str(found["node"]["found"])
    assert nexus("doctor").exit_code == 0


def test_doctor_finds_what_is_wrong(nexus: Nexus, home: Path) -> None:
    nexus("init")
    home.chmod(0o755)
    (home / "identity.json").chmod(0o644)
    (home / "config.toml").write_text(
        '[[carrier]]\ndriver = "pigeon"\n[[carrier]]\ndriver = "tcp"\nlisten = "nowhere"\n'
        '[[carrier]]\ndriver = "rnode"\nport = "/dev/ttyNONE"\n'
    )
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(home / "control.sock"))
    exit_code, found = findings(nexus)
    assert exit_code == 1
    wrong = {check for check, each in found.items() if not each["ok"]}
    assert wrong >= {"home", "identity", "driver pigeon", "driver tcp", "port /dev/ttyNONE", "node"}
    assert found["identity"]["do"] == f"chmod 600 {home / 'identity.json'}"
    assert "cut off" in str(found["node"]["found"])
    (home / "config.toml").write_text("name = \n")
    assert "line 1" in str(findings(nexus)[1]["config"]["found"])


def test_doctor_without_a_home(nexus: Nexus, home: Path) -> None:
    home.rmdir()
    exit_code, found = findings(nexus)
    assert exit_code == 1
    assert found["home"]["do"] == f"nexus --home {home} init"


def test_doctor_notices_a_clock_that_went_back(nexus: Nexus, home: Path) -> None:
    nexus("init")
    later = time.time() + 86400
    os.utime(home / "identity.json", (later, later))
    clock = findings(nexus)[1]["clock"]
    assert not clock["ok"]
    assert "but identity.json was written" in str(clock["found"])


def test_doctor_sees_a_running_node(nexus: Nexus, node: FakeNode) -> None:
    nexus("init")
    node.verbs["status"] = {"carriers": []}
    assert findings(nexus)[1]["node"] == {"check": "node", "ok": True, "found": "running", "do": ""}


def test_home_that_cannot_be_made_is_named() -> None:
    result = CliRunner().invoke(cli, ["--home", "/proc/nexus", "init"])
    assert result.exit_code == 1
    assert result.stderr.startswith("nexus: /proc/nexus: ")
