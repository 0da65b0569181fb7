"""What members that were away missed: any member hands it on, wherever its author is (N11,
docs/protocol/group.md "Away")."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.engine.group_post import GroupPost
from nexus_node.engine.group_room import Room
from nexus_node.ports.groups import Standing
from nexus_node.ports.store import Store
from nexus_node.wire.group import GroupId, OperationId
from nexus_node.wire.groupitem import (
    EPOCH_SIZE,
    LACK_NONE_AFTER,
    LACK_NONE_BEFORE,
    Ask,
    GroupItem,
    Key,
    Lack,
    Sealed,
    encode_group_items,
)

_EVERY_S = 3600.0
"""Who comes and goes asks no more often."""
_LOOK_S = 300.0
"""Who has no way to any member when it looks is away; on radios that shows late, so it counts at once."""
_FIRST_S = 5.0
"""After a start, or a return, ways to members are found first."""
_QUIET_S, _PATIENCE_S = 30.0, 900.0
_NEXT_S = 60.0
_MEMBERS = 2
"""So many are asked: one may have been away as well."""
_ASKS_MAX = 64
_ANSWER_MAX = 4096
"""Bytes of messages in one answer; who got some asks for more."""
_LETTER_SIZE = 1024
"""Messages go in letters of about that size: what a link loses of it comes again in a while."""


@dataclass(slots=True)
class _Search:
    """Whom this node asks what it has missed of a group, and when."""

    due: float
    until: float
    """So long it is waited for what comes by itself."""
    asked: list[NodeId] = field(default_factory=list)
    asks: int = 0
    page: int = 0
    """Of what is said to have come, if that is much."""
    more: bool = False
    """Whether there is another page."""
    brought: bool = False
    """Whether who was asked last had something that was missing here."""


class GroupCatchUp:
    """Notices that this node was away, asks what it missed, and answers who was."""

    def __init__(
        self,
        own: NodeId,
        store: Store,
        post: GroupPost,
        arm: Callable[[float], None],
        near: Callable[[NodeId], bool],
    ) -> None:
        """`near`: whether there is a way to that node just now."""
        self._own = own
        self._store = store
        self._post = post
        self._arm = arm
        self._near = near
        self._alone: dict[GroupId, bool] = {}
        """Of groups to whose members there was a way: whether there is none any more."""
        self._returns: dict[GroupId, float] = {}
        """When this node last came back."""
        self._searches: dict[GroupId, _Search] = {}
        self._answers: dict[tuple[GroupId, NodeId], MessageId] = {}
        """The last letter of each answer: nobody is answered again before it has that."""
        self._look_at = 0.0

    # --- who was away ---------------------------------------------------------------------------
    def returned(self, group: GroupId, now: float) -> None:
        """This node may have missed something."""
        self._returns[group] = now
        self._searches[group] = _Search(now + _FIRST_S, now + _PATIENCE_S)
        self._arm(now + _FIRST_S)

    def brought(self, group: GroupId, sender: NodeId, now: float) -> None:
        """That member had a message that was not here. While such come, from their authors and from relays as
        well, nobody is asked."""
        search = self._searches.get(group)
        if search is not None:
            search.due = max(search.due, min(now + _QUIET_S, search.until))
            search.brought |= search.asked[-1:] == [sender]

    def expire(self, rooms: Mapping[GroupId, Room], now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            for one in rooms.values():
                if one.group.standing is Standing.MEMBER:
                    self._look(one, now)
        for group, search in list(self._searches.items()):
            room = rooms.get(group)
            if room is None or room.group.standing is not Standing.MEMBER:
                del self._searches[group]
            elif search.due <= now:
                self._ask(room, search, now)
        for due in (self._look_at, *(one.due for one in self._searches.values())):
            self._arm(due)

    def _look(self, room: Room, now: float) -> None:
        group, others = room.group.id, room.state.members - {self._own}
        if others and not any(map(self._near, others)):
            if group in self._alone:
                self._alone[group] = True
        elif not self._alone.setdefault(group, False):
            return
        elif now >= self._returns.get(group, -inf) + _EVERY_S:
            self._alone[group] = False
            self.returned(group, now)

    def _ask(self, room: Room, search: _Search, now: float) -> None:
        """Ask the next member; whoever had something is asked again, until it has no more."""
        if not search.brought:
            search.page = search.page + 1 if search.more else 0
        again = search.asked[-1:] if search.brought or search.page else []
        others = sorted(room.state.members - {self._own, *search.asked})
        first = self._own[0] % max(1, len(others))  # who comes back together asks not all the same
        near = [one for one in [*again, *others[first:], *others[:first]] if self._near(one)]
        is_over = search.asks >= _ASKS_MAX or (not again and len(search.asked) >= _MEMBERS)
        if is_over or (not near and (search.asked or not others)):
            del self._searches[room.group.id]
            return
        search.due = now + _NEXT_S
        if not near:
            return
        if near[0] not in search.asked:
            search.page = 0
        lack, search.more = room.lack(search.page)
        items: list[GroupItem] = [Ask(room.group.id, tuple(room.log.heads)[:255]), lack]
        try:
            self._post.write(room.group.id, near[0], items, now)
        except StoreFull:
            return
        if near[0] not in search.asked:
            search.asked.append(near[0])
        search.asks, search.brought = search.asks + 1, False

    # --- who helps ------------------------------------------------------------------------------
    def answer(self, room: Room, asker: NodeId, lack: Lack, now: float) -> None:
        """Send a member messages that it lacks, the oldest first, each to whom it was sealed for only."""
        if asker not in room.state.members or self._is_answered(room.group.id, asker):
            return
        named, size = dict(lack.epochs), 0
        first, last = _wanted(room, lack)
        epochs: set[OperationId] = set()
        batch: list[GroupItem] = []
        for kept in self._store.kept_group_messages(room.group.id):
            found = room.number_of(kept.data)
            if found is None:
                continue
            epoch, place, number = found
            members, known = room.log.members_of(epoch) or (), named.get(epoch[:EPOCH_SIZE])
            if asker not in members or members[place] == asker:
                continue
            if known is not None and not _is_missing(known, place, number):
                continue
            if known is None and not first <= room.log.epoch_number(epoch) <= last:
                continue
            if size and size + len(kept.data) > _ANSWER_MAX:
                break
            size += len(kept.data)
            secret = room.secret_for(asker, epoch)
            if known is None and epoch not in epochs and secret is not None:
                batch.append(Key(epoch[:EPOCH_SIZE], secret))
            epochs.add(epoch)
            batch.append(Sealed(room.group.id, kept.data))
            if len(encode_group_items(batch)) >= _LETTER_SIZE:
                self._write(room, asker, batch, now)
                batch = []
        if batch:
            self._write(room, asker, batch, now)

    def _write(self, room: Room, asker: NodeId, batch: list[GroupItem], now: float) -> None:
        self._answers[room.group.id, asker] = self._post.write(room.group.id, asker, batch, now)

    def _is_answered(self, group: GroupId, asker: NodeId) -> bool:
        letter = self._answers.get((group, asker))
        return letter is not None and self._post.is_letter(letter)


def _wanted(room: Room, lack: Lack) -> tuple[float, float]:
    """The numbers of the first and last epoch of which something is wanted though it is not named."""
    first, last = 0.0, inf
    for name, entries in lack.epochs:
        epoch = room.log.epoch_called(name)
        if epoch is not None and LACK_NONE_BEFORE in entries:
            first = room.log.epoch_number(epoch)
        if epoch is not None and LACK_NONE_AFTER in entries:
            last = room.log.epoch_number(epoch)
    return first, last


def _is_missing(entries: tuple[tuple[int, int], ...], place: int, number: int) -> bool:
    """Whether somebody who says this of an epoch lacks that message."""
    numbers = [one for whose, one in entries if whose == place]
    return not numbers or number in numbers or number > max(numbers)
