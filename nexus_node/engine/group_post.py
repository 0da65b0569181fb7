"""Letters about groups on their way: what each outbox row is for, and what becomes of it (N11)."""

from collections.abc import Callable

from nexus_node.base.ids import MessageId, NodeId
from nexus_node.base.states import State
from nexus_node.engine.events import Emit
from nexus_node.ports.groups import Letter
from nexus_node.ports.store import Store
from nexus_node.wire.group import ID_SIZE, GroupId, OperationId
from nexus_node.wire.groupitem import LETTER_MAX, GroupItem, Operations, encode_group_items

Queue = Callable[[NodeId, bytes, float, bool], MessageId]
"""Seals the items of a letter for a node and puts it into the outbox, with our key if it may not know that.
May raise StoreFull."""


class GroupPost:
    """Writes letters, and follows them until each is answered or given up."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        emit: Emit,
        arm: Callable[[float], None],
        settled: Callable[[GroupId, OperationId], None],
    ) -> None:
        """`settled` is told of an epoch whose key all its members have."""
        self._store = store
        self._queue = queue
        self._emit = emit
        self._arm = arm
        self._settled = settled
        self.state_of_files: Callable[[MessageId], State | None] = lambda message_id: None
        """How far the files of a message have come."""
        self._letters: dict[MessageId, Letter] = {}
        self._ended: list[MessageId] = []
        """Letters that are final; their rows go once whoever ended them is done with these."""
        for letter in store.letters():
            row = store.outgoing(letter.id)
            if row is None or row.state.final:
                self._ended.append(letter.id)
            else:
                self._letters[letter.id] = letter

    def is_letter(self, message_id: MessageId) -> bool:
        return message_id in self._letters

    def has_letter(self, about: bytes, place: int) -> bool:
        """Whether a letter with that, for the member at that place, is on its way."""
        return any(one.about == about and one.place == place for one in self._letters.values())

    def write(
        self,
        group: GroupId,
        to: NodeId,
        items: list[GroupItem],
        now: float,
        *,
        about: bytes = b"",
        place: int = 0,
        introduce: bool = False,
    ) -> MessageId:
        """Send somebody a letter; `introduce` this node to who may lack the operation that names it. Raises
        StoreFull."""
        with self._store.atomic():
            message_id = self._queue(to, encode_group_items(items), now, introduce)
            letter = Letter(message_id, group, about, place)
            self._store.add_letter(letter)
        self._letters[message_id] = letter
        return message_id

    def write_operations(
        self,
        group: GroupId,
        to: NodeId,
        operations: list[bytes],
        now: float,
        more: GroupItem | None = None,
        *,
        about: bytes = b"",
        place: int = 0,
        introduce: bool = False,
    ) -> None:
        """Send somebody operations, in as many letters as they need, and one more thing after them."""
        batch: list[bytes] = []
        size = 0
        for data in operations:
            if size + len(data) > LETTER_MAX:
                self.write(group, to, [Operations(group, tuple(batch))], now, introduce=introduce)
                batch, size = [], 0
            batch.append(data)
            size += len(data)
        items: list[GroupItem] = [Operations(group, tuple(batch))] if batch else []
        if more is not None:
            items.append(more)
        if items:
            self.write(group, to, items, now, about=about, place=place, introduce=introduce)

    # --- what becomes of them -------------------------------------------------------------------
    def moved(self, message_id: MessageId, state: State, by: str, now: float, now_ms: int) -> bool:
        """An outbox row is in that state now; False if it is no letter."""
        letter = self._letters.get(message_id)
        if letter is None:
            return False
        if letter.about:
            self.reached(letter.group, letter.about, letter.place, state, by, now_ms)
        if state.final:
            del self._letters[message_id]
            self._ended.append(message_id)
            self._arm(now)
        return True

    def reached(
        self,
        group: GroupId,
        about: bytes,
        place: int,
        state: State,
        by: str,
        now_ms: int,
        *,
        part: bytes | None = None,
    ) -> None:
        """A message, the file of one that `part` names, or the key of an epoch has come so far to one
        member."""
        before = self.state_of(about)
        self._store.set_delivery(part or about, place, state, now_ms)
        after = self.state_of(about)
        if after is before:
            return
        if len(about) != ID_SIZE:
            fields = {"id": about.hex(), "to": group.hex(), "state": after.value, "by": by}
            self._emit("message_state", dict(fields))
        elif after is State.DELIVERED:
            self._settled(group, OperationId(about))

    def state_of(self, about: bytes) -> State:
        """How far a message has come, with its files, to that member to whom it has come least far."""
        states = [state for _, state, _ in self._store.deliveries(about)]
        files = self.state_of_files(MessageId(about)) if len(about) != ID_SIZE else None
        if files is not None:
            states.append(files)
        return min(states, key=lambda state: state.rank, default=State.DELIVERED)

    def expire(self) -> None:
        """Let go of the rows of letters that have ended."""
        while self._ended:
            self._store.drop_letter(self._ended.pop())
