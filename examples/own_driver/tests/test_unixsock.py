"""The driver keeps Nexus Node's contract. Needs `pip install ./examples/own_driver` and pytest."""

from pathlib import Path

import trio
from nexus_unixsock import UnixSockDriver

from nexus_drivers.check import check_config, check_driver


def test_contract(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    trio.run(
        check_driver,
        lambda: (UnixSockDriver(path, dials=True), UnixSockDriver(path, dials=False)),
    )


def test_configuration() -> None:
    check_config(UnixSockDriver, good={"listen": "/run/a.sock"}, bad={"listen": "a.sock", "connect": "/b"})
