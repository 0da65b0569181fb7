"""Processes of `nexus run`, for measurements from outside."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from nexus_node.client.sync import ControlClient

NEXUS = str(Path(sys.executable).with_name("nexus"))
_READY_S = 30.0


class NodeProcess:
    """A home, made if need be, and the node on it for as long as the context lasts."""

    def __init__(self, home: Path, carriers: Sequence[str] = ()) -> None:
        self.home = home
        self._carriers = carriers
        make = [NEXUS, "--home", str(home), "init", "--if-missing", "--name", home.name]
        subprocess.run(make, check=True, capture_output=True)

    def __enter__(self) -> Self:
        """Start it and wait for `ready`; how long that took is in `ready_s` then."""
        options = [part for carrier in self._carriers for part in ("--carrier", carrier)]
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            [NEXUS, "--home", str(self.home), "run", *options],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        words = b""
        while words != b"ready\n":
            assert self._process.stderr is not None
            words = self._process.stderr.readline()
            if not words:
                raise RuntimeError(f"{self.home.name} ended before it was ready")
        self.ready_s = time.perf_counter() - begin
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=_READY_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, verb: str, **args: Any) -> dict[str, Any]:
        with ControlClient(self.home, timeout_s=_READY_S) as client:
            return client.request(verb, args)


def link_up(one: NodeProcess, other: NodeProcess) -> None:
    """Make two running nodes contacts of each other and wait until both have the link."""
    for node, peer in ((one, other), (other, one)):
        node.request("contact.add", name=peer.home.name, uri=peer.request("id")["uri"])
    deadline = time.monotonic() + _READY_S
    while not all(node.request("status")["links"] for node in (one, other)):
        if time.monotonic() > deadline:
            why = [carrier["why"] for node in (one, other) for carrier in node.request("status")["carriers"]]
            raise TimeoutError(f"no link came up: {why}")
        time.sleep(0.02)
