"""The page of a run and its figures: that they say the same, and what happened."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.ids import Address
from nexus_node.wire.fragments import Fragment
from nexus_node.wire.frames import Hello, ItemKind, Lost, sealed_header
from nexus_node.wire.packet import Context, Packet
from nexus_sim.charts import curves
from nexus_sim.cli import cli
from nexus_sim.clock import virtual_run
from nexus_sim.markup import tag
from nexus_sim.outcome import Outcome
from nexus_sim.page_words import duration
from nexus_sim.play import play
from nexus_sim.report import run_figures, write_report
from nexus_sim.scenario_file import check_scenario
from nexus_sim.traffic import KINDS, contents

STYLE = Path(__file__).parents[2] / "sim" / "nexus_sim" / "page.css"
SVG = "{*}svg"
SCENARIO = """
name = "A <b>bold</b> & \\"quoted\\" place"
about = "<script>alert(1)</script>"
duration_s = 3000
settle_s = 300
[[node]]
name = "a&b"
[[node]]
name = "<i>"
x = 1500
[[node]]
name = "'far\\" away"
x = 3000
[[node]]
name = "wired"
y = 50000
[radio]
nodes = ["a&b", "<i>", "'far\\" away"]
[relays]
count = 2
[[wire]]
between = ["<i>", "wired"]
[[texts]]
per_hour = 10
[[outage]]
nodes = ["'far\\" away"]
at_s = 1800
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, ElementTree.Element, str]:
    """The figures, the page as XML, and as text."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "s.toml").write_text(SCENARIO)
    told = CliRunner().invoke(cli, ["run", str(folder / "s.toml"), "--json", "--report", str(folder / "out")])
    assert told.exit_code == 0, told.output
    figures = json.loads((folder / "out" / "run.json").read_text())
    plain = json.loads(CliRunner().invoke(cli, ["run", str(folder / "s.toml"), "--json"]).stdout)
    times = {"wall_s": 0, "cpu_s": 0}
    assert json.loads(told.stdout) | times == figures | times == plain | times
    text = (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    return figures, ElementTree.fromstring(text.partition("\n")[2]), text


def card(page: ElementTree.Element, key: str) -> ElementTree.Element:
    found = page.find(f".//section[@id='{key}']")
    assert found is not None
    return found


def rows(element: ElementTree.Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in element.findall(".//tbody/tr")]


def test_the_page_and_the_figures_say_the_same(
    reported: tuple[dict, ElementTree.Element, str],
) -> None:
    figures, page, _ = reported
    assert 0 < figures["delivered"] < figures["messages_sent"]
    tiles = {one[0].text: one[1].text for one in page.findall(".//dl/div")}
    assert tiles["messages sent"] == str(figures["messages_sent"])
    assert tiles["packets on air"] == str(figures["frames"])
    assert tiles["arrived"].startswith(f"{figures['delivered']} (")
    names = [row[0] for row in rows(card(page, "nodes"))]
    assert sorted(names) == sorted(figures["by_node"]) == sorted(["a&b", "<i>", "'far\" away", "wired"])
    lost = card(page, "undelivered")
    reasons = {row[0]: int(row[1]) for row in rows(lost)[: len(figures["undelivered"])]}
    assert reasons == figures["undelivered"]
    assert len(rows(lost)) == len(reasons) + figures["messages_sent"] - figures["delivered"]
    assert [int(row[2]) for row in rows(card(page, "delivery"))][-1] == figures["delivered"]
    kinds = {row[0]: float(row[1]) for row in rows(card(page, "kinds"))}
    told = {KINDS[kind]: seconds for kind, seconds in figures["airtime_by_kind_s"].items() if seconds}
    assert kinds == pytest.approx(told, abs=0.006)
    fates = [int(row[1]) for row in rows(card(page, "receptions"))]
    assert sorted(fates) == sorted(filter(None, figures["fates"].values()))


def test_the_books_add_up(reported: tuple[dict, ElementTree.Element, str]) -> None:
    figures, page, _ = reported
    assert sum(figures["airtime_by_kind_s"].values()) == pytest.approx(figures["airtime_s"], abs=0.02)
    by_node = figures["by_node"].values()
    by_kind = sum(seconds for one in by_node for seconds in one["airtime_by_kind_s"].values())
    assert by_kind == pytest.approx(figures["airtime_s"], abs=0.1)
    assert sum(float(row[1]) for row in rows(card(page, "over-time"))) == pytest.approx(
        figures["airtime_s"], abs=0.5
    )
    assert figures["airtime_by_kind_s"]["message"] > 0 < figures["airtime_by_kind_s"]["receipt"]
    assert figures["airtime_by_kind_s"]["other"] == 0  # every sealed frame's sender told
    for fate in ("collided", "half_duplex", "not_tuned"):
        assert sum(one["lost"].get(fate, 0) for one in by_node) == figures["fates"][fate]
    assert figures["fates"]["received"] == figures["receptions"]
    assert sum(one["sent"] for one in by_node) == figures["messages_sent"]
    assert sum(one["arrived"] for one in by_node) == figures["delivered"]


def test_the_map_has_every_node_and_link(reported: tuple[dict, ElementTree.Element, str]) -> None:
    figures, page, _ = reported
    svg = card(page, "map").find(".//svg")
    assert svg is not None
    spots = svg.findall("circle") + svg.findall("rect")
    assert len(spots) == figures["nodes"] == 4
    assert sorted(one.attrib["class"] for one in spots) == ["plain", "plain off missed", "relay", "relay"]
    assert len(svg.findall("g/line")) == len(rows(card(page, "map"))) == 4  # three by radio, a wire
    assert [line.attrib["class"] for line in svg.findall("g/line")].count("wire") == 1


def test_every_drawing_can_be_read_without_eyes(
    reported: tuple[dict, ElementTree.Element, str],
) -> None:
    _, page, _ = reported
    drawings = page.findall(".//svg")
    assert len(drawings) == 7
    for svg in drawings:
        assert svg.attrib["role"] == "img"
        title, about = svg.attrib["aria-labelledby"].split()
        assert [svg[0].attrib["id"], svg[1].attrib["id"]] == [title, about] and svg[0].text and svg[1].text
    for section in page.findall(".//section"):
        assert section.find("h2") is not None
        if section.find(".//svg") is not None:
            assert section.find(".//table") is not None
    ids = [one.attrib["id"] for one in page.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids))


def test_the_page_asks_nobody_and_nothing_in_it_is_unescaped(
    reported: tuple[dict, ElementTree.Element, str],
) -> None:
    _, page, text = reported
    assert "<script" not in text and "http:" not in text and "https:" not in text
    assert not [one for one in page.iter() if {"href", "src"} & set(one.attrib)]
    assert page.findtext(".//h1") == 'A <b>bold</b> & "quoted" place'
    assert page.findall(".//b") == page.findall(".//i") == []


def test_every_colour_of_a_drawing_is_in_the_style(
    reported: tuple[dict, ElementTree.Element, str],
) -> None:
    _, page, _ = reported
    style = STYLE.read_text()
    used = {name for one in page.iter() if "class" in one.attrib for name in one.attrib["class"].split()}
    assert {name for name in used if not re.search(rf"\.{name}\b", style)} == set()
    names = re.findall(r"--([\w]+): #", style)
    assert sorted(names[: len(names) // 2]) == sorted(names[len(names) // 2 :])  # each for light and for dark


def outcome_of(text: str) -> Outcome:
    import tomllib

    return virtual_run(play(check_scenario(tomllib.loads(text), Path()), 1), 1)


def test_a_run_without_radio_messages_or_places_has_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("start,end,a,b\n10,50,x,y\n40,90,y,z\n")
    text = f'name = "t"\nduration_s = 100\n[contacts]\nfile = "{tmp_path}/c.csv"\n'
    outcome = outcome_of(text)
    figures = run_figures(outcome, 0.0, 0.0)
    assert figures["delivery_ratio"] is None
    write_report(tmp_path / "out", outcome, figures, "nexus-sim run")
    page = ElementTree.fromstring((tmp_path / "out" / "index.html").read_text().partition("\n")[2])
    assert len(card(page, "map").findall(".//line")) == 2
    assert "Nothing has arrived." in "".join(card(page, "latency").itertext())


def test_photos_that_wait_are_told_with_the_reason(tmp_path: Path) -> None:
    text = 'name = "t"\nduration_s = 900\nsettle_s = 300\n[places]\ncount = 2\nside_m = 50\n[radio]\n'
    outcome = outcome_of(text + "[[texts]]\nper_hour = 20\nphoto = [3000, 6000]\n")
    assert outcome.record.breaches == []
    figures = run_figures(outcome, 0.0, 0.0)
    sent = figures["photos_sent"]
    assert figures["delivered"] == figures["messages_sent"] == sent > 2 and figures["photos_arrived"] == 0
    assert figures["photos_undelivered"] == {"held: needs 10000 bps": sent}
    write_report(tmp_path, outcome, figures, "nexus-sim run")
    page = ElementTree.fromstring((tmp_path / "index.html").read_text().partition("\n")[2])
    lost = card(page, "undelivered")
    assert "All messages have arrived." in "".join(lost.itertext())
    assert rows(lost)[0] == ["held: needs 10000 bps", str(sent)] and len(rows(lost)) == 1 + sent
    assert {one[0].text: one[1].text for one in page.findall(".//dl/div")}["photos arrived"] == f"0 of {sent}"


def test_latency_is_marked_in_times_for_people() -> None:
    marks = [(1.0, "1 s"), (60.0, "1 min"), (3600.0, "1 h"), (86400.0, "1 d")]
    drawing = curves("k", "n", "a", [], ("x", "y"), x=(2.0, 40_000.0), y_most=100.0, marks=marks)
    words = [one.text for one in ElementTree.fromstring(drawing).iter() if one.tag.endswith("text")]
    assert [label for _, label in marks if label in words] == ["1 min", "1 h"]


def test_breaches_stand_first(tmp_path: Path) -> None:
    outcome = outcome_of('name = "t"\nduration_s = 60\n[places]\ncount = 2\n')
    outcome.record.breaches.append("n1 was shown <everything> twice")
    figures = run_figures(outcome, 0.0, 0.0)
    write_report(tmp_path, outcome, figures, "nexus-sim run")
    page = ElementTree.fromstring((tmp_path / "index.html").read_text().partition("\n")[2])
    first = page.find(".//section")
    assert first is not None and first.attrib == {"id": "breaches", "class": "bad"}
    assert first.findtext(".//li") == "n1 was shown <everything> twice"


def test_a_folder_that_cannot_be_made_is_one_sentence_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus_sim.cli.virtual_run", None)
    (tmp_path / "file").write_text("")
    (tmp_path / "s.toml").write_text('name = "t"\nduration_s = 5\n[places]\ncount = 2\n')
    done = CliRunner().invoke(cli, ["run", str(tmp_path / "s.toml"), "--report", str(tmp_path / "file")])
    assert done.exit_code == 2 and "cannot be made a folder: File exists" in done.output


# --- kinds of traffic ---------------------------------------------------------------------------
TO = Address(bytes(16))
SEALED = sealed_header(0, 1, 1) + bytes(40)


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        (Context.MESSAGE, "message"),
        (Context.RECEIPTS, "receipt"),
        (Context.ANNOUNCE, "announce"),
        (Context.PATH_REQUEST, "path_request"),
        (Context.PROMISE, "custody"),
        (Context.REFUSAL, "refusal"),
        (Context.PRESSURE, "control"),
        (200, "control"),
    ],
)
@pytest.mark.parametrize("to", [None, TO])
def test_packets_are_what_their_context_says(context: int, kind: str, to: Address | None) -> None:
    packet = Packet(context, b"data", to).encode()
    assert contents(SEALED, [(ItemKind.PACKET, packet)]) == [(kind, len(packet) + 1)]
    first = Fragment(3, 0, packet, last=True, ack_wanted=True).encode()
    assert contents(SEALED, [(ItemKind.FRAGMENT, first)])[0][0] == kind
    assert contents(SEALED, [(ItemKind.FRAGMENT, Fragment(3, 1, packet).encode())])[0][0] == "fragment"
    assert contents(SEALED, [(ItemKind.FRAGMENT, Fragment(3, 256, packet).encode())])[0][0] == "fragment"


def test_frames_in_the_clear_and_those_whose_sender_did_not_tell() -> None:
    from nexus_node.base.ids import NodeId

    assert contents(Hello(1, NodeId(bytes(32))).encode(), [])[0][0] == "hello"
    assert contents(Lost().encode(), [])[0][0] == "handshake"
    assert contents(SEALED, None)[0][0] == "other"
    assert contents(SEALED, [])[0][0] == "handshake"  # the empty frame that ends one
    assert contents(SEALED, [(ItemKind.PADDING, b"00")])[0][0] == "handshake"
    items = [(ItemKind.PING, b""), (ItemKind.FRAGMENT_ACK, b"abc"), (ItemKind.REKEY, b"k"), (99, b"")]
    assert contents(SEALED, items) == [("keepalive", 1), ("ack", 4), ("handshake", 2), ("control", 1)]
    assert {kind for kind, _ in contents(SEALED, items)} < set(KINDS)


# --- markup -------------------------------------------------------------------------------------
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)
def test_what_is_put_in_comes_out_as_text(inside: str, attribute: str) -> None:
    element = ElementTree.fromstring(tag("p", inside, title=attribute, class_=None))
    assert (element.text or "") == inside and element.attrib == {"title": attribute}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (0.0, "0 s"), (0.8214, "0.821 s"), (59.6, "1 min"), (200.0, "3 min 20 s"),
        (3600.0, "1 h"), (18_600.0, "5 h 10 min"), (86_400.0, "1 d"), (273_600.0, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations_are_for_people(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
