"""The answering end of a reconciliation (docs/protocol/reconcile.md)."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from nexus_node.base.limits import SKETCH_CAPACITY
from nexus_node.proto.reconcile import Reply, Side
from nexus_node.proto.sketch import syndromes
from nexus_node.wire.reconcile import ITEM_SIZE, Answer, Extras, Question, Range, Summary

SKETCH_MARGIN = 12
"""Syndromes in the first sketch beyond the difference in counts: 48 bytes."""

_SHORT = 4
_HEAD, _SUMMARY = 3, 13
"""Bytes of an answer's head, and at most of a summary."""
_LISTS = 3
"""Bytes of an answer with lists before the first."""
_EXTRAS_LEAST = 26
"""Most bytes of the answer to a list with one item, cut off, but for its bitmap beyond one byte."""


class Responder(Side):
    """Answers; equal questions get equal answers. `salt` is that of the question that opened."""

    def __init__(self, items: Mapping[bytes, int], *, salt: bytes, room: int) -> None:
        super().__init__(items, salt=salt, room=room)
        self._told: set[int] = set()
        """Short ids of what we lack and were told."""

    def take(self, question: Question) -> Reply:
        """Answer a question; one of another reconciliation is ignored (`message` is None).

        `done`: the initiator has nothing left to ask, unless it finds that hashes have collided. Keep the
        responder nevertheless for as long as the initiator may repeat. Raises BadWire("bad_reconcile").
        """
        salt = self._salt if question.opening is None else question.opening[0]
        if question.session != self._salt[0] or salt != self._salt:
            return Reply()
        if question.opening is not None:
            return self._open(question.opening[1], with_sketch=question.sketch is not None)
        if question.sketch is not None:
            answer = Answer(question.session, question.step, syndromes=self._syndromes(*question.sketch))
            return Reply(answer.encode())
        we_lack = self.learn_we_lack(question.tells)
        self._told.update(map(self._items.short, we_lack))
        answer = self._compare(question)
        room = (self._room - len(answer.encode())) // ITEM_SIZE
        held = [
            self._items[self._items.by_short[one]] for one in question.wants if one in self._items.by_short
        ]
        answer = replace(answer, gives=tuple(held[:room]))
        they_lack = [item for extras in answer.extras for item in extras.items] + held[:room]
        done = question.last and not answer.differing and self._lists_are_settled(question, answer)
        return Reply(answer.encode(), self.learn_they_lack(they_lack), we_lack, done)

    def _lists_are_settled(self, question: Question, answer: Answer) -> bool:
        """Whether all lists were answered in full, and all that they showed to be lacking was told."""
        lists = [one.says for one in question.ranges if isinstance(one.says, tuple)]
        return len(lists) == len(answer.extras) and all(
            extras.cut is None
            and all(short in self._told for i, short in enumerate(says) if extras.lacking >> i & 1)
            for says, extras in zip(lists, answer.extras, strict=True)
        )

    def _open(self, theirs: Summary, *, with_sketch: bool) -> Reply:
        own = self._items.summary
        if own == theirs:
            return Reply(Answer(self._salt[0], 0).encode(), done=True)
        few = abs(own.count - theirs.count)
        sketch = None
        if with_sketch and own.count and theirs.count and few < SKETCH_CAPACITY:
            sketch = self._syndromes(0, min(few + SKETCH_MARGIN, own.count + theirs.count))
        return Reply(Answer(self._salt[0], 0, own, sketch).encode())

    def _syndromes(self, first: int, count: int) -> tuple[int, ...]:
        count = min(count, (self._room - _HEAD - _SUMMARY) // _SHORT)
        return tuple(self._all_syndromes[first : first + count])

    @cached_property
    def _all_syndromes(self) -> list[int]:
        return syndromes(self._items.shorts, SKETCH_CAPACITY)

    def _compare(self, question: Question) -> Answer:
        differing, bit = 0, 1
        lists: list[Range] = []
        for one in question.ranges:
            if isinstance(one.says, bytes):
                own = self._items.fingerprint(self._items.find(one.lower), self._items.find(one.upper))
                differing |= bit * (own != one.says)
                bit <<= 1
            else:
                lists.append(one)
        answer = Answer(question.session, question.step, differing=differing)
        room = self._room - len(answer.encode()) - _LISTS
        extras: list[Extras] = []
        for one in lists:
            if room < _EXTRAS_LEAST + len(one.says) // 8:
                break
            extras.append(self._extras(one, room))
            room -= len(extras[-1].encode())
            if extras[-1].cut is not None:
                break
        return replace(answer, extras=tuple(extras))

    def _extras(self, listed: Range, room: int) -> Extras:
        """Takes no longer than the question and the answer are long, however many items are in the range."""
        start, end = self._items.find(listed.lower), self._items.find(listed.upper)
        most = (room - _EXTRAS_LEAST - len(listed.says) // 8) // ITEM_SIZE + 1
        theirs, both = set(listed.says), set()
        items: list[bytes] = []
        cut = None
        for index in range(start, end):
            short = self._items.shorts[index]
            if short in theirs:
                both.add(short)
            elif len(items) < most:
                items.append(self._items[index])
            else:
                cut = self._items.place(index)
                break
        lacking = sum(1 << i for i, short in enumerate(listed.says) if short not in both)
        return Extras(lacking, tuple(items), cut)
