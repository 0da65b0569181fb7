"""Files attached to messages: sealed into objects of their own, and messages told as a whole (N9, N13)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from nexus_node.base.errors import InputError
from nexus_node.base.limits import ATTACHMENT_MAX
from nexus_node.base.states import State
from nexus_node.crypto.filestream import seal_file
from nexus_node.engine.mailbox import Way
from nexus_node.ports.store import Fact, Outgoing
from nexus_node.wire.dataobject import KIND_FILE, ObjectHeader, describe
from nexus_node.wire.description import AttachmentName, Description

_MB = 1_000_000
IMAGE_BPS, LARGE_BPS = 10_000, 100_000
"""What a link must do for an image, and for anything above 1 MB, unless the sender says otherwise (N13)."""
_PREVIEW_MAX = 700
_PREVIEW_S, _PREVIEW_OF_DUTY = 3.0, 0.05
"""What the previews of a message may take of the air: so long, and so much of an hour that the law leaves."""
_UNKNOWN_BPS = 1200.0
"""What is assumed of a way that is not known yet."""


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file ready to be attached: what the message says of it, and its object."""

    description: Description
    header: ObjectHeader
    chunks: Iterable[bytes] = field(repr=False)
    """None of a larger one that is in the store already."""


def seal_attachment(
    name: str,
    content: bytes,
    *,
    media_type: str = "",
    key: bytes,
    min_bandwidth: int | None = None,
    preview: bytes = b"",
) -> SealedFile:
    """Seal a file with a key that seals nothing else. Pure and slow for large ones: some 3 ms a megabyte.

    Raises InputError for one that is too large.
    """
    check_size(name, len(content))
    header, chunks = describe(KIND_FILE, b"".join(seal_file(key, content)))
    described = describe_file(name, len(content), header, media_type, key, min_bandwidth, preview)
    return SealedFile(described, header, chunks)


def check_size(name: str, size: int) -> None:
    """Raises InputError for a file that is too large to be attached."""
    if size > ATTACHMENT_MAX:
        raise InputError(
            f"{name} has {size} bytes and a message takes files up to {ATTACHMENT_MAX}; "
            "send a smaller version, or share it with: nexus put --name"
        )


def describe_file(
    name: str,
    size: int,
    header: ObjectHeader,
    media_type: str,
    key: bytes,
    min_bandwidth: int | None,
    preview: bytes,
) -> Description:
    """What a message says of a file that was sealed with `key` into the object with that header."""
    if min_bandwidth is None:
        min_bandwidth = default_bandwidth(size, media_type)
    shown = AttachmentName.from_untrusted(name)
    return Description(header.root, key, size, min_bandwidth, shown, media_type, preview)


def default_bandwidth(size: int, media_type: str) -> int:
    """Bits per second below which a file waits (N13)."""
    if size > _MB:
        return LARGE_BPS
    return IMAGE_BPS if media_type.startswith("image/") else 0


def preview_room(ways: Sequence[Way]) -> int:
    """Bytes that the previews of one message may have, by the ways to its recipient (N13)."""
    room = _PREVIEW_MAX
    for bps, duty in [(way.bps, way.link.profile.duty_cycle) for way in ways] or [(_UNKNOWN_BPS, None)]:
        most_s = _PREVIEW_S if duty is None else min(_PREVIEW_S, _PREVIEW_OF_DUTY * 3600 * duty)
        room = int(min(room, most_s * bps / 8))
    return room


def whole_state(rows: Sequence[Outgoing]) -> State:
    """How far a message has come with all that belongs to it: as far as the part that is behind.

    That a person has read the text says as much as can be said of files that have arrived.
    """
    return _whole([row.state for row in rows])


def _whole(states: Sequence[State]) -> State:
    text = states[0]
    files = (State.READ if one is State.DELIVERED else one for one in states[1:])
    return min((text, *files), key=attrgetter("rank"))


def whole_facts(facts: Sequence[Sequence[Fact]]) -> list[Fact]:
    """The facts of a message with files, of those of its rows: each that brought the whole further."""
    states = [State.QUEUED] * len(facts)
    steps = sorted(
        ((fact.at_ms, number, index) for number, row in enumerate(facts) for index, fact in enumerate(row)),
    )
    told = list(facts[0][:1])
    for _, number, index in steps:
        fact = facts[number][index]
        if fact.state.rank > states[number].rank:
            before = _whole(states)
            states[number] = fact.state
            after = _whole(states)
            if after is not before:
                told.append(Fact(after, fact.at_ms, fact.by))
    return told
