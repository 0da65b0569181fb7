"""Programs of others, each in a process of its own, against our emulators in theirs (radio.md 9.9).

`PEER_PY` names a Python that has them: `make test` and `make test-peers` make one (docs/firmware.md).
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
END_S = 5


def pytest_collection_modifyitems(items):
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.peer)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def peer_python() -> str:
    python = os.environ.get("PEER_PY")
    if not python:
        pytest.skip("PEER_PY names no Python with the peers (docs/firmware.md)")
    return python


def need(peer_python: str, package: str) -> str:
    """The package's version there; skips the test, with words, where it is not installed."""
    have = subprocess.run(
        [peer_python, "-c", f"import importlib.metadata as m; print(m.version('{package}'))"],
        capture_output=True,
        text=True,
    )
    if have.returncode:
        pytest.skip(f"{peer_python} has no {package} (docs/firmware.md)")
    return have.stdout.strip()


@pytest.fixture
def peer(peer_python: str, tmp_path: Path) -> Callable[..., Any]:
    """Runs a script of `scripts/` under the peers' Python; its last line is JSON."""

    def run(package: str, script: str, *arguments: str, seconds: float = 90) -> Any:
        version = need(peer_python, package)
        done = subprocess.run(
            [peer_python, SCRIPTS / script, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"{package} {version}\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts an emulator in a process; returns where it serves. All of a test are on one air."""
    air = f"test-{uuid.uuid4().hex[:12]}"
    running: list[subprocess.Popen[str]] = []

    def start(kind: str, *options: str) -> str:
        name = tmp_path / f"tty{len(running)}"
        where = [] if "--tcp" in options else ["--pty", str(name)]
        process = subprocess.Popen(
            [sys.executable, "-m", "nexus_firmware.emulate", kind, *where, "--air", air, *options],
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(f"{kind} serves "), line
        return line.split()[2]

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
    codes = [process.wait(END_S) for process in running]
    assert codes == [0] * len(running)


def set_kiss_radio(port: str) -> None:
    """867.2 MHz, 500 kHz, SF7, 4/5: as somebody has set a KISS modem before a client comes that cannot."""
    numbers = (867_200_000).to_bytes(4, "little") + (500_000).to_bytes(4, "little")
    assert not set(numbers) & {0xC0, 0xDB}
    with open(port, "r+b", buffering=0) as device:
        device.write(b"\xc0\x06\x09" + numbers + b"\x07\x05\xc0")
        assert device.read(5) == b"\xc0\x06\xf0\xc0"
