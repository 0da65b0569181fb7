"""What the control socket can ask about groups, and the JSON it gets (docs/control.md)."""

from collections.abc import AsyncGenerator, Callable

from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.engine.group_files import about_of
from nexus_node.engine.group_room import Room
from nexus_node.ports.groups import SentMessage
from nexus_node.runtime.arguments import SECONDS_MAX, Json, UsageError, amount, argument
from nexus_node.runtime.node import Node
from nexus_node.wire.description import Description
from nexus_node.wire.group import Permissions

_LINK_S = 7 * 24 * 3600
"""How long a group link is good for, if its maker does not say."""
PERMISSIONS = {one.name.lower(): one for one in Permissions}


def group_create(node: Node, args: Json) -> Json:
    signed = argument(args, "signed", bool, False)
    return _group(node, node.core.groups.create(argument(args, "name", str), node.now(), signed=signed))


def _with_contact(verb: str) -> Callable[[Node, Json], Json]:
    """A verb about a member of a group."""

    def run(node: Node, args: Json) -> Json:
        name, contact = argument(args, "name", str), _person(node, args)
        return _group(node, getattr(node.core.groups, verb)(name, contact, node.now()))

    return run


def _person(node: Node, args: Json) -> str:
    """Whom a verb is about. This node is called by its own name, as it is shown."""
    name: str = argument(args, "contact", str)
    is_own = name == node.name and node.core.contacts.find(name) is None
    return node.core.identity.address.hex() if is_own else name


def _alone(verb: str) -> Callable[[Node, Json], Json]:
    """A verb about a group and nobody else."""

    def run(node: Node, args: Json) -> Json:
        return _group(node, getattr(node.core.groups, verb)(argument(args, "name", str), node.now()))

    return run


def group_promote(node: Node, args: Json) -> Json:
    name, contact = argument(args, "name", str), _person(node, args)
    permissions = PERMISSIONS.get(argument(args, "permissions", str))
    if permissions is None:
        raise UsageError(f"permissions are one of {', '.join(PERMISSIONS)}, not {args['permissions']!r}")
    expires_s = amount(args, "expires_s", SECONDS_MAX) or 0
    return _group(node, node.core.groups.promote(name, contact, permissions, node.now(), expires_s=expires_s))


def group_invite(node: Node, args: Json) -> Json:
    ttl_s = amount(args, "ttl_s", SECONDS_MAX) or _LINK_S
    renew = argument(args, "renew", bool, False)
    name = argument(args, "name", str)
    uri, expires_ms = node.core.groups.invite(name, node.now(), ttl_s=ttl_s, renew=renew)
    return {"name": name, "uri": uri, "expires_ms": expires_ms}


def group_join(node: Node, args: Json) -> Json:
    return {"name": node.core.groups.join(argument(args, "uri", str), node.now()), "standing": "asked"}


def group_show(node: Node, args: Json) -> Json:
    return _group(node, node.core.groups.get(argument(args, "name", str)))


async def group_list(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    for room in node.core.groups.all():
        yield _group(node, room)


def _group(node: Node, room: Room) -> Json:
    state, log = room.state, room.log
    operations = [(log.get(one), why) for one, why in room.own_discarded.items()]
    return {
        "group_id": room.group.id.hex(),
        "name": room.group.name,
        "standing": room.group.standing.name.lower(),
        "epoch": state.epoch_number,
        "epoch_id": state.epoch.hex(),
        "admin": _name(node, state.creator),
        "admins": [_name(node, one) for one in state.admins],
        "co_admins": [_name(node, one.node_id) for one in state.co_admins],
        "permissions": {_name(node, one.node_id): one.permissions.name.lower() for one in state.co_admins},
        "members": sorted(_name(node, one) for one in state.members),
        "admin_sequence": state.admin_sequence,
        "signed": state.signed_messages,
        "key": state.epoch in room.keys,
        "closed": state.closed,
        "stale": state.stale,
        "inviter": _name(node, room.group.inviter),
        "discarded": [
            {"operation": operation.kind.name.lower(), "sequence": operation.sequence, "why": why}
            for operation, why in operations
            if operation is not None
        ],
    }


def _name(node: Node, who: NodeId) -> str:
    """What people are called here: this node by its own name, contacts by theirs, others by their address."""
    if who == node.core.identity.node_id:
        return node.name
    return node.core.contacts.name_of(who) or address_of(who).hex()


# --- messages ---------------------------------------------------------------------------------------
def send_to_group(node: Node, name: str, text: str) -> Json:
    message_id = node.core.groups.send(name, text, node.now())
    return {"id": message_id.hex(), "state": State.QUEUED.value}


def sent_state(node: Node, message_id: MessageId) -> State | None:
    """How far a message to a group has come; None when it is no such message."""
    return node.core.groups.state_of(message_id)


def sent(node: Node, message: SentMessage) -> Json:
    """A message to a group as a row of the outbox: a fact for each member that has it."""
    core = node.core
    room = core.groups.by_id(message.group)
    state = core.groups.post.state_of(message.id)
    addresses = core.groups.members_at(message)
    deliveries = core.store.deliveries(message.id)
    facts = [{"state": State.QUEUED.value, "at_ms": message.created_ms, "by": ""}]
    facts += [
        {"state": reached.value, "at_ms": at_ms, "by": addresses[place].hex() if place in addresses else ""}
        for place, reached, at_ms in sorted(deliveries, key=lambda one: one[2])
        if reached is not State.QUEUED
    ]
    there = sum(reached.rank >= State.DELIVERED.rank for _, reached, _ in deliveries)
    text = core.text_of(message)
    files = [_sent_file(node, message, one, len(deliveries)) for one in core.groups.files.of(message.id)]
    size = len(text.encode())
    why = None if state.final else f"{there} of {len(deliveries)} members have it"
    if there == len(deliveries) and not state.final:
        late = min(files, key=lambda one: int(one["members"]))
        why = f"{late['members']} of {len(deliveries)} members have {late['name']}, the others fetch it"
    return {
        "id": message.id.hex(),
        "to": room.group.name if room is not None else message.group.hex(),
        "state": state.value,
        "why": why,
        "facts": facts,
        "held": None,
        "created_ms": message.created_ms,
        "text": text,
        "files": files,
        "bytes_done": size * there // max(1, len(deliveries)) + sum(one["bytes_done"] for one in files),
        "bytes_total": size + sum(one["size"] for one in files),
    }


def _sent_file(node: Node, message: SentMessage, file: Description, members: int) -> Json:
    """A file of a message to a group: how many members have it."""
    deliveries = node.core.store.deliveries(about_of(message.id, file.object))
    there = sum(state.rank >= State.DELIVERED.rank for _, state, _ in deliveries)
    return {
        "name": str(file.name),
        "size": file.size,
        "object": file.object.hex(),
        "state": (State.DELIVERED if there == members else State.QUEUED).value,
        "held": None,
        "members": there,
        "bytes_done": file.size * there // max(1, members),
    }


GROUP_VERBS: dict[str, Callable[[Node, Json], Json]] = {
    "group.create": group_create,
    "group.add": _with_contact("add"),
    "group.accept": _alone("accept"),
    "group.remove": _with_contact("remove"),
    "group.leave": _alone("leave"),
    "group.rotate": _alone("rotate"),
    "group.promote": group_promote,
    "group.demote": _with_contact("demote"),
    "group.invite": group_invite,
    "group.join": group_join,
    "group.show": group_show,
}
