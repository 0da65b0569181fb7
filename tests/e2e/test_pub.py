"""Publish and subscribe between real processes (N8), by the contract."""

from pathlib import Path

import pytest

from tests.e2e.shell import ask, nexus
from tests.harness.nodes import RunningNode, free_port, wait_until

NEWS = "scope:topic/news"


def texts(node: RunningNode) -> list[str]:
    return [row["text"] for row in ask(node.home, "published")]


def test_n8_a_line_of_three_where_one_is_away_and_another_is_killed(tmp_path: Path) -> None:
    """Subscribed at one end, published at the other; what comes while one is away comes on its return."""
    first, second = free_port(), free_port()
    with (
        RunningNode(tmp_path / "a", [f"tcp listen=127.0.0.1:{first}"]) as a,
        RunningNode(
            tmp_path / "b", [f"tcp connect=127.0.0.1:{first}", f"tcp listen=127.0.0.1:{second}"]
        ) as b,
        RunningNode(tmp_path / "c", [f"tcp connect=127.0.0.1:{second}"]) as c,
    ):
        for node in (a, b, c):
            node.start()
        assert ask(c.home, "subscribe", NEWS, "--mode", "hint") == [{"topic": NEWS, "mode": "hint"}]
        assert ask(c.home, "subscribe", "prefix:ab") == [{"topic": "prefix:ab", "mode": "push"}]
        assert [row["topic"] for row in ask(c.home, "subscriptions")] == [NEWS, "prefix:ab"]
        (one,) = ask(a.home, "publish", NEWS, "one", "--ttl", "3600")
        assert (one["topic"], one["text"], one["refers"]) == (NEWS, "one", None)
        assert one["expires_ms"] - one["published_ms"] == 3_600_000
        wait_until(lambda: texts(c) == ["one"], 20, "what was published")
        events = [event for event in c.stream("events") if event["event"] == "published"]
        assert [(event["text"], event["object"]) for event in events] == [("one", one["object"])]
        assert texts(b) == []  # it has passed by, and nobody there has asked for it

        c.kill9()
        ask(a.home, "publish", NEWS, "two")
        ask(a.home, "publish", "key:abcd", "three")
        b.kill9()
        b.start()
        c.start()
        wait_until(lambda: sorted(texts(c)) == ["one", "three", "two"], 20, "what came while it was away")
        assert "two" in nexus(c.home, "published").out

        content = tmp_path / "map.bin"
        content.write_bytes(bytes(range(256)) * 400)
        (stored,) = ask(a.home, "put", str(content))
        (sent,) = ask(a.home, "publish", NEWS, "--object", stored["object"])
        assert sent["refers"] == stored["object"]
        wait_until(lambda: has(c, stored["object"]), 20, "the object that was published")
        ask(c.home, "get", stored["object"], "-o", str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == content.read_bytes()

        ask(c.home, "unsubscribe", "prefix:ab")
        assert [row["topic"] for row in ask(c.home, "subscriptions")] == [NEWS]
        assert sorted(filter(None, texts(c))) == ["one", "two"]


def has(node: RunningNode, object_id: str) -> bool:
    rows = [row for row in ask(node.home, "objects") if row["object"] == object_id]
    return bool(rows) and rows[0]["chunks_have"] == rows[0]["chunks_total"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory):
    with RunningNode(tmp_path_factory.mktemp("alone"), []) as alone:
        yield alone.start()


def test_n8_what_nobody_would_fetch_is_not_published(node: RunningNode, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(50_000_001)
    (stored,) = ask(node.home, "put", str(large))
    words = nexus(node.home, "publish", NEWS, "--object", stored["object"]).refusal(1)
    assert "fetches up to 50000000" in words and "--name" in words
    assert ask(node.home, "published") == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["publish", "news", "text"], 1, "'news' is no topic"),
        (["publish", "prefix:ab", "text"], 1, "takes in many topics"),
        (["publish", "node:" + "00" * 16, "text"], 1, "only that node itself publishes"),
        (["publish", NEWS], 1, "either a text or"),
        (["publish", NEWS, "text", "--object", "00" * 32], 1, "either a text or"),
        (["publish", NEWS, "--object", "00" * 32], 1, "there is no object"),
        (["publish", NEWS, "text", "--ttl", "0"], 2, "--ttl"),
        (["publish", NEWS, "x" * 4000], 1, "3800 can be published"),
        (["subscribe", "scope:sea/a"], 1, "begin with geo/ or topic/"),
        (["subscribe", NEWS, "--mode", "loud"], 2, "--mode"),
        (["unsubscribe", NEWS], 1, "is not subscribed"),
    ],
)
def test_m5_what_cannot_be_is_said_in_words(node: RunningNode, args, code, words) -> None:
    done = nexus(node.home, *args)
    assert done.code == code
    assert words in done.err
