"""A home, a node to talk to, and the program."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_node import FakeNode, Nexus

from nexus_node.cli.main import cli


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def node(home: Path) -> Iterator[FakeNode]:
    fake = FakeNode(home)
    yield fake
    fake.close()


@pytest.fixture
def nexus(home: Path, monkeypatch: pytest.MonkeyPatch) -> Nexus:
    """Runs a command line in this process on the test's home."""
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, ["--home", str(home), *args], input=stdin, prog_name="nexus")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
