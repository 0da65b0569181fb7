"""What the control socket can ask, and the JSON it gets (docs/control.md)."""

from collections.abc import AsyncGenerator, Awaitable, Callable

import trio

from nexus_node.base.errors import InputError
from nexus_node.base.foreign import foreign_uri, is_foreign
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.engine.attach import whole_facts, whole_state
from nexus_node.ports.store import Correspondent, Fact, Incoming, Outgoing
from nexus_node.runtime.arguments import (
    BANDWIDTH_MAX,
    Json,
    UsageError,
    amount,
    argument,
    identifier,
    in_seconds,
    seconds,
)
from nexus_node.runtime.files import attachments, decline, get, objects, put, remove, send_files
from nexus_node.runtime.groups import GROUP_VERBS, group_list, send_to_group, sent, sent_state
from nexus_node.runtime.network import events, paths, status, trace
from nexus_node.runtime.node import Node
from nexus_node.runtime.pub import PUB_VERBS, published, subscriptions
from nexus_node.wire.uri import make_uri

_PAGE = 200
_DIGITS_MIN = 8
"""Of an id that is cut short."""


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
        "uri": (
            make_uri(contact.node_id, contact.name, contact.relays)
            if not is_foreign(contact.node_id)
            else foreign_uri(contact.node_id)
        ),
        "trust": contact.trust,
        "end_to_end": not is_foreign(contact.node_id),
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


def _name(node: Node, node_id: NodeId) -> str:
    """A contact's name; of others the address, or what they are on Meshtastic."""
    name = node.core.contacts.name_of(node_id)
    return name or (foreign_uri(node_id) if is_foreign(node_id) else address_of(node_id).hex())


# --- messages ---------------------------------------------------------------------------------------
def send(node: Node, args: Json) -> Json:
    min_bandwidth = amount(args, "min_bandwidth", BANDWIDTH_MAX) or 0
    to, text = argument(args, "to", str), argument(args, "text", str)
    if node.core.groups.named(to) is not None:
        if min_bandwidth:
            raise InputError(
                f"a text to the group {to!r} goes at once; leave the bandwidth out, or add a file"
            )
        return send_to_group(node, to, text)
    row = node.core.send(to, text, min_bandwidth=min_bandwidth, now=node.now())
    return {"id": row.id.hex(), "state": row.state.value}


async def wait(node: Node, args: Json) -> Json:
    """Wait until a message reaches a state or a later one, or has ended without it."""
    message_id = MessageId(identifier(args, "id"))
    try:
        wanted = State(argument(args, "state", str))
    except ValueError:
        raise UsageError(f"a state is one of {', '.join(State)}, not {args['state']!r}") from None
    timeout = seconds(args, "timeout_s", None)
    row = node.core.store.outgoing(message_id)
    if row is not None and is_foreign(row.to) and wanted in (State.RELAYED, State.DELIVERED, State.READ):
        raise InputError(
            f"the message goes to Meshtastic, where nothing proves that it is {wanted.value}; wait for sent"
        )
    state, why = _state_of(node, message_id), None
    if not state.settles(wanted):
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
        state = sent_state(node, message_id)
        if state is None:
            raise InputError(f"there is no message {message_id.hex()} in the outbox")
        return state
    return whole_state(_rows(node, row))


def _why(node: Node, message_id: MessageId) -> str:
    row = node.core.store.outgoing(message_id)
    facts = _facts(node, _rows(node, row)) if row is not None else []
    return facts[-1].by if facts else ""


def _rows(node: Node, row: Outgoing) -> list[Outgoing]:
    """The row of a message's text, and those of its files."""
    return [row] if row.part_of is None else node.core.store.parts(row.part_of)


def _facts(node: Node, rows: list[Outgoing]) -> list[Fact]:
    facts = [node.core.store.facts(one.id) for one in rows]
    return facts[0] if len(rows) == 1 else whole_facts(facts)


def _refusal(node: Node, row: Outgoing) -> str | None:
    """Why a message that nobody keeps yet was last turned away, while that is so."""
    why, until = node.core.delivery.refusals.get(row.id, ("", 0.0))
    left_s = until - node.now()
    if row.state.rank >= State.RELAYED.rank or left_s <= 0:
        return None
    return f"{why}; trying again in {left_s:.0f} s"


def _short(node: Node, row: Outgoing) -> str | None:
    """How long a file waits for its radio's airtime, if it goes over one that has too little left (N6)."""
    links = [way.link for way in node.core.delivery.ways_to(row.to)] if row.is_file else []
    now = node.now()
    wait_s = min((link.bulk_at(now) for link in links), default=now) - now
    if wait_s <= 0:
        return None
    return f"its radio has airtime for files again in {wait_s:.0f} s"


def _held(node: Node, row: Outgoing) -> Json | None:
    """What a row needs that waits for a wider link, and the widest there is."""
    if row.state != State.HELD:
        return None
    ways = node.core.delivery.ways_to(row.to)
    return {"needs_bps": row.min_bandwidth, "best_bps": max((int(way.bps) for way in ways), default=0)}


def _outgoing(node: Node, row: Outgoing) -> Json:
    rows = _rows(node, row)
    state = whole_state(rows)
    files = [_outgoing_file(node, one) for one in rows[1:]]
    held = next((found for one in rows if (found := _held(node, one)) is not None), None)
    facts = _facts(node, rows)
    why = None
    if held is not None and state is State.HELD:
        why = f"needs {held['needs_bps']} bps"
    elif not state.final:
        late = [one for one in rows if not one.state.final]
        why = node.core.bridge.why(row, node.now()) if is_foreign(row.to) else None
        reasons = (reason(node, one) for reason in (_refusal, _short) for one in late)
        why = why or next(filter(None, reasons), None) or node.core.planner.why(row)
    done = row.size if row.state in (State.DELIVERED, State.READ) else 0
    left = [file["eta_s"] for file in files if not State(file["state"]).final]
    return {
        "id": row.id.hex(),
        "to": _name(node, row.to),
        "state": state.value,
        "why": why,
        "facts": [{"state": fact.state.value, "at_ms": fact.at_ms, "by": fact.by} for fact in facts],
        "held": held,
        "created_ms": row.created_ms,
        "text": node.core.text_of(row),
        "end_to_end": not is_foreign(row.to),
        "files": files,
        "bytes_done": done + sum(file["bytes_done"] for file in files),
        "bytes_total": row.size + sum(file["size"] for file in files),
        "eta_s": max(left) if left and None not in left else None,
    }


def _outgoing_file(node: Node, row: Outgoing) -> Json:
    file = node.core.outbox.description_of(row)
    size = file.size if file is not None else 0
    stored = node.core.store.get_object(row.object)
    held, done, left_s = _held(node, row), 0, None
    pace = node.core.delivery.fetched.get(row.id)
    if row.state is State.DELIVERED:
        done = size
    elif pace is not None and stored is not None:
        done = size * pace.done // stored.chunks_total
        left_s = pace.left_s(stored.chunks_total, node.now()) if held is None else None
    return {
        "name": str(file.name) if file is not None else "",
        "size": size,
        "object": row.object.hex(),
        "state": row.state.value,
        "held": held,
        "bytes_done": done,
        "eta_s": in_seconds(left_s),
    }


def cancel(node: Node, args: Json) -> Json:
    """Send nothing more of a message."""
    rows = node.core.cancel(_called(node, argument(args, "id", str)), node.now())
    return {"id": rows[0].id.hex(), "state": whole_state(rows).value, "why": _why(node, rows[0].id)}


def _called(node: Node, text: str) -> MessageId:
    """The id of a message in the outbox, whose last digits may be left out. Raises InputError."""
    if len(text) < _DIGITS_MIN:
        raise InputError(f"{text!r} is too short for a message's id; give at least {_DIGITS_MIN} digits")
    found = [row.id for row in node.core.store.outbox() if row.id.hex().startswith(text.lower())]
    if len(found) != 1:
        begins = "several messages begin" if found else "no message begins"
        raise InputError(f"{begins} with {text!r}; see: nexus outbox")
    return found[0]


async def outbox(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    since, is_letter = 0, node.core.groups.post.is_letter
    while rows := list(node.core.store.outbox(since_seq=since, limit=_PAGE)):
        for item in [_outgoing(node, row) for row in rows if not row.is_file and not is_letter(row.id)]:
            yield item
        since = rows[-1].seq
        await trio.lowlevel.checkpoint()
    since = 0
    while messages := list(node.core.store.all_sent(since_seq=since, limit=_PAGE)):
        for item in [sent(node, message) for message in messages]:
            yield item
        since = messages[-1].seq
        await trio.lowlevel.checkpoint()


async def _incoming(node: Node, row: Incoming) -> Json:
    group_id = node.core.store.group_of(row.id)
    room = node.core.groups.by_id(group_id) if group_id is not None else None
    return {
        "id": row.shown_id.hex(),
        "from": _name(node, row.sender),
        "from_node_id": row.sender.hex(),
        "to": room.group.name if room is not None else node.name,
        "group_id": group_id.hex() if group_id is not None else None,
        "text": node.core.text_of(row),
        "sent_ms": row.sent_ms or None,
        "received_ms": row.received_ms,
        "end_to_end": not is_foreign(row.sender),
        "attachments": await attachments(node, row),
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
                    yield await _incoming(node, row)
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


Immediate = Callable[[Node, Json], Json]
IMMEDIATE: dict[str, Immediate] = {
    "id": own_id,
    "contact.add": contact_add,
    "contact.show": contact_show,
    "contact.remove": contact_remove,
    "contact.trust": contact_trust,
    "send": send,
    "message.cancel": cancel,
    "file.decline": decline,
    "object.remove": remove,
    "status": status,
    **GROUP_VERBS,
    **PUB_VERBS,
}
"""Answered at once; the answers of one block of requests share a commit."""

WAITING: dict[str, Callable[[Node, Json], Awaitable[Json]]] = {
    "wait": wait,
    "send.files": send_files,
    "put": put,
    "get": get,
}
STREAMS: dict[str, Callable[[Node, Json], AsyncGenerator[Json, None]]] = {
    "contact.list": contact_list,
    "group.list": group_list,
    "outbox": outbox,
    "inbox": inbox,
    "objects": objects,
    "subscriptions": subscriptions,
    "published": published,
    "paths": paths,
    "trace": trace,
    "events": events,
}
