"""What must hold in every run, looked for in stores and on the air (mission.md N6, N10, N13, M5)."""

from collections import defaultdict
from collections.abc import Mapping

from nexus_node.base.ids import MessageId
from nexus_node.base.states import State
from nexus_node.runtime.node import Node
from nexus_node.store.memory import MemoryStore
from nexus_sim.channel import Channel
from nexus_sim.record import TELLING, Record, Sent
from nexus_sim.world import SimNode

_HEAD = 8
"""Bytes of a text by which it is looked for."""


def check_air(frame: bytes, record: Record, now: float) -> None:
    """Nothing sealed is sent open."""
    for text in record.under_way.values():
        if text in frame:
            record.breaches.append(f"a text was on the air unsealed, at {now:.3f} s")


def check_duty(channel: Channel, nodes: dict[int, str], record: Record) -> int:
    """No sender was on air for longer than its band allows in any hour; how often one was."""
    violations = 0
    for number, name in nodes.items():
        duty = channel.duty(number)
        violations += duty.violations
        if duty.violations:
            record.breaches.append(f"{name} was on air too long {duty.violations} times in some hour")
    return violations


def check_custody(relay: SimNode, message: Sent, record: Record, now: float) -> None:
    """Custody is claimed only for what is committed: on a disk, or known to have been delivered."""
    prefix = bytes.fromhex(message.id)[:8]
    store = relay.store
    if store.held(prefix) is None and store.receipt(prefix) is None and message.received_s is None:
        record.breaches.append(
            f"{relay.name} has taken custody of message {message.id} and does not have it, at {now:.3f} s"
        )


def check_stores(stores: dict[str, MemoryStore], record: Record) -> None:
    """Nothing sealed is stored open: no text stands in any row of any table."""
    texts: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for message in record.messages.values():
        text = message.text.encode()
        if len(text) >= TELLING:
            texts[text[:_HEAD]].append(text)
    for name, store in stores.items():
        for table in ("outbox", "inbox", "custody", "objects", "chunks"):
            for row in store._read(f"SELECT * FROM {table}"):
                if any(isinstance(value, bytes) and _holds_one(value, texts) for value in row):
                    record.breaches.append(f"{name} stores a text unsealed, in its table {table}")


def _holds_one(value: bytes, texts: Mapping[bytes, list[bytes]]) -> bool:
    """Whether one of these texts stands in a value; they come by their first bytes, for they are many."""
    heads = (texts.get(value[at : at + _HEAD], ()) for at in range(len(value) - _HEAD))
    return any(text in value for found in heads for text in found)


def explain(message: Sent, sender: Node | None) -> str:
    """Why a message has not arrived, as its sender's node says; empty if it has no reason."""
    if message.state is State.EXPIRED:
        return "expired"
    if sender is None:
        return "its sender is off"
    message_id, _, member = message.id.partition(" ")
    if member:
        return "its sender has not heard that the member has it"
    row = sender.core.store.outgoing(MessageId(bytes.fromhex(message_id)))
    if row is None:
        return ""
    facts = sender.core.store.facts(row.id)
    if row.state is State.FAILED:
        return f"failed: {facts[-1].by}"
    if row.state is State.HELD:
        return f"held: {facts[-1].by}"
    why, _ = sender.core.delivery.refusals.get(row.id, ("", 0.0))
    return why or sender.core.planner.why(row.to)
