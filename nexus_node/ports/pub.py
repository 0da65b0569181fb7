"""The part of the store port for publish and subscribe: what this node has subscribed to (N8).

What was published are objects like any other.
"""

from typing import Protocol

from nexus_node.wire.pub import Mode, Topic


class PubStore(Protocol):
    """One node's own subscriptions."""

    def put_subscription(self, topic: Topic, mode: Mode) -> None:
        """Keep it; of a topic that is there already the mode."""
        ...

    def drop_subscription(self, topic: Topic) -> bool:
        """False if there was none."""
        ...

    def subscriptions(self) -> list[tuple[Topic, Mode]]:
        """In the order in which they were first put."""
        ...
