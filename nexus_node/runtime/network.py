"""What the control socket tells of the node and of the network around it (docs/control.md)."""

import math
from collections.abc import AsyncGenerator

import trio

from nexus_node import __version__
from nexus_node.base.errors import InputError
from nexus_node.base.ids import ADDRESS_SIZE, Address, NodeId
from nexus_node.base.states import State
from nexus_node.crypto.address import address_of
from nexus_node.engine.events import Event
from nexus_node.engine.neighbour import hop_of
from nexus_node.engine.peers import Attachment
from nexus_node.proto.budget import TokenBucket
from nexus_node.proto.paths import Path
from nexus_node.runtime.arguments import Json, argument, seconds
from nexus_node.runtime.node import Node
from nexus_node.wire.announce import Serve

_TRACE_S = 10.0
_PAGE = 200


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
        "links": [
            _link(node, one, one.link.peer) for one in core.attachments.values() if one.link.peer is not None
        ],
        "queue": {
            "queued": waiting - held,
            "held": held,
            "states": {state.value: n for state, n in states.items()},
        },
        "store": {"objects": total, "bytes": used, "quota_bytes": quota, "recovered": node.recovered},
        "relay": _relay(node),
        "routing": {"destinations": len(core.router.paths), "wanted": len(core.router.requests)},
        "counters": dict(sorted(core.counters.items())),
        "clock_trusted": core.wall.trusted(node.now()),
    }


def _relay(node: Node) -> Json:
    relay = node.core.relay
    messages, size = relay.usage
    return {
        "enabled": relay.policy.serve is not Serve.NOBODY,
        "messages": messages,
        "bytes": size,
        "serve": relay.policy.serve.name.lower(),
        "memory_only": relay.policy.memory_only,
        "quota_bytes": relay.policy.quota_bytes,
    }


def _link(node: Node, attachment: Attachment, peer: NodeId) -> Json:
    core, link, now = node.core, attachment.link, node.now()
    contact = core.contacts.by_address(address_of(peer))
    waiting = core.forwarder.waiting(attachment)
    cost, dearer = core.router.cost_of(peer) or (None, None)
    tiers = {"routing": core.router.gossip_of(peer), "services": core.notifier.neighbours.services_of(peer)}
    gossip = {tier: _budget(bucket, now) for tier, bucket in tiers.items() if bucket is not None}
    return {
        "peer": address_of(peer).hex(),
        "name": contact.name if contact is not None else None,
        "trust": contact.trust if contact is not None else None,
        "carrier": attachment.label,
        "state": attachment.state,
        "rtt_ms": round(link.rtt * 1000, 3) if link.rtt is not None else None,
        "bps": attachment.profile.bps,
        "mtu": link.mtu,
        "rssi_dbm": attachment.signal.rssi_dbm if attachment.signal else None,
        "snr_db": attachment.signal.snr_db if attachment.signal else None,
        "queued_bytes": core.forwarder.load(attachment)[1],
        "queued": {priority.name.lower(): size for priority, size in waiting.items()},
        "cost": cost,
        "cost_times": dearer,
        "share_bytes": core.forwarder.share_left(peer, now),
        "gossip_bps": gossip["routing"]["bps"] if "routing" in gossip else None,
        "gossip": gossip,
        "paused": core.router.paused(peer, now),
        "bulk_in_s": math.ceil(attachment.bulk_at(now) - now),
    }


def _budget(bucket: TokenBucket, now: float) -> Json:
    return {"bps": 8 * bucket.rate, "left_bytes": int(bucket.left(now))}


# --- events -----------------------------------------------------------------------------------------
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


# --- paths ------------------------------------------------------------------------------------------
async def paths(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    """The paths to all known nodes, or to one; of each the best first (N4)."""
    router = node.core.router
    if argument(args, "address", str, None) is not None:
        wanted = [_address(node, args["address"])]
    else:
        known = {address_of(peer): None for peer, *_ in router.neighbours()}
        known.update((address, None) for address, _ in router.paths.all())
        wanted = list(known)
    for number, address in enumerate(wanted, 1):
        for row in _paths_to(node, address):
            yield row
        if number % _PAGE == 0:
            await trio.lowlevel.checkpoint()


def _paths_to(node: Node, address: Address) -> list[Json]:
    router, now = node.core.router, node.now()
    known = router.paths.known(address)
    others = dict(known.paths) if known is not None else {}
    best = known.best if known is not None else None
    rows = []
    for peer, link, _ in router.neighbours():
        path = others.get(peer)
        if address_of(peer) == address:
            hop = hop_of(link)
            figures = {
                "hops": 1,
                "bps": hop.bps,
                "mtu": hop.mtu,
                "latency_ms": hop.latency_ms,
                "cost": hop.cost,
            }
            used = best is None or best.via == peer
        elif path is not None:
            cost = path.cost
            figures = {
                "hops": cost.hops,
                "bps": round(cost.bps),
                "mtu": cost.mtu,
                "latency_ms": cost.latency_ms,
                "cost": cost.cost,
            }
            used = path is best
        else:
            continue
        rows.append(_path(node, address, peer, link, path, now) | figures | {"best": used})
    return sorted(rows, key=lambda row: (not row["best"], row["cost"]))


def _path(node: Node, address: Address, via: NodeId, link: Attachment, path: Path | None, now: float) -> Json:
    contact = node.core.contacts.by_address(address)
    return {
        "destination": address.hex(),
        "name": contact.name if contact is not None else None,
        "next_hop": address_of(via).hex(),
        "carrier": link.label,
        "age_s": round(now - path.heard, 3) if path is not None else None,
        "stale": path is not None and path.stale(now),
    }


async def trace(node: Node, args: Json) -> AsyncGenerator[Json, None]:
    """The nodes on the way to another, as they answer (N4)."""
    core = node.core
    to = argument(args, "to", str)
    address = _address(node, to)
    timeout_s = seconds(args, "timeout_s", _TRACE_S)
    deadline = trio.current_time() + (_TRACE_S if timeout_s is None else timeout_s)
    with node.pump.follow() as events:
        name = core.tracer.begin(address, node.now())
        if name is None:
            raise InputError(f"no path to {to} is known; see: nexus paths; or try again in a while")
        node.pump.after()
        while True:
            with trio.move_on_at(deadline) as waiting:
                try:
                    event = await events.receive()
                except trio.EndOfChannel:
                    raise InputError("more happened than this trace could follow; try again") from None
            if waiting.cancelled_caught:
                return
            if event.event != "trace_hop" or event.fields["trace"] != name:
                continue
            hop = {key: event.fields[key] for key in ("hop", "address", "rtt_ms", "last")}
            contact = core.contacts.by_address(Address(bytes.fromhex(str(hop["address"]))))
            yield hop | {"name": contact.name if contact is not None else None}
            if hop["last"]:
                return


def _address(node: Node, text: str) -> Address:
    """The address that a contact's name or 32 hex digits stand for. Raises UnknownContact."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) == ADDRESS_SIZE and len(text) == 2 * ADDRESS_SIZE:
        return Address(raw)
    return node.core.contacts.get(text).address
