"""What the node tells its faces. An event is only handed out once what it says is durable."""

from collections.abc import Callable
from dataclasses import dataclass, field

Value = str | int | float | bool | None
Emit = Callable[[str, dict[str, Value]], None]


@dataclass(slots=True)
class Event:
    """`event` names it; `fields` are JSON values.

    message_state {id, to, state, by} · message_received {id, from} · message_refused {id, why} ·
    link_up {peer, carrier} · link_down {peer, carrier, why} · contact_added, contact_removed {name, address}
    · group_invited, group_joined, group_left {group, group_id, from} · group_changed {group, epoch, members,
    admin_sequence} · group_discarded {group, operation, why} · group_message_failed {group, id}
    · published {topic, publisher, object, published_ms, text, refers} · object_arrived {object}
    · trace_hop {trace, hop, address, rtt_ms, last}
    """

    event: str
    at_ms: int
    fields: dict[str, Value] = field(default_factory=dict)
