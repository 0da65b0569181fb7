"""The harness itself: a pair that talks, dies and comes back."""

from pathlib import Path

from tests.harness.nodes import tcp_pair


def test_a_pair_talks_and_a_killed_node_comes_back(tmp_path: Path) -> None:
    with tcp_pair(tmp_path) as (alice, bob):
        alice.wait(alice.send("bob", "one"), "delivered")
        bob.kill9()
        assert not bob.running
        second = alice.send("bob", "two")
        bob.start()
        alice.wait(second, "delivered")
        assert [row["text"] for row in bob.inbox()] == ["one", "two"]
        assert alice.terminate() == 0
