"""What the control socket can ask, and the JSON it gets (docs/control.md)."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import trio

from nexus_node.base.errors import InputError
from nexus_node.base.ids import MessageId, ObjectId
from nexus_node.base.limits import OBJECT_MAX
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.ports.store import Correspondent, Incoming, Outgoing, StoredObject
from nexus_node.runtime.arguments import (
    SECONDS_MAX,
    Json,
    UsageError,
    amount,
    argument,
    file_path,
    identifier,
    seconds,
)
from nexus_node.runtime.network import events, paths, status, trace
from nexus_node.runtime.node import Node
from nexus_node.wire.dataobject import KIND_BLOB
from nexus_node.wire.uri import make_uri

_PAGE = 200
_BANDWIDTH_MAX = 10**12


class WaitTimeout(InputError):
    """The state was not reached in time; `state` is the one the message had by then."""

    def __init__(self, words: str, state: State) -> None:
        super().__init__(words)
        self.state = state


# --- identity and contacts --------------------------------------------------------------------------
def own_id(node: Node, args: Json) -> Json:
    node_id = node.core.identity.node_id
    return {
        "name": node.name,
        "address": node.core.identity.address.hex(),
        "node_id": node_id.hex(),
        "uri": make_uri(node_id, node.name, node.relays),
    }


def _contact(contact: Correspondent) -> Json:
    return {
        "name": contact.name,
        "address": contact.address.hex(),
        "node_id": contact.node_id.hex(),
        "uri": make_uri(contact.node_id, contact.name, contact.relays),
        "trust": contact.trust,
        "relays": [address_of(relay).hex() for relay in contact.relays],
    }


def contact_add(node: Node, args: Json) -> Json:
    name, uri = argument(args, "name", str), argument(args, "uri", str)
    return _contact(node.core.contacts.add(name, uri, node.wall_ms()))


def contact_show(node: Node, args: Json) -> Json:
    return _contact(node.core.contacts.get(argument(args, "name", str)))


def contact_remove(node: Node, args: Json) -> Json:
    return _contact(node.core.contacts.remove(argument(args, "name", str)))


def contact_trust(node: Node, args: Json) -> Json:
    name, level = argument(args, "name", str), argument(args, "trust", str, None)
    core = node.core
    if level is None:
        return _contact(core.contacts.get(name))
    contact = core.contacts.trust(name, level)
    core.planner.relays_changed(node.now())
    return _contact(contact)


async def contact_list(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    for contact in node.core.contacts.all():
        yield _contact(contact)


# --- messages ---------------------------------------------------------------------------------------
def send(node: Node, args: Json) -> Json:
    min_bandwidth = amount(args, "min_bandwidth", _BANDWIDTH_MAX) or 0
    row = node.core.send(
        argument(args, "to", str), argument(args, "text", str), min_bandwidth=min_bandwidth, now=node.now()
    )
    return {"id": row.id.hex(), "state": row.state.value}


async def wait(node: Node, args: Json) -> Json:
    """Wait until a message reaches a state or a later one, or has ended without it."""
    message_id = MessageId(identifier(args, "id"))
    try:
        wanted = State(argument(args, "state", str))
    except ValueError:
        raise UsageError(f"a state is one of {', '.join(State)}, not {args['state']!r}") from None
    timeout = seconds(args, "timeout_s", None)
    state, why = _state_of(node, message_id), None
    if state.rank < wanted.rank and not state.final:
        with trio.move_on_after(float("inf") if timeout is None else timeout) as waiting:
            state, why = await node.pump.reach(message_id.hex(), wanted)
        if waiting.cancelled_caught:
            state = _state_of(node, message_id)
            words = f"the message is still {state.value} after {timeout} s; it goes on by itself"
            raise WaitTimeout(f"{words}, see: nexus outbox", state)
    why = _why(node, message_id) if why is None else why
    return {"id": message_id.hex(), "state": state.value, "why": why}


def _state_of(node: Node, message_id: MessageId) -> State:
    row = node.core.store.outgoing(message_id)
    if row is None:
        raise InputError(f"there is no message {message_id.hex()} in the outbox")
    return row.state


def _why(node: Node, message_id: MessageId) -> str:
    facts = node.core.store.facts(message_id)
    return facts[-1].by if facts else ""


def _refusal(node: Node, row: Outgoing) -> str | None:
    """Why a message that nobody keeps yet was last turned away, while that is so."""
    why, until = node.core.delivery.refusals.get(row.id, ("", 0.0))
    left_s = until - node.now()
    if row.state.rank >= State.RELAYED.rank or left_s <= 0:
        return None
    return f"{why}; trying again in {left_s:.0f} s"


def _outgoing(node: Node, row: Outgoing) -> Json:
    final = row.state.final
    done = row.size if row.state in (State.DELIVERED, State.READ) else 0
    held = None
    if row.state == State.HELD:
        ways = node.core.delivery.ways_to(row.to)
        best = max((int(way.link.profile.bps) for way in ways), default=0)
        held = {"needs_bps": row.min_bandwidth, "best_bps": best}
    facts = node.core.store.facts(row.id)
    why = None
    if held is not None:
        why = facts[-1].by
    elif not final:
        why = _refusal(node, row) or node.core.planner.why(row.to)
    return {
        "id": row.id.hex(),
        "to": node.core.contacts.name_of(row.to) or address_of(row.to).hex(),
        "state": row.state.value,
        "why": why,
        "facts": [{"state": fact.state.value, "at_ms": fact.at_ms, "by": fact.by} for fact in facts],
        "held": held,
        "created_ms": row.created_ms,
        "text": node.core.text_of(row),
        "bytes_done": done,
        "bytes_total": row.size,
    }


async def outbox(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    since = 0
    while rows := list(node.core.store.outbox(since_seq=since, limit=_PAGE)):
        for item in [_outgoing(node, row) for row in rows]:
            yield item
        since = rows[-1].seq
        await trio.lowlevel.checkpoint()


def _incoming(node: Node, row: Incoming) -> Json:
    return {
        "id": row.shown_id.hex(),
        "from": node.core.contacts.name_of(row.sender) or address_of(row.sender).hex(),
        "from_node_id": row.sender.hex(),
        "to": node.name,
        "text": node.core.text_of(row),
        "sent_ms": row.sent_ms or None,
        "received_ms": row.received_ms,
        "attachments": [],
    }


async def inbox(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    """Messages after `since`, oldest first; what is shown counts as read."""
    core = node.core
    since_seq = 0
    if argument(args, "since", str, None) is not None:
        since = core.store.incoming(MessageId(identifier(args, "since")))
        if since is None:
            raise InputError(f"there is no message {args['since']} in the inbox")
        since_seq = since.seq
    name = argument(args, "from", str, None)
    sender = None if name is None else core.contacts.get(name).node_id
    follow = argument(args, "follow", bool, False)
    with node.pump.follow() as events:
        while True:
            while rows := list(core.store.inbox(since_seq=since_seq, sender=sender, limit=_PAGE)):
                for row in rows:
                    yield _incoming(node, row)
                since_seq = rows[-1].seq
                core.mark_read(rows, node.now())
                node.pump.after()
                await trio.lowlevel.checkpoint()
            if not follow:
                return
            async for event in events:
                if event.event == "message_received":
                    break
            else:
                raise InputError("more arrived than this reader could follow; call again with --since")


# --- objects ----------------------------------------------------------------------------------------
def _object(stored: StoredObject) -> Json:
    return {
        "object": stored.id.hex(),
        "kind": "blob" if stored.kind == KIND_BLOB else "message",
        "size": stored.size,
        "root": stored.root.hex(),
        "chunks_have": stored.chunks_have,
        "chunks_total": stored.chunks_total,
        "min_bandwidth": stored.min_bandwidth,
        "created_ms": stored.created_ms,
        "expires_ms": stored.expires_ms,
    }


async def put(node: Node, args: Json) -> Json:
    path = file_path(args)
    ttl_s = amount(args, "ttl_s", SECONDS_MAX)
    min_bandwidth = amount(args, "min_bandwidth", _BANDWIDTH_MAX) or 0
    try:
        content = await trio.to_thread.run_sync(_read_bounded, path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {_reason(error)}") from error
    stored = node.core.objects.put(content, now_ms=node.wall_ms(), min_bandwidth=min_bandwidth, ttl_s=ttl_s)
    return _object(stored)


def _read_bounded(path: Path) -> bytes:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("it is not a regular file")  # a pipe would be waited for without end
    with path.open("rb") as file:
        return file.read(OBJECT_MAX + 1)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)


async def get(node: Node, args: Json) -> Json:
    stored = node.core.objects.get(ObjectId(identifier(args, "object")))
    path = file_path(args)
    content = b"".join(node.core.objects.read(stored.id))
    try:
        await trio.to_thread.run_sync(_write_new, path, content)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}") from error
    return _object(stored) | {"path": str(path)}


async def objects(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    for stored in node.core.objects.all():
        yield _object(stored)


Immediate = Callable[[Node, Json], Json]
IMMEDIATE: dict[str, Immediate] = {
    "id": own_id,
    "contact.add": contact_add,
    "contact.show": contact_show,
    "contact.remove": contact_remove,
    "contact.trust": contact_trust,
    "send": send,
    "status": status,
}
"""Answered at once; the answers of one block of requests share a commit."""

WAITING: dict[str, Callable[[Node, Json], Awaitable[Json]]] = {"wait": wait, "put": put, "get": get}
STREAMS: dict[str, Callable[[Node, Json], AsyncGenerator[Json, None]]] = {
    "contact.list": contact_list,
    "outbox": outbox,
    "inbox": inbox,
    "objects": objects,
    "paths": paths,
    "trace": trace,
    "events": events,
}
