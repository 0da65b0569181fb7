"""One group in memory: its operations and keys, each change of which is in the store at once (N11)."""

from struct import Struct

from nexus_node.base.errors import BadWire, StoreCorrupt
from nexus_node.base.ids import NodeId
from nexus_node.base.rng import Rng
from nexus_node.crypto.groupkey import (
    COUNTER_MAX,
    SECRET_SIZE,
    Chain,
    EpochKeys,
    OpenedGroupMessage,
    commitment_of,
    hint_of,
    number_of,
    open_group_message,
    seal_group_message,
)
from nexus_node.crypto.identity import Identity
from nexus_node.crypto.vault import Vault
from nexus_node.ports.groups import StoredEpoch, StoredGroup
from nexus_node.ports.store import Store
from nexus_node.proto.group import GroupLog, GroupState
from nexus_node.wire.group import Kind, Operation, OperationId, parse_operation_untrusted
from nexus_node.wire.groupitem import EPOCH_SIZE, LACK_MAX, LACK_NONE_AFTER, LACK_NONE_BEFORE, Lack

_COUNTER = Struct("<I")
_HEADER_KEY = 32
_SKIPPED_NAMED = 8
"""Missing messages of a sender that are asked for again."""


class Room:
    """What this node has of one group."""

    def __init__(
        self, store: Store, vault: Vault, rng: Rng, identity: Identity, group: StoredGroup, log: GroupLog
    ) -> None:
        self._store = store
        self._vault = vault
        self._rng = rng
        self._identity = identity
        self.group = group
        self.log = log
        self.keys: dict[OperationId, EpochKeys] = {}
        self._since: dict[OperationId, int] = {}
        """When the keys of each epoch came."""
        self.announced = False
        """Whether its owner knows that there is this group."""
        self.told: set[OperationId] = set()
        """Operations of ours whose owner knows that they were discarded."""

    @classmethod
    def load(
        cls, store: Store, vault: Vault, rng: Rng, identity: Identity, group: StoredGroup
    ) -> "Room | None":
        """A group from the store; None when the disk has damaged its first operation."""
        operations = []
        for data in store.operations(group.id):
            try:
                operations.append(parse_operation_untrusted(data))
            except BadWire:  # the disk has damaged it: it will be asked for
                continue
        create = next((one for one in operations if one.kind == Kind.CREATE), None)
        if create is None or not create.authentic(create.added[0], b""):
            return None
        room = cls(store, vault, rng, identity, group, GroupLog(create))
        for operation in operations:
            try:
                room.log.add(operation)
            except BadWire:
                continue
        for epoch in store.epochs(group.id):
            room._load_epoch(epoch)
        room.told, room.announced = set(room.log.state.discarded), True
        return room

    def _load_epoch(self, epoch: StoredEpoch) -> None:
        try:
            body = self._vault.open(epoch.body, epoch.id)
            chains = [
                (place, _chain_of(self._vault.open(sealed, epoch.id)))
                for place, sealed in self._store.chains(self.group.id, epoch.id)
            ]
        except StoreCorrupt:
            return
        secret = body[_HEADER_KEY:] or None
        self.keys[epoch.id] = EpochKeys(epoch.hint, body[:_HEADER_KEY], secret, dict(chains))
        self._since[epoch.id] = epoch.since_ms

    @property
    def state(self) -> GroupState:
        return self.log.state

    @property
    def own_discarded(self) -> dict[OperationId, str]:
        """What this node has signed and took no effect, and why."""
        ours = self._identity.node_id
        return {one: why for one, why in self.state.discarded.items() if self.log.author_of(one) == ours}

    # --- operations -----------------------------------------------------------------------------
    def add(self, operation: Operation) -> bool:
        """Take an operation in, in memory and in the store; False if it was here.

        Raises BadWire and StoreFull, and then it is in neither.
        """
        operation_id = operation.id_in(self.group.id)
        waiting = set(self.log.waiting)
        if operation_id in self.log or operation_id in waiting:
            return False
        with self._store.atomic():
            self._store.add_operation(self.group.id, operation_id, operation.encode())
            self.log.add(operation)
        for gone in waiting - set(self.log.waiting):
            if gone not in self.log:  # pushed out by others, or forged after all
                self._store.drop_operation(self.group.id, gone)
        return True

    # --- keys -----------------------------------------------------------------------------------
    def learn(self, epoch: OperationId, secret: bytes, now_ms: int) -> bool:
        """Believe a secret if the operation that began the epoch names it; whether it is news."""
        operation = self.log.get(epoch)
        members = self.log.members_of(epoch) or ()
        if operation is None or operation.commitment != commitment_of(secret):
            return False
        if epoch in self.keys or self._identity.node_id not in members:
            return False
        keys = self.keys[epoch] = EpochKeys.of(secret)
        self._since[epoch] = now_ms
        self._save(epoch, keys)
        return True

    def secret_for(self, who: NodeId, epoch: OperationId) -> bytes | None:
        """The secret of an epoch, if it is still here and that node is one of its members."""
        keys = self.keys.get(epoch)
        return keys.secret if keys is not None and who in (self.log.members_of(epoch) or ()) else None

    def lacks(self, epoch: OperationId) -> bool:
        """Whether this node should have the key of that epoch and does not."""
        return epoch not in self.keys and self._identity.node_id in (self.log.members_of(epoch) or ())

    def waits(self) -> bool:
        """Whether messages wait for keys."""
        return bool(self._store.held_group_messages(self.group.id))

    def settle(self, epoch: OperationId) -> None:
        """All members have the secret of that epoch: keep only where the chains have come to."""
        keys = self.keys.get(epoch)
        members = self.log.members_of(epoch)
        if keys is None or keys.secret is None or members is None:
            return
        keys.forget_secret(members)
        self._save(epoch, keys)
        for place, chain in keys.chains.items():
            self._save_chain(epoch, place, chain)

    def forget_before(self, at_ms: int) -> None:
        """Keys of epochs that others followed before that time go."""
        current = self.state.epoch
        if self._since.get(current, at_ms) >= at_ms:
            return
        for epoch in [one for one in self.keys if one != current and self._since[one] < at_ms]:
            self.forget(epoch)

    def forget(self, epoch: OperationId) -> None:
        """The keys of that epoch go."""
        del self.keys[epoch], self._since[epoch]
        self._store.drop_epoch(self.group.id, epoch)

    def _save(self, epoch: OperationId, keys: EpochKeys) -> None:
        body = self._vault.seal(keys.header_key + (keys.secret or b""), self._rng, epoch)
        self._store.put_epoch(self.group.id, StoredEpoch(epoch, keys.hint, body, self._since[epoch]))

    def _save_chain(self, epoch: OperationId, place: int, chain: Chain) -> None:
        body = self._vault.seal(_chain_bytes(chain), self._rng, epoch)
        self._store.put_chain(self.group.id, epoch, place, body)

    # --- messages -------------------------------------------------------------------------------
    def seal(self, payload: bytes, seconds: int) -> bytes:
        """Seal for the members of the epoch in use. Its key must be here."""
        state = self.state
        members = self.log.members_of(state.epoch) or ()
        keys = self.keys[state.epoch]
        message, place, chain = seal_group_message(
            keys,
            members,
            self._identity,
            payload,
            context=self.group.id + state.epoch,
            seconds=seconds,
            signed=state.signed_messages,
        )
        keys.chains[place] = chain
        self._save_chain(state.epoch, place, chain)
        return message

    def open(self, message: bytes) -> tuple[OperationId, OpenedGroupMessage] | None:
        """Open a message; its epoch and what it held. None if no key here fits it.

        `keep` its chain once what it held is in the store.
        Raises BadWire for one that no key will ever open.
        """
        hint = hint_of(message)
        fault: BadWire | None = None
        for epoch, keys in self.keys.items():
            members = self.log.members_of(epoch)
            if keys.hint != hint or members is None:
                continue
            try:
                opened = open_group_message(
                    keys,
                    members,
                    message,
                    context=self.group.id + epoch,
                    signed=self.state.signed_messages,
                )
            except BadWire as error:
                fault = error
                continue
            return epoch, opened
        if fault is not None:  # one epoch in 65,536 has the same hint: another key may open it yet
            raise fault
        return None

    def number_of(self, message: bytes) -> tuple[OperationId, int, int] | None:
        """Epoch, sender's place and number of a message that this node could read; None for others."""
        hint = hint_of(message)
        for epoch, keys in self.keys.items():
            if keys.hint == hint:
                place, number = number_of(keys, message)
                if place < len(self.log.members_of(epoch) or ()):
                    return epoch, place, number
        return None

    def lack(self, page: int = 0) -> tuple[Lack, bool]:
        """What has come, so that others see what has not: `LACK_MAX` bytes at a time, the latest epochs
        first. Also whether there is another page."""
        pages: list[list[tuple[bytes, tuple[tuple[int, int], ...]]]] = [[]]
        size = before = 0
        known = [one for one in self.keys if one in self.log]
        for epoch in sorted(known, key=lambda one: (self.log.epoch_number(one), one), reverse=True):
            entries = tuple(
                (place, number)
                for place, chain in sorted(self.keys[epoch].chains.items())
                if chain.counter
                for number in (*list(chain.skipped)[-_SKIPPED_NAMED:], min(chain.counter, COUNTER_MAX))
            )
            if entries or epoch == self.state.epoch:
                one = Lack(self.group.id, ((epoch[:EPOCH_SIZE], entries),))
                length = len(one.encode()) - len(self.group.id)
                if size + length > LACK_MAX and pages[-1]:
                    pages.append(pages[-1][-1:])  # once more: what lies between two pages is in one of them
                    size = before
                pages[-1] += one.epochs
                size, before = size + length, length
        page = min(page, len(pages) - 1)
        chosen, more = pages[page], page + 1 < len(pages)
        if page:
            chosen[0] = chosen[0][0], (*chosen[0][1], LACK_NONE_AFTER)
        if more:
            chosen[-1] = chosen[-1][0], (*chosen[-1][1], LACK_NONE_BEFORE)
        return Lack(self.group.id, tuple(chosen)), more

    def keep(self, epoch: OperationId, opened: OpenedGroupMessage) -> None:
        """The key of that message is used."""
        self.keys[epoch].chains[opened.place] = opened.chain
        self._save_chain(epoch, opened.place, opened.chain)


def _chain_bytes(chain: Chain) -> bytes:
    skipped = b"".join(_COUNTER.pack(number) + key for number, key in chain.skipped.items())
    return _COUNTER.pack(chain.counter) + chain.key + skipped


def _chain_of(data: bytes) -> Chain:
    entry = _COUNTER.size + SECRET_SIZE
    parts = [data[at : at + entry] for at in range(0, len(data), entry)]
    numbered = [(_COUNTER.unpack_from(part)[0], part[_COUNTER.size :]) for part in parts]
    (counter, key), *skipped = numbered
    return Chain(counter, key, dict(skipped))
