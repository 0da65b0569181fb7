"""Real nodes in a mesh of TCP connections on this machine."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness.nodes import RunningNode, free_port, introduce, wait_until

Nodes = dict[str, RunningNode]


@contextmanager
def mesh(folder: Path, names: Sequence[str], connections: Iterable[tuple[str, str]]) -> Iterator[Nodes]:
    """Homes of nodes that all listen, and of which the first of each connection calls the second. None runs
    yet; all are ended at the end."""
    ports = {name: free_port() for name in names}
    carriers = {name: [f"tcp listen=127.0.0.1:{ports[name]}"] for name in names}
    for one, other in connections:
        carriers[one].append(f"tcp connect=127.0.0.1:{ports[other]}")
    with ExitStack() as stack:
        yield {name: stack.enter_context(RunningNode(folder / name, carriers[name])) for name in names}


def start(nodes: Iterable[RunningNode], *extra: str) -> None:
    """Start some at once."""
    launched = [node.launch(*extra) for node in nodes]
    for node in launched:
        node.wait_ready()


def address(node: RunningNode) -> str:
    found: str = node.request("id")["address"]
    return found


def befriend_relay(node: RunningNode, relay: RunningNode) -> None:
    """They know and trust each other: the node gives it mail (N10), the relay takes it at once (S3)."""
    introduce(node, relay)
    node.request("contact.trust", name=relay.name, trust="trusted")
    relay.request("contact.trust", name=node.name, trust="trusted")


def send_relayed(sender: RunningNode, to: str, count: int, relays: Sequence[RunningNode]) -> dict[str, str]:
    """Send that many texts and wait until each of the relays has said that it keeps them; id to text."""
    texts = {sender.send(to, text): text for text in (f"{to}, number {n}" for n in range(count))}
    keepers = {address(relay) for relay in relays}
    wait_until(
        lambda: all(
            keepers == {fact["by"] for fact in row["facts"] if fact["state"] == "relayed"}
            for row in sender.outbox()
        ),
        20,
        "custody of all",
    )
    return texts


def arrived(node: RunningNode) -> dict[str, str]:
    """What is in the inbox, each once: id to text."""
    rows = node.inbox()
    texts = {row["id"]: row["text"] for row in rows}
    assert len(texts) == len(rows), "a message is there twice"
    return texts


def wait_for(node: RunningNode, texts: dict[str, str], timeout_s: float = 20.0) -> None:
    """Until all of these and nothing else is in the inbox, each once."""
    wait_until(lambda: len(arrived(node)) >= len(texts), timeout_s, f"{len(texts)} messages at {node.name}")
    assert arrived(node) == texts
