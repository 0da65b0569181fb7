"""What a node on the way does when more comes than goes on: it says so, to each of its neighbours (N2, N6,
docs/protocol/routing.md)."""

import random
from types import SimpleNamespace

import pytest

from nexus_node.base.limits import TRANSIT_BYTES, TRANSIT_PAUSE_BYTES
from nexus_node.ports.driver import LinkProfile
from nexus_node.runtime import network

from .mesh import Mesh
from .world import NARROW

SLOW = LinkProfile(mtu=1400, bps=200e3, ordered=True, airtime=lambda size: 8 * size / 200e3)
DICE = random.Random(6)
SIGNS = [chr(code) for code in range(33, 127)]


def dense(size: int) -> str:
    """A text that is sealed in some four fifths of so many bytes."""
    return "".join(DICE.choices(SIGNS, k=size))


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """A line a - b - c - e with d at b as well; what goes from b to c stays in b until `drain`."""
    mesh = Mesh(*"abcde")
    mesh.knows("a", "b", "c", "e")
    mesh.knows("d", "c")
    mesh.line("a", "b", "d")
    mesh.join("b", "c", SLOW)
    mesh.join("c", "e")
    mesh.run(5)
    forwarder, slow = mesh["b"].core.forwarder, link(mesh, "b", "c")
    for name in ("fill", "fill_large"):
        fill = getattr(forwarder, name)
        monkeypatch.setattr(
            forwarder, name, lambda to, *rest, fill=fill, **how: to is slow or fill(to, *rest, **how)
        )
    return mesh


def drain(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    mesh["b"].core._wake(link(mesh, "b", "c"))


def link(mesh: Mesh, here: str, there: str):
    return mesh[here].core.router.link_to(mesh[there].identity.node_id)


def waiting(mesh: Mesh) -> int:
    return mesh["b"].core.forwarder.load(link(mesh, "b", "c"))[1]


def shown(mesh: Mesh, there: str) -> dict:
    """What `nexus status` of b shows of a link."""
    node = SimpleNamespace(core=mesh["b"].core, now=lambda: mesh.now)
    return network._link(node, link(mesh, "b", there), mesh[there].identity.node_id)


def cost(mesh: Mesh) -> float:
    return mesh["a"].core.router.route(mesh["c"].identity.address, mesh.now).path.cost.cost


@pytest.mark.parametrize("far", [False, True])
def test_n2_what_is_too_big_for_a_link_farther_on_comes_back_with_the_limit(far: bool) -> None:
    mesh = Mesh(*"axbcy")
    mesh.knows("a", "c")
    mesh.line(*("axb" if far else "ab"))
    mesh.join("b", "c", NARROW)
    mesh.run(60)
    big, small = mesh.send("a", "c", dense(20_000)), mesh.send("a", "c", "small")
    mesh.run(10)
    why, until = mesh["a"].core.delivery.refusals[big]
    assert why == "a link on the way takes 9000 bytes at most" and until > mesh.now
    assert mesh["a"].states() == {big: "sent", small: "delivered"}
    assert waiting(mesh) == 0 and mesh["c"].inbox() == ["small"]
    mesh.line("b", "y", "c")
    mesh.run(70)
    assert mesh["a"].states()[big] == "delivered"
    assert big not in mesh["a"].core.delivery.refusals


def test_n6_a_neighbour_is_asked_to_pause_and_told_when_all_is_well(mesh: Mesh, monkeypatch) -> None:
    a, b = mesh["a"], mesh["b"]
    texts = [mesh.send("a", "c", dense(12_000)) for _ in range(120)]
    mesh.run(0.1)
    assert waiting(mesh) > TRANSIT_PAUSE_BYTES
    assert b.core.counters["backpressure_sent"] == a.core.counters["backpressure_heard"] == 1
    assert a.core.router.paused(b.identity.node_id, mesh.now)
    before = waiting(mesh)
    later, own = mesh.send("a", "c", "later"), mesh.send("a", "b", "for you")
    mesh.run(0.3)
    assert waiting(mesh) == before and b.inbox() == ["for you"], "only what is for that neighbour itself"
    assert a.states()[later] == "queued" and a.states()[own] == "delivered"
    drain(mesh, monkeypatch)
    mesh.run(10)
    assert not a.core.router.paused(b.identity.node_id, mesh.now)
    assert {a.states()[one] for one in (*texts, later)} == {"delivered"}


def test_n6_a_link_with_a_queue_costs_more_until_it_is_gone(mesh: Mesh, monkeypatch) -> None:
    before = cost(mesh)
    for _ in range(200):
        mesh.send("a", "c", dense(12_000))
    mesh.run(5)
    for _ in range(50):
        mesh.send("a", "c", dense(12_000))
    mesh.run(5)
    queued = waiting(mesh) / TRANSIT_PAUSE_BYTES
    assert queued > 2 and cost(mesh) / before > 2, "with the square of it, told when it has doubled"
    assert cost(mesh) / before < 2 * (1 + queued**2)
    status = shown(mesh, "c")
    assert status["queued"] == {"real_time": 0, "interactive": 0, "standard": waiting(mesh), "bulk": 0}
    assert status["cost_times"] > 2 and status["cost"] > 2 * 8e9 / SLOW.bps
    assert status["share_bytes"] is None and 0 <= shown(mesh, "a")["share_bytes"] < TRANSIT_BYTES / 2
    assert status["gossip"]["routing"]["bps"] == pytest.approx(0.03 * SLOW.bps)
    assert status["gossip"]["services"]["bps"] == pytest.approx(0.02 * SLOW.bps)
    drain(mesh, monkeypatch)
    mesh.run(10)
    assert cost(mesh) == pytest.approx(before, rel=0.1)
    assert (shown(mesh, "c")["cost_times"], sum(shown(mesh, "c")["queued"].values())) == (1, 0)


def test_n6_one_neighbour_leaves_room_for_another(mesh: Mesh, monkeypatch) -> None:
    """Half of the queue is the most that one may fill."""
    a, b = mesh["a"], mesh["b"]
    monkeypatch.setattr(a.core.router, "pause", lambda *_: None)  # it does not care
    for _ in range(250):
        mesh.send("a", "c", dense(12_000))
        mesh.send("a", "e", dense(12_000))
    mesh.run(1)
    assert TRANSIT_BYTES * 0.4 < waiting(mesh) < TRANSIT_BYTES * 0.6
    assert b.core.counters["transit_full"] > 0
    assert any("has too much waiting already" in why for why, _ in a.core.delivery.refusals.values())
    message = mesh.send("d", "c", "an honest one")
    mesh.run(0.1)
    drain(mesh, monkeypatch)
    mesh.run(1)
    assert mesh["d"].states()[message] == "delivered"
