"""Our packets through stock Meshtastic devices between (N17): those of the nodes do not hear each other."""

import random

import pytest
import trio

from nexus_firmware.emulate.mesh_node import NodeSettings
from nexus_firmware.emulate.mesh_packet import MeshChannel
from nexus_firmware.emulate.meshtastic import Meshtastic
from nexus_node.base.states import State
from nexus_sim.clock import virtual_run
from nexus_sim.world import open_world

from .bench import Bench, on
from .delivery import Recorder, a_text
from .radios import RADIOS

OURS = (MeshChannel(""), MeshChannel("nexus", bytes(range(32))))


def device(number: int, count: int, channels: tuple[MeshChannel, ...]) -> Meshtastic:
    """One of a row: it hears those beside it."""
    deaf_to = frozenset(other for other in range(1, count + 1) if abs(other - number) > 1)
    settings = NodeSettings(
        number, "Emulated", "EMU", "EU_868", "LONG_FAST", channels, "CLIENT", deaf_to=deaf_to
    )
    return Meshtastic(random.Random(number), settings)


@pytest.mark.parametrize("relays", [1, 2])
def test_a_text_through_devices_that_are_no_nodes(relays: int) -> None:
    """They have only the default channel: they relay what they cannot read. Bytes are exact, and the way
    really leads over them."""

    async def main() -> float:
        async with open_world(["alice", "bob"], 1) as world, trio.open_nursery() as nursery:
            ether = Recorder()
            bench = Bench(nursery, ether)
            count = relays + 2
            lines = [
                bench.add(device(number, count, OURS if number in (1, count) else OURS[:1]))
                for number in range(1, count + 1)
            ]
            for name, line in (("alice", lines[0]), ("bob", lines[-1])):
                world.nodes[name].drivers.append(on(line, RADIOS["meshtastic"].new(channel="nexus")))
                await world.start(name)
            alice, bob = world.nodes["alice"], world.nodes["bob"]
            texts = ["hello", a_text(160, 1), a_text(1024, 1)]
            took = 0.0
            for text in texts:
                begin = trio.current_time()
                alice.send(bob, text)
                with trio.fail_after(600):
                    while alice.outbox()[-1] is not State.DELIVERED:
                        await trio.sleep(0.1)
                took = trio.current_time() - begin
                await trio.sleep(60)
            assert bob.inbox() == texts
            # With a relay silent there is no way.
            bench.boards[1].firmware.boot(trio.current_time() + 10_000)
            alice.send(bob, "into the void")
            await trio.sleep(300)
            assert bob.inbox() == texts and alice.outbox()[-1] is not State.DELIVERED
            nursery.cancel_scope.cancel()
        return took

    took = virtual_run(main, 1)
    print(f"{relays} relays, 1 KB: {took:.0f} s")
