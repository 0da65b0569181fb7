"""Reconciliation: two neighbours find out which items each lacks (docs/protocol/reconcile.md).

The initiator asks, the responder answers and keeps nothing between questions, so a lost message is cured by
asking the same again. On wide links ranges are compared (Meyer 2022), on narrow ones a sketch of all items.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nexus_node.base.errors import BadWire, LocalError
from nexus_node.base.limits import RECONCILE_ITEMS, RECONCILE_QUESTIONS, SKETCH_CAPACITY
from nexus_node.proto.itemset import ItemSet
from nexus_node.proto.sketch import decode, syndromes
from nexus_node.wire.reconcile import (
    BEGIN,
    END,
    ITEM_SIZE,
    Answer,
    Place,
    Question,
    Range,
    Summary,
)

ROOM_MIN = 96
"""Bytes a message may have at least: a question with a list fits, and the answer to it."""
LIST_MAX = 32
"""Items of a range known to differ that are listed, if they fit; above, it is split."""
SPLIT_MAX, SPLIT_SIZE = 16, 8
"""A range is split into at most so many, of at least so many items: the cheapest for few differences."""
_SHORT = 4
_HEAD = 3
_PLACE_LEAST, _RANGE_MOST = 3, 32
"""Bytes of a place at least as a rule, and of a range at most as a rule: first guesses at what fits."""
_LIST_HEAD = 34
"""Most bytes of a question with one list, beside its short ids."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a message: what to send now, items not known before to be lacking, and whether it is all.

    `message` None: nothing is to be sent.
    """

    message: bytes | None = None
    they_lack: list[bytes] = field(default_factory=list)
    we_lack: list[bytes] = field(default_factory=list)
    done: bool = False


class Side:
    """What both ends keep: the items, and what is known of the difference."""

    def __init__(self, items: Mapping[bytes, int], *, salt: bytes, room: int) -> None:
        if room < ROOM_MIN:
            raise LocalError("no room to reconcile in")
        self._items = ItemSet(items, salt)
        self._salt = salt
        self._room = room
        self._they_lack: set[bytes] = set()
        self._we_lack: set[bytes] = set()

    def learn_they_lack(self, items: Iterable[bytes]) -> list[bytes]:
        return _add(self._they_lack, items)

    def learn_we_lack(self, items: Iterable[bytes]) -> list[bytes]:
        new = _add(self._we_lack, (item for item in items if item not in self._items))
        if len(self._we_lack) > RECONCILE_ITEMS:
            raise BadWire("bad_reconcile")
        return new


def _add(known: set[bytes], items: Iterable[bytes]) -> list[bytes]:
    new = [item for item in dict.fromkeys(items) if item not in known]
    known.update(new)
    return new


class Initiator(Side):
    """Asks. `salt`: 8 fresh random bytes. `narrow`: try a sketch first. `room`: bytes of a message, the same
    at both ends. One question is under way at a time: the caller sends the last message again until an
    answer to it comes.
    """

    def __init__(self, items: Mapping[bytes, int], *, salt: bytes, narrow: bool, room: int) -> None:
        super().__init__(items, salt=salt, room=room)
        self._list_max = min(LIST_MAX, (room - _LIST_HEAD) // _SHORT)
        self._theirs = Summary(0, 0)
        self._sketch: list[int] | None = [] if narrow else None
        """Syndromes of the difference, as long as it may be found by them."""
        self._more: tuple[int, int] | None = None
        """Syndromes to ask for next: the first, and how many."""
        self._ranges: list[tuple[Place, Place, bool]] = []
        """To ask about, in order, the newest first to go: from, to before, whether it is known to differ."""
        self._wants: list[int] = []
        self._tells: list[bytes] = []
        self._questions = 1
        opening = (salt, self._items.summary)
        self._question = Question(salt[0], 0, opening=opening, sketch=(0, 0) if narrow else None)

    def open(self) -> bytes:
        """The first message."""
        return self._question.encode()

    @property
    def exact(self) -> bool:
        """Once done: whether what was found explains the fingerprint of all their items.

        It does not when hashes have collided (of 10,000 items with 10 differences once in some 10^7 times by
        ranges, 10^4 by a sketch), times differ, or they lie; another reconciliation finds the rest.
        """
        found = self._items.summary.fingerprint
        found += sum(map(self._items.hash, self._we_lack)) - sum(map(self._items.hash, self._they_lack))
        count = len(self._items) + len(self._we_lack) - len(self._they_lack)
        return Summary(count, found % (1 << 64)) == self._theirs

    def take(self, answer: Answer) -> Reply:
        """Take an answer in; one to an earlier question, or to none of ours, is ignored.

        Raises BadWire("bad_reconcile") for one that does not fit the question, or when the other side makes
        no end; the reconciliation is over then.
        """
        question = self._question
        if (answer.session, answer.step) != (question.session, question.step):
            return Reply()
        if question.opening is not None:
            if answer.summary is None:
                self._theirs = self._items.summary
                return Reply(done=True)
            self._theirs = answer.summary
        they_lack, we_lack = self._take_ranges(question.ranges, answer)
        we_lack += self._take_gives(question.wants, answer.gives)
        if question.sketch is not None:
            they_lack += self._take_syndromes(answer.syndromes or ())
        elif question.opening is not None:
            they_lack += self._compare_ranges()
        following = self._next_question()
        if following is None and self._sketch is not None and not self.exact:
            they_lack += self._compare_ranges()
            following = self._next_question()
        if following is None:
            return Reply(None, they_lack, we_lack, done=True)
        self._question = following
        return Reply(following.encode(), they_lack, we_lack)

    def _next_question(self) -> Question | None:
        """What fits into one message of what is still to ask."""
        if not (self._more or self._wants or self._ranges or self._tells):
            return None
        self._questions += 1
        if self._questions > RECONCILE_QUESTIONS:
            raise BadWire("bad_reconcile")
        question = Question(self._salt[0], (self._question.step + 1) % 256)
        if self._more:
            question, self._more = replace(question, sketch=self._more), None
            return question
        count = (self._room - _HEAD) // ITEM_SIZE  # as the items wanted must fit the answer
        question = replace(question, wants=tuple(self._wants[:count]))
        del self._wants[:count]
        question = self._with_ranges(question)
        count = (self._room - len(question.encode())) // ITEM_SIZE
        question = replace(question, tells=tuple(self._tells[:count]))
        del self._tells[:count]
        return replace(question, last=not (self._wants or self._ranges or self._tells))

    # --- ranges ---------------------------------------------------------------------------------
    def _compare_ranges(self) -> list[bytes]:
        """Begin with ranges; items they lack are known already if they have none."""
        self._sketch = None
        count = len(self._items)
        if not self._theirs.count:
            items = self.learn_they_lack(self._items[index] for index in range(count))
            self._tells += items
            return items
        if count <= self._list_max:
            self._ranges = [(BEGIN, END, True)]
            return []
        starts, size = [], 2 * SPLIT_SIZE  # each range as large as all newer ones: differences are mostly new
        while size < count:
            starts.append(count - size)
            size *= 2
        self._push(BEGIN, END, starts[::-1])
        return []

    def _split(self, lower: Place, upper: Place) -> None:
        start, end = self._items.find(lower), self._items.find(upper)
        count = end - start
        if count <= self._list_max:
            self._ranges.append((lower, upper, True))
            return
        parts = max(2, min(SPLIT_MAX, count // SPLIT_SIZE))
        self._push(lower, upper, [start + count * part // parts for part in range(1, parts)])

    def _push(self, lower: Place, upper: Place, starts: Iterable[int]) -> None:
        for index in starts:
            border = self._items.border(index)
            self._ranges.append((lower, border, False))
            lower = border
        self._ranges.append((lower, upper, False))

    def _with_ranges(self, question: Question) -> Question:
        """The newest ranges that fit."""
        taken: list[Range] = []
        room = self._room - len(question.encode())
        while self._ranges and room > 0:
            taken.insert(0, self._range(*self._ranges.pop()))
            room -= _PLACE_LEAST + _SHORT * (len(taken[0].says) if taken[0].listed else 1)
        while True:
            longer = replace(question, ranges=tuple(taken))
            excess = len(longer.encode()) - self._room
            if excess <= 0:
                return longer
            back = min(1 + excess // _RANGE_MOST, max(1, len(taken) - 1))
            self._ranges += [(one.lower, one.upper, one.listed) for one in taken[:back]]
            del taken[:back]

    def _range(self, lower: Place, upper: Place, differs: bool) -> Range:
        start, end = self._items.find(lower), self._items.find(upper)
        if differs:
            return Range(lower, upper, tuple(self._items.shorts[start:end]))
        return Range(lower, upper, self._items.fingerprint(start, end))

    def _take_ranges(self, asked: tuple[Range, ...], answer: Answer) -> tuple[list[bytes], list[bytes]]:
        they_lack: list[bytes] = []
        we_lack: list[bytes] = []
        differing, lists = answer.differing, iter(answer.extras)
        for one in asked:
            if isinstance(one.says, bytes):
                if differing & 1:
                    self._split(one.lower, one.upper)
                differing >>= 1
            elif (extras := next(lists, None)) is None:
                self._ranges.append((one.lower, one.upper, True))
            else:
                cut = extras.cut
                if cut is not None and not (extras.items and one.lower < cut < one.upper):
                    raise BadWire("bad_reconcile")
                if extras.lacking >> len(one.says):
                    raise BadWire("bad_reconcile")
                start, end = self._items.find(one.lower), self._items.find(cut or one.upper)
                lacking = (i for i in range(end - start) if extras.lacking >> i & 1)
                they_lack += self.learn_they_lack(self._items[start + i] for i in lacking)
                we_lack += self.learn_we_lack(extras.items)
                if cut is not None:
                    self._ranges.append((cut, one.upper, True))
        if differing or next(lists, None) is not None:
            raise BadWire("bad_reconcile")
        self._tells += they_lack
        return they_lack, we_lack

    # --- sketches -------------------------------------------------------------------------------
    def _take_syndromes(self, theirs: tuple[int, ...]) -> list[bytes]:
        """Items they lack, if the sketch gives the difference away."""
        known = self._sketch or []
        size = len(known) + len(theirs)
        if not theirs or size > SKETCH_CAPACITY:
            return self._compare_ranges()
        ours = syndromes(self._items.shorts, size)[len(known) :]
        self._sketch = known + [one ^ other for one, other in zip(ours, theirs, strict=True)]
        values = decode(self._sketch)
        if values is not None:
            by_short = self._items.by_short
            mine = [self._items[by_short[value]] for value in values if value in by_short]
            self._wants = [value for value in values if value not in by_short]
            self._tells = mine
            return self.learn_they_lack(mine)
        more = min(size, SKETCH_CAPACITY - size, len(self._items) + self._theirs.count - size)
        if more <= 0:
            return self._compare_ranges()
        self._more = (size, more)
        return []

    def _take_gives(self, wants: tuple[int, ...], gives: tuple[bytes, ...]) -> list[bytes]:
        if not {self._items.short(item) for item in gives} <= set(wants):
            raise BadWire("bad_reconcile")
        return self.learn_we_lack(gives)
