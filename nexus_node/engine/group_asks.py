"""What is missing of groups, and whom to ask for it (N11: lost rotations, who was away for a month)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nexus_node.base.errors import StoreFull
from nexus_node.base.ids import MessageId, NodeId
from nexus_node.engine.group_post import GroupPost
from nexus_node.engine.group_room import Room
from nexus_node.wire.group import GroupId
from nexus_node.wire.groupitem import EPOCH_SIZE, Ask

_FIRST_S = 2.0
"""What is missing may be on its way."""
_AGAIN_S, _AGAIN_MAX_S = 60.0, 3600.0
_SOON_S = 30.0
"""What is broadcast waits for the air to be free, while a letter may be quicker."""
_ANSWER_EVERY_S = 10.0
_NEWS_TRIES = 8
_EPOCHS = 8
"""Keys asked for at a time."""


@dataclass(slots=True)
class _Asking:
    """What is known of a search: when to ask next, and whom before others."""

    due: float
    first: NodeId | None
    anything: bool
    """Whether it is only to hear whether there is news."""
    tries: int = 0
    most: int = 1
    """Times that it is asked whether there is anything."""


class GroupAsks:
    """Asks one member after another, later and later, until nothing is missing."""

    def __init__(
        self,
        own: NodeId,
        post: GroupPost,
        arm: Callable[[float], None],
        near: Callable[[NodeId], bool],
        letter_s: Callable[[GroupId], float],
    ) -> None:
        """`letter_s`: how long a letter to a member of that group takes here, at most."""
        self._letter_s = letter_s
        self._own = own
        self._post = post
        self._arm = arm
        self._near = near
        self._asking: dict[GroupId, _Asking] = {}
        self._asked: dict[tuple[GroupId, NodeId], MessageId] = {}
        """Letters that may still be on their way: nobody is asked twice at a time."""
        self._answered: dict[tuple[NodeId, GroupId], float] = {}

    def need(self, room: Room, first: NodeId, now: float) -> None:
        """Something is missing of a group; ask that node before others."""
        self.need_group(room.group.id, first, now)

    def need_key(self, room: Room, first: NodeId, now: float) -> None:
        """A key is missing, which may well be on its way: many get one letter each, one after another, and
        others that lack it would ask at the same time."""
        group = room.group.id
        if group not in self._asking or self._asking[group].anything:
            due = self._patience(room, now)
            self._asking[group] = _Asking(due, first, anything=False)
            self._arm(due)

    def enough(self, group: GroupId) -> None:
        """What was only suspected to be missing has come."""
        if group in self._asking and self._asking[group].anything:
            del self._asking[group]

    def need_group(self, group: GroupId, first: NodeId, now: float) -> None:
        """The same, of a group of which nothing is here."""
        asking = self._asking.get(group)
        if asking is None or asking.anything:
            self._asking[group] = _Asking(now + _FIRST_S, first, anything=False)
            self._arm(now + _FIRST_S)

    def need_news(self, room: Room, first: NodeId, now: float) -> None:
        """That member has done something that has not come."""
        if room.group.id not in self._asking:
            due = self._patience(room, now)
            self._asking[room.group.id] = _Asking(due, first, anything=True, most=_NEWS_TRIES)
            self._arm(due)

    def _patience(self, room: Room, now: float) -> float:
        """When what is on its way to all members, in a letter each, has come; not to all at the same time."""
        part = 1 + self._own[0] / 256
        return now + _SOON_S + part * len(room.state.members) * self._letter_s(room.group.id)

    def may_answer(self, who: NodeId, group: GroupId, now: float) -> bool:
        """Whether to answer that node again so soon."""
        if now < self._answered.get((who, group), float("-inf")):
            return False
        self._answered = {key: until for key, until in self._answered.items() if until > now}
        self._answered[who, group] = now + _ANSWER_EVERY_S
        return True

    @property
    def any(self) -> bool:
        """Whether anything is being looked for."""
        return bool(self._asking)

    def expire(self, rooms: Mapping[GroupId, Room], now: float) -> None:
        for group, asking in list(self._asking.items()):
            if asking.due <= now and not self._ask(rooms.get(group), group, asking, now):
                del self._asking[group]
        for asking in self._asking.values():
            self._arm(asking.due)

    def _ask(self, room: Room | None, group: GroupId, asking: _Asking, now: float) -> bool:
        """Ask the next one; whether the search goes on."""
        lacking = _lacking(room)
        missing = room is None or bool(room.log.wanted or lacking) or room.waits()
        if not missing and not asking.anything:
            return False
        if room is None and asking.tries >= _NEWS_TRIES:
            return False  # a stranger's word for a group of which nobody tells anything
        members = room.state.members if room is not None else frozenset()
        others = sorted(
            members - {self._own}, key=lambda one: (one != asking.first, not self._near(one), one)
        )
        if asking.first is not None and asking.first not in others:
            others.insert(0, asking.first)
        if asking.tries and asking.first in others and len(others) > 1:  # it had its turn
            others.append(others.pop(0))
        free = [one for one in others if not self._under_way(group, one)]
        if asking.anything:
            free = [one for one in free if self._near(one)]
        if free:
            heads = tuple(room.log.heads) if room is not None else ()
            item = Ask(group, heads[:255], tuple(epoch[:EPOCH_SIZE] for epoch in lacking))
            try:
                self._asked[group, free[0]] = self._post.write(
                    group, free[0], [item], now, introduce=room is None
                )
            except StoreFull:
                pass
            if asking.anything and asking.tries + 1 >= asking.most:
                return False
        asking.due = now + min(_AGAIN_S * 2.0**asking.tries, _AGAIN_MAX_S)
        asking.tries = min(asking.tries + 1, 16)
        return bool(others)

    def _under_way(self, group: GroupId, who: NodeId) -> bool:
        letter = self._asked.get((group, who))
        return letter is not None and self._post.is_letter(letter)


def _lacking(room: Room | None) -> list[bytes]:
    """Epochs whose keys this node should have and has not: that in use, and the latest before it."""
    if room is None:
        return []
    state = room.state
    lacking = [state.epoch] if room.lacks(state.epoch) else []
    if room.waits():
        lacking += [one for one in room.log.epochs() if one != state.epoch and room.lacks(one)][:_EPOCHS]
    return list(lacking)
