"""What must hold in every run, looked for in stores and on the air (mission.md N6, N10, N13, M5)."""

from collections import defaultdict
from collections.abc import Mapping

from nexus_node.base.ids import MessageId
from nexus_node.base.limits import CHUNK_SIZE
from nexus_node.base.states import State
from nexus_node.engine.events import Event
from nexus_node.ports.store import Outgoing
from nexus_node.runtime.node import Node
from nexus_sim.channel import Channel
from nexus_sim.record import TELLING, Record, Sent
from nexus_sim.stores import Keeper, SimStore

_HEAD = 8
"""Bytes of a text or photo by which it is looked for."""


def check_sealed(frame: bytes, where: str, record: Record, now: float) -> None:
    """Nothing sealed is sent open."""
    for content in record.under_way.values():
        if content in frame:
            record.breaches.append(f"a text or photo was {where} unsealed, at {now:.3f} s")


def check_duty(channel: Channel, nodes: dict[int, str], record: Record) -> int:
    """No sender was on air for longer than its band allows in any hour; how often one was."""
    violations = 0
    for number, name in nodes.items():
        duty = channel.duty(number)
        violations += duty.violations
        if duty.violations:
            record.breaches.append(f"{name} was on air too long {duty.violations} times in some hour")
    return violations


def check_relayed(name: str, event: Event, nodes: Mapping[str, Keeper], record: Record, now: float) -> None:
    """Whom a sender is told that its message is `relayed` by, has it; `nodes` by address."""
    if event.event != "message_state" or event.fields["state"] != State.RELAYED:
        return
    message, relay = record.messages.get(str(event.fields["id"])), nodes.get(str(event.fields["by"]))
    if message is not None and message.sender == name and relay is not None:
        _check_custody(relay, message, record, now)


def _check_custody(relay: Keeper, message: Sent, record: Record, now: float) -> None:
    """Custody is claimed only for what is there, or known to have been delivered."""
    prefix = bytes.fromhex(message.id)[:8]
    store = relay.store
    if store.held(prefix) is None and store.receipt(prefix) is None and message.received_s is None:
        record.breaches.append(
            f"{relay.name} has taken custody of message {message.id} and does not have it, at {now:.3f} s"
        )


def check_stores(stores: Mapping[str, SimStore], record: Record) -> None:
    """Nothing sealed is stored open: no text or photo stands in any row of any table, or in a pack of chunks.
    What a reader was shown is still there."""
    contents: defaultdict[bytes, list[bytes]] = defaultdict(list)
    texts = [message.text.encode() for message in record.messages.values()]
    for content in (*(text for text in texts if len(text) >= TELLING), *record.heads):
        contents[content[:_HEAD]].append(content)
    large = [*record.heads, *(text for text in texts if len(text) >= CHUNK_SIZE)]
    for name, store in stores.items():
        open_in = dict.fromkeys(table for table, value in store.rows() if _holds_one(value, contents))
        if any(content in pack for pack in store.packs() for content in large):
            open_in["packs"] = None
        for table in open_in:
            record.breaches.append(f"{name} stores a text or photo unsealed, in its {table}")
    _check_shown(stores, record)


def _check_shown(stores: Mapping[str, SimStore], record: Record) -> None:
    """Delivery does not go backwards, whatever power cut there was."""
    shown = {name: store.shown() for name, store in stores.items()}
    for message in record.messages.values():
        if message.received_s is None or " " in message.id:  # those of groups have tables of their own
            continue
        if bytes.fromhex(message.id) not in shown[message.recipient]:
            record.breaches.append(f"{message.recipient} was shown message {message.id} and has it no more")


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
    return "" if row is None else _why(row, sender)


def explain_photo(message: Sent, sender: Node | None) -> str:
    """Why the photo of a message has not arrived, likewise."""
    if message.state is State.EXPIRED:
        return "expired"
    if sender is None:
        return "its sender is off"
    rows = sender.core.store.parts(MessageId(bytes.fromhex(message.id)))[1:]
    return _why(rows[0], sender) if rows else ""


def _why(row: Outgoing, sender: Node) -> str:
    facts = sender.core.store.facts(row.id)
    if row.state is State.FAILED:
        return f"failed: {facts[-1].by}"
    if row.state is State.HELD:
        return f"held: {facts[-1].by}"
    why, _ = sender.core.delivery.refusals.get(row.id, ("", 0.0))
    return why or sender.core.planner.why(row)
