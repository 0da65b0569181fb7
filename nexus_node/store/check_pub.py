"""What every store must do with subscriptions: the part of the suite for `nexus_node.ports.pub`.

As `nexus_node.store.check`, of which it is a part.
"""

from collections.abc import Callable

from nexus_node.base.limits import MIB
from nexus_node.ports.store import Store
from nexus_node.store.expect import expect
from nexus_node.wire.pub import Mode, Topic, TopicKind

MakeStore = Callable[[int], Store]


def check_subscriptions(make_store: MakeStore) -> None:
    """Subscriptions are kept once a topic, in order; the last mode counts; an undone one is gone (N8)."""
    store = make_store(MIB)
    key, prefix = Topic(TopicKind.KEY, b"\x01\x02"), Topic(TopicKind.PREFIX, b"\x01\x02")
    expect(store.subscriptions(), [], "no subscriptions")
    store.put_subscription(prefix, Mode.PUSH)
    store.put_subscription(key, Mode.HINT)
    store.put_subscription(prefix, Mode.DIGEST)
    both = [(prefix, Mode.DIGEST), (key, Mode.HINT)]
    expect(store.subscriptions(), both, "two topics of one value")
    store.commit()
    expect(store.dirty, False, "dirty after a commit")
    try:
        with store.atomic():
            store.drop_subscription(key)
            raise ValueError
    except ValueError:
        pass
    expect(store.subscriptions(), both, "after an undone block")
    expect(store.drop_subscription(prefix), True, "one ended")
    expect(store.drop_subscription(prefix), False, "one that is not there")
    expect(store.subscriptions(), [(key, Mode.HINT)], "what is left")
    store.commit()
    store.close()


PUB_CHECKS = (check_subscriptions,)
