"""Each verb against a node: what it asks, its JSON and exit code (contract.md), and what people see."""

import json
from pathlib import Path

import pytest
from fake_node import FakeNode, Nexus, Refusal

ID = "ab" * 32
BOB = {
    "name": "bob",
    "address": "11" * 16,
    "node_id": "22" * 32,
    "uri": "nexus:aaaa",
    "trust": "trusted",
    "relays": [],
}
SENT = {"id": ID, "state": "queued"}
OBJECT = {"object": "cd" * 32, "size": 5000, "root": "ef" * 32, "chunks_have": 1, "chunks_total": 2}
PATH = {
    "destination": "11" * 16,
    "name": "bob",
    "next_hop": "22" * 16,
    "carrier": "roof",
    "hops": 2,
    "bps": 1200.5,
    "mtu": 484,
    "latency_ms": 350,
    "cost": 6666.25,
    "age_s": 125.5,
    "stale": False,
    "best": True,
}
HOP = {"hop": 1, "address": "22" * 16, "name": None, "rtt_ms": 12.34, "last": False}
LAST = {"hop": 2, "address": "11" * 16, "name": "bob", "rtt_ms": 1234.5, "last": True}
MESSAGE = {
    "id": ID,
    "from": "bob",
    "to": "alice",
    "text": "hello\nthere",
    "sent_ms": 1_760_000_000_000,
    "received_ms": 1_760_000_100_000,
    "attachments": [{"name": "a.jpg", "size": 3, "object": "cd" * 32, "state": "held", "path": None}],
}
OUTGOING = {
    "id": ID,
    "to": "bob",
    "state": "held",
    "facts": [{"state": "queued", "at_ms": 1_760_000_000_000, "by": ""}],
    "held": {"needs_bps": 10000, "best_bps": 1200},
    "why": None,
    "bytes_done": 50,
    "bytes_total": 200,
}
STATUS = {
    "address": "11" * 16,
    "version": "0.1.0",
    "uptime_s": 3725,
    "carriers": [
        {
            "label": "roof",
            "driver": "tcp",
            "state": "waiting",
            "why": "port in use",
            "bps": 1200,
            "mtu": 500,
            "airtime_used_s": 1.5,
            "airtime_limit_s": 36.0,
            "rx_bytes": 10,
            "tx_bytes": 12345,
        }
    ],
    "links": [
        {
            "peer": "bob",
            "name": None,
            "carrier": "roof",
            "state": "established",
            "rtt_ms": 1.5,
            "bps": None,
            "rssi_dbm": None,
            "snr_db": -3.0,
            "trust": "trusted",
            "queued_bytes": 4200,
            "gossip_bps": 120.0,
            "paused": True,
            "bulk_in_s": 0,
            "cost_times": 5.0,
        }
    ],
    "queue": {"queued": 2, "held": 1},
    "store": {"objects": 3, "bytes": 2_000_000, "quota_bytes": 512_000_000},
    "relay": {
        "enabled": True,
        "messages": 7,
        "bytes": 1_500_000,
        "serve": "contacts",
        "memory_only": False,
        "quota_bytes": 256_000_000,
    },
    "routing": {"destinations": 9, "wanted": 4},
    "counters": {"replay": 3, "bad_frame": 0},
}


@pytest.mark.parametrize(
    ("args", "verb", "asks", "answer"),
    [
        (["contact", "add", "bob", "nexus:aaaa"], "contact.add", {"name": "bob", "uri": "nexus:aaaa"}, BOB),
        (["contact", "show", "bob"], "contact.show", {"name": "bob"}, BOB),
        (["contact", "remove", "bob"], "contact.remove", {"name": "bob"}, BOB),
        (["contact", "trust", "bob", "verified"], "contact.trust", {"name": "bob", "trust": "verified"}, BOB),
        (["contact", "trust", "bob"], "contact.trust", {"name": "bob"}, BOB),
        (["send", "bob", "hi"], "send", {"to": "bob", "text": "hi"}, SENT),
        (
            ["send", "bob", "hi", "--min-bandwidth", "9600"],
            "send",
            {"to": "bob", "text": "hi", "min_bandwidth": 9600},
            SENT,
        ),
        (["status"], "status", {}, STATUS),
    ],
)
def test_one_json_object(node: FakeNode, nexus: Nexus, args, verb, asks, answer) -> None:
    node.verbs[verb] = answer
    for line in ([*args, "--json"], ["--json", *args]):
        result = nexus(*line)
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout) == answer
        assert result.stdout.count("\n") == 1
        assert node.asked.pop() == (verb, asks)


@pytest.mark.parametrize(
    ("args", "verb", "asks", "item"),
    [
        (["contact", "list"], "contact.list", {}, BOB),
        (["inbox"], "inbox", {"follow": False}, MESSAGE),
        (
            ["inbox", "--since", ID, "--from", "bob", "--follow"],
            "inbox",
            {"follow": True, "since": ID, "from": "bob"},
            MESSAGE,
        ),
        (["outbox"], "outbox", {}, OUTGOING),
        (["events"], "events", {"follow": False}, {"event": "carrier_up", "label": "roof"}),
        (["events", "--follow"], "events", {"follow": True}, {"event": "carrier_up", "label": "roof"}),
        (["objects"], "objects", {}, OBJECT),
        (["paths"], "paths", {}, PATH),
        (["paths", "bob"], "paths", {"address": "bob"}, PATH),
        (["trace", "bob"], "trace", {"to": "bob", "timeout_s": 10.0}, LAST),
        (["trace", "11" * 16, "--timeout", "2"], "trace", {"to": "11" * 16, "timeout_s": 2.0}, LAST),
    ],
)
def test_one_json_object_a_line(node: FakeNode, nexus: Nexus, args, verb, asks, item) -> None:
    node.verbs[verb] = [item, item]
    result = nexus(*args, "--json")
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == [item, item]
    assert node.asked == [(verb, asks)]
    node.verbs[verb] = []
    # A trace that nobody answers has not reached its end.
    assert (nexus(*args, "--json").stdout, nexus(*args).exit_code) == ("", 4 if verb == "trace" else 0)


def test_put_names_the_file_absolutely(node: FakeNode, nexus: Nexus, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "photo").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    node.verbs["put"] = OBJECT
    result = nexus("put", "photo", "--min-bandwidth", "10000", "--ttl", "60", "--json")
    assert json.loads(result.stdout) == OBJECT
    assert node.asked == [("put", {"path": str(tmp_path / "photo"), "min_bandwidth": 10000, "ttl_s": 60})]
    assert nexus("put", "nothing").exit_code == 2


def test_mutable_objects_are_put_and_got_by_name(node: FakeNode, nexus: Nexus, tmp_path: Path) -> None:
    page, target = tmp_path / "page", tmp_path / "out"
    page.write_bytes(b"x")
    version = OBJECT | {"kind": "mutable", "name": "ab" * 32 + "/page", "sequence": 7}
    node.verbs["put"] = node.verbs["get"] = version
    assert json.loads(nexus("put", str(page), "--name", "page", "--json").stdout) == version
    assert (
        json.loads(nexus("get", "bob/page", "-o", str(target), "--timeout", "5", "--json").stdout) == version
    )
    assert node.asked == [
        ("put", {"path": str(page), "name": "page"}),
        ("get", {"name": "bob/page", "timeout_s": 5.0, "path": str(target)}),
    ]
    shown = nexus("get", "bob/page", "-o", str(target)).stdout
    assert "mutable" in shown and "7 of" in shown


def test_get_overwrites_only_by_force(node: FakeNode, nexus: Nexus, tmp_path: Path) -> None:
    def write(args):
        with open(args["path"], "xb") as file:
            file.write(b"content")
        return OBJECT

    node.verbs["get"] = write
    target = tmp_path / "out"
    assert json.loads(nexus("get", ID, "-o", str(target), "--json").stdout) == OBJECT
    assert target.read_bytes() == b"content"
    target.write_bytes(b"precious")
    refused = nexus("get", ID, "-o", str(target))
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert target.read_bytes() == b"precious"
    assert nexus("get", ID, "-o", str(target), "--force").exit_code == 0
    assert target.read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("wanted", "reached", "exit_code"),
    [
        ("sent", "sent", 0),
        ("sent", "delivered", 0),
        ("delivered", "read", 0),
        ("delivered", "failed", 1),
        ("sent", "expired", 1),
        ("expired", "expired", 0),
        ("queued", "held", 0),
    ],
)
def test_wait_ends_with_the_state(node: FakeNode, nexus: Nexus, wanted, reached, exit_code) -> None:
    node.verbs |= {"send": SENT, "wait": {"id": ID, "state": reached}}
    result = nexus("send", "bob", "hi", "--wait", wanted, "--json")
    assert result.exit_code == exit_code
    assert json.loads(result.stdout) == {"id": ID, "state": reached}
    assert node.asked[1] == ("wait", {"id": ID, "state": wanted})


def test_wait_that_takes_too_long_is_4_and_still_tells_the_id(node: FakeNode, nexus: Nexus) -> None:
    def wait(args):
        raise Refusal("timeout", "not delivered within 2 s", state="sent")

    node.verbs |= {"send": SENT, "wait": wait}
    result = nexus("send", "bob", "hi", "--wait", "delivered", "--timeout", "2", "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout) == {"id": ID, "state": "sent"}
    assert "within 2 s" in result.stderr
    assert node.asked[1] == ("wait", {"id": ID, "state": "delivered", "timeout_s": 2.0})


def test_text_from_standard_input(node: FakeNode, nexus: Nexus) -> None:
    node.verbs["send"] = SENT
    assert nexus("send", "bob", "-", stdin="zwei\nZeilen ü\n").exit_code == 0
    assert node.asked == [("send", {"to": "bob", "text": "zwei\nZeilen ü\n"})]


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"\xff\xfe", "not UTF-8"), (b"x" * 65537, "65536 bytes"), ("é".encode() * 40000, "65536")],
)
def test_text_that_cannot_be_sent(node: FakeNode, nexus: Nexus, text, words) -> None:
    result = nexus("send", "bob", "-", stdin=text)
    assert result.exit_code == 1
    assert words in result.stderr
    assert node.asked == []


def test_largest_text_is_sent_whatever_it_holds(node: FakeNode, nexus: Nexus) -> None:
    node.verbs["send"] = SENT
    for text in ("\x01" * 65536, "\N{SNOWMAN}" * (65536 // 3)):
        assert nexus("send", "bob", "-", stdin=text).exit_code == 0
        assert node.asked.pop() == ("send", {"to": "bob", "text": text})


@pytest.mark.parametrize(
    ("code", "exit_code"), [("unknown_contact", 1), ("usage", 2), ("timeout", 4), ("full", 1)]
)
def test_the_nodes_refusals(node: FakeNode, nexus: Nexus, code, exit_code) -> None:
    def refuse(args):
        raise Refusal(code, "there is no contact bob; add one")

    node.verbs["send"] = refuse
    result = nexus("send", "bob", "hi", "--json")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr == "nexus: there is no contact bob; add one\n"


@pytest.mark.parametrize(
    "args",
    [
        ["inbox"],
        ["outbox"],
        ["status"],
        ["events"],
        ["objects"],
        ["paths"],
        ["trace", "bob"],
        ["send", "bob", "hi"],
        ["get", ID, "-o", "x"],
        ["contact", "list"],
    ],
)
def test_without_a_node_the_exit_code_is_3(nexus: Nexus, home: Path, args) -> None:
    result = nexus(*args, "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"nexus --home {home} run" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [(b"", 3), (b"garbage\n", 1), (b"[1]\n", 1), (b'{"id":1}\n', 1), (b'{"id":1,"error":7}\n', 1)],
)
def test_a_node_that_answers_nonsense(node: FakeNode, nexus: Nexus, answer, exit_code) -> None:
    node.raw = answer
    for args in (["status"], ["inbox"]):
        result = nexus(*args)
        assert result.exit_code == exit_code
        assert result.stderr.startswith("nexus: the node")


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["send", "bob"],
        ["send", "bob", "hi", "--timeout", "3"],
        ["send", "bob", "hi", "--wait", "arrived"],
        ["send", "bob", "hi", "--wait", "sent", "--timeout", "nan"],
        ["send", "bob", "hi", "--wait", "sent", "--timeout", "inf"],
        ["send", "bob", "hi", "--min-bandwidth", str(2**63)],
        ["send", "bob", "hi", "--min-bandwidth", "fast"],
        ["send", "bob", "hi", "--file", "x"],
        ["contact", "trust", "bob", "fully"],
        ["contact"],
        ["get", ID],
        ["paths", "bob", "carol"],
        ["trace"],
        ["trace", "bob", "--timeout", "-1"],
        ["trace", "bob", "--timeout", "inf"],
        ["trace", "bob", "--timeout", "nan"],
        ["run", "--carrier", "tcp listen"],
        [],
    ],
)
def test_usage_errors_are_2(nexus: Nexus, args) -> None:
    result = nexus(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage" in result.stderr


def test_a_state_that_is_not_final_shows_its_reason(node: FakeNode, nexus: Nexus) -> None:
    def row(state, by="", why=None):
        facts = [{"state": state, "at_ms": 1_760_000_000_000, "by": by}]
        return OUTGOING | {"state": state, "facts": facts, "why": why, "held": None, "bytes_done": 0}

    node.verbs["outbox"] = [
        OUTGOING,
        row("sent") | {"bytes_done": 50, "eta_s": 125},
        row("queued", why="no link to the recipient"),
        row("failed", "too long"),
        row("expired", "30 days"),
        row("delivered", "bob"),
    ]
    lines = nexus("outbox").stdout.splitlines()[1:]
    reasons = [
        "[###.........] 25 % of 200 B needs 10.0 kbit/s, the best link has 1.2 kbit/s",
        "[###.........] 25 % of 200 B, 2 min 5 s left",
        "no link to the recipient",
        "too long",
        "30 days",
        "abababababababab",
    ]
    assert [line.rstrip().endswith(reason) for line, reason in zip(lines, reasons, strict=True)] == [True] * 6


def test_status_for_people(node: FakeNode, nexus: Nexus) -> None:
    node.verbs["status"] = STATUS
    shown = nexus("status").stdout
    for words in (
        "up 1 h 2 min",
        "2 queued, 1 held",
        "2.0 MB of 512 MB",
        "port in use",
        "1.5 of 36.0 s",
        "-3 dB",
        "keeps 7 messages, 1.5 MB of 256 MB, on disk; serves contacts",
        "9 destinations known, 4 looked for",
    ):
        assert words in shown
    (link,) = (line for line in shown.splitlines() if line.startswith("bob"))
    assert link.split("  ")[-1] == "paused"
    assert {"trusted", "4.2 kB", "120 bit/s"} <= {cell.strip() for cell in link.split("  ")}
    assert "replay 3" in shown
    assert "bad_frame" not in shown
    node.verbs["status"] = STATUS | {"links": [STATUS["links"][0] | {"bulk_in_s": 725}]}
    assert "files wait for airtime, 12 min 5 s" in nexus("status").stdout
    node.verbs["status"] = STATUS | {"links": [STATUS["links"][0] | {"paused": False}]}
    assert "5.0 times as dear by its queue" in nexus("status").stdout
    in_memory = STATUS["relay"] | {"memory_only": True, "serve": "anyone"}
    node.verbs["status"] = STATUS | {"relay": in_memory}
    assert "in memory only; serves anyone" in nexus("status").stdout
    node.verbs["status"] = STATUS | {"relay": in_memory | {"enabled": False}}
    assert [line.split() for line in nexus("status").stdout.splitlines() if line.startswith("relay")] == [
        ["relay", "off"]
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_n4_paths_for_people(node: FakeNode, nexus: Nexus) -> None:
    neighbour = PATH | {"destination": "22" * 16, "name": "roof relay", "next_hop": "22" * 16, "hops": 1}
    unknown = dict.fromkeys(("carrier", "bps", "mtu", "latency_ms", "cost", "age_s"))
    stale = PATH | unknown | {"next_hop": "33" * 16, "stale": True, "best": False}
    node.verbs["paths"] = [
        PATH,
        stale,
        neighbour,
        stale | {"destination": "44" * 16, "name": None, "best": True},
    ]
    lines = nexus("paths").stdout.splitlines()
    assert cells(lines[0])[:3] == ["destination", "next hop", "carrier"]
    assert [cells(line) for line in lines[1:]] == [
        # The next hop has a name here because it is a destination as well.
        ["bob", "roof relay", "roof", "2", "1.2 kbit/s", "484", "350 ms", "6666.25", "2 min 5 s", "best"],
        ["bob", "33" * 16, "-", "2", "-", "-", "-", "-", "-", "stale"],
        ["roof relay", "roof relay", "roof", "1", *cells(lines[1])[4:]],
        ["44" * 16, "33" * 16, "-", "2", "-", "-", "-", "-", "-", "best, stale"],
    ]
    assert len({line.index("roof", 20) for line in (lines[1], lines[3])}) == 1


def test_n4_trace_for_people(node: FakeNode, nexus: Nexus) -> None:
    node.verbs["trace"] = [HOP, LAST]
    result = nexus("trace", "bob")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [cells(line) for line in result.stdout.splitlines()] == [
        ["1 " + "22" * 16, "12.3 ms"],
        ["2 bob", "1234.5 ms"],
    ]
    assert len({line.index(" ms") for line in result.stdout.splitlines()}) == 1


@pytest.mark.parametrize(
    ("hops", "words"),
    [
        ([], "nobody on the way answered"),
        ([HOP], "silent after hop 1, " + "22" * 16),
        # Answers may overtake one another.
        ([HOP | {"hop": 3, "name": "roof"}, HOP | {"hop": 2}], "silent after hop 3, roof"),
    ],
)
def test_n4_a_trace_that_does_not_get_there_is_4_and_names_the_last_hop(
    node: FakeNode, nexus: Nexus, hops, words
) -> None:
    node.verbs["trace"] = hops
    for json_or_not in ((), ("--json",)):
        result = nexus("trace", "bob", "--timeout", "1.5", *json_or_not)
        assert result.exit_code == 4
        assert (
            result.stderr
            == f"nexus: bob did not answer within 1.5 s, {words}; for other ways see: nexus paths\n"
        )
    assert [json.loads(line) for line in result.stdout.splitlines()] == hops


def test_n4_without_a_path_the_nodes_own_words_are_shown(node: FakeNode, nexus: Nexus) -> None:
    def refuse(args):
        raise Refusal("input", "no path to bob is known; wait until it is heard from")

    node.verbs["trace"] = refuse
    result = nexus("trace", "bob", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "nexus: no path to bob is known; wait until it is heard from\n"


def test_n10_a_contacts_relays_are_shown_if_there_are_any(node: FakeNode, nexus: Nexus) -> None:
    node.verbs["contact.show"] = BOB | {"relays": ["33" * 16, "44" * 16]}
    shown = [cells(line) for line in nexus("contact", "show", "bob").stdout.splitlines()]
    assert shown[-2:] == [["relay", "33" * 16], ["relay", "44" * 16]]
    node.verbs["contact.show"] = BOB
    assert "relay" not in nexus("contact", "show", "bob").stdout


HOSTILE = "\x1b[2J\x07\r\u202eevil\u2028\x9b31m[red]"


def test_hostile_text_cannot_drive_the_terminal(node: FakeNode, nexus: Nexus) -> None:
    node.verbs |= {
        "inbox": [MESSAGE | {"from": HOSTILE, "text": f"one\n{HOSTILE}\n2026-01-01 alice"}],
        "contact.list": [BOB | {"name": HOSTILE}],
        "contact.show": BOB | {"name": HOSTILE},
        "outbox": [OUTGOING | {"to": HOSTILE, "held": None, "why": HOSTILE}],
        "events": [{"event": HOSTILE, HOSTILE: HOSTILE}],
        "status": STATUS
        | {
            "carriers": [STATUS["carriers"][0] | {"why": HOSTILE}],
            "counters": {HOSTILE: 1},
            "version": HOSTILE,
        },
        "paths": [PATH | {"name": HOSTILE}],
        "trace": [LAST | {"name": HOSTILE}],
    }
    for args in (
        ["inbox"],
        ["contact", "list"],
        ["contact", "show", HOSTILE],
        ["outbox"],
        ["events"],
        ["status"],
        ["paths"],
        ["trace", "bob"],
    ):
        result = nexus(*args)
        assert result.exit_code == 0
        assert not set(result.stdout) & set("\x1b\x07\r\u202e\u2028\x9b"), args
        assert "\\x1b[2J" in result.stdout, args
        assert "[red]" in result.stdout, args
    # A text cannot pass for the head of another message: its lines are indented.
    assert "\n    2026-01-01 alice" in nexus("inbox").stdout

    def refuse(args):
        raise Refusal("unknown_contact", f"no contact {HOSTILE}")

    node.verbs["send"] = refuse
    assert "\x1b" not in nexus("send", HOSTILE, "hi").stderr


@pytest.mark.parametrize("sent_ms", [2**63, -(2**63), 0, None])
def test_any_clock_can_be_shown(node: FakeNode, nexus: Nexus, sent_ms) -> None:
    node.verbs["inbox"] = [MESSAGE | {"sent_ms": sent_ms}]
    result = nexus("inbox")
    assert result.exit_code == 0
    assert ID in result.stdout


def test_ordinary_letters_are_shown_as_they_are(node: FakeNode, nexus: Nexus) -> None:
    text = "Grüße, 你好, क्\u200dष, \N{WOMAN}\u200d\N{PERSONAL COMPUTER}"
    node.verbs["inbox"] = [MESSAGE | {"text": text}]
    assert text in nexus("inbox").stdout


def test_qr_of_a_contact_leaves_json_alone(node: FakeNode, nexus: Nexus) -> None:
    node.verbs["contact.show"] = BOB
    assert "▄" in nexus("contact", "show", "bob", "--qr").stdout
    result = nexus("contact", "show", "bob", "--qr", "--json")
    assert json.loads(result.stdout) == BOB
    assert "▄" in result.stderr
