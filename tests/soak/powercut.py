"""Power cuts: a process whose files, after it is killed, go back to what a disk would still hold."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("powercut.c")
SECTOR = 512
"""What a disk writes whole or not at all; SQLite relies on no more (its power-safe overwrite)."""


def build_shim(folder: Path) -> Path:
    """Compile powercut.c. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("power cuts need a C compiler; install one with: sudo apt install gcc")
    shim = folder / "powercut.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(shim), str(SOURCE), "-pthread"],
        check=True,
    )
    return shim


class Disk:
    """A flat folder on a disk that can lose its power."""

    def __init__(self, folder: Path, shim: Path) -> None:
        self.folder = folder.resolve()
        self._shadow = self.folder.with_name(self.folder.name + ".disk")
        self.env = {
            "LD_PRELOAD": str(shim),
            "POWERCUT_DIR": str(self.folder),
            "POWERCUT_SHADOW": str(self._shadow),
        }
        """For the one process that is to use the folder, after `power_on`."""

    def power_on(self) -> None:
        """Take all that is in the folder now as being on the disk."""
        shutil.rmtree(self._shadow, ignore_errors=True)
        (self._shadow / "files").mkdir(parents=True)
        names = []
        for path in self.folder.iterdir():
            if path.is_file():
                key = f"{path.stat().st_ino}-0"
                shutil.copyfile(path, self._shadow / "files" / key)
                names.append(f"{key} {path.name}\n")
        (self._shadow / "names").write_text("".join(names))

    def cut(self, rng: random.Random | None = None) -> int:
        """The power goes; the process is dead already. Returns how many bytes were not synced.

        Nothing that was not synced stays. With `rng` a random part of it does: sectors, and names.
        """
        lost = 0
        live = {path.name: path for path in self.folder.iterdir() if path.is_file()}
        synced = dict(line.split(" ", 1)[::-1] for line in (self._shadow / "names").read_text().splitlines())
        newest = self._newest_generations()
        by_key = {newest[inode]: path for path in live.values() if (inode := path.stat().st_ino) in newest}
        if rng is not None:
            keys = {path.name: key for key, path in by_key.items()}
            for name in sorted(synced.keys() | keys.keys()):
                if synced.get(name) != keys.get(name) and rng.random() < 0.5:
                    synced.pop(name, None)
                    if name in keys:
                        synced[name] = keys[name]
        lost += sum(path.stat().st_size for name, path in live.items() if name not in synced)
        after = self.folder.with_name(self.folder.name + ".after")
        after.mkdir(mode=0o700)
        for name, key in synced.items():
            twin = self._shadow / "files" / key
            kept = twin.read_bytes() if twin.exists() else b""
            written = by_key[key].read_bytes() if key in by_key else kept
            lost += sum(_sector(kept, at) != _sector(written, at) for at in _sectors(kept, written)) * SECTOR
            if rng is not None:
                kept = _torn(kept, written, rng)
            (after / name).touch(0o600)
            (after / name).write_bytes(kept)
        shutil.rmtree(self.folder)
        after.rename(self.folder)
        return lost

    def _newest_generations(self) -> dict[int, str]:
        """The files' keys by inode number: of several generations the last one is the file that is there."""
        newest: dict[int, str] = {}
        for key in sorted(os.listdir(self._shadow / "files"), key=lambda key: int(key.split("-")[1])):
            newest[int(key.split("-")[0])] = key
        return newest


def _sectors(kept: bytes, written: bytes) -> range:
    return range(0, max(len(kept), len(written)), SECTOR)


def _sector(content: bytes, at: int) -> bytes:
    return content[at : at + SECTOR].ljust(SECTOR, b"\0")


def _torn(kept: bytes, written: bytes, rng: random.Random) -> bytes:
    """Each sector from before or after the unsynced writes, and so the size."""
    share = rng.random()
    size = rng.choice((len(kept), len(written), rng.randint(*sorted((len(kept), len(written))))))
    parts = []
    for at in _sectors(kept, written):
        parts.append(_sector(written if rng.random() < share else kept, at))
    return b"".join(parts)[:size]
