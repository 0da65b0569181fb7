"""What leaves a node, looked at in the instant in which it is given to a radio or a wire (N13, M5, N10)."""

from collections.abc import Iterator, Sequence

from nexus_node.base.errors import BadWire
from nexus_node.crypto.envelope import RECEIPT_SIZE
from nexus_node.wire.custody import parse_custody_untrusted, parse_delivered_untrusted
from nexus_node.wire.frames import Item
from nexus_node.wire.packet import Context, Packet, parse_packet_untrusted
from nexus_node.wire.routing import PREFIX_SIZE
from nexus_sim.record import Record
from nexus_sim.stores import Keeper
from nexus_sim.traffic import context_of, packet_of

_CLAIMS = (Context.CUSTODY, Context.PROMISE, Context.RECEIPTS, Context.DELIVERED)
_ROUNDING = 1.05
"""A path tells how wide it is to the nearest eighth of a doubling (N4)."""


def check_leaving(node: Keeper, items: Sequence[Item], bps: float, record: Record, now: float) -> None:
    """No part of a file goes where it is narrower than the file needs, and nothing is acknowledged before a
    commit has covered it. `bps` is the medium's, `items` what the frame holds."""
    for kind, body in items:
        packet = packet_of(kind, body)
        if packet is None:
            continue
        context = context_of(packet)
        if context == Context.CHUNK and record.files:
            _check_width(node, packet, bps, record, now)
        elif context in _CLAIMS and node.store.unsure:
            for claim in _claims(parse_packet_untrusted(packet)):
                if claim in node.store.unsure:
                    record.breaches.append(
                        f"{node.name} acknowledges {claim.hex()} before it has stored it, at {now:.3f} s"
                    )


def _check_width(node: Keeper, packet: bytes, bps: float, record: Record, now: float) -> None:
    try:
        prefix = parse_packet_untrusted(packet).data[:PREFIX_SIZE]
    except BadWire:  # a first fragment may end within the head
        return
    message = record.files.get(prefix)
    if message is not None and message.min_bandwidth > bps * _ROUNDING:
        record.breaches.append(
            f"the file of message {message.id} needs {message.min_bandwidth} bps, and {node.name} sent parts "
            f"of it at {bps:.0f}, at {now:.3f} s"
        )
        del record.files[prefix]  # said once


def _claims(packet: Packet) -> Iterator[bytes]:
    """What a packet says is stored: by the prefix of mail that is kept, or by a receipt."""
    if packet.context == Context.CUSTODY:
        yield from parse_custody_untrusted(packet.data).prefixes
    elif packet.context == Context.PROMISE:
        yield packet.data[1 : 1 + PREFIX_SIZE]
    elif packet.context == Context.DELIVERED:
        yield from (one.receipt for one in parse_delivered_untrusted(packet.data))
    else:
        for at in range(0, len(packet.data), RECEIPT_SIZE):
            yield packet.data[at : at + RECEIPT_SIZE]
