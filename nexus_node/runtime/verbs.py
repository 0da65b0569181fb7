"""What the control socket can ask, and the JSON it gets (docs/control.md)."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from nexus_node import __version__
from nexus_node.base.errors import InputError
from nexus_node.base.ids import MessageId, NodeId, ObjectId
from nexus_node.base.limits import OBJECT_MAX
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.engine.events import Event
from nexus_node.ports.store import Correspondent, Incoming, Outgoing, StoredObject
from nexus_node.runtime.node import Node
from nexus_node.wire.dataobject import KIND_BLOB
from nexus_node.wire.uri import make_uri

Json = dict[str, Any]
_PAGE = 200
_BANDWIDTH_MAX = 10**12
_TTL_MAX_S = 10**10


class UsageError(InputError):
    """A request whose arguments do not fit its verb."""


class WaitTimeout(InputError):
    """The state was not reached in time; `state` is the one the message had by then."""

    def __init__(self, words: str, state: State) -> None:
        super().__init__(words)
        self.state = state


def argument(args: Json, name: str, kind: type, default: Any = ...) -> Any:
    """One argument of a request. Raises UsageError that names it."""
    value = args.get(name, default)
    if value is ...:
        raise UsageError(f"the argument {name!r} is missing")
    if value is not default and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise UsageError(f"the argument {name!r} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def amount(args: Json, name: str, most: int) -> int | None:
    """A whole number from 0 to `most`, None if it is left out. Raises UsageError."""
    value: int | None = argument(args, name, int, None)
    if value is not None and not 0 <= value <= most:
        raise UsageError(f"the argument {name!r} is a whole number from 0 to {most}, not {value}")
    return value


def file_path(args: Json) -> Path:
    """The path of a file. Raises UsageError."""
    text = argument(args, "path", str)
    if "\0" in text:
        raise UsageError("a path cannot hold a zero byte")
    return Path(text)


def identifier(args: Json, name: str) -> bytes:
    """A 32-byte id in hex. Raises UsageError."""
    text = argument(args, name, str)
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"an id has 64 hex digits, and {text!r} is none")
    return value


# --- identity and contacts --------------------------------------------------------------------------
def own_id(node: Node, args: Json) -> Json:
    node_id = node.core.identity.node_id
    return {
        "name": node.name,
        "address": node.core.identity.address.hex(),
        "node_id": node_id.hex(),
        "uri": make_uri(node_id, node.name),
    }


def _contact(contact: Correspondent) -> Json:
    return {
        "name": contact.name,
        "address": contact.address.hex(),
        "node_id": contact.node_id.hex(),
        "uri": make_uri(contact.node_id, contact.name),
        "trust": contact.trust,
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
    contacts = node.core.contacts
    return _contact(contacts.get(name) if level is None else contacts.trust(name, level))


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
    timeout = args.get("timeout_s")
    if timeout is not None and (
        not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 <= timeout <= _TTL_MAX_S
    ):
        raise UsageError(f"the argument 'timeout_s' is a number of seconds from 0 to {_TTL_MAX_S}")
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


def _outgoing(node: Node, row: Outgoing) -> Json:
    final = row.state.final
    done = row.size if row.state in (State.DELIVERED, State.READ) else 0
    held = None
    if row.state == State.HELD:
        best = node.core.delivery.best_link(row.to)
        held = {"needs_bps": row.min_bandwidth, "best_bps": int(best.profile.bps) if best is not None else 0}
    facts = node.core.store.facts(row.id)
    why = None
    if not final:
        why = (
            "no link to the recipient"
            if node.core.delivery.best_link(row.to) is None
            else "waiting for the receipt"
        )
        if held is not None:
            why = facts[-1].by
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
        "id": row.id.hex(),
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
    ttl_s = amount(args, "ttl_s", _TTL_MAX_S)
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


# --- the node ---------------------------------------------------------------------------------------
def status(node: Node, args: Json) -> Json:
    core = node.core
    states = core.store.count_states()
    total, used, quota = core.store.usage()
    held = states.get(State.HELD, 0)
    waiting = sum(count for state, count in states.items() if not state.final)
    return {
        "name": node.name,
        "address": core.identity.address.hex(),
        "version": __version__,
        "uptime_s": int(node.now() - node.started),
        "carriers": node.carriers(),
        "links": [_link(node, cid) for cid, one in core.attachments.items() if one.link.peer is not None],
        "queue": {
            "queued": waiting - held,
            "held": held,
            "states": {state.value: n for state, n in states.items()},
        },
        "store": {"objects": total, "bytes": used, "quota_bytes": quota, "recovered": node.recovered},
        "relay": {"enabled": False, "messages": 0, "bytes": 0},
        "counters": dict(sorted(core.counters.items())),
        "clock_trusted": core.wall.trusted(node.now()),
    }


def _link(node: Node, cid: int) -> Json:
    attachment = node.core.attachments[cid]
    link = attachment.link
    peer = link.peer or NodeId(b"")
    return {
        "peer": address_of(peer).hex(),
        "name": node.core.contacts.name_of(peer),
        "carrier": attachment.label,
        "state": link.state,
        "rtt_ms": round(link.rtt * 1000, 3) if link.rtt is not None else None,
        "bps": attachment.profile.bps,
        "mtu": link.mtu,
        "rssi_dbm": attachment.signal.rssi_dbm if attachment.signal else None,
        "snr_db": attachment.signal.snr_db if attachment.signal else None,
    }


async def events(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    """The latest events, then with `follow` those to come."""
    follow = argument(args, "follow", bool, False)
    with node.pump.follow() as channel:
        for event in list(node.pump.recent):
            yield _event(event)
        if not follow:
            return
        async for event in channel:
            yield _event(event)
    raise InputError("more happened than this reader could follow; call again")


def _event(event: Event) -> Json:
    return {"event": event.event, "at_ms": event.at_ms, **event.fields}


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
    "events": events,
}
