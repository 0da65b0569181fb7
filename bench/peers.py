"""The peers' own measurements: the scripts in ../shared/peers/rns, run in their virtual environment."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Figures, emit

SCRIPTS = Path(__file__).parents[1].parent / "shared" / "peers" / "rns"
_LONGEST_S = 600.0


class Peer:
    """Reticulum (RNS) and LXMF as installed for `python`."""

    def __init__(self, python: Path) -> None:
        self._python = python.absolute()
        asked = [str(self._python), "-c", "import RNS, LXMF; print(RNS.__version__, LXMF.__version__)"]
        rns, lxmf = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
        self.versions = f"RNS {rns}, LXMF {lxmf}"

    def run(
        self, script: str, *args: str, last: Callable[[Figures], bool] = lambda _: False
    ) -> list[Figures]:
        """The JSON lines of one script, up to the `last` one wanted."""
        lines: list[Figures] = []
        with TemporaryDirectory() as folder:
            place = shutil.copytree(SCRIPTS, Path(folder, "rns"))  # the scripts write beside themselves
            process = subprocess.Popen(
                [str(self._python), str(place / script), *args],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "RNS_PY": str(self._python), "TMPDIR": folder},
                start_new_session=True,
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if line.startswith("{"):
                        lines.append(emit("peer", json.loads(line)))
                        if last(lines[-1]):
                            break
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return lines


def find_peer(python: str | None) -> Peer | None:
    """The peer for `--peer`, RNS_PY or `.peer/bin/python`; None when there is none or no scripts are here."""
    chosen = python or os.environ.get("RNS_PY") or str(Path(__file__).parents[1] / ".peer/bin/python")
    return Peer(Path(chosen)) if Path(chosen).exists() and SCRIPTS.exists() else None
