"""What the control socket can ask about publish and subscribe, and the JSON it gets (docs/control.md)."""

from collections.abc import AsyncGenerator, Callable

from nexus_node.base.errors import InputError
from nexus_node.base.ids import ObjectId
from nexus_node.base.limits import ATTACHMENT_MAX
from nexus_node.engine.notify import TTL_S
from nexus_node.runtime.arguments import SECONDS_MAX, Json, UsageError, amount, argument, identifier
from nexus_node.runtime.node import Node
from nexus_node.wire.dataobject import KIND_BLOB, ObjectHeader
from nexus_node.wire.pub import Mode, Published, Reference, topic_of


def publish(node: Node, args: Json) -> Json:
    topic = topic_of(argument(args, "topic", str))
    text = argument(args, "text", str, None)
    ttl_s = amount(args, "ttl_s", SECONDS_MAX)
    if (text is None) == (args.get("object") is None):
        raise UsageError("publish a text or an object: give either 'text' or 'object'")
    what = text if text is not None else _reference(node, ObjectId(identifier(args, "object")))
    object_id, published = node.core.notifier.publish(
        topic, what, node.now(), ttl_s=TTL_S if ttl_s is None else ttl_s
    )
    return _published(object_id, published)


def _reference(node: Node, object_id: ObjectId) -> Reference:
    stored = node.core.objects.get(object_id)
    if stored.kind != KIND_BLOB or not stored.complete:
        raise InputError("only a whole file that was put can be published; see: nexus objects")
    if stored.size > ATTACHMENT_MAX:
        raise InputError(
            f"the object has {stored.size} bytes and who has subscribed fetches up to {ATTACHMENT_MAX}; "
            "put the file with --name, for others to get by that name"
        )
    return Reference(ObjectHeader(stored.kind, stored.size, stored.root), stored.min_bandwidth)


def _published(object_id: ObjectId, published: Published) -> Json:
    what = published.what
    return {
        "object": object_id.hex(),
        "topic": str(published.topic),
        "publisher": published.address.hex(),
        "published_ms": published.time * 1000,
        "expires_ms": (published.time + published.ttl_s) * 1000,
        "text": what if isinstance(what, str) else None,
        "refers": what.header.id.hex() if isinstance(what, Reference) else None,
    }


def subscribe(node: Node, args: Json) -> Json:
    topic = topic_of(argument(args, "topic", str))
    name = argument(args, "mode", str, "push")
    modes = {one.name.lower(): one for one in Mode}
    if name not in modes:
        raise UsageError(f"a mode is one of {', '.join(modes)}, not {name!r}")
    node.core.notifier.subscribe(topic, modes[name], node.now())
    return {"topic": str(topic), "mode": name}


def unsubscribe(node: Node, args: Json) -> Json:
    topic = topic_of(argument(args, "topic", str))
    node.core.notifier.unsubscribe(topic)
    return {"topic": str(topic)}


async def subscriptions(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    for topic, mode in node.core.notifier.subscriptions():
        yield {"topic": str(topic), "mode": mode.name.lower()}


async def published(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    for object_id, one in node.core.notifier.published():
        yield _published(object_id, one)


PUB_VERBS: dict[str, Callable[[Node, Json], Json]] = {
    "publish": publish,
    "subscribe": subscribe,
    "unsubscribe": unsubscribe,
}
