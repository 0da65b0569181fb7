"""What goes into the next frame of a link, in which order: one pure decision, made when the air is free (N6,
docs/protocol/routing.md).

The rooms with something to send each take part of a frame in turn until it is full. Within one step the
oldest goes first: as all messages live equally long, that is also the one whose deadline is next. Whether
anything may cross a link at all, by the bandwidth it needs (N13), was decided before: what may not is not
among what waits.
"""

from enum import IntEnum, unique

BULK_FIRST_EVERY = 8
"""Every eighth frame serves large things first: more than the 10 % floor of N6."""
BULK_OF_DUTY = 0.75
"""Of the airtime that the law leaves in an hour: once so much is used bulk waits, and texts have the rest."""


@unique
class Step(IntEnum):
    """Part of what may wait for a link."""

    ANSWERS = 0
    """Receipts, custody, what was learnt of paths; what was published is put among the packets."""
    OWN = 1
    """This node's messages that fit a frame."""
    TRANSIT_URGENT = 2
    """Packets of real-time and interactive priority, such as answers, questions and others' messages."""
    TRANSIT = 3
    """Packets of standard priority."""
    OWN_LARGE = 4
    """This node's messages in fragments."""
    TRANSIT_LARGE = 5
    """The same and packets of standard priority in fragments, the more urgent first."""
    FEED_BULK = 6
    """Parts of files that were asked for are put among the packets."""
    BULK = 7
    """Packets of bulk priority."""
    BULK_LARGE = 8
    """The same in fragments."""
    COPIES = 9
    """Copies to carry for others."""


_URGENT_OWN_FIRST = (Step.OWN, Step.TRANSIT_URGENT, Step.TRANSIT)
_URGENT_TRANSIT_FIRST = (Step.TRANSIT_URGENT, Step.OWN, Step.TRANSIT)
_LARGE_OWN_FIRST = (Step.OWN_LARGE, Step.TRANSIT_LARGE)
_LARGE_TRANSIT_FIRST = (Step.TRANSIT_LARGE, Step.OWN_LARGE)
_BULK = (Step.FEED_BULK, Step.BULK, Step.BULK_LARGE)


def _order(turn: int, *, paused: bool, short: bool) -> tuple[Step, ...]:
    own_first = turn % 2 == 1
    urgent = _URGENT_OWN_FIRST if own_first else _URGENT_TRANSIT_FIRST
    large = _LARGE_OWN_FIRST if own_first else _LARGE_TRANSIT_FIRST
    bulk, copies = ((), ()) if short else (_BULK, (Step.COPIES,))
    if paused:
        first = (Step.OWN_LARGE,) if turn == 0 else ()
        return (Step.ANSWERS, *first, Step.TRANSIT_URGENT, Step.OWN, Step.OWN_LARGE)
    if turn == 0:
        return (Step.ANSWERS, *bulk, *large, *urgent, *large, *copies)
    return (Step.ANSWERS, *urgent, *large, *bulk, *copies)


_ORDERS = {
    (turn, paused, short): _order(turn, paused=paused, short=short)
    for turn in range(BULK_FIRST_EVERY)
    for paused in (False, True)
    for short in (False, True)
}


def order(frames: int, *, paused: bool, short: bool) -> tuple[Step, ...]:
    """The steps that fill a frame, each to be taken until the frame is full.

    `frames` have gone over the link before; a `paused` neighbour wants nothing for others but what is urgent;
    `short` is a radio that has too little of its hour left for bulk.
    """
    return _ORDERS[frames % BULK_FIRST_EVERY, paused, short]
