"""Which nodes lie on the way to a destination, asked hop by hop (docs/protocol/routing.md)."""

from collections import Counter, OrderedDict

from nexus_node.base.errors import BadWire
from nexus_node.base.ids import Address, NodeId
from nexus_node.base.limits import TRACES, TRACES_PASSED, TRACES_PER_S
from nexus_node.base.rng import Rng
from nexus_node.engine.events import Emit, Value
from nexus_node.engine.forward import Forwarder, on_the_way
from nexus_node.engine.router import Router
from nexus_node.proto.budget import TokenBucket
from nexus_node.wire.packet import MAX_HOPS, Context, Packet, Priority
from nexus_node.wire.trace import (
    NONCE_SIZE,
    Trace,
    TraceReply,
    parse_trace_reply_untrusted,
    parse_trace_untrusted,
)


class Tracer:
    """Answers traces, passes them on, and makes this node's own."""

    def __init__(
        self,
        own: Address,
        router: Router,
        forwarder: Forwarder,
        rng: Rng,
        counters: Counter[str],
        emit: Emit,
        now: float,
    ) -> None:
        self._own = own
        self._router = router
        self._forwarder = forwarder
        self._rng = rng
        self._counters = counters
        self._emit = emit
        self._begun: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """Our own traces, by nonce: the name of each, and when it began."""
        self._back: OrderedDict[bytes, NodeId] = OrderedDict()
        """Which neighbour each trace of others first came from."""
        self._bucket = TokenBucket(TRACES_PER_S, TRACES, now)

    def begin(self, address: Address, now: float) -> str | None:
        """Ask every node on the way to answer; its name in the events `trace_hop`; None without a path."""
        route = self._router.route(address, now)
        if route is None:
            return None
        nonce = self._rng.random_bytes(NONCE_SIZE)
        self._begun[nonce] = nonce.hex(), now
        if len(self._begun) > TRACES:
            self._begun.popitem(last=False)
        packet = Packet(Context.TRACE, Trace(1, nonce).encode(), address, priority=Priority.INTERACTIVE)
        self._forwarder.enqueue(route.link, on_the_way(packet, route), Priority.INTERACTIVE, address)
        return nonce.hex()

    def take(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A trace on its way: answer it, and pass it on if it is not for this node. Raises BadWire."""
        trace = parse_trace_untrusted(packet.data)
        if not self._bucket.take(1, now):
            raise BadWire("traces_too_fast")
        here = packet.destination in (None, self._own)
        self._back.setdefault(trace.nonce, peer)
        if len(self._back) > TRACES_PASSED:
            self._back.popitem(last=False)
        reply = TraceReply(trace.hop, trace.nonce, self._own, here)
        self._forwarder.tell(peer, Context.TRACE_REPLY, reply.encode())
        if not here and trace.hop < MAX_HOPS:
            onward = Trace(trace.hop + 1, trace.nonce).encode()
            self._forwarder.pass_on(
                peer, Packet(Context.TRACE, onward, packet.destination, packet.hops, packet.priority), now
            )

    def take_reply(self, peer: NodeId, packet: Packet, now: float) -> None:
        """A node on the way of a trace has answered. Raises BadWire."""
        reply = parse_trace_reply_untrusted(packet.data)
        origin = self._back.get(reply.nonce)
        begun = self._begun.get(reply.nonce)
        if begun is not None:
            name, since = begun
            fields: dict[str, Value] = {"trace": name, "hop": reply.hop, "address": reply.address.hex()}
            rtt_ms = round(1000 * (now - since), 3)
            self._emit("trace_hop", fields | {"rtt_ms": rtt_ms, "last": reply.last})
        elif origin is not None and origin != peer:
            self._forwarder.tell(origin, Context.TRACE_REPLY, packet.data)
        else:
            self._counters["unasked_reply"] += 1
