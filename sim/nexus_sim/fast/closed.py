"""What the budgets alone allow, by formula: `nexus-sim fast --closed`, for any number of nodes.

Nothing is simulated. Rates are what the code grants and sizes what it makes; that nothing gets lost and that
everybody always has something to say is assumed, so the figures are bounds.
"""

from typing import Any

from nexus_node.base.limits import (
    ANNOUNCES_PER_S,
    DESTINATIONS_MAX,
    MESSAGE_TTL_S,
    PATH_REQUESTS_PER_S,
)
from nexus_node.engine import medium, neighbour, path_requests
from nexus_node.proto import paths
from nexus_node.wire.packet import MAX_HOPS
from nexus_sim.fast import sizes
from nexus_sim.fast.model import modem_of
from nexus_sim.scenario import Scenario

_TEXT = bytes(range(97, 123)) * 4
"""104 letters: a text that does not compress below five bits a letter."""
_HOP = 0.68
"""A flood of h hops reaches neighbours * (_HOP * h)**2 nodes, where each has some eight in reach: counted in
the model's links (docs/scale.md), and the one figure here that is not of the code."""
_WIDE_BPS = 1e7


def closed(scenario: Scenario, nodes: int, neighbours: float, island: int) -> dict[str, Any]:
    """Figures for so many nodes with so many neighbours in reach each; `island` of them hang together on
    the air, or all with 0. Raises ConfigError."""
    modem, radio = modem_of(scenario)
    bps = 8 * radio.mtu / modem.airtime(radio.mtu)
    share = min(medium._GOSSIP_SHARE, medium._GOSSIP_ALL / max(1.0, neighbours))
    rate = bps / 8 * share
    interval = paths.ANNOUNCE_EVERY_S
    announce, request = sizes.ANNOUNCE_ITEM + sizes.SEALED, sizes.REQUEST_ITEM
    """With the frame it goes in: the budget seldom lets two go at once."""
    asking = medium._REQUESTS * rate
    told = rate * interval / announce
    crowd = neighbours * (_HOP * MAX_HOPS) ** 2
    flooded = min(nodes, island or nodes, max(1.0, crowd))
    wire_share = neighbour.SHARE * _WIDE_BPS / 8
    wire_rate = min(wire_share / sizes.ANNOUNCE_ITEM, neighbour.PACE * ANNOUNCES_PER_S)
    packet = sizes.message_packet(_TEXT)
    return {
        "nodes": nodes,
        "air": {
            "bps": round(bps),
            "gossip_bytes_per_s": round(rate, 3),
            "s_between_announces": round(announce / rate, 1),
            "told_per_interval": round(told, 1),
            "kept_fresh_at_most": round(told * paths.STALE_AFTER_S / interval),
            "hours_to_tell_of_all": round(nodes * announce / rate / 3600, 1),
            "share_of_air_to_keep_all_fresh": round(nodes * announce * 8 / paths.STALE_AFTER_S / bps, 2),
        },
        "requests": {
            "reached_by_one": round(flooded),
            "bytes_of_one": round(flooded * request),
            "searches_per_node_and_hour": round(3600 * asking / (flooded * request), 4),
            "same_with_its_repeats_of_an_hour": round(
                3600 * asking / (flooded * request * _asked_in_an_hour(bps)), 4
            ),
            "in_the_world_per_s_if_all_hear_each": round(asking / request, 4),
            "of_a_node_and_day_then": round(86400 * asking / request / nodes, 6),
        },
        "wire": {
            "bytes_per_s_of_all_announces": round(nodes * sizes.ANNOUNCE_ITEM / interval),
            "least_bps_for_them": round(nodes * sizes.ANNOUNCE_ITEM * 8 / interval / neighbour.SHARE),
            "announces_per_s_allowed": round(wire_rate, 1),
            "destinations_per_interval": round(wire_rate * interval),
            "destinations_kept_fresh": round(wire_rate * paths.STALE_AFTER_S),
            "requests_per_s_allowed": neighbour.PACE * PATH_REQUESTS_PER_S,
            "table_holds": DESTINATIONS_MAX,
            "table_share": round(min(1.0, DESTINATIONS_MAX / nodes), 6),
        },
        "message": {
            "packet_bytes": packet,
            "s_on_air_a_hop": round(
                sum(map(modem.airtime, sizes.fragments(packet, radio.mtu - sizes.SEALED)))
                + modem.airtime(sizes.ACK),
                3,
            ),
            "s_on_air_a_hop_with_its_receipt": round(
                sum(map(modem.airtime, sizes.fragments(packet, radio.mtu - sizes.SEALED)))
                + sum(map(modem.airtime, sizes.fragments(sizes.DELIVERED, radio.mtu - sizes.SEALED)))
                + 2 * modem.airtime(sizes.ACK),
                3,
            ),
            "mb_at_a_relay_of_1000_people_with_10_a_day": round(
                1000 * 10 * MESSAGE_TTL_S / 86400 * packet / 1e6, 1
            ),
        },
    }


def _asked_in_an_hour(bps: float) -> int:
    """How often a node asks for somebody who is not found, where it has no wires (`PathRequests.expire`)."""
    round_s = max(path_requests.ASK_AGAIN_S, path_requests.ROUND_SHARED * 8 * sizes.ANNOUNCE_ITEM / bps)
    times, at = 1, round_s
    while at < 3600:
        times += 1
        at += min(
            round_s * 2.0 ** max(0, times - path_requests.ASK_SOON_SHARED), path_requests.ASK_AGAIN_SHARED_S
        )
    return times
