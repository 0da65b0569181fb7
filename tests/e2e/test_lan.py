"""Neighbours on one network find each other without being told who is there (udp, `lan = true`)."""

import socket
from pathlib import Path

from tests.e2e.shell import nexus
from tests.harness.nodes import RunningNode, free_port, introduce


def test_two_nodes_find_each_other(tmp_path: Path) -> None:
    lan_port = free_port(socket.SOCK_DGRAM)
    lan = f"lan=true lan_interface=127.0.0.1 lan_port={lan_port}"
    with (
        RunningNode(tmp_path / "alice", [f"udp bind=127.0.0.1:0 {lan}"]) as alice,
        RunningNode(tmp_path / "bob", [f"udp bind=127.0.0.1:0 {lan}"]) as bob,
    ):
        alice.start()
        bob.start()
        introduce(alice, bob)
        sent = nexus(alice.home, "send", "bob", "over the LAN", "--wait", "delivered", "--timeout", "20")
        assert sent.code == 0, sent.err
        assert [row["text"] for row in bob.inbox()] == ["over the LAN"]
