"""Announces, path costs and what neighbours say of paths, as bytes (N4, N6): our code against what
`tests/vectors/make_routing.py` makes without it, and both ways over any values."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_node.base.errors import BadWire
from nexus_node.base.limits import MTU_MIN
from nexus_node.crypto.identity import Identity
from nexus_node.proto.paths import PathTable
from nexus_node.wire.announce import ANNOUNCE_SIZE, Announce, Serve, parse_announce_untrusted
from nexus_node.wire.packet import Context, Packet, Priority, parse_packet_untrusted
from nexus_node.wire.pathcost import UNREACHABLE, Hop, PathCost, parse_path_cost_untrusted
from nexus_node.wire.routing import (
    PathRequest,
    Pressure,
    TooBig,
    parse_path_request_untrusted,
    parse_paths_lost_untrusted,
    parse_prefixes_untrusted,
    parse_pressure_untrusted,
    parse_too_big_untrusted,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/vectors/make_routing.py"
Vector = dict[str, Any]
VECTORS: dict[str, list[Vector]] = {
    page: json.loads((ROOT / "tests/vectors" / f"{page}.json").read_text("utf-8"))
    for page in ("announce", "routing")
}


def vectors(page: str, start: str = "") -> Any:
    chosen = [one for one in VECTORS[page] if one["id"].startswith(start)]
    if not start.endswith("-bad-"):
        chosen = [one for one in chosen if "-bad-" not in one["id"]]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=[one["id"] for one in chosen])


def raw(vector: Vector, name: str) -> bytes:
    return bytes.fromhex(vector[name])


# --- vectors ------------------------------------------------------------------------------------
def test_the_committed_vectors_are_what_the_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, timeout=60)
    for page in VECTORS:
        made, kept = tmp_path / f"{page}.json", ROOT / f"tests/vectors/{page}.json"
        assert made.read_bytes() == kept.read_bytes()


def test_the_script_imports_nothing_of_ours() -> None:
    assert not re.search(r"^\s*(import|from) nexus", SCRIPT.read_text("utf-8"), re.M)


def test_the_pages_cite_every_vector() -> None:
    for page, found in VECTORS.items():
        text = (ROOT / f"docs/protocol/{page}.md").read_text("utf-8")
        assert f"tests/vectors/{page}.json" in text
        for one in found:
            cited = one["id"].split("-bad-")[0] + "-bad-" if "-bad-" in one["id"] else one["id"]
            assert "`" + cited.rstrip("0123456789") in text, f"{one['id']} is cited nowhere"


@vectors("announce", "announce-cost-")
def test_n4_path_cost_vectors(vector: Vector) -> None:
    before = parse_path_cost_untrusted(raw(vector, "before"))
    cost, latency, bps, mtu = vector["link"]
    assert before.after(Hop(cost, latency, bps, mtu)).encode() == raw(vector, "after")


@pytest.mark.parametrize(
    "vector", [one for one in VECTORS["announce"] if "packet" in one and "-bad-" not in one["id"]]
)
def test_n4_announce_vectors(vector: Vector) -> None:
    node = Identity.from_seed(raw(vector, "seed"))
    packet = parse_packet_untrusted(raw(vector, "packet"))
    cost, announce = parse_announce_untrusted(packet.data)
    assert packet.context == Context.ANNOUNCE and cost.encode() == raw(vector, "cost")
    assert announce.authentic() and announce.node_id == node.node_id
    assert (announce.sequence, announce.serve) == (vector["sequence"], vector["serve"])
    assert (announce.memory_only, announce.flags) == (vector["memory_only"], vector["unknown_flags"])
    assert [[kind, value.hex()] for kind, value in announce.tlvs] == vector["tlvs"]
    assert Packet(Context.ANNOUNCE, announce.encode(cost), hops=packet.hops).encode() == raw(vector, "packet")
    if not vector["tlvs"]:
        made = Announce.make(
            node, vector["sequence"], Serve(vector["serve"]), memory_only=vector["memory_only"]
        )
        assert made == announce and len(packet.data) == ANNOUNCE_SIZE == 108


@vectors("announce", "announce-bad-")
def test_n4_bad_announce_vectors(vector: Vector) -> None:
    via = Identity.from_seed(bytes(31) + b"\x63").node_id
    table = PathTable(Identity.from_seed(bytes(31) + b"\x62").node_id)

    def take() -> None:
        cost, announce = parse_announce_untrusted(parse_packet_untrusted(raw(vector, "packet")).data)
        why = table.heard(announce, cost, via, Hop(80, 0, 1e8, 1400), 0.0)
        if why is not None:
            raise BadWire(why)

    with pytest.raises(BadWire) as caught:
        take()
    assert caught.value.code == vector["refused"] and len(table) == 0


@vectors("routing")
def test_n4_routing_vectors(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    value: PathRequest | TooBig | Pressure
    if packet.context == Context.PATH_LOST:
        lost = parse_paths_lost_untrusted(packet.data)
        assert [one.hex() for one in lost] == vector["lost"]
        assert b"".join(lost) == packet.data
        return
    if packet.context == Context.PATH_REQUEST:
        value = parse_path_request_untrusted(packet.data)
        rank = vector["rank"][0], vector["rank"][1]
        assert value == PathRequest(vector["number"], raw(vector, "destination"), vector["sequence"], rank)
    elif packet.context == Context.TOO_BIG:
        value = parse_too_big_untrusted(packet.data)
        assert value == TooBig(raw(vector, "prefix"), vector["limit"])
    else:
        value = parse_pressure_untrusted(packet.data)
        assert packet.context == Context.PRESSURE
        assert value == Pressure(vector["level"], vector["pause_ms"])
    encoded = Packet(packet.context, value.encode(), priority=Priority.INTERACTIVE).encode()
    assert encoded == raw(vector, "packet")


@vectors("routing", "routing-bad-")
def test_n4_bad_routing_vectors(vector: Vector) -> None:
    packet = parse_packet_untrusted(raw(vector, "packet"))
    parser = {
        Context.PATH_REQUEST: parse_path_request_untrusted,
        Context.PATH_LOST: parse_paths_lost_untrusted,
        Context.TOO_BIG: parse_too_big_untrusted,
        Context.PRESSURE: parse_pressure_untrusted,
    }[Context(packet.context)]
    with pytest.raises(BadWire) as caught:
        parser(packet.data)
    assert caught.value.code == vector["refused"]


# --- any values ---------------------------------------------------------------------------------
COSTS = st.binary(min_size=7, max_size=7)
HOPS = st.builds(Hop, st.floats(0, 1e15), st.floats(0, 1e9), st.floats(1, 1e12), st.integers(1, 2**20))


@given(data=COSTS)
def test_n4_every_path_cost_is_read_and_written_alike(data: bytes) -> None:
    cost = parse_path_cost_untrusted(data)
    assert cost.encode() == data
    assert cost.cost >= 0 and cost.bps >= 1 and cost.mtu >= 1


@given(data=COSTS, hop=HOPS)
def test_n4_each_hop_raises_the_rank_and_betters_nothing(data: bytes, hop: Hop) -> None:
    """What feasibility stands on (docs/protocol/routing.md)."""
    before = parse_path_cost_untrusted(data)
    after = before.after(hop)
    assert after.rank > before.rank or before.hops == 255
    assert after.cost_code >= before.cost_code and after.latency_ms >= before.latency_ms
    assert after.bps_code <= before.bps_code and after.mtu_code <= before.mtu_code
    assert after.encode()


@given(costs=st.lists(st.floats(1, 1e10), min_size=1, max_size=32))
def test_n4_costs_add_up_within_two_percent_a_hop(costs: list[float]) -> None:
    path = PathCost()
    for cost in costs:
        path = path.after(Hop(cost, 0, 1e6, 1400))
    assert 1 / 1.023 ** len(costs) < (path.cost + 1) / (sum(costs) + 1) < 1.023 ** len(costs)


@given(cost=st.floats(0, 1e10), bps=st.floats(1, 3e9), mtu=st.integers(MTU_MIN, 65535))
def test_n4_one_hop_is_decoded_within_what_rounding_loses(cost: float, bps: float, mtu: int) -> None:
    path = PathCost().after(Hop(cost, 12.4, bps, mtu))
    assert (path.cost + 1) / (cost + 1) == pytest.approx(1, abs=0.0222)
    assert path.bps / bps == pytest.approx(1, abs=0.045)
    assert path.mtu / mtu == pytest.approx(1, abs=0.1)
    assert (path.latency_ms, path.hops) == (12, 1)


def test_n4_unreachable_is_as_far_as_can_be() -> None:
    assert UNREACHABLE.encode() == b"\xff\xff\xff\xff\x00\xff\x00"


def test_m5_any_change_to_an_announce_breaks_its_signature_but_not_one_to_its_cost() -> None:
    node = Identity.from_seed(bytes(32))
    data = Announce.make(node, 7, Serve.TRUSTED, memory_only=True).encode(PathCost())
    for at in range(len(data)):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        assert parse_announce_untrusted(changed)[1].authentic() == (at < 7)


def test_prefixes_are_eight_bytes_each() -> None:
    assert parse_prefixes_untrusted(bytes(16), 2) == [bytes(8)] * 2
    for wrong in (b"", bytes(7), bytes(24)):
        with pytest.raises(BadWire, match="bad_prefixes"):
            parse_prefixes_untrusted(wrong, 2)
