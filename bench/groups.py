"""Groups over LoRa in virtual time: one message to all, the same as messages to each, and a rotation.

Real nodes on the simulator's channel, SF8 at 125 kHz, within the duty cycle of their band.
"""

import random
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from bench.peers import Peer
from bench.report import Figures, Section, Table, emit, verdict
from nexus_node.base.ids import NodeId
from nexus_node.base.states import State
from nexus_sim.clock import virtual_run
from nexus_sim.play import Player
from nexus_sim.scenario_file import check_scenario
from nexus_sim.world import SimNode

TEXT = "The bridge at the mill is closed, come over the dam and bring the long ropes and two lamps with you."
"""Cut to `TEXT_SIZE` after a word that tells one from another: what repeats itself would pack to nothing."""
TEXT_SIZE, WITHIN_S, MUST, ROTATION_MUST, COPIES_MUST = 100, 600.0, 0.98, 5500, 3
SEEDS = 3
_WARM_S, _PART_S, _SPACING_M = 5400.0, 1500.0, 2300.0
KINDS = ("group", "group_receipt", "message", "receipt", "ack", "fragment", "path_request")
"""What brings messages and answers them, be it once for all or to each."""


@dataclass
class Strip:
    """People in clusters along a valley: each cluster hears the next one, and no farther."""

    clusters: int
    each: int
    parts: tuple[str, ...] = ("group", "rotation", "each")
    messages: int = 3

    def scenario(self, seed: int) -> dict[str, Any]:
        dice = random.Random(f"{seed} strip")
        nodes = [
            {
                "name": f"m{number}",
                "x": _SPACING_M * (number % self.clusters) + dice.uniform(-150, 150),
                "y": dice.uniform(-150, 150),
            }
            for number in range(self.clusters * self.each)
        ]
        return {
            "name": "strip",
            "duration_s": _WARM_S + _PART_S * (len(self.parts) + self.messages),
            "node": nodes,
            "radio": {"spreading_factor": 8},
            "texts": [{"group": True, "per_hour": 0}],
        }


def measure(strip: Strip, seed: int) -> Figures:
    """One run: each part after the other, the air to itself but for what nodes do anyhow."""
    figures = Figures(seed=seed, members=strip.clusters * strip.each)

    async def beside(player: Player) -> None:
        await trio.sleep(_WARM_S)
        if "group" in strip.parts:
            figures["group"] = await _group(player, strip)
        if "rotation" in strip.parts:
            figures["rotation"] = await _rotation(player)
        if "each" in strip.parts:
            figures["each"] = await _each(player)

    scenario = check_scenario(strip.scenario(seed), Path())
    player = Player(scenario, seed, beside=beside)
    outcome = virtual_run(player.play, seed)
    figures["hops"] = farthest([(a, b) for a, b, _ in outcome.reach], "m0")
    figures["highest_duty"] = round(max(outcome.duty_of.values()), 3)
    figures["duty_violations"] = outcome.duty_violations
    figures["breaches"] = outcome.record.breaches
    return figures


def farthest(reach: list[tuple[str, str]], begin: str) -> int:
    """Hops to whoever is farthest away."""
    hops, queue = {begin: 0}, deque([begin])
    while queue:
        at = queue.popleft()
        for a, b in reach:
            if a == at and b not in hops:
                hops[b] = hops[at] + 1
                queue.append(b)
    return max(hops.values())


def _spent(player: Player) -> tuple[int, int, float]:
    """Frames, bytes and seconds on air so far of all `KINDS`."""
    traffic = player.traffic
    seconds = sum(one for (_, kind), one in traffic.airtime.items() if kind in KINDS)
    return sum(traffic.frames[kind] for kind in KINDS), sum(traffic.sizes[kind] for kind in KINDS), seconds


def _since(player: Player, before: tuple[int, int, float]) -> Figures:
    frames, size, seconds = (a - b for a, b in zip(_spent(player), before, strict=True))
    return Figures(frames=frames, bytes=size, on_air_s=round(seconds, 1))


async def _group(player: Player, strip: Strip) -> Figures:
    """Messages to the group from the first cluster, one after the other."""
    members = list(player.world.nodes.values())
    before, copies = _spent(player), []
    arrived, took, last = 0, [], 0.0
    for number in range(strip.messages):
        sender = members[number * strip.clusters]
        began, core, aired = trio.current_time(), sender.node.core, player.traffic.frames["group"]
        others = [one.name for one in members if one is not sender]
        text = f"{number} {TEXT}"[:TEXT_SIZE]
        [room] = core.groups.all()
        message_id = core.groups.send(room.group.name, text, sender.node.now())
        player.record.accepted_for(message_id.hex(), sender.name, others, text, began)
        core.commit()
        sender.node.pump.after()
        with trio.move_on_after(_PART_S):
            while core.groups.state_of(message_id) is not State.DELIVERED:
                await trio.sleep(1)
        took.append(trio.current_time() - began)
        await trio.sleep_until(began + _PART_S)
        received = [one.received_s for one in player.record.of_groups[message_id.hex()]]
        arrived += sum(one is not None and one - began <= WITHIN_S for one in received)
        last = max([last, *(one - began for one in received if one is not None)])
        copies.append(player.traffic.frames["group"] - aired)
    of = strip.messages * (len(members) - 1)
    one = _since(player, before)
    return Figures(
        within=arrived,
        of=of,
        share=round(arrived / of, 4),
        last_s=round(last, 1),
        known_s=round(max(took), 1),
        copies=max(copies),
        **{key: round(value / strip.messages, 1) for key, value in one.items()},
    )


async def _each(player: Player) -> Figures:
    """The same text as a message to each."""
    members = list(player.world.nodes.values())
    before, sender, began = _spent(player), members[0], trio.current_time()
    ids = []
    for one in members[1:]:
        text = f"{one.name} {TEXT}"[:TEXT_SIZE]
        player.record.expect(sender.name, one.name, text, began, 0)
        message_id = sender.send(one, text).hex()
        player.record.accepted(message_id)
        ids.append(message_id)
    await trio.sleep_until(began + _PART_S)
    received = [player.record.messages[one].received_s for one in ids]
    arrived = sum(one is not None and one - began <= WITHIN_S for one in received)
    last = max((one - began for one in received if one is not None), default=0.0)
    return Figures(
        within=arrived,
        of=len(ids),
        share=round(arrived / len(ids), 4),
        last_s=round(last, 1),
        **_since(player, before),
    )


async def _rotation(player: Player) -> Figures:
    """The creator changes the key; how much of what it says must be on the air, and how long it takes."""
    members = list(player.world.nodes.values())
    creator = members[0].node
    before = _spent(player)
    [room] = creator.core.groups.all()
    began = trio.current_time()
    creator.core.groups.rotate(room.group.name, creator.now())
    creator.core.commit()
    creator.pump.after()
    epoch = room.state.epoch
    operation = room.log.get(epoch)
    others = [one.identity.node_id for one in members[1:]]

    def have(node: SimNode) -> bool:
        return epoch in node.node.core.groups.all()[0].keys

    await trio.sleep(0.1)  # the letters are written by then, and none has arrived
    payload = letters_of(player, others) + (len(operation.encode()) if operation is not None else 0)
    with trio.move_on_after(_PART_S - 2):
        while not all(map(have, members)):
            await trio.sleep(1)
    took = trio.current_time() - began
    spent = _since(player, before)
    await trio.sleep_until(began + _PART_S)
    return Figures(
        payload=payload,
        have=sum(map(have, members[1:])),
        took_s=round(took, 1),
        **spent,
    )


def letters_of(player: Player, others: list[NodeId]) -> int:
    """Bytes of the letters in the first node's outbox, each as the data of one packet."""
    store = player.world.nodes[next(iter(player.world.nodes))].store
    rows = [row for row in store.outbox() if row.to in others and store.letter(row.id) is not None]
    return sum(len(row.envelope) for row in rows)


def _judged(found: Figures) -> tuple[str, str]:
    """What must hold of a message to a group, and whether it does."""
    one = found["group"]
    if found["hops"] == 1:
        return f"all, {COPIES_MUST} copies", verdict(one["share"] == 1 and one["copies"] <= COPIES_MUST)
    return f"{MUST:.0%}", verdict(one["share"] >= MUST)


def run(peer: Peer | None) -> Section:
    """About five minutes."""
    near = emit("groups: 20 in range", measure(Strip(1, 20, ("group", "each")), 1))
    far = [emit("groups: 50 over 4 hops", measure(Strip(5, 10), seed)) for seed in range(SEEDS)]
    table = Table(
        [
            "100 characters to",
            "seed",
            "hops",
            "within 10 min",
            "copies",
            "must",
            "",
            "all, s",
            "known, s",
            "frames",
            "on air, s",
        ]
    )
    for run_ in (near, *far):
        for words, key in ((f"a group of {run_['members']}", "group"), ("each of the others", "each")):
            one = run_[key]
            must, known = _judged(run_) if key == "group" else ("-", "-")
            table.add(
                words,
                run_["seed"],
                run_["hops"],
                f"{one['share']:.1%}",
                one.get("copies", "-"),
                must,
                known,
                one["last_s"],
                one.get("known_s", "-"),
                one["frames"],
                one["on_air_s"],
            )
    keys = Table(
        [
            "rotation for 50",
            "payload, bytes",
            "must",
            "",
            "have it",
            "took, s",
            "bytes over all hops",
            "fullest hour",
        ]
    )
    for run_ in far:
        one = run_["rotation"]
        holds = one["payload"] <= ROTATION_MUST and one["have"] == 49 and not run_["duty_violations"]
        keys.add(
            f"seed {run_['seed']}",
            one["payload"],
            ROTATION_MUST,
            verdict(holds),
            one["have"],
            one["took_s"],
            one["bytes"],
            f"{run_['highest_duty']:.1%}",
        )
    words = (
        "`python -m bench groups`. Real nodes in virtual time on the simulator's channel at SF8 and 125 kHz "
        "(10 % duty "
        "cycle), in clusters along a line, each of which hears the next; nothing is sent for 90 minutes "
        "first. A group gets three messages; then, in the same run, each of the others gets one of its own. "
        "`within 10 min` is of members, `copies` are transmissions of the message itself by anybody, of that "
        "message that took most, `known` is when its sender knows that all have it. Frames and seconds on "
        "air are those of one message with all that answers it, over all hops. A rotation's payload is its "
        "operation and a letter to each member; the fullest hour is any node's in the whole run, of what its "
        "duty cycle permits."
    )
    return Section("Groups over radios", words, [table, keys])
