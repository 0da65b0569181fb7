"""Mutable objects as people call them, and the latest version of somebody's (N7, docs/control.md)."""

from collections.abc import Callable

import trio

from nexus_node.base.errors import InputError
from nexus_node.base.ids import NODE_ID_SIZE, NodeId
from nexus_node.engine.events import Event
from nexus_node.engine.mutable import label_bytes
from nexus_node.ports.store import StoredObject
from nexus_node.runtime.arguments import Json, argument, seconds
from nexus_node.runtime.node import Node
from nexus_node.wire.mutable import Record, name_of

_ANSWERS_S = 10.0
"""How long neighbours have to answer; one that knows nothing of mutable objects never does."""
_WHOLE_S = 60.0
"""How long the content may take, unless the request says."""


def version(record: Record) -> Json:
    """What a version is called."""
    label = record.label.decode(errors="replace")
    return {"name": f"{record.owner.hex()}/{label}", "sequence": record.sequence}


async def get_version(node: Node, args: Json) -> tuple[StoredObject, Json]:
    """The latest version of a mutable object, here or from neighbours. Raises InputError."""
    owner, label = _named(node, argument(args, "name", str))
    name, mutables = name_of(owner, label), node.core.mutables
    timeout_s = seconds(args, "timeout_s", _WHOLE_S)
    with trio.move_on_after(float("inf") if timeout_s is None else timeout_s):
        with node.pump.follow() as events:
            mutables.search(name, node.now())
            node.pump.after()
            with trio.move_on_after(_ANSWERS_S):
                await _until(events, lambda: not mutables.waiting(name))
            await _until(events, lambda: _settled(node, owner, name))
    record = mutables.latest(name)
    until_ms = mutables.blocked_until_ms(owner, node.now())
    if until_ms is not None:
        hours = max(1, (until_ms - node.wall_ms()) // 3_600_000)
        raise InputError(
            "the owner has signed two different versions with one number; "
            f"nothing of it is taken for {hours} h"
        )
    if record is None:
        raise InputError(
            f"neither this node nor a neighbour has {args['name']}; try again when one who has it is near"
        )
    if mutables.over(record, node.now()):
        raise InputError(f"the time of {args['name']} is over; its owner has to put it again")
    if not mutables.has_content(record):
        raise InputError(_why_not(node, record))
    return node.core.objects.get(record.content.id), version(record)


def _settled(node: Node, owner: NodeId, name: bytes) -> bool:
    """Whether waiting longer brings no more."""
    mutables, now = node.core.mutables, node.now()
    record = mutables.latest(name)
    return (
        record is None
        or mutables.has_content(record)
        or mutables.over(record, now)
        or mutables.blocked_until_ms(owner, now) is not None
        or node.core.fetcher.progress(record.content.id) is None
    )


async def _until(events: trio.MemoryReceiveChannel[Event], done: Callable[[], bool]) -> None:
    if done():
        return
    async for _ in events:
        if done():
            return


def _why_not(node: Node, record: Record) -> str:
    stored = node.core.store.get_object(record.content.id)
    reason = node.core.mutables.not_fetched(record.name)
    if reason is not None:
        return (
            f"version {record.sequence} is known, but its {record.size} bytes are not fetched: "
            f"{reason.name.lower().replace('_', ' ')}; make room, or try again later"
        )
    have, total = (stored.chunks_have, stored.chunks_total) if stored is not None else (0, 0)
    if node.core.fetcher.progress(record.content.id) is not None:
        return (
            f"{have} of {total} parts of version {record.sequence} are here; the rest goes on by itself, "
            "call again later or with a longer --timeout"
        )
    return (
        f"version {record.sequence} is known, but no neighbour has its content; "
        "try again when one who has it is near"
    )


def _named(node: Node, text: str) -> tuple[NodeId, bytes]:
    """Owner and label of OWNER/LABEL: a contact's name, or a node id in hex."""
    who, slash, label = text.rpartition("/")
    if not slash:
        raise InputError(f"a mutable object is called OWNER/LABEL, and {text!r} is not")
    raw = label_bytes(label)
    try:
        node_id = bytes.fromhex(who)
    except ValueError:
        node_id = b""
    if len(node_id) == NODE_ID_SIZE:
        return NodeId(node_id), raw
    return node.core.contacts.get(who).node_id, raw
