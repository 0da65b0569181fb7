"""Stream framing: the same frames however the stream is cut, and nothing else."""

import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_drivers.framing import FrameSplitter, join_frames
from nexus_node.base.errors import BadWire, LocalError

FRAMES = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(FRAMES, st.lists(st.integers(min_value=0), max_size=30))
def test_any_slicing_gives_the_same_frames(frames: list[bytes], places: list[int]) -> None:
    splitter = FrameSplitter(300)
    found = [f for piece in cut(join_frames(frames), places) for f in splitter.parse_frames_untrusted(piece)]
    assert found == frames


@given(FRAMES, st.sampled_from([0, 301, 65535]), st.lists(st.integers(min_value=0), max_size=30))
def test_a_bad_length_comes_after_the_frames_before_it(
    frames: list[bytes], bad: int, places: list[int]
) -> None:
    splitter = FrameSplitter(300)
    found = []
    with pytest.raises(BadWire) as caught:
        for piece in cut(join_frames(frames) + bad.to_bytes(2, "little") + b"x" * 10, places):
            for frame in splitter.parse_frames_untrusted(piece):
                found.append(frame)
    assert found == frames
    assert caught.value.code == "bad_length"


SLICES = st.lists(st.binary(max_size=100), max_size=8)


def split_untrusted(pieces: list[bytes]) -> None:
    splitter = FrameSplitter(64)
    try:
        for piece in pieces:
            for frame in splitter.parse_frames_untrusted(piece):
                assert 0 < len(frame) <= 64
    except BadWire as error:
        assert error.code == "bad_length"


test_arbitrary_bytes_raise_nothing_but_bad_wire = given(SLICES)(split_untrusted)
test_arbitrary_bytes_for_long = pytest.mark.fuzz(
    settings(max_examples=100_000, deadline=None)(given(SLICES)(split_untrusted))
)


def test_memory_is_bounded_by_one_frame() -> None:
    splitter = FrameSplitter(16384)
    stream = join_frames([bytes([i % 255 + 1]) * 16384 for i in range(64)])
    tracemalloc.start()
    try:
        for place in range(0, len(stream), 100):
            for _ in splitter.parse_frames_untrusted(stream[place : place + 100]):
                pass
        assert tracemalloc.get_traced_memory()[1] < 150_000
    finally:
        tracemalloc.stop()


def test_frames_no_length_can_say_are_our_bug() -> None:
    for frame in (b"", bytes(65536)):
        with pytest.raises(LocalError):
            join_frames([frame])
