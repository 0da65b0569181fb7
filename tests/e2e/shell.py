"""A person at a shell: the `nexus` program as a process, and what it answers."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness.nodes import NEXUS

Json = dict[str, Any]


class Done(NamedTuple):
    """A program that has ended."""

    code: int
    out: str
    err: str

    def rows(self) -> list[Json]:
        """The JSON objects of a verb that went well, one a line."""
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]

    def row(self) -> Json:
        (only,) = self.rows()
        return only

    def refusal(self, code: int) -> str:
        """The one sentence a person gets, with that exit code."""
        assert self.code == code, (self.code, self.out, self.err)
        (sentence,) = self.err.splitlines()
        assert sentence.startswith("nexus: "), sentence
        return sentence.removeprefix("nexus: ")


def nexus(home: Path | None, *args: str, stdin: str = "", **env: str) -> Done:
    """Run `nexus [--home HOME] ARGS` to its end."""
    place = [] if home is None else ["--home", str(home)]
    done = subprocess.run(
        [*NEXUS, *place, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | env,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def ask(home: Path, *args: str, stdin: str = "") -> list[Json]:
    """The JSON answer of a verb that goes well."""
    return nexus(home, *args, "--json", stdin=stdin).rows()
