"""The control protocol's client: its lines, its blocking end and its trio end (docs/control.md)."""

import json
import os
from pathlib import Path

import pytest
import trio
from fake_node import FakeNode, Refusal
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire, InputError
from nexus_node.base.limits import CONTROL_LINE_MAX
from nexus_node.client.async_ import AsyncControlClient
from nexus_node.client.codec import LineBuffer, encode_line, parse_line_untrusted
from nexus_node.client.errors import ControlError, NodeNotRunning
from nexus_node.client.path import SUN_PATH_MAX
from nexus_node.client.sync import ControlClient

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_lines_come_back_as_they_went(message) -> None:
    line = encode_line(message)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert parse_line_untrusted(line[:-1]) == message


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_message_or_bad_wire(data) -> None:
    try:
        assert isinstance(parse_line_untrusted(data), dict)
    except BadWire as error:
        assert error.code == "control_line"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'"x"',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\uDfff"}',
        b'{"a":"\xff"}',
        b"[" * 500_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_lines_that_are_no_message(line) -> None:
    with pytest.raises(BadWire):
        parse_line_untrusted(line)


def test_surrogate_pairs_are_text() -> None:
    assert parse_line_untrusted(b'{"a":"\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.integers(1, 7))
def test_lines_are_cut_wherever_the_bytes_are(lines, step) -> None:
    data = b"".join(line + b"\n" for line in lines)
    buffer = LineBuffer()
    found = [line for at in range(0, len(data), step) for line in buffer.feed(data[at : at + step])]
    assert found == lines


def test_a_line_has_a_longest_length() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"x" * CONTROL_LINE_MAX) == []
    assert buffer.feed(b"\n") == [b"x" * CONTROL_LINE_MAX]
    with pytest.raises(BadWire):
        buffer.feed(b"x" * (CONTROL_LINE_MAX + 1))
    with pytest.raises(InputError, match="shorter"):
        encode_line({"text": "x" * CONTROL_LINE_MAX})


def test_a_request_is_text(node: FakeNode) -> None:
    with ControlClient(node.home) as client, pytest.raises(InputError, match="not UTF-8"):
        client.request("send", {"to": os.fsdecode(b"\xff")})
    assert node.asked == []


def test_one_connection_serves_many_requests(node: FakeNode) -> None:
    node.verbs |= {"id": {"address": "00"}, "outbox": [{"n": number} for number in range(1000)]}
    with ControlClient(node.home) as client:
        assert client.request("id") == {"address": "00"}
        for item in client.stream("outbox"):
            assert item == {"n": 0}
            break
        assert [item["n"] for item in client.stream("outbox")] == list(range(1000))
        assert client.request("id") == {"address": "00"}


def test_a_home_with_a_long_path(tmp_path: Path) -> None:
    home = tmp_path / ("d" * 100) / ("e" * 100)
    home.mkdir(parents=True)
    assert len(os.fsencode(home)) > SUN_PATH_MAX
    node = FakeNode(home)
    node.verbs["id"] = {"address": "00"}
    before = len(os.listdir("/proc/self/fd"))
    with ControlClient(home) as client:
        assert client.request("id") == {"address": "00"}
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert (home / "control.sock").exists()
    node.close()


def test_nobody_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NodeNotRunning, match=r"nexus --home .* run"):
        ControlClient(home)
    with pytest.raises(NodeNotRunning, match=r"nexus --home '.*a b' init"):
        ControlClient(tmp_path / "a b")


def test_a_silent_node_is_given_up(node: FakeNode) -> None:
    node.verbs["events"] = [...]
    with ControlClient(node.home, timeout_s=0.05) as client, pytest.raises(ControlError) as caught:
        list(client.stream("events"))
    assert caught.value.code == "timeout"


def test_the_trio_end_has_many_requests_outstanding(home: Path) -> None:
    """Answers come in the opposite order; each finds its task."""
    count = 50

    async def serve(stream: trio.SocketStream) -> None:
        buffer, requests = LineBuffer(), []
        while len(requests) < count:
            requests += [parse_line_untrusted(line) for line in buffer.feed(await stream.receive_some())]
        for request in reversed(requests):
            if request["args"]["n"] == 7:
                await stream.send_all(
                    encode_line({"id": request["id"], "error": {"code": "no", "message": "7"}})
                )
            else:
                await stream.send_all(encode_line({"id": request["id"], "result": request["args"]}))
        await stream.send_all(b'{"id":99999,"result":{}}\n{"id":[],"result":{}}\n')

    answers: dict[int, object] = {}

    async def ask(client: AsyncControlClient, number: int) -> None:
        try:
            answers[number] = await client.request("echo", {"n": number})
        except ControlError as error:
            answers[number] = error.code

    async def scenario() -> None:
        listener = trio.socket.socket(trio.socket.AF_UNIX)
        await listener.bind(str(home / "control.sock"))
        listener.listen()
        async with trio.open_nursery() as nursery:
            client = await AsyncControlClient.connect(home, nursery)
            accepted, _ = await listener.accept()
            nursery.start_soon(serve, trio.SocketStream(accepted))
            async with trio.open_nursery() as asking:
                for number in range(count):
                    asking.start_soon(ask, client, number)
            await client.aclose()
        listener.close()

    with_deadline(scenario)
    assert answers == {number: {"n": number} if number != 7 else "no" for number in range(count)}


def test_the_trio_end_follows_streams_and_tells_of_a_stopped_node(node: FakeNode) -> None:
    def refuse(args):
        raise Refusal("usage", "no")

    node.verbs |= {"inbox": [{"n": number} for number in range(3)], "id": {"address": "00"}, "events": refuse}

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            async with await AsyncControlClient.connect(node.home, nursery) as client:
                async with client.stream("inbox") as items:
                    async for item in items:
                        assert item == {"n": 0}
                        assert await client.request("id") == {"address": "00"}
                        break
                async with client.stream("inbox") as items:
                    assert [item["n"] async for item in items] == [0, 1, 2]
                async with client.stream("events") as items:
                    with pytest.raises(ControlError, match="no"):
                        await anext(items)
                node.raw = b""
                for _ in range(2):
                    with pytest.raises(NodeNotRunning, match="stopped"):
                        await client.request("id")

    with_deadline(scenario)


def test_the_trio_end_without_a_node(home: Path) -> None:
    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            with pytest.raises(NodeNotRunning):
                await AsyncControlClient.connect(home, nursery)

    with_deadline(scenario)


def with_deadline(scenario) -> None:
    async def run() -> None:
        with trio.fail_after(20):
            await scenario()

    trio.run(run)


def test_an_error_about_the_connection_reaches_whoever_asks(node: FakeNode) -> None:
    node.raw = (
        json.dumps({"id": None, "error": {"code": "full", "message": "too many clients"}}).encode() + b"\n"
    )
    with ControlClient(node.home) as client, pytest.raises(ControlError, match="too many clients"):
        client.request("id")
