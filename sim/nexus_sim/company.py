"""A group whose members have met before the run: each begins with its operations and its key (N11)."""

from collections.abc import Sequence

from nexus_node.base.limits import GROUP_SUBJECTS_MAX
from nexus_node.crypto.groupkey import SECRET_SIZE, commitment_of
from nexus_node.crypto.identity import Identity
from nexus_node.engine.core import NodeCore
from nexus_node.ports.groups import Standing
from nexus_node.proto.group import create_group
from nexus_node.wire.group import Kind
from nexus_node.wire.groupitem import EPOCH_SIZE, Key, Operations, encode_group_items
from nexus_sim.clock import SeededRng


class Company:
    """What every member of one group knows."""

    def __init__(self, name: str, members: Sequence[Identity], rng: SeededRng, *, time: int) -> None:
        """The first has made it. `time`: seconds since 1970."""
        creator, others = members[0], [one.node_id for one in members[1:]]
        self.name = name
        self._creator = creator.node_id
        secret = rng.random_bytes(SECRET_SIZE)
        log = create_group(
            creator,
            name.encode(),
            salt=rng.random_bytes(16),
            commitment=commitment_of(secret),
            time=time,
            signed=False,
        )
        for at in range(0, len(others), GROUP_SUBJECTS_MAX):
            added = tuple(others[at : at + GROUP_SUBJECTS_MAX])
            secret = rng.random_bytes(SECRET_SIZE)
            commitment = commitment_of(secret)
            log.add(log.make(creator, Kind.ADD, time=time, added=added, commitment=commitment))
        operations = Operations(log.group, tuple(one.encode() for one in log.since(())))
        self._letter = encode_group_items([operations, Key(log.state.epoch[:EPOCH_SIZE], secret)])

    def join(self, core: NodeCore, now: float) -> None:
        """Be a member from now, unless it is one already."""
        if core.groups.named(self.name) is not None:
            return
        core.groups.take(self._creator, self._letter, now)
        if core.groups.get(self.name).group.standing is Standing.INVITED:
            core.groups.accept(self.name, now)
