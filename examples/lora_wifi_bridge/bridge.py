"""Hill has only LoRa, House only Wi-Fi; Gateway has both. A text crosses each way, end-to-end encrypted.

Three nodes as processes, two emulated RNodes for the LoRa radios, and a TCP port in place of the Wi-Fi. With
boards of your own: `bridge.py --port-hill /dev/ttyUSB0 --port-gateway /dev/ttyUSB1`. Exit code 0 only if
both texts were delivered. The three `config.toml` beside this file are the same for real machines.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from nexus_node.client.errors import ControlError, NodeNotRunning
from nexus_node.client.sync import ControlClient

NEXUS = [sys.executable, "-m", "nexus_node.cli"]
EMULATE = [sys.executable, "-m", "nexus_firmware.emulate", "rnode"]
HERE = Path(__file__).parent
PATIENCE_S = 120.0
STARTED = time.monotonic()


class Failed(Exception):
    """Something that this example promises did not happen."""


def say(who: str, text: str) -> None:
    """One line: seconds since the start, who, what."""
    print(f"{time.monotonic() - STARTED:6.2f}  {who:<8} {text}", flush=True)


def until(what: str, reached: Callable[[], bool]) -> None:
    """Wait until `reached`. Raises `Failed` when that takes too long."""
    give_up = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > give_up:
            raise Failed(f"{what} did not happen within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def end(process: "subprocess.Popen[Any]") -> None:
    """SIGTERM, and SIGKILL if that is not heard."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_radio(folder: Path, name: str, stack: ExitStack) -> Path:
    """An emulated RNode on the air of this example; its port."""
    port = folder / f"radio-{name}"
    command = [*EMULATE, "--pty", str(port), "--air", f"bridge-{os.getpid()}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    stack.callback(end, process)
    said = process.stderr.readline() if process.stderr is not None else ""
    if "serves" not in said:
        raise Failed(f"the radio of {name} did not start: {said.strip()}")
    say(name, f"has an emulated RNode at {port}")
    return port


class Node:
    """A `nexus run` on a home whose config.toml is the one beside this file, with this machine's ports."""

    def __init__(self, name: str, folder: Path, ports: dict[str, str]) -> None:
        self.name = name
        self.home = folder / name
        subprocess.run([*NEXUS, "--home", str(self.home), "init"], check=True, capture_output=True)
        config = (HERE / f"{name}.toml").read_text()
        for written, real in ports.items():
            config = config.replace(written, real)
        (self.home / "config.toml").write_text(config)
        shown = subprocess.run(
            [*NEXUS, "--home", str(self.home), "id", "--json"], check=True, capture_output=True, text=True
        )
        self.uri = json.loads(shown.stdout)["uri"]

    def start(self, stack: ExitStack) -> None:
        """Start the process, and return once it answers."""
        log = (self.home / "log").open("w")
        stack.callback(log.close)
        process = subprocess.Popen(
            [*NEXUS, "--home", str(self.home), "run"],
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        stack.callback(end, process)
        until(f"the start of {self.name}", lambda: "ready" in (self.home / "log").read_text().split())
        say(self.name, f"is ready, process {process.pid}")

    def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        with ControlClient(self.home, timeout_s=PATIENCE_S + 10) as client:
            return client.request(verb, args)

    def stream(self, verb: str) -> list[dict[str, Any]]:
        with ControlClient(self.home, timeout_s=PATIENCE_S) as client:
            return list(client.stream(verb, {}))

    def peers(self) -> int:
        """How many neighbours it has a link to."""
        return len({link["peer"] for link in self.ask("status")["links"] if link["state"] == "up"})


def write(sender: Node, receiver: Node, text: str) -> None:
    """A text from one to the other, until the receipt is back. Raises `Failed` and ControlError."""
    say(sender.name, f"writes to {receiver.name}: {text}")
    before = time.monotonic()
    message = sender.ask("send", to=receiver.name, text=text)["id"]
    sender.ask("wait", id=message, state="delivered", timeout_s=PATIENCE_S)
    say(sender.name, f"has {receiver.name}'s receipt after {time.monotonic() - before:.1f} s")
    if [(row["from"], row["text"]) for row in receiver.stream("inbox")][-1:] != [(sender.name, text)]:
        raise Failed(f"{receiver.name} has another text")
    say(receiver.name, f"reads: {text}")


def play(hill: Node, gateway: Node, house: Node) -> None:
    """Raises `Failed` and ControlError."""
    for node, other in ((hill, house), (house, hill)):
        node.ask("contact.add", name=other.name, uri=other.uri)
    until("the meeting by radio and by Wi-Fi", lambda: gateway.peers() == 2)
    say("gateway", "has met Hill by radio and House by Wi-Fi, and knows neither as a contact")
    write(house, hill, "Hello up there, do you hear us?")
    write(hill, house, "Loud and clear. The view is good.")
    for row in house.stream("paths"):
        if row["name"] == hill.name:
            rate = f"{row['bps']:.0f} bit/s at the narrowest"
            say("house", f"reaches {hill.name} over {row['hops']} hops, {rate}")


def ended(number: int, _frame: object) -> NoReturn:
    """A signal that ends this, by way of its clean-up."""
    sys.exit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port-hill", metavar="PORT", help="a real RNode, in place of an emulated one")
    parser.add_argument("--port-gateway", metavar="PORT", help="another")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, ended)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexus-bridge-")))
        try:
            radios = {
                name: given or str(start_radio(folder, name, stack))
                for name, given in (("hill", options.port_hill), ("gateway", options.port_gateway))
            }
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                wifi = f"127.0.0.1:{probe.getsockname()[1]}"
            nodes = [
                Node(name, folder, {"/dev/radio": radios.get(name, ""), "192.0.2.1:4001": wifi})
                for name in ("gateway", "hill", "house")
            ]
            for node in nodes:
                node.start(stack)
            gateway, hill, house = nodes
            play(hill, gateway, house)
        except (Failed, ControlError, NodeNotRunning) as error:
            say("", f"FAILED: {error}")
            for home in sorted(folder.glob("*/log")):
                print(f"--- {home.parent.name}", *home.read_text().splitlines()[-10:], sep="\n", flush=True)
            return 1
        except KeyboardInterrupt:
            return 130
    say("", "a text has crossed each way")
    return 0


if __name__ == "__main__":
    sys.exit(main())
