"""Nothing is sent twice when a recipient comes back, and nothing stands still because it is large."""

import pytest

from bench import meshbytes
from nexus_node.store.memory import MemoryStore

from .mesh import Mesh
from .world import NARROW


@pytest.mark.parametrize("length", meshbytes.LENGTHS)
def test_n10_what_a_relay_hands_over_is_not_sent_along_the_new_path_as_well(length: int) -> None:
    """On links that take their time; twice would be more bytes than a message to an absent peer may cost."""
    one = meshbytes.absent_bytes(length)
    assert one["mail"] <= meshbytes.MUST[length], one["steps"]
    steps = [kind for kinds, _ in one["steps"] for kind in kinds.split("+")]
    assert steps.count("DELIVERED") == 2


def test_n10_what_relays_do_not_hand_over_goes_along_the_path_in_the_end() -> None:
    mesh = Mesh("alice", "relay", "bob", "hop", relays=("relay",))
    mesh.knows("alice", "bob")
    mesh.knows("alice", "relay", trust="trusted")
    mesh.join("alice", "relay")
    mesh.join("alice", "hop")
    mesh.run(5)
    messages = [mesh.send("alice", "bob", f"number {number}") for number in range(200)]
    mesh.run(5)
    assert {mesh["alice"].states()[one] for one in messages} == {"relayed"}
    mesh.leave("relay")  # for good
    mesh.join("hop", "bob")
    mesh.run(2)
    fresh = mesh.send("alice", "bob", "this one waits for nobody")
    mesh.run(1)
    assert mesh["alice"].states()[fresh] == "delivered"
    mesh.run(30)
    assert {mesh["alice"].states()[one] for one in messages} == {"delivered"}
    assert len(mesh["bob"].inbox()) == 201


@pytest.mark.parametrize("frames", range(8))
def test_n6_a_large_message_goes_at_once_whatever_frame_is_next(frames: int) -> None:
    """Also when it is the turn of fragments, and what is large has not been cut into any yet."""
    mesh = Mesh("a", "b", "c")
    mesh.knows("a", "c")
    mesh.knows("a", "b")
    mesh.line("a", "b", "c", profile=NARROW)
    mesh.run(60)
    for one, other in (("a", "b"), ("b", "c")):
        for end in (one, other):
            for attachment in mesh[end].core.attachments.values():
                attachment.frames_sent = frames
    message = mesh.send("a", "c", "".join(f"{number} and " for number in range(200)))
    mesh.run(0.5)
    assert mesh["a"].states()[message] == "delivered"


def test_n10_looking_for_what_came_before_does_not_read_all_of_a_sender() -> None:
    store = MemoryStore(10**6)
    store.incoming_before(b"s" * 32, b"m" * 32)
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    store.incoming_before(b"s" * 32, b"m" * 32)
    store._connection.set_trace_callback(None)
    plan = [row[3] for row in store._connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert not any("inbox_sender" in step or "SCAN" in step for step in plan), plan
