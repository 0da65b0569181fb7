"""Every driver that ships, and the installable example, keeps the contract (nexus_drivers.check)."""

import errno
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from nexus_drivers.check import CHECKS, MakePair, check_config, check_driver, check_frames
from nexus_drivers.memory import MemoryDriver, MemoryMedium
from nexus_drivers.options import Endpoint
from nexus_drivers.probe import ContractBroken
from nexus_drivers.tcp import TcpDriver
from nexus_drivers.udp import UdpDriver
from nexus_node.ports.driver import Driver

ROOT = Path(__file__).resolve().parents[2]


def free_port(kind: socket.SocketKind, host: str = "127.0.0.1") -> int:
    """A port nobody has now, below those the system hands out by itself."""
    for _ in range(100):
        port = random.SystemRandom().randint(12000, 32000)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
            try:
                sock.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    raise OSError("no free port")


def tcp_pair(host: str = "127.0.0.1") -> tuple[TcpDriver, TcpDriver]:
    where = Endpoint(host, free_port(socket.SOCK_STREAM, host))
    return TcpDriver(where, dials=True), TcpDriver(where, dials=False)


def udp_pair(host: str = "127.0.0.1") -> tuple[UdpDriver, UdpDriver]:
    near, far = (Endpoint(host, free_port(socket.SOCK_DGRAM, host)) for _ in range(2))
    return UdpDriver(near, (far,)), UdpDriver(far, (near,))


def udp_with_stranger() -> tuple[UdpDriver, UdpDriver]:
    far = Endpoint("127.0.0.1", free_port(socket.SOCK_DGRAM))
    return UdpDriver(Endpoint("127.0.0.1", 0), (far,)), UdpDriver(far)


def memory_pair(**how: float) -> tuple[MemoryDriver, MemoryDriver]:
    medium = MemoryMedium(**how)  # type: ignore[arg-type]
    return MemoryDriver(medium), MemoryDriver(medium)


PAIRS: dict[str, MakePair] = {
    "tcp": tcp_pair,
    "udp": udp_pair,
    "udp-stranger": udp_with_stranger,
    "memory": memory_pair,
    "memory-lossy": lambda: memory_pair(loss=0.2, duplicate=0.2, reorder=0.2, delay_s=0.002),
    "memory-shared": lambda: memory_pair(shared=True, bps=20e6),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("pair", PAIRS)
def test_driver_keeps_the_contract(pair: str, check: Callable[[MakePair], Awaitable[None]]) -> None:
    trio.run(check, PAIRS[pair])


@pytest.mark.parametrize("make_pair", [tcp_pair, udp_pair])
def test_frames_cross_over_ipv6(make_pair: Callable[[str], tuple[Driver, Driver]]) -> None:
    try:
        free_port(socket.SOCK_STREAM, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    trio.run(check_frames, lambda: make_pair("::1"))


def test_configuration_errors_name_the_key() -> None:
    check_config(
        TcpDriver,
        good={"listen": "127.0.0.1:4001"},
        bad={"listen": "127.0.0.1", "connect": "127.0.0.1:70000"},
    )
    check_config(
        UdpDriver,
        good={
            "bind": "127.0.0.1:5001",
            "peers": ["127.0.0.1:5002"],
            "lan": True,
            "lan_interface": "127.0.0.1",
        },
        bad={"bind": "::1:5001", "peers": ["x"], "lan": "yes", "lan_interface": 1, "lan_port": 0},
    )
    check_config(MemoryDriver, good={"medium": "a"}, bad={"medium": ""})


def test_the_suite_finds_a_driver_that_breaks_the_contract() -> None:
    class Merges(MemoryDriver):
        async def run(self, port):  # type: ignore[no-untyped-def]
            class Port:
                report = port.report

                def attach(self, profile, label, *, dialed):  # type: ignore[no-untyped-def]
                    return _Shortening(port.attach(profile, label, dialed=dialed))

            await super().run(Port())  # type: ignore[arg-type]

    class _Shortening:
        def __init__(self, context):  # type: ignore[no-untyped-def]
            self.context = context

        async def __aenter__(self):  # type: ignore[no-untyped-def]
            carrier = await self.context.__aenter__()
            deliver = carrier.deliver
            carrier.deliver = lambda frame, signal=None: deliver(frame[:1000])
            return carrier

        async def __aexit__(self, *exc):  # type: ignore[no-untyped-def]
            return await self.context.__aexit__(*exc)

    def make_pair() -> tuple[MemoryDriver, MemoryDriver]:
        medium = MemoryMedium()
        return Merges(medium), Merges(medium)

    with pytest.raises(ContractBroken, match="changed"):
        trio.run(check_driver, make_pair)


def test_the_example_installs_offline_and_is_found_by_its_entry_point(tmp_path: Path) -> None:
    example = tmp_path / "own_driver"
    shutil.copytree(ROOT / "examples" / "own_driver", example, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target), str(example)]
    subprocess.run([*pip, *offline], check=True, timeout=60)
    run = """
import importlib.metadata, pathlib, sys, tempfile
sys.path.insert(0, sys.argv[1])
import trio
from nexus_drivers.check import check_driver
(found,) = importlib.metadata.entry_points(group="nexus_node.drivers", name="unixsock")
driver = found.load()
assert driver.scheme == "unixsock"
assert pathlib.Path(sys.modules[driver.__module__].__file__).is_relative_to(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    path = folder + "/sock"
    trio.run(
        check_driver,
        lambda: (driver.from_config({"connect": path}), driver.from_config({"listen": path})),
    )
print("kept")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", run, str(target)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "kept\n", done.stderr
