"""A network of real nodes: several hops, and a way that changes (N4, N5)."""

import time
from pathlib import Path

from tests.e2e.mesh import address, arrived, mesh, start, wait_for
from tests.e2e.shell import ask, nexus
from tests.harness.nodes import introduce, wait_until

BURST = 200
FAIL_OVER_S = 2.0


def test_n4_a_line_of_six_delivers_both_ways(tmp_path: Path) -> None:
    """The four between know neither of the ends."""
    names = ["alice", "b", "c", "d", "e", "bob"]
    with mesh(tmp_path, names, zip(names[1:], names, strict=False)) as nodes:
        alice, bob = nodes["alice"], nodes["bob"]
        start(nodes.values())
        introduce(alice, bob)
        way = [address(nodes[name]) for name in names[1:]]
        for here, there in ((alice, bob), (bob, alice)):
            sent = nexus(
                here.home, "send", there.name, "Hi", "--wait", "delivered", "--timeout", "20", "--json"
            )
            assert sent.row()["state"] == "delivered"
            assert [row["from"] for row in there.inbox()] == [here.name]
            assert nodes["c"].inbox() == []
        (path,) = ask(alice.home, "paths", "bob")
        assert (path["destination"], path["next_hop"]) == (way[-1], way[0])
        assert (path["hops"], path["best"], path["stale"], path["name"]) == (5, True, False, "bob")
        wait_until(lambda: len(ask(alice.home, "paths")) == 5, 10, "paths to all")
        assert sorted(row["hops"] for row in ask(alice.home, "paths")) == [1, 2, 3, 4, 5]
        assert ask(alice.home, "paths", way[2])[0]["hops"] == 3
        hops = ask(alice.home, "trace", "bob")
        assert [(hop["hop"], hop["address"]) for hop in hops] == list(enumerate(way, 1))
        assert [hop["last"] for hop in hops] == [False] * 4 + [True]
        assert all(0 < hop["rtt_ms"] < 10_000 for hop in hops)
        assert hops[-1]["name"] == "bob"
        for verb in ("paths", "trace"):
            assert "bob" in nexus(alice.home, verb, "bob").out
        assert "no path" in nexus(alice.home, "trace", "00" * 16).refusal(1)
        assert ask(alice.home, "paths", "00" * 16) == []


def test_n4_a_ring_survives_the_kill_of_a_node_on_the_way(tmp_path: Path) -> None:
    """200 messages; in the middle dies the neighbour they go over. Fail-over within two seconds."""
    names = ["alice", "b", "bob", "d", "e"]
    with mesh(tmp_path, names, zip(names, [*names[1:], names[0]], strict=True)) as nodes:
        alice, bob = nodes["alice"], nodes["bob"]
        start(nodes.values())
        introduce(alice, bob)
        wait_until(lambda: bool(ask(alice.home, "paths", "bob")), 10, "a path")
        sides = {address(nodes[name]): nodes[name] for name in ("b", "e")}
        victim = sides.pop(ask(alice.home, "paths", "bob")[0]["next_hop"])
        texts = {}
        for number in range(BURST):
            text = f"number {number}"
            texts[alice.send("bob", text)] = text
            if number == BURST // 2:
                victim.kill9()
                killed = time.monotonic()
            if number == BURST // 2 + 1:
                alice.wait(list(texts)[-1], "delivered")
                took = time.monotonic() - killed
        for message in texts:
            alice.wait(message, "delivered")
        print(f"and all were delivered {time.monotonic() - killed:.2f} s after the kill")
        assert arrived(bob) == texts
        assert ask(alice.home, "paths", "bob")[0]["next_hop"] in sides
        print(f"fail-over took {took:.2f} s")
        assert took < FAIL_OVER_S


def test_n4_a_node_that_moves_keeps_getting_mail(tmp_path: Path) -> None:
    """From one neighbour to another and back; it is written to all the time."""
    names = ["alice", "north", "south", "bob"]
    links = [("alice", "north"), ("alice", "south"), ("bob", "north")]
    with mesh(tmp_path, names, links) as nodes:
        alice, bob = nodes["alice"], nodes["bob"]
        at = {"north": bob.carriers[1], "south": nodes["south"].carriers[0].replace("listen", "connect")}
        start(nodes.values())
        introduce(alice, bob)
        texts: dict[str, str] = {}
        for place in ("north", "south", "north"):
            if not bob.running:
                bob.carriers[1] = at[place]
                bob.start()
            for number in range(5):
                text = f"in the {place}: {len(texts)}, {number}"
                texts[alice.send("bob", text)] = text
            wait_for(bob, texts)
            wait_until(
                lambda place=place: ask(alice.home, "paths", "bob")[0]["next_hop"] == address(nodes[place]),
                10,
                "the new path",
            )
            bob.terminate()
            texts[alice.send("bob", f"on the way from the {place}")] = f"on the way from the {place}"
